"""Mosquitto, then Redis, away for a while under load: nothing is lost, all comes back by itself.

Meters and callers publish by MQTT (QoS 1) all the time, through a gateway, Kafka, a worker with its
relay, and PostgreSQL, to the doorbells in Redis. Mosquitto is stopped (it writes its sessions down;
publishers keep what is not acknowledged), Redis is killed. At the end every acknowledged reading is
in the log, every call has its one task, and every unsigned task was rung in Redis.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pyarrow.parquet as pq
import redis
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import text

from engine.city.servers import Mosquitto, Redis, free_port
from engine.simulate.load import generate_load
from engine.store import Store
from tests.city import running

METERS = 20_000
PER_S = 500
CALLS_PER_S = 2
SHARDS = 16


class Publisher(threading.Thread):
    """Publishes a reading of the next meter and, now and then, a call from a new address."""

    def __init__(self, port: int, ids: list[str], places: list[str]) -> None:
        super().__init__(daemon=True)
        self.ids, self.places = ids, places
        self.readings: list[tuple[str, int]] = []
        self.calls: list[str] = []
        self.acknowledged = 0
        self.stop = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "head-end", clean_session=False)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(1_000)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = self._told
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _told(self, *_: Any) -> None:
        self.acknowledged += 1

    @property
    def published(self) -> int:
        return len(self.readings) + len(self.calls)

    def run(self) -> None:
        began, n = time.monotonic(), 0
        while not self.stop.is_set():
            while n < (time.monotonic() - began) * PER_S:
                self._reading(n)
                if n % (PER_S // CALLS_PER_S) == 0:
                    self._call()
                n += 1
            time.sleep(0.02)

    def _reading(self, n: int) -> None:
        beat, number = divmod(n, len(self.ids))
        meter, second = self.ids[number], int(time.time())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        body = {"meter_id": meter, "ts": stamp, "value": 1_000 + beat / 4}
        self.readings.append((meter, second))
        self.client.publish(f"gridwarden/readings/{meter}", json.dumps(body), qos=1)

    def _call(self) -> None:
        number = len(self.calls)
        place = f"{self.places[number % len(self.places)][:15]}{number % 1_000:03d}"
        if place in self.calls:
            return
        body = {
            "event_id": f"call-{number}", "kind": "police_call", "place": place,
            "ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "attrs": {"topic": "noise", "police_matter": False},
        }  # fmt: skip
        self.calls.append(place)
        self.client.publish("gridwarden/events/calls", json.dumps(body), qos=1)


def run(away_s: float) -> None:
    """Take them away one after the other; assert, and print how soon all was back."""
    from bench.city import a_city

    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tables = generate_load(folder / "load", METERS, 1, 0.1)
        ids = pq.read_table(tables["meters"], columns=["meter_id"])["meter_id"].to_pylist()
        places = pq.read_table(tables["subjects"], columns=["place"])["place"].unique().to_pylist()
        broker, bells = Mosquitto(folder / "mosquitto"), Redis(folder / "redis")
        broker.start()
        bells.start()
        try:
            port = free_port()
            sources = {"mqtt": {"port": broker.port}, "health_port": port}
            relay = {"redis": bells.url}
            with (
                a_city(folder, tables, sources, ["gateway", "worker"], relay=relay) as city,
                Store.open(city["store"]) as store,
            ):
                client = Publisher(broker.port, ids, places)
                client.start()
                wait(lambda: bool(rung(bells)), "the first bell")
                _away(broker.stop, broker, away_s, client, bells, store, port)
                _away(bells.kill, bells, away_s, client, bells, store, port)
                client.stop.set()
                client.join()
                wait(lambda: client.acknowledged == client.published, "acknowledgements")
                wait(lambda: set(tasked(store)) == set(client.calls), "every call's task")
                found = tasked(store)
                assert len(found) == len(set(found)), "a task is doubled"
                unsigned = {t.task_id for t in store.tasks.list() if t.unsigned}
                wait(lambda: unsigned <= rung(bells), "every unsigned task's bell")
                readings = _logged(city["kafka"].address, set(client.readings))
                client.client.disconnect()
        finally:
            broker.stop()
            bells.stop()
    print(
        f"{len(client.readings):,} readings and {len(client.calls)} calls acknowledged: 0 lost, "
        f"{readings - len(set(client.readings)):,} came again and end as duplicates; "
        f"{len(found)} tasks, 0 lost, 0 doubled; {len(unsigned)} unsigned, each rung"
    )


def _away(
    take: Callable[[], None],
    server: Any,
    away_s: float,
    client: Publisher,
    bells: Redis,
    store: Store,
    port: int,
) -> None:
    take()
    gone, told = time.monotonic(), ""
    while time.monotonic() - gone < away_s:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
        told = "gateway not ready" if answer.status_code == 503 else told
        time.sleep(0.5)
    server.start()
    back = time.monotonic()
    # A call that is published now has its bell: what waited in front of it was worked off.
    calls = len(client.calls)
    wait(lambda: len(client.calls) > calls, "another call")
    place = client.calls[calls]

    def has_bell() -> bool:
        task = dict(_tasks(store)).get(place)
        return task is not None and task in rung(bells)

    wait(has_bell, f"the bell after {server.name}")
    print(
        f"{server.name} away {away_s:.0f} s{' (' + told + ')' if told else ''}: a call's bell rang again "
        f"{time.monotonic() - back:.1f} s after it was back",
        flush=True,
    )


def _entries(bells: Redis) -> list[dict[bytes, bytes]]:
    with redis.Redis.from_url(bells.url) as client:
        streams = list(client.scan_iter("gridwarden:doorbell:*"))
        return [fields for stream in streams for _, fields in client.xrange(stream)]


def rung(bells: Redis) -> set[str]:
    """Return the tasks that were rung."""
    return {fields[b"task"].decode() for fields in _entries(bells)}


def tasked(store: Store) -> list[str]:
    return [place for place, _ in _tasks(store)]


def _tasks(store: Store) -> list[tuple[str, str]]:
    query = text("SELECT place, task_id FROM tasks WHERE rule = 'non-police-call'")
    with store.database.read() as connection:
        return [(str(place), str(task)) for place, task in connection.execute(query)]


def wait(what: Callable[[], bool], name: str, within_s: float = 120.0) -> None:
    ends = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < ends, f"{name}: not there after {within_s:.0f} s"
        time.sleep(0.1)


def _logged(kafka: str, wanted: set[tuple[str, int]]) -> int:
    """Wait until every reading is in the log; return how many lie there in all."""
    for _ in range(30):
        found = [
            (m, s)
            for m, s, _ in running.readings(running.messages(kafka, "gridwarden.log", SHARDS))
        ]
        if wanted <= set(found):
            return len(found)
        time.sleep(1)
    raise AssertionError(f"{len(wanted - set(found)):,} readings are not in the log")
