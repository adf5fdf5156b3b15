"""The embedded host: shards in lockstep, the daily reducer, counts, and where lines go.

The host adds no decision of its own. It cuts records at event-days, so that prices are published
at the same place of the log whatever the block sizes and however many shards there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.records import (
    Activation,
    Counts,
    Event,
    Fault,
    LogRecord,
    PriceRecord,
    ReadingBlock,
    Status,
    Tick,
)
from detectors.base import NS
from detectors.budget import Price, PriceReducer
from detectors.episodes import Tally
from engine.clock import spans
from engine.intake import HELD, Settled
from engine.notices import EventError
from engine.repricing import reducers_of, retargeted
from engine.shard import RowResults, ShardRunner
from rules.alerts import AlertChange

DAY_NS = 86_400 * NS
_SOURCE_SHIFT = 48
"""Token of a row: source index above, row number below."""


class Refuse(Protocol):
    """Takes rows that end in quarantine."""

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> object:
        """Take the rows of a block that have a fault."""

    def event(self, event: Event) -> object:
        """Take an event that has a fault."""


@dataclass(slots=True)
class BudgetUse:
    """What a rule was allowed and what it used."""

    asked: float
    spent: int = 0
    exposure_years: float = 0.0

    @property
    def realised(self) -> float | None:
        """Candidates per subject-year; None before there is any exposure."""
        return self.spent / self.exposure_years if self.exposure_years else None


class Host:
    """Feeds shards record by record and keeps the books.

    Parameters
    ----------
    shards : sequence of ShardRunner
        Shards of one district.
    routes : ndarray of int32, shape (meters, 2), optional
        Shard and row in it of each meter of the blocks; None with a single shard.
    on_lines : callable
        Takes sorted lines about alerts.
    refuse : Refuse
        Takes quarantined rows and events.
    """

    def __init__(
        self,
        shards: Sequence[ShardRunner],
        *,
        on_lines: Callable[[Sequence[AlertChange]], None],
        refuse: Refuse,
        routes: NDArray[np.int32] | None = None,
    ) -> None:
        self.shards = list(shards)
        self.routes = routes
        self.counts: dict[str, Counts] = {}
        self.budgets: dict[str, BudgetUse] = {}
        self.reducers: dict[str, PriceReducer] = reducers_of(self.shards[0].rules)
        for name, made in self.reducers.items():
            self.budgets[name] = BudgetUse(made.budget)
        self.published: list[PriceRecord] = []
        """Prices since this process began: one a rule and event-day."""
        self.recorded: Mapping[tuple[str, int], PriceRecord] | None = None
        """Prices to use instead of own ones, by rule and the day they hold from."""
        self.hand_over: Callable[[int, Mapping[str, Tally]], None] | None = None
        """Takes what an event-day came to, where others publish the prices (a city's shards)."""
        self.repriced: Mapping[str, Price] | None = None
        """Prices at the next activation, where others know them (a city's shards)."""
        self.day: int | None = None
        self.clock_ns: int | None = None
        self.first_ns: int | None = None
        self.events_seen: set[str] = set()
        self._on_lines = on_lines
        self._refuse = refuse
        self._sources: list[str] = []
        self._held: dict[int, dict[str, Any]] = {}

    # -- records --------------------------------------------------------------------------

    def feed(self, record: LogRecord) -> None:
        """Take the next record of the log."""
        if isinstance(record, ReadingBlock):
            if self.first_ns is None and len(record.arrival_ns):
                self.first_ns = int(record.arrival_ns[0])
            for start, stop in spans(record.arrival_ns, DAY_NS):
                self._enter_day(int(record.arrival_ns[start]) // DAY_NS)
                self._readings(record.slice(start, stop))
        elif isinstance(record, Activation) and self.clock_ns is None:
            self._activate(record)  # the rules of the first start: no time has passed yet
        else:
            if self.first_ns is None:
                self.first_ns = record.arrival_ns
            self._enter_day(record.arrival_ns // DAY_NS)
            self.clock_ns = record.arrival_ns
            if isinstance(record, Event):
                self._event(record)
            elif isinstance(record, Activation):
                self._activate(record)
            else:
                self._broadcast(record)
        self._release()

    def _readings(self, block: ReadingBlock) -> None:
        self.clock_ns = int(block.arrival_ns[-1])
        source = self._source(block.source)
        token = (np.int64(source) << _SOURCE_SHIFT) | block.position
        if self.routes is None:
            results = self.shards[0].feed_readings(block, token)
        else:
            results = self._split(block, token)
        counts = self.counts.setdefault(block.source, Counts())
        counts.rows += len(block)
        by_status = np.bincount(results.status, minlength=HELD + 1)
        for status in Status:
            counts.by_status[status.name.lower()] += int(by_status[status])
        if by_status[Status.QUARANTINED]:
            refused = np.flatnonzero(results.status == Status.QUARANTINED)
            for value, n in zip(
                *np.unique(results.fault[refused], return_counts=True), strict=True
            ):
                self._count_reason(counts, Fault(int(value)), int(n))
            self._refuse.block(block, results.fault)
        if by_status[HELD]:
            for i in np.flatnonzero(results.status == HELD).tolist():
                self._held[int(token[i])] = _raw(block.raw, i)
        self._settle()

    def _split(self, block: ReadingBlock, token: NDArray[np.int64]) -> RowResults:
        """Hand each shard its rows; rows of unknown meters go to the first."""
        assert self.routes is not None
        known = block.meter >= 0
        shard = np.where(known, self.routes[block.meter, 0], 0)
        local = np.where(known, self.routes[block.meter, 1], -1).astype(np.int32)
        status = np.empty(len(block), np.uint8)
        fault = np.empty(len(block), np.uint8)
        for i, runner in enumerate(self.shards):
            mine = np.flatnonzero(shard == i)
            runner.feed(Tick(int(block.arrival_ns[0])))
            if len(mine):
                part = ReadingBlock(
                    block.source,
                    block.position[mine],
                    local[mine],
                    block.ts_ns[mine],
                    block.value[mine],
                    block.arrival_ns[mine],
                    block.fault[mine],
                )
                results = runner.feed_readings(part, token[mine])
                status[mine], fault[mine] = results.status, results.fault
            runner.feed(Tick(int(block.arrival_ns[-1])))
        return RowResults(status, fault)

    def _event(self, event: Event) -> None:
        counts = self.counts.setdefault(event.source, Counts())
        counts.rows += 1
        fault, detail = event.fault, event.detail
        if fault == Fault.OK and event.event_id in self.events_seen:
            counts.by_status["duplicate"] += 1
            return
        if fault == Fault.OK:
            try:
                self._broadcast(event)
                self.events_seen.add(event.event_id)
            except EventError as error:
                fault, detail = Fault.BAD_EVENT, str(error)
        if fault == Fault.OK:
            counts.by_status["processed"] += 1
            return
        counts.by_status["quarantined"] += 1
        self._count_reason(counts, fault, 1)
        self._refuse.event(replace(event, fault=fault, detail=detail))

    def _broadcast(self, record: LogRecord) -> None:
        for shard in self.shards:
            shard.feed(record)

    def reshape(self, record: Activation) -> None:
        """Take up an activation of the past, for its groups; what they hold is restored later."""
        self._activate(record)

    def _activate(self, record: Activation) -> None:
        """Put a version of the rules in force; budgets that differ get their price at once."""
        version = self.shards[0].rules.version
        self._broadcast(record)
        if self.shards[0].rules.version == version:
            return
        self.reducers, prices = retargeted(self.reducers, self.shards[0].rules)
        for name, made in self.reducers.items():
            use = self.budgets.get(name)
            if use is not None and name not in prices:
                continue
            self.budgets[name] = BudgetUse(
                made.budget, *(() if use is None else (use.spent, use.exposure_years))
            )
        if self.clock_ns is None:
            return  # before the first record, or before a snapshot is restored
        day = record.arrival_ns // DAY_NS
        for name, price in (prices if self.repriced is None else self.repriced).items():
            self._broadcast(PriceRecord(name, day, price.index, price.fraction, record.arrival_ns))

    # -- counts ---------------------------------------------------------------------------

    @staticmethod
    def _count_reason(counts: Counts, fault: Fault, n: int) -> None:
        name = fault.name.lower()
        counts.by_reason[name] = counts.by_reason.get(name, 0) + n

    def _settle(self) -> None:
        """Count rows that waited for their successors and are now decided."""
        for shard in self.shards:
            self._count_settled(shard.intake.settled())

    def _count_settled(self, settled: Settled) -> None:
        rows = zip(
            settled.token.tolist(), settled.status.tolist(), settled.fault.tolist(), strict=True
        )
        for token, status, fault in rows:
            source = self._sources[token >> _SOURCE_SHIFT]
            raw = self._held.pop(token, {})
            counts = self.counts[source]
            counts.by_status[Status(status).name.lower()] += 1
            if status == Status.QUARANTINED:
                self._count_reason(counts, Fault(fault), 1)
                position = token & ((1 << _SOURCE_SHIFT) - 1)
                block = _one_row(source, position, fault, raw)
                self._refuse.block(block, block.fault)

    def _source(self, name: str) -> int:
        if name not in self._sources:
            self._sources.append(name)
        return self._sources.index(name)

    # -- days and prices ------------------------------------------------------------------

    def _enter_day(self, day: int) -> None:
        """Close the event-days before `day` and publish their prices."""
        if self.day is None:
            self.day = day
        while self.day < day:
            start_ns = (self.day + 1) * DAY_NS
            self._broadcast(Tick(start_ns))
            tallies = [shard.close_day() for shard in self.shards]
            totals = {name: sum((t[name] for t in tallies), Tally()) for name in self.reducers}
            for name, total in totals.items():
                use = self.budgets[name]
                use.spent += total.spent
                use.exposure_years += total.exposure_s / (365 * 86_400)
                if self.hand_over is None:
                    price = self.reducers[name].close(self.day, total)
                    record = PriceRecord(name, price.day, price.index, price.fraction, start_ns)
                    if self.recorded is not None:
                        record = self.recorded.get((name, price.day), record)
                    self.published.append(record)
                    self._broadcast(record)
            if self.hand_over is not None:
                self.hand_over(self.day, totals)
            self.day += 1
            self.clock_ns = max(self.clock_ns or 0, start_ns)

    # -- alerts ---------------------------------------------------------------------------

    def _release(self, final: bool = False) -> None:
        lines = [line for shard in self.shards for line in shard.release(final)]
        if lines:
            if len(self.shards) > 1:
                lines.sort(key=lambda x: (datetime.fromisoformat(x.at), x.alert_id, x.seq))
            self._on_lines(lines)

    @property
    def waiting(self) -> int:
        """Rows that their successors decide; how they end is counted then."""
        return len(self._held)

    def finish(self) -> None:
        """End of all input: settle what waits, and hand out the last lines."""
        for shard in self.shards:
            shard.flush()
            if shard.settled_at_end is not None:
                self._count_settled(shard.settled_at_end)
        self._settle()
        self._release(final=True)

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return header and arrays of the host and all its shards."""
        header: dict[str, Any] = {
            "day": self.day,
            "clock_ns": self.clock_ns,
            "first_ns": self.first_ns,
            "sources": self._sources,
            "held": sorted(self._held.items()),
            "counts": {name: [c.rows, c.by_status, c.by_reason] for name, c in self.counts.items()},
            "budgets": {n: [b.spent, b.exposure_years, b.asked] for n, b in self.budgets.items()},
            "events": sorted(self.events_seen),
            "shards": [],
        }
        arrays: dict[str, NDArray[Any]] = {}
        for name, made in self.reducers.items():
            arrays |= {f"reducer/{name}/{k}": v for k, v in made.snapshot().items()}
        for i, shard in enumerate(self.shards):
            head, own = shard.snapshot()
            header["shards"].append(head)
            arrays |= {f"shard/{i}/{k}": v for k, v in own.items()}
        return header, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self.day = header["day"]
        self.clock_ns = header["clock_ns"]
        self.first_ns = header["first_ns"]
        self._sources = list(header["sources"])
        self._held = {int(token): dict(raw) for token, raw in header["held"]}
        self.counts = {
            name: Counts(rows, dict(by_status), dict(by_reason))
            for name, (rows, by_status, by_reason) in header["counts"].items()
        }
        for name, (spent, years, *asked) in header["budgets"].items():
            # Rules that are gone are still told; states until 2026-11-22 do not say what they had.
            use = self.budgets.setdefault(name, BudgetUse(*asked or (0.0,)))
            use.spent, use.exposure_years = spent, years
        self.events_seen = set(header["events"])
        for name, made in self.reducers.items():
            made.restore(_under(arrays, f"reducer/{name}/"))
        for i, shard in enumerate(self.shards):
            shard.restore(header["shards"][i], _under(arrays, f"shard/{i}/"))


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _raw(batch: pa.RecordBatch | None, row: int) -> dict[str, Any]:
    """Return the original columns of one row as text."""
    if batch is None:
        return {}
    values = batch.slice(row, 1).to_pylist()[0]
    return {name: None if v is None else str(v) for name, v in values.items()}


def _one_row(source: str, position: int, fault: int, raw: Mapping[str, Any]) -> ReadingBlock:
    """Return a block of one row, for a row whose block is gone."""
    names = raw or {"meter_id": None, "ts": None, "value": None}
    columns = [pa.array([value], pa.string()) for value in names.values()]
    return ReadingBlock(
        source,
        np.array([position], np.int64),
        np.array([-1], np.int32),
        np.zeros(1, np.int64),
        np.full(1, np.nan),
        np.zeros(1, np.int64),
        np.array([fault], np.uint8),
        pa.record_batch(columns, names=list(names)),
    )
