"""Plain-Python twin of `excess`: one home, one utility, one level at a time."""

import math

import numpy as np

from detectors import excess as source
from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.twins import twin


class Level:
    """One level of one utility's ladder: its present run and what is known of runs."""

    def __init__(self, step, priors):
        self.step, self.priors = step, priors
        self.tries, self.went = [0, 0, 0], [0, 0, 0]
        self.length, self.units = 0, 0

    def hour(self, above, night, teach, idle):
        kind = 0 if self.length == 0 else (2 if night else 1)
        goes = above >= self.step
        if goes:
            chance = (self.went[kind] + 20 * float(self.priors[kind])) / (self.tries[kind] + 20)
            self.units += int(-math.log10(chance) * 512 + 0.5)
            self.length = min(self.length + 1, 255)
        else:
            self.units = self.length = 0
        if teach and (kind != 0 or idle < 24):
            if self.tries[kind] == 250:
                self.tries[kind], self.went[kind] = 125, (self.went[kind] + 1) // 2
            self.tries[kind] += 1
            self.went[kind] += goes


class Utility:
    """One utility of one home."""

    def __init__(self, c, ready, half_life):
        self.levels = [Level(*x) for x in zip(source.LADDER[c], source.PRIOR[c], strict=True)]
        self.ready, self.half_life, self.c = ready, half_life, c
        self.floor = np.float32(0)
        self.centre, self.scale = map(float, source.TAIL_PRIOR[c])
        self.days = self.idle = 0
        self.day = self.seen = None
        self.today, self.top = [], 0.0

    def close(self):
        if len(self.today) >= 18:
            self.days += 1
            gap = min(self.today) - self.floor
            if self.days == 1:
                self.floor = min(self.today)
            elif gap < 0:
                self.floor += np.float32(0.1) * gap
            elif self.days <= self.ready:
                self.floor += gap / np.float32(self.days)
            else:
                self.floor += min(gap / np.float32(14), source.LADDER[self.c, 0] / 2)
            if self.top > 0:
                rate = 1 / (21 + min(self.days, self.half_life * 1.44))
                top = min(self.top, self.centre + 6 * self.scale)
                excess = 1.9 * max(top - self.centre, 0)
                self.centre += rate * (top - self.centre)
                self.scale = max(self.scale + rate * (excess - self.scale), 0.15)
        self.today, self.top = [], 0.0

    def hour(self, value, slot, day, night, teach):
        if self.day is not None and self.day != day:
            self.close()
        self.day = day
        if self.seen is not None and slot - self.seen > 7:
            for level in self.levels:
                level.units = level.length = 0
        self.seen = slot
        self.today.append(value)
        if self.days:
            for level in self.levels:
                level.hour(value - self.floor, night, teach, self.idle)
                self.top = max(self.top, level.units / 512 if level.length >= 2 else 0.0)
            self.idle = 0 if self.levels[0].length else self.idle + 1

    def evidence(self):
        told = [x.units / 512 if x.length >= 2 else 0.0 for x in self.levels]
        return [(x - self.centre) / (self.scale * 2.302585093) for x in told]


@twin("excess")
def excess(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    ready, half_life = detector.params["ready_d"], detector.params["half_life_d"]
    for n in range(detector.rows):
        utilities = [Utility(c, ready, half_life) for c in range(3)]
        zone, onset, ended, peak, quiet = detector.zone[n], None, 0, 0, 0
        for t in range(frame.slots):
            slot = frame.first_slot + t
            hour, day = frame.local_slot[t, zone], frame.local_day[t, zone]
            heard = False
            for utility, value in zip(utilities, frame.values[t, :, n], strict=True):
                if not math.isnan(value):
                    heard = True
                    utility.hour(value, slot, day, hour < 6, onset is None or peak < 12)
            scores = [(e, u.levels[b].length) for u in utilities if u.days >= ready
                      for b, e in enumerate(u.evidence())]  # fmt: skip
            if not scores:
                continue
            evidence, length = max(scores, key=lambda x: x[0])
            if heard:
                reached = sum(evidence >= line for line in detector.grid)
                if reached:
                    onset = max(slot + 1 - length, ended) if onset is None else onset
                    peak, quiet = max(peak, reached), 0
                elif onset is not None:
                    quiet += 1
                    if quiet == 3:
                        onset, ended, peak, quiet = None, slot, 0, 0
            out.evidence[t, n] = evidence
            out.p_value[t, n] = min(1.0, 10**-evidence)
            out.urgency[t, n] = peak
            out.onset[t, n] = NO_SLOT if onset is None else onset
    return out
