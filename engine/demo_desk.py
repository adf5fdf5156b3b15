"""The demo's people: accounts, and gridworkers who have worked off the past.

What they "found" comes from the simulated town's own truth, so that rates and delays of the demo
are those of its detectors. Random draws are keyed, so that every demo shows the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from engine.outcomes import OutcomeError, Report
from engine.store import Store, TaskError
from engine.store import schema as t
from engine.store.accounts import make_password
from engine.tasks import Task

MINUTE = 60 * 1_000_000_000
ROLES: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("command", ("command",), False),
    ("wall", ("command",), True),
    ("dispatcher", ("dispatcher",), False),
    ("data", ("data",), False),
    ("admin", ("admin",), False),
    ("auditor", ("auditor",), False),
)
"""Demo accounts beside the gridworkers': name, roles, wall."""
_FOUND = {
    "illness": "rescued",
    "collapse": "rescued",
    "running_tap": "rescued",
    "stuck_appliance": "rescued",
    "holiday": "away",
    "move_out": "away",
    "power_cut": "power_cut",
    "dead_concentrator": "meter_fault",
    "meter_dead": "meter_fault",
    "meter_stuck": "meter_fault",
    "glitch": "meter_fault",
    "register_reset": "meter_fault",
    "covert_run": "confirmed_violation",
    "new_appliance": "new_appliance",
}


def add_accounts(store: Store, at_ns: int) -> list[tuple[str, str, str]]:
    """Make one account per role and one gridworker; return (name, roles, password)."""
    made = []
    for name, roles, wall in ROLES:
        password = make_password()
        store.accounts.add(
            name, roles=roles, scope=("",), password=password, wall=wall, by="demo", at_ns=at_ns
        )
        made.append((name, ", ".join(roles) + (" (wall)" if wall else ""), password))
    worker = _busiest(store)
    if worker is not None:
        password = make_password()
        store.accounts.add(
            "worker", roles=("gridworker",), scope=worker.grids, password=password,
            worker_id=worker.worker_id, by="demo", at_ns=at_ns, display=worker.worker_id,
        )  # fmt: skip
        made.append(("worker", f"gridworker {worker.worker_id}", password))
    return made


def _busiest(store: Store) -> Any:
    """Return the gridworker with most tasks, whose phone is the one to look at."""
    counts: dict[str, int] = {}
    for task in store.tasks.list(states=[str(s) for s in _ALL]):
        if task.assignee:
            counts[task.assignee] = counts.get(task.assignee, 0) + 1
    workers = [w for w in store.rosters.workers() if w.role == "gridworker"]
    return max(workers, key=lambda w: (counts.get(w.worker_id, 0), w.worker_id), default=None)


_ALL = ("calling", "dispatched", "signed", "handling", "reported", "closed", "escalated", "reassigned",
        "cancelled")  # fmt: skip


def _draw(task: Task, what: str) -> float:
    """Return a number in [0, 1) that is always the same for a task."""
    digest = hashlib.sha256(f"{what}\x1f{task.task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def _truth(path: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Return what really happened: subject or place → (from, until, kind)."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        start = _ns(row["from"])
        end = _ns(row["until"]) if row.get("until") else start
        for owner in (row.get("subject_id"), row.get("place")):
            if owner:
                found.setdefault(owner, []).append((start, end, row["kind"]))
    return found


def work_off(store: Store, truth: Path, until_ns: int) -> int:
    """Have the past's tasks signed for, visited, reported and closed; return how many."""
    known = _truth(truth)
    done = 0
    tasks = [x for x in store.tasks.list() if x.opened_ns < until_ns]
    for task in sorted(tasks, key=lambda x: x.opened_ns):
        kind = _kind(task, known)
        sent_ns = task.opened_ns
        if task.calling:
            task = _call(store, task, kind, until_ns)
            sent_ns = task.updated_ns
        if not task.open or _one(store, task, kind, sent_ns, until_ns):
            done += 1
    with store.database.write() as connection:
        # The past has gone by: what was reported of it does not go into the log now.
        connection.execute(delete(t.feedback).where(t.feedback.c.at_ns < until_ns))
    return done


def _kind(task: Task, known: dict[str, list[tuple[int, int, str]]]) -> str:
    owners: Sequence[str] = [task.subject_id] if task.subject_id else [task.place, task.grid]
    for owner in owners:
        for start, end, kind in known.get(owner, ()):
            if start - 6 * 60 * MINUTE <= task.opened_ns <= end + 6 * 60 * MINUTE:
                return _FOUND.get(kind, "safe_at_home")
    if task.subject_id is None:
        return "power_cut"
    return "refused" if _draw(task, "refused") < 0.05 else "safe_at_home"


def _call(store: Store, task: Task, kind: str, until_ns: int) -> Task:
    """Call before anybody is sent; return the task as it is then."""
    at_ns = task.updated_ns
    for who in ("resident", "family"):
        at_ns += int(MINUTE * (1 + 5 * _draw(task, f"call {who}")))
        if at_ns >= until_ns:
            break
        well = kind == "safe_at_home" and _draw(task, f"answer {who}") < 0.5
        result = "safe" if well else "no_answer"
        task = store.tasks.contact(
            task.task_id, who=who, result=result, by="dispatcher", at_ns=at_ns
        )
        if not task.calling:
            break
    return task


def _one(store: Store, task: Task, kind: str, sent_ns: int, until_ns: int) -> bool:
    limit_ns = (task.sign_by_ns or sent_ns + 60 * MINUTE) - sent_ns
    signed_ns = sent_ns + int(limit_ns * (0.05 + 1.1 * _draw(task, "sign") ** 2))
    door_ns = signed_ns + int(MINUTE * (8 + 30 * _draw(task, "door")))
    report_ns = door_ns + int(MINUTE * (3 + 10 * _draw(task, "report")))
    closed_ns = report_ns + int(MINUTE * (20 + 200 * _draw(task, "close")))
    if closed_ns >= until_ns or task.state != "dispatched":
        return False
    by = task.assignee or "worker"
    days = 1 + int(4 * _draw(task, "days"))
    report = Report(kind, until_ns=report_ns + days * 24 * 60 * MINUTE if kind == "away" else None)
    try:
        store.tasks.sign(task.task_id, by=by, at_ns=signed_ns)
        if task.subject_id is not None:
            store.tasks.contact(
                task.task_id, who="resident", result="no_answer", by=by,
                at_ns=(signed_ns + door_ns) // 2,
            )  # fmt: skip
        store.tasks.arrive(task.task_id, by=by, at_ns=door_ns)
        store.tasks.report(task.task_id, report, by=by, at_ns=report_ns)
        store.tasks.close(task.task_id, by="dispatcher", at_ns=closed_ns)
    except (TaskError, OutcomeError):
        return False
    return True


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
