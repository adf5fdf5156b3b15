// The gridworker's phone: tasks by deadline, one thumb to sign, outcome in two taps, offline too.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { now } from "../lib/clock";
import { ago, hm, ms, sameDay, startOfDay, weekday } from "../lib/format";
import { both, t } from "../lib/i18n";
import { listen, open as openStream } from "../lib/live";
import { act, begin, failure, listPath, listedAt, mine, online, overlay, pieces, read, refresh, say, toast, todo, undo } from "../lib/phone";
import { wake } from "../lib/push";
import { phase, session, simulated } from "../lib/session";
import type { Limit, Page, TaskSummary } from "../lib/types";
import { headline, limitStart, placeLine, stateText, stepText, unsigned } from "../lib/view";
import { Banner, Countdown, Dot, LimitBar, limitState, Seg } from "../parts/basics";
import { Icon, type IconName } from "../parts/icon";
import { LevelGlyph } from "../parts/level";
import { Centre, Failed, Loading } from "../parts/states";
import { Outcome } from "./phone-outcome";
import { Grid, Me, Report } from "./phone-more";
import { PhoneTask } from "./phone-task";
import { takeBack } from "../lib/outbox";
import { reload as reloadPieces } from "../lib/phone";

export function Phone(): JSX.Element {
  const { path } = useLocation();
  useEffect(() => begin(), [session.value?.account.name]);
  useEffect(() => {
    if (phase.value !== "in") return;
    openStream(null);
    return listen((batch) => {
      const known = new Set((mine.value ?? []).map((x) => x.task_id));
      const fresh = batch.tasks.filter((x) => x.mine && unsigned(x) && !known.has(x.task_id));
      if (batch.resync || batch.tasks.some((x) => x.mine || known.has(x.task_id))) void refresh();
      for (const task of fresh.slice(0, 3)) void notify(task);
    });
  }, [phase.value]);

  const parts = path.split("/").slice(2);
  let page: JSX.Element;
  if (parts[0] === "task" && parts[1]) page = parts[2] === "outcome" ? <Outcome id={parts[1]} /> : <PhoneTask id={parts[1]} />;
  else if (parts[0] === "report") page = <Report />;
  else if (parts[0] === "grid") page = <Grid />;
  else if (parts[0] === "me") page = <Me />;
  else page = <TaskList />;
  return (
    <div class="ph-app">
      {page}
      <ToastBar />
    </div>
  );
}

async function notify(task: TaskSummary): Promise<void> {
  if (!("Notification" in window) || Notification.permission !== "granted" || !document.hidden || wake.value === "on") return;
  const registration = await navigator.serviceWorker?.getRegistration("/m");
  const [kind, seen] = headline(task);
  // Chat robots and phones drop identical texts: place and limit make each its own.
  await registration?.showNotification([t().level.long[task.level], kind].filter(Boolean).join(" · "), {
    body: `${seen}\n${placeLine(task.path, task.place, true)}`, tag: task.task_id, data: `/m/task/${task.task_id}`, requireInteraction: task.level === "red",
  });
}

// -- frame ----------------------------------------------------------------------------------------

export function TabBar(): JSX.Element {
  const { path } = useLocation();
  const text = t().phone;
  const tabs: [string, IconName, string][] = [["/m", "list", text.tasks], ["/m/report", "megaphone", text.report], ["/m/grid", "map", text.grid], ["/m/me", "user", text.me]];
  return (
    <nav class="tab" aria-label={t().shell.nav}>
      {tabs.map(([to, icon, label]) => <a key={to} href={to} aria-current={path === to ? "page" : undefined}><Icon name={icon} />{label}</a>)}
    </nav>
  );
}

export function SubHead({ title, aside, back = "/m" }: { title: string; aside?: ComponentChildren; back?: string }): JSX.Element {
  return (
    <header class="ph-hd sub">
      <div class="row"><a class="bk" href={back} aria-label={t().act.back}><Icon name="left" /></a><h1>{title}</h1><span class="sp" />{aside}</div>
    </header>
  );
}

function ToastBar(): JSX.Element | null {
  const [at, setAt] = useState(Date.now());
  const shown = toast.value;
  useEffect(() => {
    if (!shown) return;
    const timer = setInterval(() => setAt(Date.now()), 250);
    return () => clearInterval(timer);
  }, [shown]);
  if (!shown) return null;
  const left = Math.max(0, Math.ceil((shown.until - Math.max(at, shown.until - 5_000)) / 1000));
  return (
    <div class="toast" role="status">
      <span class="sp">{shown.text}</span>
      {shown.undo && <button type="button" onClick={() => void undo(shown.undo!).then((done) => { if (done) say(t().phone.undone); })}>{t().phone.undoIn(left)}</button>}
    </div>
  );
}

/** What stands between the worker and the server, said plainly. */
export function Unsent(): JSX.Element | null {
  const text = t().phone;
  const waiting = pieces.value.filter((p) => !p.refused && (p.kind !== "photo" || !p.taskId));
  const refused = pieces.value.filter((p) => p.refused);
  return (
    <>
      {!online.value && (
        <Banner kind="warn" icon="cloudoff" title={text.offline}>
          {waiting.length ? text.offlineN(waiting.length) : listedAt.value ? text.offlineShown(hm(listedAt.value)) : ""}
        </Banner>
      )}
      {refused.map((p) => {
        const task = p.refused!.task;
        const other = task && both(task.assignee_label);
        const signedAt = task?.limits.find((l) => l.step === "sign")?.done_at;
        return (
          <Banner key={p.id} kind="err" icon="warn" title={p.refused!.status === 409 && other ? text.conflictTitle : `${text.refused}${both({ zh: "：", en: ": " })}${both(p.label)}`}
            action={<button type="button" class="lnk" onClick={() => void takeBack(p.id).then(reloadPieces).then(refresh)}>{text.understood}</button>}>
            {p.refused!.status === 409 && other ? text.signedByOther(other, hm(signedAt ? ms(signedAt) : now.value)) : [both(p.refused!.title), p.refused!.detail].filter(Boolean).join(both({ zh: "：", en: ": " }))}
          </Banner>
        );
      })}
      {waiting.length > 0 && !online.value && (
        <div class="card"><ul class="unsent">
          {waiting.map((p) => (
            <li key={p.id}><Icon name={p.kind === "photo" || p.kind === "incident" ? "image" : "clock"} />
              <div class="sp"><div class="cut">{both(p.label)}</div><div class="note f2">{text.storedAt(hm(p.tappedAt))}</div></div>
              <button type="button" onClick={() => void takeBack(p.id).then(reloadPieces)}>{t().act.undo}</button></li>
          ))}
        </ul></div>
      )}
    </>
  );
}

// -- the list -------------------------------------------------------------------------------------

const door = (task: TaskSummary): string => placeLine(task.path, task.place, true);

/** Under a day a countdown; from tomorrow on the date. */
export function DueText({ due }: { due: Limit }): JSX.Element {
  const to = ms(due.at), from = limitStart(due);
  const far = to - now.value > 20 * 3_600_000 && !sameDay(to, now.value);
  if (!far) return <Countdown from={from} to={to} />;
  const tomorrow = startOfDay(now.value, 1) === startOfDay(to);
  return <>{tomorrow ? t().phone.tomorrow : weekday(to)} {hm(to)}</>;
}

export async function signFor(task: TaskSummary): Promise<void> {
  await act({ kind: "sign", path: `/tasks/${task.task_id}/sign`, taskId: task.task_id, label: { zh: `签收：${door(task)}`, en: `Signed for ${door(task)}` } });
  say(t().phone.sent(t().task.signed));
}

function TaskList(): JSX.Element {
  const [tab, setTab] = useState<"open" | "done" | "grid">("open");
  const [others, setOthers] = useState<TaskSummary[] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const { route } = useLocation();
  const text = t().phone;
  useEffect(() => {
    if (tab === "open") return;
    setOthers(null);
    setError(null);
    read<Page<TaskSummary>>(listPath(tab)).then((r) => setOthers(r.data.items), setError);
  }, [tab, mine.value]);
  const open = todo.value;
  const first = open.find((x) => unsigned(x));
  const known = mine.value !== null;
  const shown = tab === "open" ? (known ? open : null) : tab === "done" ? mergeDone(others) : others;
  const grid = open[0]?.path.find((p) => p.level === "grid") ?? session.value?.account;
  return (
    <>
      <header class="ph-hd">
        <div class="row"><h1>{text.my}</h1><span class="sp" /><span class="note f2">{grid && "name" in grid && "level" in grid ? placeLine(open[0]!.path.filter((p) => p.level === "community" || p.level === "grid"), open[0]!.place) : (session.value?.account.display ?? "")}</span></div>
        <Seg wide label={text.tasks} value={tab} onChange={setTab} choices={[
          { value: "open", label: <>{text.todo} {known ? open.length : ""}</> }, { value: "done", label: text.doneTab }, { value: "grid", label: text.whole },
        ]} />
      </header>
      <main class="scr">
        {simulated.value && <div class="simul"><Icon name="flask" /><span>{both(simulated.value)}</span></div>}
        <Unsent />
        {shown === null ? (tab === "open" ? failure.value : error) ? <Failed error={tab === "open" ? failure.value : error} retry={() => void refresh()} what={text.loading} /> : <Loading rows={4} />
          : shown.length ? shown.map((task) => <TaskCard key={task.task_id} task={tab === "grid" ? task : overlay(task)} grid={tab === "grid"} />)
          : tab === "open" ? <Centre icon="check" title={text.none}>{text.noneText(hm(listedAt.value))}</Centre> : <Centre icon="inbox" title={text.noneDone} />}
      </main>
      {tab === "open" && first && (
        <div class="foot">
          <button type="button" class="btn pri big lead" onClick={() => void signFor(first).then(() => route(`/m/task/${first.task_id}`))}>
            <Icon name="check" /><span class="cut">{text.signFor(door(first))}</span>{first.due && <span class="end"><Countdown from={limitStart(first.due)} to={ms(first.due.at)} /></span>}
          </button>
        </div>
      )}
      <TabBar />
    </>
  );
}

/** Done, with what was done but is not sent yet on top. */
function mergeDone(others: TaskSummary[] | null): TaskSummary[] | null {
  const local = (mine.value ?? []).map(overlay).filter((x) => x.state === "reported");
  if (others === null) return local.length ? local : null;
  const ids = new Set(local.map((x) => x.task_id));
  return [...local, ...others.filter((x) => !ids.has(x.task_id))];
}

function TaskCard({ task, grid }: { task: TaskSummary & { pending?: boolean }; grid: boolean }): JSX.Element {
  const [kind, seen] = headline(task);
  const due = task.due;
  const ended = task.state === "reported" || task.state === "closed";
  const hot = !ended && (task.level === "red" || (due !== null && limitState(limitStart(due), ms(due.at), now.value) === "over"));
  const who = both(task.assignee_label);
  const state = grid && who ? t().phone.holderIs(who) : unsigned(task) ? "" : task.pending ? t().phone.waitSend : stateText(task);
  const heads = [kind, state].filter(Boolean);
  return (
    <a class={`card ${task.level} ${hot ? "hot" : ""}`} href={`/m/task/${task.task_id}`}>
      <div class="row">
        <LevelGlyph level={task.level} />
        <div class="sp">
          <div class="top">
            <span class="k">{heads.map((h, n) => <>{n > 0 && <Dot />}{h}</>)}</span>
            {due && !ended ? <span class="cd"><small>{stepText(due)}</small> <DueText due={due} /></span> : ended && <span class="cd"><small>{ago(now.value - ms(task.updated_at))}</small></span>}
          </div>
          <div class="t two">{seen}</div>
          <div class="a cut">{door(task)}</div>
        </div>
      </div>
      {due && !ended && <LimitBar from={limitStart(due)} to={ms(due.at)} />}
    </a>
  );
}
