"""Health, readiness and metrics of a worker, served from a thread of its own.

So that the answer comes while the event loop is busy, and says so if it has stopped turning.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

log = structlog.get_logger()

Look = Callable[[], Mapping[str, Any]]
"""Returns ``ok`` (the process turns), ``ready`` (it does its work), and what people want to know."""


class Health:
    """A small server on the loopback (or where the configuration says).

    Parameters
    ----------
    port : int
        0: any free one; see :attr:`port`.
    look : callable
    metrics : CollectorRegistry
    """

    def __init__(self, port: int, look: Look, metrics: CollectorRegistry, host: str = "") -> None:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer /healthz, /readyz, /metrics."""
                if self.path == "/metrics":
                    self._send(200, generate_latest(metrics), "text/plain; version=0.0.4")
                    return
                about = look()
                good = {"/healthz": "ok", "/readyz": "ready"}.get(self.path)
                if good is None:
                    self._send(404, b"{}", "application/json")
                    return
                body = json.dumps(about, default=str).encode()
                self._send(200 if about[good] else 503, body, "application/json")

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer((host or "127.0.0.1", port), Answer)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True, name="health").start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(port: int | None, look: Look, metrics: Collector, host: str = "") -> Iterator[None]:
    """Serve health and metrics, where the configuration names a port."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(metrics)
    health = Health(port, look, registry, host)
    log.info("health", port=health.port)
    try:
        yield
    finally:
        health.close()
