// What a dispatcher can do to a task: buttons with their keys, and the dialog that each opens.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, post } from "../lib/api";
import { useData } from "../lib/data";
import { both, t } from "../lib/i18n";
import { useKeys } from "../lib/keys";
import { may } from "../lib/session";
import type { TaskDetail, WorkerInfo } from "../lib/types";
import { Dialog, Field } from "./basics";
import { Icon, type IconName } from "./icon";

export type Act = "contact" | "reassign" | "transfer" | "escalate" | "whistle" | "supervise" | "close" | "reject" | "reopen" | "cancel";

const LOOK: Record<Act, { icon: IconName; key?: string; label: () => string }> = {
  contact: { icon: "phone", key: "c", label: () => t().act.contact },
  reassign: { icon: "user", key: "r", label: () => t().act.reassign },
  transfer: { icon: "transfer", label: () => t().act.transfer },
  escalate: { icon: "out", key: "e", label: () => t().act.escalate },
  whistle: { icon: "megaphone", key: "w", label: () => t().act.whistle },
  supervise: { icon: "bell", label: () => t().act.supervise },
  close: { icon: "check", label: () => t().act.closeTask },
  reject: { icon: "undo", label: () => t().act.reject },
  reopen: { icon: "refresh", label: () => t().act.reopen },
  cancel: { icon: "x", label: () => t().act.cancelTask },
};
const ORDER: readonly Act[] = ["contact", "supervise", "transfer", "reassign", "reject", "cancel", "reopen", "close", "whistle", "escalate"];

/** The one that is likely next is drawn as the primary action. */
function primary(actions: readonly Act[], overdue: boolean): Act | undefined {
  const wanted: Act[] = overdue ? ["close", "whistle", "escalate"] : ["close", "escalate", "whistle"];
  return wanted.find((a) => actions.includes(a));
}

export function TaskActions({ taskId, actions, overdue, onDone }: { taskId: string; actions: readonly string[]; overdue: boolean; onDone: (task: TaskDetail) => void }): JSX.Element | null {
  const [open, setOpen] = useState<Act | null>(null);
  const usable = ORDER.filter((a) => actions.includes(a) && may(a));
  const first = primary(usable, overdue);
  const start = (act: Act) => (): void => { if (usable.includes(act)) setOpen(act); };
  useKeys({ c: start("contact"), r: start("reassign"), e: start("escalate"), w: start("whistle") });
  const shown = [...usable.filter((a) => a !== first), ...(first ? [first] : [])];
  return (
    <div class="acts">
      {shown.map((a) => (
        <button key={a} type="button" class={`btn ${a === first ? "pri" : ""}`} onClick={() => setOpen(a)}>
          {a !== first && <Icon name={LOOK[a].icon} />}{LOOK[a].label()}
          {LOOK[a].key && <kbd class="kbd" aria-hidden="true">{LOOK[a].key!.toUpperCase()}</kbd>}
        </button>
      ))}
      {open && <ActDialog act={open} taskId={taskId} onClose={() => setOpen(null)} onDone={(task) => { setOpen(null); onDone(task); }} />}
    </div>
  );
}

const RESULTS = ["reached", "no_answer", "busy", "wrong_number", "message_sent", "safe", "help"] as const;
const QUEUES = ["gridworker", "grid_leader", "street", "department"] as const;
const LIMITS_S = [1_800, 3_600, 7_200, 14_400, 86_400] as const;

function ActDialog({ act, taskId, onClose, onDone }: { act: Act; taskId: string; onClose: () => void; onDone: (task: TaskDetail) => void }): JSX.Element {
  const text = t().alert;
  const [why, setWhy] = useState("");
  const [to, setTo] = useState("");
  const [queue, setQueue] = useState<string>("grid_leader");
  const [who, setWho] = useState("resident");
  const [result, setResult] = useState<string>("reached");
  const [departments, setDepartments] = useState<string[]>([]);
  const [limit, setLimit] = useState<number>(7_200);
  const [satisfaction, setSatisfaction] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const [key, setKey] = useState(() => crypto.randomUUID());
  const workers = useData<WorkerInfo[]>(act === "reassign" || act === "transfer" ? "/workers" : null);
  useEffect(() => setKey(crypto.randomUUID()), [why, to, queue, who, result, limit, departments, satisfaction]);
  const body = (): unknown => {
    switch (act) {
      case "reassign": return { to, why };
      case "transfer": return { queue, to: to || null, why };
      case "contact": return { who, result };
      case "whistle": return { departments, limit_s: limit, why };
      case "close": return { why, satisfaction: satisfaction ? Number(satisfaction) : null };
      default: return { why };
    }
  };
  const optional = act === "close" || act === "reassign" || act === "contact";
  const ready = (optional || why.trim() !== "") && (act !== "reassign" || to !== "") && (act !== "whistle" || departments.length > 0);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError("");
    try {
      onDone(await post<TaskDetail>(`/tasks/${encodeURIComponent(taskId)}/${act}`, body(), { key }));
    } catch (e) {
      setError((e as ApiError).message);
      setBusy(false);
    }
  };
  const people = (workers.data ?? []).map((w) => (
    <option key={w.worker_id} value={w.worker_id}>{both(w.label)}{w.grids.length ? ` · ${w.grids.slice(0, 2).map((g) => g.name).join(both({ zh: "、", en: ", " }))}` : ""}{w.on_duty ? "" : ` · ${t().tasksPage.no}`} · {t().board.q.open} {w.open}</option>
  ));
  return (
    <Dialog open title={LOOK[act].label()} onClose={onClose}>
      <form onSubmit={(e) => void send(e)}>
        {act === "contact" && (
          <div class="formrow">
            <Field label={text.contactWho}><select class="field" value={who} onChange={(e) => setWho(e.currentTarget.value)}><option value="resident">{t().phone.self}</option><option value="family">{t().phone.family}</option></select></Field>
            <Field label={text.contactResult}><select class="field" value={result} onChange={(e) => setResult(e.currentTarget.value)}>{RESULTS.map((r) => <option key={r} value={r}>{text.result[r]}</option>)}</select></Field>
          </div>
        )}
        {act === "transfer" && <Field label={text.queue}><select class="field" value={queue} onChange={(e) => setQueue(e.currentTarget.value)}>{QUEUES.map((q) => <option key={q} value={q}>{t().task.queue[q]}</option>)}</select></Field>}
        {(act === "reassign" || act === "transfer") && (
          <Field label={text.to}><select class="field" required={act === "reassign"} value={to} onChange={(e) => setTo(e.currentTarget.value)}><option value="">{text.toWhom}</option>{people}</select></Field>
        )}
        {act === "whistle" && (
          <>
            <div class="fl"><span class="lb" id="deps">{text.departments}</span>
              <div class="deps" role="group" aria-labelledby="deps">{text.deps.map((d) => (
                <button key={d} type="button" aria-pressed={departments.includes(d)} onClick={() => setDepartments(departments.includes(d) ? departments.filter((x) => x !== d) : [...departments, d])}>{d}</button>
              ))}</div></div>
            <Field label={text.limit}><select class="field" value={String(limit)} onChange={(e) => setLimit(Number(e.currentTarget.value))}>{LIMITS_S.map((s) => <option key={s} value={String(s)}>{s < 3_600 ? text.minutes(s / 60) : text.hours(s / 3_600)}</option>)}</select></Field>
          </>
        )}
        {act === "close" && <Field label={text.satisfaction}><select class="field" value={satisfaction} onChange={(e) => setSatisfaction(e.currentTarget.value)}><option value="">{text.notAsked}</option>{[5, 4, 3, 2, 1].map((n) => <option key={n} value={String(n)}>{n} / 5</option>)}</select></Field>}
        {act !== "contact" && <Field label={text.why} hint={optional ? undefined : text.whyNeeded}><textarea class="field" maxLength={500} required={!optional} value={why} onInput={(e) => setWhy(e.currentTarget.value)} /></Field>}
        <p class="err" role="alert">{error}</p>
        <div class="acts">
          <button type="button" class="btn ghost" onClick={onClose}>{t().act.cancel}</button>
          <button type="submit" class={`btn ${act === "cancel" ? "danger" : "pri"}`} disabled={!ready || busy}>{LOOK[act].label()}</button>
        </div>
      </form>
    </Dialog>
  );
}
