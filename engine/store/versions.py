"""Versions of the rules: proposed with their tests and dry run, approved by a second person.

A version is its content. What is in force is said by the activations in a shard's log; this table
says what may be activated, since when, and on whose word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select, update

from engine.store import schema as t
from engine.store.books import audit_row
from engine.store.database import Database, How, write
from engine.store.errors import StoreError
from engine.tasks import compact


class Status(StrEnum):
    """Where a version stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    ACTIVE = "active"
    RETIRED = "retired"


class ApprovalError(StoreError):
    """A version cannot be moved on; the message says what is missing."""


class RuleVersion(NamedTuple):
    """The rule files of one version, by content."""

    version: str
    rules: Mapping[str, str]
    """File name → YAML."""
    author: str
    approver: str | None
    status: str
    """A :class:`Status`."""
    at_ns: int
    note: str
    budgets: Mapping[str, float]
    """Budgets that are not those of the files, by rule."""
    tests: Mapping[str, Any] | None
    """``tests``, ``passed``, ``failed``, ``untested`` (rules without a test)."""
    dry_run: Mapping[str, Any] | None
    """As :func:`engine.dryrun_page.as_json` says."""
    approved_ns: int | None
    from_ns: int | None
    """Event time from which it is, or was last, to be in force."""

    @property
    def people(self) -> str:
        """Who wrote it and on whose word it may be in force, for logs and lists."""
        return self.author + (f", approved by {self.approver}" if self.approver else "")


def same_person(one: str, other: str) -> bool:
    """Return whether two names are one person's, however they are written."""
    return one.strip().casefold() == other.strip().casefold()


class Versions:
    """The versions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def propose(
        self,
        version: str,
        rules: Mapping[str, str],
        *,
        author: str,
        at_ns: int,
        budgets: Mapping[str, float] | None = None,
        note: str = "",
        tests: Mapping[str, Any] | None = None,
        dry_run: Mapping[str, Any] | None = None,
    ) -> bool:
        """Keep a version for approval; return whether it is new.

        The same content again keeps its author, and takes the newer tests and dry run while it
        waits for approval.

        Raises
        ------
        ApprovalError
            If nobody proposes it.
        """
        if not author.strip():
            raise ApprovalError(f"rules {version}: a proposal needs its author")
        with self._database.write() as connection:
            known = _row(connection, version)
            row = {
                "version": version,
                "rules": compact(dict(rules)),
                "author": author,
                "approver": None,
                "status": str(Status.PROPOSED),
                "at_ns": at_ns,
                "note": note,
                "budgets": compact(dict(budgets or {})),
                "tests": None if tests is None else compact(tests),
                "dry_run": None if dry_run is None else compact(dry_run),
            }
            if known is None:
                write(connection, t.rule_versions, [row])
            elif known.status == Status.PROPOSED:
                newer = {k: row[k] for k in ("tests", "dry_run") if row[k] is not None}
                if newer:
                    _set(connection, version, **newer)
            _tell(connection, author, at_ns, "rules_proposed", version, {"note": note})
            return known is None

    def rehearsed(self, version: str, dry_run: Mapping[str, Any], *, by: str, at_ns: int) -> None:
        """Keep a dry run with the version that it is of.

        Raises
        ------
        ApprovalError
            If there is no such version, or the dry run is of other rules.
        """
        told = dry_run.get("new", {}).get("version")
        if told != version:
            raise ApprovalError(f"rules {version}: the dry run is of {told}")
        with self._database.write() as connection:
            _needed(connection, version)
            _set(connection, version, dry_run=compact(dry_run))
            _tell(connection, by, at_ns, "rules_rehearsed", version, {})

    def approve(
        self, version: str, *, by: str, at_ns: int, from_ns: int, unrehearsed: bool = False
    ) -> RuleVersion:
        """Approve a version, to be in force from an event time on.

        The beginning of its name is enough where only one begins so.

        Raises
        ------
        ApprovalError
            If there is no such version (or several), its author approves it, it does not wait for approval, its
            tests did not pass, or nobody rehearsed it (and `unrehearsed` does not accept that).
        """
        with self._database.write() as connection:
            known = _named(connection, version)
            version = known.version
            if not by.strip() or same_person(by, known.author):
                raise ApprovalError(
                    f"rules {version}: {known.author!r} wrote them and cannot approve them; "
                    "ask a second person"
                )
            if known.status != Status.PROPOSED:
                raise ApprovalError(
                    f"rules {version}: are {known.status}; only what is proposed can be approved"
                    + ("; `rules rollback` brings back what was in force" if known.approver else "")
                )
            if known.tests is None or known.tests.get("failed"):
                raise ApprovalError(
                    f"rules {version}: their tests "
                    + ("were not run" if known.tests is None else "failed")
                    + "; mend them and propose them again"
                )
            if known.dry_run is None and not unrehearsed:
                raise ApprovalError(
                    f"rules {version}: were not rehearsed on history; propose them again with "
                    "--dry-run JSON (made by `gridwarden rules dry-run --json JSON`), or approve them with --unrehearsed"
                )
            _set(
                connection,
                version,
                status=Status.APPROVED,
                approver=by,
                approved_ns=at_ns,
                from_ns=from_ns,
            )
            detail = {
                "author": known.author,
                "from_ns": from_ns,
                "unrehearsed": known.dry_run is None,
            }
            _tell(connection, by, at_ns, "rules_approved", version, detail)
            return _needed(connection, version)

    def rollback(self, *, by: str, at_ns: int, to: str | None = None, why: str = "") -> RuleVersion:
        """Bring back a version that was in force before (the last one, or `to`), from now on.

        It was approved once; who is on duty may bring it back alone.

        Raises
        ------
        ApprovalError
            If there is none.
        """
        with self._database.write() as connection:
            if to is None:
                c = t.rule_versions.c
                query = (
                    select(c.version).where(c.status == Status.RETIRED).order_by(c.from_ns.desc())
                )
                to = connection.execute(query.limit(1)).scalar()
                if to is None:
                    raise ApprovalError(
                        "no version was in force before this one: nothing to go back to"
                    )
            known = _named(connection, to)
            to = known.version
            if known.status != Status.RETIRED:
                raise ApprovalError(
                    f"rules {to}: are {known.status}; only what was in force can be brought back"
                )
            # Rules of a first start nobody approved: they come back on the word of this one.
            approver = known.approver or by
            _set(connection, to, status=Status.APPROVED, approver=approver, from_ns=at_ns)
            _tell(connection, by, at_ns, "rules_rolled_back", to, {"why": why})
            return _needed(connection, to)

    def due(self, now_ns: int) -> list[RuleVersion]:
        """Return approved versions whose time has come, in the order in which they take effect."""
        c = t.rule_versions.c
        query = _ALL.where(c.status == Status.APPROVED, c.from_ns <= now_ns)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.from_ns, c.approved_ns, c.version)).all()
        return [_version(row) for row in rows]

    def activated(
        self,
        version: str,
        rules: Mapping[str, str],
        *,
        by: str,
        at_ns: int,
        budgets: Mapping[str, float] | None = None,
    ) -> None:
        """Note that a version is in force now (the log says so), and the one before is not.

        A version that nobody proposed (files of the folder, the rules of the first start) is kept,
        too: a rollback can name it.
        """
        c = t.rule_versions.c
        with self._database.write() as connection:
            known = _row(connection, version)
            if known is not None and known.status == Status.ACTIVE:
                return
            if known is None:
                row = {
                    "version": version, "rules": compact(dict(rules)), "author": by,
                    "approver": None, "status": str(Status.ACTIVE), "at_ns": at_ns, "note": "",
                    "budgets": compact(dict(budgets or {})),
                }  # fmt: skip
                write(connection, t.rule_versions, [row], How.NEW)
            connection.execute(
                update(t.rule_versions)
                .where(c.status == Status.ACTIVE, c.version != version)
                .values(status=str(Status.RETIRED))
            )
            _set(connection, version, status=Status.ACTIVE, from_ns=at_ns)
            _tell(connection, by, at_ns, "rules_activated", version, {})

    def list(self, version: str | None = None) -> Sequence[RuleVersion]:
        """Return versions, the newest first (or those whose name begins so)."""
        c = t.rule_versions.c
        query = _ALL.order_by(c.at_ns.desc(), c.version)
        if version is not None:
            query = query.where(c.version.startswith(version, autoescape=True))
        with self._database.read() as connection:
            return [_version(row) for row in connection.execute(query)]

    @property
    def active(self) -> RuleVersion | None:
        """The version in force, as far as this store was told."""
        query = _ALL.where(t.rule_versions.c.status == Status.ACTIVE)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _version(row)


_ALL = select(*(t.rule_versions.c[name] for name in RuleVersion._fields))


def _version(row: Any) -> RuleVersion:
    plain = {
        name: None if value is None else msgspec.json.decode(value)
        for name, value in row._mapping.items()
        if name in ("rules", "budgets", "tests", "dry_run")
    }
    return RuleVersion(**{**row._mapping, **plain})


def _row(connection: Connection, version: str) -> RuleVersion | None:
    query = _ALL.where(t.rule_versions.c.version == version).with_for_update()
    row = connection.execute(query).first()
    return None if row is None else _version(row)


def _needed(connection: Connection, version: str) -> RuleVersion:
    known = _row(connection, version)
    if known is None:
        raise ApprovalError(f"rules {version!r}: no such version; see `gridwarden rules versions`")
    return known


def _named(connection: Connection, beginning: str) -> RuleVersion:
    """Return the version of that name, or the only one whose name begins so."""
    c = t.rule_versions.c
    query = select(c.version).where(c.version.startswith(beginning, autoescape=True))
    names = [] if not beginning else sorted(connection.execute(query).scalars())
    if beginning not in names and len(names) > 1:
        raise ApprovalError(f"rules {beginning!r}: several versions begin so: {', '.join(names)}")
    return _needed(connection, beginning if beginning in names or not names else names[0])


def _set(connection: Connection, version: str, **values: Any) -> None:
    plain = {k: str(v) if isinstance(v, Status) else v for k, v in values.items()}
    connection.execute(
        update(t.rule_versions).where(t.rule_versions.c.version == version).values(**plain)
    )


def _tell(
    connection: Connection, who: str, at_ns: int, action: str, what: str, detail: Mapping[str, Any]
) -> None:
    write(connection, t.audit_log, [audit_row(who, at_ns, action, what, detail)])
