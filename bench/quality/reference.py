"""One home as `inactivity` would know it without a limit on memory: plain Python, hour by hour.

Written from the words of the model, not from its kernels: the record is a dictionary of every
hour, every past silence is followed from its beginning, and the cost of waiting is added up hour
by hour. With :data:`SHIPPED` it rounds what the detector rounds, and is its twin in the tests; with
:data:`FULL` nothing is rounded, and ``bench/quality/compressed.py`` says what that changes.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.base import LEVELS, NO_SLOT
from detectors.inactivity_model import COST, DELAY_COST, DELAY_H, GRID_H, PRICES, shipped

GRID = [int(d) for d in GRID_H]
LONGEST_H = GRID[-1]
SHORT_GAP_H, LOST_H = 2, 168
UNPLANNED_H = 164
"""A silence not planned by then begins anew: a week, less the hours around it that a plan looks at."""
CHANNELS = 3
NIGHTS = ((42, 4, 1.15), (7, 2, 1.3), (7, 2, 1.3))
"""By channel: nights that are known, the part of them that is quieter than standby, its factor."""
NEAR = {0: 1.0, 1: 0.7, 2: 0.3}


@dataclass(frozen=True)
class Kept:
    """How exactly a home is remembered; None stands for all there is.

    Parameters
    ----------
    codes : float, optional
        Steps a nat in which survival is kept.
    least : float, optional
        The lowest ln S that is kept.
    units : tuple of float, optional
        Steps a unit (kWh, litre, litre of gas) in which nights are kept, 65,000 of them;
        thresholds are float32 then, as amounts in frames are.
    days : int, optional
        How far back a plan looks.
    """

    codes: float | None = None
    least: float | None = None
    units: tuple[float, float, float] | None = None
    days: int | None = None

    def night(self, channel: int, amount: float) -> float:
        """Return a night's amount as it is remembered."""
        amount = max(amount, 0.0)
        if self.units is None:
            return amount
        return min(65_000, round(amount * self.units[channel])) / self.units[channel]

    def limit(self, limit: float) -> float:
        """Return what a slot must exceed, as it is remembered."""
        # An amount that is the limit is not above it, whatever a product's last bit says.
        return round(limit, 9) if self.units is None else float(np.float32(limit))

    def log_survival(self, alive: float) -> float:
        """Return ln S as it is remembered."""
        exact = math.log(alive) if self.least is None else max(math.log(alive), self.least)
        return exact if self.codes is None else round(self.codes * exact) / self.codes


LAST_CODE = -255 / 30
SHIPPED = Kept(codes=30.0, least=LAST_CODE, units=(1000.0, 10.0, 1.0), days=73)
FULL = Kept(least=LAST_CODE, days=73)
WHOLE_PAST = Kept(least=LAST_CODE)


class Said(NamedTuple):
    """What is said of an hour."""

    evidence: float
    p_value: float
    urgency: int
    onset: int


def length(record: Mapping[int, bool], begin: int, end: int) -> int:
    """Silent hours from `begin` to the first activity before `end`, 72 at most.

    Up to two missing hours in a row count, if a silent hour or the activity follows.
    """
    silent, gap = 0, 0
    for h in range(begin, min(end, begin + 128)):
        active = record.get(h)
        if active:
            break
        if active is None:
            gap += 1
        else:
            silent += 1 + (gap if gap <= SHORT_GAP_H else 0)
            gap = 0
    return min(silent + (gap if gap <= SHORT_GAP_H else 0), LONGEST_H)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


class Past:
    """Past silences or waits of one kind, each with its weight."""

    def __init__(self) -> None:
        self.silent: list[int] = []
        self.weight: list[float] = []

    def add(self, silent: int, weight: float) -> None:
        self.silent.append(silent)
        self.weight.append(weight)

    def at_risk(self) -> dict[int, float]:
        """Return the weight of those that lasted so long, at every duration of the grid."""
        lasted = np.array(self.silent)[None, :] >= np.array(GRID)[:, None]
        return dict(zip(GRID, (lasted @ np.array(self.weight)).tolist(), strict=True))


def _waits() -> NDArray[np.float64]:
    """Return what waiting costs who fell, by the hours of the alert and of their next activity.

    Shape (KINDS, LEVELS, K, LONGEST_H). It costs nothing where the silence would have ended, and
    the fall come, after the alert.
    """
    costs = np.zeros((len(DELAY_H), LEVELS, len(GRID), LONGEST_H))
    for kind, level in itertools.product(range(len(DELAY_H)), range(LEVELS)):
        steps = list(zip(DELAY_H[kind, level], DELAY_COST[kind, level], strict=True))
        for k, d in enumerate(GRID):
            for e in range(d):
                late = sum(cost for after, cost in steps if d - e > after)
                costs[kind, level, k, e] = COST[0] * (d - e) + late
    return costs


WAITS = _waits()
NEVER = COST[0] * LONGEST_H + DELAY_COST.sum(axis=-1) + COST[1]
"""What no alert at all costs, shape (KINDS, LEVELS)."""


class Home:
    """One home's record and its present silence.

    Parameters
    ----------
    params : mapping of str to float
        Those of the detector.
    rest : mapping of int to bool
        Whether a local day is one of rest.
    kept : Kept
        How exactly it is remembered.
    """

    def __init__(self, params: Mapping[str, float], rest: Mapping[int, bool], kept: Kept) -> None:
        floor = (params["electricity_kwh"], params["water_l"], 1000 * params["gas_m3"])
        self.model = shipped(params["half_life_d"], floor)
        self.half_life_d, self.ready_h = params["half_life_d"], params["ready_h"]
        self.rest, self.kept = rest, kept
        self.record: dict[int, bool] = {}
        self.only_electricity = True
        self.tonight: list[list[float]] = [[] for _ in range(CHANNELS)]
        self.nights: list[dict[int, float]] = [{} for _ in range(CHANNELS)]
        self.limits: list[float | None] = [None, *map(float, self.model.floor[1:])]
        self.onset, self.silent, self.gap = NO_SLOT, 0, 0
        self.log_alive: list[float] = []
        self.moments: list[int | None] = []

    def copy(self) -> Self:
        """Return the same home, to go on another way."""
        other = copy.copy(self)
        other.record, other.limits = dict(self.record), list(self.limits)
        other.tonight = [list(n) for n in self.tonight]
        other.nights = [dict(n) for n in self.nights]
        return other

    # -- hour by hour ---------------------------------------------------------------------------

    def step(self, slot: int, hour: int, day: int, use: Sequence[float]) -> Said | None:
        """Live through one hour; return what is said of it, None while too little is known.

        `hour` and `day` are local; `use` has an amount for each channel, NaN where missing.
        """
        self._watch_night(hour, day, use)
        active = self._sign_of_life(use)
        if active is None:
            self.gap += 1
        else:
            self.record[slot] = active
            before = self.silent
            if active:
                self.onset, self.silent = slot + 1, 0
            elif self.onset != NO_SLOT:
                if self.silent < 2 and slot - self.onset >= UNPLANNED_H:
                    self.onset, self.silent, self.gap = slot, 0, 0
                    before = 0
                self.silent += 1 + (self.gap if self.gap <= SHORT_GAP_H else 0)
            self.gap = 0
            if before < 2 <= self.silent:
                began = 24 * day + hour - (slot - self.onset)
                self.plan(began % 24, began // 24)
        if len(self.record) < self.ready_h or self.gap >= LOST_H:
            return None
        urgency = 0
        if self.silent >= 2:
            now = min(self.silent, LONGEST_H)
            urgency = sum(m is not None and m <= now for m in self.moments)
        log_s = self.log_survival()
        onset = self.onset if self.silent else NO_SLOT
        return Said(-log_s / math.log(10), math.exp(log_s), urgency, onset)

    def _watch_night(self, hour: int, day: int, use: Sequence[float]) -> None:
        for c in range(CHANNELS):
            if 1 <= hour < 5 and not math.isnan(use[c]):
                self.tonight[c].append(use[c])
            elif hour == 5 and self.tonight[c]:
                seen = max(self.tonight[c]) if c == 0 else min(self.tonight[c])
                # Nights lie in as many places as are known; one takes the place of an older.
                kept, part, factor = NIGHTS[c]
                self.nights[c][day % kept] = self.kept.night(c, seen)
                ordered = sorted(self.nights[c].values())
                standby = ordered[len(ordered) // part]
                self.limits[c] = self.kept.limit(factor * standby + float(self.model.floor[c]))
                self.tonight[c] = []

    def _sign_of_life(self, use: Sequence[float]) -> bool | None:
        """Return whether any channel is active; None if none is known and has a limit."""
        active = None
        for c, amount in enumerate(use):
            if math.isnan(amount):
                continue
            self.only_electricity &= c == 0
            limit = self.limits[c]
            if limit is not None:
                active = bool(active) or amount > limit
        return active

    def log_survival(self) -> float:
        """Return ln S at the present duration."""
        d = min(self.silent, LONGEST_H)
        if d < 2:
            return 0.0
        k = max(i for i, g in enumerate(GRID) if g <= d)
        here = self.log_alive[k]
        if GRID[k] == d:
            return here
        part = (d - GRID[k]) / (GRID[k + 1] - GRID[k])
        return here + part * (self.log_alive[k + 1] - here)

    # -- the plan of a silence ------------------------------------------------------------------

    def share(self, hours: int, more: float, of: float) -> float:
        """Return the active share of the last known hours before the silence."""
        known = [self.record[h] for h in range(self.onset - hours, self.onset) if h in self.record]
        return (sum(known) + more) / (len(known) + of)

    def is_rest(self, day: int, today: int) -> bool:
        return (day + 3) % 7 >= 5 if day > today else self.rest.get(day, False)

    def past(self, day: int, hour: int) -> tuple[Past, Past, Past, Past]:
        """Return silences begun like this one; waits from its clock: all, of the week, of the day."""
        o, record = self.onset, self.record
        like, same, week, weekday = Past(), Past(), Past(), Past()
        morning = day + (hour >= 16)
        days = self.kept.days or (o - min(record)) // 24 + 1
        for j in range(1, days + 1):
            base = o - 24 * j
            weight = 0.5 ** (j / self.half_life_d)
            if self.is_rest(morning - j, day) != self.is_rest(morning, day):
                weight /= 2
            for shift in (-2, -1, 0, 1, 2):
                a = base - 1 + shift
                if record.get(a) and a < o - 1:
                    like.add(length(record, a + 1, o - 1), weight * NEAR[abs(shift)])
            if base in record:
                silent = length(record, base, o - 1)
                same.add(silent, weight)
                if j <= 7:
                    week.add(silent, 1.0)
                if j % 7 == 0 and j <= 56:
                    weekday.add(silent, 1.0)
        return like, same, week, weekday

    def plan(self, hour: int, day: int) -> None:
        """Settle survival and moments of the silence that began at a local hour and day."""
        m = self.model
        like, same, week, weekday = (p.at_risk() for p in self.past(day, hour))
        usual = math.log(self.share(672, 1, 3))
        constant = [
            usual,
            math.log((like[24] + 0.5) / (like[0] + 1)),
            math.log((same[24] + 0.5) / (same[0] + 1)),
            *(math.log(self.share(span, 0.3, 1)) - usual for span in (6, 24, 72, 168)),
        ]
        alive = [1.0]
        for k, (d, after) in enumerate(itertools.pairwise(GRID)):
            ahead = hour + after - 1
            log_d = math.log(d or 0.5)
            prior = m.clock[0, ahead % 24] + m.clock[1, ahead % 24] * log_d + m.clock_step[k]
            q = 1 / (1 + math.exp(-prior))
            told = []
            for past, lean in ((like, 3.0), (same, 3.0), (week, 1.0), (weekday, 1.0)):
                ended = past[d] - past[after]
                told.append(logit(0.001 + 0.998 * (ended + lean * q) / (past[d] + lean)))
            trust, trust_same = like[d] / (like[d] + 10), same[d] / (same[d] + 10)
            x = [prior, *told, (told[0] - prior) * trust, trust, trust_same, *constant]
            rest = (day + ahead // 24 + 3) % 7 >= 5
            z = m.step[k] + m.hour[int(rest), ahead % 24]
            z += sum(v * (a + log_d * b) for v, a, b in zip(x, *m.weights, strict=True))
            alive.append(alive[-1] / (1 + math.exp(z)))
        self.moments = self.choose(hour, alive)
        self.log_alive = [self.kept.log_survival(s) for s in alive]

    def choose(self, hour: int, alive: Sequence[float]) -> list[int | None]:
        """Return the best hour for an alert at each price; None where none pays."""
        ends: list[float] = []
        for k, (d, after) in enumerate(itertools.pairwise(GRID)):
            ratio = (alive[k + 1] / alive[k]) ** (1 / (after - d))
            for i in range(after - d):
                waking = 7 <= (hour + len(ends)) % 24 <= 20
                ends.append(alive[k] * ratio**i * (1 - ratio) * waking)
        kind = int(self.only_electricity)
        waits = WAITS[kind] @ np.array(ends)
        active_hours = 8.76 * self.share(672, 5, 20)
        moments: list[int | None] = []
        earliest = 2
        for level in range(LEVELS):
            price = PRICES[level] * active_hours
            best, moment = NEVER[kind, level] * sum(ends), None
            for k, d in enumerate(GRID):
                total = waits[level, k] + price * alive[k]
                if d >= earliest and total < best:
                    best, moment = total, d
            if moment is None:
                return moments + [None] * (LEVELS - level)
            moments.append(moment)
            earliest = moment
        return moments
