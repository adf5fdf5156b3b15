"""Tasks: once at the door, who and when and why, limits, ladders, and what people report."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from connectors.records import Event, Outcome
from engine.config import QueueConfig
from engine.desk import Desk
from engine.hours import NS, CalendarHours, WorkHours, ns_of, work_days
from engine.library import calendars
from engine.outcomes import OutcomeError, Report
from engine.roster import Roster, RosterError, Worker, on_shift, parse_shift
from engine.store import Store, TaskError
from engine.tasks import (
    NEXT_STEP,
    TRANSITIONS,
    Action,
    Task,
    TaskState,
    act,
    due,
    mark,
    task_id,
)
from rules.alerts import AlertChange, Level, State
from rules.model import (
    ContactStep,
    Dedupe,
    EscalationStep,
    Group,
    Limits,
    Route,
    Rule,
    Selector,
    Text,
    Texts,
    rule_set,
)
from tests.engine.store_kit import (
    DAY,
    GRID,
    HOUR,
    MINUTE,
    T0,
    Crash,
    change,
    crash_at,
    digest,
    quick,
)

TEXT = Text("", "")


def rule(name: str, **given: object) -> Rule:
    facts = {"route": Route("gridworker"), **given}
    return Rule(
        name=name, version="v1", title=TEXT, subjects=Selector(), signals={}, events={},
        when="true", hold="true", texts=Texts(TEXT, TEXT, TEXT), **facts,
    )  # fmt: skip


def desk(*rules: Rule, **given: object) -> Desk:
    return Desk(rules=rule_set(list(rules)), **given)


class Town:
    """A store with one shard, and a clock that only this test moves."""

    def __init__(self, store: Store) -> None:
        self.store, self.tasks = store, store.tasks
        self.epoch, self.offset = store.claim("s"), 0

    def tell(self, *changes: AlertChange) -> int:
        self.offset += 1
        return self.store.commit("s", self.epoch, self.offset, changes)

    def one(self, **given: object) -> Task:
        (task,) = self.tasks.list(**given)
        return task


@pytest.fixture
def town(lite: Store) -> Town:
    return Town(lite)


@pytest.fixture
def city(store: Store) -> Town:
    """The same, on both databases."""
    return Town(store)


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

STAFF = [
    Worker(worker_id="w1", grids=(GRID,), shift="08:00-18:00", stand_in="w2"),
    Worker(worker_id="w2", grids=("330106001002004",)),
    Worker(worker_id="w3", grids=("330106001002005",), shift="22:00-06:00"),
    Worker(worker_id="lead", grids=("330106001002",), role="grid_leader"),
    Worker(worker_id="street", grids=("330106001",), role="street"),
]


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


# -- from alerts ----------------------------------------------------------------------------------------


def test_a_firing_alert_opens_one_task_with_its_sentence_and_limits(town: Town) -> None:
    town.tell(change(level=Level.RED))
    one = town.one()
    assert one.task_id == task_id(change().alert_id)
    assert (one.state, one.level, one.grid, one.reason_en) == (
        "dispatched", "red", GRID, "no sign of life",
    )  # fmt: skip
    assert one.sign_by_ns == T0 + 15 * MINUTE
    (event,) = town.tasks.history(one.task_id)
    assert (event.action, event.by, event.state_from) == ("dispatch", "system", None)
    assert town.tasks.of_alert(change().alert_id) == one
    assert [(r.topic, r.key) for r in town.store.outbox.pending("task")] == [("task", one.task_id)]


def test_never_twice_to_the_same_door(city: Town) -> None:
    city.tell(change(), change("home-2"))
    city.tell(change(rule="elderly-excess", at=T0 + HOUR, text="water running"))
    first = city.one(door="home-1")
    assert first.alerts == 2
    assert first.reason_en == "no sign of life"
    assert len(city.tasks.alerts_of(first.task_id)) == 2
    assert [e.why for e in city.tasks.history(first.task_id)] == ["elderly-silence", "joined"]
    assert len(city.tasks.list()) == 2


def test_a_more_urgent_alert_at_the_door_tightens_the_limits_and_tells_its_reason(
    town: Town,
) -> None:
    town.tell(change())
    later = T0 + 10 * MINUTE
    town.tell(change(rule="smoke", at=later, level=Level.RED, text="smoke"))
    one = town.one()
    assert (one.level, one.reason_en) == ("red", "smoke")
    assert one.sign_by_ns == one.escalate_ns == later + 15 * MINUTE
    town.tell(change(rule="smoke", seq=1, at=later + MINUTE, level=Level.YELLOW))
    assert town.one().level == "red"


def test_limits_only_ever_get_tighter(town: Town) -> None:
    town.tell(change(level=Level.ORANGE))
    nearly = T0 + 55 * MINUTE
    town.tell(change(seq=1, at=nearly, level=Level.RED))
    assert town.one().sign_by_ns == T0 + 60 * MINUTE


def test_a_resolved_alert_leaves_its_task_with_a_note(town: Town) -> None:
    town.tell(change())
    town.tell(change(seq=1, at=T0 + HOUR, state=State.RESOLVED))
    one = town.one()
    assert (one.state, one.alert_state) == ("dispatched", "resolved")
    assert town.tasks.history(one.task_id)[-1].why == "alert_resolved"


def test_a_cancelled_alert_calls_off_a_task_nobody_signed(town: Town) -> None:
    town.tell(change())
    town.tell(change(seq=1, at=T0 + HOUR, state=State.CANCELLED))
    assert town.tasks.list() == []
    (one,) = town.tasks.list(states=["cancelled"])
    assert one.alert_state == "cancelled"


def test_a_cancelled_alert_is_told_to_whoever_signed(town: Town) -> None:
    town.tell(change())
    town.tasks.sign(town.one().task_id, by="w1", at_ns=T0 + MINUTE)
    town.tell(change(seq=1, at=T0 + HOUR, state=State.CANCELLED))
    one = town.one()
    assert (one.state, one.alert_state) == ("signed", "cancelled")
    assert town.tasks.history(one.task_id)[-1].why == "alert_cancelled"


def test_a_task_is_called_off_only_when_all_its_alerts_are(city: Town) -> None:
    city.tell(change(), change(rule="elderly-excess"))
    city.tell(change(seq=1, at=T0 + HOUR, state=State.CANCELLED))
    assert city.one().alert_state == "firing"
    # Resolved first, cancelled later: counted once.
    city.tell(change(rule="elderly-excess", seq=1, at=T0 + HOUR, state=State.RESOLVED))
    assert (city.one().state, city.one().alert_state) == ("dispatched", "resolved")
    city.tell(change(rule="elderly-excess", seq=2, at=T0 + 2 * HOUR, state=State.CANCELLED))
    (one,) = city.tasks.list(states=["cancelled"])
    assert (one.alerts, one.alerts_resolved, one.alerts_cancelled) == (2, 0, 2)


def finish(town: Town, one: Task, at_ns: int, kind: str = "safe_at_home") -> Task:
    town.tasks.sign(one.task_id, by="w1", at_ns=at_ns)
    town.tasks.report(one.task_id, Report(kind), by="w1", at_ns=at_ns)
    return town.tasks.close(one.task_id, by="lead", at_ns=at_ns)


def test_what_began_before_the_visit_is_covered_by_it_what_began_later_is_not(town: Town) -> None:
    town.tell(change())
    done = finish(town, town.one(), T0 + HOUR)
    town.tell(change(rule="elderly-excess", onset=T0 - HOUR, at=T0 + 2 * HOUR))
    assert town.tasks.list() == []
    assert town.tasks.get(done.task_id).alerts == 2
    town.tell(change(onset=T0 + 2 * HOUR, at=T0 + 9 * HOUR))
    assert town.one().opened_ns == T0 + 9 * HOUR


def test_an_alert_that_gets_worse_after_the_visit_is_a_new_task(town: Town) -> None:
    town.tell(change())
    done = finish(town, town.one(), T0 + HOUR)
    town.tell(change(seq=1, at=T0 + 2 * HOUR))
    assert town.tasks.list() == []
    town.tell(change(seq=2, at=T0 + 3 * HOUR, level=Level.RED))
    again = town.one()
    assert again.task_id == task_id(change().alert_id, 1)
    assert again.task_id != done.task_id
    assert town.tasks.of_alert(change().alert_id) == again


def test_a_door_whose_task_was_called_off_can_be_called_at_again(town: Town) -> None:
    town.tell(change())
    town.tasks.cancel(town.one().task_id, by="lead", at_ns=T0 + MINUTE, why="they answered")
    town.tell(change(onset=T0 - HOUR, at=T0 + HOUR))
    assert town.one().opened_ns == T0 + HOUR


def test_nobody_is_sent_by_a_shadow_rule_a_rule_without_route_or_in_a_shadow_place(
    town: Town,
) -> None:
    town.store.desk = desk(
        rule("shadow", shadow=True), rule("dumb", route=None), rule("loud"),
        shadow_places=("9901",),
    )  # fmt: skip
    town.tell(change(rule="shadow"), change(rule="dumb"), change(rule="loud", place="990106001"))
    assert town.tasks.list() == []
    assert len(town.store.alerts()) == 3
    town.tell(change(rule="loud", onset=T0, at=T0 + HOUR))
    assert len(town.tasks.list()) == 1


def test_rules_group_by_place_and_do_not_repeat_themselves(town: Town) -> None:
    town.store.desk = desk(
        rule("surge", group=Group("community", 3600)),
        rule("leak", dedupe=Dedupe("subject", 7200)),
        rule("fall", dedupe=Dedupe("subject", 7200), hard_danger=True),
    )
    # For an hour after the first, alerts of one community are collected; then one task holds them.
    town.tell(*(change(f"h{i}", rule="surge", at=T0 + i * MINUTE) for i in range(3)))
    assert town.tasks.list() == []
    assert {h.reason for h in town.tasks.held_back()} == {"collecting"}
    town.tasks.tick(T0 + HOUR - 1)
    assert town.tasks.list() == []
    town.tasks.tick(T0 + HOUR)
    assert (town.one().alerts, town.one().opened_ns) == (3, T0 + HOUR)
    assert town.tasks.held_back() == []
    # Never two open tasks at one door: what comes later joins the one that is open.
    town.tell(change("h9", rule="surge", at=T0 + 5 * HOUR))
    town.tasks.tick(T0 + 7 * HOUR)
    assert town.one().alerts == 4
    town.tell(change("h1", rule="leak", at=T0))
    finish(town, town.one(door="h1"), T0 + 1)
    town.tell(change("h1", rule="leak", onset=T0 + HOUR, at=T0 + HOUR))
    assert town.tasks.list(door="h1") == []
    town.tell(change("h1", rule="leak", onset=T0 + 3 * HOUR, at=T0 + 3 * HOUR))
    assert len(town.tasks.list(door="h1")) == 1
    # Hard danger that began after somebody looked is never taken for the same again.
    town.tell(change("h2", rule="fall"))
    finish(town, town.one(door="h2"), T0 + 1)
    town.tell(change("h2", rule="fall", onset=T0 + HOUR, at=T0 + HOUR))
    assert len(town.tasks.list(door="h2")) == 1


def test_whom_to_call_before_a_visit_is_in_the_task(town: Town) -> None:
    route = Route("gridworker", contact_first=(ContactStep("resident", 300),))
    town.store.desk = desk(rule("elderly-silence", route=route))
    town.tell(change())
    assert town.one().contact_first == '[{"wait_s":300,"who":"resident"}]'


def test_work_is_shared_out_within_one_commit_too(city: Town) -> None:
    staff = [Worker(worker_id=w, grids=(GRID,)) for w in ("a", "b")]
    city.store.rosters.put_workers(staff)
    city.tell(*(change(f"home-{i}") for i in range(4)))
    assert sorted(t.assignee for t in city.tasks.list()) == ["a", "a", "b", "b"]
    assert len(city.tasks.list(worker="a")) == 2
    assert city.store.rosters.workers() == staff


# -- what people do ---------------------------------------------------------------------------------------


def test_a_task_goes_its_way_and_its_history_says_who_when_and_why(city: Town) -> None:
    city.tell(change())
    name = city.one().task_id
    do = city.tasks
    do.sign(name, by="w1", at_ns=T0 + 1 * MINUTE)
    do.contact(name, who="resident", result="no_answer", by="w1", at_ns=T0 + 5 * MINUTE)
    do.arrive(name, by="w1", at_ns=T0 + 20 * MINUTE)
    do.report(name, Report("rescued", note="fell"), by="w1", at_ns=T0 + 30 * MINUTE)
    do.reject(name, by="lead", at_ns=T0 + 40 * MINUTE, why="which hospital?")
    do.report(name, Report("rescued", note="first"), by="w1", at_ns=T0 + 50 * MINUTE)
    do.close(name, by="lead", at_ns=T0 + HOUR)
    do.reopen(name, by="lead", at_ns=T0 + DAY, why="family asks")
    one = do.get(name)
    assert (one.state, one.assignee, one.signed_ns) == ("handling", "w1", T0 + MINUTE)
    assert one.closed_ns is None
    assert [(e.action, e.by) for e in do.history(name)] == [
        ("dispatch", "system"), ("sign", "w1"), ("contact", "w1"), ("arrive", "w1"),
        ("report", "w1"), ("reject", "lead"), ("report", "w1"), ("close", "lead"),
        ("reopen", "lead"),
    ]  # fmt: skip
    assert [o.note for o in city.store.register.outcomes()] == ["fell", "first"]
    assert len({o.outcome_id for o in city.store.register.outcomes()}) == 2


def test_a_wrong_act_changes_nothing(town: Town) -> None:
    town.tell(change())
    before = digest(town.store)
    with pytest.raises(TaskError, match=r"cannot report a task that is dispatched.*sign it first"):
        town.tasks.report(town.one().task_id, Report("rescued"), by="w", at_ns=T0)
    with pytest.raises(TaskError, match="there is none"):
        town.tasks.sign("t-none", by="w", at_ns=T0)
    town.tasks.sign(town.one().task_id, by="w", at_ns=T0)
    with pytest.raises(OutcomeError):
        town.tasks.report(town.one().task_id, Report("away"), by="w", at_ns=T0)
    with pytest.raises(TaskError, match="cannot sign a task that is signed"):
        town.tasks.sign(town.one().task_id, by="w2", at_ns=T0)
    assert town.one().assignee == "w"
    assert before != digest(town.store)


def test_the_same_request_again_changes_nothing(city: Town) -> None:
    city.tell(change())
    name = city.one().task_id
    for _ in range(3):
        state = city.tasks.sign(name, by="w", at_ns=T0 + 1, key="k1").state
        assert state in ("signed", "reported")  # as it stands, not as it stood
        told = Report("away", until_ns=T0 + DAY)
        assert city.tasks.report(name, told, by="w", at_ns=T0 + 2, key="k2").outcome == "away"
    assert [e.action for e in city.tasks.history(name)] == ["dispatch", "sign", "report"]
    assert len(city.store.register.outcomes()) == len(city.store.register.absences()) == 1
    with pytest.raises(TaskError, match="key 'k1' was used by w to sign"):
        city.tasks.close(name, by="lead", at_ns=T0 + 3, key="k1")
    with pytest.raises(TaskError, match="key 'k1' was used by w"):
        city.tasks.sign(name, by="another", at_ns=T0 + 3, key="k1")


def test_reassigning_starts_the_clock_anew_for_somebody_known(town: Town) -> None:
    town.store.rosters.put_workers(STAFF)
    town.tell(change())
    name = town.one().task_id
    with pytest.raises(TaskError, match="worker 'nobody' is unknown"):
        town.tasks.reassign(name, to="nobody", by="lead", at_ns=T0)
    moved = town.tasks.reassign(name, to="w2", by="lead", at_ns=T0 + 30 * MINUTE, why="ill")
    assert (moved.state, moved.assignee) == ("reassigned", "w2")
    assert moved.sign_by_ns == T0 + 90 * MINUTE
    assert town.tasks.sign(name, by="w2", at_ns=T0 + HOUR).state == "signed"


def test_nobody_signs_and_the_task_climbs_the_ladder(city: Town) -> None:
    city.store.rosters.put_workers(STAFF)
    city.tell(change(level=Level.RED))
    name = city.one().task_id
    seen = []
    for minute in range(0, 90, 5):
        city.tasks.tick(T0 + minute * MINUTE)
        one = city.tasks.get(name)
        if not seen or seen[-1][1:] != (one.queue, one.assignee):
            seen.append((minute, one.queue, one.assignee))
    assert seen == [
        (0, "gridworker", "w1"),
        (15, "gridworker", "w2"),
        (30, "grid_leader", "lead"),
        (45, "street", "street"),
        (60, "department", None),
    ]
    assert city.tasks.get(name).escalate_ns is None
    assert mark(city.tasks.get(name), T0 + HOUR) == "red"
    history = city.tasks.history(name)
    assert {e.why for e in history[1:]} == {"not_signed_in_time"}
    city.tasks.sign(name, by="officer", at_ns=T0 + 2 * HOUR)
    assert city.tasks.tick(T0 + 9 * HOUR).escalated == 0


def test_after_a_standstill_each_step_still_gets_its_time(town: Town) -> None:
    town.store.rosters.put_workers(STAFF)
    town.tell(change(level=Level.RED))
    late = T0 + DAY
    assert [town.tasks.tick(late + m * MINUTE).escalated for m in (0, 0, 14, 15, 15)] == [
        1, 0, 0, 1, 0,
    ]  # fmt: skip


def test_a_signed_task_does_not_climb_and_a_rule_has_its_own_ladder(town: Town) -> None:
    town.store.rosters.put_workers(STAFF)
    steps = (EscalationStep("grid_leader", 600), EscalationStep("street", 300))
    route = Route("gridworker", escalate=steps)
    town.store.desk = desk(rule("elderly-silence", route=route))
    town.tell(change(), change("home-2"))
    town.tasks.sign(town.one(door="home-2").task_id, by="w1", at_ns=T0 + MINUTE)
    assert town.tasks.tick(T0 + 9 * MINUTE) == (0, 0)
    assert town.tasks.tick(T0 + 10 * MINUTE) == (0, 1)
    assert town.tasks.tick(T0 + 10 * MINUTE) == (0, 0)
    assert town.one(door="home-1").assignee == "lead"
    assert town.tasks.tick(T0 + 16 * MINUTE) == (0, 1)
    assert town.one(door="home-1").assignee == "street"
    assert town.one(door="home-2").state == "signed"


# -- and its way back into the log ------------------------------------------------------------------------------


def test_an_outcome_goes_into_the_register_and_to_the_log_of_its_shard(city: Town) -> None:
    city.tell(change(), change(rule="elderly-excess"))
    name = city.one().task_id
    city.tasks.sign(name, by="w1", at_ns=T0)
    city.tasks.report(name, Report("away", until_ns=T0 + 3 * DAY), by="w1", at_ns=T0 + HOUR)
    register = city.store.register
    (absence,) = register.absences("home-1", at_ns=T0 + DAY)
    assert (absence.from_ns, absence.until_ns) == (T0 - 6 * HOUR, T0 + 3 * DAY)
    assert register.absences("home-1", at_ns=T0 + 3 * DAY) == []
    fed = register.take("s", city.epoch, 100, T0 + 2 * HOUR)
    assert [f.offset for f in fed] == [100, 101, 102]
    assert [type(f.record) for f in fed] == [Outcome, Outcome, Event]
    told = {f.record.alert_id for f in fed if isinstance(f.record, Outcome)}
    assert told == {change().alert_id, change(rule="elderly-excess").alert_id}
    assert fed[2].record.kind == "absence"
    assert fed[2].record.attrs["until"] == "2026-01-04T00:00:00Z"
    assert {f.record.arrival_ns for f in fed} == {T0 + 2 * HOUR}
    assert register.take("s", city.epoch, 103, T0 + 3 * HOUR) == []
    assert register.logged("s", 99) == fed
    assert register.logged("s", 100) == fed[1:]
    city.store.claim("other")
    assert register.take("other", 1, 0, T0) == []


def test_an_absence_can_be_declared_and_revoked_once(city: Town) -> None:
    register = city.store.register
    said = {"source": "family", "by": "daughter", "at_ns": T0}
    one = register.declare("home-7", T0, T0 + 5 * DAY, **said)
    assert register.declare("home-7", T0, T0 + 5 * DAY, **said) == one
    assert register.absences("home-7") == [one]
    with pytest.raises(OutcomeError, match="quiets nothing"):
        register.declare("home-7", T0, T0 + DAY, kind="rescued", **said)
    back = register.revoke(one.absence_id, by="daughter", at_ns=T0 + DAY)
    assert register.revoke(one.absence_id, by="son", at_ns=T0 + 2 * DAY) == back
    assert register.absences("home-7", at_ns=T0 + 2 * DAY) == []
    fed = register.take("s", city.epoch, 0, T0)
    assert [f.record.kind for f in fed] == ["absence", "absence_revoked"]
    # A subject without alerts belongs to a shard nobody knows here: every shard is told.
    epoch = city.store.claim("other")
    assert len(register.take("other", epoch, 0, T0)) == 2
    assert city.store.books.audit_log("home-7")[0].who == "daughter"


def test_what_was_revoked_does_not_count_towards_the_longest_stretch(town: Town) -> None:
    register = town.store.register
    said = {"source": "family", "by": "daughter"}
    for month in range(0, 12, 2):
        start = T0 + month * 30 * DAY
        one = register.declare("home-7", start, start + 60 * DAY, at_ns=start, **said)
        assert one.until_ns == start + 60 * DAY
        register.revoke(one.absence_id, by="daughter", at_ns=start + DAY)


# -- capacity -------------------------------------------------------------------------------------------------

TIGHT = QueueConfig(visits_per_day=2, fdr=1.0, check_share=0.0)


@pytest.fixture
def tight(town: Town) -> Town:
    town.store.desk = Desk(queue=TIGHT)
    return town


def test_what_exceeds_the_day_is_held_back_visibly_and_released_next_day(tight: Town) -> None:
    tight.tell(*(change(f"h{i}", evidence=float(i)) for i in range(5)))
    assert sorted(t.subject_id for t in tight.tasks.list()) == ["h0", "h1"]
    held = tight.tasks.held_back(GRID)
    assert [(h.subject_id, h.reason, h.status) for h in sorted(held, key=lambda h: h.subject_id)] == [
        (f"h{i}", "capacity", "waiting") for i in (2, 3, 4)
    ]  # fmt: skip
    assert tight.tasks.tick(T0 + HOUR).released == 0
    assert tight.tasks.tick(T0 + DAY).released == 2
    assert sorted(t.subject_id for t in tight.tasks.list()) == ["h0", "h1", "h3", "h4"]
    assert [h.subject_id for h in tight.tasks.held_back()] == ["h2"]
    assert tight.tasks.tick(T0 + DAY + HOUR).released == 0
    assert tight.tasks.tick(T0 + 2 * DAY).released == 1
    assert {h.status for h in tight.tasks.held_back(status=None)} == {"released"}


def test_hard_danger_is_never_starved(tight: Town) -> None:
    tight.store.desk = desk(rule("plant", hard_danger=True), queue=TIGHT)
    tight.tell(*(change(f"h{i}") for i in range(4)))
    tight.tell(change("red", level=Level.RED), change("plant-1", rule="plant", level=Level.BLUE))
    assert {"red", "plant-1"} <= {t.subject_id for t in tight.tasks.list()}


def test_a_held_alert_that_turns_red_goes_at_once_and_one_that_ends_is_gone(tight: Town) -> None:
    tight.tell(*(change(f"h{i}") for i in range(5)))
    tight.tell(change("h4", seq=1, at=T0 + HOUR, level=Level.RED))
    tight.tell(change("h3", seq=1, at=T0 + HOUR, state=State.RESOLVED))
    assert tight.one(door="h4").opened_ns == T0 + HOUR
    status = {h.subject_id: h.status for h in tight.tasks.held_back(status=None)}
    assert status == {"h2": "waiting", "h3": "gone", "h4": "released"}
    assert tight.tasks.tick(T0 + DAY).released == 1


def test_each_grid_has_its_own_visits_and_joining_a_task_needs_none(tight: Town) -> None:
    tight.tell(*(change(f"h{i}") for i in range(2)))
    tight.tell(change("far", place="330106001002009"), change("h1", rule="elderly-excess"))
    assert len(tight.tasks.list()) == 3
    assert tight.tasks.held_back() == []


def test_what_is_no_discovery_is_held_back_with_its_line(city: Town) -> None:
    city.store.desk = Desk(queue=QueueConfig(visits_per_day=9, fdr=0.2, check_share=0.0))
    city.tell(change("weak", evidence=0.2), change("strong", evidence=6.0))
    assert city.one().subject_id == "strong"
    (held,) = city.tasks.held_back()
    assert held.reason == "not_a_discovery"
    assert held.p > held.line
    assert city.tasks.tick(T0 + DAY).released == 0
    city.tell(change("weak", seq=1, at=T0 + DAY, evidence=6.0))
    assert len(city.tasks.list()) == 2


def test_checks_of_what_was_held_back_estimate_the_recall(city: Town) -> None:
    city.store.desk = Desk(
        queue=QueueConfig(visits_per_day=1, fdr=1.0, check_share=0.3, seed=1), roster=Roster([])
    )
    city.tell(*(change(f"h{i}") for i in range(60)))
    checks = city.tasks.list(kind="check")
    assert 8 <= len(checks) <= 28
    for i, one in enumerate(checks):
        city.tasks.sign(one.task_id, by="w", at_ns=T0)
        kind = "rescued" if i < 2 else "safe_at_home"
        city.tasks.report(one.task_id, Report(kind), by="w", at_ns=T0)
    (visit,) = city.tasks.list(kind="visit")
    city.tasks.sign(visit.task_id, by="w", at_ns=T0)
    city.tasks.report(visit.task_id, Report("rescued"), by="w", at_ns=T0)
    found = city.tasks.recall()
    assert (found.found, found.held, found.checked, found.confirmed) == (1, 59, len(checks), 2)
    assert found.estimate == pytest.approx(3 / (1 + 59 * 2 / len(checks)))
    assert city.tasks.recall(rule="another").held == 0


# -- interrupted anywhere -------------------------------------------------------------------------------------


def test_a_report_stopped_between_any_two_statements_is_whole_or_not_there(tmp_path: Path) -> None:
    def begin(file: Path) -> Store:
        store = quick(file)
        town = Town(store)
        town.tell(change(), change(rule="elderly-excess"))
        store.tasks.sign(task_id(change().alert_id), by="w", at_ns=T0)
        return store

    def report(store: Store) -> None:
        told = Report("away", until_ns=T0 + DAY)
        store.tasks.report(task_id(change().alert_id), told, by="w", at_ns=T0 + 1, key="k")

    with begin(tmp_path / "whole.db") as whole:
        before = digest(whole)
        with crash_at(whole, 0) as seen:
            report(whole)
        after = digest(whole)
    assert seen[0] > 8
    begin(tmp_path / "begun.db").close()
    for stop in range(1, seen[0] + 1):
        file = Path(shutil.copy(tmp_path / "begun.db", tmp_path / f"{stop}.db"))
        with quick(file) as store, crash_at(store, stop), pytest.raises(Crash):
            report(store)
        with quick(file) as store:
            assert digest(store) == before
            report(store)
            report(store)
            assert digest(store) == after


def test_a_tick_stopped_between_any_two_statements_sends_nobody_twice(tmp_path: Path) -> None:
    def begin(file: Path) -> Store:
        store = quick(file)
        store.desk = Desk(queue=TIGHT)
        Town(store).tell(*(change(f"h{i}") for i in range(4)))
        return store

    with begin(tmp_path / "whole.db") as whole:
        with crash_at(whole, 0) as seen:
            assert whole.tasks.tick(T0 + DAY) == (2, 2)
        after = digest(whole)
    begin(tmp_path / "begun.db").close()
    for stop in range(1, seen[0] + 1):
        file = Path(shutil.copy(tmp_path / "begun.db", tmp_path / f"{stop}.db"))
        with quick(file) as store:
            store.desk = Desk(queue=TIGHT)
            with crash_at(store, stop), pytest.raises(Crash):
                store.tasks.tick(T0 + DAY)
        with quick(file) as store:
            store.desk = Desk(queue=TIGHT)
            store.tasks.tick(T0 + DAY)
            store.tasks.tick(T0 + DAY)
            assert digest(store) == after


def test_what_a_book_has_changed_is_not_read_over(store: Store) -> None:
    """A turn of the clock reads twice: what is due, then what waits for a new day."""
    from engine.book import Book
    from engine.store import desk_rows
    from tests.engine.store_kit import change

    epoch = store.claim("s")
    line = change()
    store.commit("s", epoch, 1, [line])
    (before,) = store.tasks.list()
    with store.database.write() as connection:
        book = Book()
        desk_rows.read(connection, book, store.desk, [line])
        noted = act(before, Action.NOTE, by="system", at_ns=before.opened_ns, why="level_raised")
        book.change(noted)
        desk_rows.read(connection, book, store.desk, [line])
        desk_rows.save(connection, book)
    (after,) = store.tasks.list()
    assert after.seq == before.seq + 1
    store.tasks.sign(before.task_id, by="w-1", at_ns=before.opened_ns)
    seqs = [event.seq for event in store.tasks.history(before.task_id)]
    assert seqs == [0, 1, 2]
