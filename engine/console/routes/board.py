"""The board: figures, map, queues, feeds, the latest happenings; places and feeds by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends

from engine.console.boards import Board, Feed, Happening, QueueRow, Tile
from engine.console.context import Console
from engine.console.detail import ACTIONS, NOTES, text_of
from engine.console.feeds import complete, feeds
from engine.console.kpis import hours, kpis
from engine.console.lookups import narrow
from engine.console.routes.params import PlaceCode, Word
from engine.console.schemas import Level, Place, PlaceRef, Text
from engine.console.security import Allow, Here, Who
from engine.console.views import Views
from engine.roster import GRIDWORKER, on_shift
from engine.store.questions import AlertFound, AlertQuery
from engine.tasks import Task, due, mark, more_urgent
from rules.alerts import stamp

router = APIRouter(tags=["board"])
HAPPENINGS = 30
_TOLD = ("dispatch", "sign", "contact", "arrive", "report", "close", "escalate", "reassign")


@router.get("/board", operation_id="board")
def board(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "data", wall=True))],
    place: PlaceCode = "",
) -> Board:
    """Return everything the board shows but the list of alerts."""
    scope = narrow(who, place)
    # Read first: what changes while the rest is read comes again by the stream.
    cursor = console.store.questions.outbox_ends()[1]
    views = Views(console, who)
    now_ns = views.now_ns
    alerts = console.store.questions.alerts(
        AlertQuery(scope=scope, now_ns=now_ns, unfinished=True, limit=20_000, newest=True)
    )
    tasks = console.store.questions.open_tasks(scope)
    share, spark, watched, unseen = complete(console)
    counts: dict[Level, int] = {"red": 0, "orange": 0, "yellow": 0, "blue": 0}
    for found in alerts:
        counts[str(found.change.level)] += 1  # type: ignore[index]
    grids = _grids(console, scope, alerts, tasks)
    workers = [w for w in console.workers.values() if w.role == GRIDWORKER]
    mine = [w for w in workers if any(_meets(g, scope) for g in w.grids)]
    duty = sum(on_shift(w, now_ns, console.zone) for w in mine)
    levels = console.layout.levels
    return Board(
        clock=console.time(),
        place=console.place(place or min(scope, default="")),
        counts=counts,
        streets=_how_many(console, grids, levels[-3]) if len(levels) > 2 else 0,
        communities=_how_many(console, grids, levels[-2]) if len(levels) > 1 else 0,
        grids=len(grids),
        open=sum(counts.values()),
        to_sign=sum(task.unsigned for task in tasks),
        overdue=sum(mark(task, now_ns) == "red" for task in tasks),
        on_duty=duty,
        workers=len(mine),
        per_worker=round(len(tasks) / duty, 1) if duty else None,
        kpis=kpis(console, scope, now_ns, len(alerts), tasks, share, spark),
        tiles=_tiles(console, views, grids, alerts, tasks, scope),
        queues=_queues(console, views, tasks),
        feeds=feeds(console),
        happenings=_happenings(console, views, scope),
        hours=hours(console, scope, now_ns),
        budget_used=_budget_used(console, now_ns),
        watched=watched,
        unseen=unseen,
        first_run=console.store.clock() is None,
        checked_at=stamp(now_ns),
        cursor=cursor,
    )


def _meets(code: str, scope: Sequence[str]) -> bool:
    return any(code.startswith(s) or s.startswith(code) for s in scope)


def _grids(
    console: Console, scope: Sequence[str], alerts: Sequence[AlertFound], tasks: Sequence[Task]
) -> list[str]:
    """Return the grids on the map: those that have names, and those where something is."""
    last = console.layout.levels[-1]
    named = {code for code, row in console.places.items() if row.level == last}
    used = {console.grid(f.change.place) for f in alerts} | {task.grid for task in tasks}
    width = console.layout.length(last)
    return sorted(
        g
        for g in named | {u for u in used if len(u) == width}
        if any(g.startswith(code) for code in scope)
    )


def _how_many(console: Console, grids: Sequence[str], level: str) -> int:
    return len({console.layout.at(g, level) for g in grids})


def _tiles(
    console: Console, views: Views, grids: Sequence[str], alerts: Sequence[AlertFound],
    tasks: Sequence[Task], scope: Sequence[str],
) -> list[Tile]:  # fmt: skip
    of_grid: dict[str, list[AlertFound]] = defaultdict(list)
    for found in alerts:
        of_grid[console.grid(found.change.place)].append(found)
    waiting: dict[str, int] = defaultdict(int)
    for task in tasks:
        waiting[task.grid] += task.unsigned
    kinds: dict[str, dict[str, int | None]] = defaultdict(dict)
    width = console.layout.length(console.layout.levels[-1])
    for (grid, kind), n in console.store.questions.watched(scope, width).items():
        kinds[grid][kind] = views.count(n)
    silent = _silent_grids(console)
    names = console.layout.levels
    tiles = []
    for grid in grids:
        here = of_grid.get(grid, [])
        worst: str | None = None
        for found in here:
            level = str(found.change.level)
            worst = level if worst is None or more_urgent(level, worst) else worst
        state = "quiet"
        if here:
            state = "unsigned" if waiting[grid] else "attended"
        elif grid in silent:
            state = "no_data"
        found_worker = console.store.desk.staff.covering(GRIDWORKER, grid) or [
            w.worker_id for w in console.workers.values() if grid in w.grids
        ]
        tiles.append(
            Tile(
                place=grid,
                name=console.place(grid).name,
                community=console.layout.at(grid, names[-2]) if len(names) > 1 else "",
                street=console.layout.at(grid, names[-3]) if len(names) > 2 else "",
                state=state,
                level=worst,
                open=len(here),
                to_sign=waiting[grid],
                watched=kinds.get(grid, {}),
                worker=console.worker_label(found_worker[0]) if found_worker else None,
            )
        )
    return tiles


def _silent_grids(console: Console) -> set[str]:
    """Return grids of which no subject had a reading in its last slots."""
    import numpy as np

    if console.curves is None:
        return set()
    seen: dict[str, bool] = {}
    for ring, columns in console.curves.rings("class"):
        if ring.newest < 0 or ring.interval_s > 3_600:
            continue
        row = np.isfinite(np.asarray(ring.values[ring.newest % len(ring.values)]))
        for subject, where in columns.items():
            seen[subject] = seen.get(subject, False) or bool(row[where].any())
    rows = console.store.questions.subjects_of(list(seen))
    grids: dict[str, bool] = {}
    for name, row in rows.items():
        grid = console.grid(row.place)
        grids[grid] = grids.get(grid, False) or seen[name]
    return {grid for grid, alive in grids.items() if not alive}


def _queues(console: Console, views: Views, tasks: Sequence[Task]) -> list[QueueRow]:
    by_queue: dict[tuple[str, str | None], list[Task]] = defaultdict(list)
    for task in tasks:
        by_queue[task.grid, task.assignee].append(task)
    rows = []
    for (grid, worker), mine in by_queue.items():
        nearest = min(mine, key=lambda task: due(task) or 2**62)
        at = due(nearest)
        known = console.workers.get(worker or "")
        rows.append(
            QueueRow(
                grid=console.place(grid),
                worker=console.worker_label(worker),
                on_duty=known is not None and on_shift(known, views.now_ns, console.zone),
                to_sign=sum(task.unsigned for task in mine),
                open=len(mine),
                next=None if at is None else views.limit(nearest, views.running(nearest), at),
            )
        )
    return sorted(rows, key=lambda r: (r.next is None, r.next.at if r.next else "", r.grid.place))


def _happenings(console: Console, views: Views, scope: Sequence[str]) -> list[Happening]:
    found = console.store.questions.newest_events(scope, HAPPENINGS, _TOLD)
    lines = []
    for event, task in found:
        place, title = console.place(task.grid), views.title(task.rule)
        what = text_of(NOTES if event.action == "note" else ACTIONS, event.action)
        lines.append(
            Happening(
                at=stamp(event.at_ns),
                text=Text(
                    zh=f"{what.zh}：{place.name}，{title.zh}",
                    en=f"{what.en}: {place.name}, {title.en}",
                ),
                level=task.level,
                place=place,
                alert_id=task.alert_id,
                task_id=task.task_id,
            )
        )
    return lines


def _budget_used(console: Console, now_ns: int) -> float | None:
    """Return false alarms of the last 30 days against what the rules' budgets allow in them."""
    from engine.console.accounts_of_rules import budget_rows

    start_ns = now_ns - 30 * 86_400 * 10**9
    rows = budget_rows(console, start_ns, now_ns)
    allowed = sum((r.budget or 0.0) * r.years for r in rows)
    return round(sum(r.false for r in rows) / allowed, 3) if allowed else None


@router.get("/feeds", operation_id="feeds")
def feed_list(
    console: Here, _: Annotated[Who, Depends(Allow("command", "dispatcher", "data", "admin"))]
) -> list[Feed]:
    """Return the health of all feeds."""
    return feeds(console)


@router.get("/places", operation_id="places")
def places(
    console: Here,
    who: Annotated[Who, Depends(Allow(wall=True))],
    under: PlaceCode = "",
    level: Word = "",
) -> list[Place]:
    """Return the tree of places in scope, with what is watched there."""
    views = Views(console, who)
    width = console.layout.length(console.layout.levels[-1])
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (grid, kind), n in console.store.questions.watched(who.scope, width).items():
        for above in console.path(grid):
            counts[above.place][kind] += n
    found = []
    for code in sorted({*console.places, *counts}):
        ref: PlaceRef = console.place(code)
        if not _meets(code, who.scope) or not code.startswith(under) or len(code) > width:
            continue
        if level and ref.level != level:
            continue
        found.append(
            Place(
                **ref.model_dump(),
                parent=console.layout.parent(code),
                subjects={k: views.count(n) for k, n in counts[code].items()},
            )
        )
    return found
