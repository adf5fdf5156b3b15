"""What is known about subjects beside their meters: absences, permits, works, outages.

Intervals arrive through the log (events, outcomes) and are kept per subject until they are past.
Rules ask "is this so now?"; detectors are told by notices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ABSENT, MAINTENANCE, APPROVED, POWER_CUT = "absent", "maintenance", "approved_work", "power_cut"
KINDS = (ABSENT, MAINTENANCE, APPROVED, POWER_CUT)
RETURNED = "returned"
"""Somebody's use says that an absence is over: what hears of use, stops to believe in it."""
NO_END = 2**62
"""End of an interval whose end nobody gave."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One thing that holds for a subject for a while.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    row : int
        Registry row of the subject.
    start_ns, end_ns : int
        When it begins and ends, UTC.
    known_ns : int
        When the log learned of it; before that it did not count.
    source : str
        Who said so.
    """

    kind: str
    row: int
    start_ns: int
    end_ns: int
    known_ns: int
    source: str

    @property
    def key(self) -> tuple[Any, ...]:
        """Identity: telling the same thing twice changes nothing."""
        return (self.kind, self.row, self.start_ns, self.end_ns)


class Context:
    """The register of intervals per subject.

    Intervals are few compared with subjects, so they are kept as objects by subject row; nothing
    here is touched per reading.
    """

    def __init__(self) -> None:
        self._by_row: dict[tuple[str, int], list[Interval]] = {}

    def add(self, interval: Interval) -> bool:
        """Add an interval; return whether it was new."""
        known = self._by_row.setdefault((interval.kind, interval.row), [])
        if any(k.key == interval.key for k in known):
            return False
        known.append(interval)
        known.sort(key=lambda k: (k.start_ns, k.end_ns, k.source))
        return True

    def end(self, kind: str, row: int, at_ns: int, start_ns: int | None = None) -> None:
        """End what holds at `at_ns` (somebody came home early); withdraw what begins at `start_ns`."""
        held = self._by_row.get((kind, row), [])
        left = []
        for k in held:
            if k.start_ns <= at_ns < k.end_ns:
                left.append(Interval(kind, row, k.start_ns, at_ns, k.known_ns, k.source))
            elif start_ns is None or not k.start_ns == start_ns > at_ns:
                left.append(k)
        self._by_row[kind, row] = left

    def holds(self, kind: str, row: int, at_ns: int) -> bool:
        """Return whether `kind` holds for a subject at a time."""
        return any(k.start_ns <= at_ns < k.end_ns for k in self._by_row.get((kind, row), ()))

    def until(self, kind: str, row: int, at_ns: int) -> int | None:
        """Return when it ends, or None where it does not hold."""
        ends = [
            k.end_ns for k in self._by_row.get((kind, row), ()) if k.start_ns <= at_ns < k.end_ns
        ]
        return max(ends) if ends else None

    def expire(self, before_ns: int) -> None:
        """Drop intervals that ended before a time."""
        for key, held in list(self._by_row.items()):
            left = [k for k in held if k.end_ns >= before_ns]
            if left:
                self._by_row[key] = left
            else:
                del self._by_row[key]

    def forget(self, rows: Iterable[int]) -> None:
        """Erase all that is known of some subjects."""
        gone = set(rows)
        self._by_row = {key: held for key, held in self._by_row.items() if key[1] not in gone}

    def intervals(self) -> list[Interval]:
        """Return all intervals, in a fixed order."""
        return [k for key in sorted(self._by_row) for k in self._by_row[key]]

    def snapshot(self) -> list[list[Any]]:
        """Return plain values for the snapshot's header."""
        return [
            [k.kind, k.row, k.start_ns, k.end_ns, k.known_ns, k.source] for k in self.intervals()
        ]

    def restore(self, rows: list[list[Any]]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self._by_row = {}
        for row in rows:
            self.add(Interval(*row))


def columns(intervals: list[Interval]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the starts and ends of intervals as arrays."""
    return (
        np.array([k.start_ns for k in intervals], np.int64),
        np.array([k.end_ns for k in intervals], np.int64),
    )
