"""Kafka topics with one JSON reading (or event) a message, read in bulk.

librdkafka fetches, Arrow parses thousands of messages at a time; nothing is done per message in
Python but handing its bytes over. Offsets are committed when what they cover is durable.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Sequence

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from connectors.bodies import BodyError, Door
from connectors.records import Event, ReadingBlock
from engine.city.gateway import Gateway
from engine.city.packer import LogError

log = structlog.get_logger()
BATCH = 10_000
WINDOW = 8
"""Batches on their way at most."""
Batch = tuple["concurrent.futures.Future[None]", list[TopicPartition]]


class KafkaSource:
    """Reads topics for a gateway, in a thread of its own.

    Parameters
    ----------
    gateway : Gateway
    topics : sequence of str
    events : bool
        Whether they hold events.
    """

    def __init__(self, gateway: Gateway, topics: Sequence[str], events: bool = False) -> None:
        self.gateway = gateway
        self.topics = list(topics)
        self.events = events
        self.messages = 0
        self._doors: dict[str, Door] = {}
        self._stop = threading.Event()

    async def run(self) -> None:
        """Read until cancelled; start again from the committed offsets if the log is down."""
        loop = asyncio.get_running_loop()
        thread = loop.run_in_executor(None, self._read, loop)
        try:
            await asyncio.shield(thread)
        finally:
            self._stop.set()
            await asyncio.wait([thread], timeout=10)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        city = self.gateway.district.config.city
        while not self._stop.is_set():
            consumer = Consumer(
                {
                    "bootstrap.servers": city.kafka,
                    "group.id": f"{city.prefix}.gateway",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",
                    "queued.max.messages.kbytes": 32_768,
                    "fetch.max.bytes": 8 << 20,
                    "partition.assignment.strategy": "cooperative-sticky",
                }
            )
            consumer.subscribe(self.topics)
            try:
                self._consume(consumer, loop)
            except LogError as error:
                log.warning("log_down", problem=str(error))
                self._stop.wait(1.0)
            finally:
                consumer.close()

    def _consume(self, consumer: Consumer, loop: asyncio.AbstractEventLoop) -> None:
        window: deque[Batch] = deque()
        while not self._stop.is_set():
            messages = consumer.consume(BATCH, 0.05)
            if messages:
                window.append(self._hand_over(messages, loop))
            while window and (len(window) >= WINDOW or window[0][0].done()):
                self._finish(consumer, window.popleft())
        while window:
            self._finish(consumer, window.popleft())

    def _finish(self, consumer: Consumer, batch: Batch) -> None:
        done, offsets = batch
        done.result()
        consumer.commit(offsets=offsets, asynchronous=True)

    def _hand_over(self, messages: list[Message], loop: asyncio.AbstractEventLoop) -> Batch:
        """Parse a batch, partition by partition, and give it to the packer."""
        groups: dict[tuple[str, int], list[Message]] = {}
        last: tuple[str, int] | None = None
        current: list[Message] = []
        for message in messages:
            if message.error() is not None:
                log.warning("kafka", problem=str(message.error()))
                continue
            key = (message.topic() or "", message.partition() or 0)
            if key != last:
                current, last = groups.setdefault(key, []), key
            current.append(message)
        records: list[ReadingBlock | Event] = []
        offsets = []
        for (topic, partition), group in groups.items():
            position = [(m.offset() or 0) + 1 for m in group]
            records += self._parse(topic, [m.value() or b"" for m in group], position)
            offsets.append(TopicPartition(topic, partition, position[-1]))
            self.messages += len(group)
        return asyncio.run_coroutine_threadsafe(self._pack(records), loop), offsets

    def _parse(
        self, topic: str, bodies: list[bytes], position: list[int]
    ) -> list[ReadingBlock | Event]:
        door = self._doors.get(topic)
        if door is None:
            door = self._doors[topic] = self.gateway.door(f"kafka:{topic}")
        now = self.gateway.clock.now_ns()
        if not self.events:
            return [door.messages(bodies, position, now)]
        found: list[ReadingBlock | Event] = []
        for body, at in zip(bodies, position, strict=True):
            try:
                found += door.events(body, now)
            except BodyError as error:
                found.append(door.unreadable(body, at, now, error))
        return found

    async def _pack(self, records: list[ReadingBlock | Event]) -> None:
        waits = [await self.gateway.packer.take(record) for record in records]
        for one in waits:
            await one
