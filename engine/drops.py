"""Files dropped into a folder: which are complete, and when what they hold arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from connectors.records import Event, Fault, LogRecord, ReadingBlock

IGNORED = (".tmp", ".part", ".swp")


class Drops:
    """A watched folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, list[int]] = {}

    def look(self, done: Mapping[str, list[int]]) -> list[Path]:
        """Return files that are complete (unchanged since the last look) and not done as they are."""
        found = []
        seen: dict[str, list[int]] = {}
        for path in sorted(self.folder.iterdir()):
            if not path.is_file() or path.name.startswith(".") or path.suffix in IGNORED:
                continue
            name, stat = str(path), path.stat()
            state = [stat.st_size, stat.st_mtime_ns]
            if done.get(name) == state:
                continue
            seen[name] = state
            if self._seen.get(name) == state:
                found.append(path)
        self._seen = seen
        return found


def is_events(path: Path) -> bool:
    """Return whether a file holds events: its name begins so."""
    return path.name.lower().startswith("event")


def unread(record: LogRecord, known: Mapping[str, int]) -> ReadingBlock | Event | None:
    """Return what of a file's record lies behind the last row used, by source."""
    if isinstance(record, ReadingBlock):
        read_to = known.get(record.source, 0)
        start = int(np.searchsorted(record.position, read_to, side="right"))
        return record.slice(start, len(record)) if start < len(record) else None
    assert isinstance(record, Event)
    return record if record.position > known.get(record.source, 0) else None


def arrived(
    record: ReadingBlock | Event, now_ns: int, low_ns: int, behind: bool, skew_ns: int
) -> ReadingBlock | Event:
    """Return the record as having arrived here; stamps ahead of now are refused as such.

    Live, everything arrives now, and the wall clock alone says what lies ahead. Of the past
    (`behind`), arrival is what the file shows, never after now.
    """
    if isinstance(record, Event):
        shown = min(max(record.arrival_ns, low_ns), now_ns)
        return replace(record, arrival_ns=shown if behind else now_ns)
    fault, arrival = record.fault, np.full(len(record), now_ns, np.int64)
    if behind:
        arrival = np.clip(record.arrival_ns, low_ns, now_ns)
    else:
        fault = np.where(fault == Fault.CLOCK_AHEAD, Fault.OK, fault)
    ahead = (fault == Fault.OK) & (record.ts_ns > now_ns + skew_ns)
    fault = np.where(ahead, Fault.CLOCK_AHEAD, fault).astype(np.uint8)
    return replace(record, arrival_ns=arrival, fault=fault)
