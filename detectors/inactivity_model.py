"""Numbers that `inactivity` is shipped with: durations, prices, what waiting costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors import inactivity_weights as pooled
from detectors.base import LEVELS
from detectors.inactivity_kernels import DAYS, LONGEST_H, Model

GRID_H = np.array([*range(15), 16, 18, 20, 22, 24, 28, 32, 36, 42, 48, 60, 72], np.int64)
"""Durations of a silence in hours, at which its chance is known (RESEARCH.md 2, step 4)."""

NEAR = (0.3, 0.7, 1.0, 0.7, 0.3)
"""Weight of a past silence begun two hours before … two hours after the same clock."""

_WAKING_H = (7, 20)
"""Local hours in which a collapse counts (first, last), as in the bench."""

_PATH = (
    # log10 λ, soon, late
    (-0.40, 3, 8),
    (0.70, 4, 11),
    (0.80, 5, 12),
    (1.27, 5, 12),
    (1.40, 9, 24),
    (1.80, 9, 24),
    (2.66, 16, 60),
)
"""Prices, and the delays in hours after which waiting costs more, and most.

RESEARCH.md 2 sets these delays from the plain rule of K silent hours that costs the same budget
(K/2 and K). Tied to the price they need no budget, and one detector serves rules of any budget:
the more a false alert costs, the more patience is worth. Between the lines they are interpolated.
"""

_knots = np.array(_PATH)
PRICES = 10.0 ** np.linspace(_knots[0, 0], _knots[-1, 0], LEVELS)
"""λ: what a false alert costs, in units of :data:`COST`."""
SOON_H = np.interp(np.log10(PRICES), _knots[:, 0], _knots[:, 1]).astype(np.int64)
LATE_H = np.interp(np.log10(PRICES), _knots[:, 0], _knots[:, 2]).astype(np.int64)
COST = (0.02, 1.0, 2.0, 2.0)
"""Cost of an hour of delay, of being later than `soon`, later than `late`, and of never."""
PRIOR_RATE = pooled.PRIOR_RATE


def shipped(half_life_d: float, floor: tuple[float, ...]) -> Model:
    """Return the numbers as the kernels take them.

    Parameters
    ----------
    half_life_d : float
        Half-life of a home's own past, days.
    floor : tuple of float
        Least threshold of each channel.
    """
    hours = np.arange(24)
    sets = np.arange(32)[:, None] >> np.arange(5) & 1
    return Model(
        grid=GRID_H,
        step_of=np.searchsorted(GRID_H, np.arange(LONGEST_H + 1), side="right") - 1,
        log_d=np.log(np.maximum(GRID_H[:-1], 0.5)),
        near=_floats(sets @ np.array(NEAR)),
        recency=0.5 ** (np.arange(DAYS + 1) / half_life_d),
        clock=_floats(pooled.CLOCK),
        clock_step=_floats(pooled.CLOCK_STEP),
        weights=_floats(pooled.WEIGHTS),
        hour=_floats(pooled.HOUR),
        step=_floats(pooled.STEP),
        floor=_floats(floor),
        price=PRICES,
        soon=SOON_H,
        late=LATE_H,
        cost=_floats(COST),
        waking=_floats((hours >= _WAKING_H[0]) & (hours <= _WAKING_H[1])),
    )


def _floats(values: object) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, np.float64)
