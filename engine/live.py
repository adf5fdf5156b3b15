"""Live, embedded: files dropped into a folder (or stdin), one process, one store.

Every record is written to the journal before it is fed; a snapshot covers a prefix of the journal.
After a crash the newest snapshot is restored and the journal goes on from there, so that the
alerts are the same as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from connectors.quarantine import QuarantineWriter
from connectors.records import Event, LogRecord, ReadingBlock, Tick
from connectors.sources import EventSource, ReadingSource, Source
from detectors.base import NS
from engine import library
from engine.config import Config
from engine.host import Host
from engine.journal import Journal
from engine.replay import directory_of, load_registry, open_store
from engine.shard import ShardRunner
from engine.sinks import AlertsFile
from engine.snapshot import SnapshotFileError, SnapshotFolder
from rules.alerts import AlertChange

SHARD = "live"
IGNORED = (".tmp", ".part", ".swp")


class LiveError(ValueError):
    """The configuration is not enough to run."""


class Live:
    """Runs until told to stop.

    Parameters
    ----------
    config : Config
        With ``inputs`` and ``store``.
    wall : callable
        Event time now, in nanoseconds (the wall clock; passed in, so that tests need none).
    on_lines : callable, optional
        Takes lines as they are released.
    """

    def __init__(
        self,
        config: Config,
        wall: Callable[[], int],
        on_lines: Callable[[Sequence[AlertChange]], None] | None = None,
    ) -> None:
        inputs = config.inputs
        if inputs.meters is None or inputs.subjects is None:
            raise LiveError("inputs.meters and inputs.subjects must name the tables")
        self.config = config
        self.wall = wall
        self._on_lines = on_lines
        self.rules = library.rules(config.rules.path, dict(config.rules.budgets))
        self.registry = load_registry(str(inputs.meters), str(inputs.subjects), config)
        self.directory = directory_of(self.registry)
        workers = None if inputs.workers is None else str(inputs.workers)
        self.store = open_store(config.store, self.rules, config, workers)
        self.epoch = self.store.claim(SHARD)
        self.folder = SnapshotFolder(Path(config.snapshots))
        self.journal = Journal(Path(config.snapshots) / "journal.log")
        shard = ShardRunner(self.registry, self.rules, config, library.calendars())
        quarantine = None if config.quarantine is None else str(config.quarantine)
        self.quarantine = QuarantineWriter(quarantine)
        self.host = Host([shard], on_lines=self._lines, refuse=self.quarantine)
        self.alerts = None if config.alerts is None else AlertsFile(str(config.alerts), append=True)
        self.fed = 0
        self.read_to: dict[str, int] = {}
        """Last row fed, by source."""
        self.done: set[str] = set()
        """Files read to their end by this process."""
        self._seen: dict[str, int] = {}
        self._recover()

    # -- the past -------------------------------------------------------------------------

    def _recover(self) -> None:
        """Restore the newest good snapshot and feed what the journal has beyond it."""
        for ref in self.store.snapshots(SHARD):
            try:
                _, header, arrays = self.folder.read(ref)
            except SnapshotFileError:
                continue
            self.host.restore(header["host"], arrays)
            self.fed = int(header["fed"])
            self.read_to = {str(k): int(v) for k, v in header["read_to"].items()}
            break
        for record in self.journal.read(self.fed):
            self.host.feed(record)
            self.fed += 1
            self._note(record)

    def _note(self, record: LogRecord) -> None:
        """Remember how far a source was read: what was fed is never fed twice."""
        if isinstance(record, ReadingBlock):
            self.read_to[record.source] = int(record.position[-1])
        elif isinstance(record, Event):
            self.read_to[record.source] = max(record.position, self.read_to.get(record.source, 0))

    # -- the present ----------------------------------------------------------------------

    def feed(self, record: LogRecord) -> None:
        """Write a record to the journal, then feed it."""
        self.journal.append(record)
        self.host.feed(record)
        self.fed += 1
        self._note(record)

    def poll(self) -> int:
        """Read new files, take in what people reported, move the clock; return rows read."""
        rows = 0
        for path in self._new_files():
            rows += self.read(str(path))
            self.done.add(str(path))
        for told in self.store.register.take(SHARD, self.epoch, self.fed, self.now_ns()):
            self.feed(told.record)
        now = self.now_ns()
        self.feed(Tick(now))
        self.store.tasks.tick(now)
        return rows

    def now_ns(self) -> int:
        """Return event time now; it never steps back, whatever the wall clock does."""
        return max(self.wall(), self.host.clock_ns or 0)

    def read(self, path: str) -> int:
        """Feed one file (events if its name begins so, else readings); return its rows."""
        rows = 0
        for record in self._records(path):
            self.feed(record)
            rows += len(record) if isinstance(record, ReadingBlock) else 1
        return rows

    def _records(self, path: str) -> Iterator[LogRecord]:
        """Yield a file's records with the arrival that is true here: now."""
        is_events = Path(path).name.lower().startswith("event")
        source: Source = (EventSource if is_events else ReadingSource)(path, self.directory)
        try:
            while (record := source.next_record()) is not None:
                now = self.now_ns()
                known = self.read_to.get(source.name, 0)
                if isinstance(record, ReadingBlock):
                    start = int(np.searchsorted(record.position, known, side="right"))
                    if start < len(record):
                        yield self._arrived(record.slice(start, len(record)), now)
                elif isinstance(record, Event) and record.position > known:
                    yield replace(record, arrival_ns=now)
            if source.problem is not None:
                raise source.problem
        finally:
            source.close()

    def _arrived(self, block: ReadingBlock, now_ns: int) -> ReadingBlock:
        """Return the block as having arrived now; stamps ahead of now are refused as such."""
        from connectors.records import Fault

        ahead = block.ts_ns > now_ns + self.config.clock.max_skew_s * NS
        fault = np.where(block.fault == Fault.CLOCK_AHEAD, Fault.OK, block.fault)
        fault = np.where((fault == Fault.OK) & ahead, Fault.CLOCK_AHEAD, fault).astype(np.uint8)
        arrival = np.full(len(block), now_ns, np.int64)
        return replace(block, arrival_ns=arrival, fault=fault)

    def _new_files(self) -> list[Path]:
        """Return files of the watched folder that are complete: unchanged since the last poll."""
        folder = self.config.inputs.watch
        if folder is None:
            return []
        found = []
        sizes: dict[str, int] = {}
        for path in sorted(folder.iterdir()):
            name = str(path)
            if not path.is_file() or path.name.startswith(".") or path.suffix in IGNORED:
                continue
            if name in self.done:
                continue
            sizes[name] = path.stat().st_size
            if self._seen.get(name) == sizes[name]:
                found.append(path)
        self._seen = sizes
        return found

    # -- outputs --------------------------------------------------------------------------

    def _lines(self, lines: Sequence[AlertChange]) -> None:
        self.store.commit(SHARD, self.epoch, self.fed, lines, clock_ns=self.host.clock_ns)
        if self.alerts is not None:
            self.alerts.write(lines)
        if self._on_lines is not None:
            self._on_lines(lines)

    def save(self) -> None:
        """Take a snapshot of everything fed so far."""
        head, arrays = self.host.snapshot()
        header: dict[str, Any] = {"host": head, "fed": self.fed, "read_to": self.read_to}
        ref = self.folder.write(SHARD, self.epoch, self.fed, header, arrays)
        self.store.commit(SHARD, self.epoch, self.fed, [], clock_ns=self.host.clock_ns)
        self.store.save_snapshot(SHARD, self.epoch, self.store.current_snapshot(SHARD), ref)
        gone = self.folder.retain(self.store.snapshots(SHARD), ref)
        if gone:
            self.store.drop_snapshots(SHARD, gone)

    def close(self) -> None:
        """Save and close everything."""
        self.save()
        if self.alerts is not None:
            self.alerts.close()
        self.quarantine.close()
        self.journal.close()
        self.store.close()


def wall_ns() -> int:
    """Return the wall clock's time (only runners may ask it)."""
    return time.time_ns()
