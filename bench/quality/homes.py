"""Collapses cut into real homes, against today's rules: how soon, at how many false visits.

``python -m bench.quality.homes [--json out.json] [--cross-validate] [--cases 12]``

The detector meets each hour as the engine would: what is not known when the slot is due is missing
and amended when its reading arrives. From every home, hours from 7 to 20 h in which it was active
(after 28 days) are drawn; a copy of the detector's state at that hour goes on for 72 hours with
standby. Delay = when the alert is raised (slot end + one hour) − start of the first replaced slot;
an alert that was already open counts as none. Every episode of the untouched record that comes to
its moment is a false visit. The price of each day comes from the production controller, with all
homes as one fleet, from a cold start. ``bench/quality/judged.py`` measures the same through the
whole engine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.quality import homes_river, homes_train
from bench.quality.cases import SIMULATED
from bench.quality.homes_train import folds, frame, signs_of_life, train
from bench.quality.hours import BURN_IN_H, HOUR_S, Hours, load
from detectors import inactivity_kernels as kernels
from detectors.base import NO_SLOT, NS, Signals
from detectors.budget import FLEET, Price, PriceReducer, due
from detectors.episodes import EpisodeCounter, Tally
from detectors.inactivity import Inactivity
from detectors.inactivity_kernels import Model

REPLACED_H = 72
WAKING_H = (7, 20)
ABSENT_H = 24
DUE_S = 2 * HOUR_S
"""A slot is due at its end + one hour, two hours after its start."""


@dataclass(slots=True)
class Case:
    """A collapse: home, slot counted from the set's first, and what was said of it from then on."""

    home: int
    start: int
    track: Signals


@dataclass(slots=True)
class Run:
    """A set as the detector met it, hour by hour, with its cases."""

    hours: Hours
    track: Signals
    key: NDArray[np.uint64]
    cases: list[Case]


def standby(hours: Hours, home: int, start: int) -> float:
    """Return the home's use without anybody: a register that stands still, or quiet loads."""
    if hours.channel != 0:
        return 0.0
    span = slice(max(0, start - 28 * 24), start)
    night = (hours.local_hour[span] >= 1) & (hours.local_hour[span] < 5)
    return float(np.nanquantile(hours.values[span, home][night], 0.25))


def draw(hours: Hours, signs: NDArray[np.int8], cases: int, seed: int) -> dict[int, list[int]]:
    """Return the homes that collapse at each slot."""
    found: dict[int, list[int]] = {}
    waking = (hours.local_hour >= WAKING_H[0]) & (hours.local_hour <= WAKING_H[1])
    for home in range(hours.homes):
        begin, end = hours.begin[home] + BURN_IN_H, hours.end[home] - REPLACED_H - 2
        fits = np.flatnonzero((signs[:, home] == kernels.ACTIVE) & waking)
        fits = fits[(fits >= begin) & (fits < end)]
        rng = np.random.default_rng([seed, home])
        for slot in rng.choice(fits, min(cases, len(fits)), replace=False):
            found.setdefault(int(slot), []).append(home)
    return found


def absences(hours: Hours, signs: NDArray[np.int8]) -> dict[int, list[tuple[int, int]]]:
    """Return silences of a day and more: at the slot where each begins, (home, end)."""
    found: dict[int, list[tuple[int, int]]] = {}
    _, silences = homes_train.silences_of(hours)
    for home, onset, length, after in zip(
        silences.home, silences.onset, silences.length, silences.next_active, strict=True
    ):
        if length >= ABSENT_H:
            until = int(after) if after >= 0 else len(signs)
            found.setdefault(int(onset), []).append((int(home), until))
    return found


class Stream:
    """Feeds a detector with hours as they become known."""

    def __init__(self, hours: Hours) -> None:
        self.hours = hours
        start = (np.arange(len(hours.values)) + hours.first_slot) * HOUR_S
        known = np.where(hours.known_s < 0, np.iinfo(np.int64).max, hours.known_s)
        late = known > (start + DUE_S)[:, None]
        self.on_time = np.where(late, np.nan, hours.values).astype(np.float32)
        self.amendments: dict[int, list[tuple[int, int]]] = {}
        self.late = late & (hours.known_s >= 0)
        for slot, home in np.argwhere(self.late):
            # It is applied before the first slot that is due after its reading has arrived.
            at = -(-int(hours.known_s[slot, home]) // HOUR_S) - 2 - hours.first_slot
            self.amendments.setdefault(max(at, int(slot) + 1), []).append((int(slot), int(home)))

    def amend(self, detector: Inactivity, slot: int) -> None:
        """Apply what has become known before a slot closes."""
        for at, home in sorted(self.amendments.get(slot, ())):
            if np.isnan(self.hours.values[at, home]):
                continue
            values = np.full((len(detector.channels), 1), np.nan, np.float32)
            values[self.hours.channel] = self.hours.values[at, home]
            detector.amend(self.hours.first_slot + at, np.array([home]), values)


def run(hours: Hours, model: Model | None, cases: int, declared: bool, seed: int = 1) -> Run:
    """Step through a set, leaving the main road at every case."""
    detector = Inactivity(hours.homes, interval_s=HOUR_S)
    if model is not None:
        detector._model = model
    signs = signs_of_life(hours)
    stream = Stream(hours)
    cuts = draw(hours, signs, cases, seed) if cases else {}
    away = absences(hours, signs) if declared else {}
    slots = len(hours.values)
    track = Signals.empty(slots, hours.homes)
    found = []
    for slot in range(slots):
        stream.amend(detector, slot)
        for home in cuts.get(slot, ()):
            after = _collapse(detector, stream, home, slot)
            found.append(Case(home, slot, after))
        for home, until in away.get(slot, ()):
            span = (np.array([(hours.first_slot + s) * HOUR_S * NS]) for s in (slot, until))
            detector.inform("absence", np.array([home]), *span)
        said = detector.step(frame(hours, slot, stream.on_time[slot : slot + 1]))
        _note(track, slot, said)
    return Run(hours, track, detector.key, found)


def _note(track: Signals, slot: int, said: Signals) -> None:
    """Enter what was said of one slot."""
    track.evidence[slot], track.p_value[slot] = said.evidence[0], said.p_value[0]
    track.urgency[slot], track.onset[slot] = said.urgency[0], said.onset[0]


def _collapse(detector: Inactivity, stream: Stream, home: int, start: int) -> Signals:
    """Let a copy of one home go on with standby."""
    hours = stream.hours
    alone = Inactivity(1, interval_s=HOUR_S)
    alone._model = detector._model
    alone.state = {k: v[[home]].copy() for k, v in detector.state.items()}
    quiet = standby(hours, home, start)
    stop = start + REPLACED_H + 2
    said = Signals.empty(stop - start, 1)
    values = np.full((len(alone.channels), 1), np.nan, np.float32)
    row = np.array([0])
    for slot in range(start, stop):
        for at, other in sorted(stream.amendments.get(slot, ()) if slot > start else ()):
            if other == home and (at >= start or np.isfinite(hours.values[at, home])):
                values[hours.channel] = quiet if at >= start else hours.values[at, home]
                alone.amend(hours.first_slot + at, row, values)
        on_time = np.isfinite(stream.on_time[slot, home])
        use = np.array([[quiet if on_time else np.nan]], np.float32)
        _note(said, slot - start, alone.step(frame(hours, slot, use)))
    return said


# -- prices and figures ------------------------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """What a method reached on a set."""

    visits: float
    """False visits a home-year."""
    delays_h: NDArray[np.float64]
    """Per case; inf for never."""
    weights: NDArray[np.float64]
    """Every home counts alike."""
    extra: dict[str, float] = field(default_factory=dict)

    def quantile(self, share: float) -> float:
        order = np.argsort(self.delays_h, kind="stable")
        at = np.searchsorted(np.cumsum(self.weights[order]), share * self.weights.sum() - 1e-9)
        return float(self.delays_h[order[at]])

    def within(self, hours: float) -> float:
        return float(self.weights[self.delays_h <= hours].sum() / self.weights.sum())

    def row(self) -> dict[str, Any]:
        return {
            "false_visits": round(self.visits, 2),
            "median_h": self.quantile(0.5),
            "p90_h": self.quantile(0.9),
            "within_6_h": round(self.within(6), 3),
            "within_10_h": round(self.within(10), 3),
            "within_13_h": round(self.within(13), 3),
            "within_25_h": round(self.within(25), 3),
            "never": round(1 - self.within(1e9), 3),
            **self.extra,
        }


def weights(homes: NDArray[np.int64]) -> NDArray[np.float64]:
    return 1.0 / np.bincount(homes)[homes]


def at_budget(done: Sequence[Run], budget: float) -> Figures:
    """Let the production controller hold a budget over the homes of some runs as one fleet."""
    # As engine/build.py makes it.
    weight = Inactivity.prior_years / FLEET.prior_years
    params = replace(
        FLEET, prior_years=Inactivity.prior_years, pool_events=FLEET.pool_events * weight
    )
    reducer = PriceReducer(budget, Inactivity.prior_rate, params)
    first = min(r.hours.first_slot for r in done)
    last = max(r.hours.first_slot + len(r.hours.values) for r in done)
    counters = [EpisodeCounter(r.hours.homes, HOUR_S) for r in done]
    prices: dict[int, Price] = {}
    price, tally, visits = reducer.price, Tally(), 0
    for slot in range(first, last):
        if slot % 24 == 0:
            day = slot // 24
            if slot > first:
                published = reducer.close(day - 1, tally)
                prices[published.day], tally = published, Tally()
            price = prices.get(day, price)
            prices[day] = price
        for r, counter in zip(done, counters, strict=True):
            t = slot - r.hours.first_slot
            if not 0 <= t < len(r.hours.values):
                continue
            said = _at(r.track, t)
            mask = due(said.urgency[0], price, r.key, said.onset[0]) & (said.onset[0] != NO_SLOT)
            before = counter.state["spent"].copy()
            tally = tally + counter.count(said, mask)
            new = counter.state["spent"] & ~before
            fresh = mask & (new | (before & (counter.state["onset"] != said.onset[0])))
            visits += int((fresh & (t >= r.hours.begin + BURN_IN_H) & (t < r.hours.end)).sum())
    years = sum(float(r.hours.exposure_years.sum()) for r in done)
    delays, homes, offset = [], [], 0
    for r in done:
        for case in r.cases:
            delays.append(_delay(case, r, prices))
            homes.append(case.home + offset)
        offset += r.hours.homes
    return Figures(
        visits / years,
        np.array(delays),
        weights(np.array(homes)),
        {"asked": budget, "realised_over_asked": round(visits / years / budget, 3)},
    )


def _at(track: Signals, t: int) -> Signals:
    now = slice(t, t + 1)
    return Signals(track.evidence[now], track.p_value[now], track.urgency[now], track.onset[now])


def _delay(case: Case, r: Run, prices: dict[int, Price]) -> float:
    """Return hours from the collapse to the alert; an alert that was open before counts as none."""
    key = r.key[[case.home]]
    before = case.start - 1
    opened = _is_due(r.track.urgency[before, [case.home]], r.track.onset[before, [case.home]],
                     key, r.hours.first_slot + before, prices)  # fmt: skip
    if opened and case.track.onset[1, 0] == r.track.onset[before, case.home]:
        return float("inf")
    for i in range(len(case.track.urgency)):
        slot = r.hours.first_slot + case.start + i
        if _is_due(case.track.urgency[i], case.track.onset[i], key, slot, prices):
            return i + DUE_S / HOUR_S
    return float("inf")


def _is_due(urgency: Any, onset: Any, key: Any, slot: int, prices: dict[int, Price]) -> bool:
    price = prices[min(slot // 24, max(prices))]
    return bool(onset[0] != NO_SLOT and due(urgency, price, key, onset)[0])


def plain_rule(done: Sequence[Run], hours: int) -> Figures:
    """Judge "no use for so many hours" by the same signs of life."""
    visits, years = 0, 0.0
    delays, homes, offset = [], [], 0
    for r in done:
        _, s = homes_train.silences_of(r.hours)
        counted = s.onset > r.hours.begin[s.home] + BURN_IN_H
        visits += int((counted & (s.length >= hours)).sum())
        years += float(r.hours.exposure_years.sum())
        begun = {
            (int(h), int(a)): int(n)
            for h, a, n in zip(s.home, s.next_active, s.length, strict=True)
        }
        for case in r.cases:
            silent = begun.get((case.home, case.start), 0)
            delays.append(hours - silent + 1.0 if silent < hours else float("inf"))
            homes.append(case.home + offset)
        offset += r.hours.homes
    return Figures(visits / years, np.array(delays), weights(np.array(homes)))


def daily_deviation(done: Sequence[Run], share: float = 0.2) -> Figures:
    """Judge at midnight: the day's use under a share of the median day of the 28 before."""
    visits, years = 0, 0.0
    delays, homes, offset = [], [], 0
    for r in done:
        h = r.hours
        days = h.local_day - h.local_day[0]
        ends = np.flatnonzero(np.diff(days, append=days[-1] + 1))
        for home in range(h.homes):
            use = np.nan_to_num(h.values[:, home], nan=0.0)
            totals = np.bincount(days, use)
            usual = np.array(
                [np.median(totals[max(0, d - 28) : max(d, 1)]) for d in range(len(totals))]
            )
            low = totals < share * usual
            lived = (ends >= h.begin[home] + BURN_IN_H) & (ends < h.end[home])
            visits += int((low & ~np.r_[False, low[:-1]])[lived].sum())
            for case in (c for c in r.cases if c.home == home):
                quiet = standby(h, home, case.start)
                delay = float("inf")
                for d in range(days[case.start], days[min(case.start + REPLACED_H, len(days) - 1)]):
                    hours = np.arange(len(days))[days == d]
                    told = np.where(hours >= case.start, quiet, use[hours]).sum()
                    if told < share * usual[days[case.start]]:
                        delay = float(hours[-1] - case.start + 2)
                        break
                delays.append(delay)
                homes.append(home + offset)
        years += float(h.exposure_years.sum())
        offset += h.homes
    return Figures(visits / years, np.array(delays), weights(np.array(homes)))


# -- the table ---------------------------------------------------------------------------------


def runs(
    sets: Iterable[Hours], cases: int, declared: bool, cross_validate: bool
) -> list[list[Run]]:
    """Return, per set, its runs: one, or one per fold with weights that its homes did not teach."""
    every = list(sets)
    if not cross_validate:
        return [[run(h, None, cases, declared)] for h in every]
    out: list[list[Run]] = [[] for _ in every]
    for held in folds(every):
        model, _ = train(every, [~mine for mine in held])
        for at, (h, mine) in enumerate(zip(every, held, strict=True)):
            out[at].append(run(h.take(np.flatnonzero(mine)), model, cases, declared))
    return out


def river_models(done: Sequence[Run], budgets: Sequence[float]) -> Iterator[tuple[str, Figures]]:
    """Yield what models of river reach on the same cases (:mod:`bench.quality.homes_river`)."""
    for name in homes_river.MODELS:
        scored = [
            homes_river.score(
                r.hours,
                name,
                [(c.home, c.start, standby(r.hours, c.home, c.start)) for c in r.cases],
            )
            for r in done
        ]
        for budget in budgets:
            parts = [homes_river.at_visits(one, budget) for one in scored]
            delays = np.concatenate([delay for _, delay, _ in parts])
            homes = np.concatenate([1_000 * i + home for i, (_, _, home) in enumerate(parts)])
            visits = float(np.mean([v for v, _, _ in parts]))
            yield f"{name}, at {budget:g}", Figures(visits, delays, weights(homes))


REAL = ("homes_water", "homes_power")
BUDGETS = {REAL[0]: (52, 33.6, 24, 12.4, 12, 6), REAL[1]: (52, 24, 12), SIMULATED: (24, 12)}


def table(
    cases: int, cross_validate: bool, river: bool = False, chosen: Sequence[str] = tuple(BUDGETS)
) -> list[dict[str, Any]]:
    """Return all figures as rows."""
    rows: list[dict[str, Any]] = []

    def add(where: str, method: str, figures: Figures) -> None:
        rows.append({"set": where, "method": method, **figures.row()})
        r = rows[-1]
        ratio = f" ×{r['realised_over_asked']:.2f}" if "asked" in r else ""
        print(
            f"{where:22} {method:26} {r['false_visits']:6.1f}{ratio:6} a home-year | "
            f"median {r['median_h']:5.1f} h  p90 {r['p90_h']:5.1f} h | within 6/10/13/25 h "
            f"{r['within_6_h']:.2f} {r['within_10_h']:.2f} {r['within_13_h']:.2f} "
            f"{r['within_25_h']:.2f} | never {r['never']:.3f}",
            flush=True,
        )

    real = [load(name) for name in REAL] if set(chosen) & set(REAL) else []
    done_of = dict(zip(REAL, runs(real, cases, False, cross_validate), strict=False))
    if SIMULATED in chosen:  # weights are taught by real homes alone
        (done_of[SIMULATED],) = runs([load(SIMULATED)], cases, False, False)
    for done, budgets in ((done_of[name], BUDGETS[name]) for name in BUDGETS if name in chosen):
        name = done[0].hours.name
        asked = list(budgets)
        for hours in (12, 24):
            rule = plain_rule(done, hours)
            add(name, f"{hours} h without use", rule)
            asked.append(round(rule.visits, 1))
        add(name, "day under 20 % of usual", daily_deviation(done))
        for budget in asked:
            add(name, f"inactivity, budget {budget:g}", at_budget(done, budget))
        if river:
            for method, figures in river_models(done, asked[-2:]):
                add(name, method, figures)
    for done in runs(real[:1], cases, True, cross_validate) if REAL[0] in chosen else ():
        add("homes_water, declared", "inactivity, budget 3.65", at_budget(done, 3.65))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table; --json writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20, help="collapses a home")
    parser.add_argument("--cross-validate", action="store_true",
                        help="judge homes by weights they did not teach (two folds)")  # fmt: skip
    parser.add_argument("--river", action="store_true",
                        help="models of river too, at the visits of the plain rules")  # fmt: skip
    parser.add_argument("--set", action="append", choices=tuple(BUDGETS), help="default: all")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rows = table(args.cases, args.cross_validate, args.river, args.set or tuple(BUDGETS))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
