"""What exceeds a day is held back; a commit stopped anywhere sends nobody twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.config import QueueConfig
from engine.desk import Desk
from engine.outcomes import Report
from engine.roster import Roster
from engine.store import Store
from engine.tasks import (
    Action,
    act,
    task_id,
)
from rules.alerts import Level, State
from tests.engine.store_kit import (
    DAY,
    GRID,
    HOUR,
    T0,
    Crash,
    change,
    crash_at,
    digest,
    quick,
)
from tests.engine.tasks_kit import Town, city, desk, rule, town

__all__ = ["city", "town"]  # fixtures


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
