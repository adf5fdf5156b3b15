"""Workers and places, as their files say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, select

from engine.roster import Roster, Worker
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.database import Database, write
from engine.store.questions import SubjectRow
from engine.tasks import compact


class PlaceRow(NamedTuple):
    """One row of the places file."""

    place: str
    parent: str | None
    name: str
    level: str


class Rosters:
    """Workers and places."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._roster: tuple[str, Roster] | None = None

    def put_workers(self, workers: Iterable[Worker]) -> None:
        """Replace the roster. Phones do not belong here: seal them with :class:`People`.

        Raises
        ------
        engine.roster.RosterError
            If a shift cannot be read.
        """
        workers = sorted(workers, key=lambda w: w.worker_id)
        Roster(workers)
        rows = [
            {
                "worker_id": w.worker_id,
                "name": w.name,
                "grids": compact(w.grids),
                "role": w.role,
                "shift": w.shift,
                "stand_in": w.stand_in,
            }
            for w in workers
        ]
        with self._database.write() as connection:
            connection.execute(delete(t.workers))
            write(connection, t.workers, rows)
        self._roster = None

    def workers(self) -> list[Worker]:
        """Return all workers, by id."""
        c = t.workers.c
        query = select(c.worker_id, c.name, c.grids, c.role, c.shift, c.stand_in)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.worker_id)).all()
        return [
            Worker(
                worker_id=r.worker_id,
                name=r.name,
                grids=tuple(msgspec.json.decode(r.grids)),
                role=r.role,
                shift=r.shift,
                stand_in=r.stand_in,
            )
            for r in rows
        ]

    def roster(self, zone: str) -> Roster:
        """Return the workers as a roster; read once, and again after :meth:`put_workers`."""
        if self._roster is None or self._roster[0] != zone:
            self._roster = (zone, Roster(self.workers(), zone))
        return self._roster[1]

    def refresh(self) -> None:
        """Read the roster again (another process has changed it)."""
        self._roster = None

    def put_places(self, places: Iterable[PlaceRow]) -> None:
        """Replace the names of places."""
        rows = [p._asdict() for p in places]
        with self._database.write() as connection:
            connection.execute(delete(t.places))
            write(connection, t.places, rows)

    def put_subjects(self, subjects: Iterable[SubjectRow]) -> None:
        """Replace what is watched, for the console; the pipeline has its own registry."""
        rows = [
            row._asdict() | {"attrs": compact(row.attrs), "meters": compact(list(row.meters))}
            for row in subjects
        ]
        with self._database.write() as connection:
            connection.execute(delete(tc.subjects))
            write(connection, tc.subjects, rows)

    def places(self) -> Mapping[str, PlaceRow]:
        """Return all places by code."""
        c = t.places.c
        query = select(c.place, c.parent, c.name, c.level).order_by(c.place)
        with self._database.read() as connection:
            return {r.place: PlaceRow(*r) for r in connection.execute(query)}
