export function Tasks(): null { return null; }
