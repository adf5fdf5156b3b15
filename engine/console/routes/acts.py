"""What people do to tasks: each act once, a conflict told as it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from engine.console import views as v
from engine.console.calls import answer as answer_call_of
from engine.console.calls import whistle as whistle_for
from engine.console.context import Console
from engine.console.errors import ApiError
from engine.console.lookups import task_for, task_summaries
from engine.console.photos import attach
from engine.console.requests import (
    Answer,
    Closing,
    ContactAttempt,
    Happened,
    OutcomeReport,
    Reason,
    Reassign,
    Transfer,
    Whistle,
)
from engine.console.routes.params import Id, ns_of
from engine.console.routes.tasks import detail
from engine.console.schemas import TaskDetail
from engine.console.security import Allow, Here, Once, Who
from engine.outcomes import Report
from engine.tasks import TRANSITIONS, Action, Task, TaskError

router = APIRouter(tags=["tasks"])
Worker = Annotated[Who, Depends(Allow("gridworker"))]
Desk = Annotated[Who, Depends(Allow("dispatcher"))]
Above = Annotated[Who, Depends(Allow("command", "dispatcher"))]
Caller = Annotated[Who, Depends(Allow("gridworker", "dispatcher"))]
Act = Callable[[Task, str | None, int], Task]


class Doing:
    """One act on one task by one person, once."""

    def __init__(
        self, request: Request, response: Response, console: Console, who: Who, task_id: str,
        body: Any,
    ) -> None:  # fmt: skip
        self.console, self.who, self.response = console, who, response
        self.task = task_for(console, who, task_id)
        self.once = Once(request, who, body)

    def at(self, told: datetime | None) -> int:
        """Return when it happened: as told, but neither before the task nor after now."""
        now_ns = self.console.now_ns()
        return min(max(ns_of(told) or now_ns, self.task.opened_ns), now_ns)

    def run(
        self, action: Action, act: Act, *, told: datetime | None = None, held: bool = False
    ) -> TaskDetail:
        """Do it, unless it was done; a task that has moved on is a conflict, told as it stands."""
        if not self.once.replayed:
            try:
                if held and self.task.assignee != self.who.actor:
                    raise TaskError(f"task {self.task.task_id}: is in other hands")
                moved = act(self.task, self.once.scoped, self.at(told))
            except TaskError as error:
                now = self.console.store.tasks.get(self.task.task_id)
                lost = held and now.assignee != self.who.actor
                if lost or now.state not in TRANSITIONS[action]:
                    views = v.Views(self.console, self.who)
                    stands = task_summaries(views, [now])[0]
                    raise ApiError("conflict", str(error), task=stands) from None
                raise
        else:
            moved = self.console.store.tasks.get(self.task.task_id)
        self.once.done(self.response)
        return detail(self.console, self.who, moved)


@router.post("/tasks/{task_id}/sign", operation_id="sign")
def sign(
    request: Request, response: Response, console: Here, who: Worker, task_id: Id, body: Happened
) -> TaskDetail:
    """Sign for a task; whoever signs first has it."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.sign(task.task_id, by=who.actor, at_ns=at_ns, key=key)

    return Doing(request, response, console, who, task_id, body).run(Action.SIGN, act, told=body.at)


@router.post("/tasks/{task_id}/contact", operation_id="contact")
def contact(
    request: Request, response: Response, console: Here, who: Caller, task_id: Id,
    body: ContactAttempt,
) -> TaskDetail:  # fmt: skip
    """Note a call, and what came of it."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.contact(
            task.task_id, who=body.who, result=body.result, by=who.actor, at_ns=at_ns, key=key
        )

    return Doing(request, response, console, who, task_id, body).run(
        Action.CONTACT, act, told=body.at, held=not who.has("dispatcher")
    )


@router.post("/tasks/{task_id}/arrive", operation_id="arrive")
def arrive(
    request: Request, response: Response, console: Here, who: Worker, task_id: Id, body: Happened
) -> TaskDetail:
    """Note the arrival at the door."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.arrive(task.task_id, by=who.actor, at_ns=at_ns, key=key)

    return Doing(request, response, console, who, task_id, body).run(
        Action.ARRIVE, act, told=body.at, held=True
    )


@router.post("/tasks/{task_id}/report", operation_id="report")
def report(
    request: Request, response: Response, console: Here, who: Worker, task_id: Id,
    body: OutcomeReport,
) -> TaskDetail:  # fmt: skip
    """Report what was found at the door."""
    store = console.store.tasks
    found = Report(
        kind=body.kind, until_ns=ns_of(body.until), kw=body.kw, from_ns=ns_of(body.from_),
        note=body.note,
    )  # fmt: skip

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        attach(console, body.photos, by=who.actor, task=task)
        return store.report(task.task_id, found, by=who.actor, at_ns=at_ns, key=key)

    return Doing(request, response, console, who, task_id, body).run(
        Action.REPORT, act, told=body.at, held=True
    )


@router.post("/tasks/{task_id}/pass-on", operation_id="pass_on")
def pass_on(
    request: Request, response: Response, console: Here, who: Worker, task_id: Id, body: Reason
) -> TaskDetail:
    """Hand a task one step up: cannot go, or nobody answered the door."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.step_up(task.task_id, by=who.actor, at_ns=at_ns, why=body.why, key=key)

    return Doing(request, response, console, who, task_id, body).run(
        Action.ESCALATE, act, held=True
    )


@router.post("/tasks/{task_id}/close", operation_id="close")
def close(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Closing
) -> TaskDetail:
    """Close a reported task after checking it."""
    store = console.store.tasks
    rating = {} if body.satisfaction is None else {"satisfaction": body.satisfaction}

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.act(
            task.task_id, Action.CLOSE, by=who.actor, at_ns=at_ns, why=body.why, key=key,
            detail=rating,
        )  # fmt: skip

    return Doing(request, response, console, who, task_id, body).run(Action.CLOSE, act)


@router.post("/tasks/{task_id}/reject", operation_id="reject")
def reject(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Reason
) -> TaskDetail:
    """Send a report back: something is missing."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.reject(task.task_id, by=who.actor, at_ns=at_ns, why=body.why, key=key)

    return Doing(request, response, console, who, task_id, body).run(Action.REJECT, act)


@router.post("/tasks/{task_id}/reopen", operation_id="reopen")
def reopen(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Reason
) -> TaskDetail:
    """Take a closed task up again."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.reopen(task.task_id, by=who.actor, at_ns=at_ns, why=body.why, key=key)

    return Doing(request, response, console, who, task_id, body).run(Action.REOPEN, act)


@router.post("/tasks/{task_id}/cancel", operation_id="cancel")
def cancel(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Reason
) -> TaskDetail:
    """Call a task off."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.cancel(task.task_id, by=who.actor, at_ns=at_ns, why=body.why, key=key)

    return Doing(request, response, console, who, task_id, body).run(Action.CANCEL, act)


@router.post("/tasks/{task_id}/reassign", operation_id="reassign")
def reassign(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Reassign
) -> TaskDetail:
    """Give a task to somebody else."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.reassign(
            task.task_id, to=body.to, by=who.actor, at_ns=at_ns, why=body.why, key=key
        )

    return Doing(request, response, console, who, task_id, body).run(Action.REASSIGN, act)


@router.post("/tasks/{task_id}/transfer", operation_id="transfer")
def transfer(
    request: Request, response: Response, console: Here, who: Desk, task_id: Id, body: Transfer
) -> TaskDetail:
    """Put a task into another queue."""
    store = console.store.tasks
    if body.to is not None and body.to not in console.workers:
        raise ApiError("refused", f"worker {body.to!r} is unknown; see /workers")

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.escalate(
            task.task_id, queue=body.queue, assignee=body.to, by=who.actor, at_ns=at_ns,
            why=body.why, key=key,
        )  # fmt: skip

    return Doing(request, response, console, who, task_id, body).run(Action.ESCALATE, act)


@router.post("/tasks/{task_id}/escalate", operation_id="escalate")
def escalate(
    request: Request, response: Response, console: Here, who: Above, task_id: Id, body: Reason
) -> TaskDetail:
    """Hand a task one step up its ladder, now."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.step_up(task.task_id, by=who.actor, at_ns=at_ns, why=body.why, key=key)

    return Doing(request, response, console, who, task_id, body).run(Action.ESCALATE, act)


@router.post("/tasks/{task_id}/whistle", operation_id="whistle")
def whistle(
    request: Request, response: Response, console: Here, who: Above, task_id: Id, body: Whistle
) -> TaskDetail:
    """Call departments in, each with its limit."""

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return whistle_for(
            console, task.task_id, body.departments, limit_s=body.limit_s, by=who.actor,
            at_ns=at_ns, why=body.why, key=key,
        )  # fmt: skip

    return Doing(request, response, console, who, task_id, body).run(Action.NOTE, act)


@router.post("/tasks/{task_id}/calls/{department}/answer", operation_id="answer_call")
def answer_call(
    request: Request, response: Response, console: Here, who: Caller, task_id: Id, department: Id,
    body: Answer,
) -> TaskDetail:  # fmt: skip
    """Note what a department reports; only it or the dispatcher does."""
    if not who.has("dispatcher") and department != who.actor:
        raise ApiError("forbidden", "only this department, or the dispatcher, answers")

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return answer_call_of(
            console, task.task_id, department, body.text, by=who.actor, at_ns=at_ns, key=key
        )

    return Doing(request, response, console, who, task_id, body).run(Action.NOTE, act)


@router.post("/tasks/{task_id}/supervise", operation_id="supervise")
def supervise(
    request: Request, response: Response, console: Here, who: Above, task_id: Id, body: Reason
) -> TaskDetail:
    """Leave a note that the holder sees."""
    store = console.store.tasks

    def act(task: Task, key: str | None, at_ns: int) -> Task:
        return store.act(
            task.task_id, Action.NOTE, by=who.actor, at_ns=at_ns, why="supervised",
            detail={"text": body.why}, key=key,
        )  # fmt: skip

    return Doing(request, response, console, who, task_id, body).run(Action.NOTE, act)
