"""Event time: which slots are due when, and what local time a slot is.

The clock knows nothing of readings. It is told how far event time has come and hands out the
slots that are due, in the order (due, class), however often and in whatever steps it is asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from detectors.base import BoolArray
from rules.calendar import Calendars

NEVER_S = 2**62 // 10**9
"""Later than anything, in seconds (so that nanoseconds still fit)."""
DAY_S = 86_400


def spans(arrival_ns: NDArray[np.int64], length_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the rows of each day, tick or whatever else is so long.

    Parameters
    ----------
    arrival_ns : ndarray of int64, shape (n,)
        Never falls.
    length_ns : int

    Examples
    --------
    >>> list(spans(np.array([0, 9, 10, 10, 35]), 10))
    [(0, 2), (2, 4), (4, 5)]
    """
    n = len(arrival_ns)
    if n and arrival_ns[0] // length_ns == arrival_ns[-1] // length_ns:
        yield 0, n  # as most blocks are: no need to divide every row
        return
    number = arrival_ns // length_ns
    cuts = (np.flatnonzero(number[1:] != number[:-1]) + 1).tolist()
    for start, stop in pairwise([0, *cuts, n]):
        if stop > start:
            yield start, stop


class ShardClock:
    """Due times of the slots of several meter classes.

    Parameters
    ----------
    classes : sequence of (interval_s, phase_s, lateness_s)
        Slot k of a class is [k·interval + phase, (k+1)·interval + phase) seconds UTC and due at
        its end + lateness.

    Examples
    --------
    >>> clock = ShardClock([(900, 0, 900), (3600, 0, 3600)])
    >>> clock.start(0)
    >>> clock.next_due_s, clock.pop(900)
    (900, [(0, -1)])
    >>> clock.next_due_s
    1800
    """

    def __init__(self, classes: Sequence[tuple[int, int, int]]) -> None:
        self.classes = list(classes)
        self.next_slot = [0] * len(self.classes)
        self.next_due_s = NEVER_S

    def start(self, now_s: int) -> None:
        """Begin: the first slots are those that are due after `now_s`."""
        for i, (interval_s, phase_s, lateness_s) in enumerate(self.classes):
            self.next_slot[i] = (now_s - phase_s - lateness_s) // interval_s
        self._find()

    def add(self, one: tuple[int, int, int], now_s: int) -> None:
        """Add a class; its first slot is the one that is due after `now_s`."""
        interval_s, phase_s, lateness_s = one
        self.classes.append(one)
        self.next_slot.append((now_s - phase_s - lateness_s) // interval_s)
        self._find()

    def due_s(self, class_index: int, slot: int) -> int:
        """Return when a slot is due, seconds UTC."""
        interval_s, phase_s, lateness_s = self.classes[class_index]
        return (slot + 1) * interval_s + phase_s + lateness_s

    def _find(self) -> None:
        self.next_due_s = min(
            (self.due_s(i, slot) for i, slot in enumerate(self.next_slot)), default=NEVER_S
        )

    def pop(self, due_s: int) -> list[tuple[int, int]]:
        """Return the (class, slot) pairs due at exactly `due_s`, and move on."""
        due = [(i, s) for i, s in enumerate(self.next_slot) if self.due_s(i, s) == due_s]
        for i, _ in due:
            self.next_slot[i] += 1
        self._find()
        return due

    def snapshot(self) -> list[int]:
        """Return the next slot of each class."""
        return [self.next_due_s, *self.next_slot]

    def restore(self, state: Sequence[int]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self.next_due_s, *self.next_slot = state


class LocalTime:
    """Local columns of frames: slot of the day, day, and whether people rest.

    Parameters
    ----------
    zones : sequence of str
        IANA names; the order is that of the registry's zone indices.
    calendars : Calendars
        Rest days by country and year.
    country : str
        Whose calendar; a year without one has its week-ends and is reported as unknown.
    """

    def __init__(self, zones: Sequence[str], calendars: Calendars, country: str) -> None:
        self.zones = [ZoneInfo(z) for z in zones]
        self._calendars = calendars
        self._country = country
        self._offset: dict[tuple[int, int], int] = {}
        self._rest: dict[int, bool] = {}
        self.unknown: set[int] = set()
        """Years that were asked about and for which no calendar is there."""

    def offset_s(self, zone: int, at_s: int) -> int:
        """Return a zone's offset from UTC (kept per quarter of an hour: no zone changes inside)."""
        key = (zone, at_s // 900)
        found = self._offset.get(key)
        if found is None:
            if len(self._offset) > 10_000:
                self._offset.clear()
            moment = dt.datetime.fromtimestamp(at_s // 900 * 900, self.zones[zone])
            delta = moment.utcoffset()
            found = int(delta.total_seconds()) if delta else 0
            self._offset[key] = found
        return found

    def rest_day(self, day: int) -> bool:
        """Return whether people rest on a local day (days since 1970-01-01).

        What detectors learn by: in a year without a calendar it is the week-end.
        """
        found = self._rest.get(day)
        if found is None:
            date = dt.date.fromordinal(day + 719_163)
            found = self._rest[day] = bool(self._calendars.rest_days(self._country, date, 1)[0])
            if not self._calendars.known(self._country, date.year):
                self.unknown.add(date.year)
        return found

    def rests(self, day: int) -> bool | None:
        """Return whether people rest on a local day; None where that year is unknown."""
        rest = self.rest_day(day)
        return None if dt.date.fromordinal(day + 719_163).year in self.unknown else rest

    def holiday(self, day: int) -> bool | None:
        """Return whether a local day is a public holiday; None where that year is unknown."""
        return self._calendars.holiday(self._country, dt.date.fromordinal(day + 719_163))

    def columns(
        self, slot: int, slot_s: int, phase_s: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]:
        """Return local slot, local day and rest day of one slot, each of shape (1, Z).

        The local slot is counted from local midnight by the slot's start.
        """
        start_s = slot * slot_s + phase_s
        local = [start_s + self.offset_s(z, start_s) for z in range(len(self.zones))]
        days = [t // DAY_S for t in local]
        return (
            np.array([[t % DAY_S // slot_s for t in local]], np.int32),
            np.array([days], np.int32),
            np.array([[self.rest_day(d) for d in days]], np.bool_),
        )
