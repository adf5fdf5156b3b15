"""Plain-Python twin of `adjudicate`; rows stand alone, as the suite has them."""

import math

from scipy.stats import betabinom

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.twins import twin


def ratio(count, total, usual):
    n = round(float(total))
    k = max(min(round(float(count)), n), 0)
    single = betabinom.logpmf(k, n, max(usual * 30, 0.05), max((1 - usual) * 30, 0.05))
    shared = math.log(0.5 * betabinom.pmf(k, n, 6, 0.6) + 0.5 / (n + 1))
    found = (shared - single) / math.log(10)
    return found if k > n * usual else min(found, 0.0)


class Group:
    def __init__(self):
        self.missing, self.zero, self.days = [0.0] * 24, [0.0] * 24, [0] * 24
        self.overall = [0.02, 0.02]
        self.electric, self.seen, self.onset, self.peak = 0.0, 0, None, 0

    def usual(self, shares, overall, h):
        return (shares[h] * self.days[h] + overall * 3) / (self.days[h] + 3)

    def evidence(self, census, h, line):
        expected, missing, zero, reporting, _ = census
        if expected < 5:
            return None
        share = self.usual(self.missing, self.overall[0], h)
        zeros = self.usual(self.zero, self.overall[1], h)
        whole = ratio(missing, expected, share)
        flat = ratio(zero, reporting, zeros) if reporting >= 5 else -math.inf
        electric = max(self.electric, reporting)
        power = ratio(electric - reporting, electric, share) if electric >= 5 else -math.inf
        battery = expected - electric
        battery_missing = max(missing - (electric - reporting), 0)
        out = electric - reporting + zero
        common = -9.0
        if electric >= 5 and out >= 0.8 * electric:
            common = ratio(out, electric, 1 - (1 - share) * (1 - zeros))
        if flat > max(whole, common):
            return flat
        if power > line and battery >= 3 and battery_missing < 0.5 * battery:
            return max(whole, power)
        if common > line and zero > 0.5 * out:
            return max(whole, common)
        return whole

    def learn(self, census, h, floor):
        expected, missing, zero, reporting, _ = census
        self.days[h] = min(self.days[h] + 1, 250)
        rate = max(1 / self.days[h], floor)
        hourly = 1 / (min(self.seen, 24 * 60) + 3)
        self.missing[h] += rate * (missing / expected - self.missing[h])
        self.overall[0] += hourly * (missing / expected - self.overall[0])
        if reporting >= 1:
            self.zero[h] += rate * (zero / reporting - self.zero[h])
            self.overall[1] += hourly * (zero / reporting - self.overall[1])
        gap = reporting - self.electric
        self.electric += gap if gap > 0 else 0.002 * gap


@twin("adjudicate")
def adjudicate(detector: Detector, frame: Frame) -> Signals:
    p = detector.params
    out = Signals.empty(frame.slots, detector.rows)
    floor = 1 - 0.5 ** (1 / p["half_life_d"])
    for n in range(detector.rows):
        group = Group()
        for t in range(frame.slots):
            census = [float(v) for v in frame.values[t, :, n]]
            h, slot = int(frame.local_slot[t, detector.zone[n]]), frame.first_slot + t
            known = not math.isnan(census[0]) and census[0] >= 1
            group.seen += known
            if group.seen < p["ready_h"]:
                if known:
                    group.learn(census, h, floor)
                continue
            evidence = 0.0
            if known:
                evidence = group.evidence(census, h, p["line"])
                if evidence is None:
                    group.learn(census, h, floor)
                    continue
                reached = sum(evidence >= line for line in detector.grid)
                if not reached:
                    group.onset, group.peak = None, 0
                else:
                    group.onset = slot if group.onset is None else group.onset
                    group.peak = max(group.peak, reached)
                if group.onset is None or slot - group.onset > 168:
                    group.learn(census, h, floor)
            out.evidence[t, n] = evidence
            out.p_value[t, n] = min(1.0, 10**-evidence)
            out.urgency[t, n] = group.peak
            out.onset[t, n] = NO_SLOT if group.onset is None else group.onset
    return out
