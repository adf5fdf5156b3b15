"""Packing with little room: sources that can wait do, and lose nothing by it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import paho.mqtt.client as mqtt
import pyarrow as pa
import pytest

from connectors.bodies import Door
from connectors.normalise import Directory
from connectors.records import Fault, ReadingBlock
from engine.city import wire
from engine.city.gateway import Clock, Gateway
from engine.city.packer import Busy, Packer
from engine.city.routing import Routing
from engine.city.source_mqtt import MqttSource
from engine.config import MqttConfig

METERS = ("m0", "m1")
NOW_NS = 1_767_225_600 * 10**9
ROUTING = cast(
    "Routing", SimpleNamespace(of_meter=np.zeros(2, np.int32), meter_id=pa.array(METERS))
)


class SlowLog:
    """A log that takes messages and calls none durable until it is told to."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open: list[asyncio.Future[object]] = []

    async def send(self, _partition: int | None, message: bytes) -> asyncio.Future[object]:
        """Take a message."""
        self.sent.append(message)
        self.open.append(asyncio.get_running_loop().create_future())
        return self.open[-1]

    def durable(self) -> None:
        """Tell what came so far as durable."""
        for one in self.open:
            if not one.done():
                one.set_result(None)

    def has(self, rows: int) -> bool:
        """Return whether so many readings are in the messages."""
        found = [wire.unpack(message) for message in self.sent]
        return rows == sum(one.rows.num_rows for one in found if isinstance(one, wire.Packed))


def block(rows: int) -> ReadingBlock:
    stamps = np.full(rows, NOW_NS, np.int64)
    return ReadingBlock(
        "meters", np.arange(1, rows + 1), np.zeros(rows, np.int32), stamps, np.ones(rows), stamps,
        np.full(rows, Fault.OK, np.uint8), None,
    )  # fmt: skip


async def until(met: Callable[[], bool], turns: int = 200) -> None:
    for _ in range(turns):
        if met():
            return
        await asyncio.sleep(0)
    raise AssertionError("did not come about")


def test_a_source_that_can_wait_waits_for_room() -> None:
    async def work() -> None:
        log = SlowLog()
        packer = Packer(ROUTING, log.send, block_rows=10, memory_bytes=100)
        await packer.take(block(10))
        with pytest.raises(Busy):
            packer.put(block(10))
        second = asyncio.create_task(packer.take(block(10)))
        await until(lambda: len(log.sent) == 1)
        assert not second.done()
        log.durable()
        await until(second.done)
        await until(lambda: log.has(20))
        log.durable()
        await packer.settle()
        assert packer.load == 0
        assert packer.counts["meters"].by_status["processed"] == 20

    asyncio.run(work())


def test_messages_of_mqtt_beyond_the_room_wait_and_are_acknowledged_when_durable() -> None:
    """One batch of messages that is larger than the room: none of them is dropped."""

    async def work() -> None:
        log = SlowLog()
        packer = Packer(ROUTING, log.send, block_rows=1, memory_bytes=40)
        directory = Directory(
            meter_zone=np.zeros(2, np.uint8), meter_interval_s=np.full(2, 900, np.int32),
            meter_fault=np.zeros(2, np.uint8),
        )  # fmt: skip
        directory.meters.put(pa.array(METERS), np.arange(2))
        gateway = SimpleNamespace(
            packer=packer, clock=Clock(lambda: NOW_NS), sources_up={},
            door=lambda source: Door(source, directory),
        )  # fmt: skip
        source = MqttSource(cast("Gateway", gateway), MqttConfig())
        acknowledged: list[int] = []
        cast("Any", source)._client = SimpleNamespace(
            ack=lambda mid, _qos: acknowledged.append(mid)
        )
        messages = [(0, message(mid)) for mid in range(1, 6)]
        taking = asyncio.create_task(source._take(messages))
        for n in range(1, 6):
            await until(functools.partial(log.has, n))
            assert not acknowledged
            log.durable()
        await taking
        assert acknowledged == [1, 2, 3, 4, 5]

    asyncio.run(work())


def message(mid: int) -> mqtt.MQTTMessage:
    """Return an array of one reading: a body of its own."""
    made = mqtt.MQTTMessage(mid, b"gridwarden/readings/a")
    made.qos = 1
    made.payload = b'[{"meter_id": "m0", "ts": "2026-01-01T00:00:00Z", "value": %d}]' % mid
    return made
