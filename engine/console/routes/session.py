"""Signing in and out, health, preferences."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from engine.console.boards import Done, Health
from engine.console.context import Console
from engine.console.errors import ApiError
from engine.console.requests import PasswordChange, Preferences, SignIn
from engine.console.schemas import Account, Clock, Session, SignInOptions, Text
from engine.console.security import (
    COOKIE,
    Allow,
    Here,
    Who,
    address_of,
    check_origin,
)
from engine.store import StoreError
from engine.store.access import SessionRow
from engine.store.accounts import AccountRow
from rules.alerts import stamp

router = APIRouter(tags=["session"])
Anyone = Annotated[Who, Depends(Allow(wall=True))]


def account_view(row: AccountRow) -> Account:
    """Return an account as the API shows it."""
    return Account(
        name=row.name,
        display=row.display,
        roles=list(row.roles),
        scope=list(row.scope),
        worker_id=row.worker_id,
        wall=row.wall,
        language=row.language,
        theme=row.theme,
        disabled=row.disabled,
        signed_in_at=None if row.signed_in_wall is None else stamp(int(row.signed_in_wall) * 10**9),
    )


def session_view(
    request: Request, console: Console, account: AccountRow, session: SessionRow | None
) -> Session:
    """Return who is signed in and what they may call."""
    guards = request.app.state.guards.items()
    can = [name for name, guard in guards if guard is not None and guard.allows(account)]
    expires = session.expires_wall if session else console.wall() + 3_600
    return Session(
        account=account_view(account),
        csrf=session.csrf if session else "",
        expires=stamp(int(expires) * 10**9),
        clock=console.time(),
        can=sorted(can),
        version=console.version,
    )


def set_cookie(response: Response, console: Console, secret: str) -> None:
    """Hand the browser its session: no script reads it, no other site sends it."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(console.settings.session_hours * 3_600),
        httponly=True,
        secure=console.settings.secure_cookies,
        samesite="strict",
        path="/",
    )


@router.get("/health", operation_id="health")
def health(console: Here) -> Health:
    """Tell whether the console and its store work."""
    try:
        clock = console.store.clock()
        works = True
    except StoreError:
        clock, works = None, False
    return Health(
        status="ok" if works else "degraded",
        store=works,
        event_time=None if clock is None else stamp(clock),
        version=console.version,
    )


@router.get("/sign-in", operation_id="sign_in_options")
def sign_in_options(console: Here) -> SignInOptions:
    """Tell what the sign-in page offers."""
    settings = console.settings
    return SignInOptions(
        oidc=None if settings.oidc is None else settings.oidc.title,
        site=Text(zh=settings.title_zh, en=settings.title_en),
        simulated=console.simulated,
        version=console.version,
    )


@router.post("/session", operation_id="sign_in")
def sign_in(request: Request, response: Response, console: Here, body: SignIn) -> Session:
    """Sign in with name and password."""
    check_origin(request)
    now = console.wall()
    account = console.store.accounts.check(
        body.name, body.password.get_secret_value(), address=address_of(request), now_wall=now
    )
    if account is None:
        raise ApiError("wrong_password")
    secret, session = console.store.access.open_session(
        account.name, now_wall=now, hours=console.settings.session_hours
    )
    set_cookie(response, console, secret)
    console.store.books.audit(
        account.name, console.now_ns(), "signed_in", account.name, {"wall": int(now)}
    )
    return session_view(request, console, account, session)


@router.get("/session", operation_id="session")
def session(request: Request, console: Here, who: Anyone) -> Session:
    """Tell who is signed in."""
    return session_view(request, console, who.account, who.session)


@router.delete("/session", operation_id="sign_out")
def sign_out(response: Response, console: Here, who: Anyone) -> Done:
    """Sign out."""
    if who.session is not None:
        console.store.access.close_session(who.session.session)
    response.delete_cookie(COOKIE, path="/")
    return Done()


@router.patch("/session/preferences", operation_id="set_preferences")
def set_preferences(console: Here, who: Anyone, body: Preferences) -> Account:
    """Remember language and theme."""
    changes = body.model_dump(exclude_none=True)
    row = console.store.accounts.change(
        who.account.name, by=who.account.name, at_ns=console.now_ns(), **changes
    )
    return account_view(row)


@router.post("/session/password", operation_id="change_password")
def change_password(
    request: Request, console: Here, who: Annotated[Who, Depends(Allow())], body: PasswordChange
) -> Done:
    """Change one's own password; every session of the account ends."""
    right = console.store.accounts.check(
        who.account.name,
        body.old.get_secret_value(),
        address=address_of(request),
        now_wall=console.wall(),
    )
    if right is None:
        raise ApiError("wrong_password")
    console.store.accounts.set_password(
        who.account.name,
        body.new.get_secret_value(),
        by=who.account.name,
        at_ns=console.now_ns(),
    )
    return Done()


@router.get("/clock", operation_id="clock")
def clock(console: Here, _: Anyone) -> Clock:
    """Tell event time."""
    return console.time()
