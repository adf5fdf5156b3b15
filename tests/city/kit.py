"""A small town as a city: its log in memory, its keepers, and what an embedded run says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from connectors.merge import Log
from connectors.records import Activation, Event, LogRecord, ReadingBlock, Tick
from engine.city.district import District
from engine.city.keeper import Keeper
from engine.city.packer import Packer
from engine.config import Config
from engine.inputs import directory_of, open_source
from engine.snapshot import SnapshotFolder
from engine.store import Store
from engine.store.activations import Announced
from rules.alerts import AlertChange

SHARDS = 4


def config(town: Path, folder: Path, store: str, **city: object) -> Config:
    return Config.model_validate(
        {
            "store": store,
            "snapshots": folder / "snapshots",
            "rules": {"budgets": {"elderly-silence": 52.0}},
            "inputs": {"meters": town / "meters.csv", "subjects": town / "subjects.csv"},
            "city": {"shards": SHARDS, **city},
        }
    )


def records(town: Path, district: District, block_rows: int = 700) -> Log:
    directory = directory_of(district.routing.whole)
    return Log(
        [
            open_source(str(town / "readings.csv.gz"), directory, district.config, False),
            open_source(str(town / "events.csv"), directory, district.config, True),
        ],
        block_rows=block_rows,
    )


def pack(
    district: District, log: Iterable[LogRecord], block_rows: int = 500,
    announce: Sequence[tuple[int, Announced]] = (),
) -> list[list[bytes]]:  # fmt: skip
    """Return the messages of every shard's log, as a gateway would write them.

    `announce`: (arrival in front of whose records it is written, what).
    """
    logs: list[list[bytes]] = [[] for _ in range(district.config.city.shards)]

    async def send(partition: int | None, message: bytes) -> asyncio.Future[object]:
        if partition is not None:
            logs[partition].append(message)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def run() -> None:
        packer = Packer(district.routing, send, block_rows=block_rows, memory_bytes=1 << 40)
        everybody = range(district.config.city.shards)
        tick_ns, newest = 300 * 10**9, None
        coming = sorted(announce, key=lambda pair: pair[0])
        for record in log:
            arrival = arrival_of(record)
            while coming and coming[0][0] <= arrival:
                packer.record(coming.pop(0)[1], everybody)
            if newest is None or arrival // tick_ns > newest // tick_ns:
                packer.record(Tick(arrival), everybody)
                newest = arrival
            if isinstance(record, ReadingBlock):
                packer.put(record)
            else:
                assert isinstance(record, Event)
                packer.event(record)
        last = packer
        await last.settle()

    asyncio.run(run())
    return logs


def arrival_of(record: LogRecord) -> int:
    return int(record.arrival_ns[0]) if isinstance(record, ReadingBlock) else record.arrival_ns


class Street:
    """Keepers of all shards in one thread, one message each in turn."""

    def __init__(self, district: District, store: Store, logs: Sequence[Sequence[bytes]]) -> None:
        self.district = district
        self.store = store
        self.logs = logs
        self.folder = SnapshotFolder(district.config.snapshots)
        self.prices = district.prices(store.database)
        self.keepers = {shard: self.take(shard) for shard in district.routing.peopled}

    def take(self, shard: int, holder: str = "") -> Keeper:
        keeper = Keeper(shard, self.district, self.store, self.folder, self.prices, holder=holder)
        keeper.open()
        return keeper

    def step(self) -> bool:
        """Give every keeper its next message; return whether any came further."""
        moved = False
        for shard, keeper in self.keepers.items():
            if keeper.next < len(self.logs[shard]):
                at, day = keeper.next, keeper.host.day
                # One that waits may have closed a day meanwhile, for which others wait.
                moved |= keeper.feed(at, self.logs[shard][at]) or keeper.host.day != day
        return moved

    def run(self) -> None:
        while self.step():
            pass
        for keeper in self.keepers.values():
            keeper.commit()
            assert keeper.next == len(self.logs[keeper.shard]), keeper.waits_for


def with_rules(log: Iterable[LogRecord], rules: Sequence[Activation]) -> Iterator[LogRecord]:
    """Yield a log with rules that take effect at their times."""
    waiting = sorted(rules, key=lambda one: one.arrival_ns)
    for record in log:
        while waiting and waiting[0].arrival_ns <= last_arrival_of(record):
            one = waiting.pop(0)
            if isinstance(record, ReadingBlock):
                before = int((record.arrival_ns < one.arrival_ns).sum())
                if before:
                    yield record.slice(0, before)
                record = record.slice(before, len(record))
            yield one
        yield record
    assert not waiting


def last_arrival_of(record: LogRecord) -> int:
    return int(record.arrival_ns[-1]) if isinstance(record, ReadingBlock) else record.arrival_ns


def embedded(town: Path, district: District, rules: Sequence[Activation] = ()) -> list[bytes]:
    """Return the lines of one uninterrupted process with a single shard, up to the end's tick."""
    from engine import library
    from engine.host import Host
    from engine.shard import ShardRunner

    lines: list[AlertChange] = []

    class Nobody:
        def block(self, *_: object) -> None: ...
        def event(self, *_: object) -> None: ...

    runner = ShardRunner(
        district.routing.whole, district.rules, district.config, library.calendars(),
        tick=district.tick_s,
    )  # fmt: skip
    host = Host([runner], on_lines=lines.extend, refuse=Nobody())
    for record in with_rules(records(town, district), rules):
        host.feed(record)
    return [line.line() for line in lines]
