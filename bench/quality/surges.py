"""Surges on real counts: how many are found within hours, at twelve alarms a year.

``python -m bench.quality.surges [--column east] [--json out.json]``

×3 for 4 hours is planted at random hours from 6 to 21 into hourly counts, one surge at a time. The
threshold is the one that gives twelve alarms a year on the untouched series, alarms within 24 hours
being one. Found: at or above the threshold in one of the first three hours.

References
----------
.. [1] Hutwagner et al. (2003), "The bioterrorism preparedness and response Early Aberration
   Reporting System (EARS)", doi:10.1093/jurban/jtg042: C1, C2 and C3. The seven baseline values
   are those of the same hour of the week before (C2, C3: two weeks' gap); C3 adds up three hours.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.nab import data_path
from detectors.base import lookup
from engine.score import Series, read_series, score_values

FACTOR, LENGTH_H, WITHIN_H = 3.0, 4, 3
FIRST_HOUR, LAST_HOUR = 6, 21
ALARMS_A_YEAR, ONE_ALARM_H = 12.0, 24
WARM_UP_H = 28 * 24
HOURS_A_YEAR = 8766
WEEK_H = 168
LEAST_DEVIATION = 3.0
"""Floor of EARS' deviation, events: without it, quiet nights make all the alarms."""

Scorer: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def ears(kind: str) -> Scorer:
    """Return EARS C1, C2 or C3 over the hour of the week."""
    gap = 1 if kind == "C1" else 3

    def score(x: NDArray[np.float64]) -> NDArray[np.float64]:
        past = np.stack([_lag(x, WEEK_H * week) for week in range(gap, gap + 7)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first weeks have no past
            mean, deviation = np.nanmean(past, axis=0), np.nanstd(past, axis=0, ddof=1)
        c: NDArray[np.float64] = (x - mean) / np.maximum(deviation, LEAST_DEVIATION)
        if kind != "C3":
            return c
        total: NDArray[np.float64] = np.sum(
            [np.maximum(0, _lag(c, h) - 1) for h in range(3)], axis=0
        )
        return total

    return score


def seasonal_ar(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return residuals of √x against last week's and the hour before, in running deviations."""
    root = np.sqrt(x)
    away = root - _lag(root, WEEK_H)
    before = _lag(away, 1)
    out = np.full(len(x), np.nan)
    xy = xx = variance = 0.0
    for t in range(len(x)):
        if np.isnan(away[t]) or np.isnan(before[t]):
            continue
        news = away[t] - (xy / xx if xx > 0 else 0.0) * before[t]
        out[t] = news / np.sqrt(variance + 0.1)
        xy += away[t] * before[t]
        xx += before[t] ** 2
        variance += 0.002 * (news**2 - variance)
    return out


def _lag(x: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    lagged: NDArray[np.float64] = np.r_[np.full(k, np.nan), x[: len(x) - k]]
    return lagged


def detector(name: str, series: Series) -> Scorer:
    """Return a detector as ``gridwarden score`` runs it."""
    kind = lookup(name)
    return lambda x: score_values(kind, {}, series.seconds, x, 3600)[0]


def alarms(above: NDArray[np.bool_]) -> int:
    """Return the number of alarms, those within :data:`ONE_ALARM_H` of the one before being one."""
    at = np.flatnonzero(above)
    return int(len(at) > 0) + int((np.diff(at) > ONE_ALARM_H).sum())


def threshold(score: NDArray[np.float64]) -> float:
    """Return the lowest threshold with at most twelve alarms a year, after the warm-up."""
    judged = np.nan_to_num(score[WARM_UP_H:], nan=-np.inf)
    allowed = ALARMS_A_YEAR * len(judged) / HOURS_A_YEAR
    lowest = np.inf
    for value in np.unique(judged)[::-1]:
        if not np.isfinite(value) or alarms(judged >= value) > allowed:
            break
        lowest = float(value)
    return lowest


def starts(series: Series, count: int, seed: int) -> NDArray[np.int64]:
    """Return random hours of the day's waking part, complete for the length of a surge."""
    hour = series.seconds % 86_400 // 3600
    fit = (hour >= FIRST_HOUR) & (hour <= LAST_HOUR)
    fit[: 2 * WARM_UP_H] = False
    fit[len(fit) - LENGTH_H :] = False
    for k in range(LENGTH_H):
        fit &= ~np.isnan(np.r_[series.values[k:], np.full(k, np.nan)])
    return np.random.default_rng(seed).choice(np.flatnonzero(fit), count, replace=False)


def judge(scorer: Scorer, series: Series, at: NDArray[np.int64]) -> dict[str, float]:
    """Return the share of surges found within 1, 2 and 3 hours."""
    line = threshold(scorer(series.values))
    delay = []
    for start in at.tolist():
        values = series.values.copy()
        values[start : start + LENGTH_H] *= FACTOR
        values[start + LENGTH_H :] = np.nan  # what comes after cannot change what was said
        score = np.nan_to_num(scorer(values)[start : start + LENGTH_H], nan=-np.inf)
        hit = np.flatnonzero(score >= line)
        delay.append(hit[0] + 1 if len(hit) else np.inf)
    return {f"within_{h}h": float(np.mean(np.array(delay) <= h)) for h in range(1, WITHIN_H + 1)}


def run(source: Path, column: str, count: int = 300, seed: int = 1) -> dict[str, Any]:
    """Return all figures for one column."""
    series = read_series(source, column)
    at = starts(series, count, seed)
    scorers: dict[str, Scorer] = {
        "gridwarden surge": detector("surge", series),
        "gridwarden seasonal": detector("seasonal", series),
        **{f"EARS {kind}": ears(kind) for kind in ("C1", "C2", "C3")},
        "seasonal AR": seasonal_ar,
    }
    return {
        "column": column,
        "surges": count,
        "methods": {name: judge(scorer, series, at) for name, scorer in scorers.items()},
    }


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"{result['column']:22s} found within   1 h   2 h   3 h"]
    for name, shares in result["methods"].items():
        lines.append(f"{name:35s}" + "".join(f" {share:5.2f}" for share in shares.values()))
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with ``--json`` also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--input", type=Path, default=data_path() / "counts" / "fremont_hourly.csv.gz"
    )
    parser.add_argument("--column", action="append", help="default: east and west")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = [run(args.input, column, args.count) for column in args.column or ["east", "west"]]
    for result in results:
        print(table(result))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
