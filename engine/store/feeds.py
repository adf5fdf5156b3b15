"""Health of what comes in, as the pipeline last told it; for people, nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from engine.store.database import Database, How, write
from engine.store.schema_console import feeds

HOUR_NS = 3_600 * 1_000_000_000
DAY_NS = 24 * HOUR_NS


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

    def tell(self, rows: Sequence[FeedRow], at_ns: int, by: str = "") -> None:
        """Note how feeds are; those that are not named stay as they were.

        Parameters
        ----------
        by : str
            Which of several gateways says so; each has its own word, :meth:`list` adds them up.
        """
        found = [
            {
                "name": f"{row.kind}/{row.name}" + (f"@{by}" if by else ""),
                "kind": row.kind,
                "body": msgspec.json.encode(row).decode(),
                "at_ns": at_ns,
            }
            for row in rows
        ]
        with self._database.write() as connection:
            write(connection, feeds, found, How.REPLACE)

    def list(self) -> Sequence[FeedRow]:
        """Return the feeds by kind and name, over all who tell of them."""
        query = select(feeds.c.body, feeds.c.at_ns)
        told: dict[tuple[str, str], list[tuple[int, FeedRow]]] = {}
        with self._database.read() as connection:
            for body, at_ns in connection.execute(query):
                row = msgspec.json.decode(body, type=FeedRow)
                told.setdefault((row.kind, row.name), []).append((int(at_ns), row))
        return [_together(told[key]) for key in sorted(told)]


def _together(told: list[tuple[int, FeedRow]]) -> FeedRow:
    """Return one feed of what several say of it; who has said nothing for a day is gone."""
    newest_ns = max(at_ns for at_ns, _ in told)
    there = [(at_ns, row) for at_ns, row in told if newest_ns - at_ns < DAY_NS]
    last = max((row for _, row in there), key=lambda row: row.last_ns)
    hours = [0] * max(len(row.hours) for _, row in there)
    for at_ns, row in there:
        old = newest_ns // HOUR_NS - at_ns // HOUR_NS  # hours end with the one in which it was told
        for i, n in enumerate(row.hours):
            if i >= old:
                hours[i - old] += n
    return FeedRow(
        name=last.name,
        kind=last.kind,
        rows=sum(row.rows for _, row in there),
        quarantined=sum(row.quarantined for _, row in there),
        late=sum(row.late for _, row in there),
        duplicate=sum(row.duplicate for _, row in there),
        last_ns=last.last_ns,
        delay_s=last.delay_s,
        hours=tuple(hours),
    )
