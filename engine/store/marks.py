"""Yellow and red marks of tasks, written once each when their time comes; reminders; retention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, and_, case, delete, exists, func, literal, select

from engine.book import Book
from engine.store import desk_rows as rows
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.books import audit_row
from engine.store.database import Database, How, write
from engine.store.questions import due_sql, mark_sql
from engine.store.ratings import PREFIX
from engine.tasks import DUE_STEPS, OPEN, SYSTEM, Action, TaskState, act, compact

NS = 1_000_000_000
DAY_NS = 86_400 * NS
REMIND_NS, LONG_NS = DAY_NS, 36 * 3_600 * NS
"""A reminder comes a day before an absence ends, if it is longer than a day and a half."""
REMINDED = ("away", "in_hospital")
AT_ONCE = 1_000

Guard = Callable[[Connection], None]


def _step_sql() -> Any:
    """Return the name of the step whose deadline runs now."""
    c = t.tasks.c
    whens = []
    for states, deadline, done in DUE_STEPS:
        pending = c[deadline].is_not(None) & c.state.in_(sorted(states))
        name = deadline.removesuffix("_by_ns")
        whens.append((pending & c[done].is_(None) if done else pending, name))
    return case(*whens, else_=None)


def mark_tasks(database: Database, now_ns: int, guard: Guard) -> int:
    """Give tasks the marks whose time has come, each once; return how many there were."""
    c, m = t.tasks.c, tc.task_marks.c
    step, due = _step_sql(), due_sql()
    found: list[tuple[str, str, str]] = []
    wanted = (
        ("red", due <= now_ns),
        ("yellow", and_(mark_sql(now_ns, "yellow"), due > now_ns)),
    )
    with database.read() as connection:
        for mark, holds in wanted:
            has = exists().where(m.task_id == c.task_id, m.step == step, m.mark == mark)
            query = select(c.task_id, step).where(c.state.in_(sorted(OPEN)), holds, ~has)
            found += [(r[0], r[1], mark) for r in connection.execute(query.limit(AT_ONCE))]
        found += [(task, f"call {name}", "red") for task, name in _calls(connection, now_ns)]
    if not found:
        return 0
    with database.write() as connection:
        guard(connection)
        book = Book()
        for task_id, name, mark in sorted(found):
            row = {"task_id": task_id, "step": name, "mark": mark, "at_ns": now_ns}
            if not write(connection, tc.task_marks, [row], How.NEW):
                continue
            task = book.tasks.get(task_id) or rows.one(connection, task_id, lock=True)
            book.tasks[task_id] = task
            at_ns = max(now_ns, task.opened_ns)
            book.change(
                act(
                    task, Action.NOTE, by=SYSTEM, at_ns=at_ns, why=f"{mark}_mark",
                    detail={"step": name},
                )
            )  # fmt: skip
        rows.save(connection, book)
    return len(found)


def _calls(connection: Connection, now_ns: int) -> list[tuple[str, str]]:
    """Return departments that have not reported in time and have no mark yet."""
    c, m = tc.task_calls.c, tc.task_marks.c
    has = exists().where(m.task_id == c.task_id, m.step == "call " + c.department)
    query = select(c.task_id, c.department).where(c.answered_ns.is_(None), c.due_ns <= now_ns, ~has)
    return [(r[0], r[1]) for r in connection.execute(query.limit(AT_ONCE))]


def remind(database: Database, now_ns: int, guard: Guard) -> int:
    """Put reminders of absences that end soon into the outbox (``reminder``), each once."""
    a, r = t.absences.c, tc.reminders.c
    query = select(a.absence_id, a.subject_id).where(
        a.revoked_ns.is_(None),
        a.kind.in_(REMINDED),
        a.until_ns > now_ns,
        a.until_ns <= now_ns + REMIND_NS,
        a.until_ns - a.from_ns >= LONG_NS,
        ~exists().where(r.key == a.absence_id),
    )
    return _put(database, query, now_ns, guard)


def ask(database: Database, now_ns: int, guard: Guard) -> int:
    """Put into the outbox whom to ask what they think of a visit (``reminder``), each once.

    Only homes with a family's link that holds: the answer comes by that link.
    """
    k, r, f = t.tasks.c, tc.reminders.c, tc.family_links.c
    key = literal(PREFIX) + k.task_id
    query = select(key.label("key"), k.subject_id).where(
        k.state == str(TaskState.CLOSED),
        k.signed_ns.is_not(None),
        k.closed_ns > now_ns - DAY_NS,
        k.subject_id.is_not(None),
        exists().where(f.subject_id == k.subject_id, f.revoked_ns.is_(None)),
        ~exists().where(r.key == key),
    )
    return _put(database, query, now_ns, guard)


def _put(database: Database, query: Select[Any], now_ns: int, guard: Guard) -> int:
    """Put reminders, as (key, subject), into the outbox, each once."""
    with database.read() as connection:
        found = connection.execute(query.limit(AT_ONCE)).all()
    if not found:
        return 0
    with database.write() as connection:
        guard(connection)
        for key, subject_id in found:
            one = {"key": key, "subject_id": subject_id, "at_ns": now_ns}
            if write(connection, tc.reminders, [one], How.NEW):
                told = {"topic": "reminder", "key": key, "seq": 0, "at_ns": now_ns}
                write(connection, t.outbox, [told])
    return len(found)


def sweep(
    database: Database, now_ns: int, *, photos_days: int, looks_days: int, guard: Guard
) -> dict[str, int]:
    """Erase what is kept no longer: old photos and looks, personal data without consent."""
    p = t.people.c
    with database.write() as connection:
        guard(connection)
        ended = select(p.owner).where(p.consent_until_ns <= now_ns).distinct()
        owners = list(connection.execute(ended).scalars())
        removed = {
            "photos": connection.execute(
                delete(tc.photos).where(tc.photos.c.at_ns < now_ns - photos_days * DAY_NS)
            ).rowcount,
            "looks": connection.execute(
                delete(t.audit_log).where(t.audit_log.c.at_ns < now_ns - looks_days * DAY_NS)
            ).rowcount,
            "personal_data": connection.execute(
                delete(t.people).where(p.consent_until_ns <= now_ns)
            ).rowcount,
        }
        lines = [
            audit_row(SYSTEM, now_ns, "personal_data_erased", owner, {"why": "consent expired"})
            for owner in owners
        ]
        write(connection, t.audit_log, lines)
        job = {"name": "retention", "at_ns": now_ns, "body": compact(removed)}
        write(connection, tc.jobs, [job], How.REPLACE)
    return removed


def last_sweep(database: Database) -> int:
    """Return when the last sweep was, or 0."""
    query = select(func.max(tc.jobs.c.at_ns)).where(tc.jobs.c.name == "retention")
    with database.read() as connection:
        return int(connection.execute(query).scalar() or 0)
