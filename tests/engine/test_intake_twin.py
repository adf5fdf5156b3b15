"""The intake against its naive twin, over streams with every flaw."""

from __future__ import annotations

from itertools import groupby, pairwise
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.intake_kit import T0, TICK_S, Driver, registry
from tests.engine.intake_twin import Twin

METERS: list[dict[str, Any]] = [
    {},
    {"interval_s": 3600, "register": False},
    {"utility": "electricity", "interval_s": 900, "scale": 20.0, "register_max": 9999.0},
    {"utility": "electricity", "interval_s": 900, "register": False, "stamp_end": False},
]
LATENESS = {3600: 3600, 900: 900}
Row = tuple[int, int, float]
"""(meter, stamp in seconds, value)"""

GAPS = st.sampled_from([600, 900, 900, 1800, 3600, 3600, 3610, 5400, 9000, 9001, 20_000])
USES = st.sampled_from([0.0, 0.0, 0.1, 1.0, 5.0, 40.0])
FLAWS = st.sampled_from(
    ["none"] * 12
    + ["double", "lower", "higher", "far", "up", "zero", "back", "replaced", "negative", "swap"]
    + ["huge", "jump"]
)
EXTRA = {"double": 0.0, "lower": -1.0, "higher": 2.0, "far": 5_000.0}
"""Second readings of the same time: how much they differ."""


def register_rows(meter: int, spec: dict[str, Any], start: float, steps: list[Any]) -> list[Row]:
    rows: list[Row] = []
    at, level = T0, start
    for gap, use, flaw in steps:
        at += gap
        level += use
        if level > spec.get("register_max", 1e9):
            level -= spec["register_max"]
        if flaw == "back":
            level = max(0.0, level - 4.0)
        elif flaw == "replaced":
            level = 3.0
        elif flaw == "jump" and meter == 0:
            level += 4_000.0
        rows.append((meter, at, level))
        if flaw in ("up", "zero"):
            at += 300
            rows.append((meter, at, level + 9_000.0 if flaw == "up" else 0.0))
    return rows


@st.composite
def streams(draw: st.DrawFn, most: int = 30, flaws: st.SearchStrategy[str] = FLAWS) -> list[Row]:
    """Rows of four meters in order of arrival, mostly on time."""
    rows: list[Row] = []
    for meter, spec in enumerate(METERS):
        steps = draw(st.lists(st.tuples(GAPS, USES, flaws), max_size=most))
        if spec.get("register", True):
            own = register_rows(meter, spec, draw(st.sampled_from([0.0, 500.0, 9_900.0])), steps)
        else:
            every = spec["interval_s"]
            slots = np.cumsum([max(1, gap // every) for gap, _, _ in steps], dtype=np.int64)
            own = [
                (meter, int(T0 + k * every), use)
                for k, (_, use, _) in zip(slots, steps, strict=True)
            ]
        disturbed: list[Row] = []
        marks = [flaw for _, _, flaw in steps] + ["none"] * len(own)
        for row, flaw in zip(own, marks, strict=False):
            disturbed.append(row)
            if flaw in EXTRA:
                disturbed.append((meter, row[1], row[2] + EXTRA[flaw]))
            elif flaw in ("negative", "huge"):
                disturbed.append((meter, row[1], -1.0 if flaw == "negative" else 1e9))
            elif flaw == "swap" and len(disturbed) > 2:
                disturbed[-1], disturbed[-2] = disturbed[-2], disturbed[-1]
        rows += disturbed
    # Meters side by side: each keeps its own order, however it is disturbed.
    newest: dict[int, int] = {}
    keys = []
    for meter, at, _ in rows:
        newest[meter] = max(at, newest.get(meter, at))
        keys.append(newest[meter])
    return [rows[i] for i in sorted(range(len(rows)), key=keys.__getitem__)]


def columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    meter, at, value = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(meter, np.int32), np.array(at, np.int64), np.array(value, np.float64)


def driver() -> Driver:
    reg = registry(*METERS)
    return Driver(reg, [LATENESS[c.interval_s] for c in reg.classes])


@settings(max_examples=60)
@given(streams())
def test_it_does_what_the_twin_does(rows: list[Row]) -> None:
    if not rows:
        return
    d, twin = driver(), Twin(METERS, LATENESS)
    newest = 0
    for meter, at, value in rows:
        newest = max(newest, at)
        twin.add(meter, at, value, newest // TICK_S * TICK_S)
    d.feed(*columns(rows))
    d.finish()
    twin.finish()
    assert [(d.status[i], d.fault[i]) for i in range(len(rows))] == twin.status
    assert sum(d.counts.values()) == len(rows)
    for k, m in enumerate(twin.meters):
        got = d.row(k, T0 - 86_400, newest)
        first = (T0 - 86_400) // m.interval_s
        want = [m.amount(first + i) for i in range(len(got))]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4, err_msg=f"meter {k}")


@settings(max_examples=25)
@given(streams(), st.lists(st.integers(0, 160), max_size=8))
def test_blocks_change_nothing(rows: list[Row], cuts: list[int]) -> None:
    if not rows:
        return
    meter, at, value = columns(rows)
    arrival = np.maximum.accumulate(at)
    whole, parts, single = driver(), driver(), driver()
    whole.feed(meter, at, value, arrival)
    edges = sorted({0, len(rows), *(min(c, len(rows)) for c in cuts)})
    for d, bounds in ((parts, edges), (single, range(len(rows) + 1))):
        for a, b in pairwise(bounds):
            d.feed(meter[a:b], at[a:b], value[a:b], arrival[a:b])
    for d in (whole, parts, single):
        d.finish()
    for d in (parts, single):
        assert d.status == whole.status
        assert d.fault == whole.fault
        assert d.amounts.keys() == whole.amounts.keys()
        for key, frame in whole.amounts.items():
            np.testing.assert_array_equal(d.amounts[key], frame)
            if key in whole.frames:
                np.testing.assert_array_equal(d.frames[key], whole.frames[key])


@settings(max_examples=25)
@given(streams(), st.integers(0, 160))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(rows: list[Row], cut: int) -> None:
    if not rows:
        return
    meter, at, value = columns(rows)
    arrival = np.maximum.accumulate(at)
    cut = min(cut, len(rows))
    d = driver()
    d.feed(meter[:cut], at[:cut], value[:cut], arrival[:cut])
    other = driver()
    other.intake.restore(*d.intake.snapshot())
    other.now_s, other.next_slot, other.taken = d.now_s, list(d.next_slot), d.taken
    other.status, other.fault = dict(d.status), dict(d.fault)
    for x in (d, other):
        x.feed(meter[cut:], at[cut:], value[cut:], arrival[cut:])
        if x.now_s is not None:
            x.finish()
    assert other.status == d.status
    assert d.amounts.keys() >= other.amounts.keys()
    for key, frame in other.frames.items():
        np.testing.assert_array_equal(frame, d.frames[key])
    (_, one), (_, two) = d.intake.snapshot(), other.intake.snapshot()
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in two.items()}


def shuffled(rows: list[Row], random: Random | None) -> Driver:
    """Feed rows in windows of 15 minutes, in order or not, all of them on time."""
    d = driver()
    for meter, spec in enumerate(METERS):
        if spec.get("register", True):
            level = next((r[2] for r in rows if r[0] == meter), 0.0)
            d.feed([meter], [T0 - 900], [level], [T0])
    for window, group in groupby(sorted(rows, key=lambda r: r[1]), lambda r: r[1] // 900):
        part = list(group)
        if random:
            random.shuffle(part)
        d.feed(*columns(part), np.full(len(part), (window + 1) * 900))
    d.finish()
    return d


def one_each(rows: list[Row]) -> list[Row]:
    """Return one row per meter and time: which of two is the other's double depends on order."""
    return list({row[:2]: row for row in reversed(rows) if row[2] >= 0}.values())


@settings(max_examples=25)
@given(streams(), st.randoms(use_true_random=False))
def test_order_on_time_changes_no_amount(rows: list[Row], random: Random) -> None:
    rows = one_each(rows)
    one, two = shuffled(rows, None), shuffled(rows, random)
    assert sum(one.counts.values()) == sum(two.counts.values()) == one.taken
    assert one.amounts.keys() == two.amounts.keys()
    for key, frame in one.amounts.items():
        np.testing.assert_array_equal(two.amounts[key], frame)


@settings(max_examples=25)
@given(streams(flaws=st.sampled_from(["none", "back"])), st.randoms(use_true_random=False))
def test_order_on_time_changes_no_count(rows: list[Row], random: Random) -> None:
    rows = one_each(rows)
    assert shuffled(rows, None).counts == shuffled(rows, random).counts


@settings(max_examples=25)
@given(streams(flaws=st.just("lower")), st.randoms(use_true_random=False))
def test_of_two_readings_of_one_time_content_decides(rows: list[Row], random: Random) -> None:
    rows = [row for row in rows if row[2] >= 0]
    one, two = shuffled(rows, None), shuffled(rows, random)
    assert one.counts == two.counts
    for key, frame in one.amounts.items():
        np.testing.assert_array_equal(two.amounts[key], frame)
