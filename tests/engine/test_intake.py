"""The intake, flaw by flaw, and on the real meters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.records import Fault, Status
from engine.intake import HELD, Intake, IntakeError
from engine.intake.layout import BEFORE, NEVER, NEVER_NS, REGISTER, SINCE
from tests.engine.intake_kit import NS, T0, Driver, real, registry

HOUR = 3600
NAN = float("nan")


def fed(spec: dict[str, Any], readings: list[tuple[float, float]], hours: int = 6) -> Driver:
    """Return a driver that was fed (hours after T0, value) of one meter and has finished."""
    reg = registry(spec)
    d = Driver(reg, [reg.classes[0].interval_s])
    at, value = zip(*readings, strict=True)
    d.feed([0] * len(at), T0 + HOUR * np.array(at, float), value)
    d.finish(hours)
    return d


def amounts(d: Driver, slots: int) -> list[float]:
    return d.row(0, T0, T0 + slots * HOUR)


def ends(d: Driver) -> list[str]:
    return [
        Fault(d.fault[i]).name if d.fault[i] else Status(d.status[i]).name.lower()
        for i in range(d.taken)
    ]


# -- registers ---------------------------------------------------------------------------------


def test_amounts_add_up_to_the_register() -> None:
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.uniform(0.2, 1.8, 400))
    level = 5_000 + np.cumsum(rng.gamma(0.3, 40.0, 400))
    d = fed({}, list(zip(at, level, strict=True)))
    row = np.array(amounts(d, int(at[-1])))
    known = np.flatnonzero(~np.isnan(row))
    assert known.tolist() == list(range(int(np.ceil(at[0])), int(at[-1])))
    # Edges of the first and last slot are interpolated, as everywhere.
    seconds = np.floor(at * HOUR) / HOUR
    want = np.interp([known[-1] + 1.0], seconds, level) - np.interp([known[0]], seconds, level)
    assert row[known].sum() == pytest.approx(want[0], rel=1e-5)


def test_irregular_stamps_are_interpolated() -> None:
    d = fed({"scale": 10.0}, [(0.5, 100), (1.5, 110), (2.5, 114), (3.5, 114)])
    assert amounts(d, 4) == pytest.approx([NAN, 70.0, 20.0, NAN], nan_ok=True)


def test_a_long_gap_is_missing_and_not_spread() -> None:
    d = fed({}, [(0, 100), (1, 101), (5, 141), (6, 142)])
    assert amounts(d, 6) == pytest.approx([1, NAN, NAN, NAN, NAN, 1], nan_ok=True)


def test_a_long_gap_without_use_is_use_of_zero() -> None:
    d = fed({}, [(0, 100), (1, 101), (20, 101), (21, 102)])
    assert amounts(d, 21) == [1.0] + [0.0] * 19 + [1.0]
    assert d.amended == 18  # slots that were closed as missing


def test_a_small_step_back_is_no_use_until_the_old_level_is_passed() -> None:
    d = fed({}, [(0, 1000), (1, 1010), (2, 950), (3, 990), (4, 1015), (5, 1020)])
    assert ends(d) == ["processed"] * 6
    assert amounts(d, 5) == [10.0, 0.0, 0.0, 5.0, 5.0]


def test_after_twelve_low_readings_the_low_level_is_the_truth() -> None:
    low = [(2 + i, 900 + i) for i in range(20)]
    d = fed({}, [(0, 1000), (1, 1010), *low])
    row = amounts(d, 21)
    assert row[:13] == [10.0] + [0.0] * 12
    assert row[13:] == [1.0] * 8


def test_a_replaced_register_leaves_one_slot_open() -> None:
    d = fed({}, [(0, 5000), (1, 5010), (2, 3), (3, 8), (4, 9)])
    assert ends(d) == ["processed"] * 5
    assert amounts(d, 4) == pytest.approx([10, NAN, 5, 1], nan_ok=True)


def test_a_register_rolls_over() -> None:
    d = fed({"register_max": 9999.0}, [(0, 9980), (1, 9990), (2, 5), (3, 8)])
    assert ends(d) == ["processed"] * 4
    assert amounts(d, 3) == [10.0, 14.0, 3.0]


@pytest.mark.parametrize("glitch", [0.0, 9_000_000.0])
def test_a_glitch_is_refuted_by_its_neighbours(glitch: float) -> None:
    d = fed({}, [(0, 5000), (1, 5010), (2, glitch), (3, 5015), (4, 5016)])
    assert ends(d) == ["processed", "processed", "GLITCH", "processed", "processed"]
    assert amounts(d, 4) == [10.0, 2.5, 2.5, 1.0]


def test_a_jump_that_stays_is_a_new_register() -> None:
    d = fed({}, [(0, 100), (1, 110), (2, 80_000), (3, 80_004), (4, 80_005)])
    assert ends(d) == ["processed"] * 5
    assert amounts(d, 4) == pytest.approx([10, NAN, 4, 1], nan_ok=True)


def test_a_large_customer_is_believed() -> None:
    d = fed({}, [(i, 4_000 * i) for i in range(6)])
    assert amounts(d, 4) == [4_000.0] * 4


def test_a_reading_held_at_the_end_is_counted() -> None:
    d = fed({}, [(0, 100), (1, 110), (2, 80_000)])
    assert d.counts == {"processed": 3, "duplicate": 0, "late": 0, "quarantined": 0}


def test_doubles_and_conflicts() -> None:
    rows = [(0, 100.0), (1, 110.0), (1, 110.0), (2, 120.0), (2, 118.0), (3, 130.0)]
    d = fed({}, rows)
    assert ends(d) == [
        "processed", "processed", "duplicate", "processed", "CONFLICT", "processed",
    ]  # fmt: skip
    assert amounts(d, 3) == [10.0, 8.0, 12.0]  # the lower level stands
    rows[3], rows[4] = rows[4], rows[3]
    other = fed({}, rows)
    assert other.counts == d.counts
    assert amounts(other, 3) == amounts(d, 3)


def test_among_conflicting_levels_the_plausible_one_stands() -> None:
    rows = [(0, 100.0), (1, 110.0), (2, 0.0), (2, 120.0), (3, 130.0)]
    d = fed({"register_max": 999.0}, [(t, v + 500) if v else (t, v) for t, v in rows])
    assert ends(d) == ["processed", "processed", "CONFLICT", "processed", "processed"]
    assert amounts(d, 3) == [10.0, 10.0, 10.0]


def test_impossible_values() -> None:
    d = fed({"register_max": 999.0}, [(0, 100), (1, -1), (2, 1_000), (3, 104)])
    assert ends(d) == ["processed", "NEGATIVE", "IMPOSSIBLE", "processed"]
    assert np.isnan(amounts(d, 3)).all()  # 3 h apart, and the register moved


def test_more_readings_than_are_kept_lose_nothing() -> None:
    at = np.arange(0, 12, 0.05)
    d = fed({}, [(t, 100 + 20 * t) for t in at])
    assert amounts(d, 11) == pytest.approx([20.0] * 11)


def back_fill(order: slice) -> Driver:
    """Ten hours reach the log only after a dozen later readings."""
    reg = registry({}, {})
    d = Driver(reg, [HOUR])
    level = [100 + 3 * i for i in range(40)]
    first = [*range(10), *range(20, 34)]
    late = list(range(10, 20))[order]
    for i in first:
        d.feed([0, 1], [T0 + i * HOUR] * 2, [level[i]] * 2)
    assert np.isnan(d.row(0, T0 + 10 * HOUR, T0 + 20 * HOUR)).all()
    arrival = [d.now_s] * len(late)
    d.feed([0] * len(late), [T0 + i * HOUR for i in late], [level[i] for i in late], arrival)
    d.finish()
    return d


def test_back_fill_amends_closed_slots() -> None:
    d = back_fill(slice(None))
    assert d.counts == {"processed": 48, "duplicate": 0, "late": 10, "quarantined": 0}
    assert d.row(0, T0, T0 + 33 * HOUR) == pytest.approx(
        [3.0] * 19 + [NAN] + [3.0] * 13, nan_ok=True
    )
    assert np.isnan(d.row(1, T0 + 9 * HOUR, T0 + 20 * HOUR)).all()


def test_back_fill_from_the_newest_back() -> None:
    d = back_fill(slice(None, None, -1))
    assert d.counts["late"] == 10
    row = d.row(0, T0, T0 + 33 * HOUR)
    want = [3.0] * 9 + [NAN] + [3.0] * 9 + [NAN] + [3.0] * 13
    assert row == pytest.approx(want, nan_ok=True)


def test_back_fill_between_the_marks() -> None:
    reg = registry({}, {})
    d = Driver(reg, [HOUR])
    for i in [*range(6), *range(20, 30)]:
        d.feed([0, 1], [T0 + i * HOUR + 600] * 2, [10 * i, 10 * i])
    late = np.arange(6, 20)
    d.feed(0 * late, T0 + late * HOUR + 600, 10 * late, 0 * late + d.now_s)
    d.finish()
    row = d.row(0, T0, T0 + 30 * HOUR)
    # Neither edge of the slots in which the back-fill begins and ends is known any more.
    want = [NAN] + [10.0] * 4 + [NAN] + [10.0] * 13 + [NAN] * 2 + [10.0] * 8 + [NAN]
    assert row == pytest.approx(want, nan_ok=True)


def test_daily_stamps_may_be_an_hour_off_in_summer() -> None:
    day = 24 * HOUR
    spec = {"register": False, "interval_s": day, "phase_s": -HOUR}
    d = Driver(registry(spec), [day])
    d.feed([0] * 3, [T0 - HOUR, T0 - HOUR + day, T0 - 2 * HOUR + 2 * day], [1, 2, 3])
    d.finish(60)
    assert d.counts["processed"] == 3
    slots = [T0 // day - 1 + i for i in range(3)]
    assert [float(d.amounts[0, k][0]) for k in slots] == [1.0, 2.0, 3.0]


def test_late_readings_within_reach_amend() -> None:
    reg = registry({}, {})
    d = Driver(reg, [HOUR])
    d.feed([0, 0], [T0, T0 + HOUR], [10, 11])
    d.feed([1, 0], [T0 + 5 * HOUR, T0 + 5 * HOUR], [1, 31])
    assert np.isnan(amounts(d, 3)[1:]).all()
    d.feed([0, 0, 0], [T0 + h * HOUR for h in (3, 2, 4)], [21, 12, 30], [T0 + 5 * HOUR] * 3)
    d.finish()
    assert amounts(d, 5) == [1.0, 1.0, 9.0, 9.0, 1.0]
    assert d.counts["late"] == 2  # the slot that begins at 4 h was still open


# -- interval meters ---------------------------------------------------------------------------


@pytest.mark.parametrize("stamp_end", [True, False])
def test_interval_stamps_mark_the_end_or_the_start(stamp_end: bool) -> None:
    spec = {"register": False, "stamp_end": stamp_end, "scale": 2.0}
    d = fed(spec, [(1, 1.5), (2, 2.5), (3, 0.0)])
    row = amounts(d, 4)
    assert row == pytest.approx([3, 5, 0, NAN] if stamp_end else [NAN, 3, 5, 0], nan_ok=True)


def test_interval_flaws() -> None:
    minute = 1 / 60
    rows = [
        (1, 1.0), (1, 1.0), (2 + minute, 2.0), (3 + 2 * minute, 3.0), (4, 0.0), (4, 4.0),
        (5, -1.0), (5, 1e9), (6, 6.0),
    ]  # fmt: skip
    d = fed({"register": False}, rows)
    assert ends(d) == [
        "processed", "duplicate", "processed", "OFF_GRID", "processed", "CONFLICT",
        "NEGATIVE", "IMPOSSIBLE", "processed",
    ]  # fmt: skip
    assert amounts(d, 6) == pytest.approx([1, 2, NAN, 4, NAN, 6], nan_ok=True)


def test_late_intervals_amend_for_seven_days() -> None:
    reg = registry({"register": False}, {"register": False})
    d = Driver(reg, [HOUR])
    d.feed([0, 1], [T0, T0], [1, 1])
    d.feed([1], [T0 + 200 * HOUR], [1])
    now = [T0 + 200 * HOUR] * 5
    d.feed([0] * 5, [T0 + h * HOUR for h in (100, 100, 150, 20, 0)], [7, 7, 8, 9, 1], now)
    d.finish()
    assert ends(d)[3:] == ["late", "duplicate", "late", "late", "late"]
    row = amounts(d, 200)
    assert (row[99], row[149]) == (7.0, 8.0)
    assert np.isnan(row[19])  # more than seven days ago
    assert d.amended == 2


# -- the rest ----------------------------------------------------------------------------------


def test_faults_found_before_are_kept() -> None:
    reg = registry({}, {"register": False})
    intake = Intake.of(reg, [HOUR])
    n = 5
    status, fault = intake.apply(
        np.array([0, -1, 0, 1, 1], np.int32),
        np.full(n, T0 * NS),
        np.array([1.0, 1.0, NAN, np.inf, 1.0]),
        np.full(n, T0 * NS),
        np.array([Fault.BAD_TIME, 0, 0, 0, Fault.CLOCK_AHEAD], np.uint8),
        T0 * NS,
    )
    assert status.tolist() == [Status.QUARANTINED] * n
    assert fault.tolist() == [
        Fault.BAD_TIME, Fault.UNKNOWN_METER, Fault.BAD_VALUE, Fault.BAD_VALUE, Fault.CLOCK_AHEAD,
    ]  # fmt: skip
    assert not intake.expected.any()


def test_a_stamp_far_ahead_cannot_overwrite_an_open_slot() -> None:
    d = fed({"register": False}, [(1, 1.0)])
    d.feed([0], [T0 + 500 * HOUR], [9.0], [d.now_s])
    assert ends(d)[-1] == "CLOCK_AHEAD"


def test_what_is_known_of_each_meter() -> None:
    reg = registry({}, {"register": False}, {})
    d = Driver(reg, [HOUR])
    d.feed([0, 1, 0, 0], [T0, T0, T0 + HOUR, T0 + 2 * HOUR], [500, 1.5, 510, 0])
    intake = d.intake
    assert intake.expected.tolist() == [True, True, False]
    assert intake.last_ns[:2].tolist() == [(T0 + 2 * HOUR) * NS, T0 * NS]  # a held one is a sign
    assert intake.last_value[:2].tolist() == [510, 1.5]  # of life, but not yet a level


def test_amendments_come_once_each_in_order() -> None:
    reg = registry({"register": False}, {"register": False}, {"interval_s": 900, "register": False})
    intake = Intake.of(reg, [900, HOUR])
    clock = T0 + 100 * HOUR
    meter = np.array([1, 0, 2, 0], np.int32)
    at = np.array([T0 + 5 * HOUR, T0 + 7 * HOUR, T0 + HOUR, T0 + 5 * HOUR]) * NS
    arrival = (clock + np.arange(4)) * NS
    assert not intake.has_amendments
    intake.apply(meter, at, np.arange(1.0, 5.0), arrival, np.zeros(4, np.uint8), clock * NS)
    assert intake.has_amendments
    late = intake.amendments()
    assert late.class_index.tolist() == [0, 1, 1, 1]
    assert (late.slot - T0 // HOUR).tolist()[1:] == [4, 4, 6]
    assert late.row.tolist() == [0, 0, 1, 0]
    assert late.value.tolist() == [3.0, 4.0, 1.0, 2.0]
    assert late.arrival_ns.tolist() == [arrival[i] for i in (2, 3, 0, 1)]
    assert not intake.has_amendments
    assert len(intake.amendments().slot) == 0


def test_the_last_amendment_of_a_slot_stands() -> None:
    reg = registry({}, {})
    d = Driver(reg, [HOUR])
    d.feed([0, 0, 1], [T0, T0 + 2 * HOUR, T0 + 8 * HOUR], [0, 20, 0])
    d.intake.amendments()
    assert (
        d.intake.apply(
            np.zeros(2, np.int32),
            np.array([T0 + HOUR, T0 + HOUR // 2]) * NS,
            np.array([4.0, 1.0]),
            np.array([T0 + 8 * HOUR, T0 + 8 * HOUR + 1]) * NS,
            np.zeros(2, np.uint8),
            d.now_s * NS,
        )[0].tolist()
        == [Status.LATE] * 2
    )
    late = d.intake.amendments()
    assert (late.slot - T0 // HOUR).tolist() == [0, 1]
    assert late.value.tolist() == [4.0, 16.0]


def test_grow_keeps_what_it_knew_and_forget_erases_it() -> None:
    specs = [
        {"name": "a"},
        {"name": "b", "register": False},
        {"name": "c", "register": False},
        {"name": "d"},
    ]
    rows = [(m, T0 + h * HOUR, 10.0 + h) for h in range(12) for m in range(4) if (h, m) != (7, 1)]
    meter, at, value = (np.array(x) for x in zip(*rows, strict=True))
    plain, grown = (Driver(registry(*specs), [HOUR]) for _ in range(2))
    half = 22
    for d in (plain, grown):
        d.feed(meter[:half], at[:half], value[:half])
    bigger = registry(
        {"name": "x", "interval_s": 900}, {"name": "d"}, {"name": "c", "register": False},
        {"name": "new"}, {"name": "a"}, {"name": "b", "register": False},
    )  # fmt: skip
    grown.intake.grow(bigger, [900, HOUR])
    grown.registry, grown.lateness_s = bigger, [900, HOUR]
    grown.next_slot = [grown.now_s // 900, grown.next_slot[0]]
    kept = grown.intake.last_ns, grown.intake.last_value
    assert kept[0][[4, 5, 2, 1]].tolist() == plain.intake.last_ns.tolist()
    assert kept[1][[4, 5, 2, 1]].tolist() == plain.intake.last_value.tolist()
    assert kept[0][[0, 3]].tolist() == [NEVER_NS] * 2
    assert np.isnan(kept[1][[0, 3]]).all()
    grown.amounts, grown.frames = {}, {}
    place = np.array([4, 5, 2, 1])
    plain.feed(meter[half:], at[half:], value[half:])
    grown.feed(place[meter[half:]], at[half:], value[half:])
    for d, rows_of in ((plain, [0, 1, 2, 3]), (grown, place)):
        late = [T0 + 7 * HOUR] * 2
        d.feed([rows_of[1], rows_of[2]], late, [5, 5], [d.now_s] * 2)
        d.finish()
    assert grown.status == plain.status
    assert plain.counts["late"] == plain.counts["duplicate"] == 1
    for k in range(4):
        got, want = (
            d.row(i, T0 + 5 * HOUR, T0 + 11 * HOUR) for d, i in ((grown, place[k]), (plain, k))
        )
        assert got == want
    plain.feed([0], [plain.now_s], [9e9])
    assert plain.status[plain.taken - 1] == HELD
    plain.intake.forget(np.array([0, 1], np.int32))
    assert plain.intake.settled().token.tolist() == [plain.taken - 1]
    fresh = Driver(plain.registry, [HOUR]).intake
    (_, left), (_, blank) = plain.intake.snapshot(), fresh.snapshot()
    first = int(plain.intake.place[0])
    assert left["registers"][first].tobytes() == blank["registers"][first].tobytes()
    assert left["registers"][1 - first].tobytes() != blank["registers"][1 - first].tobytes()
    assert plain.intake.expected.tolist() == [False, False, True, True]
    at_row = plain.registry.meters.class_row
    gone = np.uint8((1 << at_row[0]) | (1 << at_row[1]))
    assert not (left["bits"] & gone).any()
    assert left["bits"].any()


@pytest.mark.parametrize(
    "meters",
    [
        ({}, {}, {}),
        ({"register": False},) * 3,
        ({"register": False}, {}, {"register": False}),
        ({}, {"register": False}, {}),
    ],
)
def test_a_closed_slot_tells_who_was_heard_of(meters: tuple[dict[str, object], ...]) -> None:
    other = {"utility": "gas", "register": False}  # a class of its own, before the others
    d = Driver(registry(other, *meters), [HOUR, HOUR])
    d.feed([1, 2, 2], [T0, T0, T0 + 2 * HOUR], [1.0, 1.0, 1.0], [T0 + 2 * HOUR] * 3)
    for slot, said in ((T0 // HOUR, SINCE), (T0 // HOUR + 1, BEFORE)):
        heard = np.full(3, 99, np.uint8)
        d.intake.close(1, slot, heard)
        assert heard.tolist() == [said, SINCE, NEVER]
    nobody = np.full(1, 99, np.uint8)
    d.intake.close(0, T0 // HOUR, nobody)
    assert nobody.tolist() == [NEVER]


def test_a_snapshot_of_an_earlier_program_is_brought_to_this_form() -> None:
    meters = ({"register": False}, {}, {"utility": "gas", "register": False}, {}, {})
    d = Driver(registry(*meters), [HOUR, HOUR])
    for hour in range(5):
        d.feed([0, 1, 2, 3], [T0 + hour * HOUR] * 4, [1.0, 10.0 + hour, 3.0, 5.0 + hour])
    d.feed([3], [T0 + 5 * HOUR], [9e9])  # held: a sign of life, but not yet a level
    header, arrays = d.intake.snapshot()
    fields = [f for f in REGISTER.names if f not in ("last_ns", "last_level")]
    old = np.zeros(len(arrays["registers"]), [(f, REGISTER[f]) for f in fields])
    for name in fields:
        old[name] = arrays["registers"][name]
    before = {k: v for k, v in arrays.items() if k != "last"} | {
        "registers": old, "last_ns": d.intake.last_ns, "last_value": d.intake.last_value,
    }  # fmt: skip
    fresh = Intake.of(d.registry, [HOUR, HOUR])
    fresh.restore(header | {"schema": 1}, before)
    for name, array in fresh.snapshot()[1].items():
        assert array.tobytes() == arrays[name].tobytes(), name
    with pytest.raises(IntakeError, match="meters is 5, this shard has 4"):
        Intake.of(registry(*meters[1:]), [HOUR, HOUR]).restore(header | {"schema": 1}, before)


def test_a_snapshot_of_other_meters_is_refused() -> None:
    header, arrays = Intake.of(registry({}), [HOUR]).snapshot()
    with pytest.raises(IntakeError, match="meters is 1, this shard has 2"):
        Intake.of(registry({}, {}), [HOUR]).restore(header, arrays)
    with pytest.raises(IntakeError, match="classes is"):
        Intake.of(registry({}), [HOUR + 1]).restore(header, arrays)


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(IntakeError, match="meter w-1: multiplier"):
        Intake.of(registry({"name": "w-1", "scale": 0.0}), [HOUR])


@pytest.mark.parametrize(("register", "most"), [(True, 230), (False, 150)])
def test_memory(register: bool, most: int) -> None:
    spec = {"utility": "electricity", "interval_s": 900, "register": register}
    assert Intake.of(registry(*[spec] * 4000), [900]).nbytes / 4000 <= most


# -- real meters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "quarantined", "due", "missing"),
    [
        ("homes_water", 40_000, 2, 0.80, 0.15),
        ("homes_power", 40_000, 0, 0.95, 0.05),
        ("plant_power", 6_000, 0, 1.0, 0.0),
    ],
)
def test_real_meters(
    data: Path, name: str, rows: int, quarantined: int, due: float, missing: float
) -> None:
    reg, meter, at, value = real(data / name, rows)
    d = Driver(reg, [c.interval_s for c in reg.classes])
    d.feed(meter, at, value)
    d.finish()
    assert sum(d.counts.values()) == len(meter) == rows
    assert d.counts["quarantined"] <= quarantined
    assert d.counts["duplicate"] == d.counts["late"] == 0
    keys = sorted(d.frames)
    frames, amended = (np.stack([x[k] for k in keys]) for x in (d.frames, d.amounts))
    start = np.array([k[1] * reg.classes[0].interval_s for k in keys])[:, None]
    ids = np.arange(len(reg.meters))
    first = np.array([at[meter == m].min(initial=2**40) for m in ids])
    last = np.array([at[meter == m].max(initial=0) for m in ids])
    live = (start >= first) & (start + reg.classes[0].interval_s <= last)
    assert (live & ~np.isnan(frames)).sum() >= due * live.sum()
    assert (live & np.isnan(amended)).sum() <= missing * live.sum()
    if not reg.meters.register[0]:
        assert np.nansum(amended) == pytest.approx(value.sum(), rel=1e-4)
