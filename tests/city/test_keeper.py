"""Keepers over a log in memory: what an embedded run says, whoever holds a shard, and how often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.city.district import District
from engine.city.keeper import Keeper
from engine.store.errors import StaleEpoch
from tests.city import kit
from tests.engine import live_town
from tests.engine.store_kit import hasty


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("city-town"))


@pytest.fixture(scope="module")
def district(town: Path, tmp_path_factory: pytest.TempPathFactory) -> District:
    return District(kit.config(town, tmp_path_factory.mktemp("shared"), "sqlite://"))


@pytest.fixture(scope="module")
def logs(town: Path, district: District) -> list[list[bytes]]:
    return kit.pack(district, kit.records(town, district))


@pytest.fixture(scope="module")
def golden(town: Path, district: District) -> list[bytes]:
    lines = kit.embedded(town, district)
    assert len(lines) > 10
    return lines


def a_street(town: Path, district: District, logs: list[list[bytes]], tmp_path: Path) -> kit.Street:
    mine = District(kit.config(town, tmp_path, f"sqlite:///{tmp_path / 'city.db'}"))
    return kit.Street(mine, hasty(mine.open_store()), logs)


def test_shards_apart_say_what_one_process_says(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)
    assert len(street.keepers) > 1
    street.run()
    assert list(street.store.lines()) == golden
    assert street.store.books.prices()


def states(street: kit.Street) -> dict[int, str]:
    """Save all shards and return the hash of each state."""
    for keeper in street.keepers.values():
        assert keeper.save()
    found = {s: street.store.current_snapshot(k.name) for s, k in street.keepers.items()}
    return {shard: ref.state_hash for shard, ref in found.items() if ref is not None}


@pytest.fixture(scope="module")
def golden_states(
    town: Path,
    district: District,
    logs: list[list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, str]:
    street = a_street(town, district, logs, tmp_path_factory.mktemp("calm"))
    street.run()
    return states(street)


def test_whoever_crashes_whenever_nothing_is_lost_doubled_or_changed(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes],
    golden_states: dict[int, str], tmp_path: Path,
) -> None:  # fmt: skip
    """Keepers vanish at random and are taken by others; snapshots, commits and tears in between."""
    street = a_street(town, district, logs, tmp_path)
    rng = np.random.default_rng(5)
    crashes, torn = 0, set[str]()
    moving = True
    while moving:
        moving = street.step()
        for shard in list(street.keepers):
            keeper = street.keepers[shard]
            luck = rng.random()
            if luck < 0.015:
                street.keepers[shard] = street.take(shard, "another")
                crashes += 1
                moving = True
            elif luck < 0.04:
                keeper.commit()
            elif luck < 0.055:
                keeper.save()
                ref = street.store.current_snapshot(keeper.name)
                kept = {r.file for r in street.store.snapshots(keeper.name)}
                if ref is not None and rng.random() < 0.3 and len(kept) > 1 and not kept & torn:
                    path = street.folder.folder / ref.file
                    path.write_bytes(path.read_bytes()[:-100])
                    street.keepers[shard] = street.take(shard, "finds it torn")
                    torn.add(ref.file)
                    moving = True
    assert crashes > 10
    assert torn
    street.run()
    assert list(street.store.lines()) == golden
    assert states(street) == golden_states


def test_a_snapshot_written_while_the_shard_goes_on_is_of_the_moment_it_was_copied(
    town: Path, district: District, logs: list[list[bytes]], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)
    for _ in range(400):
        street.step()
    shard, keeper = next(iter(street.keepers.items()))
    capture = keeper.capture()
    assert capture is not None
    at_once = keeper.write(capture)
    street.run()
    assert keeper.next > capture.offset + 100
    later = keeper.write(capture)
    assert at_once is not None
    assert later == at_once
    assert keeper.install(later)
    assert keeper.install(later), "asked again after the connection broke"
    assert street.take(shard).next == capture.offset


def work_on(zombie: Keeper, log: list[bytes]) -> None:
    """Feed as if nothing had happened; at midnight there is something to tell."""
    while zombie.feed(zombie.next, log[zombie.next]):
        pass


def test_a_zombie_publishes_nothing_and_saves_nothing(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)
    shard, zombie = next(iter(street.keepers.items()))
    street.keepers[shard] = street.take(shard, "the new one")
    street.run()
    before = list(street.store.lines()), street.store.outbox.pending(limit=10**6)
    with pytest.raises(StaleEpoch):
        work_on(zombie, logs[shard])
    assert zombie.next > 10
    with pytest.raises(StaleEpoch):
        zombie.commit()
    with pytest.raises(StaleEpoch):
        zombie.save()
    zombie.hand_back()
    assert (list(street.store.lines()), street.store.outbox.pending(limit=10**6)) == before
    assert before[0] == golden
    row = street.store.shard(zombie.name)
    assert row is not None
    assert row.holder == "the new one"


def test_a_shard_waits_for_prices_until_the_others_have_closed_the_day(
    town: Path, district: District, logs: list[list[bytes]], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)
    first, *others = street.keepers.values()
    while first.next < len(logs[first.shard]) and first.feed(
        first.next, logs[first.shard][first.next]
    ):
        pass
    assert first.waits_for is not None
    assert first.host.day == first.waits_for - 1
    stuck = first.next
    assert not first.feed(stuck, logs[first.shard][stuck])
    street.run()
    assert first.next == len(logs[first.shard])
    assert first.waits_for is None
    assert others


def test_a_full_disk_loses_nothing_and_is_told(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)

    def full(path: Path) -> object:
        raise OSError(28, "No space left on device")

    street.folder._open = full  # type: ignore[assignment]
    for _ in range(50):
        street.step()
    keeper = next(iter(street.keepers.values()))
    assert not keeper.save()
    assert keeper.problem is not None
    assert "make room" in keeper.problem
    street.folder._open = lambda path: path.open("xb", buffering=0)
    assert keeper.save()
    assert keeper.problem is None
    street.run()
    assert list(street.store.lines()) == golden
