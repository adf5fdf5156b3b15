export function Report(): null { return null; }
