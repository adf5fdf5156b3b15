import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

/** The size of an element, kept up to date: charts draw in real pixels so that text stays text. */
export function useSize<T extends Element>(start: { w: number; h: number }): [RefObject<T | null>, { w: number; h: number }] {
  const ref = useRef<T>(null);
  const [size, setSize] = useState(start);
  useEffect(() => {
    if (!ref.current) return;
    const watch = new ResizeObserver(([entry]) => {
      const box = entry!.contentRect;
      if (box.width > 0) setSize({ w: Math.round(box.width), h: Math.round(box.height) });
    });
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return [ref, size];
}
