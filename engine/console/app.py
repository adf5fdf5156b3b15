"""The application: routes, headers, errors, the built pages."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.console.context import Console
from engine.console.errors import ApiError
from engine.console.routes import (
    acts,
    alerts,
    board,
    family,
    oidc,
    people,
    photos,
    push,
    quality,
    registers,
    reports,
    rules,
    session,
    stream,
    subjects,
    tasks,
)
from engine.console.schemas import FieldError, Problem
from engine.console.security import describe
from engine.console.stream import Hub
from engine.outcomes import OutcomeError
from engine.store import StoreError, TaskError
from engine.store.accounts import AccountError, LockedError
from engine.store.people import VaultError

log = structlog.get_logger()

PREFIX = "/api/v1"
LARGEST_BODY = 2 * 1024 * 1024
"""Bytes of any body but a photo's."""
WEB = Path(__file__).parent / "web" / "dist"
_STATUS = {400: "bad_request", 404: "not_found", 405: "not_allowed", 413: "too_large"}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(self), microphone=(self), payment=(), usb=()",
    "strict-transport-security": "max-age=31536000",
}
MODULES = (
    session, oidc, board, stream, alerts, tasks, acts, photos, subjects, registers, rules, quality, reports,
    people, family, push,
)  # fmt: skip
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": "Problem (application/problem+json)"}
    for code in ("4XX", "5XX")
}


def create_app(console: Console, *, web: Path = WEB) -> FastAPI:
    """Return the ASGI application of a console.

    Parameters
    ----------
    console : Console
    web : Path
        Folder of the built pages; where it is not there, `/` says how to build them.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub.start()
        yield
        await app.state.hub.stop()

    app = FastAPI(
        title="Gridwarden console",
        version="1",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page needs inline scripts and a CDN
        redoc_url=None,
        lifespan=life,
        responses=_PROBLEMS,
    )
    app.state.console = console
    app.state.hub = Hub(console)
    app.state.guards = {}
    for module in MODULES:
        app.state.guards |= describe(module.router.routes)
        app.include_router(module.router, prefix=PREFIX)
    _errors(app)
    _pages(app, web)
    # Not the live stream and not photos: the middleware leaves both alone.
    app.add_middleware(GZipMiddleware, minimum_size=1_024, compresslevel=5)
    app.add_middleware(Guard, largest=LARGEST_BODY, photo=int(console.settings.photo_mb * 1e6))
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with how to sign in."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            routes=app.routes,
            description="Early warning for governance grids. See docs/console-api.md.",
        )
        found.setdefault("components", {})["securitySchemes"] = {
            "cookie": {"type": "apiKey", "in": "cookie", "name": "gridwarden"},
            "token": {"type": "http", "scheme": "bearer"},
        }
        for operations in found["paths"].values():
            for operation in operations.values():
                # 422 is a problem like all others, not FastAPI's own shape.
                operation["responses"].pop("422", None)
                if operation.get("x-roles"):
                    operation["security"] = [{"cookie": []}, {"token": []}]
                for problem in ("4XX", "5XX"):
                    content = operation["responses"][problem]["content"]
                    content["application/problem+json"] = content.pop(
                        "application/json", content.get("application/problem+json")
                    )
        app.openapi_schema = found
    return app.openapi_schema


# -- errors -------------------------------------------------------------------------------------


def _problem(error: ApiError) -> JSONResponse:
    headers = {}
    if error.problem.retry_after_s is not None:
        headers["Retry-After"] = str(error.problem.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        error.body, error.status, headers=headers, media_type="application/problem+json"
    )


def _errors(app: FastAPI) -> None:
    """Turn every failure into a problem; only what is no defect shows its own words."""
    refused = (TaskError, OutcomeError, AccountError)

    async def api(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return _problem(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [
            # Never the value: it may be a password.
            FieldError(field=".".join(str(p) for p in e["loc"][1:]), problem=str(e["msg"])[:300])
            for e in error.errors()
        ]
        return _problem(ApiError("invalid", errors=found[:50]))

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = _problem(ApiError(_STATUS.get(error.status_code, "bad_request")))
        answer.headers.update(error.headers or {})
        return answer

    async def no(_: Request, error: Exception) -> Response:
        return _problem(ApiError("refused", str(error)))

    async def locked(_: Request, error: Exception) -> Response:
        assert isinstance(error, LockedError)
        return _problem(ApiError("locked", retry_after_s=int(error.wait_s) + 1))

    async def vault(_: Request, error: Exception) -> Response:
        return _problem(ApiError("unavailable", str(error)))

    async def store(request: Request, error: Exception) -> Response:
        reference = secrets.token_hex(4)
        path = _logged(request.url.path)
        log.error("store_unavailable", path=path, reference=reference, problem=str(error))
        return _problem(ApiError("unavailable", reference=reference))

    async def defect(request: Request, error: Exception) -> Response:
        reference = secrets.token_hex(4)
        log.exception("defect", path=_logged(request.url.path), reference=reference, exc_info=error)
        return _problem(ApiError("defect", reference=reference))

    app.add_exception_handler(ApiError, api)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    for kind in refused:
        app.add_exception_handler(kind, no)
    app.add_exception_handler(LockedError, locked)
    app.add_exception_handler(VaultError, vault)
    app.add_exception_handler(StoreError, store)
    app.add_exception_handler(SQLAlchemyError, defect)
    app.add_exception_handler(Exception, defect)


def _logged(path: str) -> str:
    """Return a path as logs may have it: a family's link is a secret."""
    return "/api/v1/family/…" if path.startswith(f"{PREFIX}/family/") else path


# -- headers and sizes ----------------------------------------------------------------------------


class Guard:
    """Adds the security headers to every answer, and cuts off bodies that are too large.

    Plain ASGI, so that the live stream passes through as it is.
    """

    def __init__(self, app: ASGIApp, *, largest: int, photo: int) -> None:
        self.app = app
        self.largest = largest
        self.photo = photo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        # Parts and boundaries of a form add a little to the file.
        most = self.photo + 65_536 if path.endswith("/photos") else self.largest
        started = False
        taken = 0
        over: ApiError | None = None

        async def sent(message: Message) -> None:
            nonlocal started
            if over is not None and not started:
                return  # whatever was made of half a body
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_headers_of(path, message["headers"])]
            await send(message)

        async def received() -> Message:
            nonlocal taken, over
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > most:
                    over = ApiError("too_large", f"wanted at most {most} bytes")
                    raise over
            return message

        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            over = ApiError("too_large", f"wanted at most {most} bytes, got {int(length)}")
        else:
            try:
                await self.app(scope, received, sent)
            except ApiError:
                if over is None or started:
                    raise
        if over is not None and not started:
            answer = _problem(over)
            answer.headers["Connection"] = "close"
            answer.headers.update(dict(HEADERS))
            await answer(scope, receive, send)


def _headers_of(path: str, present: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    known = {name.lower() for name, _ in present}
    wanted = dict(HEADERS)
    if path.startswith(PREFIX):
        wanted["cache-control"] = "no-store"
    elif path.startswith("/assets/"):
        wanted["cache-control"] = "public, max-age=31536000, immutable"
    else:
        wanted["cache-control"] = "no-cache"
    return [(k.encode(), v.encode()) for k, v in wanted.items() if k.encode() not in known]


# -- pages ----------------------------------------------------------------------------------------


def _pages(app: FastAPI, web: Path) -> None:
    """Serve the built pages; every address without an extension is the application's own."""
    root = web.resolve()

    def page(path: str) -> Response:
        if not (root / "index.html").is_file():
            return PlainTextResponse(
                "The pages are not built: run `make console` (or `pip install` a release, which has "
                f"them).\n页面尚未构建：请运行 make console。\nAPI: {PREFIX}/openapi.json\n",
                503,
            )
        wanted = (root / path).resolve()
        if path and wanted.is_relative_to(root) and wanted.is_file():
            return FileResponse(wanted)
        if "." in path.rpartition("/")[2]:
            raise HTTPException(404)
        return FileResponse(root / "index.html")

    async def anything(request: Request) -> Response:
        return page(request.path_params.get("path", ""))

    async def nothing(_: Request) -> Response:
        raise HTTPException(404)

    answer: Callable[[Request], Awaitable[Response]] = nothing
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_route("/api/{path:path}", answer, methods=methods, include_in_schema=False)
    app.add_route("/{path:path}", anything, methods=["GET", "HEAD"], include_in_schema=False)
