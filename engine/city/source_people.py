"""What people report (absences, findings at the door) goes from the store into the logs of shards.

It is written into a log first and noted as written then: after a crash in between it is written
again, and known by its id. The other way round people are told how the gateway's sources fare.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from connectors.records import Event
from engine.city.gateway import Gateway
from engine.city.packer import LogError
from engine.store import Store
from engine.store.errors import StoreError

log = structlog.get_logger()
READER = "gateway"
LOOK_S = 1.0
TELL_S = 60.0
"""So often people are told how the sources fare."""


class PeopleSource:
    """Reads a district's register for a gateway.

    Parameters
    ----------
    gateway : Gateway
    open_store : callable
        Opens the store; called again until it can be reached, so that readings do not wait for it.
    """

    def __init__(self, gateway: Gateway, open_store: Callable[[], Store]) -> None:
        self.gateway = gateway
        self._open_store = open_store
        self._store: Store | None = None
        self.records = 0
        self._told_at = -TELL_S

    async def run(self) -> None:
        """Look and write, for ever; a store or log that is away is waited for."""
        while True:
            try:
                more = await self.look()
                await self._tell_feeds()
            except (StoreError, LogError) as error:
                log.warning("reports_wait", problem=str(error))
                more = 0
            if not more:
                await asyncio.sleep(LOOK_S)

    async def look(self) -> int:
        """Write what is new into the logs; return the number of records."""
        now = self.gateway.clock.now_ns()
        if not now:
            return 0  # trials on history: no reading has shown the time yet
        if self._store is None:
            self._store = await asyncio.to_thread(self._open_store)
        register, routing = self._store.register, self.gateway.district.routing
        waiting = await asyncio.to_thread(register.untold, READER, now)
        if not waiting:
            return 0
        told = []
        for one in waiting:
            # An outcome by itself moves nothing: what follows from it are events of their own.
            if isinstance(one.record, Event):
                shards = routing.of_event(one.record)
                told.append(self.gateway.packer.record(one.record, shards))
        for wait in told:
            await wait
        await asyncio.to_thread(register.told, READER, waiting, now)
        self.records += len(waiting)
        return len(waiting)

    async def _tell_feeds(self) -> None:
        """Tell the console what came of each source; late and unknown rows only shards can tell."""
        now = self.gateway.clock.now_ns()
        if not now or self._store is None or time.monotonic() - self._told_at < TELL_S:
            return
        rows = self.gateway.health.rows(self.gateway.packer.counts, now)
        if rows:
            self._told_at = time.monotonic()
            await asyncio.to_thread(self._store.feeds.tell, rows, now, self.gateway.name)
