"""Figures of the board: counts, times, rates, each with its window, target and counts."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

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
        select((a.raised_ns - start) // HOUR_NS, a.level, func.count())
        .where(a.raised_ns >= start, a.raised_ns <= now_ns, within(a.place, scope))
        .group_by((a.raised_ns - start) // HOUR_NS, a.level)
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
    """Return how many alerts were open at each moment (those that began within two weeks)."""
    a = t.alerts.c
    query = select(a.raised_ns, a.at_ns, a.state).where(
        within(a.place, scope), (a.state == "firing") | (a.at_ns >= moments[0])
    )
    begun, ended = [], []
    with console.store.database.read() as connection:
        for raised, at, state in connection.execute(query):
            begun.append(raised)
            if state != "firing":
                ended.append(at)
    begun.sort()
    ended.sort()
    return [float(bisect.bisect_right(begun, m) - bisect.bisect_right(ended, m)) for m in moments]


def kpis(
    console: Console, scope: Sequence[str], now_ns: int, tasks: Sequence[Task],
    complete: float | None, complete_spark: Sequence[float | None],
) -> list[Kpi]:  # fmt: skip
    """Return the strip of figures, in its fixed order."""
    moments = [now_ns - (HOURS - 1 - i) * HOUR_NS for i in range(HOURS)]
    open_at = _open_at(console, scope, moments)
    lives = _lives(console, scope, now_ns - 7 * DAY_NS)
    return [
        _open(open_at),
        _to_sign(tasks, lives, moments, now_ns),
        _overdue(tasks, now_ns),
        _sign_time(lives),
        _in_time(lives, now_ns),
        _confirmed(console, scope, now_ns),
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


def _overdue(tasks: Sequence[Task], now_ns: int) -> Kpi:
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
        spark=[],
    )


def _sign_time(lives: Sequence[Any]) -> Kpi:
    took = [(r.signed_ns - r.opened_ns) / (60 * NS) for r in lives if r.signed_ns is not None]
    p50, p90 = quantile(took, 0.5), quantile(took, 0.9)
    return Kpi(
        name="sign_time",
        label=Text(zh="签收用时", en="Sign-for time"),
        value=None if p50 is None else round(p50, 1),
        unit=Text(zh="分 p50", en="min p50"),
        note=None if took else Text(zh="有第一件签收后显示", en="after the first signature"),
        p90=None if p90 is None else round(p90, 1),
        window_s=7 * 86_400,
        of=len(took),
        spark=[],
    )


def _in_time(lives: Sequence[Any], now_ns: int) -> Kpi:
    """Return the share of tasks closed before their limit, of those whose limit or end has come."""
    ended = [
        r for r in lives
        if r.close_by_ns is not None and (r.closed_ns is not None or
                                          (r.close_by_ns <= now_ns and r.state != "cancelled"))
    ]  # fmt: skip
    good = sum(r.closed_ns is not None and r.closed_ns <= r.close_by_ns for r in ended)
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
        spark=[],
    )


def _confirmed(console: Console, scope: Sequence[str], now_ns: int) -> Kpi:
    o, k = t.outcomes.c, t.tasks.c
    query = (
        select(o.verdict, func.count())
        .join(t.tasks, k.task_id == o.task_id)
        .where(o.ts_ns >= now_ns - 30 * DAY_NS, within(k.place, scope))
        .group_by(o.verdict)
    )
    with console.store.database.read() as connection:
        counts = {verdict: int(n) for verdict, n in connection.execute(query)}
    of = counts.get("confirmed", 0) + counts.get("false", 0)
    return Kpi(
        name="confirmed",
        label=Text(zh="查实率", en="Confirmed rate"),
        value=round(100 * counts.get("confirmed", 0) / of, 1) if of else None,
        unit=Text(zh="%", en="%"),
        note=None if of else Text(zh="有第一份结果后显示", en="after the first outcome"),
        count=counts.get("confirmed", 0),
        of=of,
        window_s=30 * 86_400,
        spark=[],
    )
