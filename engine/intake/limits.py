"""What meters of a utility can plausibly do; the few constants that decide what a flaw is.

All amounts are in the canonical unit (kWh, l), before a current transformer's multiplier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one utility.

    Parameters
    ----------
    step_back : float
        A register may show this much less than before without having been replaced or rolled
        over; such readings mean "no use" until the old level is passed.
    jump_per_hour : float
        More than this per hour (per reading, where readings come faster) is doubted until the
        next reading confirms it.
    most_per_hour : float
        More than this an interval meter cannot deliver.
    grows : bool
        Whether the limits grow with the meter's multiplier: electricity is measured through
        transformers, so the multiplier says how large the customer is. For water and gas it only
        says what a pulse is worth.
    """

    step_back: float
    jump_per_hour: float
    most_per_hour: float
    grows: bool = False


LIMITS: Mapping[str, Limits] = {
    # Step-back and jump: RESEARCH 2.1 (46 real water registers: rebase on a drop of more than
    # 200 l or a jump of more than 3,000 l). A DN25 house main delivers ~7 m³/h, a DN100 one 50.
    "water": Limits(200.0, 3_000.0, 50_000.0),
    # A house regulator passes 6 m³/h at most; a boiler house some hundred.
    "gas": Limits(200.0, 30_000.0, 1_000_000.0),
    # 200 kWh in an hour is six times a 63 A three-phase connection run flat; RESEARCH has no
    # electricity registers. 20 MW is a 35 kV feeder.
    "electricity": Limits(5.0, 200.0, 20_000.0, grows=True),
}
NO_LIMITS = Limits(0.0, math.inf, math.inf)
"""For utilities nobody described: only a register that goes back is doubted."""

LOW_READINGS = 12
"""So many readings below the old level in a row, and the lower level is the truth."""
LONGEST_GAP_S = 9_000
"""Readings further apart than this (or 2.5 intervals) say nothing about the slots between."""
LONGEST_GAP_INTERVALS = 2.5
FLAT = 1e-9
"""A register that moved by less than this share of its level did not move."""
KEPT_S = 7 * 86_400
"""How far back late readings amend closed slots."""
SNAP_S = 60
"""Interval stamps this far off the grid (at most a quarter of the interval) are moved onto it."""
SNAP_DAILY_S = 3_660
"""The same for slots of a day or more: their grid is that of standard time."""


def limits_of(utility: str) -> Limits:
    """Return the limits of a utility."""
    return LIMITS.get(utility, NO_LIMITS)
