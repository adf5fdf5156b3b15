"""Alerts: the list, one alert with all that explains it, its curves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query

from engine.console import views as v
from engine.console.context import Console
from engine.console.detail import facts_of, ledger, provenance, timeline
from engine.console.errors import not_found
from engine.console.lookups import actions, person_lock, summaries
from engine.console.routes.params import (
    Cursor,
    From,
    Id,
    Limit,
    PlaceCode,
    When,
    Word,
    Words,
    ns_of,
    read_cursor,
    write_cursor,
)
from engine.console.schemas import (
    AlertDetail,
    AlertState,
    AlertSummary,
    AlertSummaryChange,
    Level,
    Page,
)
from engine.console.security import Allow, Here, Who
from engine.console.series import Curves
from engine.console.series_view import alert_window, curves_of
from engine.store.questions import AlertQuery
from engine.tasks import Task
from rules.alerts import AlertChange

router = APIRouter(tags=["alerts"])
READERS = ("command", "dispatcher", "gridworker", "data", "auditor")
Reader = Annotated[Who, Depends(Allow(*READERS))]
OrWall = Annotated[Who, Depends(Allow(*READERS, wall=True))]


@router.get("/alerts", operation_id="alerts")
def alerts(
    console: Here,
    who: OrWall,
    state: Annotated[list[AlertState], Query(max_length=3)] = [],  # noqa: B006  read only
    level: Annotated[list[Level], Query(max_length=4)] = [],  # noqa: B006
    rule: Words = [],  # noqa: B006
    place: PlaceCode = "",
    subject: Word = "",
    mark: Literal["", "yellow", "red"] = "",
    unsigned: bool | None = None,
    q: Word = "",
    from_: From = None,
    to: When = None,
    sort: Literal["pressing", "newest"] = "pressing",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[AlertSummary]:
    """List alerts: level, then unsigned, then the time left; or the newest first.

    Without `state` those that are open: they fire, or their task is not finished.
    """
    newest = sort == "newest"
    kinds = (int, str) if newest else (int, int, int, str)
    query = AlertQuery(
        scope=who.scope,
        now_ns=console.now_ns(),
        states=tuple(state) or ("firing",),
        unfinished=not state,
        levels=tuple(level),
        rules=tuple(rule),
        place=place,
        # On a wall a filter by subject would tell what the list does not.
        subject="" if who.wall else subject,
        mark=mark,
        unsigned=unsigned,
        text="" if who.wall else q,
        places=console.named(q) if q else (),
        from_ns=ns_of(from_),
        to_ns=ns_of(to),
        newest=newest,
        after=read_cursor(cursor, kinds),
        limit=limit + 1,
    )
    found = console.store.questions.alerts(query)
    page = found[:limit]
    items = summaries(v.Views(console, who, query.now_ns), [(f.change, f.task) for f in page])
    return Page(
        items=items,
        next=write_cursor(page[-1].key) if len(found) > limit else None,
        total=console.store.questions.count_alerts(query) if not cursor else None,
    )


def seen(console: Console, who: Who, alert_id: str) -> tuple[list[AlertChange], str, Task | None]:
    """Return an alert that the asker may see.

    Raises
    ------
    ApiError
        404 if there is none, or it lies outside the scope.
    """
    found = console.store.questions.alert(alert_id)
    if found is None:
        raise not_found(f"alert {alert_id!r}")
    changes, shard, task = found
    holds = task is not None and task.assignee is not None and task.assignee == who.actor
    if not holds:
        who.must_see(changes[-1].place, f"alert {alert_id!r}")
    return changes, shard, task


@router.get("/alerts/{alert_id}", operation_id="alert")
def alert(console: Here, who: Reader, alert_id: Id) -> AlertDetail:
    """Return an alert with all that its page shows."""
    changes, shard, task = seen(console, who, alert_id)
    views = v.Views(console, who)
    last = changes[-1]
    store = console.store
    history = [] if task is None else store.tasks.history(task.task_id)
    summary = summaries(views, [(last, task)])[0]
    subject = last.subject_id
    outcomes = [] if subject is None else store.register.outcomes(subject_id=subject)
    absences = [] if subject is None else store.register.absences(subject)
    listed = msgspec.json.decode(msgspec.json.encode(last.facts.get("counterfactual", [])))
    return AlertDetail(
        **{name: getattr(summary, name) for name in AlertSummary.model_fields},
        p_value=last.p_value,
        budget=last.budget,
        rule_version=last.rule_version,
        facts=facts_of(last),
        counterfactual=listed,
        changes=[
            AlertSummaryChange(
                seq=c.seq,
                at=c.at,
                state=str(c.state),
                level=str(c.level),
                reason=v.split_reason(c.reason)[0],
            )
            for c in changes
        ],
        ledger=ledger(changes[0] if last.state != "firing" else last),
        timeline=timeline(views, changes, task, history),
        provenance=provenance(console, changes, shard),
        outcomes=[v.outcome(o) for o in outcomes[-20:]],
        absences=[v.absence(a, views.now_ns) for a in absences[-20:]],
        person=person_lock(console, who, task),
        actions=[] if task is None else actions(who, task),
    )


@router.get("/alerts/{alert_id}/curves", operation_id="alert_curves")
def alert_curves(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker", "data"))],
    alert_id: Id,
    days: Annotated[int, Query(ge=1, le=14)] = 1,
) -> Curves:
    """Return the series around an alert, with the usual band and the silent stretch."""
    changes, _, _ = seen(console, who, alert_id)
    if changes[0].subject_id is None:
        raise not_found("this alert is about a place; it has no series of its own")
    from_ns, to_ns = alert_window(console, changes, days)
    return curves_of(console, changes[0].subject_id, from_ns, to_ns, changes)
