"""Quality of the rules: budgets against what was spent, confusion by outcome, delays; outcomes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from sqlalchemy import func, select, tuple_

from engine.console import views as v
from engine.console.accounts_of_rules import budget_rows, quantiles
from engine.console.boards import BudgetRow, Confusion, Quality
from engine.console.context import Console
from engine.console.detail import SIGNALS, text_of
from engine.console.routes.params import (
    Cursor,
    From,
    Limit,
    PlaceCode,
    When,
    Word,
    ns_of,
    read_cursor,
    write_cursor,
)
from engine.console.schemas import Outcome, Page, Text
from engine.console.security import Allow, Here, Who
from engine.outcomes import KINDS
from engine.store import schema as t
from engine.store.questions import within
from engine.store.register import OutcomeRow
from rules.alerts import stamp

router = APIRouter(tags=["quality"])
NS = 1_000_000_000


def window(
    console: Console, from_: datetime | None, to: datetime | None, days: int = 90
) -> tuple[int, int]:
    """Return a window of event time; by default the last days up to now."""
    to_ns = ns_of(to) or console.now_ns()
    from_ns = ns_of(from_)
    return (to_ns - days * 86_400 * NS if from_ns is None else min(from_ns, to_ns)), to_ns


@router.get("/budgets", operation_id="budgets")
def budgets(
    console: Here, _: Annotated[Who, Depends(Allow("command", "dispatcher", "data"))]
) -> list[BudgetRow]:
    """Return what each rule may spend, and what it spent in the last 365 days."""
    return budget_rows(console, *window(console, None, None, 365))


@router.get("/quality", operation_id="quality")
def quality(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "data"))],
    from_: From = None,
    to: When = None,
) -> Quality:
    """Return the quality of all rules in a window."""
    from_ns, to_ns = window(console, from_, to, 365)
    k = t.tasks.c
    query = select(k.opened_ns, k.signed_ns, k.arrived_ns, k.closed_ns).where(
        k.opened_ns >= from_ns, k.opened_ns < to_ns, within(k.place, who.scope)
    )
    with console.store.database.read() as connection:
        lives = connection.execute(query).all()

    def took(name: str) -> list[float]:
        ends = [(getattr(r, name), r.opened_ns) for r in lives]
        return [(end - opened) / NS for end, opened in ends if end is not None]

    return Quality(
        **{"from": stamp(from_ns)},
        to=stamp(to_ns),
        budgets=budget_rows(console, from_ns, to_ns),
        confusion=(confusion := _confusion(console, who, from_ns, to_ns)),
        by_model=_by_model(console, confusion),
        sign_delay=quantiles(took("signed_ns")),
        door_delay=quantiles(took("arrived_ns")),
        close_delay=quantiles(took("closed_ns")),
        recall=msgspec.to_builtins(console.store.tasks.recall()),
    )


def _confusion(console: Console, who: Who, from_ns: int, to_ns: int) -> Confusion:
    o, k = t.outcomes.c, t.tasks.c
    query = (
        select(o.kind, o.rule, func.count())
        .join(t.tasks, k.task_id == o.task_id)
        .where(o.ts_ns >= from_ns, o.ts_ns < to_ns, within(k.place, who.scope))
        .group_by(o.kind, o.rule)
    )
    with console.store.database.read() as connection:
        counts = {(kind, rule): int(n) for kind, rule, n in connection.execute(query)}
    kinds = [name for name in KINDS if any(kind == name for kind, _ in counts)]
    rules = sorted({rule for _, rule in counts})
    return Confusion(
        outcomes=kinds,
        outcome_texts={name: Text(zh=KINDS[name].zh, en=KINDS[name].en) for name in kinds},
        rules=rules,
        rule_texts={rule: console.title(rule) for rule in rules},
        counts=[[counts.get((kind, rule), 0) for rule in rules] for kind in kinds],
    )


def _by_model(console: Console, found: Confusion) -> Confusion:
    """Return the same counts by detector: an outcome counts for each that its rule hears."""
    detectors = {
        rule.name: sorted({use.detector for use in rule.signals.values()})
        for rule in console.rules or ()
    }
    names = sorted({d for rule in found.rules for d in detectors.get(rule, ["events"])})
    return Confusion(
        outcomes=found.outcomes,
        outcome_texts=found.outcome_texts,
        rules=names,
        rule_texts={name: text_of(SIGNALS, name) for name in names},
        counts=[
            [
                sum(
                    n
                    for n, rule in zip(row, found.rules, strict=True)
                    if name in detectors.get(rule, ["events"])
                )
                for name in names
            ]
            for row in found.counts
        ],
    )


@router.get("/outcomes", operation_id="outcomes")
def outcomes(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "data", "auditor"))],
    rule: Word = "",
    kind: Word = "",
    place: PlaceCode = "",
    from_: From = None,
    to: When = None,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[Outcome]:
    """List what was found at doors, the newest first."""
    o, k = t.outcomes.c, t.tasks.c
    query = (
        select(t.outcomes)
        .join(t.tasks, k.task_id == o.task_id)
        .where(within(k.place, who.scope), k.place.startswith(place, autoescape=True))
        .order_by(o.ts_ns.desc(), o.outcome_id.desc())
        .limit(limit + 1)
    )
    for column, value in ((o.rule, rule), (o.kind, kind)):
        if value:
            query = query.where(column == value)
    if (from_ns := ns_of(from_)) is not None:
        query = query.where(o.ts_ns >= from_ns)
    if (to_ns := ns_of(to)) is not None:
        query = query.where(o.ts_ns < to_ns)
    after = read_cursor(cursor, (int, str))
    if after is not None:
        query = query.where(tuple_(o.ts_ns, o.outcome_id) < tuple_(*after))
    with console.store.database.read() as connection:
        rows = [OutcomeRow(*row) for row in connection.execute(query)]
    page = rows[:limit]
    return Page(
        items=[v.outcome(row) for row in page],
        next=write_cursor([page[-1].ts_ns, page[-1].outcome_id]) if len(rows) > limit else None,
    )
