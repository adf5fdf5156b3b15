// The live board: at a desk with filters, search and keyboard; on a wall the same, without them.
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { BoardList, lastOrder, NO_FILTERS, type Filters } from "../lib/boardstore";
import { now } from "../lib/clock";
import { ago, at as stampAt, hm, md, ms, num, pct, sameDay, span } from "../lib/format";
import { both, t } from "../lib/i18n";
import { useKeys } from "../lib/keys";
import { connected, listen, open as openStream } from "../lib/live";
import { useData } from "../lib/data";
import { may, takeClock } from "../lib/session";
import { query } from "../lib/api";
import { sound } from "../lib/settings";
import { useSize } from "../lib/size";
import type { AlertSummary, Board as BoardData, Feed, Kpi, Place, QueueRow, Tile } from "../lib/types";
import { headline, limitStart, placeLine, placeName, stateText, stepText, unsigned } from "../lib/view";
import { Countdown, Dot, LimitBar, limitState, Panel, Seg, Spark } from "../parts/basics";
import { HourBars } from "../parts/charts";
import { HexMap } from "../parts/hexmap";
import { Icon, Logo } from "../parts/icon";
import { LEVELS, LevelGlyph, type Level } from "../parts/level";
import { Banners, ClockText, Shell, TopBar } from "../parts/shell";
import { Centre, Failed, Loading } from "../parts/states";
import { VirtualList } from "../parts/virtual";

const ROW_PX = 57;
/** On a wall only whole rows are shown, none lower than this. */
const WALL_ROW_PX = 76;

function useFilters(): [Filters, (next: Partial<Filters>) => void] {
  const { query: q, route, path } = useLocation();
  const filters: Filters = { level: q["level"] ?? "", unsigned: q["unsigned"] ?? "", mark: q["mark"] ?? "", place: q["place"] ?? "", q: q["q"] ?? "" };
  const change = (next: Partial<Filters>): void => route(path + query({ ...filters, ...next }), true);
  return [filters, change];
}

const POLL_MS = 15_000;
const SETTLE_MS = 3_000;

/** The name of a place, and of the place above it. */
type Names = ((code: string) => string) & { above: (code: string) => string };

/** Board figures, list and stream together. */
function useBoard(filters: Filters): { board: BoardData | undefined; error: unknown; reload: () => void; list: BoardList; names: Names; news: string; red: string } {
  const list = useMemo(() => new BoardList(), []);
  const { data: board, error, reload } = useData<BoardData>("/board", POLL_MS);
  const places = useData<Place[]>("/places");
  const [news, setNews] = useState("");
  const [red, setRed] = useState("");
  const names = useMemo((): Names => {
    const known = new Map((places.data ?? []).map((p) => [p.place, p]));
    const name = (code: string): string => placeName(known.get(code) ?? { place: code, name: "", level: "" });
    return Object.assign(name, { above: (code: string) => name(known.get(code)?.parent ?? "") });
  }, [places.data]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const spoken = useRef(0);

  useEffect(() => void list.load(filters), [JSON.stringify(filters)]);
  useEffect(() => void (lastOrder.value = list.items.value.map((a) => a.alert_id)), [list.items.value]);
  useEffect(() => {
    if (!board) return;
    takeClock(board.clock);
    openStream(board.cursor);
  }, [board]);
  useEffect(() => {
    const stop = listen((batch) => {
      if (batch.resync) void list.load(filters);
      const fresh = list.apply(batch);
      // Figures follow the list within a few seconds, however much comes.
      if (timer.current === undefined) timer.current = setTimeout(() => {
        timer.current = undefined;
        reload();
      }, SETTLE_MS);
      const first = fresh.find((a) => a.level === "red") ?? fresh[0];
      if (!first) return;
      const said = t().board.announce(t().level.long[first.level], placeLine(first.path, first.place), headline(first).join(" ").trim());
      if (first.level === "red") setRed(said);
      else if (Date.now() - spoken.current > 10_000) {
        spoken.current = Date.now();
        setNews(said);
      }
    });
    return () => {
      stop();
      clearTimeout(timer.current);
      timer.current = undefined;
    };
  }, [JSON.stringify(filters), reload]);
  return { board, error, reload, list, names, news, red };
}

export function DeskBoard(): JSX.Element {
  const [filters, change] = useFilters();
  const { board, error, reload, list, names, news, red } = useBoard(filters);
  const text = t().board;
  const search = useRef<HTMLInputElement>(null);
  const [typed, setTyped] = useState(filters.q);
  useEffect(() => setTyped(filters.q), [filters.q]);
  useKeys({
    "/": (e) => { e.preventDefault(); search.current?.focus(); },
    Escape: () => { if (document.activeElement === search.current) search.current?.blur(); },
  });
  useEffect(() => {
    if (typed === filters.q) return;
    const timer = setTimeout(() => change({ q: typed }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  const pick = useCallback((tile: Tile) => change({ place: filters.place === tile.place ? "" : tile.place }), [filters]);

  return (
    <Shell>
      <TopBar title={text.title} clock sub={board && <>{board.place.name && <>{board.place.name}<Dot /></>}{text.sub(board.streets, board.communities, board.grids)}</>}>
        <label class="field search">
          <Icon name="search" />
          <span class="sr">{text.searchLabel}</span>
          <input ref={search} type="search" placeholder={text.search} value={typed} maxLength={100} onInput={(e) => setTyped(e.currentTarget.value)} />
          <kbd class="kbd">/</kbd>
        </label>
        <button type="button" class="btn ghost sq" aria-pressed={sound.value} aria-label={sound.value ? t().shell.soundOn : t().shell.soundOff} title={sound.value ? t().shell.soundOn : t().shell.soundOff} onClick={() => (sound.value = !sound.value)}>
          <Icon name={sound.value ? "volume" : "mute"} />
        </button>
      </TopBar>
      <Banners />
      <div class={`wrap board ${connected.value === false ? "stale" : ""}`}>
        {board ? <KpiStrip kpis={board.kpis} /> : <KpiSkeleton />}
        <main class="cols3">
          <div class="col">
            <Stream list={list} board={board} filters={filters} change={change} names={names} news={news} red={red} />
          </div>
          <div class="col">{board ? <Middle board={board} names={names} pick={pick} picked={filters.place} /> : error ? <Panel title={text.map}><Failed error={error} retry={reload} what={text.title} /></Panel> : <Panel title={text.map}><Loading rows={5} /></Panel>}</div>
          <div class="col right">{board ? <Right board={board} names={names} /> : <Panel title={text.queues}><Loading rows={5} /></Panel>}</div>
        </main>
      </div>
    </Shell>
  );
}

/** The figures' places before there are figures, so that nothing moves when they come. */
function KpiSkeleton(): JSX.Element {
  return <div class="kpis panel" aria-hidden="true">{Array.from({ length: 7 }, (_, i) => <div key={i} class="kpi"><span class="skel w1" /><span class="skel big" /><span class="skel thin w0" /></div>)}</div>;
}

export function WallBoard(): JSX.Element {
  const { board, error, reload, list, names, red, news } = useBoard(NO_FILTERS);
  const text = t();
  const worst = list.items.value.find((a) => a.level === "red" && unsigned(a.task));
  const reds = list.items.value.filter((a) => a.level === "red" && unsigned(a.task)).length;
  return (
    <div class={`wallp ${connected.value === false ? "stale" : ""}`}>
      <header class="top">
        <Logo />
        <h1>{board?.place.name ? <>{board.place.name}<Dot /></> : null}{text.product}</h1>
        {board && <span class="sub">{text.board.sub(board.streets, board.communities, board.grids)}</span>}
        <span class="sp" />
        <div class="sum">
          {worst ? (
            <><LevelGlyph level="red" small /><span class="red t-ct">{text.board.redToSign(reds)}</span>{worst.task?.due && <span class="f2"><Countdown from={limitStart(worst.task.due)} to={ms(worst.task.due.at)} /></span>}</>
          ) : board && board.open === 0 && !board.first_run ? <><Icon name="check" /><span class="f2">{text.board.allQuiet}</span></> : null}
          {board && board.overdue > 0 && <><Icon name="warn" class="t-over" /><span>{text.board.overdueN(board.overdue)}</span></>}
        </div>
        <span class="sp" />
        <span class="sub row"><Icon name="eyeoff" />{text.board.noNames}</span>
        <ClockText />
      </header>
      <Banners />
      {board ? <KpiStrip kpis={board.kpis} /> : <KpiSkeleton />}
      <main class="cols3">
        <div class="col"><Stream list={list} board={board} filters={NO_FILTERS} names={names} news={news} red={red} wall /></div>
        <div class="col">{board ? <Middle board={board} names={names} wall /> : error ? <Panel><Failed error={error} retry={reload} /></Panel> : <Panel><Loading rows={6} /></Panel>}</div>
        <div class="col right">{board && <Right board={board} names={names} />}</div>
      </main>
    </div>
  );
}

// -- the strip ------------------------------------------------------------------------------------

function KpiStrip({ kpis }: { kpis: readonly Kpi[] }): JSX.Element {
  return (
    <section class="kpis panel" aria-label={t().board.title}>
      {kpis.map((k) => <KpiCell key={k.name} kpi={k} />)}
    </section>
  );
}

/** The figure with its unit; "min p50" is a unit and, smaller, what of. */
function figure(k: Kpi): { n: string; unit: string; of: string } {
  if (k.value === null) return { n: "—", unit: "", of: "" };
  if (k.name === "open" || k.name === "to_sign" || k.name === "overdue") return { n: num(k.value), unit: "", of: "" };
  const [unit = "", of = ""] = both(k.unit).split(" ", 2);
  return { n: num(k.value, unit === "%" && k.value < 90 ? 0 : 1), unit, of };
}

/** What a number means: window, target, counts; in the order of interest. */
function meaning(k: Kpi): string {
  const text = t().board;
  const { unit } = figure(k);
  const window = k.window_s ? text.window(span(k.window_s * 1000, true)) : "";
  return [
    both(k.note), k.value !== null && k.p90 !== null && `p90 ${num(k.p90, 1)} ${unit}`, k.value !== null && window,
    k.value !== null && k.target !== null && text.target(num(k.target)), k.value !== null && k.target === null && k.of !== null && k.count !== null && `${num(k.count)}/${num(k.of)}`,
  ].filter(Boolean).join(" · ");
}

function KpiCell({ kpi: k }: { kpi: Kpi }): JSX.Element {
  const { n, unit, of } = figure(k);
  const hot = k.name === "overdue" && (k.value ?? 0) > 0;
  return (
    <div class="kpi">
      <div class="k">{both(k.label)}</div>
      <div class="v">
        <span class={`n ${hot ? "t-over" : ""}`}>{n}{unit && <small>{unit}</small>}</span>
        {of && <span class="p5">{of}</span>}
        <span class="sp" />
        <Spark values={k.spark} label={`${both(k.label)} ${t().board.trend}`} />
      </div>
      <div class="s" title={meaning(k)}>{meaning(k) || "\u00a0"}</div>
    </div>
  );
}

// -- the stream -----------------------------------------------------------------------------------

interface StreamProps {
  list: BoardList;
  board: BoardData | undefined;
  filters: Filters;
  change?: (next: Partial<Filters>) => void;
  names: Names;
  news: string;
  red: string;
  wall?: boolean;
}

function Stream(p: StreamProps): JSX.Element {
  const { list, board, filters, change } = p;
  const text = t().board;
  const items = list.items.value;
  const [selected, setSelected] = useState<string | null>(null);
  const [reveal, setReveal] = useState<number | undefined>();
  const box = useRef<HTMLDivElement>(null);
  const { route } = useLocation();
  const index = items.findIndex((a) => a.alert_id === selected);
  const go = (to: number): void => {
    const item = items[Math.max(0, Math.min(items.length - 1, to))];
    if (!item) return;
    setSelected(item.alert_id);
    setReveal(items.indexOf(item));
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-id="${CSS.escape(item.alert_id)}"]`)?.focus());
  };
  useKeys(p.wall ? {} : {
    j: () => go(index + 1),
    k: () => go(index < 0 ? 0 : index - 1),
    Enter: (e) => {
      if (selected && !(e.target as HTMLElement).closest("a, button, [role=application]")) route(`/alerts/${encodeURIComponent(selected)}`);
    },
  });
  const filtered = Object.values(filters).some(Boolean);
  const total = filtered ? (list.total.value ?? items.length) : Math.max(board?.open ?? 0, items.length);
  const mode = filters.unsigned ? "unsigned" : filters.mark ? "over" : "all";
  const still = (on: boolean) => (): void => {
    if (on) list.still = true;
    else if (!box.current?.matches(":hover, :focus-within")) list.settle();
  };
  const [fitting, setFitting] = useState(9);
  const hidden = p.wall ? Math.max(0, total - Math.min(items.length, fitting)) : 0;

  return (
    <Panel class="stream" title={text.live} aside={board && <Tally counts={board.counts} pick={change && ((level) => change({ level: filters.level === level ? "" : level }))} picked={filters.level} />}>
      {change && (
        <div class="filters">
          <Seg label={text.sort} value={mode} onChange={(m) => change({ unsigned: m === "unsigned" ? "1" : "", mark: m === "over" ? "red" : "" })} choices={[
            { value: "all", label: <>{text.all} {board ? num(board.open) : ""}</> },
            { value: "unsigned", label: <>{text.unsigned} {board ? num(board.to_sign) : ""}</> },
            { value: "over", label: <>{text.overdue} {board ? num(board.overdue) : ""}</> },
          ]} />
          {filters.place && <button type="button" class="chip btnchip" onClick={() => change({ place: "" })}>{text.filtered(p.names(filters.place))}<Icon name="x" label={t().state.clearFilters} /></button>}
          <span class="sp" />
          <span class="f3 micro hide-narrow">{text.sort}</span>
        </div>
      )}
      <div ref={box} class="al" onMouseEnter={still(true)} onMouseLeave={still(false)} onFocusIn={still(true)} onFocusOut={() => setTimeout(still(false), 0)}>
        {list.held.value.length > 0 && <button type="button" class="btn newrows" onClick={() => list.release()}><Icon name="down" />{text.newRows(list.held.value.length)}</button>}
        {list.loading.value ? <Loading rows={p.wall ? 8 : 10} />
          : list.error.value && !items.length ? <Failed error={list.error.value} retry={() => void list.load(filters)} what={text.live} />
          : !items.length ? <Nothing board={board} filters={filters} change={change} />
          : p.wall ? <FitRows items={items} fresh={list.arrived} onFit={setFitting} />
          : <VirtualList items={items} total={total} rowHeight={ROW_PX} label={text.live} reveal={reveal} keyOf={(a) => a.alert_id} onEnd={() => void list.more()}
              render={(a, i) => <AlertRow alert={a} selected={a.alert_id === selected || (selected === null && i === 0)} fresh={list.arrived.has(a.alert_id)} onSelect={() => setSelected(a.alert_id)} />} />}
      </div>
      {items.length > 0 && <footer>{hidden > 0 ? text.rest(hidden) : text.totalRows(total)}</footer>}
      <div class="sr" role="alert">{p.red}</div>
      <div class="sr" aria-live="polite">{p.news}</div>
    </Panel>
  );
}

function FitRows({ items, fresh, onFit }: { items: readonly AlertSummary[]; fresh: Set<string>; onFit: (n: number) => void }): JSX.Element {
  const [ref, size] = useSize<HTMLOListElement>({ w: 600, h: 760 });
  const n = Math.max(1, Math.floor(size.h / WALL_ROW_PX));
  useEffect(() => onFit(n), [n]);
  const shown = items.slice(0, n);
  return (
    <ol ref={ref} class="fit" aria-label={t().board.live}>
      {shown.map((a) => <li key={a.alert_id}><AlertRow alert={a} wall selected={false} fresh={fresh.has(a.alert_id)} onSelect={() => undefined} /></li>)}
      {Array.from({ length: n - shown.length }, (_, i) => <li key={i} aria-hidden="true" />)}
    </ol>
  );
}

function Tally({ counts, pick, picked }: { counts: BoardData["counts"]; pick?: (level: Level) => void; picked: string }): JSX.Element {
  const text = t();
  return (
    <ul class="tally" aria-label={text.board.byLevel}>
      {LEVELS.map((level) => {
        const body = <><LevelGlyph level={level} small quiet /><span class="f2">{text.level.short[level]}</span><b>{num(counts[level] ?? 0)}</b></>;
        return <li key={level}>{pick ? <button type="button" aria-pressed={picked === level} onClick={() => pick(level)}>{body}</button> : body}</li>;
      })}
    </ul>
  );
}

export function AlertRow({ alert: a, wall, selected, fresh, onSelect }: { alert: AlertSummary; wall?: boolean; selected: boolean; fresh: boolean; onSelect: () => void }): JSX.Element {
  const [kind, seen] = headline(a);
  const due = a.task?.due ?? null;
  const un = unsigned(a.task);
  const over = due !== null && limitState(limitStart(due), ms(due.at), now.value) === "over";
  const raised = ms(a.raised_at);
  const body = (
    <>
      <LevelGlyph level={a.level} />
      <div class="m">
        <div class="l">
          <div class="t cut" title={seen}>{kind && <span class="kd">{kind} </span>}{seen}</div>
          <div class="c">{due ? <>{over && <Icon name="warn" class="t-over" label={t().limit.over} />}<span class="k">{stepText(due)}</span><Countdown from={limitStart(due)} to={ms(due.at)} /></> : <span class="f3">—</span>}</div>
        </div>
        <div class="l">
          <div class="p cut">
            <span class="pl">{placeLine(a.path, a.place, wall)}<Dot /></span>
            {a.state !== "firing" && <>{t().alert[a.state]}<Dot /></>}
            {a.task && <>{both(a.task.assignee_label) || t().task.queue[a.task.queue] || a.task.queue} <span class="st">{un ? <b>{stateText(a.task)}</b> : stateText(a.task)}</span></>}
          </div>
          <div class="w">{stampAt(raised, now.value)}<span class="ago"><Dot />{ago(now.value - raised)}</span></div>
        </div>
      </div>
    </>
  );
  const look = `arow ${a.level} ${un ? "un" : ""} ${a.level === "red" || over ? "hot" : ""} ${a.level === "red" && !un && !over ? "cool" : ""} ${fresh ? "arrive" : ""}`;
  if (wall) return <div class={look}>{body}</div>;
  return (
    <a class={look} href={`/alerts/${encodeURIComponent(a.alert_id)}`} data-id={a.alert_id} tabIndex={selected ? 0 : -1} onFocus={onSelect}>{body}</a>
  );
}

function Nothing({ board, filters, change }: { board: BoardData | undefined; filters: Filters; change?: (next: Partial<Filters>) => void }): JSX.Element {
  const text = t();
  const set = Object.entries(filters).filter(([, v]) => v);
  if (set.length && change) {
    const said = [
      filters.level && text.level.long[filters.level as Level], filters.unsigned && text.board.unsigned, filters.mark && text.board.overdue, filters.place, filters.q,
    ].filter(Boolean).join(" · ");
    return <Centre icon="funnel" title={text.state.filterNone} action={<button type="button" class="btn" onClick={() => change(NO_FILTERS)}>{text.state.clearFilters}</button>}>{said}</Centre>;
  }
  if (!board) return <Loading rows={4} />;
  if (board.first_run) {
    return <div class="quiet"><svg class="dashhex" viewBox="0 0 48 48" aria-hidden="true"><polygon points="24,3 42,13.5 42,34.5 24,45 6,34.5 6,13.5" /></svg><h3>{text.board.firstTitle}</h3><p>{text.board.firstText}</p></div>;
  }
  const checked = ms(board.checked_at);
  return (
    <div class="quiet">
      <h3>{text.board.quietTitle}</h3>
      <p>{text.board.quietText}</p>
      <dl class="dl">
        <dt>{text.board.lastCheck}</dt><dd>{hm(checked)}{now.value - checked > 1000 && `, ${ago(now.value - checked)}`}</dd>
        <dt>{text.board.withReadings}</dt><dd>{text.board.subjects(board.watched - board.unseen, board.watched)}</dd>
        <dt>{text.board.unseen}</dt><dd>{board.unseen ? text.board.unseenText(board.unseen) : text.board.allSeen}</dd>
      </dl>
    </div>
  );
}

// -- middle and right -----------------------------------------------------------------------------

function Middle({ board, names, pick, picked, wall }: { board: BoardData; names: Names; pick?: (tile: Tile) => void; picked?: string; wall?: boolean }): JSX.Element {
  const text = t().board;
  const sums = LEVELS.map((l) => [l, board.hours.reduce((s, h) => s + h[l], 0)] as const);
  const last = board.hours[board.hours.length - 1];
  if (board.first_run) return <FirstSteps wall={wall} />;
  return (
    <>
      <Panel title={text.map} class="mapp" aside={<Legend />}>
        <HexMap tiles={board.tiles} names={names} onPick={pick} picked={picked || undefined} aspect={1.2} />
      </Panel>
      <Panel title={text.hourly} class="hourp" aside={<>{board.budget_used !== null && <span class="f3 note hide-narrow">{text.budgetUsed(pct(board.budget_used))}</span>}<ul class="tally">{sums.map(([l, n]) => <li key={l}><LevelGlyph level={l} small quiet /><span class="f2">{t().level.short[l]}</span><b>{num(n)}</b></li>)}</ul></>}>
        {last && <HourBars hours={board.hours} lastHour={ms(last.hour)} />}
      </Panel>
    </>
  );
}

function Legend(): JSX.Element {
  const text = t().board.legend;
  return (
    <div class="legend">
      <span><svg viewBox="0 0 24 24" aria-hidden="true" class="red"><polygon class="ring" points="12,1.5 21.1,6.8 21.1,17.2 12,22.5 2.9,17.2 2.9,6.8" /><circle class="lvf" cx="12" cy="12" r="5" /></svg>{text.unsigned}</span>
      <span><svg viewBox="0 0 24 24" aria-hidden="true" class="orange"><polygon class="hexc" points="12,1.5 21.1,6.8 21.1,17.2 12,22.5 2.9,17.2 2.9,6.8" /><polygon class="lvf" points="12,7 17,16 7,16" /></svg>{text.attended}</span>
      <span><svg viewBox="0 0 24 24" aria-hidden="true"><path class="hatchline" d="M3 14 14 3M5 20 20 5M11 22 22 11" /></svg>{text.none}</span>
      <span><svg viewBox="0 0 24 24" aria-hidden="true"><polygon class="hexc" points="12,1.5 21.1,6.8 21.1,17.2 12,22.5 2.9,17.2 2.9,6.8" /></svg>{text.quiet}</span>
    </div>
  );
}

function FirstSteps({ wall }: { wall?: boolean }): JSX.Element {
  const text = t();
  return (
    <Panel title={text.board.start} class="grow">
      <ol class="steps">
        {text.board.steps.map((s, i) => (
          <li key={s.title}>
            <span class="no">{i + 1}</span>
            <div><h3>{s.title}</h3><p class="f2 note">{s.text}</p>
              <div class="cmd"><code class="mono">{s.command}</code>{!wall && <CopyButton text={s.command} />}</div></div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}

export function CopyButton({ text }: { text: string }): JSX.Element {
  const [done, setDone] = useState(false);
  return (
    <button type="button" class="btn ghost sq" aria-label={done ? t().act.copied : t().act.copy} onClick={() => void navigator.clipboard.writeText(text).then(() => setDone(true))}>
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}

function Right({ board, names }: { board: BoardData; names: Names }): JSX.Element {
  const text = t().board;
  const bad = board.feeds.filter((f) => f.state !== "ok").length;
  const [openFeeds, setOpenFeeds] = useState(false);
  return (
    <>
      <Panel class="queue" title={text.queues} aside={<span class="f3 note">{text.onDuty(board.on_duty, board.workers, board.per_worker)}</span>}>
        {board.queues.length ? <Queues rows={board.queues} names={names} /> : <Centre icon="inbox" title={text.noTasks} />}
      </Panel>
      <Panel class={`feedp ${openFeeds ? "opened" : ""}`} title={text.feeds} aside={<><span class="f3 note unfolded">{text.f.note}</span><button type="button" class="btn ghost folded" aria-expanded={openFeeds} onClick={() => setOpenFeeds(!openFeeds)}>{bad > 0 && <Icon name="warn" class="t-warn" />}{text.feedsFolded(bad, board.feeds.length)}<Icon name="chevron" /></button></>}>
        {board.feeds.length ? <Feeds feeds={board.feeds} /> : <Centre icon="database" title={text.f.none} />}
      </Panel>
      {board.happenings.length > 0 && (
        <Panel title={text.happened} class="happ">
          <ol class="hap">
            {board.happenings.slice(0, 8).map((h, i) => (
              <li key={i}><time class="f3">{sameDay(ms(h.at), now.value) ? hm(ms(h.at)) : md(ms(h.at))}</time>
                <span class="cut">{h.alert_id && may("alert") ? <a href={`/alerts/${encodeURIComponent(h.alert_id)}`}>{both(h.text)}</a> : both(h.text)}</span></li>
            ))}
          </ol>
        </Panel>
      )}
    </>
  );
}

/** The community's name before a grid's, unless the grid's begins with it. */
function gridName(community: string, grid: string): string {
  const short = community.replace(/(社区|村)$/u, "");
  return grid.startsWith(short) ? grid : `${short} ${grid}`;
}

function Queues({ rows, names }: { rows: readonly QueueRow[]; names: Names }): JSX.Element {
  const text = t().board.q;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t().board.queues}>
      <table class="qt">
        <thead><tr><th scope="col">{text.grid}</th><th scope="col">{text.worker}</th><th scope="col" class="r">{text.toSign}</th><th scope="col" class="r">{text.open}</th><th scope="col" class="r">{text.next}</th></tr></thead>
        <tbody>
          {rows.map((q) => {
            const from = q.next ? limitStart(q.next) : 0, to = q.next ? ms(q.next.at) : 0;
            return (
              <tr key={q.grid.place}>
                <td class="cut">{gridName(names.above(q.grid.place), placeName(q.grid))}</td>
                <td class="f2">{both(q.worker) || "—"}</td>
                <td class="r">{q.to_sign ? <b>{q.to_sign}</b> : <span class="f3">0</span>}</td>
                <td class="r">{q.open}</td>
                <td class="lc">{q.next ? <><span><Countdown from={from} to={to} /></span><LimitBar from={from} to={to} /></> : <span class="f3">—</span>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Feeds({ feeds }: { feeds: readonly Feed[] }): JSX.Element {
  const text = t().board;
  const rank = { broken: 0, late: 1, never: 2, ok: 3 } as const;
  // Files by name are for the data team; here are the meters and the kinds of events.
  const sorted = feeds.filter((f) => f.kind !== "source" || f.state === "broken").sort((a, b) => rank[a.state] - rank[b.state]);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.feeds}>
      <table class="qt">
        <thead><tr><th scope="col">{text.f.source}</th><th scope="col" class="r">{text.f.lag}</th><th scope="col" class="r">{text.f.missing}</th><th scope="col" class="r">{text.f.day}</th></tr></thead>
        <tbody>
          {sorted.map((f) => {
            const warn = f.state === "broken" || f.state === "late" ? "t-warn" : "";
            return (
              <tr key={f.kind + f.name}>
                <td class="cut">{f.state === "ok" ? <Icon name="check" class="f3" label={text.feedState.ok} /> : <Icon name="warn" class="t-warn" label={text.feedState[f.state]} />} {both(f.label)}</td>
                <td class={`r ${warn}`}>{f.lag_s === null ? "—" : span(f.lag_s * 1000)}</td>
                <td class={`r ${warn}`}>{f.missing === null ? "—" : `${pct(f.missing, f.missing < 0.1 ? 1 : 0)}%`}</td>
                <td class="r"><Spark values={f.spark} width={70} height={20} /></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
