"""The working set of one transaction of the desk: tasks, doors, queues, and what was changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from engine.queue import Gate, Waiting
from engine.tasks import Task, TaskEvent
from rules.alerts import AlertChange


class Link(msgspec.Struct, frozen=True, gc=False):
    """The task that an alert led to, the alert's state, and how many tasks it had before."""

    alert_id: str
    task_id: str
    count: int
    state: str


class Held(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An alert that did not become a visit, and why."""

    alert_id: str
    grid: str
    place: str
    subject_id: str | None
    rule: str
    level: str
    evidence: float | None
    p_value: float | None
    budget: float | None
    since_ns: int
    reason: str
    p: float | None
    line: float | None
    status: str
    """``waiting``, ``released``, ``checked``, or ``gone`` (resolved or cancelled meanwhile)."""
    until_ns: int | None = None
    due_ns: int | None = None
    """When a silence ends, or enough was collected; None where only a new day can send it."""

    def waiting(self, hard: bool) -> Waiting:
        """Return what the queue needs to know of it."""
        return Waiting(
            alert_id=self.alert_id,
            level=self.level,
            hard=hard,
            evidence=self.evidence,
            p_value=self.p_value,
            budget=self.budget,
            since_ns=self.since_ns,
        )


@dataclass(slots=True)
class Book:
    """What is known of some doors, and what was changed of it.

    The store fills the first part; ``created``, ``touched`` … name what it has to write.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    newest: dict[str, AlertChange] = field(default_factory=dict)
    """The newest change of each alert that is held until a time."""
    load: dict[str, int] = field(default_factory=dict)

    created: dict[str, None] = field(default_factory=dict)
    touched: dict[str, None] = field(default_factory=dict)
    events: list[TaskEvent] = field(default_factory=list)
    linked: dict[str, None] = field(default_factory=dict)
    held_touched: dict[str, None] = field(default_factory=dict)
    gates_touched: dict[str, None] = field(default_factory=dict)
    _doors: dict[str, list[str]] | None = None

    def at_door(self, door: str) -> list[Task]:
        """Return the tasks known of a door, the newest first."""
        if self._doors is None:
            self._doors = {}
            for task in self.tasks.values():
                self._doors.setdefault(task.door, []).append(task.task_id)
        found = [self.tasks[name] for name in self._doors.get(door, ())]
        if len(found) < 2:
            return found
        return sorted(found, key=lambda t: (t.opened_ns, t.task_id), reverse=True)

    def within(self, rule: str, area: str, since_ns: int) -> list[Task]:
        """Return the tasks of a rule that were opened in an area since a time."""
        return [
            task
            for task in self.tasks.values()
            if task.rule == rule and task.opened_ns > since_ns and task.place.startswith(area)
        ]

    def due(self, now_ns: int) -> list[Held]:
        """Return what was held until now, the one held longest first."""
        found = [
            held
            for held in self.held.values()
            if held.status == "waiting" and held.due_ns is not None and held.due_ns <= now_ns
        ]
        return sorted(found, key=lambda h: (h.due_ns, h.since_ns, h.alert_id))

    def open_task(self, task: Task, event: TaskEvent) -> None:
        """Add a new task."""
        self.at_door(task.door)
        assert self._doors is not None
        self._doors.setdefault(task.door, []).append(task.task_id)
        self.tasks[task.task_id] = task
        self.created[task.task_id] = None
        self.events.append(event)
        if task.assignee:
            self.load[task.assignee] = self.load.get(task.assignee, 0) + 1

    def change(self, moved: tuple[Task, TaskEvent]) -> None:
        """Put a changed task back."""
        task, event = moved
        self.tasks[task.task_id] = task
        self.events.append(event)
        if task.task_id not in self.created:
            self.touched[task.task_id] = None

    def link(self, link: Link) -> None:
        """Note which task an alert led to."""
        self.links[link.alert_id] = link
        self.linked[link.alert_id] = None

    def hold(self, held: Held) -> None:
        """Note what was held back, or what became of it."""
        self.held[held.alert_id] = held
        self.held_touched[held.alert_id] = None
