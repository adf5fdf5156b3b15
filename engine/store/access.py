"""Sessions, API tokens, idempotency keys and leases.

Secrets are kept as SHA-256 hashes: they are 256 random bits, which no dictionary finds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, select, update

from engine.store import schema_console as t
from engine.store.books import audit_row
from engine.store.database import Database, How, write
from engine.store.errors import StoreError
from engine.store.schema import audit_log
from engine.tasks import compact

TOKEN_PREFIX = "gw_"  # noqa: S105  makes a leaked token findable
KEY_DAYS = 14
"""How long an idempotency key is remembered: longer than a phone stays offline."""


class SessionRow(NamedTuple):
    """Who is signed in."""

    session: str
    account: str
    csrf: str
    created_wall: float
    expires_wall: float


class TokenRow(NamedTuple):
    """An API token, without its secret."""

    token_id: str
    label: str
    account: str
    scopes: tuple[str, ...]
    created_wall: float
    expires_wall: float | None
    used_wall: float | None
    revoked: bool


class FencedError(StoreError):
    """Somebody else holds the lease by now."""


class Lease(NamedTuple):
    """The right to do what only one may do; every change it makes checks the token."""

    name: str
    holder: str
    token: int
    until_wall: float


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Access:
    """Sessions, tokens, idempotency keys and leases.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- sessions ---------------------------------------------------------------------------------

    def open_session(
        self, account: str, *, now_wall: float, hours: float
    ) -> tuple[str, SessionRow]:
        """Return (the cookie's secret, the session)."""
        secret = secrets.token_urlsafe(32)
        row = SessionRow(
            hash_secret(secret), account, secrets.token_urlsafe(24), now_wall,
            now_wall + hours * 3_600,
        )  # fmt: skip
        with self._database.write() as connection:
            connection.execute(delete(t.sessions).where(t.sessions.c.expires_wall < now_wall))
            write(connection, t.sessions, [row._asdict()])
        return secret, row

    def session(self, secret: str, now_wall: float) -> SessionRow | None:
        """Return the session of a cookie, or None."""
        query = select(t.sessions).where(
            t.sessions.c.session == hash_secret(secret), t.sessions.c.expires_wall > now_wall
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else SessionRow(*row)

    def live_sessions(self, now_wall: float) -> set[str]:
        """Return the ids of all sessions that have not ended."""
        query = select(t.sessions.c.session).where(t.sessions.c.expires_wall > now_wall)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def close_session(self, session: str) -> None:
        """End a session."""
        with self._database.write() as connection:
            connection.execute(delete(t.sessions).where(t.sessions.c.session == session))

    # -- tokens -----------------------------------------------------------------------------------

    def add_token(
        self,
        account: str,
        label: str,
        scopes: Sequence[str],
        *,
        days: int,
        now_wall: float,
        at_ns: int,
    ) -> tuple[str, TokenRow]:
        """Return (the secret, shown this once; the token)."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = TokenRow(
            "k-" + secrets.token_hex(6), label, account, tuple(sorted(set(scopes))), now_wall,
            now_wall + days * 86_400, None, False,
        )  # fmt: skip
        values = row._asdict() | {
            "scopes": compact(row.scopes),
            "revoked": 0,
            "secret": hash_secret(secret),
        }
        with self._database.write() as connection:
            write(connection, t.tokens, [values])
            detail = {"token": row.token_id, "scopes": row.scopes}
            line = audit_row(account, at_ns, "token_added", account, detail)
            write(connection, audit_log, [line])
        return secret, row

    def token(self, secret: str, now_wall: float) -> TokenRow | None:
        """Return the token of a secret, if it may be used; note that it was."""
        c = t.tokens.c
        query = select(t.tokens).where(c.secret == hash_secret(secret), c.revoked == 0)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None or (row.expires_wall is not None and row.expires_wall <= now_wall):
            return None
        if row.used_wall is None or now_wall - row.used_wall > 60:
            with self._database.write() as connection:
                connection.execute(
                    update(t.tokens).where(c.token_id == row.token_id).values(used_wall=now_wall)
                )
        return _token(row)

    def tokens(self, account: str | None = None) -> list[TokenRow]:
        """Return tokens, of one account or all, the newest first."""
        query = select(t.tokens).order_by(t.tokens.c.created_wall.desc(), t.tokens.c.token_id)
        if account is not None:
            query = query.where(t.tokens.c.account == account)
        with self._database.read() as connection:
            return [_token(row) for row in connection.execute(query)]

    def live_tokens(self, now_wall: float) -> set[str]:
        """Return the ids of all tokens that may be used."""
        c = t.tokens.c
        holds = c.expires_wall.is_(None) | (c.expires_wall > now_wall)
        query = select(c.token_id).where(c.revoked == 0, holds)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def revoke_token(self, token_id: str, *, by: str, at_ns: int) -> None:
        """Let a token be used no more."""
        with self._database.write() as connection:
            connection.execute(
                update(t.tokens).where(t.tokens.c.token_id == token_id).values(revoked=1)
            )
            line = audit_row(by, at_ns, "token_revoked", token_id, {})
            write(connection, audit_log, [line])

    # -- idempotency ------------------------------------------------------------------------------

    def remembered(self, account: str, key: str) -> str | None:
        """Return the hash of what was asked with a key before, or None."""
        c = t.requests.c
        query = select(c.body_hash).where(c.account == account, c.key == key)
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def remember(self, account: str, key: str, body_hash: str, now_wall: float) -> None:
        """Note what was done with a key."""
        row = {"account": account, "key": key, "body_hash": body_hash, "at_wall": now_wall}
        old = t.requests.c.at_wall < now_wall - KEY_DAYS * 86_400
        with self._database.write() as connection:
            write(connection, t.requests, [row], How.NEW)
            connection.execute(delete(t.requests).where(old))

    # -- leases -----------------------------------------------------------------------------------

    def lease(self, name: str, holder: str, *, now_wall: float, for_s: float) -> Lease | None:
        """Take or renew a lease; None while somebody else holds it."""
        c = t.leases.c
        with self._database.write() as connection:
            first = {"name": name, "holder": "", "token": 0, "until_wall": 0.0}
            write(connection, t.leases, [first], How.NEW)
            row = connection.execute(select(t.leases).where(c.name == name).with_for_update()).one()
            if row.holder != holder and row.until_wall > now_wall:
                return None
            token = row.token if row.holder == holder else row.token + 1
            taken = Lease(name, holder, token, now_wall + for_s)
            connection.execute(update(t.leases).where(c.name == name).values(**taken._asdict()))
        return taken

    def give_back(self, lease: Lease) -> None:
        """Let somebody else have a lease at once."""
        c = t.leases.c
        with self._database.write() as connection:
            connection.execute(
                update(t.leases)
                .where(c.name == lease.name, c.token == lease.token, c.holder == lease.holder)
                .values(until_wall=0.0, holder="")
            )


def fence(connection: Connection, lease: Lease) -> None:
    """Check within a transaction that a lease still holds; nobody can take it before the end.

    Raises
    ------
    FencedError
        If somebody else has taken it.
    """
    c = t.leases.c
    query = select(c.token, c.holder).where(c.name == lease.name).with_for_update()
    row = connection.execute(query).first()
    if row is None or (row.token, row.holder) != (lease.token, lease.holder):
        raise FencedError(
            f"lease {lease.name!r}: {lease.holder} held it with token {lease.token}, "
            f"{'nobody' if row is None else row.holder} holds it now; stop acting"
        )


def _token(row: object) -> TokenRow:
    values = {name: getattr(row, name) for name in TokenRow._fields}
    values["scopes"] = tuple(msgspec.json.decode(values["scopes"]))
    values["revoked"] = bool(values["revoked"])
    return TokenRow(**values)
