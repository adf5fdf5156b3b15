"""How healthy each source is: what came when, how late, and what was refused of it.

Runners note every record and tell the store at each tick of event time. It is for people only:
nothing here reaches a detector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from connectors.records import Counts, Event, LogRecord, ReadingBlock
from engine.store.feeds import FeedRow

NS = 1_000_000_000
HOUR_NS = 3_600 * NS
HOURS = 24
_NUMBERS = re.compile(r"[-_. ]*\d[\d\-_.:T+Z]*")
_ENDINGS = (".gz", ".zst", ".csv", ".ndjson", ".json", ".parquet", ".xlsx", ".jsonl")
OWN = ("feedback", "console", "system")
"""Sources of events that people cause on the console: no feed."""


def source_name(name: str) -> str:
    """Return a source's name without path, ending and numbers: a folder's files are one source.

    >>> source_name("/in/readings-2026-04-15T08.csv.gz"), source_name("kafka:meters"), source_name("7")
    ('readings', 'kafka:meters', '7')
    """
    short = name.rpartition("/")[2]
    for ending in _ENDINGS:
        short = short.removesuffix(ending)
    return _NUMBERS.sub("", short).strip("-_. ") or short


@dataclass(slots=True)
class _Feed:
    rows: int = 0
    last_ns: int = 0
    delay_s: float | None = None
    hours: dict[int, int] = field(default_factory=dict)

    def add(self, n: int, at_ns: int) -> None:
        self.rows += n
        self.last_ns = max(self.last_ns, at_ns)
        hour = at_ns // HOUR_NS
        self.hours[hour] = self.hours.get(hour, 0) + n
        for old in [h for h in self.hours if h <= hour - HOURS]:
            del self.hours[old]


class Health:
    """Keeps the feeds of one runner."""

    def __init__(self) -> None:
        self._feeds: dict[tuple[str, str], _Feed] = {}

    def note(self, record: LogRecord) -> None:
        """Take notice of a record of the log."""
        if isinstance(record, ReadingBlock):
            feed = self._feeds.setdefault(("source", source_name(record.source)), _Feed())
            feed.add(len(record), int(record.arrival_ns[-1]))
            whole = record.fault == 0
            if whole.any():
                delay_ns = record.arrival_ns[whole] - record.ts_ns[whole]
                feed.delay_s = max(float(np.median(delay_ns)) / NS, 0.0)
        elif isinstance(record, Event) and record.source not in OWN:
            self._feeds.setdefault(("events", record.kind), _Feed()).add(1, record.arrival_ns)

    def rows(self, counts: Mapping[str, Counts], now_ns: int) -> list[FeedRow]:
        """Return all feeds; `counts` is what the host made of the rows, by source."""
        refused: dict[str, dict[str, int]] = {}
        for name, of in counts.items():
            sums = refused.setdefault(source_name(name), {})
            for status, n in of.by_status.items():
                sums[status] = sums.get(status, 0) + n
        this = now_ns // HOUR_NS
        found = []
        for (kind, name), feed in sorted(self._feeds.items()):
            sums = refused.get(name, {}) if kind == "source" else {}
            found.append(
                FeedRow(
                    name=name,
                    kind=kind,
                    rows=feed.rows,
                    quarantined=sums.get("quarantined", 0),
                    late=sums.get("late", 0),
                    duplicate=sums.get("duplicate", 0),
                    last_ns=feed.last_ns,
                    delay_s=feed.delay_s,
                    hours=tuple(feed.hours.get(h, 0) for h in range(this - HOURS + 1, this + 1)),
                )
            )
        return found
