// The gridworker's state: tasks as last known, unsent work laid over them, and sending.
import { computed, signal } from "@preact/signals";
import { ApiError, BASE, csrf, get, query } from "./api";
import { eventNow } from "./clock";
import { iso } from "./format";
import { all, db, flush, put, takeBack, wipe, type Piece } from "./outbox";
import { look, turnOff } from "./push";
import { ask, phase, session } from "./session";
import { keep } from "./settings";
import type { Page, Session, TaskDetail, TaskSummary } from "./types";

export const UNDO_MS = 5_000;
const OPEN = ["dispatched", "escalated", "reassigned", "signed", "handling"];
const DONE = ["reported", "closed"];

export const online = signal(navigator.onLine);
export const pieces = signal<Piece[]>([]);
export const mine = signal<TaskSummary[] | null>(null);
/** Event time of the list on screen. */
export const listedAt = signal(0);
export const failure = signal<unknown>(null);
export interface Toast {
  text: string;
  undo?: string[];
  until: number;
}
export const toast = signal<Toast | null>(null);

/** Whose work this is; remembered, so that the phone works after a restart without a network. */
export const who = computed(() => session.value?.account.name ?? localStorage.getItem("gw.account") ?? "");

// -- tasks --------------------------------------------------------------------------------------

/** Read something, and keep it for when there is no network. */
export async function read<T>(path: string): Promise<{ data: T; at: number }> {
  const account = who.value;
  try {
    const data = await get<T>(path);
    online.value = true;
    const at = Math.floor(eventNow());
    void db().then((d) => d.put("cache", { path, account, data, at }));
    return { data, at };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 0) throw error;
    online.value = false;
    const kept = await (await db()).get("cache", path);
    if (kept && kept.account === account) return { data: kept.data as T, at: kept.at };
    throw error;
  }
}

export const listPath = (which: "open" | "done" | "grid"): string =>
  `/tasks${query({ mine: which === "grid" ? "" : "true", state: which === "done" ? DONE : OPEN, limit: "100" })}`;

export async function refresh(): Promise<void> {
  if (!who.value) return;
  try {
    const { data, at } = await read<Page<TaskSummary>>(listPath("open"));
    mine.value = data.items;
    listedAt.value = at;
    failure.value = null;
    // What may be needed on a staircase without a network is read ahead.
    if (online.value) {
      for (const task of data.items.slice(0, 12)) {
        void read<TaskDetail>(`/tasks/${task.task_id}`).catch(() => undefined);
        void read(`/tasks/${task.task_id}/curves?days=1`).catch(() => undefined);
      }
      void read("/incidents/topics").catch(() => undefined);
      void read("/places").catch(() => undefined);
    }
  } catch (error) {
    failure.value = error;
  }
}

const AFTER: Partial<Record<Piece["kind"], TaskSummary["state"]>> = { sign: "signed", contact: "handling", arrive: "handling", report: "reported", "pass-on": "reassigned" };

/** A task as it will be once the unsent work has arrived. */
export function overlay<T extends TaskSummary>(task: T): T & { pending?: boolean } {
  let out: T & { pending?: boolean } = task;
  for (const p of pieces.value) {
    const state = p.taskId === task.task_id && !p.refused ? AFTER[p.kind] : undefined;
    if (!state) continue;
    // The limit that runs moves on with the state, as far as the phone knows it.
    const order = ["sign", "contact", "door", "report", "close"];
    const done = p.kind === "sign" ? 0 : p.kind === "contact" ? 1 : p.kind === "arrive" ? 2 : 3;
    const due = task.limits.find((l) => order.indexOf(l.step) > done && l.at) ?? out.due;
    out = { ...out, state, due, pending: true, mine: p.kind !== "pass-on" };
  }
  return out;
}

export const todo = computed(() =>
  (mine.value ?? []).map(overlay).filter((x) => OPEN.includes(x.state) && x.mine !== false)
    .sort((a, b) => (a.due?.at ?? "9").localeCompare(b.due?.at ?? "9")));

// -- acting -------------------------------------------------------------------------------------

const random = (): string => crypto.randomUUID();

export interface Doing {
  kind: Piece["kind"];
  path: string;
  taskId?: string;
  body?: Record<string, unknown>;
  label: { zh: string; en: string };
  undo?: boolean;
  photos?: readonly Blob[];
  /** Where photos go before this is sent. */
  photoPath?: string;
  /** Whether their ids belong into the body. */
  photoIds?: boolean;
}

/** Keep what was done, show it at once, send it when possible. Returns the keys, for undoing. */
export async function act(doing: Doing): Promise<string[]> {
  const tappedAt = eventNow();
  const notBefore = doing.undo ? Date.now() + UNDO_MS : 0;
  const base = { account: who.value, tappedAt, notBefore, taskId: doing.taskId, label: doing.label };
  const ids: string[] = [];
  for (const photo of doing.photos ?? []) {
    const id = random();
    ids.push(id);
    await put({ ...base, id, kind: "photo", path: doing.photoPath!, photo });
  }
  const id = random();
  await put({ ...base, id, kind: doing.kind, path: doing.path, body: doing.kind === "pass-on" ? { ...doing.body } : { ...doing.body, at: iso(tappedAt) }, photos: doing.photoIds ? [...ids] : undefined });
  ids.push(id);
  await reload();
  send();
  return ids;
}

export async function reload(): Promise<void> {
  pieces.value = who.value ? await all(who.value) : [];
}

export async function undo(ids: readonly string[]): Promise<boolean> {
  const taken = await Promise.all(ids.map(takeBack));
  await reload();
  return taken.some(Boolean);
}

let timer: ReturnType<typeof setTimeout> | undefined;
let wait = 2_000;

async function token(): Promise<string | null> {
  if (csrf.value) return csrf.value;
  const answer = await fetch(`${BASE}/session`, { credentials: "same-origin" });
  if (answer.status === 401) return null;
  const found = (await answer.json()) as Session;
  csrf.value = found.csrf;
  return found.csrf;
}

/** Send what is due; try again by itself while anything waits. */
export function send(): void {
  clearTimeout(timer);
  if (!who.value) return;
  void flush(BASE, who.value, token, () => void reload()).then(async (how) => {
    await reload();
    if (how === "empty") {
      wait = 2_000;
      online.value = true;
      if (sentSomething) void refresh();
      sentSomething = false;
      return;
    }
    sentSomething = true;
    if (how === "offline") online.value = false;
    if (how === "signed-out") phase.value = "out";
    const next = Math.min(...pieces.value.filter((p) => !p.refused).map((p) => p.notBefore)) - Date.now();
    const pause = next > 0 ? next + 50 : (wait = Math.min(60_000, wait * 1.7));
    timer = setTimeout(send, pause);
    const sync = (await navigator.serviceWorker?.getRegistration("/m")) as (ServiceWorkerRegistration & { sync?: { register: (tag: string) => Promise<void> } }) | undefined;
    await sync?.sync?.register("outbox").catch(() => undefined);
  });
}
let sentSomething = true;

export function say(text: string, undoIds?: string[]): void {
  const shown: Toast = { text, undo: undoIds, until: Date.now() + UNDO_MS };
  toast.value = shown;
  setTimeout(() => { if (toast.value === shown) toast.value = null; }, UNDO_MS);
}

/** Begin: remember whose phone it is, send what waits, listen for the network. */
export function begin(): () => void {
  if (session.value) {
    const name = session.value.account.name;
    if (localStorage.getItem("gw.account") !== name) void wipe();
    keep("account", name);
  }
  void reload().then(send);
  void refresh();
  const up = (): void => {
    online.value = true;
    wait = 2_000;
    if (phase.value === "unreachable") void ask(); // it began without a network
    send();
    void refresh();
  };
  const down = (): void => { online.value = false; };
  const back = (): void => { if (!document.hidden) { send(); void refresh(); } };
  addEventListener("online", up);
  addEventListener("offline", down);
  document.addEventListener("visibilitychange", back);
  const every = setInterval(() => {
    if (phase.value === "unreachable") void ask();
    void refresh();
  }, 60_000);
  void navigator.serviceWorker?.register("/sw.js", { scope: "/m" }).then(look).catch(() => undefined);
  return () => {
    removeEventListener("online", up);
    removeEventListener("offline", down);
    document.removeEventListener("visibilitychange", back);
    clearInterval(every);
    clearTimeout(timer);
  };
}

/** Leave nothing of the tasks on a phone that somebody signs out of. */
export async function leave(): Promise<void> {
  await turnOff().catch(() => undefined);
  await wipe();
  localStorage.removeItem("gw.account");
  mine.value = null;
}
