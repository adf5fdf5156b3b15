export function Family(): null { return null; }
