// One task on the phone: why in one sentence and one picture; sign; then whom to call, then the door.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { ApiError, get } from "../lib/api";
import { now } from "../lib/clock";
import { ago, hm, left, ms } from "../lib/format";
import { both, t } from "../lib/i18n";
import { act, overlay, pieces, read, say } from "../lib/phone";
import { main, toSeries } from "../lib/series";
import type { Curves, Person, TaskDetail } from "../lib/types";
import { limitStart, placeLine, stateText, unsigned } from "../lib/view";
import { Countdown, Dialog, Dot, LimitBar } from "../parts/basics";
import { LoadChart } from "../parts/charts";
import { Icon } from "../parts/icon";
import { LevelGlyph } from "../parts/level";
import { Failed, Loading } from "../parts/states";
import { sentence } from "./alert";
import { signFor, SubHead, Unsent } from "./phone";

/** Personal data looked at in this sitting; memory only, gone with the page. */
const looked = new Map<string, Person>();

export function useTask(id: string): { task: (TaskDetail & { pending?: boolean }) | null; error: unknown; reload: () => void } {
  const [task, setTask] = useState<TaskDetail | null>(null);
  const [error, setError] = useState<unknown>(null);
  const reload = (): void => { read<TaskDetail>(`/tasks/${id}`).then((r) => { setTask(r.data); setError(null); }, setError); };
  useEffect(reload, [id, pieces.value.length]);
  return { task: task && overlay(task), error, reload };
}

export function PhoneTask({ id }: { id: string }): JSX.Element {
  const { task, error, reload } = useTask(id);
  const text = t().phone;
  if (!task) return <><SubHead title={text.title} /><main class="scr">{error ? <Failed error={error} retry={reload} what={text.loading} /> : <Loading rows={5} />}</main></>;
  const done = task.state === "reported" || task.state === "closed" || task.state === "cancelled";
  return (
    <>
      <SubHead title={text.title} aside={<span class={`chip lvl ${task.level}`}>{t().level.long[task.level]}</span>} />
      {unsigned(task) || task.state === "calling" ? <BeforeSigning task={task} /> : <AfterSigning task={task} done={done} />}
    </>
  );
}

function Why({ task, folded }: { task: TaskDetail; folded?: boolean }): JSX.Element {
  const [curves, setCurves] = useState<Curves | null>(null);
  const [open, setOpen] = useState(!folded);
  useEffect(() => {
    if (open) read<Curves>(`/tasks/${task.task_id}/curves?days=1`).then((r) => setCurves(r.data), () => undefined);
  }, [task.task_id, open]);
  const curve = curves && main(curves.curves);
  const [first, rest] = sentence(both(task.reason));
  const silent = curves?.silent ? { from: ms(curves.silent.from), to: ms(curves.silent.to), label: "" } : undefined;
  if (!open) return <button type="button" class="card row" aria-expanded="false" onClick={() => setOpen(true)}><LevelGlyph level={task.level} /><span class="sp cut">{first}</span><Icon name="chevron" /></button>;
  return (
    <div class={`card ${task.level}`}>
      <div class="row">
        <LevelGlyph level={task.level} />
        <div class="sp"><div class="big-t">{first}</div>{rest && <div class="a">{rest}</div>}</div>
      </div>
      {curve && (
        <div class="mini"><LoadChart mini series={toSeries(curve)} height={118} tone={task.level} now={now.value} desc={both(curves.summary)} silent={silent}
          moments={silent ? [{ at: silent.from, label: hm(silent.from) }] : []} /></div>
      )}
      {task.quiet_if && folded !== undefined && <p class="note f2">{t().alert.quietIf}{both({ zh: "：", en: ": " })}{both(task.quiet_if)}</p>}
    </div>
  );
}

function BeforeSigning({ task }: { task: TaskDetail }): JSX.Element {
  const text = t().phone;
  const [passing, setPassing] = useState(false);
  const raised = ms(task.opened_at);
  const calls = task.history.filter((h) => h.action === "contact");
  const due = task.due;
  return (
    <>
      <main class="scr">
        <Unsent />
        <Why task={task} />
        <div class="card"><div class="row"><div class="sp"><div class="t">{placeLine(task.path, task.place)}</div><div class="a">{text.lockedPerson}</div></div><Icon name="lock" /></div></div>
        {calls.length > 0 && (
          <div class="card"><ul class="lad">
            {calls.map((c) => <li key={c.seq} class="done"><span class="no"><Icon name="missed" /></span><b>{whoText(String(c.detail["who"] ?? ""))}</b><span class="note f2">{t().alert.result[String(c.detail["result"])] ?? ""}</span></li>)}
          </ul></div>
        )}
        <p class="note f2">{text.raised(hm(raised), ago(now.value - raised))}</p>
        {task.quiet_if && <p class="note f2">{t().alert.quietIf}{both({ zh: "：", en: ": " })}{both(task.quiet_if)}</p>}
      </main>
      <div class="foot last">
        {due && (<><div class="row"><span class="f2">{ms(due.at) < now.value ? text.noOneMore : text.signLeft}</span><span class="sp" /><span class="cd"><Countdown from={limitStart(due)} to={ms(due.at)} /></span></div><LimitBar from={limitStart(due)} to={ms(due.at)} /></>)}
        <button type="button" class="btn pri big" onClick={() => void signFor(task)}><Icon name="check" />{text.signGo}</button>
        <button type="button" class="btn ghost wide" onClick={() => setPassing(true)}>{text.cannotGo}</button>
      </div>
      {passing && <PassOn task={task} onClose={() => setPassing(false)} />}
    </>
  );
}

export const whoText = (who: string): string => {
  const p = t().phone;
  return ({ resident: p.self, self: p.self, family: p.family, contact: p.family, visit: p.visit, block_head: both({ zh: "楼长", en: "block head" }) } as Record<string, string>)[who] ?? who;
};

export function PassOn({ task, onClose, why }: { task: TaskDetail; onClose: () => void; why?: string }): JSX.Element {
  const text = t().phone;
  const { route } = useLocation();
  const send = (reason: string): void => {
    void act({ kind: "pass-on", path: `/tasks/${task.task_id}/pass-on`, taskId: task.task_id, body: { why: reason }, undo: true, label: { zh: `转出：${reason}`, en: `Passed on: ${reason}` } })
      .then((ids) => { say(text.sent(text.passOn), ids); onClose(); route("/m"); });
  };
  return (
    <Dialog sheet open title={text.passOn} onClose={onClose}>
      <p class="note f2 gapb">{text.passNote}</p>
      <div class="og">{(why ? [why] : text.passWhy).map((w) => <button key={w} type="button" class="o mid" onClick={() => send(w)}>{w}</button>)}</div>
    </Dialog>
  );
}

function AfterSigning({ task, done }: { task: TaskDetail & { pending?: boolean }; done: boolean }): JSX.Element {
  const text = t().phone;
  const { route } = useLocation();
  const [person, setPerson] = useState<Person | null>(looked.get(task.task_id) ?? null);
  const [denied, setDenied] = useState("");
  const [calling, setCalling] = useState<{ who: string; label: string } | null>(null);
  const [sos, setSos] = useState(false);
  const look = (): void => {
    get<Person>(`/tasks/${task.task_id}/person`, { headers: { "X-Why": "visit" } }).then(
      (p) => { looked.set(task.task_id, p); setPerson(p); },
      (e: ApiError) => setDenied(e.message),
    );
  };
  const door = task.limits.find((l) => l.step === "door" || l.step === "report");
  const signedAt = task.limits.find((l) => l.step === "sign")?.done_at;
  const rungs = [
    { who: "resident", label: text.self, phone: person?.phone ?? null },
    ...(person?.contacts ?? []).map((c) => ({ who: c.who, label: c.relation || whoText(c.who), phone: c.phone })),
  ];
  if (!person && task.contact_first.some((c) => c.who === "family")) rungs.push({ who: "family", label: text.family, phone: null });
  const tried = new Map<string, { result: string; at: string }>();
  for (const h of task.history) if (h.action === "contact") tried.set(String(h.detail["who"]), { result: String(h.detail["result"] ?? ""), at: h.at });
  for (const p of pieces.value) if (p.kind === "contact" && p.taskId === task.task_id) tried.set(String(p.body?.["who"]), { result: String(p.body?.["result"]), at: new Date(p.tappedAt).toISOString() });
  const next = rungs.find((r) => !tried.has(r.who))?.who;
  const notes = task.history.filter((h) => h.action === "reject" || h.why === "supervised");
  return (
    <>
      <main class="scr">
        <Unsent />
        {notes.map((n) => <div key={n.seq} class="card"><div class="row"><Icon name="bell" /><div class="sp"><b>{n.action === "reject" ? text.reopenedNote : text.supervised}</b><div class="a">{n.action === "reject" ? n.why : String(n.detail["text"] ?? "")}</div></div></div></div>)}
        <div class="card">
          <div class="row">
            <div class="sp">
              {person ? <><div class="t">{person.address ?? placeLine(task.path, task.place)}</div><div class="a">{[person.name, person.note].filter(Boolean).join(both({ zh: "，", en: ", " }))}</div></>
                : <><div class="t">{placeLine(task.path, task.place)}</div><div class="a">{denied || (task.person.state === "open" || task.pending ? text.person : both(task.person.text))}</div></>}
            </div>
          </div>
          {!person && !done && task.person.state !== "none" && <button type="button" class="btn wide gapt" onClick={look}><Icon name="key" />{text.show}</button>}
        </div>
        {!done && (
          <>
            <div class="grp">{text.ladder}</div>
            <div class="card"><ol class="lad">
              {rungs.map((r, i) => {
                const was = tried.get(r.who);
                return (
                  <li key={`${r.who}${i}`} class={was ? "done" : ""}>
                    <span class="no">{was ? <Icon name="check" label={text.called} /> : i + 1}</span>
                    <span><b>{r.label}</b>{was && <small>{hm(ms(was.at))} {t().alert.result[was.result] ?? was.result}</small>}{!was && person && !r.phone && <small>{text.noPhone}</small>}</span>
                    {r.phone ? <a class={`btn call ${r.who === next ? "pri" : ""}`} href={`tel:${r.phone}`} target="_self" onClick={() => setCalling({ who: r.who, label: r.label })}><Icon name="phone" />{was ? text.redial : t().act.call}</a>
                      : <button type="button" class="btn call" onClick={() => setCalling({ who: r.who, label: r.label })}>{text.callLog}</button>}
                  </li>
                );
              })}
              <li><span class="no">{rungs.length + 1}</span><span><b>{text.visit}</b>{door && <small>{ms(door.at) > now.value ? text.doorLimit(hm(ms(door.at)), left(ms(door.at) - now.value)) : text.doorOver(hm(ms(door.at)))}</small>}</span><span /></li>
            </ol></div>
          </>
        )}
        <p class="row note f2"><span>{task.pending ? text.waitSend : signedAt ? text.signedAt(hm(ms(signedAt))) : stateText(task)}</span><span class="sp" />{person && <span>{text.logged}</span>}</p>
        <Why task={task} folded />
        {done && <p class="note f2">{stateText(task)}{task.outcome && <><Dot />{both(task.outcomes.find((o) => o.kind === task.outcome)?.text)}</>}</p>}
      </main>
      {!done && (
        <div class="foot last">
          <button type="button" class="btn pri big" onClick={() => { void act({ kind: "arrive", path: `/tasks/${task.task_id}/arrive`, taskId: task.task_id, label: { zh: "到门口", en: "At the door" } }); route(`/m/task/${task.task_id}/outcome`); }}><Icon name="dooropen" />{text.atDoor}</button>
          <div class="two-b">
            <a class="btn wide" href={`/m/task/${task.task_id}/outcome`}><Icon name="phonecall" />{text.byPhone}</a>
            <button type="button" class="btn danger wide" onClick={() => setSos(true)}><Icon name="siren" />{text.emergency}</button>
          </div>
        </div>
      )}
      <Dialog sheet open={calling !== null} title={calling ? `${calling.label}${both({ zh: "：", en: ": " })}${text.reached}` : ""} onClose={() => setCalling(null)}>
        <div class="og">
          {([["safe", text.safe], ["reached", t().alert.result["reached"]!], ["no_answer", text.noAnswerCall], ["busy", text.busyLine], ["wrong_number", text.wrongNumber], ["message_sent", t().alert.result["message_sent"]!]] as const).map(([result, label]) => (
            <button key={result} type="button" class="o mid" onClick={() => {
              const c = calling!;
              setCalling(null);
              void act({ kind: "contact", path: `/tasks/${task.task_id}/contact`, taskId: task.task_id, body: { who: c.who, result }, label: { zh: `联系${c.label}：${label}`, en: `Contact ${c.label}: ${label}` } }).then(() => say(text.sent(label)));
              if (result === "safe") route(`/m/task/${task.task_id}/outcome?pick=safe_at_home`);
            }}>{label}</button>
          ))}
        </div>
      </Dialog>
      <Dialog sheet open={sos} title={text.emergencyTitle} onClose={() => setSos(false)}>
        <p class="note f2 gapb">{text.emergencyNote} {person?.address ?? placeLine(task.path, task.place)}</p>
        <div class="two-b"><a class="btn danger big" href="tel:120" target="_self">{text.emergency120}</a><a class="btn danger big" href="tel:110" target="_self">{text.emergency110}</a></div>
      </Dialog>
    </>
  );
}
