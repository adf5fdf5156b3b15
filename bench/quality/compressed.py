"""What keeping a home in a kilobyte costs `inactivity`: the detector beside homes kept in full.

``gridwarden bench compressed [--cases 20] [--set homes_water] [--json FILE]``; two minutes of CPU.

The same real homes, and the same collapses cut into them (``bench/quality/homes.py``), go through

* the shipped detector: hours as bits, nights as 16-bit Wh and decilitres, survival as 8-bit codes,
  moments as bytes, thresholds in float32;
* homes in full (``bench/quality/reference.py``): a dictionary of every hour and double precision
  throughout, looking back the same 73 days. That it comes to the same is asserted;
* homes in full that look back over their whole past. What that changes is told only: how far to
  look back is a choice of the model, whose past has a half-life of 45 days, and no loss of
  precision.

All hours are given as finally known: a home in full cannot amend, and that amending equals having
known is a test of the detector's own. False visits are silences that come to their moment after day
28, delays are told as ``bench practice`` tells them, both at each price of the grid held constant.

What differs is found at the root: nights of water in decilitres move a threshold by up to .065 l an
hour, so that a few hours in a hundred thousand are a sign of life for one and not for the other, and
what is planned from a record with them moves a little. So evidence is held to half a step of its
code where both have the same signs of life, and how often those differ is asserted too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.quality.homes import DUE_S, REAL, REPLACED_H, Case, Figures, Run, run, standby, weights
from bench.quality.homes_train import signs_of_life
from bench.quality.hours import BURN_IN_H, HOUR_S, Hours, load
from bench.quality.reference import FULL, WHOLE_PAST, Home, Kept
from detectors import inactivity_kernels as kernels
from detectors.base import LEVELS, Signals
from detectors.inactivity import Inactivity

HALF_STEP = 0.5 / 30 / math.log(10)
"""Of a code, in evidence: 30 steps a nat are promised, whatever the kernels do."""
FLOAT32 = 1e-6
"""What evidence loses in a frame of signals."""
OTHER_HOUR, VISITS_APART, SIGNS_APART = 0.005, 0.005, 0.0002
"""Bounds on the shares of alerts at another hour and of false visits more or less, each at the worst
price, and of hours that are a sign of life for one only."""
DOUBLES = ("survival", "moments", "nights", "quiet", "tonight", "threshold", "last_amount")
"""State that would be double precision in full."""
SHOWN = range(1, LEVELS, 3)
"""Prices whose rows are printed; all are asserted, and written with --json."""


@dataclass(frozen=True, slots=True)
class Told:
    """A set as homes told it: the run, and silent, active or missing for each hour, (T, N)."""

    run: Run
    signs: NDArray[np.int8]


def shipped(hours: Hours, cases: int) -> Told:
    """Return what the detector says of a set and of collapses cut into it."""
    settled = replace(hours, known_s=np.zeros_like(hours.known_s))
    return Told(run(settled, None, cases, declared=False), signs_of_life(settled))


# -- the home in full --------------------------------------------------------------------------


def in_full(beside: Told, kept: Kept, label: str) -> Told:
    """Return what homes in full say of the same hours and collapses."""
    hours = beside.run.hours
    track = Signals.empty(*hours.values.shape)
    signs = np.full(hours.values.shape, kernels.MISSING, np.int8)
    told: dict[tuple[int, int], Signals] = {}
    with click.progressbar(
        range(hours.homes), label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as shown:
        for home in shown:
            starts = {c.start for c in beside.run.cases if c.home == home}
            one = new_home(hours, kept)
            for slot in range(int(hours.begin[home]), len(hours.values)):
                if slot in starts:
                    told[home, slot] = _collapse(hours, home, slot, one.copy())
                _live(one, hours, slot, hours.values[slot, home], track, (slot, home))
            known = np.array(list(one.record), np.int64) - hours.first_slot
            signs[known, home] = list(one.record.values())
    cases = [Case(c.home, c.start, told[c.home, c.start]) for c in beside.run.cases]
    return Told(Run(hours, track, beside.run.key, cases), signs)


def new_home(hours: Hours, kept: Kept) -> Home:
    """Return a home of a set that nothing is known of."""
    rest = dict(zip(hours.local_day.tolist(), hours.rest.tolist(), strict=True))
    return Home(Inactivity.defaults, rest, kept)


def _collapse(hours: Hours, home: int, start: int, one: Home) -> Signals:
    """Let a home go on with standby, wherever its meter was heard."""
    quiet = np.float32(standby(hours, home, start))
    track = Signals.empty(REPLACED_H + 2, 1)
    for t in range(REPLACED_H + 2):
        heard = np.isfinite(hours.values[start + t, home])
        _live(one, hours, start + t, quiet if heard else np.float32(np.nan), track, (t, 0))
    return track


def _live(
    one: Home, hours: Hours, slot: int, use: np.float32, track: Signals, at: tuple[int, int]
) -> None:
    """Let a home live through one hour, and enter what it says of it."""
    amounts = [math.nan] * len(Inactivity.channels)
    amounts[hours.channel] = float(str(use))  # .079 as the meter told it, not .07900000363
    clock = int(hours.local_hour[slot]), int(hours.local_day[slot])
    said = one.step(hours.first_slot + slot, *clock, amounts)
    if said is not None:
        track.evidence[at], track.p_value[at] = said.evidence, said.p_value
        track.urgency[at], track.onset[at] = said.urgency, said.onset


# -- figures -----------------------------------------------------------------------------------


def visits(r: Run) -> NDArray[np.int64]:
    """Return how many silences after day 28 came to their moment at each price, (LEVELS,)."""
    reached = np.zeros(LEVELS, np.int64)
    for home in range(r.hours.homes):
        onset, urgency = r.track.onset[:, home], r.track.urgency[:, home]
        counted = onset - r.hours.first_slot > r.hours.begin[home] + BURN_IN_H
        counted[r.hours.end[home] :] = False
        _, which = np.unique(onset[counted], return_inverse=True)
        highest = np.zeros(which.max(initial=-1) + 1, np.int64)
        np.maximum.at(highest, which, urgency[counted])
        reached += (highest[:, None] > np.arange(LEVELS)).sum(axis=0)
    return reached


def delays(r: Run) -> NDArray[np.float64]:
    """Return hours from each collapse to its alert at each price, (cases, LEVELS); inf for never."""
    found = np.full((len(r.cases), LEVELS), np.inf)
    for i, case in enumerate(r.cases):
        come = case.track.urgency > np.arange(LEVELS)
        found[i] = np.where(come.any(axis=0), come.argmax(axis=0) + DUE_S / HOUR_S, np.inf)
        before = case.start - 1, case.home
        if r.track.onset[before] == case.track.onset[1, 0]:
            # An alert that was out already is none for the collapse.
            found[i, : max(r.track.urgency[before], 0)] = np.inf
    return found


def levels(r: Run) -> list[Figures]:
    """Return what a run comes to at each price."""
    years, of = float(r.hours.exposure_years.sum()), weights(np.array([c.home for c in r.cases]))
    late = delays(r)
    return [Figures(n / years, late[:, i], of) for i, n in enumerate(visits(r))]


def compare(kept: Told, full: Told) -> dict[str, float]:
    """Return how far what is kept comes from what is kept in full, the worst over all prices."""
    pairs = list(zip(levels(kept.run), levels(full.run), strict=True))
    hours = kept.run.hours
    lived = (np.arange(len(hours.values))[:, None] >= hours.begin) & (
        np.arange(len(hours.values))[:, None] < hours.end
    )
    apart = (kept.signs != full.signs) & lived
    a, b = kept.run.track, full.run.track
    # Another sign of life in the record is another plan, until it has left the record.
    other = np.cumsum(apart, axis=0)
    other[kernels.RING_H :] -= other[: -kernels.RING_H].copy()
    # One that begins before a week of missing hours finds too little record left to be planned.
    slot = np.arange(len(hours.values))[:, None] + hours.first_slot
    planned = slot - a.onset < kernels.RING_H - 24 * kernels.DAYS - 3
    both = (a.onset == b.onset) & a.ready & b.ready & (other == 0) & planned
    evidence = np.abs(a.evidence - b.evidence)[both]
    return {
        "median_apart_h": max(_gap(x.quantile(0.5), y.quantile(0.5)) for x, y in pairs),
        "p90_apart_h": max(_gap(x.quantile(0.9), y.quantile(0.9)) for x, y in pairs),
        "same_hour": min(float((x.delays_h == y.delays_h).mean()) for x, y in pairs),
        "same_hour_mean": float(np.mean([x.delays_h == y.delays_h for x, y in pairs])),
        "visits_apart": max(_share_apart(x.visits, y.visits) for x, y in pairs),
        "evidence_apart": float(evidence.max(initial=0.0)),
        "hours_of_evidence": int(both.sum()),
        "signs_apart": int(apart.sum()),
        "hours": int(lived.sum()),
    }


def _gap(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)


def _share_apart(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b) / max(float(b), 1e-9)


def check(where: str, found: Mapping[str, float]) -> None:
    """Raise AssertionError, with all that is wrong, where what is kept says something else."""
    bounds = {
        "median differs by hours": (found["median_apart_h"], 0.0),
        "p90 differs by hours": (found["p90_apart_h"], 0.0),
        "share of alerts at another hour": (1 - found["same_hour"], OTHER_HOUR),
        "share of false visits more or less": (found["visits_apart"], VISITS_APART),
        "evidence differs by": (found["evidence_apart"], HALF_STEP + FLOAT32),
        "share of other signs of life": (found["signs_apart"] / found["hours"], SIGNS_APART),
    }
    wrong = [
        f"{k} {v:.4g}, wanted at most {most:.4g}" for k, (v, most) in bounds.items() if v > most
    ]
    if not found["hours_of_evidence"]:
        wrong.append("no hour of which both speak")
    if wrong:
        raise AssertionError(f"{where}, the detector beside homes in full: {'; '.join(wrong)}")


def bytes_a_home(channel: int) -> dict[str, int]:
    """Return bytes of a home's state as it is kept, and in full.

    In full an hour takes a byte, and what is rounded a double. A table of survival by hour of the
    day, kind of day and hour of the silence, in doubles, is what the plan of each silence replaces.
    """
    state = Inactivity(1, interval_s=HOUR_S, fed=[channel]).state
    full = sum(
        v.size * 8 if k in DOUBLES else v.nbytes
        for k, v in state.items()
        if k not in {"known", "active"}
    )
    return {
        "kept": sum(v.nbytes for v in state.values()),
        "full": kernels.RING_H + full,
        "survival_table": 24 * 2 * kernels.LONGEST_H * 8,
    }


# -- the table ---------------------------------------------------------------------------------


def bench(hours: Hours, cases: int) -> dict[str, Any]:
    """Return the figures of one set; they are asserted."""
    click.echo(f"{hours.name}: the detector as it is shipped …", err=True)
    kept = shipped(hours, cases)
    full = in_full(kept, FULL, f"{hours.name}, in full")
    whole = in_full(kept, WHOLE_PAST, f"{hours.name}, whole past")
    found = compare(kept, full)
    check(hours.name, found)
    return {
        "set": hours.name,
        "homes": hours.homes,
        "home_years": round(float(hours.exposure_years.sum()), 1),
        "collapses": len(kept.run.cases),
        "bytes": bytes_a_home(hours.channel),
        "kept_against_full": found,
        "whole_past_against_full": {k: _finite(v) for k, v in compare(whole, full).items()},
        "levels": _rows(kept.run, full.run, whole.run),
    }


def _rows(*runs: Run) -> list[dict[str, Any]]:
    names = ("kept", "full", "whole_past")
    rows = []
    for price, *of in zip(Inactivity.grid, *(levels(r) for r in runs), strict=True):
        row: dict[str, Any] = {"price": round(float(price), 3)}
        for name, figures in zip(names, of, strict=True):
            row[name] = {
                "false_visits": round(figures.visits, 3),
                "median_h": _finite(figures.quantile(0.5)),
                "p90_h": _finite(figures.quantile(0.9)),
                "same_hour": round(float((figures.delays_h == of[1].delays_h).mean()), 4),
            }
        rows.append(row)
    return rows


def _finite(hours: float) -> float | None:
    """Return None for never, since JSON knows no infinity."""
    return hours if math.isfinite(hours) else None


def table(figures: Mapping[str, Any]) -> str:
    """Return one set as people read it."""
    size, found = figures["bytes"], figures["kept_against_full"]
    lines = [
        f"{figures['set']}: {figures['homes']} homes, {figures['home_years']} home-years, "
        f"{figures['collapses']} collapses; at each price kept / in full / whole past",
        f"{'price':>8} {'false visits a home-year':^26} {'median, h':^16} {'p90, h':^16} "
        f"{'alert at the same hour':^22}",
    ]
    for row in (figures["levels"][i] for i in SHOWN):
        of = row["kept"], row["full"], row["whole_past"]
        rates = " / ".join(f"{x['false_visits']:6.2f}" for x in of)
        median, p90 = (" / ".join(_hours(x[k]) for x in of) for k in ("median_h", "p90_h"))
        same = f"{row['kept']['same_hour']:.1%} / – / {row['whole_past']['same_hour']:.1%}"
        lines.append(f"{row['price']:8.2f} {rates:^26} {median:^16} {p90:^16} {same:^22}")
    worst = (
        f"kept against full, the worst of {len(figures['levels'])} prices: false visits apart by "
        f"{found['visits_apart']:.2%}, {found['same_hour']:.2%} of alerts at the same hour "
        f"(mean {found['same_hour_mean']:.2%}), median by {found['median_apart_h']:g} h, "
        f"p90 by {found['p90_apart_h']:g} h"
    )
    evidence = (
        f"evidence apart by {found['evidence_apart']:.5f} at most in {found['hours_of_evidence']:,} "
        f"silent hours of equal records (half a step of its code: {HALF_STEP:.5f}); other signs of "
        f"life in {found['signs_apart']} of {found['hours']:,} hours"
    )
    memory = (
        f"bytes a home: {size['kept']} kept, {size['full']:,} in full "
        f"(× {size['full'] / size['kept']:.1f}), where a table of survival would add "
        f"{size['survival_table']:,}"
    )
    return "\n".join(line.rstrip() for line in (*lines, worst, evidence, memory))


def _hours(hours: float | None) -> str:
    return f"{'–' if hours is None else format(hours, 'g'):>3}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of each set; --json writes all prices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20,
                        help="collapses a home; with few, one alert that moves moves a quantile")  # fmt: skip
    parser.add_argument("--set", action="append", choices=REAL, help="default: all")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    figures = []
    for name in args.set or REAL:
        figures.append(bench(load(name), args.cases))
        print(table(figures[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
