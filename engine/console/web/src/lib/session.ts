// Who is signed in. The session itself is a cookie that scripts cannot read.
import { computed, signal } from "@preact/signals";
import { call, csrf, get, signedOut } from "./api";
import { now, setClock, zone } from "./clock";
import { ms } from "./format";
import { chosenTheme, keep, lang, surface } from "./settings";
import type { Account, Clock, Session } from "./types";

export const session = signal<Session | null>(null);
/** Not yet asked, asking failed, signed out, signed in. */
export const phase = signal<"asking" | "unreachable" | "out" | "in">("asking");
export const simulated = signal<Clock["simulated"]>(null);
export const lastData = signal<number | null>(null);

export const may = (operation: string): boolean => session.value?.can.includes(operation) ?? false;
export const isWall = computed(() => session.value?.account.wall ?? false);
export const roles = computed(() => session.value?.account.roles ?? []);

export function takeClock(clock: Clock): void {
  zone.value = clock.zone;
  simulated.value = clock.simulated;
  lastData.value = clock.last_data ? ms(clock.last_data) : null;
  setClock(ms(clock.now), clock.speed || 1);
}

export function takeSession(next: Session): void {
  csrf.value = next.csrf;
  takeClock(next.clock);
  session.value = next;
  phase.value = "in";
  if (next.account.wall) surface.value = "wall";
}

function out(): void {
  session.value = null;
  csrf.value = "";
  phase.value = "out";
}
signedOut.hook = out;

export async function ask(): Promise<void> {
  try {
    takeSession(await get<Session>("/session", { anonymous: true }));
  } catch (error) {
    const status = (error as { status?: number }).status ?? 0;
    if (status === 401 || status === 403) out();
    else phase.value = "unreachable";
  }
}

export async function signIn(name: string, password: string): Promise<void> {
  const next = await call<Session>("POST", "/session", { body: { name, password }, anonymous: true });
  takeSession(next);
  // What was chosen on this device before signing in wins; else the account's own choice.
  if (!localStorage.getItem("gw.lang")) lang.value = next.account.language;
  if (!chosenTheme.value && next.account.theme !== "auto") chosenTheme.value = next.account.theme;
}

export async function signOut(): Promise<void> {
  await call("DELETE", "/session").catch(() => undefined);
  out();
}

/** Keep language and theme with the account, so that the next device knows. */
export function remember(choice: { language?: "zh" | "en"; theme?: "dark" | "light" }): void {
  if (choice.language) keep("lang", choice.language);
  if (phase.value === "in" && may("set_preferences")) {
    void call<Account>("PATCH", "/session/preferences", { body: choice }).then(
      (account) => { if (session.value) session.value = { ...session.value, account: { ...session.value.account, language: account.language, theme: account.theme } }; },
      () => undefined,
    );
  }
}

export const today = (): number => now.value;
