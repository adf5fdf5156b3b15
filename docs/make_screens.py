"""Take the pictures of the console that the documentation shows: ``python docs/make_screens.py``.

Starts ``gridwarden demo`` on a terminal of its own, signs in as its accounts with Chromium, and
writes ``docs/screens/NAME-LANGUAGE.png`` in Chinese and English. Everything on them is simulated.
To be run when pages have changed in a way that their readers would notice; no test compares pixels.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "screens"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 780}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
WAIT_S = 300.0
SPEED = 240.0
ROWS = 5
"""Alerts on the board before its picture is taken: the afternoon of the demo's first live day."""


class Demo(NamedTuple):
    """A demo that runs."""

    url: str
    passwords: dict[str, str]


@contextmanager
def demo(speed: float) -> Iterator[Demo]:
    """Run the demo until its console is open; end it as a person would."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "engine.cli.main", "demo", "--port", "0"]
        command += ["--folder", f"{folder}/demo", "--speed", str(speed)]
        environ = {**os.environ, "GRIDWARDEN_LANGUAGE": "en", "COLUMNS": "160", "TERM": "dumb"}
        run = subprocess.Popen(  # noqa: S603
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environ
        )
        os.close(theirs)
        try:
            yield _invited(ours)
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()
            os.close(ours)


def _invited(terminal: int) -> Demo:
    said, until = "", time.monotonic() + WAIT_S
    while time.monotonic() < until:
        said += os.read(terminal, 65_536).decode("utf-8", "replace")
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
        url = re.search(r"The console is open: (\S+)", said)
        accounts = dict(re.findall(r"^  (\w+) +(\S{8,}) +\S.*$", said, re.M))
        if url and "worker" in accounts:
            return Demo(url[1], accounts)
    raise SystemExit(f"the demo did not open its console in {WAIT_S:g} s; it said:\n{said[-2000:]}")


def _page(chromium: Any, site: Demo, who: str, language: str, size: dict[str, int]) -> Any:
    context = chromium.new_context(
        viewport=size, locale=LOCALES[language], base_url=site.url.rstrip("/"), color_scheme="light"
    )
    context.add_init_script(f"localStorage.setItem('gw.lang', '{language}')")
    page = context.new_page()
    page.goto("/m" if size is PHONE else "/")
    page.fill("input[name=username]", who)
    page.fill("input[name=password]", site.passwords[who])
    page.keyboard.press("Enter")
    page.wait_for_selector("input[name=password]", state="detached")
    return page


def _keep(page: Any, name: str, language: str) -> None:
    """Write what a page shows, in few colours: a third of the bytes, to the eye the same."""
    page.wait_for_timeout(1500)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    path = TARGET / f"{name}-{language}.png"
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1024} kB", flush=True)


def main() -> None:
    """Take every picture."""
    TARGET.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with demo(SPEED) as site, sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=list(FLAGS))
        for language in LOCALES:
            phone = _page(chromium, site, "worker", language, PHONE)
            phone.wait_for_selector(".card", timeout=WAIT_S * 1000)
            _keep(phone, "phone", language)
            phone.locator("a[href^='/m/t']").last.click()
            _keep(phone, "task", language)
        for language in LOCALES:
            board = _page(chromium, site, "command", language, DESK)
            board.locator("a.arow").nth(ROWS - 1).wait_for(timeout=WAIT_S * 1000)
            _keep(board, "board", language)
            board.locator("a.arow.orange, a.arow.red").first.click()
            board.wait_for_selector(".chart svg")
            _keep(board, "alert", language)
        chromium.close()


if __name__ == "__main__":
    main()
