"""Gateways on real servers: whatever was acknowledged is in the log, whatever was refused is told."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import paho.mqtt.client as mqtt
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from paho.mqtt.enums import CallbackAPIVersion

from connectors.records import Event, Tick
from engine.city import wire
from engine.city.district import District
from engine.city.gateway import Gateway
from engine.city.servers import Kafka, Mosquitto
from engine.city.source_http import HttpSource
from engine.city.source_kafka import KafkaSource
from engine.city.source_mqtt import MqttSource
from engine.city.source_people import PeopleSource
from engine.config import ConfigError, HttpConfig, MqttConfig
from tests.city import running
from tests.engine import live_town

NOW = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
KEYS = {"keys": {"meters-ltd": "sesame"}}
KEY = {"X-API-Key": "sesame"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("gateway-town"))


@pytest.fixture(scope="module")
def meters(town: Path) -> list[str]:
    with (town / "meters.csv").open() as file:
        return [row["meter_id"] for row in csv.DictReader(file)]


def wall() -> int:
    return NOW * 10**9


def reading(meter: str, k: int) -> dict[str, Any]:
    ts = datetime.fromtimestamp(NOW - 3600 * k, UTC)
    return {"meter_id": meter, "ts": ts.isoformat(), "value": float(k)}


def as_rows(given: list[dict[str, Any]]) -> list[tuple[str, int, float]]:
    return sorted(
        (r["meter_id"], int(datetime.fromisoformat(r["ts"]).timestamp()), r["value"]) for r in given
    )


def arrow(given: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_pylist(given)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


# -- HTTP -----------------------------------------------------------------------------------------


def pushed(
    kafka: Kafka, town: Path, tmp_path: Path, work: Callable[[httpx.AsyncClient, Gateway], Any],
    **http: Any,
) -> tuple[Any, list[list[bytes]], list[dict[str, Any]]]:  # fmt: skip
    """Let `work` push into a gateway; return its answer, the log and the quarantine."""
    config = running.config(town, tmp_path, kafka.address)
    made: list[HttpSource] = []

    def sources(gateway: Gateway) -> list[Any]:
        made.append(HttpSource(gateway, HttpConfig.model_validate({"port": 0, **KEYS, **http})))
        return [made[0].run()]

    async def run() -> Any:
        async with running.gateway(config, sources, wall) as gateway:
            await running.until(lambda: bool(made and made[0].server and made[0].server.started))
            assert made[0].server is not None
            port = made[0].server.servers[0].sockets[0].getsockname()[1]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                return await work(client, gateway)

    answer = asyncio.run(run())
    prefix = config.city.prefix
    refused = running.messages(kafka.address, f"{prefix}.quarantine", 1)[0]
    lines = [json.loads(line) for m in refused for line in m.splitlines()]
    return answer, running.messages(kafka.address, f"{prefix}.log"), lines


def test_every_format_is_packed_and_what_is_wrong_is_quarantined(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    one = [reading(meters[0], 1)]
    array = [reading(m, 2) for m in meters]
    lines = [reading(m, 3) for m in meters]
    table = [reading(m, 4) for m in meters]
    bad = [{**reading(meters[0], 5), "meter_id": "nobody"}, {**reading(meters[0], 6), "ts": "soon"}]

    async def work(client: httpx.AsyncClient, _gateway: Gateway) -> list[httpx.Response]:
        post = client.post
        ndjson = "\n".join(map(json.dumps, lines + bad)) + "\n"
        return [
            await post("/v1/readings", headers=KEY, json=one[0]),
            await post("/v1/readings", headers=KEY, json=array),
            await post("/v1/readings", headers={"Authorization": "Bearer sesame",
                       "Content-Type": "application/x-ndjson"}, content=ndjson),
            await post("/v1/readings", content=arrow(table), headers={**KEY,
                       "Content-Type": "application/vnd.apache.arrow.stream"}),
            await post("/v1/events", headers=KEY, json={"event_id": "e1", "kind": "weather",
                       "ts": "2026-03-01T00:00:00Z", "place": "330106", "attrs": {"temp_c": 3}}),
        ]  # fmt: skip

    answers, logs, refused = pushed(kafka, town, tmp_path, work)
    assert [a.status_code for a in answers] == [200] * 5, [a.text for a in answers]
    assert answers[2].json() == {
        "rows": len(lines) + 2, "packed": len(lines), "quarantined": 2,
        "reasons": {"unknown_meter": 1, "bad_time": 1},
    }  # fmt: skip
    assert sorted(running.readings(logs)) == as_rows(one + array + lines + table)
    assert {(r["reason"], r["meter_id"], r["source"]) for r in refused} == {
        ("unknown_meter", "nobody", "http:meters-ltd"),
        ("bad_time", meters[0], "http:meters-ltd"),
    }
    assert sum(len(log) for log in logs) >= 4 + 4 + 1  # ticks in every log, the event in some


def test_broken_clocks_are_refused_and_move_nobodys_time(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    """Readings of 1970, of 2106, of tomorrow: quarantined with their reason, beside good ones."""
    now = datetime.fromtimestamp(wall() / 1e9, UTC)
    ahead = (now + timedelta(days=1)).isoformat()
    stamps = ["1970-01-01T00:00:00Z", "2106-02-07T06:28:15Z", ahead]
    wrong = [{**reading(meters[0], 1), "ts": ts} for ts in stamps]
    good = [reading(m, 2) for m in meters]

    async def work(client: httpx.AsyncClient, _gateway: Gateway) -> list[httpx.Response]:
        return [await client.post("/v1/readings", headers=KEY, json=[*wrong, *good])]

    (answer,), logs, refused = pushed(kafka, town, tmp_path, work)
    assert answer.json()["reasons"] == {"time_out_of_range": 2, "clock_ahead": 1}
    assert sorted(running.readings(logs)) == as_rows(good)
    assert {row["ts"] for row in refused} == set(stamps)
    ticks = [r.arrival_ns for log in logs for m in log if isinstance(r := wire.unpack(m), Tick)]
    assert ticks
    assert all(abs(datetime.fromtimestamp(t / 1e9, UTC) - now) < timedelta(hours=1) for t in ticks)


def test_garbage_huge_slow_and_wrong_keys_are_refused_and_cost_nothing(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    async def slowly() -> Any:
        yield b"["
        await asyncio.sleep(30)

    async def work(client: httpx.AsyncClient, gateway: Gateway) -> list[int]:
        post = client.post
        found = [
            await post("/v1/readings", json=reading(meters[0], 1)),
            await post("/v1/readings", headers={"X-API-Key": "open"}, json={}),
            await post("/v1/readings", headers=KEY, content=b"\x00\x01", ),
            await post("/v1/readings", headers={**KEY, "Content-Type": "application/json"},
                       content=b"\x00garbage"),
            await post("/v1/readings", headers={**KEY, "Content-Type": "application/json"},
                       content=b"[1, 2"),
            await post("/v1/readings", headers={**KEY, "Content-Type": "application/json"},
                       content=b"\xff\xff\xff\xff" + bytes(64)),
            await post("/v1/readings", headers={**KEY, "Content-Type": "application/json"},
                       content=b"[" + b" " * 5000 + b"]"),
            await post("/v1/readings", headers={**KEY, "Content-Type": "application/json"},
                       content=slowly()),
            await client.get("/v1/readings", headers=KEY),
        ]  # fmt: skip
        gateway.packer.memory_bytes = -1
        busy = await post("/v1/readings", headers=KEY, json=reading(meters[0], 1))
        assert busy.headers["Retry-After"]
        gateway.packer.memory_bytes = 1 << 20
        last = await post("/v1/readings", headers=KEY, json=reading(meters[0], 2))
        return [r.status_code for r in [*found, busy, last]]

    codes, logs, _ = pushed(
        kafka, town, tmp_path, work, max_body_bytes=4096, body_s=0.3
    )  # fmt: skip
    assert codes == [401, 401, 415, 400, 400, 400, 413, 408, 405, 429, 200]
    assert running.readings(logs) == as_rows([reading(meters[0], 2)])


def test_what_was_acknowledged_before_kafka_went_is_there_when_it_is_back(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    """A sender that comes again on anything but 200 loses nothing, whatever Kafka does."""
    sent: list[dict[str, Any]] = []

    async def work(client: httpx.AsyncClient, _gateway: Gateway) -> list[int]:
        codes = []
        for k in range(12):
            if k == 4:
                await asyncio.to_thread(kafka.kill)
                restart = asyncio.create_task(asyncio.to_thread(kafka.start))
            batch = [reading(m, k) for m in meters]
            while True:
                answer = await client.post("/v1/readings", headers=KEY, json=batch)
                codes.append(answer.status_code)
                if answer.status_code == 200:
                    break
                assert answer.headers["Retry-After"]
            sent.extend(batch)
        await restart
        return codes

    codes, logs, _ = pushed(kafka, town, tmp_path, work)
    assert codes.count(200) == 12
    found = running.readings(logs)
    assert set(found) == set(as_rows(sent))


def test_without_keys_nobody_may_push(town: Path, tmp_path: Path) -> None:
    config = running.config(town, tmp_path, "127.0.0.1:1")
    with pytest.raises(ConfigError, match="give each sender a name and a key"):
        HttpSource(Gateway(District(config), wall), HttpConfig())


# -- Kafka ----------------------------------------------------------------------------------------


def test_messages_of_a_topic_are_packed_in_bulk_once_over_a_restart(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    config = running.config(town, tmp_path, kafka.address)
    topic = f"{config.city.prefix}.raw"
    rng = np.random.default_rng(3)
    good = [reading(meters[int(i)], int(k)) for i, k in zip(
        rng.integers(0, len(meters), 6_000), rng.integers(0, 10**4, 6_000), strict=True)]  # fmt: skip
    bodies = [json.dumps(r).encode() for r in good]
    bodies[10] = json.dumps(good[10], indent=2).encode()  # one object over several lines
    odd = [b"", b"not json", b"[1]", b'{"meter_id": "x"}', b"\xff\xfe", b"null", b"\n"]
    producer = Producer({"bootstrap.servers": kafka.address})

    def produce(values: list[bytes]) -> None:
        for value in values:
            producer.produce(topic, value)
        producer.flush()

    async def run() -> None:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 2, 1)])
        await admin.close()
        await once(bodies[:4_000] + odd)
        await once(bodies[4_000:])

    async def once(values: list[bytes]) -> None:
        """Run a gateway until it has what is new: no message twice, none forgotten."""
        produce(values)
        source: list[KafkaSource] = []

        def sources(gateway: Gateway) -> list[Any]:
            source.append(KafkaSource(gateway, [topic]))
            return [source[0].run()]

        async with running.gateway(config, sources, wall) as gateway:
            await running.until(lambda: bool(source) and source[0].messages >= len(values))
            assert source[0].messages == len(values)
            await running.until(lambda: gateway.packer.load == 0)
            assert all(c.reconciled for c in gateway.packer.counts.values())

    asyncio.run(run())
    logs = running.messages(kafka.address, f"{config.city.prefix}.log")
    assert sorted(running.readings(logs)) == as_rows(good)
    refused = running.messages(kafka.address, f"{config.city.prefix}.quarantine", 1)[0]
    lines = [json.loads(line) for m in refused for line in m.splitlines()]
    assert len(lines) == len(odd)
    assert all(line["position"] > 0 for line in lines)


# -- MQTT -----------------------------------------------------------------------------------------


def test_every_message_of_mqtt_is_in_the_log_over_a_restart_of_the_broker(
    kafka: Kafka, mosquitto: Mosquitto, town: Path, meters: list[str], tmp_path: Path
) -> None:
    config = running.config(town, tmp_path, kafka.address)
    mine = MqttConfig(port=mosquitto.port, client_id=config.city.prefix, inflight=200)
    made: list[MqttSource] = []
    single = [reading(m, k) for k in range(60) for m in meters]
    batches = [[reading(m, 100 + k) for m in meters] for k in range(20)]

    def sources(gateway: Gateway) -> list[Any]:
        made.append(MqttSource(gateway, mine))
        return [made[0].run()]

    async def run() -> None:
        async with running.gateway(config, sources, wall) as gateway:
            await running.until(lambda: bool(made) and made[0].connected)
            await running.until(lambda: made[0]._session > 0)
            sender = publisher(mosquitto)
            half = len(single) // 2
            publish(sender, single[:half], batches[:10])
            await asyncio.to_thread(mosquitto.stop)
            await asyncio.to_thread(mosquitto.start)
            await running.until(lambda: made[0].connected)
            publish(sender, single[half:], batches[10:])
            all_of_it = len(single) + sum(map(len, batches))
            await running.until(
                lambda: sum(c.rows for c in gateway.packer.counts.values()) >= all_of_it
            )
            await running.until(lambda: gateway.packer.load == 0)
            await asyncio.to_thread(sender.loop_stop)

    asyncio.run(run())
    found = running.readings(running.messages(kafka.address, f"{config.city.prefix}.log"))
    given = as_rows(single + [r for b in batches for r in b])
    assert set(found) == set(given)
    assert len(found) - len(given) < 400  # sent twice at most what was open at the restart


def publisher(broker: Mosquitto) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=False, client_id="sender")
    client.max_inflight_messages_set(500)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    return client


def publish(client: mqtt.Client, single: list[Any], batches: list[Any]) -> None:
    """Publish with QoS 1 and wait until the broker has all of it."""
    sent = [
        client.publish(f"gridwarden/readings/{r['meter_id']}", json.dumps(r), qos=1) for r in single
    ]
    sent += [client.publish("gridwarden/readings/batch", json.dumps(b), qos=1) for b in batches]
    for one in sent:
        one.wait_for_publish(60)
        assert one.is_published()


# -- people ---------------------------------------------------------------------------------------


def test_what_people_report_is_in_the_log_of_its_shard_once(
    kafka: Kafka, town: Path, tmp_path: Path
) -> None:
    config = running.config(
        town, tmp_path, kafka.address, store=f"sqlite:///{tmp_path / 'people.db'}"
    )
    district = District(config)
    day = 86_400 * 10**9
    with district.open_store() as store:
        first = store.register.declare(
            "elder-0001", wall(), wall() + day, source="family", by="son", at_ns=wall()
        )

        async def run(wanted: int) -> None:
            made: list[PeopleSource] = []

            def sources(gateway: Gateway) -> list[Any]:
                made.append(PeopleSource(gateway, lambda: store))
                return [made[0].run()]

            async with running.gateway(config, sources, wall):
                await running.until(lambda: bool(made) and made[0].records == wanted)

        asyncio.run(run(1))
        store.register.revoke(first.absence_id, by="son", at_ns=wall())
        asyncio.run(run(1))
    logs = running.messages(kafka.address, f"{config.city.prefix}.log")
    found = [
        (shard, record.kind, record.subject_id)
        for shard, log in enumerate(logs)
        for record in map(wire.unpack, log)
        if isinstance(record, Event)
    ]
    row = district.routing.whole.subject_rows(["elder-0001"])[0]
    shard = int(district.routing.of_subject[row])
    assert found == [
        (shard, "absence", "elder-0001"),
        (shard, "absence_revoked", "elder-0001"),
    ]


def test_the_console_hears_how_each_source_fares(
    kafka: Kafka, town: Path, meters: list[str], tmp_path: Path
) -> None:
    config = running.config(
        town, tmp_path, kafka.address, store=f"sqlite:///{tmp_path / 'feeds.db'}"
    )
    with District(config).open_store() as store:

        async def run() -> None:
            made: list[PeopleSource] = []

            def sources(gateway: Gateway) -> list[Any]:
                made.append(PeopleSource(gateway, lambda: store))
                return [made[0].run()]

            async with running.gateway(config, sources, wall) as gateway:
                given = [reading(meters[0], 1), reading(meters[1], 2), {"meter_id": "nobody's"}]
                body = "\n".join(map(json.dumps, given)).encode()
                for block in gateway.door("http:meters-ltd").readings(body, wall()):
                    gateway.packer.put(block)
                await running.until(lambda: bool(store.feeds.list()))

        asyncio.run(run())
        (feed,) = store.feeds.list()
    assert (feed.name, feed.kind, feed.rows, feed.quarantined) == (
        "http:meters-ltd",
        "source",
        3,
        1,
    )
    assert feed.last_ns == wall()
