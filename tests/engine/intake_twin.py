"""Naive twin of the intake: all readings kept for ever, every question answered from the start."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from connectors.records import Fault, Status
from engine.intake import HELD
from engine.intake.limits import limits_of

NAN = float("nan")
Ended = tuple[int, int]
GOOD, GONE = (int(Status.PROCESSED), 0), int(Status.QUARANTINED)


class NaiveMeter:
    """One meter; stamps are whole seconds."""

    def __init__(self, meter: dict[str, Any], lateness_s: int) -> None:
        self.interval_s = meter.get("interval_s", 3600)
        self.register = meter.get("register", True)
        self.stamp_end = meter.get("stamp_end", True)
        self.scale = meter.get("scale", 1.0)
        self.maximum = meter.get("register_max", 0.0)
        self.lateness_s = lateness_s
        limits = limits_of(meter.get("utility", "water"))
        growth = max(1.0, self.scale) if limits.grows else 1.0
        self.back = limits.step_back * growth / self.scale
        self.jump = limits.jump_per_hour * growth / self.scale
        self.most = limits.most_per_hour * growth * max(self.interval_s / 3600, 0.25)
        self.readings: list[tuple[int, float]] = []
        self.by_slot: dict[int, float] = {}
        self.held: tuple[int, int, bool] | None = None
        self.settled: list[tuple[int, int, int]] = []

    def closed(self, slot: int, clock_s: int) -> bool:
        return (slot + 1) * self.interval_s + self.lateness_s <= clock_s

    def add(self, at_s: int, value: float, clock_s: int, token: int) -> Ended:
        if value < 0:
            return GONE, int(Fault.NEGATIVE)
        if self.register:
            return self._add_register(at_s, value, clock_s, token)
        return self._add_interval(at_s, value, clock_s)

    # -- interval meters

    def _add_interval(self, at_s: int, value: float, clock_s: int) -> Ended:
        slot = math.floor(at_s / self.interval_s + 0.5)
        if abs(at_s - slot * self.interval_s) > min(self.interval_s / 4, 60):
            return GONE, int(Fault.OFF_GRID)
        slot -= self.stamp_end
        if value * self.scale > self.most:
            return GONE, int(Fault.IMPOSSIBLE)
        amount = float(np.float32(value * self.scale))
        if self.closed(slot, clock_s):
            if self.closed(slot + 7 * 86_400 // self.interval_s, clock_s):
                return int(Status.LATE), 0
            if slot in self.by_slot:
                return int(Status.DUPLICATE), 0
            self.by_slot[slot] = amount
            return int(Status.LATE), 0
        if slot not in self.by_slot:
            self.by_slot[slot] = amount
            return GOOD
        if self.by_slot[slot] == amount:
            return int(Status.DUPLICATE), 0
        self.by_slot[slot] = max(self.by_slot[slot], amount)
        return GONE, int(Fault.CONFLICT)

    # -- registers

    def _path(self, readings: list[tuple[int, float]]) -> tuple[list[Any], list[str]]:
        """Return [(stamp, use since the one before, known)] of readings that count, and what
        each reading is."""
        path: list[Any] = []
        what: list[str] = []
        top, low, last = 0.0, 0, 0.0
        for i, (at, level) in enumerate(readings):
            if not path:
                path.append((at, 0.0, False))
                what.append("good")
                top = last = level
                continue
            gap = at - path[-1][0]
            after = readings[i + 1][1] if i + 1 < len(readings) else None
            limit = self.jump * max(gap / 3600, 1.0)
            known = gap <= max(9000, 2.5 * self.interval_s) or abs(level - last) <= 1e-9 * level
            kind, use = "good", 0.0
            if top <= level <= top + limit:
                use = level - top
            elif top - self.back <= level < top:
                kind = "low"
            elif after is None:
                kind = "doubted"
            elif level > top and after - level > self.jump:
                use = level - top
            elif level > top:
                kind = "new" if after >= level - self.back else "refuted"
            elif after >= top - self.back or after < level - self.back:
                kind = "refuted"
            elif self.maximum and 0 <= level + self.maximum - top <= limit:
                use = level + self.maximum - top
            else:
                kind = "new"
            what.append(kind)
            if kind in ("doubted", "refuted"):
                continue
            low = low + 1 if kind == "low" else 0
            if kind != "low" or low == 12:
                top, low = level, 0
            path.append((at, use, known and kind != "new"))
            last = level
        return path, what

    def _add_register(self, at_s: int, level: float, clock_s: int, token: int) -> Ended:
        if 0 < self.maximum < level:
            return GONE, int(Fault.IMPOSSIBLE)
        late = self.closed(at_s // self.interval_s, clock_s)
        good = (int(Status.LATE) if late else int(Status.PROCESSED)), 0
        stamps = [at for at, _ in self.readings]
        if at_s in stamps:
            return self._conflict(stamps.index(at_s), level, good)
        readings = sorted([*self.readings, (at_s, level)])
        here = readings.index((at_s, level))
        _, what = self._path(readings)
        if self.held:
            at = [r[0] for r in readings].index(self.held[0])
            if what[at] == "refuted":
                self.settled.append((self.held[1], GONE, int(Fault.GLITCH)))
                self.held = None
            elif what[at] != "doubted":
                status = Status.LATE if self.held[2] else Status.PROCESSED
                self.settled.append((self.held[1], int(status), 0))
                self.held = None
        self.readings = readings
        if what[here] == "doubted":
            self.held = (at_s, token, late)
            return HELD, 0
        if what[here] == "refuted":
            return GONE, int(Fault.GLITCH)
        return good

    def _conflict(self, i: int, level: float, good: Ended) -> Ended:
        at, known = self.readings[i]
        if known == level:
            return int(Status.DUPLICATE), 0
        before = self.readings[:i]
        fits = self._path([*before, (at, level)])[1][-1] in ("good", "low")
        known_fits = self._path([*before, (at, known)])[1][-1] in ("good", "low")
        if not (fits if fits != known_fits else level < known):
            return GONE, int(Fault.CONFLICT)
        self.readings[i] = (at, level)
        if self.held and self.held[0] == at and fits:
            self.settled.append((self.held[1], GONE, int(Fault.CONFLICT)))
            self.held = None
            return good
        return GONE, int(Fault.CONFLICT)

    # -- amounts

    def amount(self, slot: int) -> float:
        if not self.register:
            return self.by_slot.get(slot, NAN)
        start, end = slot * self.interval_s, (slot + 1) * self.interval_s
        path, _ = self._path(self.readings)
        if not path or path[0][0] > start or path[-1][0] < end:
            return NAN
        total = 0.0
        for (left, *_), (right, use, known) in pairwise(path):
            overlap = min(right, end) - max(left, start)
            if overlap > 0:
                total += use * overlap / (right - left) if known else NAN
        return total * self.scale


class Twin:
    """All meters of a registry, row by row."""

    def __init__(self, meters: list[dict[str, Any]], lateness_s: dict[int, int]) -> None:
        self.meters = [NaiveMeter(m, lateness_s[m.get("interval_s", 3600)]) for m in meters]
        self.status: list[Ended] = []

    def add(self, meter: int, at_s: int, value: float, clock_s: int) -> None:
        m = self.meters[meter]
        self.status.append(m.add(at_s, value, clock_s, len(self.status)))
        for token, status, fault in m.settled:
            self.status[token] = status, fault
        m.settled = []

    def finish(self) -> None:
        for m in self.meters:
            if m.held:
                status = Status.LATE if m.held[2] else Status.PROCESSED
                self.status[m.held[1]] = int(status), 0
