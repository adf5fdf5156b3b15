// The effectiveness report: one click, to read, print or download.
import type { JSX } from "preact";
import { useLocation } from "preact-iso/router";
import { query } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, iso, ms, num, pct, span, startOfDay } from "../lib/format";
import { both, t } from "../lib/i18n";
import type { Effectiveness, EffectRow, OutcomeKind, Place } from "../lib/types";
import { Panel, Seg } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Banners, Shell, TopBar } from "../parts/shell";
import { Centre, Failed, Loading } from "../parts/states";
import { PickField } from "../parts/table";

export function Report(): JSX.Element {
  const text = t().report;
  const { query: q, route } = useLocation();
  const days = (["7", "30", "90"].includes(q["days"] ?? "") ? q["days"]! : "30") as "7" | "30" | "90";
  const place = q["place"] ?? "";
  // Whole days, so that the address names the same report all day.
  const today = startOfDay(now.value);
  const asked = query({ from: iso(startOfDay(today, 1 - Number(days))), to: iso(startOfDay(today, 1)), place });
  const report = useData<Effectiveness>(`/reports/effectiveness${asked}`);
  const places = useData<Place[]>("/places");
  const kinds = useData<OutcomeKind[]>("/outcomes/kinds");
  const names = new Map((kinds.data ?? []).map((k) => [k.kind, both(k.text)]));
  const change = (next: Record<string, string>): void => route(`/report${query({ days, place, ...next })}`, true);
  const r = report.data;
  return (
    <Shell>
      <TopBar title={text.title}>
        <a class="btn" href={`/api/v1/reports/effectiveness.html${asked}`} target="_blank" rel="noreferrer"><Icon name="print" />{text.printView}</a>
        <a class="btn" href={`/api/v1/reports/effectiveness.csv${asked}`} download="effectiveness.csv"><Icon name="download" />{t().act.download}</a>
      </TopBar>
      <div class="fil">
        <Seg label={text.period} value={days} onChange={(d) => change({ days: d })} choices={[{ value: "7", label: text.week }, { value: "30", label: text.month }, { value: "90", label: text.quarter }]} />
        <PickField label={text.place} value={place} onChange={(p) => change({ place: p })} options={[["", t().admin.everywhere], ...(places.data ?? []).filter((p) => p.level === "street" || p.level === "community").map((p) => [p.place, p.name] as const)]} />
        <span class="sp" />{r && <span class="f2">{text.made(stampAt(ms(r.made_at), now.value))}</span>}
      </div>
      <Banners />
      {!r ? (report.error ? <Failed error={report.error} retry={report.reload} what={text.title} /> : <Loading rows={8} />) : r.total.alerts === 0 ? <Centre icon="file" title={text.none} /> : (
        <main class="g">
          <section class="panel"><div class="st4">{tiles(r.total).map(([label, n, note]) => <div key={label}><div class="note f2">{label}</div><div class="n">{n}</div><div class="micro f3">{note}</div></div>)}</div></section>
          <Table title={text.byRule} rows={[...r.by_rule, { ...r.total, label: { zh: text.whole, en: text.whole } }]} />
          <Causes rows={r.by_rule} names={names} />
          <Table title={text.byGrid} rows={r.by_grid} />
        </main>
      )}
    </Shell>
  );
}

const share = (v: number | null): string => (v === null ? "—" : `${pct(v, 0)}%`);
const length = (s: number | null): string => (s === null ? "—" : span(s * 1000));

function tiles(x: EffectRow): [string, string, string][] {
  const c = t().report.cols;
  return [
    [c.alerts, num(x.alerts), `${c.tasks} ${num(x.tasks)}`], [c.p50, length(x.sign_p50_s), `p90 ${length(x.sign_p90_s)}`], [c.inTime, share(x.signed_in_time), `${c.signed} ${num(x.signed)}`],
    [c.onTime, share(x.on_time), `${c.closed} ${num(x.closed)}`], [c.confirmed, share(x.confirmed_rate), `${num(x.confirmed)} / ${num(x.confirmed + x.false)}`], [c.reopened, num(x.reopened), ""], [c.satisfaction, x.satisfaction === null ? "—" : num(x.satisfaction, 1), "1–5"],
  ];
}

function Table({ title, rows }: { title: string; rows: readonly EffectRow[] }): JSX.Element {
  const c = t().report.cols;
  return (
    <Panel title={title}>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}><table class="tbl pad">
        <thead><tr><th scope="col">{c.key}</th>{[c.alerts, c.tasks, c.signed, c.inTime, c.p50, c.p90, c.closed, c.onTime, c.reopened, c.confirmed, c.satisfaction].map((h) => <th key={h} scope="col" class="r">{h}</th>)}</tr></thead>
        <tbody>{rows.map((x, i) => (
          <tr key={i}><td class="b">{both(x.label) || x.key}</td><td class="r">{num(x.alerts)}</td><td class="r">{num(x.tasks)}</td><td class="r">{num(x.signed)}</td><td class="r">{share(x.signed_in_time)}</td><td class="r nw">{length(x.sign_p50_s)}</td><td class="r nw">{length(x.sign_p90_s)}</td><td class="r">{num(x.closed)}</td><td class="r">{share(x.on_time)}</td><td class="r">{num(x.reopened)}</td><td class="r nw">{share(x.confirmed_rate)} <span class="f3">{x.confirmed}/{x.confirmed + x.false}</span></td><td class="r">{x.satisfaction === null ? "—" : num(x.satisfaction, 1)}</td></tr>
        ))}</tbody></table></div>
    </Panel>
  );
}

function Causes({ rows, names }: { rows: readonly EffectRow[]; names: Map<string, string> }): JSX.Element | null {
  const causes = [...new Set(rows.flatMap((r) => Object.keys(r.causes)))];
  if (!causes.length) return null;
  return (
    <Panel title={t().report.causes}>
      <div class="scroll" tabIndex={0} role="region" aria-label={t().report.causes}><table class="tbl pad">
        <thead><tr><th scope="col">{t().report.cols.key}</th>{causes.map((c) => <th key={c} scope="col" class="r">{names.get(c) ?? c}</th>)}</tr></thead>
        <tbody>{rows.map((r) => <tr key={r.key}><td class="b">{both(r.label) || r.key}</td>{causes.map((c) => <td key={c} class="r">{r.causes[c] ?? <span class="f3">0</span>}</td>)}</tr>)}</tbody>
      </table></div>
    </Panel>
  );
}
