"""Numbers that `inactivity` is shipped with: durations, prices, what waiting costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors import inactivity_weights as pooled
from detectors.inactivity_kernels import DAYS, LONGEST_H, Model

GRID_H = np.array([*range(15), 16, 18, 20, 22, 24, 28, 32, 36, 42, 48, 60, 72], np.int64)
"""Durations of a silence in hours, at which its chance is known (RESEARCH.md 2, step 4)."""

NEAR = (0.3, 0.7, 1.0, 0.7, 0.3)
"""Weight of a past silence begun two hours before … two hours after the same clock."""

_WAKING_H = (7, 20)
"""Local hours in which a collapse counts (first, last), as in the bench."""

_PATHS = (
    (  # water, gas, or several utilities
        (-0.40, (3, 1.0), (9, 0.3), (8, 1.5), (24, 1.0)),
        (0.70, (4, 1.0), (9, 0.3), (11, 1.5), (24, 1.0)),
        (0.80, (5, 1.0), (9, 0.2), (12, 2.5), (24, 0.5)),
        (1.38, (5, 1.0), (9, 0.2), (12, 2.5), (24, 0.5)),
        (1.40, (9, 0.7), (12, 0.0), (24, 2.3), (48, 0.0)),
        (2.00, (9, 0.7), (12, 0.0), (24, 2.3), (48, 0.0)),
        (3.00, (16, 0.5), (12, 0.0), (60, 2.4), (72, 0.0)),
    ),
    (  # electricity alone
        (-0.40, (3, 1.0), (7, 0.3), (8, 1.5), (24, 1.0)),
        (0.60, (4, 1.0), (7, 0.3), (11, 1.5), (24, 1.0)),
        (0.70, (5, 1.0), (7, 0.5), (12, 1.5), (24, 1.0)),
        (0.85, (5, 1.0), (7, 0.5), (12, 1.5), (24, 1.0)),
        (0.90, (7, 1.0), (12, 0.2), (24, 1.2), (48, 0.0)),
        (1.30, (7, 1.0), (12, 0.2), (24, 1.2), (48, 0.0)),
        (1.40, (9, 0.6), (12, 0.0), (24, 2.0), (48, 0.0)),
        (2.00, (9, 0.6), (12, 0.0), (24, 2.0), (48, 0.0)),
        (3.00, (16, 0.7), (12, 0.0), (60, 2.0), (72, 0.0)),
    ),
)
"""log10 λ; then delays in hours after which waiting costs more, each with how much more.

RESEARCH.md 2 sets these delays (K/2 and K) from the plain rule of K silent hours that costs the
same budget. Tied to the price they need no budget, and one detector serves rules of any budget:
the dearer a false alert, the more patience pays. 5 and 12 h serve the budgets of a 12-hour rule,
9 and 24 h those of a 24-hour rule. A plain rule on electricity costs about twice what it costs on
water, hence a path of its own. The second and last step keep the moments of neighbouring prices in
order, which urgency needs: what is not worth 12 h should still be worth 24.

Measured on homes that did not teach the weights (homes_water, price held constant): at 24.8 false
visits a home-year, more weight on 12 h and less on 9 and 24 found .935 within 13 h instead of .924
and as many within 6 h (.55), at the cost of those within 10 h (.70 instead of .75). Steps at 5 and
12 h alone gained nothing beyond that, nor did other costs of an hour or of never.
"""

PRICES = 10.0 ** np.concatenate(
    [np.linspace(-0.4, 0.4, 5), np.linspace(0.6, 1.8, 21), np.linspace(1.8, 3.0, 10)[1:]]
)
"""λ: what a false alert costs; dense where budgets of 10 to 50 a year lie."""
COST = (0.02, 4.0)
"""Cost of an hour of delay, and of never."""


def _along(column: int, part: int) -> NDArray[np.float64]:
    """Return one column of the paths at every price, shape (KINDS, LEVELS)."""
    at = np.log10(PRICES)
    return np.array(
        [
            np.interp(at, [k[0] for k in path], [k[column][part] for k in path])  # type: ignore[index]
            for path in _PATHS
        ]
    )


DELAY_H = np.stack([_along(c, 0) for c in (1, 2, 3, 4)], axis=-1).astype(np.int64)
DELAY_COST = np.stack([_along(c, 1) for c in (1, 2, 3, 4)], axis=-1)
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
        delay=DELAY_H,
        delay_cost=DELAY_COST,
        cost=_floats(COST),
        waking=_floats((hours >= _WAKING_H[0]) & (hours <= _WAKING_H[1])),
    )


def _floats(values: object) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, np.float64)
