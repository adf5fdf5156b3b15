"""The Faust worker: Faust brings messages and membership, the workshop does the rest.

Faust's event time, tables, windows and offsets stay unused: blocks are raw bytes, nothing is
acknowledged to it, and its consumer seeks to the offsets of our snapshots after a rebalance.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import faust
import structlog
from faust.transport.drivers import aiokafka as driver

from engine.city import topics
from engine.city.district import District
from engine.city.workshop import RETRY_S, Workshop

log = structlog.get_logger()
BUFFER = 32
"""Messages in a stream's buffer; Faust's own default of 4,096 counts blocks as readings."""


class _Consumer(driver.Consumer):
    """Goes on where the snapshots say, not where Faust committed."""

    async def perform_seek(self) -> None:
        """Restore the assigned shards and seek to where each goes on."""
        member: FaustWorker = self.app.gridwarden
        for partition in sorted(self.assignment()):
            offset = await member.take(partition)
            await self.seek(partition, offset)
            self._committed_offset[partition] = offset or None
        member.sought()


class _Transport(driver.Transport):
    Consumer = _Consumer


class _App(faust.App):
    """Without folders: state is ours, and a folder would be left behind by whoever is killed."""

    def _create_directories(self) -> None:
        """Make none."""


class FaustWorker:
    """A member of the district's group of workers, by Faust.

    Parameters
    ----------
    district : District
    workshop : Workshop
    name : str
        Of this worker, the same after a restart.
    """

    def __init__(self, district: District, workshop: Workshop, name: str) -> None:
        self.district = district
        self.workshop = workshop
        self.name = name
        self.rebalances = 0
        self.turned_at = time.monotonic()
        self._seek_wanted: set[Any] = set()
        self.app = self._make()

    def _make(self) -> Any:
        city = self.district.config.city
        session_s = city.worker.session_s
        app = _App(
            f"{city.prefix}.workers",
            broker=[f"kafka://{server}" for server in city.kafka.split(",")],
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=self.name,
            stream_buffer_maxsize=BUFFER,
            stream_wait_empty=False,
            broker_session_timeout=session_s,
            broker_heartbeat_interval=max(0.3, session_s / 4),
            broker_request_timeout=max(90.0, session_s + 5),
            broker_max_poll_interval=600.0,
        )
        app.gridwarden = self
        app.transport = _Transport(app.conf.broker_consumer, app)
        topic = app.topic(
            self.district.topic(topics.LOG), value_type=bytes, value_serializer="raw",
            key_serializer="raw", acks=False,
        )  # fmt: skip
        app.agent(topic)(self._messages)
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        return app

    def newest(self, shard: int) -> int | None:  # noqa: ARG002
        """Return nothing: Faust does not tell."""
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Join, work until told to stop, save, leave."""
        await topics.ensure(self.district)
        if self.district.config.city.worker.warm:
            await self.workshop.warm()
        self.app.finalize()
        await self.app.start()
        self.workshop.loop.start()
        try:
            await self._work(stop)
        finally:
            await self.workshop.close()
            await self.app.stop()

    async def _messages(self, stream: Any) -> None:
        """Take messages as they come; the agent of the log's topic."""
        async for event in stream.noack().events():
            message = event.message
            partition = message.tp
            if not self.workshop.put(message.partition, message.offset, message.value or b""):
                self._seek_wanted.add(partition)
            # The stream's small buffer holds the rest back. A shard that waits for the others'
            # day to end must not: what they need may lie behind its messages.
            while self.workshop.full(message.partition) and not self.workshop.patient(
                message.partition
            ):
                await asyncio.sleep(0.005)

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.turned_at = time.monotonic()
            moved = await self.workshop.work()
            for partition in list(self._seek_wanted):
                self._seek_wanted.discard(partition)
                await self._missed(partition)
            if not moved:
                await asyncio.sleep(0.02)

    async def _missed(self, partition: Any) -> None:
        bench = self.workshop.benches.get(partition.partition)
        if bench is None or bench.keeper is None:
            return
        starts = await self.app.consumer.earliest_offsets(partition)
        start = starts.get(partition, 0)
        if start > bench.expected and not await self.workshop.refill(partition.partition):
            self.workshop.lost(partition.partition, start)
        await self.app.consumer.seek(partition, max(start, bench.expected))

    # -- membership -----------------------------------------------------------------------

    async def take(self, partition: Any) -> int:
        """Restore a shard, trying until the store answers; return the offset to go on from."""
        shard = int(partition.partition)
        while True:
            offset = await self.workshop.take(shard)
            if offset is not None:
                return offset
            if self.workshop.benches[shard].stopped:
                return 0
            await asyncio.sleep(RETRY_S)

    def sought(self) -> None:
        """Forget the shards that are not ours any more."""
        self.rebalances += 1
        mine = {int(p.partition) for p in self.app.consumer.assignment()}
        self.workshop.keep_only(mine)
        self._seek_wanted.clear()

    async def _revoked(self, _app: Any, revoked: Iterable[Any], **_: Any) -> None:
        self.workshop.suspend(int(p.partition) for p in revoked)
