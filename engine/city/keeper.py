"""One shard in a worker: claimed, restored, fed from its log, committed, saved.

The order in which things become durable:

1. What the shard counted on an event-day, and the lines about alerts, with how far the log was
   fed: each in a transaction that checks the shard's epoch.
2. Only then a snapshot that covers it, made current by compare-and-swap under the same epoch. The
   shard's time goes into copying its state; the copy is written beside it.

Offsets in Kafka are for people to look at. Whoever takes the shard goes on from the snapshot; the
lines that it says again are known by their ids and bodies. A worker that lost its shard and does
not know it (stopped, cut off) finds the epoch raised: it publishes nothing and saves nothing.

Rules that change are announced in the log ahead of their time, and taken up at that time: behind
every row that arrived before, in front of every row that did not, wherever the announcement lies.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from connectors.ids import IdMap
from connectors.records import Activation, Event, LogRecord, ReadingBlock, Tick
from detectors.episodes import Tally
from engine.activation import rules_of
from engine.city import wire
from engine.city.district import District
from engine.city.shard_rules import ShardRules
from engine.host import DAY_NS, Host
from engine.repricing import promised_otherwise
from engine.snapshot import SnapshotFileError, SnapshotFolder, SnapshotRef
from engine.store import Store
from engine.store.activations import Announced
from engine.store.errors import StoreError
from engine.store.pricebook import PriceBook
from rules.alerts import AlertChange

log = structlog.get_logger()
LINES_HELD = 50_000
"""So many lines may wait for a store that is down; then the shard takes nothing more."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A shard's state at one offset of its log, copied: the shard goes on while it is written."""

    offset: int
    header: str
    arrays: Mapping[str, NDArray[Any]]


class Keeper:
    """A shard while a worker holds it; all calls from one thread at a time, but :meth:`write`.

    Parameters
    ----------
    shard : int
        Partition of the log.
    district : District
    store : Store
    folder : SnapshotFolder
        Where all workers find snapshots.
    prices : PriceBook
    holder : str
        Name of the worker, for people.
    refuse : callable, optional
        Takes (offset of the log, block, faults) or an event that the shard refused.
    before_commit : callable
        Makes durable what was refused.
    """

    def __init__(
        self,
        shard: int,
        district: District,
        store: Store,
        folder: SnapshotFolder,
        prices: PriceBook,
        *,
        holder: str = "",
        refuse: Callable[[int, ReadingBlock | Event, NDArray[np.uint8] | None], None] | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.shard = shard
        self.name = shard_name(shard)
        self.store = store
        self.folder = folder
        self.prices = prices
        self.holder = holder
        self.epoch = 0
        self.next = 0
        """Offset of the log that is to be fed next."""
        self.committed = 0
        self.saved_at = 0.0
        """When the state was last copied for a snapshot (monotonic)."""
        self.kept_at = 0.0
        """When a snapshot last became the current one, or was restored (monotonic)."""
        self.saved_bytes = 0
        self.restored_s = 0.0
        self.problem: str | None = None
        """What keeps the shard from going on, for the operator."""
        self.waits_for: int | None = None
        """Event-day whose prices, or rules, are not there yet."""
        self.rules = ShardRules()
        self.late_rules = 0
        """Changes of rules that this shard learned of after their time."""
        self.host: Host
        self.spent: dict[str, tuple[int, int]] = {}
        """Candidates and watched seconds by rule, since this process holds the shard."""
        self._district = district
        self._refuse = refuse
        self._before_commit = before_commit
        self._meters = IdMap()
        self._lines: list[AlertChange] = []
        self._tallies: list[tuple[int, Mapping[str, Tally]]] = []
        self._rows_done = 0  # of the record at `next`, when it waits for prices in the middle
        self._skipped = False  # part of the log, and not looked yet which rules it announced
        self._current: SnapshotRef | None = None

    # -- taking over ----------------------------------------------------------------------

    def open(self, *, anew: bool = False) -> int:
        """Claim the shard and restore its newest whole snapshot; return the offset to go on from.

        Parameters
        ----------
        anew : bool
            Begin with the log's first message instead.

        Raises
        ------
        StoreError
            If the store cannot be reached.
        SnapshotError, IntakeError, ShardError, ActivationError
            If this program, or its rules, cannot go on with what the snapshot holds.
        """
        began = time.monotonic()
        self.epoch = self.store.claim(self.name, holder=self.holder)
        self._current = self.store.current_snapshot(self.name)
        refs = self.store.snapshots(self.name)
        newest = sorted(refs, key=lambda r: r != self._current)
        found = None if anew else self.folder.newest(newest)
        known = self.store.activations
        state = None if found is None else found.header.get("rules")
        self.rules = ShardRules.restored(state, known)
        self._begin([known.get(seq).record for seq in self.rules.lineage])
        if found is not None:
            self.host.restore(found.header["host"], found.arrays)
            self.next = int(found.header["next"])
        self.committed = self.next
        self.restored_s = time.monotonic() - began
        self.saved_at = self.kept_at = time.monotonic()
        return self.next

    def _begin(self, lineage: Sequence[Activation]) -> None:
        """Make the shard as its rules shaped it, one activation after another."""
        runner = self._district.runner(self.shard, rules_of(lineage[0]))
        self.host = Host([runner], on_lines=self._take, refuse=self)
        self.host.hand_over = self._count_day
        for record in lineage[1:]:
            self.host.reshape(record)
        self._desk = self._district.desk(runner.rules)
        meters = runner.registry.meters
        self._meters.put(meters.meter_id, np.arange(len(meters)))

    def skip_to(self, offset: int) -> None:
        """Go on at an offset: what lay before it is lost; rules that were announced there are not."""
        self.next = offset
        self._rows_done = 0
        self._skipped = True

    # -- the log --------------------------------------------------------------------------

    def feed(self, offset: int, message: bytes) -> bool:
        """Take a message of the log; return False if it must be given again, later.

        That is so while the prices of an event-day are not known yet (some shard has not closed
        the day that they come from), while rules that were announced are not in every log yet, and
        while too many lines wait for the store.
        """
        if offset < self.next:
            return True
        if len(self._lines) > LINES_HELD:
            return False
        if self._skipped:
            for one in self.store.activations.list(self.rules.taken):
                self.rules.announce(one)
            self._skipped = False
        record = wire.unpack(message)
        if isinstance(record, Announced):
            self._announced(record)
            self.next = offset + 1
            return True
        if isinstance(record, wire.Packed):
            counts = self.host.counts.get(record.source)
            # The count has moved on with the rows that were fed.
            first = 1 if counts is None else counts.rows + 1 - self._rows_done
            block = record.block(self._meters, first)
            record = block.slice(self._rows_done, len(block))
        record = _steady(record, self.host.clock_ns or 0)
        for piece in _pieces(record, [one.at_ns for one in self.rules.coming]):
            if not self._reach(_arrival(piece)):
                return False
            self.host.feed(piece)
            self._rows_done += len(piece) if isinstance(piece, ReadingBlock) else 0
        self._rows_done = 0
        self.next = offset + 1
        return True

    def _reach(self, arrival_ns: int) -> bool:
        """Come to an arrival, through all days and changes of rules on the way."""
        while (one := self.rules.due(arrival_ns)) is not None:
            at_ns = max(one.at_ns, self.host.clock_ns or 0)
            if not self._enter(at_ns) or not self._take_up(one, at_ns):
                return False
        return self._enter(arrival_ns)

    def _announced(self, one: Announced) -> None:
        clock_ns = self.host.clock_ns or 0
        if one.at_ns < clock_ns and one.seq > self.rules.taken:
            late_s = round((clock_ns - one.at_ns) / 1e9, 3)
            self.late_rules += 1
            log.warning("rules_late", shard=self.shard, version=one.record.version, late_s=late_s)
        self.rules.announce(one)

    def _take_up(self, one: Announced, at_ns: int) -> bool:
        """Put rules in force, with the prices that hold with them; return False to wait."""
        self._tell_days()
        settled = self.prices.settle(one.seq, one.at_ns)
        if settled is None:
            self.waits_for = at_ns // DAY_NS
            return False
        self.waits_for = None
        if not settled.taken:
            self.rules.coming.remove(one)
            return True
        self.commit()  # what was said so far becomes tasks by the rules that said it
        runner = self.host.shards[0]
        before = runner.rules
        self.host.repriced = settled.prices
        self.host.feed(replace(one.record, arrival_ns=at_ns))
        self.rules.take(one, settled=runner.builder.settled)
        self.rules.unprice(promised_otherwise(before, runner.rules), at_ns // DAY_NS + 1)
        self._desk = self._district.desk(runner.rules)
        log.info("rules_taken_up", shard=self.shard, version=one.record.version, seq=one.seq)
        return True

    def _enter(self, arrival_ns: int) -> bool:
        """Go into the event-day of an arrival, day by day, with the prices that hold there."""
        day = arrival_ns // DAY_NS
        if self.host.day is None:
            first = self.prices.begin(day)
            if first < day:  # the others began earlier: no day may be left out
                self.host.feed(Tick(first * DAY_NS))
            else:
                return True
        assert self.host.day is not None
        for ahead in range(self.host.day + 1, day + 1):
            self._tell_days()
            found = self.prices.prices(ahead)
            if found is None:
                self.waits_for = ahead
                return False
            self.waits_for = None
            for price in found:
                if self.rules.unpriced.get(price.rule) != ahead:
                    self.host.shards[0].feed(price)
            self.host.feed(Tick(ahead * DAY_NS))
        return True

    def _count_day(self, day: int, counted: Mapping[str, Tally]) -> None:
        self._tallies.append((day, counted))
        for rule, tally in counted.items():
            spent, seconds = self.spent.get(rule, (0, 0))
            self.spent[rule] = spent + int(tally.spent), seconds + int(tally.exposure_s)

    def _take(self, lines: Sequence[AlertChange]) -> None:
        self._lines += lines

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        """Take rows that the shard refused."""
        if self._refuse is not None:
            self._refuse(self.next, block, fault)

    def event(self, event: Event) -> None:
        """Take an event that the shard refused."""
        if self._refuse is not None:
            self._refuse(self.next, event, None)

    # -- making durable -------------------------------------------------------------------

    def _tell_days(self) -> None:
        while self._tallies:
            day, counted = self._tallies[0]
            self.prices.hand_over(self.name, self.epoch, day, counted)
            self._tallies.pop(0)

    @property
    def lines_waiting(self) -> int:
        """Lines that are not committed yet."""
        return len(self._lines)

    def commit(self) -> int:
        """Make durable what the messages fed so far came to; return the number of new lines.

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard: drop it.
        StoreError
            If the store cannot be reached; nothing is lost, try again.
        """
        self._before_commit()
        self._tell_days()
        lines, upto = list(self._lines), self.next
        self.store.desk = self._desk
        new = self.store.commit(self.name, self.epoch, upto, lines, clock_ns=self.host.clock_ns)
        del self._lines[: len(lines)]
        self.committed = upto
        return new

    @property
    def moved(self) -> bool:
        """Whether anything was fed since the current snapshot."""
        return self.next > (self._current.offset if self._current else 0)

    def save(self) -> bool:
        """Commit, then write a snapshot; return False if there is no room or nothing to save.

        Raises
        ------
        StoreError
            As :meth:`commit`.
        """
        capture = self.capture()
        return capture is not None and self.install(self.write(capture))

    def capture(self) -> Capture | None:
        """Commit, and copy the state: what a snapshot takes of the shard's time.

        Returns None where there is nothing to save.

        Raises
        ------
        StoreError
            As :meth:`commit`.
        """
        self.commit()
        if self._rows_done or self.host.clock_ns is None:
            return None
        head, arrays = self.host.snapshot()
        self.saved_at = time.monotonic()
        header = {"host": head, "next": self.next, "rules": self.rules.snapshot()}
        # The header is made of live dicts: as text it is a copy.
        return Capture(self.next, json.dumps(header), arrays)

    def write(self, capture: Capture) -> SnapshotRef | None:
        """Write a copy; on any thread, the shard may go on meanwhile. None if there is no room."""
        try:
            ref = self.folder.write(
                self.name, self.epoch, capture.offset, json.loads(capture.header), capture.arrays
            )
        except SnapshotFileError as error:
            self.problem = str(error)
            log.error("snapshot_not_written", shard=self.shard, problem=str(error))
            return None
        self.problem = None
        return ref

    def install(self, ref: SnapshotRef | None) -> bool:
        """Make what was written the current snapshot.

        Raises
        ------
        StaleEpoch
            If another worker has taken the shard: it stays what it is, a file.
        StoreError
            If the store cannot be reached; try again.
        """
        if ref is None:
            return False
        self.store.save_snapshot(self.name, self.epoch, self._current, ref)
        self._current = ref
        self.kept_at = time.monotonic()
        self.saved_bytes = ref.nbytes
        gone = self.folder.retain(self.store.snapshots(self.name), ref)
        if gone:
            self.store.drop_snapshots(self.name, gone)
        return True

    def hand_back(self) -> None:
        """Save before giving the shard up, so that the next one need not repeat; best effort."""
        try:
            if self.moved:
                self.save()
        except StoreError as error:
            log.warning("handed_back_unsaved", shard=self.shard, problem=str(error))


def shard_name(shard: int) -> str:
    """Return the name of a shard in the store.

    >>> shard_name(7)
    's0007'
    """
    return f"s{shard:04d}"


def _arrival(record: LogRecord) -> int:
    if isinstance(record, ReadingBlock):
        return int(record.arrival_ns[0])
    return record.arrival_ns


def _steady(record: LogRecord, clock_ns: int) -> LogRecord:
    """Return a record that does not arrive before the ones in front of it.

    Several gateways write one log, and their clocks differ by a little.
    """
    if isinstance(record, ReadingBlock):
        arrival = record.arrival_ns
        if len(arrival) and (arrival[0] < clock_ns or (arrival[1:] < arrival[:-1]).any()):
            arrival = np.maximum.accumulate(np.maximum(arrival, clock_ns))
            return replace(record, arrival_ns=arrival)
        return record
    if record.arrival_ns < clock_ns:
        return replace(record, arrival_ns=clock_ns)
    return record


def _pieces(record: LogRecord, at_ns: Sequence[int]) -> list[LogRecord]:
    """Cut a record at event-days, and where rules change."""
    if not isinstance(record, ReadingBlock):
        return [record]
    arrival = record.arrival_ns
    days = arrival // DAY_NS
    cuts = {0, *(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(record)}
    cuts |= set(np.searchsorted(arrival, np.array(at_ns, np.int64)).tolist())
    return [record.slice(a, b) for a, b in pairwise(sorted(cuts))]
