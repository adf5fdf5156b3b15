// An alert: the sentence, what would have kept it quiet, the curve, the evidence, what happened,
// who is on it, where it comes from.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { lastOrder } from "../lib/boardstore";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { ago, at as stampAt, clock, hm, md, ms, num, power, sameDay, span } from "../lib/format";
import { both, t } from "../lib/i18n";
import { useKeys } from "../lib/keys";
import { listen, open as openStream } from "../lib/live";
import { main, stepName, toSeries } from "../lib/series";
import { may } from "../lib/session";
import type { AlertDetail, Curves, TaskDetail } from "../lib/types";
import { kindText, limitStart, placeLine, stateText, stepText, unsigned } from "../lib/view";
import { TaskActions } from "../parts/actions";
import { Countdown, Dot, LangSwitch, LimitBar, limitState, Panel, Seg, ThemeSwitch } from "../parts/basics";
import { LoadChart, SeriesTable, type Mark } from "../parts/charts";
import { RasterDays } from "../parts/raster";
import { Ledger, Locked, Timeline, when, type Step } from "../parts/evidence";
import { Icon } from "../parts/icon";
import { LevelGlyph } from "../parts/level";
import { Banners, Shell } from "../parts/shell";
import { Failed, Loading } from "../parts/states";
import { CopyButton } from "./board";

const STATES = { past: "done", now: "now", next: "todo" } as const;

export function AlertPage({ id }: { id: string }): JSX.Element {
  const alertId = decodeURIComponent(id);
  const path = `/alerts/${encodeURIComponent(alertId)}`;
  const [days, setDays] = useState("");
  const { data: a, error, reload } = useData<AlertDetail>(path, 30_000);
  const plant = a ? a.subject_kind === "closed_plant" || a.subject_kind === "plant" || a.subject_kind === "rental" : false;
  const span_ = days || (plant ? "7" : "1");
  const curves = useData<Curves>(a?.subject_id && may("alert_curves") ? `${path}/curves?days=${span_}` : null);
  const { route } = useLocation();
  const text = t();
  const index = lastOrder.value.indexOf(alertId);
  const go = (by: number) => (): void => {
    const next = index < 0 ? undefined : lastOrder.value[index + by];
    if (next) route(`/alerts/${encodeURIComponent(next)}`);
  };
  useKeys({ j: go(1), k: go(-1), Escape: () => route("/") });
  useEffect(() => {
    openStream(null);
    return listen((batch) => {
      if (batch.resync || batch.alerts.some((x) => x.alert_id === alertId) || batch.tasks.some((x) => x.alert_id === alertId)) reload();
    });
  }, [alertId, reload]);

  return (
    <Shell>
      <header class="bar">
        <a class="btn ghost sq" href="/" aria-label={text.act.back}><Icon name="left" /></a>
        <nav class="note f2" aria-label={text.shell.pages}>{text.alert.crumb}{a && <> / {placeLine(a.path, a.place)}</>}</nav>
        <span class="sp" />
        {index >= 0 && (
          <span class="row f2 note hide-narrow">
            <button type="button" class="btn ghost" disabled={index === 0} onClick={go(-1)}>{text.act.previous}<kbd class="kbd">K</kbd></button>
            <button type="button" class="btn ghost" disabled={index >= lastOrder.value.length - 1} onClick={go(1)}>{text.act.next}<kbd class="kbd">J</kbd></button>
          </span>
        )}
        <LangSwitch /><ThemeSwitch />
      </header>
      <Banners />
      {!a ? (error ? <Failed error={error} retry={reload} what={text.alert.crumb} /> : <Loading rows={6} />) : (
        <>
          <Head a={a} onDone={reload} />
          <main class="cols2">
            <div class="col">
              {a.subject_id && may("alert_curves") && curves.data?.curves.length !== 0 && <LoadPanel a={a} curves={curves.data} error={curves.error} retry={curves.reload} days={span_} setDays={setDays} />}
              <Panel title={text.alert.ledger} aside={<span class="f3 note">{[a.p_value !== null && text.alert.p(power(a.p_value)), a.budget !== null && text.alert.budget(String(a.budget))].filter(Boolean).join(both({ zh: "；", en: "; " }))}</span>}>
                <div class="in">
                  <Ledger total={a.ledger.total ?? 0} line={a.ledger.line} rows={a.ledger.entries.map((e) => ({ signal: signalName(e.signal), seen: both(e.text), weight: e.counted ? e.weight : null }))} />
                </div>
              </Panel>
            </div>
            <div class="col">
              <LimitPanel a={a} />
              <Panel title={text.alert.timeline} aside={<span class="f3 note">{text.alert.nowIs(clock(now.value))}</span>}>
                <div class="in"><Timeline today={now.value} steps={a.timeline.map((e): Step => ({ at: when(e.at), state: STATES[e.state], ...split(both(e.text)) }))} /></div>
              </Panel>
              <About a={a} />
            </div>
          </main>
        </>
      )}
    </Shell>
  );
}

/** A first clause as title, the rest small beneath it. */
function split(said: string): { title: string; note?: string } {
  const found = /^(.{2,40}?)[;；](.+)$/u.exec(said);
  return found ? { title: found[1]!, note: found[2]!.trim() } : { title: said };
}

export const signalName = (name: string): string => {
  const [detector, utility] = name.split(/[./:]/, 2);
  const known = t().signal[detector!];
  const words = known ? [utility && t().utility[utility], known].filter(Boolean).join(both({ zh: "", en: " " })) : name;
  return words.charAt(0).toUpperCase() + words.slice(1);
};

function Head({ a, onDone }: { a: AlertDetail; onDone: () => void }): JSX.Element {
  const text = t();
  const raised = ms(a.raised_at);
  const due = a.task?.due;
  const over = !!due && limitState(limitStart(due), ms(due.at), now.value) === "over";
  const [first, rest] = sentence(both(a.reason));
  // Once it is over its sentence says so; why people were sent stays to be read.
  const was = a.state === "firing" ? undefined : a.changes.findLast((c) => c.state === "firing");
  return (
    <section class="hd">
      <LevelGlyph level={a.level} />
      <div class="chips">
        <span class={`chip lvl ${a.level}`}>{text.level.long[a.level]}</span>
        {a.subject_kind && <span class="chip">{kindText(a.subject_kind)}</span>}
        {a.state !== "firing" && <span class="chip line">{text.alert[a.state]}</span>}
        <span class={`chip line ${over ? "t-over" : ""}`}>{over && <Icon name="warn" />}{stateText(a.task)}</span>
        {a.simulated && <span class="chip d2">{text.alert.simulated}</span>}
        <span class="f2">{placeLine(a.path, a.place)}<Dot />{ago(now.value - raised)}{both({ zh: "（", en: " (" })}{md(raised)} {hm(raised)}{both({ zh: "）", en: ")" })}</span>
      </div>
      {a.task ? <TaskActions taskId={a.task.task_id} actions={a.actions} overdue={over} onDone={(_: TaskDetail) => onDone()} /> : <span />}
      <div class="tx">
        <h1>{first}</h1>
        {rest && <p class="why">{rest}</p>}
        {was && <p class="cf"><Icon name="history" /><b>{text.alert.was}</b><span>{both(was.reason)}</span></p>}
        {a.quiet_if && both(a.quiet_if) && <p class="cf"><Icon name="corner" /><b>{text.alert.quietIf}</b><span>{both(a.quiet_if)}</span></p>}
      </div>
    </section>
  );
}

/** The headline and what follows it. */
export function sentence(said: string): [string, string] {
  const cut = said.search(/[；;。]|\. (?=\S)/u);
  if (cut < 0 || cut >= said.length - 1) return [said.replace(/[。.]$/u, ""), ""];
  const rest = said.slice(cut + 1).trim();
  return [said.slice(0, cut), rest.charAt(0).toUpperCase() + rest.slice(1)];
}

function LimitPanel({ a }: { a: AlertDetail }): JSX.Element {
  const text = t();
  const task = a.task;
  if (!task) return <Panel><div class="in note f2">{text.alert.noTask}</div></Panel>;
  const due = task.due;
  const who = both(task.assignee_label) || t().task.queue[task.queue] || task.queue;
  if (!due) return <Panel><div class="limbox"><span class="b">{stateText(task)}</span><span class="sp" /><span class="f2 note">{who}</span></div></Panel>;
  const from = limitStart(due), to = ms(due.at);
  const over = now.value >= to;
  return (
    <Panel>
      <div class="limbox">
        <div><div class="note f2">{stepText(due)}{over ? text.limit.past : text.limit.left}</div><div class="c"><Countdown from={from} to={to} /></div></div>
        <div class="sp">
          <div class="row note f2"><span>{stampAt(from, now.value)}</span><span>{stampAt(to, now.value)}</span></div>
          <LimitBar from={from} to={to} />
          <div class="note f2">{unsigned(task) ? who : text.alert.holder(who)}<Dot />{stateText(task)}</div>
        </div>
      </div>
    </Panel>
  );
}

function LoadPanel({ a, curves, error, retry, days, setDays }: { a: AlertDetail; curves: Curves | undefined; error: unknown; retry: () => void; days: string; setDays: (d: string) => void }): JSX.Element {
  const [view, setView] = useState<"chart" | "table">("chart");
  const [utility, setUtility] = useState("");
  const text = t();
  const curve = useMemo(() => curves && (curves.curves.find((c) => c.utility === utility) ?? main(curves.curves)), [curves, utility]);
  const s = useMemo(() => curve && toSeries(curve), [curve, t()]);
  const raised = ms(a.raised_at);
  const silent = curves?.silent ? { from: ms(curves.silent.from), to: ms(curves.silent.to) } : undefined;
  const inside = s && silent && silent.to > s.from ? silent : undefined;
  const marks: Mark[] = (curves?.marks ?? []).filter((m) => m.kind !== "alert" && m.kind !== "absence").map((m, i) => ({ at: ms(m.at), label: both(m.text), number: i + 1 }));
  const moments: Mark[] = s && s.values.length * s.step <= 3 * 86_400_000 ? [
    ...(inside ? [{ at: inside.from, label: text.chart.last(hm(inside.from)) }] : []),
    { at: raised, label: text.chart.alertAt(hm(raised)) },
  ] : [];
  const title = curve ? (days === "1" && s && sameDay(s.from + 3_600_000, now.value) ? text.alert.today : text.alert.load) : text.alert.load;
  return (
    <Panel class="loadp" title={title} aside={(
      <>
        <span class="key hide-narrow"><span><i class="sw ln" />{text.chart.measured}</span>{curve && curve.days > 0 && <span><i class="sw" />{text.chart.usualDays(curve.days)}</span>}<span><i class="sw hx" />{text.chart.gap}</span></span>
        {curves && curves.curves.length > 1 && <Seg label={text.alert.load} value={curve?.utility ?? ""} onChange={setUtility} choices={[...new Set(curves.curves.map((c) => c.utility))].map((u) => ({ value: u, label: t().utility[u] ?? u }))} />}
        <Seg label={text.alert.days} value={days} onChange={setDays} choices={["1", "7", "30"].map((d) => ({ value: d, label: text.alert.day(Number(d)) }))} />
        <Seg label={text.chart.view} value={view} onChange={setView} choices={[{ value: "chart", label: text.chart.chart }, { value: "table", label: text.chart.asTable }]} />
      </>
    )}>
      <div class="in">
        {!curves || !curve || !s ? (error ? <Failed error={error} retry={retry} /> : curves ? <p class="note f2">{text.chart.noCurve}</p> : <Loading rows={3} />)
          : view === "table" ? <SeriesTable series={s} today={now.value} />
          : (
            <LoadChart series={s} tone={a.level} height={curves.raster.length ? 230 : 280} now={Math.min(now.value, Math.max(raised, ms(curves.to)))} desc={both(curves.summary)} marks={marks} moments={moments}
              silent={inside && { ...inside, label: text.chart.silentFor(span(inside.to - inside.from, true)) }}
              line={curve.threshold !== null ? { value: curve.threshold, label: `${curves.silent ? text.chart.life : text.chart.kept} ${num(curve.threshold, 2)}` } : undefined} />
          )}
        {view === "chart" && curves && curve && curves.raster.length > 0 && (
          <>
            <p class="note f3">{text.chart.rasterTitle(Math.min(10, curves.raster.length), stepName(86_400 / Math.max(1, curves.raster[0]!.cells.length)))}</p>
            <RasterDays days={curves.raster} tone={a.level} silent={inside} today={now.value} />
          </>
        )}
      </div>
    </Panel>
  );
}

function About({ a }: { a: AlertDetail }): JSX.Element {
  const text = t().alert;
  const p = a.provenance;
  return (
    <Panel title={text.about}>
      <div class="in">
        {a.person.state !== "none" && <Locked text={both(a.person.text) || text.locked} />}
        <dl class="dl">
          {a.subject_id && <><dt>{text.subject}</dt><dd class="mono">{may("subject") ? <a href={`/workbench/explorer/${encodeURIComponent(a.subject_id)}`}>{a.subject_id}</a> : a.subject_id}</dd></>}
          <dt>{text.rule}</dt><dd class="mono">{p.rule} {p.rule_version}</dd>
          <dt>{text.onset}</dt><dd>{stampAt(ms(a.onset), now.value)}</dd>
          {p.inputs.map((i) => <><dt>{text.inputs}</dt><dd class="mono" title={`${i.file} ${i.sha256}`}>sha256 {i.sha256.slice(0, 4)}…{i.sha256.slice(-4)} · {i.file.split("/").pop()}</dd></>)}
          <dt>{text.shard}</dt><dd class="mono">{p.shard} @ {num(p.offset)}</dd>
          <dt>{text.id}</dt><dd class="mono row"><span>{a.alert_id}</span><CopyButton text={a.alert_id} /></dd>
        </dl>
        {p.audit && <div class="cmd"><code class="mono micro">{p.audit}</code><CopyButton text={p.audit} /></div>}
        {a.outcomes.length > 0 && <><h3 class="note f3 gapt">{text.past}</h3><ul class="evl">{a.outcomes.map((o) => <li key={o.outcome_id}><span class="f2">{stampAt(ms(o.at), now.value)}</span><span>{both(o.text)}{o.until && ` → ${stampAt(ms(o.until), now.value)}`}</span></li>)}</ul></>}
        {a.absences.length > 0 && <ul class="evl">{a.absences.map((o) => <li key={o.absence_id}><span class="chip line">{both(o.text)}</span><span class="note f2">{stampAt(ms(o.from), now.value)} – {stampAt(ms(o.until), now.value)}</span></li>)}</ul>}
      </div>
    </Panel>
  );
}
