"""The shards that a worker holds, apart from whatever transport brings their logs.

An adapter tells which shards are assigned and revoked, and hands over messages. Everything that
takes time (restoring, detectors, SQL, snapshots) happens in one thread of its own, so that the
adapter's event loop is free to keep its membership, and a rebalance never waits for a block.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from detectors.base import SnapshotError
from engine import library
from engine.activation import ActivationError
from engine.city.archive import archive_of
from engine.city.district import District
from engine.city.keeper import Capture, Keeper
from engine.city.loop_watch import LoopWatch
from engine.city.refused import RefusedRows
from engine.city.wire import WireError
from engine.intake import IntakeError
from engine.language import calendar_unknown
from engine.shard import ShardError
from engine.snapshot import SnapshotFileError, SnapshotRef
from engine.snapshot_store import SnapshotsAway, open_snapshots
from engine.store.errors import DeterminismViolation, StaleEpoch, StoreError

log = structlog.get_logger()
T = TypeVar("T")
RETRY_S = 0.5
COMMIT_S = 2.0
"""A shard without lines is committed so often: people see its clock."""
WRITING_SHARE = 0.2
"""Of a core, at most, goes into writing snapshots: large states are saved less often."""


@dataclass(slots=True)
class Bench:
    """A shard in work: its keeper, and the messages that came and are not fed yet."""

    shard: int
    keeper: Keeper | None = None
    """None while it is restored, and for shards without subjects."""
    idle: bool = False
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    suspended: bool = False
    """Revoked, and perhaps ours again in a moment: nothing is fed, nothing is written."""
    lost_at: float | None = None
    """When it was found that another worker has taken it."""
    stopped: bool = False
    """It came to something else than before, or cannot be read: the operator must look."""
    problem: str | None = None
    next: int = 0
    """Offset fed next."""
    expected: int = 0
    """Offset of the message that must come next."""
    committed_at: float = 0.0
    saving: Future[SnapshotRef | None] | None = None
    """Its snapshot that is being written."""


class Workshop:
    """All shards of a worker; its coroutines are called from one event loop.

    Parameters
    ----------
    district : District
    name : str
        The worker's, for people.
    """

    def __init__(self, district: District, name: str) -> None:
        self.district = district
        self.name = name
        self.config = district.config.city.worker
        self.benches: dict[int, Bench] = {}
        self.store = district.open_store()
        self.prices = district.prices(self.store.database)
        config = district.config
        self.folder = open_snapshots(config.snapshots, config.city.snapshot_url, name)
        self.archive = archive_of(district)
        self.refused = RefusedRows(district)
        self.store_problem: str | None = None
        self.rows = 0
        self.messages = 0
        self.busy_s = 0.0
        self.longest_turn_s = 0.0
        self.loop = LoopWatch()
        self._peopled = set(district.routing.peopled)
        self._thread = ThreadPoolExecutor(1, "shards")
        self._writer = ThreadPoolExecutor(1, "snapshots")
        self._writer_free_at = 0.0

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def warm(self) -> None:
        """Compile the kernels before joining: a rebalance must not wait for a compiler."""
        await self._in_thread(self._warm)

    def _warm(self) -> None:
        from engine.warm import warm

        warm()
        config = self.district.config
        country = config.calendar
        known = library.calendars(config.calendars)
        if missing := library.missing_years(known, country, dt.datetime.now(dt.UTC).date()):
            notice = calendar_unknown(country, missing)
            log.warning("calendar_unknown", country=country, years=missing, notice=notice)

    # -- membership -----------------------------------------------------------------------

    async def take(self, shard: int) -> int | None:
        """Take a shard, or go on with one that was only suspended.

        Returns the offset to go on from, or None if it cannot be taken now (the store is away: try
        again) or at all (it is stopped).
        """
        bench = self.benches.get(shard)
        if bench is None or bench.lost_at is not None:
            bench = self.benches[shard] = Bench(shard)
        bench.suspended = False
        bench.waiting.clear()
        bench.expected = bench.next
        if bench.keeper is not None or bench.idle or bench.stopped:
            return None if bench.stopped else bench.next
        try:
            await self._in_thread(self._open, bench)
        except (StoreError, SnapshotsAway) as error:
            bench.problem = self.store_problem = str(error)
            log.error("shard_not_taken", shard=shard, problem=str(error))
            return None
        except (
            SnapshotFileError, SnapshotError, IntakeError, ShardError, ActivationError
        ) as error:  # fmt: skip
            bench.stopped, bench.problem = True, str(error)
            log.error("shard_stopped", shard=shard, problem=str(error))
            return None
        bench.expected = bench.next
        return bench.next

    def _open(self, bench: Bench) -> None:
        if bench.shard not in self._peopled:
            bench.idle = True
            return
        keeper = self._keeper(bench.shard)
        try:
            bench.next = keeper.open()
        except (SnapshotError, IntakeError) as error:
            # An older program's state that has no way into this one: the log makes it again.
            if self.archive is None or not self.archive.read(bench.shard, 0, 1):
                raise
            log.warning("shard_begins_anew", shard=bench.shard, problem=str(error))
            keeper = self._keeper(bench.shard)
            bench.next = keeper.open(anew=True)
        bench.keeper = keeper
        bench.problem = self.store_problem = None
        log.info(
            "shard_taken", shard=bench.shard, epoch=keeper.epoch, offset=bench.next,
            seconds=round(keeper.restored_s, 3),
        )  # fmt: skip

    def _keeper(self, shard: int) -> Keeper:
        return Keeper(
            shard, self.district, self.store, self.folder, self.prices,
            holder=self.name, refuse=self.refused.of_shard(shard),
            before_commit=self.refused.flush,
        )  # fmt: skip

    def suspend(self, shards: Iterable[int]) -> None:
        """Feed nothing more to shards that are revoked; whoever takes them has all it needs."""
        for shard in shards:
            bench = self.benches.get(shard)
            if bench is not None:
                bench.suspended = True
                bench.waiting.clear()

    def keep_only(self, shards: Collection[int]) -> None:
        """Forget the shards that others have now; nothing is written."""
        for shard in [s for s in self.benches if s not in shards]:
            del self.benches[shard]

    async def close(self) -> None:
        """Save all shards, so that whoever takes them need not repeat, and close the store."""
        self.loop.stop()
        log.info("loop_turns", longest_ms=round(self.loop.longest_s * 1e3, 1))
        # Two writers of one snapshot would share its temporary file.
        await asyncio.get_running_loop().run_in_executor(None, self._writer.shutdown)
        for bench in list(self.benches.values()):
            if bench.keeper is not None and not bench.stopped and bench.lost_at is None:
                await self._in_thread(bench.keeper.hand_back)
        self._thread.shutdown()
        self.store.close()

    # -- messages -------------------------------------------------------------------------

    def put(self, shard: int, offset: int, message: bytes) -> bool:
        """Take a message, to be fed with the next :meth:`work`.

        Returns False if messages before it did not come: nothing was taken, seek to
        :attr:`Bench.expected` (or tell :meth:`lost` that the log no longer has them).
        """
        bench = self.benches.get(shard)
        if bench is None or bench.keeper is None or offset < bench.expected:
            return True
        if offset > bench.expected:
            return False
        bench.waiting.append((offset, message))
        bench.expected = offset + 1
        return True

    async def refill(self, shard: int) -> bool:
        """Take the messages that come next from the archive of the logs, if they are there."""
        bench = self.benches[shard]
        if self.archive is None:
            return False
        room = self.config.buffered_blocks
        found = await asyncio.to_thread(self.archive.read, shard, bench.expected, room)
        for offset, message in found:
            self.put(shard, offset, message)
        return bool(found)

    def lost(self, shard: int, start: int) -> None:
        """Go on at the log's start: what lay before it is gone. Told loudly, never passed over."""
        bench = self.benches[shard]
        assert bench.keeper is not None
        bench.problem = f"offsets {bench.expected:,} to {start - 1:,} are gone from the log"
        log.error("log_lost", shard=shard, wanted=bench.expected, log_start=start)
        bench.next = bench.expected = max(start, bench.expected)
        bench.keeper.skip_to(bench.next)

    def full(self, shard: int) -> bool:
        """Return whether a shard has enough messages waiting: let no more come."""
        bench = self.benches.get(shard)
        return bench is not None and len(bench.waiting) >= self.config.buffered_blocks

    def patient(self, shard: int) -> bool:
        """Return whether a shard waits for the prices of a day, and so for other shards."""
        bench = self.benches.get(shard)
        return bench is None or bench.keeper is None or bench.keeper.waits_for is not None

    @property
    def hungry(self) -> bool:
        """Whether no message waits anywhere."""
        return not any(b.waiting for b in self.benches.values())

    async def work(self) -> bool:
        """Feed what waits, commit what came of it, save what is due; return if anything moved."""
        moved = False
        for bench in list(self.benches.values()):
            if (
                bench.keeper is None
                or bench.suspended
                or bench.stopped
                or bench.lost_at is not None
            ):
                bench.waiting.clear()
                continue
            if not self._due(bench):
                continue
            room = self.config.buffered_blocks
            batch = [bench.waiting.popleft() for _ in range(min(room, len(bench.waiting)))]
            left = await self._in_thread(self._turn, bench, batch)
            if not bench.suspended:  # while this was away, the shard may have been revoked
                bench.waiting.extendleft(reversed(left))
            moved |= len(left) < len(batch)
        return moved

    def _due(self, bench: Bench) -> bool:
        """Return whether a shard has anything to do; most have nothing most of the time."""
        keeper = bench.keeper
        assert keeper is not None
        now = time.monotonic()
        return bool(
            bench.waiting
            or keeper.lines_waiting
            or (bench.saving is not None and bench.saving.done())
            or (keeper.next > keeper.committed and now - bench.committed_at > COMMIT_S)
            or self._may_save(bench, now)
        )

    def _may_save(self, bench: Bench, now: float) -> bool:
        keeper = bench.keeper
        assert keeper is not None
        return (
            bench.saving is None
            and keeper.moved
            and now - keeper.saved_at > self.config.save_every_s
            and now >= self._writer_free_at
        )

    def _turn(self, bench: Bench, batch: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """One shard's turn: some messages, one commit, perhaps a snapshot; return what is left."""
        keeper = bench.keeper
        assert keeper is not None
        began = time.monotonic()
        fed = 0
        try:
            for offset, message in batch:
                if not keeper.feed(offset, message):
                    break
                bench.next = keeper.next
                fed += 1
            now = time.monotonic()
            if keeper.lines_waiting or (
                keeper.next > keeper.committed and now - bench.committed_at > COMMIT_S
            ):
                keeper.commit()
                bench.committed_at = now
            if bench.saving is not None and bench.saving.done():
                keeper.install(bench.saving.result())
                bench.saving = None
            elif self._may_save(bench, now):
                self._begin_saving(bench, keeper)
            self.store_problem = None
        except StaleEpoch as error:
            bench.lost_at, bench.problem = time.monotonic(), str(error)
            log.warning("shard_lost", shard=bench.shard, problem=str(error))
        except (DeterminismViolation, ShardError, WireError, ActivationError) as error:
            bench.stopped, bench.problem = True, str(error)
            log.error("shard_stopped", shard=bench.shard, problem=str(error))
        except StoreError as error:
            self.store_problem = str(error)
            log.warning("store_down", shard=bench.shard, problem=str(error))
            time.sleep(RETRY_S)
        took = time.monotonic() - began
        self.messages += fed
        self.busy_s += took
        self.longest_turn_s = max(self.longest_turn_s, took)
        return batch[fed:]

    def _begin_saving(self, bench: Bench, keeper: Keeper) -> None:
        """Copy the state here and write it beside the shards' work, one shard at a time."""
        capture = keeper.capture()
        if capture is None:
            self._writer_free_at = time.monotonic() + RETRY_S
            return
        self._writer_free_at = math.inf
        bench.saving = self._writer.submit(self._write, keeper, capture)

    def _write(self, keeper: Keeper, capture: Capture) -> SnapshotRef | None:
        began = time.monotonic()
        try:
            return keeper.write(capture)
        finally:
            now = time.monotonic()
            self._writer_free_at = now + (now - began) * (1 / WRITING_SHARE - 1)
