"""How rules get into the logs: once, whichever gateway; bad ones are refused and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.records import Activation
from engine.build import BuildError
from engine.city import wire
from engine.city.district import District
from engine.city.gateway import Clock
from engine.city.packer import LogError, Packer
from engine.city.source_rules import LEAD_S, RulesSource
from engine.config import Config
from engine.store import Store
from engine.store.access import FencedError
from engine.store.activations import Announced
from rules.loader import load
from tests.city import kit, rules_kit
from tests.city.test_rules_live import approve
from tests.engine import live_town

NOW_NS = rules_kit.at("2026-03-08T00:00:00Z")
NS = 10**9


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("source-town"))


class Gateways:
    """Gateways of one district that write into logs in memory, and their store."""

    def __init__(self, town: Path, folder: Path, rules: Path | None = None) -> None:
        config = kit.config(town, folder, f"sqlite:///{folder / 'city.db'}")
        if rules is not None:
            config = Config.model_validate(
                config.model_dump() | {"rules": {"path": rules}, "store": config.store}
            )
        self.district = District(config)
        self.store = self.district.open_store()
        self.logs: list[list[Announced]] = [[] for _ in range(kit.SHARDS)]
        self.now_ns = NOW_NS
        self.fails_after = 10**6

    async def send(self, partition: int | None, message: bytes) -> asyncio.Future[object]:
        assert partition is not None
        if not self.fails_after:
            raise LogError("Kafka is away")
        self.fails_after -= 1
        read = wire.unpack(message)
        assert isinstance(read, Announced)
        self.logs[partition].append(read)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def source(self, name: str, open_store: Callable[[], Store] | None = None) -> RulesSource:
        class One:
            district = self.district
            clock = Clock(lambda: self.now_ns)
            packer = Packer(self.district.routing, self.send)

        return RulesSource(One(), open_store or self.district.open_store, name)  # type: ignore[arg-type]


@pytest.fixture
def gateways(town: Path, tmp_path: Path) -> Gateways:
    return Gateways(town, tmp_path)


WANTED = rules_kit.version(("没有任何", "没有一点"))


def test_every_log_has_it_once_whichever_gateway_looks(gateways: Gateways) -> None:
    first, other = gateways.source("first"), gateways.source("other")

    async def looks() -> list[bool]:
        return [await one.look() for one in (first, other, first, other, first)]

    assert not any(asyncio.run(looks()))
    approve(gateways.store, WANTED, NOW_NS)
    assert asyncio.run(looks()) == [True, False, False, False, False]
    (one,) = gateways.store.activations.list(0)
    assert one.record.version == WANTED.version
    assert one.record.author == "ann, approved by bob"
    assert one.at_ns == NOW_NS + int(LEAD_S * NS)
    assert gateways.logs == [[one]] * kit.SHARDS
    active = gateways.store.versions.active
    assert active is not None
    assert (active.version, active.from_ns) == (WANTED.version, one.at_ns)


def test_a_planned_time_is_kept(gateways: Gateways) -> None:
    source = gateways.source("first")
    planned = NOW_NS + 60 * NS + 123
    store = gateways.store
    approve(store, WANTED, NOW_NS)
    with store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE rule_versions SET from_ns = {planned}")

    async def looks() -> None:
        while not await source.look():
            gateways.now_ns += NS
            assert gateways.now_ns < planned

    asyncio.run(looks())
    assert [one.at_ns for one in store.activations.list(0)] == [planned]


def test_a_gateway_that_ends_in_between_leaves_it_to_the_next(gateways: Gateways) -> None:
    """Two of four logs had it: all get it anew, with another time; the first comes back too late."""
    approve(gateways.store, WANTED, NOW_NS)
    gateways.fails_after = 2
    zombie = gateways.source("first")
    with pytest.raises(LogError):
        asyncio.run(zombie.look())
    early = [log[0].at_ns for log in gateways.logs if log]
    assert early == [NOW_NS + int(LEAD_S * NS)] * 2
    assert not gateways.store.activations.list(0)
    gateways.fails_after = 10**6
    gateways.now_ns += 100 * NS
    store = gateways.store
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE leases SET until_wall = 0")
    assert asyncio.run(gateways.source("other").look())
    (one,) = store.activations.list(0)
    assert one.at_ns == NOW_NS + int((100 + LEAD_S) * NS)
    assert all(log[-1] == one for log in gateways.logs)
    late = Announced(one.seq, Activation(WANTED.version, {}, "", early[0], {}))
    with pytest.raises(FencedError):
        zombie._tell(late)
    assert store.activations.list(0) == [one]


def test_a_version_that_cannot_be_read_is_refused_told_once_and_holds_up_nobody(
    gateways: Gateways,
) -> None:
    store, source = gateways.store, gateways.source("first")
    bad = Activation("0" * 12, {"x.yaml": "name: ["}, "", 0, {})
    approve(store, bad, NOW_NS - 1)
    approve(store, WANTED, NOW_NS)

    async def looks() -> None:
        for _ in range(3):
            await source.look()

    asyncio.run(looks())
    assert [one.record.version for one in store.activations.list(0)] == [WANTED.version]
    told = [line for line in store.books.audit_log() if line.action == "rules_refused"]
    assert [line.what for line in told] == [bad.version]
    assert "x.yaml" in told[0].detail["problem"]
    assert list(source.refused) == [bad.version]


def test_rules_that_cannot_be_built_are_refused_before_they_are_in_any_log(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that its detector cannot keep, say: it would have stopped every shard."""

    def fails(_: object) -> None:
        raise BuildError("ships no prior_rate")

    monkeypatch.setattr("engine.activation.reducers_of", fails)
    wanted = rules_kit.version(("没有任何", "没有丝毫"))
    approve(gateways.store, wanted, NOW_NS)
    source = gateways.source("first")
    assert not asyncio.run(source.look())
    assert "prior_rate" in source.refused[wanted.version]
    assert not any(gateways.logs)


def test_files_that_change_are_taken_up_and_bad_ones_refused(town: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    file = folder / "elderly-silence.yaml"
    text = rules_kit.SHIPPED[rules_kit.SILENCE]
    file.write_text(text)
    gateways = Gateways(town, tmp_path, folder)
    store, source = gateways.store, gateways.source("first")
    assert not asyncio.run(source.look())
    file.write_text(text.replace("when: silence.due", "when: silence.no_such"))
    assert not asyncio.run(source.look())
    assert "no_such" in source.refused["files"]
    file.write_text(text.replace("没有任何", "没有一点"))
    assert asyncio.run(source.look())
    assert not source.refused
    assert [one.record.author for one in store.activations.list()] == ["files", "files"]
    # A restart, or another gateway, finds the same files: nothing is new.
    again = gateways.source("first")
    assert not asyncio.run(again.look())
    # Approved meanwhile: a restart does not undo it with the files.
    wanted = Activation("", {"a.yaml": text.replace("没有任何", "没有半点")}, "", 0, {})
    version = load(dict(wanted.rules_yaml)).version
    approve(store, Activation(version, wanted.rules_yaml, "", 0, {}), NOW_NS)
    assert asyncio.run(again.look())
    assert not asyncio.run(gateways.source("first").look())
    assert store.activations.list()[-1].record.version == version
