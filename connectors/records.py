"""Records of the log: blocks of readings and events as columns, and what else can change alerts.

Everything that can change an alert is one of these records, in one order per shard. Times are
int64 nanoseconds UTC, ids of meters are dense integers of the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Fault(IntEnum):
    """Why a row cannot be processed. 0 means it can; the names are the reasons in quarantine."""

    OK = 0
    BAD_TIME = 1
    """The time stamp cannot be read."""
    BAD_VALUE = 2
    """The value is missing, not a number, infinite or cannot be read."""
    UNKNOWN_METER = 3
    NO_PLACE = 4
    """The meter's subject has no place in the address tree."""
    NONEXISTENT_HOUR = 5
    """Local time that the clock change skipped."""
    TIME_OUT_OF_RANGE = 6
    """Before the earliest or after the latest stamp the configuration calls sane (1970, 2100)."""
    CLOCK_AHEAD = 7
    """Ahead of the newest sane stamp by more than max_skew, and nothing confirms it."""
    NEGATIVE = 8
    IMPOSSIBLE = 9
    """More than the meter class can physically deliver, or above the register's maximum."""
    CONFLICT = 10
    """Another reading of the same meter and time stands; content decides which one."""
    GLITCH = 11
    """A register value that its neighbours on both sides refute."""
    OFF_GRID = 12
    """An interval reading whose stamp is not on the meter's grid."""
    BAD_EVENT = 13
    MALFORMED = 14
    """The line is not a record at all (wrong number of fields, broken JSON, too long)."""


class Status(IntEnum):
    """How a row ended; every input row ends as exactly one of these."""

    PROCESSED = 0
    DUPLICATE = 1
    LATE = 2
    QUARANTINED = 3


@dataclass(frozen=True, slots=True)
class ReadingBlock:
    """Readings as columns, in log order.

    Parameters
    ----------
    source : str
        Name of the input, for counts and quarantine.
    position : ndarray of int64, shape (n,)
        Row number in the source, from 1 (the header is not a row).
    meter : ndarray of int32, shape (n,)
        Registry row of the meter; −1 where unknown.
    ts_ns : ndarray of int64, shape (n,)
        Stamp in UTC.
    value : ndarray of float64, shape (n,)
        As the meter shows it: register level or interval amount, before multiplier and unit.
    arrival_ns : ndarray of int64, shape (n,)
        When the row reached the log, event time; never falls within a log.
    fault : ndarray of uint8, shape (n,)
        :class:`Fault` found so far at the edge.
    raw : pyarrow.RecordBatch
        The columns as they were read (strings), for quarantine; same length, or None when a
        source can be read again by position.
    """

    source: str
    position: NDArray[np.int64]
    meter: NDArray[np.int32]
    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    arrival_ns: NDArray[np.int64]
    fault: NDArray[np.uint8]
    raw: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return len(self.meter)

    def slice(self, start: int, stop: int) -> ReadingBlock:
        """Return rows start … stop−1 as views."""
        return ReadingBlock(
            self.source,
            self.position[start:stop],
            self.meter[start:stop],
            self.ts_ns[start:stop],
            self.value[start:stop],
            self.arrival_ns[start:stop],
            self.fault[start:stop],
            None if self.raw is None else self.raw.slice(start, stop - start),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something discrete that happened, or was declared.

    ``arrival_ns`` is when the log learned of it; ``ts_ns`` is its own time.
    """

    event_id: str
    ts_ns: int
    kind: str
    subject_id: str | None
    place: str | None
    attrs: Mapping[str, Any]
    arrival_ns: int
    source: str = ""
    position: int = 0
    fault: Fault = Fault.OK
    detail: str = ""
    raw: Mapping[str, str | None] | None = None
    """The columns as they were read, where there is a fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found at the door; typed, may expire."""

    outcome_id: str
    ts_ns: int
    alert_id: str
    subject_id: str | None
    kind: str
    until_ns: int | None
    arrival_ns: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """The clock of a shard moves on, with or without readings."""

    arrival_ns: int


@dataclass(frozen=True, slots=True)
class PriceRecord:
    """The daily reducer's price for one rule and event-day (DESIGN.md, "Fleet quantities")."""

    rule: str
    day: int
    """Event-day (days since epoch, UTC) from whose first slot the price holds."""
    index: int
    """Grid index i: the moment has come when ``urgency > i`` …"""
    fraction: float
    """… or ``urgency == i`` for this keyed share of episodes (dithering between neighbours)."""
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Activation:
    """A version of the rules takes effect."""

    version: str
    rules_yaml: Mapping[str, str]
    author: str
    arrival_ns: int
    budgets: Mapping[str, float] = field(default_factory=dict)
    """False alerts per subject-year that are not those of the files, by rule."""


LogRecord: TypeAlias = ReadingBlock | Event | Outcome | Tick | PriceRecord | Activation


@dataclass(slots=True)
class Counts:
    """How the rows of one source ended; they always add up."""

    rows: int = 0
    by_status: dict[str, int] = field(default_factory=lambda: {s.name.lower(): 0 for s in Status})
    by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def reconciled(self) -> bool:
        """Whether every row is accounted for exactly once."""
        return self.rows == sum(self.by_status.values())
