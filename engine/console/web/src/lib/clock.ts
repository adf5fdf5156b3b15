// The event clock. The server says what time it is there and how fast it runs (the demo's event
// time runs faster than the wall's); between its words the page goes on by the device's clock.
import { signal } from "@preact/signals";

let baseEvent = Date.now();
let baseDevice = performance.now();
let speed = 1;
let known = false;

/** Event time in ms since 1970, ticking once a second; what countdowns render from. */
export const now = signal(Date.now());
/** Minutes east of UTC of the place that is watched; all times are shown on its clock. */
export const zone = signal("Asia/Shanghai");

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
}

export function clockSpeed(): number {
  return speed;
}

setInterval(() => (now.value = Math.floor(eventNow())), 1000);
