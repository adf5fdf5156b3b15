"""State of the `production` detector: the layout of its rows, and the constants of its kernel.

A plant's numbers lie packed in two rows, ``real`` (float32) and ``whole`` (int32), and are found by
the indices below: one array each keeps the kernel's calls cheap (measured: fifty separate arrays
cost twenty times as much per slot and seven times as much to compile).

Loads are in kW whatever the slot, minutes count from 1970 UTC, evidence is in natural logarithms
inside the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Field

BINS = 96
"""Bins of the load histogram: quarter octaves from :data:`LOWEST_KW`, 17 MW at the top."""
LOWEST_KW = 0.001
LEAST_KW = 5.0
"""Production is taken to be at least this: below it every kettle would be a run."""
WINDOWS = 16
"""Permits, tests and outages kept at once."""
MOST_MEMORY = 10.0
"""What earlier episodes may add up to, nats: a long run must not be remembered for a year."""
VISITORS = 8
"""Vehicles and complaints kept at once; those that say nothing are not kept."""
HAZMAT_IN, HAZMAT_OUT, GOODS_IN, GOODS_OUT, COMPLAINT = range(1, 6)
VISITOR_KINDS = 5
PARTS = 4
"""Parts of the day with arrival rates of their own."""
RING = 4
"""Loads and excesses kept of the last slots."""
NEVER = 2**31 - 1
"""A slot that does not come: the closure of a plant that is not closed."""
NO_MINUTE = -(2**31)
BACKFILL_S = 36 * 3600
"""How far back a late block is still scored."""
PERMIT, TEST, OUTAGE = 0, 1, 2

ENTRIES = (
    "memory",
    "level",
    "duration",
    "time",
    "standby",
    "lighting",
    "tenant",
    "vehicles",
    "complaints",
    "prior",
)
"""Entries of the ledger, in the order of the first columns of the account."""
FACTS = ("hours", "mean_kw", "usual_kw", "night_share", "quiet_kw", "permitted_kw", "max_kw")
"""What else the account holds, in the order of its last columns."""

# An episode's part of `real`, and of `whole`.
EXCESS, PEAK, USUAL, HOUR_SCORE, UNKNOWN, JUMPS, LAST, QUIET = range(8)
EPISODE_REAL = 8
OPEN, START, END, SLOTS, LOW, NIGHT, ONSET_MINUTE, CARRIED, REST = range(9)
EPISODE_WHOLE = 9

# real: what every slot needs first (two cache lines), then the rest.
PRODUCTION, IDLE, SHIFT, NOISE, STEP, DUSK, LATITUDE, LONGITUDE, WATCHED = range(9)
MEMORY, EVIDENCE, TOP = range(9, 12)
TEMPERATURE, WARMEST, COLDEST, RESIDUAL = range(12, 16)
LOADS = 16
EXCESSES = LOADS + RING
LIVE_REAL = EXCESSES + RING
HOLE_LOADS = LIVE_REAL + EPISODE_REAL
HOLE_EXCESSES = HOLE_LOADS + RING
LATE_LOADS = HOLE_EXCESSES + RING
LATE_EXCESSES = LATE_LOADS + RING
LATE_REAL = LATE_EXCESSES + RING
WINDOW_KW = LATE_REAL + EPISODE_REAL
VISITOR_SCORE = WINDOW_KW + WINDOWS
VISITOR_RATE = VISITOR_SCORE + VISITORS
ACCOUNT = VISITOR_RATE + VISITOR_KINDS * PARTS
REAL = ACCOUNT + len(ENTRIES) + len(FACTS)

# whole: likewise.
CLOSED, SETTLED, TRUSTED, NOW, DAY, OFFSET, AGE, GAP, WINDOWS_UNTIL, ONSET, STIRRED = range(11)
TEMPERATURE_AT = 11
LIVE_WHOLE = 12
LATE_WHOLE = LIVE_WHOLE + EPISODE_WHOLE
HOLE, AMENDED, LATE_NEXT, RESTS, NIGHTS, LAST_NIGHT, ACCOUNT_START = range(
    LATE_WHOLE + EPISODE_WHOLE, LATE_WHOLE + EPISODE_WHOLE + 7
)
WINDOW_KIND = ACCOUNT_START + 1
WINDOW_START = WINDOW_KIND + WINDOWS
WINDOW_END = WINDOW_START + WINDOWS
VISITOR_MINUTE = WINDOW_END + WINDOWS
VISITOR_KIND = VISITOR_MINUTE + VISITORS
WHOLE = VISITOR_KIND + VISITORS

_FRESH_REAL = {
    DUSK: np.nan,
    LATITUDE: np.nan,
    LONGITUDE: np.nan,
    EVIDENCE: np.nan,
    TEMPERATURE: np.nan,
    WARMEST: np.nan,
    COLDEST: np.nan,
    TOP: -np.inf,
    **dict.fromkeys([*range(LOADS, LIVE_REAL), *range(HOLE_LOADS, LATE_REAL)], np.nan),
}
_FRESH_WHOLE = {
    CLOSED: NEVER,
    NOW: NO_SLOT,
    DAY: -1,
    OFFSET: 480,
    HOLE: NO_SLOT,
    AMENDED: NO_SLOT,
    LATE_NEXT: NO_SLOT,
    WINDOWS_UNTIL: NO_MINUTE,
    TEMPERATURE_AT: NO_MINUTE // 2,
    ONSET: NO_SLOT,
    STIRRED: NO_SLOT,
    LAST_NIGHT: -1,
    ACCOUNT_START: NO_SLOT,
    LIVE_WHOLE + START: NO_SLOT,
    LIVE_WHOLE + END: NO_SLOT,
    LATE_WHOLE + START: NO_SLOT,
    LATE_WHOLE + END: NO_SLOT,
    **dict.fromkeys(range(WINDOW_START, VISITOR_KIND), NO_MINUTE),
}


@dataclass(frozen=True, slots=True)
class Packed(Field):
    """A field whose entries of a fresh row differ: `fresh` names those that are not 0."""

    fresh: Mapping[int, float] | None = None

    def allocate(self, n: int) -> NDArray[Any]:
        """Return rows that have seen nothing."""
        row = np.zeros(self.shape, self.dtype)
        for index, value in (self.fresh or {}).items():
            row[index] = value
        return np.tile(row, (n, 1))


def fields(slots: int, window: int) -> dict[str, Field]:
    """Return the layout for `slots` slots a day and `window` slots of back-fill."""
    return {
        "base": Field("f4", (2, slots), axis=2),
        "base_days": Field("u1", (2, slots), axis=2),
        "levels": Field("u2", (BINS,)),
        "seen": Field("u1", ((window + 7) // 8,)),
        "real": Packed("f4", (REAL,), fresh=_FRESH_REAL),
        "whole": Packed("i4", (WHOLE,), fresh=_FRESH_WHOLE),
    }


class Constants(NamedTuple):
    """What the kernel needs besides the state, derived from the parameters and the slot."""

    slot_min: int
    slots: int
    scale: float
    """Slot in units of 15 minutes."""
    hour: int
    """Slots an hour, at least 1."""
    near: int
    """Reach of ±30 minutes in slots."""
    far: int
    """Reach of ±60 minutes in slots."""
    shortest: int
    """Slots of the shortest episode that counts (45 minutes)."""
    longest: int
    patience: int
    """Slots of a gap after which an open episode ends (2.5 h)."""
    back: int
    """Slots of :data:`BACKFILL_S`."""
    prior: float
    keep: float
    """Share of the memory that is left a slot later."""
    pull: float
    """Share of an error that the shift follows in a slot."""
    relax: float
    smooth: float
    """Share of an error that its running mean takes up in a slot."""
    quiet_slots: int
    lowest: float
    spacing: float
    """Of the grid's lines, nats."""
    latitude: float
    noon_h: float
    daytime: bool
