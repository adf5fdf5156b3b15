// The live stream: one EventSource for the page, resumed where it broke, heard by whoever asks.
import { signal } from "@preact/signals";
import { BASE, parse, signedOut } from "./api";
import { ms } from "./format";
import { takeClock } from "./session";
import type { AlertMessage, AlertSummary, Clock, Resync, TaskMessage, TaskSummary } from "./types";

export interface Batch {
  alerts: AlertSummary[];
  tasks: TaskSummary[];
  resync: boolean;
}
type Listener = (batch: Batch) => void;

export const connected = signal<boolean | null>(null);
/** Event time of the last word from the server. */
export const heardAt = signal<number>(NaN);

const listeners = new Set<Listener>();
let source: EventSource | null = null;
let cursor: string | null = null;
let retry = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let pending: Batch = { alerts: [], tasks: [], resync: false };
let flushing = false;

export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Open the stream behind a cursor; a stream that runs already goes on. */
export function open(from: number | null): void {
  if (source && source.readyState !== EventSource.CLOSED) return;
  if (cursor === null && from !== null) cursor = String(from);
  connect();
}

export function close(): void {
  clearTimeout(timer);
  source?.close();
  source = null;
  cursor = null;
  connected.value = null;
}

function connect(): void {
  source?.close();
  const stream = (source = new EventSource(`${BASE}/stream${cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`}`));
  stream.onopen = () => {
    retry = 0;
    connected.value = true;
  };
  stream.onerror = () => {
    connected.value = false;
    // The browser reconnects by itself, unless the answer was an error: then we do, ever slower.
    if (stream.readyState === EventSource.CLOSED && stream === source) {
      clearTimeout(timer);
      timer = setTimeout(connect, Math.min(30_000, 1000 * 2 ** retry++));
    }
  };
  const hear = <T>(name: string, take: (data: T) => void): void =>
    stream.addEventListener(name, (event) => {
      const message = event as MessageEvent<string>;
      if (message.lastEventId) cursor = message.lastEventId;
      connected.value = true;
      take(parse<T>(message.data));
    });
  hear<AlertMessage>("alert", (m) => add((b) => b.alerts.push(m.alert)));
  hear<TaskMessage>("task", (m) => add((b) => b.tasks.push(m.task)));
  hear<Clock>("clock", (c) => {
    takeClock(c);
    heardAt.value = ms(c.now);
  });
  hear<Resync>("resync", (m) => {
    cursor = String(m.cursor);
    add((b) => (b.resync = true));
  });
  hear<{ why: string }>("bye", () => {
    close();
    signedOut.hook();
  });
}

function add(put: (batch: Batch) => void): void {
  put(pending);
  if (flushing) return;
  flushing = true;
  setTimeout(() => {
    flushing = false;
    const batch = pending;
    pending = { alerts: [], tasks: [], resync: false };
    for (const listener of listeners) listener(batch);
  }, 250);
}
