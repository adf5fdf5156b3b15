export function Workbench(): null { return null; }
