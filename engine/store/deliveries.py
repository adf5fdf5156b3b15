"""From the outbox to channels: one row per thing to tell and channel, gone once it was told.

The truth of alerts and tasks is in their own tables. What lies here only says who still has to
hear of which change; a channel that lost what it was told is told again (:meth:`Deliveries.again`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, literal, select, text, update

from engine.store import schema as t
from engine.store import schema_city as tc
from engine.store.database import CHUNK, Database, How, write
from engine.store.schema_console import jobs
from engine.tasks import WAITING, compact

CURSOR = "relay"
"""Job that notes up to which number the outbox was handed to channels."""
AT_ONCE = 1_000
Guard = Callable[[Connection], None]


class Delivery(NamedTuple):
    """One change for one channel."""

    id: int
    channel: str
    topic: str
    key: str
    seq: int
    at_ns: int
    attempts: int
    problem: str | None = None

    @property
    def name(self) -> str:
        """The same for every time and channel it is told: who hears twice can know."""
        return f"{self.topic}:{self.key}:{self.seq}"


class Backlog(NamedTuple):
    """What a channel still has to tell."""

    waiting: int
    dead: int
    oldest_ns: int | None
    """Event time of the oldest one waiting."""


class Deliveries:
    """What is on its way to the outside.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- from the outbox ------------------------------------------------------------------

    def hand_out(
        self, channels: Mapping[str, Sequence[str]], *, keep: int, guard: Guard | None = None
    ) -> int:
        """Give new rows of the outbox to all channels that want their topic; return how many.

        Rows that were given out stay for the console, `keep` of them.

        Parameters
        ----------
        channels : mapping of str to sequence of str
            Topics by channel.
        guard : callable, optional
            Raises if somebody else does this by now; called within the transaction.
        """
        c = t.outbox.c
        with self._database.write() as connection:
            if guard is not None:
                guard(connection)
            cursor = _number(connection, CURSOR)
            found = self._after(connection, cursor)
            if not found:
                return 0
            rows = [
                {"channel": channel, "topic": r.topic, "key": r.key, "seq": r.seq, "at_ns": r.at_ns}
                for r in found
                for channel, topics in channels.items()
                if r.topic in topics
            ]
            write(connection, tc.deliveries, rows)
            cursor = found[-1].id
            _note(connection, CURSOR, cursor)
            connection.execute(delete(t.outbox).where(c.id <= cursor - keep))
        return len(found)

    @staticmethod
    def _after(connection: Connection, cursor: int) -> Sequence[Any]:
        """Return rows after a number, in an order that no row can fall behind.

        PostgreSQL gives a number before its row can be seen. Where numbers are missing, the table
        is locked against writers for a moment: then every number up to the newest is either there
        or never will be.
        """
        c = t.outbox.c
        query = (
            select(c.id, c.topic, c.key, c.seq, c.at_ns)
            .where(c.id > cursor)
            .order_by(c.id)
            .limit(AT_ONCE)
        )
        found = connection.execute(query).all()
        whole = not found or found[-1].id == cursor + len(found)
        if not whole and connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE outbox IN SHARE MODE"))
            found = connection.execute(query).all()
        return found

    # -- to a channel ---------------------------------------------------------------------

    def due(self, channel: str, now_wall: float, limit: int = AT_ONCE) -> list[Delivery]:
        """Return what a channel is to tell now, in the order of the outbox."""
        c = tc.deliveries.c
        query = (
            _rows()
            .where(c.channel == channel, c.dead == 0, c.due_wall <= now_wall)
            .order_by(c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [Delivery(*row) for row in connection.execute(query)]

    def told(self, ids: Sequence[int], *, mark: tuple[str, int] | None = None) -> None:
        """Drop what was told; with it note what the channel has now, as (name, number)."""
        c = tc.deliveries.c
        with self._database.write() as connection:
            for start in range(0, len(ids), CHUNK):
                connection.execute(
                    delete(tc.deliveries).where(c.id.in_(ids[start : start + CHUNK]))
                )
            if mark is not None:
                _note(connection, mark[0], mark[1])

    def later(self, id_: int, problem: str, due_wall: float, *, counts: bool = True) -> None:
        """Tell it again at a time; `counts`: as a failed attempt."""
        c = tc.deliveries.c
        with self._database.write() as connection:
            connection.execute(
                update(tc.deliveries)
                .where(c.id == id_)
                .values(
                    attempts=c.attempts + int(counts), problem=problem[:2_000], due_wall=due_wall
                )
            )

    def put_aside(self, id_: int, problem: str) -> None:
        """Try no more; it stays, with its problem, until :meth:`revive` or :meth:`drop`."""
        c = tc.deliveries.c
        with self._database.write() as connection:
            connection.execute(
                update(tc.deliveries)
                .where(c.id == id_)
                .values(attempts=c.attempts + 1, problem=problem[:2_000], dead=1)
            )

    def again(self, channel: str, mark: tuple[str, int]) -> int:
        """Put every task that nobody has signed among what a channel is to tell; return how many.

        For doorbells whose server lost what it was told. `mark`: as in :meth:`told`.
        """
        k = t.tasks.c
        query = select(
            literal(channel), literal("task"), k.task_id, k.seq, k.updated_ns
        ).where(k.state.in_(sorted(WAITING)))  # fmt: skip
        with self._database.write() as connection:
            into = insert(tc.deliveries).from_select(
                ["channel", "topic", "key", "seq", "at_ns"], query, include_defaults=False
            )
            rows = connection.execute(into).rowcount
            _note(connection, mark[0], mark[1])
        return int(rows)

    def mark(self, name: str) -> int:
        """Return the number noted last under a name, or 0."""
        with self._database.read() as connection:
            return _number(connection, name)

    # -- for people -----------------------------------------------------------------------

    def backlog(self) -> dict[str, Backlog]:
        """Return what each channel still has to tell."""
        c = tc.deliveries.c
        waiting = func.sum(1 - c.dead)
        oldest = func.min(c.at_ns).filter(c.dead == 0)
        query = select(c.channel, waiting, func.sum(c.dead), oldest).group_by(c.channel)
        with self._database.read() as connection:
            return {r[0]: Backlog(int(r[1]), int(r[2]), r[3]) for r in connection.execute(query)}

    def dead(self, channel: str | None = None) -> list[Delivery]:
        """Return what was put aside, the oldest first."""
        c = tc.deliveries.c
        query = _rows().where(c.dead == 1).order_by(c.id)
        if channel is not None:
            query = query.where(c.channel == channel)
        with self._database.read() as connection:
            return [Delivery(*row) for row in connection.execute(query)]

    def revive(self, channel: str | None = None) -> int:
        """Try what was put aside once more, from the first attempt; return how many."""
        c = tc.deliveries.c
        change = update(tc.deliveries).where(c.dead == 1)
        if channel is not None:
            change = change.where(c.channel == channel)
        with self._database.write() as connection:
            done = connection.execute(change.values(dead=0, attempts=0, due_wall=0.0))
        return int(done.rowcount)

    def drop(self, channel: str) -> int:
        """Forget everything for a channel that is no more; return how many rows."""
        with self._database.write() as connection:
            query = delete(tc.deliveries).where(tc.deliveries.c.channel == channel)
            return int(connection.execute(query).rowcount)


def _rows() -> Any:
    c = tc.deliveries.c
    return select(c.id, c.channel, c.topic, c.key, c.seq, c.at_ns, c.attempts, c.problem)


def _number(connection: Connection, name: str) -> int:
    body = connection.execute(select(jobs.c.body).where(jobs.c.name == name)).scalar()
    return 0 if body is None else int(msgspec.json.decode(body)["number"])


def _note(connection: Connection, name: str, number: int) -> None:
    row = {"name": name, "at_ns": 0, "body": compact({"number": number})}
    write(connection, jobs, [row], How.REPLACE)
