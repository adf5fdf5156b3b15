"""Naive twin of `changepoint`: Page's recursion, one reading at a time."""

import math
from dataclasses import replace

import numpy as np

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import burst
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def stays(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Twelve slots at eight times the load; lines up to 3 are reached by chance in such a stream."""
    return replace(burst(detector, rng, first_slot), urgency=16)


kit("changepoint", plant=stays, params={"small": {"shift": 0.5, "half_life": 21, "warm_up": 14}})


def f4(x: float) -> float:
    return float(np.float32(x))


def clip(x: float, most: float) -> float:
    return min(max(x, -most), most)


@twin("changepoint")
def changepoint(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    p, per_day = detector.params, 86_400 // detector.interval_s
    bins = min(24, per_day)
    rate = 1 - 0.5 ** (bins / (p["half_life"] * per_day))
    slow = 1 - 0.5 ** (1 / (p["half_life"] * per_day))
    for row in range(detector.rows):
        profile: dict[int, float] = {}
        spread = dict.fromkeys(range(bins), 0.0)
        n, lag, last = 0, 0.0, 0.0
        sums, began, onset, peak = {1: 0.0, -1: 0.0}, {1: NO_SLOT, -1: NO_SLOT}, NO_SLOT, 0
        for t in range(frame.slots):
            x = float(frame.values[t, 0, row])
            if math.isnan(x):
                continue
            n += 1
            b = int(frame.local_slot[t, detector.zone[row]]) * bins // per_day
            if b not in profile:
                profile[b] = x
                continue
            residual = x - profile[b]
            deviation = 1.2533 * spread[b] + 1e-6 * abs(x) + 1e-9
            z = clip(residual / deviation, 3)
            if n >= p["warm_up"] * per_day / 2:
                news = (z - lag * last) / math.sqrt(max(1 - lag**2, 0.05))
                for side in (1, -1):
                    total = sums[side] + p["shift"] * news * side - p["shift"] ** 2 / 2
                    if total <= 0:
                        sums[side], began[side] = 0.0, NO_SLOT
                    else:
                        began[side] = frame.first_slot + t if sums[side] == 0 else began[side]
                        sums[side] = f4(total)
                lag = f4(lag + slow * (clip(z * last, 4) - lag))
                lag = f4(min(max(lag, 0.0), 0.9))
            last = f4(z)
            if n >= p["warm_up"] * per_day:
                side = 1 if sums[1] >= sums[-1] else -1
                if sums[side] <= 0:
                    onset = NO_SLOT
                elif onset == NO_SLOT:
                    onset, peak = began[side], 0
                evidence = (sums[side] - math.log(2)) / math.log(10)
                level = sum(evidence >= 0.25 * line for line in range(1, 36))
                if onset != NO_SLOT:
                    level = peak = max(peak, level)
                out.evidence[t, row], out.urgency[t, row] = evidence, level
                out.p_value[t, row] = min(1.0, 2 * math.exp(-sums[side]))
                out.onset[t, row] = onset
            learning = n >= p["warm_up"] * per_day / 2
            taught = clip(residual, 3 * deviation) if learning else residual
            step = max(rate, 1 / (2 + n / bins))
            profile[b] = f4(profile[b] + step * taught)
            spread[b] = f4(spread[b] + step * (abs(taught) - spread[b]))
    return out
