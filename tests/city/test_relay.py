"""Telling others: once the truth is in SQL, everybody hears of it, whatever goes down meanwhile."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from confluent_kafka import Consumer
from sqlalchemy import text

from engine.city.servers import Kafka, Postgres, Redis
from engine.config import NotifyConfig, WebhookConfig
from engine.desk import Desk
from engine.escalation import LEASE_S, Escalator
from engine.relay.channel import TOLD, Answer, Channel, ChannelDown
from engine.relay.doorbells import Doorbells
from engine.relay.kafka import KafkaChannel
from engine.relay.messages import Message
from engine.relay.notify import NotifyChannel
from engine.relay.redis import RedisChannel, stream_of
from engine.relay.relay import Relay
from engine.relay.webhook import WebhookChannel, signature
from engine.relay.words import Words
from engine.roster import Roster, Worker
from engine.store import Store
from engine.store import schema as t
from engine.store.database import write
from engine.store.deliveries import Deliveries
from engine.store.schema import metadata
from rules.alerts import Level, State
from tests.city.receiver import Receiver, receiver
from tests.engine.store_kit import GRID, HOUR, MINUTE, T0, change, quick

WORKERS = (
    Worker(worker_id="w-1", grids=(GRID,), stand_in="w-2"),
    Worker(worker_id="leader", grids=(GRID[:12],), role="grid_leader"),
)
LOCAL = ("127.0.0.0/8",)


class Wall:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with quick(tmp_path / "s.db") as found:
        found.desk = Desk(roster=Roster(WORKERS))
        yield found


@pytest.fixture
def on_pg(pg: Postgres) -> Iterator[Store]:
    with Store.open(pg.url, desk=Desk(roster=Roster(WORKERS))) as found:
        with found.database.write() as connection:
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        yield found


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


class Ears:
    """A channel that hears what it is told, or is down."""

    name = "ears"
    topics: Any = ("alert", "task", "reminder")
    attempts = 3
    at_once = 100

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answer: Any = lambda _message: TOLD
        self.down = False

    def look(self, deliveries: Deliveries) -> None: ...

    def tell(self, messages: Any) -> list[Answer]:
        if self.down:
            raise ChannelDown("down")
        self.heard += [m.delivery.name for m in messages]
        return [self.answer(m) for m in messages]

    def mark(self) -> None: ...

    def close(self) -> None: ...


def commit(store: Store, *subjects: str, level: Level = Level.ORANGE, at: int = T0) -> None:
    epoch = store.claim("s")
    store.commit("s", epoch, 1, [change(s, level=level, at=at) for s in subjects], clock_ns=at)


def relay_of(store: Store, wall: Wall, *channels: Any, holder: str = "one") -> Relay:
    return Relay(store, channels, holder=holder, wall=wall, now_ns=lambda: T0)


def all_told(relay: Relay, channel: Channel) -> int:
    relay.turn()
    told = 0
    while done := relay.tell(channel):
        told += done
    return told


# -- handing out ----------------------------------------------------------------------------------


def test_every_channel_hears_of_every_change_it_wants_once(store: Store, wall: Wall) -> None:
    everything, tasks = Ears(), Ears()
    tasks.name, tasks.topics = "tasks", ("task",)
    relay = relay_of(store, wall, everything, tasks)
    commit(store, "home-1", "home-2")
    for ears in (everything, tasks):
        all_told(relay, ears)
        assert all_told(relay, ears) == 0
    assert len(everything.heard) == len(set(everything.heard)) == 4
    assert tasks.heard == [name for name in everything.heard if name.startswith("task:")]
    assert [row.topic for row in store.outbox.pending()] == ["alert"] * 2 + [
        "task"
    ] * 2  # console's
    relay.store.deliveries.hand_out({}, keep=1)
    commit(store, "home-3")
    relay.store.deliveries.hand_out({}, keep=1)
    assert len(store.outbox.pending()) == 1


def test_a_number_that_becomes_visible_late_is_not_passed_over(on_pg: Store) -> None:
    """PostgreSQL: a transaction that began first ends last; its rows are told all the same."""
    row = {"topic": "alert", "key": "slow", "seq": 0, "at_ns": T0}
    import threading

    inserted, go = threading.Event(), threading.Event()

    def slow() -> None:
        with on_pg.database.write() as connection:
            write(connection, t.outbox, [row])
            inserted.set()
            go.wait(30)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inserted.wait(30)
    with on_pg.database.write() as connection:
        write(connection, t.outbox, [row | {"key": "fast"}])
    threading.Timer(0.2, go.set).start()
    assert on_pg.deliveries.hand_out({"c": ("alert",)}, keep=10) == 2
    thread.join()
    assert [d.key for d in on_pg.deliveries.due("c", 0.0)] == ["slow", "fast"]


def test_attempts_wait_longer_and_longer_and_end_aside(store: Store, wall: Wall) -> None:
    ears = Ears()
    ears.answer = lambda _message: Answer("no")
    relay = relay_of(store, wall, ears)
    commit(store, "home-1")
    waits = []
    relay.turn()
    for _ in range(3):
        assert relay.tell(ears) == 0
        before = len(ears.heard)
        relay.tell(ears)
        assert len(ears.heard) == before  # not before its time
        waits.append(wall.now)
        wall.now += 60.0
    dead = store.deliveries.dead()
    assert [d.attempts for d in dead] == [3, 3]
    assert {d.problem for d in dead} == {"no"}
    assert store.deliveries.backlog()["ears"][:2] == (0, 2)
    ears.answer = lambda _message: TOLD
    assert store.deliveries.revive() == 2
    assert relay.tell(ears) == 2


def test_a_channel_that_is_down_keeps_everything_in_order(store: Store, wall: Wall) -> None:
    ears = Ears()
    relay = relay_of(store, wall, ears)
    commit(store, "home-1")
    ears.down = True
    relay.turn()
    with pytest.raises(ChannelDown):
        relay.tell(ears)
    commit(store, "home-2")
    ears.down = False
    assert all_told(relay, ears) == 4
    assert [n.partition(":")[0] for n in ears.heard] == ["alert", "task", "alert", "task"]


def test_what_was_forgotten_meanwhile_is_not_told(store: Store, wall: Wall) -> None:
    ears = Ears()
    relay = relay_of(store, wall, ears)
    commit(store, "home-1")
    relay.turn()
    with store.database.write() as connection:
        connection.execute(t.alert_changes.delete())
    relay.tell(ears)
    assert [n.partition(":")[0] for n in ears.heard] == ["task"]
    assert store.deliveries.backlog() == {}


def test_one_relay_acts_and_another_takes_over(store: Store, wall: Wall) -> None:
    first, second = (relay_of(store, wall, Ears(), holder=h) for h in ("a", "b"))
    commit(store, "home-1")
    assert first.turn() == 2
    commit(store, "home-2")
    assert second.turn() == 0
    wall.now += LEASE_S + 1
    assert second.turn() == 2
    commit(store, "home-3")
    wall.now -= 2  # `a` was stopped, and believes that it still holds the lease
    assert first.turn() == 0
    assert not first.acts


# -- doorbells ------------------------------------------------------------------------------------


@pytest.fixture
def bells(redis: Redis) -> Iterator[RedisChannel]:
    client = redis_py.Redis.from_url(redis.url)
    client.flushall()
    channel = RedisChannel(redis.url, "t")
    yield channel
    channel.close()
    client.close()


def hears(redis: Redis, consumer: str = "c", idle_s: float = 60.0) -> Doorbells:
    return Doorbells(redis.url, "t", "gridworker", group="g", consumer=consumer, idle_s=idle_s)


def test_losing_redis_loses_nothing(
    store: Store, wall: Wall, redis: Redis, bells: RedisChannel
) -> None:
    """Emptied, stopped while there is something to tell, and set back to an older state."""
    relay = relay_of(store, wall, bells)
    commit(store, "home-1", "home-2")
    assert all_told(relay, bells) == 2
    consumer = hears(redis)
    rings = consumer.hear()
    assert {r.task_id for r in rings} == {task.task_id for task in store.tasks.list()}
    consumer.done(rings)
    assert consumer.hear() == []
    signed, open_ = sorted(store.tasks.list(), key=lambda task: task.subject_id or "")
    store.tasks.sign(signed.task_id, by="w-1", at_ns=T0 + MINUTE)
    all_told(relay, bells)

    client = redis_py.Redis.from_url(redis.url)
    client.flushall()
    all_told(relay, bells)
    assert [r.task_id for r in consumer.hear()] == [open_.task_id]  # the other one is in hand

    redis.kill()
    commit(store, "home-3")
    relay.turn()
    with pytest.raises(ChannelDown):
        relay.tell(bells)
    redis.start()
    all_told(relay, bells)
    third = next(task for task in store.tasks.list() if task.subject_id == "home-3")
    assert [r.task_id for r in consumer.hear()] == [third.task_id]

    client.delete(stream_of("t", "gridworker"))  # its newest writes are gone
    client.decr("t:doorbell-counter")
    all_told(relay, bells)
    assert {r.task_id for r in consumer.hear()} == {open_.task_id, third.task_id}
    client.close()


def test_what_a_crashed_consumer_took_another_takes_over(
    store: Store, wall: Wall, redis: Redis, bells: RedisChannel
) -> None:
    commit(store, "home-1")
    all_told(relay_of(store, wall, bells), bells)
    assert len(hears(redis, "crashed").hear()) == 1
    other = hears(redis, "other", idle_s=0.0)
    taken = other.hear()
    assert len(taken) == 1
    other.done(taken)
    assert other.hear() == []


# -- Kafka ----------------------------------------------------------------------------------------


def read_topic(kafka: Kafka, topic: str, n: int) -> list[Any]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.address, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found: list[Any] = []
    try:
        while len(found) < n:
            got = consumer.consume(n - len(found), 20.0)
            assert got, f"{len(found)} of {n}"
            found += got
    finally:
        consumer.close()
    return found


def test_cloud_events_on_kafka_carry_the_alerts_as_exported(
    store: Store, wall: Wall, kafka: Kafka
) -> None:
    channel = KafkaChannel(kafka.address, "cloud", "district-7")
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    all_told(relay, channel)
    kafka.kill()
    epoch = store.claim("s")
    store.commit("s", epoch, 2, [change("home-1", seq=1, at=T0 + HOUR, state=State.RESOLVED)])
    relay.turn()
    kafka.start()
    all_told(relay, channel)
    messages = read_topic(kafka, "cloud.alerts", 2)
    assert len({m.partition() for m in messages}) == 1  # in order
    events = [json.loads(m.value()) for m in messages]
    lines = [json.loads(line) for line in store.lines()]
    assert [e["data"] for e in events] == lines
    assert [e["type"] for e in events] == ["gridwarden.alert.firing", "gridwarden.alert.resolved"]
    assert [e["id"] for e in events] == [f"alert:{a['alert_id']}:{a['seq']}" for a in lines]
    assert {(e["specversion"], e["source"], e["subject"]) for e in events} == {
        ("1.0", "district-7", "home-1")
    }
    assert events[0]["time"] == "2026-01-01T00:00:00Z"
    tasks = [json.loads(m.value()) for m in read_topic(kafka, "cloud.tasks", 2)]
    assert [e["type"] for e in tasks] == ["gridwarden.task.dispatch", "gridwarden.task.note"]
    channel.close()


# -- webhooks -------------------------------------------------------------------------------------


def hook(web: Receiver, wall: Wall, networks: tuple[str, ...] = LOCAL, **more: Any) -> Any:
    config = WebhookConfig.model_validate(
        {"url": web.url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", **more}
    )
    return WebhookChannel("desk", config, "district-7", networks, wall)


def test_webhooks_are_signed_and_repeated_until_they_are_taken(
    store: Store, wall: Wall, web: Receiver
) -> None:
    web.answer = lambda _post, before: [(500, {}), (503, {"retry-after": "120"})][before % 2] if before < 2 else (204, {})  # fmt: skip
    channel = hook(web, wall, topics=["alert"])
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    assert all_told(relay, channel) == 0
    wall.now += 5.0
    assert relay.tell(channel) == 0  # 503: wait two minutes
    wall.now += 119.0
    assert relay.tell(channel) == 0
    assert len(web.posts) == 2
    wall.now += 1.0
    assert relay.tell(channel) == 1
    assert (
        len({p.body for p in web.posts}) == len({p.headers["webhook-id"] for p in web.posts}) == 1
    )
    for post in web.posts:
        stamp = int(post.headers["webhook-timestamp"])
        wanted = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", post.headers["webhook-id"], stamp, post.body
        )
        assert post.headers["webhook-signature"] == wanted
    assert web.posts[0].headers["content-type"] == "application/cloudevents+json"
    channel.close()


def test_a_receiver_that_is_gone_for_good_is_not_asked_again(
    store: Store, wall: Wall, web: Receiver
) -> None:
    web.answer = lambda _post, _before: (410, {})
    channel = hook(web, wall, topics=["alert"])
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    all_told(relay, channel)
    assert [d.problem for d in store.deliveries.dead()] == ["HTTP 410 Gone"]
    channel.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://localhost:{port}",
                                 "http://[::ffff:127.0.0.1]:{port}", "http://169.254.169.254/latest"])  # fmt: skip
def test_webhooks_do_not_reach_what_is_not_public(
    store: Store, wall: Wall, web: Receiver, url: str
) -> None:
    port = web.url.rpartition(":")[2]
    channel = hook(web, wall, networks=("10.0.0.0/8",), url=url.format(port=port), topics=["alert"])
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    assert all_told(relay, channel) == 0
    assert web.posts == []
    (waiting,) = store.deliveries.due(channel.name, wall.now + 10)
    assert "relay.networks" in (waiting.problem or "")
    channel.close()


def test_a_redirect_is_no_way_around(store: Store, wall: Wall, web: Receiver) -> None:
    web.answer = lambda _post, _before: (307, {"location": "http://169.254.169.254/"})
    channel = hook(web, wall, topics=["alert"])
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    assert all_told(relay, channel) == 0
    assert len(web.posts) == 1
    channel.close()


# -- people ---------------------------------------------------------------------------------------


def notes(web: Receiver) -> list[dict[str, str]]:
    return [json.loads(post.body) for post in web.posts]


def notify(web: Receiver, wall: Wall, language: str = "zh", **more: Any) -> NotifyChannel:
    url = web.url.replace("http://", "json://")
    config = NotifyConfig.model_validate({"urls": [url], "language": language, **more})
    words = Words(
        language,
        {"elderly-silence": "独居老人无生活迹象"},
        "Asia/Shanghai",
        "https://desk.example/",
    )
    return NotifyChannel("desk", config, words, wall)


def test_people_read_what_where_why_and_until_when(store: Store, wall: Wall, web: Receiver) -> None:
    channel = notify(web, wall)
    relay = relay_of(store, wall, channel)
    commit(store, "home-1")
    all_told(relay, channel)
    (note,) = notes(web)
    task = store.tasks.list()[0]
    assert note["title"] == f"【橙色】独居老人无生活迹象 · {GRID}"
    assert note["message"].splitlines() == [
        "新任务", "没有生活迹象", "时限 01-01 09:00", f"https://desk.example/m/task/{task.task_id}",
    ]  # fmt: skip


def test_reminders_of_one_task_differ(store: Store, wall: Wall, web: Receiver) -> None:
    channel = notify(web, wall)
    relay = relay_of(store, wall, channel)
    commit(store, "home-1", level=Level.RED)
    escalator = Escalator(store, "e", wall=wall)
    for minute in range(40):
        escalator.turn(T0 + minute * MINUTE)
        all_told(relay, channel)
        wall.now += 60.0
    texts = [n["message"].splitlines()[0] for n in notes(web)]
    assert len(texts) >= 5
    assert all(a != b for a, b in itertools.pairwise(texts))


def test_a_flood_becomes_one_message_and_the_red_ones_come_first(
    store: Store, wall: Wall, web: Receiver
) -> None:
    channel = notify(web, wall, "en", per_minute=3)
    relay = relay_of(store, wall, channel)
    commit(store, *(f"home-{i}" for i in range(30)))
    commit(store, "home-red", level=Level.RED)
    commit(store, "home-blue", level=Level.BLUE)  # nobody wants to be woken for it
    all_told(relay, channel)
    found = notes(web)
    assert len(found) == 3
    assert found[0]["title"].startswith("[RED]")
    assert found[2]["title"] == "29 more messages"
    commit(store, "home-late")
    assert all_told(relay, channel) == 0
    wall.now += 61.0
    assert relay.tell(channel) == 1
    assert len(notes(web)) == 4


def test_the_message_knows_its_level() -> None:
    assert Message(delivery=None).level is None  # type: ignore[arg-type]
