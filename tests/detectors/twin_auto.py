"""Naive twin and kit of `auto`: the whole past kept as a list, novelty by its definition."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detectors.auto import CALM_ROWS, FARTHEST, LONGEST, NEAREST, SHORTEST, TOP, WARM_UP
from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import burst
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def lurch(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Loads that lurch up and down as never before: a burst is as high, but it has a shape."""
    planted = burst(detector, rng, first_slot)
    for row in planted.rows:
        planted.frame.values[planted.start : planted.start + 12 : 2, 0, row] *= 10
    return replace(planted, urgency=8)


kit("auto", interval_s=1800, days=14, plant=lurch)


def novelty(x: NDArray[np.float32]) -> float | None:
    """Return the mean over lengths of the distance to the nearest earlier stretch."""
    lags = np.arange(NEAREST, min(FARTHEST, len(x) - LONGEST) + 1)
    if len(lags) == 0:
        return None
    total, away = 0.0, np.zeros(len(lags), np.float32)
    for j in range(LONGEST):
        at = len(x) - 1 - j
        away += np.abs(x[at] - x[at - lags])
        if j + 1 >= SHORTEST:
            total += float(away.min()) / (j + 1)
    return float(np.float32(total / (LONGEST - SHORTEST + 1)))


@twin("auto")
def auto(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for row in range(detector.rows):
        past = np.empty(0, np.float32)
        all_y = np.empty(0)
        fading, calm, onset, peak = 0.0, 0, NO_SLOT, 0
        for t in range(frame.slots):
            x = frame.values[t, 0, row]
            if math.isnan(x):
                continue
            past = np.append(past, x)
            n, y = len(past), novelty(past)
            if y is None:
                continue
            fading *= math.exp(-1 / (42 + 0.03 * n))
            if n >= WARM_UP + NEAREST + LONGEST:
                k = min(int(20 + 0.007 * n), TOP)
                top = np.sort(all_y)[::-1][:k]
                s = 0.0
                if y > top[-1]:
                    sigma = float(np.mean(top - top[-1])) + 1e-12
                    z = min((y - top[-1]) / sigma, 100)
                    s = math.log(n / k) + 5 * math.log(1 + 0.2 * z)
                beyond, fading = max(s - fading, 0.0), max(fading, s)
                calm = 0 if s > 0 else calm + 1
                p = math.exp(-beyond)
                e = (1 - p + p * math.log(p)) / (p * math.log(p) ** 2) if p < 0.999 else 0.5
                level = sum(math.log10(e) >= 0.25 * line for line in range(1, 36))
                if beyond > 0 and onset == NO_SLOT:
                    onset, peak = frame.first_slot + t, 0
                if calm >= CALM_ROWS:
                    onset = NO_SLOT
                if onset != NO_SLOT:
                    level = peak = max(peak, level)
                out.evidence[t, row], out.p_value[t, row] = math.log10(e), p
                out.urgency[t, row], out.onset[t, row] = level, onset
            all_y = np.append(all_y, y)
    return out
