"""How the suite drives `inactivity`: homes with habits, of which some fall silent one morning."""

import numpy as np

from detectors.base import Detector
from detectors.budget import PriceReducer
from detectors.inactivity import Inactivity
from tests.detectors.cases import frame_of
from tests.detectors.kit_excess import stream
from tests.detectors.kits import Planted, kit


def silence(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two homes give no sign of life from mid-morning on: standby, and no water."""
    values = stream(detector, rng, first_slot, 24 * 30)
    start = 24 * 27 + (9 - first_slot) % 24
    for row in (1, 3):
        values[start : start + 20, 0, row] = 0.08
        values[start : start + 20, 1, row] = 0.0
        values[start : start + 20, 2, row] = np.nan
    # Within 13 hours (p90 of real homes at 24.8) it is due at 24 false alerts a home-year.
    due = PriceReducer(24.0, Inactivity.prior_rate).price.index + 1
    return Planted(frame_of(values, first_slot, 3600), [1, 3], start, start + 13, urgency=due)


kit(
    "inactivity",
    params={"slow": {"half_life_d": 90.0}},
    days=30,
    stream=stream,
    plant=silence,
    # A home that never used anything is one long silence; the suite's bound on certainty over
    # constant series is for detectors of change.
    about_silence=True,
)
