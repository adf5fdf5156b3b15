"""What each rule may spend and what it spent: alerts, outcomes, confidence, delays."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import func, select

from engine.console.boards import BudgetRow, Quantiles
from engine.console.context import Console
from engine.console.kpis import quantile
from engine.store import schema as t
from engine.store import schema_console as tc

NS = 1_000_000_000
YEAR_NS = 365 * 86_400 * NS
FEW = 5
"""Alerts with a known outcome, or expected false ones, under which nothing can be said."""


def garwood(n: int, exposure: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of a Poisson rate.

    References
    ----------
    Garwood, F. (1936). "Fiducial limits for the Poisson distribution." Biometrika 28, 437–442.

    Examples
    --------
    >>> [round(x, 2) for x in garwood(10, 1.0)]
    [4.8, 18.39]
    """
    from scipy.stats import chi2

    tail = (1 - confidence) / 2
    low = chi2.ppf(tail, 2 * n) / 2 if n else 0.0
    return float(low / exposure), float(chi2.ppf(1 - tail, 2 * n + 2) / 2 / exposure)


def quantiles(values: list[float]) -> Quantiles:
    """Return quantiles of delays in seconds."""
    return Quantiles(
        count=len(values),
        p25=quantile(values, 0.25),
        p50=quantile(values, 0.5),
        p75=quantile(values, 0.75),
        p90=quantile(values, 0.9),
    )


def _alerts(console: Console, from_ns: int, to_ns: int) -> dict[str, list[Any]]:
    a = t.alerts.c
    query = select(a.rule, a.onset_ns, a.raised_ns).where(
        a.raised_ns >= from_ns, a.raised_ns < to_ns
    )
    found: dict[str, list[Any]] = defaultdict(list)
    with console.store.database.read() as connection:
        for row in connection.execute(query):
            found[row.rule].append(row)
    return found


def _verdicts(console: Console, from_ns: int, to_ns: int) -> dict[tuple[str, str], int]:
    o = t.outcomes.c
    query = (
        select(o.rule, o.verdict, func.count())
        .where(o.ts_ns >= from_ns, o.ts_ns < to_ns)
        .group_by(o.rule, o.verdict)
    )
    with console.store.database.read() as connection:
        return {(rule, verdict): int(n) for rule, verdict, n in connection.execute(query)}


def _by_kind(console: Console) -> dict[str, int]:
    query = select(tc.subjects.c.kind, func.count()).group_by(tc.subjects.c.kind)
    with console.store.database.read() as connection:
        return {kind: int(n) for kind, n in connection.execute(query)}


def _communities(console: Console) -> int:
    width = console.layout.length(console.layout.shard_level)
    query = select(func.count(func.distinct(func.substr(tc.subjects.c.place, 1, width))))
    with console.store.database.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def budget_rows(console: Console, from_ns: int, to_ns: int) -> list[BudgetRow]:
    """Return each rule's budget against what it really spent in a window.

    `false` counts outcomes that say so; `realised` and its interval count all alerts but the
    confirmed ones, as an alert that nobody looked into may have been false: never flattering.
    """
    alerts, verdicts = _alerts(console, from_ns, to_ns), _verdicts(console, from_ns, to_ns)
    kinds, communities = _by_kind(console), _communities(console)
    first_ns = _first(console)
    years = max(to_ns - max(from_ns, first_ns), 0) / YEAR_NS
    rows = []
    for rule in console.rules or ():
        subjects = communities
        if rule.subjects.grain == "subject":
            subjects = sum(n for k, n in kinds.items() if not rule.subjects.kinds or
                           k in rule.subjects.kinds)  # fmt: skip
        found = alerts.get(rule.name, [])
        told = {v: verdicts.get((rule.name, v), 0) for v in ("false", "confirmed", "unknown")}
        exposure = subjects * years
        spent = max(len(found) - told["confirmed"], 0)
        budget = rule.budget.false_alerts_per_subject_year if rule.budget else None
        low = high = realised = None
        verdict = "too_few"
        if exposure > 0:
            realised = spent / exposure
            low, high = garwood(spent, exposure)
            if budget is not None and (spent >= FEW or budget * exposure >= FEW):
                verdict = "over" if low > budget else "held"
        delays = [(r.raised_ns - r.onset_ns) / NS for r in found]
        rows.append(
            BudgetRow(
                rule=rule.name,
                title=console.title(rule.name),
                version=rule.version,
                subjects=subjects,
                budget=budget,
                scope=rule.budget.scope if rule.budget else None,
                alerts=len(found),
                false=told["false"],
                confirmed=told["confirmed"],
                unknown=told["unknown"],
                years=exposure,
                realised=realised,
                low=low,
                high=high,
                verdict=verdict,
                delay=quantiles(delays),
            )
        )
    return rows


def _first(console: Console) -> int:
    """Return when watching began: the oldest alert or task known, else now."""
    with console.store.database.read() as connection:
        first = connection.execute(select(func.min(t.alerts.c.onset_ns))).scalar()
    return int(first) if first is not None else console.now_ns()
