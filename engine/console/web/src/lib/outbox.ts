// The gridworker's unsent work: kept on the device, sent in order, each piece under a key of its
// own, so that sending it twice does it once. The page and the service worker share this module;
// a lock lets only one of them send.
import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Problem, TaskSummary } from "./types";

export interface Piece {
  /** The Idempotency-Key. */
  id: string;
  number?: number;
  account: string;
  kind: "sign" | "contact" | "arrive" | "report" | "pass-on" | "photo" | "incident";
  path: string;
  body?: Record<string, unknown>;
  photo?: Blob;
  /** Pieces whose answers' photo ids belong into `body.photos`. */
  photos?: string[];
  taskId?: string;
  /** What the list of unsent work calls it. */
  label: { zh: string; en: string };
  /** Event time of the tap, ms. */
  tappedAt: number;
  /** Device time before which it is not sent: the time to undo. */
  notBefore: number;
  refused?: { status: number; title: { zh: string; en: string }; detail: string; task: TaskSummary | null; at: number };
}

interface Schema extends DBSchema {
  outbox: { key: number; value: Piece; indexes: { id: string } };
  results: { key: string; value: { id: string; photoId: string } };
  cache: { key: string; value: { path: string; account: string; data: unknown; at: number } };
}

let opened: Promise<IDBPDatabase<Schema>> | null = null;
export const db = (): Promise<IDBPDatabase<Schema>> =>
  (opened ??= openDB<Schema>("gridwarden", 1, {
    upgrade(d) {
      d.createObjectStore("outbox", { keyPath: "number", autoIncrement: true }).createIndex("id", "id", { unique: true });
      d.createObjectStore("results", { keyPath: "id" });
      d.createObjectStore("cache", { keyPath: "path" });
    },
  }));

export async function put(piece: Piece): Promise<void> {
  await (await db()).add("outbox", piece);
}

export async function all(account: string): Promise<Piece[]> {
  return (await (await db()).getAll("outbox")).filter((p) => p.account === account);
}

/** Take a piece back; false if it has gone out already. */
export async function takeBack(id: string): Promise<boolean> {
  const tx = (await db()).transaction("outbox", "readwrite");
  const key = await tx.store.index("id").getKey(id);
  if (key !== undefined) await tx.store.delete(key);
  await tx.done;
  return key !== undefined;
}

export async function wipe(): Promise<void> {
  const d = await db();
  await Promise.all([d.clear("cache"), d.clear("results")]);
}

export type Outcome = "empty" | "later" | "offline" | "signed-out";

/** Send what is due, in order. Stops at the first piece that cannot be sent now. */
export async function flush(base: string, account: string, token: () => Promise<string | null>, onChange: () => void): Promise<Outcome> {
  return navigator.locks.request("gridwarden-outbox", async () => {
    for (;;) {
      const waiting = (await all(account)).filter((p) => !p.refused).sort((a, b) => a.number! - b.number!);
      if (!waiting.length) return "empty";
      const now = Date.now();
      // A piece within its time to undo does not hold up the others, but its own task's pieces.
      const held = new Set<string>();
      const next = waiting.find((p) => {
        const mine = p.taskId ?? p.id;
        if (held.has(mine)) return false;
        if (p.notBefore <= now) return true;
        held.add(mine);
        return false;
      });
      if (!next) return "later";
      const sent = await send(base, next, token);
      if (sent !== "done") return sent;
      onChange();
    }
  }) as Promise<Outcome>;
}

async function send(base: string, piece: Piece, token: () => Promise<string | null>): Promise<"done" | "later" | "offline" | "signed-out"> {
  const d = await db();
  let answer: Response;
  try {
    const csrf = await token();
    if (csrf === null) return "signed-out";
    const headers: Record<string, string> = { "Idempotency-Key": piece.id, "X-CSRF-Token": csrf, Accept: "application/json" };
    let body: BodyInit;
    if (piece.photo) {
      const form = new FormData();
      form.append("file", piece.photo, "photo.jpg");
      body = form;
    } else {
      const photos: string[] = [];
      for (const id of piece.photos ?? []) {
        const found = await d.get("results", id);
        if (found) photos.push(found.photoId);
      }
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(photos.length ? { ...piece.body, photos } : (piece.body ?? {}));
    }
    // It may have been taken back while its turn came.
    if (!(await d.getFromIndex("outbox", "id", piece.id))) return "done";
    answer = await fetch(base + piece.path, { method: "POST", headers, body, credentials: "same-origin" });
  } catch {
    return "offline";
  }
  if (answer.ok) {
    if (piece.kind === "photo") {
      const made = (await answer.json()) as { photo_id: string };
      await d.put("results", { id: piece.id, photoId: made.photo_id });
    }
    await d.delete("outbox", piece.number!);
    return "done";
  }
  if (answer.status === 401) return "signed-out";
  if (answer.status === 408 || answer.status === 429 || answer.status >= 500) return "later";
  const problem = (await answer.json().catch(() => null)) as Problem | null;
  if (problem?.code === "csrf") return "later"; // the session was renewed meanwhile
  await d.put("outbox", {
    ...piece,
    refused: {
      status: answer.status, detail: problem?.detail ?? "", task: problem?.task ?? null, at: Date.now(),
      title: problem?.title ?? { zh: `服务器拒绝（${answer.status}）`, en: `Refused by the server (${answer.status})` },
    },
  });
  return "done";
}
