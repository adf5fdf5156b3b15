"""How the suite drives `adjudicate`: census counts of a few groups of meters."""

import numpy as np

from detectors.base import Detector
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit

SIZE = np.array([8, 14, 40, 120, 30])


def stream(detector: Detector, rng: np.random.Generator, first_slot: int, slots: int):
    """Two thirds of the meters read electricity; some are missing, some at zero at night."""
    n = detector.rows
    size = np.resize(SIZE, n)
    electric = size * 2 // 3
    hour = (first_slot + np.arange(slots)) % 24
    idle = np.where((hour < 6), 0.15, 0.03)[:, None]
    missing_e = rng.binomial(electric, 0.02, (slots, n))
    missing_b = rng.binomial(size - electric, 0.02, (slots, n))
    reporting = electric - missing_e
    zero = rng.binomial(reporting, np.broadcast_to(idle, reporting.shape))
    missing = missing_e + missing_b
    values = np.stack(
        [np.broadcast_to(size, missing.shape), missing, zero, reporting, size - missing - zero], 1
    )
    values = values.astype(np.float32)
    values.transpose(0, 2, 1)[rng.random((slots, n)) < 0.003] = np.nan
    return values


def outage(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """One group is missing for six hours, another stands at zero."""
    values = stream(detector, rng, first_slot, 24 * 12)
    start = 24 * 10 + 9
    values[start : start + 6, 1, 1] = values[start : start + 6, 0, 1]
    values[start : start + 6, 2:, 1] = 0
    values[start : start + 6, 2, 3] = values[start : start + 6, 3, 3]
    return Planted(frame_of(values, first_slot, 3600), [1, 3], start, start + 6, urgency=5)


kit("adjudicate", params={"strict": {"line": 5.0, "least": 0.5, "ready_h": 48.0, "half_life_d": 7.0}},
    days=12, stream=stream, plant=outage)  # fmt: skip
