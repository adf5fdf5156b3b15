export function Settings(): null { return null; }
