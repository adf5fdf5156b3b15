"""The queue: tasks, their history, and what people do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select

from engine.book import Book, Held
from engine.calls import answer
from engine.desk import Desk
from engine.dispatch import climb, next_rung, release, send_due, take
from engine.outcomes import Report, Verdict, find, outcome_id_of
from engine.queue import Recall, recall
from engine.store import desk_rows as rows
from engine.store import register
from engine.store import schema as t
from engine.store.database import Database
from engine.store.register import OutcomeRow
from engine.store.rosters import Rosters
from engine.tasks import EMPTY, UNTAKEN, Action, Task, TaskError, TaskEvent, act
from rules.alerts import AlertChange

NS = 1_000_000_000
_UNTAKEN = sorted(UNTAKEN)
# `list` is a method below, so its name means something else within the class.
Found: TypeAlias = list[Task]
History: TypeAlias = list[TaskEvent]
HeldBack: TypeAlias = list[Held]
Names: TypeAlias = list[str]


class Ticked(NamedTuple):
    """What a turn of the clock did; `escalated` counts steps of ladders, calls among them."""

    released: int
    escalated: int


class Tasks:
    """The queue.

    Parameters
    ----------
    database : Database
    desk : Desk
        How alerts become tasks.
    rosters : Rosters
        Workers, where the desk brings none.
    """

    def __init__(self, database: Database, desk: Desk, rosters: Rosters) -> None:
        self._database = database
        self.desk = desk
        self._rosters = rosters

    def _staffed(self) -> Desk:
        desk = self.desk
        if desk.roster is not None:
            return desk
        return desk.with_roster(self._rosters.roster(desk.zone))

    # -- questions ------------------------------------------------------------------------------

    def list(
        self,
        *,
        worker: str | None = None,
        states: Iterable[str] | None = None,
        place: str | None = None,
        door: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> Found:
        """Return tasks, the most pressing deadline first.

        Parameters
        ----------
        worker : str, optional
            Whose queue.
        states : iterable of str, optional
            Default: those in which somebody still has to do something.
        place : str, optional
            Place code; all within it.
        door : str, optional
            Subject id; for tasks about a place see :meth:`engine.desk.Desk.door`.
        """
        c = t.tasks.c
        query = select(*rows.TASK).where(
            c.state.in_(sorted(states) if states else rows.OPEN_STATES)
        )
        for column, value in ((c.assignee, worker), (c.door, door), (c.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        if place is not None:
            query = query.where(c.place.startswith(place, autoescape=True))
        pressing = func.coalesce(c.sign_by_ns, c.close_by_ns, c.opened_ns)
        query = query.order_by(pressing, c.task_id).limit(limit)
        with self._database.read() as connection:
            return [rows.task_of(row) for row in connection.execute(query)]

    def get(self, task_id: str) -> Task:
        """Return a task.

        Raises
        ------
        TaskError
            If there is none of that id.
        """
        with self._database.read() as connection:
            return rows.one(connection, task_id)

    def of_alert(self, alert_id: str) -> Task | None:
        """Return the task that an alert led to, or None."""
        query = select(t.task_alerts.c.task_id).where(t.task_alerts.c.alert_id == alert_id)
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
            return rows.one(connection, found) if found else None

    def alerts_of(self, task_id: str) -> Names:
        """Return the alerts that led to a task, sorted."""
        with self._database.read() as connection:
            return rows.alerts_of(connection, task_id)

    def history(self, task_id: str) -> History:
        """Return the history of a task, in its order."""
        c = t.task_events.c
        query = select(*rows.EVENT).where(c.task_id == task_id).order_by(c.seq)
        with self._database.read() as connection:
            return [TaskEvent(**row._mapping) for row in connection.execute(query)]

    def held_back(self, grid: str | None = None, status: str | None = "waiting") -> HeldBack:
        """Return what was held back, and why; the oldest first."""
        c = t.held_back.c
        query = select(*rows.HELD).order_by(c.since_ns, c.alert_id)
        if grid is not None:
            query = query.where(c.grid == grid)
        if status is not None:
            query = query.where(c.status == status)
        with self._database.read() as connection:
            return [Held(**row._mapping) for row in connection.execute(query)]

    def recall(self, rule: str | None = None, confidence: float = 0.9) -> Recall:
        """Estimate the share of real cases that were not left held back; see :func:`recall`."""
        h, o, a = t.held_back.c, t.outcomes.c, t.task_alerts.c
        held = select(h.status, func.count()).group_by(h.status)
        told = (
            select(h.status, o.verdict, func.count(func.distinct(a.alert_id)))
            .select_from(t.outcomes)
            .join(t.task_alerts, a.task_id == o.task_id)
            .outerjoin(t.held_back, h.alert_id == a.alert_id)
            .where(o.verdict != Verdict.UNKNOWN)
            .group_by(h.status, o.verdict)
        )
        if rule is not None:
            held, told = held.where(h.rule == rule), told.where(o.rule == rule)
        with self._database.read() as connection:
            holds = [int(n) for _, n in connection.execute(held)]
            found = {(status, verdict): n for status, verdict, n in connection.execute(told)}
        real = Verdict.CONFIRMED
        return recall(
            found=found.get((None, real), 0),
            held=sum(holds),
            checked=sum(n for (status, _), n in found.items() if status == "checked"),
            confirmed=found.get(("checked", real), 0),
            late=found.get(("released", real), 0),
            confidence=confidence,
        )

    # -- what people do -------------------------------------------------------------------------

    def sign(self, task_id: str, *, by: str, at_ns: int, key: str | None = None) -> Task:
        """Sign for a task; whoever signs has it.

        Raises
        ------
        TaskError
            If somebody has signed already, or the task is over.
        """
        return self.act(
            task_id, Action.SIGN, by=by, at_ns=at_ns, key=key,
            changes={"assignee": by, "escalate_ns": None},
        )  # fmt: skip

    def contact(
        self, task_id: str, *, who: str, result: str, by: str, at_ns: int, key: str | None = None
    ) -> Task:
        """Note a call to the resident or the family, and what came of it.

        Before anybody signed, the answer ``safe`` calls the task off (and is its outcome, so that
        the rules learn of it); while calls are made, ``help`` sends somebody at once, and
        ``no_answer`` or ``wrong_number`` gives the next one their turn. See :mod:`engine.calls`.

        Raises
        ------
        TaskError
            If the task is over, or nobody knows such a result.
        """
        desk = self._staffed()
        with self._database.write() as connection:
            task = rows.one(connection, task_id, lock=True)
            if key is not None and rows.done(connection, task_id, Action.CONTACT, by, key):
                return task
            book = Book(tasks={task_id: task})
            rows.read_load(connection, book, desk)
            off = answer(desk, book, task, who=who, result=result, by=by, at_ns=at_ns)
            if off:
                self._keep(connection, task, Report("safe_at_home"), by=by, at_ns=at_ns)
            rows.save(connection, book)
            if key is not None:
                rows.remember(connection, book.events[0], key)
            return book.tasks[task_id]

    def all_is_well(self, subject_id: str, *, who: str, by: str, at_ns: int) -> Names:
        """Take the word of somebody that all is well; return the tasks that it called off.

        Those of the subject that nobody signed for yet; who is on the way goes and looks.
        """
        c = t.tasks.c
        query = select(c.task_id).where(c.door == subject_id, c.state.in_(_UNTAKEN))
        with self._database.read() as connection:
            found = sorted(connection.execute(query).scalars())
        for task_id in found:
            try:
                at = max(at_ns, self.get(task_id).updated_ns)
                self.contact(task_id, who=who, result="safe", by=by, at_ns=at)
            except TaskError:
                continue  # signed, or over, since it was looked up
        return found

    def arrive(self, task_id: str, *, by: str, at_ns: int, key: str | None = None) -> Task:
        """Note the arrival at the door."""
        return self.act(task_id, Action.ARRIVE, by=by, at_ns=at_ns, key=key)

    def report(
        self, task_id: str, report: Report, *, by: str, at_ns: int, key: str | None = None
    ) -> Task:
        """Report what was found; its effects go into the register and to the shard's log.

        What quiets the subject (away, a power cut …) explains the alert, so it holds from the
        onset of the alert on, unless the report says since when.

        Raises
        ------
        TaskError
            If the task is not being worked on.
        engine.outcomes.OutcomeError
            If the report is not complete or breaks the bounds.
        """
        detail = {
            "outcome": report.kind,
            "until_ns": report.until_ns,
            "kw": report.kw,
            "note": report.note,
        }

        def keep(connection: Connection, task: Task) -> None:
            self._keep(connection, task, report, by=by, at_ns=at_ns)

        return self.act(
            task_id, Action.REPORT, by=by, at_ns=at_ns, key=key, why=report.note,
            detail=detail, changes={"outcome": report.kind}, also=keep,
        )  # fmt: skip

    def _keep(
        self, connection: Connection, task: Task, report: Report, *, by: str, at_ns: int
    ) -> None:
        """Write down what was found of a task; its effects go to the shard's log."""
        c = t.outcomes.c
        query = select(func.count()).where(c.task_id == task.task_id)
        count = int(connection.execute(query).scalar_one())
        known = register.quiets(connection, task.subject_id, at_ns) if task.subject_id else []
        begun_ns = rows.begun_ns(connection, task.task_id)
        finding = find(
            report if report.from_ns is not None else replace(report, from_ns=begun_ns),
            outcome_id=outcome_id_of(task.task_id, count),
            alert_id=task.alert_id,
            subject_id=task.subject_id,
            place=task.place,
            at_ns=at_ns,
            by=by,
            known=known,
        )
        row = OutcomeRow(
            outcome_id=finding.outcome.outcome_id,
            task_id=task.task_id,
            alert_id=task.alert_id,
            subject_id=task.subject_id,
            rule=task.rule,
            kind=report.kind,
            verdict=str(finding.verdict),
            ts_ns=at_ns,
            until_ns=finding.outcome.until_ns,
            kw=report.kw,
            by=by,
            note=report.note,
        )
        also = [a for a in rows.alerts_of(connection, task.task_id) if a != task.alert_id]
        register.keep(connection, finding, row, also)

    def close(
        self, task_id: str, *, by: str, at_ns: int, why: str = "", key: str | None = None
    ) -> Task:
        """Close a reported task after checking it."""
        return self.act(task_id, Action.CLOSE, by=by, at_ns=at_ns, why=why, key=key)

    def reject(
        self, task_id: str, *, by: str, at_ns: int, why: str, key: str | None = None
    ) -> Task:
        """Send a report back: something is missing."""
        return self.act(
            task_id, Action.REJECT, by=by, at_ns=at_ns, why=why, key=key,
            changes={"reported_ns": None, "outcome": None},
        )  # fmt: skip

    def reopen(
        self, task_id: str, *, by: str, at_ns: int, why: str, key: str | None = None
    ) -> Task:
        """Take a closed task up again."""
        return self.act(
            task_id, Action.REOPEN, by=by, at_ns=at_ns, why=why, key=key,
            changes={"reported_ns": None, "closed_ns": None, "outcome": None},
        )  # fmt: skip

    def cancel(
        self, task_id: str, *, by: str, at_ns: int, why: str, key: str | None = None
    ) -> Task:
        """Call a task off."""
        return self.act(
            task_id, Action.CANCEL, by=by, at_ns=at_ns, why=why, key=key,
            changes={"escalate_ns": None},
        )  # fmt: skip

    def reassign(
        self, task_id: str, *, to: str, by: str, at_ns: int, why: str = "", key: str | None = None
    ) -> Task:
        """Give a task to somebody else; the clock for signing starts anew.

        Raises
        ------
        TaskError
            If the roster does not know that worker, or the task is over.
        """
        desk = self._staffed()
        worker = desk.roster.workers.get(to) if desk.roster else None
        if worker is None:
            raise TaskError(f"task {task_id}: worker {to!r} is unknown; see the workers file")
        queue = worker.role

        def changes(task: Task) -> Mapping[str, Any]:
            return {
                "assignee": to,
                "queue": queue,
                "ladder_step": 0,
                "sign_by_ns": desk.deadlines(task.rule, task.level, at_ns)["sign_by_ns"],
                "escalate_ns": desk.next_climb(task.rule, task.level, 0, at_ns),
            }

        return self.act(
            task_id, Action.REASSIGN, by=by, at_ns=at_ns, why=why, key=key,
            detail={"to": to}, changes=changes,
        )  # fmt: skip

    def escalate(
        self, task_id: str, *, by: str, at_ns: int, why: str, key: str | None = None,
        queue: str, assignee: str | None = None,
    ) -> Task:  # fmt: skip
        """Hand a task upwards by hand ("the street whistles")."""
        return self.act(
            task_id, Action.ESCALATE, by=by, at_ns=at_ns, why=why, key=key,
            detail={"queue": queue, "to": assignee},
            changes={"queue": queue, "assignee": assignee, "escalate_ns": None},
        )  # fmt: skip

    def step_up(
        self, task_id: str, *, by: str, at_ns: int, why: str, key: str | None = None
    ) -> Task:
        """Hand a task one step up its ladder, now; the clock for signing starts anew.

        Raises
        ------
        TaskError
            If nobody stands above, or the task is over.
        """
        desk = self._staffed()

        def changes(task: Task) -> Mapping[str, Any]:
            step, queue, worker = next_rung(desk, task, at_ns)
            if (queue, worker) == (task.queue, task.assignee):
                raise TaskError(f"task {task_id}: is at the top of its ladder; whistle instead")
            return {
                "queue": queue,
                "assignee": worker,
                "ladder_step": step,
                "sign_by_ns": desk.deadlines(task.rule, task.level, at_ns)["sign_by_ns"],
                "escalate_ns": desk.next_climb(task.rule, task.level, step, at_ns),
            }

        return self.act(
            task_id, Action.ESCALATE, by=by, at_ns=at_ns, why=why, key=key, changes=changes
        )

    def act(
        self,
        task_id: str,
        action: Action,
        *,
        by: str,
        at_ns: int,
        why: str = "",
        key: str | None = None,
        detail: Mapping[str, Any] = EMPTY,
        changes: Mapping[str, Any] | Callable[[Task], Mapping[str, Any]] = EMPTY,
        also: Callable[[Connection, Task], None] | None = None,
    ) -> Task:
        """Do something to a task, in one transaction; see :func:`engine.tasks.act`.

        With a `key`, the same request again changes nothing and returns the task as it stands.
        """
        with self._database.write() as connection:
            task = rows.one(connection, task_id, lock=True)
            if key is not None and rows.done(connection, task_id, action, by, key):
                return task
            fields = changes(task) if callable(changes) else changes
            moved, event = act(
                task, action, by=by, at_ns=at_ns, why=why, detail=detail, changes=fields
            )
            if also is not None:
                also(connection, task)
            book = Book(tasks={task_id: task})
            book.change((moved, event))
            rows.save(connection, book)
            if key is not None:
                rows.remember(connection, event, key)
            return moved

    # -- what the clock does ----------------------------------------------------------------------

    def tick(self, now_ns: int, *, guard: Callable[[Connection], None] | None = None) -> Ticked:
        """Release what waits for a new day's visits; take the steps of tasks that are due.

        That is: the next call, whoever is sent when calls brought nothing, and the ladder of what
        nobody signed in time.

        Parameters
        ----------
        guard : callable, optional
            Called first in the transaction; raises if this process may not act.
        """
        self._rosters.refresh()
        desk = self._staffed()
        h, c = t.held_back.c, t.tasks.c
        waits = select(h.grid, h.alert_id).where(h.status == "waiting", h.reason == "capacity")
        ripe = select(h.alert_id).where(h.status == "waiting", h.due_ns <= now_ns).limit(1)
        late = select(c.task_id).where(c.state.in_(_UNTAKEN), c.escalate_ns <= now_ns)
        with self._database.read() as connection:
            waiting = connection.execute(waits).all()
            overdue = list(connection.execute(late).scalars())
            due = connection.execute(ripe).first() is not None
        if not waiting and not overdue and not due:
            return Ticked(0, 0)
        with self._database.write() as connection:
            if guard is not None:
                guard(connection)
            book = Book()
            if due:
                rows.read_due(connection, book, now_ns)
                rows.read(connection, book, desk, list(book.newest.values()))
                send_due(desk, book, now_ns)
            latest = rows.newest(connection, [row.alert_id for row in waiting])
            rows.read(connection, book, desk, list(latest.values()))
            released = sum(
                release(desk, book, grid, latest, now_ns)
                for grid in sorted({row.grid for row in waiting})
            )
            escalated = 0
            if overdue:
                rows.read_load(connection, book, desk)
            for task_id in sorted(overdue):
                task = book.tasks.get(task_id) or rows.one(connection, task_id, lock=True)
                book.tasks[task_id] = task
                if task.untaken and task.escalate_ns is not None and task.escalate_ns <= now_ns:
                    climb(desk, book, task, now_ns)
                    escalated += 1
            rows.save(connection, book)
        return Ticked(released, escalated)

    # -- what alerts do ---------------------------------------------------------------------------

    def follow(self, connection: Connection, changes: Sequence[AlertChange]) -> None:
        """Bring tasks up to date with new changes of alerts, within their transaction."""
        desk = self._staffed()
        changes = [c for c in changes if desk.sends(c)]
        changes = rows.not_silenced(connection, desk, changes)
        if not changes:
            return
        book = Book()
        rows.read(connection, book, desk, changes)
        take(desk, book, changes)
        rows.save(connection, book)
