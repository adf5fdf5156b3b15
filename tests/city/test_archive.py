"""Archived logs: what is written is read again, from any offset; nothing is left out unnoticed.

And what they are for: a state that a newer program cannot read is made again from them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.city.archive import Archive, ArchiveError, Row, archive_of
from engine.city.district import District
from engine.city.refused import RefusedRows
from engine.city.workshop import Workshop
from engine.intake.intake import SCHEMA
from tests.city import kit
from tests.engine import live_town


def rows(first: int, n: int) -> list[Row]:
    return [(o, 1_767_196_800_000 + o, bytes([o % 251]) * (o % 7)) for o in range(first, first + n)]


def test_what_is_written_is_read_from_any_offset(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "gridwarden.log")
    assert archive.next(3) == 0
    assert archive.read(3, 0, 10) == []
    archive.write(3, rows(40, 100))  # the log began at 40 when the archive did
    archive.write(3, rows(140, 7))
    assert archive.next(3) == 147
    for start, most, wanted in ((40, 5, 5), (138, 10, 2), (140, 10, 7), (146, 1, 1), (147, 9, 0)):
        found = Archive(tmp_path / "gridwarden.log").read(3, start, most)
        assert found == [(o, body) for o, _, body in rows(start, wanted)]
        assert archive.read(3, start, most) == found
    assert archive.read(3, 39, 10) == []
    assert archive.read(4, 40, 10) == []


def test_anybody_can_read_the_files(tmp_path: Path) -> None:
    path = Archive(tmp_path).write(0, rows(0, 3))
    table = pq.read_table(path)
    assert table.column_names == ["offset", "written", "message"]
    assert table["offset"].to_pylist() == [0, 1, 2]
    assert path.name == "00000000000000-00000000000003.parquet"


@pytest.mark.parametrize("wrong", [rows(11, 3), rows(9, 3), [*rows(10, 2), *rows(13, 1)]])
def test_a_gap_or_a_second_copy_is_refused(tmp_path: Path, wrong: list[Row]) -> None:
    archive = Archive(tmp_path)
    archive.write(0, rows(0, 10))
    with pytest.raises(ArchiveError, match="ends before offset 10"):
        archive.write(0, wrong)
    assert archive.next(0) == 10


def test_a_file_half_written_is_none(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    path = archive.write(0, rows(0, 10))
    path.with_name(f".{path.name}.77.tmp").write_bytes(path.read_bytes()[:50])
    assert archive.next(0) == 10
    assert archive.write(0, rows(10, 1)).exists()


async def work_through(workshop: Workshop, logs: list[list[bytes]]) -> None:
    """Take all shards and feed them from the archive alone."""
    shards = workshop.district.routing.peopled
    for shard in shards:
        assert await workshop.take(shard) == 0
    while any(workshop.benches[s].next < len(logs[s]) for s in shards):
        for shard in shards:
            if not workshop.full(shard):
                await workshop.refill(shard)
        await workshop.work()
    await workshop.close()


def test_a_newer_program_makes_the_state_again_that_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under an archive by itself, with the same lines; without one the shard stops and says why."""
    monkeypatch.setattr(RefusedRows, "_send", lambda *_: None)
    town = live_town.build(tmp_path / "town")
    store = f"sqlite:///{tmp_path / 'city.db'}"
    district = District(kit.config(town, tmp_path, store, archive=tmp_path / "archive"))
    logs = kit.pack(district, kit.records(town, district))
    golden = kit.embedded(town, district)
    street = kit.Street(district, district.open_store(), logs)
    for _ in range(300):
        street.step()
    for keeper in street.keepers.values():
        assert keeper.save()
    street.store.close()
    monkeypatch.setattr("engine.intake.intake.SCHEMA", SCHEMA + 1)

    async def without() -> str | None:
        workshop = Workshop(District(kit.config(town, tmp_path, store)), "newer")
        shard = district.routing.peopled[0]
        assert await workshop.take(shard) is None
        assert workshop.benches[shard].stopped
        await workshop.close()
        return workshop.benches[shard].problem

    assert f"schema is {SCHEMA}" in str(asyncio.run(without()))
    archive = archive_of(district)
    assert archive is not None
    for shard, log in enumerate(logs):
        if log:
            archive.write(shard, [(i, 0, message) for i, message in enumerate(log)])
    asyncio.run(work_through(Workshop(district, "newer"), logs))
    with district.open_store() as again:
        assert list(again.lines()) == golden
