// Quality: false alerts asked for against those that came, delays, and what was found at the door.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { query } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { iso, num, sig, span, startOfDay } from "../lib/format";
import { both, t } from "../lib/i18n";
import { linear } from "../lib/scale";
import { useSize } from "../lib/size";
import type { BudgetRow, Confusion, Quality as QualityData, Quantiles } from "../lib/types";
import { Panel, Seg } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Centre, Failed, Loading } from "../parts/states";
import { signalName } from "./alert";

export function Quality(): JSX.Element {
  const text = t().bench;
  const { query: q, route } = useLocation();
  const days = (["30", "90", "all"].includes(q["days"] ?? "") ? q["days"]! : "90") as "30" | "90" | "all";
  const from = days === "all" ? "" : iso(startOfDay(now.value, -Number(days)));
  const { data, error, reload } = useData<QualityData>(`/quality${query({ from })}`);
  return (
    <>
      <div class="fil"><Seg label={text.window} value={days} onChange={(d) => route(`/workbench/quality?days=${d}`, true)} choices={[{ value: "30", label: text.last(30) }, { value: "90", label: text.last(90) }, { value: "all", label: text.allTime }]} /></div>
      {!data ? (error ? <Failed error={error} retry={reload} what={text.tabs.quality} /> : <Loading rows={8} />) : (
        <main class="g two">
          <Panel title={text.asked} aside={<span class="f3 note">{text.askedNote}</span>}><div class="in"><Asked rows={data.budgets} /></div></Panel>
          <Panel title={text.delay} aside={<span class="f3 note">p25 · p50 · p75 · p90</span>}><div class="in"><Delays rows={data.budgets} /></div></Panel>
          <Panel class="wide" title={text.byRule} aside={<span class="f3 note">{text.byRuleNote}</span>}><ByRule rows={data.budgets} /></Panel>
          <Outcomes data={data} />
          <Panel class="wide" title={text.delays}><Handling rows={[[text.delayKind.sign, data.sign_delay], [text.delayKind.door, data.door_delay], [text.delayKind.close, data.close_delay]]} /></Panel>
        </main>
      )}
    </>
  );
}

const TICKS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

/** Asked against realised on logarithmic axes, with 95 % intervals; under the diagonal a budget holds. */
function Asked({ rows }: { rows: readonly BudgetRow[] }): JSX.Element {
  const text = t().bench;
  const [ref, size] = useSize<HTMLDivElement>({ w: 640, h: 330 });
  const shown = rows.filter((r) => r.budget !== null && r.realised !== null && r.verdict !== "too_few");
  if (!shown.length) return <Centre icon="gauge" title={text.tooFew} />;
  const W = size.w, H = 330, L = 54, B = 40;
  const low = Math.min(0.05, ...shown.flatMap((r) => [r.budget!, Math.max(r.realised!, 0.02)])), high = Math.max(2, ...shown.flatMap((r) => [r.budget!, r.high ?? r.realised!]));
  const log = Math.log10;
  const x = (v: number): number => linear(log(low * 0.8), log(high * 1.25), L, W - 12)(log(Math.max(v, low * 0.8)));
  const y = (v: number): number => linear(log(low * 0.8), log(high * 1.25), H - B, 12)(log(Math.max(v, low * 0.8)));
  const ticks = TICKS.filter((v) => v >= low * 0.8 && v <= high * 1.25);
  return (
    <div ref={ref} class="chart"><svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={shown.map((r) => `${r.rule} ${sig(r.budget!)} → ${sig(r.realised!)}`).join("; ") || text.tooFew}>
      <path class="fbg lite" d={`M${x(low * 0.8)} ${y(low * 0.8)}L${x(high * 1.25)} ${y(high * 1.25)}H${L}Z`} />
      {ticks.map((v) => <g key={v}><line class="ax" x1={L} x2={W - 12} y1={y(v)} y2={y(v)} /><line class="ax" x1={x(v)} x2={x(v)} y1={12} y2={H - B} /><text x={L - 8} y={y(v) + 4} text-anchor="end">{v}</text><text x={x(v)} y={H - B + 18} text-anchor="middle">{v}</text></g>)}
      <line class="diag" x1={x(low * 0.8)} y1={y(low * 0.8)} x2={x(high * 1.25)} y2={y(high * 1.25)} />
      <text class="t1" x={L + 12} y={30}>{text.over}</text><text class="t1" x={W - 20} y={H - B - 12} text-anchor="end">{text.within}</text>
      <text x={(L + W) / 2} y={H - 4} text-anchor="middle">{text.askedX}</text><text transform={`translate(12 ${H / 2}) rotate(-90)`} text-anchor="middle">{text.askedY}</text>
      {shown.map((r) => (
        <g key={r.rule}>
          <title>{`${r.rule}: ${sig(r.realised!)} (${r.low === null ? "" : sig(r.low)}–${r.high === null ? "" : sig(r.high)})`}</title>
          {r.low !== null && r.high !== null && <line class="ln2" x1={x(r.budget!)} x2={x(r.budget!)} y1={y(r.low)} y2={y(r.high)} />}
          <circle class={r.verdict === "over" ? "lvf red" : "f2c"} cx={x(r.budget!)} cy={y(r.realised!)} r="5" />
          <text class="halo t2" x={x(r.budget!) > W * 0.6 ? x(r.budget!) - 10 : x(r.budget!) + 10} y={y(r.realised!) + 4} text-anchor={x(r.budget!) > W * 0.6 ? "end" : "start"}>{both(r.title)}</text>
        </g>
      ))}
    </svg></div>
  );
}

/** A title cut to about so many pixels: an SVG text does not cut itself. */
function clip(title: string, room: number): string {
  let used = 0;
  for (let i = 0; i < title.length; i++) {
    used += title.charCodeAt(i) > 0x2e7f ? 12.5 : 6.6;
    if (used > room) return `${title.slice(0, Math.max(1, i - 1))}…`;
  }
  return title;
}

/** From onset to alert, a row a rule: box from p25 to p75, line at p50, dot at p90. */
function Delays({ rows }: { rows: readonly BudgetRow[] }): JSX.Element {
  const text = t().bench;
  const [ref, size] = useSize<HTMLDivElement>({ w: 640, h: 330 });
  const shown = rows.filter((r) => r.delay.p50 !== null);
  if (!shown.length) return <Centre icon="clock" title={text.tooFew} />;
  const W = size.w, ROW = 34, H = shown.length * ROW + 44, L = Math.min(250, W * 0.4);
  const hours = (s: number | null): number => (s ?? 0) / 3_600;
  const most = Math.max(...shown.map((r) => hours(r.delay.p90 ?? r.delay.p75 ?? r.delay.p50)), 1);
  const x = (v: number): number => linear(0, Math.log1p(most) * 1.04, L, W - 16)(Math.log1p(v));
  const ticks = [0, 1, 3, 6, 12, 24, 48, 96, 168, 336, 720].filter((v) => v <= most * 1.04);
  return (
    <div ref={ref} class="chart"><svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={shown.map((r) => `${r.rule} p50 ${span(r.delay.p50! * 1000)}`).join("; ")}>
      {ticks.map((v) => <g key={v}><line class="ax" x1={x(v)} x2={x(v)} y1={0} y2={H - 38} /><text x={x(v)} y={H - 20} text-anchor="middle">{v}</text></g>)}
      <text x={(L + W) / 2} y={H - 2} text-anchor="middle">{text.delayX}</text>
      {shown.map((r, i) => {
        const y = i * ROW + 18, d = r.delay;
        return (
          <g key={r.rule}><title>{`${r.rule} p50 ${span((d.p50 ?? 0) * 1000)}, p90 ${span((d.p90 ?? 0) * 1000)}`}</title>
            <text class="t1" x={L - 10} y={y + 4} text-anchor="end">{clip(both(r.title), L - 18)}</text>
            <line class="lnm" x1={x(hours(d.p50))} x2={x(hours(d.p90 ?? d.p50))} y1={y} y2={y} />
            <rect class="boxp" x={x(hours(d.p25 ?? d.p50))} width={Math.max(2, x(hours(d.p75 ?? d.p50)) - x(hours(d.p25 ?? d.p50)))} y={y - 7} height={14} />
            <line class="med" x1={x(hours(d.p50))} x2={x(hours(d.p50))} y1={y - 9} y2={y + 9} />
            {d.p90 !== null && <circle class="fm" cx={x(hours(d.p90))} cy={y} r="4" />}
          </g>
        );
      })}
    </svg></div>
  );
}

function ByRule({ rows }: { rows: readonly BudgetRow[] }): JSX.Element {
  const text = t().bench;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.byRule}><table class="tbl pad">
      <thead><tr><th scope="col">{text.rule}</th><th scope="col" class="r">{text.subjects}</th><th scope="col">{text.interval}</th><th scope="col" class="r">{text.budget}</th><th scope="col" class="r">{text.realised}</th><th scope="col" class="r">{text.delayCol}</th><th scope="col">{text.verdict}</th></tr></thead>
      <tbody>{rows.map((r) => (
        <tr key={r.rule}>
          <td><span class="b">{both(r.title)}</span> <span class="mono f2">{r.rule} {r.version}</span></td><td class="r">{num(r.subjects)}</td><td><Interval row={r} /></td><td class="r">{r.budget === null ? "—" : sig(r.budget)}</td>
          <td class={`r ${r.verdict === "over" ? "t-over" : ""}`}>{r.realised === null ? "—" : sig(r.realised)}</td><td class="r nw">{r.delay.p50 === null ? "—" : `${span(r.delay.p50 * 1000)} / ${span((r.delay.p90 ?? 0) * 1000)}`}</td>
          <td class="nw">{r.verdict === "held" ? <><Icon name="check" /> {text.held}</> : r.verdict === "over" ? <span class="t-over"><Icon name="warn" /> {text.overVerdict}</span> : <span class="f2">{text.tooFew}</span>} <span class="f3 note">{text.counts(r.confirmed, r.false)}</span></td>
        </tr>
      ))}</tbody></table></div>
  );
}

function Interval({ row: r }: { row: BudgetRow }): JSX.Element {
  const W = 150, most = Math.max(r.budget ?? 0, r.high ?? 0, r.realised ?? 0, 1e-9) * 1.15;
  const x = (v: number): number => 4 + (v / most) * (W - 8);
  return (
    <svg class="iv" width={W} height="20" viewBox={`0 0 ${W} 20`} aria-hidden="true">
      <line class="ax" x1="4" x2={W - 4} y1="10" y2="10" />
      {r.low !== null && r.high !== null && <line class="rng" x1={x(r.low)} x2={x(r.high)} y1="10" y2="10" />}
      {r.realised !== null && <circle class={`pt ${r.verdict === "over" ? "over" : ""}`} cx={x(r.realised)} cy="10" r="4.5" />}
      {r.budget !== null && <line class="bud" x1={x(r.budget)} x2={x(r.budget)} y1="2" y2="18" />}
    </svg>
  );
}

function Outcomes({ data }: { data: QualityData }): JSX.Element {
  const text = t().bench;
  const [by, setBy] = useState<"rule" | "model">("rule");
  return (
    <Panel class="wide" title={text.confusion} aside={<Seg label={text.confusion} value={by} onChange={setBy} choices={[{ value: "rule", label: text.byRuleShort }, { value: "model", label: text.byModel }]} />}>
      <div class="in">{data.confusion.outcomes.length ? <Found c={by === "rule" ? data.confusion : data.by_model} name={by === "rule" ? undefined : signalName} /> : <Centre icon="inbox" title={text.noOutcomes} />}</div>
    </Panel>
  );
}

function Found({ c, name }: { c: Confusion; name?: (model: string) => string }): JSX.Element {
  const text = t().bench;
  const columns = c.rules.map((_, j) => c.counts.reduce((s, row) => s + (row[j] ?? 0), 0));
  const most = Math.max(1, ...c.counts.flat());
  const shade = (n: number): string => (n === 0 ? "s0" : n < most * 0.15 ? "s1" : n < most * 0.5 ? "s2" : "s3");
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.confusion}><table class="cm">
      <thead><tr><th scope="col" class="rw">{text.found}</th>{c.rules.map((r) => <th key={r} scope="col" title={r}>{name ? name(r) : both(c.rule_texts[r]) || r}</th>)}<th scope="col">{text.total}</th></tr></thead>
      <tbody>{c.outcomes.map((o, i) => (
        <tr key={o}><th scope="row" class="rw">{both(c.outcome_texts[o]) || o}</th>{c.rules.map((r, j) => <td key={r} class={shade(c.counts[i]![j] ?? 0)}><span>{c.counts[i]![j] || "·"}</span></td>)}<td>{c.counts[i]!.reduce((s, n) => s + n, 0)}</td></tr>
      ))}<tr><th scope="row" class="rw">{text.total}</th>{columns.map((n, j) => <td key={j}>{n}</td>)}<td>{columns.reduce((s, n) => s + n, 0)}</td></tr></tbody></table></div>
  );
}

function Handling({ rows }: { rows: readonly (readonly [string, Quantiles])[] }): JSX.Element {
  const cell = (s: number | null): string => (s === null ? "—" : span(s * 1000));
  return (
    <table class="tbl pad"><thead><tr><th scope="col">{t().bench.quantile}</th><th scope="col" class="r">{t().bench.cases}</th><th scope="col" class="r">p25</th><th scope="col" class="r">p50</th><th scope="col" class="r">p75</th><th scope="col" class="r">p90</th></tr></thead>
      <tbody>{rows.map(([label, d]) => <tr key={label}><td class="b">{label}</td><td class="r">{num(d.count)}</td><td class="r">{cell(d.p25)}</td><td class="r">{cell(d.p50)}</td><td class="r">{cell(d.p75)}</td><td class="r">{cell(d.p90)}</td></tr>)}</tbody></table>
  );
}
