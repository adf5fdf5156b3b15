"""Naive twin and kit of `limit`: the last values in a dict of slots."""

import math

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def air(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Fine dust that wanders between 20 and 70, with gaps."""
    step = np.arange(slots)[:, None]
    values = 45 + 22 * np.sin(step / 31 + np.arange(detector.rows)) + rng.normal(0, 3, (slots, 1))
    values[rng.random(values.shape) < 0.02] = np.nan
    return values.astype(np.float32)[:, None, :]


def smoke(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Twelve hours of 190 at two sensors."""
    slots = 20 * 24
    values = air(detector, rng, first_slot, slots)
    values[400:412, 0, [0, 3]] = 190
    return Planted(frame_of(values, first_slot, 3600), [0, 3], 400, 412, 12)


kit("limit", params={"two": {"hours": 2, "limit": 80}}, days=20, stream=air, plant=smoke)


@twin("limit")
def limit(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    p = detector.params
    size = max(round(p["hours"] * 3600 / detector.interval_s), 1)
    for row in range(detector.rows):
        ring: dict[int, float] = {}
        count, before, onset, peak = 0, NO_SLOT, NO_SLOT, 0
        for t in range(frame.slots):
            x, slot = float(frame.values[t, 0, row]), frame.first_slot + t
            if math.isnan(x):
                continue
            if count and slot - before > 2 * size:
                count = 0
            if count == 0:
                ring = {}
            ring[slot % size] = x
            count, before = min(count + 1, size), slot
            if count < size or len(ring) < 0.75 * size:
                continue
            z = (sum(ring.values()) / len(ring) - p["limit"]) / (p["accuracy"] * p["limit"])
            evidence = min(max(z, 0) ** 2 / 2 / math.log(10), 8.75)
            if z <= 0:
                onset, peak = NO_SLOT, 0
            elif onset == NO_SLOT:
                onset = slot
            urgency = sum(evidence >= 0.25 * line for line in range(1, 36))
            if onset != NO_SLOT:
                urgency = peak = max(peak, urgency)
            out.evidence[t, row] = evidence
            out.p_value[t, row] = 0.5 * math.erfc(z / math.sqrt(2))
            out.urgency[t, row], out.onset[t, row] = urgency, onset
    return out
