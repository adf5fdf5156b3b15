"""The same pages in Firefox: none logs an error, none is cut, and the stories' steps work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.kit import PASSWORD
from tests.console.conftest import PHONE
from tests.console.district import District
from tests.console.fakeapi import Fake, serve
from tests.console.firefox import Firefox, program, running
from tests.console.real import served
from tests.console.test_pages import DESK, HAND
from tests.console.test_phone import FIRST, OUTBOX_EMPTY, sent
from tests.missing import missing

pytestmark = pytest.mark.xdist_group("firefox")


@pytest.fixture(scope="module")
def firefox(built: Path) -> Iterator[Firefox]:
    """One Firefox for all tests of this file."""
    if program() is None:
        missing("Firefox not found on the path")
    with running() as found:
        yield found


@contextmanager
def district(role: str) -> Iterator[tuple[Fake, str]]:
    """Serve an invented district; yield it and its address."""
    fake = Fake(district=District(47), role=role)
    server = serve(fake)
    try:
        yield fake, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def settled(firefox: Firefox) -> None:
    firefox.until("!!document.querySelector('h1, h2')")
    firefox.until("!document.querySelector('[aria-busy=true]')")


@pytest.mark.parametrize(
    ("role", "paths", "size"),
    [
        ("command", DESK, (1440, 900)),
        ("gridworker", HAND, (PHONE["width"], PHONE["height"])),
        ("wall", ["/"], (1920, 1080)),
    ],
)
def test_every_page_is_whole(
    firefox: Firefox, role: str, paths: list[str], size: tuple[int, int]
) -> None:
    firefox.size(*size)
    firefox.errors.clear()
    with district(role) as (_, address):
        for path in paths:
            firefox.go(address + path)
            settled(firefox)
            assert firefox.run("document.documentElement.scrollWidth <= innerWidth"), path
            assert firefox.errors == [], path


def test_the_board_lives(firefox: Firefox) -> None:
    firefox.size(1440, 900)
    with district("command") as (fake, address):
        firefox.go(f"{address}/")
        firefox.until("document.querySelectorAll('.arow').length > 5")
        firefox.until("document.querySelectorAll('.hexc').length > 5")
        alert = dict(fake.district.alerts[0]) | {"alert_id": "b" * 20, "seq": 1, "level": "red"}
        fake.district.alerts.insert(0, alert)
        fake.push("alert", {"alert": alert})
        # It comes by itself: at once, or behind "1 new" where the pointer is.
        firefox.until(
            f"!!document.querySelector('.arow[data-id=\"{'b' * 20}\"]')"
            " || document.body.innerText.includes('新预警')"
        )
        firefox.type("j\ue007")  # next, Enter
        firefox.until("location.pathname.startsWith('/alerts/')")


def test_one_thumb_signs_and_two_taps_report(firefox: Firefox) -> None:
    firefox.size(PHONE["width"], PHONE["height"])
    with district("gridworker") as (fake, address):
        firefox.go(f"{address}/m")
        firefox.click(".foot .btn.pri")
        firefox.click("a, button", "到门口了，填结果")
        firefox.click("button.o", "外出")
        firefox.click("dialog button.o", "周日")
        firefox.until("!!document.querySelector('.toast button')")
        assert sent(fake, "/report") == [], "five seconds to undo"
        firefox.until("!document.querySelector('.toast')")
        firefox.until(f"({OUTBOX_EMPTY})()")
        assert [r["path"] for r in sent(fake, "/sign")] == [f"/tasks/{FIRST}/sign"]
        assert [r["body"]["kind"] for r in sent(fake, "/report")] == ["away"]


def test_signing_in_keeps_a_secure_cookie(firefox: Firefox, tmp_path: Path) -> None:
    """Browsers differ in whether a Secure cookie is taken from 127.0.0.1 without TLS."""
    firefox.size(1440, 900)
    with served(tmp_path) as (_, address):
        firefox.go(f"{address}/")
        firefox.click("input[name=username]")
        firefox.type("command")
        firefox.click("input[name=password]")
        firefox.type(PASSWORD + "\ue007")
        firefox.until("document.querySelectorAll('.arow').length > 0")
        firefox.go(f"{address}/report")
        settled(firefox)
        assert not firefox.run("!!document.querySelector('input[name=password]')")


def test_a_family_says_away(firefox: Firefox) -> None:
    firefox.size(PHONE["width"], PHONE["height"])
    with district("command") as (_, address):
        firefox.go(f"{address}/f/good-link")
        firefox.click("button", "外出到…")
        firefox.click("dialog button.o", "周日")
        firefox.until("document.body.innerText.includes('之前没有用电不会上门')")
