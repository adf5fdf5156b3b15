"""Figures of the board: counts, times, rates, each with its window, target and counts."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import case, func, select

from engine.console.boards import HourCount, Kpi
from engine.console.context import Console
from engine.console.schemas import Level, Text
from engine.store import schema as t
from engine.store.questions import within
from engine.tasks import Task, mark
from rules.alerts import stamp

NS = 1_000_000_000
HOUR_NS, DAY_NS = 3_600 * NS, 86_400 * NS
HOURS = 24
IN_TIME_TARGET, COMPLETE_TARGET = 0.92, 0.90


def quantile(values: Sequence[float], q: float) -> float | None:
    """Return a quantile (nearest rank), or None of nothing.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def hours(console: Console, scope: Sequence[str], now_ns: int) -> list[HourCount]:
    """Return new alerts of the last 24 hours by level."""
    a = t.alerts.c
    start = now_ns // HOUR_NS * HOUR_NS - (HOURS - 1) * HOUR_NS
    query = (
        select(((a.raised_ns - start) // HOUR_NS).label("hour"), a.level, func.count())
        .where(a.raised_ns >= start, a.raised_ns <= now_ns, within(a.place, scope))
        # By its name: PostgreSQL does not take two expressions with parameters for the same.
        .group_by("hour", a.level)
    )
    counts: list[dict[str, int]] = [{} for _ in range(HOURS)]
    with console.store.database.read() as connection:
        for hour, level, n in connection.execute(query):
            counts[min(int(hour), HOURS - 1)][level] = int(n)
    names: tuple[Level, ...] = ("red", "orange", "yellow", "blue")
    return [
        HourCount(hour=stamp(start + i * HOUR_NS), **{n: c.get(n, 0) for n in names})
        for i, c in enumerate(counts)
    ]


def _lives(console: Console, scope: Sequence[str], since_ns: int) -> list[Any]:
    """Return (opened, signed, reported, closed, sign limit, close limit, state) of tasks of late."""
    k = t.tasks.c
    query = select(
        k.opened_ns, k.signed_ns, k.reported_ns, k.closed_ns, k.sign_by_ns, k.close_by_ns, k.state
    ).where(k.opened_ns >= since_ns, within(k.place, scope))
    with console.store.database.read() as connection:
        return list(connection.execute(query).all())


def _open_at(console: Console, scope: Sequence[str], moments: Sequence[int]) -> list[float]:
    """Return how many alerts were open at each moment: until they ended or were closed."""
    a, k = t.alerts.c, t.tasks.c
    closed = case((k.closed_ns >= a.at_ns, k.closed_ns), else_=None)
    query = (
        select(a.raised_ns, a.at_ns, a.state, closed.label("closed_ns"))
        .select_from(t.alerts)
        .outerjoin(t.task_alerts, t.task_alerts.c.alert_id == a.alert_id)
        .outerjoin(t.tasks, k.task_id == t.task_alerts.c.task_id)
        .where(within(a.place, scope), (a.state == "firing") | (a.at_ns >= moments[0]))
    )
    begun, ended = [], []
    with console.store.database.read() as connection:
        for raised, at, state, closed_ns in connection.execute(query):
            begun.append(raised)
            if state != "firing":
                ended.append(at)
            elif closed_ns is not None:
                ended.append(closed_ns)
    begun.sort()
    ended.sort()
    return [float(bisect.bisect_right(begun, m) - bisect.bisect_right(ended, m)) for m in moments]


def kpis(
    console: Console, scope: Sequence[str], now_ns: int, open_now: int, tasks: Sequence[Task],
    complete: float | None, complete_spark: Sequence[float | None],
) -> list[Kpi]:  # fmt: skip
    """Return the strip of figures, in its fixed order."""
    moments = [now_ns - (HOURS - 1 - i) * HOUR_NS for i in range(HOURS)]
    open_at = [*_open_at(console, scope, moments)[:-1], float(open_now)]
    lives = _lives(console, scope, now_ns - 7 * DAY_NS)
    return [
        _open(open_at),
        _to_sign(tasks, lives, moments, now_ns),
        _overdue(tasks, lives, moments, now_ns),
        _sign_time(lives, moments),
        _in_time(lives, moments, now_ns),
        _confirmed(console, scope, moments, now_ns),
        Kpi(
            name="complete",
            label=Text(zh="数据完整率", en="Data complete"),
            value=None if complete is None else round(100 * complete, 1),
            unit=Text(zh="%", en="%"),
            note=None if complete is not None else Text(zh="尚未接入读数", en="no readings yet"),
            target=100 * COMPLETE_TARGET,
            window_s=3_600,
            spark=list(complete_spark),
        ),
    ]


_COUNT = Text(zh="件", en="")


def _open(open_at: Sequence[float]) -> Kpi:
    change = int(open_at[-1] - open_at[0])
    sign = f"{change:+d}".replace("-", "−") if change else "±0"
    return Kpi(
        name="open",
        label=Text(zh="未结预警", en="Open alerts"),
        value=open_at[-1],
        unit=_COUNT,
        note=Text(zh=f"较昨日同期 {sign}", en=f"{sign} on yesterday"),
        spark=list(open_at),
    )


def _to_sign(
    tasks: Sequence[Task], lives: Sequence[Any], moments: Sequence[int], now_ns: int
) -> Kpi:
    waiting = [task for task in tasks if task.unsigned]
    oldest = max((now_ns - task.opened_ns for task in waiting), default=None)
    note = None
    if oldest is not None:
        minutes = oldest // (60 * NS)
        note = (
            Text(zh=f"最久 {minutes} 分", en=f"oldest {minutes} min")
            if minutes < 120
            else Text(zh=f"最久 {minutes // 60} 小时", en=f"oldest {minutes // 60} h")
        )
    spark = [
        float(sum(1 for r in lives if r.opened_ns <= m and (r.signed_ns or m + 1) > m and
                  r.state != "cancelled"))
        for m in moments
    ]  # fmt: skip
    return Kpi(
        name="to_sign",
        label=Text(zh="待签收", en="To sign for"),
        value=float(len(waiting)),
        unit=_COUNT,
        note=note,
        spark=spark,
    )


def _overdue(
    tasks: Sequence[Task], lives: Sequence[Any], moments: Sequence[int], now_ns: int
) -> Kpi:
    late = [task for task in tasks if mark(task, now_ns) == "red"]
    worst = {level: sum(task.level == level for task in late) for level in ("red", "orange")}
    words = {"red": ("红", "red"), "orange": ("橙", "orange")}
    parts = [(words[level], n) for level, n in worst.items() if n]
    note = None
    if parts:
        note = Text(
            zh="，".join(f"{w[0]} {n}" for w, n in parts),
            en=", ".join(f"{n} {w[1]}" for w, n in parts),
        )
    return Kpi(
        name="overdue",
        label=Text(zh="已超时", en="Overdue"),
        value=float(len(late)),
        unit=_COUNT,
        note=note,
        spark=[
            *(float(sum(_was_late(r, m) for r in lives)) for m in moments[:-1]),
            float(len(late)),
        ],
    )


def _was_late(life: Any, at_ns: int) -> bool:
    """Return whether a task's limit for signing, or for closing, had passed unkept at a time."""
    if life.opened_ns > at_ns or life.state == "cancelled":
        return False
    signing = life.sign_by_ns is not None and life.sign_by_ns <= at_ns
    closing = life.close_by_ns is not None and life.close_by_ns <= at_ns
    return (signing and (life.signed_ns or at_ns + 1) > at_ns) or (
        closing and (life.closed_ns or at_ns + 1) > at_ns
    )


def _sign_time(lives: Sequence[Any], moments: Sequence[int]) -> Kpi:
    took = [(r.signed_ns - r.opened_ns) / (60 * NS) for r in lives if r.signed_ns is not None]
    p50, p90 = quantile(took, 0.5), quantile(took, 0.9)
    signed = np.array([r.signed_ns for r in lives if r.signed_ns is not None], np.int64)
    minutes = np.array(took)
    return Kpi(
        name="sign_time",
        label=Text(zh="签收用时", en="Sign-for time"),
        value=None if p50 is None else round(p50, 1),
        unit=Text(zh="分 p50", en="min p50"),
        note=None if took else Text(zh="有第一件签收后显示", en="after the first signature"),
        p90=None if p90 is None else round(p90, 1),
        window_s=7 * 86_400,
        of=len(took),
        spark=[_median(minutes[signed <= m]) for m in moments],
    )


def _median(values: NDArray[np.float64]) -> float | None:
    return None if not len(values) else round(float(np.median(values)), 1)


def _share(good: int, of: int) -> float | None:
    return round(100 * good / of, 1) if of else None


def _in_time(lives: Sequence[Any], moments: Sequence[int], now_ns: int) -> Kpi:
    """Return the share of tasks closed before their limit, of those whose limit or end has come."""
    ended = [
        r for r in lives
        if r.close_by_ns is not None and (r.closed_ns is not None or
                                          (r.close_by_ns <= now_ns and r.state != "cancelled"))
    ]  # fmt: skip
    good = sum(r.closed_ns is not None and r.closed_ns <= r.close_by_ns for r in ended)
    ends = [(min(r.closed_ns or r.close_by_ns, r.close_by_ns), r.closed_ns is not None
             and r.closed_ns <= r.close_by_ns) for r in ended]  # fmt: skip
    return Kpi(
        name="closed_in_time",
        label=Text(zh="按时结案率", en="Closed in time"),
        value=round(100 * good / len(ended), 1) if ended else None,
        unit=Text(zh="%", en="%"),
        note=None if ended else Text(zh="有第一件结案后显示", en="after the first closure"),
        target=100 * IN_TIME_TARGET,
        count=good,
        of=len(ended),
        window_s=7 * 86_400,
        spark=[
            _share(sum(k and e <= m for e, k in ends), sum(e <= m for e, _ in ends))
            for m in moments
        ],
    )


def _confirmed(console: Console, scope: Sequence[str], moments: Sequence[int], now_ns: int) -> Kpi:
    o, k = t.outcomes.c, t.tasks.c
    query = (
        select(o.ts_ns, o.verdict)
        .join(t.tasks, k.task_id == o.task_id)
        .where(o.ts_ns >= now_ns - 30 * DAY_NS, o.verdict != "unknown", within(k.place, scope))
    )
    with console.store.database.read() as connection:
        rows = connection.execute(query).all()
    at_ns = np.array([row.ts_ns for row in rows], np.int64)
    right = np.array([row.verdict == "confirmed" for row in rows], np.bool_)
    count, of = int(right.sum()), len(rows)
    return Kpi(
        name="confirmed",
        label=Text(zh="查实率", en="Confirmed rate"),
        value=_share(count, of),
        unit=Text(zh="%", en="%"),
        note=None if of else Text(zh="有第一份结果后显示", en="after the first outcome"),
        count=count,
        of=of,
        window_s=30 * 86_400,
        spark=[_share(int(right[at_ns <= m].sum()), int((at_ns <= m).sum())) for m in moments],
    )
