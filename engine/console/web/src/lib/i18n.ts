// Texts: one typed catalogue per language; a missing text is a type error, not a blank.
import { lang } from "./settings";
import { en } from "../texts/en";
import { zh, type Texts } from "../texts/zh";

export function t(): Texts {
  return lang.value === "zh" ? zh : en;
}

/** A text that the engine gives in both languages. */
export function both(text: { zh?: string; en?: string } | string | null | undefined): string {
  if (!text) return "";
  if (typeof text === "string") return text;
  return (lang.value === "zh" ? text.zh || text.en : text.en || text.zh) ?? "";
}
