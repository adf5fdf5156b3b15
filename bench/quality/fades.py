"""`fade` on simulated firms and on a real plant: false alerts a year, days until a fade is seen.

Simulated firms are :func:`engine.simulate.plants.simulate_plant`'s, hour by hour, with what keeps
a firm's load from being steady: orders that wander (half a year's random walk of 3 % a week, pulled
back), the season, stops for repair, and Spring Festival as firms keep it, five to twenty days
around the public holiday. A fade ramps down over three weeks to a share of the load and stays.

    python -m bench.quality.fades --data ../shared/data
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Frame, Signals
from detectors.fade import Fade
from engine import library

FIRST = dt.date(2024, 3, 4)
"""A Monday; two Spring Festivals with published calendars lie in the two years from here."""
FADE_WEEKS = 3.0


def rest_days(first: dt.date, days: int) -> NDArray[np.bool_]:
    """Return the days off of the shipped calendar."""
    return np.asarray(library.calendars().rest_days("CN", first, days), bool)


def firms(n: int, days: int, seed: int) -> NDArray[np.float64]:
    """Return kWh a day of `n` firms that do not fade, shape (days, n)."""
    rng = np.random.default_rng(seed)
    rest = rest_days(FIRST, days)
    weekday = (FIRST.weekday() + np.arange(days)) % 7
    daily = np.empty((days, n))
    festivals = _festivals(rest)
    for i in range(n):
        level = float(rng.lognormal(np.log(4000), 0.8))
        idle = level * rng.uniform(0.05, 0.12)
        share = np.ones(days)
        saturday, sunday = rng.choice([0.05, 0.5, 1.0], p=[0.4, 0.3, 0.3]), rng.choice([0.05, 0.9])
        share[weekday == 5] = saturday
        share[weekday == 6] = min(sunday, saturday)
        share[rest & (weekday < 5)] *= rng.uniform(0, 0.3)
        for first, last in festivals:
            before, after = int(rng.integers(0, 9)), int(rng.integers(0, 13))
            share[max(first - before, 0) : last + 1 + after] = rng.uniform(0, 0.15)
        for at in np.flatnonzero(rng.random(days) < 3 / 365):
            share[at : at + int(rng.integers(1, 5))] *= rng.uniform(0, 0.4)
        wander = np.zeros(days)
        for d in range(1, days):
            wander[d] = wander[d - 1] * 0.5 ** (1 / 180) + rng.normal(0, 0.03 / np.sqrt(7))
        season = rng.uniform(0, 0.12) * np.sin(2 * np.pi * (np.arange(days) / 365 + rng.random()))
        noise = rng.normal(0, rng.uniform(0.06, 0.3), days)
        load = level * share * np.exp(wander + season + noise)
        daily[:, i] = np.maximum(load, idle * rng.uniform(0.9, 1.1, days))
    return daily


def _festivals(rest: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last day of the runs of rest of a week and more in January and February."""
    found, at = [], 0
    while at < len(rest):
        stop = at
        while stop < len(rest) and rest[stop]:
            stop += 1
        if stop - at >= 6 and (FIRST + dt.timedelta(days=at)).month <= 2:
            found.append((at, stop - 1))
        at = max(stop, at + 1)
    return found


def frame(daily: NDArray[np.float64], first: dt.date, rest: NDArray[np.bool_]) -> Frame:
    """Return days as hours that are all alike."""
    days = len(daily)
    day = (first - dt.date(1970, 1, 1)).days
    hourly = np.repeat(daily / 24, 24, axis=0).astype(np.float32)[:, None, :]
    return Frame(
        day * 24,
        hourly,
        np.tile(np.arange(24, dtype=np.int32), days)[:, None],
        np.repeat(day + np.arange(days, dtype=np.int32), 24)[:, None],
        np.repeat(rest, 24)[:, None],
    )


def faded(daily: NDArray[np.float64], start: int, left: float) -> NDArray[np.float64]:
    """Return days of which, from `start` on, ever less and in the end `left` remains."""
    ramp = np.clip((np.arange(len(daily)) - start) / (7 * FADE_WEEKS), 0, 1)
    return daily * (1 - (1 - left) * ramp)[:, None]


def run(daily: NDArray[np.float64], first: dt.date, rest: NDArray[np.bool_]) -> Signals:
    """Return the signals of `fade` at the end of each day's first hour, shape (days, n)."""
    signals = Fade(daily.shape[1], interval_s=3600).step(frame(daily, first, rest))
    return Signals(
        *(getattr(signals, k)[::24] for k in ("evidence", "p_value", "urgency", "onset"))
    )


def rates(signals: Signals) -> tuple[NDArray[np.float64], float]:
    """Return episodes a firm-year that reach each line, and the firm-years."""
    years = float((signals.urgency >= 0).sum()) / 365
    reached = np.zeros(36)
    for r in range(signals.urgency.shape[1]):
        onset, urgency = signals.onset[:, r], signals.urgency[:, r]
        for one in np.unique(onset[(onset != NO_SLOT) & (urgency > 0)]):
            reached[1 : int(urgency[onset == one].max()) + 1] += 1
    return reached[1:] / years, years


def line_for(budget: float, rate: NDArray[np.float64]) -> int:
    """Return the lowest line that is reached at most as often as the budget allows."""
    return int(np.argmax(rate <= budget)) + 1


def delays(
    quiet: NDArray[np.float64], left: float, line: int, seed: int, first: dt.date,
    rest: NDArray[np.bool_], from_day: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Return days from the start of a fade to the line, infinite if never, one a firm."""
    rng = np.random.default_rng(seed)
    days, n = quiet.shape
    starts = rng.integers(from_day, days - 150, n) if days > from_day + 151 else [from_day] * n
    changed = np.column_stack([faded(quiet[:, [i]], int(s), left) for i, s in enumerate(starts)])
    urgency = run(changed, first, rest).urgency
    found = []
    for i, start in enumerate(starts):
        hit = np.flatnonzero(urgency[int(start) :, i] >= line)
        found.append(float(hit[0]) if len(hit) else np.inf)
    return np.array(found)


def summary(days: NDArray[np.float64]) -> dict[str, Any]:
    """Return quantiles and the share that is found within 30 and 45 days."""
    ordered = np.sort(days)
    return {
        "median_days": float(ordered[len(ordered) // 2]),
        "p90_days": float(ordered[int(0.9 * len(ordered))]),
        "within_30d": float((days <= 30).mean()),
        "within_45d": float((days <= 45).mean()),
        "within_90d": float((days <= 90).mean()),
    }


def real_plant(data: Path) -> tuple[NDArray[np.float64], dt.date, NDArray[np.bool_]]:
    """Return the days of the real plant."""
    table = pd.read_csv(data / "plant_power" / "readings.csv.gz")
    daily = table.groupby(table["ts"].str[:10])["value"].agg(["sum", "size"])
    first = dt.date.fromisoformat(str(daily.index[0]))
    return daily["sum"].to_numpy()[:, None], first, rest_days(first, len(daily))


def bench(data: Path, n: int = 300, days: int = 700, seed: int = 1) -> dict[str, Any]:
    """Return all figures."""
    rest = rest_days(FIRST, days)
    quiet = firms(n, days, seed)
    rate, years = rates(run(quiet, FIRST, rest))
    result: dict[str, Any] = {"firm_years": years, "rate": rate[:20].round(3).tolist()}
    for budget in (0.2, 0.5, 1.0):
        line = line_for(budget, rate)
        result[f"budget {budget}"] = {
            "line": line,
            **{
                f"drop {drop:.0%}": summary(delays(quiet, 1 - drop, line, 2, FIRST, rest, 120))
                for drop in (0.3, 0.5, 0.8)
            },
        }
    line = line_for(0.5, rate)
    daily, first, off = real_plant(data)
    signals = run(daily, first, off)
    result["real plant"] = {
        "days": len(daily),
        "highest_line": int(signals.urgency.max()),
        "alerts": int(alerts_at(signals, line)),
    }
    result["real plant, planted"] = {}
    for drop in (0.3, 0.5):
        found = [
            float(delays(daily, 1 - drop, line, 0, first, off, start)[0])
            for start in range(90, 130, 5)
        ]
        result["real plant, planted"][f"drop {drop:.0%}"] = found
    return result


def alerts_at(signals: Signals, line: int) -> int:
    """Return how many episodes reach a line."""
    onsets = signals.onset[signals.urgency >= line]
    return len(np.unique(onsets[onsets != NO_SLOT]))


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as people read them."""
    lines = [
        f"{figures['firm_years']:.0f} firm-years without a fade: what is asked, and how soon a fade is told",
        f"{'alerts a firm-year':>18} {'fades by':>9} {'median':>8} {'p90':>8}  within 30 / 45 / 90 d",
    ]
    for name, found in figures.items():
        if not name.startswith("budget "):
            continue
        for drop, of in found.items():
            if drop != "line":
                median, p90 = map(_days, (of["median_days"], of["p90_days"]))
                within = " ".join(f"{of[f'within_{d}d']:.2f}" for d in (30, 45, 90))
                asked, by = name.removeprefix("budget "), drop.removeprefix("drop ")
                lines.append(f"{asked:>18} {by:>9} {median:>8} {p90:>8}  {within}")
    real = figures["real plant"]
    lines.append(f"real plant, {real['days']} days: {real['alerts']} alerts at .5 a firm-year")
    for drop, days in figures["real plant, planted"].items():
        told = ", ".join(map(_days, days))
        lines.append(f"real plant, {drop} planted on {len(days)} days: told after {told}")
    return "\n".join(lines)


def _days(days: float) -> str:
    return f"{days:.0f} d" if math.isfinite(days) else "never"


def _finite(value: Any) -> Any:
    """Return figures without infinity, which JSON does not know: null stands for never."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Print the figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("GRIDWARDEN_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--firms", type=int, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = bench(args.data, args.firms)
    print(table(figures))
    if args.json:
        text = json.dumps(_finite(figures), indent=1, allow_nan=False)
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
