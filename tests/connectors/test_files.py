"""Every format there and back; every kind of bad file, with a message and nothing lost."""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.errors import InputError
from connectors.files import READINGS, open_rows
from connectors.records import ReadingBlock
from connectors.sources import ReadingSource
from connectors.streams import ByteSource, line_chunks
from connectors.writers import RowWriter, write_table
from tests.connectors.helpers import columns, directory, faults, ns

FORMATS = ["csv", "csv.gz", "ndjson", "ndjson.gz", "jsonl", "parquet", "arrow", "ipc", "feather"]
HEADER = "meter_id,ts,value\n"


def read(path: Path | str, meters: tuple[str, ...] = ("m1", "m2")) -> list[ReadingBlock]:
    return list(ReadingSource(str(path), directory(meters)))


def error_of(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def raw(blocks: list[ReadingBlock], row: int) -> dict[str, str]:
    rows = [r for b in blocks if b.raw is not None for r in b.raw.to_pylist()]
    return {k: v for k, v in rows[row].items() if v is not None}


# ── there and back ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("extension", FORMATS)
def test_round_trip(tmp_path: Path, extension: str) -> None:
    rows = 5000
    index = np.arange(rows)
    table = pa.table(
        {
            "extra": pa.array(index),
            "value": index / 7,
            "meter_id": pa.array([f"m{i % 30:02d}" for i in index]).dictionary_encode(),
            "ts": np.datetime_as_string(np.datetime64("2024-05-01T00:00:00") + index * 60),
        }
    )
    path = str(tmp_path / f"readings.{extension}")
    with RowWriter(path, table.schema) as out:
        for start in range(0, rows, 999):
            for batch in table.slice(start, 999).combine_chunks().to_batches():
                out.write(batch)
    got = columns(read(path, tuple(f"m{i:02d}" for i in range(30))))
    assert (got["position"] == index + 1).all()
    assert (got["meter"] == index % 30).all()
    assert (got["value"] == index / 7).all()
    assert got["ts_ns"].tolist() == (ns("2024-05-01") + index * 60 * 10**9).tolist()
    assert not got["fault"].any()


@pytest.mark.parametrize("extension", ["csv.gz", "ndjson.gz", "parquet"])
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, extension: str) -> None:
    table = pa.table({"meter_id": ["a"], "value": [1.5]})
    paths = [tmp_path / f"{n}.{extension}" for n in "xy"]
    for path in paths:
        write_table(str(path), table)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(ZeroDivisionError), RowWriter(str(path), pa.schema([("a", "int64")])):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["naive", "aware", "date"])
@pytest.mark.parametrize("number", ["float32", "int64", "string", "decimal"])
def test_parquet_may_carry_other_types(tmp_path: Path, kind: str, number: str) -> None:
    stamps = pa.array([np.datetime64("2024-05-01T00:00:00")] * 2)
    ts = {
        "naive": stamps.cast(pa.timestamp("ms")),
        "aware": stamps.cast(pa.timestamp("us", "Asia/Shanghai")),
        "date": stamps.cast(pa.date32()),
    }[kind]
    value = {
        "float32": pa.array([0.5, 3.0], pa.float32()),
        "int64": pa.array([7, None]),
        "string": pa.array(["0.5", "3"]),
        "decimal": pa.array(["0.50", "3.00"]).cast(pa.decimal128(9, 2)),
    }[number]
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"meter_id": ["m1", "m2"], "ts": ts, "value": value}), path)
    blocks = read(path)
    if number == "int64":
        assert faults(blocks) == ["OK", "BAD_VALUE"]
    else:
        assert columns(blocks)["value"].tolist() == [0.5, 3.0]
    assert columns(blocks)["ts_ns"][0] == ns("2024-05-01")


def test_whole_numbers_as_meter_ids(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"meter_id": [17], "ts": ["2024-01-01T00:00Z"], "value": [1.0]}), path)
    assert columns(read(path, ("17",)))["meter"].tolist() == [0]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "m1,2024-01-01T00:00,1\nm2,2024-01-01T00:00,2\n",
        "\ufeff" + HEADER.replace("\n", "\r\n") + "m1,2024-01-01T00:00,1\r\nm2,2024-01-01T00:00,2",
        '{"meter_id":"m1","ts":"2024-01-01T00:00","value":1}\n{"meter_id":"m2",'
        '"ts":"2024-01-01T00:00","value":2,"more":{"x":1}}\n',
        '\n"meter_id", ts ,"value"\n\n"m1","2024-01-01T00:00","1"\n\nm2,2024-01-01T00:00, 2 \n\n',
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_stdin(monkeypatch: pytest.MonkeyPatch, text: str, packed: bool) -> None:
    data = gzip.compress(text.encode()) if packed else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    blocks = read("-")
    assert columns(blocks)["value"].tolist() == [1, 2]
    assert faults(blocks) == ["OK", "OK"]
    assert columns(blocks)["position"].tolist() == [1, 2]


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_chunks_are_whole_lines_of_the_same_bytes(chunk: int, packed: bool) -> None:
    data = b"".join(b"%d,%s\n" % (i, b"x" * (i % 50)) for i in range(200)) + b"no end"
    stored = gzip.compress(data[:1000]) + gzip.compress(data[1000:]) if packed else data
    source = ByteSource("-", stream=io.BytesIO(stored))
    chunks = list(line_chunks(source, chunk_bytes=chunk))
    assert b"".join(c.data for c in chunks) == data
    assert all(c.data.endswith(b"\n") for c in chunks[:-1])
    assert [c.offset for c in chunks] == [data.index(c.data) for c in chunks]
    assert source.problem is None
    assert source.consumed == len(stored)


# ── files that cannot be used ─────────────────────────────────────────────────────────────────


def test_missing_column(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("meterid,ts,value\nm1,2024-01-01T00:00Z,1\n")
    message = error_of(path)
    assert f'{path}: column is missing: "meter_id"' in message
    assert "got meterid, ts, value" in message
    assert 'did you mean "meterid"?' in message
    path.write_text("meter_id;ts;value\nm1;2024-01-01T00:00Z;1\n")
    assert "separated by ';'" in error_of(path)
    for name in ("r.ndjson", "r.parquet", "r.arrow"):
        write_table(str(tmp_path / name), pa.table({"meter_id": ["m"], "time": ["x"]}))
        assert 'columns are missing: "ts", "value"' in error_of(tmp_path / name)
    path.write_text("meter_id,ts,value,ts\n")
    assert 'column "ts" is there twice' in error_of(path)


@pytest.mark.parametrize(
    "name", ["r.csv", "r.ndjson", "r.parquet", "r.arrow", "r.csv.gz", "r.ndjson.gz"]
)
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    message = error_of(tmp_path / name)
    assert "empty" in message
    assert name in message


@pytest.mark.parametrize("name", ["r.csv.gz", "r.ndjson.gz"])
def test_empty_gzip(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b""))
    assert "is empty" in error_of(tmp_path / name)


def test_only_a_header_is_a_file_without_rows(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(HEADER)
    assert read(tmp_path / "r.csv") == []


def test_no_file_a_folder_and_unknown_kinds(tmp_path: Path) -> None:
    assert "no such file" in error_of(tmp_path / "r.csv")
    assert "no folder" in error_of(tmp_path / "there" / "r.csv")
    (tmp_path / "d.csv").mkdir()
    assert "is a folder: wanted a file" in error_of(tmp_path / "d.csv")
    assert "is a folder: wanted a file" in error_of(tmp_path)
    (tmp_path / "r.txt").write_text(HEADER)
    assert "unknown kind of file: got .txt; wanted .csv" in error_of(tmp_path / "r.txt")
    (tmp_path / "r.parket").write_text(HEADER)
    assert 'did you mean ".parquet"?' in error_of(tmp_path / "r.parket")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything
        monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be read (permission denied)" in error_of(path)


@pytest.mark.parametrize("encoding", ["gb18030", "latin-1"])
def test_wrong_encoding_names_row_and_byte(tmp_path: Path, encoding: str) -> None:
    text = HEADER + "m1,2024-01-01T00:00,1\n" + "café水表,2024-01-01T00:00,1\n" * 9
    text = text.replace("水表", "") if encoding == "latin-1" else text
    (tmp_path / "r.csv").write_bytes(text.encode(encoding))
    message = error_of(tmp_path / "r.csv")
    assert "is not UTF-8: row 2, byte 43 is 0x" in message
    assert ("GB18030" if encoding == "gb18030" else "Latin-1") in message


def test_utf16_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(HEADER.encode("utf-16"))
    assert "UTF-16" in error_of(tmp_path / "r.csv")


def test_what_is_not_what_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "r.csv.gz").write_text(HEADER)
    assert "is not gzip" in error_of(tmp_path / "r.csv.gz")
    (tmp_path / "r.parquet").write_text(HEADER * 9)
    assert "is not Parquet" in error_of(tmp_path / "r.parquet")
    (tmp_path / "r.arrow").write_text(HEADER * 9)
    assert "is not Arrow IPC" in error_of(tmp_path / "r.arrow")
    (tmp_path / "r.ndjson").write_text(HEADER)
    assert "is not NDJSON" in error_of(tmp_path / "r.ndjson")


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_table(
        str(path), pa.table({"meter_id": ["m1"], "ts": ["2024-01-01T00:00"], "value": [1.0]})
    )
    path.write_bytes(path.read_bytes()[:-20])
    message = error_of(path)
    assert "breaks off" in message
    assert "footer is missing" in message


# ── files that break in the middle: what came before is used, the break is named ──────────────


def _readings(n: int) -> str:
    stamps = np.datetime64("2024-01-01T00:00:00") + np.arange(n) * 7
    return HEADER + "".join(f"m{1 + i % 2},{s},{i}\n" for i, s in enumerate(stamps))


def test_truncated_gzip(tmp_path: Path) -> None:
    path = tmp_path / "r.csv.gz"
    whole = gzip.compress(_readings(90_000).encode())
    path.write_bytes(whole[: len(whole) // 2])
    source = ReadingSource(str(path), directory(["m1", "m2"]))
    blocks = list(source)
    assert source.problem is not None
    assert "the gzip stream breaks off after" in str(source.problem)
    got = columns(blocks)
    rows = len(got["value"])
    assert 30_000 < rows < 60_000
    # The line torn off is there too, as it is.
    assert got["value"][:-1].tolist() == list(range(rows - 1))
    assert faults(blocks)[-1] == "MALFORMED"
    assert _readings(rows + 1).splitlines()[rows].startswith(raw(blocks, -1)["raw"])


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "r.csv.gz"
    data = bytearray(gzip.compress(_readings(90_000).encode()))
    data[-6] ^= 1  # the checksum
    path.write_bytes(bytes(data))
    source = ReadingSource(str(path), directory(["m1", "m2"]))
    assert sum(map(len, source)) == 90_000
    assert "damaged" in str(source.problem)


def test_damaged_parquet_and_arrow(tmp_path: Path) -> None:
    n = 50_000
    table = pa.table(
        {
            "meter_id": ["m1"] * n,
            "ts": np.datetime64("2024-01-01T00:00:00") + np.arange(n),
            "value": np.random.default_rng(1).random(n),
        }
    )
    path = tmp_path / "r.parquet"
    pq.write_table(table, path, row_group_size=10_000, compression="zstd")
    meta = pq.ParquetFile(path).metadata
    at = meta.row_group(3).column(2).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 5000] = b"\xff" * 5000
    path.write_bytes(bytes(data))
    source = ReadingSource(str(path), directory(["m1"]))
    rows = sum(map(len, source))
    assert rows <= 30_000
    assert f"is damaged after row {rows:,} of 50,000" in str(source.problem)

    path = tmp_path / "r.arrow"
    with RowWriter(str(path), table.schema) as out:
        for batch in table.to_batches(10_000):
            out.write(batch)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    source = ReadingSource(str(path), directory(["m1"]))
    assert sum(map(len, source)) == 30_000
    assert "breaks off: the Arrow footer is missing" in str(source.problem)


# ── rows that cannot be used: each is kept, with a reason and its text ────────────────────────


def test_bad_rows_of_csv(tmp_path: Path) -> None:
    good = "m1,2024-01-01T00:00,1"
    lines = [
        good, "m1,2024-01-01T00:15", "m1,2024-01-01T00:15,1,2", "m1,soon,1", "m1,,1",
        "m1,2024-01-01T00:15,", "m1,2024-01-01T00:15,1.2.3", "m1,2024-01-01T00:15,NaN",
        "m1,2024-01-01T00:15,-inf", "m1,2024-01-01T00:15,0x10", ",2024-01-01T00:15,1",
        "m9,2024-01-01T00:15,1", "m1,1970-01-01T00:00,1", "m1,2100-01-01T00:00,1",
        "m1,1066-10-14T09:00,1", 'm1,"2024-01-01T00:15,1', "", "m1,2024-01-01T00:15,-5", good,
    ]  # fmt: skip
    (tmp_path / "r.csv").write_text(HEADER + "\n".join(lines) + "\n")
    blocks = read(tmp_path / "r.csv")
    assert faults(blocks) == [
        "OK", "MALFORMED", "MALFORMED", "BAD_TIME", "BAD_TIME",
        "BAD_VALUE", "BAD_VALUE", "BAD_VALUE",
        "BAD_VALUE", "BAD_VALUE", "UNKNOWN_METER",
        "UNKNOWN_METER", "TIME_OUT_OF_RANGE", "TIME_OUT_OF_RANGE",
        "TIME_OUT_OF_RANGE", "MALFORMED", "OK", "OK",
    ]  # fmt: skip
    assert columns(blocks)["position"].tolist() == list(range(1, 19))
    assert raw(blocks, 1) == {"raw": lines[1], "detail": "2 fields, wanted 3"}
    assert raw(blocks, 3) == {"meter_id": "m1", "ts": "soon", "value": "1"}
    assert raw(blocks, 15)["raw"] == lines[15]


def test_one_undecodable_line_costs_that_line(tmp_path: Path) -> None:
    line = b"m1,2024-01-01T00:00,1\n"
    (tmp_path / "r.csv").write_bytes(HEADER.encode() + line * 50 + b"m1,2024-\xb5,1\n" + line * 50)
    blocks = read(tmp_path / "r.csv")
    assert [i for i, f in enumerate(faults(blocks)) if f != "OK"] == [50]
    assert raw(blocks, 50) == {"raw": r"m1,2024-\xb5,1", "detail": "byte 0xb5 is not UTF-8"}


@pytest.mark.parametrize("name", ["r.csv", "r.ndjson", "r.csv.gz"])
def test_a_line_of_ten_megabytes(tmp_path: Path, name: str) -> None:
    long = "x" * 10_000_000
    if "csv" in name:
        good = "m1,2024-01-01T00:00,1\n"
        text = HEADER + good + f"m1,2024-01-01T00:00,{long}\n{long}\n" + good
        expected = ["OK", "BAD_VALUE", "MALFORMED", "OK"]
    else:
        good = '{"meter_id":"m1","ts":"2024-01-01T00:00","value":1}\n'
        text = good + good.replace("1}", f'"{long}"}}') + long + "\n" + good
        expected = ["OK", "BAD_VALUE", "MALFORMED", "OK"]
    data = gzip.compress(text.encode(), 1) if name.endswith("gz") else text.encode()
    (tmp_path / name).write_bytes(data)
    blocks = read(tmp_path / name)
    assert faults(blocks) == expected
    assert raw(blocks, 1)["value"] == long
    assert raw(blocks, 2)["raw"] == long


def test_a_file_without_line_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.streams.MAX_LINE_BYTES", 3 << 20)
    (tmp_path / "r.csv").write_bytes(HEADER.encode() + b"x" * (9 << 20))
    source = ReadingSource(str(tmp_path / "r.csv"), directory(["m1"]))
    assert faults(list(source)) == ["MALFORMED"]
    assert re.search("no line end within .* MiB", str(source.problem))


def test_bad_rows_of_ndjson(tmp_path: Path) -> None:
    good = '{"meter_id": "m1", "ts": "2024-01-01T00:00", "value": 1}'
    lines = [
        good, "{", "[1, 2]", '{"meter_id": "m1", "ts": "2024-01-01T00:00", "value": null}',
        '{"meter_id": "m1", "ts": "2024-01-01T00:00"}', "", good.replace("1}", '"2.50"}'),
        good.replace("1}", "NaN}"), good.replace("1}", "1e999}"), good.replace("1}", "true}"),
        good.replace('"2024-01-01T00:00"', "1704067200"), "null", good + good, good,
    ]  # fmt: skip
    (tmp_path / "r.ndjson").write_text("\n".join(lines))
    blocks = read(tmp_path / "r.ndjson")
    assert faults(blocks) == [
        "OK", "MALFORMED", "MALFORMED", "BAD_VALUE", "BAD_VALUE", "OK", "BAD_VALUE", "BAD_VALUE",
        "BAD_VALUE", "BAD_TIME", "MALFORMED", "MALFORMED", "OK",
    ]  # fmt: skip
    assert raw(blocks, 1)["raw"] == "{"
    assert raw(blocks, 5)["value"] == "2.50"
    assert columns(blocks)["value"][5] == 2.5


@pytest.mark.parametrize("value", ["1", '"1"'])
def test_numbers_and_texts_of_ndjson_are_read_in_bulk(
    tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f'{{"meter_id": "m1", "ts": "2024-01-01T00:00", "value": {value}}}\n'
    (tmp_path / "r.ndjson").write_text(line * 1000)
    monkeypatch.setattr("connectors.json_rows.JsonParser._parse_lines", None)
    assert columns(read(tmp_path / "r.ndjson"))["value"].sum() == 1000


@pytest.mark.parametrize("extension", ["csv", "ndjson", "parquet", "arrow"])
@pytest.mark.parametrize("skip", [0, 1, 4999, 9999, 10_000, 12_000])
def test_skipped_rows(tmp_path: Path, extension: str, skip: int) -> None:
    n = 10_000
    table = pa.table({"meter_id": ["m1"] * n, "ts": ["2024-01-01T00:00"] * n, "value": range(n)})
    path = str(tmp_path / f"r.{extension}")
    if extension == "parquet":
        pq.write_table(table, path, row_group_size=3000)
    else:
        write_table(path, table)
    reader = open_rows(path, READINGS, skip_rows=skip, numbers=("value",))
    got = [r.start + i for r in reader for i in range(len(r)) if r.start + i > skip]
    assert got == list(range(skip + 1, n + 1))
    reader.close()


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 7])
@pytest.mark.parametrize("name", ["r.csv", "r.ndjson"])
def test_skipping_counts_as_parsing_does(
    tmp_path: Path, name: str, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blank lines are no rows, malformed lines are; chunks of a few bytes, so that some are skipped."""
    lines = ["a,2024-01-01T00:00,1", "", "ragged", 'a,"2024-01-01T00:15",2', "\r", '"a,x,', "b,x,3"]
    text = HEADER
    if name == "r.ndjson":
        text = ""
        lines = ['{"meter_id":"a","ts":"x","value":1}', "", "[]", " ", '{"meter_id":"b"}'] * 2
    (tmp_path / name).write_text(text + "\n".join(lines * 2) + "\n")

    def rows(skip: int) -> dict[int, tuple[str, str]]:
        reader = open_rows(str(tmp_path / name), READINGS, skip_rows=skip)
        return {
            part.start + i: (row["meter_id"], row["ts"])
            for part in reader
            for i, row in enumerate(part.batch.to_pylist())
        }

    whole = rows(0)
    assert list(whole) == list(range(1, len(whole) + 1))
    with monkeypatch.context() as patch:
        patch.setattr(line_chunks, "__kwdefaults__", {"chunk_bytes": 25, "multiline": False})
        left = rows(skip)
    assert {k: v for k, v in left.items() if k > skip} == {
        k: v for k, v in whole.items() if k > skip
    }


def test_huge_batches_are_cut(tmp_path: Path) -> None:
    n = 150_000
    batch = pa.RecordBatch.from_pydict(
        {"meter_id": ["m1"] * n, "ts": ["2024-01-01T00:00"] * n, "value": [1.0] * n}
    )
    with RowWriter(str(tmp_path / "r.arrow"), batch.schema) as out:
        out.write(batch)
    blocks = read(tmp_path / "r.arrow")
    assert max(map(len, blocks)) <= 65_536
    assert sum(map(len, blocks)) == n


@pytest.mark.parametrize("extension", ["parquet", "arrow", "csv", "ndjson"])
def test_memory_does_not_grow_with_what_was_read(tmp_path: Path, extension: str) -> None:
    """A file of any size streams: what was handed on is let go."""
    path, rows, groups = tmp_path / f"r.{extension}", 20_000, 40
    rng, names = np.random.default_rng(5), ["meter_id", "ts", "value"]
    parts = [
        pa.table(
            [
                [f"m{group}-{i}" for i in range(rows)],
                ["2024-01-01T00:00:00Z"] * rows,
                rng.random(rows).astype(str),
            ],
            names=names,
        )
        for group in range(groups)
    ]
    if extension == "parquet":
        pq.write_table(pa.concat_tables(parts), path, row_group_size=rows, compression="none")
    else:
        with RowWriter(str(path), parts[0].schema) as writer:
            for part in parts:
                writer.write(part.to_batches()[0])
    before, held = pa.total_allocated_bytes(), []
    reader = open_rows(str(path), READINGS)
    for _ in reader:
        held.append(pa.total_allocated_bytes() - before)
    reader.close()
    assert len(held) > 10
    assert max(held) < path.stat().st_size / 2
