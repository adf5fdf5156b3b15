"""Nobody's name gets into a log; who is forgotten is in no message, file or row any more."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.records import Event, Tick
from engine.city import wire
from engine.city.archive import archive_of
from engine.city.gateway import Gateway
from engine.city.servers import Kafka, Postgres
from engine.city.source_people import PeopleSource
from engine.console.serve import vault_of
from engine.outcomes import Report
from engine.store import Look, Store
from tests.city import kit, running
from tests.city.processes import City
from tests.engine import live_town
from tests.engine.live_town import END_NS

SUBJECT = "elder-0005"
NAME, PHONE, DOOR, NOTE = (
    "沈某某（测试）",
    "000-1234-5678",
    "十二栋二单元三零二",
    "膝盖不好，敲门要久一点",
)
PERSONAL = (NAME, PHONE, DOOR, NOTE)
HOUR_NS = 3_600 * 10**9


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("forget-town"))


@pytest.fixture
def city(kafka: Kafka, pg: Postgres, town: Path, tmp_path: Path) -> Iterator[City]:
    shutil.copytree(town, tmp_path / "town")
    with City(kafka, pg, tmp_path / "town", tmp_path, "aiokafka") as made:
        yield made


def texts(messages: list[list[bytes]]) -> Iterator[bytes]:
    """Yield what messages say, blocks unpacked."""
    for log in messages:
        for message in log:
            read = wire.unpack(message)
            if isinstance(read, wire.Packed):
                yield json.dumps(read.rows.slice(0).to_pydict(), default=str).encode()
            yield message


def a_life(city: City) -> None:
    """Name, phone and door in the vault; a task signed, looked into and reported; an absence."""
    with Store.open(city.config.store, vault=vault_of(city.config, city.config.snapshots)) as store:
        person = {"name": NAME, "phone": PHONE, "address": DOOR}
        store.people.put(SUBJECT, person, by="office", at_ns=END_NS, purpose="visits")
        store.people.look(SUBJECT, ("name",), Look("worker", END_NS, f"task of {SUBJECT}"))
        task = next(t for t in store.tasks.list() if t.subject_id == SUBJECT)
        store.tasks.sign(task.task_id, by=task.queue, at_ns=END_NS)
        report = Report("safe_at_home", note=f"{NAME} {PHONE} {NOTE}")
        store.tasks.report(task.task_id, report, by=task.queue, at_ns=END_NS + 1)
        made = store.register.declare(
            SUBJECT, END_NS, END_NS + 30 * HOUR_NS, source="family", by="link-1", at_ns=END_NS
        )
        store.register.revoke(made.absence_id, by="link-1", at_ns=END_NS + 2)


def write_what_people_said(city: City) -> None:
    made: list[PeopleSource] = []

    def sources(gateway: Gateway) -> list[Any]:
        made.append(PeopleSource(gateway, gateway.district.open_store))
        return [made[0].run()]

    async def run() -> None:
        async with running.gateway(city.config, sources, lambda: END_NS + HOUR_NS):
            await running.until(lambda: bool(made) and made[0].records >= 3)

    asyncio.run(run())


def test_no_name_in_any_log_and_nothing_at_all_of_who_is_forgotten(
    city: City, kafka: Kafka, tmp_path: Path
) -> None:
    district = city.district
    city.produce(kit.pack(district, kit.records(tmp_path / "town", district)), 0, 1)
    city.start("one")
    log = running.messages(kafka.address, district.topic("log"))
    city.wait_for_all(log)
    a_life(city)
    write_what_people_said(city)
    log = running.messages(kafka.address, district.topic("log"))
    city.wait_for_all(log)
    city.stop()
    said = b"\n".join(texts(log))
    assert SUBJECT.encode() in said
    assert any(
        isinstance(r := wire.unpack(m), Event) and r.kind == "absence_revoked"
        for one in log
        for m in one
    )
    for secret in PERSONAL:
        assert secret.encode() not in said
        for path in (tmp_path / "snapshots").glob("*.snap"):
            assert secret.encode() not in path.read_bytes()
    others = [line for line in city.store.lines() if SUBJECT.encode() not in line]
    assert len(others) > 10

    command = [sys.executable, "-m", "engine.cli.main", "forget", SUBJECT, "--config", city.file]
    done = subprocess.run([*command, "--yes", "--by", "office"], capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told["found_in"] == []
    assert told["removed"]["log"] > 100
    assert told["removed"]["subjects.csv"] == 1
    assert told["computed_anew_from"] == 0
    assert done.returncode == (3 if told["ids_left_in_topics"] else 0)
    assert set(told["ids_left_in_topics"]) <= {district.topic("quarantine")}
    archive = archive_of(district)
    assert archive is not None
    kept = [[m for _, m in archive.read(s, 0, 10**6)] for s in range(kit.SHARDS)]
    assert [len(one) for one in kept] == [len(one) for one in log]
    left = b"\n".join(texts(kept))
    assert SUBJECT.encode() not in left
    assert b"elder-0005" not in left
    assert not any(running.messages_now(kafka.address, district.topic("log")))

    # The city goes on: what comes next is fed, nobody's alerts are gone, no shard has stopped.
    city.start("two")
    more = [wire.pack(r) for r in [Tick(END_NS + 2 * HOUR_NS)]]
    city.produce([more] * kit.SHARDS, 0, 1)
    city.wait(lambda at: all(at[s] == len(log[s]) + 1 for s in at))
    city.stop()
    ids = {json.loads(line)["alert_id"] for line in city.store.lines()}
    assert {json.loads(line)["alert_id"] for line in others} <= ids
    assert told["others_that_differ"] <= len(others) // 5


def test_a_city_that_runs_forgets_nobody(city: City, tmp_path: Path) -> None:
    city.start("one")
    city.wait(lambda at: all(offset >= -1 for offset in at.values()))
    city.produce(kit.pack(city.district, kit.records(tmp_path / "town", city.district)), 0, 0.05)
    city.wait(lambda at: any(offset > 0 for offset in at.values()))
    command = [sys.executable, "-m", "engine.cli.main", "forget", SUBJECT, "--config", city.file]
    done = subprocess.run([*command, "--yes"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "stop them" in done.stderr
    assert SUBJECT in (tmp_path / "town" / "subjects.csv").read_text()
    city.stop()
