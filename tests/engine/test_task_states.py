"""Tasks one by one: states, limits, and who gets which."""

from __future__ import annotations

import datetime as dt

import pytest

from engine.desk import Desk
from engine.hours import NS, CalendarHours, WorkHours, ns_of, work_days
from engine.library import calendars
from engine.roster import Roster, RosterError, Worker, on_shift, parse_shift
from engine.store import TaskError
from engine.tasks import (
    NEXT_STEP,
    TRANSITIONS,
    Action,
    Task,
    TaskState,
    act,
    due,
    mark,
)
from rules.alerts import Level
from rules.model import Limits
from tests.engine.store_kit import (
    DAY,
    GRID,
    HOUR,
    MINUTE,
    T0,
)
from tests.engine.tasks_kit import STAFF, desk, rule

# -- states -------------------------------------------------------------------------------------------


def task(state: str = "dispatched", **given: object) -> Task:
    return Task(
        task_id="t-1", alert_id="a", door="home-1", subject_id="home-1", place=GRID, grid=GRID,
        rule="r", level="orange", state=state, opened_ns=T0, updated_ns=T0, **given,
    )  # fmt: skip


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", TaskState)
def test_every_act_moves_on_or_says_why_not(state: TaskState, action: Action) -> None:
    wanted = TRANSITIONS[action].get(state)
    if wanted is None:
        with pytest.raises(TaskError) as error:
            act(task(state), action, by="w", at_ns=T0)
        message = str(error.value)
        assert f"cannot {action} a task that is {state}" in message
        assert NEXT_STEP[state] in message
        return
    moved, event = act(task(state), action, by="w", at_ns=T0 + 1, why="because")
    assert (moved.state, moved.seq, moved.updated_ns) == (wanted, 1, T0 + 1)
    assert (event.state_from, event.state_to, event.by, event.why) == (
        state,
        wanted,
        "w",
        "because",
    )


def test_the_ways_of_a_task_are_those_of_the_field() -> None:
    assert TRANSITIONS[Action.SIGN].keys() == {"calling", "dispatched", "escalated", "reassigned"}
    assert TRANSITIONS[Action.DISPATCH] == {"calling": "dispatched"}
    assert TRANSITIONS[Action.REPORT].keys() == {"signed", "handling"}
    assert TRANSITIONS[Action.CLOSE] == {"reported": "closed"}
    assert TRANSITIONS[Action.REJECT] == {"reported": "handling"}
    assert TRANSITIONS[Action.REOPEN] == {"closed": "handling"}
    assert "closed" not in TRANSITIONS[Action.CANCEL]
    assert "cancelled" not in {s for a, ways in TRANSITIONS.items() if a != "note" for s in ways}


def test_nobody_acts_before_a_task_was_opened_or_without_a_name() -> None:
    with pytest.raises(TaskError, match="before it was opened"):
        act(task(), Action.SIGN, by="w", at_ns=T0 - 1)
    with pytest.raises(TaskError, match="by whom"):
        act(task(), Action.SIGN, by="", at_ns=T0)


def test_a_late_message_does_not_turn_the_clock_back() -> None:
    moved, _ = act(replace_task(task(), updated_ns=T0 + HOUR), Action.SIGN, by="w", at_ns=T0 + 1)
    assert (moved.updated_ns, moved.signed_ns) == (T0 + HOUR, T0 + 1)


def replace_task(one: Task, **changes: object) -> Task:
    import msgspec

    return msgspec.structs.replace(one, **changes)


# -- limits -------------------------------------------------------------------------------------------


def test_a_red_alert_is_signed_in_15_contacted_in_30_at_the_door_in_60_minutes() -> None:
    limits = Desk().deadlines("any", "red", T0)
    assert limits["sign_by_ns"] == T0 + 15 * MINUTE
    assert limits["contact_by_ns"] == T0 + 30 * MINUTE
    assert limits["door_by_ns"] == T0 + 60 * MINUTE


def test_a_rule_s_own_limits_come_first() -> None:
    own = rule(
        "r", limits=Limits(sign_s=60), limits_by_level={Level.RED: Limits(sign_s=30)}
    )  # fmt: skip
    assert desk(own).deadlines("r", "orange", T0)["sign_by_ns"] == T0 + MINUTE
    assert desk(own).deadlines("r", "red", T0)["sign_by_ns"] == T0 + MINUTE // 2
    assert desk(rule("r")).deadlines("r", "red", T0)["sign_by_ns"] == T0 + 15 * MINUTE


def test_marks_turn_yellow_at_80_percent_and_red_when_overdue() -> None:
    one = task(sign_by_ns=T0 + 100 * MINUTE, contact_by_ns=T0 + 200 * MINUTE)
    marks = [mark(one, T0 + m * MINUTE) for m in (0, 79, 80, 99, 100)]
    assert marks == ["", "", "yellow", "yellow", "red"]
    signed = replace_task(one, state="signed", signed_ns=T0)
    assert due(signed) == T0 + 200 * MINUTE
    assert due(replace_task(signed, contacted_ns=T0, door_by_ns=T0 + HOUR)) == T0 + HOUR
    assert due(replace_task(one, state="closed")) is None
    assert mark(replace_task(one, state="cancelled"), T0 + DAY) == ""


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        ("2026-07-03T10:00:00+08:00", 3600, "2026-07-03T11:00:00+08:00"),
        ("2026-07-03T16:30:00+08:00", 3600, "2026-07-06T09:30:00+08:00"),
        ("2026-07-04T12:00:00+08:00", 3600, "2026-07-06T10:00:00+08:00"),
        ("2026-07-03T07:00:00+08:00", 0, "2026-07-03T09:00:00+08:00"),
        ("2026-07-03T09:00:00+08:00", 8 * 3600, "2026-07-03T17:00:00+08:00"),
        ("2026-07-03T09:00:00+08:00", 16 * 3600, "2026-07-06T17:00:00+08:00"),
        ("2026-07-03T23:59:59+08:00", 24 * 3600, "2026-07-08T17:00:00+08:00"),
    ],
)
def test_working_hours_count_only_while_people_work(start: str, seconds: int, end: str) -> None:
    assert WorkHours().after(ns_of(start), seconds) == ns_of(end)
    assert CalendarHours().after(ns_of(start), seconds) == ns_of(start) + seconds * NS


def test_a_calendar_with_swapped_days_decides_what_a_work_day_is() -> None:
    saturday = dt.date(2026, 2, 14)  # worked, for the holiday that follows
    hours = WorkHours(work_day=lambda day: day == saturday)
    friday = ns_of("2026-02-13T16:00:00+08:00")
    assert hours.after(friday, 3600) == ns_of("2026-02-14T10:00:00+08:00")
    with pytest.raises(ValueError, match="no work day"):
        WorkHours(work_day=lambda _: False).after(friday, 1)


def test_the_shipped_calendar_knows_the_swapped_days_and_admits_what_it_does_not() -> None:
    works = work_days(calendars(), "CN")
    assert works(dt.date(2026, 2, 14))  # a Saturday
    assert not works(dt.date(2026, 10, 1))  # a Thursday
    assert [works(dt.date(2099, 1, d)) for d in (2, 3)] == [True, False]


# -- roster -------------------------------------------------------------------------------------------


def test_a_task_goes_to_the_worker_of_the_grid() -> None:
    roster = Roster(STAFF)
    assert roster.assign("gridworker", GRID, T0) == ("gridworker", "w1")
    assert roster.assign("gridworker", GRID + "001", T0) == ("gridworker", "w1")
    assert roster.assign("street", GRID, T0) == ("street", "street")


def test_off_duty_the_stand_in_gets_it_and_then_the_next_role_upwards() -> None:
    night = T0 + 14 * HOUR  # 22:00
    roster = Roster(STAFF)
    assert roster.assign("gridworker", GRID, night) == ("gridworker", "w2")
    assert roster.assign("gridworker", "330106001002005", night) == ("gridworker", "w3")
    assert roster.assign("gridworker", "330106001002005", T0) == ("grid_leader", "lead")
    assert roster.assign("gridworker", "330106001009001", T0) == ("street", "street")
    assert roster.assign("gridworker", "990106001009001", T0) == ("gridworker", None)
    alone = Roster([Worker(worker_id="w", grids=(GRID,), shift="08:00-18:00")])
    assert alone.assign("gridworker", GRID, night) == ("gridworker", "w")


def test_of_several_workers_the_one_with_the_least_to_do_gets_it() -> None:
    pair = Roster([Worker(worker_id=w, grids=(GRID,)) for w in ("b", "a")])
    assert pair.assign("gridworker", GRID, T0)[1] == "a"
    assert pair.assign("gridworker", GRID, T0, {"a": 2, "b": 1})[1] == "b"


def test_shifts_have_weekdays_and_may_cross_midnight() -> None:
    weekdays = Worker(worker_id="w", shift="Mon-Fri 08:00-18:00")
    night = Worker(worker_id="w", shift="Fri 22:00-06:00")
    friday = ns_of("2026-07-03T12:00:00+08:00")
    assert on_shift(weekdays, friday, "Asia/Shanghai")
    assert not on_shift(weekdays, friday + DAY, "Asia/Shanghai")
    assert [on_shift(night, friday + h * HOUR, "Asia/Shanghai") for h in (0, 10, 17, 18)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not on_shift(night, friday - DAY + 17 * HOUR, "Asia/Shanghai")
    assert parse_shift("sat,sun 9:00-12:30") == (frozenset({6, 7}), 540, 750)


@pytest.mark.parametrize("shift", ["always", "25:00-26:00", "8-18", "Foo 08:00-18:00"])
def test_a_shift_that_cannot_be_read_names_the_worker(shift: str) -> None:
    with pytest.raises(RosterError, match="worker 'w9'"):
        Roster([Worker(worker_id="w9", shift=shift)])
