"""How well covert production of closed plants is found, against today's practice.

``gridwarden bench plants [--batches 13] [--fleets 4] [--engine] [--gate] [--json out.json]``

Every case is scored as the shipped rule would: a *case* is one alert, its moment the due time of
the slot that tipped it; with ``--engine`` the same cases are written as files and replayed through
the whole program instead, which takes minutes. The cases of a season are one fleet, each with a
community of its own, all rules as shipped; alerts are those of ``closed-plant-production``, blue
ones left out. With ``--gate`` only plants whose gate tells of lorries, most of them with nothing
to hide: whether vehicles and power together make more false cases than power alone. Practice: night ≥ 1.5 × day, a day over 3 × the median,
a month over 1.3 × the first, and an exponentially weighted z score over 6.

The author of these cases is also the detector's: expect several times the false rate in the field.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import plants_cases as cases
from bench.quality.plants_cases import DAY, UTC_OFFSET, Case, Source
from bench.quality.plants_files import through_engine
from detectors.base import NS, Frame, lookup
from detectors.production import Production

Array = NDArray[Any]
H = 0.7
"""Line of evidence at the rule's default budget, nats above the prior."""
LINES = Production.grid * np.log(10)
HARD = "charger"
"""Known to be hard, shown apart: seven kilowatts, flat, in the middle of the night."""
HISTORY_DAYS, DAYS = 60, 180
SLOT_NS = 900 * NS
FIRST_DAYS = range(18_262, 18_262 + 366, 30)  # batches begin all over 2020


@dataclass(frozen=True)
class Alert:
    """When it was raised, in slots of the batch, and the onset of its case."""

    raised: float
    onset: int


@dataclass(frozen=True)
class Setup:
    """What an evaluation runs on."""

    batches: int = 13
    fleets: int = 4
    seed: int = 0
    line: float = H
    history: int | None = None
    interval_s: int = 900
    engine: bool = False
    gate: bool = False


def make_batch(
    source: Source,
    kinds: Iterable[str],
    seed: int,
    history: int | None = None,
    first_day: int | None = None,
) -> list[Case]:
    """Return one case of each kind, all beginning on the same day of some season."""
    out = []
    first_day = FIRST_DAYS[seed % len(FIRST_DAYS)] if first_day is None else first_day
    for j, kind in enumerate(kinds):
        rng = np.random.default_rng([seed, j, 7])
        rest = (first_day + 3 + np.arange(DAYS)) % 7 >= 5
        known = int(rng.choice([0, 5, 14, 28, 45, 60], p=[0.05, 0.05, 0.1, 0.2, 0.3, 0.3]))
        known = known if history is None else history
        case = cases.base_case(source, rng, kind, first_day, DAYS, rest, HISTORY_DAYS)
        case.kw[: (HISTORY_DAYS - known) * DAY] = np.nan
        covert = cases.COVERT | cases.COVERT_AT_GATE
        if kind in covert:
            covert[kind](source, case)
        else:
            cases.harmless(source, case)
        out.append(case)
    return out


def make_fleets(source: Source, setup: Setup) -> list[list[Case]]:
    """Return the cases of some seasons, spread over the year; those of one are one fleet."""
    kinds = (*cases.COVERT, *cases.COVERT, *cases.CAUSES, *cases.CAUSES, *["mixture"] * 8, HARD)
    if setup.gate:
        kinds = (*[*cases.COVERT_AT_GATE] * 5, *[cases.BUSY_GATE] * 40)
    seasons = FIRST_DAYS[:: -(-len(FIRST_DAYS) // setup.fleets)]
    fleets: list[list[Case]] = [[] for _ in seasons]
    for b in range(setup.batches):
        at = b % len(seasons)
        fleets[at] += make_batch(source, kinds, setup.seed + b, setup.history, seasons[at])
    return [fleet for fleet in fleets if fleet]


def notices(case: Case, weather: bool = False) -> list[tuple[int, str, float, float, float]]:
    """Return (slot of filing, kind, start, end, value), times in slots of the batch."""
    out: list[tuple[int, str, float, float, float]] = []
    for permit in case.permits:
        for d in range(permit["first"], min(permit["last"] + 1, DAYS)):
            if case.weekday(d) + 1 in permit["days"]:
                a, b = (d * DAY + 4 * h for h in permit["hours"])
                out.append((d * DAY, "permit", a, b, permit["kw"]))
    for a, b, kw in case.tests:
        out.append((max(0, a - 2 * DAY), "approved_test", a, b, kw))
    for at, code in case.visits:
        out.append((int(at), "vehicle", at, at, code))
    if weather:
        hours = range(0, case.slots, 4)
        out.extend((t, "temperature", t, t, float(case.temperature[t])) for t in hours)
    return sorted(out)


def run_detector(
    batch: list[Case],
    name: str = "production",
    vehicles: bool = True,
    interval_s: int = 900,
    weather: bool = False,
    **params: Any,
) -> tuple[Production, Array, Array]:
    """Run the detector over a batch day by day; return it, its urgency and onsets (T, N).

    With longer slots T is still in quarters of an hour: each slot stands for the last of its
    quarters.
    """
    n = len(batch)
    detector = lookup(name)(n, interval_s=interval_s, zone=np.arange(n, dtype=np.uint8), **params)
    join = interval_s // 900
    per_day = DAY // join
    assert isinstance(detector, Production)
    rows = np.arange(n)
    first = batch[0].first_day * DAY - UTC_OFFSET
    closed = np.array([(first + case.closed) * SLOT_NS for case in batch])
    detector.inform("closed", rows, closed, closed)
    latitude = np.array([case.latitude for case in batch], np.float32)
    detector.inform("latitude", rows, closed, closed, latitude)
    values = np.stack([case.kw for case in batch], axis=1)[:, None, :].astype(np.float32) / 4
    values = values.reshape(DAYS * per_day, join, 1, n).sum(axis=1)
    t = np.arange(DAYS * per_day)[:, None] + np.zeros((1, n), int)
    slot = (t % per_day).astype(np.int32)
    day = (batch[0].first_day + t // per_day).astype(np.int32)
    rest = np.repeat(np.stack([case.rest for case in batch], axis=1), per_day, axis=0)
    told = [
        (filed, row, kind, a, b, v)
        for row, case in enumerate(batch)
        for filed, kind, a, b, v in notices(case, weather)
        if vehicles or kind != "vehicle"
    ]
    told.sort(key=lambda notice: notice[:2])
    urgency, onset, at = [], [], 0
    for d in range(DAYS):
        a, b = d * DAY, (d + 1) * DAY
        while at < len(told) and told[at][0] < b:
            _, row, kind, start, end, value = told[at]
            moments = (np.array([start, end]) + first) * SLOT_NS
            detector.inform(
                kind,
                np.array([row]),
                moments[:1].astype(np.int64),
                moments[1:].astype(np.int64),
                np.array([value], np.float32),
            )
            at += 1
        a, b = d * per_day, (d + 1) * per_day
        out = detector.step(Frame(first // join + a, values[a:b], slot[a:b], day[a:b], rest[a:b]))
        late = np.full((per_day, join, n), -1, np.int8)
        late[:, -1] = out.urgency
        urgency.append(late.reshape(DAY, n))
        onset.append(np.repeat(out.onset * join - first, join, axis=0))
    return detector, np.concatenate(urgency), np.concatenate(onset)


def alerts_of(urgency: Array, onset: Array, line: float = H) -> list[Alert]:
    """Return the alerts of one plant at a line of evidence (nats)."""
    index = int(np.searchsorted(LINES, line - 1e-6))
    firing = np.flatnonzero(urgency > index)
    out: list[Alert] = []
    seen: set[int] = set()
    for t in firing:
        if int(onset[t]) not in seen:
            seen.add(int(onset[t]))
            out.append(Alert(float(t + 2), int(onset[t])))
    return out


# -- practice ----------------------------------------------------------------------------------


def practice(case: Case) -> dict[str, list[Alert]]:
    """Return the alerts of today's rules; consecutive days are one alert."""
    first = case.closed // DAY
    flat = np.nan_to_num(case.kw)[case.closed :]
    days = flat.reshape(-1, DAY)
    total = days.sum(axis=1)
    night = days[:, :24].sum(axis=1)
    night[1:] += days[:-1, 88:].sum(axis=1)
    before = np.append(np.inf, days[:-1, 24:88].sum(axis=1))
    median = np.array(
        [np.median(total[d - 30 if d > 30 else 0 : d + 1]) for d in range(len(total))]
    )
    month = np.convolve(total, np.ones(30))[: len(total)]
    mean, var, late = float(flat[:DAY].mean()), float(flat[:DAY].var()) + 1e-6, [False] * len(flat)
    for t, kw in enumerate(flat[DAY:].tolist(), DAY):
        step = kw - mean
        late[t] = step > 6 * math.sqrt(var)
        if not late[t]:
            mean += 0.01 * step
            var += 0.01 * (step**2 - var)
    steps = np.flatnonzero(late)
    fresh = steps[np.diff(steps, prepend=-9 * DAY) > DAY]
    return {
        "night >= 1.5 day": _daily(night >= 1.5 * before, first, 24),
        "day > 3 median": _daily((np.arange(len(total)) > 6) & (total > 3 * median), first, DAY),
        "month total": _daily((np.arange(len(total)) > 58) & (month > 1.3 * month[29]), first, DAY),
        "EW z > 6": [Alert(float(case.closed + t + 2), int(case.closed + t)) for t in fresh],
    }


def _daily(fires: Array, first: int, lag: int) -> list[Alert]:
    """Return an alert for each stretch of days, raised `lag` slots into its first day."""
    starts = np.flatnonzero(fires & ~np.append(False, fires[:-1]))
    return [Alert(float((first + d) * DAY + lag), int(first + d) * DAY) for d in starts]


# -- evaluation --------------------------------------------------------------------------------


def night_of(case: Case, alerts: list[Alert]) -> float:
    """Return in which night of runs the first alert after their begin came, 1 = the first.

    A night counts until 08:00 of the next morning, a run by day until midnight; inf if none came
    (one that was raised before the first run is no news).
    """
    begin = case.runs[0][0]
    raised = [a.raised for a in alerts if a.raised >= begin]
    if not raised:
        return float("inf")
    for j, (start, _) in enumerate(case.runs):
        end = (start // DAY + 1) * DAY + 32 if start % DAY >= 68 else (start // DAY + 1) * DAY
        if start % DAY < 24:
            end = start // DAY * DAY + 32
        if raised[0] <= end:
            return j + 1
    return len(case.runs) + 1


def our_alerts(batch: list[Case], setup: Setup, vehicles: bool) -> tuple[list[list[Alert]], Array]:
    """Return each plant's alerts, and how many it would have at each line of the grid."""
    curve = np.zeros((len(batch), len(LINES)))
    if setup.engine:
        raised = through_engine(batch, vehicles)
        return [[Alert(float(at), at) for at in plant] for plant in raised], curve
    _, urgency, onset = run_detector(batch, vehicles=vehicles, interval_s=setup.interval_s)
    for i in range(len(batch)):
        for j, line in enumerate(LINES):
            curve[i, j] = len(alerts_of(urgency[:, i], onset[:, i], float(line) - 1e-3))
    plants = range(len(batch))
    return [alerts_of(urgency[:, i], onset[:, i], setup.line) for i in plants], curve


def evaluate(source: Source, setup: Setup) -> dict[str, Any]:
    """Run all kinds over some seasons; return found shares, delays and false rates."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    false: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    years: dict[str, float] = defaultdict(float)
    curve = np.zeros(len(LINES))
    for batch in make_fleets(source, setup):
        ours, reached = our_alerts(batch, setup, vehicles=True)
        alone, _ = our_alerts(batch, setup, vehicles=False)
        for i, case in enumerate(batch):
            table = practice(case) | {"gridwarden": ours[i], "power alone": alone[i]}
            if case.runs:
                for method, alerts in table.items():
                    found[case.kind][method].append(night_of(case, alerts))
                continue
            years[case.kind] += (case.slots - case.closed) / DAY / 365
            for method, alerts in table.items():
                false[case.kind][method] += len(alerts)
            if case.kind != HARD:
                curve += reached[i]
    return {
        "setup": vars(setup) | {"plant_years": sum(years.values())},
        "found": {kind: {m: _summary(v) for m, v in by.items()} for kind, by in found.items()},
        "false": {k: {m: c / years[k] for m, c in by.items()} for k, by in false.items()},
        "false_per_plant_year": _overall(false, years),
        "false_by_line": (curve / sum(y for k, y in years.items() if k != HARD)).tolist(),
    }


def _summary(nights: list[float]) -> dict[str, float]:
    late = np.array(nights)
    return {
        "same": float((late <= 1).mean()),
        "three": float((late <= 3).mean()),
        "median": float(np.median(late)),
    }


def _overall(false: dict[str, dict[str, int]], years: dict[str, float]) -> dict[str, float]:
    methods = next(iter(false.values()))
    kinds = [k for k in false if k != HARD]
    total = sum(years[k] for k in kinds)
    return {m: sum(false[k][m] for k in kinds) / total for m in methods}


def report(result: dict[str, Any]) -> str:
    """Return the tables as text."""
    methods = list(result["false_per_plant_year"])
    lines = ["found the same night / within three nights of runs / median night"]
    lines.append(" " * 22 + "".join(f"{m:>20}" for m in methods))
    for kind, by in result["found"].items():
        row = "".join(
            f"{s['same']:8.2f} {s['three']:5.2f} {s['median']:5.0f}"
            for s in (by[m] for m in methods)
        )
        lines.append(f"{kind:22}{row}")
    lines.append("false cases per plant-year")
    for kind, by in result["false"].items():
        lines.append(f"{kind:22}" + "".join(f"{by[m]:20.2f}" for m in methods))
    overall = result["false_per_plant_year"]
    lines.append(f"{'all but ' + HARD:22}" + "".join(f"{overall[m]:20.3f}" for m in methods))
    if not result["setup"]["engine"]:
        rates = " ".join(f"{rate:.2f}" for rate in result["false_by_line"][:16])
        lines.append(f"at lines {LINES[0]:.1f}, {LINES[1]:.1f} … {LINES[15]:.1f}: {rates}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("GRIDWARDEN_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--batches", type=int, default=13, help="of 55 plants: two a kind")
    parser.add_argument("--fleets", type=int, default=4, help="seasons that share the batches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--line", type=float, default=H, help="line of evidence, nats")
    parser.add_argument("--history", type=int, help="days known before the order; default: mixed")
    parser.add_argument("--interval", type=int, default=900, help="seconds of a slot")
    parser.add_argument("--engine", action="store_true", help="replay through the whole program")
    parser.add_argument("--gate", action="store_true", help="only plants where lorries come and go")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    setup = Setup(
        args.batches, args.fleets, args.seed, args.line, args.history, args.interval, args.engine,
        args.gate,
    )  # fmt: skip
    result = evaluate(cases.load(args.data), setup)
    sys.stdout.write(report(result) + "\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
