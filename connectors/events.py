"""Rows of an events file become events: instants in UTC, attributes checked, arrival."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors import refusals
from connectors.arrival import EVENT_RULES, ArrivalClock, ArrivalRules
from connectors.attributes import parse_attrs
from connectors.columns import as_text, plain_text
from connectors.errors import clip
from connectors.normalise import EARLIEST_NS, LATEST_NS, Directory
from connectors.records import Event, Fault
from connectors.rows import DETAIL, RawRows
from connectors.stamps import BAD, parse_stamps
from connectors.zones import FoldMemory

SPANS: Mapping[str, tuple[str, str]] = {
    "absence": ("from", "until"),
    "approved_test": ("from", "to"),
    "maintenance": ("from", "to"),
    "power_cut": ("from", "to"),
}
"""Kinds with a span of time in their attributes."""
_NUMBERS = {"weather": "temp_c", "approved_test": "kw"}


@dataclass(slots=True)
class _Waiting:
    """Events whose arrival is not decided yet, as columns beside the events."""

    events: list[Event]
    stamped: NDArray[np.bool_]


class EventNormaliser:
    """Turns raw rows of one source into events, in order, with faults and arrivals.

    Local times are of the subject's zone, or of the directory's default zone for events that name
    a place alone. An event that cannot be used keeps its fault, a detail and its columns.
    """

    def __init__(
        self,
        source: str,
        directory: Directory,
        *,
        rules: ArrivalRules = EVENT_RULES,
        earliest_ns: int = EARLIEST_NS,
        latest_ns: int = LATEST_NS,
    ) -> None:
        self.source = source
        self.directory = directory
        self.earliest_ns = earliest_ns
        self.latest_ns = latest_ns
        self.clock = ArrivalClock(rules, earliest_ns=earliest_ns)
        self._held = _Waiting([], np.zeros(0, np.bool_))

    @property
    def held(self) -> int:
        """Number of events that wait for a decision about their arrival."""
        return len(self._held.events)

    def feed(self, rows: RawRows) -> Iterator[Event]:
        """Take some rows; yield the events whose arrival is decided."""
        new = self._read(rows)
        events = self._held.events + new.events
        return self._decide(events, np.r_[self._held.stamped, new.stamped], ended=False)

    def finish(self) -> Iterator[Event]:
        """Yield the events still held at the end of the source."""
        return self._decide(self._held.events, self._held.stamped, ended=True)

    def arrived(self, rows: RawRows, now_ns: int) -> list[Event]:
        """Return events that arrive now, from a sender that is live: nothing has to wait."""
        new = self._read(rows)
        limit = now_ns + self.clock.rules.max_skew_s * 1_000_000_000
        found = []
        for event, stamped in zip(new.events, new.stamped.tolist(), strict=True):
            event = replace(event, arrival_ns=now_ns)
            if stamped and event.ts_ns > limit and event.fault == Fault.OK:
                event = replace(event, fault=Fault.CLOCK_AHEAD, detail=_ahead(event))
            found.append(event if event.fault else replace(event, raw=None))
        return found

    def state(self) -> dict[str, Any]:
        """Return the clock; to be asked for only while nothing is held."""
        return {"clock": self.clock.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over from :meth:`state`."""
        self.clock.restore(state["clock"])

    def _decide(
        self, events: list[Event], stamped: NDArray[np.bool_], *, ended: bool
    ) -> Iterator[Event]:
        n = len(events)
        ts = np.array([e.ts_ns for e in events], np.int64)
        nobody = np.zeros(n, np.int64)
        decided, arrival, ahead = self.clock.advance(ts, stamped, nobody, nobody, ended=ended)
        self._held = _Waiting(events[decided:], stamped[decided:])
        for i in range(decided):
            event = replace(events[i], arrival_ns=int(arrival[i]))
            if ahead[i] and event.fault == Fault.OK:
                event = replace(event, fault=Fault.CLOCK_AHEAD, detail=_ahead(event))
            # The columns are needed for quarantine only.
            yield event if event.fault else replace(event, raw=None)

    def _read(self, rows: RawRows) -> _Waiting:
        columns: dict[str, list[Any]] = {
            name: plain_text(rows.batch.column(name)).to_pylist()
            for name in rows.batch.schema.names
        }
        blank: list[Any] = [None] * len(rows)
        subjects = [s or None for s in columns.get("subject_id", blank)]
        subject = self.directory.subjects.lookup(pa.array(subjects, pa.string()))
        zone = np.full(len(rows), self.directory.default_zone, np.uint8)
        known = subject >= 0
        zone[known] = self.directory.subject_zone[subject[known]]
        ns, kind, gap = self._instants(as_text(rows.batch.column("ts"), stamps=True), zone)
        outside = (kind != BAD) & ((ns < self.earliest_ns) | (ns >= self.latest_ns))
        events: list[Event] = []
        spans: list[tuple[int, str, Any]] = []
        for i in range(len(rows)):
            raw = {name: values[i] for name, values in columns.items()}
            attrs, problem = parse_attrs(raw.get("attrs"))
            fault, detail = Fault.OK, ""
            name = (raw["kind"] or "").strip()
            if rows.malformed is not None and rows.malformed[i]:
                fault, detail = Fault.MALFORMED, raw[DETAIL] or "the line is no event"
            elif not raw["event_id"] or not name:
                empty = "kind" if raw["event_id"] else "event_id"
                fault, detail = Fault.BAD_EVENT, f"{empty} is empty; wanted one for every event"
            elif kind[i] == BAD:
                fault = Fault.BAD_TIME
            elif gap[i]:
                fault = Fault.NONEXISTENT_HOUR
            elif outside[i]:
                fault = Fault.TIME_OUT_OF_RANGE
            elif problem:
                fault = Fault.BAD_EVENT
                detail = f"attrs {problem[0]}: {clip(repr(problem[1]))}; wanted {problem[2]}"
            elif not subjects[i] and not raw.get("place"):
                fault = Fault.BAD_EVENT
                detail = "subject_id and place are empty; wanted at least one of them"
            elif subjects[i] and not known[i] and not raw.get("place"):
                fault = Fault.BAD_EVENT
                got = clip(repr(subjects[i]))
                detail = (
                    f"subject_id is {got}, which no subject has; wanted an id of the subjects file"
                )
            elif detail := _check_attrs(name, attrs):
                fault = Fault.BAD_EVENT
            else:
                spans += [(i, a, attrs[a]) for a in SPANS.get(name, ()) if attrs.get(a)]
            if fault != Fault.OK and not detail:
                detail = refusals.detail(fault, raw["ts"])
            events.append(
                Event(
                    raw["event_id"] or "", int(ns[i]), name, subjects[i], raw.get("place") or None,
                    attrs, 0, self.source, rows.start + i, fault, detail, raw,
                )
            )  # fmt: skip
        _check_spans(events, spans)
        return _Waiting(events, (kind != BAD) & ~gap & ~outside)

    def _instants(
        self, texts: pa.Array, zone: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
        """Return (ns, kind, gap); of an hour that occurs twice, the first pass."""
        ns, kind = parse_stamps(texts)
        apart = np.arange(len(ns), dtype=np.int32)  # each row its own meter: no second pass
        none = np.zeros(len(ns), np.int32)
        gap = self.directory.local_time.to_utc(ns, kind, zone, apart, none, FoldMemory())
        return ns, kind, np.zeros(len(ns), np.bool_) if gap is None else gap


def _ahead(event: Event) -> str:
    assert event.raw is not None  # columns are dropped of good events only, and later
    return refusals.detail(Fault.CLOCK_AHEAD, event.raw["ts"])


def _check_spans(events: list[Event], spans: list[tuple[int, str, Any]]) -> None:
    """Refuse events whose span of time cannot be read."""
    if not spans:
        return
    _, kind = parse_stamps(pa.array([str(text) for _, _, text in spans], pa.string()))
    for (i, name, text), read in zip(spans, kind.tolist(), strict=True):
        if read == BAD:
            detail = (
                f"attrs.{name} is {clip(repr(text))}; wanted a time as 2026-03-01T00:15:00+08:00"
            )
            events[i] = replace(events[i], fault=Fault.BAD_EVENT, detail=detail)


def _check_attrs(kind: str, attrs: Mapping[str, Any]) -> str:
    """Return what is wrong with the attributes of a known kind, or an empty string."""
    name = _NUMBERS.get(kind)
    if name is None or name not in attrs:
        return ""
    value = attrs[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"attrs.{name} is {clip(repr(value))}; wanted a finite number"
    return ""
