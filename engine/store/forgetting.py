"""Erasing a person from the store, so that its bytes are gone from the file as well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Text, cast, delete, or_, select, text, update

from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.database import Database, chunks
from engine.store.schema_city import deliveries

ERASED = "erased"
"""What stands where a name stood in what has to stay (the audit log, other people's facts)."""
_BY_SUBJECT = (
    t.absences, t.outcomes, t.held_back, tc.family_links, tc.reminders, tc.photos, tc.silences,
    tc.subjects, tc.ratings,
)  # fmt: skip
_BY_TASK = (t.task_events, t.task_requests, tc.task_calls, tc.task_marks, t.outcomes, tc.photos)


def erase(database: Database, subject: str, needles: Sequence[str]) -> dict[str, int]:
    """Erase a subject: rows about it go, mentions elsewhere are overwritten.

    Parameters
    ----------
    needles : sequence of str
        The subject's id and those of its meters.

    Returns
    -------
    dict
        Rows removed or overwritten, by table.
    """
    with database.write() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA secure_delete=ON"))
        removed = _rows(connection, subject)
        removed |= _mentions(connection, needles)
    _compact(database)
    return {name: n for name, n in sorted(removed.items()) if n}


def _rows(connection: Connection, subject: str) -> dict[str, int]:
    removed: dict[str, int] = {}

    def drop(table: Any, condition: Any) -> None:
        done = connection.execute(delete(table).where(condition)).rowcount
        removed[table.name] = removed.get(table.name, 0) + done

    a, k = t.alerts.c, t.tasks.c
    alerts = list(connection.execute(select(a.alert_id).where(a.subject_id == subject)).scalars())
    tasks = list(connection.execute(select(k.task_id).where(k.subject_id == subject)).scalars())
    for part in chunks(tasks):
        for table in _BY_TASK:
            drop(table, table.c.task_id.in_(part))
        drop(t.task_alerts, t.task_alerts.c.task_id.in_(part))
        drop(t.outbox, t.outbox.c.key.in_(part))
        drop(deliveries, deliveries.c.key.in_(part))
        drop(t.tasks, k.task_id.in_(part))
    for part in chunks(alerts):
        drop(t.alert_changes, t.alert_changes.c.alert_id.in_(part))
        drop(t.task_alerts, t.task_alerts.c.alert_id.in_(part))
        drop(t.outbox, t.outbox.c.key.in_(part))
        drop(deliveries, deliveries.c.key.in_(part))
        drop(t.alerts, a.alert_id.in_(part))
    waiting = select(t.feedback.c.id, t.feedback.c.body)
    mine = [
        row.id
        for row in connection.execute(waiting)
        if msgspec.json.decode(row.body).get("subject_id") == subject
    ]
    for start in range(0, len(mine), 500):
        ids = mine[start : start + 500]
        drop(t.feedback_log, t.feedback_log.c.id.in_(ids))
        drop(t.feedback, t.feedback.c.id.in_(ids))
    drop(t.people, t.people.c.owner == subject)
    for table in _BY_SUBJECT:
        drop(table, table.c.subject_id == subject)
    return removed


def _mentions(connection: Connection, needles: Sequence[str]) -> dict[str, int]:
    """Overwrite mentions in every text column of every table; whole words only."""
    whole = re.compile("|".join(word(needle) for needle in needles))
    changed: dict[str, int] = {}
    for table in t.metadata.sorted_tables:
        columns = [c for c in table.columns if isinstance(c.type, Text)]
        keys = list(table.primary_key.columns)
        found = or_(*(cast(c, Text).contains(n, autoescape=True) for c in columns for n in needles))
        for row in connection.execute(select(*keys, *columns).where(found)).all():
            values = row[len(keys) :]
            new = {
                column.name: whole.sub(ERASED, value)
                for column, value in zip(columns, values, strict=True)
                if value is not None and whole.search(value)
            }
            if new:
                same = [k == v for k, v in zip(keys, row[: len(keys)], strict=True)]
                connection.execute(update(table).where(*same).values(**new))
                changed[table.name] = changed.get(table.name, 0) + 1
    return changed


def word(needle: str) -> str:
    """Return a pattern for an id that is not a part of a longer one.

    >>> bool(re.search(word("home-1"), "home-10")), bool(re.search(word("home-1"), "a home-1."))
    (False, True)
    """
    return rf"(?<![A-Za-z0-9_-]){re.escape(needle)}(?![A-Za-z0-9_-])"


def _compact(database: Database) -> None:
    """Have the file give up the bytes of what was erased."""
    backend = database.engine.dialect.name
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if backend == "sqlite":
            raw = connection.connection.dbapi_connection
            assert raw is not None
            cursor = raw.cursor()
            if connection.in_transaction():
                connection.rollback()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()
        else:
            for table in t.metadata.sorted_tables:
                connection.execute(text(f'VACUUM FULL "{table.name}"'))
