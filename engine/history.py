"""Who would have been sent where: a desk over past alerts, in memory.

Nobody signs for anything in the past, so a task is taken to be visited when its limit for the door
runs out (:data:`VISIT_S` after it was opened, where the rule has none), with nothing found that
would quiet what follows. Nobody answers the calls that come first, so these are the most visits
that the alerts can cause.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

from engine.book import Book
from engine.desk import Desk
from engine.dispatch import climb, send_due, take
from engine.hours import NS, local, ns_of
from engine.tasks import SYSTEM, Action, Task, act
from rules.alerts import AlertChange

VISIT_S = 4 * 3_600


class History:
    """Tasks of the past.

    Parameters
    ----------
    desk : Desk
        How alerts become tasks.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.book = Book()
        self.visits: Counter[tuple[str, str]] = Counter()
        """Tasks by who got them (worker, else grid) and local day."""
        self._due: list[tuple[int, str]] = []
        self._calls: list[tuple[int, str]] = []

    @property
    def held_back(self) -> int:
        """Alerts that wait, or waited in vain, for a visit."""
        return sum(h.status in ("waiting", "gone") for h in self.book.held.values())

    def follow(self, lines: Iterable[AlertChange]) -> None:
        """Take in all changes of alerts, in their order."""
        book = self.book
        for line in lines:
            at_ns = ns_of(line.at)
            self._advance(at_ns)
            if line.alert_id in book.newest:
                book.newest[line.alert_id] = line
            take(self.desk, book, [line])
            self._settle()
        send_due(self.desk, book, 2**62)
        self._settle()
        self._advance(2**62)

    def _settle(self) -> None:
        """Count the tasks for which somebody was sent; note when calls are over."""
        book = self.book
        for event in book.events:
            task = book.tasks[event.task_id]
            if event.action == Action.DISPATCH:
                self._sent(task, event.at_ns)
            if task.calling and event.action == Action.CALL:
                assert task.escalate_ns is not None
                heapq.heappush(self._calls, (task.escalate_ns, task.task_id))
        book.created.clear()
        book.touched.clear()
        book.events.clear()

    def _sent(self, task: Task, at_ns: int) -> None:
        who = task.assignee or task.grid or task.place
        self.visits[who, f"{local(at_ns, self.desk.zone):%Y-%m-%d}"] += 1
        door_ns = task.door_by_ns or task.opened_ns + VISIT_S * NS
        heapq.heappush(self._due, (max(door_ns, at_ns), task.task_id))

    def _advance(self, until_ns: int) -> None:
        """Let time pass: calls that nobody answers, and visits, in their order."""
        while self._calls and self._calls[0][0] <= until_ns:
            at_ns, task_id = heapq.heappop(self._calls)
            self._visit(at_ns)
            task = self.book.tasks[task_id]
            if task.calling and task.escalate_ns == at_ns:
                climb(self.desk, self.book, task, at_ns)
                self._settle()
        self._visit(until_ns)

    def _visit(self, until_ns: int) -> None:
        """Have all tasks visited whose time has come."""
        book = self.book
        while self._due and self._due[0][0] <= until_ns:
            at_ns, task_id = heapq.heappop(self._due)
            task = book.tasks[task_id]
            if not task.open:
                continue
            for action in (Action.SIGN, Action.REPORT, Action.CLOSE):
                book.change(act(book.tasks[task_id], action, by=SYSTEM, at_ns=at_ns))
            if task.assignee:
                book.load[task.assignee] -= 1
