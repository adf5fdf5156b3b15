"""What time does to tasks: the ladder with its marks, one acting instance, reminders, retention."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from engine.desk import Desk
from engine.escalation import LEASE_S, Escalator
from engine.roster import Roster, Worker
from engine.store import Store, Vault
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.access import FencedError, fence
from rules.alerts import Level
from tests.engine.store_kit import DAY, GRID, HOUR, MINUTE, T0, change, quick

WORKERS = (
    Worker(worker_id="w-1", grids=(GRID,), stand_in="w-2"),
    Worker(worker_id="w-2", grids=("330106001002004",)),
    Worker(worker_id="leader", grids=("330106001002",), role="grid_leader"),
    Worker(worker_id="street", grids=("330106001",), role="street"),
    Worker(worker_id="fire", grids=("330106",), role="department"),
)


class Wall:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = quick(tmp_path / "s.db")
    found.desk = Desk(roster=Roster(WORKERS))
    return found


def red(store: Store, at: int = T0) -> str:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, [change(level=Level.RED, at=at)], clock_ns=at)
    return store.tasks.list()[0].task_id


def test_story_3_nobody_signs(store: Store) -> None:
    """Stand-in, grid leader, street, departments, with yellow and red marks, in event time."""
    task = red(store)
    escalator = Escalator(store, "one", wall=Wall())
    for minute in range(0, 76, 1):
        escalator.turn(T0 + minute * MINUTE)
    told = [
        ((e.at_ns - T0) // MINUTE, e.action if e.action == "escalate" else e.why)
        for e in store.tasks.history(task)[1:]
    ]
    assert told == [
        (12, "yellow_mark"), (15, "escalate"), (15, "red_mark"), (30, "escalate"),
        (45, "escalate"), (60, "escalate"),
    ]  # fmt: skip
    holders = [e.detail for e in store.tasks.history(task) if e.action == "escalate"]
    for detail, name in zip(holders, ("w-2", "leader", "street", "fire"), strict=True):
        assert f'"to":"{name}"' in detail
    assert store.tasks.get(task).queue == "department"


def test_work_hours_run_only_while_people_work(store: Store) -> None:
    """A yellow alert of Friday afternoon is not overdue on Saturday."""
    friday = T0 + DAY + 8 * HOUR  # 2026-01-02 16:00 in Hangzhou
    epoch = store.claim("s")
    store.commit("s", epoch, 1, [change(level=Level.YELLOW, at=friday)], clock_ns=friday)
    task = store.tasks.list()[0].task_id
    escalator = Escalator(store, "one", wall=Wall())
    for hour in range(60):
        escalator.turn(friday + hour * HOUR)
    assert all(e.why != "red_mark" for e in store.tasks.history(task))
    escalator.turn(friday + 3 * DAY)
    assert any(e.why == "red_mark" for e in store.tasks.history(task))


def test_each_mark_comes_once_and_is_told_once(store: Store) -> None:
    task = red(store)
    escalator = Escalator(store, "one", wall=Wall())
    for _ in range(5):
        escalator.turn(T0 + 13 * MINUTE)
    marks = [e for e in store.tasks.history(task) if e.why == "yellow_mark"]
    assert len(marks) == 1
    assert sum(r.key == task for r in store.outbox.pending("task")) == 2  # opened, marked


def test_one_instance_acts_and_another_takes_over(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    first, second = quick(file), quick(file)
    for one in (first, second):
        one.desk = Desk(roster=Roster(WORKERS))
    wall = Wall()
    task = red(first)
    a, b = Escalator(first, "a", wall=wall), Escalator(second, "b", wall=wall)
    assert a.turn(T0 + MINUTE) is not None
    assert b.turn(T0 + 15 * MINUTE) is None  # not its turn
    wall.now += LEASE_S + 1  # `a` is gone
    done = b.turn(T0 + 15 * MINUTE)
    assert done is not None
    assert done.escalated == 1
    # `a` wakes up and believes that it still holds the lease: the fence stops it.
    a._lease = a._lease._replace(until_wall=wall.now + 100) if a._lease else None
    assert a.turn(T0 + 31 * MINUTE) is None
    escalated = [e for e in first.tasks.history(task) if e.action == "escalate"]
    assert len(escalated) == 1
    b.close()
    assert a.turn(T0 + 31 * MINUTE) is not None  # given back: at once
    tokens = first.database
    with tokens.read() as connection:
        assert connection.execute(select(tc.leases.c.token)).scalar() == 3


def test_a_fence_stops_a_transaction_of_a_lost_lease(store: Store) -> None:
    old = store.access.lease("x", "a", now_wall=0.0, for_s=1.0)
    assert old is not None
    assert store.access.lease("x", "b", now_wall=0.5, for_s=1.0) is None
    new = store.access.lease("x", "b", now_wall=2.0, for_s=1.0)
    assert new is not None
    assert new.token > old.token
    with store.database.write() as connection:
        fence(connection, new)
        with pytest.raises(FencedError, match="stop acting"):
            fence(connection, old)


def test_a_family_is_reminded_once_a_day_before(store: Store) -> None:
    store.register.declare("home-1", T0, T0 + 5 * DAY, source="family", by="f", at_ns=T0)
    store.register.declare("home-2", T0, T0 + 20 * HOUR, source="family", by="f", at_ns=T0)
    escalator = Escalator(store, "one", wall=Wall())
    for hour in range(0, 120, 6):
        escalator.turn(T0 + hour * HOUR)
    told = store.outbox.pending("reminder")
    assert len(told) == 1
    assert told[0].at_ns == T0 + 4 * DAY


def test_what_is_kept_no_longer_is_erased(tmp_path: Path) -> None:
    file = tmp_path / "s.db"
    quick(file).close()
    with Store.open(file, vault=Vault(bytes(32))) as store:
        store.people.put(
            "home-1", {"name": "甲"}, by="t", at_ns=T0, purpose="x", consent_until_ns=T0 + 30 * DAY
        )
        store.people.put("home-2", {"name": "乙"}, by="t", at_ns=T0, purpose="x")
        escalator = Escalator(store, "one", wall=Wall())
        escalator.turn(T0 + 31 * DAY)
        with store.database.read() as connection:
            assert list(connection.execute(select(t.people.c.owner)).scalars()) == ["home-2"]
        escalator.turn(T0 + 4 * 365 * DAY)
        kept = [line.action for line in store.books.audit_log()]
        assert "personal_data_written" not in kept  # three years are over
