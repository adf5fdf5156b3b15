"""The plain worker: aiokafka brings messages and membership, the workshop does the rest.

Kafka's offsets and generations are hints. Where to go on from is the snapshot's offset, who may
write is the epoch in the store; a rebalance writes nothing, and a shard that stays here goes on as
if nothing had been.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from engine.city import topics
from engine.city.district import District
from engine.city.workshop import RETRY_S, Workshop

log = structlog.get_logger()
POLL_MS = 200
REPORT_S = 5.0
"""So often the offsets are told to Kafka, for people who look at its lag."""


class AiokafkaWorker(ConsumerRebalanceListener):
    """A member of the district's group of workers.

    Parameters
    ----------
    district : District
    workshop : Workshop
    name : str
        Of this worker, the same after a restart: Kafka then gives it its shards back.
    """

    def __init__(self, district: District, workshop: Workshop, name: str) -> None:
        self.district = district
        self.workshop = workshop
        self.name = name
        self.topic = district.topic(topics.LOG)
        self.rebalances = 0
        self.turned_at = time.monotonic()
        self._restoring: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._consumer: AIOKafkaConsumer

    async def run(self, stop: asyncio.Event) -> None:
        """Join, work until told to stop, save, leave."""
        city = self.district.config.city
        await topics.ensure(self.district)
        if city.worker.warm:
            await self.workshop.warm()
        session_ms = int(city.worker.session_s * 1000)
        consumer = self._consumer = AIOKafkaConsumer(
            bootstrap_servers=city.kafka,
            group_id=f"{city.prefix}.workers",
            group_instance_id=self.name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(300, session_ms // 4),
            max_poll_interval_ms=600_000,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_bytes=8 << 20,
            partition_assignment_strategy=[StickyPartitionAssignor],
        )
        await consumer.start()
        consumer.subscribe([self.topic], listener=self)
        self.workshop.loop.start()
        try:
            await self._work(stop)
        finally:
            for task in self._tasks:
                task.cancel()
            await self.workshop.close()
            await consumer.stop()

    def newest(self, shard: int) -> int | None:
        """Return the offset behind the newest message of a shard's log, as last heard."""
        try:
            found: int | None = self._consumer.highwater(TopicPartition(self.topic, shard))
        except (AttributeError, AssertionError, KafkaError):
            return None  # not joined yet, or not ours any more
        return found

    async def _work(self, stop: asyncio.Event) -> None:
        consumer, workshop = self._consumer, self.workshop
        reported = time.monotonic()
        while not stop.is_set():
            self.turned_at = time.monotonic()
            wait_ms = POLL_MS if workshop.hungry else 0
            try:
                found = await consumer.getmany(timeout_ms=wait_ms, max_records=4_096)
            except KafkaError as error:
                log.warning("kafka", problem=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            for partition, records in found.items():
                for record in records:
                    if not workshop.put(partition.partition, record.offset, record.value or b""):
                        await self._missed(partition)
                        break
            moved = await workshop.work()
            self._regulate()
            if not moved and not workshop.hungry:
                await asyncio.sleep(0.05)  # all of them wait for prices or for the store
            if time.monotonic() - reported > REPORT_S:
                await self._report()
                reported = time.monotonic()

    async def _missed(self, partition: TopicPartition) -> None:
        """Go back to what did not come, or to the archive; what neither has is lost, and told."""
        bench = self.workshop.benches[partition.partition]
        start = (await self._consumer.beginning_offsets([partition]))[partition]
        if start > bench.expected and not await self.workshop.refill(partition.partition):
            self.workshop.lost(partition.partition, start)
        self._consumer.seek(partition, max(start, bench.expected))

    def _regulate(self) -> None:
        """Let no more come for shards that have enough, nor for ones that are not restored."""
        consumer = self._consumer
        mine = consumer.assignment()
        for partition in mine:
            shard = partition.partition
            bench = self.workshop.benches.get(shard)
            if shard in self._restoring:
                continue
            patience = self.district.config.city.worker.session_s
            lost_at = None if bench is None else bench.lost_at
            if lost_at is not None and time.monotonic() - lost_at > patience:
                self._restore([partition])  # the group still says that it is ours: take it again
            elif bench is None or bench.stopped or lost_at is not None or self.workshop.full(shard):
                consumer.pause(partition)
            elif partition in consumer.paused():
                consumer.resume(partition)

    async def _report(self) -> None:
        offsets = {
            partition: bench.next
            for partition in self._consumer.assignment()
            if (bench := self.workshop.benches.get(partition.partition)) is not None and bench.next
        }
        try:
            if offsets:
                await self._consumer.commit(offsets)
        except KafkaError as error:
            log.info("offsets_not_told", problem=str(error))

    # -- membership -----------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Stop feeding; perhaps they are ours again in a moment."""
        self.workshop.suspend(p.partition for p in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on with what stayed; restore what is new, beside the event loop."""
        self.rebalances += 1
        partitions = sorted(assigned)
        self.workshop.keep_only({p.partition for p in partitions})
        self._restore(partitions)

    def _restore(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._consumer.pause(partition)
        self._restoring |= {p.partition for p in partitions}
        task = asyncio.create_task(self._take(partitions, self.rebalances))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, partitions: list[TopicPartition], rebalance: int) -> None:
        for partition in partitions:
            while rebalance == self.rebalances and partition in self._consumer.assignment():
                offset = await self.workshop.take(partition.partition)
                if rebalance != self.rebalances or partition not in self._consumer.assignment():
                    return  # the next assignment decides
                bench = self.workshop.benches[partition.partition]
                if offset is None and not bench.stopped:
                    await asyncio.sleep(RETRY_S)
                    continue
                self._restoring.discard(partition.partition)
                if offset is not None:
                    self._consumer.seek(partition, offset)
                    self._consumer.resume(partition)
                break
