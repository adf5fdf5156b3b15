// Single-key shortcuts: only while no field has the focus, no dialog is open, and if switched on.
import { useEffect, useRef } from "preact/hooks";
import { shortcuts } from "./settings";

export function useKeys(map: Record<string, (event: KeyboardEvent) => void>): void {
  const current = useRef(map);
  current.current = map;
  useEffect(() => {
    const hear = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      const typing = target.closest("input, textarea, select, [contenteditable]");
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (document.querySelector("dialog[open]")) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (typing && key !== "Escape") return;
      if (!shortcuts.value && event.key.length === 1) return;
      current.current[key]?.(event);
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
}
