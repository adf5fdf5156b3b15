"""Rules approved, put in shadow and taken back while a city runs on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.records import Activation, Event, ReadingBlock
from engine.city import wire
from engine.city.gateway import Gateway
from engine.city.servers import Kafka, Postgres
from engine.city.source_rules import RulesSource
from engine.store import Store
from engine.store.activations import Announced
from tests.city import kit, rules_kit, running
from tests.city.processes import City
from tests.engine import live_town

PAUSES = ("2026-03-08T00:30:00Z", "2026-03-12T00:00:00Z", "2026-03-15T12:00:00Z")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("live-rules-town"))


@pytest.fixture
def city(kafka: Kafka, pg: Postgres, town: Path, tmp_path: Path) -> Iterator[City]:
    with City(kafka, pg, town, tmp_path, "aiokafka") as made:
        yield made


def approve(store: Store, wanted: Activation, now_ns: int) -> None:
    """Propose and approve a version, as the console does."""
    store.versions.propose(
        wanted.version, wanted.rules_yaml, author="ann", at_ns=now_ns, budgets=wanted.budgets,
        tests={"tests": 1, "passed": 1, "failed": 0},
    )  # fmt: skip
    store.versions.approve(wanted.version, by="bob", at_ns=now_ns, from_ns=now_ns, unrehearsed=True)


class Feed:
    """The town's records in their order, with pauses in which something is decided."""

    def __init__(self, town: Path, gateway: Gateway) -> None:
        self.gateway = gateway
        self.records = kit.records(town, gateway.district)
        self.pauses = [rules_kit.at(p) for p in PAUSES]
        self.paused = asyncio.Event()
        self.go = asyncio.Event()
        self.done = False

    async def run(self) -> None:
        waits: list[Awaitable[object]] = []
        for record in self.records:
            arrival = kit.arrival_of(record)
            if self.pauses and arrival >= self.pauses[0]:
                self.pauses.pop(0)
                await asyncio.gather(*waits)
                waits.clear()
                self.paused.set()
                await self.go.wait()
                self.go.clear()
            self.gateway.clock.show(arrival)
            await self.gateway.tick()
            packer = self.gateway.packer
            if isinstance(record, ReadingBlock):
                waits.append(packer.put(record))
            else:
                assert isinstance(record, Event)
                waits.append(packer.event(record))
            self.gateway.clock.show(kit.last_arrival_of(record))
        await asyncio.gather(*waits)
        self.done = True
        await asyncio.Event().wait()


def test_approved_shadowed_and_rolled_back_across_kills(
    city: City, kafka: Kafka, town: Path
) -> None:
    """Two gateways look; every log has each change once; lines as one process's with that journal."""
    change = ("没有任何", "没有一点")
    louder = rules_kit.version(change, elderly_silence=120.0)
    shadow = rules_kit.version(("level: orange\n", "level: orange\nshadow: true\n"))
    steps = [
        lambda store, now: approve(store, louder, now),
        lambda store, now: approve(store, shadow, now),
        lambda store, now: store.versions.rollback(by="bob", at_ns=now, why="too quiet"),
    ]
    config = city.config.model_copy(
        update={"city": city.config.city.model_copy(
            update={"gateway": city.config.city.gateway.model_copy(update={"clock": "data"})}
        )}
    )  # fmt: skip

    async def run() -> None:
        made: list[Feed] = []

        def sources(gateway: Gateway) -> list[Coroutine[Any, Any, None]]:
            made.append(Feed(town, gateway))
            both = [RulesSource(gateway, gateway.district.open_store, name) for name in "ab"]
            return [made[0].run(), *(one.run() for one in both)]

        async with running.gateway(config, sources) as gateway:
            await running.until(lambda: bool(made))
            (feed,) = made
            for number, step in enumerate(steps, start=1):
                await asyncio.wait_for(feed.paused.wait(), 60)
                feed.paused.clear()
                await asyncio.to_thread(step, city.store, gateway.clock.now_ns())
                await running.until(lambda n=number: len(city.store.activations.list(0)) == n)  # type: ignore[misc]
                victim = ("one", "two")[number % 2]
                await asyncio.to_thread(city.kill, victim)
                await asyncio.to_thread(city.start, victim)
                feed.go.set()
            await running.until(lambda: feed.done)

    for name in ("one", "two"):
        city.start(name)
    asyncio.run(run())
    logs = running.messages(kafka.address, city.district.topic("log"))
    city.wait_for_all(logs)
    city.stop()
    taken = city.store.activations.list(0)
    assert [one.record.version for one in taken] == [louder.version, shadow.version, louder.version]
    for log in logs:
        read = [r for m in log if isinstance(r := wire.unpack(m), Announced)]
        assert read == taken
    golden = kit.embedded(town, city.district, [one.record for one in taken])
    assert golden != kit.embedded(town, city.district)
    assert list(city.store.lines()) == golden
    active = city.store.versions.active
    assert active is not None
    assert active.version == louder.version
    assert "rules_late" not in city.everything_said()
