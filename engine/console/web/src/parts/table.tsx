// Lists that read on page by page, and the row of filters above them.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../lib/api";
import { t } from "../lib/i18n";
import type { Page } from "../lib/types";
import { Failed, Loading } from "./states";

export interface Paged<T> {
  items: T[] | null;
  total: number | null;
  error: unknown;
  more: (() => void) | null;
  reload: () => void;
}

/** A list by cursor; reads anew when its address changes. */
export function usePages<T>(path: string | null): Paged<T> {
  const [state, setState] = useState<{ path: string | null; items: T[] | null; next: string | null; total: number | null; error: unknown }>({ path: null, items: null, next: null, total: null, error: null });
  const read = (cursor: string | null): void => {
    if (!path) return;
    const full = cursor ? `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}` : path;
    get<Page<T>>(full).then(
      (page) => setState((s) => ({ path, items: cursor && s.path === path ? [...(s.items ?? []), ...page.items] : page.items, next: page.next, total: page.total, error: null })),
      (error: unknown) => setState((s) => ({ ...s, path, items: s.path === path ? s.items : null, error })),
    );
  };
  useEffect(() => read(null), [path]);
  const own = state.path === path;
  return { items: own ? state.items : null, total: own ? state.total : null, error: own ? state.error : null, more: own && state.next ? () => read(state.next) : null, reload: () => read(null) };
}

export function List<T>(p: { of: Paged<T>; head: readonly (string | { label: string; right: true })[]; row: (item: T) => JSX.Element; empty: ComponentChildren; label: string }): JSX.Element {
  const { of } = p;
  if (!of.items) return of.error ? <Failed error={of.error} retry={of.reload} what={p.label} /> : <Loading rows={5} />;
  if (!of.items.length) return <>{p.empty}</>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={p.label}>
      <table class="tbl pad">
        <thead><tr>{p.head.map((h, i) => typeof h === "string" ? <th key={i} scope="col">{h || <span class="sr">{t().act.more}</span>}</th> : <th key={i} scope="col" class="r">{h.label}</th>)}</tr></thead>
        <tbody>{of.items.map(p.row)}</tbody>
      </table>
      {of.more && <p class="in"><button type="button" class="btn" onClick={of.more}>{t().act.more}</button></p>}
    </div>
  );
}

export function PickField(p: { label: string; value: string; onChange: (value: string) => void; options: readonly (readonly [string, string])[] }): JSX.Element {
  return (
    <label class="field"><span>{p.label}</span>
      <select value={p.value} onChange={(e) => p.onChange(e.currentTarget.value)}>{p.options.map(([v, l]) => <option key={v} value={v}>{l}</option>)}</select>
    </label>
  );
}
