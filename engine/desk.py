"""From changes of alerts to tasks: who is sent where, and what is told to whom is there already.

Pure. The store reads a :class:`Book` (what is known of the doors concerned), the :class:`Desk`
(rules, roster, queue limits) writes into it, the store saves what changed, all in the transaction
that saves the alerts. So a task exists once, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import msgspec

from engine.book import Book, Held, Link
from engine.config import QueueConfig
from engine.hours import NS, CalendarHours, Hours, WorkHours, ns_of
from engine.places import PlaceLayout
from engine.queue import Gate, Verdict
from engine.roster import DEPARTMENT, LEADER, STAND_IN, STREET, Roster
from engine.tasks import (
    DEFAULT_LIMITS,
    SYSTEM,
    Action,
    Task,
    TaskEvent,
    TaskState,
    act,
    compact,
    more_urgent,
    task_id,
)
from rules.alerts import AlertChange, Level, State
from rules.model import EscalationStep, Limits, Route, Rule, RuleSet

DEFAULT_ROUTE = Route("gridworker")
DEFAULT_LADDER = (STAND_IN, LEADER, STREET, DEPARTMENT)
"""Where a route names no ladder: one step up for every time the limit for signing passes."""

_DEADLINES = ("sign", "contact", "door", "report", "close")


@dataclass(frozen=True)
class Desk:
    """How alerts become tasks.

    Parameters
    ----------
    rules : RuleSet or None
        For routes, limits, grouping and hard danger. A rule it does not know gets the default
        route and limits; a rule without a route sends nobody.
    queue : QueueConfig
        Visits a day per grid, false-discovery rate, share of checks.
    layout : PlaceLayout
    roster : Roster or None
        None: the store's workers.
    zone : str
        Whose midnight begins a queue's day.
    hours : mapping of str to Hours
        Clocks of the limits, by the name that rules use.
    shadow_places : tuple of str
        Place codes within which alerts are recorded and nobody is sent.
    """

    rules: RuleSet | None = None
    queue: QueueConfig = field(default_factory=QueueConfig)
    layout: PlaceLayout = field(default_factory=PlaceLayout)
    roster: Roster | None = None
    zone: str = "Asia/Shanghai"
    hours: Mapping[str, Hours] = field(
        default_factory=lambda: MappingProxyType({"calendar": CalendarHours(), "work": WorkHours()})
    )
    shadow_places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        by_name = {rule.name: rule for rule in self.rules or ()}
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_ladders", {})
        object.__setattr__(self, "_staff", self.roster or Roster(zone=self.zone))

    @property
    def staff(self) -> Roster:
        """Who there is to send; nobody where no roster is known."""
        staff: Roster = self.__dict__["_staff"]
        return staff

    def with_roster(self, roster: Roster) -> Desk:
        """Return the same desk with these workers."""
        return replace(self, roster=roster)

    # -- what is asked of the rules -----------------------------------------------------------

    def rule(self, name: str) -> Rule | None:
        """Return a rule by name, if known."""
        by_name: Mapping[str, Rule] = self.__dict__["_by_name"]
        return by_name.get(name)

    def sends(self, change: AlertChange) -> bool:
        """Return whether anybody is sent for an alert (no route or shadow: nobody is)."""
        if self.shadow_places and change.place.startswith(self.shadow_places):
            return False
        rule = self.rule(change.rule)
        return rule is None or (rule.route is not None and not rule.shadow)

    def door(self, change: AlertChange) -> str:
        """Return the door of an alert: never two open tasks at one door.

        The subject; for an alert about a place, or a rule that groups by place, that place and
        the rule (an outage and a surge of complaints in one community are two cases).
        """
        rule = self.rule(change.rule)
        by = rule.group.by if rule else "subject"
        if by == "subject":
            return change.subject_id or f"{change.place}|{change.rule}"
        return f"{self.layout.at(change.place, by)}|{change.rule}"

    def grid(self, place: str) -> str:
        """Return the grid whose queue an alert at a place belongs to."""
        return self.layout.at(place, self.layout.levels[-1])

    def hard(self, rule: str, level: str) -> bool:
        """Return whether no daily capacity may starve it: red, or the rule says so."""
        known = self.rule(rule)
        return level == Level.RED or (known is not None and known.hard_danger)

    def limits(self, rule: str, level: str) -> Limits:
        """Return a task's time limits: the rule's, or the defaults of the level."""
        known = self.rule(rule)
        own = known.limits_at(Level(level)) if known else None
        return own if own is not None and own != Limits() else DEFAULT_LIMITS[level]

    def deadlines(self, rule: str, level: str, start_ns: int) -> dict[str, int | None]:
        """Return the deadlines of a task, by the names of its fields."""
        limits = self.limits(rule, level)
        clock = self.hours[limits.clock]
        found: dict[str, int | None] = {}
        for step in _DEADLINES:
            seconds: int | None = getattr(limits, f"{step}_s")
            found[f"{step}_by_ns"] = None if seconds is None else clock.after(start_ns, seconds)
        return found

    def ladder(self, rule: str, level: str) -> Sequence[EscalationStep]:
        """Return who takes over when nobody signs, and after how long since dispatch."""
        ladders: dict[tuple[str, str], Sequence[EscalationStep]] = self.__dict__["_ladders"]
        found = ladders.get((rule, level))
        if found is None:
            found = ladders[rule, level] = self._ladder(rule, level)
        return found

    def _ladder(self, rule: str, level: str) -> Sequence[EscalationStep]:
        known = self.rule(rule)
        if known and known.route and known.route.escalate:
            return known.route.escalate
        limit = self.limits(rule, level).sign_s
        if limit is None:
            return ()
        return [EscalationStep(to, limit * (i + 1)) for i, to in enumerate(DEFAULT_LADDER)]

    def next_climb(self, rule: str, level: str, step: int, start_ns: int) -> int | None:
        """Return when the given step of the ladder is due, or None above its top."""
        ladder = self.ladder(rule, level)
        if step >= len(ladder):
            return None
        return self.hours[self.limits(rule, level).clock].after(start_ns, ladder[step].after_s)

    def relevant_since_ns(self, changes: Sequence[AlertChange]) -> int:
        """Return since when ended tasks matter to changes: their onsets, and what they dedupe."""
        since = []
        for change in changes:
            rule = self.rule(change.rule)
            within_ns = rule.dedupe.within_s * NS if rule else 0
            since.append(min(ns_of(change.onset), ns_of(change.at) - within_ns))
        return min(since)

    # -- changes of alerts ----------------------------------------------------------------------

    def take(self, book: Book, changes: Sequence[AlertChange]) -> None:
        """Bring a book up to date with changes, in their order."""
        for change in changes:
            if not self.sends(change):
                continue
            at_ns = ns_of(change.at)
            if change.state == State.FIRING:
                self._firing(book, change, at_ns)
            else:
                self._ended(book, change, at_ns)

    def _firing(self, book: Book, change: AlertChange, at_ns: int) -> None:
        link = book.links.get(change.alert_id)
        if link is None:
            self._want(book, change, at_ns, count=0)
            return
        task = book.tasks[link.task_id]
        if more_urgent(change.level, task.level):
            if task.open:
                book.change(self._raise(task, change, at_ns, "level_raised"))
            else:
                # Somebody was there, and it has become worse since.
                self._want(book, change, at_ns, count=link.count + 1)
        elif task.open:
            note = {"alert_id": change.alert_id, "level": change.level}
            book.change(_note(task, at_ns, "alert_changed", note))

    def _want(self, book: Book, change: AlertChange, at_ns: int, count: int) -> None:
        """Let an alert join a task at its door, pass the queue, or be held back."""
        joined = self._join(book, change, at_ns, count)
        if joined:
            self._unhold(book, change.alert_id, "released", at_ns)
            return
        before = book.held.get(change.alert_id)
        if before is None and self.queue.visits_per_day is None:
            self._open(book, change, at_ns, count)
            return
        item = self._held(change, at_ns, before)
        gate = self._gate(book, item.grid)
        hard = self.hard(change.rule, change.level)
        if before is None or hard or _more(item, before):
            verdict = gate.admit(item.waiting(hard), at_ns, self.queue, self.zone)
            book.gates_touched[item.grid] = None
        else:
            verdict = Verdict(send=False, reason=before.reason, p=before.p, line=before.line)
        if verdict.send:
            self._open(book, change, at_ns, count, verdict.kind)
            if verdict.reason == "check":
                book.hold(_with(item, verdict, "checked", at_ns))
            else:
                self._unhold(book, change.alert_id, "released", at_ns)
        else:
            book.hold(_with(item, verdict, "waiting", None))

    def _join(self, book: Book, change: AlertChange, at_ns: int, count: int) -> bool:
        """Let an alert join a task at its door, where somebody is on the way or has just been."""
        rule = self.rule(change.rule)
        wait_ns = rule.group.wait_s * NS if rule and rule.group.wait_s else None
        within_ns = rule.dedupe.within_s * NS if rule else 0
        onset_ns = ns_of(change.onset)
        for task in book.at_door(self.door(change)):
            age_ns = at_ns - task.opened_ns
            on_the_way = (
                task.open
                and task.state != TaskState.REPORTED
                and (wait_ns is None or age_ns <= wait_ns)
            )
            seen = task.reported_ns is not None and onset_ns <= task.reported_ns
            same = task.rule == change.rule and age_ns < within_ns
            worse = more_urgent(change.level, task.level)
            if on_the_way or (not worse and (seen or same) and task.state != TaskState.CANCELLED):
                book.change(self._raise(task, change, at_ns, "joined"))
                book.link(Link(change.alert_id, task.task_id, count, change.state))
                return True
        return False

    def _raise(
        self, task: Task, change: AlertChange, at_ns: int, why: str
    ) -> tuple[Task, TaskEvent]:
        """Note a change at a task; a more urgent one tightens its limits and tells its reason."""
        changes: dict[str, object] = {}
        if why == "joined":
            changes["alerts"] = task.alerts + 1
        if task.open and more_urgent(change.level, task.level):
            sooner = self.deadlines(change.rule, change.level, at_ns)
            changes |= {name: _sooner(getattr(task, name), at) for name, at in sooner.items()}
            if task.unsigned:
                climb = self.next_climb(change.rule, change.level, task.ladder_step, at_ns)
                changes["escalate_ns"] = _sooner(task.escalate_ns, climb)
            changes |= {
                "level": str(change.level),
                "reason_zh": change.reason.get("zh", ""),
                "reason_en": change.reason.get("en", ""),
            }
        note = {"alert_id": change.alert_id, "rule": change.rule, "level": change.level}
        return act(
            task,
            Action.NOTE,
            by=SYSTEM,
            at_ns=max(at_ns, task.opened_ns),
            why=why,
            detail=note,
            changes=changes,
        )

    def _open(
        self, book: Book, change: AlertChange, at_ns: int, count: int, kind: str = "visit"
    ) -> None:
        rule = self.rule(change.rule)
        route = (rule.route if rule else None) or DEFAULT_ROUTE
        queue, worker = self.staff.assign(route.queue, change.place, at_ns, book.load)
        due = self.deadlines(change.rule, change.level, at_ns)
        task = Task(
            task_id=task_id(change.alert_id, count),
            alert_id=change.alert_id,
            door=self.door(change),
            subject_id=change.subject_id,
            place=change.place,
            grid=self.grid(change.place),
            rule=change.rule,
            level=str(change.level),
            kind=kind,
            queue=queue,
            assignee=worker,
            opened_ns=at_ns,
            updated_ns=at_ns,
            reason_zh=change.reason.get("zh", ""),
            reason_en=change.reason.get("en", ""),
            contact_first=compact(
                [{"who": c.who, "wait_s": c.wait_s} for c in route.contact_first]
            ),
            escalate_ns=self.next_climb(change.rule, change.level, 0, at_ns),
            sign_by_ns=due["sign_by_ns"],
            contact_by_ns=due["contact_by_ns"],
            door_by_ns=due["door_by_ns"],
            report_by_ns=due["report_by_ns"],
            close_by_ns=due["close_by_ns"],
        )
        event = TaskEvent(
            task_id=task.task_id,
            seq=0,
            at_ns=at_ns,
            action="dispatch",
            state_from=None,
            state_to=task.state,
            by=SYSTEM,
            why=change.rule,
            detail=compact({"alert_id": change.alert_id, "queue": queue, "assignee": worker}),
        )
        book.open_task(task, event)
        book.link(Link(change.alert_id, task.task_id, count, change.state))

    def _ended(self, book: Book, change: AlertChange, at_ns: int) -> None:
        """Drop a held alert that is resolved or cancelled; tell its task, or call it off unsigned."""
        self._unhold(book, change.alert_id, "gone", at_ns)
        link = book.links.get(change.alert_id)
        if link is None or link.state == change.state:
            return
        task = book.tasks[link.task_id]
        counts = {
            "alerts_resolved": task.alerts_resolved,
            "alerts_cancelled": task.alerts_cancelled,
        }
        if (old := f"alerts_{link.state}") in counts:
            counts[old] -= 1
        counts[f"alerts_{change.state}"] += 1
        book.link(msgspec.structs.replace(link, state=str(change.state)))
        off = task.unsigned and counts["alerts_cancelled"] == task.alerts
        book.change(
            act(
                task,
                Action.CANCEL if off else Action.NOTE,
                by=SYSTEM,
                at_ns=max(at_ns, task.opened_ns),
                why=f"alert_{change.state}",
                detail={"alert_id": change.alert_id},
                changes=counts,
            )
        )

    # -- the clock ------------------------------------------------------------------------------

    def release(
        self, book: Book, grid: str, changes: Mapping[str, AlertChange], now_ns: int
    ) -> int:
        """Send what was held back in a grid for want of visits, as far as today's visits go.

        Parameters
        ----------
        book : Book
            With the held rows of that grid.
        grid : str
        changes : mapping of str to AlertChange
            The newest change of each held alert.
        now_ns : int
        """
        waiting = [
            h.waiting(self.hard(h.rule, h.level))
            for h in book.held.values()
            if h.grid == grid and h.status == "waiting" and h.reason == "capacity"
        ]
        sent = self._gate(book, grid).release(waiting, now_ns, self.queue, self.zone)
        book.gates_touched[grid] = None
        for item in sent:
            change = changes[item.alert_id]
            link = book.links.get(item.alert_id)
            count = link.count + 1 if link else 0
            if not self._join(book, change, now_ns, count):
                self._open(book, change, now_ns, count)
            self._unhold(book, item.alert_id, "released", now_ns)
        return len(sent)

    def climb(self, book: Book, task: Task, now_ns: int) -> None:
        """Escalate a task that nobody signed, to the first step of the ladder with somebody new."""
        ladder = self.ladder(task.rule, task.level)
        step = task.ladder_step
        queue, worker = task.queue, task.assignee
        while step < len(ladder):
            queue, worker = self.staff.climb(ladder[step].to, task.assignee, task.place, now_ns)
            step += 1
            if (queue, worker) != (task.queue, task.assignee):
                break
        following = self.next_climb(task.rule, task.level, step, task.opened_ns)
        if following is not None and following <= now_ns:
            # The clock stood still for long: whoever has it now gets the time meant for them.
            gap_s = ladder[step].after_s - ladder[step - 1].after_s
            clock = self.hours[self.limits(task.rule, task.level).clock]
            following = clock.after(now_ns, gap_s if gap_s > 0 else ladder[0].after_s)
        book.change(
            act(
                task,
                Action.ESCALATE,
                by=SYSTEM,
                at_ns=now_ns,
                why="not_signed_in_time",
                detail={"from": task.assignee, "to": worker, "queue": queue, "step": step},
                changes={
                    "queue": queue,
                    "assignee": worker,
                    "ladder_step": step,
                    "escalate_ns": following,
                },
            )
        )

    # -- small parts ----------------------------------------------------------------------------

    def _gate(self, book: Book, grid: str) -> Gate:
        return book.gates.setdefault(grid, Gate(grid))

    def _held(self, change: AlertChange, at_ns: int, before: Held | None) -> Held:
        return Held(
            alert_id=change.alert_id,
            grid=self.grid(change.place),
            place=change.place,
            subject_id=change.subject_id,
            rule=change.rule,
            level=str(change.level),
            evidence=change.evidence,
            p_value=change.p_value,
            budget=change.budget,
            since_ns=before.since_ns if before else at_ns,
            reason="",
            p=None,
            line=None,
            status="waiting",
        )

    def _unhold(self, book: Book, alert_id: str, status: str, at_ns: int) -> None:
        held = book.held.get(alert_id)
        if held is not None and held.status == "waiting":
            book.hold(msgspec.structs.replace(held, status=status, until_ns=at_ns))


def _with(item: Held, verdict: Verdict, status: str, until_ns: int | None) -> Held:
    return msgspec.structs.replace(
        item,
        reason=verdict.reason,
        p=verdict.p,
        line=verdict.line,
        status=status,
        until_ns=until_ns,
    )


def _more(now: Held, before: Held) -> bool:
    """Return whether there is more to it than when it was held back."""
    if more_urgent(now.level, before.level):
        return True
    if now.p_value is not None and before.p_value is not None:
        return now.p_value < before.p_value
    return (now.evidence or 0.0) > (before.evidence or 0.0)


def _note(task: Task, at_ns: int, why: str, detail: Mapping[str, object]) -> tuple[Task, TaskEvent]:
    return act(
        task, Action.NOTE, by=SYSTEM, at_ns=max(at_ns, task.opened_ns), why=why, detail=detail
    )


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((t for t in (one, other) if t is not None), default=None)
