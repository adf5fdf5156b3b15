"""What is written down: runs, budgets, prices, the audit log, the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, select

from connectors.records import PriceRecord
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.database import Database, How, write
from engine.tasks import compact


class AuditLine(NamedTuple):
    """Who did or saw what."""

    id: int
    at_ns: int
    who: str
    action: str
    what: str
    detail: Mapping[str, Any]


class OutboxRow(NamedTuple):
    """Something that has to be told to the outside: ``topic`` ``alert`` or ``task``, by key."""

    id: int
    topic: str
    key: str
    seq: int
    at_ns: int


def audit_row(
    who: str, at_ns: int, action: str, what: str, detail: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a row of the audit log, to be inserted in the transaction it is about."""
    return {"who": who, "at_ns": at_ns, "action": action, "what": what, "detail": compact(detail)}


class Books:
    """Runs, budgets, prices and the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_run(self, run_id: str, kind: str, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest of a replay or run: inputs and hashes, options, versions."""
        row = {"run_id": run_id, "kind": kind, "manifest": compact(manifest)}
        with self._database.write() as connection:
            write(connection, t.runs, [row], How.REPLACE)

    def runs(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Return (run id, kind, manifest) of all runs, by id."""
        with self._database.read() as connection:
            rows = connection.execute(select(t.runs).order_by(t.runs.c.run_id)).all()
        return [(r.run_id, r.kind, msgspec.json.decode(r.manifest)) for r in rows]

    def note_job(self, name: str, body: str, at_ns: int) -> None:
        """Note what a piece of regular work last did."""
        row = {"name": name, "at_ns": at_ns, "body": body}
        with self._database.write() as connection:
            write(connection, tc.jobs, [row], How.REPLACE)

    def job(self, name: str) -> str | None:
        """Return what a piece of regular work last did, or None."""
        query = select(tc.jobs.c.body).where(tc.jobs.c.name == name)
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def put_budget(
        self, rule: str, false_alerts: float, *, scope: str, by: str, at_ns: int
    ) -> None:
        """Write down what a rule may spend from now on."""
        row = {
            "rule": rule, "at_ns": at_ns, "false_alerts": false_alerts, "scope": scope, "by": by
        }  # fmt: skip
        with self._database.write() as connection:
            write(connection, t.budgets, [row], How.REPLACE)

    def budgets(self) -> dict[str, tuple[float, str]]:
        """Return (false alerts per subject-year, scope) in force, by rule."""
        c = t.budgets.c
        query = select(c.rule, c.false_alerts, c.scope).order_by(c.at_ns)
        with self._database.read() as connection:
            return {r.rule: (r.false_alerts, r.scope) for r in connection.execute(query)}

    def put_prices(self, prices: Sequence[PriceRecord]) -> None:
        """Keep prices; one that is there already stays (replay reads what was recorded)."""
        rows = [
            {
                "rule": p.rule,
                "day": p.day,
                "index": p.index,
                "fraction": p.fraction,
                "arrival_ns": p.arrival_ns,
            }
            for p in prices
        ]
        with self._database.write() as connection:
            write(connection, t.prices, rows, How.NEW)

    def prices(self, rule: str | None = None) -> list[PriceRecord]:
        """Return the recorded prices, by rule and day."""
        c = t.prices.c
        query = select(c.rule, c.day, c.index, c.fraction, c.arrival_ns).order_by(c.rule, c.day)
        if rule is not None:
            query = query.where(c.rule == rule)
        with self._database.read() as connection:
            return [PriceRecord(*row) for row in connection.execute(query)]

    def audit(
        self, who: str, at_ns: int, action: str, what: str, detail: Mapping[str, Any]
    ) -> None:
        """Write a line into the audit log."""
        with self._database.write() as connection:
            line = audit_row(who, at_ns, action, what, detail)
            write(connection, t.audit_log, [line])

    def audit_log(self, what: str | None = None, limit: int | None = None) -> list[AuditLine]:
        """Return lines of the audit log, the newest first."""
        c = t.audit_log.c
        query = select(c.id, c.at_ns, c.who, c.action, c.what, c.detail).order_by(c.id.desc())
        if what is not None:
            query = query.where(c.what == what)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [AuditLine(*r[:5], msgspec.json.decode(r[5])) for r in rows]


class Outbox:
    """What still has to be told to the outside, at least once, by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, topic: str | None = None, limit: int = 1_000) -> list[OutboxRow]:
        """Return rows in the order they were written."""
        c = t.outbox.c
        query = select(c.id, c.topic, c.key, c.seq, c.at_ns).order_by(c.id).limit(limit)
        if topic is not None:
            query = query.where(c.topic == topic)
        with self._database.read() as connection:
            return [OutboxRow(*row) for row in connection.execute(query)]

    def done(self, ids: Sequence[int]) -> None:
        """Drop rows that were told; doing it twice changes nothing."""
        with self._database.write() as connection:
            for start in range(0, len(ids), 500):
                part = ids[start : start + 500]
                connection.execute(delete(t.outbox).where(t.outbox.c.id.in_(part)))
