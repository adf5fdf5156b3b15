"""Rows as they stand in a file become reading columns: dense ids, UTC, float64, faults, arrival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrival import READING_RULES, ArrivalClock, ArrivalRules
from connectors.columns import as_numbers, as_text
from connectors.ids import IdMap
from connectors.records import Fault, ReadingBlock
from connectors.rows import RawRows
from connectors.stamps import BAD, LOCAL, NO_TIME, parse_stamps
from connectors.zones import FoldMemory, LocalTime

_NS = 1_000_000_000
EARLIEST_NS = 946_684_800 * _NS
"""2000-01-01T00:00:00Z: stamps before it are out of range by default."""
LATEST_NS = 4_102_444_800 * _NS
"""2100-01-01T00:00:00Z: stamps from it on are out of range by default."""


@dataclass(slots=True)
class Directory:
    """What the edge has to know of meters and subjects; the registry fills it and lets it grow.

    Parameters
    ----------
    meters, subjects : IdMap
        Ids to registry rows.
    meter_zone, subject_zone : ndarray of uint8
        Index into `zones` by registry row.
    meter_interval_s : ndarray of int32
        By registry row; 0 where unknown.
    meter_fault : ndarray of uint8
        :class:`~connectors.records.Fault` of all rows of a meter (``NO_PLACE``), else 0.
    zones : sequence of str
        IANA names.
    default_zone : int
        Zone of events that name a place only.
    """

    meters: IdMap = field(default_factory=IdMap)
    meter_zone: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    meter_interval_s: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    meter_fault: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    subjects: IdMap = field(default_factory=IdMap)
    subject_zone: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    zones: Sequence[str] = ("UTC",)
    default_zone: int = 0
    _local: LocalTime | None = None

    @property
    def local_time(self) -> LocalTime:
        """Tables of all zones, made anew when zones were added."""
        if self._local is None or self._local.zones != tuple(self.zones):
            self._local = LocalTime(self.zones)
        return self._local


@dataclass(slots=True)
class _Part:
    """Rows of one batch that wait for their arrival."""

    position: NDArray[np.int64]
    meter: NDArray[np.int32]
    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    fault: NDArray[np.uint8]
    stamped: NDArray[np.bool_]
    interval_ns: NDArray[np.int64]
    raw: pa.RecordBatch

    def cut(self, start: int, stop: int) -> _Part:
        rows = slice(start, stop)
        return _Part(
            self.position[rows],
            self.meter[rows],
            self.ts_ns[rows],
            self.value[rows],
            self.fault[rows],
            self.stamped[rows],
            self.interval_ns[rows],
            self.raw.slice(start, stop - start),
        )

    def __len__(self) -> int:
        return len(self.meter)


class Normaliser:
    """Turns raw rows of one source into reading blocks, in order, with faults and arrivals.

    Parameters
    ----------
    source : str
        Name of the source, for counts and quarantine.
    directory : Directory
        May grow between calls.
    rules : ArrivalRules
    earliest_ns, latest_ns : int
        Stamps outside are ``TIME_OUT_OF_RANGE``.
    """

    def __init__(
        self,
        source: str,
        directory: Directory,
        *,
        rules: ArrivalRules = READING_RULES,
        earliest_ns: int = EARLIEST_NS,
        latest_ns: int = LATEST_NS,
    ) -> None:
        self.source = source
        self.directory = directory
        self.earliest_ns = earliest_ns
        self.latest_ns = latest_ns
        self.clock = ArrivalClock(rules, earliest_ns=earliest_ns)
        self.memory = FoldMemory()
        self._held: list[_Part] = []

    @property
    def held(self) -> int:
        """Number of rows that wait for a decision about their arrival."""
        return sum(map(len, self._held))

    def feed(self, rows: RawRows) -> Iterator[ReadingBlock]:
        """Take some rows; yield those whose arrival is decided."""
        return self._decide([*self._held, self._read(rows)], ended=False)

    def finish(self) -> Iterator[ReadingBlock]:
        """Yield the rows still held at the end of the source."""
        return self._decide(self._held, ended=True)

    def arrived(self, rows: RawRows, now_ns: int) -> ReadingBlock:
        """Return rows that arrive now, from a sender that is live: nothing has to wait.

        Stamps further ahead than the rules' skew are ``CLOCK_AHEAD``.
        """
        part = self._read(rows)
        ahead = part.stamped & (part.ts_ns > now_ns + self.clock.rules.max_skew_s * _NS)
        _mark(part.fault, ahead, Fault.CLOCK_AHEAD)
        arrival = np.full(len(part), now_ns, np.int64)
        return ReadingBlock(
            self.source, part.position, part.meter, part.ts_ns, part.value, arrival, part.fault,
            part.raw,
        )  # fmt: skip

    def _read(self, rows: RawRows) -> _Part:
        book = self.directory
        batch = rows.batch
        meter = book.meters.lookup(as_text(batch.column(0)))
        value = as_numbers(batch.column(2))
        ns, kind = parse_stamps(as_text(batch.column(1), stamps=True))
        fault = np.zeros(len(meter), np.uint8)
        zone = np.empty(len(meter), np.uint8)
        interval_s = np.zeros(len(meter), np.int32)
        interval_ns = np.zeros(len(meter), np.int64)
        any_unknown, any_marked = _of_meters(
            meter, book.meter_zone, book.meter_interval_s, book.meter_fault, zone, interval_s,
            interval_ns,
        )  # fmt: skip
        # A fault found first stays: from the least repairable to the most.
        if rows.malformed is not None:
            fault[rows.malformed] = Fault.MALFORMED
        if any_unknown:
            unknown = meter < 0
            _mark(fault, unknown, Fault.UNKNOWN_METER)
            # Without its meter a local stamp means no instant, and no stamp moves the clock.
            ns[unknown & (kind == LOCAL)] = NO_TIME
            kind[unknown] = BAD
        _mark(fault, kind == BAD, Fault.BAD_TIME)
        if len(book.meter_zone):
            gap = book.local_time.to_utc(ns, kind, zone, meter, interval_s, self.memory)
            if gap is not None:
                _mark(fault, gap, Fault.NONEXISTENT_HOUR)
                kind[gap] = BAD
        if any_marked:
            of_meter = book.meter_fault[np.maximum(meter, 0)]
            np.copyto(fault, of_meter, where=fault == 0)
        if not _sane(ns, value, self.earliest_ns, self.latest_ns):
            outside = (ns < self.earliest_ns) | (ns >= self.latest_ns)
            outside &= kind != BAD
            _mark(fault, outside, Fault.TIME_OUT_OF_RANGE)
            kind[outside] = BAD
            _mark(fault, ~np.isfinite(value), Fault.BAD_VALUE)
        return _Part(
            np.arange(rows.start, rows.start + len(meter), dtype=np.int64),
            meter, ns, value, fault, kind != BAD, interval_ns, batch,
        )  # fmt: skip

    def _decide(self, parts: list[_Part], *, ended: bool) -> Iterator[ReadingBlock]:
        if not parts:
            return
        one = len(parts) == 1

        def joined(name: str) -> NDArray[Any]:
            arrays = [getattr(p, name) for p in parts]
            return arrays[0] if one else np.concatenate(arrays)

        decided, arrival, ahead = self.clock.advance(
            joined("ts_ns"), joined("stamped"), joined("meter"), joined("interval_ns"), ended=ended
        )
        self._held = []
        at = 0
        for part in parts:
            end = at + len(part)
            done = min(max(decided - at, 0), len(part))
            if done < len(part):
                self._held.append(part.cut(done, len(part)))
            if done:
                part.fault[:done][ahead[at : at + done] & (part.fault[:done] == 0)] = (
                    Fault.CLOCK_AHEAD
                )
                yield ReadingBlock(
                    self.source, part.position[:done], part.meter[:done], part.ts_ns[:done],
                    part.value[:done], arrival[at : at + done], part.fault[:done],
                    part.raw.slice(0, done),
                )  # fmt: skip
            at = end

    def state(self) -> dict[str, Any]:
        """Return clock and memory; to be asked for only while no rows are held."""
        return {"clock": self.clock.state(), "memory": self.memory.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over from :meth:`state`."""
        self.clock.restore(state["clock"])
        self.memory.restore(state["memory"])
        self._held = []


@numba.njit(cache=True, nogil=True)
def _of_meters(meter, zones, intervals_s, faults, zone, interval_s, interval_ns):  # type: ignore[no-untyped-def]
    """Write what the registry says of each row's meter; of an unknown one, what of the first.

    Return whether any meter is unknown, and whether any has a fault.
    """
    unknown = marked = False
    for r in range(len(meter)):
        k = meter[r]
        if k < 0:
            unknown, k = True, 0
        if len(zones):
            zone[r] = zones[k]
            interval_s[r] = intervals_s[k]
            interval_ns[r] = np.int64(intervals_s[k]) * _NS
            marked |= faults[k] != 0
    return unknown, marked


@numba.njit(cache=True, nogil=True)
def _sane(ns, value, earliest_ns, latest_ns):  # type: ignore[no-untyped-def]
    """Return whether every stamp is in range and every value a finite number."""
    good = True
    for r in range(len(ns)):
        good &= earliest_ns <= ns[r] < latest_ns and np.isfinite(value[r])
    return good


def _mark(fault: NDArray[np.uint8], where: NDArray[np.bool_], reason: Fault) -> None:
    """Give a fault to rows that have none yet."""
    if where.any():
        fault[where & (fault == 0)] = reason
