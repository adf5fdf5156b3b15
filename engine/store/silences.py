"""Silences: kept here for people, and sent into the log, where they take effect."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from connectors.records import Event
from engine.store import schema as t
from engine.store.books import audit_row
from engine.store.database import Database, write
from engine.store.errors import StoreError
from engine.store.register import queue
from engine.store.schema_console import silences
from rules.alerts import stamp
from rules.silences import SILENCE, SILENCE_ENDED, Silence


class SilenceRow(NamedTuple):
    """A silence, and whether somebody ended it early."""

    silence: Silence
    ended_ns: int | None

    @property
    def end_ns(self) -> int:
        """When it really ends."""
        until_ns = self.silence.until_ns
        return until_ns if self.ended_ns is None else min(until_ns, self.ended_ns)


class Silences:
    """The silences of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        *,
        from_ns: int,
        until_ns: int,
        author: str,
        reason: str,
        at_ns: int,
        rule: str | None = None,
        subject_id: str | None = None,
        place: str | None = None,
        silence_id: str | None = None,
    ) -> Silence:
        """Keep alerts from sending people for a while; the same again changes nothing.

        Without an id of its own a silence is what it says: the same words are the same silence.

        Raises
        ------
        rules.silences.SilenceError
            If it names nothing, nobody, no reason, or a time that does not end.
        """
        parts = (rule or "", subject_id or "", place or "", str(from_ns), str(until_ns), author)
        digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
        silence = Silence(
            silence_id=silence_id or f"s-{digest[:12]}", from_ns=from_ns, until_ns=until_ns, author=author,
            reason=reason, rules=(rule,) if rule else (), subject_id=subject_id, place=place,
        )  # fmt: skip
        with self._database.write() as connection:
            known = _row(connection, silence.silence_id)
            if known is not None:
                return known.silence
            row = {
                "silence_id": silence.silence_id,
                "rule": rule,
                "place": place,
                "subject_id": subject_id,
                "from_ns": from_ns,
                "until_ns": until_ns,
                "by": author,
                "why": reason,
                "revoked_ns": None,
            }
            write(connection, silences, [row])
            attrs = {
                "silence_id": silence.silence_id,
                "rules": list(silence.rules),
                "from": stamp(from_ns),
                "until": stamp(until_ns),
                "author": author,
                "reason": reason,
            }
            event = Event(silence.silence_id, at_ns, SILENCE, subject_id, place, attrs, at_ns)
            queue(connection, [event])
            line = audit_row(author, at_ns, "silence_added", silence.silence_id, attrs)
            write(connection, t.audit_log, [line])
        return silence

    def end(self, silence_id: str, *, by: str, at_ns: int) -> SilenceRow:
        """End a silence early; whom it kept at home is sent at the next turn of the clock.

        Raises
        ------
        StoreError
            If there is none of that id.
        """
        with self._database.write() as connection:
            known = _row(connection, silence_id)
            if known is None:
                raise StoreError(
                    f"silence {silence_id!r}: there is none; see `gridwarden rules silence list`"
                )
            if known.ended_ns is not None or known.silence.until_ns <= at_ns:
                return known
            connection.execute(
                update(silences).where(silences.c.silence_id == silence_id).values(revoked_ns=at_ns)
            )
            h = t.held_back.c
            connection.execute(
                update(t.held_back)
                .where(h.status == "waiting", h.reason == f"silenced:{silence_id}")
                .values(due_ns=at_ns)
            )
            event = Event(
                f"{silence_id}/ended", at_ns, SILENCE_ENDED, known.silence.subject_id,
                known.silence.place, {"silence_id": silence_id, "by": by}, at_ns,
            )  # fmt: skip
            queue(connection, [event])
            line = audit_row(by, at_ns, "silence_ended", silence_id, {})
            write(connection, t.audit_log, [line])
        return known._replace(ended_ns=at_ns)

    def list(self, at_ns: int | None = None) -> Sequence[SilenceRow]:
        """Return silences, the one that ends last first; with `at_ns` only what holds then."""
        query = select(silences).order_by(silences.c.until_ns.desc(), silences.c.silence_id)
        with self._database.read() as connection:
            found = [_made(row) for row in connection.execute(query)]
        if at_ns is None:
            return found
        return [row for row in found if row.silence.from_ns <= at_ns < row.end_ns]


def _row(connection: Connection, silence_id: str) -> SilenceRow | None:
    query = select(silences).where(silences.c.silence_id == silence_id)
    row = connection.execute(query).first()
    return None if row is None else _made(row)


def _made(row: Row[Any]) -> SilenceRow:
    made = Silence(
        silence_id=row.silence_id, from_ns=row.from_ns, until_ns=row.until_ns, author=row.by,
        reason=row.why, rules=(row.rule,) if row.rule else (), subject_id=row.subject_id,
        place=row.place,
    )  # fmt: skip
    return SilenceRow(made, row.revoked_ns)
