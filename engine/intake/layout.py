"""How the intake's state lies in memory.

Numbers that are used together stand in one record, so that a row touches few cache lines and the
kernels take few arrays. Interval and register meters have arrays of their own: neither pays for
the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HELD = 255
"""Status of a row that waits for its meter's next reading; :meth:`Intake.settled` decides it."""
NEVER_NS = -(2**62)
"""Stamp of a meter that never reported."""
NO_STAMP = 0
NO_TOKEN = -(2**63)
NEVER, BEFORE, SINCE = range(3)
"""When a meter was last heard of: never, before a slot began, since then."""
_LINE = 64

CLASS = np.dtype(
    [
        ("interval_s", np.int64),
        ("phase_s", np.int64),
        ("lateness_s", np.int64),
        ("gap_s", np.int64),  # longest gap between readings that is interpolated
        ("snap_s", np.int64),  # how far off the grid an interval stamp may be
        ("kept", np.int64),  # closed slots that late readings still amend
        ("bits_at", np.int64),  # filled bits: first byte
        ("bits_row", np.int64),  # bytes per slot
        ("bits_tag", np.int64),  # first tag
        ("ring_at", np.int64),  # open slots of interval meters: first cell
        ("ring_slots", np.int64),
        ("ring_rows", np.int64),
        ("ring_tag", np.int64),
        ("first_register", np.int64),
        ("registers", np.int64),
        ("first_interval", np.int64),
        ("buffer_at", np.int64),  # last readings of registers: first cell
        ("buffer_len", np.int64),
        ("step_back", np.float64),
        ("jump_per_hour", np.float64),
        ("most", np.float64),  # per slot
        ("grows", np.int64),
    ]
)
"""One row per meter class: what holds for all its meters, and where its state begins."""

KIND = np.dtype(
    [
        ("class_index", np.int64),
        ("scale", np.float64),
        ("maximum", np.float64),  # of the register; 0 where unknown
        ("stamp_end", np.int64),  # whether stamps are of the interval's end
    ]
)
"""One row per kind of meter: few, so that what is asked of every row stays in the cache."""
LOOK = np.dtype([("place", np.int32), ("kind", np.int32)])
"""One row per meter: where its state lies, and its kind."""

REGISTER = np.dtype(
    [
        ("first_top", np.float64),  # highest level up to the oldest reading kept
        ("top", np.float64),  # highest level up to the newest that is not doubted
        ("token", np.int64),  # position of the held row
        ("late_level", np.float64),  # last reading older than those kept
        ("late_edge", np.float64),  # level where the slot of that reading begins, NaN if unknown
        ("last_ns", np.int64),  # newest stamp that was not quarantined
        ("last_level", np.float64),  # newest level that is not doubted
        ("late_stamp", np.uint32),
        ("count", np.uint8),  # readings kept
        ("first_low", np.uint8),  # readings below `first_top` in a row
        ("low", np.uint8),  # readings below `top` in a row
        ("flags", np.uint8),
    ]
)
"""One row per register meter, beside its last readings: one line of the cache."""
READING = np.dtype([("stamp", np.uint32), ("level", np.float64)])
"""One of a register's last readings: seconds since 1970 UTC (until 2106), level."""
LAST = np.dtype([("ns", np.int64), ("value", np.float64)])
"""One row per interval meter: newest stamp that was not quarantined, and its value."""
STEP = np.dtype(
    [("stamp", np.int64), ("use", np.float64), ("known", np.int64), ("verdict", np.int64)]
)
"""Scratch: one reading that counts, what was used since the one before and whether the time
between is known; ``verdict`` is of the reading kept at this index, whether it counts or not."""
EVICTED = 1
"""A reading older than those kept was let go: what comes before them is back-fill."""
HELD_LATE = 2
"""The held row's slot was closed when it came."""
DOUBT = 4
"""The newest reading waits for the next one to be believed."""

LATE = np.dtype(
    [
        ("slot", np.int64),
        ("arrival_ns", np.int64),
        ("row", np.int32),
        ("value", np.float32),
        ("class_index", np.uint8),
    ]
)
SETTLED = np.dtype([("token", np.int64), ("status", np.uint8), ("fault", np.uint8)])


class Late(NamedTuple):
    """Amounts of closed slots that changed, sorted by (class, slot, row).

    Parameters
    ----------
    class_index : ndarray of int64, shape (n,)
    slot : ndarray of int64, shape (n,)
    row : ndarray of int32, shape (n,)
        Row within the class.
    value : ndarray of float32, shape (n,)
        New amount in the canonical unit; NaN where it turned out to be unknown.
    arrival_ns : ndarray of int64, shape (n,)
        When the last reading that it took arrived.
    """

    class_index: NDArray[np.int64]
    slot: NDArray[np.int64]
    row: NDArray[np.int32]
    value: NDArray[np.float32]
    arrival_ns: NDArray[np.int64]


class Settled(NamedTuple):
    """How rows that were held ended.

    Parameters
    ----------
    token : ndarray of int64, shape (n,)
        What the caller gave for the row.
    status, fault : ndarray of uint8, shape (n,)
    """

    token: NDArray[np.int64]
    status: NDArray[np.uint8]
    fault: NDArray[np.uint8]


def empty(dtype: np.dtype[Any], rows: int = 0) -> NDArray[Any]:
    """Return zeroed records, which begin where a line of the cache does."""
    size = rows * dtype.itemsize
    room = np.zeros(size + _LINE, np.uint8)
    begin = -room.ctypes.data % _LINE
    return room[begin : begin + size].view(dtype)


def unheard_registers(rows: int) -> NDArray[Any]:
    """Return the records of registers that never reported."""
    registers = empty(REGISTER, rows)
    registers["token"], registers["late_edge"] = NO_TOKEN, np.nan
    registers["last_ns"], registers["last_level"] = NEVER_NS, np.nan
    return registers


def unheard_intervals(rows: int) -> NDArray[Any]:
    """Return the records of interval meters that never reported."""
    last = empty(LAST, rows)
    last["ns"], last["value"] = NEVER_NS, np.nan
    return last
