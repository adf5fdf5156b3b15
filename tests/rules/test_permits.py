"""Permits of closed plants as intervals, against a minute-by-minute twin."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.permits import NS, expand, problems

MONDAY = dt.date(2026, 3, 2)


def spans(
    attrs: dict[str, Any], day: dt.date = MONDAY, days: int = 1, zone: str = "Asia/Shanghai"
) -> list[tuple[str, str, float]]:
    tz = ZoneInfo(zone)

    def shown(ns: int) -> str:
        return dt.datetime.fromtimestamp(ns // NS, tz).strftime("%d %H:%M")

    return [(shown(i.start_ns), shown(i.end_ns), i.kw) for i in expand(attrs, day, days, zone)]


def window(**changes: Any) -> dict[str, Any]:
    return {"from": "2026-03-02", "to": "2026-03-06", "kw": 50, **changes}


def test_none() -> None:
    assert spans({}) == []
    assert spans({"permitted_kw": 0}) == []


def test_always() -> None:
    assert spans({"permitted_kw": 5}) == [("02 00:00", "03 00:00", 5.0)]


def test_hours_within_a_day() -> None:
    attrs = {"permitted_windows": [window(hours=["07:00", "18:00"])]}
    assert spans(attrs) == [("02 07:00", "02 18:00", 50.0)]


def test_the_highest_wins() -> None:
    attrs = {
        "permitted_kw": 5,
        "permitted_windows": [
            window(hours=["07:00", "18:00"]),
            window(hours=["12:00", "20:00"], kw=80),
        ],
    }
    assert spans(attrs) == [
        ("02 00:00", "02 07:00", 5.0),
        ("02 07:00", "02 12:00", 50.0),
        ("02 12:00", "02 20:00", 80.0),
        ("02 20:00", "03 00:00", 5.0),
    ]


def test_hours_across_midnight_belong_to_the_day_they_begin_on() -> None:
    attrs = {"permitted_windows": [window(days=[5], hours=["22:00", "06:00"])]}
    friday = dt.date(2026, 3, 6)
    assert spans(attrs, friday) == [("06 22:00", "07 00:00", 50.0)]
    # `to` is Friday, inclusive: the night that began on it ends on Saturday.
    assert spans(attrs, dt.date(2026, 3, 7)) == [("07 00:00", "07 06:00", 50.0)]
    assert spans(attrs, friday, 2) == [("06 22:00", "07 06:00", 50.0)]
    assert spans(attrs, dt.date(2026, 3, 5)) == []


def test_the_last_day_is_included_and_the_next_is_not() -> None:
    attrs = {"permitted_windows": [window()]}
    assert spans(attrs, dt.date(2026, 3, 6)) == [("06 00:00", "07 00:00", 50.0)]
    assert spans(attrs, dt.date(2026, 3, 7)) == []
    assert spans(attrs, dt.date(2026, 3, 1)) == []


def test_week_days() -> None:
    attrs = {"permitted_windows": [window(days=[2])]}
    assert spans(attrs, days=3) == [("03 00:00", "04 00:00", 50.0)]


def test_a_whole_day_by_its_clock() -> None:
    for hours in (["00:00", "24:00"], ["00:00", "00:00"]):
        assert spans({"permitted_windows": [window(hours=hours)]})[0][2] == 50.0


def test_the_hour_that_occurs_twice_is_permitted_twice() -> None:
    attrs = {"permitted_windows": [{"hours": ["02:00", "04:00"], "kw": 1}]}
    (interval,) = expand(attrs, dt.date(2026, 10, 25), 1, "Europe/Madrid")
    assert interval.end_ns - interval.start_ns == 3 * 3600 * NS
    (interval,) = expand(attrs, dt.date(2026, 3, 29), 1, "Europe/Madrid")
    assert interval.end_ns - interval.start_ns == 1 * 3600 * NS


@pytest.mark.parametrize(
    ("attrs", "start"),
    [
        ({"permitted_kw": "five"}, 'permitted_kw: got "five"'),
        ({"permitted_kw": -1}, "permitted_kw: got -1"),
        ({"permitted_kw": float("nan")}, "permitted_kw: got nan"),
        ({"permitted_kw": True}, "permitted_kw: got True"),
        ({"permitted_windows": {}}, "permitted_windows: got {}"),
        ({"permitted_windows": [1]}, "permitted_windows[0]: got 1"),
        ({"permitted_windows": [window(kw=None)]}, "permitted_windows[0].kw: got None"),
        ({"permitted_windows": [window(to="soon")]}, 'permitted_windows[0].to: got "soon"'),
        ({"permitted_windows": [window(to="2026-01-01")]}, "permitted_windows[0]: from"),
        ({"permitted_windows": [window(days=[0])]}, "permitted_windows[0].days: got [0]"),
        ({"permitted_windows": [window(days="mon")]}, 'permitted_windows[0].days: got "mon"'),
        ({"permitted_windows": [window(hours=["7", "18"])]}, "permitted_windows[0].hours"),
        ({"permitted_windows": [window(hours=["25:00", "18:00"])]}, "permitted_windows[0].hours"),
        ({"permitted_windows": [window(hour=1)]}, 'permitted_windows[0]: unknown key "hour"'),
    ],
)
def test_what_cannot_be_read_permits_nothing_and_is_said(attrs: dict[str, Any], start: str) -> None:
    assert [p.startswith(start) for p in problems(attrs)] == [True]
    assert spans(attrs) == []


clocks = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from([0, 15, 45]))
windows = st.builds(
    lambda first, length, days, hours, kw: {
        "from": (MONDAY + dt.timedelta(days=first)).isoformat(),
        "to": (MONDAY + dt.timedelta(days=first + length)).isoformat(),
        "days": sorted(days),
        "hours": list(hours),
        "kw": kw,
    },
    st.integers(-3, 3),
    st.integers(0, 3),
    st.sets(st.integers(1, 7), min_size=1),
    st.tuples(clocks, clocks),
    st.sampled_from([0, 10, 20, 30]),
)


def permitted(attrs: dict[str, Any], at: dt.datetime) -> float:
    """Say what is permitted at one local minute, straight from the description of the files."""
    best = float(attrs.get("permitted_kw", 0))
    for w in attrs["permitted_windows"]:
        start, stop = (int(c[:2]) * 60 + int(c[3:]) for c in w["hours"])
        minute = at.hour * 60 + at.minute
        for day, inside in (
            (at.date(), start <= minute < stop if start < stop else minute >= start),
            (at.date() - dt.timedelta(days=1), start >= stop and minute < stop),
        ):
            if inside and w["from"] <= day.isoformat() <= w["to"] and day.isoweekday() in w["days"]:
                best = max(best, float(w["kw"]))
    return best


@settings(max_examples=60)
@given(st.lists(windows, max_size=4), st.sampled_from([0, 15]))
def test_equal_to_the_twin(found: list[dict[str, Any]], base: float) -> None:
    attrs = {"permitted_kw": base, "permitted_windows": found}
    intervals = expand(attrs, MONDAY, 2, "UTC")
    assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(intervals))
    start = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    for minute in range(0, 2880, 15):
        at = start + dt.timedelta(minutes=minute)
        ns = int(at.timestamp()) * NS
        mine = [i.kw for i in intervals if i.start_ns <= ns < i.end_ns]
        assert (mine or [0.0])[0] == permitted(attrs, at)
