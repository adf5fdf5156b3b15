"""Figures of a district for its operator, read from SQL."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select

from engine.store import Store
from engine.store import schema as t
from engine.store.deliveries import Backlog
from engine.tasks import OPEN, WAITING
from rules.alerts import State


class Figures(NamedTuple):
    """How things stand."""

    backlog: dict[str, Backlog]
    tasks: dict[tuple[str, str], int]
    """Open tasks by (queue, level)."""
    oldest_unsigned: dict[str, int]
    """When the oldest task that nobody signed was opened, by queue."""
    firing: dict[tuple[str, str], int]
    """Firing alerts by (rule, level)."""
    raised: dict[str, int]
    """Alerts ever, by rule."""
    prices: dict[str, int]
    """Index of the newest price, by rule."""


def figures(store: Store, now_ns: int) -> Figures:
    """Return the figures as they stand."""
    k, a, p = t.tasks.c, t.alerts.c, t.prices.c
    tasks = select(k.queue, k.level, func.count()).where(k.state.in_(sorted(OPEN)))
    unsigned = select(k.queue, func.min(k.opened_ns)).where(k.state.in_(sorted(WAITING)))
    firing = select(a.rule, a.level, func.count()).where(a.state == str(State.FIRING))
    newest = (
        select(p.rule, func.max(p.day).label("day")).where(p.arrival_ns <= now_ns).group_by(p.rule)
    ).subquery()
    prices = select(p.rule, p.index).join(
        newest, (newest.c.rule == p.rule) & (newest.c.day == p.day)
    )
    with store.database.read() as connection:
        return Figures(
            store.deliveries.backlog(),
            {(r[0], r[1]): int(r[2]) for r in connection.execute(tasks.group_by(k.queue, k.level))},
            {r[0]: int(r[1]) for r in connection.execute(unsigned.group_by(k.queue))},
            {(r[0], r[1]): int(r[2]) for r in connection.execute(firing.group_by(a.rule, a.level))},
            {
                r[0]: int(r[1])
                for r in connection.execute(select(a.rule, func.count()).group_by(a.rule))
            },
            {r[0]: int(r[1]) for r in connection.execute(prices)},
        )
