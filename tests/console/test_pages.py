"""Every page: no serious finding of axe, nothing from elsewhere, no error in the browser's log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.console.conftest import PHONE, until

ALERT = "/alerts/a0000000000000000000"
TASK = "/m/task/t-0000000000000000"
HELD = "/m/task/t-0000000000000001"
DESK = [
    "/", ALERT, "/tasks", "/tasks/roster", "/tasks/absences", "/tasks/silences", "/workbench/quality", "/workbench/rules", "/workbench/rules/v13-77ab",
    "/workbench/dryrun/v13-77ab", "/workbench/explorer", "/report", "/audit", "/audit/log", "/admin", "/admin/consents", "/admin/retention", "/settings",
]  # fmt: skip
HAND = ["/m", TASK, HELD, f"{HELD}/outcome", "/m/report", "/m/grid", "/m/me"]
CASES = (
    [(path, "command", None) for path in DESK]
    + [(path, "gridworker", PHONE) for path in HAND]
    + [("/", "wall", {"width": 1920, "height": 1080}), ("/f/good-link", "command", PHONE)]
)


def settle(page: Any) -> None:
    """Wait until what a page asks for is there and drawn."""
    page.wait_for_selector("h1, h2")
    until(page, "!document.querySelector('[aria-busy=true]')")


def findings(page: Any, axe: Path, only: str = "") -> list[str]:
    """Serious findings of axe on a page as it stands; `only`: of one rule."""
    page.evaluate(axe.read_text(encoding="utf-8"))
    chosen = json.dumps([only] if only else ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])  # fmt: skip
    result = page.evaluate(
        f"() => axe.run(document, {{resultTypes: ['violations'], runOnly: {chosen}}})"
    )
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: {[n['target'] for n in v['nodes'][:4]]}"
        for v in result["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("path", "role", "size"), CASES)
def test_no_serious_finding(console: Any, built: Path, path: str, role: str, size: Any) -> None:
    """In Chinese and in English, and the contrast of the other theme too."""
    _, page = console(path, role=role, size=size)
    settle(page)
    assert findings(page, built) == []
    page.evaluate(
        "() => { const d = document.documentElement.dataset; d.theme = d.theme === 'dark' ? 'light' : 'dark' }"
    )
    assert findings(page, built, "color-contrast") == []
    page.evaluate("() => localStorage.setItem('gw.lang', 'en')")
    page.reload()
    settle(page)
    assert page.get_attribute("html", "lang") == "en"
    assert findings(page, built) == []


@pytest.mark.parametrize(("left_s", "shown"), [(30, "t-warn"), (-90, "t-over")])
def test_a_limit_near_or_past_can_be_read_on_the_sign_button(
    console: Any, built: Path, left_s: int, shown: str
) -> None:
    from tests.console.district import ahead
    from tests.console.fakeapi import Fake

    fake = Fake()
    task = fake.district.alerts[0]["task"]
    task["due"] |= {"at": ahead(seconds=left_s), "yellow_at": ahead(seconds=left_s - 600)}
    _, page = console("/m", fake=fake, role="gridworker", size=PHONE)
    page.wait_for_selector(f".foot .btn.pri .{shown}")
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        assert findings(page, built, "color-contrast") == []


@pytest.mark.parametrize(
    ("lang", "leaves", "untested", "no_tests"),
    [
        ("zh", "2 条规则将停用：elderly-decline、water-leak", "没有测试的规则：hall-lamp", "没有附带测试"),
        ("en", "2 rules leave: elderly-decline, water-leak", "No test for: hall-lamp", "No tests came"),
    ],
)  # fmt: skip
def test_what_goes_with_a_version_is_shown_before_somebody_approves(
    console: Any, lang: str, leaves: str, untested: str, no_tests: str
) -> None:
    from tests.console.bench_data import version
    from tests.console.fakeapi import Fake

    fake, path = Fake(), "/rules/versions/v13-77ab"
    _, page = console(f"/workbench{path.replace('versions/', '')}", fake=fake, lang=lang)
    page.wait_for_selector(".lacks")
    shown = page.inner_text(".lacks")
    assert leaves in shown
    assert untested in shown
    assert no_tests not in shown
    page.click(".panel .btn.pri")
    page.wait_for_selector("dialog[open] .lacks")
    assert page.inner_text("dialog[open] .lacks") == shown
    # Without any test it is said once, not rule by rule.
    told = version("v13-77ab") | {"leaves": [], "tests_passed": 0}
    fake.refuse[path] = (200, told)
    page.reload()
    page.wait_for_selector(".lacks")
    shown = page.inner_text(".lacks")
    assert no_tests in shown
    assert "hall-lamp" not in shown
    fake.refuse[path] = (200, told | {"tests_passed": 9, "untested": []})
    page.reload()
    page.wait_for_selector(".panel .btn.pri")
    assert page.locator(".lacks").count() == 0


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_sign_in(console: Any, built: Path, lang: str) -> None:
    from tests.console.fakeapi import Fake

    fake = Fake(signed_in=False)
    _, page = console("/alerts/a0000000000000000000", fake=fake, lang=lang, allow="401")
    page.wait_for_selector("input[name=password]")
    assert findings(page, built) == []
    page.fill("input[name=username]", "duty")
    page.fill("input[name=password]", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]:not(:empty)")
    page.fill("input[name=password]", "right")
    page.keyboard.press("Enter")
    # Somebody who follows a link to an alert comes to that alert, not to the front page.
    page.wait_for_selector(".hd h1")


def test_nothing_comes_from_elsewhere(console: Any) -> None:
    seen: set[str] = set()
    _, page = console("/")
    page.on("request", lambda r: seen.add(urlsplit(r.url).hostname or ""))
    page.reload()
    settle(page)
    assert seen == {"127.0.0.1"}


def test_hostile_text_is_text(console: Any) -> None:
    from tests.console.district import District
    from tests.console.fakeapi import Fake

    evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\"'"
    fake = Fake(district=District(3))
    for a in fake.district.alerts:
        a["reason"] = {"zh": evil, "en": evil}
        a["place"]["name"] = a["path"][-1]["name"] = evil
    _, page = console("/", fake=fake)
    page.wait_for_selector(".arow")
    assert evil[:30] in page.inner_text(".arow >> nth=0")
    page.click(".arow >> nth=0")
    page.wait_for_selector(".hd h1")
    assert evil[:30] in page.inner_text(".hd")
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0


def test_states_say_what_is_wrong(console: Any) -> None:
    from tests.console.fakeapi import Fake, problem

    fake = Fake()
    fake.refuse["/board"] = (503, problem(503, "unavailable", "读不到任务库", "The store cannot be read"))  # fmt: skip
    fake.refuse["/tasks"] = (403, problem(403, "forbidden", "无权", "Not allowed"))
    _, page = console("/", fake=fake, allow="status of")
    page.wait_for_selector("text=5f2a")  # the number under which the log has it
    page.wait_for_selector(".arow")  # the list is still there
    page.goto("/tasks")
    page.wait_for_selector("text=你的账号看不了这一页")
    page.goto("/nowhere")
    page.wait_for_selector("text=没有找到")


def test_language_and_theme_are_remembered(console: Any) -> None:
    _, page = console("/", lang="zh")
    page.wait_for_selector(".arow")
    page.click("button[lang=en]")
    page.wait_for_selector("text=Live alerts")
    page.click("button[aria-label='Switch to dark']")
    page.reload()
    page.wait_for_selector("text=Live alerts")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.get_attribute("html", "lang") == "en"
    assert json.loads(json.dumps(page.title())) == "Grid early warning · Gridwarden"
