"""Departments called in to a task ("the street whistles, the departments report")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from engine.console.context import Console
from engine.console.schemas import DepartmentCall
from engine.console.views import when
from engine.store import schema_console as tc
from engine.store.database import How, write
from engine.tasks import YELLOW_MARK, Action, Task, TaskError
from rules.alerts import stamp

NS = 1_000_000_000


def whistle(
    console: Console,
    task_id: str,
    departments: Sequence[str],
    *,
    limit_s: int,
    by: str,
    at_ns: int,
    why: str,
    key: str | None,
) -> Task:
    """Call departments in; one that was called and has not answered keeps its limit."""
    names = sorted(set(departments))

    def call(connection: Connection, _: Task) -> None:
        rows: list[dict[str, Any]] = [
            {
                "task_id": task_id, "department": name, "called_ns": at_ns,
                "due_ns": at_ns + limit_s * NS, "by": by, "why": why,
                "answered_ns": None, "answered_by": None, "answer": None,
            }
            for name in names
        ]  # fmt: skip
        write(connection, tc.task_calls, rows, How.NEW)

    detail = {"departments": names, "limit_s": limit_s, "text": why}
    return console.store.tasks.act(
        task_id, Action.NOTE, by=by, at_ns=at_ns, why="whistled", detail=detail, key=key, also=call
    )


def answer(
    console: Console,
    task_id: str,
    department: str,
    text: str,
    *,
    by: str,
    at_ns: int,
    key: str | None,
) -> Task:
    """Note what a department reports.

    Raises
    ------
    TaskError
        If it was not called, or has answered.
    """

    def note(connection: Connection, _: Task) -> None:
        c = tc.task_calls.c
        done = connection.execute(
            update(tc.task_calls)
            .where(c.task_id == task_id, c.department == department, c.answered_ns.is_(None))
            .values(answered_ns=at_ns, answered_by=by, answer=text)
        )
        if done.rowcount == 0:
            raise TaskError(f"task {task_id}: {department!r} was not called, or has reported")

    detail = {"department": department, "text": text}
    return console.store.tasks.act(
        task_id, Action.NOTE, by=by, at_ns=at_ns, why="department_answered", detail=detail,
        key=key, also=note,
    )  # fmt: skip


def calls_of(console: Console, task_id: str, now_ns: int) -> list[DepartmentCall]:
    """Return the departments called in to a task, in their order."""
    c = tc.task_calls.c
    query = select(tc.task_calls).where(c.task_id == task_id).order_by(c.called_ns, c.department)
    with console.store.database.read() as connection:
        rows = connection.execute(query).all()
    return [
        DepartmentCall(
            department=r.department,
            called_at=stamp(r.called_ns),
            by=r.by,
            why=r.why,
            due=stamp(r.due_ns),
            mark=_mark(r, now_ns),
            answered_at=when(r.answered_ns),
            answer=r.answer,
        )
        for r in rows
    ]


def _mark(row: Any, now_ns: int) -> str:
    end_ns = row.answered_ns if row.answered_ns is not None else now_ns
    if end_ns >= row.due_ns:
        return "red"
    warn_ns = row.called_ns + YELLOW_MARK * (row.due_ns - row.called_ns)
    return "yellow" if row.answered_ns is None and now_ns >= warn_ns else ""
