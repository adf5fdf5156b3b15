"""Rows that a shard refuses (unknown meters, glitches) go to the quarantine topic, as a gateway's do.

They are there before the offset that they came with counts as committed. After a crash the same
rows may come again: shard, offset, source and position say which they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from numpy.typing import NDArray

from connectors.records import Event, Fault, ReadingBlock
from engine.city import topics
from engine.city.district import District
from engine.city.packer import REASONS, quarantined
from engine.store.errors import StoreError

PATIENCE_S = 10.0
ROWS = 500
Refuse = Callable[[int, ReadingBlock | Event, NDArray[np.uint8] | None], None]


class RefusedRows:
    """A worker's way to the quarantine topic; all calls from its one thread for shards.

    Parameters
    ----------
    district : District
    """

    def __init__(self, district: District) -> None:
        self.rows = 0
        self._topic = district.topic(topics.QUARANTINE)
        self._servers = district.config.city.kafka
        self._producer: Producer | None = None
        self._failed: list[tuple[bytes, bytes]] = []
        """Key and body of what Kafka did not take."""

    def of_shard(self, shard: int) -> Refuse:
        """Return what takes a shard's rows: (offset of the log, block or event, faults)."""

        def take(offset: int, what: ReadingBlock | Event, fault: NDArray[np.uint8] | None) -> None:
            key = f"{shard}:{offset}".encode()
            if isinstance(what, Event):
                body = {
                    "source": what.source, "position": what.position,
                    "reason": REASONS[what.fault], "detail": what.detail,
                    "event_id": what.event_id, "kind": what.kind, **(what.raw or {}),
                }  # fmt: skip
                self.rows += 1
                self._send(key, msgspec.json.encode(body))
                return
            faults = what.fault if fault is None else fault
            rows = np.flatnonzero(faults != Fault.OK)
            self.rows += len(rows)
            block = replace(what, fault=faults)
            for start in range(0, len(rows), ROWS):
                self._send(key, quarantined(block, rows[start : start + ROWS]))

        return take

    def _send(self, key: bytes, body: bytes) -> None:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._servers, "enable.idempotence": True,
                    "log_level": 0, "message.timeout.ms": 0,
                }
            )  # fmt: skip

        def told(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._failed.append((key, body))

        while True:
            try:
                self._producer.produce(self._topic, body, key=key, partition=0, on_delivery=told)
                return
            except BufferError:
                self._producer.poll(1.0)

    def flush(self) -> None:
        """Wait until all is durable.

        Raises
        ------
        StoreError
            If Kafka does not take it now; nothing is lost, try again.
        """
        if self._producer is None:
            return
        left = self._producer.flush(PATIENCE_S)
        failed, self._failed = self._failed, []
        for key, body in failed:
            self._send(key, body)
        if left or failed:
            raise StoreError(
                f"topic {self._topic}: Kafka took {left + len(failed)} refused rows not yet; what "
                "came of their messages is committed after them"
            )
