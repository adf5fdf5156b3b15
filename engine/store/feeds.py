"""Health of what comes in, as the pipeline last told it; for people, nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from engine.store.database import Database, How, write
from engine.store.schema_console import feeds


class FeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one source, or of one kind of event.

    Parameters
    ----------
    name : str
        Its name for people: files that differ in their numbers are one source.
    kind : str
        ``source`` or ``events``.
    rows, quarantined, late, duplicate : int
        Since the runner began.
    last_ns : int
        Arrival of the newest row, event time.
    delay_s : float or None
        Median time from a reading's stamp to its arrival, of the last block.
    hours : tuple of int
        Rows of each of the last 24 hours, the newest last.
    """

    name: str
    kind: str
    rows: int = 0
    quarantined: int = 0
    late: int = 0
    duplicate: int = 0
    last_ns: int = 0
    delay_s: float | None = None
    hours: tuple[int, ...] = ()


class Feeds:
    """The feeds of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tell(self, rows: Sequence[FeedRow], at_ns: int) -> None:
        """Note how feeds are; those that are not named stay as they were."""
        found = [
            {
                "name": f"{row.kind}/{row.name}",
                "kind": row.kind,
                "body": msgspec.json.encode(row).decode(),
                "at_ns": at_ns,
            }
            for row in rows
        ]
        with self._database.write() as connection:
            write(connection, feeds, found, How.REPLACE)

    def list(self) -> Sequence[FeedRow]:
        """Return the feeds by kind and name."""
        query = select(feeds.c.body).order_by(feeds.c.name)
        with self._database.read() as connection:
            bodies = list(connection.execute(query).scalars())
        return [msgspec.json.decode(body, type=FeedRow) for body in bodies]
