"""Phones that want to be woken when a task comes (Web Push, RFC 8030)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import delete, or_, select

from engine.store.database import Database, How, write
from engine.store.schema_console import accounts, push_subscriptions

MOST = 5
"""Phones of one account; the one seen longest ago makes room."""
KEPT_S = 90 * 86_400.0
"""A phone that was not opened for so long is no longer anybody's."""


class Subscription(NamedTuple):
    """A phone's address at its maker's push service, and the keys that only it can read with."""

    subscription_id: str
    account: str
    endpoint: str
    p256dh: str
    auth: str


class Holder(NamedTuple):
    """A phone, whose it is, and in which language they read."""

    subscription: Subscription
    language: str


_COLUMNS = [push_subscriptions.c[name] for name in Subscription._fields]


def subscription_id(endpoint: str) -> str:
    """Return the id of an address: the same for every time it is told."""
    return "p-" + hashlib.sha256(endpoint.encode()).hexdigest()[:24]


class Pushes:
    """The phones of a store.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, account: str, *, endpoint: str, p256dh: str, auth: str, now_wall: float
    ) -> Subscription:
        """Take a phone in, or note that it is still there; a phone has one account, the last."""
        c = push_subscriptions.c
        row = Subscription(subscription_id(endpoint), account, endpoint, p256dh, auth)
        with self._database.write() as connection:
            old = or_(c.subscription_id == row.subscription_id, c.seen_wall < now_wall - KEPT_S)
            connection.execute(delete(push_subscriptions).where(old))
            write(
                connection, push_subscriptions, [row._asdict() | {"seen_wall": now_wall}], How.NEW
            )
            newest = (
                select(c.subscription_id)
                .where(c.account == account)
                .order_by(c.seen_wall.desc(), c.subscription_id)
            )
            beyond = list(connection.execute(newest).scalars())[MOST:]
            connection.execute(delete(push_subscriptions).where(c.subscription_id.in_(beyond)))
        return row

    def drop(self, subscription: str, account: str | None = None) -> bool:
        """Forget a phone, of this account alone if one is named; return whether there was one."""
        c = push_subscriptions.c
        mine = [c.subscription_id == subscription]
        if account is not None:
            mine.append(c.account == account)
        with self._database.write() as connection:
            return bool(connection.execute(delete(push_subscriptions).where(*mine)).rowcount)

    def of(self, actors: Collection[str]) -> list[Holder]:
        """Return the phones of workers (or of accounts that are nobody's), not of closed accounts."""
        a = accounts.c
        query = (
            select(*_COLUMNS, a.language)
            .join(accounts, a.name == push_subscriptions.c.account)
            .where(
                a.disabled == 0,
                or_(a.worker_id.in_(actors), a.worker_id.is_(None) & a.name.in_(actors)),
            )
            .order_by(push_subscriptions.c.subscription_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Holder(Subscription(*row[:-1]), row[-1]) for row in rows]
