"""Tasks: lists, one task, its curves, the person behind it; what people do to them is in ``acts``."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query

from engine.console import views as v
from engine.console.calls import calls_of
from engine.console.context import Console
from engine.console.detail import ladder
from engine.console.errors import not_found
from engine.console.lookups import (
    actions,
    must_hold,
    person_lock,
    task_for,
    task_summaries,
)
from engine.console.photos import photos_of
from engine.console.routes.alerts import seen
from engine.console.routes.params import (
    Cursor,
    Id,
    Limit,
    PlaceCode,
    Word,
    read_cursor,
    write_cursor,
)
from engine.console.schemas import (
    Contact,
    Level,
    OutcomeKind,
    Page,
    Person,
    TaskDetail,
    TaskStateName,
    TaskSummary,
)
from engine.console.security import Allow, Here, Who
from engine.console.series import Curves
from engine.console.series_view import alert_window, curves_of
from engine.store import Look
from engine.store.people import PERSONAL
from engine.store.questions import TaskQuery
from engine.tasks import Task
from rules.alerts import stamp

router = APIRouter(tags=["tasks"])
Reader = Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker", "auditor"))]
Worker = Annotated[Who, Depends(Allow("gridworker"))]


@router.get("/outcomes/kinds", operation_id="outcome_kinds")
def outcome_kinds(_: Annotated[Who, Depends(Allow(wall=True))]) -> list[OutcomeKind]:
    """List what can be reported."""
    return v.outcome_kinds()


@router.get("/tasks", operation_id="tasks")
def tasks(
    console: Here,
    who: Reader,
    mine: bool = False,
    queue: Word = "",
    worker: Word = "",
    state: Annotated[list[TaskStateName], Query(max_length=8)] = [],  # noqa: B006  read only
    level: Annotated[list[Level], Query(max_length=4)] = [],  # noqa: B006
    place: PlaceCode = "",
    mark: Literal["", "yellow", "red"] = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[TaskSummary]:
    """List tasks, the most pressing first; without `state` those that are open."""
    query = TaskQuery(
        scope=who.scope,
        now_ns=console.now_ns(),
        states=tuple(state),
        levels=tuple(level),
        worker=who.actor if mine else worker,
        holder=who.actor,
        queue=queue,
        place=place,
        mark=mark,
        after=read_cursor(cursor, (int, int, int, str)),
        limit=limit + 1,
    )
    found = console.store.questions.tasks(query)
    page = found[:limit]
    return Page(
        items=task_summaries(v.Views(console, who, query.now_ns), [f.task for f in page]),
        next=write_cursor(page[-1].key) if len(found) > limit else None,
        total=console.store.questions.count_tasks(query) if not cursor else None,
    )


def detail(console: Console, who: Who, task: Task) -> TaskDetail:
    """Return a task with all that its page shows."""
    views = v.Views(console, who)
    summary = task_summaries(views, [task])[0]
    history = console.store.tasks.history(task.task_id)
    return TaskDetail(
        **{name: getattr(summary, name) for name in TaskSummary.model_fields},
        history=[views.event(event) for event in history],
        photos=photos_of(console, task.task_id),
        calls=calls_of(console, task.task_id, views.now_ns),
        person=person_lock(console, who, task),
        outcomes=v.outcome_kinds(summary.subject_kind or "place"),
        actions=actions(who, task),
        ladder=ladder(console, task),
    )


@router.get("/tasks/{task_id}", operation_id="task")
def task(console: Here, who: Reader, task_id: Id) -> TaskDetail:
    """Return a task with all that its page shows."""
    return detail(console, who, task_for(console, who, task_id))


@router.get("/tasks/{task_id}/curves", operation_id="task_curves")
def task_curves(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker"))],
    task_id: Id,
    days: Annotated[int, Query(ge=1, le=14)] = 1,
) -> Curves:
    """Return the series behind a task."""
    found = task_for(console, who, task_id)
    changes, _, _ = seen(console, who, found.alert_id)
    if found.subject_id is None:
        raise not_found("this task is about a place; it has no series of its own")
    from_ns, to_ns = alert_window(console, changes, days)
    return curves_of(console, found.subject_id, from_ns, to_ns, changes)


@router.get("/tasks/{task_id}/person", operation_id="person")
def person(
    console: Here,
    who: Worker,
    task_id: Id,
    x_why: Annotated[str, Header(max_length=200)] = "",
) -> Person:
    """Return personal data to the holder of the task; the look is logged before the answer."""
    found = task_for(console, who, task_id)
    must_hold(console, who, found)
    assert found.subject_id is not None
    now_ns = console.now_ns()
    why = f"task {task_id}" + (f": {x_why}" if x_why else "")
    data = console.store.people.look(
        found.subject_id, PERSONAL, Look(who.account.name, now_ns, why)
    )
    return Person(
        subject_id=found.subject_id,
        name=data.get("name"),
        address=data.get("address"),
        phone=data.get("phone"),
        note=data.get("note"),
        contacts=[
            Contact(
                who="resident" if c.get("relation") == "self" else "family",
                relation=c.get("relation"),
                name=c.get("name"),
                phone=c.get("phone"),
            )
            for c in data.get("contacts", ())
        ],
        logged_at=stamp(now_ns),
    )
