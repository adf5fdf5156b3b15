"""Absences, silences, incidents that people report, the roster."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from engine.console import registers as r
from engine.console import views as v
from engine.console.boards import Incident, Silence, TopicInfo, WorkerInfo
from engine.console.errors import ApiError, not_found
from engine.console.lookups import subject_for
from engine.console.requests import NewAbsence, NewIncident, NewSilence, WorkerChange
from engine.console.routes.params import (
    Cursor,
    Id,
    Limit,
    PlaceCode,
    Word,
    ns_of,
    read_cursor,
    write_cursor,
)
from engine.console.schemas import Absence, Page
from engine.console.security import Allow, Here, Once, Who
from engine.roster import RosterError

router = APIRouter(tags=["registers"])
Reader = Annotated[Who, Depends(Allow("command", "dispatcher", "data"))]
Desk = Annotated[Who, Depends(Allow("dispatcher"))]
Reporter = Annotated[Who, Depends(Allow("gridworker", "dispatcher"))]


# -- absences -------------------------------------------------------------------------------------


@router.get("/absences", operation_id="absences")
def absences(
    console: Here,
    who: Reader,
    subject: Word = "",
    holds: bool = False,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[Absence]:
    """List the absence register, by subject and begin."""
    now_ns = console.now_ns()
    after = read_cursor(cursor, (str, int, str))
    found = console.store.register.absences(subject or None, now_ns if holds else None)
    known = console.store.questions.subjects_of([a.subject_id for a in found])
    mine = [
        (key, a)
        for a in found
        if (row := known.get(a.subject_id)) is not None and who.sees(row.place)
        if after is None or (key := (a.subject_id, a.from_ns, a.absence_id)) > after
        if (key := (a.subject_id, a.from_ns, a.absence_id))
    ]
    page = mine[:limit]
    return Page(
        items=[v.absence(a, now_ns) for _, a in page],
        next=write_cursor(page[-1][0]) if len(mine) > limit else None,
        total=len(mine) if after is None else None,
    )


@router.post("/absences", operation_id="declare_absence")
def declare_absence(
    request: Request, response: Response, console: Here, who: Desk, body: NewAbsence
) -> Absence:
    """Enter an absence; the same again changes nothing."""
    subject_for(console, who, body.subject_id)
    once = Once(request, who, body)
    now_ns = console.now_ns()
    until_ns = ns_of(body.until)
    assert until_ns is not None
    row = console.store.register.declare(
        body.subject_id,
        # Without a begin it is the whole hour, so that a resent request is the same absence.
        ns_of(body.from_) or now_ns // (3_600 * 10**9) * 3_600 * 10**9,
        until_ns,
        source=body.source,
        by=who.actor,
        at_ns=now_ns,
        kind=body.kind,
    )
    once.done(response)
    return v.absence(row, now_ns)


@router.delete("/absences/{absence_id}", operation_id="revoke_absence")
def revoke_absence(console: Here, who: Desk, absence_id: Id) -> Absence:
    """End an absence early."""
    found = [a for a in console.store.register.absences() if a.absence_id == absence_id]
    if not found:
        raise not_found(f"absence {absence_id!r}")
    subject_for(console, who, found[0].subject_id)
    now_ns = console.now_ns()
    return v.absence(console.store.register.revoke(absence_id, by=who.actor, at_ns=now_ns), now_ns)


# -- silences -------------------------------------------------------------------------------------


@router.get("/silences", operation_id="silences")
def silences(console: Here, who: Reader) -> list[Silence]:
    """List silences: alerts are recorded, nobody is sent."""
    return [
        r.silence_view(console, s) for s in r.silences(console) if r.silence_seen(console, who, s)
    ]


@router.post("/silences", operation_id="add_silence")
def add_silence(
    request: Request, response: Response, console: Here, who: Desk, body: NewSilence
) -> Silence:
    """Send nobody for a rule, a place or a subject for a while."""
    if body.rule is None and body.place is None and body.subject_id is None:
        raise ApiError("refused", "silence: name a rule, a place or a subject")
    if body.subject_id is not None:
        subject_for(console, who, body.subject_id)
    else:
        who.must_see(body.place or "", f"place {body.place!r}")
    once = Once(request, who, body)
    until_ns = ns_of(body.until)
    assert until_ns is not None
    made = r.add_silence(
        console, body.rule, body.place or None, body.subject_id, until_ns, by=who.actor,
        why=body.why, silence_id=once.name("s"),
    )  # fmt: skip
    once.done(response)
    return r.silence_view(console, made)


@router.delete("/silences/{silence_id}", operation_id="end_silence")
def end_silence(console: Here, who: Desk, silence_id: Id) -> Silence:
    """End a silence early."""
    found = [s for s in r.silences(console) if s.silence.silence_id == silence_id]
    if not found or not r.silence_seen(console, who, found[0]):
        raise not_found(f"silence {silence_id!r}")
    if found[0].silence.subject_id is None and not who.sees(found[0].silence.place or ""):
        raise ApiError("forbidden", "it also silences places that are not yours")
    return r.silence_view(console, r.end_silence(console, silence_id, by=who.actor))


# -- incidents ------------------------------------------------------------------------------------


@router.get("/incidents/topics", operation_id="incident_topics")
def incident_topics(_: Annotated[Who, Depends(Allow(wall=True))]) -> list[TopicInfo]:
    """List topics that can be reported."""
    return r.topics()


@router.get("/incidents", operation_id="incidents")
def incidents(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker", "data"))],
    place: PlaceCode = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[Incident]:
    """List incidents that people reported, the newest first."""
    after = read_cursor(cursor, (int, str))
    rows = r.incidents(console, who.scope, place, after, limit + 1)
    page = rows[:limit]
    return Page(
        items=[r.incident_view(console, row) for row in page],
        next=write_cursor([page[-1].at_ns, page[-1].report_id]) if len(rows) > limit else None,
    )


@router.post("/incidents", operation_id="report_incident")
def report_incident(
    request: Request, response: Response, console: Here, who: Reporter, body: NewIncident
) -> Incident:
    """Report an event (随手报): it goes into the log like any other."""
    who.must_see(body.place, f"place {body.place!r}")
    once = Once(request, who, body)
    row = r.report(console, body, by=who.actor, report_id=once.name("r"))
    once.done(response)
    return r.incident_view(console, row)


# -- the roster -----------------------------------------------------------------------------------


@router.get("/workers", operation_id="workers")
def workers(
    console: Here,
    who: Annotated[Who, Depends(Allow("command", "dispatcher", "gridworker"))],
    role: Annotated[str, Query(max_length=40)] = "",
) -> list[WorkerInfo]:
    """List the roster by number, not by name."""
    found = r.roster(console, who)
    return [w for w in found if not role or w.role == role]


@router.patch("/workers/{worker_id}", operation_id="change_worker")
def change_worker(console: Here, who: Desk, worker_id: Id, body: WorkerChange) -> WorkerInfo:
    """Change shift, stand-in or grids of a worker."""
    known = console.workers.get(worker_id)
    if known is None or not r.worker_seen(who, known):
        raise not_found(f"worker {worker_id!r}")
    # Nobody's grids are everybody's: a worker without any answers for all places.
    for code in () if body.grids is None else body.grids or ("",):
        who.must_see(code, f"place {code!r}")
    try:
        r.change_worker(console, known, body, by=who.account.name)
    except RosterError as error:
        raise ApiError("refused", str(error)) from None
    return next(w for w in r.roster(console, who) if w.worker_id == worker_id)
