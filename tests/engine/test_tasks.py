"""Tasks from alerts: once at the door, who and when and why, and what people report."""

from __future__ import annotations

import pytest

from connectors.records import Event, Outcome
from engine.outcomes import OutcomeError, Report
from engine.roster import Worker
from engine.store import TaskError
from engine.tasks import (
    Task,
    mark,
    task_id,
)
from rules.alerts import Level, State
from rules.model import (
    ContactStep,
    Dedupe,
    EscalationStep,
    Group,
    Route,
)
from tests.engine.store_kit import (
    DAY,
    GRID,
    HOUR,
    MINUTE,
    T0,
    change,
    digest,
)
from tests.engine.tasks_kit import STAFF, Town, city, desk, rule, town

__all__ = ["city", "town"]  # fixtures


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
