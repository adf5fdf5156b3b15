"""Hearing doorbells: a consumer of a queue's stream, one of a group that shares the work.

A ring that a consumer took and did not acknowledge (it crashed) is taken over by another after a
while. Rings come at least once; the task in SQL says what is still to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import redis

from engine.relay.redis import stream_of


class Ring(NamedTuple):
    """One ring of a queue's bell."""

    entry: str
    """Place in the stream; for :meth:`Doorbells.done`."""
    task_id: str
    seq: int
    action: str
    level: str
    grid: str
    assignee: str


class Doorbells:
    """A consumer in a group.

    Parameters
    ----------
    url, prefix, queue
        Server, beginning of keys, and whose bell.
    group, consumer : str
        Each ring goes to one consumer of a group.
    idle_s : float
        After so long without acknowledgement another consumer takes a ring over.
    """

    def __init__(
        self, url: str, prefix: str, queue: str, *, group: str, consumer: str, idle_s: float = 60.0
    ) -> None:
        self.stream = stream_of(prefix, queue)
        self.group = group
        self.consumer = consumer
        self.idle_ms = int(idle_s * 1_000)
        self._redis = redis.Redis.from_url(url, decode_responses=True)
        self._from = "0-0"

    def _prepare(self) -> None:
        try:
            self._redis.xgroup_create(self.stream, self.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def hear(self, count: int = 100, wait_s: float | None = None) -> list[Ring]:
        """Return rings: first ones that others left undone, then new ones.

        Parameters
        ----------
        wait_s : float, optional
            How long to wait for one; None: not at all.
        """
        try:
            return self._hear(count, wait_s)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._prepare()  # the first time, and after Redis was emptied
            return self._hear(count, wait_s)

    def _hear(self, count: int, wait_s: float | None) -> list[Ring]:
        answer: Any = self._redis.xautoclaim(
            self.stream, self.group, self.consumer, self.idle_ms, self._from, count
        )
        self._from = answer[0]
        found = list(_rings(answer[1]))
        if found:
            return found
        block = None if wait_s is None else max(1, int(wait_s * 1_000))
        answer = self._redis.xreadgroup(
            self.group, self.consumer, {self.stream: ">"}, count=count, block=block
        )
        if not answer:
            return []
        entries = answer[self.stream][0] if isinstance(answer, dict) else answer[0][1]
        return list(_rings(entries))

    def done(self, rings: list[Ring]) -> None:
        """Acknowledge rings."""
        if rings:
            self._redis.xack(self.stream, self.group, *(ring.entry for ring in rings))

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


def _rings(entries: list[tuple[str, Mapping[str, str] | None]]) -> Iterator[Ring]:
    for entry, fields in entries:
        if fields:  # an entry that was cut from the stream has none
            yield Ring(
                entry, fields["task"], int(fields["seq"]), fields["action"], fields["level"],
                fields["grid"], fields["assignee"],
            )  # fmt: skip
