"""Waking phones: whom, what a push service can read of it, and what it may not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http_ece
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from pydantic import ValidationError

from engine.config import ConfigError, PushConfig
from engine.desk import Desk
from engine.escalation import Escalator
from engine.relay.push import PushChannel, public_key
from engine.relay.relay import Relay
from engine.relay.words import Words
from engine.roster import Roster, Worker
from engine.store import Store
from engine.store.pushes import KEPT_S, MOST
from rules.alerts import Level
from tests.engine.store_kit import GRID, MINUTE, T0, change, quick

WORKERS = (
    Worker(worker_id="w-1", grids=(GRID,), stand_in="w-2"),
    Worker(worker_id="w-2", grids=(GRID,)),
    Worker(worker_id="leader", grids=(GRID[:12],), role="grid_leader"),
)
RAW = base64.urlsafe_b64encode(bytes(31) + b"\x07").decode().rstrip("=")
CONFIG = PushConfig.model_validate({"key": RAW, "contact": "mailto:duty@example.org"})


class Phone:
    """A browser's side of a subscription."""

    def __init__(self, number: int) -> None:
        self.key = ec.derive_private_key(number + 1_000, ec.SECP256R1())
        self.secret = bytes([number] * 16)
        self.endpoint = f"https://push.example.org/send/{number}"

    def add(self, store: Store, account: str, now: float = 0.0) -> str:
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        text = [base64.urlsafe_b64encode(x).decode().rstrip("=") for x in (public, self.secret)]
        made = store.pushes.add(
            account, endpoint=self.endpoint, p256dh=text[0], auth=text[1], now_wall=now
        )
        return made.subscription_id

    def read(self, sealed: bytes) -> Any:
        plain = http_ece.decrypt(
            sealed, private_key=self.key, auth_secret=self.secret, version="aes128gcm"
        )
        return json.loads(plain)


class Service:
    """A push service: keeps what it gets, answers as told."""

    def __init__(self) -> None:
        self.got: list[httpx.Request] = []
        self.status: dict[str, int] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        status = self.status.get(str(request.url), 201)
        return httpx.Response(status, headers={"retry-after": "7"} if status == 429 else {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with quick(tmp_path / "s.db") as found:
        found.desk = Desk(roster=Roster(WORKERS))
        found.rosters.put_workers(WORKERS)
        for worker in ("w-1", "w-2", "leader"):
            found.accounts.add(
                worker, roles=["gridworker"], scope=[""], password=None, by="t", at_ns=T0,
                worker_id=worker,
            )  # fmt: skip
        found.accounts.add("chief", roles=["admin"], scope=[""], password=None, by="t", at_ns=T0)
        yield found


def site(store: Store) -> tuple[Service, PushChannel, Relay]:
    service = Service()
    titles = {"elderly-silence": "独居老人久无动静"}
    spoken = {lang: Words(lang, titles, "Asia/Shanghai", None) for lang in ("zh", "en")}
    channel = PushChannel(
        CONFIG, store, spoken, (), lambda: 1e6, transport=httpx.MockTransport(service)
    )
    return service, channel, Relay(store, [channel], holder="r", wall=lambda: 1e6)


def commit(store: Store, subject: str, level: Level = Level.ORANGE) -> str:
    alert = change(subject, level=level, text="no sign of life at 12-2-302")
    store.commit("s", store.claim("s"), 1, [alert], clock_ns=T0)
    return next(t.task_id for t in store.tasks.list() if t.subject_id == subject)


def told(relay: Relay, channel: PushChannel) -> None:
    relay.turn()
    while relay.tell(channel):
        pass


def test_only_the_holder_is_woken_and_only_that_phone_can_read_it(store: Store) -> None:
    service, channel, relay = site(store)
    mine, other = Phone(1), Phone(2)
    mine.add(store, "w-1")
    other.add(store, "leader")
    task = commit(store, "home-1")
    assert store.tasks.get(task).assignee == "w-1"
    told(relay, channel)
    [request] = service.got
    assert str(request.url) == mine.endpoint
    assert request.headers["content-encoding"] == "aes128gcm"
    assert request.headers["urgency"] == "high"
    assert request.headers["topic"] == task
    assert 600 <= int(request.headers["ttl"]) <= 86_400
    assert Vapid02.verify(request.headers["authorization"])
    assert f"k={public_key(CONFIG)}" in request.headers["authorization"]
    note = mine.read(request.content)
    assert note["path"] == f"/m/task/{task}"
    assert note["tag"] == task
    assert note["title"] == "【橙色】独居老人久无动静"
    assert note["body"].startswith("新任务\n时限 ")


def test_nothing_personal_is_sent(store: Store) -> None:
    service, channel, relay = site(store)
    phone = Phone(1)
    phone.add(store, "w-1")
    commit(store, "home-1", Level.RED)
    told(relay, channel)
    text = json.dumps(phone.read(service.got[0].content), ensure_ascii=False)
    for secret in ("home-1", GRID, "12-2-302", "w-1"):
        assert secret not in text
    assert b"home-1" not in service.got[0].content


def test_who_signed_meanwhile_is_not_woken_and_the_next_one_up_is(store: Store) -> None:
    service, channel, relay = site(store)
    first, leader = Phone(1), Phone(2)
    first.add(store, "w-1")
    leader.add(store, "leader")
    task = commit(store, "home-1")
    store.tasks.sign(task, by="w-1", at_ns=T0)
    told(relay, channel)
    assert service.got == []
    late = commit(store, "home-2", Level.RED)
    escalator = Escalator(store, "clock")
    for minute in range(200):
        escalator.turn(T0 + minute * MINUTE)
        if store.tasks.get(late).assignee == "leader":
            break
    told(relay, channel)
    note = leader.read(service.got[-1].content)
    assert note["body"].startswith("上一级未签收，已转到您处")


@pytest.mark.parametrize("status", [404, 410])
def test_a_phone_that_took_its_word_back_is_dropped(store: Store, status: int) -> None:
    service, channel, relay = site(store)
    gone, here = Phone(1), Phone(2)
    gone.add(store, "w-1")
    here.add(store, "w-1")
    service.status[gone.endpoint] = status
    commit(store, "home-1")
    told(relay, channel)
    assert [h.subscription.endpoint for h in store.pushes.of(["w-1"])] == [here.endpoint]
    assert store.deliveries.backlog().get("push", (0, 0))[:2] == (0, 0)


def test_a_push_service_that_is_busy_is_asked_again_later(store: Store) -> None:
    service, channel, relay = site(store)
    phone = Phone(1)
    phone.add(store, "w-1")
    service.status[phone.endpoint] = 429
    commit(store, "home-1")
    told(relay, channel)
    assert store.deliveries.backlog()["push"][0] == 1
    assert phone.endpoint not in str(store.deliveries.dead())
    [late] = store.deliveries.due("push", 1e6 + 7.1)
    assert late.problem == "HTTP 429"
    assert store.deliveries.due("push", 1e6 + 6.9) == []


def test_addresses_that_are_not_public_are_never_called(store: Store) -> None:
    spoken = {"zh": Words("zh", {}, "Asia/Shanghai", None)}
    channel = PushChannel(CONFIG, store, spoken, (), lambda: 1e6)
    relay = Relay(store, [channel], holder="r", wall=lambda: 1e6)
    phone = Phone(1)
    phone.endpoint = "https://127.0.0.1:1/admin"
    phone.add(store, "w-1")
    commit(store, "home-1")
    told(relay, channel)
    assert store.pushes.of(["w-1"]) == []
    [dead] = store.deliveries.dead()
    assert "not public" in str(dead.problem)
    channel.close()


def test_phones_are_one_accounts_few_and_not_kept_for_ever(store: Store) -> None:
    phone = Phone(1)
    first = phone.add(store, "w-1")
    assert phone.add(store, "w-2") == first  # somebody else signed in on it
    assert store.pushes.of(["w-1"]) == []
    assert not store.pushes.drop(first, "w-1")
    assert store.pushes.drop(first, "w-2")
    for number in range(2, MOST + 4):
        Phone(number).add(store, "w-1", now=float(number))
    assert len(store.pushes.of(["w-1"])) == MOST
    Phone(99).add(store, "w-2", now=KEPT_S + 100)
    assert store.pushes.of(["w-1"]) == []
    store.accounts.change("w-2", by="t", at_ns=T0, disabled=True)
    assert store.pushes.of(["w-2"]) == []


def test_a_key_is_read_as_pem_too_and_a_bad_one_says_what_is_wanted(tmp_path: Path) -> None:
    made = Vapid02()
    made.generate_keys()
    made.save_key(tmp_path / "private_key.pem")
    pem = (tmp_path / "private_key.pem").read_text()
    assert len(public_key(CONFIG.model_copy(update={"key": _secret(pem)}))) == 87
    with pytest.raises(ConfigError, match=r"relay\.push\.key: wanted a private key"):
        public_key(CONFIG.model_copy(update={"key": _secret("nonsense")}))
    with pytest.raises(ValidationError):
        PushConfig.model_validate({"key": RAW, "contact": "nobody"})


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)
