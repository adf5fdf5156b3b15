"""What the console asks of the store: pages of alerts and tasks in the order people work in.

Keyset paging: a cursor holds the sort key of the last row shown, so that a page costs the same
however deep it lies, and nothing is shown twice because something was added before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from engine.store import desk_rows as rows
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.database import Database, chunks
from engine.tasks import DUE_STEPS, OPEN, WAITING, Task, TaskEvent
from rules.alerts import AlertChange
from rules.model import URGENCY

NEVER_NS = 2**62
_WAITING, _OPEN = sorted(WAITING), sorted(OPEN)
_YELLOW_NUM, _YELLOW_DEN = 4, 5


class SubjectRow(NamedTuple):
    """Something that is watched, as the console knows it."""

    subject_id: str
    kind: str
    place: str
    zone: str
    attrs: Mapping[str, Any]
    meters: Sequence[Mapping[str, Any]]


class AlertFound(NamedTuple):
    """An alert at its newest change, and its task."""

    change: AlertChange
    shard: str
    task: Task | None
    key: tuple[Any, ...]


class TaskFound(NamedTuple):
    """A task and where it stands in the order."""

    task: Task
    key: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertQuery:
    """Which alerts; empty means any."""

    scope: tuple[str, ...]
    now_ns: int
    states: tuple[str, ...] = ("firing",)
    unfinished: bool = False
    """Also alerts that have ended while somebody still has to do something about them."""
    levels: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    place: str = ""
    subject: str = ""
    mark: str = ""
    unsigned: bool | None = None
    text: str = ""
    places: tuple[str, ...] = ()
    """Codes of places whose names hold the text."""
    from_ns: int | None = None
    to_ns: int | None = None
    newest: bool = False
    after: tuple[Any, ...] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which tasks; empty means any."""

    scope: tuple[str, ...]
    now_ns: int
    states: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    worker: str = ""
    holder: str = ""
    """Also tasks of this worker outside the scope."""
    queue: str = ""
    place: str = ""
    mark: str = ""
    after: tuple[Any, ...] | None = None
    limit: int = 100


def within(column: ColumnElement[Any], scope: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a place lies in a scope."""
    codes = list(scope)
    if "" in codes:
        return literal(value=True)
    if not codes:
        return literal(value=False)
    return or_(*(column.startswith(code, autoescape=True) for code in codes))


def due_sql() -> ColumnElement[Any]:
    """Return the deadline that runs now, as :func:`engine.tasks.due` says it."""
    c = t.tasks.c
    whens = []
    for states, deadline, done in DUE_STEPS:
        pending = c[deadline].is_not(None) & c.state.in_(sorted(states))
        whens.append((pending & c[done].is_(None) if done else pending, c[deadline]))
    return case(*whens, else_=None)


def mark_sql(now_ns: int, mark: str) -> ColumnElement[bool]:
    """Return the condition that a task has (at least) a mark now."""
    deadline = due_sql()
    if mark == "red":
        return deadline <= now_ns
    opened = t.tasks.c.opened_ns
    return opened + (deadline - opened) // _YELLOW_DEN * _YELLOW_NUM <= now_ns


def _rank(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case({str(level): 3 - rank for level, rank in URGENCY.items()}, value=column, else_=9)


class Questions:
    """Pages, counts and details.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- alerts -----------------------------------------------------------------------------------

    def alerts(self, q: AlertQuery) -> list[AlertFound]:
        """Return a page of alerts with their tasks."""
        a, k, b = t.alerts.c, t.tasks.c, t.alert_changes.c
        unsigned = case((k.state.in_(_WAITING), 0), else_=1)
        if q.newest:
            key = [(-a.at_ns).label("k0"), a.alert_id.label("k1")]
        else:
            left = func.coalesce(due_sql(), NEVER_NS)
            key = [
                _rank(a.level).label("k0"), unsigned.label("k1"), left.label("k2"),
                a.alert_id.label("k3"),
            ]  # fmt: skip
        query = (
            select(b.body, a.shard, *rows.TASK, *key)
            .select_from(t.alerts)
            .join(t.alert_changes, (b.alert_id == a.alert_id) & (b.seq == a.seq))
            .outerjoin(t.task_alerts, t.task_alerts.c.alert_id == a.alert_id)
            .outerjoin(t.tasks, k.task_id == t.task_alerts.c.task_id)
            .order_by(*key)
            .limit(q.limit)
        )
        query = self._filter_alerts(query, q)
        if q.after is not None:
            query = query.where(tuple_(*key) > tuple_(*(literal(v) for v in q.after)))
        with self._database.read() as connection:
            found = connection.execute(query).all()
        n = len(rows.TASK)
        return [
            AlertFound(
                msgspec.json.decode(row[0], type=AlertChange),
                row[1],
                None if row[2] is None else rows.task_of(row[2 : 2 + n]),
                tuple(row[2 + n :]),
            )
            for row in found
        ]

    def count_alerts(self, q: AlertQuery) -> int:
        """Return how many there are on all pages."""
        query = (
            select(func.count())
            .select_from(t.alerts)
            .outerjoin(t.task_alerts, t.task_alerts.c.alert_id == t.alerts.c.alert_id)
            .outerjoin(t.tasks, t.tasks.c.task_id == t.task_alerts.c.task_id)
        )
        with self._database.read() as connection:
            return int(connection.execute(self._filter_alerts(query, q)).scalar_one())

    def _filter_alerts(self, query: Select[Any], q: AlertQuery) -> Select[Any]:
        a, k = t.alerts.c, t.tasks.c
        query = query.where(within(a.place, q.scope))
        for column, values in ((a.level, q.levels), (a.rule, q.rules)):
            if values:
                query = query.where(column.in_(values))
        if q.states:
            asked: ColumnElement[bool] = a.state.in_(q.states)
            # Of the alerts of one task the first stands for it once none fires any more.
            silent = k.alerts <= k.alerts_resolved + k.alerts_cancelled
            left = k.state.in_(_OPEN) & silent & (k.alert_id == a.alert_id)
            # Whose task somebody closed is finished, until it changes again (and nobody looked).
            done = (k.state == "closed") & (a.at_ns <= k.closed_ns)
            if q.unfinished:
                asked = (asked & ~func.coalesce(done, False)) | func.coalesce(left, False)
            query = query.where(asked)
        if q.place:
            query = query.where(a.place.startswith(q.place, autoescape=True))
        if q.subject:
            query = query.where(a.subject_id == q.subject)
        if q.unsigned is not None:
            waits = k.state.in_(_WAITING)
            query = query.where(waits if q.unsigned else ~func.coalesce(waits, False))
        if q.mark:
            query = query.where(k.state.in_(_OPEN), mark_sql(q.now_ns, q.mark))
        if q.from_ns is not None:
            query = query.where(a.at_ns >= q.from_ns)
        if q.to_ns is not None:
            query = query.where(a.at_ns < q.to_ns)
        if q.text:
            like = [
                a.subject_id.contains(q.text, autoescape=True),
                a.rule.contains(q.text, autoescape=True),
                a.alert_id.startswith(q.text, autoescape=True),
                a.place.startswith(q.text, autoescape=True),
                *(a.place.startswith(code, autoescape=True) for code in q.places[:200]),
            ]
            query = query.where(or_(*like))
        return query

    def alert(self, alert_id: str) -> tuple[list[AlertChange], str, Task | None] | None:
        """Return (all changes, shard, task) of an alert, or None."""
        b, a = t.alert_changes.c, t.task_alerts.c
        query = select(b.body, b.shard).where(b.alert_id == alert_id).order_by(b.seq)
        of = select(*rows.TASK).join(t.task_alerts, a.task_id == t.tasks.c.task_id)
        with self._database.read() as connection:
            found = connection.execute(query).all()
            task = connection.execute(of.where(a.alert_id == alert_id)).first()
        if not found:
            return None
        changes = [msgspec.json.decode(row.body, type=AlertChange) for row in found]
        return changes, found[0].shard, None if task is None else rows.task_of(task)

    def bodies(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], AlertChange]:
        """Return changes by (alert id, seq)."""
        b = t.alert_changes.c
        wanted, found = set(keys), {}
        with self._database.read() as connection:
            for part in chunks([k[0] for k in keys]):
                query = select(b.alert_id, b.seq, b.body).where(b.alert_id.in_(part))
                for row in connection.execute(query):
                    if (row.alert_id, row.seq) in wanted:
                        found[row.alert_id, row.seq] = msgspec.json.decode(
                            row.body, type=AlertChange
                        )
        return found

    # -- tasks ------------------------------------------------------------------------------------

    def tasks(self, q: TaskQuery) -> list[TaskFound]:
        """Return a page of tasks: level, then unsigned, then the time left."""
        k = t.tasks.c
        key = [
            _rank(k.level).label("k0"),
            case((k.state.in_(_WAITING), 0), else_=1).label("k1"),
            func.coalesce(due_sql(), NEVER_NS).label("k2"),
            k.task_id.label("k3"),
        ]
        query = self._filter_tasks(select(*rows.TASK, *key), q).order_by(*key).limit(q.limit)
        if q.after is not None:
            query = query.where(tuple_(*key) > tuple_(*(literal(v) for v in q.after)))
        with self._database.read() as connection:
            found = connection.execute(query).all()
        n = len(rows.TASK)
        return [TaskFound(rows.task_of(row[:n]), tuple(row[n:])) for row in found]

    def count_tasks(self, q: TaskQuery) -> int:
        """Return how many there are on all pages."""
        query = self._filter_tasks(select(func.count()).select_from(t.tasks), q)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def _filter_tasks(self, query: Select[Any], q: TaskQuery) -> Select[Any]:
        k = t.tasks.c
        seen = within(k.place, q.scope)
        query = query.where(or_(seen, k.assignee == q.holder) if q.holder else seen)
        query = query.where(k.state.in_(q.states or _OPEN))
        if q.levels:
            query = query.where(k.level.in_(q.levels))
        for column, value in ((k.assignee, q.worker), (k.queue, q.queue)):
            if value:
                query = query.where(column == value)
        if q.place:
            query = query.where(k.place.startswith(q.place, autoescape=True))
        if q.mark:
            query = query.where(k.state.in_(_OPEN), mark_sql(q.now_ns, q.mark))
        return query

    def open_tasks(self, scope: Iterable[str]) -> list[Task]:
        """Return all tasks in which somebody still has to do something."""
        k = t.tasks.c
        query = select(*rows.TASK).where(k.state.in_(_OPEN), within(k.place, scope))
        with self._database.read() as connection:
            return [rows.task_of(row) for row in connection.execute(query)]

    def tasks_of(self, alert_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks of some alerts, by alert."""
        a, found = t.task_alerts.c, {}
        with self._database.read() as connection:
            for part in chunks(alert_ids):
                query = (
                    select(a.alert_id, *rows.TASK)
                    .join(t.tasks, t.tasks.c.task_id == a.task_id)
                    .where(a.alert_id.in_(part))
                )
                for row in connection.execute(query):
                    found[row[0]] = rows.task_of(row[1:])
        return found

    def tasks_by_id(self, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return some tasks by id."""
        found = {}
        with self._database.read() as connection:
            for part in chunks(task_ids):
                query = select(*rows.TASK).where(t.tasks.c.task_id.in_(part))
                found.update({r.task_id: rows.task_of(r) for r in connection.execute(query)})
        return found

    def newest_events(
        self, scope: Iterable[str], limit: int, actions: Sequence[str]
    ) -> list[tuple[TaskEvent, Task]]:
        """Return the newest lines of history of tasks in a scope."""
        e, k = t.task_events.c, t.tasks.c
        query = (
            select(*rows.EVENT, *rows.TASK)
            .join(t.tasks, k.task_id == e.task_id)
            .where(within(k.place, scope), e.action.in_(actions))
            .order_by(e.at_ns.desc(), e.task_id, e.seq.desc())
            .limit(limit)
        )
        n = len(rows.EVENT)
        with self._database.read() as connection:
            return [
                (
                    TaskEvent(**dict(zip(TaskEvent.__struct_fields__, row[:n], strict=True))),
                    rows.task_of(row[n:]),
                )
                for row in connection.execute(query)
            ]

    def events_by_key(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], TaskEvent]:
        """Return lines of history by (task id, seq)."""
        e, wanted = t.task_events.c, set(keys)
        found = {}
        with self._database.read() as connection:
            for part in chunks([key for key, _ in keys]):
                for row in connection.execute(select(*rows.EVENT).where(e.task_id.in_(part))):
                    line = TaskEvent(**row._mapping)
                    if (line.task_id, line.seq) in wanted:
                        found[line.task_id, line.seq] = line
        return found

    def reminded(self, keys: Sequence[str]) -> dict[str, str]:
        """Return whom reminders are about, by their key."""
        r = tc.reminders.c
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for part in chunks(keys):
                query = select(r.key, r.subject_id).where(r.key.in_(part))
                found.update({row.key: row.subject_id for row in connection.execute(query)})
        return found

    # -- subjects ---------------------------------------------------------------------------------

    def subjects_of(self, ids: Sequence[str]) -> dict[str, SubjectRow]:
        """Return subjects by id."""
        c, found = tc.subjects.c, {}
        with self._database.read() as connection:
            for part in chunks(ids):
                for row in connection.execute(select(tc.subjects).where(c.subject_id.in_(part))):
                    found[row.subject_id] = _subject(row)
        return found

    def subjects(
        self, scope: Iterable[str], *, kind: str = "", place: str = "", text: str = "",
        after: str = "", limit: int | None = None,
    ) -> list[SubjectRow]:  # fmt: skip
        """Return subjects by id, those after `after`."""
        c = tc.subjects.c
        query = select(tc.subjects).where(within(c.place, scope)).order_by(c.subject_id)
        if kind:
            query = query.where(c.kind == kind)
        if place:
            query = query.where(c.place.startswith(place, autoescape=True))
        if text:
            found = c.subject_id.contains(text, autoescape=True)
            query = query.where(or_(found, c.place.startswith(text, autoescape=True)))
        if after:
            query = query.where(c.subject_id > after)
        with self._database.read() as connection:
            return [_subject(row) for row in connection.execute(query.limit(limit))]

    def watched(self, scope: Iterable[str], width: int) -> dict[tuple[str, str], int]:
        """Return how many subjects of a kind each grid has, by (grid, kind)."""
        c = tc.subjects.c
        grid = func.substr(c.place, 1, width)
        query = select(grid, c.kind, func.count()).where(within(c.place, scope))
        with self._database.read() as connection:
            found = connection.execute(query.group_by(grid, c.kind)).all()
        return {(g, kind): int(n) for g, kind, n in found}

    # -- the stream -------------------------------------------------------------------------------

    def outbox_after(self, cursor: int, limit: int) -> list[tuple[int, str, str, int]]:
        """Return (id, topic, key, seq) of what was told after a place of the outbox."""
        c = t.outbox.c
        query = select(c.id, c.topic, c.key, c.seq).where(c.id > cursor).order_by(c.id)
        with self._database.read() as connection:
            return [(r.id, r.topic, r.key, r.seq) for r in connection.execute(query.limit(limit))]

    def outbox_ends(self) -> tuple[int, int]:
        """Return the (oldest, newest) id that the outbox still has; (0, 0) if it is empty."""
        c = t.outbox.c
        with self._database.read() as connection:
            low, high = connection.execute(select(func.min(c.id), func.max(c.id))).one()
        return int(low or 0), int(high or 0)


def _subject(row: Any) -> SubjectRow:
    return SubjectRow(
        row.subject_id, row.kind, row.place, row.zone, msgspec.json.decode(row.attrs),
        msgspec.json.decode(row.meters),
    )  # fmt: skip


__all__ = ["AlertFound", "AlertQuery", "Questions", "SubjectRow", "TaskFound", "TaskQuery"]
