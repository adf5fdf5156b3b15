"""The demo's people: accounts, and gridworkers who work their tasks off in event time.

What they "find" comes from the simulated town's own truth, so that rates and delays of the demo
are those of its detectors. Random draws are keyed, so that every demo shows the same. One
gridworker's tasks are left alone: that phone is in the hand of whoever watches the demo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import delete

from engine.outcomes import OutcomeError, Report
from engine.roster import GRIDWORKER, Roster, Worker
from engine.store import Store, TaskError
from engine.store import schema as t
from engine.store.accounts import make_password
from engine.tasks import OPEN, Action, Task, TaskState
from rules.model import BY_URGENCY

MINUTE = 60 * 1_000_000_000
DAY = 24 * 60 * MINUTE
DESK = "dispatcher"
ROLES: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("command", ("command",), False),
    ("wall", ("command",), True),
    (DESK, ("dispatcher",), False),
    ("data", ("data",), False),
    ("data2", ("data",), False),
    ("admin", ("admin",), False),
    ("auditor", ("auditor",), False),
)
"""Demo accounts beside the gridworker's: name, roles, wall. Two for data: proposals need two."""

_ELDERLY = ("elderly-",)
_SILENT = ("elderly-silence",)
_FOUND: Mapping[str, tuple[str, tuple[str, ...]]] = {
    # what really happened: what is found, for alerts of which rules
    "illness": ("rescued", _ELDERLY),
    "collapse": ("rescued", _ELDERLY),
    "running_tap": ("handled", ("elderly-excess", "water-leak")),
    "stuck_appliance": ("handled", ("elderly-excess",)),
    "new_appliance": ("new_appliance", ("elderly-excess",)),
    "visit": ("away", _SILENT),
    "holiday": ("away", _SILENT),
    "power_cut": ("power_cut", _SILENT),
    "dead_concentrator": ("meter_fault", ("elderly-", "rental-")),
    "meter_dead": ("meter_fault", ("elderly-", "rental-", "water-leak")),
    "meter_stuck": ("meter_fault", ("elderly-", "rental-", "water-leak")),
    "glitch": ("meter_fault", ("elderly-", "water-leak")),
    "register_reset": ("meter_fault", ("elderly-", "water-leak")),
    "move_out": ("handled", ("rental-vacant",)),
    "over_occupied": ("confirmed_violation", ("rental-over-occupied",)),
    "covert_run": ("confirmed_violation", ("closed-plant-",)),
    "fade": ("handled", ("firm-fading",)),
    "gate_surge": ("handled", ("traffic-gate-surge",)),
    "smoke": ("handled", ("air-quality",)),
    "repeat_complaint": ("handled", ("repeated-complaint",)),
    "dispute": ("handled", ("dispute-early-warning",)),
    "complaint_surge": ("handled", ("hotline-surge",)),
}
_AREAS = {"power_cut": "area-outage", "dead_concentrator": "dead-concentrator"}
"""What happened to an area: the rule that was right about it."""
_CALLS = ("non-police-call", "repeated-complaint", "dispute-early-warning")
"""Rules about what people told: mostly it is so."""


def add_staff(workers: Path, streets: Mapping[str, str], communities: Mapping[str, str]) -> None:
    """Add leaders, streets and a department to a workers file; they are there day and night."""
    rows = [(f"leader-{i:03d}", f"{name}网格长（模拟）", code, "grid_leader")
            for i, (code, name) in enumerate(sorted(communities.items()), 1)]  # fmt: skip
    rows += [(f"street-{i:03d}", f"{name}值班（模拟）", code, "street")
             for i, (code, name) in enumerate(sorted(streets.items()), 1)]  # fmt: skip
    county = min(streets)[:6]
    rows.append(("department-001", "区应急值班（模拟）", county, "department"))
    with workers.open("a", encoding="utf-8", newline="") as file:
        for worker, name, code, role in rows:
            file.write(f'"{worker}","{name}","{code}","","{role}","",""\n')


def add_accounts(
    store: Store, at_ns: int, worker: Worker | None = None
) -> list[tuple[str, str, str]]:
    """Make one account per role and one gridworker; return (name, roles, password)."""
    made = []
    for name, roles, wall in ROLES:
        password = make_password()
        store.accounts.add(
            name, roles=roles, scope=("",), password=password, wall=wall, by="demo", at_ns=at_ns
        )
        made.append((name, ", ".join(roles) + (" (wall)" if wall else ""), password))
    if worker is not None:
        password = make_password()
        store.accounts.add(
            "worker", roles=("gridworker",), scope=worker.grids, password=password,
            worker_id=worker.worker_id, by="demo", at_ns=at_ns, display=worker.worker_id,
        )  # fmt: skip
        made.append(("worker", f"gridworker {worker.worker_id}", password))
    return made


def viewers_worker(store: Store, now_ns: int) -> Worker | None:
    """Return the gridworker whose phone is the one to look at: where most presses by then."""
    tasks = [x for x in store.tasks.list() if x.opened_ns > now_ns - DAY]
    pressing = sorted(
        (x for x in tasks if x.alert_state == "firing" and x.rule.startswith(_ELDERLY)),
        key=lambda x: (-BY_URGENCY.index(x.level), x.opened_ns),
    )
    staff = Roster(store.rosters.workers())
    for task in [*pressing, *reversed(tasks)]:
        for name in staff.covering(GRIDWORKER, task.grid):
            return staff.workers[name]
    return next((w for w in staff.workers.values() if w.role == GRIDWORKER), None)


def _draw(task: Task, what: str) -> float:
    """Return a number in [0, 1) that is always the same for a task."""
    digest = hashlib.sha256(f"{what}\x1f{task.task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


class Happened(NamedTuple):
    """A line of the town's truth."""

    from_ns: int
    until_ns: int
    kind: str
    subject: str | None
    place: str

    def concerns(self, task: Task) -> bool:
        """Return whether an alert may come of it: while it lasts, or soon after."""
        if not self.from_ns <= task.opened_ns <= self.until_ns + 6 * 60 * MINUTE:
            return False
        if self.subject is not None and task.subject_id == self.subject:
            return True
        # What befalls an area befalls its homes; a place answers for what happened at it.
        area = self.subject is None or task.subject_id is None
        return area and bool(self.place) and task.place.startswith(self.place)


def read_truth(path: Path) -> list[Happened]:
    """Return what really happened."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        start = _ns(row["from"])
        end = _ns(row["until"]) if row.get("until") else start
        found.append(
            Happened(start, end, row["kind"], row.get("subject_id"), row.get("place") or "")
        )
    return found


def found_of(task: Task, truth: Sequence[Happened]) -> str:
    """Return what is found at a task's door: of all that explains the alert, what began last."""
    told = [
        (row.from_ns, _AREAS.get(row.kind) == task.rule, row.kind)
        for row in truth
        if task.rule == _AREAS.get(row.kind)
        or (row.kind in _FOUND and task.rule.startswith(_FOUND[row.kind][1]))
        if row.concerns(task)
    ]
    if told:
        _, area, kind = max(told)
        return "handled" if area else _FOUND[kind][0]
    chance = _draw(task, "found")
    if task.rule in _CALLS:
        return "handled" if chance < 0.7 else "duplicate" if chance < 0.85 else "wrong_address"
    return "refused" if chance < 0.05 else "safe_at_home"


class Colleagues:
    """Gridworkers who sign, visit, report, and the desk that closes, each at its moment.

    Parameters
    ----------
    store : Store
    truth : sequence of Happened
        What they find.
    but : Worker or None
        Whose tasks are left alone from `since_ns` on.
    since_ns : int
        Without a worker, all tasks from then on are left alone.
    """

    def __init__(
        self, store: Store, truth: Sequence[Happened], but: Worker | None, since_ns: int
    ) -> None:
        self.store = store
        self.truth = truth
        self.but = but
        self.since_ns = since_ns

    def turn(self, now_ns: int) -> int:
        """Do what is due by now; return how many tasks moved."""
        moved = 0
        for task in sorted(self.store.tasks.list(states=sorted(OPEN)), key=lambda x: x.opened_ns):
            if self.viewers(task):
                moved += self._keep(task, now_ns)
            else:
                moved += self._work(task, now_ns)
        return moved

    def _keep(self, task: Task, now_ns: int) -> bool:
        """Sign for the viewer at the last moment, so that nobody takes the task off that phone."""
        if self.but is None or not task.unsigned or task.assignee != self.but.worker_id:
            return False
        if task.escalate_ns is None or now_ns < task.escalate_ns - 3 * MINUTE:
            return False
        try:
            self.store.tasks.sign(task.task_id, by=self.but.worker_id, at_ns=now_ns)
        except TaskError:
            return False
        return True

    def viewers(self, task: Task) -> bool:
        """Return whether a task is for whoever watches to do."""
        if task.opened_ns < self.since_ns:
            return False
        if self.but is None:
            return True
        return task.assignee == self.but.worker_id or task.grid in self.but.grids

    def _work(self, task: Task, now_ns: int) -> bool:
        """Take a task as far as the time allows."""
        moved = False
        while task.open and (at_ns := self._due(task)) <= now_ns:
            before = task.seq
            try:
                task = self._step(task, max(at_ns, task.opened_ns))
            except (TaskError, OutcomeError):
                break
            if task.seq == before:
                break
            moved = True
        return moved

    def _due(self, task: Task) -> int:
        """Return when the next step of a task is taken."""
        if task.calling:
            return self._turn_ns(task) + int(MINUTE * (1 + 2 * _draw(task, f"call {task.seq}")))
        if task.unsigned:
            # Most within minutes, a few not at all: then the ladder finds somebody else.
            draw = _draw(task, f"sign {task.assignee}")
            limit = (task.sign_by_ns or task.opened_ns + 60 * MINUTE) - task.opened_ns
            return self._sent_ns(task) + min(int(limit * 1.05), int(MINUTE * (1.5 + 45 * draw**4)))
        if task.state == TaskState.REPORTED:
            return (task.reported_ns or 0) + int(MINUTE * (15 + 120 * _draw(task, "close")))
        if task.subject_id is not None and task.contacted_ns is None:
            return (task.signed_ns or 0) + int(MINUTE * (2 + 5 * _draw(task, "call")))
        if task.arrived_ns is None:
            since = task.contacted_ns or task.signed_ns or 0
            return since + int(MINUTE * (8 + 25 * _draw(task, "door")))
        return task.arrived_ns + int(MINUTE * (3 + 10 * _draw(task, "report")))

    def _turn_ns(self, task: Task) -> int:
        """Return when the turn of whoever is called now began."""
        steps = self.store.desk.calls(task.rule, task.level, task.subject_id)
        if task.escalate_ns is None or task.ladder_step >= len(steps):
            return task.updated_ns
        return max(task.opened_ns, task.escalate_ns - steps[task.ladder_step].wait_s * 10**9)

    def _sent_ns(self, task: Task) -> int:
        """Return when the holder was sent: before that people were called."""
        limits = self.store.desk.limits(task.rule, task.level)
        if task.sign_by_ns is None or limits.sign_s is None or limits.clock != "calendar":
            return task.opened_ns
        return max(task.opened_ns, task.sign_by_ns - limits.sign_s * 10**9)

    def _step(self, task: Task, at_ns: int) -> Task:
        tasks = self.store.tasks
        if task.calling:
            return self._call(task, at_ns)
        by = task.assignee or f"{task.queue}-001"
        if task.unsigned:
            return tasks.sign(task.task_id, by=by, at_ns=at_ns)
        if task.state == TaskState.REPORTED:
            draw = _draw(task, "satisfied")
            rating = {"satisfaction": 5 - int(4 * draw**2)} if draw < 0.6 else {}
            return tasks.act(task.task_id, Action.CLOSE, by=DESK, at_ns=at_ns, detail=rating)
        if task.subject_id is not None and task.contacted_ns is None:
            return tasks.contact(
                task.task_id, who="resident", result="no_answer", by=by, at_ns=at_ns
            )
        if task.arrived_ns is None:
            return tasks.arrive(task.task_id, by=by, at_ns=at_ns)
        kind = found_of(task, self.truth)
        days = 1 + int(4 * _draw(task, "days"))
        until_ns = at_ns + days * DAY if kind == "away" else None
        return tasks.report(task.task_id, Report(kind, until_ns=until_ns), by=by, at_ns=at_ns)

    def _call(self, task: Task, at_ns: int) -> Task:
        """Call whose turn it is; a good part of those who are well answer."""
        steps = self.store.desk.calls(task.rule, task.level, task.subject_id)
        who = steps[min(task.ladder_step, len(steps) - 1)].who if steps else "resident"
        well = found_of(task, self.truth) == "safe_at_home"
        result = "safe" if well and _draw(task, f"answer {who}") < 0.4 else "no_answer"
        return self.store.tasks.contact(task.task_id, who=who, result=result, by=DESK, at_ns=at_ns)


def work_off(colleagues: Colleagues, until_ns: int) -> int:
    """Have the past's tasks worked off as far as they had come by then; return how many moved."""
    store = colleagues.store
    moved = colleagues.turn(until_ns)
    with store.database.write() as connection:
        # The past has gone by: what was reported of it does not go into the log now.
        connection.execute(delete(t.feedback).where(t.feedback.c.at_ns < until_ns))
    if colleagues.but is not None:
        # The morning's shift begins: what the night left goes to the viewer's worker.
        for task in store.tasks.list(states=sorted(OPEN)):
            if task.unsigned and colleagues.viewers(task):
                store.tasks.reassign(
                    task.task_id, to=colleagues.but.worker_id, by=DESK, at_ns=until_ns,
                    why="早班接手 · day shift",
                )  # fmt: skip
    return moved


def add_people(store: Store, at_ns: int) -> int:
    """Give the simulated elderly invented names and doors; the contacts file has their phones."""
    names = "沈王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马"
    count = 0
    for row in store.questions.subjects(("",), kind="elderly_alone"):
        digest = hashlib.sha256(row.subject_id.encode()).digest()
        who = ("阿姨", "伯伯", "奶奶", "爷爷")[digest[1] % 4]
        door = f"{1 + digest[2] % 20} 栋 {1 + digest[3] % 4} 单元 {1 + digest[4] % 6}0{1 + digest[5] % 4}"
        values = {"name": f"{names[digest[0] % len(names)]}{who}（模拟）", "address": door}
        store.people.put(row.subject_id, values, by="demo", at_ns=at_ns, purpose="welfare checks")
        count += 1
    return count
