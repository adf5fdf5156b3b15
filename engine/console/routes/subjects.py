"""The explorer: any subject with its series, evidence, outcomes and events."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from engine.console import views as v
from engine.console.context import Console
from engine.console.detail import SIGNALS, text_of
from engine.console.errors import ApiError
from engine.console.lookups import subject_for, summaries
from engine.console.routes.params import (
    Cursor,
    From,
    Id,
    Limit,
    PlaceCode,
    When,
    Word,
    ns_of,
    read_cursor,
    write_cursor,
)
from engine.console.schemas import LedgerEntry, Page
from engine.console.security import Allow, Here, Who
from engine.console.series import Curves, Meter, SubjectDetail, SubjectSummary
from engine.console.series_view import UNITS, curves_of, midnight
from engine.store.questions import AlertQuery, SubjectRow
from rules.alerts import stamp

router = APIRouter(tags=["subjects"])
Reader = Annotated[Who, Depends(Allow("command", "dispatcher", "data"))]
DAY_NS = 86_400 * 10**9
LONGEST_DAYS = 64
MOST_SORTED = 20_000
"""Subjects that can be sorted by evidence at once; more want a filter."""


def _summaries(
    console: Console, rows: list[SubjectRow], evidence: dict[str, float]
) -> list[SubjectSummary]:
    now_ns = console.now_ns()
    ids = {row.subject_id for row in rows}
    firing = console.store.questions.alerts(AlertQuery(scope=("",), now_ns=now_ns, limit=20_000))
    open_of = {f.change.subject_id: f.change for f in reversed(firing)}
    away = {
        a.subject_id: a.until_ns
        for a in console.store.register.absences(at_ns=now_ns)
        if a.subject_id in ids
    }
    found = []
    for row in rows:
        alert = open_of.get(row.subject_id)
        value = evidence.get(row.subject_id)
        found.append(
            SubjectSummary(
                subject_id=row.subject_id,
                kind=row.kind,
                place=console.place(row.place),
                evidence=None if value is None else round(value, 2),
                open_alert=alert.alert_id if alert else None,
                level=str(alert.level) if alert else None,
                absent_until=v.when(away.get(row.subject_id)),
                simulated=bool(row.attrs.get("simulated")),
            )
        )
    return found


@router.get("/subjects", operation_id="subjects")
def subjects(
    console: Here,
    who: Reader,
    kind: Word = "",
    place: PlaceCode = "",
    q: Word = "",
    sort: Literal["evidence", "id"] = "evidence",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[SubjectSummary]:
    """List subjects, the strongest evidence first, or by id."""
    evidence = {} if console.curves is None else console.curves.now()
    ask = console.store.questions.subjects
    if sort == "id":
        key = read_cursor(cursor, (str,))
        rows = ask(
            who.scope, kind=kind, place=place, text=q, after=key[0] if key else "", limit=limit + 1
        )
        page = rows[:limit]
        following = write_cursor([page[-1].subject_id]) if len(rows) > limit else None
        return Page(items=_summaries(console, page, evidence), next=following)
    at = read_cursor(cursor, (float, str))
    rows = ask(who.scope, kind=kind, place=place, text=q, limit=MOST_SORTED)
    keyed = sorted((-evidence.get(r.subject_id, -99.0), r.subject_id, r) for r in rows)
    if at is not None:
        keyed = [k for k in keyed if k[:2] > at]
    page = [k[2] for k in keyed[:limit]]
    last = keyed[limit - 1][:2] if len(keyed) > limit else None
    return Page(
        items=_summaries(console, page, evidence),
        next=None if last is None else write_cursor([float(last[0]), last[1]]),
        total=len(rows) if at is None else None,
    )


@router.get("/subjects/{subject_id}", operation_id="subject")
def subject(console: Here, who: Reader, subject_id: Id) -> SubjectDetail:
    """Return a subject with its facts."""
    row = subject_for(console, who, subject_id)
    views = v.Views(console, who)
    now_ns = views.now_ns
    reader = console.curves
    evidence = {} if reader is None else reader.now()
    series = [] if reader is None else reader.series(subject_id, now_ns - DAY_NS, now_ns)
    said = [] if reader is None else reader.evidence(subject_id, now_ns - DAY_NS, now_ns)
    of_utility = {(s.utility, s.interval_s): s for s in series}
    signals, running = [], 0.0
    for s in said:
        known = s.values[s.values == s.values]
        weight = round(float(known[-1]), 1) if len(known) else None
        running = round(running + (weight or 0.0), 1)
        signals.append(
            LedgerEntry(
                signal=s.label,
                text=text_of(SIGNALS, s.label),
                weight=weight,
                running=None if weight is None else running,
                counted=weight is not None,
            )
        )
    alerts = console.store.questions.alerts(
        AlertQuery(
            scope=who.scope, now_ns=now_ns, states=(), subject=subject_id, newest=True, limit=50
        )
    )
    summary = _summaries(console, [row], evidence)[0]
    meters = []
    for meter in row.meters:
        mine = of_utility.get((str(meter["utility"]), int(meter["interval_s"])))
        known = None if mine is None else mine.values[: max(len(mine.values) - 1, 1)]
        meters.append(
            Meter(
                utility=str(meter["utility"]),
                kind=str(meter["kind"]),
                unit=UNITS.get(meter["utility"], ""),
                interval_s=int(meter["interval_s"]),
                last=None if mine is None else stamp(mine.newest_ns),
                complete=None if known is None else float((known == known).mean()),
            )
        )
    store = console.store
    return SubjectDetail(
        **summary.model_dump(),
        path=console.path(row.place),
        attrs=dict(row.attrs),
        meters=meters,
        signals=signals,
        outcomes=[v.outcome(o) for o in store.register.outcomes(subject_id=subject_id)],
        absences=[v.absence(a, now_ns) for a in store.register.absences(subject_id)],
        alerts=summaries(views, [(f.change, f.task) for f in alerts]),
        ready=None if not said else any(e.weight is not None for e in signals),
        history_days=max((s.days for s in series), default=0),
    )


def _window(
    console: Console, from_: datetime | None, to: datetime | None, days: int
) -> tuple[int, int]:
    """Return the window asked for.

    Raises
    ------
    ApiError
        If it is empty, or longer than is kept.
    """
    now_ns = console.now_ns()
    end = ns_of(to) or midnight(now_ns, console.zone) + DAY_NS
    start = ns_of(from_)
    start = end - days * DAY_NS if start is None else start
    if not 0 < end - start <= LONGEST_DAYS * DAY_NS:
        raise ApiError("bad_request", f"window: wanted up to {LONGEST_DAYS} days, from before to")
    return start, end


Days = Annotated[int, Query(ge=1, le=LONGEST_DAYS)]


@router.get("/subjects/{subject_id}/curves", operation_id="subject_curves")
def subject_curves(
    console: Here, who: Reader, subject_id: Id, from_: From = None, to: When = None, days: Days = 7
) -> Curves:
    """Return all series of a subject in a window."""
    subject_for(console, who, subject_id)
    return curves_of(console, subject_id, *_window(console, from_, to, days))


@router.get(
    "/subjects/{subject_id}/curves.csv",
    operation_id="subject_csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "utility, ts, value"}},
)
def subject_csv(
    console: Here,
    who: Annotated[Who, Depends(Allow("data"))],
    subject_id: Id,
    from_: From = None,
    to: When = None,
    days: Days = 7,
) -> Response:
    """Return the series as a table; the export is logged."""
    subject_for(console, who, subject_id)
    found = curves_of(console, subject_id, *_window(console, from_, to, days))
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["utility", "unit", "ts", "value"])
    for curve in found.curves:
        begin = int(datetime.fromisoformat(curve.from_).timestamp())
        for i, value in enumerate(curve.values):
            at = stamp((begin + i * curve.interval_s) * 10**9)
            rows.writerow([curve.utility, curve.unit, at, "" if value is None else value])
    console.store.books.audit(
        who.account.name, console.now_ns(), "series_exported", subject_id, {"days": days}
    )
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8")
