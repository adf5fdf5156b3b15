"""Archived logs: what is written is read again, from any offset; nothing is left out unnoticed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.city.archive import Archive, ArchiveError, Row


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
