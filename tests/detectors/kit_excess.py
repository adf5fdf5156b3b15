"""How the suite drives `excess`."""

import numpy as np

from detectors.base import Detector
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit


def stream(detector: Detector, rng: np.random.Generator, first_slot: int, slots: int):
    """Homes in kWh and l: quiet nights, busy days, some gaps; gas at two homes only."""
    n = detector.rows
    hour = (first_slot + np.arange(slots)) % 24
    busy = np.where((hour >= 6) & (hour < 23), 0.55, 0.08)[:, None, None]
    active = rng.random((slots, 3, n)) < busy
    size = np.array([0.4, 18.0, 200.0])[:, None]
    values = active * size * rng.gamma(1.5, 0.7, (slots, 3, n))
    values[:, 0] += 0.08
    values[rng.random((slots, 3, n)) < 0.004] = np.nan
    values[:, 2, 2:] = np.nan
    return values.astype(np.float32)


def tap(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """A tap runs for half a day in one home; a heater is left on in another."""
    values = stream(detector, rng, first_slot, 24 * 30)
    start = 24 * 27 + 20
    values[start : start + 14, 1, 1] += 150
    values[start : start + 14, 0, 3] += 2.5
    return Planted(frame_of(values, first_slot, 3600), [1, 3], start, start + 16, urgency=12)


kit(
    "excess",
    params={"slow": {"ready_d": 10.0, "half_life_d": 20.0}},
    days=30,
    stream=stream,
    plant=tap,
)
