"""Silences, incidents and the roster: reading and writing."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select, tuple_, update

from connectors.records import Event
from engine.console.boards import Incident, Silence, TopicInfo, WorkerInfo
from engine.console.context import Console
from engine.console.errors import ApiError
from engine.console.requests import NewIncident, WorkerChange
from engine.console.routes.params import ns_of
from engine.console.schemas import Text
from engine.console.security import Who
from engine.console.views import when
from engine.roster import Worker, on_shift
from engine.store import register
from engine.store import schema_console as tc
from engine.store.database import How, write
from engine.store.questions import within
from engine.store.silences import SilenceRow
from rules.alerts import stamp
from rules.silences import SilenceError

NS = 1_000_000_000
LONGEST_SILENCE_DAYS = 31
SIMILAR_NS = 24 * 3_600 * NS
TOPICS = {
    "broken_facility": ("设施损坏", "Broken facility"),
    "fire_risk": ("火灾隐患", "Fire risk"),
    "suspicious_vehicle": ("可疑车辆", "Suspicious vehicle"),
    "noise": ("噪声扰民", "Noise"),
    "dispute": ("邻里纠纷", "Dispute between neighbours"),
    "other": ("其他", "Other"),
}


def topics() -> list[TopicInfo]:
    """Return the topics that can be reported."""
    return [TopicInfo(topic=k, text=Text(zh=zh, en=en)) for k, (zh, en) in TOPICS.items()]


# -- silences -------------------------------------------------------------------------------------


def silences(console: Console) -> list[SilenceRow]:
    """Return all silences, those that end last first."""
    return list(console.store.silences.list())[:1_000]


def silence_seen(console: Console, who: Who, row: SilenceRow) -> bool:
    """Return whether a silence touches the asker's places."""
    place = row.silence.place or ""
    subject = row.silence.subject_id
    if subject is not None:
        known = console.store.questions.subjects_of([subject]).get(subject)
        if known is None:
            return "" in who.scope
        place = known.place
    return who.sees(place) or any(code.startswith(place) for code in who.scope if subject is None)


def silence_view(console: Console, row: SilenceRow) -> Silence:
    """Return a silence as the API shows it."""
    now_ns = console.now_ns()
    one = row.silence
    return Silence(
        silence_id=one.silence_id,
        rule=one.rules[0] if one.rules else None,
        place=None if one.place is None else console.place(one.place),
        subject_id=one.subject_id,
        **{"from": stamp(one.from_ns)},
        until=stamp(one.until_ns),
        by=one.author,
        why=one.reason,
        revoked_at=when(row.ended_ns),
        holds=one.from_ns <= now_ns < row.end_ns,
    )


def add_silence(
    console: Console, rule: str | None, place: str | None, subject: str | None, until_ns: int, *,
    by: str, why: str, silence_id: str | None,
) -> SilenceRow:  # fmt: skip
    """Enter a silence; never longer than a month, never for what endangers life.

    Raises
    ------
    ApiError
        If it ends before it begins, lasts too long, or silences a hard danger.
    """
    now_ns = console.now_ns()
    if not now_ns < until_ns <= now_ns + LONGEST_SILENCE_DAYS * 86_400 * NS:
        raise ApiError("refused", f"silence: wanted an end within {LONGEST_SILENCE_DAYS} days")
    known = None if rule is None else console.about(rule)
    if rule is not None and known is None:
        raise ApiError("refused", f"silence: rule {rule!r} is unknown")
    if known is not None and known.hard_danger:
        raise ApiError("refused", f"silence: {rule!r} is about danger to life; enter an absence")
    try:
        made = console.store.silences.add(
            from_ns=now_ns, until_ns=until_ns, author=by, reason=why, at_ns=now_ns, rule=rule,
            subject_id=subject, place=place, silence_id=silence_id,
        )  # fmt: skip
    except SilenceError as error:
        raise ApiError("refused", str(error)) from None
    return next(s for s in silences(console) if s.silence.silence_id == made.silence_id)


def end_silence(console: Console, silence_id: str, *, by: str) -> SilenceRow:
    """End a silence; twice changes nothing."""
    return console.store.silences.end(silence_id, by=by, at_ns=console.now_ns())


# -- incidents ------------------------------------------------------------------------------------


def incidents(
    console: Console, scope: Sequence[str], place: str, after: tuple[Any, ...] | None, limit: int
) -> list[Any]:
    """Return incidents, the newest first."""
    c = tc.incidents.c
    query = (
        select(tc.incidents)
        .where(within(c.place, scope), c.place.startswith(place, autoescape=True))
        .order_by(c.at_ns.desc(), c.report_id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(c.at_ns, c.report_id) < tuple_(*after))
    with console.store.database.read() as connection:
        return list(connection.execute(query).all())


def report(console: Console, body: NewIncident, *, by: str, report_id: str | None) -> Any:
    """Keep an incident and let it wait for its shard; the same id again is the same incident.

    Raises
    ------
    ApiError
        If its topic is unknown, or a photo is not there.
    """
    if body.topic not in TOPICS:
        raise ApiError("refused", f"topic: wanted one of {', '.join(TOPICS)}")
    now_ns = console.now_ns()
    at_ns = min(ns_of(body.at) or now_ns, now_ns)
    name = report_id or "r-" + secrets.token_hex(8)
    c, p = tc.incidents.c, tc.photos.c
    row = {
        "report_id": name, "at_ns": at_ns, "place": body.place, "topic": body.topic,
        "text": body.text, "by": by, "merged_into": None,
    }  # fmt: skip
    with console.store.database.write() as connection:
        if body.merge_into is not None:
            there = connection.execute(
                select(c.report_id).where(
                    c.report_id == body.merge_into, c.place.startswith(body.place[:12])
                )
            ).scalar()
            if there is None:
                raise ApiError("refused", f"incident {body.merge_into!r} is not there")
            row["merged_into"] = there
        if write(connection, tc.incidents, [row], How.NEW):
            if body.photos:
                done = connection.execute(
                    update(tc.photos)
                    .where(p.photo_id.in_(body.photos), p.by == by, p.task_id.is_(None),
                           p.incident_id.is_(None))
                    .values(incident_id=name, place=body.place)
                )  # fmt: skip
                if done.rowcount < len(set(body.photos)):
                    raise ApiError("refused", "a photo is not there; send it first")
            # The reporter's words stay here: the log has the topic, which rules can count.
            caller = hashlib.sha256(by.encode()).hexdigest()[:12]
            attrs = {"topic": body.topic, "caller": caller, "source": "gridworker"}
            fact = Event(
                event_id=name, ts_ns=at_ns, kind="report", subject_id=None, place=body.place,
                attrs=attrs, source="console", arrival_ns=at_ns,
            )  # fmt: skip
            register.queue(connection, [fact])
        return connection.execute(select(tc.incidents).where(c.report_id == name)).one()


def incident_view(console: Console, row: Any) -> Incident:
    """Return an incident as the API shows it."""
    c, p = tc.incidents.c, tc.photos.c
    like = select(func.count()).where(
        c.place.startswith(row.place[:15]), c.topic == row.topic, c.report_id != row.report_id,
        c.at_ns.between(row.at_ns - SIMILAR_NS, row.at_ns + SIMILAR_NS),
    )  # fmt: skip
    with console.store.database.read() as connection:
        similar = int(connection.execute(like).scalar_one())
        photos = list(
            connection.execute(select(p.photo_id).where(p.incident_id == row.report_id)).scalars()
        )
    return Incident(
        report_id=row.report_id,
        at=stamp(row.at_ns),
        place=console.place(row.place),
        topic=row.topic,
        text=row.text,
        by=row.by,
        photos=photos,
        merged_into=row.merged_into,
        similar=similar,
    )


# -- the roster -----------------------------------------------------------------------------------


def worker_seen(who: Who, worker: Worker) -> bool:
    """Return whether a worker answers for some of the asker's places."""
    grids = worker.grids or ("",)
    return any(g.startswith(s) or s.startswith(g) for g in grids for s in who.scope)


def roster(console: Console, who: Who) -> list[WorkerInfo]:
    """Return the roster in scope."""
    now_ns = console.now_ns()
    tasks = console.store.questions.open_tasks(("",))
    open_of = Counter(task.assignee for task in tasks)
    unsigned = Counter(task.assignee for task in tasks if task.unsigned)
    found = []
    for worker in console.workers.values():
        label = console.worker_label(worker.worker_id)
        assert label is not None
        if worker_seen(who, worker):
            found.append(
                WorkerInfo(
                    worker_id=worker.worker_id,
                    label=label,
                    grids=[console.place(g) for g in worker.grids],
                    role=worker.role,
                    shift=worker.shift,
                    stand_in=worker.stand_in,
                    on_duty=on_shift(worker, now_ns, console.zone),
                    open=open_of[worker.worker_id],
                    to_sign=unsigned[worker.worker_id],
                )
            )
    return found


def change_worker(console: Console, worker: Worker, body: WorkerChange, *, by: str) -> None:
    """Change a worker of the roster.

    Raises
    ------
    engine.roster.RosterError
        If the shift cannot be read.
    ApiError
        If the stand-in is unknown.
    """
    changes = {k: v for k, v in body.model_dump().items() if v is not None}
    stand_in = changes.get("stand_in")
    if stand_in and stand_in not in console.workers:
        raise ApiError("refused", f"worker {stand_in!r} is unknown; see /workers")
    if "stand_in" in changes:
        changes["stand_in"] = stand_in or None
    if "grids" in changes:
        changes["grids"] = tuple(changes["grids"])
    changed = msgspec.structs.replace(worker, **changes)
    others = [w for w in console.store.rosters.workers() if w.worker_id != worker.worker_id]
    console.store.rosters.put_workers([*others, changed])
    console.forget_names()
    console.store.books.audit(
        by,
        console.now_ns(),
        "worker_changed",
        worker.worker_id,
        {k: str(v) for k, v in changes.items()},
    )
