"""Story 3 in a real browser: nobody signs, and the task climbs, in event time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.escalation import Escalator
from engine.store.rosters import PlaceRow
from rules.alerts import Level
from tests.api.kit import NAMES, Site
from tests.console.conftest import PHONE, until
from tests.console.real import page_of, served
from tests.engine.store_kit import GRID, HOUR, MINUTE, T0, change

BEGIN = T0 + HOUR
CLIMB = (
    # minutes after the alert, who holds it then, and how the board calls them
    (15, "worker-2"),
    (30, "leader-1"),
    (45, "street-1"),
    (75, "dept-1"),
)
DESK = {"width": 1440, "height": 900}
SHOTS = os.environ.get("GRIDWARDEN_SHOTS")
"""A folder for pictures, for who wants to look."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    with served(tmp_path) as (found, address):
        for who in ("worker-2", "leader-1", "street-1", "dept-1"):
            found.store.accounts.add(
                who, roles=["gridworker"], scope=["330106"], password=None, worker_id=who,
                by="test", at_ns=T0,
            )  # fmt: skip
        found.times.event_ns = BEGIN
        yield found, address


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/story3-{name}.png")


def cards(browser: Any, site: Site, address: str, who: str, task: str) -> int:
    """Return how often a task lies on somebody's phone."""
    account = "gridworker" if who == "worker-1" else who
    phone = page_of(browser, site, address, account, viewport=PHONE, locale="zh-CN")
    phone.goto("/m")
    phone.wait_for_selector(".tab")
    phone.wait_for_load_state("networkidle")
    until(phone, "!document.querySelector('[aria-busy=true]')")
    found = len(phone.query_selector_all(f"a.card[href='/m/task/{task}']"))
    if found:
        phone.click(f"a.card[href='/m/task/{task}']")
        phone.wait_for_selector("h1")
        shot(phone, f"phone-{who}")
    phone.context.close()
    return found


@pytest.mark.parametrize(("lang", "theme"), [("zh-CN", "light"), ("en-GB", "dark")])
def test_nobody_signs(browser: Any, site: tuple[Site, str], lang: str, theme: str) -> None:
    found, address = site
    store = found.store
    # A name fit for pictures; the site's own is a nasty one, for other tests.
    names = NAMES | {GRID: ("三网格", "grid")}
    store.rosters.put_places(
        PlaceRow(code, store.desk.layout.parent(code), name, level)
        for code, (name, level) in names.items()
    )
    alert = change("home-3", seq=0, at=BEGIN, onset=BEGIN - 6 * HOUR, level=Level.RED)
    store.commit("s", store.claim("s"), 2, [alert], clock_ns=BEGIN)
    task = store.tasks.of_alert(alert.alert_id)
    assert task is not None
    first = task.assignee
    assert first == "worker-1"
    board = page_of(browser, found, address, "command", viewport=DESK, locale=lang)
    board.add_init_script(f"localStorage.setItem('gw.theme', '{theme}')")
    board.goto("/")
    row = f".arow[data-id='{alert.alert_id}']"
    board.wait_for_selector(f"{row}.un")
    clock = Escalator(store, "test")

    def go(minute: int) -> None:
        found.times.event_ns = BEGIN + minute * MINUTE
        clock.turn(found.times.event_ns)

    for minute in range(15):
        go(minute)
    # Four fifths of the limit are gone: the yellow mark, on the board as text and stripes.
    board.wait_for_selector(f"{row} .cdn.warn, {row} .t-warn")
    board.wait_for_selector(".hexc")
    shot(board, f"board-yellow-{theme}")
    for (minute, who), before in zip(CLIMB, (first, *(w for _, w in CLIMB)), strict=False):
        for each in range(minute - 14 if minute > 15 else minute, minute + 1):
            go(each)
        assert store.tasks.get(task.task_id).assignee == who
        label = found.console.worker_label(who)
        assert label is not None
        words = label.zh if lang == "zh-CN" else label.en
        board.wait_for_selector(f"{row} >> text={words}")
        if theme == "light":
            assert cards(browser, found, address, who, task.task_id) == 1
            assert cards(browser, found, address, before, task.task_id) == 0
    # Its limits passed on the way: the red mark.
    go(95)
    board.wait_for_selector(f"{row} .t-over")
    shot(board, f"board-red-{theme}")
    board.click(row)
    board.wait_for_selector(".tl")
    told = board.inner_text(".tl")
    for what in ("黄牌", "红牌") if lang == "zh-CN" else ("yellow", "red"):
        assert what in told.lower(), told
    shot(board, f"alert-{theme}")
    marks = [e.why for e in store.tasks.history(task.task_id) if e.why.endswith("_mark")]
    assert marks == ["yellow_mark", "red_mark"]
    board.context.close()
