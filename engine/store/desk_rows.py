"""Reading and saving the desk's working set: rows to a book, and what changed of it back to rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select

from engine.book import Book, Held, Link
from engine.desk import Desk
from engine.hours import ns_of
from engine.queue import Gate
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.database import How, chunks, write
from engine.tasks import OPEN, Action, Task, TaskError, TaskEvent
from rules.alerts import AlertChange, State

TASK = [t.tasks.c[name] for name in Task.__struct_fields__]
EVENT = [t.task_events.c[name] for name in TaskEvent.__struct_fields__]
HELD = [t.held_back.c[name] for name in Held.__struct_fields__]
LINK = [t.task_alerts.c[name] for name in Link.__struct_fields__]
OPEN_STATES = sorted(OPEN)
_TASK_FIELDS = Task.__struct_fields__


def read(connection: Connection, book: Book, desk: Desk, changes: Sequence[AlertChange]) -> None:
    """Fill a book with what is known of the doors and queues that changes concern.

    What the book has already stays: it is locked, and perhaps changed and not written yet.
    """
    ids = [c.alert_id for c in changes]
    firing = [c for c in changes if c.state == State.FIRING]
    a, h, c = t.task_alerts.c, t.held_back.c, t.tasks.c
    wanted: set[str] = set()
    waiting = select(h.alert_id).where(h.status == "waiting").limit(1)
    any_held = connection.execute(waiting).first() is not None
    for part in chunks(ids):
        for row in connection.execute(select(*LINK).where(a.alert_id.in_(part))):
            link = Link(*row)
            book.links.setdefault(link.alert_id, link)
            wanted.add(link.task_id)
        if any_held:
            for row in connection.execute(select(*HELD).where(h.alert_id.in_(part))):
                book.held.setdefault(row.alert_id, Held(**row._mapping))
    last_ns = max((ns_of(change.at) for change in changes), default=0)
    if any_held:
        read_due(connection, book, last_ns)
        firing += [c for name, c in book.newest.items() if name not in set(ids)]
        doors = {desk.door(change) for change in firing}
        for row in connection.execute(
            select(*HELD).where(h.status == "waiting", h.due_ns > last_ns)
        ):
            held = Held(**row._mapping)
            if desk.door_of(held) in doors:
                book.held.setdefault(held.alert_id, held)
        book.newest |= newest(connection, sorted(book.held.keys() - book.newest.keys()))
    if firing:
        earliest_ns = desk.relevant_since_ns(firing)
        recent = or_(
            c.state.in_(OPEN_STATES), c.reported_ns >= earliest_ns, c.opened_ns >= earliest_ns
        )
        for part in chunks([desk.door(change) for change in firing]):
            query = select(*TASK).where(c.door.in_(part), recent).with_for_update()
            for row in connection.execute(query):
                book.tasks.setdefault(row.task_id, task_of(row))
        for rule, area in sorted(_dedupe_areas(desk, firing)):
            query = select(*TASK).where(
                c.rule == rule,
                c.opened_ns >= earliest_ns,
                c.place.startswith(area, autoescape=True),
            )
            for row in connection.execute(query.with_for_update()):
                book.tasks.setdefault(row.task_id, task_of(row))
    for part in chunks(sorted(wanted - book.tasks.keys())):
        query = select(*TASK).where(c.task_id.in_(part)).with_for_update()
        for row in connection.execute(query):
            book.tasks.setdefault(row.task_id, task_of(row))
    if desk.queue.visits_per_day is not None:
        _read_gates(connection, book, [desk.grid(change.place) for change in firing])
    if firing:
        read_load(connection, book, desk)


def read_load(connection: Connection, book: Book, desk: Desk) -> None:
    """Add how many open tasks each worker has."""
    if desk.roster is None or not desk.roster.workers:
        return
    c = t.tasks.c
    counts = select(c.assignee, func.count()).where(
        c.state.in_(OPEN_STATES), c.assignee.is_not(None)
    )
    for worker, open_tasks in connection.execute(counts.group_by(c.assignee)):
        book.load[worker] = open_tasks


def read_due(connection: Connection, book: Book, now_ns: int) -> None:
    """Add what was held until `now_ns`, with its newest change."""
    h = t.held_back.c
    query = select(*HELD).where(h.status == "waiting", h.due_ns <= now_ns)
    for row in connection.execute(query):
        book.held.setdefault(row.alert_id, Held(**row._mapping))
    a = t.task_alerts.c
    names = [held.alert_id for held in book.due(now_ns)]
    book.newest |= newest(connection, names)
    for part in chunks(names):
        for row in connection.execute(select(*LINK).where(a.alert_id.in_(part))):
            book.links.setdefault(row.alert_id, Link(*row))


def _dedupe_areas(desk: Desk, changes: Sequence[AlertChange]) -> set[tuple[str, str]]:
    """Return (rule, place) for which tasks elsewhere in the place matter."""
    found = {(change.rule, desk.dedupe_area(change)) for change in changes}
    return {(rule, area) for rule, area in found if area is not None}


def _read_gates(connection: Connection, book: Book, grids: Sequence[str]) -> None:
    for part in chunks(grids):
        query = select(t.queues).where(t.queues.c.grid.in_(part)).with_for_update()
        for row in connection.execute(query):
            tests = None if row.tests is None else msgspec.json.decode(row.tests)
            gate = Gate(row.grid, row.day, row.sent, row.renewed_day, tests)
            book.gates.setdefault(row.grid, gate)


def not_silenced(
    connection: Connection, desk: Desk, changes: Sequence[AlertChange]
) -> Sequence[AlertChange]:
    """Return the changes that no silence covers; danger to life is never silenced.

    What ends an alert passes, so that a task from before the silence learns of it; so does what
    the log says is silenced (``facts.silenced``): it is held, and sent when the silence ends.
    """
    if not changes:
        return changes
    s = tc.silences.c
    times = [ns_of(c.at) for c in changes]
    query = select(s.rule, s.place, s.subject_id, s.from_ns, s.until_ns, s.revoked_ns).where(
        s.from_ns <= max(times), s.until_ns > min(times)
    )
    found = connection.execute(query).all()
    if not found:
        return changes

    def silenced(change: AlertChange, at_ns: int) -> bool:
        if change.state != State.FIRING or desk.hard(change.rule, change.level):
            return False
        if "silenced" in change.facts:
            return False
        return any(
            r.from_ns <= at_ns < min(r.until_ns, r.revoked_ns or r.until_ns)
            and r.rule in (None, change.rule)
            and r.subject_id in (None, change.subject_id)
            and change.place.startswith(r.place or "")
            for r in found
        )

    return [c for c, at in zip(changes, times, strict=True) if not silenced(c, at)]


def task_of(row: Any) -> Task:
    """Return the task of a row."""
    return Task(**dict(zip(_TASK_FIELDS, row, strict=True)))


def one(connection: Connection, task_id: str, *, lock: bool = False) -> Task:
    """Return a task; with `lock` nobody else changes it before this transaction ends."""
    query = select(*TASK).where(t.tasks.c.task_id == task_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise TaskError(f"task {task_id!r}: there is none; `gridwarden tasks list` shows them")
    return task_of(row)


def alerts_of(connection: Connection, task_id: str) -> list[str]:
    """Return the alerts that led to a task, sorted."""
    c = t.task_alerts.c
    query = select(c.alert_id).where(c.task_id == task_id).order_by(c.alert_id)
    return list(connection.execute(query).scalars())


def begun_ns(connection: Connection, task_id: str) -> int | None:
    """Return the earliest onset of the alerts that led to a task."""
    a, b = t.task_alerts.c, t.alerts.c
    query = select(func.min(b.onset_ns)).join(t.task_alerts, a.alert_id == b.alert_id)
    return connection.execute(query.where(a.task_id == task_id)).scalar()


def newest(connection: Connection, alert_ids: Sequence[str]) -> dict[str, AlertChange]:
    """Return the newest change of some alerts."""
    a, b = t.alerts.c, t.alert_changes.c
    found = {}
    for part in chunks(alert_ids):
        query = (
            select(b.alert_id, b.body)
            .join(t.alerts, (a.alert_id == b.alert_id) & (a.seq == b.seq))
            .where(b.alert_id.in_(part))
        )
        for row in connection.execute(query):
            found[row.alert_id] = msgspec.json.decode(row.body, type=AlertChange)
    return found


def done(connection: Connection, task_id: str, action: Action, by: str, key: str) -> bool:
    """Return whether a request was carried out before.

    Raises
    ------
    TaskError
        If its key was used for something else.
    """
    c, r = t.task_events.c, t.task_requests.c
    query = (
        select(c.action, c.by)
        .join(t.task_requests, (r.task_id == c.task_id) & (r.seq == c.seq))
        .where(r.task_id == task_id, r.key == key)
    )
    row = connection.execute(query).first()
    if row is None:
        return False
    if (row.action, row.by) != (action, by):
        raise TaskError(
            f"task {task_id}: key {key!r} was used by {row.by} to {row.action}; "
            "every request needs a key of its own"
        )
    return True


def remember(connection: Connection, event: TaskEvent, key: str) -> None:
    """Note that a request wrote a line of history."""
    row = {"task_id": event.task_id, "key": key, "seq": event.seq}
    write(connection, t.task_requests, [row])


def save(connection: Connection, book: Book) -> None:
    """Write what a book says was changed."""
    write(connection, t.tasks, [book.tasks[name] for name in book.created])
    write(connection, t.tasks, [book.tasks[name] for name in book.touched], How.REPLACE)
    write(connection, t.task_events, book.events)
    write(connection, t.task_alerts, [book.links[name] for name in book.linked], How.REPLACE)
    write(connection, t.held_back, [book.held[name] for name in book.held_touched], How.REPLACE)
    gates = [_gate(book.gates[name]) for name in book.gates_touched]
    write(connection, t.queues, gates, How.REPLACE)
    # One doorbell per task is enough, however much happened to it.
    newest = {e.task_id: e for e in book.events}
    told = [
        {"topic": "task", "key": e.task_id, "seq": e.seq, "at_ns": e.at_ns} for e in newest.values()
    ]
    write(connection, t.outbox, told)


def _gate(gate: Gate) -> dict[str, Any]:
    tests = gate.snapshot()
    return {
        "grid": gate.grid,
        "day": gate.day,
        "sent": gate.sent,
        "renewed_day": gate.renewed_day,
        "tests": None if tests is None else msgspec.json.encode(tests).decode(),
    }
