// The load chart and what goes with it. A slot is an interval, so lines are steps; a slot without a
// reading is hatched, never a gap that looks like nothing and never a line at zero.
import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { at as stampAt, hm, sig } from "../lib/format";
import { t } from "../lib/i18n";
import { linear, ticks, timeTicks } from "../lib/scale";
import { useSize } from "../lib/size";

export interface Series {
  /** Start of the first slot, ms; length of a slot, ms. */
  from: number;
  step: number;
  values: readonly (number | null)[];
  low?: readonly (number | null)[];
  high?: readonly (number | null)[];
  unit: string;
}

export interface Mark {
  at: number;
  label: string;
  number?: number;
}

export function Hatch({ id, tint }: { id: string; tint?: string }): JSX.Element {
  return (
    <pattern id={id} width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      {tint && <rect width="8" height="8" class={tint} />}
      <line x1="0" y1="0" x2="0" y2="8" class="hatchline" />
    </pattern>
  );
}

interface ChartProps {
  series: Series;
  until?: number;
  silent?: { from: number; to: number; label: string };
  line?: { value: number; label: string; tone?: "red" };
  marks?: readonly Mark[];
  moments?: readonly Mark[];
  now?: number;
  height?: number;
  desc: string;
  tone?: Tone;
  mini?: boolean;
}
type Tone = "red" | "orange" | "yellow" | "blue";

/** Runs of slots for which `pick` is true. */
function runs(n: number, pick: (i: number) => boolean): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i < n; i++) {
    if (!pick(i)) continue;
    let j = i;
    while (j < n && pick(j)) j++;
    out.push([i, j]);
    i = j;
  }
  return out;
}

export function LoadChart(p: ChartProps): JSX.Element {
  const id = useId().replace(/\W/g, "");
  const mini = p.mini ?? false;
  const [ref, size] = useSize<HTMLDivElement>({ w: mini ? 320 : 900, h: p.height ?? 230 });
  const { series: s } = p;
  const n = s.values.length;
  const end = s.from + n * s.step;
  const until = Math.max(p.until ?? end, end);
  const W = size.w, H = p.height ?? Math.max(size.h, 150);
  const L = mini ? 2 : 44, Rr = mini ? 2 : 12;
  const top = mini ? 8 : p.silent || p.marks?.length ? 46 : 24;
  const bottom = mini ? 22 : 24;
  const most = Math.max(p.line?.value ?? 0, ...s.values.map((v) => v ?? 0), ...(s.high ?? []).map((v) => v ?? 0), 1e-9);
  const ys = ticks(most * 1.02, mini ? 2 : 4);
  const x = linear(s.from, until, L, W - Rr);
  const y = linear(0, ys[ys.length - 1]!, H - bottom, top);
  const slot = (i: number): number => x(s.from + i * s.step);

  const steps = (get: (i: number) => number | null): string =>
    runs(n, (i) => get(i) !== null).map(([a, b]) => {
      let d = "";
      for (let i = a; i < b; i++) d += `${i === a ? "M" : "L"}${slot(i).toFixed(1)} ${y(get(i)!).toFixed(1)}H${slot(i + 1).toFixed(1)}`;
      return d;
    }).join("");
  const band = s.low && s.high
    ? runs(n, (i) => s.low![i] != null && s.high![i] != null).map(([a, b]) => {
        let up = "", down = "";
        for (let i = a; i < b; i++) up += `${i === a ? "M" : "L"}${slot(i).toFixed(1)} ${y(s.high![i]!).toFixed(1)}H${slot(i + 1).toFixed(1)}`;
        for (let i = b - 1; i >= a; i--) down += `L${slot(i + 1).toFixed(1)} ${y(s.low![i]!).toFixed(1)}H${slot(i).toFixed(1)}`;
        return `${up}${down}Z`;
      }).join("")
    : "";
  const stopped = p.now ?? end;
  const missing = runs(n, (i) => s.values[i] === null && s.from + (i + 1) * s.step <= stopped);
  const silent = p.silent && { x0: Math.max(L, x(p.silent.from)), x1: Math.min(W - Rr, x(p.silent.to)) };
  const room = (W - L - Rr);
  const moments = (p.moments ?? []).filter((m) => m.at >= s.from && m.at <= until);
  const axis = mini ? [] : timeTicks(s.from, until, room)
    .filter((k) => moments.every((m) => Math.abs(x(m.at) - x(k.at)) > Math.max(62, m.label.length * 3.6 + 24)));

  return (
    <div ref={ref} class={`chart ${p.tone ?? ""}`} style={p.height ? { height: `${p.height}px` } : undefined}>
      <svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-labelledby={`${id}d`}>
        <desc id={`${id}d`}>{p.desc}</desc>
        <defs><Hatch id={`${id}h`} /></defs>
        {!mini && <text x={8} y={14}>{s.unit}</text>}
        {ys.map((v) => (
          <g key={v}>
            {(!mini || v === 0) && <line class="ax" x1={L} x2={W - Rr} y1={y(v)} y2={y(v)} />}
            {!mini && <text x={L - 8} y={y(v) + 4} text-anchor="end">{sig(v)}</text>}
          </g>
        ))}
        {silent && <rect class="silent" x={silent.x0} width={Math.max(0, silent.x1 - silent.x0)} y={top} height={H - bottom - top} />}
        {band && <path class="fb" d={band} />}
        {missing.map(([a, b]) => (
          <rect key={a} x={slot(a)} width={Math.max(2, slot(b) - slot(a))} y={top} height={H - bottom - top} fill={`url(#${id}h)`} />
        ))}
        {!mini && missing[0] && slot(missing[0][1]) < W * 0.75 && (
          <text class="halo" x={slot(missing[0][1]) + 6} y={top + 12}>{t().chart.missing}</text>
        )}
        {p.line && !mini && (
          <>
            <line class={`dash ${p.line.tone === "red" ? "lnr" : "lnm"}`} x1={L} x2={W - Rr} y1={y(p.line.value)} y2={y(p.line.value)} />
            <text class="halo" x={W - Rr} y={y(p.line.value) - 6} text-anchor="end">{p.line.label}</text>
          </>
        )}
        <path class="ln1" d={steps((i) => s.values[i] ?? null)} />
        {silent && p.silent && (
          mini
            ? <line class="edge" x1={silent.x0} x2={silent.x0} y1={top} y2={H - bottom} />
            : <>
                <path class="edge" d={`M${silent.x0} ${H - bottom}V${top - 12}H${silent.x1}V${H - bottom}`} />
                <text class="sil" x={Math.min(Math.max((silent.x0 + silent.x1) / 2, L + 60), W - Rr - 60)} y={top - 20} text-anchor="middle">{p.silent.label}</text>
              </>
        )}
        {p.marks?.filter((m) => m.at >= s.from && m.at <= until).map((m) => (
          <g key={`${m.at}${m.label}`} class="mark">
            <title>{`${stampAt(m.at, stopped)} ${m.label}`}</title>
            <line class="dash lnm" x1={x(m.at)} x2={x(m.at)} y1={top - 6} y2={H - bottom} />
            <circle cx={x(m.at)} cy={top - 18} r="10" />
            <text x={x(m.at)} y={top - 14} text-anchor="middle">{m.number ?? ""}</text>
          </g>
        ))}
        {axis.map((k) => <text key={k.at} x={x(k.at)} y={H - 6} text-anchor={x(k.at) < L + 18 ? "start" : x(k.at) > W - Rr - 18 ? "end" : "middle"}>{k.label}</text>)}
        {moments.map((m, i) => (
          <text key={i} class="t1" x={Math.min(Math.max(x(m.at), L + 20), W - Rr - 26)} y={H - 6} text-anchor="middle">{m.label}</text>
        ))}
        {mini && !moments.length && (
          <>
            <text x={L} y={H - 5}>{hm(s.from)}</text>
            <text x={W - Rr} y={H - 5} text-anchor="end">{hm(until) === "00:00" ? "24:00" : hm(until)}</text>
          </>
        )}
      </svg>
    </div>
  );
}

/** The same figures as a table, for those who would rather read. */
export function SeriesTable({ series: s, today }: { series: Series; today: number }): JSX.Element {
  const [all, setAll] = useState(false);
  const rows = s.values.map((v, i) => ({ at: s.from + i * s.step, v, low: s.low?.[i], high: s.high?.[i] })).reverse();
  const shown = all ? rows : rows.slice(0, 96);
  const text = t();
  return (
    <div class="tblwrap" tabIndex={0} role="region" aria-label={text.chart.table}>
      <table class="tbl">
        <thead><tr><th scope="col">{text.chart.time}</th><th scope="col" class="r">{text.chart.measured} {s.unit}</th><th scope="col" class="r">{text.chart.usual}</th></tr></thead>
        <tbody>
          {shown.map((r) => (
            <tr key={r.at}>
              <td>{stampAt(r.at, today)}</td>
              <td class="r">{r.v === null ? <span class="f3">{text.chart.none}</span> : sig(r.v)}</td>
              <td class="r f2">{r.low == null || r.high == null ? "—" : `${sig(r.low)}–${sig(r.high)}`}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && rows.length > 96 && <button type="button" class="btn ghost" onClick={() => setAll(true)}>{text.chart.more(rows.length - 96)}</button>}
    </div>
  );
}

/** New alerts per hour, stacked by level, newest at the right. */
export function HourBars({ hours, lastHour }: { hours: readonly Record<Tone, number>[]; lastHour: number }): JSX.Element {
  const [ref, size] = useSize<HTMLDivElement>({ w: 640, h: 110 });
  const W = size.w, H = Math.max(70, size.h), L = 30, B = 20;
  const order: Tone[] = ["blue", "yellow", "orange", "red"];
  const sum = (h: Record<Tone, number>): number => order.reduce((s, l) => s + h[l], 0);
  const ys = ticks(Math.max(2, ...hours.map(sum)), 3).filter((v) => Number.isInteger(v));
  const y = linear(0, ys[ys.length - 1]!, H - B, 13);
  const w = (W - L - 8) / Math.max(1, hours.length);
  const total = hours.reduce((s, h) => s + sum(h), 0);
  return (
    <div ref={ref} class="chart fill">
      <svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={t().board.hourDesc(total)}>
        {ys.map((v) => <g key={v}><line class="ax" x1={L} x2={W} y1={y(v)} y2={y(v)} /><text x={L - 8} y={y(v) + 4} text-anchor="end">{v}</text></g>)}
        {hours.map((h, i) => {
          let base = 0;
          return order.map((l) => {
            if (!h[l]) return null;
            const y1 = y(base);
            base += h[l];
            return <rect key={`${i}${l}`} class={`lvf ${l}`} x={L + i * w + w * 0.1} width={w * 0.8} y={y(base)} height={Math.max(0, y1 - y(base) - 0.8)} />;
          });
        })}
        {hours.map((_, i) => {
          const at = lastHour - (hours.length - 1 - i) * 3_600_000;
          const label = i === hours.length - 1 ? t().chart.now : hm(at);
          return (i === hours.length - 1 || (parseInt(label, 10) % 4 === 0 && i < hours.length - 2)) && (
            <text key={i} x={L + (i + 0.5) * w} y={H - 4} text-anchor="middle">{label}</text>
          );
        })}
      </svg>
    </div>
  );
}
