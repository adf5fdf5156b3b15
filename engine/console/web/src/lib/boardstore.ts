// The board's list of open alerts: pages from the API, changes from the stream, one order.
import { signal } from "@preact/signals";
import { get, query } from "./api";
import { keepSound } from "./chime";
import type { Batch } from "./live";
import type { AlertSummary, Page } from "./types";
import { briefOf, ENDED, pressing, unsigned } from "./view";

export interface Filters {
  level: string;
  unsigned: string;
  mark: string;
  place: string;
  q: string;
}
export const NO_FILTERS: Filters = { level: "", unsigned: "", mark: "", place: "", q: "" };

/** Ids in the order of the list shown last: previous and next on an alert's page follow it. */
export const lastOrder = signal<string[]>([]);

export class BoardList {
  readonly items = signal<AlertSummary[]>([]);
  readonly total = signal<number | null>(null);
  readonly error = signal<unknown>(null);
  readonly loading = signal(true);
  /** New rows that wait, because somebody has a pointer or the focus on the list. */
  readonly held = signal<AlertSummary[]>([]);
  /** While true the list does not move by itself. */
  still = false;
  /** Rows that came within the last batch, to fade in. */
  arrived = new Set<string>();

  private next: string | null = null;
  private fetching: AbortController | null = null;
  private filters: Filters = NO_FILTERS;
  private end = false;

  /** Read the first page anew. */
  async load(filters: Filters): Promise<void> {
    this.fetching?.abort();
    const control = (this.fetching = new AbortController());
    const changed = JSON.stringify(filters) !== JSON.stringify(this.filters);
    this.filters = filters;
    if (changed) this.loading.value = true;
    try {
      // After a break as many rows are read again as were shown, so that nobody's place is lost.
      const limit = Math.min(500, Math.max(60, changed ? 0 : this.items.value.length));
      const page = await get<Page<AlertSummary>>(`/alerts${this.query({ limit: String(limit) })}`, { signal: control.signal });
      this.items.value = page.items;
      this.next = page.next;
      this.end = page.next === null;
      this.total.value = page.total;
      this.error.value = null;
      this.held.value = [];
    } catch (error) {
      if ((error as Error).name === "AbortError") return;
      this.error.value = error;
    }
    this.loading.value = false;
    this.fetching = null;
  }

  /** Read on, when the end of what is loaded comes into view. */
  async more(): Promise<void> {
    if (this.fetching || this.end || !this.next) return;
    const control = (this.fetching = new AbortController());
    try {
      const page = await get<Page<AlertSummary>>(`/alerts${this.query({ limit: "200", cursor: this.next })}`, { signal: control.signal });
      const known = new Set(this.items.value.map((a) => a.alert_id));
      this.items.value = [...this.items.value, ...page.items.filter((a) => !known.has(a.alert_id))];
      this.next = page.next;
      this.end = page.next === null;
    } catch {
      /* the next scroll asks again */
    }
    this.fetching = null;
  }

  private query(extra: Record<string, string>): string {
    const f = this.filters;
    return query({ level: f.level, unsigned: f.unsigned && "true", mark: f.mark, place: f.place, q: f.q, sort: "pressing", ...extra });
  }

  private fits(a: AlertSummary): boolean {
    const f = this.filters;
    if (a.state !== "firing" && (!a.task || ENDED.has(a.task.state))) return false;
    if (f.level && a.level !== f.level) return false;
    if (f.place && !a.place.place.startsWith(f.place)) return false;
    if (f.unsigned && !unsigned(a.task)) return false;
    if (f.mark && a.task?.mark !== f.mark) return false;
    return !f.q; // whether it fits a search only the server knows
  }

  /** Take a batch of the stream. Returns the alerts that are new here. */
  apply(batch: Batch): AlertSummary[] {
    const byId = new Map(this.items.value.map((a) => [a.alert_id, a]));
    const waiting = new Map(this.held.value.map((a) => [a.alert_id, a]));
    const fresh: AlertSummary[] = [];
    for (const a of batch.alerts) {
      const old = byId.get(a.alert_id) ?? waiting.get(a.alert_id);
      if (old && old.seq > a.seq) continue;
      const next = a.task || !old ? a : { ...a, task: old.task };
      if (!this.fits(next)) {
        byId.delete(a.alert_id);
        waiting.delete(a.alert_id);
      } else if (byId.has(a.alert_id)) byId.set(a.alert_id, next);
      else {
        if (!old) fresh.push(next);
        (this.still ? waiting : byId).set(a.alert_id, next);
      }
    }
    for (const task of batch.tasks) {
      const old = byId.get(task.alert_id) ?? waiting.get(task.alert_id);
      if (!old) continue;
      const next = { ...old, task: briefOf(task) };
      const home = byId.has(task.alert_id) ? byId : waiting;
      // A closed task ends it here; should the alert change after that, it comes again by itself.
      if (this.fits(next) && task.state !== "closed") home.set(task.alert_id, next);
      else home.delete(task.alert_id);
    }
    this.arrived = new Set(fresh.map((a) => a.alert_id));
    this.held.value = [...waiting.values()];
    // A list that is still keeps its order; its rows change where they stand.
    const rows = [...byId.values()];
    if (!this.still) {
      rows.sort(pressing);
      // Beyond the last page that was read the order is the server's to tell.
      if (!this.end && rows.length > this.items.value.length + 100) rows.length = this.items.value.length + 100;
    }
    this.items.value = rows;
    if (fresh.some((a) => a.level === "red")) keepSound();
    return fresh;
  }

  release(): void {
    const ids = new Set(this.items.value.map((a) => a.alert_id));
    const coming = this.held.value.filter((a) => !ids.has(a.alert_id));
    this.arrived = new Set(coming.map((a) => a.alert_id));
    this.items.value = [...this.items.value, ...coming].sort(pressing);
    this.held.value = [];
  }

  settle(): void {
    this.still = false;
    if (this.held.value.length) this.release();
    else this.items.value = [...this.items.value].sort(pressing);
  }
}
