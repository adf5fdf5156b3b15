"""Quarantine: complete, mendable, and once only after going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.errors import InputError
from connectors.files import open_rows
from connectors.quarantine import QuarantineWriter
from connectors.records import Event, Fault, ReadingBlock
from connectors.rows import Columns
from connectors.sources import EventSource, ReadingSource
from tests.connectors.helpers import columns, directory, faults
from tests.missing import missing

FORMATS = ["csv", "csv.gz", "ndjson", "ndjson.gz", "parquet", "arrow"]
ALL = Columns("rows", ("meter_id", "ts", "value", "source", "position", "reason", "detail", "raw"))


def blocks_of(tmp_path: Path) -> list[ReadingBlock]:
    lines = [
        "m1,2024-01-01T00:00Z,1", "m1,soon,2", 'm1,2024-01-01T00:15Z,"1,5"', "m1,2024", "m9,x,",
        "m1,2024-01-01T00:15Z,3", 'm"1,2024-01-01T00:30Z,nan', "中,2024-01-01T00:45Z,-inf",
    ]  # fmt: skip
    path = tmp_path / "r.csv"
    path.write_text("meter_id,ts,value\n" + "\n".join(lines))
    return list(ReadingSource(str(path), directory(["m1"]), name="street"))


def read_all(path: Path) -> list[dict[str, Any]]:
    reader = open_rows(str(path), ALL)
    rows = [row for part in reader for row in part.batch.to_pylist()]
    reader.close()
    return [{k: str(v) if v is not None else "" for k, v in row.items()} for row in rows]


EXPECTED = [
    ("m1", "soon", "2", "2", "bad_time", ""),
    ("m1", "2024-01-01T00:15Z", "1,5", "3", "bad_value", ""),
    ("", "", "", "4", "malformed", "m1,2024"),
    ("m9", "x", "", "5", "unknown_meter", ""),
    ("", "", "", "7", "malformed", 'm"1,2024-01-01T00:30Z,nan'),
    ("中", "2024-01-01T00:45Z", "-inf", "8", "unknown_meter", ""),
]


@pytest.mark.parametrize("extension", FORMATS)
def test_rows_are_there_with_reason_and_position(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"q.{extension}"
    with QuarantineWriter(str(path)) as out:
        for block in blocks_of(tmp_path):
            out.block(block)
        assert out.rows == 6
    rows = read_all(path)
    assert [
        tuple(r[k] for k in ("meter_id", "ts", "value", "position", "reason", "raw")) for r in rows
    ] == EXPECTED
    assert {r["source"] for r in rows} == {"street"}
    assert [r["detail"] for r in rows if r["reason"] == "malformed"] == [
        "2 fields, wanted 3",
        "a double quote is not closed",
    ]
    assert {r["reason"]: r["detail"] for r in rows if r["reason"].startswith("bad")} == {
        "bad_time": "ts is 'soon'; wanted a time as 2026-03-01T00:15:00+08:00, or seconds since 1970",
        "bad_value": "value is '1,5'; wanted a finite number",
    }


def test_what_is_empty_or_endless_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"meter_id,ts,value\nm1,2024-01-01T00:00Z,\nm1,,1\nm1,{'9' * 400}x,1\n")
    with QuarantineWriter(str(tmp_path / "q.csv")) as out:
        for block in ReadingSource(str(path), directory(["m1"]), name="street"):
            out.block(block)
    first, second, third = (row["detail"] for row in read_all(tmp_path / "q.csv"))
    assert first == "value is empty; wanted a finite number"
    assert second.startswith("ts is empty; wanted a time")
    assert third.startswith(f"ts is '{'9' * 60}'; wanted")


@pytest.mark.parametrize("extension", FORMATS)
def test_it_can_be_fed_again(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"q.{extension}"
    with QuarantineWriter(str(path)) as out:
        for block in blocks_of(tmp_path):
            out.block(block)
    again = list(ReadingSource(str(path), directory(["m1", "m9", "中"])))
    assert faults(again) == [
        "BAD_TIME", "BAD_VALUE", "UNKNOWN_METER", "BAD_TIME", "UNKNOWN_METER", "BAD_VALUE",
    ]  # fmt: skip
    assert columns(again)["position"].tolist() == [1, 2, 3, 4, 5, 6]


def test_faults_found_later_are_written_instead(tmp_path: Path) -> None:
    (block,) = blocks_of(tmp_path)
    fault = np.zeros(len(block), np.uint8)
    fault[5] = Fault.NEGATIVE
    with QuarantineWriter(str(tmp_path / "q.csv")) as out:
        assert out.block(block, fault) == 1
    (row,) = read_all(tmp_path / "q.csv")
    assert (row["position"], row["reason"], row["value"]) == ("6", "negative", "3")


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("finished", [False, True])
def test_going_on_writes_each_row_once(tmp_path: Path, extension: str, finished: bool) -> None:
    (block,) = blocks_of(tmp_path)
    event = Event("e", 0, "k", None, None, {}, 0, "f", 1, Fault.BAD_EVENT, "x")
    path = tmp_path / f"q.{extension}"
    first = QuarantineWriter(str(path))
    first.block(block.slice(0, 3))
    first.event(event)
    offset = json.loads(json.dumps(first.offset()))
    # What follows is lost in the crash, or is there already when the run goes on from before it.
    first.block(block.slice(3, 8))
    first.event(event)
    if finished:
        first.close()
    else:
        first.offset()
    with QuarantineWriter(str(path), resume=offset) as second:
        assert second.rows == 3
        second.block(block.slice(3, 8))
    assert [r["position"] for r in read_all(path)] == [row[3] for row in EXPECTED]
    events = open_rows(str(tmp_path / f"q.events.{extension}"), Columns("rows", ("event_id",)))
    assert sum(map(len, events)) == 1


def test_events_go_beside_and_can_be_fed_again(tmp_path: Path) -> None:
    source = tmp_path / "e.csv"
    source.write_text(
        "event_id,ts,kind,subject_id,place,attrs\n"
        + "e1,soon,note,home-m1,,\n"
        + 'e2,2024-07-01T12:00,absence,home-m1,,"{""until"": ""some day""}"\n'
        + "e3,2024\n"
    )
    path = tmp_path / "q.csv"
    with QuarantineWriter(str(path)) as out:
        for event in EventSource(str(source), directory(["m1"])):
            out.event(event)
        assert out.rows == 3
    again = list(EventSource(str(tmp_path / "q.events.csv"), directory(["m1"])))
    assert [e.fault for e in again] == [Fault.BAD_TIME, Fault.BAD_EVENT, Fault.BAD_EVENT]
    assert "e3,2024" in (tmp_path / "q.events.csv").read_text()


def test_an_event_without_its_columns_is_written_from_its_fields(tmp_path: Path) -> None:
    event = Event("e", 10**18, "k", "s", None, {"a": 1}, 0, "f", 1, Fault.BAD_EVENT, "late")
    with QuarantineWriter(str(tmp_path / "q.ndjson")) as out:
        out.event(event)
    row = json.loads((tmp_path / "q.events.ndjson").read_text())
    assert (row["ts"], row["attrs"]) == ("2001-09-09T01:46:40.000000000Z", '{"a": 1}')


def test_line_ends_inside_values_do_not_break_csv(tmp_path: Path) -> None:
    table = pa.table({"meter_id": ["m\n1"], "ts": ["x\r\n"], "value": [1.0]})
    pq.write_table(table, tmp_path / "r.parquet")
    with QuarantineWriter(str(tmp_path / "q.csv")) as out:
        for block in ReadingSource(str(tmp_path / "r.parquet"), directory(["m1"])):
            out.block(block)
    assert read_all(tmp_path / "q.csv")[0]["meter_id"] == r"m\n1"


def test_without_a_path_rows_are_counted(tmp_path: Path) -> None:
    with QuarantineWriter(None) as out:
        for block in blocks_of(tmp_path):
            out.block(block)
        assert out.rows == 6
        assert out.offset() == {"readings": None, "events": None}


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)"):
        QuarantineWriter(str(tmp_path / "no" / "q.csv"))
    with pytest.raises(InputError, match="unknown kind of file"):
        QuarantineWriter(str(tmp_path / "q.txt"))
    path = tmp_path / "q.csv"
    with QuarantineWriter(str(path)) as out:
        offset = out.offset()
    path.write_text("")
    with pytest.raises(InputError, match="is shorter than when it was left"):
        QuarantineWriter(str(path), resume=offset)
    path.unlink()
    offset["readings"]["rows"] = 1
    with pytest.raises(InputError, match="is gone"):
        QuarantineWriter(str(path), resume=offset)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        missing("no /dev/full here")
    path = tmp_path / "q.csv"
    path.symlink_to("/dev/full")
    out = QuarantineWriter(str(path))
    with pytest.raises(InputError, match="No space left on device"):
        out.offset()
