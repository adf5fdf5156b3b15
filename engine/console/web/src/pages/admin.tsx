export function Admin(): null { return null; }
