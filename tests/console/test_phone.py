"""The gridworker's phone: sign with one thumb, outcome in two taps, and everything offline, once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.console.conftest import PHONE, until
from tests.console.district import District, text
from tests.console.fakeapi import Fake, problem

FIRST = "t-0000000000000000"
COUNT = """() => new Promise(done => {{ const r = indexedDB.open('gridwarden'); r.onsuccess = () => {{
  const q = r.result.transaction('{store}').objectStore('{store}').count();
  q.onsuccess = () => {{ done(q.result {wanted}); r.result.close(); }} }} }})"""
OUTBOX_EMPTY = COUNT.format(store="outbox", wanted="=== 0")


def phone(console: Any, path: str = "/m", **more: Any) -> tuple[Fake, Any]:
    return console(path, role="gridworker", size=PHONE, **more)


def ready_offline(page: Any, kept: int = 8) -> None:
    """Wait until the pages are kept on the phone and it has read ahead."""
    page.wait_for_selector(".card")
    page.evaluate("navigator.serviceWorker.ready")
    until(page, "navigator.serviceWorker.controller !== null")
    until(page, COUNT.format(store="cache", wanted=f">= {kept}"))


def sent(fake: Fake, ending: str) -> list[dict[str, Any]]:
    return [r for r in fake.received if r["path"].endswith(ending)]


def test_sign_with_one_thumb_then_away_until_sunday(console: Any) -> None:
    fake, page = phone(console)
    page.click(".foot .btn.pri")
    page.wait_for_selector("text=先电话，后上门")
    page.click("text=到门口了，填结果")
    page.click("text=外出")
    page.click("text=周日")
    page.wait_for_selector(".toast button")
    assert sent(fake, "/report") == [], "five seconds to undo"
    until(page, "!document.querySelector('.toast')", 8.0)
    page.wait_for_timeout(600)
    (signed,), (report,) = sent(fake, "/sign"), sent(fake, "/report")
    assert signed["path"] == f"/tasks/{FIRST}/sign"
    assert report["body"]["kind"] == "away"
    # The end of Sunday, 22 November, on the district's clock.
    assert report["body"]["until"] == "2026-11-23T00:00:00+08:00"


def test_undo_takes_it_back(console: Any) -> None:
    fake, page = phone(console, "/m/task/t-0000000000000001/outcome")
    page.click("text=已救助")
    page.click("dialog .btn.pri")
    page.click(".toast button")
    page.wait_for_selector("text=已撤回")
    page.wait_for_timeout(5_500)
    assert sent(fake, "/report") == []


def test_two_tasks_offline_arrive_once_each(console: Any) -> None:
    fake, page = phone(console, allow="ERR_INTERNET_DISCONNECTED")
    ready_offline(page)
    page.context.set_offline(True)
    page.reload()  # the phone was in a pocket: it starts without a network
    page.wait_for_selector("text=没有网络，照常使用")
    for _ in range(2):
        page.click(".foot .btn.pri")
        page.wait_for_selector("text=先电话，后上门")
        page.click("text=电话已确认")
        page.click("text=在家平安")
        page.click("dialog .btn.pri")
        page.wait_for_selector(".tab")
    assert fake.received == []
    page.wait_for_selector("text=4 份待发")
    page.context.set_offline(False)
    page.wait_for_selector("text=没有网络", state="detached", timeout=15_000)
    until(page, OUTBOX_EMPTY)
    signs, reports = sent(fake, "/sign"), sent(fake, "/report")
    assert len({r["path"] for r in signs}) == len(signs) == 2
    assert len({r["path"] for r in reports}) == len(reports) == 2
    assert len({r["key"] for r in fake.received}) == len(fake.received) == 4
    assert all(r["body"]["at"].startswith("2026-11-19T21:4") for r in fake.received), (
        "when it happened, not when it was sent"
    )


def test_a_lost_answer_does_not_double(console: Any) -> None:
    fake, page = phone(console, allow="ERR_FAILED")
    page.wait_for_selector(".foot .btn.pri")
    lost: list[str] = []

    def lose(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()  # it reaches the server …
        route.abort()  # … whose answer is lost

    page.route("**/sign", lose)
    page.click(".foot .btn.pri")
    for _ in range(300):
        if fake.replayed:
            break
        page.wait_for_timeout(50)
    # The page, or the service worker in its place, sends it again under the same key.
    assert fake.replayed == lost
    assert len(sent(fake, "/sign")) == 1


def test_a_conflict_is_told_honestly(console: Any) -> None:
    fake = Fake(district=District(), role="gridworker")
    theirs = fake.district.task(fake.district.alerts[0], mine=False)
    theirs.update(state="signed", assignee_label=text("网格员 09", "Worker 09"))
    theirs["limits"][0]["done_at"] = "2026-11-19T13:45:56Z"
    fake.refuse[f"/tasks/{FIRST}/sign"] = (409, problem(409, "conflict", "已有人签收", "Already signed", task=theirs))  # fmt: skip
    _, page = phone(console, fake=fake, allow="409")
    page.click(".foot .btn.pri")
    page.wait_for_selector("text=网格员 09已于 21:45 签收，任务归对方，你不用再去")
    page.click("text=知道了")
    page.wait_for_selector("text=有人先签收了", state="detached")


def test_photos_lose_what_the_camera_wrote(console: Any, tmp_path: Any) -> None:
    fake, page = phone(console, "/m/task/t-0000000000000001/outcome")
    page.wait_for_selector("input[type=file]", state="attached")
    # A picture with an EXIF comment, made in the browser.
    made = page.evaluate(
        """async () => { const c = new OffscreenCanvas(2400, 1200); c.getContext('2d').fillRect(0, 0, 9, 9);
             const b = new Uint8Array(await (await c.convertToBlob({type: 'image/jpeg'})).arrayBuffer());
             const note = new TextEncoder().encode('SECRET-PLACE'); const seg = [0xff, 0xfe, 0, note.length + 2, ...note];
             return [...b.slice(0, 2), ...seg, ...b.slice(2)] }"""
    )
    picture = tmp_path / "p.jpg"
    picture.write_bytes(bytes(made))
    bodies: list[bytes] = []
    page.on(
        "request",
        lambda r: bodies.append(r.post_data_buffer or b"") if r.url.endswith("/photos") else None,
    )
    page.set_input_files("input[type=file]", str(picture))
    page.wait_for_selector(".phb img")
    page.click("text=已救助")
    page.click("dialog .btn.pri")
    page.wait_for_timeout(6_000)
    assert len(sent(fake, "/photos")) == 1
    assert all(b"SECRET-PLACE" not in b for b in bodies)
    paths = [r["path"] for r in fake.received]
    assert paths.index("/tasks/t-0000000000000001/photos") < paths.index(
        "/tasks/t-0000000000000001/report"
    )


def test_an_event_is_reported(console: Any) -> None:
    fake, page = phone(console, "/m/report")
    page.wait_for_selector(".o")
    assert page.is_disabled(".foot .btn")
    page.click("text=火灾隐患")
    page.fill("textarea", "楼道堆满纸箱")
    page.click(".foot .btn.pri")
    page.wait_for_selector(".toast")
    page.wait_for_timeout(5_600)
    (report,) = sent(fake, "/incidents")
    assert report["body"]["topic"] == "fire"
    assert report["body"]["text"] == "楼道堆满纸箱"


@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 568}])
def test_targets_are_large_enough_and_nothing_is_cut(console: Any, size: dict[str, int]) -> None:
    _, page = console("/m", role="gridworker", size=size)
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    low = page.evaluate(
        "[...document.querySelectorAll('a, button')].filter(e => e.offsetParent && e.getBoundingClientRect().height < 48).map(e => e.outerHTML.slice(0, 90))"
    )
    assert low == []


def test_family_says_away_in_two_taps(console: Any) -> None:
    _, page = console("/f/good-link", size=PHONE)
    page.click("text=外出到…")
    page.click("text=周日")
    page.wait_for_selector("text=之前没有用电不会上门")
    assert "E-" not in page.inner_text("body")


def test_a_family_link_that_is_gone_says_so(console: Any) -> None:
    _, page = console("/f/old-link", size=PHONE, allow="404")
    page.wait_for_selector("text=链接已失效")


def test_family_rates_a_visit_with_one_tap(console: Any, built: Any) -> None:
    from tests.console.test_pages import findings

    fake, page = console("/f/good-link", size=PHONE)
    page.wait_for_selector("text=11月18日 周三，网格员来过，您满意吗？")
    assert findings(page, built) == []
    page.click(".rate >> text=很满意")
    page.wait_for_selector("text=谢谢，您的评价已收到")
    assert fake.rated == [{"task_id": "t-0000000000000009", "rating": 5}]
    assert page.query_selector(".rate") is None


SUBSCRIBED = """
  const held = {
    endpoint: "https://push.example.org/send/1",
    toJSON: () => ({ endpoint: held.endpoint, keys: { p256dh: "B".repeat(87), auth: "A".repeat(22) } }),
    unsubscribe: () => { window.held = null; return Promise.resolve(true); },
  };
  PushManager.prototype.getSubscription = () => Promise.resolve(window.held ?? null);
  PushManager.prototype.subscribe = (how) => { window.asked = how; window.held = held; return Promise.resolve(held); };
"""
"""A browser for tests reaches no push service; this is the part of it that answers."""


def test_the_phone_asks_to_be_woken_and_takes_it_back(console: Any) -> None:
    fake = Fake(role="gridworker", push_key="B" * 87)
    _, page = phone(console, fake=fake)
    page.context.grant_permissions(["notifications"])
    page.add_init_script(SUBSCRIBED)
    page.goto("/m/me")
    page.click("button >> text=开启")
    page.wait_for_selector("button >> text=关闭")
    how = page.evaluate("window.asked")
    assert how == {"userVisibleOnly": True, "applicationServerKey": "B" * 87}
    (told,) = sent(fake, "/push")
    assert told["body"]["endpoint"] == "https://push.example.org/send/1"
    page.click("button >> text=关闭")
    page.wait_for_selector("button >> text=开启")
    assert sent(fake, "/push/p-1")[0]["method"] == "DELETE"


def test_a_site_that_wakes_no_phone_offers_nothing(console: Any) -> None:
    _, page = phone(console, "/m/me")
    page.wait_for_selector("text=添加到主屏幕")
    page.evaluate("navigator.serviceWorker.ready")
    assert page.query_selector("text=新任务通知") is None


def test_a_push_is_shown_and_opens_its_task(console: Any) -> None:
    _, page = phone(console)
    page.context.grant_permissions(["notifications"])
    ready_offline(page)
    cdp = page.context.new_cdp_session(page)
    found: list[str] = []
    cdp.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda e: found.extend(r["registrationId"] for r in e["registrations"]),
    )
    cdp.send("ServiceWorker.enable")
    until(page, "true")
    note = {"title": "【红色】独居老人久无动静", "body": "新任务", "tag": FIRST, "path": f"/m/task/{FIRST}", "lang": "zh", "red": True}  # fmt: skip
    for data in (json.dumps(note), "not a note"):
        cdp.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": page.evaluate("location.origin"), "registrationId": found[0], "data": data},
        )
    shown = "navigator.serviceWorker.getRegistration('/m').then(r => r.getNotifications()).then(n => n.map(x => [x.title, x.tag, x.data]))"
    for _ in range(100):
        if len(page.evaluate(shown)) == 2:
            break
        page.wait_for_timeout(50)
    assert sorted(page.evaluate(shown)) == sorted(
        [[note["title"], FIRST, note["path"]], ["网格预警 · Gridwarden", "gridwarden", "/m"]]
    )
