"""A real browser on the built pages. Where Chromium or Node is missing: skipped loudly on a laptop,
failed in CI."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.console.build import AXE, BuildError, build
from tests.console.district import District
from tests.console.fakeapi import Fake, serve
from tests.missing import missing

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 844}


def until(page: Any, script: str, seconds: float = 15.0) -> None:
    """Wait until a script answers true. (The page's policy forbids the browser to evaluate strings,
    as `wait_for_function` does.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, f"never true within {seconds} s: {script}"
        page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def built() -> Path:
    """The built front end, with the accessibility checker beside it."""
    # Test processes run side by side: one builds, the others find it done.
    with (Path(tempfile.gettempdir()) / "gridwarden-console-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            build(tools=True)
        except BuildError as error:
            missing(str(error))
    return AXE


@pytest.fixture(scope="session")
def browser(built: Path) -> Iterator[Any]:
    """One Chromium for all tests of a worker; every test has a profile of its own."""
    try:
        import playwright.sync_api as playwright
    except ImportError:
        missing("playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("Chromium not found on the path")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def console(browser: Any) -> Iterator[Callable[..., tuple[Fake, Any]]]:
    """Start a console of an invented district and open a page of it.

    ``console("/path", role="command", count=47, lang="zh", theme=None, size=(w, h))`` gives the
    fake server and the page. A page that logs an error fails its test.
    """
    ends: list[Callable[[], None]] = []
    errors: list[str] = []

    def start(
        path: str = "/",
        *,
        role: str = "command",
        count: int = 47,
        lang: str = "zh",
        theme: str | None = None,
        size: dict[str, int] | None = None,
        fake: Fake | None = None,
        allow: str = "\0",
    ) -> tuple[Fake, Any]:
        fake = fake or Fake(district=District(count), role=role)
        server = serve(fake)
        address = f"http://127.0.0.1:{server.server_address[1]}"
        context = browser.new_context(
            viewport=size or {"width": 1440, "height": 900},
            locale="zh-CN" if lang == "zh" else "en-GB",
            base_url=address,
        )
        kept = f"localStorage.setItem('gw.lang', '{lang}');"
        if theme:
            kept += f"localStorage.setItem('gw.theme', '{theme}');"
        context.add_init_script(f"if (!localStorage.getItem('gw.lang')) {{ {kept} }}")
        page = context.new_page()
        page.on("pageerror", lambda e: errors.append(f"{path}: {e}"))
        page.on(
            "console",
            lambda m: (
                errors.append(f"{path}: {m.text}")
                if m.type == "error" and allow not in m.text
                else None
            ),
        )
        page.goto(path)
        ends.extend([context.close, server.shutdown, server.server_close])
        return fake, page

    yield start
    for end in ends:
        end()
    assert not errors, errors
