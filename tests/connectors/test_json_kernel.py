"""Plain NDJSON read by the kernel is what Arrow's parser makes of it; all else is left to that."""

from __future__ import annotations

import json
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.json_kernel import plain_lines
from connectors.json_rows import JsonParser
from connectors.rows import RawRows

WANTED = ("meter_id", "ts", "value")

texts = st.one_of(
    st.sampled_from(
        ["m1", "", "2026-01-01T00:15:00+08:00", "电表-0007", 'a"b', "a\\b", "tab\there"]
    ),
    st.text(max_size=20),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 1e6).map(lambda x: round(x, 2)),
)
odd = st.one_of(
    st.booleans(), st.lists(numbers, max_size=2), st.dictionaries(texts, texts, max_size=1)
)
values = st.one_of(texts, numbers, st.none(), odd)
records = st.one_of(
    st.fixed_dictionaries({"meter_id": texts, "ts": texts, "value": numbers}),
    st.fixed_dictionaries(
        {}, optional={"value": values, "meter_id": values, "ts": st.none() | texts, "note": values}
    ),
)
spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])
layouts = st.tuples(spaces, st.booleans(), st.sampled_from(["\n", "\r\n", " \n"]))
broken = st.sampled_from(
    [
        b'{"meter_id":"a","ts":"b","value":01}\n',
        b'{"meter_id":"a","ts":"b","value":1.}\n',
        b'{"meter_id":"a","ts":"b","value":.5}\n',
        b'{"meter_id":"a","ts":"b","value":+5}\n',
        b'{"meter_id":"a","ts":"b","value":-}\n',
        b'{"meter_id":"a","ts":"b","value":1e}\n',
        b'{"meter_id":"a","ts":"b","value":1E+2}\n',
        b'{"meter_id":"a","ts":"b","value":-0}\n',
        b'{"meter_id":"a","ts":"b","value":1e999}\n',
        b'{"meter_id":"a","ts":"b","value":-1.5e-99}\n',
        b'{"meter_id":"a","ts":"b","value":1e-400}\n',
        b'{"meter_id":"a","ts":"b","value":' + b"9" * 400 + b"}\n",
        b'{"meter_id":"a","ts":"b","value":' + b"9" * 99 + b"}\n",
        b'{"meter_id":"a","ts":"b","value":"12.5"}\n',
        b'{"meter_id":"a","meter_id":"b","value":1}\n',
        b'{"note":1,"note":2,"value":1}\n',
        b'{"meter_id":"a","ts":"b","value":1,}\n',
        b'{"meter_id":"a" "ts":"b"}\n',
        b'{"meter_id":"a","ts":"b","value":1} x\n',
        b'{"meter_id":"a",\n"value":1}\n',
        b'{"meter_id":"a\x01b","value":1}\n',
        b'{"meter_id":"\xff","value":1}\n',
        b'{"meter_i":"a","meter_idx":"b","meter_id":"c","":3}\n',
        b'{"value":nul,"meter_id":"a"}\n',
        b'{"note":true,"other":false,"value":null}\n',
        b'{"meter_id":true}\n',
        b'{"meter_id":7}\n',
        b'{"meter_id":"a"\n',
        b"{}\n",
        b"\n",
        b"[1]\n",
        b'\xef\xbb\xbf{"meter_id":"a"}\n',
        b'{"meter_id":"a","value":1}\r{"meter_id":"b"}\n',
    ]
)


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    (comma, colon), ascii_only, end = draw(layouts)
    lines = [
        json.dumps(r, separators=(comma, colon), ensure_ascii=ascii_only).encode(
            errors="surrogatepass"
        )
        + end.encode()
        for r in draw(st.lists(records, min_size=1, max_size=6))
    ]
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), draw(broken))
    data = b"".join(lines)
    return data.rstrip(b"\n") if draw(st.booleans()) else data


def parsed(data: bytes, *, kernel: bool) -> RawRows:
    with mock.patch("connectors.json_rows.plain_lines", plain_lines if kernel else _nothing):
        return JsonParser(WANTED, numbers=("value",)).parse(data, 5)


def _nothing(*_: object) -> None:
    return None


def assert_same(data: bytes) -> None:
    with_kernel, without = parsed(data, kernel=True), parsed(data, kernel=False)
    assert with_kernel.start == without.start
    assert with_kernel.batch.schema == without.batch.schema
    # As text, where −0.0 is not 0.0 and NaN is NaN.
    assert str(with_kernel.batch.to_pylist()) == str(without.batch.to_pylist())
    assert (with_kernel.malformed is None) == (without.malformed is None)
    if without.malformed is not None:
        assert np.array_equal(with_kernel.malformed, without.malformed)


@given(chunks())
def test_every_chunk_is_read_as_without_the_kernel(data: bytes) -> None:
    assert_same(data)


@pytest.mark.parametrize("line", broken.elements)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_out_of_the_ordinary_is_read_as_without_the_kernel(line: bytes, place: int) -> None:
    lines = [b'{"meter_id":"m1","ts":"2026-01-01T00:00","value":1.5}\n'] * 2
    lines.insert(place, line)
    assert_same(b"".join(lines))


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=["Cs"])
            ),
            st.floats(1e-90, 1e90) | st.floats(-1e90, -1e-90) | st.integers(-(2**62), 2**62),
        ),
        min_size=1,
    )
)
def test_plain_lines_are_taken_by_the_kernel(rows: list[tuple[str, float]]) -> None:
    data = "".join(
        json.dumps({"value": v, "ts": t, "x": t, "meter_id": t}, ensure_ascii=False) + "\n"
        for t, v in rows
    ).encode()
    found = plain_lines(data, WANTED, ("value",))
    assert found is not None
    assert found.schema.types == [pa.string(), pa.string(), pa.float64()]
    found.validate(full=True)
    assert found.column(0).to_pylist() == found.column(1).to_pylist() == [t for t, _ in rows]
    assert found.column(2).to_pylist() == [float(v) for _, v in rows]


def test_numbers_in_quotes_stay_text_and_missing_values_are_null() -> None:
    data = b'{"meter_id":"a","value":"1.50"}\n{"ts":"t"}\n{"value":"x","meter_id":null}'
    found = plain_lines(data, WANTED, ("value",))
    assert found is not None
    assert found.to_pydict() == {
        "meter_id": ["a", None, None], "ts": [None, "t", None], "value": ["1.50", None, "x"],
    }  # fmt: skip


def test_this_machine_has_the_lowest_byte_first() -> None:
    # What the kernel's words rely on; numba itself runs nowhere else.
    assert sys.byteorder == "little"
