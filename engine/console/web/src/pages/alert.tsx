export function AlertPage(): null { return null; }
