// Numbers, times and durations as people read them; every function follows the chosen language.
import { zone } from "./clock";
import { lang } from "./settings";

const MINUS = "\u2212";
const MIN = 60_000, HOUR = 3_600_000, DAY = 86_400_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(options: Intl.DateTimeFormatOptions, at: number): string {
  const key = `${lang.value}${zone.value}${JSON.stringify(options)}`;
  let found = formats.get(key);
  if (!found) {
    const locale = lang.value === "zh" ? "zh-CN" : "en-GB";
    found = new Intl.DateTimeFormat(locale, { timeZone: zone.value, hourCycle: "h23", ...options });
    formats.set(key, found);
  }
  return found.format(at);
}

export function ms(at: string | number | null | undefined): number {
  if (at === null || at === undefined) return NaN;
  return typeof at === "number" ? at : Date.parse(at);
}

export const clock = (at: number): string => format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }, at);
export const hm = (at: number): string => format({ hour: "2-digit", minute: "2-digit" }, at);
export const weekday = (at: number): string => format({ weekday: "short" }, at);

/** Calendar parts on the watched place's clock. */
export function parts(at: number): { y: number; mo: number; d: number; h: number; mi: number; wd: number } {
  const key = `parts${zone.value}`;
  let f = formats.get(key);
  if (!f) {
    f = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone.value, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
      hour: "numeric", minute: "numeric", weekday: "short",
    });
    formats.set(key, f);
  }
  const p = Object.fromEntries(f.formatToParts(at).map((x) => [x.type, x.value]));
  const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  return { y: +p["year"]!, mo: +p["month"]!, d: +p["day"]!, h: +p["hour"]!, mi: +p["minute"]!, wd: days.indexOf(p["weekday"]!) };
}

/** Minutes east of UTC at an instant. */
function offset(at: number): number {
  const p = parts(at);
  return Math.round((Date.UTC(p.y, p.mo - 1, p.d, p.h, p.mi) - Math.floor(at / MIN) * MIN) / MIN);
}

export const startOfDay = (at: number, days = 0): number => {
  const p = parts(at);
  const guess = Date.UTC(p.y, p.mo - 1, p.d + days);
  return guess - offset(guess - offset(at) * MIN) * MIN;
};

/** ISO 8601 with the offset of the place, for the server. */
export function iso(at: number): string {
  const off = offset(at);
  const local = new Date(at + off * MIN).toISOString().slice(0, 19);
  const sign = off < 0 ? "-" : "+";
  const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
  return `${local}${sign}${two(Math.abs(off) / 60)}:${two(Math.abs(off) % 60)}`;
}

export const sameDay = (a: number, b: number): boolean => startOfDay(a) === startOfDay(b);
/** 11-19 */
export const md = (at: number): string => {
  const p = parts(at);
  return `${String(p.mo).padStart(2, "0")}-${String(p.d).padStart(2, "0")}`;
};
export const ymd = (at: number): string => `${parts(at).y}-${md(at)}`;
/** 11月19日 周四 / Thu 19 Nov */
export const longDate = (at: number): string =>
  lang.value === "zh"
    ? `${parts(at).mo}月${parts(at).d}日 ${weekday(at)}`
    : format({ weekday: "short", day: "numeric", month: "short" }, at);
/** The time; with the date when it is not today. */
export const at = (when: number, today: number): string => (sameDay(when, today) ? hm(when) : `${md(when)} ${hm(when)}`);

const UNITS = {
  zh: { s: " 秒", m: " 分", h: " 时", hLong: " 小时", d: " 天" },
  en: { s: " s", m: " min", h: " h", hLong: " h", d: " d" },
} as const;

/** 41 分 · 1 时 32 分 · 3 小时 · 2 天 8 小时 */
export function span(length: number, long = false): string {
  const u = UNITS[lang.value];
  const h = long ? u.hLong : u.h;
  const all = Math.max(0, length);
  if (all < MIN) return `${Math.floor(all / 1000)}${u.s}`;
  if (all < HOUR) return `${Math.floor(all / MIN)}${u.m}`;
  if (all < DAY) {
    const m = Math.floor((all % HOUR) / MIN);
    // "3 小时", but "3 时 20 分": 时 alone reads as o'clock.
    return `${Math.floor(all / HOUR)}${m && all < 10 * HOUR ? h : u.hLong}${m && all < 10 * HOUR ? ` ${m}${u.m}` : ""}`;
  }
  const hours = Math.floor((all % DAY) / HOUR);
  return `${Math.floor(all / DAY)}${u.d}${hours && all < 7 * DAY ? ` ${hours}${u.hLong}` : ""}`;
}

/** Countdown: mm:ss under an hour, words above; − once it is past. */
export function left(remaining: number): string {
  const size = Math.abs(remaining);
  const sign = remaining < 0 ? MINUS : "";
  if (size < HOUR) {
    const s = Math.floor(size / 1000);
    return `${sign}${String(Math.floor(s / 60)).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
  }
  return sign + span(size);
}

/** 11 分前 / 11 min ago */
export function ago(length: number): string {
  if (length < 1000) return lang.value === "zh" ? "刚刚" : "just now";
  const u = UNITS[lang.value];
  const text =
    length < MIN ? `${Math.floor(length / 1000)}${u.s}`
    : length < HOUR ? `${Math.floor(length / MIN)}${u.m}`
    : length < DAY ? `${Math.floor(length / HOUR)}${u.hLong}`
    : `${Math.floor(length / DAY)}${u.d}`;
  return lang.value === "zh" ? `${text}前` : `${text} ago`;
}

export function num(value: number | null | undefined, digits = 0): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "—";
  const text = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return value < 0 && Number(text.replace(/,/g, "")) !== 0 ? MINUS + text : text;
}

/** A signed number: +3.1, −0.8 */
export const signed = (value: number, digits = 1): string => (value > 0 ? "+" : "") + num(value, digits);

/** A share as per cent, without the sign. */
export const pct = (share: number | null | undefined, digits = 0): string =>
  share === null || share === undefined ? "—" : num(share * 100, digits);

/** A number with as many digits as it deserves. */
export function sig(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3;
  return num(value, digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** 8×10⁻⁶ */
export function power(value: number | null | undefined): string {
  if (value === null || value === undefined) return "—";
  if (value === 0) return "0";
  if (value >= 0.001) return sig(value);
  const exponent = Math.floor(Math.log10(value));
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = String(Math.abs(exponent)).split("").map((c) => digits[+c]).join("");
  return `${Math.round(value / 10 ** exponent)}×10${exponent < 0 ? "⁻" : ""}${raised}`;
}
