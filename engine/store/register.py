"""The absence register, outcomes, and the way of both back into the log.

What people say becomes a record of the log. It is kept here first (``feedback``); a shard takes
what waits, and with it writes down at which offset of its log it was fed (``feedback_log``). After
a restart the same records are fed at the same offsets, so the alerts come out the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, func, null, or_, select, update

from connectors.records import Event, Outcome
from engine.outcomes import (
    KINDS,
    NS,
    STRETCH_S,
    WATCH_S,
    Finding,
    OutcomeError,
    Quiet,
    clip,
    event,
    kind_of,
)
from engine.store import schema as t
from engine.store.books import audit_row
from engine.store.database import Database, How, write
from engine.store.errors import StoreError
from engine.store.holding import hold
from engine.tasks import compact
from rules.alerts import stamp
from rules.silences import SILENCE, SILENCE_ENDED

REVOKED = "absence_revoked"
"""Kind of the event that ends an absence early; attributes ``from``, ``until`` name which."""


class Absence(NamedTuple):
    """One line of the register: what quiets a subject, from when until when, and who says so."""

    absence_id: str
    subject_id: str
    kind: str
    from_ns: int
    until_ns: int
    source: str
    by: str
    declared_ns: int
    revoked_ns: int | None
    revoked_by: str | None

    @property
    def quiet(self) -> Quiet:
        """What it really quieted."""
        end = self.until_ns if self.revoked_ns is None else min(self.until_ns, self.revoked_ns)
        return Quiet(self.from_ns, max(end, self.from_ns))


class OutcomeRow(NamedTuple):
    """What was found at a door."""

    outcome_id: str
    task_id: str
    alert_id: str
    subject_id: str | None
    rule: str
    kind: str
    verdict: str
    ts_ns: int
    until_ns: int | None
    kw: float | None
    by: str
    note: str


class Feedback(NamedTuple):
    """A record as it was fed into a shard's log."""

    id: int
    offset: int
    record: Event | Outcome


class Register:
    """Absences, outcomes, and records on their way into the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- absences -------------------------------------------------------------------------------

    def declare(
        self,
        subject_id: str,
        from_ns: int,
        until_ns: int,
        *,
        source: str,
        by: str,
        at_ns: int,
        kind: str = "away",
    ) -> Absence:
        """Enter an absence (or another quiet time); the same again changes nothing.

        Parameters
        ----------
        from_ns, until_ns : int
            As declared; the bounds of :mod:`engine.outcomes` may cut the end.
        source : str
            ``family``, ``phone``, ``console``, ``file`` …
        by, at_ns
            Who, and when.
        kind : str
            A kind of outcome that quiets.

        Raises
        ------
        OutcomeError
            If the kind does not quiet, or the bounds leave nothing of it.
        """
        chosen = kind_of(kind)
        if not chosen.quiets or chosen.event is None:
            quieting = ", ".join(name for name, k in KINDS.items() if k.quiets)
            raise OutcomeError(f"absence: {kind!r} quiets nothing; wanted one of {quieting}")
        key = f"{subject_id}\x1f{kind}\x1f{from_ns}\x1f{until_ns}\x1f{source}"
        absence_id = "a-" + hashlib.sha256(key.encode()).hexdigest()[:16]
        with self._database.write() as connection:
            known = _absence(connection, absence_id)
            if known is not None:
                return known
            quiet = clip(
                Quiet(from_ns, until_ns),
                chosen.longest_s,
                at_ns,
                quiets(connection, subject_id, at_ns),
            )
            row = Absence(
                absence_id, subject_id, kind, quiet.from_ns, quiet.until_ns, source, by, at_ns,
                None, None,
            )  # fmt: skip
            write(connection, t.absences, [row._asdict()])
            upper = "until" if chosen.event == "absence" else "to"
            attrs = {
                "source": source,
                "from": stamp(quiet.from_ns),
                upper: stamp(quiet.until_ns),
            }
            queue(connection, [event(absence_id, chosen.event, at_ns, subject_id, None, attrs)])
        return row

    def revoke(self, absence_id: str, *, by: str, at_ns: int) -> Absence:
        """End an absence early (somebody came home); doing it twice changes nothing.

        Raises
        ------
        StoreError
            If there is no such absence.
        """
        with self._database.write() as connection:
            known = _absence(connection, absence_id)
            if known is None:
                raise StoreError(f"absence {absence_id!r}: there is none; list the register")
            if known.revoked_ns is not None:
                return known
            connection.execute(
                update(t.absences)
                .where(t.absences.c.absence_id == absence_id)
                .values(revoked_ns=at_ns, revoked_by=by)
            )
            attrs = {"from": stamp(known.from_ns), "until": stamp(known.until_ns), "by": by}
            queue(
                connection,
                [event(f"{absence_id}/revoked", REVOKED, at_ns, known.subject_id, None, attrs)],
            )
            line = audit_row(by, at_ns, "absence_revoked", known.subject_id, {"id": absence_id})
            write(connection, t.audit_log, [line])
        return known._replace(revoked_ns=at_ns, revoked_by=by)

    def absences(self, subject_id: str | None = None, at_ns: int | None = None) -> list[Absence]:
        """Return the register, by subject and begin; with `at_ns` only what holds then."""
        c = t.absences.c
        query = select(t.absences).order_by(c.subject_id, c.from_ns, c.absence_id)
        if subject_id is not None:
            query = query.where(c.subject_id == subject_id)
        if at_ns is not None:
            query = query.where(c.from_ns <= at_ns, c.until_ns > at_ns, c.revoked_ns.is_(None))
        with self._database.read() as connection:
            return [Absence(*row) for row in connection.execute(query)]

    # -- outcomes -------------------------------------------------------------------------------

    def outcomes(
        self,
        *,
        subject_id: str | None = None,
        task_id: str | None = None,
        rule: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> list[OutcomeRow]:
        """Return outcomes in the order of time."""
        c = t.outcomes.c
        query = select(t.outcomes).order_by(c.ts_ns, c.outcome_id)
        for column, value in ((c.subject_id, subject_id), (c.task_id, task_id), (c.rule, rule)):
            if value is not None:
                query = query.where(column == value)
        if from_ns is not None:
            query = query.where(c.ts_ns >= from_ns)
        if to_ns is not None:
            query = query.where(c.ts_ns < to_ns)
        with self._database.read() as connection:
            return [OutcomeRow(*row) for row in connection.execute(query)]

    # -- into the log -----------------------------------------------------------------------------

    def take(self, shard: str, epoch: int, offset: int, arrival_ns: int) -> list[Feedback]:
        """Return what waits for a shard, after writing down where in its log it is fed.

        Parameters
        ----------
        shard, epoch
            Who takes.
        offset : int
            Position in the shard's log of the first one; each takes one position.
        arrival_ns : int
            The shard's clock: the records' arrival.

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard.
        """
        f, g = t.feedback.c, t.feedback_log.c
        waiting = (
            select(f.id, f.kind, f.body)
            .outerjoin(t.feedback_log, and_(g.id == f.id, g.shard == shard))
            .where(g.id.is_(None), or_(f.shard.is_(None), f.shard == shard))
            .order_by(f.id)
        )
        with self._database.read() as connection:
            if connection.execute(waiting.limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            hold(connection, shard, epoch)
            taken = [
                Feedback(row.id, offset + i, _record(row.kind, row.body, arrival_ns))
                for i, row in enumerate(connection.execute(waiting).all())
            ]
            rows = [
                {"shard": shard, "id": one.id, "offset": one.offset, "arrival_ns": arrival_ns}
                for one in taken
            ]
            write(connection, t.feedback_log, rows)
        return taken

    def untold(self, reader: str, arrival_ns: int, limit: int = 500) -> list[Feedback]:
        """Return what nobody wrote into a log yet (`reader` did not say :meth:`told`), in order."""
        f, g = t.feedback.c, t.feedback_log.c
        query = (
            select(f.id, f.kind, f.body)
            .outerjoin(t.feedback_log, and_(g.id == f.id, g.shard == reader))
            .where(g.id.is_(None))
            .order_by(f.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Feedback(r.id, r.id, _record(r.kind, r.body, arrival_ns)) for r in rows]

    def told(self, reader: str, taken: Sequence[Feedback], arrival_ns: int) -> None:
        """Note that records are durable in the logs; doing it twice changes nothing."""
        rows = [
            {"shard": reader, "id": one.id, "offset": one.offset, "arrival_ns": arrival_ns}
            for one in taken
        ]
        with self._database.write() as connection:
            write(connection, t.feedback_log, rows, How.NEW)

    def logged(self, shard: str, after_offset: int) -> list[Feedback]:
        """Return what was fed to a shard after an offset, to be fed again at the same places."""
        f, g = t.feedback.c, t.feedback_log.c
        query = (
            select(f.id, g.offset, f.kind, f.body, g.arrival_ns)
            .join(t.feedback_log, g.id == f.id)
            .where(g.shard == shard, g.offset > after_offset)
            .order_by(g.offset)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Feedback(r.id, r.offset, _record(r.kind, r.body, r.arrival_ns)) for r in rows]


# -- used within transactions -----------------------------------------------------------------


def quiets(connection: Connection, subject_id: str, at_ns: int) -> list[Quiet]:
    """Return what quiets, or not long ago quieted, a subject."""
    c = t.absences.c
    query = select(t.absences).where(
        c.subject_id == subject_id, c.until_ns > at_ns - (2 * STRETCH_S + WATCH_S) * NS
    )
    return [Absence(*row).quiet for row in connection.execute(query)]


def queue(connection: Connection, records: Sequence[Event | Outcome]) -> None:
    """Let records wait for their shard (the one of the subject's alerts; none yet: every shard)."""
    c = t.alerts.c
    rows = []
    for record in records:
        query = select(func.min(c.shard)).where(c.subject_id == record.subject_id)
        if isinstance(record, Event) and record.kind in (SILENCE, SILENCE_ENDED):
            query = select(null())  # whom it concerns may live anywhere
        if isinstance(record, Outcome):
            query = select(c.shard).where(c.alert_id == record.alert_id)
            record_id, kind = record.outcome_id, "outcome"
        else:
            record_id, kind = record.event_id, "event"
        rows.append(
            {
                "record_id": record_id,
                "shard": connection.execute(query).scalar(),
                "kind": kind,
                "body": compact(_plain(record)),
                "at_ns": record.ts_ns,
            }
        )
    write(connection, t.feedback, rows, How.NEW)


def keep(connection: Connection, finding: Finding, row: OutcomeRow, also: Sequence[str]) -> None:
    """Write down a finding: the outcome, what it quiets, and the records for the log.

    Parameters
    ----------
    also : sequence of str
        Other alerts of the same task; each gets its record.
    """
    write(connection, t.outcomes, [row._asdict()])
    if finding.quiet is not None and row.subject_id is not None:
        absence = Absence(
            f"a-{row.outcome_id}", row.subject_id, row.kind, finding.quiet.from_ns,
            finding.quiet.until_ns, f"outcome:{row.outcome_id}", row.by, row.ts_ns, None, None,
        )  # fmt: skip
        write(connection, t.absences, [absence._asdict()])
    others = [
        replace(finding.outcome, outcome_id=f"{row.outcome_id}/{alert}", alert_id=alert)
        for alert in also
    ]
    queue(connection, [finding.outcome, *others, *finding.events])


def _absence(connection: Connection, absence_id: str) -> Absence | None:
    row = connection.execute(
        select(t.absences).where(t.absences.c.absence_id == absence_id)
    ).first()
    return Absence(*row) if row else None


_EVENT = ("event_id", "ts_ns", "kind", "subject_id", "place", "attrs", "source")
_OUTCOME = ("outcome_id", "ts_ns", "alert_id", "subject_id", "kind", "until_ns", "by")


def _plain(record: Event | Outcome) -> dict[str, Any]:
    names = _EVENT if isinstance(record, Event) else _OUTCOME
    return {name: getattr(record, name) for name in names}


def _record(kind: str, body: str, arrival_ns: int) -> Event | Outcome:
    fields = msgspec.json.decode(body)
    if kind == "event":
        return Event(**fields, arrival_ns=arrival_ns)
    return Outcome(**fields, arrival_ns=arrival_ns)
