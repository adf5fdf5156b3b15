"""A small site with the real store, API and pages, served on a free port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.api.kit import Site


@contextmanager
def served(folder: Path) -> Iterator[tuple[Site, str]]:
    """Yield a site and its address."""
    import uvicorn

    from engine.console.app import create_app

    site = Site(folder)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(site.console), log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield site, f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        site.store.close()


def page_of(browser: Any, site: Site, address: str, who: str, **how: Any) -> Any:
    """Return a page of somebody who is signed in already."""
    secret, _ = site.store.access.open_session(who, now_wall=site.times.wall, hours=12)
    context = browser.new_context(base_url=address, **how)
    context.add_cookies([{"name": "gridwarden", "value": secret, "url": address}])
    return context.new_page()
