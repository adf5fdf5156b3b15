"""Naive twin of `inactivity`: the record as a dict, every silence followed hour by hour."""

import itertools
import math

import numpy as np

from detectors.base import LEVELS, NO_SLOT, Detector, Frame, Signals
from detectors.inactivity_model import COST, DELAY_COST, DELAY_H, GRID_H, PRICES, shipped
from tests.detectors.twins import twin

GRID = [int(d) for d in GRID_H]
LOOK_BACK_D = 73
STANDBY = ((1.15, 4), (1.3, 2), (1.3, 2))
UNITS = (1000.0, 10.0, 1.0)
NEAR = {0: 1.0, 1: 0.7, 2: 0.3}


def length(record: dict[int, bool], begin: int, end: int) -> int:
    """Silent hours from `begin` to the first activity before `end`, 72 at most.

    Up to two missing hours in a row count, if a silent hour or the activity follows.
    """
    silent, gap = 0, 0
    stop = end
    for h in range(begin, min(end, begin + 128)):
        if record.get(h):
            stop = h
            break
    for h in range(begin, min(stop, end)):
        if h in record:
            silent += 1 + (gap if gap <= 2 else 0)
            gap = 0
        else:
            gap += 1
    return min(silent + (gap if gap <= 2 else 0), 72)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def at_risk(past: list[tuple[int, float]], d: int) -> float:
    return sum(weight for silent, weight in past if silent >= d)


def share(record: dict[int, bool], o: int, hours: int, more: float, of: float) -> float:
    span = [record[h] for h in range(o - hours, o) if h in record]
    return (sum(span) + more) / (len(span) + of)


class Home:
    """One home's record and present silence."""

    def __init__(self, detector: Detector, rest: dict[int, bool]) -> None:
        p = detector.params
        self.model = shipped(
            p["half_life_d"], (p["electricity_kwh"], p["water_l"], 1000 * p["gas_m3"])
        )
        self.half_life_d = p["half_life_d"]
        self.rest = rest
        self.record: dict[int, bool] = {}
        self.only_electricity = True
        self.nights: list[dict[int, float]] = [{}, {}, {}]
        self.onset, self.silent, self.gap = NO_SLOT, 0, 0
        self.alive: list[float] = []
        self.moments: list[int | None] = []

    def is_rest(self, day: int, today: int) -> bool:
        return (day + 3) % 7 >= 5 if day > today else self.rest.get(day, False)

    def past(self, hour: int, day: int) -> tuple[list[tuple[int, float]], ...]:
        """Past silences and waits, each (silent hours, weight)."""
        o = self.onset
        like, same, week, weekday = [], [], [], []
        morning = day + (hour >= 16)
        for j in range(1, LOOK_BACK_D + 1):
            base = o - 24 * j
            weight = 0.5 ** (j / self.half_life_d)
            if self.is_rest(morning - j, day) != self.is_rest(morning, day):
                weight /= 2
            for shift in (-2, -1, 0, 1, 2):
                a = base - 1 + shift
                if self.record.get(a) and a < o - 1:
                    like.append((length(self.record, a + 1, o - 1), weight * NEAR[abs(shift)]))
            if base in self.record:
                silent = length(self.record, base, o - 1)
                same.append((silent, weight))
                if j <= 7:
                    week.append((silent, 1.0))
                if j % 7 == 0 and j <= 56:
                    weekday.append((silent, 1.0))
        return like, same, week, weekday

    def plan(self, hour: int, day: int) -> None:
        m, o = self.model, self.onset
        like, same, week, weekday = self.past(hour, day)
        usual = math.log(share(self.record, o, 672, 1, 3))
        constant = [
            usual,
            math.log((at_risk(like, 24) + 0.5) / (at_risk(like, 0) + 1)),
            math.log((at_risk(same, 24) + 0.5) / (at_risk(same, 0) + 1)),
            *(math.log(share(self.record, o, span, 0.3, 1)) - usual for span in (6, 24, 72, 168)),
        ]
        alive = [1.0]
        for k, (d, after) in enumerate(itertools.pairwise(GRID)):
            ahead = hour + after - 1
            log_d = math.log(d or 0.5)
            prior = m.clock[0, ahead % 24] + m.clock[1, ahead % 24] * log_d + m.clock_step[k]
            q = 1 / (1 + math.exp(-prior))
            told = []
            for past, lean in ((like, 3.0), (same, 3.0), (week, 1.0), (weekday, 1.0)):
                n, left = at_risk(past, d), at_risk(past, after)
                told.append(logit(0.001 + 0.998 * (n - left + lean * q) / (n + lean)))
            trust = at_risk(like, d) / (at_risk(like, d) + 10)
            trust_same = at_risk(same, d) / (at_risk(same, d) + 10)
            x = [prior, *told, (told[0] - prior) * trust, trust, trust_same, *constant]
            rest = (day + ahead // 24 + 3) % 7 >= 5
            z = m.step[k] + m.hour[int(rest), ahead % 24]
            z += sum(v * (a + log_d * b) for v, a, b in zip(x, *m.weights, strict=True))
            alive.append(alive[-1] / (1 + math.exp(z)))
        self.moments = self.choose(hour, alive)
        self.alive = [math.exp(-min(255, round(-30 * math.log(max(s, 1e-9)))) / 30) for s in alive]

    def choose(self, hour: int, alive: list[float]) -> list[int | None]:
        ends = []
        for k in range(len(GRID) - 1):
            width = GRID[k + 1] - GRID[k]
            ratio = (alive[k + 1] / alive[k]) ** (1 / width)
            for i in range(width):
                e = len(ends)
                waking = 7 <= (hour + e) % 24 <= 20
                ends.append(alive[k] * ratio**i * (1 - ratio) * waking)
        kind = int(self.only_electricity)
        active_hours = 8.76 * share(self.record, self.onset, 672, 5, 20)
        moments: list[int | None] = []
        earliest = 2
        for level in range(LEVELS):
            steps = list(zip(DELAY_H[kind, level], DELAY_COST[kind, level], strict=True))
            price = PRICES[level] * active_hours
            full = COST[0] * 72 + sum(cost for _, cost in steps) + COST[1]
            best, moment = full * sum(ends), None
            for k, d in enumerate(GRID):
                if d < earliest:
                    continue
                total = price * alive[k]
                for e in range(d):
                    late = sum(cost for after, cost in steps if d - e > after)
                    total += ends[e] * (COST[0] * (d - e) + late)
                if total < best:
                    best, moment = total, d
            if moment is None:
                return moments + [None] * (LEVELS - level)
            moments.append(moment)
            earliest = moment
        return moments

    def log_survival(self) -> float:
        d = min(self.silent, 72)
        if d < 2:
            return 0.0
        k = max(i for i, g in enumerate(GRID) if g <= d)
        here = math.log(self.alive[k])
        if GRID[k] == d:
            return here
        part = (d - GRID[k]) / (GRID[k + 1] - GRID[k])
        return here + part * (math.log(self.alive[k + 1]) - here)

    def threshold(self, c: int, today: int) -> float | None:
        """What a slot must exceed: standby by the nights known, times a factor, plus a floor."""
        factor, part = STANDBY[c]
        kept = (42, 7, 7)[c]
        # Nights lie in as many places as are kept; a later one takes the place of an older.
        places: dict[int, float] = {}
        for day in sorted(self.nights[c]):
            if day <= today:
                places[day % kept] = self.nights[c][day]
        if not places:
            return None if c == 0 else float(self.model.floor[c])
        return factor * sorted(places.values())[len(places) // part] + float(self.model.floor[c])


@twin("inactivity")
def inactivity(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for row in range(detector.rows):
        zone = detector.zone[row]
        rest = {
            int(d): bool(r)
            for d, r in zip(frame.local_day[:, zone], frame.rest_day[:, zone], strict=True)
        }
        home = Home(detector, rest)
        tonight: list[list[float]] = [[], [], []]
        last_night = -1
        for t in range(frame.slots):
            slot = frame.first_slot + t
            hour, day = int(frame.local_slot[t, zone]), int(frame.local_day[t, zone])
            use = [float(v) for v in frame.values[t, :, row]]
            for c in range(3):
                if 1 <= hour < 5 and not math.isnan(use[c]):
                    tonight[c].append(use[c])
                if hour == 5 and tonight[c]:
                    seen = max(tonight[c]) if c == 0 else min(tonight[c])
                    home.nights[c][day] = round(max(seen, 0.0) * UNITS[c]) / UNITS[c]
                    tonight[c] = []
            if hour == 5:
                last_night = day
            kind = None
            for c in range(3):
                if math.isnan(use[c]):
                    continue
                home.only_electricity &= c == 0
                limit = home.threshold(c, last_night)
                if limit is not None:
                    kind = bool(kind) or use[c] > np.float32(limit)
            if kind is None:
                home.gap += 1
            else:
                home.record[slot] = kind
                before = home.silent
                if kind:
                    home.onset, home.silent = slot + 1, 0
                elif home.onset != NO_SLOT:
                    home.silent += 1 + (home.gap if home.gap <= 2 else 0)
                home.gap = 0
                if before < 2 <= home.silent:
                    began = 24 * day + hour - (slot - home.onset)
                    home.plan(began % 24, began // 24)
            if len(home.record) < detector.params["ready_h"] or home.gap >= 168:
                continue
            come = home.silent >= 2
            out.urgency[t, row] = (
                sum(m is not None and m <= min(home.silent, 72) for m in home.moments)
                if come
                else 0
            )
            out.onset[t, row] = home.onset if home.silent else NO_SLOT
            log_s = home.log_survival()
            out.evidence[t, row] = -log_s / math.log(10)
            out.p_value[t, row] = math.exp(log_s)
    return out
