// What a person chose on this device: language, theme, sound. Kept in localStorage and, once
// signed in, with the account (lib/session.ts).
import { effect, signal } from "@preact/signals";

export type Lang = "zh" | "en";
export type Theme = "dark" | "light";
export type Surface = "desk" | "wall" | "phone";

function stored<T extends string>(key: string, allowed: readonly T[]): T | null {
  try {
    const value = localStorage.getItem(`gw.${key}`) as T | null;
    return value && allowed.includes(value) ? value : null;
  } catch {
    return null; // storage may be forbidden; the choice then lasts as long as the page
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`gw.${key}`, value);
  } catch {
    /* as above */
  }
}

const preferred: Lang = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
export const lang = signal<Lang>(stored("lang", ["zh", "en"] as const) ?? preferred);
export const surface = signal<Surface>("desk");
/** null: the surface's own choice (wall dark, desk light, phone as the system). */
export const chosenTheme = signal<Theme | null>(stored("theme", ["dark", "light"] as const));
export const sound = signal(stored("sound", ["on", "off"] as const) === "on");
export const shortcuts = signal(stored("keys", ["on", "off"] as const) !== "off");

const night = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(night.matches);
night.addEventListener("change", (event) => (systemDark.value = event.matches));

export function theme(): Theme {
  if (chosenTheme.value) return chosenTheme.value;
  if (surface.value === "wall") return "dark";
  return surface.value === "phone" && systemDark.value ? "dark" : "light";
}

export function chooseLang(next: Lang): void {
  lang.value = next;
  keep("lang", next);
}

export function chooseTheme(next: Theme): void {
  chosenTheme.value = next;
  keep("theme", next);
}

effect(() => {
  const root = document.documentElement;
  root.lang = lang.value === "zh" ? "zh-CN" : "en";
  root.dataset["theme"] = theme();
  root.dataset["surface"] = surface.value;
});
effect(() => keep("sound", sound.value ? "on" : "off"));
effect(() => keep("keys", shortcuts.value ? "on" : "off"));
