"""Calls before a visit: who is called, for how long an answer is waited for, and what it does.

Pure. While a task is *calling* nobody is sent. Those of the rule's ``contact_first`` have their
turn one after another; the answer that all is well ends the task, a call for help or the last
turn sends somebody. A turn that runs out is a due time of the task (``escalate_ns``), kept in the
store and worked off by the clock of tasks, so it needs no new data and outlives any process.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.book import Book
from engine.desk import DEFAULT_ROUTE, Desk
from engine.tasks import SYSTEM, Action, Task, TaskError, TaskState, act
from rules.model import ContactStep

WELL = "safe"
"""Answer that all is well."""
HELP = "help"
"""Answer that help is needed."""
REACHED = ("reached", WELL, HELP)
NOBODY = ("no_answer", "wrong_number")
"""Answers after which waiting on brings nothing: it is the next one's turn."""
RESULTS = (*REACHED, *NOBODY, "busy", "message_sent")
"""What can come of a call; after ``reached``, ``busy``, ``message_sent`` the turn goes on."""


def first_turn(
    desk: Desk, rule: str, level: str, steps: Sequence[ContactStep], at_ns: int
) -> dict[str, object]:
    """Return the fields of a new task whose calls begin."""
    ends_ns = at_ns
    for step in steps:
        ends_ns = desk.wait_ns(rule, level, ends_ns, step.wait_s)
    return {
        "state": TaskState.CALLING,
        "assignee": None,
        "escalate_ns": desk.wait_ns(rule, level, at_ns, steps[0].wait_s),
        "sign_by_ns": desk.deadlines(rule, level, ends_ns)["sign_by_ns"],
    }


def turn_over(desk: Desk, book: Book, task: Task, now_ns: int) -> None:
    """Give the next one their turn; after the last one somebody is sent."""
    steps = desk.calls(task.rule, task.level, task.subject_id)
    turn = task.ladder_step + 1
    if turn >= len(steps):
        send(desk, book, task, now_ns, "nobody_reached")
        return
    # A turn begins when the one before was due to end; after a standstill now, so that whoever is
    # called has the time meant for them.
    since_ns = min(task.escalate_ns or now_ns, now_ns)
    until_ns = desk.wait_ns(task.rule, task.level, since_ns, steps[turn].wait_s)
    if until_ns <= now_ns:
        until_ns = desk.wait_ns(task.rule, task.level, now_ns, steps[turn].wait_s)
    book.change(
        act(
            task,
            Action.CALL,
            by=SYSTEM,
            at_ns=now_ns,
            why="not_reached",
            detail={"who": steps[turn].who, "before": steps[turn - 1].who},
            changes={"ladder_step": turn, "escalate_ns": until_ns},
        )
    )


def send(desk: Desk, book: Book, task: Task, now_ns: int, why: str) -> None:
    """Send somebody after all; the clock for signing starts."""
    rule = desk.rule(task.rule)
    route = (rule.route if rule else None) or DEFAULT_ROUTE
    queue, worker = desk.staff.assign(route.queue, task.place, now_ns, book.load)
    if worker is not None:
        book.load[worker] = book.load.get(worker, 0) + 1
    book.change(
        act(
            task,
            Action.DISPATCH,
            by=SYSTEM,
            at_ns=max(now_ns, task.opened_ns),
            why=why,
            detail={"alert_id": task.alert_id, "queue": queue, "assignee": worker},
            changes={
                "queue": queue,
                "assignee": worker,
                "ladder_step": 0,
                "sign_by_ns": desk.deadlines(task.rule, task.level, now_ns)["sign_by_ns"],
                "escalate_ns": desk.next_climb(task.rule, task.level, 0, now_ns),
            },
        )
    )


def hurry(desk: Desk, book: Book, task_id: str, now_ns: int) -> None:
    """Send somebody at once if a task's level has become one at which calls keep nobody."""
    task = book.tasks[task_id]
    if task.calling and not desk.calls(task.rule, task.level, task.subject_id):
        send(desk, book, task, now_ns, "level_raised")


def answer(
    desk: Desk, book: Book, task: Task, *, who: str, result: str, by: str, at_ns: int
) -> bool:
    """Note a call and what came of it; return whether it called the task off.

    Raises
    ------
    TaskError
        If the task is over, or nobody knows such a result.
    """
    if result not in RESULTS:
        raise TaskError(
            f"task {task.task_id}: result {result!r} is unknown; known: {', '.join(RESULTS)}"
        )
    # Somebody on the way has a limit for reaching people; a call that nobody took is their try.
    # Before that, only a voice counts.
    reached = not task.untaken or result in REACHED
    book.change(
        act(
            task,
            Action.CONTACT,
            by=by,
            at_ns=at_ns,
            detail={"who": who, "result": result},
            changes={} if reached else {"contacted_ns": task.contacted_ns},
        )
    )
    noted = book.tasks[task.task_id]
    if not task.untaken:
        return False  # whoever signed reports what was found
    if result == WELL:
        changes = {"escalate_ns": None, "outcome": "safe_at_home"}
        detail = {"who": who, "result": result}
        book.change(
            act(
                noted, Action.CANCEL, by=by, at_ns=at_ns, why="all_is_well", detail=detail,
                changes=changes,
            )
        )  # fmt: skip
        return True
    if noted.calling and result == HELP:
        send(desk, book, noted, at_ns, "asked_for_help")
    elif noted.calling and result in NOBODY and who == _turn(desk, noted):
        turn_over(desk, book, noted, at_ns)
    return False


def _turn(desk: Desk, task: Task) -> str | None:
    """Return whose turn it is."""
    steps = desk.calls(task.rule, task.level, task.subject_id)
    return steps[task.ladder_step].who if task.ladder_step < len(steps) else None
