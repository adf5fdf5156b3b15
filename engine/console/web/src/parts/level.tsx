// The four levels: shape and colour together, with the character inside from 24 px up.
import type { JSX } from "preact";
import { t } from "../lib/i18n";

export type Level = "red" | "orange" | "yellow" | "blue";
export const LEVELS: readonly Level[] = ["red", "orange", "yellow", "blue"];
export const URGENCY: Record<Level, number> = { red: 0, orange: 1, yellow: 2, blue: 3 };

const SHAPES: Record<Level, (extra: object) => JSX.Element> = {
  red: (p) => <polygon {...p} points="22.2,16.2 16.2,22.2 7.8,22.2 1.8,16.2 1.8,7.8 7.8,1.8 16.2,1.8 22.2,7.8" />,
  orange: (p) => <polygon {...p} points="12,0 24.7,22.3 -.7,22.3" />,
  yellow: (p) => <polygon {...p} points="12,0 24,12 12,24 0,12" />,
  blue: (p) => <circle {...p} cx="12" cy="12" r="10.6" />,
};
const BASELINE: Record<Level, number> = { red: 16.2, orange: 19, yellow: 16, blue: 16.2 };

/** The shape alone, in a 24-unit box, for maps and charts. */
export function LevelShape({ level, at, size, count }: { level: Level; at: [number, number]; size: number; count?: number }): JSX.Element {
  return (
    <g class={`lv ${level}`} transform={`translate(${at[0] - size / 2} ${at[1] - size / 2}) scale(${size / 24})`}>
      {SHAPES[level]({ class: "sh" })}
      {count !== undefined && count > 1 && (
        <text x="12" y={BASELINE[level] + (level === "orange" ? 0 : 0.6)} class="cnt">{count > 99 ? "99" : count}</text>
      )}
    </g>
  );
}

export function LevelGlyph({ level, small, quiet }: { level: Level; small?: boolean; quiet?: boolean }): JSX.Element {
  const text = t();
  const named = quiet ? { "aria-hidden": true } : { role: "img" as const, "aria-label": text.level.long[level] };
  return (
    <svg class={`lv ${level} ${small ? "s" : ""}`} viewBox="-.6 -.6 25.2 25.2" {...named}>
      {SHAPES[level]({ class: "sh" })}
      {!small && (
        <text x="12" y={BASELINE[level]} class={level === "orange" ? "in o" : "in"}>{text.level.short[level]}</text>
      )}
    </svg>
  );
}
