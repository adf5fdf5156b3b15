"""The servers are real, stop and come back on their port with what they held."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis import Redis as RedisClient
from sqlalchemy import create_engine, text

from engine.city import servers
from engine.city.servers import Kafka, Mosquitto, Postgres, Redis, ServerError, ServerMissing
from engine.store.database import Database, connect
from engine.store.errors import StoreError


def test_kafka_keeps_what_it_acknowledged_over_a_kill(kafka: Kafka) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    async def put() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=kafka.address, acks="all") as producer:
            await producer.send_and_wait("kept", b"one")

    async def get() -> bytes:
        async with AIOKafkaConsumer(
            bootstrap_servers=kafka.address, auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign([TopicPartition("kept", 0)])
            return bytes((await consumer.getone()).value)

    asyncio.run(put())
    kafka.kill()
    kafka.start()
    assert asyncio.run(asyncio.wait_for(get(), 30)) == b"one"


def test_postgres_stops_under_open_connections_and_comes_back(pg: Postgres) -> None:
    engine = create_engine(pg.url.replace("postgresql", "postgresql+psycopg"), pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (a int)"))
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    pg.stop()
    pg.start()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT a FROM kept")).scalar() == 1
    engine.dispose()


def test_who_freezes_within_a_transaction_holds_up_nobody(
    pg: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.database.FROZEN_MS", 200)
    frozen, other = (Database(connect(pg.url)) for _ in range(2))
    with other.write() as connection:
        connection.execute(text("CREATE TABLE shared (a int)"))
        connection.execute(text("INSERT INTO shared VALUES (1)"))
    lock = text("SELECT a FROM shared FOR UPDATE")

    def freeze() -> None:
        with frozen.write() as connection:
            connection.execute(text("UPDATE shared SET a = 2"))
            # The other one waits for the row until the server ends who says nothing.
            with other.write() as waiting:
                waiting.execute(text("SET LOCAL lock_timeout = '20s'"))
                assert waiting.execute(lock).scalar() == 1
            connection.execute(lock)

    with pytest.raises(StoreError, match="nothing was written"):
        freeze()
    with frozen.write() as connection:
        assert connection.execute(lock).scalar() == 1, "it goes on with a new connection"
    for database in (frozen, other):
        database.engine.dispose()


def test_redis_keeps_streams_over_a_stop(redis: Redis) -> None:
    with RedisClient.from_url(redis.url) as client:
        client.xadd("kept", {"a": "1"})
    redis.stop()
    redis.start()
    with RedisClient.from_url(redis.url) as client:
        assert client.xlen("kept") == 1


def test_mosquitto_answers(mosquitto: Mosquitto) -> None:
    assert mosquitto.ready()


def test_what_is_missing_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(servers.KAFKA_JARS, raising=False)
    with pytest.raises(ServerMissing, match="needs Java 17: install"):
        Kafka(tmp_path / "k").start()


def test_a_server_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    broken = Redis(tmp_path)
    (tmp_path / "appendonly.aof").write_bytes(b"this is no log")
    with pytest.raises(
        ServerError, match=r"redis ended with 1 before it was ready; see .*redis\.log"
    ):
        broken.start()
