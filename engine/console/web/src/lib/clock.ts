// The event clock. The server says what time it is there and how fast it runs (the demo's event
// time runs faster than the wall's); between its words the page goes on by the device's clock.
import { signal } from "@preact/signals";
import { keep } from "./settings";

interface Kept {
  event: number;
  device: number;
  speed: number;
  zone: string;
}

/** What the server last said, so that a phone that starts without a network knows the time. */
function kept(): Kept {
  try {
    const found = JSON.parse(localStorage.getItem("gw.clock") ?? "") as Kept;
    if (found.event > 0 && found.speed > 0) return found;
  } catch {
    /* nothing kept yet */
  }
  return { event: Date.now(), device: Date.now(), speed: 1, zone: "Asia/Shanghai" };
}
const start = kept();

let speed = start.speed;
let baseEvent = start.event + Math.max(0, Date.now() - start.device) * speed;
let baseDevice = performance.now();
let known = false;

/** Event time in ms since 1970, ticking once a second; what countdowns render from. */
export const now = signal(Math.floor(baseEvent));
/** Time zone of the place that is watched; all times are shown on its clock. */
export const zone = signal(start.zone);

export function eventNow(): number {
  return baseEvent + (performance.now() - baseDevice) * speed;
}

/** Take the server's word for the time. Small steps back are smoothed away: a clock that jumps
 * to and fro by a network delay makes countdowns wobble. */
export function setClock(atMs: number, itsSpeed = 1): void {
  const drift = Math.abs(eventNow() - atMs);
  if (known && itsSpeed === speed && drift < 1500 * Math.max(1, itsSpeed)) return;
  known = true;
  baseEvent = atMs;
  baseDevice = performance.now();
  speed = itsSpeed;
  now.value = Math.floor(atMs);
  keep("clock", JSON.stringify({ event: atMs, device: Date.now(), speed, zone: zone.value } satisfies Kept));
}

export function clockSpeed(): number {
  return speed;
}

setInterval(() => (now.value = Math.floor(eventNow())), 1000);
