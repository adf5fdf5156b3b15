"""How the suite drives the detectors that think in days: homes with people, hour by hour."""

import numpy as np

from detectors.base import Detector
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit

HALF_DAY = 12


def lived(
    rng: np.random.Generator, first_slot: int, slots: int, rows: int, busy: float = 0.6
) -> np.ndarray:
    """Return (slots, 2, rows) kWh and l: quiet nights, busy days, some gaps."""
    hour = (first_slot + np.arange(slots)) % 24
    chance = np.where((hour >= 7) & (hour < 23), busy, 0.08)[:, None]
    doing = rng.random((slots, rows)) < chance
    values = np.empty((slots, 2, rows))
    values[:, 0] = 0.05 + doing * 0.3 * rng.gamma(2, 0.6, (slots, rows))
    values[:, 1] = doing * 16 * rng.gamma(2, 0.6, (slots, rows)) * (rng.random((slots, rows)) < 0.7)
    values[rng.random(values.shape) < 0.004] = np.nan
    return values.astype(np.float32)


def stream(detector: Detector, rng: np.random.Generator, first_slot: int, slots: int):
    return lived(rng, first_slot, slots, detector.rows)


def turned(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two homes (of the zone that the stream's hours are in) live half a day later from then on."""
    slots, start = 24 * 56, 24 * 44
    values = lived(rng, first_slot, slots, detector.rows)
    for row in (2, 4):
        values[start:, :, row] = values[start - HALF_DAY : slots - HALF_DAY, :, row].copy()
    return Planted(frame_of(values, first_slot, 3600), [2, 4], start, slots, urgency=12)


kit("nights", params={"later": {"ready_d": 12.0}}, days=40, stream=stream, plant=turned)


def sinking(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two homes lose a tenth of what they do each week, down to a third."""
    slots, start = 24 * 7 * 22, 24 * 7 * 12
    values = lived(rng, first_slot, slots, detector.rows)
    share = np.clip(1.0 - (np.arange(slots) - start) / 168 * 0.1, 0.3, 1.0)
    for row in (0, 3):
        gone = rng.random(slots) > share
        values[gone, 0, row] = 0.05
        values[gone, 1, row] = 0.0
    return Planted(frame_of(values, first_slot, 3600), [0, 3], start, slots, urgency=8)


def left(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two homes stand empty from day 20 on, standby running."""
    slots, start = 24 * 48, 24 * 20
    values = lived(rng, first_slot, slots, detector.rows)
    for row in (1, 2):
        values[start:, 0, row] = 0.05
        values[start:, 1, row] = 0.0
    return Planted(frame_of(values, first_slot, 3600), [1, 2], start, slots, urgency=4)


def moved_in(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two homes that stood empty are lived in from day 40 on."""
    slots, start = 24 * 48, 24 * 40
    values = lived(rng, first_slot, slots, detector.rows)
    for row in (0, 3):
        values[:start, 0, row] = 0.05
        values[:start, 1, row] = 0.0
    return Planted(frame_of(values, first_slot, 3600), [0, 3], start, slots, urgency=12)


def crowded(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Three times as many people live in two homes from day 40 on."""
    slots, start = 24 * 60, 24 * 40
    values = lived(rng, first_slot, slots, detector.rows, busy=0.35)
    for row in (1, 3):
        more = lived(rng, first_slot, slots, 2, busy=0.5).sum(axis=2)
        values[start:, :, row] += more[start:]
    return Planted(frame_of(values, first_slot, 3600), [1, 3], start, slots, urgency=12)


def comings_and_goings(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> np.ndarray:
    """Homes that stand empty for weeks, with visits, and are lived in for weeks."""
    values = lived(rng, first_slot, slots, detector.rows)
    day = np.arange(slots) // 24
    for row in range(1, detector.rows):
        away = (day + 9 * row) % 50 < 7 * row + 6
        away &= rng.random(day.max() + 1)[day] > 0.06
        values[away, 0, row] = np.minimum(values[away, 0, row], 0.05)
        values[away, 1, row] = np.minimum(values[away, 1, row], 0.0)
    return values


kit(
    "decline",
    params={"later": {"ready_d": 40.0}},
    days=7 * 64,
    stream=comings_and_goings,
    plant=sinking,
)
kit(
    "occupancy",
    params={"short": {"vacant_d": 5.0}},
    days=80,
    stream=comings_and_goings,
    plant=crowded,
)
kit("vacated", days=80, stream=comings_and_goings, plant=left)
kit(
    "occupied",
    params={"short": {"vacant_d": 10.0}},
    days=80,
    stream=comings_and_goings,
    plant=moved_in,
)
