"""Calls before a visit: turns by event time, what each answer does, and nobody sent before."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.records import Event, Outcome
from engine.dispatch import climb
from engine.history import History
from engine.hours import ns_of
from engine.roster import Worker
from engine.store import TaskError
from engine.tasks import Action, Task, due, mark
from rules.alerts import Level, State
from rules.model import ContactStep, EscalationStep, Limits, Route
from tests.engine.store_kit import DAY, GRID, HOUR, MINUTE, T0, Crash, change, crash_at, dump, quick
from tests.engine.tasks_kit import Town, city, desk, rule, town

__all__ = ["city", "town"]  # fixtures

LADDER = Route(
    "gridworker",
    contact_first=(ContactStep("resident", 600), ContactStep("family", 300)),
    escalate=(EscalationStep("grid_leader", 900),),
)
LIMITS = Limits(sign_s=1_800, contact_s=3_600, door_s=7_200, report_s=14_400, close_s=86_400)
STAFF = [
    Worker(worker_id="w1", grids=(GRID,)),
    Worker(worker_id="w2", grids=(GRID,)),
    Worker(worker_id="lead", grids=(GRID,), role="grid_leader"),
]


def called(where: Town, **given: object) -> Town:
    facts = {"route": LADDER, "limits": LIMITS, **given}
    where.store.desk = desk(rule("elderly-silence", **facts))
    where.store.rosters.put_workers(STAFF)
    return where


def story(where: Town, name: str) -> list[tuple[int, str, str]]:
    """Return (minutes since the alert, action, state) of a task's history."""
    return [
        ((e.at_ns - T0) // MINUTE, e.action, e.state_to) for e in where.tasks.history(name)
    ]  # fmt: skip


def test_nobody_is_sent_while_a_call_may_settle_it(city: Town) -> None:
    called(city).tell(change())
    task = city.one()
    assert (task.state, task.assignee, task.escalate_ns) == ("calling", None, T0 + 10 * MINUTE)
    assert (due(task), mark(task, T0 + DAY)) == (None, "")
    # Turns end by the clock alone; each at its own minute, and once.
    ticks = [city.tasks.tick(T0 + m * MINUTE).escalated for m in (9, 10, 10, 14, 15, 15)]
    assert ticks == [0, 1, 0, 0, 1, 0]
    task = city.one()
    assert (task.state, task.queue, task.assignee) == ("dispatched", "gridworker", "w1")
    # The limit for signing runs from when somebody was sent, the others since the alert.
    assert task.sign_by_ns == T0 + 45 * MINUTE
    assert task.door_by_ns == T0 + 2 * HOUR
    assert city.tasks.tick(T0 + 30 * MINUTE).escalated == 1
    assert city.one().assignee == "lead"
    assert story(city, task.task_id) == [
        (0, "call", "calling"), (10, "call", "calling"), (15, "dispatch", "dispatched"),
        (30, "escalate", "escalated"),
    ]  # fmt: skip


def test_all_is_well_calls_it_off_and_is_its_outcome(city: Town) -> None:
    called(city).tell(change())
    name = city.one().task_id
    say = {"who": "family", "result": "safe", "by": "desk", "at_ns": T0 + 4 * MINUTE, "key": "k"}
    task = city.tasks.contact(name, **say)
    assert (task.state, task.outcome, task.assignee) == ("cancelled", "safe_at_home", None)
    assert city.tasks.contact(name, **say) == task, "the same request again"
    assert [e.action for e in city.tasks.history(name)] == ["call", "contact", "cancel"]
    assert city.tasks.history(name)[-1].why == "all_is_well"
    assert city.tasks.tick(T0 + DAY).escalated == 0
    (outcome,) = city.store.register.outcomes()
    assert (outcome.kind, outcome.verdict, outcome.task_id) == ("safe_at_home", "false", name)
    # The shard learns of it: the silence was none.
    fed = city.store.register.take("s", city.epoch, 100, T0 + 5 * MINUTE)
    assert [type(f.record) for f in fed] == [Outcome, Event]
    assert fed[1].record.kind == "sign_of_life"


def test_an_alert_that_gets_worse_after_all_was_well_is_a_task_again(town: Town) -> None:
    called(town).tell(change())
    town.tasks.contact(
        town.one().task_id, who="resident", result="safe", by="desk", at_ns=T0 + MINUTE
    )
    town.tell(change(seq=1, at=T0 + HOUR))
    assert town.tasks.list() == []
    town.tell(change(seq=2, at=T0 + 6 * HOUR, level=Level.RED))
    assert (town.one().state, town.one().assignee) == ("dispatched", "w1")


@pytest.mark.parametrize(
    ("result", "state", "turn"),
    [
        ("help", "dispatched", 0), ("no_answer", "calling", 1), ("wrong_number", "calling", 1),
        ("busy", "calling", 0), ("message_sent", "calling", 0), ("reached", "calling", 0),
    ],
)  # fmt: skip
def test_what_an_answer_does(town: Town, result: str, state: str, turn: int) -> None:
    called(town).tell(change())
    at = T0 + 3 * MINUTE
    task = town.tasks.contact(
        town.one().task_id, who="resident", result=result, by="desk", at_ns=at
    )
    assert (task.state, task.ladder_step) == (state, turn)
    assert task.contacted_ns == (at if result in ("help", "reached") else None)
    if state == "dispatched":
        assert (task.assignee, task.sign_by_ns) == ("w1", at + 30 * MINUTE)
    else:
        assert task.escalate_ns == (at + 5 * MINUTE if turn else T0 + 10 * MINUTE)


def test_a_family_that_does_not_answer_before_its_turn_ends_nobodys_turn(town: Town) -> None:
    called(town).tell(change())
    name = town.one().task_id
    town.tasks.contact(name, who="family", result="no_answer", by="desk", at_ns=T0 + MINUTE)
    assert town.one().escalate_ns == T0 + 10 * MINUTE
    for minute, who in ((2, "resident"), (3, "family")):
        at = T0 + minute * MINUTE
        task = town.tasks.contact(name, who=who, result="no_answer", by="desk", at_ns=at)
    assert (task.state, town.tasks.history(name)[-1].why) == ("dispatched", "nobody_reached")
    with pytest.raises(TaskError, match="'maybe' is unknown; known: reached, safe, help"):
        town.tasks.contact(name, who="family", result="maybe", by="desk", at_ns=T0 + HOUR)


def test_when_time_is_short_somebody_goes_while_the_calls_are_made(town: Town) -> None:
    called(town).tell(change(level=Level.RED))
    red = town.one()
    assert (red.state, red.assignee) == ("dispatched", "w1")
    assert '"who":"family"' in red.contact_first, "who signs is told whom to call"
    # Until somebody signed, a call can still call it off.
    off = town.tasks.contact(
        red.task_id, who="resident", result="safe", by="desk", at_ns=T0 + MINUTE
    )
    assert off.state == "cancelled"
    # Raised while calls are made: nobody waits any longer.
    town.tell(change("home-2"))
    town.tell(change("home-2", seq=1, at=T0 + 2 * MINUTE, level=Level.RED))
    task = town.one(door="home-2")
    assert (task.state, task.level, task.sign_by_ns) == ("dispatched", "red", T0 + 32 * MINUTE)
    # So does another alert of the same door that is more urgent.
    town.tell(change("home-3"))
    town.tell(change("home-3", rule="fire", at=T0 + MINUTE, level=Level.RED))
    assert town.one(door="home-3").state == "dispatched"


def test_who_signed_reports_and_an_answer_is_a_note(town: Town) -> None:
    called(town).tell(change())
    name = town.one().task_id
    signed = town.tasks.sign(name, by="w2", at_ns=T0 + MINUTE)
    assert (signed.state, signed.assignee, signed.escalate_ns) == ("signed", "w2", None)
    task = town.tasks.contact(name, who="family", result="safe", by="desk", at_ns=T0 + 2 * MINUTE)
    assert (task.state, town.store.register.outcomes()) == ("handling", [])


@pytest.mark.parametrize("state", [State.RESOLVED, State.CANCELLED])
def test_what_is_over_before_anybody_was_sent_sends_nobody(town: Town, state: State) -> None:
    called(town).tell(change())
    name = town.one().task_id
    town.tell(change(seq=1, at=T0 + 5 * MINUTE, state=state))
    assert town.tasks.get(name).state == "cancelled"
    assert town.tasks.history(name)[-1].why == f"alert_{state}"
    assert town.tasks.tick(T0 + DAY) == (0, 0)


def test_turns_outlive_the_process_and_come_once_wherever_it_ends(tmp_path: Path) -> None:
    def run(file: Path, crash: int) -> tuple[dict[str, list[object]], int]:
        """Let time pass in one process each; the second one ends before its n-th statement."""
        seen = 0
        for minute in (0, 10, 15, 30):
            with quick(file) as store:
                there = Town(store)
                store.desk = desk(rule("elderly-silence", route=LADDER, limits=LIMITS))
                if not minute:
                    called(there).tell(change())
                elif minute == 15 and crash:
                    try:
                        with crash_at(store, crash) as statements:
                            there.tasks.tick(T0 + minute * MINUTE)
                    except Crash:
                        there.tasks.tick(T0 + minute * MINUTE)
                    seen = statements[0]
                else:
                    there.tasks.tick(T0 + minute * MINUTE)
        with quick(file) as store:
            tables = dump(store)
            return {k: tables[k] for k in ("tasks", "task_events", "outbox")}, seen

    calm, statements = run(tmp_path / "calm.db", 10_000)
    assert statements > 5
    assert '"escalated"' in repr(calm["tasks"]).replace("'", '"')
    for n in range(1, statements + 1):
        assert run(tmp_path / f"{n}.db", n)[0] == calm, n


def test_after_a_standstill_whoever_is_next_still_has_their_turn(town: Town) -> None:
    called(town).tell(change())
    late = T0 + DAY
    assert town.tasks.tick(late).escalated == 1
    assert (town.one().ladder_step, town.one().escalate_ns) == (1, late + 5 * MINUTE)
    assert town.tasks.tick(late).escalated == 0


def test_calls_of_what_can_wait_are_made_in_working_hours(town: Town) -> None:
    night = T0 + 12 * HOUR  # 20:00 on Thursday, a work day (without a calendar)
    called(town, limits=Limits(sign_s=3_600, clock="work")).tell(change(at=night))
    assert town.one().escalate_ns == ns_of("2026-01-02T01:10:00Z")
    assert town.one().sign_by_ns == ns_of("2026-01-02T02:15:00Z")


def test_nobody_is_called_about_a_place(town: Town) -> None:
    called(town).tell(change(None))
    assert town.one().state == "dispatched"


def test_the_past_counts_a_visit_on_the_day_somebody_was_sent() -> None:
    past = History(desk(rule("elderly-silence", route=LADDER, limits=LIMITS)))
    before_midnight = T0 + 15 * HOUR + 50 * MINUTE  # 23:50 in Hangzhou
    gone = before_midnight + 3 * MINUTE
    past.follow(
        [
            change(at=before_midnight),
            change("home-2", at=before_midnight),
            change("home-2", seq=1, at=gone, state=State.RESOLVED),
            change("home-3", at=before_midnight + 4 * MINUTE, level=Level.RED),
        ]
    )
    assert dict(past.visits) == {(GRID, "2026-01-02"): 1, (GRID, "2026-01-01"): 1}


def test_a_step_of_the_ladder_is_one_step() -> None:
    """The clock's step on a task in the calls' last turn sends, and does not climb as well."""
    from engine.book import Book

    task = Task(
        task_id="t-1", alert_id="a", door="home-1", subject_id="home-1", place=GRID, grid=GRID,
        rule="elderly-silence", level="orange", state="calling", opened_ns=T0, updated_ns=T0,
        ladder_step=1, escalate_ns=T0,
    )  # fmt: skip
    book = Book(tasks={"t-1": task})
    climb(desk(rule("elderly-silence", route=LADDER, limits=LIMITS)), book, task, T0)
    assert [e.action for e in book.events] == [Action.DISPATCH]
