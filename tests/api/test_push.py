"""A phone asks to be woken; whose it is and what it may say."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.console.context import Console
from tests.api.kit import Site, a_site

RAW = base64.urlsafe_b64encode(bytes(31) + b"\x07").decode().rstrip("=")
PHONE = {
    "endpoint": "https://push.example.org/send/abc",
    "keys": {"p256dh": "B" + "A" * 86, "auth": "A" * 22},
}


@pytest.fixture
def waking(tmp_path: Path) -> Iterator[Site]:
    """A site that wakes phones."""
    push = {"key": RAW, "contact": "mailto:duty@example.org"}
    with a_site(tmp_path) as found:
        config = Config.model_validate({"relay": {"push": push}})
        found.app.state.console = Console(found.store, config, clock=found.console.clock)
        yield found


def test_where_nothing_is_configured_nobody_is_asked(site: Site) -> None:
    worker = site.client("gridworker")
    assert worker.api("GET", "/push").json() == {"key": None}
    assert worker.api("POST", "/push", json=PHONE).json()["code"] == "refused"


def test_on_and_off(waking: Site) -> None:
    worker = waking.client("gridworker")
    key = worker.api("GET", "/push").json()["key"]
    assert len(base64.urlsafe_b64decode(key + "=")) == 65
    on = worker.api("POST", "/push", json=PHONE).json()["subscription_id"]
    assert worker.api("POST", "/push", json=PHONE).json()["subscription_id"] == on
    [holder] = waking.store.pushes.of(["worker-1"])
    assert holder.subscription.endpoint == PHONE["endpoint"]
    assert waking.client("other").api("DELETE", f"/push/{on}").status_code == 404
    assert worker.api("DELETE", f"/push/{on}").status_code == 200
    assert waking.store.pushes.of(["worker-1"]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "http://push.example.org/x"}, {"endpoint": "https://a b"},
        {"keys": {"p256dh": "AA", "auth": "A" * 22}}, {"keys": {"p256dh": "B" + "A" * 86}},
    ],
)  # fmt: skip
def test_what_is_no_subscription_is_refused(waking: Site, change: dict[str, Any]) -> None:
    answer = waking.client("gridworker").api("POST", "/push", json=PHONE | change)
    assert answer.json()["code"] == "invalid"


def test_the_key_that_signs_is_told_to_nobody(waking: Site) -> None:
    worker = waking.client("gridworker")
    assert RAW not in worker.api("GET", "/push").text
    assert RAW not in repr(waking.app.state.console.config)
