"""Who asks, and whether they may: one declaration per route, which the OpenAPI document repeats.

Roles decide what may be done (403), places decide what exists (404). A browser is known by its
cookie and has to show the session's CSRF token with every change; programs show a bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.store.access import SessionRow, TokenRow
from engine.store.accounts import AccountRow

COOKIE = "gridwarden"
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY = re.compile(r"[\x21-\x7e]{8,200}")


def console_of(request: Request) -> Console:
    """Return the console of the application."""
    console: Console = request.app.state.console
    return console


Here = Annotated[Console, Depends(console_of)]


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks."""

    account: AccountRow
    session: SessionRow | None = None
    token: TokenRow | None = None

    @property
    def actor(self) -> str:
        """Name in histories."""
        return self.account.actor

    @property
    def wall(self) -> bool:
        """Whether this is a wall that everybody in the room reads."""
        return self.account.wall

    @property
    def scope(self) -> tuple[str, ...]:
        """Places that may be seen."""
        return self.account.scope

    def has(self, *roles: str) -> bool:
        """Return whether the account has one of these roles."""
        return bool(set(roles) & set(self.account.roles))

    def sees(self, place: str) -> bool:
        """Return whether a place lies in scope."""
        return self.account.sees(place)

    def must_see(self, place: str, what: str = "") -> None:
        """Raise 404 for what lies outside the scope."""
        if not self.sees(place):
            raise not_found(what)


def address_of(request: Request) -> str:
    """Return the asker's address; X-Forwarded-For only from proxies that are configured."""
    peer = request.client.host if request.client else ""
    proxies = request.app.state.console.settings.proxies
    if peer in proxies:
        hops = [h.strip() for h in request.headers.get("x-forwarded-for", "").split(",")]
        for hop in reversed([h for h in hops if h]):
            if hop not in proxies:
                return hop[:64]
    return peer


def identify(request: Request, console: Console) -> Who:
    """Return who asks.

    Raises
    ------
    ApiError
        401 if nobody is known by what was sent.
    """
    now = console.wall()
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    session = token = None
    if scheme.lower() == "bearer" and secret:
        token = console.store.access.token(secret.strip(), now)
        name = None if token is None else token.account
    else:
        cookie = request.cookies.get(COOKIE)
        session = None if cookie is None else console.store.access.session(cookie, now)
        name = None if session is None else session.account
    account = None if name is None else console.store.accounts.get(name)
    if account is None or account.disabled:
        raise ApiError("signed_out")
    return Who(account, session, token)


class Allow:
    """Lets in whoever has one of the roles; none named: anybody who is signed in.

    Parameters
    ----------
    roles : str
    wall : bool
        Whether a wall display may call it, too.
    token : str, optional
        Token scope that it takes; default: ``read`` for GET, ``act`` for changes.
    """

    def __init__(self, *roles: str, wall: bool = False, token: str | None = None) -> None:
        self.roles = roles
        self.wall = wall
        self.token = token

    def allows(self, account: AccountRow) -> bool:
        """Return whether an account may call it."""
        if account.wall and not self.wall:
            return False
        return not self.roles or bool(set(self.roles) & set(account.roles))

    def __call__(self, request: Request) -> Who:
        """Check, and return who asks."""
        console = console_of(request)
        who = identify(request, console)
        if who.token is not None:
            wanted = self.token or ("read" if request.method in SAFE else "act")
            if wanted not in who.token.scopes:
                raise ApiError("forbidden", f"this token has no scope {wanted!r}")
        elif request.method not in SAFE:
            check_csrf(request, who)
        if not self.allows(who.account):
            raise ApiError("forbidden")
        return who


def check_csrf(request: Request, who: Who) -> None:
    """Raise 403 unless a change comes from a page of ours."""
    sent = request.headers.get(CSRF_HEADER, "")
    wanted = who.session.csrf if who.session else ""
    if not wanted or not hmac.compare_digest(sent.encode(), wanted.encode()):
        raise ApiError("csrf", f"header {CSRF_HEADER} is missing or not this session's")
    check_origin(request)


def check_origin(request: Request) -> None:
    """Raise 403 for a request that another site's page makes a browser send."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in ("same-origin", "none") or foreign:
        raise ApiError("csrf", "the request comes from another site")


class Once:
    """One request with an idempotency key: the same again changes nothing.

    The store's own acts take :attr:`key` and check it in their own transaction, so a crash between
    the act and :meth:`done` doubles nothing either.
    """

    def __init__(self, request: Request, who: Who, body: BaseModel | bytes | None) -> None:
        self._console = console_of(request)
        self._account = who.account.name
        self.key = request.headers.get("idempotency-key")
        if self.key is not None and not _KEY.fullmatch(self.key):
            raise ApiError("bad_request", "Idempotency-Key: wanted 8 to 200 printable ASCII")
        data = body if isinstance(body, bytes) else b"" if body is None else _canonical(body)
        asked = f"{request.method} {request.url.path}\n".encode() + data
        self._hash = hashlib.sha256(asked).hexdigest()
        self.replayed = False
        if self.key is not None:
            before = self._console.store.access.remembered(self._account, self.key)
            if before is not None and before != self._hash:
                raise ApiError("key_reused", "every request needs a key of its own")
            self.replayed = before is not None

    @property
    def scoped(self) -> str | None:
        """The key as the store knows it: nobody else's keys collide with it."""
        return None if self.key is None else f"{self._account}/{self.key}"

    def name(self, prefix: str) -> str | None:
        """Return an id that the same request gives again, or None without a key."""
        if self.key is None:
            return None
        text = f"{prefix}\x1f{self._account}\x1f{self.key}"
        return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def done(self, response: Response) -> None:
        """Note that it is done."""
        if self.key is None:
            return
        if self.replayed:
            response.headers["Idempotency-Replayed"] = "true"
            return
        self._console.store.access.remember(
            self._account, self.key, self._hash, self._console.wall()
        )


def _canonical(body: BaseModel) -> bytes:
    return body.model_dump_json(by_alias=True).encode()


def describe(routes: Iterable[Any]) -> dict[str, Allow | None]:
    """Write the roles of every route into its description (``x-roles``, ``x-wall``).

    Returns
    -------
    dict
        Guard by operation id; None where nobody needs to be signed in.
    """
    guards: dict[str, Allow | None] = {}
    for route in routes:
        allow = next(
            (d.call for d in route.dependant.dependencies if isinstance(d.call, Allow)), None
        )
        guards[str(route.operation_id)] = allow
        roles = [] if allow is None else list(allow.roles) or ["*"]
        extra = {"x-roles": roles, "x-wall": allow is not None and allow.wall}
        route.openapi_extra = {**(route.openapi_extra or {}), **extra}
    return guards
