// From the API's curves to what the charts draw.
import type { Series } from "../parts/charts";
import { ms } from "./format";
import { both, t } from "./i18n";
import type { Curve } from "./types";

const stepName = (s: number): string => {
  const short = (n: number, unit: string): string => (n === 1 ? unit : `${n} ${unit}`);
  if (s % 86_400 === 0) return short(s / 86_400, both({ zh: "天", en: "d" }));
  if (s % 3_600 === 0) return short(s / 3_600, both({ zh: "小时", en: "h" }));
  return `${s / 60} ${both({ zh: "分", en: "min" })}`;
};
export { stepName };

export function toSeries(c: Curve): Series {
  return { from: ms(c.from), step: c.interval_s * 1000, values: c.values, low: c.low, high: c.high, unit: t().chart.unit(c.unit, stepName(c.interval_s)) };
}

/** The curve that an alert is about: the API puts it first. */
export function main(curves: readonly Curve[]): Curve | undefined {
  return curves[0];
}
