"""Questions that several routes ask: summaries of many, who may look, what may be done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.console.schemas import AlertSummary, PersonLock, TaskSummary, Text
from engine.console.security import Who
from engine.console.views import Views
from engine.store import schema as t
from engine.store.people import PERSONAL
from engine.store.questions import SubjectRow
from engine.tasks import OPEN, TRANSITIONS, UNTAKEN, WAITING, WORKING, Action, Task, TaskError
from rules.alerts import AlertChange

_TEXTS = {
    "open": ("可以查看，每次查看都会留痕", "You may look; each look is logged"),
    "sign_first": ("签收后显示门牌、称呼和电话", "Door, name and phone show once you sign for it"),
    "holder_only": ("只有持单人能看姓名与门牌", "Only the holder of the task sees name and door"),
    "no_consent": ("未获同意，或同意已到期", "No consent, or it has expired"),
    "none": ("没有登记个人信息", "No personal data are kept"),
}
_MINE = {
    "contact": Action.CONTACT,
    "arrive": Action.ARRIVE,
    "report": Action.REPORT,
}
_DESK = {
    "close": Action.CLOSE,
    "reject": Action.REJECT,
    "reopen": Action.REOPEN,
    "cancel": Action.CANCEL,
    "reassign": Action.REASSIGN,
    "transfer": Action.ESCALATE,
}


def summaries(views: Views, found: Sequence[tuple[AlertChange, Task | None]]) -> list[AlertSummary]:
    """Return alerts as lists show them."""
    ids = [c.subject_id for c, _ in found if c.subject_id is not None]
    subjects = views.console.store.questions.subjects_of(ids)
    return [views.alert(c, task, subjects.get(c.subject_id or "")) for c, task in found]


def task_summaries(views: Views, tasks: Sequence[Task]) -> list[TaskSummary]:
    """Return tasks as lists show them."""
    ids = [task.subject_id for task in tasks if task.subject_id is not None]
    subjects = views.console.store.questions.subjects_of(ids)
    return [views.task(task, subjects.get(task.subject_id or "")) for task in tasks]


def subject_for(console: Console, who: Who, subject_id: str) -> SubjectRow:
    """Return a subject in scope, or raise 404."""
    row = console.store.questions.subjects_of([subject_id]).get(subject_id)
    if row is None:
        raise not_found(f"subject {subject_id!r}")
    who.must_see(row.place, f"subject {subject_id!r}")
    return row


def task_for(console: Console, who: Who, task_id: str) -> Task:
    """Return a task that the asker may see: in scope, or in hand.

    Raises
    ------
    ApiError
        404 otherwise.
    """
    try:
        task = console.store.tasks.get(task_id)
    except TaskError:
        raise not_found(f"task {task_id!r}") from None
    if task.assignee != who.actor:
        who.must_see(task.place, f"task {task_id!r}")
    return task


def person_lock(console: Console, who: Who, task: Task | None) -> PersonLock:
    """Tell whether the asker may look at personal data of a task's subject now."""
    state = "holder_only"
    if task is None or task.subject_id is None:
        state = "none"
    elif task.assignee == who.actor and who.has("gridworker") and task.open:
        state = "open"
        if task.state in UNTAKEN:
            state = "sign_first"
        elif task.state not in WORKING:
            state = "holder_only"  # reported: nothing is left to do at that door
        else:
            state = _consent(console, task.subject_id)
    zh, en = _TEXTS[state]
    return PersonLock(state=state, text=Text(zh=zh, en=en))


def _consent(console: Console, subject: str) -> str:
    c = t.people.c
    query = select(c.consent_until_ns).where(c.owner == subject, c.field.in_(PERSONAL))
    with console.store.database.read() as connection:
        ends = list(connection.execute(query).scalars())
    if not ends:
        return "none"
    now_ns = console.now_ns()
    return "open" if any(end is None or end > now_ns for end in ends) else "no_consent"


def must_hold(console: Console, who: Who, task: Task) -> None:
    """Raise 403 unless the asker holds the task, and has signed for it.

    Raises
    ------
    ApiError
        403 with why.
    """
    lock = person_lock(console, who, task)
    if lock.state != "open":
        code = lock.state if lock.state in ("sign_first", "no_consent") else "holder_only"
        if lock.state == "none":
            raise not_found("no personal data are kept of this subject")
        raise ApiError(code)


def actions(who: Who, task: Task) -> list[str]:
    """Return the operations that the asker may call on a task as it stands."""

    def fits(action: Action) -> bool:
        return task.state in TRANSITIONS[action]

    found: list[str] = []
    if who.has("gridworker"):
        if fits(Action.SIGN):
            found.append("sign")
        if task.assignee == who.actor:
            if task.state not in UNTAKEN:
                found += [name for name, action in _MINE.items() if fits(action)]
            if task.state in WAITING | WORKING:
                found.append("pass_on")
    if who.has("dispatcher"):
        found += [name for name, action in _DESK.items() if fits(action)]
        if fits(Action.CONTACT):
            found.append("contact")
    if who.has("dispatcher", "command") and task.state in OPEN:
        found += ["whistle", "supervise"]
        if fits(Action.ESCALATE):
            found.append("escalate")
    return sorted(set(found))


def narrow(who: Who, place: str) -> tuple[str, ...]:
    """Return the scope, narrowed to a place."""
    if not place:
        return who.scope
    if who.sees(place):
        return (place,)
    inside = tuple(code for code in who.scope if code.startswith(place))
    if not inside:
        raise not_found(f"place {place!r}")
    return inside
