"""The life of a task: states, transitions, time limits. Pure: who, when and why are given.

A task is an alert in somebody's queue. ``dispatched → signed → handling → reported → closed``;
before the way: ``calling`` (nobody is sent while a call may still settle it); beside it:
``escalated`` and ``reassigned`` (still unsigned, in other hands), ``cancelled``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from rules.alerts import Level
from rules.model import URGENCY, Limits

NS = 1_000_000_000
EMPTY: Mapping[str, Any] = MappingProxyType({})
HOUR_S, DAY_S = 3_600, 86_400
YELLOW_MARK = 0.8
"""Share of a limit after which a task gets its yellow mark (DOMAIN.md §6)."""
SYSTEM = "system"
"""Author of what nobody did: dispatching, notes, escalation."""


class TaskError(ValueError):
    """An act on a task that cannot be done; the message says which, why and what to do."""


class TaskState(StrEnum):
    """Where a task stands."""

    CALLING = "calling"
    DISPATCHED = "dispatched"
    SIGNED = "signed"
    HANDLING = "handling"
    REPORTED = "reported"
    CLOSED = "closed"
    ESCALATED = "escalated"
    REASSIGNED = "reassigned"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What can be done to a task."""

    CALL = "call"
    DISPATCH = "dispatch"
    SIGN = "sign"
    CONTACT = "contact"
    ARRIVE = "arrive"
    REPORT = "report"
    CLOSE = "close"
    REJECT = "reject"
    REOPEN = "reopen"
    ESCALATE = "escalate"
    REASSIGN = "reassign"
    CANCEL = "cancel"
    NOTE = "note"


S, A = TaskState, Action
WAITING = frozenset({S.DISPATCHED, S.ESCALATED, S.REASSIGNED})
"""Unsigned: the clock for signing runs."""
WORKING = frozenset({S.SIGNED, S.HANDLING})
UNTAKEN = WAITING | {S.CALLING}
"""Nobody has signed: it can still be called off without anybody having gone."""
OPEN = UNTAKEN | WORKING | {S.REPORTED}

TRANSITIONS: Mapping[Action, Mapping[str, TaskState]] = MappingProxyType(
    {
        A.CALL: {S.CALLING: S.CALLING},
        A.DISPATCH: {S.CALLING: S.DISPATCHED},
        A.SIGN: dict.fromkeys(UNTAKEN, S.SIGNED),
        A.CONTACT: {**dict.fromkeys(WORKING, S.HANDLING), **{state: state for state in UNTAKEN}},
        A.ARRIVE: dict.fromkeys(WORKING, S.HANDLING),
        A.REPORT: dict.fromkeys(WORKING, S.REPORTED),
        A.CLOSE: {S.REPORTED: S.CLOSED},
        A.REJECT: {S.REPORTED: S.HANDLING},
        A.REOPEN: {S.CLOSED: S.HANDLING},
        A.ESCALATE: dict.fromkeys(UNTAKEN | WORKING, S.ESCALATED),
        A.REASSIGN: dict.fromkeys(UNTAKEN | WORKING, S.REASSIGNED),
        A.CANCEL: dict.fromkeys(UNTAKEN | WORKING, S.CANCELLED),
        A.NOTE: {state: state for state in TaskState},
    }
)
"""Action → state before → state after."""

NEXT_STEP: Mapping[str, str] = MappingProxyType(
    {
        S.CALLING: "note what came of the calls, or sign it to go at once",
        S.DISPATCHED: "sign it first",
        S.ESCALATED: "sign it first",
        S.REASSIGNED: "sign it first",
        S.SIGNED: "report what was found",
        S.HANDLING: "report what was found",
        S.REPORTED: "close or reject it",
        S.CLOSED: "reopen it if the case goes on",
        S.CANCELLED: "nothing is left to do",
    }
)


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task as it stands; times in nanoseconds UTC, limits already turned into deadlines."""

    task_id: str
    alert_id: str
    """The alert that opened it; others may have joined."""
    door: str
    """Subject, or place and rule: never two open tasks at one door."""
    subject_id: str | None
    place: str
    grid: str
    rule: str
    level: str
    kind: str = "visit"
    """``visit``, or ``check``: a random look at what was held back."""
    state: str = S.DISPATCHED
    queue: str = "gridworker"
    """Role whose queue it lies in."""
    assignee: str | None = None
    opened_ns: int
    updated_ns: int
    seq: int = 0
    """Number of the newest event of its history."""
    ladder_step: int = 0
    """Steps of the ladder taken; while calling, whose turn it is of those to call."""
    escalate_ns: int | None = None
    """When the next step is due; while calling, when the wait for an answer ends."""
    sign_by_ns: int | None = None
    contact_by_ns: int | None = None
    door_by_ns: int | None = None
    report_by_ns: int | None = None
    close_by_ns: int | None = None
    signed_ns: int | None = None
    contacted_ns: int | None = None
    arrived_ns: int | None = None
    reported_ns: int | None = None
    closed_ns: int | None = None
    alerts: int = 1
    """Alerts that led to it …"""
    alerts_resolved: int = 0
    alerts_cancelled: int = 0
    """… and how many of them are resolved or cancelled since."""
    outcome: str | None = None
    reason_zh: str = ""
    reason_en: str = ""
    contact_first: str = "[]"
    """JSON list of whom to call before a visit, and how long to wait."""

    @property
    def calling(self) -> bool:
        """Whether nobody is sent yet because a call may still settle it."""
        return self.state == S.CALLING

    @property
    def untaken(self) -> bool:
        """Whether nobody signed yet, sent or not."""
        return self.state in UNTAKEN

    @property
    def unsigned(self) -> bool:
        """Whether somebody was sent and has not signed yet."""
        return self.state in WAITING

    @property
    def alert_state(self) -> str:
        """State of its alerts taken together: firing while one of them is."""
        if self.alerts > self.alerts_resolved + self.alerts_cancelled:
            return "firing"
        return "resolved" if self.alerts_resolved else "cancelled"

    @property
    def open(self) -> bool:
        """Whether somebody still has to do something."""
        return self.state in OPEN


class TaskEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a task's history; never changed, never deleted but by ``forget``."""

    task_id: str
    seq: int
    at_ns: int
    action: str
    state_from: str | None
    state_to: str
    by: str
    why: str = ""
    detail: str = "{}"


def task_id(alert_id: str, count: int = 0) -> str:
    """Return the id of the task that an alert opens (`count`: earlier tasks of that alert).

    >>> task_id("dae2f2b3815709fa223d")
    't-5d3e7ddae864b5a9'
    """
    text = f"task\x1f{alert_id}\x1f{count}"
    return "t-" + hashlib.sha256(text.encode()).hexdigest()[:16]


_STAMPED: Mapping[Action, str] = {
    A.SIGN: "signed_ns",
    A.CONTACT: "contacted_ns",
    A.ARRIVE: "arrived_ns",
    A.REPORT: "reported_ns",
    A.CLOSE: "closed_ns",
}


def act(
    task: Task,
    action: Action,
    *,
    by: str,
    at_ns: int,
    why: str = "",
    detail: Mapping[str, Any] = EMPTY,
    changes: Mapping[str, Any] = EMPTY,
) -> tuple[Task, TaskEvent]:
    """Return the task after an act, and the line of history that says so.

    Parameters
    ----------
    task : Task
        As it stands.
    action : Action
        What is done.
    by, at_ns, why
        Who, when (event time), and why.
    detail : mapping, optional
        Kept in the history as JSON.
    changes : mapping, optional
        Further fields of the task to set.

    Raises
    ------
    TaskError
        If the task's state does not allow it, or it would happen before the task was opened.
    """
    before = task.state
    after = TRANSITIONS[action].get(before)
    if after is None:
        allowed = ", ".join(sorted(TRANSITIONS[action]))
        raise TaskError(
            f"task {task.task_id}: cannot {action} a task that is {before} "
            f"(wanted {allowed}); {NEXT_STEP[before]}"
        )
    if at_ns < task.opened_ns:
        raise TaskError(
            f"task {task.task_id}: {action} at {at_ns} lies before it was opened "
            f"({task.opened_ns}); give the time of the event clock"
        )
    if not by:
        raise TaskError(f"task {task.task_id}: {action} needs to know by whom")
    seq = task.seq + 1
    fields = {
        **({_STAMPED[action]: at_ns} if action in _STAMPED else {}),
        "state": str(after),
        "seq": seq,
        "updated_ns": max(at_ns, task.updated_ns),
        **changes,
    }
    moved = msgspec.structs.replace(task, **fields)
    event = TaskEvent(
        task_id=task.task_id,
        seq=seq,
        at_ns=at_ns,
        action=str(action),
        state_from=before,
        state_to=str(after),
        by=by,
        why=why,
        detail=compact(detail),
    )
    return moved, event


_ENCODER = msgspec.json.Encoder(order="deterministic")


def compact(value: Any) -> str:
    """Return canonical JSON."""
    if value is EMPTY:
        return "{}"
    return _ENCODER.encode(value).decode()


# -- limits -----------------------------------------------------------------------------------

DEFAULT_LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        Level.RED: Limits(900, 1_800, 3_600, 4 * HOUR_S, DAY_S, "calendar"),
        Level.ORANGE: Limits(3_600, 2 * HOUR_S, 4 * HOUR_S, 12 * HOUR_S, DAY_S, "calendar"),
        Level.YELLOW: Limits(4 * HOUR_S, None, 8 * HOUR_S, 16 * HOUR_S, 24 * HOUR_S, "work"),
        Level.BLUE: Limits(8 * HOUR_S, None, 24 * HOUR_S, 40 * HOUR_S, 56 * HOUR_S, "work"),
    }
)
"""Limits where the rule has none: red as DOMAIN.md §6; orange the same day; yellow three and blue
seven work days of eight hours."""

DUE_STEPS = (
    (WAITING, "sign_by_ns", None),
    (WORKING, "contact_by_ns", "contacted_ns"),
    (WORKING, "door_by_ns", "arrived_ns"),
    (WORKING, "report_by_ns", None),
    (frozenset({S.REPORTED}), "close_by_ns", None),
)
"""States in which a deadline runs, the deadline, and what ends it; the first that fits is due."""


def due(task: Task) -> int | None:
    """Return the deadline that runs now: of the next step that is not done yet."""
    for states, deadline, done in DUE_STEPS:
        at: int | None = getattr(task, deadline)
        pending = done is None or getattr(task, done) is None
        if at is not None and pending and task.state in states:
            return at
    return None


def mark(task: Task, now_ns: int) -> str:
    """Return ``red`` when overdue, ``yellow`` from 80 % of the limit on, else ``""``."""
    deadline = due(task)
    if deadline is None:
        return ""
    if now_ns >= deadline:
        return "red"
    warn = task.opened_ns + YELLOW_MARK * (deadline - task.opened_ns)
    return "yellow" if now_ns >= warn else ""


_URGENCY: Mapping[str, int] = {str(level): rank for level, rank in URGENCY.items()}


def more_urgent(one: str, other: str) -> bool:
    """Return whether level `one` is more urgent than `other`.

    >>> more_urgent("red", "orange"), more_urgent("blue", "blue")
    (True, False)
    """
    return _URGENCY[one] > _URGENCY[other]
