// The dispatcher's tools: tasks, roster with stand-ins, absence register, silences.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { ApiError, call, get, post, query } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, iso, ms } from "../lib/format";
import { both, t } from "../lib/i18n";
import { listen, open as openStream } from "../lib/live";
import { may } from "../lib/session";
import type { Absence, FamilyLink, NewFamilyLink, OutcomeKind, Silence, TaskDetail, TaskSummary, WorkerInfo } from "../lib/types";
import { headline, limitStart, placeLine, stateText, stepText } from "../lib/view";
import { TaskActions } from "../parts/actions";
import { Countdown, Dialog, Field, limitState, Panel, Seg } from "../parts/basics";
import { Icon } from "../parts/icon";
import { LevelGlyph } from "../parts/level";
import { Banners, Shell, TopBar } from "../parts/shell";
import { Centre, Failed, Loading } from "../parts/states";
import { List, usePages } from "../parts/table";
import { CopyButton } from "./board";

export function Tasks({ tab }: { tab?: string }): JSX.Element {
  const text = t().tasksPage;
  const tabs = [
    { path: "/tasks", label: text.tabs.tasks }, { path: "/tasks/roster", label: text.tabs.roster, shown: may("workers") },
    { path: "/tasks/absences", label: text.tabs.absences, shown: may("absences") }, { path: "/tasks/silences", label: text.tabs.silences, shown: may("silences") },
  ];
  return (
    <Shell>
      <TopBar title={text.title} tabs={tabs} />
      <Banners />
      {tab === "roster" ? <Roster /> : tab === "absences" ? <Absences /> : tab === "silences" ? <Silences /> : <TaskTable />}
    </Shell>
  );
}

// -- tasks ------------------------------------------------------------------------------------------

const MODES = { open: { state: ["calling", "dispatched", "escalated", "reassigned", "signed", "handling"] }, unsigned: { state: ["dispatched", "escalated", "reassigned"] }, over: { mark: "red", state: ["dispatched", "escalated", "reassigned", "signed", "handling", "reported"] }, reported: { state: ["reported"] }, closed: { state: ["closed"] } } as const;
type Mode = keyof typeof MODES;

function TaskTable(): JSX.Element {
  const text = t().tasksPage;
  const { query: q, route } = useLocation();
  const mode: Mode = (q["show"] as Mode) in MODES ? (q["show"] as Mode) : "open";
  const pages = usePages<TaskSummary>(`/tasks${query({ ...MODES[mode], limit: "100" })}`);
  const [open, setOpen] = useState<string | null>(null);
  useEffect(() => {
    openStream(null);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = listen((b) => {
      if (!b.tasks.length && !b.resync) return;
      clearTimeout(timer);
      timer = setTimeout(pages.reload, 1_500);
    });
    return () => { stop(); clearTimeout(timer); };
  }, [mode]);
  return (
    <>
      <div class="fil"><Seg label={text.cols.state} value={mode} onChange={(m) => route(`/tasks?show=${m}`)} choices={(Object.keys(MODES) as Mode[]).map((m) => ({ value: m, label: text.filter[m] }))} />
        <span class="sp" />{pages.total !== null && <span class="f2">{t().board.totalRows(pages.total)}</span>}</div>
      <main class="g">
        <Panel label={text.title}>
          <List of={pages} label={text.title} head={[text.cols.what, text.cols.place, text.cols.who, text.cols.state, { label: text.cols.limit, right: true }]} empty={<Centre icon="check" title={text.none} />}
            row={(task) => {
              const [kind, seen] = headline(task);
              const due = task.due;
              const over = due !== null && limitState(limitStart(due), ms(due.at), now.value) === "over";
              return (
                <tr key={task.task_id} class="go">
                  <td><div class="row"><LevelGlyph level={task.level} small /><button type="button" class="linkb" onClick={() => setOpen(task.task_id)}><span class="f2">{kind}</span> {seen}</button>{task.kind === "check" && <span class="chip line">{t().task.check}</span>}</div></td>
                  <td class="nw">{placeLine(task.path, task.place)}</td>
                  <td class="nw">{both(task.assignee_label) || t().task.queue[task.queue] || task.queue}</td>
                  <td class={`nw ${over ? "t-over" : ""}`}>{stateText(task)}</td>
                  <td class="r nw">{due ? <><span class="f2">{stepText(due)}</span> <Countdown from={limitStart(due)} to={ms(due.at)} icon /></> : "—"}</td>
                </tr>
              );
            }} />
        </Panel>
      </main>
      {open && <TaskBox id={open} onClose={() => setOpen(null)} onChange={pages.reload} />}
    </>
  );
}

/** A task with its history and what can be done to it, over the list. */
function TaskBox({ id, onClose, onChange }: { id: string; onClose: () => void; onChange: () => void }): JSX.Element {
  const { data: task, error, reload, set } = useData<TaskDetail>(`/tasks/${encodeURIComponent(id)}`);
  const text = t();
  const over = !!task?.due && ms(task.due.at) < now.value;
  return (
    <Dialog open title={task ? headline(task).join(" ").trim() : text.phone.title} onClose={onClose}>
      {!task ? (error ? <Failed error={error} retry={reload} /> : <Loading />) : (
        <>
          <p class="f2 note gapb">{placeLine(task.path, task.place)} · {stateText(task)} · {both(task.assignee_label)}</p>
          <TaskActions taskId={task.task_id} actions={task.actions} overdue={over} onDone={(next) => { set(next); onChange(); }} />
          {task.photos.length > 0 && <div class="photos gapt">{task.photos.map((p) => <a key={p.photo_id} href={`/api/v1/photos/${p.photo_id}`} target="_blank" rel="noreferrer"><img loading="lazy" alt={`${text.alert.photos} ${stampAt(ms(p.at), now.value)}`} src={`/api/v1/photos/${p.photo_id}`} /></a>)}</div>}
          {task.calls.length > 0 && <ul class="evl gapt">{task.calls.map((c) => <li key={c.department}><b>{c.department}</b><span class="sp f2">{c.answer ?? text.alert.waiting}</span><span class={c.mark === "red" ? "t-over" : c.mark === "yellow" ? "t-warn" : "f2"}>{stampAt(ms(c.due), now.value)}</span></li>)}</ul>}
          <ul class="evl gapt">{[...task.history].reverse().map((h) => <li key={h.seq}><span class="f2 nw">{stampAt(ms(h.at), now.value)}</span><span class="sp">{text.action[h.action] ?? h.action}{h.why && `${both({ zh: "：", en: ": " })}${h.why}`}</span><span class="f2">{h.by === "system" ? text.task.system : h.by}</span></li>)}</ul>
          <p class="gapt"><a href={`/alerts/${encodeURIComponent(task.alert_id)}`}>{text.alert.crumb}</a></p>
        </>
      )}
    </Dialog>
  );
}

// -- roster -----------------------------------------------------------------------------------------

function Roster(): JSX.Element {
  const text = t().tasksPage;
  const workers = useData<WorkerInfo[]>("/workers", 30_000);
  const [edit, setEdit] = useState<WorkerInfo | null>(null);
  if (!workers.data) return workers.error ? <Failed error={workers.error} retry={workers.reload} /> : <Loading rows={8} />;
  const label = (id: string | null): string => both(workers.data!.find((w) => w.worker_id === id)?.label) || id || "—";
  return (
    <main class="g">
      <Panel label={text.tabs.roster}>
        {workers.data.length === 0 ? <Centre icon="users" title={text.noRoster} /> : (
          <div class="scroll" tabIndex={0} role="region" aria-label={text.tabs.roster}><table class="tbl pad">
            <thead><tr><th scope="col">{text.worker}</th><th scope="col">{text.cols.role}</th><th scope="col">{text.cols.grids}</th><th scope="col">{text.cols.shift}</th><th scope="col">{text.cols.standIn}</th><th scope="col">{text.cols.duty}</th><th scope="col" class="r">{text.cols.toSign}</th><th scope="col" class="r">{text.cols.open}</th><th scope="col"><span class="sr">{t().act.change}</span></th></tr></thead>
            <tbody>{workers.data.map((w) => (
              <tr key={w.worker_id}><td class="b">{both(w.label)}</td><td>{t().task.queue[w.role] ?? w.role}</td><td>{w.grids.slice(0, 3).map((g) => g.name).join(both({ zh: "、", en: ", " }))}{w.grids.length > 3 && ` +${w.grids.length - 3}`}</td><td>{w.shift || "—"}</td><td>{label(w.stand_in)}</td>
                <td>{w.on_duty ? <><Icon name="check" /> {text.yes}</> : <span class="f2">{text.no}</span>}</td><td class="r">{w.to_sign}</td><td class="r">{w.open}</td>
                <td class="r">{may("change_worker") && <button type="button" class="linkb" aria-label={`${t().act.change} ${both(w.label)}`} onClick={() => setEdit(w)}>{t().act.change}</button>}</td></tr>
            ))}</tbody></table></div>
        )}
      </Panel>
      {edit && <EditWorker worker={edit} all={workers.data} onClose={() => setEdit(null)} onDone={() => { setEdit(null); workers.reload(); }} />}
    </main>
  );
}

function EditWorker({ worker, all, onClose, onDone }: { worker: WorkerInfo; all: WorkerInfo[]; onClose: () => void; onDone: () => void }): JSX.Element {
  const text = t().tasksPage;
  const [shift, setShift] = useState(worker.shift);
  const [standIn, setStandIn] = useState(worker.stand_in ?? "");
  const [error, setError] = useState("");
  const save = (e: Event): void => {
    e.preventDefault();
    call("PATCH", `/workers/${encodeURIComponent(worker.worker_id)}`, { body: { shift, stand_in: standIn || null } }).then(onDone, (x: ApiError) => setError(x.message));
  };
  return (
    <Dialog open title={both(worker.label)} onClose={onClose}>
      <form onSubmit={save}>
        <Field label={text.cols.shift}><input class="field" value={shift} maxLength={60} onInput={(e) => setShift(e.currentTarget.value)} /></Field>
        <Field label={text.cols.standIn}><select class="field" value={standIn} onChange={(e) => setStandIn(e.currentTarget.value)}><option value="">—</option>{all.filter((w) => w.worker_id !== worker.worker_id).map((w) => <option key={w.worker_id} value={w.worker_id}>{both(w.label)}</option>)}</select></Field>
        <p class="err" role="alert">{error}</p>
        <div class="acts"><button class="btn pri" type="submit">{t().act.save}</button></div>
      </form>
    </Dialog>
  );
}

// -- absences ---------------------------------------------------------------------------------------

const sourceText = (source: string): string => t().tasksPage.absence.sourceName[source.split(":")[0]!] ?? source;
/** A value of <input type="datetime-local">, on the watched place's clock, as ISO with its offset. */
const withOffset = (value: string): string | null => (value ? `${value}${value.length === 16 ? ":00" : ""}${iso(now.value).slice(19)}` : null);

function Absences(): JSX.Element {
  const text = t().tasksPage.absence;
  const [holds, setHolds] = useState<"true" | "">("true");
  const pages = usePages<Absence>(`/absences${query({ holds })}`);
  const [adding, setAdding] = useState(false);
  const [links, setLinks] = useState<string | null>(null);
  return (
    <>
      <div class="fil"><Seg label={t().tasksPage.cols.state} value={holds} onChange={setHolds} choices={[{ value: "true", label: text.holds }, { value: "", label: t().board.all }]} /><span class="sp" />
        {may("declare_absence") && <button type="button" class="btn pri" onClick={() => setAdding(true)}><Icon name="plus" />{text.add}</button>}</div>
      <main class="g"><Panel label={t().tasksPage.tabs.absences}>
        <List of={pages} label={t().tasksPage.tabs.absences} head={[text.subject, text.kind, text.from, text.until, text.source, text.by, t().tasksPage.cols.state, ""]} empty={<Centre icon="luggage" title={text.none} />}
          row={(a) => (
            <tr key={a.absence_id}><td class="mono">{a.subject_id}</td><td>{both(a.text)}</td><td class="nw">{stampAt(ms(a.from), now.value)}</td><td class="nw">{stampAt(ms(a.until), now.value)}</td><td>{sourceText(a.source)}</td><td>{a.by}</td>
              <td>{a.holds ? <span class="chip line">{text.holds}</span> : <span class="f2">{text.ended}</span>}</td>
              <td class="r nw">{may("family_links") && <button type="button" class="linkb" onClick={() => setLinks(a.subject_id)}>{t().tasksPage.links}</button>} {a.holds && may("revoke_absence") && <button type="button" class="linkb" onClick={() => void call("DELETE", `/absences/${encodeURIComponent(a.absence_id)}`).then(pages.reload)}>{text.revoke}</button>}</td></tr>
          )} />
      </Panel></main>
      {adding && <AddAbsence onClose={() => setAdding(false)} onDone={() => { setAdding(false); pages.reload(); }} />}
      {links && <Links subject={links} onClose={() => setLinks(null)} />}
    </>
  );
}

function AddAbsence({ onClose, onDone }: { onClose: () => void; onDone: () => void }): JSX.Element {
  const text = t().tasksPage.absence;
  const kinds = useData<OutcomeKind[]>("/outcomes/kinds");
  const [subject, setSubject] = useState("");
  const [kind, setKind] = useState("away");
  const [until, setUntil] = useState("");
  const [error, setError] = useState("");
  const [key] = useState(() => crypto.randomUUID());
  const save = (e: Event): void => {
    e.preventDefault();
    post("/absences", { subject_id: subject.trim(), kind, until: withOffset(until), source: "console" }, { key }).then(onDone, (x: ApiError) => setError(x.message));
  };
  return (
    <Dialog open title={text.add} onClose={onClose}>
      <form onSubmit={save}>
        <Field label={text.subject}><input class="field mono" required maxLength={200} value={subject} onInput={(e) => setSubject(e.currentTarget.value)} /></Field>
        <Field label={text.kind}><select class="field" value={kind} onChange={(e) => setKind(e.currentTarget.value)}>{(kinds.data ?? []).filter((k) => k.quiets && !k.needs.includes("kw")).map((k) => <option key={k.kind} value={k.kind}>{both(k.text)}</option>)}</select></Field>
        <Field label={text.until}><input class="field" type="datetime-local" required value={until} onInput={(e) => setUntil(e.currentTarget.value)} /></Field>
        <p class="err" role="alert">{error}</p>
        <div class="acts"><button class="btn pri" type="submit">{t().act.save}</button></div>
      </form>
    </Dialog>
  );
}

function Links({ subject, onClose }: { subject: string; onClose: () => void }): JSX.Element {
  const path = `/subjects/${encodeURIComponent(subject)}/links`;
  const links = useData<FamilyLink[]>(path);
  const [made, setMade] = useState<NewFamilyLink | null>(null);
  const [error, setError] = useState("");
  const text = t();
  return (
    <Dialog open title={`${text.tasksPage.links} ${subject}`} onClose={onClose}>
      {made && <div class="once"><code class="mono">{made.url}</code><CopyButton text={made.url} /></div>}
      {(links.data ?? []).length > 0 && <ul class="evl">{links.data!.map((l) => <li key={l.link_id}><span class="sp">{stampAt(ms(l.created), now.value)} · {l.by} · {l.uses}×</span>{l.revoked ? <span class="f2">{text.tasksPage.absence.ended}</span> : <button type="button" class="linkb" onClick={() => void call("DELETE", `/links/${encodeURIComponent(l.link_id)}`).then(links.reload)}>{text.act.revoke}</button>}</li>)}</ul>}
      <p class="err" role="alert">{error}</p>
      <div class="acts"><button type="button" class="btn pri" onClick={() => void get<FamilyLink[]>(path).then(() => post<NewFamilyLink>(path, { subject_id: subject })).then((l) => { setMade(l); links.reload(); }, (e: ApiError) => setError(e.message))}><Icon name="plus" />{text.act.add}</button></div>
    </Dialog>
  );
}

// -- silences ---------------------------------------------------------------------------------------

function Silences(): JSX.Element {
  const text = t().tasksPage.silence;
  const silences = useData<Silence[]>("/silences", 60_000);
  const [adding, setAdding] = useState(false);
  if (!silences.data) return silences.error ? <Failed error={silences.error} retry={silences.reload} /> : <Loading rows={4} />;
  return (
    <>
      <div class="fil"><span class="f2">{text.note}</span><span class="sp" />{may("add_silence") && <button type="button" class="btn pri" onClick={() => setAdding(true)}><Icon name="plus" />{text.add}</button>}</div>
      <main class="g"><Panel label={t().tasksPage.tabs.silences}>
        {silences.data.length === 0 ? <Centre icon="bell" title={text.none} /> : (
          <table class="tbl pad"><thead><tr><th scope="col">{text.scope}</th><th scope="col">{text.until}</th><th scope="col">{text.why}</th><th scope="col">{text.by}</th><th scope="col"><span class="sr">{text.end}</span></th></tr></thead>
            <tbody>{silences.data.map((s) => <tr key={s.silence_id}><td>{[s.rule ?? text.everything, s.place?.name ?? (s.subject_id ? "" : text.anywhere), s.subject_id].filter(Boolean).join(" · ")}</td><td class="nw">{stampAt(ms(s.until), now.value)}</td><td>{s.why}</td><td>{s.by}</td><td class="r">{s.holds && may("end_silence") && <button type="button" class="linkb" onClick={() => void call("DELETE", `/silences/${encodeURIComponent(s.silence_id)}`).then(silences.reload)}>{text.end}</button>}</td></tr>)}</tbody></table>
        )}
      </Panel></main>
      {adding && <AddSilence onClose={() => setAdding(false)} onDone={() => { setAdding(false); silences.reload(); }} />}
    </>
  );
}

function AddSilence({ onClose, onDone }: { onClose: () => void; onDone: () => void }): JSX.Element {
  const text = t().tasksPage.silence;
  const rules = useData<{ rule: string; title: { zh: string; en: string } }[]>(may("rules") ? "/rules" : null);
  const [f, setF] = useState({ rule: "", place: "", subject: "", until: "", why: "" });
  const [error, setError] = useState("");
  const [key] = useState(() => crypto.randomUUID());
  const put = (name: keyof typeof f) => (e: { currentTarget: { value: string } }): void => setF({ ...f, [name]: e.currentTarget.value });
  const save = (e: Event): void => {
    e.preventDefault();
    post("/silences", { rule: f.rule || null, place: f.place || null, subject_id: f.subject || null, until: withOffset(f.until), why: f.why }, { key }).then(onDone, (x: ApiError) => setError(x.message));
  };
  return (
    <Dialog open title={text.add} onClose={onClose}>
      <form onSubmit={save}>
        <Field label={text.rule}><select class="field" value={f.rule} onChange={put("rule")}><option value="">{text.everything}</option>{(rules.data ?? []).map((r) => <option key={r.rule} value={r.rule}>{both(r.title)}</option>)}</select></Field>
        <div class="formrow"><Field label={text.place}><input class="field" inputMode="numeric" pattern="[0-9]*" maxLength={40} value={f.place} onInput={put("place")} /></Field><Field label={text.subject}><input class="field mono" maxLength={200} value={f.subject} onInput={put("subject")} /></Field></div>
        <Field label={text.until}><input class="field" type="datetime-local" required value={f.until} onInput={put("until")} /></Field>
        <Field label={text.why}><textarea class="field" required maxLength={500} value={f.why} onInput={put("why")} /></Field>
        <p class="err" role="alert">{error}</p>
        <div class="acts"><button class="btn pri" type="submit">{t().act.save}</button></div>
      </form>
    </Dialog>
  );
}
