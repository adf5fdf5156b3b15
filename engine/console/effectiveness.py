"""The effectiveness report: response, resolution, satisfaction, causes; per rule, grid, period."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from engine.console.boards import Effectiveness, EffectRow
from engine.console.context import Console
from engine.console.kpis import quantile
from engine.console.schemas import Text
from engine.store import desk_rows as rows
from engine.store import schema as t
from engine.store.questions import within
from engine.tasks import Task
from rules.alerts import stamp

NS = 1_000_000_000


def effectiveness(
    console: Console, scope: Sequence[str], from_ns: int, to_ns: int
) -> Effectiveness:
    """Return the report of a period: tasks opened in it, and what became of them since."""
    k, o, e = t.tasks.c, t.outcomes.c, t.task_events.c
    mine = [k.opened_ns >= from_ns, k.opened_ns < to_ns, within(k.place, scope)]
    with console.store.database.read() as connection:
        tasks = [rows.task_of(r) for r in connection.execute(select(*rows.TASK).where(*mine))]
        found = connection.execute(
            select(o.task_id, o.kind, o.verdict)
            .join(t.tasks, k.task_id == o.task_id)
            .where(*mine)
            .order_by(o.ts_ns, o.outcome_id)
        ).all()
        told = connection.execute(
            select(e.task_id, e.action, e.detail)
            .join(t.tasks, k.task_id == e.task_id)
            .where(*mine, e.action.in_(("reopen", "close")))
            .order_by(e.task_id, e.seq)
        ).all()
    outcomes: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        outcomes[row.task_id].append(row)
    reopened = {row.task_id for row in told if row.action == "reopen"}
    ratings = {
        row.task_id: float(rating)
        for row in told
        if row.action == "close"
        and (rating := msgspec.json.decode(row.detail).get("satisfaction")) is not None
    }
    # What the family said itself counts before what was noted for it.
    ratings |= console.store.ratings.of(task.task_id for task in tasks)

    def row_of(key: str, label: Text, some: Iterable[Task]) -> EffectRow:
        return _row(key, label, list(some), outcomes, reopened, ratings)

    by_rule: dict[str, list[Task]] = defaultdict(list)
    by_grid: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        by_rule[task.rule].append(task)
        by_grid[task.grid].append(task)
    grids = {g: console.place(g).name for g in by_grid}
    return Effectiveness(
        **{"from": stamp(from_ns)},
        to=stamp(to_ns),
        made_at=stamp(console.now_ns()),
        total=row_of("", Text(zh="合计", en="Total"), tasks),
        by_rule=[row_of(r, console.title(r), by_rule[r]) for r in sorted(by_rule)],
        by_grid=[row_of(g, Text(zh=grids[g], en=grids[g]), by_grid[g]) for g in sorted(by_grid)],
        simulated=console.simulated,
    )


def _row(
    key: str, label: Text, tasks: list[Task], outcomes: dict[str, list[Any]], reopened: set[str],
    ratings: dict[str, float],
) -> EffectRow:  # fmt: skip
    took = [(x.signed_ns - x.opened_ns) / NS for x in tasks if x.signed_ns is not None]
    limited = [x for x in tasks if x.sign_by_ns is not None and x.signed_ns is not None]
    closed = [x for x in tasks if x.closed_ns is not None]
    due = [x for x in closed if x.close_by_ns is not None]
    done = [x for x in tasks if x.state != "cancelled"]
    last = [outcomes[x.task_id][-1] for x in tasks if outcomes.get(x.task_id)]
    verdicts = Counter(r.verdict for r in last)
    causes = Counter(r.kind for r in last if r.verdict == "false")
    judged = verdicts["confirmed"] + verdicts["false"]
    rated = [ratings[x.task_id] for x in tasks if x.task_id in ratings]
    return EffectRow(
        key=key,
        label=label,
        alerts=sum(x.alerts for x in tasks),
        tasks=len(tasks),
        signed=len(took),
        signed_in_time=_share(sum(x.signed_ns <= x.sign_by_ns for x in limited), len(limited)),  # type: ignore[operator]
        sign_p50_s=quantile(took, 0.5),
        sign_p90_s=quantile(took, 0.9),
        reported=sum(x.reported_ns is not None for x in tasks),
        closed=len(closed),
        on_time=_share(sum(x.closed_ns <= x.close_by_ns for x in due), len(due)),  # type: ignore[operator]
        resolved=_share(len(closed), len(done)),
        reopened=sum(x.task_id in reopened for x in tasks),
        confirmed=verdicts["confirmed"],
        false=verdicts["false"],
        unknown=verdicts["unknown"],
        confirmed_rate=_share(verdicts["confirmed"], judged),
        satisfaction=round(sum(rated) / len(rated), 2) if rated else None,
        causes=dict(sorted(causes.items())),
    )


def _share(n: int, of: int) -> float | None:
    return n / of if of else None


COLUMNS = [
    name for name in EffectRow.model_fields if name not in ("label", "causes")
]  # fmt: skip


def as_csv(report: Effectiveness) -> str:
    """Return the report as a table, one row a rule and one a grid."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["part", "label_zh", "label_en", *COLUMNS, "causes"])
    parts = [("total", [report.total]), ("rule", report.by_rule), ("grid", report.by_grid)]
    for part, some in parts:
        for row in some:
            causes = "; ".join(f"{k} {n}" for k, n in row.causes.items())
            cells = [part, row.label.zh, row.label.en]
            cells += [_cell(getattr(row, name)) for name in COLUMNS]
            table.writerow([*(_harmless(str(c)) for c in cells), causes])
    return "\ufeff" + out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
