// What alerts and tasks say of themselves in a line: the same words on every page.
import { URGENCY, type Level } from "../parts/level";
import { ms } from "./format";
import { both, t } from "./i18n";
import type { AlertSummary, Limit, PlaceRef, TaskBrief, TaskSummary } from "./types";

const WAITING = new Set(["dispatched", "escalated", "reassigned"]);
export const ENDED = new Set(["closed", "cancelled"]);

export const unsigned = (task: Pick<TaskBrief, "state"> | null): boolean => task !== null && WAITING.has(task.state);

/** A place nobody named has its code for a name; its last part is enough beside the others. */
export const placeName = (p: PlaceRef): string => (!p.name || p.name === p.place) && p.place.length > 6 ? p.place.slice(-3) : p.name || p.place;

const stem = (name: string): string => name.replace(/(社区|村|街道)$/u, "");

/** Street, community and grid; on a task also the building, never the door. */
export function placeLine(path: readonly PlaceRef[], fallback: PlaceRef, short = false): string {
  const shown = path.filter((p) => p.level !== "county" && p.level !== "city" && p.level !== "district");
  const all = (shown.length ? shown : [fallback]).map(placeName);
  // 松溪东社区 松溪东3网格 says 松溪东 twice.
  const names = all.filter((n, i) => i === all.length - 1 || !all[i + 1]!.startsWith(stem(n)));
  // Short: 荷塘 3 网格 rather than 荷塘社区 3 网格.
  if (short) return names.slice(-2).map((n, i, two) => (i < two.length - 1 ? stem(n) : n)).join(" ");
  return names.join(" ");
}

export function stateText(task: Pick<TaskBrief, "state" | "mark"> | null): string {
  const text = t().task;
  if (!task) return text.none;
  if (WAITING.has(task.state) && task.mark === "red") return text.overSign;
  return text[task.state];
}

export const stepText = (limit: Limit | null): string => (limit ? t().limit[limit.step] : "");

/** When the limit began, as far as its bar needs it: the mark comes at 80 %. */
export function limitStart(limit: Limit): number {
  const to = ms(limit.at), warn = ms(limit.yellow_at);
  return to - (to - warn) * 5;
}

/** Level → unsigned → time left, as the server sorts. */
export function pressing(a: AlertSummary, b: AlertSummary): number {
  const due = (x: AlertSummary): number => (x.task?.due ? ms(x.task.due.at) : Infinity);
  return (
    URGENCY[a.level] - URGENCY[b.level] ||
    Number(unsigned(b.task)) - Number(unsigned(a.task)) ||
    (due(a) === due(b) ? 0 : due(a) - due(b)) ||
    (a.alert_id < b.alert_id ? -1 : 1)
  );
}

export const kindText = (kind: string | null): string => (kind ? (t().kind[kind] ?? kind) : "");

/** The row's two parts: what kind of thing (grey) and what was seen. */
export function headline(a: { title: AlertSummary["title"]; reason: AlertSummary["reason"]; subject_kind: string | null }): [string, string] {
  const reason = both(a.reason), title = both(a.title);
  const kind = kindText(a.subject_kind) || title;
  const seen = reason || title;
  // A title that begins with the kind need not say it twice.
  if (seen === kind) return ["", seen];
  return [kind, seen.startsWith(kind) ? seen.slice(kind.length).trim() : seen];
}

export const briefOf = (task: TaskSummary): TaskBrief => ({
  task_id: task.task_id, state: task.state, queue: task.queue, assignee: task.assignee,
  assignee_label: task.assignee_label, mark: task.mark, due: task.due,
});

export const worst = (levels: readonly Level[]): Level | null =>
  levels.length ? [...levels].sort((a, b) => URGENCY[a] - URGENCY[b])[0]! : null;
