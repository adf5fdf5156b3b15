"""Readings of any source become blocks in the logs of their shards; nothing is told as done before.

A put is durable when every message with a row of it is: only then may a source be acknowledged.
What cannot be packed goes to the quarantine topic, with its reason, and that too must be durable.
Memory is bounded: when too much is on its way, a put is refused (:class:`Busy`) or waits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.records import Counts, Event, Fault, Outcome, ReadingBlock, Tick
from connectors.refusals import details
from connectors.rows import DETAIL
from connectors.writers import ndjson_bytes
from engine.city import wire
from engine.city.routing import Routing
from engine.store.activations import Announced

Send = Callable[[int | None, bytes], Awaitable["asyncio.Future[object]"]]
"""Takes (partition, message), None being the quarantine topic; gives what ends when it is durable."""
_ROW_BYTES = 48
_QUARANTINE_ROWS = 500
REASONS = [f.name.lower() for f in Fault]
"""Names of the faults, by number."""


class Busy(RuntimeError):  # noqa: N818 -- says what is the case
    """Too much is on its way; come again."""


class LogError(RuntimeError):
    """The log did not take a message; whoever sent it must send it again."""


@dataclass(slots=True)
class _Open:
    """A block of one source and shard that is being filled."""

    parts: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    done: asyncio.Future[None] | None = None


class Packer:
    """Packs readings and events; used from one event loop.

    Parameters
    ----------
    routing : Routing
    send : callable
        Hands a message to the log.
    block_rows : int
        A block with so many rows goes out at once; smaller ones with :meth:`flush`.
    memory_bytes : int
        How much may be on its way.
    note : callable
        Shown every block and event that is taken.
    """

    def __init__(
        self,
        routing: Routing,
        send: Send,
        *,
        block_rows: int = 4_096,
        memory_bytes: int = 1 << 28,
        note: Callable[[ReadingBlock | Event], None] = lambda _: None,
    ) -> None:
        self.routing = routing
        self.block_rows = block_rows
        self.memory_bytes = memory_bytes
        self.load = 0
        """Bytes on their way: in open blocks, or sent and not durable yet."""
        self.counts: dict[str, Counts] = {}
        self.messages = 0
        self._send = send
        self._note = note
        self._open: dict[tuple[int, str], _Open] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._order: dict[int | None, asyncio.Lock] = {}
        self._room = asyncio.Event()
        self._room.set()

    # -- readings -------------------------------------------------------------------------

    def put(self, block: ReadingBlock) -> Awaitable[object]:
        """Take readings; what is returned ends when all of them are durable.

        Raises
        ------
        Busy
            If there is no room; nothing was taken.
        LogError
            (from what is returned) if the log did not take them.
        """
        if self.load > self.memory_bytes:
            raise Busy(f"{self.load:,} bytes are on their way to the log")
        if len(block):
            self._note(block)
        counts = self.counts.setdefault(block.source, Counts())
        counts.rows += len(block)
        waits: list[asyncio.Future[None]] = []
        good = block.fault == Fault.OK
        if not good.all():
            waits += self._refuse(block, np.flatnonzero(~good), counts)
        rows = np.flatnonzero(good)
        counts.by_status["processed"] += len(rows)
        if len(rows):
            waits += self._pack(block, rows)
        return _all(waits)

    async def room(self) -> None:
        """Wait until a put would be taken."""
        while self.load > self.memory_bytes:
            self._room.clear()
            await self._room.wait()

    async def take(self, record: ReadingBlock | Event) -> Awaitable[object]:
        """Take readings or an event as soon as there is room, for sources that can wait.

        Returns
        -------
        awaitable
            As of :meth:`put`: ends when all of it is durable.
        """
        await self.room()
        return self.put(record) if isinstance(record, ReadingBlock) else self.event(record)

    def _pack(self, block: ReadingBlock, rows: NDArray[np.int64]) -> list[asyncio.Future[None]]:
        shard = self.routing.of_meter[block.meter[rows]]
        order = np.argsort(shard, kind="stable")
        rows, shard = rows[order], shard[order]
        whole = pa.record_batch(
            [
                pa.array(block.position[rows]),
                self.routing.meter_id.take(pa.array(block.meter[rows])),
                pa.array(block.ts_ns[rows]).cast(wire.SCHEMA.field("ts").type),
                pa.array(block.value[rows]),
                pa.array(block.arrival_ns[rows]).cast(wire.SCHEMA.field("arrival").type),
            ],
            schema=wire.SCHEMA,
        )
        cuts = [0, *(np.flatnonzero(np.diff(shard)) + 1).tolist(), len(rows)]
        waits = []
        for start, stop in itertools.pairwise(cuts):
            waits.append(
                self._add(int(shard[start]), block.source, whole.slice(start, stop - start))
            )
        return waits

    def _add(self, shard: int, source: str, part: pa.RecordBatch) -> asyncio.Future[None]:
        # Arrivals must not fall within a log: what another source has open goes out first.
        for key in [k for k in self._open if k[0] == shard and k[1] != source]:
            self._close(key)
        open_ = self._open.setdefault((shard, source), _Open())
        if open_.done is None:
            open_.done = asyncio.get_running_loop().create_future()
        open_.parts.append(part)
        open_.rows += part.num_rows
        self.load += part.num_rows * _ROW_BYTES
        done = open_.done
        if open_.rows >= self.block_rows:
            self._close((shard, source))
        return done

    def _close(self, key: tuple[int, str]) -> None:
        open_ = self._open.pop(key)
        assert open_.done is not None
        table = pa.Table.from_batches(open_.parts).combine_chunks()
        messages = []
        for batch in table.to_batches(max_chunksize=self.block_rows):
            messages += [wire.pack_readings(key[1], piece) for piece in _by_day(batch)]
        self._ship(key[0], messages, open_.done, open_.rows * _ROW_BYTES)

    def flush(self) -> None:
        """Send all open blocks."""
        for key in list(self._open):
            self._close(key)

    # -- everything else ------------------------------------------------------------------

    def event(self, event: Event) -> Awaitable[object]:
        """Take an event for the shards that it concerns."""
        self._note(event)
        counts = self.counts.setdefault(event.source, Counts())
        counts.rows += 1
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if event.fault != Fault.OK:
            self._count(counts, event.fault)
            body = {
                "source": event.source, "position": event.position,
                "reason": REASONS[event.fault], "detail": event.detail, **(event.raw or {}),
            }  # fmt: skip
            self._ship(None, [msgspec.json.encode(body)], done, 0)
            return done
        counts.by_status["processed"] += 1
        return self.record(event, self.routing.of_event(event))

    def record(
        self, record: Event | Outcome | Tick | Announced, shards: Sequence[int]
    ) -> Awaitable[object]:
        """Take any other record for some shards, behind all readings taken before."""
        message = wire.pack(record)
        waits = []
        for shard in shards:
            for key in [k for k in self._open if k[0] == shard]:
                self._close(key)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.load += len(message)
            self._ship(shard, [message], done, len(message))
            waits.append(done)
        return _all(waits)

    def _refuse(
        self, block: ReadingBlock, rows: NDArray[np.int64], counts: Counts
    ) -> list[asyncio.Future[None]]:
        for value, n in zip(*np.unique(block.fault[rows], return_counts=True), strict=True):
            self._count(counts, Fault(int(value)), int(n))
        waits = []
        for at in range(0, len(rows), _QUARANTINE_ROWS):
            some = rows[at : at + _QUARANTINE_ROWS]
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            data = quarantined(block, some)
            self.load += len(data)
            self._ship(None, [data], done, len(data))
            waits.append(done)
        return waits

    @staticmethod
    def _count(counts: Counts, fault: Fault, n: int = 1) -> None:
        counts.by_status["quarantined"] += n
        name = REASONS[fault]
        counts.by_reason[name] = counts.by_reason.get(name, 0) + n

    # -- the way out ----------------------------------------------------------------------

    def _ship(
        self, partition: int | None, messages: list[bytes], done: asyncio.Future[None], size: int
    ) -> None:
        task = asyncio.create_task(self._deliver(partition, messages, done, size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, partition: int | None, messages: list[bytes], done: asyncio.Future[None], size: int
    ) -> None:
        """Hand messages over in their order, and say when they are durable."""
        try:
            lock = self._order.setdefault(partition, asyncio.Lock())
            async with lock:  # its waiters are served in the order in which they came
                sent = [await self._send(partition, message) for message in messages]
            self.messages += len(messages)
            for one in sent:
                await one
        except asyncio.CancelledError:
            done.cancel()
            raise
        except Exception as error:
            if not done.done():
                done.set_exception(
                    LogError(f"the log did not take {len(messages)} messages: {error}")
                )
                done.exception()  # looked at: nobody may be waiting
        else:
            if not done.done():
                done.set_result(None)
        finally:
            self.load -= size
            self._room.set()

    async def settle(self) -> None:
        """Send everything and wait until it is durable (or was refused)."""
        self.flush()
        while self._tasks:
            await asyncio.wait(set(self._tasks))


def _all(waits: Sequence[asyncio.Future[None]]) -> Awaitable[object]:
    """Return what ends when all end; a caller that gives up does not take the blocks with it."""
    return asyncio.shield(asyncio.gather(*waits))


def _by_day(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Cut a block at event-days, where shards have to wait for each other's counts."""
    day = batch.column(4).cast(pa.int64()).to_numpy(zero_copy_only=False) // (86_400 * 10**9)
    cuts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(day)]
    return [batch.slice(a, b - a) for a, b in itertools.pairwise(cuts)]


def quarantined(block: ReadingBlock, rows: NDArray[np.int64]) -> bytes:
    """Return rows as lines of JSON: where from, why, and what was read."""
    take = pa.array(rows)
    columns = {
        "source": pa.array([block.source] * len(rows)),
        "position": pa.array(block.position[rows]),
        "reason": pa.array([REASONS[f] for f in block.fault[rows].tolist()]),
    }
    if block.raw is not None:
        for name in block.raw.schema.names:
            column = block.raw.column(name).take(take)
            columns[name if name not in columns else f"raw_{name}"] = column.cast(pa.string())
        columns[DETAIL] = details(block.fault[rows], block.raw.take(take))
    return ndjson_bytes(pa.record_batch(list(columns.values()), names=list(columns)))
