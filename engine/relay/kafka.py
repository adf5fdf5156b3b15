"""Alerts and tasks as CloudEvents on topics of their own, each alert's and task's in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from engine.relay.channel import TOLD, Answer, ChannelDown
from engine.relay.messages import CONTENT_TYPE, Message, cloud_event
from engine.store.deliveries import Deliveries

PATIENCE_S = 20.0
PARTITIONS = 8


class KafkaChannel:
    """Writes to ``PREFIX.alerts`` and ``PREFIX.tasks``.

    Parameters
    ----------
    servers : str
        Bootstrap servers.
    prefix : str
        Begins the topics' names.
    source : str
        `source` of the events.
    replicas : int
        Of topics that are not there yet.
    """

    name = "kafka"
    topics: Sequence[str] = ("alert", "task", "reminder")
    attempts = 1_000_000
    at_once = 1_000

    def __init__(self, servers: str, prefix: str, source: str, replicas: int = 1) -> None:
        self._servers = servers
        self._source = source
        self._replicas = replicas
        alerts, tasks = f"{prefix}.alerts", f"{prefix}.tasks"
        self._topics = {"alert": alerts, "task": tasks, "reminder": tasks}
        self._producer: Producer | None = None

    def _open(self) -> Producer:
        settings = {"bootstrap.servers": self._servers, "log_level": 0}
        admin = AdminClient(settings)
        try:
            there = set(admin.list_topics(timeout=10).topics)
            missing = sorted(set(self._topics.values()) - there)
            made = admin.create_topics([NewTopic(m, PARTITIONS, self._replicas) for m in missing])
            for future in made.values():
                future.result(10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ChannelDown(f"kafka: {error}") from error
        return Producer(
            {
                **settings,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": int(PATIENCE_S * 1_000),
            }
        )

    def look(self, deliveries: Deliveries) -> None:
        """Nothing to look at: what Kafka acknowledged, it has."""

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Write all; any that is not acknowledged has all written again, in order."""
        if self._producer is None:
            self._producer = self._open()
        problems: list[str] = []

        def acknowledged(error: KafkaError | None, _message: Any) -> None:
            if error is not None:
                problems.append(error.str())

        for message in messages:
            self._producer.produce(
                self._topics[message.delivery.topic],
                cloud_event(message, self._source),
                key=message.delivery.key,
                headers={"content-type": CONTENT_TYPE},
                on_delivery=acknowledged,
            )
        left = self._producer.flush(PATIENCE_S + 5)
        if left or problems:
            self._producer.purge()
            self._producer = None
            raise ChannelDown(f"kafka: {problems[0] if problems else f'{left} messages are open'}")
        return [TOLD] * len(messages)

    def mark(self) -> tuple[str, int] | None:
        """Nothing to note."""
        return None

    def close(self) -> None:
        """End."""
        self._producer = None
