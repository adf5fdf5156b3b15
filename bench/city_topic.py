"""Topics with one JSON reading a message: what a gateway packs in a second of CPU.

A real gateway process reads a topic that was filled before (so that it never waits), validates, packs,
and writes the shards' logs; every message must be in them before the time is told.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from engine.simulate.load import generate_load
from tests.city import running

PARTITIONS = 4
SECONDS_APART = 60


def run(messages: int, meters: int = 100_000) -> None:
    """Fill, read, assert, print."""
    from bench.city import a_city

    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tables = generate_load(folder / "load", meters, 1, 0.1)
        ids = pq.read_table(tables["meters"], columns=["meter_id"])["meter_id"].to_pylist()
        topic = "single"
        with a_city(folder, tables, {"topics": [topic]}, []) as city:
            kafka = city["kafka"].address
            admin = AdminClient({"bootstrap.servers": kafka})
            for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
                made.result()
            _fill(kafka, topic, ids, messages)
            began = time.monotonic()
            process = psutil.Process(city["start"]("gateway").pid)
            used = _until_packed(kafka, process, messages)
            wall = time.monotonic() - began
            logs = running.messages(kafka, "gridwarden.log", 16)
        found = {(meter, second) for meter, second, _ in running.readings(logs)}
        assert len(found) == messages, f"{messages - len(found):,} readings are not in the log"
    print(
        f"{messages:,} messages in {PARTITIONS} partitions, {used[1]:,} while it was measured in "
        f"{used[0]:.1f} s of CPU: {used[1] / used[0]:,.0f} messages/s of CPU; {wall:.0f} s with the start; "
        f"all of them in the log; load average {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores"
    )


def _fill(kafka: str, topic: str, ids: list[str], messages: int) -> None:
    producer = Producer(
        {"bootstrap.servers": kafka, "linger.ms": 20, "compression.type": "lz4", "log_level": 0,
         "queue.buffering.max.messages": 2_000_000}
    )  # fmt: skip
    newest = time.time() // SECONDS_APART * SECONDS_APART - 3_600
    for i in range(messages):
        beat, meter = divmod(i, len(ids))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest - beat * SECONDS_APART))
        body = f'{{"meter_id":"{ids[meter]}","ts":"{stamp}","value":{1_000 - beat}.25}}'
        producer.produce(topic, body, partition=i // 1_000 % PARTITIONS)
        if i % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def _until_packed(kafka: str, process: psutil.Process, messages: int) -> tuple[float, int]:
    """Return CPU seconds and messages between the first fifth and the last, as the group's offsets say."""
    look = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "gridwarden.gateway",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    parts = [TopicPartition("single", p) for p in range(PARTITIONS)]
    first: tuple[float, int] | None = None
    ends, done = time.monotonic() + 300, 0
    while time.monotonic() < ends:
        try:
            done = sum(max(0, p.offset) for p in look.committed(parts))
        except KafkaException:
            continue  # the group has no coordinator yet
        times = process.cpu_times()
        cpu = times.user + times.system
        if first is None and done >= messages // 5:
            first = cpu, done
        if done >= messages:
            look.close()
            assert first is not None
            return cpu - first[0], done - first[1]
        time.sleep(0.05)
    raise TimeoutError(f"{done:,} of {messages:,} messages were packed")
