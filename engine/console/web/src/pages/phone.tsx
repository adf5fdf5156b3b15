export function Phone(): null { return null; }
