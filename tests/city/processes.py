"""Workers as processes on a log in Kafka that grows as a test says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer
from sqlalchemy import text

from engine.city.district import District
from engine.city.keeper import shard_name
from engine.city.servers import Kafka, Postgres
from engine.config import Config
from engine.store import Store
from engine.store.schema import metadata
from tests.city import kit, running

BUDGETS = {"budgets": {"elderly-silence": 52.0}}


class City:
    """A log on Kafka that grows as the test says, a store, and workers as processes."""

    def __init__(
        self, kafka: Kafka, pg: Postgres, town: Path, folder: Path, transport: str
    ) -> None:
        self.kafka = kafka
        self.folder = folder
        self.config: Config = running.config(
            town, folder, kafka.address, rules=BUDGETS, store=pg.url,
            city={"archive": folder / "archive",
                  "worker": {"session_s": 2, "save_every_s": 0.7, "warm": False,
                             "transport": transport}},
        )  # fmt: skip
        self.file = folder / "city.yaml"
        self.file.write_text(yaml.safe_dump(self.config.model_dump(mode="json", exclude_none=True)))
        with Store.open(pg.url) as store, store.database.write() as connection:
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        self.district = District(self.config)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.store = self.district.open_store()
        # The log has to be what the golden one was made of: in its order, over a Kafka that dies.
        options = {"bootstrap.servers": kafka.address, "log_level": 0, "enable.idempotence": True}
        self._producer = Producer(options)
        asyncio.run(self._make_topic())

    async def _make_topic(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
        await admin.start()
        await admin.create_topics([NewTopic(self.district.topic("log"), kit.SHARDS, 1)])
        await admin.close()

    def produce(self, logs: list[list[bytes]], start: float, stop: float) -> None:
        """Write a part of every log, from one share of it to another."""
        for shard, log in enumerate(logs):
            for message in log[int(len(log) * start) : int(len(log) * stop)]:
                self._producer.produce(self.district.topic("log"), message, partition=shard)
                self._producer.poll(0)
        self._producer.flush()

    def start(self, name: str) -> None:
        out = (self.folder / f"{name}.log").open("ab")
        self.workers[name] = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "worker", "--config", self.file, "--name", name],
            stdout=out, stderr=out, env={**os.environ, "GRIDWARDEN_DEBUG": "1"},
        )  # fmt: skip
        out.close()

    def __enter__(self) -> City:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
        self.store.close()

    def signal(self, name: str, number: int) -> None:
        self.workers[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name].wait()

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
        for name, worker in self.workers.items():
            # One that was started a moment ago ends by the signal: it has not begun.
            assert worker.wait(60) in (0, -signal.SIGTERM), self.said(name)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def everything_said(self) -> str:
        return "".join((self.folder / f"{name}.log").read_text() for name in self.workers)

    def offsets(self) -> dict[int, int]:
        rows = {row.shard: row for row in self.store.shards()}
        peopled = self.district.routing.peopled
        return {s: rows[shard_name(s)].offset if shard_name(s) in rows else -1 for s in peopled}

    def wait(self, what: Callable[[dict[int, int]], bool], within_s: float = 120.0) -> None:
        ends = time.monotonic() + within_s
        while not what(self.offsets()):
            assert time.monotonic() < ends, (
                self.offsets(),
                {n: self.said(n) for n in self.workers},
            )
            time.sleep(0.02)

    def wait_for_all(self, logs: list[list[bytes]]) -> None:
        self.wait(lambda at: all(at[s] >= len(logs[s]) for s in at))

    def states(self) -> dict[int, str]:
        found = {s: self.store.current_snapshot(shard_name(s)) for s in self.offsets()}
        return {s: ref.state_hash for s, ref in found.items() if ref is not None}
