// One short sound for a new red alert, if the person switched it on; made here, nothing is fetched.
import { sound } from "./settings";

let context: AudioContext | null = null;
let last = 0;

export function keepSound(): void {
  if (!sound.value || Date.now() - last < 10_000) return;
  last = Date.now();
  try {
    context ??= new AudioContext();
    void context.resume();
    const start = context.currentTime;
    for (const [i, pitch] of [880, 660].entries()) {
      const tone = context.createOscillator(), gain = context.createGain();
      tone.frequency.value = pitch;
      gain.gain.setValueAtTime(0, start + i * 0.22);
      gain.gain.linearRampToValueAtTime(0.25, start + i * 0.22 + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.001, start + i * 0.22 + 0.5);
      tone.connect(gain).connect(context.destination);
      tone.start(start + i * 0.22);
      tone.stop(start + i * 0.22 + 0.5);
    }
  } catch {
    /* no sound device: the board still shows it */
  }
}
