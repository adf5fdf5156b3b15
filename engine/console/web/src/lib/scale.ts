// Scales and ticks for the charts.
import { md, parts, startOfDay, weekday } from "./format";

export const linear = (d0: number, d1: number, r0: number, r1: number) => (v: number): number =>
  d1 === d0 ? r0 : r0 + ((v - d0) / (d1 - d0)) * (r1 - r0);

/** Round tick values from 0 to at least the maximum. */
export function ticks(max: number, want = 4): number[] {
  if (!(max > 0)) return [0, 1];
  const raw = max / want;
  const power = 10 ** Math.floor(Math.log10(raw));
  const stepSize = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw)!;
  const out: number[] = [];
  for (let v = 0; v < max + stepSize * 0.999; v += stepSize) out.push(+v.toPrecision(10));
  return out;
}

const HOUR = 3_600_000, DAY = 24 * HOUR;

/** Tick marks of a time axis: hours within a day or two, days beyond. */
export function timeTicks(from: number, to: number, room: number): { at: number; label: string }[] {
  const out: { at: number; label: string }[] = [];
  if (to - from <= 2.2 * DAY) {
    const per = [1, 2, 3, 4, 6, 12].find((h) => (to - from) / (h * HOUR) <= room / 70) ?? 12;
    for (let at = startOfDay(from); at <= to; at += per * HOUR) {
      if (at < from) continue;
      const h = Math.round((at - startOfDay(at)) / HOUR);
      const label = h === 0 && at - from > DAY / 2 && to - at < HOUR ? "24:00" : `${String(parts(at).h).padStart(2, "0")}:00`;
      out.push({ at, label });
    }
    return out;
  }
  const every = Math.max(1, Math.ceil((to - from) / DAY / (room / 76)));
  for (let day = startOfDay(from), i = 0; day < to; day = startOfDay(day, 1), i++) {
    if (i % every === 0 && day >= from - DAY / 2) out.push({ at: day, label: every === 1 ? `${md(day)} ${weekday(day).replace("周", "")}` : md(day) });
  }
  return out;
}
