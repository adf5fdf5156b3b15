// Ten days at a glance, from the API's letters: 1 a sign of life, 0 none, . no reading, blank to come.
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { startOfDay } from "../lib/format";
import { t } from "../lib/i18n";
import { useSize } from "../lib/size";
import type { RasterDay } from "../lib/types";
import { Hatch } from "./charts";

const L = 44, RIGHT = 12, ROW = 9.5;

export function RasterDays({ days, silent, today, tone, mini }: { days: readonly RasterDay[]; silent?: { from: number; to: number }; today: number; tone?: string; mini?: boolean }): JSX.Element {
  const id = useId().replace(/\W/g, "");
  const [ref, size] = useSize<HTMLDivElement>({ w: 900, h: 110 });
  const shown = days.slice(-10);
  const W = size.w, H = shown.length * ROW + 4;
  const midnight = startOfDay(today);
  const isoToday = new Date(midnight + 43_200_000).toISOString().slice(0, 10);
  return (
    <div ref={ref} class={`chart raster ${tone ?? ""} ${mini ? "mini" : ""}`}>
      <svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={t().chart.rasterDesc(shown.length)}>
        <defs><Hatch id={`${id}h`} /></defs>
        {shown.map((day, r) => {
          const y = r * ROW + 1, n = Math.max(1, day.cells.length), w = (W - L - RIGHT) / n;
          const here = day.date === isoToday;
          return (
            <g key={day.date}>
              <rect class="fbg lite" x={L} width={W - L - RIGHT} y={y} height={ROW - 2.5} />
              {[...day.cells.matchAll(/1+|\.+/g)].map((m) => (
                m[0][0] === "1"
                  ? <rect key={m.index} class="f1" x={L + m.index * w} width={m[0].length * w - 0.5} y={y} height={ROW - 2.5} />
                  : <rect key={m.index} fill={`url(#${id}h)`} x={L + m.index * w} width={m[0].length * w} y={y} height={ROW - 2.5} />
              ))}
              {(here || (shown.length - 1 - r) % 3 === 2) && <text class={here ? "t1" : ""} x={L - 8} y={y + 7} text-anchor="end">{here ? t().chart.today : day.date.slice(5)}</text>}
              {silent && here && (() => {
                const at = (v: number): number => L + (Math.min(Math.max(v - midnight, 0), 86_400_000) / 86_400_000) * (W - L - RIGHT);
                return <rect class="edge" x={at(silent.from)} width={Math.max(0, at(silent.to) - at(silent.from))} y={y - 0.5} height={ROW - 1.5} />;
              })()}
            </g>
          );
        })}
      </svg>
    </div>
  );
}
