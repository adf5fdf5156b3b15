"""Accounts, tokens, the audit log, consent, retention."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import SecretStr
from sqlalchemy import select, update

from engine.console.boards import AuditEntry, Consent, Done, Retention
from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.console.requests import AccountChange, ConsentChange, NewAccount, TokenRequest
from engine.console.routes.params import (
    Cursor,
    From,
    Id,
    Limit,
    When,
    Word,
    ns_of,
    read_cursor,
    write_cursor,
)
from engine.console.routes.session import account_view
from engine.console.schemas import Account, Model, NewToken, Page, Token
from engine.console.security import Allow, Here, Who
from engine.console.views import when
from engine.store import schema as t
from engine.store import schema_console as tc
from engine.store.access import TokenRow
from engine.store.accounts import make_password
from engine.store.books import audit_row
from engine.store.database import write
from rules.alerts import stamp

router = APIRouter(tags=["people"])
Admin = Annotated[Who, Depends(Allow("admin"))]
Auditor = Annotated[Who, Depends(Allow("auditor"))]
Either = Annotated[Who, Depends(Allow("admin", "auditor"))]
Anyone = Annotated[Who, Depends(Allow())]
LOOKS = ("personal_data_seen", "photo_seen", "series_exported")


class NewPassword(Model):
    """A new password, shown this once."""

    password: str


class Added(Account):
    """A new account; with its password where one was made for it."""

    password: str | None = None


# -- accounts ---------------------------------------------------------------------------------------


@router.get("/accounts", operation_id="accounts")
def accounts(console: Here, _: Either) -> list[Account]:
    """List all accounts."""
    return [account_view(row) for row in console.store.accounts.list()]


def _worker(console: Console, worker_id: str | None) -> None:
    if worker_id and worker_id not in console.workers:
        raise ApiError("refused", f"worker {worker_id!r} is unknown; see the roster")


@router.post("/accounts", operation_id="add_account")
def add_account(console: Here, who: Admin, body: NewAccount) -> Added:
    """Make an account; without a password one is made and shown this once."""
    _worker(console, body.worker_id)
    made = None if body.password else make_password()
    password = body.password.get_secret_value() if body.password else made
    row = console.store.accounts.add(
        body.name, roles=body.roles, scope=body.scope, password=password, display=body.display,
        worker_id=body.worker_id, wall=body.wall, oidc_subject=body.oidc_subject,
        by=who.account.name, at_ns=console.now_ns(),
    )  # fmt: skip
    return Added(**account_view(row).model_dump(), password=made)


@router.patch("/accounts/{name}", operation_id="change_account")
def change_account(console: Here, who: Admin, name: Id, body: AccountChange) -> Account:
    """Change an account; its sessions end."""
    if console.store.accounts.get(name) is None:
        raise not_found(f"account {name!r}")
    _worker(console, body.worker_id)
    row = console.store.accounts.change(
        name, by=who.account.name, at_ns=console.now_ns(), **body.model_dump(exclude_none=True)
    )
    return account_view(row)


@router.post("/accounts/{name}/password", operation_id="reset_password")
def reset_password(console: Here, who: Admin, name: Id, response: Response) -> NewPassword:
    """Give an account a new random password, shown this once; its sessions end."""
    if console.store.accounts.get(name) is None:
        raise not_found(f"account {name!r}")
    made = SecretStr(make_password())
    console.store.accounts.set_password(
        name, made.get_secret_value(), by=who.account.name, at_ns=console.now_ns()
    )
    response.headers["Cache-Control"] = "no-store"
    return NewPassword(password=made.get_secret_value())


# -- tokens -----------------------------------------------------------------------------------------


def _token(row: TokenRow) -> dict[str, Any]:
    def wall(seconds: float | None) -> str | None:
        return None if seconds is None else stamp(int(seconds) * 10**9)

    return {
        "token_id": row.token_id,
        "label": row.label,
        "account": row.account,
        "scopes": list(row.scopes),
        "created": wall(row.created_wall),
        "expires": wall(row.expires_wall),
        "last_used": wall(row.used_wall),
        "revoked": row.revoked,
    }


@router.get("/tokens", operation_id="tokens")
def tokens(console: Here, who: Anyone) -> list[Token]:
    """List one's own tokens; an admin sees all."""
    of = None if who.has("admin") else who.account.name
    return [Token(**_token(row)) for row in console.store.access.tokens(of)]


@router.post("/tokens", operation_id="add_token")
def add_token(console: Here, who: Anyone, body: TokenRequest) -> NewToken:
    """Make a token with at most one's own rights; its secret is shown this once."""
    if who.token is not None:
        raise ApiError("forbidden", "a token cannot make tokens; sign in")
    if "messages" in body.scopes and not who.has("admin"):
        raise ApiError("forbidden", "only an admin makes tokens for the message gateway")
    secret, row = console.store.access.add_token(
        who.account.name, body.label, body.scopes, days=body.days, now_wall=console.wall(),
        at_ns=console.now_ns(),
    )  # fmt: skip
    return NewToken(**_token(row), secret=secret)


@router.delete("/tokens/{token_id}", operation_id="revoke_token")
def revoke_token(console: Here, who: Anyone, token_id: Id) -> Done:
    """Revoke a token."""
    of = None if who.has("admin") else who.account.name
    if token_id not in {row.token_id for row in console.store.access.tokens(of)}:
        raise not_found(f"token {token_id!r}")
    console.store.access.revoke_token(token_id, by=who.account.name, at_ns=console.now_ns())
    return Done()


# -- the audit log ----------------------------------------------------------------------------------


def _lines(
    console: Console, cursor: str, limit: int, *, who: str = "", what: str = "",
    actions: tuple[str, ...] = (), from_ns: int | None = None, to_ns: int | None = None,
) -> Page[AuditEntry]:  # fmt: skip
    c = t.audit_log.c
    query = select(t.audit_log).order_by(c.id.desc()).limit(limit + 1)
    for column, value in ((c.who, who), (c.what, what)):
        if value:
            query = query.where(column == value)
    if actions:
        query = query.where(c.action.in_(actions))
    if from_ns is not None:
        query = query.where(c.at_ns >= from_ns)
    if to_ns is not None:
        query = query.where(c.at_ns < to_ns)
    after = read_cursor(cursor, (int,))
    if after is not None:
        query = query.where(c.id < after[0])
    with console.store.database.read() as connection:
        rows = connection.execute(query).all()
    items = []
    for row in rows[:limit]:
        detail = msgspec.json.decode(row.detail)
        wall = detail.pop("wall", None)
        items.append(
            AuditEntry(
                id=row.id,
                at=stamp(row.at_ns),
                wall_at=None if wall is None else stamp(int(wall) * 10**9),
                who=row.who,
                action=row.action,
                what=row.what,
                detail=detail,
            )
        )
    following = write_cursor([items[-1].id]) if len(rows) > limit else None
    return Page(items=items, next=following)


@router.get("/audit", operation_id="audit")
def audit(
    console: Here,
    _: Auditor,
    who: Word = "",
    what: Word = "",
    action: Word = "",
    from_: From = None,
    to: When = None,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[AuditEntry]:
    """List who did or saw what, the newest first."""
    return _lines(
        console, cursor, limit, who=who, what=what, actions=(action,) if action else (),
        from_ns=ns_of(from_), to_ns=ns_of(to),
    )  # fmt: skip


@router.get("/audit/looks", operation_id="looks")
def looks(
    console: Here,
    _: Auditor,
    who: Word = "",
    subject: Word = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Page[AuditEntry]:
    """List who looked at whose personal data or photos, the newest first."""
    return _lines(console, cursor, limit, who=who, what=subject, actions=LOOKS)


# -- consent and retention --------------------------------------------------------------------------


def _consents(console: Console, after: str, limit: int, owner: str = "") -> list[Consent]:
    c = t.people.c
    owners = select(c.owner).distinct().order_by(c.owner).limit(limit)
    owners = owners.where(c.owner == owner) if owner else owners.where(c.owner > after)
    with console.store.database.read() as connection:
        names = list(connection.execute(owners).scalars())
        query = select(c.owner, c.field, c.purpose, c.consent_until_ns).where(c.owner.in_(names))
        of: dict[str, list[Any]] = defaultdict(list)
        for row in connection.execute(query.order_by(c.owner, c.field)):
            of[row.owner].append(row)
    now_ns = console.now_ns()
    found = []
    for name, some in of.items():
        ends = [r.consent_until_ns for r in some if r.consent_until_ns is not None]
        until = min(ends, default=None)
        found.append(
            Consent(
                subject_id=name,
                fields=[r.field for r in some],
                purpose=some[0].purpose,
                until=when(until),
                expired=until is not None and until <= now_ns,
            )
        )
    return found


@router.get("/consents", operation_id="consents")
def consents(
    console: Here, _: Either, subject: Word = "", cursor: Cursor = "", limit: Limit = 100
) -> Page[Consent]:
    """List what is kept of whom, for what, until when; never the data."""
    after = read_cursor(cursor, (str,))
    found = _consents(console, after[0] if after else "", limit + 1, subject)
    page = found[:limit]
    return Page(
        items=page, next=write_cursor([page[-1].subject_id]) if len(found) > limit else None
    )


@router.put("/consents/{subject_id}", operation_id="set_consent")
def set_consent(console: Here, who: Admin, subject_id: Id, body: ConsentChange) -> Consent:
    """Set purpose and expiry of what is kept of somebody."""
    c = t.people.c
    until_ns = ns_of(body.until)
    with console.store.database.write() as connection:
        done = connection.execute(
            update(t.people)
            .where(c.owner == subject_id)
            .values(purpose=body.purpose, consent_until_ns=until_ns)
        )
        if done.rowcount == 0:
            raise not_found(f"personal data of {subject_id!r}")
        detail = {"purpose": body.purpose, "until": when(until_ns)}
        line = audit_row(who.account.name, console.now_ns(), "consent_set", subject_id, detail)
        write(connection, t.audit_log, [line])
    return _consents(console, "", 1, subject_id)[0]


@router.get("/retention", operation_id="retention")
def retention(console: Here, _: Either) -> Retention:
    """Tell how long what is kept, and what the last sweep removed."""
    settings = console.settings
    query = select(tc.jobs).where(tc.jobs.c.name == "retention")
    with console.store.database.read() as connection:
        row = connection.execute(query).first()
    return Retention(
        photos_days=settings.photos_days,
        looks_days=settings.looks_days,
        curves_days=settings.curves_days,
        sessions_days=max(int(settings.session_hours // 24), 1),
        last_sweep=None if row is None else stamp(row.at_ns),
        removed={} if row is None else msgspec.json.decode(row.body),
    )
