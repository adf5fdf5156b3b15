"""ShardRunner: everything a set of places needs, in one object, without any input or output.

Records of the log go in (:meth:`ShardRunner.feed`), lines about alerts come out
(:meth:`ShardRunner.release`). The result depends on the log alone: not on how it was cut into
blocks, nor on how many shards share the district. ARCHITECTURE.md, "Time", says in which order
things happen.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.records import (
    Activation,
    Event,
    Fault,
    LogRecord,
    Outcome,
    PriceRecord,
    ReadingBlock,
    Tick,
)
from detectors.base import NS, Signals
from detectors.episodes import Tally
from engine.activation import activate, rules_of
from engine.agenda import Agenda
from engine.alertbook import AlertBook
from engine.build import Builder, PlaceRows, series_lateness_s
from engine.census import Census
from engine.clock import LocalTime, ShardClock, spans
from engine.config import Config, tick_s
from engine.counterfactual import Counterfactuals
from engine.groups import PAST_S, Group, Local
from engine.hearing import Hearing
from engine.intake import Intake, Settled
from engine.intake.layout import Late
from engine.links import Moves, Touched
from engine.partition import shard_of
from engine.registry import Registry, hash_ids
from engine.series import SeriesKey, SeriesRows
from engine.sieve import Sieve
from engine.snapshot_upgrade import upgraded
from engine.surroundings import ShardSurroundings
from engine.watch import Raised, Watch
from rules.alerts import AlertChange
from rules.calendar import Calendars
from rules.model import RuleSet

import pyarrow as pa  # isort: skip

DAY_NS = 86_400 * NS


@dataclass(slots=True)
class RowResults:
    """How the rows of a block ended (HELD rows are settled later, by token)."""

    status: NDArray[np.uint8]
    fault: NDArray[np.uint8]


class Tap(Protocol):
    """Looks on, for people: what it is told changes no alert."""

    def slot(self, class_index: int, slot: int, frame: NDArray[np.float32]) -> None:
        """Take a closed slot of a meter class."""

    def late(self, late: Late) -> None:
        """Take corrections of closed slots."""

    def signals(self, group: int, slot: int, signals: Signals) -> None:
        """Take what a detector said at a slot."""


@dataclass(slots=True)
class Timings:
    """Seconds spent per stage; for people, never for decisions."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


class ShardRunner:
    """All state of a set of places.

    Parameters
    ----------
    registry : Registry
        Their subjects and meters.
    rules : RuleSet
        Rules in force.
    config : Config
        Clock, lateness, seed.
    calendars : Calendars
        Rest days by country and year.
    tick : float, optional
        Step of the clock in seconds, the same for all shards of a district; default: what this
        shard's own meters allow.
    share : (int, int)
        Which shard this is, of how many: decides which places' events it counts.
    zone : str, optional
        Time zone of places without subjects, the same for all shards; default: that of the first
        subject.
    """

    def __init__(
        self,
        registry: Registry,
        rules: RuleSet,
        config: Config,
        calendars: Calendars,
        *,
        tick: float | None = None,
        share: tuple[int, int] = (0, 1),
        zone: str | None = None,
    ) -> None:
        self.registry = registry
        self.rules = rules
        self.config = config
        self.now_ns: int | None = None
        """Tick that the shard's clock has entered; None before the first record."""
        self.places = PlaceRows.of(registry)
        names = [
            registry.communities[c] + (f"#{registry.concentrators[k]}" if k >= 0 else "")
            for c, k in zip(
                self.places.community.tolist(), self.places.concentrator.tolist(), strict=True
            )
        ]
        self.place_names = names
        self.zones = [*(registry.zones or [zone or "UTC"])]
        if zone is not None and zone not in self.zones:
            self.zones.append(zone)
        self._share = share
        self._stray_zone = 0 if zone is None else self.zones.index(zone)
        builder = self.builder = Builder(
            registry,
            config.clock.lateness_s,
            self.places,
            hash_ids(pa.array(names, pa.string())),
            self._series_rows,
        )
        self.watches: list[Watch] = builder.build(rules)
        self.groups: list[Group] = builder.groups
        self.series = list(builder.series.values())
        self.lateness_s = builder.lateness_s
        self.local = LocalTime(self.zones, calendars, config.calendar)
        self._past: dict[int, Local] = {}
        times = [
            (c.interval_s, c.phase_s, late)
            for c, late in zip(registry.classes, self.lateness_s, strict=True)
        ]
        times += [
            (s.use.every_s, 0, series_lateness_s(config.clock.lateness_s, s)) for s in self.series
        ]
        self.clock = ShardClock(times)
        step_s = tick_s(config, times) if tick is None else tick
        self.tick_ns = round(step_s * NS)
        self.intake = Intake.of(
            registry, self.lateness_s, config.clock.max_skew_s, math.ceil(step_s)
        )
        self.settled_at_end: Settled | None = None
        self.census: Census | None = None
        self.book = AlertBook()
        self.around = ShardSurroundings(self)
        self.counterfactuals = Counterfactuals(self)
        self.timings = Timings()
        self.tap: Tap | None = None
        self._by_class: list[list[int]] = []
        self.wire()
        self.agenda = Agenda()
        self.around.informer.registry()

    # -- subjects that events make --------------------------------------------------------

    def _series_rows(self, key: SeriesKey) -> SeriesRows:
        return SeriesRows(key, self.registry.layout, self._owns, self._zone_at)

    def _owns(self, place: str) -> bool:
        index, shards = self._share
        key = self.registry.layout.shard_key(place)
        return shards == 1 or shard_of(key, shards) == index

    def _zone_at(self, place: str) -> int:
        """Return the zone of a place: that of its community's subjects."""
        rows = self.registry.rows_at(self.registry.layout.at(place, "community"))
        return int(self.registry.subjects.zone[rows[0]]) if len(rows) else self._stray_zone

    def _grow(self) -> None:
        """Give the rows that events have made since to their detectors and rules."""
        self.grow(self.groups, self.watches)

    def grow(self, groups: Sequence[Group], watches: Sequence[Watch]) -> None:
        """Give groups and watches, perhaps new ones, all rows that events have made."""
        for group in groups:
            group.grow(lambda slot, s=group.slot_s: self._local(slot, s))  # type: ignore[misc]
        for watch in watches:
            watch.grow()

    def count_more(self) -> None:
        """Take up the counts that new rules ask for: their slots fall due from now on."""
        known = set(map(id, self.series))
        for series in self.builder.series.values():
            if id(series) not in known:
                lateness_s = series_lateness_s(self.config.clock.lateness_s, series)
                self.clock.add((series.use.every_s, 0, lateness_s), (self.now_ns or 0) // NS)
                self.series.append(series)

    def _local(self, slot: int, slot_s: int) -> Local:
        """Return the local columns of a slot of counts, remembered: each newcomer needs the past."""
        key = slot * slot_s
        if key not in self._past:
            if len(self._past) > 2 * PAST_S // 900:
                self._past.clear()
            self._past[key] = self.local.columns(slot, slot_s, 0)
        return self._past[key]

    def wire(self) -> None:
        """Connect groups to the watches that listen to them, and to the meters that feed them."""
        self.hearing = Hearing(self.groups, self.watches)
        self.sieve = Sieve(self.watches)
        self._by_class = [
            [i for i, g in enumerate(self.groups) if any(f.class_index == c for f in g.feeds)]
            for c in range(len(self.registry.classes))
        ]
        if self.census is None:
            places = [g for g in self.groups if g.detector.grain == "place"]
            if places:
                self.census = Census(self.registry, self.places, places[0].slot_s)

    # -- the log --------------------------------------------------------------------------

    def feed(self, record: LogRecord) -> RowResults | None:
        """Take one record of the log; its arrival must not lie before the last one's."""
        if isinstance(record, ReadingBlock):
            return self.feed_readings(record, record.position)
        if isinstance(record, Activation) and self.now_ns is None:
            activate(self, rules_of(record), record.arrival_ns)  # no time has passed yet
            return None
        self._enter(record.arrival_ns)
        match record:
            case Event():
                self.around.event(record)
            case PriceRecord():
                self.agenda.put_price(record)
            case Activation():
                activate(self, rules_of(record), record.arrival_ns)
            case Outcome() | Tick():
                pass  # an outcome's effects are events of the log; a tick only moves the clock
        return None

    def feed_readings(self, block: ReadingBlock, token: NDArray[np.int64]) -> RowResults:
        """Take a block of readings.

        Parameters
        ----------
        block : ReadingBlock
            Rows in log order.
        token : ndarray of int64, shape (n,)
            What the caller knows each row by, for rows that are settled later.
        """
        n = len(block)
        status = np.empty(n, np.uint8)
        fault = np.empty(n, np.uint8)
        for start, stop in spans(block.arrival_ns, self.tick_ns):
            self._enter(int(block.arrival_ns[start]))
            began = time.perf_counter()
            rows = slice(start, stop)
            status[rows], fault[rows] = self.intake.apply(
                block.meter[rows],
                block.ts_ns[rows],
                block.value[rows],
                block.arrival_ns[rows],
                block.fault[rows],
                self.now_ns or 0,
                token=token[rows],
            )
            self.timings.seconds["intake"] += time.perf_counter() - began
        return RowResults(status, fault)

    def _enter(self, arrival_ns: int) -> None:
        """Move the clock to the tick of `arrival_ns`, doing everything due on the way."""
        tick_ns = arrival_ns // self.tick_ns * self.tick_ns
        if self.now_ns is None:
            self.now_ns = tick_ns
            self.clock.start(tick_ns // NS)
            return
        if tick_ns <= self.now_ns:
            return
        # Rows of the tick just left were applied after its own boundary: what they amended, and
        # what events touched, is worked off at the next boundary.
        first = self.now_ns + self.tick_ns
        if self.intake.has_amendments or self.agenda.has_touched:
            self._run_until(first - self.tick_ns)
            self._amend(first)
        self._run_until(tick_ns)
        self.now_ns = tick_ns

    def _run_until(self, to_ns: int) -> None:
        """Work off slots and timers due up to and including `to_ns`, in their order."""
        while True:
            due_s = self.clock.next_due_s
            timer = self.agenda.next_ns
            moment = min(due_s * NS, timer)
            if moment > to_ns:
                return
            if timer < due_s * NS:
                # Timers act at their own exact time, slots at theirs; a timer that falls on a
                # slot's due time waits for what that slot says.
                self._advance_timers(moment)
            else:
                self._advance_timers(moment - 1)
                self._close(due_s)
                self._advance_timers(moment)

    # -- slots ----------------------------------------------------------------------------

    def _close(self, due_s: int) -> None:
        """Close all slots due at `due_s` and run what they complete."""
        at_ns = due_s * NS
        self._apply_prices(at_ns)
        self.around.daily(at_ns)
        self._grow()
        seconds = self.timings.seconds
        counted: list[tuple[SeriesRows, int]] = []
        for class_index, slot in self.clock.pop(due_s):
            if class_index >= len(self.registry.classes):
                counted.append((self.series[class_index - len(self.registry.classes)], slot))
                continue
            began = time.perf_counter()
            heard = np.empty(self.registry.class_sizes[class_index], np.uint8)
            frame = self.intake.close(class_index, slot, heard)
            if self.tap is not None:
                self.tap.slot(class_index, slot, frame)
            for g in self._by_class[class_index]:
                self.groups[g].take(class_index, slot, frame)
            if self.census is not None:
                self.census.take(class_index, slot, frame, heard)
            seconds["slots"] += time.perf_counter() - began
        stepped: list[int] = []
        # Places first: whether a street is out decides what its homes' silence means.
        order = sorted(
            range(len(self.groups)), key=lambda g: self.groups[g].detector.grain != "place"
        )
        for g in order:
            group = self.groups[g]
            slot_end = due_s - group.lateness_s - group.phase_s
            if slot_end % group.slot_s == 0:
                began = time.perf_counter()
                self._step(g, slot_end // group.slot_s - 1)
                seconds[f"detector {group.detector.name}"] += time.perf_counter() - began
                stepped.append(g)
        for series, slot in counted:
            series.close(slot)
        began = time.perf_counter()
        self.around.returns(at_ns)
        told = self.hearing.told(stepped)
        if told:
            self.sieve.turn(at_ns, self.around)
        for grain in ("place", "subject", "series"):
            for i in told:
                watch = self.watches[i]
                if watch.rule.subjects.grain == grain:
                    self._note(i, watch.evaluate(at_ns, self.around, hit=self.sieve.hit(i)))
            if grain == "place":
                self.around.verdicts(at_ns)
        seconds["rules"] += time.perf_counter() - began

    def _step(self, g: int, slot: int) -> None:
        group = self.groups[g]
        local = self.local.columns(slot, group.slot_s, group.phase_s)
        if group.detector.grain == "place":
            assert self.census is not None
            signals = group.detector.step(self.census.fill(group, slot, local))
        else:
            signals = group.step(slot, local)
        if self.tap is not None:
            self.tap.signals(g, slot, signals)
        self.hearing.take(g, signals)

    def _amend(self, boundary_ns: int) -> None:
        """Work off late readings and events that arrived before a boundary."""
        began = time.perf_counter()
        self._grow()
        late = self.intake.amendments()
        if self.tap is not None and len(late.slot):
            self.tap.late(late)
        touched: dict[int, Touched] = defaultdict(Touched)
        for g, group in enumerate(self.groups):
            if not group.detector.amends or group.last_slot is None or not len(late.slot):
                continue
            seen: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = []
            for slot, rows, values, arrival in group.amendments(
                late.class_index, late.slot, late.row, late.value, late.arrival_ns
            ):
                group.detector.amend(slot, rows, values)
                for i, gone in self.hearing.disproved(g, rows, slot):
                    touched[i].refuted.update(gone)
                seen.append((rows, np.maximum(arrival, group.due_s(slot) * NS)))
            if seen:
                self._correct(g, seen, touched)
        for i, rows_seen in self.agenda.take_touched().items():
            for row, moment in rows_seen.items():
                arrivals = touched[i].arrivals
                arrivals[row] = max(moment, arrivals.get(row, 0))
        for i in self.hearing.ordered(touched):
            arrivals, refuted = touched[i].arrivals, touched[i].refuted
            rows = np.array(sorted(arrivals), np.int32)
            raised = self.watches[i].evaluate(boundary_ns, self.around, rows, arrivals, refuted)
            self._note(i, raised)
        self.timings.seconds["late readings"] += time.perf_counter() - began

    def _correct(
        self,
        g: int,
        seen: list[tuple[NDArray[np.int32], NDArray[np.int64]]],
        touched: dict[int, Touched],
    ) -> None:
        """Hand corrected signals to the rules, with the time each row's correction stands for."""
        group = self.groups[g]
        rows, where = np.unique(np.concatenate([r for r, _ in seen]), return_inverse=True)
        arrival = np.zeros(len(rows), np.int64)
        np.maximum.at(arrival, where, np.concatenate([a for _, a in seen]))
        signals: Signals = group.detector.current(rows)
        for i, corrected, mine in self.hearing.correct(g, rows, signals):
            touched[i].add(corrected, arrival[mine])

    # -- alerts ---------------------------------------------------------------------------

    def touch(self, watch_index: int, row: int, arrival_ns: int) -> None:
        """Have a rule look at a row again at the next boundary (an event concerns it)."""
        self.agenda.touch(watch_index, row, arrival_ns)

    def _note(self, index: int, raised: list[Raised]) -> None:
        self.tell(self.watches[index], raised)
        self.arm(index)

    def tell(self, watch: Watch, raised: list[Raised]) -> None:
        """Write down what changed of a rule's alerts."""
        for one in raised:
            named = self.around.named(watch, one.row, one.change.at_ns)
            listed, extra = self.counterfactuals.of(watch, one)
            marks = self.around.marks(watch, named, one.change.at_ns)
            self.book.note(watch, one, named, listed, extra, marks)

    def rearm(self, moves: Moves, repriced: Collection[str]) -> None:
        """Set timers and open looks anew after the rules changed (:meth:`Agenda.move`)."""
        self.agenda.move(moves, repriced)
        for index in range(len(self.watches)):
            self.arm(index)

    def arm(self, index: int) -> None:
        """Remember when time alone will next move a life of this rule."""
        deadline = self.watches[index].deadline_ns()
        self.agenda.arm(index, min(deadline, self.around.windows.next_ns(index)))

    def _advance_timers(self, to_ns: int) -> None:
        for index in self.agenda.ring(to_ns):
            watch = self.watches[index]
            self._note(index, watch.advance(to_ns, self.around))
            rows = self.around.windows.due(index, to_ns)
            if len(rows):
                self._note(index, watch.evaluate(to_ns, self.around, rows))

    def release(self, final: bool = False) -> list[AlertChange]:
        """Return the lines that nothing can come before any more, sorted by (time, id).

        What was raised at the boundary just worked off goes out at once: nobody waits for the next
        tick. A reading that arrived at that very instant may still add a line of the same time.
        """
        return self.book.release(None if final else self.now_ns)

    @property
    def next_ns(self) -> int:
        """When, by the clock alone, something is next to be done here."""
        assert self.now_ns is not None
        if self.intake.has_amendments or self.agenda.has_touched or self.book.has_waiting:
            return self.now_ns + self.tick_ns
        return min(self.clock.next_due_s * NS, self.agenda.next_ns)

    # -- prices ---------------------------------------------------------------------------

    def _apply_prices(self, at_ns: int) -> None:
        for name, price in self.agenda.prices_until(at_ns // DAY_NS):
            for watch in self.watches:
                if watch.rule.name == name:
                    watch.price = price

    def close_day(self) -> dict[str, Tally]:
        """Return what each rule counted since this was last asked."""
        return {w.rule.name: w.close_day() for w in self.watches if w.rule.budget is not None}

    # -- the end --------------------------------------------------------------------------

    def flush(self) -> None:
        """Settle what waits for more input: the input has ended. Nothing may be fed after."""
        self.settled_at_end = self.intake.flush()
        if self.now_ns is not None and (self.intake.has_amendments or self.agenda.has_touched):
            self._amend(self.now_ns + self.tick_ns)

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able header and the arrays of everything that can change an alert."""
        self._grow()  # what is restored has all its rows from the start
        header: dict[str, Any] = {
            "now_ns": self.now_ns,
            "rules": self.rules.version,
            "clock": self.clock.snapshot(),
            "book": self.book.snapshot(),
            "around": self.around.snapshot(),
            **self.agenda.snapshot(),
            "series": [s.snapshot() for s in self.series],
            "groups": [],
            "heard": [],
            "shares": self.hearing.shares(),
            "watches": [],
        }
        arrays: dict[str, NDArray[Any]] = {}
        for prefix, part in self._parts():
            head, own = part.snapshot()
            header[prefix.split("/")[0]].append(head) if "/" in prefix else header.update(
                {prefix: head}
            )
            arrays |= {f"{prefix}/{k}": v for k, v in own.items()}
        if self.census is not None:
            arrays |= {f"census/{k}": v for k, v in self.census.snapshot().items()}
        return header, arrays

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a snapshot of a shard with the same places and rules.

        Raises
        ------
        ShardError
            If the snapshot was taken under other rules.
        """
        if header["rules"] != self.rules.version:
            raise ShardError(
                f"snapshot was taken under rules {header['rules']}, these are "
                f"{self.rules.version}; replay from the start, or activate the change in the log"
            )
        self.now_ns = header["now_ns"]
        for series, state in zip(self.series, header["series"], strict=True):
            series.restore(state)
        self._grow()
        header, arrays = upgraded(self.watches, header, arrays)
        self.clock.restore(header["clock"])
        self.book.restore(header["book"])
        self.around.restore(header["around"])
        self.agenda.restore(header)
        if self.hearing.share(header["shares"]):
            self.wire()
        for prefix, part in self._parts():
            kind, _, number = prefix.partition("/")
            head = header[kind][int(number)] if number else header[kind]
            start = f"{prefix}/"
            part.restore(
                head, {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
            )
        if self.census is not None:
            self.census.restore(
                {k[len("census/") :]: v for k, v in arrays.items() if k.startswith("census/")}
            )

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield "intake", self.intake
        for i, group in enumerate(self.groups):
            yield f"groups/{i}", group
        for i, heard in enumerate(self.hearing.heard):
            yield f"heard/{i}", heard
        for i, watch in enumerate(self.watches):
            yield f"watches/{i}", watch

    @property
    def nbytes(self) -> int:
        """Bytes of arrays held."""
        _, arrays = self.snapshot()
        return sum(a.nbytes for a in arrays.values())


class ShardError(ValueError):
    """A shard cannot go on from where it was told to."""


__all__ = ["Fault", "RowResults", "ShardError", "ShardRunner", "Timings"]
