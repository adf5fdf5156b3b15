"""Shards, alerts and snapshots: what a worker commits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select, tuple_, update

from engine.desk import Desk
from engine.hours import ns_of
from engine.snapshot import SnapshotRef
from engine.store import schema as t
from engine.store.access import Access
from engine.store.accounts import Accounts
from engine.store.activations import Activations
from engine.store.books import Books, Outbox
from engine.store.database import Database, How, chunks, connect, migrate, write
from engine.store.deliveries import Deliveries
from engine.store.errors import DeterminismViolation, SnapshotConflict
from engine.store.feeds import Feeds
from engine.store.holding import ShardRow, hold
from engine.store.people import People, Vault
from engine.store.pushes import Pushes
from engine.store.questions import Questions
from engine.store.ratings import Ratings
from engine.store.register import Register
from engine.store.rosters import Rosters
from engine.store.silences import Silences
from engine.store.tasks import Tasks
from engine.store.versions import Versions
from rules.alerts import AlertChange

NOTHING_COMMITTED = -1
"""Offset of a shard that has not committed anything."""
_LINES_AT_ONCE = 2_000


class AlertRow(NamedTuple):
    """An alert as it stands."""

    alert_id: str
    shard: str
    seq: int
    state: str
    level: str
    rule: str
    rule_version: str
    subject_id: str | None
    place: str
    onset_ns: int
    raised_ns: int
    at_ns: int
    evidence: float | None
    p_value: float | None
    budget: float | None


class Store:
    """Everything that must outlive a process; make one with :meth:`open`.

    Parameters
    ----------
    database : Database
    desk : Desk
        How alerts become tasks; replace it (:attr:`desk`) when rules change.
    vault : Vault, optional
        Key of the personal data; without it they can be neither written nor read.
    """

    def __init__(self, database: Database, desk: Desk, vault: Vault | None = None) -> None:
        self.database = database
        self.rosters = Rosters(database)
        self.people = People(database, vault)
        self.books = Books(database)
        self.outbox = Outbox(database)
        self.deliveries = Deliveries(database)
        self.register = Register(database)
        self.accounts = Accounts(database)
        self.access = Access(database)
        self.questions = Questions(database)
        self.versions = Versions(database)
        self.activations = Activations(database)
        self.silences = Silences(database)
        self.pushes = Pushes(database)
        self.ratings = Ratings(database)
        self.feeds = Feeds(database)
        self.tasks = Tasks(database, desk, self.rosters)

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        desk: Desk | None = None,
        vault: Vault | None = None,
        create: bool = True,
    ) -> Store:
        """Open a store, creating its tables or bringing them up to date.

        Parameters
        ----------
        url : str or Path
            ``sqlite:///FILE``, ``postgresql://USER@HOST/NAME``, or the path of a SQLite file.
        create : bool
            Whether a SQLite file that is not there is made (a mistyped name is not a new store).

        Raises
        ------
        StoreTooNew
            If a newer program wrote it.
        StoreError
            If it cannot be opened.
        """
        engine = connect(url, create=create)
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(Database(engine), desk or Desk(), vault)

    @property
    def desk(self) -> Desk:
        """How alerts become tasks."""
        return self.tasks.desk

    @desk.setter
    def desk(self, desk: Desk) -> None:
        self.tasks.desk = desk

    def close(self) -> None:
        """Give all connections back."""
        self.database.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- shards -------------------------------------------------------------------------------

    def claim(self, shard: str, *, holder: str = "") -> int:
        """Take a shard: raise its epoch, so that whoever held it can write no more."""
        with self.database.write() as connection:
            first = {
                "shard": shard,
                "epoch": 0,
                "holder": holder,
                "offset": NOTHING_COMMITTED,
                "clock_ns": 0,
            }
            write(connection, t.shards, [first], How.NEW)
            connection.execute(
                update(t.shards)
                .where(t.shards.c.shard == shard)
                .values(epoch=t.shards.c.epoch + 1, holder=holder)
            )
            query = select(t.shards.c.epoch).where(t.shards.c.shard == shard)
            return int(connection.execute(query).scalar_one())

    def shard(self, shard: str) -> ShardRow | None:
        """Return a shard's row, or None where nobody ever claimed it."""
        with self.database.read() as connection:
            row = connection.execute(select(t.shards).where(t.shards.c.shard == shard)).first()
        return ShardRow(*row) if row else None

    def shards(self) -> list[ShardRow]:
        """Return all shards, by name."""
        with self.database.read() as connection:
            return [ShardRow(*r) for r in connection.execute(select(t.shards).order_by("shard"))]

    def clock(self) -> int | None:
        """Return the newest event time that any shard committed, or None."""
        with self.database.read() as connection:
            newest = connection.execute(select(func.max(t.shards.c.clock_ns))).scalar()
        return int(newest) if newest else None

    # -- alerts -------------------------------------------------------------------------------

    def commit(
        self,
        shard: str,
        epoch: int,
        offset: int,
        changes: Sequence[AlertChange],
        *,
        clock_ns: int | None = None,
    ) -> int:
        """Make changes of alerts durable, and with them all that follows; all or nothing.

        1. Lock the shard's row and check its epoch.
        2. Insert each (alert_id, seq) that is not there; one that is must have the same body.
        3. Move the alerts to their newest change.
        4. Write the outbox, for rows really inserted only.
        5. Open, raise, cancel or note tasks (:mod:`engine.dispatch`), and their outbox.
        6. Note how far the log is committed, and its clock.

        Doing it again, wholly or in part, changes nothing.

        Parameters
        ----------
        shard, epoch
            Who writes.
        offset : int
            Position in the shard's log up to which everything is hereby committed.
        changes : sequence of AlertChange
            In the order of export.
        clock_ns : int, optional
            The shard's event time.

        Returns
        -------
        int
            Number of changes that were new.

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard.
        DeterminismViolation
            If a change is there with another body.
        """
        rows = [_change_row(shard, change) for change in changes]
        with self.database.write() as connection:
            held = hold(connection, shard, epoch)
            fresh = self._insert_changes(connection, rows)
            new = [c for c in changes if (c.alert_id, c.seq) in fresh]
            new = list({(c.alert_id, c.seq): c for c in new}.values())
            self._move_alerts(connection, shard, new)
            told = [
                {
                    # Nobody is to hear of what runs in shadow, but whoever watches the trial.
                    "topic": "shadow" if "shadow" in c.facts else "alert",
                    "key": c.alert_id,
                    "seq": c.seq,
                    "at_ns": ns_of(c.at),
                }
                for c in new
            ]
            write(connection, t.outbox, told)
            self.tasks.follow(connection, new)
            connection.execute(
                update(t.shards)
                .where(t.shards.c.shard == shard)
                .values(offset=max(held.offset, offset), clock_ns=max(held.clock_ns, clock_ns or 0))
            )
        return len(new)

    def _insert_changes(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> set[tuple[str, int]]:
        """Insert what is not there; return its keys. What is there must be the same."""
        c = t.alert_changes.c
        stored: dict[tuple[str, int], str] = {}
        for part in chunks([row["alert_id"] for row in rows]):
            query = select(c.alert_id, c.seq, c.body_hash).where(c.alert_id.in_(part))
            stored.update({(a, seq): digest for a, seq, digest in connection.execute(query)})
        fresh: dict[tuple[str, int], Mapping[str, Any]] = {}
        for row in rows:
            key = (row["alert_id"], row["seq"])
            there = stored.get(key) or fresh.setdefault(key, row)["body_hash"]
            if there != row["body_hash"]:
                raise DeterminismViolation(
                    f"alert {key[0]} change {key[1]}: is stored with hash {there}, came again "
                    f"with hash {row['body_hash']} from shard {row['shard']!r}; stop the shard, keep "
                    "its log and snapshot, and compare both bodies"
                )
        write(connection, t.alert_changes, list(fresh.values()))
        return set(fresh)

    def _move_alerts(
        self, connection: Connection, shard: str, changes: Sequence[AlertChange]
    ) -> None:
        newest: dict[str, AlertChange] = {}
        for change in changes:
            before = newest.get(change.alert_id)
            if before is None or change.seq > before.seq:
                newest[change.alert_id] = change
        rows = [_alert_row(shard, change) for change in newest.values()]
        write(connection, t.alerts, rows, How.NEWER)

    def overwrite(self, shard: str, epoch: int, changes: Sequence[AlertChange]) -> int:
        """Take lines that were computed anew after an erasure; return how many differ.

        No task and no outbox row follows from them: people were sent already.
        """
        rows = [_change_row(shard, change) for change in changes]
        c = t.alert_changes.c
        with self.database.write() as connection:
            hold(connection, shard, epoch)
            known: dict[tuple[str, int], str] = {}
            for part in chunks([row["alert_id"] for row in rows]):
                query = select(c.alert_id, c.seq, c.body_hash).where(c.alert_id.in_(part))
                known |= {(r.alert_id, r.seq): r.body_hash for r in connection.execute(query)}
            other = [r for r in rows if known.get((r["alert_id"], r["seq"])) != r["body_hash"]]
            write(connection, t.alert_changes, other, How.REPLACE)
            self._move_alerts(connection, shard, changes)
        return len(other)

    def alerts(
        self,
        *,
        state: str | None = None,
        place: str | None = None,
        subject: str | None = None,
        rule: str | None = None,
        limit: int | None = None,
    ) -> list[AlertRow]:
        """Return alerts as they stand, the newest change first.

        Parameters
        ----------
        place : str, optional
            Place code; all within it.
        """
        c = t.alerts.c
        query = select(t.alerts).order_by(c.at_ns.desc(), c.alert_id).limit(limit)
        for column, value in ((c.state, state), (c.subject_id, subject), (c.rule, rule)):
            if value is not None:
                query = query.where(column == value)
        if place is not None:
            query = query.where(c.place.startswith(place, autoescape=True))
        with self.database.read() as connection:
            return [AlertRow(*row) for row in connection.execute(query)]

    def changes(self, alert_id: str) -> list[AlertChange]:
        """Return all changes of an alert, in their order."""
        c = t.alert_changes.c
        query = select(c.body).where(c.alert_id == alert_id).order_by(c.seq)
        with self.database.read() as connection:
            bodies = [row.body for row in connection.execute(query)]
        return [msgspec.json.decode(body, type=AlertChange) for body in bodies]

    def lines(self, shard: str | None = None) -> Iterator[bytes]:
        """Yield the canonical line of every change, sorted by (at, alert_id, seq)."""
        c = t.alert_changes.c
        key = (c.at_ns, c.alert_id, c.seq)
        query = select(*key, c.body).order_by(*key).limit(_LINES_AT_ONCE)
        if shard is not None:
            query = query.where(c.shard == shard)
        last: tuple[Any, ...] | None = None
        while True:
            page = query if last is None else query.where(tuple_(*key) > tuple_(*last))
            with self.database.read() as connection:
                rows = connection.execute(page).all()
            yield from (row.body.encode() for row in rows)
            if len(rows) < _LINES_AT_ONCE:
                return
            last = tuple(rows[-1][:3])

    # -- snapshots ----------------------------------------------------------------------------

    def save_snapshot(
        self, shard: str, epoch: int, expected: SnapshotRef | None, new: SnapshotRef
    ) -> None:
        """Make a snapshot the current one, if `expected` still is (compare-and-swap).

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard.
        SnapshotConflict
            If another snapshot is current, or the new one covers what is not committed.
        """
        with self.database.write() as connection:
            held = hold(connection, shard, epoch)
            wanted = expected.file if expected else None
            # Asked again after a connection broke: it may be current already.
            if held.snapshot not in (wanted, new.file):
                raise SnapshotConflict(
                    f"shard {shard!r}: current snapshot is {held.snapshot}, expected {wanted}; "
                    "another process saved one, restore from it"
                )
            if new.offset > held.offset:
                raise SnapshotConflict(
                    f"shard {shard!r}: snapshot {new.file} reaches offset {new.offset}, alerts are "
                    f"committed up to {held.offset}; commit before saving"
                )
            row = {
                "shard": shard,
                "file": new.file,
                "epoch": new.epoch,
                "offset": new.offset,
                "sha256": new.sha256,
                "state_hash": new.state_hash,
                "nbytes": new.nbytes,
            }
            write(connection, t.snapshots, [row], How.REPLACE)
            connection.execute(
                update(t.shards).where(t.shards.c.shard == shard).values(snapshot=new.file)
            )

    def snapshots(self, shard: str) -> list[SnapshotRef]:
        """Return the snapshots that were current once and not dropped since, the last one first."""
        c = t.snapshots.c
        query = (
            select(c.shard, c.epoch, c.offset, c.file, c.sha256, c.nbytes, c.state_hash)
            .where(c.shard == shard)
            .order_by(c.epoch.desc(), c.offset.desc())
        )
        with self.database.read() as connection:
            return [SnapshotRef(*row) for row in connection.execute(query)]

    def current_snapshot(self, shard: str) -> SnapshotRef | None:
        """Return the current snapshot, or None."""
        row = self.shard(shard)
        name = row.snapshot if row else None
        return next((ref for ref in self.snapshots(shard) if ref.file == name), None)

    def drop_all_snapshots(self, shard: str) -> None:
        """Forget all snapshots of a shard: it starts from its log."""
        with self.database.write() as connection:
            connection.execute(t.snapshots.delete().where(t.snapshots.c.shard == shard))
            connection.execute(
                update(t.shards).where(t.shards.c.shard == shard).values(snapshot=None)
            )

    def drop_snapshots(self, shard: str, files: Sequence[str]) -> None:
        """Forget snapshots whose files retention has removed."""
        c = t.snapshots.c
        with self.database.write() as connection:
            connection.execute(t.snapshots.delete().where(c.shard == shard, c.file.in_(files)))


def _change_row(shard: str, change: AlertChange) -> dict[str, Any]:
    line = change.line()
    return {
        "alert_id": change.alert_id,
        "seq": change.seq,
        "shard": shard,
        "at_ns": ns_of(change.at),
        "body": line.decode(),
        "body_hash": hashlib.sha256(line).hexdigest(),
    }


def _alert_row(shard: str, change: AlertChange) -> dict[str, Any]:
    return {
        "alert_id": change.alert_id,
        "shard": shard,
        "seq": change.seq,
        "state": str(change.state),
        "level": str(change.level),
        "rule": change.rule,
        "rule_version": change.rule_version,
        "subject_id": change.subject_id,
        "place": change.place,
        "onset_ns": ns_of(change.onset),
        "raised_ns": ns_of(change.raised_at),
        "at_ns": ns_of(change.at),
        "evidence": change.evidence,
        "p_value": change.p_value,
        "budget": change.budget,
    }
