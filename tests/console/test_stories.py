"""The stories of the console, in a real browser, on the real engine, store and API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import PHONE, until
from tests.console.test_phone import OUTBOX_EMPTY, ready_offline
from tests.engine import live_town
from tests.engine.test_live import Site, parts

PASSWORD = "a long enough password"
HOME = "elder-0005"
BEGIN_NS = live_town.END_NS - 52 * 3_600 * 10**9
"""Some hours before the silence is raised; what was before is history."""
HOURS = 24


class Running:
    """A site with its engine, moved hour by hour by the test, and its console on a free port."""

    def __init__(self, town: Path, folder: Path) -> None:
        import uvicorn

        from engine.console.app import create_app
        from engine.console.context import Console, EventClock

        self.site = Site(town, folder)
        self.files = list(parts(town, BEGIN_NS, HOURS))
        self.hour = 0
        name, content, at_ns = self.files[0]
        (folder / "in" / name).write_bytes(content)
        self.site.now_ns = at_ns
        self.live = self.site.start()
        store = self.live.store
        console = Console(
            store,
            self.site.config,
            clock=EventClock(event_ns=lambda: self.site.now_ns),
            rules=self.live.rules,
            zone="Asia/Shanghai",
        )
        config = uvicorn.Config(
            create_app(console), host="127.0.0.1", port=0, log_level="warning", lifespan="on"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            threading.Event().wait(0.02)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        for who, roles, worker in [
            ("chief", ["admin"], None),
            ("duty", ["command", "dispatcher"], None),
            *((w.worker_id, ["gridworker"], w.worker_id) for w in store.rosters.workers()),
        ]:
            store.accounts.add(
                who.lower(), roles=roles, scope=[""], password=PASSWORD, worker_id=worker,
                by="test", at_ns=at_ns,
            )  # fmt: skip

    def look(self) -> None:
        """Take in what lies in the folder, and what people reported."""
        self.live.poll()
        self.live.poll()

    def on(self, hours: int = 1) -> None:
        """Let hours of event time pass."""
        for _ in range(hours):
            self.hour += 1
            name, content, at_ns = self.files[self.hour]
            (self.site.folder / "in" / name).write_bytes(content)
            self.site.now_ns = at_ns
            self.look()

    def alerts(self) -> list[Any]:
        import msgspec

        return [msgspec.json.decode(line) for line in self.site.echoed]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.live.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("console-town"))


@pytest.fixture(scope="module")
def running(built: Path, town: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = Running(town, tmp_path_factory.mktemp("console-site"))
    yield site
    site.stop()


def sign_in(browser: Any, site: Running, who: str, size: dict[str, int], path: str = "/") -> Any:
    """Sign in, without a pointer."""
    context = browser.new_context(viewport=size, locale="zh-CN", base_url=site.address)
    page = context.new_page()
    page.goto(path)
    page.wait_for_selector("input[name=password]")
    tab_to(page, "input[name=username]")
    page.keyboard.type(who)
    tab_to(page, "input[name=password]")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("input[name=password]", state="detached")
    return page


AT = """([selector, text]) => {
  const at = document.activeElement;
  return !!at && at.matches(selector) && (at.innerText ?? "").includes(text);
}"""


def tab_to(page: Any, selector: str, text: str = "") -> None:
    """Move the focus with Tab alone until it is where it should be."""
    page.wait_for_selector(f"{selector} >> text={text}" if text else selector)
    for _ in range(150):
        if page.evaluate(AT, [selector, text]):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab never came to {selector} {text}")


def press(page: Any, selector: str, text: str = "") -> None:
    """Come to a control with Tab, and press Enter on it."""
    tab_to(page, selector, text)
    page.keyboard.press("Enter")


@pytest.mark.slow
@pytest.mark.xdist_group("stories")
def test_story_1_from_silence_to_away_until_sunday_by_keyboard_alone(
    browser: Any, running: Running
) -> None:
    running.look()
    board = sign_in(browser, running, "duty", {"width": 1440, "height": 900})
    board.wait_for_selector(".hexc")
    for _ in range(HOURS - 12):
        raised = [a for a in running.alerts() if a["subject_id"] == HOME and a["state"] == "firing"]
        if raised:
            break
        running.on()
    assert raised, "the silence was never raised"
    alert_id = raised[-1]["alert_id"]

    # It arrives on the board by itself, and the keyboard opens it and comes back.
    row = f".arow[data-id='{alert_id}']"
    board.wait_for_selector(row)
    for _ in range(20):
        if board.evaluate(AT, [row, ""]):
            break
        board.keyboard.press("j")
    board.keyboard.press("Enter")
    board.wait_for_selector(".hd h1")
    assert board.inner_text(".cf span")

    # It is given to a gridworker, by keys alone.
    task = next(x for x in running.live.store.tasks.list() if x.alert_id == alert_id)
    workers = running.live.store.rosters.workers()
    who = next(w.worker_id for w in workers if w.role == "gridworker")
    board.keyboard.press("r")
    board.wait_for_selector("dialog[open] select")
    board.wait_for_selector(f"dialog option[value='{who}']", state="attached")
    tab_to(board, "dialog select")
    for _ in workers:
        if board.input_value("dialog select") != who:
            board.keyboard.press("ArrowDown")
    assert board.input_value("dialog select") == who
    press(board, "dialog button[type=submit]")
    board.wait_for_selector("dialog[open]", state="detached")
    board.keyboard.press("Escape")
    board.wait_for_selector(row)

    # It lies in that hand, who signs and finds out by phone.
    phone = sign_in(browser, running, who.lower(), PHONE, "/m")
    press(phone, f"a.card[href='/m/task/{task.task_id}']")
    press(phone, "button", "签收，我去")
    phone.wait_for_selector("text=先电话，后上门")
    board.wait_for_selector(f"{row} >> text=已签收")
    press(phone, "a, button", "电话已确认")
    press(phone, "button.o", "外出")
    press(phone, "dialog button.o", "周日")
    phone.wait_for_selector(".toast", state="detached", timeout=10_000)
    board.wait_for_selector(f"{row} >> text=待结案")

    # The next silence within that absence raises nothing.
    before = len([a for a in running.alerts() if a["subject_id"] == HOME and a["seq"] == 0])
    running.on(10)
    after = [a for a in running.alerts() if a["subject_id"] == HOME and a["seq"] == 0]
    assert len(after) == before


@pytest.mark.slow
@pytest.mark.xdist_group("stories")
def test_story_2_two_tasks_without_a_network_arrive_once(browser: Any, running: Running) -> None:
    running.look()
    store = running.live.store.tasks
    tasks = [task for task in store.list() if task.unsigned][:2]
    assert len(tasks) == 2, "the town should leave two tasks unsigned"
    who = running.live.store.rosters.workers()[0].worker_id
    for task in tasks:
        store.reassign(task.task_id, to=who, by="duty", at_ns=running.site.now_ns, why="nearest")
    phone = sign_in(browser, running, who.lower(), PHONE, "/m")
    ready_offline(phone, 5)
    phone.context.set_offline(True)
    phone.reload()
    phone.wait_for_selector("text=没有网络，照常使用")
    for task in tasks[:2]:
        phone.click(f"a.card[href='/m/task/{task.task_id}']")
        phone.click("text=签收，我去")
        phone.wait_for_selector("text=先电话，后上门")
        phone.click("text=电话已确认")
        phone.click("text=在家平安")
        phone.click("dialog .btn.pri")
        phone.wait_for_selector(".tab")
    assert all(store.get(x.task_id).unsigned for x in tasks[:2])
    phone.context.set_offline(False)
    until(phone, OUTBOX_EMPTY, 30.0)
    for task in tasks[:2]:
        acts = [e.action for e in store.history(task.task_id)]
        assert acts.count("sign") == 1
        assert acts.count("report") == 1
        assert store.get(task.task_id).outcome == "safe_at_home"
