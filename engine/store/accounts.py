"""Accounts: who can sign in, as what, where. Passwords are argon2id hashes (RFC 9106).

References
----------
OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, two passes, one lane, the setting that
bounds what many sign-ins at once take of memory.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from engine.store import schema_console as t
from engine.store.books import audit_row
from engine.store.database import Database, write
from engine.store.errors import StoreError
from engine.store.schema import audit_log
from engine.tasks import compact

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ROLES = ("command", "dispatcher", "gridworker", "data", "admin", "auditor")
SHORTEST_PASSWORD = 12
FAILURES_OF_NAME, FAILURES_OF_ADDRESS = 10, 50
LOCK_S = 900.0
"""So many wrong passwords within this time lock a name, or an address, for as long."""

_AT_ONCE = threading.BoundedSemaphore(4)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # only who signs in needs it

    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@cache
def _nobody() -> str:
    """Return what is checked where there is no account: time tells nobody which names exist."""
    return _hasher().hash(secrets.token_urlsafe(16))


class AccountError(StoreError):
    """An account cannot be made or changed; the message says why."""


class LockedError(StoreError):
    """Too many wrong passwords; ``wait_s`` says for how long."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many wrong passwords; wait {wait_s:.0f} s")
        self.wait_s = wait_s


class AccountRow(NamedTuple):
    """An account, without its password."""

    name: str
    display: str
    roles: tuple[str, ...]
    scope: tuple[str, ...]
    worker_id: str | None
    wall: bool
    language: str
    theme: str
    disabled: bool
    signed_in_wall: float | None

    def sees(self, place: str) -> bool:
        """Return whether a place lies in the account's scope."""
        return any(place.startswith(code) for code in self.scope)

    @property
    def actor(self) -> str:
        """Who it is in histories: the worker, or the account."""
        return self.worker_id or self.name


_COLUMNS = [t.accounts.c[name] for name in AccountRow._fields]


def make_password() -> str:
    """Return a random password that people can read out: five groups of four."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ["".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(5)]
    return "-".join(groups)


def hash_password(name: str, password: str) -> str:
    """Return the hash of a new password.

    Raises
    ------
    AccountError
        If it is too short, or is the name.
    """
    if len(password) < SHORTEST_PASSWORD or password.lower() == name.lower():
        raise AccountError(
            f"password of {name!r}: wanted at least {SHORTEST_PASSWORD} characters, "
            "and not the name itself"
        )
    with _AT_ONCE:
        return _hasher().hash(password)


class Accounts:
    """The accounts.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        name: str,
        *,
        roles: Sequence[str],
        scope: Sequence[str],
        password: str | None,
        by: str,
        at_ns: int,
        display: str = "",
        worker_id: str | None = None,
        wall: bool = False,
        oidc_subject: str | None = None,
    ) -> AccountRow:
        """Make an account.

        Raises
        ------
        AccountError
            If there is one of that name, a role is unknown, or the password is too short.
        """
        _known(roles)
        hashed = None if password is None else hash_password(name, password)
        row = {
            "name": name, "display": display or name, "roles": compact(sorted(set(roles))),
            "scope": compact(sorted(set(scope))), "worker_id": worker_id, "wall": int(wall),
            "language": "zh", "theme": "dark" if wall else "auto", "disabled": 0,
            "password": hashed, "oidc_subject": oidc_subject, "signed_in_wall": None,
        }  # fmt: skip
        with self._database.write() as connection:
            if _one(connection, name) is not None:
                raise AccountError(f"account {name!r}: is there already; choose another name")
            write(connection, t.accounts, [row])
            detail = {"roles": sorted(set(roles)), "scope": sorted(set(scope))}
            write(connection, audit_log, [audit_row(by, at_ns, "account_added", name, detail)])
            made = _one(connection, name)
        assert made is not None
        return made

    def get(self, name: str) -> AccountRow | None:
        """Return an account, or None."""
        with self._database.read() as connection:
            return _one(connection, name)

    def list(self) -> list[AccountRow]:
        """Return all accounts, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(t.accounts.c.name)).all()
        return [_row(r) for r in rows]

    def of_oidc(self, subject: str) -> AccountRow | None:
        """Return the account of an identity provider's subject, or None."""
        query = select(*_COLUMNS).where(t.accounts.c.oidc_subject == subject)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _row(row)

    def change(self, name: str, *, by: str, at_ns: int, **changes: Any) -> AccountRow:
        """Change an account; what may be done with it from now on ends its sessions.

        Raises
        ------
        AccountError
            If there is none, a role is unknown, or nobody would be left to administer.
        """
        values = dict(changes)
        if "roles" in values:
            _known(values["roles"])
            values["roles"] = compact(sorted(set(values["roles"])))
        if "scope" in values:
            values["scope"] = compact(sorted(set(values["scope"])))
        for flag in ("wall", "disabled"):
            if flag in values:
                values[flag] = int(values[flag])
        with self._database.write() as connection:
            if _one(connection, name) is None:
                raise AccountError(f"account {name!r}: there is none")
            if values:
                connection.execute(
                    update(t.accounts).where(t.accounts.c.name == name).values(**values)
                )
            mattered = {"roles", "disabled"} & values.keys()
            if mattered and not any(
                "admin" in a.roles and not a.disabled for a in _all(connection)
            ):
                raise AccountError("nobody would be left to administer: keep one admin")
            if values.keys() - {"language", "theme"}:
                connection.execute(delete(t.sessions).where(t.sessions.c.account == name))
                line = audit_row(by, at_ns, "account_changed", name, changes)
                write(connection, audit_log, [line])
            changed = _one(connection, name)
        assert changed is not None
        return changed

    def set_password(self, name: str, password: str, *, by: str, at_ns: int) -> None:
        """Set a password; all sessions of the account end.

        Raises
        ------
        AccountError
            If there is no such account, or the password is too short.
        """
        hashed = hash_password(name, password)
        with self._database.write() as connection:
            done = connection.execute(
                update(t.accounts).where(t.accounts.c.name == name).values(password=hashed)
            )
            if done.rowcount == 0:
                raise AccountError(f"account {name!r}: there is none")
            connection.execute(delete(t.sessions).where(t.sessions.c.account == name))
            write(connection, audit_log, [audit_row(by, at_ns, "password_set", name, {})])

    # -- signing in -------------------------------------------------------------------------------

    def check(
        self, name: str, password: str, *, address: str, now_wall: float
    ) -> AccountRow | None:
        """Return the account if the password is right, else None (and count it).

        Raises
        ------
        LockedError
            If the name or the address is locked. The password is not even looked at.
        """
        keys = {f"name:{name}": FAILURES_OF_NAME, f"address:{address}": FAILURES_OF_ADDRESS}
        with self._database.read() as connection:
            for key, most in keys.items():
                wait_s = _locked(connection, key, most, now_wall)
                if wait_s > 0:
                    raise LockedError(wait_s)
            query = select(t.accounts.c.password).where(t.accounts.c.name == name)
            hashed = connection.execute(query).scalar()
            account = _one(connection, name)
        usable = account is not None and not account.disabled and hashed is not None
        right = _verify(hashed if usable and hashed else _nobody(), password)
        f = t.sign_in_failures
        with self._database.write() as connection:
            if usable and right:
                connection.execute(delete(f).where(f.c.key == f"name:{name}"))
                connection.execute(
                    update(t.accounts)
                    .where(t.accounts.c.name == name)
                    .values(signed_in_wall=now_wall)
                )
                return account
            write(connection, f, [{"key": key, "at_wall": now_wall} for key in keys])
            connection.execute(delete(f).where(f.c.at_wall < now_wall - LOCK_S))
        return None


def _verify(hashed: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerifyMismatchError

    with _AT_ONCE:
        try:
            return _hasher().verify(hashed, password)
        except (VerifyMismatchError, InvalidHashError):
            return False


def _locked(connection: Connection, key: str, most: int, now_wall: float) -> float:
    c = t.sign_in_failures.c
    query = select(func.count(), func.min(c.at_wall)).where(
        c.key == key, c.at_wall > now_wall - LOCK_S
    )
    count, first = connection.execute(query).one()
    return float(first) + LOCK_S - now_wall if count >= most else 0.0


def _known(roles: Sequence[str]) -> None:
    wrong = sorted(set(roles) - set(ROLES))
    if wrong or not roles:
        raise AccountError(f"roles {wrong}: unknown; wanted some of {', '.join(ROLES)}")


def _one(connection: Connection, name: str) -> AccountRow | None:
    row = connection.execute(select(*_COLUMNS).where(t.accounts.c.name == name)).first()
    return None if row is None else _row(row)


def _all(connection: Connection) -> list[AccountRow]:
    return [_row(r) for r in connection.execute(select(*_COLUMNS))]


def _row(row: Any) -> AccountRow:
    values = row._asdict()
    for name in ("roles", "scope"):
        values[name] = tuple(msgspec.json.decode(values[name]))
    for name in ("wall", "disabled"):
        values[name] = bool(values[name])
    return AccountRow(**values)
