"""Naive twin and kit of `profile`: a dictionary of bins, one comparison at a time."""

import math

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.kits import kit
from tests.detectors.twin_seasonal import squeeze
from tests.detectors.twins import twin

kit("profile", params={"coarse": {"bins": 8, "days": 14, "warm_up": 5}}, days=35)


def nearest(curve, now, bins, days):
    """Return the smallest mean distance to an earlier day's curve that ended at the same time."""
    found = []
    for back in range(1, days):
        pairs = [
            (curve[now - k], curve[now - back * bins - k])
            for k in range(bins)
            if now - k in curve and now - back * bins - k in curve
        ]
        if len(pairs) >= 0.75 * bins:
            found.append(sum(abs(a - b) for a, b in pairs) / len(pairs))
    return min(found) if len(found) >= 7 else None


class Row:
    def __init__(self, detector):
        p = detector.params
        self.days, per_day = int(p["days"]), 86_400 // detector.interval_s
        self.bins = min(int(p["bins"]), per_day)
        self.per_day, self.warm_up = per_day, math.ceil(p["warm_up"] * self.bins)
        self.half = max(per_day // (2 * self.bins), 1)
        self.curve, self.inside = {}, []
        self.base = self.present = None
        self.met, self.typical, self.cut, self.excess = 0, 0.0, 2.0, 0.25
        self.evidence, self.chance, self.onset, self.peak = 0.0, 1.0, NO_SLOT, 0

    def hear(self, slot, now, x):
        if self.base is None:
            self.base, self.present = x, now
        if now > self.present:
            if len(self.inside) >= self.half:
                self.curve[self.present] = squeeze(sum(self.inside) / len(self.inside))
                oldest = self.present - self.days * self.bins
                kept = {g: y for g, y in self.curve.items() if g > oldest}
                distance = nearest(kept, self.present, self.bins, self.days)
                if distance is not None:
                    self.score(slot, distance)
            self.present, self.inside = now, []
        self.inside.append(x - self.base)

    def score(self, slot, distance):
        usual = self.typical * (1 + 1e-6) + 1e-9
        s = min(distance / usual, 20) if self.met else 0.0
        if s > self.cut:
            self.chance = 0.02 * (1 + 0.2 * (s - self.cut) / self.excess) ** -5
            ln = math.log(self.chance)
            self.evidence = math.log10((1 - self.chance + self.chance * ln) / ln**2 / self.chance)
            if self.onset == NO_SLOT:
                self.onset, self.peak = slot, 0
        else:
            self.chance = 1 - 0.98 * s / self.cut
            self.evidence = -1 + 1.46925795 * (s / self.cut) ** 2
            if s < self.cut / 2:
                self.onset = NO_SLOT
        level = sum(self.evidence >= 0.25 * line for line in range(1, 36))
        self.peak = max(self.peak, level) if self.onset != NO_SLOT else level
        if s > self.cut:
            over = min(s - self.cut, 5 * self.excess)
            self.excess = max(self.excess + 0.02 * (over - self.excess), 0.05 * self.cut)
            self.cut *= 1 + 0.02 * 0.98
        else:
            self.cut = max(self.cut * (1 - 0.02 * 0.02), 1.0)
        self.met += 1
        taught = distance if self.met <= self.bins else min(distance, 3 * self.typical)
        self.typical += (taught - self.typical) / min(self.met, 14 * self.bins)


@twin("profile")
def profile(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for n in range(detector.rows):
        row, zone = Row(detector), detector.zone[n]
        for t in range(frame.slots):
            x = float(frame.values[t, 0, n])
            part = int(frame.local_slot[t, zone]) * row.bins // row.per_day
            if not math.isnan(x):
                row.hear(frame.first_slot + t, int(frame.local_day[t, zone]) * row.bins + part, x)
            if row.met >= row.warm_up:
                out.evidence[t, n], out.p_value[t, n] = row.evidence, row.chance
                out.urgency[t, n], out.onset[t, n] = row.peak, row.onset
    return out
