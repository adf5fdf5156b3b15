"""Workers on real Kafka and PostgreSQL: killed, stopped, rebalanced; equal to one calm process."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from sqlalchemy import text

from engine.city.archive import archive_of, fill
from engine.city.district import District
from engine.city.gateway import Gateway
from engine.city.servers import Kafka, Postgres
from engine.city.source_folder import FolderSource
from engine.store.schema import metadata
from tests.city import kit, running
from tests.city.processes import BUDGETS, City
from tests.city.test_keeper import a_street, states
from tests.engine import live_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("worker-town"))


@pytest.fixture(scope="module")
def district(town: Path, tmp_path_factory: pytest.TempPathFactory) -> District:
    return District(kit.config(town, tmp_path_factory.mktemp("shared"), "sqlite://"))


@pytest.fixture(scope="module")
def golden(town: Path, district: District) -> list[bytes]:
    return kit.embedded(town, district)


@pytest.fixture(scope="module")
def logs(kafka: Kafka, town: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """The town's logs, as a gateway wrote them from files."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "in").mkdir()
    for name in ("readings.csv.gz", "events.csv"):
        shutil.copy(town / name, folder / "in")
    config = running.config(
        town, folder, kafka.address, rules=BUDGETS,
        gateway={"clock": "data", "block_rows": 500}, inputs={"watch": folder / "in"},
    )  # fmt: skip
    made: list[FolderSource] = []

    def sources(gateway: Gateway) -> list[Any]:
        made.append(FolderSource(gateway, folder / "in", folder / "state.json"))
        return [made[0].run()]

    async def run() -> None:
        async with running.gateway(config, sources) as gateway:
            await running.until(lambda: bool(made) and len(made[0].done) == 2)
            assert gateway.packer.load == 0
            assert not made[0].problems
            messages = gateway.packer.messages
        async with running.gateway(config, sources) as gateway:  # nothing is read twice
            await asyncio.sleep(0.3)
            assert gateway.packer.messages == 0 < messages

    asyncio.run(run())
    return running.messages(kafka.address, f"{config.city.prefix}.log")


@pytest.fixture(scope="module")
def golden_states(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, str]:  # fmt: skip
    """What one calm process in memory has in the end; its lines are those of the files."""
    street = a_street(town, district, logs, tmp_path_factory.mktemp("calm"))
    street.run()
    assert list(street.store.lines()) == golden
    return states(street)


def plain(said: str) -> str:
    """Return a log without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", said)


@pytest.fixture
def city(
    request: pytest.FixtureRequest, kafka: Kafka, pg: Postgres, town: Path, tmp_path: Path
) -> Iterator[City]:
    with City(kafka, pg, town, tmp_path, getattr(request, "param", "aiokafka")) as made:
        yield made


@pytest.mark.parametrize("city", ["aiokafka", "faust"], indirect=True)
def test_workers_killed_under_load_say_what_one_calm_process_says(
    city: City, logs: list[list[bytes]], golden: list[bytes], golden_states: dict[int, str]
) -> None:
    """SIGKILLs at random moments, one of them of both; nobody is told, everything is there."""
    rng = np.random.default_rng(17)
    parts = 4
    for name in ("one", "two"):
        city.start(name)
    for part in range(parts):
        city.produce(logs, part / parts, (part + 1) / parts)
        least = {s: int(len(logs[s]) * (part + rng.random()) / parts) for s in city.offsets()}
        city.wait(lambda at, least=least: any(at[s] > least[s] for s in at))  # type: ignore[misc]
        victims = ["one", "two"] if part == 2 else [("one", "two")[int(rng.integers(2))]]
        for name in victims:
            city.kill(name)
        for name in victims:
            city.start(name)
    city.wait_for_all(logs)
    city.stop()
    assert list(city.store.lines()) == golden
    assert city.states() == golden_states
    tasks = [task.alert_id for task in city.store.tasks.list()]
    assert len(tasks) == len(set(tasks)) > 0
    turns = [
        float(ms) for ms in re.findall(r"longest_ms=\S*?([\d.]+)", plain(city.everything_said()))
    ]
    assert turns, "each worker that stopped says how long a turn of its event loop was"
    assert max(turns) <= 50.0


def test_a_zombie_and_a_third_worker_change_nothing(
    city: City, logs: list[list[bytes]], golden: list[bytes], golden_states: dict[int, str]
) -> None:
    """One worker is stopped past its session, comes back when others have its shards, and goes."""
    city.start("one")
    city.produce(logs, 0, 0.3)
    city.wait(lambda at: all(at[s] > 0 for s in at))
    city.signal("one", signal.SIGSTOP)
    city.start("two")
    city.start("three")
    city.produce(logs, 0.3, 0.7)
    city.wait(lambda at: all(at[s] > 0.5 * len(logs[s]) for s in at))
    epochs = {row.shard: (row.epoch, row.holder) for row in city.store.shards()}
    assert {holder for _, holder in epochs.values()} <= {"two", "three"}
    city.signal("one", signal.SIGCONT)
    city.produce(logs, 0.7, 0.9)
    city.wait(lambda at: all(at[s] > 0.8 * len(logs[s]) for s in at))
    city.signal("three", signal.SIGTERM)
    city.produce(logs, 0.9, 1)
    city.wait_for_all(logs)
    city.stop()
    assert list(city.store.lines()) == golden
    assert city.states() == golden_states


def test_the_store_and_kafka_go_and_come_back_under_load(
    city: City, kafka: Kafka, pg: Postgres, logs: list[list[bytes]], golden: list[bytes],
    golden_states: dict[int, str],
) -> None:  # fmt: skip
    city.start("one")
    city.produce(logs, 0, 0.3)
    city.wait(lambda at: any(at[s] > 0 for s in at))
    pg.stop()
    city.produce(logs, 0.3, 0.6)
    pg.start()
    city.wait(lambda at: all(at[s] > 0.35 * len(logs[s]) for s in at))
    kafka.kill()
    kafka.start()
    city.produce(logs, 0.6, 1)
    city.wait_for_all(logs)
    city.stop()
    assert list(city.store.lines()) == golden
    assert city.states() == golden_states


def test_what_kafka_no_longer_has_is_read_from_the_archive(
    city: City, kafka: Kafka, logs: list[list[bytes]], golden: list[bytes],
    golden_states: dict[int, str],
) -> None:  # fmt: skip
    """Archived in two turns, cut off in Kafka; a worker that begins anew says the same."""
    archive = archive_of(city.district)
    assert archive is not None
    city.produce(logs, 0, 0.4)
    first = fill(city.district, archive)
    city.produce(logs, 0.4, 0.7)
    second = fill(city.district, archive)
    assert first + second == sum(int(len(log) * 0.7) for log in logs)
    assert fill(city.district, archive) == 0
    topic = city.district.topic("log")
    cut = {s: int(len(log) * 0.6) for s, log in enumerate(logs)}
    admin = AdminClient({"bootstrap.servers": kafka.address})
    gone = admin.delete_records([TopicPartition(topic, s, offset) for s, offset in cut.items()])
    assert {p.partition: f.result().low_watermark for p, f in gone.items()} == cut
    city.start("one")
    city.produce(logs, 0.7, 1)
    city.wait_for_all(logs)
    city.stop()
    assert "log_lost" not in city.said("one")
    assert list(city.store.lines()) == golden
    assert city.states() == golden_states


def test_rows_that_a_shard_refuses_lie_in_the_quarantine_topic(
    city: City, kafka: Kafka, logs: list[list[bytes]]
) -> None:
    """With shard, offset, source, position and reason; as many as the shards counted."""
    street = kit.Street(city.district, city.store, logs)
    refused: set[tuple[str, int]] = set()
    for shard in street.keepers:
        keeper = street.take(shard)
        keeper._refuse = lambda _offset, what, fault: refused.update(
            (what.source, int(position))
            for position in what.position[(what.fault if fault is None else fault) != 0]
        )
        street.keepers[shard] = keeper
    street.run()
    assert refused, "the town has glitches"
    with city.store.database.write() as connection:
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    city.start("one")
    city.produce(logs, 0, 1)
    city.wait_for_all(logs)
    city.stop()
    (bodies,) = running.messages(kafka.address, city.district.topic("quarantine"), 1)
    rows = [json.loads(line) for body in bodies for line in body.splitlines()]
    assert {(row["source"], row["position"]) for row in rows} == refused
    assert all(row["reason"] and row["meter_id"] for row in rows)
