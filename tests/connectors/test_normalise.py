"""Raw rows to blocks: any split of the same rows gives the same, and faults by precedence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.normalise import Normaliser
from connectors.records import Fault
from connectors.rows import RawRows
from connectors.sources import ReadingSource
from tests.connectors.helpers import columns, directory, faults, flat, ns

STAMPS = st.one_of(
    # Half-hours around both clock changes of 2024 in Madrid, so that hours repeat or are missing.
    st.integers(0, 12).map(lambda k: f"2024-10-27T{k // 2:02d}:{30 * (k % 2):02d}"),
    st.integers(0, 12).map(lambda k: f"2024-03-31T{k // 2:02d}:{30 * (k % 2):02d}"),
    st.integers(0, 40).map(lambda k: f"2024-10-26T{k // 2:02d}:30Z"),
    st.sampled_from(["2031-01-01T00:00Z", "1970-01-01T00:00Z", "2100-01-01T00:00Z", "x", None]),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "stranger", None]),
        STAMPS,
        st.sampled_from(["1", "2.5", "nan", "", None, " 3 ", "+4", "-1e3", "1e999", "1,5", "0x1"]),
    ),
    max_size=50,
)


@settings(max_examples=150)
@given(ROWS, st.lists(st.integers(0, 50), max_size=8))
def test_any_split_gives_the_same_blocks(
    rows: list[tuple[str | None, str | None, str | None]], cuts: list[int]
) -> None:
    book = directory(["a", "b", "c", "d"], "Europe/Madrid", 1800)
    book.meter_fault[3] = Fault.NO_PLACE
    batch = pa.RecordBatch.from_arrays(
        [pa.array([r[k] for r in rows], pa.string()) for k in range(3)],
        names=["meter_id", "ts", "value"],
    )

    def run(bounds: list[int]) -> list[tuple[object, ...]]:
        normaliser = Normaliser("s", book)
        blocks = []
        for start, stop in zip(bounds, [*bounds[1:], len(rows)], strict=True):
            blocks += normaliser.feed(RawRows(start + 1, batch.slice(start, stop - start)))
        blocks += normaliser.finish()
        assert normaliser.held == 0
        texts = [row for b in blocks for row in b.raw.to_pylist()]  # type: ignore[union-attr]
        assert texts == batch.to_pylist()
        return flat(blocks)

    whole = run([0])
    assert [row[1] for row in whole] == list(range(1, len(rows) + 1))
    arrivals = [row[5] for row in whole]
    assert arrivals == sorted(arrivals)
    assert run(sorted({0, *(c for c in cuts if c < len(rows))})) == whole
    assert run(list(range(max(len(rows), 1)))) == whole


def test_faults_of_the_meter(tmp_path: Path) -> None:
    book = directory(["a", "b"], "Europe/Madrid")
    book.meter_fault[1] = Fault.NO_PLACE
    path = tmp_path / "r.csv"
    path.write_text(
        "meter_id,ts,value\na,2024-03-31T02:30,1\nb,2024-03-31T01:30,1\nb,soon,1\na,2024-03-31T03:00,nan\n"
    )
    blocks = list(ReadingSource(str(path), book))
    assert faults(blocks) == ["NONEXISTENT_HOUR", "NO_PLACE", "BAD_TIME", "BAD_VALUE"]
    assert columns(blocks)["ts_ns"].tolist()[1] == ns("2024-03-31T00:30")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0), ("-0.5", -0.5), ("1e3", 1000.0), (" 7 ", 7.0), ("+7", 7.0), (".5", 0.5),
        ("5.", 5.0), ("314305.0", 314305.0), ("0.1", 0.1), ("9007199254740993", 2.0**53),
    ],
)  # fmt: skip
def test_numbers(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"meter_id,ts,value\na,2024-01-01T00:00,{text}\na,2024-01-01T00:00,x\n")
    blocks = list(ReadingSource(str(path), directory(["a"])))
    assert faults(blocks) == ["OK", "BAD_VALUE"]
    assert columns(blocks)["value"][0] == value


def test_meters_added_while_reading_are_known_from_then_on() -> None:
    book = directory(["a"])
    normaliser = Normaliser("s", book)
    row = pa.RecordBatch.from_pydict(
        {"meter_id": ["b"], "ts": ["2024-01-01T00:00"], "value": ["1"]}
    )
    first = [*normaliser.feed(RawRows(1, row))]
    book.meters.put(pa.array(["b"]), np.array([1]))
    book.meter_zone = np.zeros(2, np.uint8)
    book.meter_interval_s = np.full(2, 900, np.int32)
    book.meter_fault = np.zeros(2, np.uint8)
    rest = [*normaliser.feed(RawRows(2, row)), *normaliser.finish()]
    assert faults([*first, *rest]) == ["UNKNOWN_METER", "OK"]
