"""Readings and events pushed over HTTP: acknowledged when they are durable, refused when there is no room.

`POST /v1/readings`, `POST /v1/events` with a key of ``city.gateway.http.keys`` as bearer token or
``X-API-Key``. 200 says what became of the rows, all of it durable; on 429 and 503 the sender comes
again with the same body, and what was taken twice counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.bodies import BodyError, Door
from connectors.records import Event, Fault, ReadingBlock
from engine.city.gateway import Gateway
from engine.city.packer import REASONS, Busy, LogError
from engine.config import ConfigError, HttpConfig

DURABLE_S = 20.0
"""A sender waits so long for its rows to be durable."""
RETRY_S = "2"
_TYPES = {
    "application/json", "application/x-ndjson", "application/ndjson",
    "application/vnd.apache.arrow.stream",
}  # fmt: skip
Parse = Callable[[str, bytes], Sequence[ReadingBlock | Event]]


class _Server(uvicorn.Server):
    """Leaves signals to the gateway, which still has blocks to send."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class HttpSource:
    """The push API of a gateway.

    Parameters
    ----------
    gateway : Gateway
    config : HttpConfig

    Raises
    ------
    ConfigError
        Without a key: nobody could push.
    """

    def __init__(self, gateway: Gateway, config: HttpConfig) -> None:
        if not config.keys:
            raise ConfigError("city.gateway.http.keys: is empty; give each sender a name and a key")
        self.gateway = gateway
        self.config = config
        self.keys = {
            name: hashlib.sha256(key.get_secret_value().encode()).digest()
            for name, key in config.keys.items()
        }
        # Bodies being read are memory too: so many at a time, and the next one comes again.
        self.bodies = asyncio.Semaphore(
            max(1, gateway.config.memory_bytes // (4 * config.max_body_bytes))
        )
        self.refused: dict[int, int] = {}
        self._doors: dict[str, Door] = {}
        # Doors share what is slow to build and may not be used by two threads at once.
        self._parsing = ThreadPoolExecutor(1, "http-parse")
        self.app = Starlette(
            routes=[
                Route("/v1/readings", self._readings, methods=["POST"]),
                Route("/v1/events", self._events, methods=["POST"]),
                Route("/healthz", self._health),
            ]
        )
        self.server: uvicorn.Server | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        options = uvicorn.Config(
            self.app, host=self.config.host, port=self.config.port, log_config=None,
            access_log=False, lifespan="off", timeout_keep_alive=15, limit_concurrency=1_000,
            h11_max_incomplete_event_size=16_384, server_header=False,
        )  # fmt: skip
        self.server = _Server(options)
        await self.server.serve()

    # -- requests -------------------------------------------------------------------------

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _readings(self, request: Request) -> Response:
        return await self._take(request, self._parse_readings)

    async def _events(self, request: Request) -> Response:
        return await self._take(request, self._parse_events)

    async def _take(self, request: Request, parse: Parse) -> Response:
        sender = self._sender(request.headers)
        if sender is None:
            return self._no(401, "wrong or no key", {"WWW-Authenticate": "Bearer"})
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind not in _TYPES or request.headers.get("content-encoding", "identity") != "identity":
            return self._no(415, f"wanted one of {', '.join(sorted(_TYPES))}, not compressed")
        if self.gateway.packer.load > self.gateway.packer.memory_bytes or self.bodies.locked():
            return self._no(429, "too much is on its way", {"Retry-After": RETRY_S})
        async with self.bodies:
            body = await self._body(request)
            if isinstance(body, Response):
                return body
            loop = asyncio.get_running_loop()
            try:
                records = await loop.run_in_executor(self._parsing, parse, sender, body)
            except BodyError as error:
                return self._no(400, str(error))
            return await self._pack(records)

    async def _body(self, request: Request) -> bytes | Response:
        most = self.config.max_body_bytes
        said = request.headers.get("content-length", "0")
        if not said.isdigit() or int(said) > most:
            return self._no(413, f"body above {most:,} bytes; send smaller ones")
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self.config.body_s):
                async for piece in request.stream():
                    size += len(piece)
                    if size > most:
                        return self._no(413, f"body above {most:,} bytes; send smaller ones")
                    pieces.append(piece)
        except TimeoutError:
            return self._no(408, f"body not here within {self.config.body_s:g} s", close=True)
        except ClientDisconnect:
            return self._no(400, "gone")
        return b"".join(pieces)

    async def _pack(self, records: Sequence[ReadingBlock | Event]) -> Response:
        packer = self.gateway.packer
        waits, rows, reasons = [], 0, dict[str, int]()
        try:
            for record in records:
                if isinstance(record, ReadingBlock):
                    waits.append(packer.put(record))
                    rows += len(record)
                    for fault in record.fault[record.fault != Fault.OK].tolist():
                        reasons[REASONS[fault]] = reasons.get(REASONS[fault], 0) + 1
                else:
                    waits.append(packer.event(record))
                    rows += 1
                    fault = record.fault
                    if fault:
                        reasons[REASONS[fault]] = reasons.get(REASONS[fault], 0) + 1
            async with asyncio.timeout(DURABLE_S):
                for one in waits:
                    await one
        except Busy:
            return self._no(429, "too much is on its way", {"Retry-After": RETRY_S})
        except (LogError, TimeoutError):
            return self._no(503, "the log does not take it now", {"Retry-After": RETRY_S})
        refused = sum(reasons.values())
        return JSONResponse(
            {"rows": rows, "packed": rows - refused, "quarantined": refused, "reasons": reasons}
        )

    # -- small things ---------------------------------------------------------------------

    def _sender(self, headers: Mapping[str, str]) -> str | None:
        given = headers.get("x-api-key") or ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given = token.strip()
        digest = hashlib.sha256(given.encode()).digest()
        found = None
        for name, key in self.keys.items():  # all of them: time says nothing
            if hmac.compare_digest(digest, key):
                found = name
        return found

    def _door(self, sender: str) -> Door:
        if sender not in self._doors:
            self._doors[sender] = self.gateway.door(f"http:{sender}")
        return self._doors[sender]

    def _parse_readings(self, sender: str, body: bytes) -> list[ReadingBlock]:
        return self._door(sender).readings(body, self._now())

    def _parse_events(self, sender: str, body: bytes) -> list[Event]:
        return self._door(sender).events(body, self._now())

    def _now(self) -> int:
        return self.gateway.clock.now_ns()

    def _no(
        self,
        status: int,
        why: str,
        headers: Mapping[str, str] | None = None,
        *,
        close: bool = False,
    ) -> Response:
        self.refused[status] = self.refused.get(status, 0) + 1
        extra = {**(headers or {}), **({"Connection": "close"} if close else {})}
        return JSONResponse({"error": why}, status, headers=extra)
