"""What parts of a city do while Kafka takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from connectors.records import Event, Fault
from engine.city import refused, topics
from engine.city.district import District
from engine.city.servers import free_port
from engine.store.errors import StoreError

AN_EVENT = Event(
    "e-1", 0, "complaint", None, None, {}, 0, "people", 3, Fault.BAD_EVENT, "nobody", {}
)


class ForgetfulKafka:
    """A producer whose first flush fails for every message."""

    def __init__(self, _settings: Any) -> None:
        self.kept: list[tuple[bytes, bytes]] = []
        self.failing = True
        self._open: list[tuple[bytes, bytes, Callable[[Any, Any], None]]] = []

    def produce(
        self, _topic: str, body: bytes, *, key: bytes, partition: int, on_delivery: Any
    ) -> None:
        """Take a message."""
        assert partition == 0
        self._open.append((key, body, on_delivery))

    def flush(self, _patience_s: float) -> int:
        """Deliver, or say that it failed."""
        waiting, self._open = self._open, []
        for key, body, told in waiting:
            told(RuntimeError("no leader") if self.failing else None, None)
            if not self.failing:
                self.kept.append((key, body))
        self.failing = False
        return 0


def test_refused_rows_that_kafka_did_not_take_go_out_again_under_their_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[ForgetfulKafka] = []

    def producer(settings: Any) -> ForgetfulKafka:
        made.append(ForgetfulKafka(settings))
        return made[-1]

    monkeypatch.setattr(refused, "Producer", producer)
    rows = refused.RefusedRows(cast("District", district(free_port())))
    rows.of_shard(7)(42, AN_EVENT, None)
    with pytest.raises(StoreError, match="1 refused rows not yet"):
        rows.flush()
    rows.flush()
    ((key, body),) = made[0].kept
    assert key == b"7:42"
    assert msgspec.json.decode(body)["reason"] == "bad_event"


def test_a_kafka_that_is_not_there_is_told_by_its_address() -> None:
    port = free_port()
    with pytest.raises(topics.TopicError, match=f"Kafka at 127.0.0.1:{port}"):
        asyncio.run(topics.ensure(cast("District", district(port))))


def district(port: int) -> Any:
    """Return what these parts ask of a district."""
    city = SimpleNamespace(kafka=f"127.0.0.1:{port}", shards=1, keep_days=1, replicas=1)
    return SimpleNamespace(config=SimpleNamespace(city=city), topic=lambda name: f"test.{name}")
