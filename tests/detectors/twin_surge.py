"""Naive twin and kit of `surge`: one count at a time, the profile a dict."""

import math

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def counts(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Poisson counts with a daily shape, a rate that wanders, and 1 % missing."""
    hour = (first_slot + np.arange(slots)) * detector.interval_s % 86_400 / 3600
    shape = 0.2 + np.exp(-(((hour - 14) / 5) ** 2))
    wander = np.exp(0.3 * np.sin(np.arange(slots) / 170))
    level = rng.uniform(4, 30, detector.rows) * detector.interval_s / 3600
    rate = np.outer(shape * wander, level) * rng.gamma(8, 1 / 8, (slots, detector.rows))
    values = rng.poisson(rate).astype(np.float32)
    values[rng.random(values.shape) < 0.01] = np.nan
    return values[:, None, :]


def tripled(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Four hours of twelve times the mean, five times this hour, in rows 0 and 3."""
    slots = 70 * 86_400 // detector.interval_s
    values = counts(detector, rng, first_slot, slots)
    start = slots - 11 * 3600 // detector.interval_s
    length = max(4 * 3600 // detector.interval_s, 1)
    for row in (0, 3):
        values[start : start + length, 0, row] = 12 * np.nanmean(values[:, 0, row])
    return Planted(
        frame_of(values, first_slot, detector.interval_s), [0, 3], start, start + length, 5
    )


kit(
    "surge",
    params={"long": {"hours": 6, "factor": 2, "warm_up": 14, "half_life": 4}},
    days=70,
    stream=counts,
    plant=tripled,
)


def f4(x: float) -> float:
    return float(np.float32(x))


def rate(half_life: float) -> float:
    return 1 - 0.5 ** (1 / half_life)


@twin("surge")
def surge(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    p, per_day = detector.params, 86_400 // detector.interval_s
    span = max(round(p["hours"] * 3600 / detector.interval_s), 1)
    fast, slow = rate(max(8 * 3600 / detector.interval_s, 1)), rate(14 * per_day)
    for row in range(detector.rows):
        zone = detector.zone[row]
        usual: dict[tuple[int, int], float] = {}
        scatter: dict[tuple[bool, int], float] = {}
        level, late, past = [0.0] * 4, None, [0.0] * (span - 1)
        cut, excess, onset, peak, n = 3.0, 1.5, NO_SLOT, 0, 0
        for t in range(frame.slots):
            x = float(frame.values[t, 0, row])
            if math.isnan(x):
                continue
            x, n = max(x, 0.0), n + 1
            rest, slot = bool(frame.rest_day[t, zone]), int(frame.local_slot[t, zone])
            weekday = (int(frame.local_day[t, zone]) + 3) % 7
            if rest != (weekday >= 5):
                weekday = 6 if rest else 2
            if (weekday, slot) not in usual:
                usual[weekday, slot] = f4(x + 0.5)
                continue
            base = usual[weekday, slot]
            season = (level[0] + 2) / (level[1] + 2)
            today = (level[2] + 2) / (level[3] + 2)
            mean = max(base * season * math.sqrt(today), 0.3)
            spread = scatter.get((rest, slot), f4(0.15))
            size = 1 / max(spread, 0.01)
            c = p["factor"]
            now = x * math.log(c) - (x + size) * math.log((size + c * mean) / (size + mean))
            statistic = max(now + sum(past[:k]) for k in range(span))
            past = [f4(now), *past][: span - 1]
            if statistic > cut:
                chance = 0.02 * (1 + 0.2 * (statistic - cut) / excess) ** -5
                ln = math.log(chance)
                evidence = math.log10((1 - chance + chance * ln) / (chance * ln * ln))
            else:
                share = max(statistic, 0) / cut
                chance, evidence = 1 - 0.98 * share, -1 + 1.46925795 * share**2
            if n >= p["warm_up"] * per_day:
                if statistic > cut and onset == NO_SLOT:
                    onset, peak = frame.first_slot + t, 0
                elif statistic < cut / 2:
                    onset = NO_SLOT
                urgency = sum(evidence >= 0.25 * line for line in range(1, 36))
                if onset != NO_SLOT:
                    urgency = peak = max(peak, urgency)
                out.evidence[t, row], out.p_value[t, row] = evidence, chance
                out.urgency[t, row], out.onset[t, row] = urgency, onset
            gain = max(0.002, 1 / (50 + 0.02 * n))
            if statistic > cut:
                moved = excess + gain * (min(statistic - cut, 5 * excess) - excess)
                cut, excess = f4(cut * (1 + gain * 0.98)), f4(max(moved, 0.05 * cut))
            else:
                cut = f4(max(cut * (1 - gain * 0.02), 0.5))
            taught = min(x, 2 * mean + 2)
            noise = min(((taught - mean) ** 2 - mean) / (mean**2 + 1), 4)
            scatter[rest, slot] = f4(spread + rate(8) * (noise - spread))
            if late is not None:
                for k, (speed, amount) in enumerate(
                    [(slow, late[0]), (slow, late[1]), (fast, late[0]), (fast, late[1] * season)]
                ):
                    level[k] = f4(level[k] + speed * (amount - level[k]))
            late = (f4(taught), base)
            step = max(rate(p["half_life"]), 1 / (n / (7 * per_day) + 1))
            usual[weekday, slot] = f4(base + step * (taught / season - base))
    return out
