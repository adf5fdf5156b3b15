"""Evidence in one unit: p-values become e-values, e-values become log10 and lines of a grid.

References
----------
.. [1] Vovk & Wang (2021), "E-values: calibration, combination and applications", Annals of
   Statistics 49(3), doi:10.1214/20-AOS2020. Equation (2): the calibrator used here, which has no
   parameter and whose mean is 1 when nothing is wrong.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from detectors.base import LEVELS

LINE_STEP = 0.25
EVIDENCE_LINES = LINE_STEP * np.arange(1, LEVELS + 1, dtype=np.float64)
"""Grid of detectors of pure evidence: 0.25 … 8.75 in log10."""


@njit(cache=True, nogil=True)
def log10_e(p: float) -> float:
    """Return log10 of (1 − p + p·ln p) / (p·ln² p), the e-value of a p-value [1]_.

    Falls from +∞ at p = 0 to log10 ½ at p = 1.

    >>> round(log10_e(1e-6), 2), round(log10_e(0.05), 2), round(log10_e(1.0), 2)
    (3.72, 0.25, -0.3)
    """
    if p > 0.999:  # the limit is ½; the fraction is 0/0 there
        return math.log10(0.5)
    q = math.log(max(p, 1e-300))
    return math.log10((1.0 - p + p * q) / (q * q)) - math.log10(max(p, 1e-300))


@njit(cache=True, nogil=True)
def level_of(evidence: float) -> int:
    """Return how many of :data:`EVIDENCE_LINES` `evidence` reaches: 0 … LEVELS.

    >>> level_of(-0.3), level_of(0.25), level_of(0.6), level_of(99.0)
    (0, 1, 2, 35)
    """
    return int(min(max(evidence / LINE_STEP, 0.0), float(LEVELS)))
