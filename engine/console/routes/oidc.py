"""To the identity provider and back."""

from __future__ import annotations

from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from engine.console.context import Console
from engine.console.errors import not_found
from engine.console.oidc import Kept, OidcError, Provider
from engine.console.routes.session import set_cookie
from engine.console.security import Here

router = APIRouter(tags=["session"])
log = structlog.get_logger()
KEPT = "gridwarden-oidc"
KEPT_S = 600
FAILED = "/?signin=failed"


def _provider(console: Console) -> Provider:
    if console.oidc is None:
        raise not_found("no identity provider is configured")
    return console.oidc


def _back(request: Request, console: Console) -> str:
    """Return the address that the provider sends people back to."""
    base = console.settings.url or str(request.base_url)
    return f"{base.rstrip('/')}/api/v1/oidc/callback"


@router.get(
    "/oidc/start", operation_id="oidc_start", status_code=302, response_class=RedirectResponse
)
async def oidc_start(request: Request, console: Here) -> RedirectResponse:
    """Go to the identity provider."""
    try:
        url, kept = await _provider(console).start(_back(request, console))
    except OidcError as error:
        log.warning("oidc_failed", problem=str(error))
        return RedirectResponse(FAILED, 302)
    answer = RedirectResponse(url, 302)
    answer.set_cookie(
        KEPT, str(kept), max_age=KEPT_S, httponly=True, secure=console.settings.secure_cookies,
        samesite="lax", path="/api/v1/oidc",
    )  # fmt: skip
    return answer


@router.get(
    "/oidc/callback", operation_id="oidc_callback", status_code=302, response_class=RedirectResponse
)
async def oidc_callback(
    request: Request,
    console: Here,
    code: Annotated[str, Query(max_length=4_000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
) -> RedirectResponse:
    """Come back from the identity provider; an account that is tied to the subject is signed in."""
    provider = _provider(console)
    try:
        kept = Kept.read(request.cookies.get(KEPT))
        who = await provider.finish(_back(request, console), code, state, kept)
        secret = await to_thread.run_sync(_open, console, who)
    except OidcError as error:
        log.warning("oidc_failed", problem=str(error))
        answer = RedirectResponse(FAILED, 302)
    else:
        answer = RedirectResponse("/", 302)
        set_cookie(answer, console, secret)
    answer.delete_cookie(KEPT, path="/api/v1/oidc")
    return answer


def _open(console: Console, subject: str) -> str:
    """Return the secret of a new session of the account that is tied to a subject."""
    account = console.store.accounts.of_oidc(subject)
    if account is None or account.disabled:
        raise OidcError("no account is tied to this subject")
    now = console.wall()
    secret, _ = console.store.access.open_session(
        account.name, now_wall=now, hours=console.settings.session_hours
    )
    detail = {"wall": int(now), "by": "oidc"}
    console.store.books.audit(account.name, console.now_ns(), "signed_in", account.name, detail)
    return secret
