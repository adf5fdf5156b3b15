"""Doorbells in Redis: a stream per queue says which tasks to look at; what they are is in SQL.

With each ring a counter goes up, in the same transaction of Redis, and the store notes the
counter. A counter below the one noted means that Redis lost what it was told (emptied, replaced,
its last second of writes gone): then the bell of every unsigned task is rung again.
"""

from __future__ import annotations

from collections.abc import Sequence

import redis
import structlog

from engine.relay.channel import TOLD, Answer, ChannelDown
from engine.relay.messages import Message
from engine.store.deliveries import Deliveries

log = structlog.get_logger()
MOST_RINGS = 100_000
"""A stream that nobody reads is cut to about so many."""
NOTED = "relay:redis"


def stream_of(prefix: str, queue: str) -> str:
    """Return the name of a queue's stream.

    >>> stream_of("gridwarden", "gridworker")
    'gridwarden:doorbell:gridworker'
    """
    return f"{prefix}:doorbell:{queue}"


class RedisChannel:
    """Rings.

    Parameters
    ----------
    url : str
        Of the server.
    prefix : str
        Begins every key.
    """

    name = "redis"
    topics: Sequence[str] = ("task",)
    attempts = 1_000_000
    at_once = 500

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = prefix
        self._redis = redis.Redis.from_url(
            url, socket_timeout=5.0, socket_connect_timeout=3.0, health_check_interval=15
        )
        self._counter = f"{prefix}:doorbell-counter"
        self._mark = 0

    def look(self, deliveries: Deliveries) -> None:
        """Ring all unsigned tasks again where Redis has lost what it was told."""
        noted = deliveries.mark(NOTED)
        try:
            has = int(self._redis.get(self._counter) or 0)
        except redis.RedisError as error:
            raise ChannelDown(f"redis: {error}") from error
        if has < noted:
            again = deliveries.again(self.name, (NOTED, has))
            log.warning("doorbells_lost", noted=noted, there=has, rung_again=again)

    def tell(self, messages: Sequence[Message]) -> Sequence[Answer]:
        """Ring for each message, all or none."""
        with self._redis.pipeline(transaction=True) as pipe:
            for message in messages:
                task, d = message.task, message.delivery
                assert task is not None
                fields = {
                    "id": d.name,
                    "task": task.task_id,
                    "seq": d.seq,
                    "action": "" if message.event is None else message.event.action,
                    "state": task.state,
                    "level": task.level,
                    "grid": task.grid,
                    "assignee": task.assignee or "",
                }
                pipe.xadd(
                    stream_of(self.prefix, task.queue), fields,  # type: ignore[arg-type]
                    maxlen=MOST_RINGS, approximate=True,
                )  # fmt: skip
            pipe.incrby(self._counter, len(messages))
            try:
                self._mark = int(pipe.execute()[-1])
            except redis.RedisError as error:
                raise ChannelDown(f"redis: {error}") from error
        return [TOLD] * len(messages)

    def mark(self) -> tuple[str, int] | None:
        """Return the counter after the last rings."""
        return NOTED, self._mark

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()
