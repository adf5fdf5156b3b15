"""A gateway in the test's own event loop, and what lies in its topics."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from engine.city import wire
from engine.city.district import District
from engine.city.gateway import Gateway
from engine.config import Config
from engine.live import wall_ns

_NUMBERS = itertools.count()


def config(town: Path, folder: Path, kafka: str, **more: Any) -> Config:
    """Return a configuration with topics of its own."""
    gateway = {"linger_s": 0.02, "state": folder / "gateway.json", **more.pop("gateway", {})}
    city = {
        "kafka": kafka, "prefix": f"t{next(_NUMBERS)}", "shards": 4, "gateway": gateway,
        **more.pop("city", {}),
    }  # fmt: skip
    return Config.model_validate(
        {
            "snapshots": folder / "snapshots",
            "inputs": {"meters": town / "meters.csv", "subjects": town / "subjects.csv",
                       "poll_s": 0.05, **more.pop("inputs", {})},
            "city": city,
            **more,
        }
    )  # fmt: skip


@asynccontextmanager
async def gateway(
    config: Config, sources: Callable[[Gateway], list[Coroutine[Any, Any, None]]],
    wall: Callable[[], int] = wall_ns,
) -> AsyncIterator[Gateway]:  # fmt: skip
    """Run a gateway; what fails in it fails the test."""
    running = Gateway(District(config), wall)
    stop = asyncio.Event()
    task = asyncio.create_task(running.run(stop, sources))
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def until(what: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until something is so; fail if it does not come."""
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.02)


def messages(kafka: str, topic: str, partitions: int = 4) -> list[list[bytes]]:
    """Return all messages of a topic, by partition."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "look", "enable.auto.commit": False}
    )
    found: list[list[bytes]] = []
    try:
        for partition in range(partitions):
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
            consumer.assign([TopicPartition(topic, partition, 0)])
            mine: list[bytes] = []
            while len(mine) < high:
                got = consumer.consume(min(1_000, high - len(mine)), 10.0)
                assert got, f"{topic}/{partition}: {len(mine)} of {high}"
                mine += [m.value() or b"" for m in got]
            found.append(mine)
    finally:
        consumer.close()
    return found


def messages_now(kafka: str, topic: str, partitions: int = 4) -> list[int]:
    """Return how many messages each partition still hands out."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "look"})
    try:
        marks = [
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)
            for p in range(partitions)
        ]
        return [high - low for low, high in marks]
    finally:
        consumer.close()


def readings(logs: list[list[bytes]]) -> list[tuple[str, int, float]]:
    """Return (meter, seconds, value) of all readings in some logs."""
    found = []
    for message in itertools.chain.from_iterable(logs):
        packed = wire.unpack(message)
        if isinstance(packed, wire.Packed):
            columns = packed.rows.select(["meter_id", "ts", "value"]).to_pydict()
            found += [
                (meter, int(ts.timestamp()), value)
                for meter, ts, value in zip(*columns.values(), strict=True)
            ]
    return found
