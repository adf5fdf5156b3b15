"""Shipped constants of `inactivity`: durations, prices, the pooled prior."""

from __future__ import annotations

import numpy as np

from detectors.base import LEVELS

GRID_H = np.array([*range(15), 16, 18, 20, 22, 24, 28, 32, 36, 42, 48, 60, 72], np.int64)
"""Durations of a silence, hours, at which its chance is known (RESEARCH.md 2, step 4)."""

PRICES = np.logspace(-4.0, 4.5, LEVELS)
"""Price grid λ."""

CLOCK = np.array(
    [-0.76, -1.77, -2.53, -2.84, -2.45, -1.84, -0.16, 0.38, 0.49, 0.47, -0.37, -1.09, -1.22, -1.09,
     -0.9, -0.83, -0.75, -0.57, -0.27, -0.09, 0.06, -0.02, -0.38, -0.47]
)  # fmt: skip
"""Pooled logit of a sign of life by local hour, after one silent hour."""
CLOCK_LOG_D = (0.2, -0.28)
"""Slopes of that logit on ln(d) and ln(d)²."""
PRIOR_RATE = np.geomspace(120.0, 0.5, LEVELS)
"""Episodes per subject-year that reach each price, before anything was counted."""
