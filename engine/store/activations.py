"""Activations of rules in a city: decided once, written into every shard's log, then told.

1. *Decided*, under a lease: a number, a version, and an event time before which it must not hold.
2. Written into every log with the time from which it holds, a little ahead of the clock.
3. *Told*, once all logs have it durably: now that time stands for ever. A shard that comes to a time
   which is not told waits; one that was written by a gateway which ended before it could tell is
   passed over, because what was told has another time.

Number 0 is what the district began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from connectors.records import Activation
from engine.store.database import Database, How, write
from engine.store.errors import StoreError
from engine.store.schema_city import activations
from engine.tasks import compact

Guard = Callable[[Connection], None]
_BODY = ("rules_yaml", "author", "budgets")


@dataclass(frozen=True, slots=True)
class Announced:
    """An activation under its number; its arrival is when it takes effect."""

    seq: int
    record: Activation

    @property
    def at_ns(self) -> int:
        """Event time from which the rules hold."""
        return self.record.arrival_ns


class Activations:
    """What a store's shards are to take up.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, record: Activation) -> Activation:
        """Fix the rules that the district begins with, once; return them."""
        with self._database.write() as connection:
            write(connection, activations, [_row(Announced(0, record), told=True)], How.NEW)
        return self.get(0).record

    def get(self, seq: int) -> Announced:
        """Return an activation by its number.

        Raises
        ------
        StoreError
            If there is none.
        """
        with self._database.read() as connection:
            found = connection.execute(_ALL.where(activations.c.seq == seq)).first()
        if found is None:
            raise StoreError(
                f"activation {seq} of rules: the store has none; is it the store of this city?"
            )
        return _announced(found)

    def list(self, after: int = -1) -> list[Announced]:
        """Return those that were told, behind a number, in their order."""
        c = activations.c
        query = _ALL.where(c.seq > after, c.told == 1).order_by(c.seq)
        with self._database.read() as connection:
            return [_announced(row) for row in connection.execute(query)]

    @property
    def open(self) -> Announced | None:
        """The one that was decided and not told yet."""
        query = _ALL.where(activations.c.told == 0)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _announced(row)

    # -- whoever holds the lease ------------------------------------------------------------

    def decide(self, record: Activation, guard: Guard) -> Announced | None:
        """Give an activation its number; None if it is the newest, or another is not told yet.

        Parameters
        ----------
        record : Activation
            Its arrival: before that it must not hold; put behind the one before, if need be.
        guard : callable
            Checks, within the transaction, that who decides may.
        """
        c = activations.c
        with self._database.write() as connection:
            guard(connection)
            newest = connection.execute(_ALL.order_by(c.seq.desc()).limit(1)).one()
            if not newest.told or newest.version == record.version:
                return None
            made = Announced(
                newest.seq + 1, replace(record, arrival_ns=max(record.arrival_ns, newest.at_ns + 1))
            )
            write(connection, activations, [_row(made, told=False)])
        return made

    def tell(self, seq: int, at_ns: int, guard: Guard) -> bool:
        """Note that every log has it, and from when it holds; return False if that was told."""
        c = activations.c
        with self._database.write() as connection:
            guard(connection)
            mine = update(activations).where(c.seq == seq, c.told == 0)
            return bool(connection.execute(mine.values(at_ns=at_ns, told=1)).rowcount)


# -- used within transactions -----------------------------------------------------------------


def settled(connection: Connection, seq: int) -> tuple[Announced, bool, Mapping[str, Any] | None]:
    """Return an activation, whether it was told, and the prices that were found for it."""
    row = connection.execute(_ALL.where(activations.c.seq == seq)).one()
    prices = None if row.prices is None else msgspec.json.decode(row.prices)
    return _announced(row), bool(row.told), prices


def settle(connection: Connection, seq: int, prices: Mapping[str, Any]) -> None:
    """Write down the prices at an activation."""
    mine = update(activations).where(activations.c.seq == seq)
    connection.execute(mine.values(prices=compact(prices)))


def in_force(connection: Connection) -> Activation:
    """Return the newest activation that has its prices: by it the reducer counts."""
    c = activations.c
    newest = select(func.max(c.seq)).where(c.prices.is_not(None))
    row = connection.execute(_ALL.where(c.seq == newest.scalar_subquery())).first()
    if row is None:
        raise StoreError("rules: the district has not begun; its gateway or worker begins it")
    return _announced(row).record


_ALL = select(*(activations.c[n] for n in ("seq", "version", "at_ns", "told", "body", "prices")))


def _row(one: Announced, *, told: bool) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "version": one.record.version,
        "at_ns": one.at_ns,
        "told": int(told),
        "body": compact({name: getattr(one.record, name) for name in _BODY}),
        "prices": "{}" if one.seq == 0 else None,
    }


def _announced(row: Any) -> Announced:
    body = msgspec.json.decode(row.body)
    return Announced(row.seq, Activation(row.version, arrival_ns=row.at_ns, **body))
