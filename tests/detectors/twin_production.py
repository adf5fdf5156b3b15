"""Naive twin of `production` and `daytime_load`: one plant, one slot, plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.twins import twin

LINES = [-0.5 + 0.2 * j for j in range(35)]
NAN = float("nan")


def quantile(counts: list[int], share: float, start: int = 0) -> float:
    """The same histogram, read the slow way: quarter octaves from one watt."""
    total = sum(counts[start:])
    below = 0
    for j in range(start, len(counts)):
        if counts[j] and below + counts[j] >= share * total:
            return 0.001 * 2 ** ((j + (share * total - below) / counts[j]) / 4)
        below += counts[j]
    return 0.0


def bin_of(kw: float) -> int:
    return 0 if kw <= 0.001 else min(95, int(4 * math.log2(kw / 0.001)))


def is_night(minute: int) -> bool:
    return not 6 * 60 <= minute < 20 * 60 + 30


@dataclass
class Run:
    """An episode: everything that was seen in it."""

    start: int
    minute: int
    rest: bool
    carried: bool
    xs: list[float] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    minutes: list[int] = field(default_factory=list)
    rests: list[bool] = field(default_factory=list)
    known: list[bool] = field(default_factory=list)
    low: int = 0

    def mean(self) -> float:
        return sum(self.xs) / len(self.xs)


class Plant:
    """One plant, as the docstrings tell it."""

    def __init__(self, detector: Detector, closed_slot: float, daytime: bool) -> None:
        p = detector.params
        self.minutes = detector.interval_s // 60
        self.day_slots = 1440 // self.minutes
        self.q = self.minutes / 15
        self.hour = max(1, 60 // self.minutes)
        self.prior, self.half_life, self.quiet_d = p["prior"], p["half_life_d"], p["quiet_d"]
        self.latitude, self.noon = p["latitude"], p["noon_h"]
        self.closed, self.daytime = closed_slot, daytime
        self.base = [[0.0] * self.day_slots for _ in range(2)]
        self.days = [[0] * self.day_slots for _ in range(2)]
        self.counts = [0] * 96
        self.settled = False
        self.trusted = 0
        self.production = self.idle = self.shift = self.noise = self.step_kw = 0.0
        self.residual = 0.0
        self.age = self.gap = 0
        self.day = None
        self.dusk = 0.0
        self.loads: list[float] = []
        self.excesses: list[float] = []
        self.memory = 0.0
        self.evidence = NAN
        self.run: Run | None = None
        self.onset = NO_SLOT
        self.top = -math.inf
        self.stirred = NO_SLOT
        self.windows: list[tuple[str, float, float, float]] = []
        self.visitors: list[tuple[int, str, float]] = []

    # -- standby ---------------------------------------------------------------------------

    def count(self, kw: float) -> None:
        self.counts[bin_of(kw)] += 1

    def history(self, kw: float, s: int, k: int) -> None:
        self.count(kw)
        b = self.base[k][s]
        if self.days[k][s] == 0:
            self.base[k][s] = kw
        elif kw < b:
            self.base[k][s] = b + 0.5 * (kw - b)
        else:
            self.base[k][s] = b + min(0.1 * b + 1e-3, 0.3 * (kw - b))
        self.days[k][s] = min(255, self.days[k][s] + 1)

    def settle(self) -> None:
        self.settled, self.age, self.trusted, self.production = True, 0, 0, 0.0
        if sum(self.counts) >= self.day_slots:
            q95 = quantile(self.counts, 0.95)
            self.idle = quantile(self.counts, 0.15)
            self.production = max(5.0, quantile(self.counts, 0.5, bin_of(0.3 * q95)))
            self.trusted = 1 if q95 > 3 * self.idle else 2
            self.noise = self.step_kw = 0.08 * self.idle
        for s in range(self.day_slots):
            seen = [self.days[0][s] > 0, self.days[1][s] > 0]
            if not self.trusted:
                new = [0.0, 0.0]
            elif not any(seen):
                new = [self.idle, self.idle]
            else:
                low = [min(self.base[k][s], 3 * self.idle) for k in range(2)]
                new = [low[k] if seen[k] else low[1 - k] for k in range(2)]
            self.base[0][s], self.base[1][s] = new
            self.days[0][s] = self.days[1][s] = 0
        self.counts = [0] * 96

    def new_day(self, day: int) -> None:
        self.day = day
        delta = math.radians(23.44) * math.sin(2 * math.pi * (day % 365.2425 - 80) / 365.2425)
        phi = math.radians(self.latitude)
        cos_h = (-0.01454 - math.sin(phi) * math.sin(delta)) / (math.cos(phi) * math.cos(delta))
        self.dusk = 60 * self.noon + 4 * math.degrees(math.acos(max(-1, min(1, cos_h))))
        if self.settled and self.age >= self.day_slots and self.trusted != 1:
            idle = quantile(self.counts, 0.15)
            if self.trusted == 0 or self.production <= 4 * idle:
                self.trusted, self.idle, self.production = 0, idle, max(5.0, 15 * idle)

    def usual(self, s: int, k: int) -> float:
        near, far = max(1, 30 // self.minutes), max(1, 60 // self.minutes)
        found = []
        for d in range(-near, near + 1):
            q = (s + d) % self.day_slots
            if self.days[k][q] or self.trusted:
                found.append(self.base[k][q])
            if not self.days[k][q] and self.days[1 - k][q]:
                found.append(self.base[1 - k][q])
        if k == 1 and 7 * 60 <= s * self.minutes < 20 * 60:
            for d in range(-far, far + 1):
                if self.days[0][s + d]:
                    found.append(self.base[0][s + d])
        return max(0.0, self.shift + max(found, default=1.5 * self.idle))

    def learn(self, kw: float, s: int, k: int, before: float) -> None:
        days = self.days[k][s]
        error = kw - self.shift - self.base[k][s]
        cap = max(3 * self.noise, 0.01 * self.production)
        self.base[k][s] += max(0.15, 1 / (days + 1)) * (error if days <= 3 else min(error, cap))
        self.days[k][s] = min(255, days + 1)
        if is_night(s * self.minutes):
            self.base[1 - k][s], self.days[1 - k][s] = self.base[k][s], self.days[k][s]
        if days >= 2:
            most = self.q * max(0.004 * self.production, 0.03 * kw)
            pull = (1 - 0.85**self.q) * error
            self.shift = 0.999**self.q * (self.shift + max(-most, min(most, pull)))
        self.residual += (1 - 0.65**self.q) * (error - self.residual)
        if days >= 3:
            self.noise += 0.01 * self.q * (1.4 * abs(self.residual) - self.noise)
        if not math.isnan(before):
            self.step_kw += 0.02 * self.q * (abs(kw - before) - self.step_kw)

    # -- episodes --------------------------------------------------------------------------

    def parts(self, run: Run, last: int) -> dict[str, float]:
        n = len(run.xs)
        mean = run.mean()
        if n > 1:
            mean = max(0.01 * mean, (sum(run.xs) - max(0.0, *run.xs)) / (n - 1))
        quarters = n * self.q
        share = mean / self.production
        level = 2.2 * math.log(share / max(0.045, 2.2 / self.production))
        at_work = [7 * 60 <= m < 19 * 60 for m in run.minutes]
        score = 0.0
        for m, work, rest in zip(run.minutes, at_work, run.rests, strict=True):
            if self.daytime:
                score += 0.5 if work and not rest else -1
            elif is_night(m):
                score += 1
            elif rest:
                score += 0.5
            elif work:
                score -= 3
        time = score / n
        lighting = 0.0
        small = share < (0.2 if self.trusted == 1 else 0.5) and mean < 25 and n > 2
        if small and not self.daytime and -60 <= run.minute - self.dusk <= 75:
            jump = sum(abs(b - a) for a, b in zip(run.xs[1:], run.xs[2:], strict=False)) / (n - 2)
            if math.sqrt(max(0.0, jump**2 - 1.3 * self.step_kw**2)) / mean < 0.08:
                lighting = -3.0
        first, end = run.start * self.minutes, (last + 1) * self.minutes
        vehicles = 0.0
        for minute, kind, worth in self.visitors:
            if first - (0 if kind in ("hazmat out", "goods out") else 150) <= minute <= end:
                vehicles = max(vehicles, worth - math.log(max(1.0, (minute - first) / 120)))
        if vehicles == 0 and any(kind.startswith("hazmat") for _, kind, _ in self.visitors):
            vehicles = math.log(0.75)
        return {
            "level": min(6.0, max(-2.5, level)) * min(1.0, quarters / 3),
            "duration": min(1.5, max(-1.0, 0.25 * (quarters - 7))),
            "time": max(time, -1.0) if share > 0.2 else time,
            "standby": -1.5 * (len(run.known) - sum(run.known)) / n,
            "lighting": lighting,
            "tenant": -1.5 if run.carried and quarters < 16 else 0.0,
            "vehicles": vehicles,
        }

    def mild(self, run: Run, parts: dict[str, float]) -> bool:
        by_day = not run.rest and 360 <= run.minute < 1080
        by_day = by_day and not any(is_night(m) for m in run.minutes)
        small = run.mean() / self.production < 0.2
        return parts["lighting"] < 0 or parts["tenant"] < 0 or (by_day and small)

    def close(self) -> None:
        run, self.run = self.run, None
        assert run is not None
        parts = self.parts(run, run.slots[-1])
        found = sum(parts.values())
        mild = self.mild(run, parts)
        short = len(run.xs) < max(1, 45 // self.minutes)
        if mild or short or found - self.prior < LINES[0]:
            self.absorb(run, mild and not short)
        if not short and (self.daytime or not mild):
            self.memory = min(10.0, max(0.0, self.memory + max(0.0, found) - self.prior))

    def absorb(self, run: Run, mild: bool) -> None:
        mean = run.mean()
        capped = min(mean, max(3 * self.noise, 0.01 * self.production))
        k = int(run.rest)
        for slot in range(run.start, run.slots[-1] + 1):
            minute = (slot * self.minutes + self.offset) % 1440
            s = minute // self.minutes
            days = self.days[k][s]
            rate = max(0.15, 1 / (days + 1))
            more = 0.35 * mean if mild else rate * (mean if days <= 3 else capped)
            for other in range(2):
                if other == k or is_night(minute):
                    self.base[other][s] += more
                    self.days[other][s] = min(255, days + 1)

    # -- one slot --------------------------------------------------------------------------

    def advance(self, slot: int, kw: float, s: int, day: int, rest: bool) -> bool:
        self.offset = s * self.minutes - slot * self.minutes % 1440
        k = int(rest)
        if day != self.day:
            self.new_day(day)
        if slot < self.closed:
            if not math.isnan(kw):
                self.history(kw, s, k)
            return False
        if not self.settled:
            self.settle()
        self.memory *= 0.5 ** (self.minutes / 1440 / self.half_life)
        if math.isnan(kw):
            self.gap += 1
        else:
            if self.run and self.gap > 150 // self.minutes:
                self.close()
            self.gap = 0
            before = self.loads[0] if self.loads else NAN
            if self.observe(slot, kw, s, k):
                self.count(kw)
                self.learn(kw, s, k, before)
            self.age += 1
        quiet = slot - self.stirred > self.quiet_d * self.day_slots
        if self.onset != NO_SLOT and not self.run and (self.memory < 0.1 or quiet):
            self.onset, self.top, self.memory = NO_SLOT, -math.inf, min(1.0, self.memory)
        return self.production > 0

    def observe(self, slot: int, kw: float, s: int, k: int) -> bool:
        minute, usual = s * self.minutes, self.usual(s, k)
        known = self.days[k][s] > 0
        hour = [kw, *self.loads[: min(4, self.hour) - 1]]
        mean = sum(hour) / len(hour)
        now = slot * self.minutes
        told = [w for w in self.windows if w[1] - 30 < now + self.minutes and now < w[2] + 60]
        total = max((w[3] for w in told if w[0] == "permit"), default=-1.0)
        tested = max((w[3] for w in told if w[0] == "approved_test"), default=-1.0)
        quiet = any(w[0] == "outage" for w in told)
        allowed = usual
        if total >= 0:
            quiet = quiet or mean <= 1.2 * total
            allowed = max(allowed, total)
        if tested >= 0:
            quiet = quiet or mean - usual <= 1.2 * tested
            allowed = max(allowed, usual + tested)
        x = kw - allowed
        theta = max(0.02 * self.production, 6 * self.noise, 0.3 * allowed)
        sharpness = 0.35
        if self.run and quiet:
            self.close()
        elif self.run:
            run, so_far = self.run, self.run.mean()
            calm = self.onset == NO_SLOT or self.stirred < run.start
            if x > 2 * max(so_far, theta) and len(run.xs) > min(4, self.hour) and calm:
                sharpness = 0.5
                self.close()
            elif x > max(0.25 * so_far, 0.5 * theta):
                run.low = 0
                self.extend(slot, x, minute, k, known)
            else:
                run.low += 1
            if self.run and (run.low >= 2 or slot - run.start >= 36 * 60 // self.minutes):
                self.close()
        if not self.run and not quiet and x > theta and self.production > 0:
            recent = min(4, self.hour)
            if any(e < sharpness * x for e in self.excesses[:recent]):
                rose = any(load < kw - 0.4 * x for load in self.loads[:recent])
                self.run = Run(slot, minute, bool(k), not rose)
                self.extend(slot, x, minute, k, known)
        self.loads = [kw, *self.loads[:3]]
        self.excesses = [0.0 if quiet else x, *self.excesses[:3]]
        self.evidence = self.memory - self.prior
        if self.run is None:
            return not quiet
        if len(self.run.xs) >= max(1, 45 // self.minutes):
            self.evidence += sum(self.parts(self.run, slot).values())
            if self.evidence >= LINES[0]:
                if self.onset == NO_SLOT:
                    self.onset = self.run.start
                self.stirred = slot
                self.top = max(self.top, self.evidence)
        return False

    def extend(self, slot: int, x: float, minute: int, k: int, known: bool) -> None:
        assert self.run is not None
        self.run.xs.append(x)
        self.run.slots.append(slot)
        self.run.minutes.append(minute)
        self.run.rests.append(bool(k))
        self.run.known.append(known)


def tell(detector: Detector, frame: Frame, plants: list[Plant]) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for i, plant in enumerate(plants):
        z = detector.zone[i]
        for t in range(frame.slots):
            kw = float(frame.values[t, 0, i]) * 3600 / detector.interval_s
            local = int(frame.local_slot[t, z]), int(frame.local_day[t, z])
            if plant.advance(frame.first_slot + t, kw, *local, bool(frame.rest_day[t, z])):
                out.evidence[t, i] = plant.evidence / math.log(10)
                rate = 0.2 * math.exp(-1.3 * (plant.evidence - 0.7))
                low = plant.evidence < LINES[0]
                out.p_value[t, i] = 1.0 if low else -math.expm1(-rate / 365)
                out.urgency[t, i] = sum(plant.top >= line - 2e-5 for line in LINES)
                out.onset[t, i] = plant.onset
    return out


@twin("production")
@twin("daytime_load")
def production(detector: Detector, frame: Frame) -> Signals:
    """Closure is the one thing that a twin reads from the fresh detector: it was told there."""
    from detectors.production_state import CLOSED

    closed = detector.state["whole"][:, CLOSED]
    daytime = detector.name == "daytime_load"
    assert np.all(detector.zone < 2)
    return tell(detector, frame, [Plant(detector, int(c), daytime) for c in closed])
