"""Families' links: two taps, bounds, rate, nothing personal; replies in words."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import structlog

from engine.console import family as links
from engine.console.errors import ApiError
from engine.console.family import Limiter, read_reply
from engine.store import StoreError
from tests.api.kit import Site
from tests.engine.store_kit import DAY, HOUR, T0

NS = 1_000_000_000


def link_of(site: Site, subject: str = "home-1") -> str:
    made = site.client("dispatcher").api("POST", f"/subjects/{subject}/links")
    assert made.status_code == 200, made.text
    return str(made.json()["url"].rpartition("/f/")[2])


def test_away_until_then_well(site: Site) -> None:
    link, family = link_of(site), site.client()
    assert family.api("GET", f"/family/{link}").json()["away_until"] is None
    said = family.api("POST", f"/family/{link}/away", json={"until": "2026-01-05T16:00:00Z"})
    assert said.json()["away_until"] == "2026-01-05T16:00:00Z"
    [absence] = site.store.register.absences("home-1")
    assert (absence.source, absence.kind) == ("family", "away")
    later = family.api("POST", f"/family/{link}/away", json={"until": "2026-01-07T16:00:00Z"})
    assert later.json()["away_until"] == "2026-01-07T16:00:00Z"
    assert family.api("POST", f"/family/{link}/well").json()["away_until"] is None
    told = site.store.register.take("s", 1, 10, T0 + HOUR)
    kinds = [getattr(x.record, "kind", "") for x in told]
    assert kinds.count("absence") == 2
    assert "sign_of_life" in kinds
    assert kinds.count("absence_revoked") == 2


def test_the_family_saying_all_is_well_calls_off_who_would_be_sent(site: Site) -> None:
    store, link = site.store, link_of(site)
    open_before = {t.task_id: t.untaken for t in store.tasks.list(door="home-1")}
    assert True in open_before.values()
    site.client().api("POST", f"/family/{link}/well")
    for name, untaken in open_before.items():
        assert store.tasks.get(name).state == "cancelled" or not untaken
    told = [e for name in open_before for e in store.tasks.history(name) if e.action == "contact"]
    assert {e.by[:2] for e in told} == {"f-"}
    assert {o.kind for o in store.register.outcomes()} >= {"safe_at_home"}


def test_the_page_shows_nothing_personal(site: Site) -> None:
    link = link_of(site)
    text = site.client().api("GET", f"/family/{link}").text
    for secret in ("home-1", "沈", "12-2", "330106", "worker"):
        assert secret not in text


def test_no_link_mutes_a_home_for_good(site: Site) -> None:
    link, family = link_of(site), site.client()
    said = family.api("POST", f"/family/{link}/away", json={"until": "2027-01-01T00:00:00Z"})
    until = dt.datetime.fromisoformat(said.json()["away_until"])
    assert until.timestamp() * NS <= site.times.event_ns + 60 * DAY
    past = family.api("POST", f"/family/{link}/away", json={"until": "2020-01-01T00:00:00Z"})
    assert past.json()["code"] == "refused"


def test_a_revoked_or_guessed_link_is_nothing(site: Site) -> None:
    link, desk = link_of(site), site.client("dispatcher")
    [known] = desk.api("GET", "/subjects/home-1/links").json()
    assert link not in str(known)
    assert desk.api("DELETE", f"/links/{known['link_id']}").status_code == 200
    for secret in (link, "x" * 32):
        assert site.client().api("GET", f"/family/{secret}").status_code == 404
        away = {"until": "2026-01-05T00:00:00Z"}
        assert site.client().api("POST", f"/family/{secret}/away", json=away).status_code == 404


def test_links_of_other_places_cannot_be_made(site: Site) -> None:
    assert site.client("dispatcher").api("POST", "/subjects/away-1/links").status_code == 404


def test_requests_of_a_link_are_limited(site: Site) -> None:
    link, family = link_of(site), site.client()
    codes = [family.api("GET", f"/family/{link}").status_code for _ in range(15)]
    assert codes[:10] == [200] * 10
    assert codes[-1] == 429


def test_the_limiter_forgets_and_stays_small() -> None:
    limiter = Limiter(2)
    limiter.check("a")
    limiter.check("a")
    with pytest.raises(ApiError, match="slow_down"):
        limiter.check("a")
    limiter.check("b")


def test_a_reply_to_a_message_does_the_same(site: Site) -> None:
    link = link_of(site)
    secret = (
        site.client("admin")
        .api("POST", "/tokens", json={"label": "sms", "scopes": ["messages"]})
        .json()["secret"]
    )
    gateway = site.client()
    gateway.headers["Authorization"] = f"Bearer {secret}"
    said = gateway.api("POST", "/family/replies", json={"link": link, "text": "外出到1月8日"})
    assert said.json()["away_until"] == "2026-01-08T16:00:00Z"
    assert gateway.api("GET", "/alerts").status_code == 403  # that token does nothing else
    closed(site)
    rated = gateway.api("POST", "/family/replies", json={"link": link, "text": "很满意"})
    assert rated.json()["ask"] is None
    assert site.store.ratings.of([site.task]) == {site.task: 5}
    odd = gateway.api("POST", "/family/replies", json={"link": link, "text": "？？"})
    assert odd.json()["code"] == "refused"


def closed(site: Site, rating: int | None = None) -> str:
    """Have the first home's task signed for, reported and closed."""
    worker, desk = site.client("gridworker"), site.client("dispatcher")
    for act, body in (("sign", {}), ("report", {"kind": "safe_at_home"})):
        done = worker.api("POST", f"/tasks/{site.task}/{act}", json=body)
        assert done.status_code == 200, done.text
    told = desk.api("POST", f"/tasks/{site.task}/close", json={"satisfaction": rating})
    assert told.status_code == 200, told.text
    return site.task


def test_a_family_is_asked_once_what_it_thinks_of_a_visit(site: Site) -> None:
    link, family = link_of(site), site.client()
    assert family.api("GET", f"/family/{link}").json()["ask"] is None
    task = closed(site)
    asked = family.api("GET", f"/family/{link}").json()["ask"]
    assert asked == {"task_id": task, "day": "2026-01-01"}
    for wrong in ({"task_id": task, "rating": 6}, {"task_id": "t-another", "rating": 4}):
        assert family.api("POST", f"/family/{link}/rating", json=wrong).status_code == 422
    said = family.api("POST", f"/family/{link}/rating", json={"task_id": task, "rating": 4})
    assert said.json()["ask"] is None
    again = family.api("POST", f"/family/{link}/rating", json={"task_id": task, "rating": 1})
    assert again.json()["code"] == "refused"
    total = site.client("data").api("GET", "/reports/effectiveness").json()["total"]
    assert total["satisfaction"] == 4.0


def test_who_was_asked_at_the_door_is_not_asked_again(site: Site) -> None:
    link = link_of(site)
    closed(site, rating=5)
    assert site.client().api("GET", f"/family/{link}").json()["ask"] is None


def test_a_visit_is_not_asked_about_for_ever(site: Site) -> None:
    link = link_of(site)
    closed(site)
    site.times.event_ns += 15 * DAY
    assert site.client().api("GET", f"/family/{link}").json()["ask"] is None


def test_the_message_gateway_hears_once_whom_to_ask(site: Site) -> None:
    from engine.escalation import Escalator
    from engine.relay.messages import cloud_event, read
    from engine.store.deliveries import Delivery

    store, clock = site.store, Escalator(site.store, "clock")
    closed(site)
    clock.turn(site.times.event_ns)
    assert [r for r in store.outbox.pending() if r.topic == "reminder"] == []  # nobody has a link
    link_of(site)
    clock.turn(site.times.event_ns)
    clock.turn(site.times.event_ns + HOUR)
    [row] = [r for r in store.outbox.pending() if r.topic == "reminder"]
    [message] = read(store, [Delivery(1, "c", row.topic, row.key, row.seq, row.at_ns, 0)])
    assert message is not None
    event = json.loads(cloud_event(message, "test"))
    assert event["type"] == "gridwarden.reminder.rate"
    assert event["data"] == {"subject_id": "home-1", "task_id": site.task}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2 8-15", "2026-08-15"), ("外出到8月15日", "2026-08-15"), ("去女儿家，3天", "2026-01-04"),
        ("away until Sunday", "2026-01-04"), ("到周日", "2026-01-04"), ("明天回来", "2026-01-02"),
        ("2026-02-03", "2026-02-03"), ("today", "2026-01-01"),
    ],
)  # fmt: skip
def test_replies_are_understood(text: str, day: str) -> None:
    until = read_reply(text, T0, "Asia/Shanghai")
    assert until is not None
    last = dt.datetime.fromtimestamp(until // NS - 1, dt.timezone(dt.timedelta(hours=8)))
    assert last.date().isoformat() == day


@pytest.mark.parametrize("text", ["1", "平安", "在家", " OK ", "all well"])
def test_all_is_well_is_understood(text: str) -> None:
    assert read_reply(text, T0, "Asia/Shanghai") is None


def test_links_never_reach_a_log(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    link = link_of(site)
    site.store.database.engine.dispose()
    broken = site.client()
    broken.api("GET", f"/family/{link}")
    broken.api("POST", f"/family/{link}/away", json={"until": "nonsense"})
    out = capfd.readouterr()
    assert link not in out.out + out.err


def test_a_link_is_in_no_log_when_the_store_is_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = link_of(site)

    def away(*_: object) -> None:
        raise StoreError("no connection")

    monkeypatch.setattr(links, "open_link", away)
    with structlog.testing.capture_logs() as lines:
        assert site.client().api("GET", f"/family/{link}").status_code == 503
    assert [line["event"] for line in lines] == ["store_unavailable"]
    assert link not in str(lines)
