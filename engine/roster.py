"""Who gets a task: the worker of the grid, a stand-in, the grid's leader, the street.

Pure: workers in, a name out; the same roster and loads give the same answer.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping

import msgspec

from engine.hours import local

GRIDWORKER, LEADER, STREET, DEPARTMENT = "gridworker", "grid_leader", "street", "department"
STAND_IN = "stand_in"
FALLBACK = (GRIDWORKER, LEADER, STREET, DEPARTMENT)
"""Roles from the grid upwards: where nobody of a role covers a place, the next one gets it."""

_SHIFT = re.compile(r"(?:(\S+)\s+)?(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class RosterError(ValueError):
    """A worker's entry cannot be read; the message says whose and why."""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the workers file.

    Parameters
    ----------
    worker_id : str
    name : str
        For people's eyes.
    grids : tuple of str
        Place codes this worker answers for: grids, or anything above them.
    role : str
        ``gridworker``, ``grid_leader``, ``street``, ``department``, or any other queue's name.
    shift : str
        ``08:00-18:00``, ``Mon-Fri 08:00-18:00``, over midnight too; empty: always.
    stand_in : str or None
        Worker who takes over.
    """

    worker_id: str
    name: str = ""
    grids: tuple[str, ...] = ()
    role: str = GRIDWORKER
    shift: str = ""
    stand_in: str | None = None


def parse_shift(text: str, worker_id: str = "") -> tuple[frozenset[int], int, int] | None:
    """Return (ISO weekdays, first minute, last minute) of a shift, or None for always.

    >>> parse_shift("Mon-Fri 08:00-18:00")[1:]
    (480, 1080)

    Raises
    ------
    RosterError
        If it is not a shift.
    """
    if not text.strip():
        return None
    found = _SHIFT.fullmatch(text.strip())
    if found is None:
        raise RosterError(
            f"worker {worker_id!r}: shift {text!r} is not understood; "
            "write 08:00-18:00 or Mon-Fri 08:00-18:00, or leave it empty"
        )
    days, *numbers = found.groups()
    start_h, start_m, end_h, end_m = map(int, numbers)
    if start_h > 23 or end_h > 24 or start_m > 59 or end_m > 59:
        raise RosterError(f"worker {worker_id!r}: shift {text!r} has no such time of day")
    return _weekdays(days, worker_id), start_h * 60 + start_m, end_h * 60 + end_m


def _weekdays(text: str | None, worker_id: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(1, 8))
    days: set[int] = set()
    for part in text.lower().split(","):
        ends = [name[:3] for name in part.split("-")]
        if len(ends) > 2 or not set(ends) <= set(_DAYS):
            raise RosterError(f"worker {worker_id!r}: weekdays {text!r}; write Mon-Fri or Sat,Sun")
        first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
        days |= {(first + i) % 7 + 1 for i in range((last - first) % 7 + 1)}
    return frozenset(days)


def on_shift(worker: Worker, at_ns: int, zone: str) -> bool:
    """Return whether a worker is on duty; a shift over midnight belongs to the day it began."""
    shift = parse_shift(worker.shift, worker.worker_id)
    if shift is None:
        return True
    days, start, end = shift
    now = local(at_ns, zone)
    minute, today = now.hour * 60 + now.minute, now.isoweekday()
    if start < end:
        return today in days and start <= minute < end
    yesterday = (now.date() - dt.timedelta(days=1)).isoweekday()
    return (today in days and minute >= start) or (yesterday in days and minute < end)


class Roster:
    """Workers by the places they answer for.

    Parameters
    ----------
    workers : iterable of Worker
    zone : str
        Time zone of the shifts.
    """

    def __init__(self, workers: Iterable[Worker] = (), zone: str = "Asia/Shanghai") -> None:
        self.workers: Mapping[str, Worker] = {w.worker_id: w for w in workers}
        self.zone = zone
        self._by_code: dict[tuple[str, str], list[str]] = {}
        for worker in sorted(self.workers.values(), key=lambda w: w.worker_id):
            parse_shift(worker.shift, worker.worker_id)
            for code in worker.grids or ("",):
                self._by_code.setdefault((worker.role, code), []).append(worker.worker_id)
        self._lengths = sorted({len(code) for _, code in self._by_code}, reverse=True)

    def covering(self, role: str, place: str) -> list[str]:
        """Return the workers of a role who answer for a place: those of the narrowest area."""
        for length in self._lengths:
            if length <= len(place) and (found := self._by_code.get((role, place[:length]))):
                return found
        return []

    def assign(
        self, queue: str, place: str, at_ns: int, load: Mapping[str, int] | None = None
    ) -> tuple[str, str | None]:
        """Return (queue, worker) for a new task.

        Of the workers of the narrowest area who are on duty, the one with the fewest open tasks;
        else a stand-in on duty; else the next role upwards that has somebody on duty. With nobody
        on duty anywhere the first worker of the own queue gets it all the same: escalation, not
        a void, is what follows. Without any worker the queue alone is named.
        """
        if not self.workers:
            return queue, None
        loads = load or {}
        roles = FALLBACK[FALLBACK.index(queue) :] if queue in FALLBACK else (queue,)
        for role in roles:
            found = self._on_duty(self.covering(role, place), at_ns)
            if found:
                return role, min(found, key=lambda w: (loads.get(w, 0), w))
        for role in roles:
            if off_duty := self.covering(role, place):
                return role, off_duty[0]
        return queue, None

    def _on_duty(self, ids: list[str], at_ns: int) -> list[str]:
        present = [w for w in ids if on_shift(self.workers[w], at_ns, self.zone)]
        if present:
            return present
        stand_ins = [s for w in ids if (s := self.stand_in(w)) is not None]
        return [s for s in stand_ins if on_shift(self.workers[s], at_ns, self.zone)]

    def stand_in(self, worker_id: str | None) -> str | None:
        """Return who stands in for a worker, if the roster knows that person."""
        worker = self.workers.get(worker_id or "")
        name = worker.stand_in if worker else None
        return name if name in self.workers else None

    def climb(
        self, to: str, assignee: str | None, place: str, at_ns: int
    ) -> tuple[str, str | None]:
        """Return (queue, worker) of a step of the escalation ladder."""
        if to == STAND_IN:
            worker = self.stand_in(assignee)
            return (self.workers[worker].role, worker) if worker else (LEADER, None)
        found = self.covering(to, place)
        present = self._on_duty(found, at_ns) or found
        return to, (present[0] if present else None)
