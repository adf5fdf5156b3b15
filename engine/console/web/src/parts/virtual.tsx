// A list of rows of one height, of which only those in view exist.
import type { JSX, VNode } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props<T> {
  items: readonly T[];
  /** How many there are in all, loaded or not. */
  total: number;
  rowHeight: number;
  keyOf: (item: T) => string;
  render: (item: T, index: number) => VNode;
  onEnd?: () => void;
  /** Keep this row in view. */
  reveal?: number;
  label: string;
  class?: string;
}

const SPARE = 8;

export function VirtualList<T>(p: Props<T>): JSX.Element {
  const box = useRef<HTMLOListElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const el = box.current!;
    const read = (): void => setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight ? v : { top: el.scrollTop, height: el.clientHeight }));
    read();
    el.addEventListener("scroll", read, { passive: true });
    const watch = new ResizeObserver(read);
    watch.observe(el);
    return () => {
      el.removeEventListener("scroll", read);
      watch.disconnect();
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / p.rowHeight) - SPARE);
  const last = Math.min(p.items.length, Math.ceil((view.top + view.height) / p.rowHeight) + SPARE);
  useEffect(() => {
    if (p.items.length && last > p.items.length - 40) p.onEnd?.();
  }, [last, p.items.length]);
  useLayoutEffect(() => {
    const el = box.current!;
    if (p.reveal === undefined || p.reveal < 0) return;
    const y = p.reveal * p.rowHeight;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + p.rowHeight > el.scrollTop + el.clientHeight) el.scrollTop = y + p.rowHeight - el.clientHeight;
  }, [p.reveal]);
  return (
    <ol ref={box} class={`vlist ${p.class ?? ""}`} aria-label={p.label} tabIndex={-1}>
      <li class="space" role="presentation" aria-hidden="true" style={{ height: `${p.items.length * p.rowHeight}px` }} />
      {p.items.slice(first, last).map((item, i) => (
        <li key={p.keyOf(item)} class="vrow" style={{ top: `${(first + i) * p.rowHeight}px`, height: `${p.rowHeight}px` }} aria-setsize={p.total} aria-posinset={first + i + 1}>
          {p.render(item, first + i)}
        </li>
      ))}
    </ol>
  );
}
