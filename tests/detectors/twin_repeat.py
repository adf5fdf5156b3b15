"""Naive twin and kit of `repeat`: one event at a time, windows as lists of days."""

import math

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def heard_of(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Single events, a week or more apart, of ever another caller."""
    values = np.zeros((slots, 2, detector.rows), np.float32)
    per_day = 86_400 // detector.interval_s
    for row in range(detector.rows):
        at = 3
        while (at := at + int(rng.integers(16, 40)) * per_day) < slots:
            values[at, :, row] = 1, 1
    return values


def again(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Seven events within four days, of three callers, in rows 0 and 3."""
    per_day = 86_400 // detector.interval_s
    slots, start = 60 * per_day, 50 * per_day
    values = heard_of(detector, rng, first_slot, slots)
    for row in (0, 3):
        for n in range(7):
            values[start + n * per_day // 2, :, row] = 1, min(n + 1, 3)
    frame = frame_of(values, first_slot, detector.interval_s)
    return Planted(frame, [0, 3], start, start + 4 * per_day, 6)


kit(
    "repeat",
    params={"week": {"days": 7, "factor": 5}},
    days=60,
    stream=heard_of,
    plant=again,
    time_fields=frozenset({"days"}),
)


def q_of(mean: float) -> float:
    low, high = 1e-9, 1 - 1e-9
    while high - low > 1e-13:
        middle = (low + high) / 2
        if -middle / ((1 - middle) * math.log(1 - middle)) < mean:
            low = middle
        else:
            high = middle
    return low


@twin("repeat")
def repeat(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    size = int(detector.params["days"])
    q0, q1 = q_of(1.235), q_of(1.235 * detector.params["factor"])
    for row in range(detector.rows):
        held: list[tuple[int, int]] = []  # (local day, slot) of each event
        seen, onset, first, last, peak = False, NO_SLOT, NO_SLOT, NO_SLOT, 0
        for t in range(frame.slots):
            day = int(frame.local_day[t, detector.zone[row]])
            held = [(d, s) for d, s in held if d > day - size]
            x = float(frame.values[t, 0, row])
            if not math.isnan(x):
                seen = True
                more = round(min(max(x, 0), 10_000))
                if more and not held:
                    first = frame.first_slot + t
                if more:
                    last = frame.first_slot + t
                held += [(day, frame.first_slot + t)] * more
            if not seen:
                continue
            n = len(held)
            p = 1.0 if n < 2 else 1 + sum(q0**k / k for k in range(1, n)) / math.log(1 - q0)
            ratio = (q1 / q0) ** min(n, 300) * math.log(1 - q0) / math.log(1 - q1)
            evidence = min(math.log10(ratio), 3.0)
            if n < 2:
                first, onset, peak = last, NO_SLOT, 0
            elif onset == NO_SLOT:
                onset = first
            urgency = sum(evidence >= 0.25 * line for line in range(1, 36))
            if onset != NO_SLOT:
                urgency = peak = max(peak, urgency)
            out.evidence[t, row], out.p_value[t, row] = evidence, max(p, 0.0)
            out.urgency[t, row], out.onset[t, row] = urgency, onset
    return out
