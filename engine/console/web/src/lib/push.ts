// Notifications by the platform: this phone asks to be woken when a task comes.
import { signal } from "@preact/signals";
import { call, get } from "./api";
import { keep } from "./settings";
import type { PushInfo, PushState } from "./types";

/** `none`: the site wakes no phones, or this browser cannot be woken. */
export type Wake = "none" | "off" | "on" | "denied";
export const wake = signal<Wake>("none");

let key = "";

const registration = async (): Promise<ServiceWorkerRegistration | undefined> => navigator.serviceWorker?.getRegistration("/m");

/** See how it stands; a phone that is woken says that it is still there. */
export async function look(): Promise<void> {
  const found = await registration();
  if (!found || !("pushManager" in found) || !("Notification" in window)) return;
  key = (await get<PushInfo>("/push").catch(() => null))?.key ?? key;
  if (!key) return;
  const held = await found.pushManager.getSubscription();
  if (held) await tell(held).catch(() => undefined);
  wake.value = Notification.permission === "denied" ? "denied" : held ? "on" : "off";
}

export async function turnOn(): Promise<void> {
  const found = await registration();
  if (!found) return;
  if ((await Notification.requestPermission()) !== "granted") {
    wake.value = "denied";
    return;
  }
  // A string is what all browsers take, Firefox as well.
  const made = await found.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  try {
    await tell(made);
    wake.value = "on";
  } catch (error) {
    await made.unsubscribe();
    throw error;
  }
}

/** Let it sleep: also when somebody signs out, so that the next one is not woken for their tasks. */
export async function turnOff(): Promise<void> {
  const held = await (await registration())?.pushManager?.getSubscription();
  if (!held) return;
  const id = localStorage.getItem("gw.push");
  if (id) await call("DELETE", `/push/${id}`).catch(() => undefined);
  await held.unsubscribe();
  localStorage.removeItem("gw.push");
  wake.value = "off";
}

async function tell(held: PushSubscription): Promise<void> {
  const { endpoint, keys } = held.toJSON();
  const state = await call<PushState>("POST", "/push", { body: { endpoint, keys } });
  keep("push", state.subscription_id);
}
