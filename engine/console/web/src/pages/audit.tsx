export function Audit(): null { return null; }
