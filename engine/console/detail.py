"""What an alert's page adds: the ledger of evidence, the time line, the provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.console.context import Console
from engine.console.schemas import (
    InputHash,
    LadderStep,
    Ledger,
    LedgerEntry,
    Provenance,
    Text,
    TimelineEntry,
)
from engine.console.views import Views, when
from engine.hours import ns_of
from engine.outcomes import KINDS
from engine.tasks import Task, TaskEvent
from rules.alerts import AlertChange, stamp

_LEDGER = "ledger_"
ENTRIES: Mapping[str, tuple[str, str]] = {
    "prior": ("起点：多数厂区确已停产", "Prior: most plants are really closed"),
    "level": ("负荷水平，对照待机", "Level of the load, against standby"),
    "time": ("时段，对照停产前", "Time of day, against before the order"),
    "duration": ("持续时长", "How long it lasts"),
    "memory": ("此前的可疑夜晚", "Suspicious nights before"),
    "vehicles": ("危化、货运车辆进出", "Hazmat and goods vehicles"),
    "complaints": ("投诉", "Complaints"),
    "water": ("用水", "Water"),
    "lighting": ("良性：夜间照明", "Benign: lights at night"),
    "standby": ("良性：待机波动", "Benign: standby varies"),
    "tenant": ("良性：同表租户", "Benign: a tenant on the meter"),
    "cooling": ("良性：制冷", "Benign: cooling"),
}
SIGNALS: Mapping[str, tuple[str, str]] = {
    "inactivity": ("没有生活迹象", "No sign of life"),
    "excess": ("用量没有停顿", "Use without a pause"),
    "production": ("生产对待机", "Production against standby"),
    "daytime_load": ("白天出现新的负荷", "A new load by day"),
    "adjudicate": ("一片表计同时静默", "Meters of an area silent together"),
    "surge": ("次数高于往常", "More than usual"),
    "repeat": ("同一地址反复发生", "The same again at one address"),
    "occupancy": ("用量与活动时段高于往常", "Use and active hours above what is usual"),
    "occupied": ("空置房里像有人住", "A vacant home is used as if lived in"),
    "vacated": ("连日没有居住迹象", "No sign of anybody living there for days"),
    "fade": ("用电逐步走低", "The load sinks"),
    "decline": ("生活活动逐周减少", "Activity sinks week by week"),
    "nights": ("昼夜颠倒", "Days and nights trade places"),
    "seasonal": ("偏离同一时段的往常", "Away from what is usual at that hour"),
    "limit": ("超过限值", "Beyond the limit"),
    "changepoint": ("水平突然变化", "A sudden change of level"),
    "shift": ("水平持续偏移", "A lasting change of level"),
    "profile": ("一天的形状变了", "The day has another shape"),
    "auto": ("多种方法一致认为异常", "Several methods agree"),
}
STEP_TEXTS: Mapping[str, tuple[str, str]] = {
    "sign": ("签收时限", "Limit: signed for"),
    "contact": ("联系时限", "Limit: contact"),
    "door": ("到门时限", "Limit: at the door"),
    "report": ("上报时限", "Limit: reported"),
    "close": ("办结时限", "Limit: closed"),
}
ACTIONS: Mapping[str, tuple[str, str]] = {
    "call": ("先打电话", "Calls first"),
    "dispatch": ("派单", "Dispatched"),
    "sign": ("签收", "Signed for"),
    "contact": ("联系", "Contact"),
    "arrive": ("到门口", "At the door"),
    "report": ("上报结果", "Reported"),
    "close": ("办结", "Closed"),
    "reject": ("退回补充", "Sent back"),
    "reopen": ("重新办理", "Taken up again"),
    "escalate": ("升级", "Escalated"),
    "reassign": ("改派", "Reassigned"),
    "cancel": ("撤销", "Called off"),
    "note": ("备注", "Note"),
}
CALLED: Mapping[str, tuple[str, str]] = {
    "resident": ("致电本人", "Calling the resident"),
    "family": ("致电家属", "Calling the family"),
}
NOTES: Mapping[str, tuple[str, str]] = {
    "yellow_mark": ("黄牌：时限已过 80%", "Yellow mark: 80 % of the limit gone"),
    "red_mark": ("红牌：已超时", "Red mark: overdue"),
    "joined": ("又一件预警并入", "Another alert joined"),
    "level_raised": ("等级上调", "Level raised"),
    "alert_changed": ("预警有变化", "The alert changed"),
    "alert_resolved": ("预警已解除", "The alert has resolved"),
    "alert_cancelled": ("预警已撤销", "The alert was called off"),
    "supervised": ("督办", "Supervised"),
    "whistled": ("吹哨，请部门到场", "Departments called in"),
    "department_answered": ("部门已报到", "A department reported"),
    "photo": ("添加照片", "Photo added"),
}
LADDER: Mapping[str, tuple[str, str]] = {
    "stand_in": ("副岗", "stand-in"),
    "grid_leader": ("网格长", "grid leader"),
    "street": ("街道", "street"),
    "department": ("部门", "departments"),
}


def text_of(words: Mapping[str, tuple[str, str]], name: str) -> Text:
    """Return a known word in both languages, or the name itself."""
    zh, en = words.get(name, (name, name))
    return Text(zh=zh, en=en)


def ledger(change: AlertChange) -> Ledger:
    """Return the evidence of an alert as entries that add up, to one decimal as printed."""
    parts = {
        name.removeprefix(_LEDGER): value
        for name, value in change.facts.items()
        if name.startswith(_LEDGER) and isinstance(value, int | float)
    }
    rows: list[tuple[str, Text, float | None]]
    if parts:
        order = [*ENTRIES, *sorted(parts.keys() - ENTRIES.keys())]
        rows = [(n, text_of(ENTRIES, n), float(parts[n])) for n in order if parts.get(n)]
    else:
        rows = [
            (
                str(s.get("detector", s.get("name", ""))),
                text_of(SIGNALS, str(s.get("detector", ""))),
                s.get("evidence"),
            )
            for s in change.signals
        ]
    total = change.evidence
    counted = [w for _, _, w in rows if w is not None]
    if total is not None and counted and abs(sum(counted) - total) > 0.05:
        rows.append(("other", Text(zh="其他", en="Other"), total - sum(counted)))
    weights = _add_up([w for _, _, w in rows], total)
    entries, running = [], 0.0
    for (signal, text, _), weight in zip(rows, weights, strict=True):
        if weight is not None:
            running = round(running + weight, 1)
        entries.append(
            LedgerEntry(
                signal=signal,
                text=text,
                weight=weight,
                running=None if weight is None else running,
                counted=weight is not None,
            )
        )
    return Ledger(
        entries=entries,
        total=None if total is None else round(total, 1),
        line=_line(change),
        p_value=change.p_value,
        budget=change.budget,
    )


def _add_up(weights: Sequence[float | None], total: float | None) -> list[float | None]:
    """Round to one decimal so that the sum is the rounded total (largest remainders).

    >>> _add_up([0.26, 0.26, None], 0.52)
    [0.2, 0.3, None]
    """
    tenths = [None if w is None else round(w * 10) for w in weights]
    known = [i for i, v in enumerate(tenths) if v is not None]
    if total is not None and known:
        off = round(total * 10) - sum(tenths[i] or 0 for i in known)
        step = 1 if off > 0 else -1
        by_error = sorted(
            known, key=lambda i: -step * ((weights[i] or 0.0) * 10 - (tenths[i] or 0))
        )
        for n in range(abs(off)):
            i = by_error[n % len(by_error)]
            tenths[i] = (tenths[i] or 0) + step
    return [None if v is None else v / 10 for v in tenths]


def _line(change: AlertChange) -> float | None:
    """Return the line of evidence that the budget asked for, where the budget sets a line."""
    price = change.facts.get("price")
    names = [str(s.get("detector", "")) for s in change.signals]
    if not isinstance(price, Mapping) or len(names) != 1 or names[0] == "inactivity":
        return None  # of a silence the budget prices the moment, not a line
    import detectors.catalogue  # noqa: F401  makes all detectors known
    from detectors.base import lookup

    try:
        grid = lookup(names[0]).grid
    except (KeyError, ValueError, AttributeError):
        return None
    index = int(price.get("index", -1))
    return round(float(grid[index]), 1) if 0 <= index < len(grid) else None


# -- the time line --------------------------------------------------------------------------------


_OF_ALERT = ("level_raised", "alert_changed", "alert_resolved", "alert_cancelled")


def timeline(
    views: Views,
    changes: Sequence[AlertChange],
    task: Task | None,
    history: Sequence[TaskEvent],
) -> list[TimelineEntry]:
    """Return what happened, what is now, and what is to come."""
    first = changes[0]
    past = [
        TimelineEntry(
            at=first.onset, state="past", what="onset", text=Text(zh="开始", en="It began")
        )
    ]
    words = {
        "firing": ("发出预警", "Raised"),
        "resolved": ("预警解除", "Resolved"),
        "cancelled": ("预警撤销", "Called off"),
    }
    past += [
        TimelineEntry(at=c.at, state="past", what=str(c.state), text=_changed(words, before, c))
        for before, c in zip([None, *changes], changes, strict=False)
    ]
    past += [
        _happened(views, event)
        for event in history
        # What the alert itself did is told above.
        if event.action != "note" or (event.why and event.why not in _OF_ALERT)
    ]
    past.sort(key=lambda e: ns_of(e.at) if e.at else 0)
    return [*past, *_to_come(views, task)]


_LEVELS: Mapping[str, tuple[str, str]] = {
    "red": ("红色", "red"),
    "orange": ("橙色", "orange"),
    "yellow": ("黄色", "yellow"),
    "blue": ("蓝色", "blue"),
}


def _changed(
    words: Mapping[str, tuple[str, str]], before: AlertChange | None, change: AlertChange
) -> Text:
    """Say what a change of an alert is: raised, to another level, over."""
    level = text_of(_LEVELS, str(change.level))
    if str(change.state) != "firing":
        return text_of(words, str(change.state))
    if before is None or str(before.state) != "firing":
        return Text(zh=f"发出预警，{level.zh}", en=f"Raised, {level.en}")
    if before.level != change.level:
        return Text(zh=f"预警升为{level.zh}", en=f"The alert is {level.en} now")
    return text_of(NOTES, "alert_changed")


_PASSED_ON = ("dispatch", "escalate", "reassign")
_RESULTS: Mapping[str, tuple[str, str]] = {
    "reached": ("已接通", "reached"),
    "no_answer": ("未接", "no answer"),
    "busy": ("占线", "busy"),
    "wrong_number": ("号码不对", "wrong number"),
    "message_sent": ("短信已发", "message sent"),
    "safe": ("确认平安", "all is well"),
}
_WHOM: Mapping[str, tuple[str, str]] = {
    "resident": ("本人", "resident"),
    "family": ("家属", "family"),
}


def _more(views: Views, event: TaskEvent) -> Text | None:
    """Return what a line of a task's history adds: to whom, with what result, what was found."""
    detail = msgspec.json.decode(event.detail)
    if event.action in _PASSED_ON:
        label = views.console.worker_label(detail.get("assignee", detail.get("to")))
        queue = text_of(LADDER, str(detail.get("queue", "")))
        return label or (queue if queue.zh else None)
    if event.action == "contact":
        whom, result = (
            text_of(_WHOM, detail.get("who", "")),
            text_of(_RESULTS, detail.get("result", "")),
        )
        return Text(zh=f"{whom.zh}{result.zh}", en=f"{whom.en}, {result.en}")
    if event.action == "report" and not views.who.wall:
        kind = KINDS.get(str(detail.get("outcome", "")))
        return None if kind is None else Text(zh=kind.zh, en=kind.en)
    if event.action in ("sign", "arrive"):
        return views.console.worker_label(event.by) if event.by in views.console.workers else None
    return None


def _happened(views: Views, event: TaskEvent) -> TimelineEntry:
    text = text_of(NOTES if event.action == "note" and event.why in NOTES else ACTIONS,
                   event.why if event.action == "note" and event.why in NOTES else event.action)  # fmt: skip
    if event.action == "call":
        who = str(msgspec.json.decode(event.detail).get("who", "call"))
        text = text_of({**ACTIONS, **CALLED}, who)
    more = _more(views, event)
    if more is not None:
        text = Text(zh=f"{text.zh}：{more.zh}", en=f"{text.en}: {more.en}")
    label = views.console.worker_label(event.by) if event.by in views.console.workers else None
    mark = {"yellow_mark": "yellow", "red_mark": "red"}.get(event.why, "")
    return TimelineEntry(
        at=stamp(event.at_ns),
        state="past",
        what=event.action,
        text=text,
        by=label.zh if label else event.by,
        mark=mark,
    )


def _to_come(views: Views, task: Task | None) -> list[TimelineEntry]:
    if task is None or not task.open:
        return []
    now = TimelineEntry(
        at=stamp(views.now_ns), state="now", what="now", text=Text(zh="现在", en="Now")
    )
    coming = [
        TimelineEntry(
            at=limit.at,
            state="next",
            what=limit.step,
            text=text_of(STEP_TEXTS, limit.step),
            mark=limit.mark,
        )
        for limit in views.limits(task)
        # What has passed unkept is told by its red mark.
        if limit.done_at is None and ns_of(limit.at) > views.now_ns
    ]
    coming += _calls_to_come(views, task)
    return [now, *sorted(coming, key=lambda e: ns_of(e.at) if e.at else 0)]


def _calls_to_come(views: Views, task: Task) -> list[TimelineEntry]:
    """Say whose turn is next, and when somebody is sent if nobody answers."""
    at_ns = task.escalate_ns
    if not task.calling or at_ns is None:
        return []
    desk = views.console.store.desk
    found = []
    steps = desk.calls(task.rule, task.level, task.subject_id)
    for step in steps[task.ladder_step + 1 :]:
        text = text_of({**ACTIONS, **CALLED}, step.who)
        found.append(TimelineEntry(at=stamp(at_ns), state="next", what="call", text=text))
        at_ns = desk.wait_ns(task.rule, task.level, at_ns, step.wait_s)
    sends = Text(zh="仍无人应答则派人", en="Somebody is sent unless a call settles it")
    return [*found, TimelineEntry(at=stamp(at_ns), state="next", what="dispatch", text=sends)]


def ladder(console: Console, task: Task) -> list[LadderStep]:
    """Return who takes over when nobody signs, and when."""
    desk = console.store.desk
    steps = []
    at_ns = task.escalate_ns
    for i, step in enumerate(desk.ladder(task.rule, task.level)):
        taken = i < task.ladder_step
        if not taken and i > task.ladder_step and at_ns is not None:
            at_ns = desk.next_climb(task.rule, task.level, i, at_ns)
        steps.append(
            LadderStep(
                to=step.to,
                at=when(None if taken or not task.unsigned else at_ns),
                taken=taken,
            )
        )
    return steps


# -- provenance -----------------------------------------------------------------------------------


def provenance(console: Console, changes: Sequence[AlertChange], shard: str) -> Provenance:
    """Return where an alert comes from, and how to prove it."""
    last = changes[-1]
    row = console.store.shard(shard)
    runs = console.store.books.runs()
    inputs: list[InputHash] = []
    for _, _, manifest in runs[-1:]:
        inputs = [InputHash(file=str(f), sha256=str(h)) for f, h in manifest.get("inputs", ())]
    return Provenance(
        rule=last.rule,
        rule_version=last.rule_version,
        shard=shard,
        offset=row.offset if row else 0,
        inputs=inputs,
        audit=f"gridwarden rules explain {last.alert_id}",
        body_hash=hashlib.sha256(last.line()).hexdigest(),
    )


def facts_of(change: AlertChange) -> dict[str, Any]:
    """Return the facts as plain JSON."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(change.facts))
    found.pop("counterfactual", None)
    return found
