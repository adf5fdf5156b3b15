"""The live board: budget with 10,000 open alerts, live changes, keyboard, filters, the wall."""

from __future__ import annotations

import copy
import json
import os
import re
from typing import Any

from tests.console.conftest import until
from tests.console.district import NOW, District, ahead, stamp, text
from tests.console.fakeapi import Fake

FULL_HD = {"width": 1920, "height": 1080}


def fresh_alert(d: District, level: str = "red") -> dict[str, Any]:
    """An alert that nobody has seen yet."""
    a = copy.deepcopy(d.alerts[0])
    a.update(alert_id="fresh", level=level, raised_at=stamp(NOW), at=stamp(NOW), reason=text("刚刚静默", "Silent just now"))  # fmt: skip
    a["task"].update(task_id="t-fresh", state="dispatched")
    a["task"]["due"] = {"step": "sign", "at": ahead(minutes=1), "yellow_at": ahead(seconds=48), "done_at": None, "mark": ""}  # fmt: skip
    return a


def test_ten_thousand_open_alerts_within_the_budget(console: Any, record_property: Any) -> None:
    fake = Fake(district=District(10_000))
    fake.board = fake.district.board()  # what the server computes is not the page's time
    sent: list[int] = []
    _, page = console("/settings", fake=fake, size=FULL_HD)
    page.wait_for_selector("h1")
    page.context.clear_cookies()
    page.on("response", lambda r: sent.append(weight(r)))
    client = page.context.new_cdp_session(page)
    client.send("Network.setCacheDisabled", {"cacheDisabled": True})
    # The page's own clock, from the start of its navigation until rows and map are there and a key
    # has moved the focus to a row; and the processor's time of its main thread. The first is asked
    # of a machine that is not busy with other things, the second always.
    client.send("Performance.enable", {"timeDomain": "threadTicks"})
    wall, work = [], []
    for _ in range(5):
        sent.clear()
        page.goto("/", wait_until="commit")
        before = busy(client)
        page.wait_for_selector(".fmap .hexc")
        page.wait_for_selector(".arow")
        page.keyboard.press("j")
        page.wait_for_selector(".arow:focus")
        wall.append(page.evaluate("performance.now()") / 1_000)
        work.append(busy(client) - before)
    record_property("interactive_s", min(wall))
    record_property("bytes", sum(sent))
    assert min(work) <= 0.6, f"{min(work):.2f} s of work until the board is interactive"
    if os.getloadavg()[0] <= 1 + (os.cpu_count() or 1):
        assert min(wall) <= 1.0, f"board interactive after {min(wall):.2f} s"
    assert sum(sent) <= 300_000, f"{sum(sent) / 1000:.0f} KB transferred"
    assert page.locator(".arow").count() < 80, "rows out of view do not exist"


def busy(client: Any) -> float:
    """Processor time of the page's main thread so far, seconds."""
    metrics = client.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def weight(response: Any) -> int:
    """Bytes of an answer as they are sent."""
    return 0 if "stream" in response.url else int(response.headers.get("content-length", 0))


def test_scrolling_reads_on(console: Any) -> None:
    _, page = console("/", count=600)
    page.wait_for_selector(".arow")
    box = ".vlist"
    for _ in range(12):
        page.eval_on_selector(box, "e => { e.scrollTop = e.scrollHeight }")
        page.wait_for_timeout(60)
    until(
        page,
        "[...document.querySelectorAll('.vrow')].some(r => +r.getAttribute('aria-posinset') > 560)",
    )


def test_a_red_alert_arrives_live_and_is_announced(console: Any) -> None:
    fake, page = console("/")
    page.wait_for_selector(".arow")
    page.mouse.move(1300, 20)
    fake.push("alert", {"alert": fresh_alert(fake.district)})
    page.wait_for_selector(".arow[data-id=fresh]")
    assert page.locator(".arow").first.get_attribute("data-id") == "fresh"
    assert "刚刚静默" in page.inner_text(".stream [role=alert]")


def test_rows_do_not_jump_under_a_pointer(console: Any) -> None:
    fake, page = console("/")
    page.wait_for_selector(".arow")
    page.hover(".arow >> nth=3")
    fake.push("alert", {"alert": fresh_alert(fake.district)})
    page.wait_for_selector("text=1 件新预警")
    assert page.locator(".arow[data-id=fresh]").count() == 0
    page.click("text=1 件新预警")
    page.wait_for_selector(".arow[data-id=fresh]")


def test_the_stream_resumes_where_it_broke(console: Any) -> None:
    fake, page = console("/", allow="503")
    page.wait_for_selector(".arow")
    page.mouse.move(1300, 20)
    a = fake.district.alerts[5]
    fake.push("task", {"task": fake.district.task(a)})
    page.wait_for_timeout(400)
    fake.broken = True
    page.wait_for_selector("text=连接断开")
    assert page.locator(".board.stale").count() == 1
    fake.broken = False
    page.wait_for_selector("text=连接断开", state="detached")
    assert fake.resumed[-1] == str(fake.district.cursor), "it goes on behind the last word"
    fake.push("alert", {"alert": fresh_alert(fake.district)})
    page.wait_for_selector(".arow[data-id=fresh]")


def test_a_changed_task_changes_its_row(console: Any) -> None:
    fake, page = console("/")
    page.wait_for_selector(".arow")
    page.mouse.move(1300, 20)
    a = fake.district.alerts[0]
    assert "待签收" in page.inner_text(f".arow[data-id={a['alert_id']}]")
    a["task"]["state"] = "signed"
    fake.push("task", {"task": fake.district.task(a)})
    until(
        page,
        f"document.querySelector('.arow[data-id={a['alert_id']}]').innerText.includes('已签收')",
    )
    # The alert is over, but somebody is still on the way: it goes once nothing is left to do.
    resolved = {**a, "state": "resolved", "seq": 2}
    fake.push("alert", {"alert": resolved})
    page.wait_for_selector(f".arow[data-id={a['alert_id']}] >> text=已解除")
    a["task"]["state"] = "closed"
    fake.push("task", {"task": fake.district.task(a)})
    page.wait_for_selector(f".arow[data-id={a['alert_id']}]", state="detached")


def test_filters_live_in_the_address_bar(console: Any) -> None:
    _, page = console("/?level=orange&unsigned=1")
    page.wait_for_selector(".arow")
    assert page.locator(".arow.orange").count() == page.locator(".arow").count() == 2
    page.click(".filters button >> nth=0")
    page.wait_for_url(lambda url: "unsigned" not in url)
    until(page, "document.querySelectorAll('.arow').length === 7")
    page.fill("input[type=search]", "没有这样的")
    page.wait_for_selector("text=没有符合条件的预警")
    assert "q=" in page.url
    page.click("text=清除筛选")
    until(page, "document.querySelectorAll('.arow').length > 7")


def test_the_keyboard_alone_dispatches_an_alert(console: Any) -> None:
    fake, page = console("/")
    page.wait_for_selector(".arow")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.wait_for_selector(".arow:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hd h1")
    page.keyboard.press("r")
    page.wait_for_selector("dialog[open] select")
    page.wait_for_selector("dialog[open] option[value=w03]", state="attached")
    page.focus("dialog[open] select")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("原网格员不在岗")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]", state="detached")
    (sent,) = [r for r in fake.received if r["path"].endswith("/reassign")]
    assert sent["body"]["why"] == "原网格员不在岗"
    assert sent["body"]["to"].startswith("w")
    assert re.fullmatch(r"[0-9a-f-]{36}", sent["key"])


def test_the_map_is_one_tab_stop(console: Any) -> None:
    _, page = console("/")
    page.wait_for_selector(".fmap .hexc")
    page.focus(".fmap")
    page.wait_for_selector(".pop")
    before = page.inner_text(".pop h3")
    page.keyboard.press("ArrowLeft")
    until(page, f"document.querySelector('.pop h3').innerText !== {json.dumps(before)}")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "place=330199" in url)


def test_the_wall_shows_no_person(console: Any) -> None:
    fake = Fake(district=District(), role="wall")
    _, page = console("/", fake=fake, size=FULL_HD)
    page.wait_for_selector(".arow")
    page.wait_for_selector(".hexc")
    whole = page.content()
    for a in fake.district.alerts:
        assert a["subject_id"] not in whole
        assert a["alert_id"] not in page.inner_text("body")
    assert page.locator("a[href^='/alerts']").count() == 0
    assert page.get_attribute("html", "data-surface") == "wall"
    # Read at three metres: nothing under 16 px, but the marks inside glyphs.
    small = page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && !e.closest('svg, .sr') && parseFloat(getComputedStyle(e).fontSize) < 16).map(e => e.outerHTML.slice(0, 80))"
    )
    assert small == []


def test_no_data_is_never_called_quiet(console: Any) -> None:
    _, page = console("/", count=0)
    page.wait_for_selector("text=一切平静")
    assert "5 个，读数缺失，不当作平静" in page.inner_text(".quiet")
