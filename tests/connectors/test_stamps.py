"""ISO 8601 in bulk against datetime; local time in bulk against zoneinfo."""

# ruff: noqa: DTZ001, DTZ901 (local stamps are naive by nature)
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.stamps import BAD, LOCAL, NO_TIME, parse_stamps
from connectors.stamps import UTC as ABSOLUTE
from connectors.zones import FoldMemory, LocalTime, instant_ns, zone_table
from tests.connectors.helpers import ns

EPOCH = datetime(1970, 1, 1)


def wall_ns(moment: datetime) -> int:
    span = moment.replace(tzinfo=None) - EPOCH
    return (span // timedelta(microseconds=1)) * 1000


@settings(max_examples=150)
@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    st.sampled_from(["T", " ", "t"]),
    st.sampled_from(["", "Z", "z", "+08:00", "-0330", "+02", "+05:45", " +08:00"]),
    st.booleans(),
    st.booleans(),
)
def test_any_iso_stamp_reads_as_datetime_reads_it(
    moment: datetime, spec: str, separator: str, offset: str, comma: bool, basic: bool
) -> None:
    text = moment.isoformat(separator, spec)
    if basic and separator != " ":
        text = text.replace("-", "").replace(":", "")
    if comma:
        text = text.replace(".", ",")
    text += offset
    plain = datetime.fromisoformat(moment.isoformat(timespec=spec))
    expected = wall_ns(plain)
    if offset:
        iso = "Z" if offset in "Zz" else offset.strip()
        span = datetime.fromisoformat("2000-01-01T00:00" + iso).utcoffset()
        assert span is not None
        expected -= wall_ns(EPOCH + span)
    got, kind = parse_stamps(pa.array([text]))
    assert kind[0] == (ABSOLUTE if offset else LOCAL)
    assert got[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-03-01", "2016-03-01"),
        ("2016-03-01T24:00", "2016-03-02"),
        ("2016-02-29T23:59:59.123456789", "2016-02-29T23:59:59.123456789"),
        ("2016-02-29T23:59:59.1234567899", "2016-02-29T23:59:59.123456789"),
        (" 2016-03-01T01:00:00\r", "2016-03-01T01:00:00"),
        ("0001-01-01T00:00:00", "1678-01-01"),
        ("9999-12-31T00:00:00", "2261-12-31"),
    ],
)
def test_odd_stamps(text: str, expected: str) -> None:
    got, kind = parse_stamps(pa.array([text]))
    assert kind[0] == LOCAL
    assert got[0] == ns(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "2016", "2016-13-01T00:00", "2015-02-29T00:00", "2016-03-01T25:00",
        "2016-03-01T24:01", "2016-03-01T01:60", "2016-03-01T01:00:60", "2016-03-01T01:00:00.",
        "2016-03-01T01:00:00+", "2016-03-01T01:00:00+8", "2016-03-01T01:00:00Q", "2016-03-01T",
        "2016-03-01T01:00:00Zx", "2016-03-01X01:00", "2016-3-1T01:00", "01/03/2016 01:00",
        "1456790400", "2016-03-01T01", "2016-0301T01:00", "２０１６-03-01T01:00", "-016-03-01T01:00",
    ],
)  # fmt: skip
def test_what_is_no_stamp_is_refused(text: str) -> None:
    got, kind = parse_stamps(pa.array([text, None, "2016-03-01T00:00"]))
    assert kind.tolist() == [BAD, BAD, LOCAL]
    assert got[:2].tolist() == [NO_TIME, NO_TIME]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_arrow_timestamps(unit: str, zone: str | None) -> None:
    column = pa.array([datetime(2016, 3, 1, 1), None], pa.timestamp(unit, zone))
    got, kind = parse_stamps(column)
    assert kind.tolist() == [ABSOLUTE if zone else LOCAL, BAD]
    instant = datetime(2016, 3, 1, 1)
    assert got.tolist() == [wall_ns(instant), NO_TIME]


def test_arrow_timestamps_beyond_int64_saturate() -> None:
    column = pa.array([2**62, -(2**62)], pa.int64()).cast(pa.timestamp("s"))
    got, kind = parse_stamps(column)
    assert kind.tolist() == [LOCAL, LOCAL]
    assert got[0] > ns("2250-01-01")
    assert got[1] < ns("1700-01-01")


def test_dates_and_dictionaries() -> None:
    assert parse_stamps(pa.array([date(2016, 3, 1)]))[0][0] == ns("2016-03-01")
    words = pa.array(["2016-03-01T00:00Z", None, "no", "2016-03-01T00:00Z"]).dictionary_encode()
    got, kind = parse_stamps(words)
    assert kind.tolist() == [ABSOLUTE, BAD, BAD, ABSOLUTE]
    assert got[3] == ns("2016-03-01")
    assert parse_stamps(pa.nulls(2, words.type))[1].tolist() == [BAD, BAD]


def test_slices_are_read_from_their_start() -> None:
    column = pa.array(["x", "2016-03-01T00:00", "2017-03-01T00:00"]).slice(2)
    assert parse_stamps(column)[0].tolist() == [ns("2017-03-01")]


ZONES = ["Europe/Madrid", "Asia/Shanghai", "Australia/Lord_Howe", "America/St_Johns", "UTC",
         "Africa/Casablanca", "Pacific/Apia", "America/Caracas"]  # fmt: skip


def local_to_utc(
    stamps: list[datetime], zones: list[int], meters: list[int] | None = None, interval_s: int = 900
) -> tuple[list[int], list[bool]]:
    n = len(stamps)
    times = np.array([wall_ns(s) for s in stamps], np.int64)
    gap = LocalTime(ZONES).to_utc(
        times, np.full(n, LOCAL, np.uint8), np.array(zones, np.uint8),
        np.array(meters or range(n), np.int32), np.full(n, interval_s, np.int32), FoldMemory(),
    )  # fmt: skip
    return times.tolist(), ([False] * n if gap is None else gap.tolist())


MOMENTS = st.one_of(
    st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)),
    # Most clock changes lie in the small hours of late March, April, October, November.
    st.builds(
        lambda y, m, d, minutes: datetime(y, m, d) + timedelta(minutes=minutes),
        st.integers(1990, 2040), st.sampled_from([3, 4, 10, 11, 12]), st.integers(20, 30),
        st.integers(0, 300),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.tuples(MOMENTS, st.integers(0, len(ZONES) - 1)), min_size=1, max_size=20))
def test_local_time_is_what_zoneinfo_says(rows: list[tuple[datetime, int]]) -> None:
    got, gaps = local_to_utc([m for m, _ in rows], [z for _, z in rows])
    for (moment, z), instant, gap in zip(rows, got, gaps, strict=True):
        zone = ZoneInfo(ZONES[z])
        back = moment.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)
        exists = back.replace(tzinfo=None) == moment
        assert gap == (not exists)
        if exists:
            first = moment.replace(tzinfo=zone, fold=0)
            assert instant == wall_ns(first.astimezone(UTC))


def test_unknown_zones_are_named() -> None:
    with pytest.raises(KeyError, match="Asia/Shangai"):
        zone_table("Asia/Shangai")
    with pytest.raises(KeyError):
        zone_table("../etc/passwd")


def fold_twin(rows: list[tuple[int, datetime]], interval_s: int) -> list[int]:
    """Madrid, row by row with zoneinfo: the first pass until that meter's stamps step back."""
    zone = ZoneInfo("Europe/Madrid")
    last: dict[int, tuple[date, datetime, int]] = {}
    out = []
    for meter, moment in rows:
        passes = [moment.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (0, 1)]
        fold = 0
        if passes[0] < passes[1]:
            day, before, fold = last.get(meter, (moment.date(), datetime.min, 0))
            if day != moment.date():
                before, fold = datetime.min, 0
            if moment < before or (moment == before and interval_s >= 3600):
                fold = 1
            last[meter] = (moment.date(), moment, fold)
        out.append(wall_ns(passes[fold]))
    return out


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([27, 27, 27, 26]),
            st.integers(11, 18).map(lambda q: q * 10),
        ),
        max_size=40,
    ),
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from([900, 3600]),
)
def test_the_second_pass_starts_where_a_meter_steps_back(
    raw: list[tuple[int, int, int]], cuts: list[int], interval_s: int
) -> None:
    """Rows of 2024-10-27 and 2025-10-26, in any order, cut anywhere."""
    rows = [
        (m, datetime(2024 if d == 27 else 2025, 10, d) + timedelta(minutes=t)) for m, d, t in raw
    ]
    got: list[int] = []
    memory = FoldMemory()
    local = LocalTime(["Europe/Madrid"])
    bounds = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    for start, stop in pairwise(bounds):
        part = rows[start:stop]
        n = len(part)
        times = np.array([wall_ns(t) for _, t in part], np.int64)
        local.to_utc(
            times, np.full(n, LOCAL, np.uint8), np.zeros(n, np.uint8),
            np.array([m for m, _ in part], np.int32), np.full(n, interval_s, np.int32), memory,
        )  # fmt: skip
        got += times.tolist()
        saved = memory.state()
        memory = FoldMemory()
        memory.restore(saved)
    assert got == fold_twin(rows, interval_s)


def test_the_whole_day_of_a_clock_change_reads_in_order() -> None:
    """A meter at 15 minutes through the longest day of the year: 100 slots, none twice."""
    zone = ZoneInfo("Europe/Madrid")
    start = datetime(2024, 10, 27, tzinfo=zone).astimezone(UTC)
    instants = [start + timedelta(minutes=15 * k) for k in range(100)]
    stamps = [i.astimezone(zone).replace(tzinfo=None) for i in instants]
    got, gaps = local_to_utc(stamps, [0] * 100, [1] * 100)
    assert got == [wall_ns(i) for i in instants]
    assert not any(gaps)


def test_offset_of_stamps_is_kept_apart_from_their_zone() -> None:
    when = datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=8)))
    got, kind = parse_stamps(pa.array([when.isoformat()]))
    assert got[0] == ns("2024-07-01T04:00")
    assert kind[0] == ABSOLUTE


@pytest.mark.parametrize(
    ("text", "end", "want"),
    [
        ("2024-07-02T08:00", False, "2024-07-02T06:00"),
        ("2024-07-02", False, "2024-07-01T22:00"),
        ("2024-07-02", True, "2024-07-02T22:00"),
        ("20240702 ", True, "2024-07-02T22:00"),
        ("2024-07-02T08:00Z", True, "2024-07-02T08:00"),
        ("2024-03-30", True, "2024-03-30T23:00"),
        ("2024-10-27T02:30", False, "2024-10-27T00:30"),
        ("2024-03-31T02:30", False, "2024-03-31T01:30"),
    ],
)
def test_instants_of_attributes(text: str, end: bool, want: str) -> None:
    assert instant_ns(text, "Europe/Madrid", end=end) == ns(want)


def test_instants_that_are_none() -> None:
    with pytest.raises(ValueError, match="'some day' is no time"):
        instant_ns("some day", "UTC")


def test_stamps_that_repeat_are_those_of_each_alone() -> None:
    stamps = [
        "2026-01-01T00:15:00Z", "2026-01-01T00:15:00Z", "2026-01-01T00:15:00Z", "2026-01-01T00:15:0xZ",
        "2026-01-01T00:15:0xZ", "soon", "soon", "", "", None, None, "2026-01-01", "2026-01-01",
        "2026-01-02", "20260101T0015", "20260101T0015", "20260101T0016", "20270101T0016",
    ]  # fmt: skip
    column = pa.array(["x", *stamps], pa.string()).slice(1)
    ns, kind = parse_stamps(column)
    alone = [parse_stamps(pa.array([stamp], pa.string())) for stamp in stamps]
    assert ns.tolist() == [int(n[0]) for n, _ in alone]
    assert kind.tolist() == [int(k[0]) for _, k in alone]
