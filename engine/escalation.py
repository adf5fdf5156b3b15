"""What time does to tasks: the ladder, marks, reminders, release of held alerts, retention.

Any number of processes may run it; whoever holds the lease acts. Every transaction checks the
lease's token first (a fence), so one that was stopped for a while and wakes up writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

from engine.config import ConsoleConfig
from engine.store import Store
from engine.store.access import FencedError, Lease, fence
from engine.store.marks import ask, last_sweep, mark_tasks, remind, sweep

LEASE = "escalation"
LEASE_S = 30.0
DAY_NS = 86_400 * 1_000_000_000


class Turned(NamedTuple):
    """What a turn did."""

    released: int
    escalated: int
    marked: int
    reminded: int


class Escalator:
    """Turns the clock of tasks, while it holds the lease.

    Parameters
    ----------
    store : Store
    holder : str
        Who this is; the same name takes its own lease up again at once.
    settings : ConsoleConfig
        How long what is kept.
    wall : callable
        Wall clock, seconds: leases end by it, tasks by event time.
    lease_s : float
        How long nobody else acts after this one was seen last.
    """

    def __init__(
        self,
        store: Store,
        holder: str,
        *,
        settings: ConsoleConfig | None = None,
        wall: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
    ) -> None:
        self._store = store
        self._holder = holder
        self._settings = settings or ConsoleConfig()
        self._wall = wall
        self._lease_s = lease_s
        self._lease: Lease | None = None
        self._swept_ns: int | None = None

    def turn(self, now_ns: int) -> Turned | None:
        """Do what is due at an event time; None while somebody else holds the lease."""
        lease = self._held()
        if lease is None:
            return None
        held: Lease = lease

        def guard(connection: Connection) -> None:
            fence(connection, held)

        database = self._store.database
        try:
            ticked = self._store.tasks.tick(now_ns, guard=guard)
            marked = mark_tasks(database, now_ns, guard)
            reminded = remind(database, now_ns, guard) + ask(database, now_ns, guard)
            self._sweep(now_ns, guard)
        except FencedError:
            self._lease = None
            return None
        return Turned(ticked.released, ticked.escalated, marked, reminded)

    def close(self) -> None:
        """Let somebody else act at once."""
        if self._lease is not None:
            self._store.access.give_back(self._lease)
            self._lease = None

    def _held(self) -> Lease | None:
        now = self._wall()
        if self._lease is None or self._lease.until_wall - now < self._lease_s / 2:
            self._lease = self._store.access.lease(
                LEASE, self._holder, now_wall=now, for_s=self._lease_s
            )
        return self._lease

    def _sweep(self, now_ns: int, guard: Callable[[Connection], None]) -> None:
        if self._swept_ns is None:
            self._swept_ns = last_sweep(self._store.database)
        if now_ns - self._swept_ns >= DAY_NS:
            sweep(
                self._store.database,
                now_ns,
                photos_days=self._settings.photos_days,
                looks_days=self._settings.looks_days,
                guard=guard,
            )
            self._swept_ns = now_ns
