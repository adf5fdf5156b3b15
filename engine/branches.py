"""Branches of a replay: what would have happened if a reading or an event had been otherwise.

While the history is replayed once, a copy of the host is taken just before a change would have
made itself felt; it goes on with the same records, changed, until the change has had its effect.
So a question costs the hours that it is about, and not the history before them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from connectors.normalise import Directory
from connectors.records import Event, LogRecord, PriceRecord, ReadingBlock
from detectors.base import NS
from engine.host import Host
from rules.alerts import AlertChange

TOGETHER_NS = 6 * 3600 * NS
"""Questions about different subjects share a branch if they begin within this time."""
EFFECT_NS = 6 * 3600 * NS
"""How long after its alert a question is followed."""


@dataclass(slots=True)
class Patch:
    """Readings to replace or add, and events to add or withdraw.

    Parameters
    ----------
    readings : list of (meter, ts_ns, value)
    events : list of Event
        By arrival.
    withdrawn : set of str
        Ids of events that did not happen.
    """

    readings: list[tuple[str, int, float]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    _values: dict[tuple[int, int], float] = field(default_factory=dict)
    _left: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, cases: Sequence[AlertChange]) -> Patch:
        """Return what the counterfactuals of some alerts say."""
        patch = cls()
        for case in cases:
            for row in case.facts["counterfactual"]:
                if "meter_id" in row:
                    patch.readings.append((row["meter_id"], ns(row["ts"]), float(row["value"])))
                elif row.get("withdrawn"):
                    patch.withdrawn.add(row["event_id"])
                else:
                    patch.events.append(_event(row))
        patch.events.sort(key=lambda e: (e.arrival_ns, e.event_id))
        return patch

    def resolve(self, directory: Directory) -> None:
        """Look the meters up."""
        import pyarrow as pa

        names = pa.array([r[0] for r in self.readings], pa.string())
        meters = directory.meters.lookup(names).tolist()
        self._values = {(int(m), r[1]): r[2] for m, r in zip(meters, self.readings, strict=True)}
        self._left = sorted(self._values, key=lambda key: (key[1], key[0]))

    def apply(self, record: LogRecord) -> list[LogRecord]:
        """Return what takes a record's place, with added events where their time has come."""
        if isinstance(record, Event):
            come = self._events(record.arrival_ns)
            return come if record.event_id in self.withdrawn else [*come, record]
        if not isinstance(record, ReadingBlock):
            return [*self._events(record.arrival_ns), record]
        block = self._filled(self._replaced(record))
        parts: list[LogRecord] = []
        start = 0
        for event in self._events(int(block.arrival_ns[-1])):
            stop = int(np.searchsorted(block.arrival_ns, event.arrival_ns, side="right"))
            if stop > start:
                parts.append(block.slice(start, stop))
                start = stop
            parts.append(event)
        return [*parts, block.slice(start, len(block))] if start < len(block) else parts

    def _events(self, before_ns: int) -> list[LogRecord]:
        """Take the events whose time comes before that."""
        come: list[LogRecord] = []
        while self.events and self.events[0].arrival_ns < before_ns:
            come.append(self.events.pop(0))
        return come

    def _replaced(self, block: ReadingBlock) -> ReadingBlock:
        """Return the block with the readings replaced that the patch names."""
        if not self._values:
            return block
        near = np.flatnonzero(np.isin(block.ts_ns, [key[1] for key in self._values]))
        value = block.value.copy()
        for i in near.tolist():
            key = (int(block.meter[i]), int(block.ts_ns[i]))
            if key in self._values:
                value[i] = self._values[key]
                if key in self._left:
                    self._left.remove(key)
        return replace(block, value=value)

    def _filled(self, block: ReadingBlock) -> ReadingBlock:
        """Return the block with those readings added that were not there when their time came."""
        last = int(block.arrival_ns[-1])
        come = [key for key in self._left if key[1] < last]
        if not come:
            return block
        self._left = self._left[len(come) :]
        ts = np.array([key[1] for key in come], np.int64)
        # A reading of a time before this block comes at its head: it cannot arrive earlier.
        arrival = np.maximum(ts, block.arrival_ns[0])
        at = np.searchsorted(block.arrival_ns, arrival)
        columns = {
            "position": np.arange(len(come), dtype=np.int64) + 2**40,
            "meter": np.array([key[0] for key in come], np.int32),
            "ts_ns": ts,
            "value": np.array([self._values[key] for key in come]),
            "arrival_ns": arrival,
            "fault": np.zeros(len(come), np.uint8),
        }
        merged = {n: np.insert(getattr(block, n), at, v) for n, v in columns.items()}
        return ReadingBlock(block.source, **merged)


@dataclass(slots=True)
class Question:
    """Alerts of different subjects that are asked about in one branch."""

    cases: list[AlertChange]
    start_ns: int
    until_ns: int
    raised: set[str] = field(default_factory=set)
    """Ids of all alerts that the branch said something of."""


def questions(
    cases: Sequence[AlertChange], back_ns: Callable[[AlertChange], int]
) -> list[Question]:
    """Return groups of alerts to try together, by the time at which they begin.

    Parameters
    ----------
    cases : sequence of AlertChange
        Newly raised alerts that list a counterfactual.
    back_ns : callable
        When the counterfactual of an alert first makes itself felt.
    """
    groups: list[tuple[Question, set[str]]] = []
    for start_ns, case in sorted(
        ((back_ns(c), c) for c in cases), key=lambda x: (x[0], x[1].alert_id)
    ):
        who = case.subject_id or f"place {case.place}"
        until_ns = ns(case.at) + EFFECT_NS
        for question, known in reversed(groups):
            if question.start_ns < start_ns - TOGETHER_NS:
                groups.append((Question([case], start_ns, until_ns), {who}))
                break
            if who not in known:
                question.cases.append(case)
                question.until_ns = max(question.until_ns, until_ns)
                known.add(who)
                break
        else:
            groups.append((Question([case], start_ns, until_ns), {who}))
    return [question for question, _ in groups]


class Branch:
    """A copy of a host that goes its own way.

    Parameters
    ----------
    question : Question
        Takes the ids of alerts.
    base : Host
        The host as it is before the change.
    make : callable
        Returns a new host for the same registry and rules.
    prices : mapping
        Prices that the base published, by rule and day; read when they are needed.
    directory : Directory
        Looks meters up.
    """

    def __init__(
        self,
        question: Question,
        base: Host,
        make: Callable[[Callable[[Sequence[AlertChange]], None]], Host],
        prices: Mapping[tuple[str, int], PriceRecord],
        directory: Directory,
    ) -> None:
        self.question = question
        self._host = make(self._take)
        header, arrays = base.snapshot()
        # As if read from a file: nothing may be shared between the two.
        self._host.restore(
            json.loads(json.dumps(header)), {k: np.array(v) for k, v in arrays.items()}
        )
        self._host.recorded = prices
        self._patch = Patch.of(question.cases)
        self._patch.resolve(directory)

    def _take(self, lines: Sequence[AlertChange]) -> None:
        self.question.raised |= {line.alert_id for line in lines}

    def feed(self, record: LogRecord) -> bool:
        """Take a record of the base's log, changed; return whether more is wanted."""
        for one in self._patch.apply(record):
            self._host.feed(one)
        return (self._host.clock_ns or 0) <= self.question.until_ns

    def finish(self) -> None:
        """Settle what waits: the log has ended."""
        self._host.finish()


def _event(row: Mapping[str, object]) -> Event:
    at = ns(str(row["ts"]))
    attrs = row.get("attrs")
    subject, place = row.get("subject_id"), row.get("place")
    return Event(
        str(row["event_id"]),
        at,
        str(row["kind"]),
        None if subject is None else str(subject),
        None if place is None else str(place),
        dict(attrs) if isinstance(attrs, Mapping) else {},
        at,
        "counterfactual",
    )


def ns(text: str) -> int:
    """Return an ISO 8601 time as nanoseconds."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * NS + moment.microsecond * 1000
