"""The real files read whole, cut anyhow, stopped anywhere, merged."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from connectors.merge import Log, source_state
from connectors.sources import ReadingSource
from tests.connectors.helpers import columns, directory, directory_of, flat


@pytest.mark.parametrize(
    ("name", "rows"), [("homes_water", 418_000), ("homes_power", 144_309), ("plant_power", 17_376)]
)
def test_real_files_are_read_whole(data: Path, name: str, rows: int) -> None:
    path = data / name / "readings.csv.gz"
    got = columns(ReadingSource(str(path), directory_of(data / name)))
    assert (got["position"] == np.arange(1, rows + 1)).all()
    assert not got["fault"].any()
    assert (np.diff(got["arrival_ns"]) >= 0).all()
    with gzip.open(path) as file:
        table = pc.read_csv(file)
    assert (got["value"] == table["value"].to_numpy()).all()
    assert (got["arrival_ns"] == np.maximum.accumulate(got["ts_ns"])).all()


def _town(path: Path, rows: int = 4000, seed: int = 1) -> list[str]:
    """Write a file with late rows, broken clocks, gaps and unreadable rows; return its meters."""
    random = np.random.default_rng(seed)
    meters = [f"m{i}" for i in range(7)]
    minutes = np.cumsum(random.choice([0, 1, 15, 300], rows, p=[0.5, 0.4, 0.09, 0.01]))
    stamps = np.datetime64("2024-10-25T00:00") + minutes.astype("timedelta64[m]")
    odd = random.random(rows)
    late = odd < 0.1
    stamps[late] -= random.integers(0, 500, late.sum()).astype("timedelta64[m]")
    broken = odd > 0.97
    stamps[broken] += random.integers(0, 9000, broken.sum()).astype("timedelta64[m]")
    text = stamps.astype("datetime64[s]").astype(str).astype(object)
    text[(odd > 0.5) & (odd < 0.52)] = "no time"
    names = random.choice([*meters, "stranger"], rows, p=[0.14] * 7 + [0.02])
    value = random.random(rows).round(3).astype(str).astype(object)
    value[(odd > 0.6) & (odd < 0.61)] = "NaN"
    table = pa.table({"meter_id": names, "ts": text.astype(str), "value": value.astype(str)})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=999)
    else:
        pc.write_csv(table, path, pc.WriteOptions(quoting_style="none"))
    return meters


@pytest.mark.parametrize("name", ["town.csv", "town.parquet"])
def test_blocks_of_any_size_and_any_stop_give_the_same_rows(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    book = directory(_town(Path(path)), "Europe/Madrid")
    other = str(tmp_path / ("b-" + name))
    _town(Path(other), 500, seed=2)

    def log(block_rows: int | None, state: dict[str, dict[str, object]] | None = None) -> Log:
        return Log(
            [ReadingSource(p, book, state=source_state(state, p)) for p in (path, other)],
            block_rows=block_rows,
        )

    whole = flat(log(None))
    assert len(whole) == 4500
    assert len({row[6] for row in whole}) >= 5  # the file has faults of many kinds
    keys = [(row[5], row[0] == other, row[1]) for row in whole]
    assert keys == sorted(keys)
    for size in (1, 37, 1_000_000):
        assert flat(log(size)) == whole
    for stop in (0, 1, 777, 2500, 4499, 4500):
        first = log(1)
        head = []
        while len(head) < stop:
            record = first.next_record()
            assert record is not None
            head += flat([record])
        state = first.state()
        first.close()
        assert head + flat(log(100, state)) == whole


def test_merge_takes_the_source_named_first_on_a_tie(tmp_path: Path) -> None:
    paths = [str(tmp_path / n) for n in ("b.csv", "a.csv")]
    for p in paths:
        Path(p).write_text("meter_id,ts,value\n" + "m,2024-01-01T00:00Z,1\n" * 3)
    book = directory(["m"])
    got = flat(Log([ReadingSource(p, book) for p in paths]))
    assert [row[0] for row in got] == [paths[0]] * 3 + [paths[1]] * 3
