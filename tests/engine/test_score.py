"""`gridwarden score`: what goes in comes out, row by row, with a score."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from detectors.base import DetectorError
from engine.cli.score import score
from engine.score import ScoreError, place_rows, score_file


def write(path: Path, rows: list[tuple[str, str]], header: str = "timestamp,value") -> Path:
    text = "\n".join([header, *(",".join(row) for row in rows)]) + "\n"
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as file:
        file.write(text)
    return path


def hours(n: int, start: str = "2016-02-29") -> list[str]:
    stamps = np.datetime64(start, "s") + np.arange(n) * np.timedelta64(3600, "s")
    return [str(stamp).replace("T", " ") for stamp in stamps]


def wave(n: int) -> list[str]:
    rng = np.random.default_rng(5)
    return [f"{10 + 5 * math.sin(k / 24 * 2 * math.pi) + rng.normal():.3f}" for k in range(n)]


def scored(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_row_comes_back_in_order_with_its_own_text(tmp_path: Path) -> None:
    values = wave(400)
    values[300] = ""
    source = write(tmp_path / "a.csv", list(zip(hours(400), values, strict=True)))
    done = score_file("seasonal", {"warm_up": 3}, "value", source, tmp_path / "s.csv")
    rows = scored(tmp_path / "s.csv")
    assert [row["timestamp"] for row in rows] == hours(400)
    assert [row["value"] for row in rows] == values
    scores = np.array([float(row["score"]) for row in rows])
    assert np.isnan(scores[:70]).all()
    assert np.isnan(scores[300])
    rest = np.delete(scores[100:], 200)
    assert ((rest >= 0) & (rest <= 1)).all()
    assert done.rows == 400
    assert done.interval_s == 3600


def test_a_burst_scores_highest(tmp_path: Path) -> None:
    values = wave(600)
    for k in range(500, 506):
        values[k] = "60"
    source = write(tmp_path / "a.csv.gz", list(zip(hours(600), values, strict=True)))
    score_file("seasonal", {}, "value", source, tmp_path / "s.csv")
    scores = [float(row["score"]) for row in scored(tmp_path / "s.csv")]
    assert 500 <= int(np.nanargmax(scores)) < 506


def test_duplicate_and_backward_stamps_keep_every_row(tmp_path: Path) -> None:
    stamps = hours(300)
    stamps[100] = stamps[99]
    stamps[200] = stamps[150]
    source = write(tmp_path / "a.csv", list(zip(stamps, wave(300), strict=True)))
    assert score_file("seasonal", {"warm_up": 2}, "value", source, tmp_path / "s.csv").rows == 300
    assert [row["timestamp"] for row in scored(tmp_path / "s.csv")] == stamps


def test_a_file_out_of_order_is_scored_in_time_and_told(tmp_path: Path) -> None:
    rows = list(zip(hours(600), wave(600), strict=True))
    mixed = rows[300:] + rows[:300]
    for name, given in (("a", rows), ("b", mixed)):
        source, target = write(tmp_path / f"{name}.csv", given), tmp_path / f"{name}.out"
        score_file("seasonal", {}, "value", source, target)
    sorted_rows, as_given = scored(tmp_path / "a.out"), scored(tmp_path / "b.out")
    assert as_given == sorted_rows[300:] + sorted_rows[:300]
    base = ["--input", str(tmp_path / "b.csv"), "--output", str(tmp_path / "c.out")]
    told = CliRunner().invoke(score, ["--detector", "seasonal", *base]).stderr
    assert "b.csv: 300 rows are more than an hour earlier than one before them" in told


def test_place_rows_leaves_holes_and_caps_them() -> None:
    slots = place_rows(np.array([0, 3600, 7200, 7200, 10_800, 36_000, 10**9]), 3600)
    assert np.diff(slots[:6]).tolist() == [1, 1, 1, 1, 6]
    assert 370 * 24 < slots[6] - slots[5] < 371 * 24 + 25


@pytest.mark.parametrize(
    "stamp",
    ["2016-03-01T00:00:00Z", "2016-03-01 00:00:00.000000", "1456790400", "03/01/2016 00:00"],
)
def test_time_stamps_in_many_ways(tmp_path: Path, stamp: str) -> None:
    source = write(tmp_path / "a.csv", [(stamp, "1")] * 3, header="Time,kwh")
    assert score_file("seasonal", {}, "kwh", source, tmp_path / "s.csv").rows == 3
    assert scored(tmp_path / "s.csv")[0]["timestamp"] == stamp


def test_parquet_and_the_same_csv_agree(tmp_path: Path) -> None:
    stamps, values = hours(400), wave(400)
    source = write(tmp_path / "a.csv", list(zip(stamps, values, strict=True)))
    table = pa.table(
        {"ts": pa.array(np.array(stamps, "M8[us]")), "value": [float(v) for v in values]}
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        score_file("seasonal", {"warm_up": 2}, "value", tmp_path / name, tmp_path / f"{name}.out")
    a, b = scored(tmp_path / "a.csv.out"), scored(tmp_path / "a.parquet.out")
    assert [row["score"] for row in a] == [row["score"] for row in b]
    assert source.exists()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("timestamp,east", [("2016-01-01", "1")], "no column 'value'; there are east"),
        ("when,value", [("2016-01-01", "1")], "no column of time stamps"),
        ("timestamp,value", [("2016-01-01", "1"), ("yesterday", "2")], "row 2: cannot read"),
        ("timestamp,value", [("2016-01-01", "much")], "wanted numbers"),
        ("timestamp,value", [("2016-01-01", "inf")], "row 1: value is infinite"),
        ("timestamp,value", [("2016-01-01", "1e300")], "single precision"),
        ("timestamp,value", [("2016-01-01", "1"), ("", "2")], "row 2"),
    ],
)
def test_what_cannot_be_scored_is_said(
    tmp_path: Path, header: str, rows: list[tuple[str, str]], message: str
) -> None:
    source = write(tmp_path / "a.csv", rows, header)
    with pytest.raises(ScoreError, match=message):
        score_file("seasonal", {}, "value", source, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_empty_series_and_empty_file(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", [])
    assert score_file("seasonal", {}, "value", source, tmp_path / "s.csv").rows == 0
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(ScoreError, match=r"b\.csv"):
        score_file("seasonal", {}, "value", tmp_path / "b.csv", tmp_path / "s.csv")


def test_command_line(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", list(zip(hours(200), wave(200), strict=True)))
    base = ["--input", str(source), "--output", str(tmp_path / "s.csv")]
    done = CliRunner().invoke(score, ["--detector", "seasonal", "--param", "warm_up=2", *base])
    assert done.exit_code == 0, done.output
    assert "200 rows" in done.stderr
    assert done.stdout == ""
    bad = CliRunner().invoke(score, ["--detector", "seasonal", "--param", "warm_up", *base])
    assert bad.exit_code == 2
    assert "name=number" in bad.stderr
    for detector, param in (("no-such", "a=1"), ("seasonal", "no_such=1")):
        error = (
            CliRunner().invoke(score, ["--detector", detector, "--param", param, *base]).exception
        )
        assert isinstance(error, DetectorError)
        assert "known:" in str(error)
