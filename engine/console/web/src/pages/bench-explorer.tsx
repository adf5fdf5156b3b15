// The explorer: any subject's series with its usual band, its evidence, its events and facts.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { query } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms, num, pct, signed } from "../lib/format";
import { both, t } from "../lib/i18n";
import { linear, ticks, timeTicks } from "../lib/scale";
import { main, stepName, toSeries } from "../lib/series";
import { may } from "../lib/session";
import { useSize } from "../lib/size";
import type { Curves, EvidenceSeries, SubjectDetail, SubjectSummary } from "../lib/types";
import { kindText, placeLine, placeName } from "../lib/view";
import { Panel, Seg } from "../parts/basics";
import { LoadChart, SeriesTable } from "../parts/charts";
import { Icon } from "../parts/icon";
import { LevelGlyph } from "../parts/level";
import { Centre, Failed, Loading } from "../parts/states";
import { PickField, usePages } from "../parts/table";
import { signalName } from "./alert";

export function Explorer({ id }: { id?: string }): JSX.Element {
  const text = t().bench;
  const { query: q, route } = useLocation();
  const [typed, setTyped] = useState(q["q"] ?? "");
  const kind = q["kind"] ?? "", days = ["1", "7", "56"].includes(q["days"] ?? "") ? q["days"]! : "7";
  const list = usePages<SubjectSummary>(`/subjects${query({ kind, q: q["q"], sort: "evidence", limit: "60" })}`);
  const chosen = id ?? list.items?.[0]?.subject_id;
  const to = (next: Record<string, string>, subject = chosen): void => route(`/workbench/explorer${subject ? `/${encodeURIComponent(subject)}` : ""}${query({ kind, q: q["q"], days, ...next })}`, true);
  useEffect(() => {
    if (typed === (q["q"] ?? "")) return;
    const timer = setTimeout(() => to({ q: typed }, id), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  const kinds = Object.entries(t().kind);
  return (
    <>
      <div class="fil">
        <label class="field"><Icon name="search" /><span class="sr">{text.search}</span><input type="search" placeholder={text.search} maxLength={100} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} /></label>
        <PickField label={text.kind} value={kind} onChange={(k) => to({ kind: k })} options={[["", text.kindAll], ...kinds]} />
        <span class="sp" />
        <Seg label={t().alert.days} value={days} onChange={(d) => to({ days: d })} choices={["1", "7", "56"].map((d) => ({ value: d, label: t().alert.day(Number(d)) }))} />
      </div>
      <main class="g exp">
        <Panel title={list.total === null ? text.tabs.explorer : text.nSubjects(list.total)}>
          {!list.items ? (list.error ? <Failed error={list.error} retry={list.reload} /> : <Loading rows={6} />) : !list.items.length ? <Centre icon="search" title={text.none} /> : (
            <ul class="sl">
              {list.items.map((s) => (
                <li key={s.subject_id}><a href={`/workbench/explorer/${encodeURIComponent(s.subject_id)}${query({ kind, q: q["q"], days })}`} aria-current={s.subject_id === chosen ? "true" : undefined}>
                  {s.level ? <LevelGlyph level={s.level} small /> : <span />}<span class="cut"><span class="mono">{s.subject_id}</span><br /><span class="f2">{text.evidence} {s.evidence === null ? text.notReady : num(s.evidence, 1)}</span></span><span class="note f3">{placeName(s.place)}</span>
                </a></li>
              ))}
              {list.more && <li class="in"><button type="button" class="btn" onClick={list.more}>{t().act.more}</button></li>}
            </ul>
          )}
        </Panel>
        {chosen ? <Subject id={chosen} days={days} /> : <Panel><Centre icon="search" title={text.pick} /></Panel>}
      </main>
    </>
  );
}

function Subject({ id, days }: { id: string; days: string }): JSX.Element {
  const text = t().bench;
  const path = `/subjects/${encodeURIComponent(id)}`;
  const { data: s, error, reload } = useData<SubjectDetail>(path);
  const curves = useData<Curves>(`${path}/curves?days=${days}`);
  const [utility, setUtility] = useState("");
  const [view, setView] = useState<"chart" | "table">("chart");
  const curve = useMemo(() => curves.data && (curves.data.curves.find((c) => c.utility === utility) ?? main(curves.data.curves)), [curves.data, utility]);
  const line = curve && toSeries(curve);
  if (error && !s) return <Panel><Failed error={error} retry={reload} /></Panel>;
  const silent = curves.data?.silent ? { from: ms(curves.data.silent.from), to: ms(curves.data.silent.to) } : null;
  return (
    <>
      <Panel title={<><span class="mono">{id}</span> {s?.level && <span class={`chip lvl ${s.level}`}>{t().level.long[s.level]}</span>}{s?.simulated && <> <span class="chip d2">{t().alert.simulated}</span></>}</>} aside={(
        <>
          {curves.data && curves.data.curves.length > 1 && <Seg label={t().alert.load} value={curve?.utility ?? ""} onChange={setUtility} choices={[...new Set(curves.data.curves.map((c) => c.utility))].map((u) => ({ value: u, label: t().utility[u] ?? u }))} />}
          <Seg label={t().chart.view} value={view} onChange={setView} choices={[{ value: "chart", label: t().chart.chart }, { value: "table", label: t().chart.asTable }]} />
          {may("subject_csv") && <a class="btn" href={`/api/v1${path}/curves.csv?days=${days}`} download={`${id}.csv`}><Icon name="download" />{text.csv}</a>}
        </>
      )}>
        <div class="in scroll">
          {!curves.data ? (curves.error ? <Failed error={curves.error} retry={curves.reload} /> : <Loading rows={5} />) : !line ? <p class="f2">{t().chart.noCurve}</p> : view === "table" ? <SeriesTable series={line} today={now.value} /> : (
            <>
              <LoadChart series={line} height={300} tone={s?.level ?? "blue"} now={Math.min(now.value, ms(curves.data.to))} desc={both(curves.data.summary)}
                silent={silent && silent.to > line.from ? { ...silent, label: t().chart.silentFor("").trim() } : undefined}
                line={curve?.threshold != null ? { value: curve.threshold, label: `${t().chart.life} ${num(curve.threshold, 2)}` } : undefined}
                marks={curves.data.marks.map((m, i) => ({ at: ms(m.at), label: both(m.text), number: i + 1 }))} />
              {curves.data.evidence.length > 0 && <Evidence series={curves.data.evidence} from={line.from} to={line.from + line.values.length * line.step} />}
              {curves.data.marks.length > 0 && <ol class="evl gapt">{curves.data.marks.map((m, i) => <li key={i}><span class="f2">{i + 1}</span><span class="f2 nw">{stampAt(ms(m.at), now.value)}</span><span>{m.alert_id ? <a href={`/alerts/${encodeURIComponent(m.alert_id)}`}>{both(m.text)}</a> : both(m.text)}</span></li>)}</ol>}
            </>
          )}
        </div>
        {curves.data && both(curves.data.summary) && <footer class="in note ftline">{both(curves.data.summary)}</footer>}
      </Panel>
      <div class="facts side">
        {!s ? <Panel><Loading /></Panel> : (
          <>
            <Panel title={text.facts}><div class="in"><dl class="dl">
              <dt>{text.kind}</dt><dd>{kindText(s.kind)}</dd><dt>{t().alert.place}</dt><dd>{placeLine(s.path, s.place)}</dd>
              {s.meters.map((m, i) => <><dt>{i ? "" : text.meters}</dt><dd>{t().utility[m.utility] ?? m.utility} · {stepName(m.interval_s)}{m.complete !== null && ` · ${text.complete} ${pct(m.complete, 1)}%`}</dd></>)}
              {curve?.standby != null && <><dt>{text.standby}</dt><dd>{num(curve.standby, 3)} {curve.unit}</dd></>}
              <dt>{text.learning}</dt><dd>{s.ready === false ? text.notReady : text.ready} · {text.days(s.history_days)}</dd>
              {s.absent_until && <><dt>{t().tasksPage.tabs.absences}</dt><dd>→ {stampAt(ms(s.absent_until), now.value)}</dd></>}
            </dl></div></Panel>
            <Panel title={text.evidenceNow}><div class="in"><ul class="evl">{s.signals.map((x) => <li key={x.signal}><span class="sp" title={both(x.text)}>{signalName(x.signal)}</span><b>{x.weight === null ? text.notReady : signed(x.weight)}</b></li>)}<li><span class="sp b">{text.total}</span><b>{s.evidence === null ? text.notReady : num(s.evidence, 1)}</b></li></ul></div></Panel>
            <Panel title={text.pastOutcomes}><div class="in">{s.outcomes.length ? <ul class="evl">{s.outcomes.map((o) => <li key={o.outcome_id}><span class="f2">{stampAt(ms(o.at), now.value)}</span><span>{both(o.text)}</span></li>)}</ul> : <span class="f2 note">{t().alert.noPast}</span>}</div></Panel>
          </>
        )}
      </div>
    </>
  );
}

function Evidence({ series, from, to }: { series: readonly EvidenceSeries[]; from: number; to: number }): JSX.Element {
  const text = t().bench;
  const [ref, size] = useSize<HTMLDivElement>({ w: 760, h: 150 });
  const W = size.w, H = 160, L = 44;
  const line = series.find((e) => e.line !== null)?.line ?? null;
  const most = Math.max(1, line ?? 0, ...series.flatMap((e) => e.values.map((v) => v ?? 0)));
  const ys = ticks(most * 1.02, 3);
  const x = linear(from, to, L, W - 12), y = linear(0, ys[ys.length - 1]!, H - 22, 22);
  return (
    <div ref={ref} class="chart">
      <div class="evkey">{series.map((e, i) => <span key={e.signal}><svg width="26" height="4" viewBox="0 0 26 4" aria-hidden="true"><line class={`evln ev${i % 5}`} x1="0" x2="26" y1="2" y2="2" /></svg>{signalName(e.signal)}</span>)}</div>
      <svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={text.evidenceAxis}>
      <text x={8} y={12}>{text.evidenceAxis}</text>
      {ys.map((v) => <g key={v}><line class="ax" x1={L} x2={W - 12} y1={y(v)} y2={y(v)} /><text x={L - 8} y={y(v) + 4} text-anchor="end">{v}</text></g>)}
      {line !== null && <><line class="lnr dash" x1={L} x2={W - 12} y1={y(line)} y2={y(line)} /><text class="halo red t-ct" x={L + 8} y={y(line) - 6}>{text.line(num(line, 1))}</text></>}
      {series.map((e, i) => {
        let d = "", open = false;
        e.values.forEach((v, j) => {
          if (v === null) { open = false; return; }
          const at = ms(e.from) + j * e.interval_s * 1000;
          if (at < from || at > to) return;
          d += `${open ? "L" : "M"}${x(at).toFixed(1)} ${y(Math.max(0, v)).toFixed(1)}`;
          open = true;
        });
        return <path key={e.signal} class={`evln ev${i % 5}`} d={d}><title>{signalName(e.signal)}</title></path>;
      })}
      {timeTicks(from, to, W - L).map((k) => <text key={k.at} x={x(k.at)} y={H - 4} text-anchor={x(k.at) < L + 18 ? "start" : x(k.at) > W - 34 ? "end" : "middle"}>{k.label}</text>)}
    </svg></div>
  );
}
