"""Fleet prices over shards that run apart: tallies in, one price a rule and day out, exactly once.

A shard hands over what it counted on an event-day. Whoever comes last finds the day complete and
closes it, under a lock: so the reducer runs once, wherever, and what it says depends on the sums
alone. Days are closed in their order.

Rules that change are taken up where the log says so, between the day before and the day after: the
first shard that comes there, once the day before is closed, has the reducers aimed anew and their
prices written down; the others read them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Connection, delete, func, select

from connectors.records import PriceRecord
from detectors.budget import LAG_DAYS, Price, PriceReducer
from detectors.episodes import Tally
from engine.activation import rules_of
from engine.repricing import Reducers, reducers_of, retargeted
from engine.store import schema as t
from engine.store.activations import in_force, settle, settled
from engine.store.database import Database, How, write
from engine.store.errors import DeterminismViolation, StoreError
from engine.store.holding import hold
from engine.store.schema_city import reducers, tallies
from engine.tasks import compact

DAY_NS = 86_400 * 1_000_000_000
_ROW = "fleet"


class Settled(NamedTuple):
    """What a shard does at an activation."""

    taken: bool
    """False: it holds from another time; the one that says so is in the log as well."""
    prices: Mapping[str, Price]
    """That hold at once, by rule."""


class PriceBook:
    """Tallies and prices of a district.

    Parameters
    ----------
    database : Database
    shards : int
        How many shards the district has; a day is closed once all of them handed it over.
    """

    def __init__(self, database: Database, shards: int) -> None:
        self._database = database
        self.shards = shards

    def hand_over(self, shard: str, epoch: int, day: int, counted: Mapping[str, Tally]) -> None:
        """Write down what a shard counted on an event-day; the same again changes nothing.

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard.
        DeterminismViolation
            If the shard said something else of that day before.
        """
        body = compact(
            {
                rule: [tally.reached.tolist(), int(tally.exposure_s), int(tally.spent)]
                for rule, tally in sorted(counted.items())
            }
        )
        c = tallies.c
        with self._database.write() as connection:
            hold(connection, shard, epoch)
            if day <= self._closed(connection):
                return  # reduced, and so handed over, long ago
            write(connection, tallies, [{"day": day, "shard": shard, "body": body}], How.NEW)
            there = connection.execute(
                select(c.body).where(c.day == day, c.shard == shard)
            ).scalar_one()
            if there != body:
                raise DeterminismViolation(
                    f"shard {shard!r} counted something else on day {day} than before; stop it and "
                    "call the operator"
                )

    def prices(self, day: int) -> list[PriceRecord] | None:
        """Return the prices of an event-day by rule, closing days that are complete.

        None while some shard has not handed over the day that they come from. Of a district's
        first days there are none: the shipped prices hold.
        """
        source = day - LAG_DAYS
        c = t.prices.c
        with self._database.read() as connection:
            closed = self._closed(connection)
        if closed < source:
            closed = self._close(source)
        if closed < source:
            return None
        query = select(c.rule, c.day, c.index, c.fraction, c.arrival_ns).where(c.day == day)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(c.rule)).all()
        return [PriceRecord(*row) for row in rows]

    def begin(self, day: int) -> int:
        """Fix the district's first event-day, once; return it."""
        with self._database.write() as connection:
            state = _pack(_fresh(connection))
            row = {"name": _ROW, "day": day - 1, "state": state}
            write(connection, reducers, [row], How.NEW)
        return self.first_day()

    def settle(self, seq: int, at_ns: int) -> Settled | None:
        """Return what an activation comes to; None while it is not told, or its day not begun.

        Parameters
        ----------
        seq, at_ns
            Its number, and its time as the shard's log has it.

        Raises
        ------
        ActivationError
            If this program reads the rules as another version.
        """
        with self._database.read() as connection:
            known, told, prices = settled(connection, seq)
        if not told:
            return None
        if known.at_ns != at_ns:
            return Settled(False, {})
        if prices is None:
            before = at_ns // DAY_NS - 1
            with self._database.read() as connection:
                closed = self._closed(connection)
            if closed < before and self._close(before) < before:
                return None
            prices = self._retarget(seq)
        return Settled(True, {rule: Price(*price) for rule, price in prices.items()})

    def _retarget(self, seq: int) -> Mapping[str, list[float]]:
        """Aim the reducers by the rules of an activation, once; return the prices."""
        with self._database.write() as connection:
            query = select(reducers.c.day, reducers.c.state).where(reducers.c.name == _ROW)
            row = connection.execute(query.with_for_update()).one()
            known, _, prices = settled(connection, seq)
            if prices is None:
                before = _unpack(_fresh(connection), row.state)
                made, found = retargeted(before, rules_of(known.record))
                prices = {n: [p.day, p.index, p.fraction] for n, p in found.items()}
                settle(connection, seq, prices)
                same = {"name": _ROW, "day": row.day, "state": _pack(made)}
                write(connection, reducers, [same], How.REPLACE)
        return prices

    def first_day(self) -> int:
        """Return the last closed event-day's successor."""
        with self._database.read() as connection:
            return self._closed(connection) + 1

    @staticmethod
    def _closed(connection: Connection) -> int:
        query = select(reducers.c.day).where(reducers.c.name == _ROW)
        found = connection.execute(query).scalar()
        if found is None:
            raise StoreError(
                "prices: the district has not begun; the gateway's first tick begins it"
            )
        return int(found)

    def _close(self, up_to: int) -> int:
        """Close days that are complete, in order, up to one; return the last closed day."""
        with self._database.write() as connection:
            query = select(reducers.c.day, reducers.c.state).where(reducers.c.name == _ROW)
            row = connection.execute(query.with_for_update()).one()
            day = int(row.day)
            made: Reducers | None = None
            while day < up_to and self._complete(connection, day + 1):
                day += 1
                made = made or _unpack(_fresh(connection), row.state)
                found = self._reduce(connection, made, day)
                write(connection, t.prices, found, How.NEW)
            if made is not None:
                write(
                    connection,
                    reducers,
                    [{"name": _ROW, "day": day, "state": _pack(made)}],
                    How.REPLACE,
                )
                connection.execute(delete(tallies).where(tallies.c.day <= day))
        return day

    def _complete(self, connection: Connection, day: int) -> bool:
        query = select(func.count()).where(tallies.c.day == day)
        return int(connection.execute(query).scalar_one()) >= self.shards

    def _reduce(self, connection: Connection, made: Reducers, day: int) -> list[dict[str, object]]:
        query = select(tallies.c.body).where(tallies.c.day == day)
        totals: dict[str, Tally] = {}
        for row in connection.execute(query):
            for rule, (reached, exposure_s, spent) in msgspec.json.decode(row.body).items():
                mine = Tally(np.array(reached, np.int64), exposure_s, spent)
                totals[rule] = totals.get(rule, Tally()) + mine
        found = []
        for rule, reducer in made.items():
            price = reducer.close(day, totals.get(rule, Tally()))
            found.append(
                {
                    "rule": rule,
                    "day": price.day,
                    "index": price.index,
                    "fraction": price.fraction,
                    "arrival_ns": (day + 1) * DAY_NS,
                }
            )
        return found


def _fresh(connection: Connection) -> dict[str, PriceReducer]:
    """Return the reducers of the rules in force, in their first state."""
    return reducers_of(rules_of(in_force(connection)))


def _pack(made: Reducers) -> bytes:
    arrays = {f"{rule}/{k}": v for rule, r in made.items() for k, v in r.snapshot().items()}
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
    return out.getvalue()


def _unpack(made: Reducers, data: bytes) -> Reducers:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for rule, reducer in made.items():
            mine = {n[len(rule) + 1 :]: arrays[n] for n in arrays.files if n.startswith(f"{rule}/")}
            if mine:
                reducer.restore(mine)
    return made
