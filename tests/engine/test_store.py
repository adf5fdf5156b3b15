"""The store: once and whole, whatever is interrupted or repeated; the same on both databases."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import engine.store.database as database
from connectors.records import PriceRecord
from engine.snapshot import SnapshotRef
from engine.store import (
    DeterminismViolation,
    SnapshotConflict,
    StaleEpoch,
    Store,
    StoreError,
    StoreTooNew,
)
from engine.store.schema import HEAD, metadata
from rules.alerts import AlertChange, Level, State
from tests.engine.store_kit import DAY, HOUR, T0, Crash, change, crash_at, digest, dump, quick


def story() -> list[AlertChange]:
    """Alerts that touch every table a commit writes: join, raise, resolve, cancel, come again."""
    changes = [change(f"home-{i}", at=T0 + i * HOUR) for i in range(4)]
    changes += [
        change("home-0", rule="elderly-excess", at=T0 + 5 * HOUR, level=Level.RED),
        change("home-1", seq=1, at=T0 + 6 * HOUR, state=State.RESOLVED),
        change("home-2", seq=1, at=T0 + 7 * HOUR, state=State.CANCELLED),
        change("home-3", seq=1, at=T0 + 8 * HOUR, level=Level.RED),
        change("home-2", onset=T0 + 8 * HOUR, at=T0 + 14 * HOUR),
        change(None, rule="area-outage", at=T0 + 15 * HOUR),
    ]
    return changes


# -- opening --------------------------------------------------------------------------------------


def test_what_was_written_is_there_after_opening_again(url: str) -> None:
    with Store.open(url) as store:
        epoch = store.claim("s")
        store.commit("s", epoch, 7, story(), clock_ns=T0)
        before = dump(store)
    with Store.open(url, create=False) as store:
        assert dump(store) == before
        assert store.shard("s").offset == 7
        assert store.clock() == T0


def test_the_tables_are_those_of_the_migrations(store: Store) -> None:
    with store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_program_knows_its_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_newer_schema_is_refused_by_name(url: str) -> None:
    with Store.open(url) as store, store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(
            StoreTooNew, match=f"has schema 9999.*knows up to {HEAD}.*newer program"
        ):
            Store.open(url)
    finally:
        engine = database.connect(url)
        with database.Database(engine).write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": HEAD})
        engine.dispose()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("no url", "is no URL; wanted sqlite:///FILE"),
        ("mysql://u@h/d", "wanted sqlite or postgresql"),
        ("sqlite:////no/such/folder/x.db", "folder /no/such/folder does not exist"),
        ("postgresql://u:secret@/x?host=/no/such/place", "cannot|failed|No such file"),
    ],
)
def test_a_url_that_cannot_be_opened_says_why_and_hides_the_password(bad: str, says: str) -> None:
    with pytest.raises(StoreError, match=says) as error:
        Store.open(bad)
    assert "secret" not in str(error.value)


def test_a_mistyped_file_is_not_a_new_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        Store.open(tmp_path / "typo.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    file.write_bytes(b"this is not a database, but long enough to look at" * 100)
    with pytest.raises(StoreError, match=r"x\.db.*not a database"):
        Store.open(file)


# -- epochs -----------------------------------------------------------------------------------------


def test_taking_a_shard_puts_the_holder_before_out(store: Store) -> None:
    old = store.claim("s", holder="a")
    new = store.claim("s", holder="b")
    assert new == old + 1
    with pytest.raises(StaleEpoch, match=f"epoch {old} is past, epoch {new} \\(b\\)"):
        store.commit("s", old, 1, [change()])
    ref = SnapshotRef("s", old, 0, "f", "0", 1)
    with pytest.raises(StaleEpoch):
        store.save_snapshot("s", old, None, ref)
    store.register.declare("home-1", T0, T0 + DAY, source="x", by="y", at_ns=T0)
    with pytest.raises(StaleEpoch):
        store.register.take("s", old, 0, T0)
    assert store.alerts() == []
    assert store.commit("s", new, 1, [change()]) == 1


def test_nobody_writes_to_a_shard_that_was_never_claimed(store: Store) -> None:
    with pytest.raises(StoreError, match="nobody claimed it"):
        store.commit("s", 1, 0, [])


def test_claims_at_the_same_time_get_different_epochs(url: str, store: Store) -> None:
    epochs: list[int] = []

    def claim() -> None:
        with Store.open(url) as mine:
            epochs.extend(mine.claim("s") for _ in range(5))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(1, 21))


def test_two_shards_commit_at_the_same_time(url: str, store: Store) -> None:
    def run(shard: str) -> None:
        with Store.open(url) as mine:
            epoch = mine.claim(shard)
            for i in range(10):
                mine.commit(shard, epoch, i, [change(f"{shard}-{i}", at=T0 + i)])

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.alerts()) == len(store.tasks.list()) == 20
    assert {row.offset for row in store.shards()} == {9}


def test_a_writer_locks_before_it_reads(lite: Store) -> None:
    """Else two that read first and write then would refuse each other instead of waiting."""
    other = sqlite3.connect(str(lite.database.engine.url.database), timeout=0)
    with lite.database.write() as connection:
        connection.execute(text("SELECT 1 FROM shards"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    with lite.database.read() as connection:
        connection.execute(text("SELECT 1 FROM shards"))
        other.execute("BEGIN IMMEDIATE")
    other.close()


# -- commits ----------------------------------------------------------------------------------------


def test_a_commit_that_comes_again_changes_nothing(store: Store) -> None:
    epoch = store.claim("s")
    changes = story()
    assert store.commit("s", epoch, 1, changes, clock_ns=T0) == len(changes)
    before = dump(store)
    assert store.commit("s", epoch, 1, changes, clock_ns=T0) == 0
    assert dump(store) == before


def test_only_what_is_new_is_inserted_and_told(store: Store) -> None:
    epoch = store.claim("s")
    changes = story()
    store.commit("s", epoch, 1, changes[:3])
    assert store.commit("s", epoch, 2, changes) == len(changes) - 3
    told = [(row.key, row.seq) for row in store.outbox.pending("alert")]
    assert sorted(told) == sorted((c.alert_id, c.seq) for c in changes)
    assert len(set(told)) == len(told)


def test_the_same_change_with_another_body_stops_everything(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, [change()])
    before = dump(store)
    other = change(text="something else")
    with pytest.raises(DeterminismViolation) as error:
        store.commit("s", epoch, 2, [change("home-9"), other])
    message = str(error.value)
    assert other.alert_id in message
    hashes = {part for part in message.replace(",", " ").split() if len(part) == 64}
    assert len(hashes) == 2
    assert dump(store) == before


def test_two_bodies_of_one_change_in_one_commit_are_a_violation_too(store: Store) -> None:
    epoch = store.claim("s")
    with pytest.raises(DeterminismViolation):
        store.commit("s", epoch, 1, [change(), change(text="something else")])
    assert store.commit("s", epoch, 1, [change(), change()]) == 1


def test_alerts_stand_at_their_newest_change_in_any_order(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, [change(seq=2, at=T0 + 2, level=Level.RED), change(at=T0)])
    (alert,) = store.alerts()
    assert (alert.seq, alert.level, alert.at_ns) == (2, "red", T0 + 2 - 2 % 1000)
    store.commit("s", epoch, 1, [change(seq=1, at=T0 + HOUR)])
    assert store.alerts()[0].seq == 2
    assert [c.seq for c in store.changes(alert.alert_id)] == [0, 1, 2]


def test_alerts_are_found_by_state_place_subject_and_rule(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, story())
    assert {a.state for a in store.alerts(state="resolved")} == {"resolved"}
    assert len(store.alerts(subject="home-2")) == 2
    assert [a.subject_id for a in store.alerts(rule="area-outage")] == [None]
    assert len(store.alerts(place="330106")) == len({c.alert_id for c in story()})
    assert store.alerts(place="3301%") == []
    assert len(store.alerts(limit=2)) == 2


@pytest.mark.parametrize("page", [1, 3, 1_000])
def test_lines_are_the_exported_bytes_in_order(
    store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.store._LINES_AT_ONCE", page)
    epoch = store.claim("s")
    changes = story()
    store.commit("s", epoch, 1, changes[::-1])
    wanted = [c.line() for c in sorted(changes, key=lambda c: (c.at, c.alert_id, c.seq))]
    assert list(store.lines()) == wanted
    assert list(store.lines("another")) == []


def test_thousands_of_changes_in_one_commit(lite: Store) -> None:
    epoch = lite.claim("s")
    changes = [change(f"home-{i}", at=T0 + i * 1000) for i in range(2_500)]
    assert lite.commit("s", epoch, 1, changes) == 2_500
    assert lite.commit("s", epoch, 2, [*changes, change("last")]) == 1
    assert len(lite.tasks.list()) == 2_501


def test_text_that_looks_like_sql_is_text(store: Store) -> None:
    nasty = "Robert'); DROP TABLE alerts;-- %(x)s ? :y"
    epoch = store.claim(nasty, holder=nasty)
    store.commit(nasty, epoch, 1, [change(nasty, rule=nasty, text=nasty)])
    assert store.alerts(subject=nasty)[0].rule == nasty
    assert store.tasks.list(door=nasty)[0].reason_en == nasty


# -- interrupted anywhere -----------------------------------------------------------------------------


def test_a_commit_stopped_between_any_two_statements_is_not_there_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    first, second = story()[:4], story()[4:]
    with quick(tmp_path / "whole.db") as whole:
        epoch = whole.claim("s")
        whole.commit("s", epoch, 1, first)
        before = digest(whole)
        with crash_at(whole, 0) as seen:
            whole.commit("s", epoch, 2, second)
        statements, after = seen[0], digest(whole)
    assert statements > 12
    with quick(tmp_path / "begun.db") as begun:
        begun.commit("s", begun.claim("s"), 1, first)
    for stop in range(1, statements + 1):
        file = Path(shutil.copy(tmp_path / "begun.db", tmp_path / f"{stop}.db"))
        with quick(file) as store, crash_at(store, stop), pytest.raises(Crash):
            store.commit("s", epoch, 2, second)
        with quick(file) as store:
            assert digest(store) == before, f"statement {stop} left something behind"
            assert store.commit("s", epoch, 2, second) == len(second)
            assert digest(store) == after
            assert store.commit("s", epoch, 2, second) == 0


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=5))
def test_any_split_and_any_repetition_gives_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    """Each step goes back by so many changes, as after a crash, and on by so many."""
    changes = story()

    def run(parts: list[list[AlertChange]]) -> dict[str, list[tuple[object, ...]]]:
        with quick(tmp_path_factory.mktemp("s") / "s.db") as store:
            epoch = store.claim("s")
            for part in parts:
                store.commit("s", epoch, 1, part, clock_ns=T0)
            found = dump(store)
            # A task rings once per commit that touches it, so how often depends on the cuts.
            found["outbox"] = [row for row in found["outbox"] if row[0] == "alert"]
            return found

    parts, done = [], 0
    for back, on in steps:
        start = max(0, done - back)
        parts.append(changes[start : start + on])
        done = max(done, start + len(parts[-1]))
    parts.append(changes[done:])
    assert run(parts) == run([changes])


# -- snapshots in SQL -----------------------------------------------------------------------------------


def ref(offset: int, epoch: int = 1, name: str = "") -> SnapshotRef:
    return SnapshotRef("s", epoch, offset, name or f"s.{epoch}.{offset}", "ab" * 32, 10, "cd")


def test_snapshots_are_swapped_only_from_the_one_gone_on_from(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 20, [])
    assert store.current_snapshot("s") is None
    store.save_snapshot("s", epoch, None, ref(10))
    with pytest.raises(SnapshotConflict, match=r"current snapshot is s\.1\.10, expected None"):
        store.save_snapshot("s", epoch, None, ref(11))
    store.save_snapshot("s", epoch, ref(10), ref(20))
    assert store.current_snapshot("s") == ref(20)
    assert store.snapshots("s") == [ref(20), ref(10)]
    store.drop_snapshots("s", [ref(10).file])
    assert store.snapshots("s") == [ref(20)]


def test_after_going_back_the_later_epoch_s_snapshots_come_first(store: Store) -> None:
    first = store.claim("s")
    store.commit("s", first, 30, [])
    store.save_snapshot("s", first, None, ref(30, first))
    second = store.claim("s")
    store.save_snapshot("s", second, ref(30, first), ref(20, second))
    assert store.snapshots("s") == [ref(20, second), ref(30, first)]
    assert store.current_snapshot("s") == ref(20, second)


def test_a_snapshot_covers_only_what_is_committed(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 20, [])
    with pytest.raises(SnapshotConflict, match="reaches offset 21, alerts are committed up to 20"):
        store.save_snapshot("s", epoch, None, ref(21))
    assert store.current_snapshot("s") is None


def test_the_committed_offset_never_falls(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 20, [], clock_ns=T0)
    store.commit("s", epoch, 5, [], clock_ns=T0 - HOUR)
    row = store.shard("s")
    assert (row.offset, row.clock_ns) == (20, T0)


# -- books --------------------------------------------------------------------------------------------


def test_books_keep_runs_budgets_prices(store: Store) -> None:
    books = store.books
    books.record_run("r1", "replay", {"inputs": {"readings": "ab"}})
    books.record_run("r1", "replay", {"inputs": {"readings": "cd"}})
    assert books.runs() == [("r1", "replay", {"inputs": {"readings": "cd"}})]

    books.put_budget("r", 12.0, scope="fleet", by="ann", at_ns=T0)
    books.put_budget("r", 6.0, scope="subject", by="ann", at_ns=T0 + 1)
    assert books.budgets() == {"r": (6.0, "subject")}

    price = PriceRecord("r", 20_000, 7, 0.25, T0)
    books.put_prices([price, PriceRecord("r", 20_001, 8, 0.5, T0)])
    books.put_prices([PriceRecord("r", 20_000, 9, 0.9, T0)])
    assert books.prices("r")[0] == price

    books.audit("ann", T0, "looked", "home-1", {"why": "x"})
    assert [line.action for line in books.audit_log()] == ["looked"]


def test_the_outbox_gives_rows_until_they_are_done(store: Store) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, story())
    rows = store.outbox.pending()
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    store.outbox.done([row.id for row in rows[:2]])
    store.outbox.done([row.id for row in rows[:2]])
    assert store.outbox.pending() == rows[2:]
