"""From changes of alerts to tasks: who is sent where, and what is told to whom is there already.

Pure. The store reads a :class:`~engine.book.Book` (what is known of the doors concerned),
:func:`take`, :func:`release` and :func:`climb` write into it as the :class:`~engine.desk.Desk`
says, and the store saves what changed, all in the transaction that saves the alerts. So a task
exists once, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine import calls
from engine.book import Book, Held, Link
from engine.desk import DEFAULT_ROUTE, Desk
from engine.hours import NS, ns_of
from engine.queue import Gate, Verdict
from engine.tasks import (
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
from rules.alerts import AlertChange, State

COLLECTING = "collecting"
"""Why an alert is held: others at its door may still join (``group.wait``)."""

# -- changes of alerts ----------------------------------------------------------------------


def take(desk: Desk, book: Book, changes: Sequence[AlertChange]) -> None:
    """Bring a book up to date with changes, in their order."""
    for change in changes:
        if not desk.sends(change):
            continue
        at_ns = ns_of(change.at)
        send_due(desk, book, at_ns)
        if change.state == State.FIRING:
            _firing(desk, book, change, at_ns)
        else:
            _ended(book, change, at_ns)


def _firing(desk: Desk, book: Book, change: AlertChange, at_ns: int) -> None:
    link = book.links.get(change.alert_id)
    if link is None:
        _want(desk, book, change, at_ns, count=0)
        return
    task = book.tasks[link.task_id]
    if more_urgent(change.level, task.level):
        if task.open:
            book.change(_raise(desk, task, change, at_ns, "level_raised"))
            calls.hurry(desk, book, task.task_id, at_ns)
        else:
            # Somebody was there, and it has become worse since.
            _want(desk, book, change, at_ns, count=link.count + 1)
    elif task.open:
        note = {"alert_id": change.alert_id, "level": change.level}
        book.change(_note(task, at_ns, "alert_changed", note))


def send_due(desk: Desk, book: Book, now_ns: int) -> int:
    """Send whom silences that have ended, or collecting that is over, kept at home; return how many."""
    due = book.due(now_ns)
    for held in due:
        change = book.newest[held.alert_id]
        at_ns = max(held.due_ns or 0, ns_of(change.at))
        link = book.links.get(held.alert_id)
        # As if it came only now; what the queue's capacity says of it, it says now.
        del book.held[held.alert_id]
        _want(desk, book, change, at_ns, link.count + 1 if link else 0, ripe=True)
        if held.alert_id not in book.held:
            book.hold(held)
            _unhold(book, held.alert_id, "released", at_ns)
    return len(due)


def _hold_until(desk: Desk, book: Book, change: AlertChange, at_ns: int) -> bool:
    """Hold an alert that is silenced, or that others may still join; return whether it was."""
    silenced = change.facts.get("silenced")
    if silenced is not None and desk.hard(change.rule, change.level):
        return False  # danger to life is never silenced
    if silenced is not None:
        reason, due_ns = f"silenced:{silenced['silence_id']}", ns_of(silenced["until"])
    else:
        wait_ns = desk.collect_ns(change)
        if not wait_ns:
            return False
        door = desk.door(change)
        others = [
            held.due_ns
            for held in book.held.values()
            if held.status == "waiting"
            and held.reason == COLLECTING
            and held.due_ns is not None
            and held.due_ns > at_ns
            and desk.door_of(held) == door
        ]
        reason, due_ns = COLLECTING, min(others, default=at_ns + wait_ns)
    item = _held(desk, change, at_ns, book.held.get(change.alert_id))
    book.hold(msgspec.structs.replace(item, reason=reason, status="waiting", due_ns=due_ns))
    book.newest[change.alert_id] = change
    return True


def _want(
    desk: Desk, book: Book, change: AlertChange, at_ns: int, count: int, *, ripe: bool = False
) -> None:
    """Let an alert join a task at its door, pass the queue, or be held back.

    `ripe` ones were held until now, and are not held for the same again.
    """
    if not ripe and "silenced" in change.facts and _hold_until(desk, book, change, at_ns):
        return
    joined = _join(desk, book, change, at_ns, count)
    if joined:
        _unhold(book, change.alert_id, "released", at_ns)
        return
    if not ripe and _hold_until(desk, book, change, at_ns):
        return
    before = book.held.get(change.alert_id)
    if before is None and desk.queue.visits_per_day is None:
        _open(desk, book, change, at_ns, count)
        return
    item = _held(desk, change, at_ns, before)
    gate = _gate(book, item.grid)
    hard = desk.hard(change.rule, change.level)
    if before is None or hard or _more(item, before):
        verdict = gate.admit(item.waiting(hard), at_ns, desk.queue, desk.zone)
        book.gates_touched[item.grid] = None
    else:
        verdict = Verdict(send=False, reason=before.reason, p=before.p, line=before.line)
    if verdict.send:
        _open(desk, book, change, at_ns, count, verdict.kind)
        if verdict.reason == "check":
            book.hold(_with(item, verdict, "checked", at_ns))
        else:
            _unhold(book, change.alert_id, "released", at_ns)
    else:
        book.hold(_with(item, verdict, "waiting", None))


def _join(desk: Desk, book: Book, change: AlertChange, at_ns: int, count: int) -> bool:
    """Let an alert join a task at its door, where somebody is on the way or has just been.

    That is: a task still open; one reported after this alert's onset; or one of the same rule
    within its ``dedupe.within``, at this door or elsewhere in the place that ``dedupe.by`` names,
    except for hard danger: what began after somebody looked is nothing that anybody has seen.
    """
    rule = desk.rule(change.rule)
    hard = desk.hard(change.rule, change.level)
    within_ns = rule.dedupe.within_s * NS if rule and not hard else 0
    onset_ns = ns_of(change.onset)
    door, area = desk.door(change), desk.dedupe_area(change)
    near = [] if area is None else book.within(change.rule, area, at_ns - within_ns)
    for task in [*book.at_door(door), *(t for t in near if t.door != door)]:
        age_ns = at_ns - task.opened_ns
        on_the_way = task.open and task.state != TaskState.REPORTED and task.door == door
        reported_ns = task.reported_ns if task.door == door else None
        seen = reported_ns is not None and onset_ns <= reported_ns
        same = task.rule == change.rule and age_ns < within_ns
        worse = more_urgent(change.level, task.level)
        if on_the_way or (not worse and (seen or same) and task.state != TaskState.CANCELLED):
            book.change(_raise(desk, task, change, at_ns, "joined"))
            calls.hurry(desk, book, task.task_id, at_ns)
            book.link(Link(change.alert_id, task.task_id, count, change.state))
            return True
    return False


def _raise(
    desk: Desk, task: Task, change: AlertChange, at_ns: int, why: str
) -> tuple[Task, TaskEvent]:
    """Note a change at a task; a more urgent one tightens its limits and tells its reason."""
    changes: dict[str, object] = {}
    if why == "joined":
        changes["alerts"] = task.alerts + 1
    if task.open and more_urgent(change.level, task.level):
        sooner = desk.deadlines(change.rule, change.level, at_ns)
        changes |= {name: _sooner(getattr(task, name), at) for name, at in sooner.items()}
        if task.unsigned:
            climb = desk.next_climb(change.rule, change.level, task.ladder_step, at_ns)
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
    desk: Desk, book: Book, change: AlertChange, at_ns: int, count: int, kind: str = "visit"
) -> None:
    rule = desk.rule(change.rule)
    route = (rule.route if rule else None) or DEFAULT_ROUTE
    steps = desk.calls(change.rule, change.level, change.subject_id)
    queue, worker = route.queue, None
    if not steps:
        queue, worker = desk.staff.assign(route.queue, change.place, at_ns, book.load)
    due = desk.deadlines(change.rule, change.level, at_ns)
    task = Task(
        task_id=task_id(change.alert_id, count),
        alert_id=change.alert_id,
        door=desk.door(change),
        subject_id=change.subject_id,
        place=change.place,
        grid=desk.grid(change.place),
        rule=change.rule,
        level=str(change.level),
        kind=kind,
        queue=queue,
        assignee=worker,
        opened_ns=at_ns,
        updated_ns=at_ns,
        reason_zh=change.reason.get("zh", ""),
        reason_en=change.reason.get("en", ""),
        contact_first=compact([{"who": c.who, "wait_s": c.wait_s} for c in route.contact_first]),
        escalate_ns=desk.next_climb(change.rule, change.level, 0, at_ns),
        sign_by_ns=due["sign_by_ns"],
        contact_by_ns=due["contact_by_ns"],
        door_by_ns=due["door_by_ns"],
        report_by_ns=due["report_by_ns"],
        close_by_ns=due["close_by_ns"],
    )
    detail: dict[str, object] = {"alert_id": change.alert_id, "queue": queue, "assignee": worker}
    if steps:
        turn = calls.first_turn(desk, change.rule, change.level, steps, at_ns)
        task = msgspec.structs.replace(task, **turn)
        detail["who"] = steps[0].who
    event = TaskEvent(
        task_id=task.task_id,
        seq=0,
        at_ns=at_ns,
        action=str(Action.CALL if steps else Action.DISPATCH),
        state_from=None,
        state_to=task.state,
        by=SYSTEM,
        why=change.rule,
        detail=compact(detail),
    )
    book.open_task(task, event)
    book.link(Link(change.alert_id, task.task_id, count, change.state))


def _ended(book: Book, change: AlertChange, at_ns: int) -> None:
    """Drop a held alert that is resolved or cancelled; tell its task, or call it off.

    It is called off while nobody signed and nothing is left of it: all its alerts were taken back,
    or, as long as nobody is sent, are over.
    """
    _unhold(book, change.alert_id, "gone", at_ns)
    link = book.links.get(change.alert_id)
    if link is None:
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
    over = counts["alerts_cancelled"] + (counts["alerts_resolved"] if task.calling else 0)
    off = task.untaken and over == task.alerts
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
    desk: Desk, book: Book, grid: str, changes: Mapping[str, AlertChange], now_ns: int
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
        h.waiting(desk.hard(h.rule, h.level))
        for h in book.held.values()
        if h.grid == grid and h.status == "waiting" and h.reason == "capacity"
    ]
    sent = _gate(book, grid).release(waiting, now_ns, desk.queue, desk.zone)
    book.gates_touched[grid] = None
    for item in sent:
        change = changes[item.alert_id]
        link = book.links.get(item.alert_id)
        count = link.count + 1 if link else 0
        if not _join(desk, book, change, now_ns, count):
            _open(desk, book, change, now_ns, count)
        _unhold(book, item.alert_id, "released", now_ns)
    return len(sent)


def climb(desk: Desk, book: Book, task: Task, now_ns: int) -> None:
    """Take the step of a task that is due: the next call, or whoever is next to be asked to sign.

    A task that nobody signed goes to the first step of the ladder with somebody new.
    """
    if task.calling:
        calls.turn_over(desk, book, task, now_ns)
        return
    step, queue, worker = next_rung(desk, task, now_ns)
    # Counted from when this step was due; after a standstill from now, so that whoever has it
    # gets the time meant for them.
    following = desk.next_climb(task.rule, task.level, step, task.escalate_ns or now_ns)
    if following is not None and following <= now_ns:
        following = desk.next_climb(task.rule, task.level, step, now_ns)
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


def next_rung(desk: Desk, task: Task, now_ns: int) -> tuple[int, str, str | None]:
    """Return (step, queue, worker) of the first step of the ladder with somebody new."""
    ladder = desk.ladder(task.rule, task.level)
    step = task.ladder_step
    queue, worker = task.queue, task.assignee
    while step < len(ladder):
        queue, worker = desk.staff.climb(ladder[step].to, task.assignee, task.place, now_ns)
        step += 1
        if (queue, worker) != (task.queue, task.assignee):
            break
    return step, queue, worker


# -- small parts ----------------------------------------------------------------------------


def _gate(book: Book, grid: str) -> Gate:
    return book.gates.setdefault(grid, Gate(grid))


def _held(desk: Desk, change: AlertChange, at_ns: int, before: Held | None) -> Held:
    return Held(
        alert_id=change.alert_id,
        grid=desk.grid(change.place),
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


def _unhold(book: Book, alert_id: str, status: str, at_ns: int) -> None:
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
