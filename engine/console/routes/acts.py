"""What people do to tasks: each act once, a conflict told as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Depends, Request, Response

from engine.console import views as v
from engine.console.calls import answer as answer_call_of
from engine.console.calls import whistle as whistle_for
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
from engine.store.tasks import Tasks
from engine.tasks import TRANSITIONS, Action, Task, TaskError

router = APIRouter(tags=["tasks"])
Worker = Annotated[Who, Depends(Allow("gridworker"))]
Desk = Annotated[Who, Depends(Allow("dispatcher"))]
Above = Annotated[Who, Depends(Allow("command", "dispatcher"))]
Caller = Annotated[Who, Depends(Allow("gridworker", "dispatcher"))]


@dataclass(frozen=True, slots=True)
class Doing:
    """What every act on a task is asked with.

    Parameters
    ----------
    request, response
        For the idempotency key, and to say that it was seen before.
    console : Console
    task_id : str
    """

    request: Request
    response: Response
    console: Here
    task_id: Id

    def once(
        self,
        who: Who,
        body: Any,
        action: Action,
        act: Callable[[Doer], Task],
        *,
        told: datetime | None = None,
        held: bool = False,
    ) -> TaskDetail:
        """Do it, unless it was done; a task that has moved on is a conflict, told as it stands.

        Parameters
        ----------
        body
            What was asked: the same key with another body is refused.
        action : Action
            Which the task's state must allow.
        act : callable
            Does it.
        told : datetime or None
            When it happened, where it is sent later.
        held : bool
            Whether only who holds the task may.
        """
        console, store = self.console, self.console.store.tasks
        task = task_for(console, who, self.task_id)
        once = Once(self.request, who, body)
        if once.replayed:
            moved = store.get(task.task_id)
        else:
            now_ns = console.now_ns()
            # As told, but neither before the task nor after now.
            at_ns = min(max(ns_of(told) or now_ns, task.opened_ns), now_ns)
            try:
                if held and task.assignee != who.actor:
                    raise TaskError(f"task {task.task_id}: is in other hands")
                moved = act(Doer(store, task, who.actor, at_ns, once.scoped))
            except TaskError as error:
                now = store.get(task.task_id)
                lost = held and now.assignee != who.actor
                if lost or now.state not in TRANSITIONS[action]:
                    stands = task_summaries(v.Views(console, who), [now])[0]
                    raise ApiError("conflict", str(error), task=stands) from None
                raise
        once.done(self.response)
        return detail(console, who, moved)


@dataclass(frozen=True, slots=True)
class Doer:
    """Who does what, when, under which key; what the store asks of every act."""

    tasks: Tasks
    task: Task
    by: str
    at_ns: int
    key: str | None

    @property
    def how(self) -> How:
        """The words that every act of the store takes."""
        return {"by": self.by, "at_ns": self.at_ns, "key": self.key}


class How(TypedDict):
    """By whom, when, under which idempotency key."""

    by: str
    at_ns: int
    key: str | None


Ask = Annotated[Doing, Depends()]


@router.post("/tasks/{task_id}/sign", operation_id="sign")
def sign(ask: Ask, who: Worker, body: Happened) -> TaskDetail:
    """Sign for a task; whoever signs first has it."""
    return ask.once(
        who, body, Action.SIGN, lambda d: d.tasks.sign(d.task.task_id, **d.how), told=body.at
    )


@router.post("/tasks/{task_id}/contact", operation_id="contact")
def contact(ask: Ask, who: Caller, body: ContactAttempt) -> TaskDetail:
    """Note a call, and what came of it."""
    return ask.once(
        who,
        body,
        Action.CONTACT,
        lambda d: d.tasks.contact(d.task.task_id, who=body.who, result=body.result, **d.how),
        told=body.at,
        held=not who.has("dispatcher"),
    )


@router.post("/tasks/{task_id}/arrive", operation_id="arrive")
def arrive(ask: Ask, who: Worker, body: Happened) -> TaskDetail:
    """Note the arrival at the door."""
    return ask.once(
        who, body, Action.ARRIVE, lambda d: d.tasks.arrive(d.task.task_id, **d.how),
        told=body.at, held=True,
    )  # fmt: skip


@router.post("/tasks/{task_id}/report", operation_id="report")
def report(ask: Ask, who: Worker, body: OutcomeReport) -> TaskDetail:
    """Report what was found at the door."""
    found = Report(
        kind=body.kind, until_ns=ns_of(body.until), kw=body.kw, from_ns=ns_of(body.from_),
        note=body.note,
    )  # fmt: skip

    def act(d: Doer) -> Task:
        attach(ask.console, body.photos, by=d.by, task=d.task)
        return d.tasks.report(d.task.task_id, found, **d.how)

    return ask.once(who, body, Action.REPORT, act, told=body.at, held=True)


@router.post("/tasks/{task_id}/pass-on", operation_id="pass_on")
def pass_on(ask: Ask, who: Worker, body: Reason) -> TaskDetail:
    """Hand a task one step up: cannot go, or nobody answered the door."""
    return ask.once(
        who, body, Action.ESCALATE,
        lambda d: d.tasks.step_up(d.task.task_id, why=body.why, **d.how), held=True,
    )  # fmt: skip


@router.post("/tasks/{task_id}/close", operation_id="close")
def close(ask: Ask, who: Desk, body: Closing) -> TaskDetail:
    """Close a reported task after checking it."""
    rating = {} if body.satisfaction is None else {"satisfaction": body.satisfaction}

    def act(d: Doer) -> Task:
        return d.tasks.act(d.task.task_id, Action.CLOSE, why=body.why, detail=rating, **d.how)

    return ask.once(who, body, Action.CLOSE, act)


@router.post("/tasks/{task_id}/reject", operation_id="reject")
def reject(ask: Ask, who: Desk, body: Reason) -> TaskDetail:
    """Send a report back: something is missing."""
    return ask.once(
        who, body, Action.REJECT, lambda d: d.tasks.reject(d.task.task_id, why=body.why, **d.how)
    )


@router.post("/tasks/{task_id}/reopen", operation_id="reopen")
def reopen(ask: Ask, who: Desk, body: Reason) -> TaskDetail:
    """Take a closed task up again."""
    return ask.once(
        who, body, Action.REOPEN, lambda d: d.tasks.reopen(d.task.task_id, why=body.why, **d.how)
    )


@router.post("/tasks/{task_id}/cancel", operation_id="cancel")
def cancel(ask: Ask, who: Desk, body: Reason) -> TaskDetail:
    """Call a task off."""
    return ask.once(
        who, body, Action.CANCEL, lambda d: d.tasks.cancel(d.task.task_id, why=body.why, **d.how)
    )


@router.post("/tasks/{task_id}/reassign", operation_id="reassign")
def reassign(ask: Ask, who: Desk, body: Reassign) -> TaskDetail:
    """Give a task to somebody else."""
    return ask.once(
        who, body, Action.REASSIGN,
        lambda d: d.tasks.reassign(d.task.task_id, to=body.to, why=body.why, **d.how),
    )  # fmt: skip


@router.post("/tasks/{task_id}/transfer", operation_id="transfer")
def transfer(ask: Ask, who: Desk, body: Transfer) -> TaskDetail:
    """Put a task into another queue."""
    if body.to is not None and body.to not in ask.console.workers:
        raise ApiError("refused", f"worker {body.to!r} is unknown; see /workers")

    def act(d: Doer) -> Task:
        return d.tasks.escalate(
            d.task.task_id, queue=body.queue, assignee=body.to, why=body.why, **d.how
        )

    return ask.once(who, body, Action.ESCALATE, act)


@router.post("/tasks/{task_id}/escalate", operation_id="escalate")
def escalate(ask: Ask, who: Above, body: Reason) -> TaskDetail:
    """Hand a task one step up its ladder, now."""
    return ask.once(
        who, body, Action.ESCALATE,
        lambda d: d.tasks.step_up(d.task.task_id, why=body.why, **d.how),
    )  # fmt: skip


@router.post("/tasks/{task_id}/whistle", operation_id="whistle")
def whistle(ask: Ask, who: Above, body: Whistle) -> TaskDetail:
    """Call departments in, each with its limit."""

    def act(d: Doer) -> Task:
        return whistle_for(
            ask.console, d.task.task_id, body.departments, limit_s=body.limit_s, why=body.why,
            **d.how,
        )  # fmt: skip

    return ask.once(who, body, Action.NOTE, act)


@router.post("/tasks/{task_id}/calls/{department}/answer", operation_id="answer_call")
def answer_call(ask: Ask, who: Caller, department: Id, body: Answer) -> TaskDetail:
    """Note what a department reports; only it or the dispatcher does."""
    if not who.has("dispatcher") and department != who.actor:
        raise ApiError("forbidden", "only this department, or the dispatcher, answers")

    def act(d: Doer) -> Task:
        return answer_call_of(ask.console, d.task.task_id, department, body.text, **d.how)

    return ask.once(who, body, Action.NOTE, act)


@router.post("/tasks/{task_id}/supervise", operation_id="supervise")
def supervise(ask: Ask, who: Above, body: Reason) -> TaskDetail:
    """Leave a note that the holder sees."""

    def act(d: Doer) -> Task:
        return d.tasks.act(
            d.task.task_id, Action.NOTE, why="supervised", detail={"text": body.why}, **d.how
        )

    return ask.once(who, body, Action.NOTE, act)
