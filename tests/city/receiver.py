"""An HTTP receiver whose answers a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Post(NamedTuple):
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Post, int], tuple[int, Mapping[str, str]]]
"""(what came, how many came before) → status, headers."""


class Receiver:
    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Answer = lambda _post, _before: (200, {})
        self.url = ""
        self._lock = threading.Lock()

    def take(self, post: Post) -> tuple[int, Mapping[str, str]]:
        with self._lock:
            before = len(self.posts)
            self.posts.append(post)
        return self.answer(post, before)


@contextmanager
def receiver() -> Iterator[Receiver]:
    mine = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {k.lower(): v for k, v in self.headers.items()}
            status, more = mine.take(Post(headers, body))
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 -- the library's name

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mine.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield mine
    finally:
        server.shutdown()
        server.server_close()
