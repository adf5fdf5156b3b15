// The evidence ledger (a waterfall in one unit), the timeline and the contact ladder of an alert.
import type { JSX } from "preact";
import { at as stampAt, ms, num, signed } from "../lib/format";
import { t } from "../lib/i18n";
import { Icon } from "./icon";

export interface LedgerRow {
  signal: string;
  seen: string;
  /** log₁₀ likelihood ratio; null: not ready, not counted. */
  weight: number | null;
}

/** Rounded weights that add up as printed: the largest takes what rounding left over. */
export function addUp(rows: readonly LedgerRow[], total: number): (number | null)[] {
  const tenth = (v: number): number => Math.round(v * 10);
  const out = rows.map((r) => (r.weight === null ? null : tenth(r.weight)));
  const rest = tenth(total) - out.reduce<number>((s, v) => s + (v ?? 0), 0);
  let big = -1;
  out.forEach((v, i) => { if (v !== null && (big < 0 || Math.abs(v) > Math.abs(out[big]!))) big = i; });
  if (big >= 0) out[big] = out[big]! + rest;
  return out.map((v) => (v === null ? null : v / 10));
}

export function Ledger({ rows, total, line }: { rows: readonly LedgerRow[]; total: number; line: number | null }): JSX.Element {
  const text = t();
  const weights = addUp(rows, total);
  let sum = 0;
  const bars = weights.map((w) => {
    if (w === null) return null;
    const from = sum;
    sum = Math.round((sum + w) * 10) / 10;
    return [Math.min(from, sum), Math.max(from, sum)] as const;
  });
  const ends = bars.flatMap((b) => b ?? []);
  const low = Math.min(0, ...ends), high = Math.max(0.1, line ?? 0, sum, ...ends) * 1.04;
  const x = (v: number): string => `${(((v - low) / (high - low)) * 100).toFixed(2)}%`;
  const w = (a: number, b: number): string => `${(((b - a) / (high - low)) * 100).toFixed(2)}%`;
  const bar = (a: number, b: number, kind: string): JSX.Element => (
    <span class="wf" aria-hidden="true">
      <i class={kind} style={{ left: x(a), width: w(a, b) }} />
      {line !== null && <i class="bl" style={{ left: x(line) }} />}
    </span>
  );
  return (
    <table class="tbl led">
      <thead><tr>
        <th scope="col">{text.alert.signal}</th><th scope="col">{text.alert.seen}</th>
        <th scope="col" class="wfc">{text.alert.sumUnit}</th><th scope="col" class="r">{text.alert.weight}</th>
      </tr></thead>
      <tbody>
        {rows.map((r, i) => (
          <tr key={i}>
            <td class="b">{r.signal}</td>
            <td class="f2">{r.seen}</td>
            <td class="wfc">{bars[i] ? bar(bars[i]![0], bars[i]![1], weights[i]! < 0 ? "neg" : "pos") : <span class="f3 note">{text.alert.notCounted}</span>}</td>
            <td class="r">{weights[i] === null ? "—" : signed(weights[i]!)}</td>
          </tr>
        ))}
        <tr class="tot">
          <td class="b">{text.alert.total}</td>
          <td class="f2">{line === null ? "" : text.alert.overLine(num(line, 1), Math.round((sum - Math.round(line * 10) / 10) * 10) / 10)}</td>
          <td class="wfc">{bar(Math.min(0, sum), Math.max(0, sum), "all")}</td>
          <td class="r b">{num(sum, 1)}</td>
        </tr>
      </tbody>
    </table>
  );
}

export interface Step {
  at: number | null;
  state: "done" | "now" | "todo";
  title: string;
  note?: string;
}

export function Timeline({ steps, today }: { steps: readonly Step[]; today: number }): JSX.Element {
  return (
    <ol class="tl">
      {steps.map((s, i) => (
        <li key={i} class={s.state === "done" ? "" : s.state} aria-current={s.state === "now" ? "step" : undefined}>
          <time dateTime={s.at ? new Date(s.at).toISOString() : undefined}>{s.at ? stampAt(s.at, today) : "—"}</time>
          <span class="dotm" aria-hidden="true" />
          <span>{s.title}{s.note && <small>{s.note}</small>}</span>
        </li>
      ))}
    </ol>
  );
}

export interface Rung {
  who: string;
  note?: string;
  done: boolean;
  phone?: string | null;
}

export function Locked({ text, action }: { text: string; action?: JSX.Element }): JSX.Element {
  return <div class="who"><Icon name="lock" /><span class="sp">{text}</span>{action}</div>;
}

export const when = (v: string | number | null | undefined): number | null => {
  const at = ms(v);
  return Number.isNaN(at) ? null : at;
};
