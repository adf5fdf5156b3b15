"""Arrival: the newest sane stamp; broken clocks neither stop nor rush anybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.arrival import EVENT_RULES, NEVER, READING_RULES, ArrivalClock, ArrivalRules

H = 3600
NS = 1_000_000_000


@dataclass
class Row:
    ts: int | None  # seconds; None = no stamp
    meter: int = 0
    interval: int = 900


def twin(rows: list[Row], rules: ArrivalRules) -> tuple[list[int], list[bool]]:
    """The rules as one would tell them, without any thought for speed or cuts (seconds)."""
    out: list[tuple[int, bool] | None] = [None] * len(rows)
    clock: int | None = None
    horizon: int | None = None
    pace = 0
    seen: set[int] = set()
    held: list[int] = []
    todo = list(range(len(rows)))

    def ahead() -> list[int]:
        return [i for i in held if rows[i].ts is not None]

    def group_of(i: int, reach: int) -> list[int]:
        group = [i]
        while more := [
            j
            for j in ahead()
            if j not in group and any(abs(rows[j].ts - rows[k].ts) <= reach for k in group)  # type: ignore[operator]
        ]:
            group += more
        return group

    def least(indices: list[int]) -> int:
        return min(rows[i].ts for i in indices)  # type: ignore[type-var, return-value]

    def refute(at: int) -> None:
        for i in held:
            out[i] = (at, rows[i].ts is not None)
        held.clear()

    def reach() -> int:
        return rules.max_skew_s + pace

    while todo or held:
        if not todo:  # the end
            found: list[int] = []
            for i in ahead():
                group = group_of(i, reach())
                meters = {rows[j].meter for j in group}
                if len(group) >= min(rules.rows, 2) and len(meters) >= min(
                    rules.meters, max(len(seen), 1)
                ):
                    found.append(least(group))
            if not found and ahead() and (rules.trust_the_end or clock is None):
                found = [least(ahead())]
            if not found:
                refute(0 if clock is None else clock)
                break
            horizon, todo, held = min(found), held, []
        i = todo.pop(0)
        row = rows[i]
        limits = [x for x in (clock, horizon) if x is not None]
        if row.ts is None:
            if held or clock is None:
                held.append(i)
            else:
                out[i] = (clock, False)
        elif limits and row.ts <= max(limits) + reach():
            refute(row.ts if clock is None else clock)
            clock = row.ts if clock is None else max(clock, row.ts)
            out[i] = (clock, False)
            if len(seen) < 3:
                seen.add(row.meter)
            if row.interval and (pace == 0 or row.interval < pace):
                pace = row.interval
        else:
            held.append(i)
            group = group_of(i, reach())
            meters = {rows[j].meter for j in group}
            need = min(rules.meters, len(seen)) if seen else rules.meters
            if len(group) >= rules.rows and len(meters) >= need:
                horizon, todo, held = least(group), held + todo, []
            elif len(ahead()) >= rules.most_rows:
                horizon, todo, held = least(ahead()), held + todo, []
        if len(held) >= rules.patience:
            refute(0 if clock is None else clock)
    return [o[0] for o in out if o], [o[1] for o in out if o]


def run(
    rows: list[Row], cuts: list[int] | None = None, rules: ArrivalRules = READING_RULES
) -> tuple[list[int], list[bool]]:
    """The clock fed in pieces, undecided rows given again, its state saved at each cut."""
    clock = ArrivalClock(rules)
    arrival: list[int] = []
    ahead: list[bool] = []
    held: list[Row] = []
    cuts = [*(cuts or []), len(rows)]
    start = 0
    for n, stop in enumerate(cuts):
        now = held + rows[start:stop]
        start = stop
        decided, a, bad = clock.advance(
            np.array([0 if r.ts is None else r.ts * NS for r in now], np.int64),
            np.array([r.ts is not None for r in now], np.bool_),
            np.array([r.meter for r in now], np.int64),
            np.array([r.interval * NS for r in now], np.int64),
            ended=n == len(cuts) - 1,
        )
        arrival += (a[:decided] // NS).tolist()
        ahead += bad[:decided].tolist()
        held = now[decided:]
        saved = clock.state()
        clock = ArrivalClock(rules)
        clock.restore(saved)
    assert not held
    return arrival, ahead


def rows_of(*stamps: int | None, meters: list[int] | None = None) -> list[Row]:
    return [Row(s, i % 5 if meters is None else meters[i]) for i, s in enumerate(stamps)]


def test_a_file_in_order_arrives_at_its_stamps() -> None:
    stamps = list(range(0, 100 * 900, 900))
    assert run(rows_of(*stamps)) == (stamps, [False] * 100)


def test_late_rows_arrive_when_their_file_shows_them() -> None:
    arrival, ahead = run(rows_of(0, 600, 1200, 300, 1800))
    assert arrival == [0, 600, 1200, 1200, 1800]
    assert not any(ahead)


def test_one_broken_clock_is_refuted_by_the_next_sane_row() -> None:
    arrival, ahead = run(rows_of(0, 900, 1800, 500 * H, 2700, 3600))
    assert arrival == [0, 900, 1800, 1800, 2700, 3600]
    assert ahead == [False, False, False, True, False, False]


@pytest.mark.parametrize("broken", [0, 1, 2, 3])
def test_three_meters_that_agree_move_the_clock_and_a_broken_one_among_them_does_not(
    broken: int,
) -> None:
    """A gap of ten hours, and one clock at 2050 among the first rows behind it."""
    behind = [46 * H // 3600 * 3600 + k for k in (0, 60, 120)]
    behind.insert(broken, 400_000 * H)
    rows = rows_of(0, 900, 1800, *behind, behind[-1] if broken < 3 else behind[0])
    arrival, ahead = run(rows)
    assert [i for i, bad in enumerate(ahead) if bad] == [3 + broken]
    assert max(arrival) < 47 * H


def test_a_broken_clock_at_the_very_start_is_refuted() -> None:
    arrival, ahead = run(rows_of(9000 * H, 0, 60, 120, 180))
    assert ahead == [True, False, False, False, False]
    assert arrival == [0, 0, 60, 120, 180]


def test_rows_without_stamp_arrive_with_their_neighbours() -> None:
    arrival, ahead = run(rows_of(None, 0, 60, None, 120))
    assert arrival == [0, 0, 60, 60, 120]
    assert not any(ahead)


def test_two_meters_are_enough_for_a_source_that_has_shown_two() -> None:
    """A late row behind the jump would refute it, had it not been confirmed before."""
    shown = [Row(0, 0), Row(60, 1), Row(120, 0)]
    jump = [Row(90 * H + i, i % 2) for i in range(3)]
    assert run([*shown, *jump, Row(180, 1)])[1] == [False] * 7
    third = [Row(180, 2)]
    assert run([*shown, *third, *jump, Row(180, 1)])[1] == [False] * 4 + [True] * 3 + [False]


def test_a_single_meter_moves_on_after_a_gap_but_not_for_one_glitch() -> None:
    steady = [Row(t * 900) for t in range(10)]
    gap = [Row(90 * H + t * 900) for t in range(10)]
    assert not any(run(steady + gap)[1])
    glitch = [Row(10 * 900), Row(90 * H), Row(11 * 900)]
    assert run(steady + glitch)[1] == [False] * 11 + [True, False]


@pytest.mark.parametrize("interval", [H, 24 * H])
def test_a_coarse_meter_alone_never_seems_to_jump(interval: int) -> None:
    rows = [Row(i * interval + 5 * i, interval=interval) for i in range(40)]
    arrival, ahead = run(rows)
    assert arrival == [r.ts for r in rows]
    assert not any(ahead)


def test_one_row_ahead_at_the_end_is_quarantined_and_a_tiny_file_is_not() -> None:
    assert run(rows_of(0, 60, 120, 99 * H))[1] == [False, False, False, True]
    assert run(rows_of(5)) == ([5], [False])
    assert run(rows_of(5, 99 * H)) == ([5, 5], [False, True])


def test_a_source_without_any_stamp_arrives_at_the_earliest_time() -> None:
    assert run(rows_of(None, None)) == ([0, 0], [False, False])
    assert ArrivalClock().state()["clock"] == NEVER


def test_patience_bounds_what_is_held() -> None:
    rules = ArrivalRules(patience=10)
    rows = [Row(0), Row(1), Row(2), Row(99 * H), *[Row(None)] * 30]
    clock = ArrivalClock(rules)
    n = len(rows)
    decided, _, ahead = clock.advance(
        np.array([(r.ts or 0) * NS for r in rows], np.int64),
        np.array([r.ts is not None for r in rows]),
        np.arange(n), np.zeros(n, np.int64),
    )  # fmt: skip
    assert decided == n
    assert np.flatnonzero(ahead).tolist() == [3]


def test_sparse_events_pass_and_a_lone_outlier_does_not() -> None:
    month = 30 * 24 * H
    sparse = rows_of(*[i * 5 * month for i in range(6)])
    assert run(sparse, rules=EVENT_RULES) == ([r.ts for r in sparse], [False] * 6)
    rows = rows_of(0, 24 * H, 900 * month, 48 * H, 72 * H)
    assert run(rows, rules=EVENT_RULES)[1] == [False, False, True, False, False]


STAMPS = st.one_of(
    st.none(),
    st.integers(0, 20).map(lambda k: k * 900),
    st.integers(0, 400).map(lambda k: k * 900),
    st.integers(0, 60).map(lambda k: k * 7 * H),
)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(STAMPS, st.integers(0, 3), st.sampled_from([0, 900, H])), max_size=50),
    st.integers(1, 4),
    st.booleans(),
    st.data(),
)
def test_any_cuts_give_what_the_twin_gives(
    raw: list[tuple[int | None, int, int]], meters: int, events: bool, data: st.DataObject
) -> None:
    rows = [Row(ts, meter % meters, interval) for ts, meter, interval in raw]
    # Small bounds, so that they are met.
    rules = EVENT_RULES if events else ArrivalRules(patience=9, most_rows=6)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    want = twin(rows, rules)
    assert run(rows, cuts, rules) == want
    assert run(rows, list(range(len(rows))), rules) == want
    assert want[0] == sorted(want[0])
