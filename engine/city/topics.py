"""The district's topics on Kafka, made as they have to be, and its producer."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from engine.city.district import District

LOG, QUARANTINE = "log", "quarantine"
MOST_BYTES = 1 << 20


class TopicError(RuntimeError):
    """Kafka has not what the district needs."""


async def ensure(district: District) -> None:
    """Make the topics that are not there.

    Raises
    ------
    TopicError
        If the log has another number of partitions than the configuration says shards.
    """
    city = district.config.city
    wanted = {district.topic(LOG): city.shards, district.topic(QUARANTINE): 1}
    admin = AIOKafkaAdminClient(bootstrap_servers=city.kafka)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        retention = {"retention.ms": str(round(city.keep_days * 86_400_000))}
        new = [
            NewTopic(name, partitions, city.replicas, topic_configs=retention)
            for name, partitions in wanted.items()
            if name not in there
        ]
        if new:
            answer = await admin.create_topics(new)
            for topic, code, *_ in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise TopicError(f"topic {topic}: Kafka did not make it (error {code})")
        name = district.topic(LOG)
        for _ in range(50):
            (about,) = await admin.describe_topics([name])
            if len(about["partitions"]) == city.shards:
                return
            if about["partitions"]:
                raise TopicError(
                    f"topic {name} has {len(about['partitions'])} partitions, city.shards says "
                    f"{city.shards}; the number of a district's shards never changes"
                )
            await asyncio.sleep(0.1)  # the brokers have not heard of it yet
        raise TopicError(f"topic {name}: was made, and is not there")
    except KafkaError as error:
        raise TopicError(f"Kafka at {city.kafka}: {error}") from error
    finally:
        await admin.close()


def producer(district: District, patience_s: float = 30.0) -> AIOKafkaProducer:
    """Return a producer that keeps the order and counts a message as sent when it is durable."""
    return AIOKafkaProducer(
        bootstrap_servers=district.config.city.kafka,
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        max_request_size=MOST_BYTES,
        request_timeout_ms=int(patience_s * 1000),
    )
