"""A gateway: sources in, blocks of readings in the logs of their shards out, and the clock's ticks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.bodies import Door
from connectors.normalise import Directory
from connectors.records import Tick
from detectors.base import NS
from engine.city import topics
from engine.city.district import District
from engine.city.gateway_watch import watched
from engine.city.packer import LogError, Packer
from engine.health import Health
from engine.inputs import directory_of

log = structlog.get_logger()
LEAST_S = 0.1
"""Ticks do not come faster than this."""


class Clock:
    """Event time now: the wall clock's, or what the readings show; it never steps back.

    Parameters
    ----------
    wall : callable or None
        Nanoseconds; None where the readings make the time (trials on history).
    """

    def __init__(self, wall: Callable[[], int] | None) -> None:
        self._wall = wall
        self._now_ns = 0

    @property
    def by_data(self) -> bool:
        """Whether the readings make the time."""
        return self._wall is None

    def now_ns(self) -> int:
        """Return the time; 0 where no reading has shown any."""
        if self._wall is not None:
            self._now_ns = max(self._now_ns, self._wall())
        return self._now_ns

    def show(self, ns: int) -> None:
        """Take over a time that readings show."""
        self._now_ns = max(self._now_ns, ns)


class Gateway:
    """Packs what its sources bring, until it is stopped.

    Parameters
    ----------
    district : District
    wall : callable
        Nanoseconds, for ``city.gateway.clock: wall``.
    """

    def __init__(self, district: District, wall: Callable[[], int]) -> None:
        self.district = district
        config = district.config.city.gateway
        self.config = config
        self.name = f"{socket.gethostname()} {config.state.absolute()}"
        """The same after a restart; no other gateway may have its file of what was read."""
        self.clock = Clock(wall if config.clock == "wall" else None)
        self.health = Health()
        """What came of each source, for people."""
        self.packer = Packer(
            district.routing, self._send, block_rows=config.block_rows,
            memory_bytes=config.memory_bytes, note=self.health.note,
        )  # fmt: skip
        self.log_up = True
        """Whether Kafka took the last tick."""
        self.sources_up: dict[str, Callable[[], bool]] = {}
        """Sources that have a connection, and whether it stands."""
        self.rules_refused: dict[str, str] = {}
        """Rules that were to be taken up and cannot be: why, by version or "files"."""
        self.turned_at = time.monotonic()
        self._producer: AIOKafkaProducer | None = None
        self._log = district.topic(topics.LOG)
        self._quarantine = district.topic(topics.QUARANTINE)
        self._ticked_ns = 0

    def directory(self) -> Directory:
        """Return a directory of meters and subjects for one source alone."""
        return directory_of(self.district.routing.whole)

    def door(self, source: str) -> Door:
        """Return the door of a live source."""
        clock = self.district.config.clock
        return Door(
            source, self.directory(), max_skew_s=clock.max_skew_s,
            earliest_ns=int(clock.earliest.timestamp()) * NS,
            latest_ns=int(clock.latest.timestamp()) * NS,
        )  # fmt: skip

    # -- running --------------------------------------------------------------------------

    async def run(
        self, stop: asyncio.Event, sources: Callable[[Gateway], list[Coroutine[Any, Any, None]]]
    ) -> None:
        """Start, run the sources until told to stop, and leave nothing undone.

        Raises
        ------
        TopicError
            If Kafka has not what the district needs.
        """
        await topics.ensure(self.district)
        self._producer = topics.producer(self.district)
        await self._producer.start()
        tasks = [asyncio.create_task(c) for c in (self._linger(), self._ticks(), *sources(self))]
        waiting = asyncio.create_task(stop.wait())
        try:
            with watched(self):
                done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                task.result()  # a source that ends has failed: say why
        finally:
            for task in (waiting, *tasks):
                task.cancel()
            await asyncio.gather(waiting, *tasks, return_exceptions=True)
            await self.packer.settle()
            await self._producer.stop()

    async def _send(self, partition: int | None, message: bytes) -> asyncio.Future[object]:
        assert self._producer is not None
        to = (self._quarantine, 0) if partition is None else (self._log, partition)
        sent: asyncio.Future[object] = await self._producer.send(to[0], message, partition=to[1])
        return sent

    async def _linger(self) -> None:
        while True:
            await asyncio.sleep(self.config.linger_s)
            self.packer.flush()

    async def _ticks(self) -> None:
        """Move the clocks of all shards, dead places' too."""
        while True:
            self.turned_at = time.monotonic()
            if not self.clock.by_data:
                with contextlib.suppress(LogError, KafkaError):  # the next one says as much
                    await self.tick()
            await asyncio.sleep(self._until_next_s())

    def _until_next_s(self) -> float:
        """Return how long the clock's present tick still lasts."""
        trial = self.district.config.trial
        speed = 1.0 if trial is None else trial.speed
        tick_ns = round(self.district.tick_s * NS)
        left_s = (tick_ns - self.clock.now_ns() % tick_ns) / NS / speed
        return min(1.0, max(left_s, LEAST_S))

    async def tick(self) -> None:
        """Put a tick into every log, if the clock has entered a new one."""
        now, tick_ns = self.clock.now_ns(), round(self.district.tick_s * NS)
        if self._ticked_ns and now // tick_ns == self._ticked_ns // tick_ns:
            return  # within a tick nothing can become due
        waits = self.packer.record(Tick(now), range(self.district.routing.shards))
        self._ticked_ns = now
        try:
            await waits
        except LogError:
            self._ticked_ns, self.log_up = 0, False
            raise
        self.log_up = True
