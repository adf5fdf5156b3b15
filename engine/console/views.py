"""From rows of the store to what the API answers, for the eyes that asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from engine.console.context import Console
from engine.console.schemas import (
    Absence,
    AlertSummary,
    ContactStep,
    Limit,
    Mark,
    Outcome,
    OutcomeKind,
    PlaceRef,
    Step,
    TaskBrief,
    TaskEvent,
    TaskSummary,
    Text,
)
from engine.console.security import Who
from engine.outcomes import DAY_S, KINDS
from engine.store.questions import SubjectRow
from engine.store.register import Absence as AbsenceRow
from engine.store.register import OutcomeRow
from engine.tasks import DUE_STEPS, YELLOW_MARK, Task, due, mark
from engine.tasks import TaskEvent as EventRow
from rules.alerts import AlertChange, stamp

SMALL = 5
"""Counts of people under this are not shown on a wall."""
STEPS: Mapping[str, Step] = {
    "sign_by_ns": "sign",
    "contact_by_ns": "contact",
    "door_by_ns": "door",
    "report_by_ns": "report",
    "close_by_ns": "close",
}
_DONE = {
    "sign_by_ns": "signed_ns",
    "contact_by_ns": "contacted_ns",
    "door_by_ns": "arrived_ns",
    "report_by_ns": "reported_ns",
    "close_by_ns": "closed_ns",
}
_LAST_ZH = re.compile(r"(?s)(.*[。；！])([^。]+不会预警。?)$")
_LAST_EN = re.compile(r"(?s)(.*[.!]) ([^.!]*(?:\.\d[^.!]*)*kept this quiet\.?)$")


def when(ns: int | None) -> str | None:
    """Return a time as the API writes it."""
    return None if ns is None else stamp(ns)


def split_reason(reason: Mapping[str, str]) -> tuple[Text, Text | None]:
    """Return (what was seen, what would have kept it quiet) of an alert's sentence."""
    zh, en = reason.get("zh", ""), reason.get("en", "")
    tail_zh, tail_en = _LAST_ZH.match(zh), _LAST_EN.match(en)
    if tail_zh is None or tail_en is None:
        return Text(zh=zh, en=en), None
    return (
        Text(zh=tail_zh[1].strip(), en=tail_en[1].strip()),
        Text(zh=tail_zh[2].strip(), en=tail_en[2].strip()),
    )


class Views:
    """Builds answers for one reader.

    Parameters
    ----------
    console : Console
    who : Who
    now_ns : int
        Event time now.
    """

    def __init__(self, console: Console, who: Who, now_ns: int | None = None) -> None:
        self.console = console
        self.who = who
        self.now_ns = console.now_ns() if now_ns is None else now_ns

    # -- small parts ------------------------------------------------------------------------------

    def place(self, code: str) -> PlaceRef:
        """Return a place; on a wall nothing finer than its grid."""
        return self.console.place(self.console.grid(code) if self.who.wall else code)

    def path(self, code: str) -> list[PlaceRef]:
        """Return the path down to a place."""
        return self.console.path(self.console.grid(code) if self.who.wall else code)

    def sentence(self, reason: Mapping[str, str], place: str) -> Mapping[str, str]:
        """Return an alert's sentence with the place's name where the engine wrote its code."""
        zh, en = reason.get("zh", ""), reason.get("en", "")
        if place not in zh and place not in en:
            return reason
        name = self.console.spoken(place)
        if name is None:
            return reason
        return {"zh": zh.replace(place, name.zh), "en": en.replace(place, name.en)}

    def count(self, n: int) -> int | None:
        """Return a count of people, or None where a wall may not show it."""
        return None if self.who.wall and 0 < n < SMALL else n

    def title(self, rule: str) -> Text:
        """Return the kind of an alert, as the site calls it on its walls."""
        other = self.console.settings.wall_kinds.get(rule) if self.who.wall else None
        return Text(zh=other, en=other) if other else self.console.title(rule)

    # -- alerts -----------------------------------------------------------------------------------

    def alert(
        self, change: AlertChange, task: Task | None, subject: SubjectRow | None
    ) -> AlertSummary:
        """Return an alert as lists show it."""
        reason, quiet_if = split_reason(self.sentence(change.reason, change.place))
        wall = self.who.wall
        return AlertSummary(
            alert_id=change.alert_id,
            seq=change.seq,
            state=str(change.state),
            level=str(change.level),
            rule=change.rule,
            title=self.title(change.rule),
            subject_id=None if wall else change.subject_id,
            subject_kind=subject.kind if subject else None,
            place=self.place(change.place),
            path=self.path(change.place),
            onset=change.onset,
            raised_at=change.raised_at,
            at=change.at,
            evidence=change.evidence,
            reason=self.title(change.rule) if wall else reason,
            quiet_if=None if wall else quiet_if,
            task=None if task is None else self.brief(task),
            simulated=bool(subject and subject.attrs.get("simulated")),
        )

    # -- tasks ------------------------------------------------------------------------------------

    def brief(self, task: Task) -> TaskBrief:
        """Return a task in one line."""
        running = due(task) if task.open else None
        return TaskBrief(
            task_id=task.task_id,
            state=task.state,
            queue=task.queue,
            assignee=None if self.who.wall else task.assignee,
            assignee_label=self.console.worker_label(task.assignee),
            mark=self.mark(task),
            due=None if running is None else self.limit(task, self.running(task), running),
        )

    def mark(self, task: Task) -> Mark:
        """Return the mark of a task now."""
        return cast("Mark", mark(task, self.now_ns)) if task.open else ""

    @staticmethod
    def running(task: Task) -> str:
        """Return the name of the deadline that runs now."""
        at = due(task)
        return next(
            name
            for states, name, _ in DUE_STEPS
            if task.state in states and getattr(task, name) == at
        )

    def limit(self, task: Task, name: str, at_ns: int) -> Limit:
        """Return a time limit."""
        yellow_ns = task.opened_ns + int(YELLOW_MARK * (at_ns - task.opened_ns))
        done_ns = getattr(task, _DONE[name])
        end_ns = done_ns if done_ns is not None else self.now_ns
        late = end_ns >= at_ns and (done_ns is not None or task.open)
        warn = done_ns is None and task.open and end_ns >= yellow_ns
        return Limit(
            step=STEPS[name],
            at=stamp(at_ns),
            yellow_at=stamp(yellow_ns),
            done_at=when(done_ns),
            mark="red" if late else "yellow" if warn else "",
        )

    def limits(self, task: Task) -> list[Limit]:
        """Return all time limits of a task."""
        return [
            self.limit(task, name, at) for name in STEPS if (at := getattr(task, name)) is not None
        ]

    def task(
        self, task: Task, subject: SubjectRow | None, change: AlertChange | None = None
    ) -> TaskSummary:
        """Return a task as lists show it; with its alert the sentence is in two parts."""
        told = change.reason if change else {"zh": task.reason_zh, "en": task.reason_en}
        reason, quiet_if = split_reason(self.sentence(told, task.place))
        wall = self.who.wall
        outcome = task.outcome and ("closed" if wall else task.outcome)
        brief = self.brief(task)
        return TaskSummary(
            **{name: getattr(brief, name) for name in TaskBrief.model_fields},
            seq=task.seq,
            alert_id=task.alert_id,
            alert_state=task.alert_state,
            alerts=task.alerts,
            subject_id=None if wall else task.subject_id,
            subject_kind=subject.kind if subject else None,
            place=self.place(task.place),
            path=self.path(task.place),
            rule=task.rule,
            title=self.title(task.rule),
            level=task.level,
            kind="check" if task.kind == "check" else "visit",
            reason=self.title(task.rule) if wall else reason,
            quiet_if=None if wall else quiet_if,
            opened_at=stamp(task.opened_ns),
            updated_at=stamp(task.updated_ns),
            outcome=outcome,
            contact_first=contact_first(task),
            limits=self.limits(task),
            ladder_step=task.ladder_step,
            mine=task.assignee is not None and task.assignee == self.who.actor,
        )

    def event(self, event: EventRow) -> TaskEvent:
        """Return a line of a task's history."""
        return TaskEvent(
            seq=event.seq,
            at=stamp(event.at_ns),
            action=event.action,
            state_from=event.state_from,
            state_to=event.state_to,
            by=event.by,
            why=event.why,
            detail=msgspec.json.decode(event.detail),
        )


def contact_first(task: Task) -> list[ContactStep]:
    """Return whom to call before a visit."""
    return [ContactStep(**step) for step in msgspec.json.decode(task.contact_first)]


def outcome(row: OutcomeRow) -> Outcome:
    """Return what was found at a door."""
    kind = KINDS.get(row.kind)
    return Outcome(
        outcome_id=row.outcome_id,
        task_id=row.task_id,
        alert_id=row.alert_id,
        subject_id=row.subject_id,
        rule=row.rule,
        kind=row.kind,
        text=Text(zh=kind.zh, en=kind.en) if kind else Text(zh=row.kind, en=row.kind),
        verdict=row.verdict,
        at=stamp(row.ts_ns),
        until=when(row.until_ns),
        kw=row.kw,
        by=row.by,
        note=row.note,
    )


def absence(row: AbsenceRow, now_ns: int) -> Absence:
    """Return a line of the absence register."""
    kind = KINDS.get(row.kind)
    return Absence(
        absence_id=row.absence_id,
        subject_id=row.subject_id,
        kind=row.kind,
        text=Text(zh=kind.zh, en=kind.en) if kind else Text(zh=row.kind, en=row.kind),
        **{"from": stamp(row.from_ns)},
        until=stamp(row.until_ns),
        source=row.source,
        by=row.by,
        declared_at=stamp(row.declared_ns),
        revoked_at=when(row.revoked_ns),
        holds=row.revoked_ns is None and row.from_ns <= now_ns < row.until_ns,
    )


HOME_FIRST = (
    "safe_at_home", "away", "rescued", "in_hospital", "refused", "power_cut", "meter_fault",
    "wrong_address", "duplicate", "new_appliance", "handled",
)  # fmt: skip
PLANT_FIRST = (
    "confirmed_violation", "approved_use", "meter_fault", "power_cut", "refused", "wrong_address",
    "duplicate", "new_appliance", "handled",
)  # fmt: skip
PLACE_FIRST = (
    "handled", "confirmed_violation", "power_cut", "meter_fault", "wrong_address", "duplicate",
    "refused",
)  # fmt: skip


def outcome_kinds(subject_kind: str | None = None) -> list[OutcomeKind]:
    """Return all that can be reported, or of a kind of subject (``place``: of none), commonest first."""
    if subject_kind is None:
        names: Sequence[str] = tuple(KINDS)
    elif subject_kind == "place":
        names = PLACE_FIRST
    else:
        names = PLANT_FIRST if "plant" in subject_kind else HOME_FIRST
    return [
        OutcomeKind(
            kind=name,
            text=Text(zh=KINDS[name].zh, en=KINDS[name].en),
            verdict=str(KINDS[name].verdict),
            needs=list(KINDS[name].needs),
            quiets=KINDS[name].quiets,
            longest_days=KINDS[name].longest_s // DAY_S or None,
        )
        for name in names
    ]
