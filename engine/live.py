"""Live, embedded: files dropped into a folder (or stdin), one process, one store.

Every record is written to the journal before it is fed; a snapshot covers a prefix of the journal.
After a crash the newest snapshot is restored and the journal goes on from there, so that the
alerts are the same as if nothing had happened. Files of outputs are cut back to where the snapshot
was taken and written again from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from connectors.errors import InputError
from connectors.merge import Log
from connectors.quarantine import QuarantineWriter
from connectors.records import Activation, Event, LogRecord, ReadingBlock, Tick
from connectors.sources import Source
from detectors.base import NS
from engine import library
from engine.activation import ActivationError, rules_of
from engine.config import Config
from engine.drops import Drops, arrived, is_events, unread
from engine.escalation import Escalator
from engine.health import Health
from engine.host import Host
from engine.hours import local
from engine.inputs import directory_of, layout_of, load_registry, open_source, place_names
from engine.journal import Journal, JournalError
from engine.language import calendar_unknown
from engine.library import LibraryError
from engine.opening import desk_of, open_store
from engine.places import PlaceTree
from engine.rulebook import RuleBook
from engine.shard import ShardRunner
from engine.sinks import AlertsFile, holds
from engine.snapshot import SnapshotFileError, SnapshotFolder
from engine.watched import curve_tap, enter_watched
from rules.alerts import AlertChange
from rules.model import RuleSet
from rules.problems import RuleErrors

SHARD = "live"
TELL_S = 60
"""How often the store is told how healthy the sources are."""
TICK_S = 0.2
"""Step of the clock: an alert about an event waits for the end of its tick."""
IDLE_S = 60
"""The clock moves at least so often, also when nothing is due, seconds."""

log = structlog.get_logger()


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
        Takes lines as they are released, each once, also across restarts.

    Raises
    ------
    LiveError
        If the configuration does not say what to watch.
    """

    def __init__(
        self,
        config: Config,
        wall: Callable[[], int],
        on_lines: Callable[[Sequence[AlertChange]], None] | None = None,
    ) -> None:
        inputs = config.inputs
        if inputs.meters is None or inputs.subjects is None:
            raise LiveError(
                "configuration: inputs.meters and inputs.subjects must name the tables; see "
                "README.md, “Live”"
            )
        if inputs.watch is not None and not inputs.watch.is_dir():
            raise LiveError(f"inputs.watch: {inputs.watch} is no folder; make it first")
        self.config = config
        self.wall = wall
        self._on_lines = on_lines
        self.registry = load_registry(str(inputs.meters), str(inputs.subjects), config)
        self.directory = directory_of(self.registry)
        workers = None if inputs.workers is None else str(inputs.workers)
        self.zone = (self.registry.zones or ["UTC"])[0]
        self.book = RuleBook(config)
        self.store = open_store(config.store, RuleSet((), ""), config, workers, self.zone)
        self.epoch = self.store.claim(SHARD)
        self.escalator = Escalator(self.store, f"run {SHARD}", settings=config.console)
        self.folder = SnapshotFolder(Path(config.snapshots))
        self.journal = Journal(Path(config.snapshots) / "journal.log")
        places = None if inputs.places is None else str(inputs.places)
        enter_watched(self.store, self.registry, PlaceTree(layout_of(config), place_names(places)))
        self.host: Host
        self.quarantine: QuarantineWriter
        self.alerts: AlertsFile | None
        self.refused_rules: dict[str, str] = {}
        """What was last wrong with rules that were to be taken up, by version or "files"."""
        self.health = Health()
        self._told_ns = 0
        self.fed = 0
        self.read_to: dict[str, int] = {}
        """Last row fed, by source."""
        self.done: dict[str, list[int]] = {}
        """Files read to their end: size and time of change by name."""
        self.problems: dict[str, InputError] = {}
        """Files that could not be read, or not to their end."""
        self._calendars = library.calendars(config.calendars)
        self._years_told: list[int] = []
        self._drops = None if inputs.watch is None else Drops(inputs.watch)
        self._stdin_rows = 0
        self._looked = inputs.watch is None
        self._recover()

    # -- the past -------------------------------------------------------------------------

    def _recover(self) -> None:
        """Restore the newest good snapshot and feed what the journal has beyond it."""
        header = self._restore()
        if header is None:
            first = next(self.journal.read(), None)
            self._begin([first] if isinstance(first, Activation) else [self.book.of_files()])
        if self.fed > self.journal.count:
            raise JournalError(
                f"{self.journal.path}: has {self.journal.count} records, the snapshot covers "
                f"{self.fed}; put the journal back, or move the whole folder away to start anew"
            )
        self._open_outputs(header)
        if header is None and self.journal.count == 0:
            self.save()  # from now on it is known where the outputs began
            self._activate(self.book.of_files())
        for record in self.journal.read(self.fed):
            self.host.feed(record)
            self.fed += 1
            self._note(record)
        # Taken from the store, but the crash came before the journal had it.
        for told in self.store.register.logged(SHARD, self.fed - 1):
            self.feed(told.record)

    def _restore(self) -> dict[str, Any] | None:
        current = self.store.current_snapshot(SHARD)
        for ref in sorted(self.store.snapshots(SHARD), key=lambda r: r != current):
            try:
                _, header, arrays = self.folder.read(ref)
            except SnapshotFileError as error:
                log.error("snapshot_refused", file=ref.file, problem=str(error))
                continue
            self._begin(self.book.restore(header["rules"]))
            self.host.restore(header["host"], arrays)
            self.fed = int(header["fed"])
            self.read_to = {str(k): int(v) for k, v in header["read_to"].items()}
            self.done = {str(k): list(v) for k, v in header["done"].items()}
            return header
        return None

    def _begin(self, lineage: Sequence[Activation]) -> None:
        """Make the shard as the rules in force shaped it, one activation after another."""
        shard = ShardRunner(
            self.registry,
            rules_of(lineage[0]),
            self.config,
            self._calendars,
            tick=None if self.config.clock.tick_s else TICK_S,
        )
        self._tick_ns = shard.tick_ns
        shard.tap = curve_tap(self.config, Path(self.config.snapshots), shard)
        self.host = Host([shard], on_lines=self._lines, refuse=self)
        for record in lineage[1:]:
            self.host.reshape(record)
        self.book.lineage = list(lineage)
        self.store.desk = desk_of(self.rules, self.config, self.zone)

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self.host.shards[0].rules

    def _open_outputs(self, header: dict[str, Any] | None) -> None:
        """Open outputs where the snapshot left them; what is missing (rotated away) starts anew."""
        alerts, refused = self.config.alerts, self.config.quarantine
        self.alerts = None
        if alerts is not None:
            size = alerts.stat().st_size if alerts.is_file() else 0
            offset = size if header is None else int(header["alerts_offset"])
            self.alerts = AlertsFile(str(alerts), min(offset, size))
        resume = None if header is None else header["quarantine"]
        written = ((resume or {}).get("readings") or {}).get("bytes", 0)
        if refused is not None and not holds(str(refused), int(written)):
            resume = None
        self.quarantine = QuarantineWriter(None if refused is None else str(refused), resume=resume)

    def _note(self, record: LogRecord) -> None:
        """Remember how far a source was read: what was fed is never fed twice."""
        if isinstance(record, ReadingBlock):
            self.read_to[record.source] = int(record.position[-1])
        elif isinstance(record, Event) and record.position:
            self.read_to[record.source] = max(record.position, self.read_to.get(record.source, 0))
        elif isinstance(record, Activation):
            self.book.note(record, settled=self.host.shards[0].builder.settled)
            self.store.desk = desk_of(self.rules, self.config, self.zone)

    # -- rules ----------------------------------------------------------------------------

    def _activate(self, record: Activation) -> None:
        """Put a version of the rules in force, by the log."""
        if self.journal.count == 0 or record.version != self.rules.version:
            self.feed(record)
            log.info("rules_activated", version=record.version, author=record.author)
        self.store.versions.activated(
            record.version, record.rules_yaml, by=record.author, at_ns=record.arrival_ns or self.now_ns(),
            budgets=record.budgets,
        )  # fmt: skip

    def _look_at_rules(self, now: int) -> None:
        """Take up what was approved and is due, and files that were changed."""
        for version in self.store.versions.due(now):
            author = version.people
            record = Activation(version.version, version.rules, author, now, version.budgets)
            try:
                rules_of(record)
            except (RuleErrors, LibraryError, ActivationError) as error:
                self._refuse_rules(version.version, str(error), now)
                continue
            self._activate(record)
        changed = self.book.changed()
        if changed is not None and changed.problem is not None:
            self._refuse_rules("files", changed.problem, now)
        elif changed is not None and changed.record is not None:
            self._activate(replace(changed.record, arrival_ns=now))

    def _refuse_rules(self, what: str, problem: str, now: int) -> None:
        """Tell once that rules were refused; those in force stay."""
        if self.refused_rules.get(what) == problem:
            return
        self.refused_rules[what] = problem
        log.error("rules_refused", what=what, problem=problem, in_force=self.rules.version)
        detail = {"problem": problem[:2_000], "in_force": self.rules.version}
        self.store.books.audit("system", now, "rules_refused", what, detail)

    def _look_at_calendar(self, now: int) -> None:
        """Tell once of years at hand whose public holidays nobody knows."""
        country = self.config.calendar
        missing = library.missing_years(self._calendars, country, local(now, self.zone).date())
        if missing and missing != self._years_told:
            notice = calendar_unknown(country, missing)
            log.warning("calendar_unknown", country=country, years=missing, notice=notice)
            self.store.books.audit("system", now, "calendar_unknown", country, {"years": missing})
        self._years_told = missing

    # -- the present ----------------------------------------------------------------------

    def feed(self, record: LogRecord) -> None:
        """Write a record to the journal, then feed it."""
        self.journal.append(record)
        self.host.feed(record)
        self.fed += 1
        self._note(record)
        self.health.note(record)

    def poll(self) -> int:
        """Read new files, take in what people reported, move the clock; return rows read."""
        files = self._new_files()
        if not self._looked:
            # No file can be taken at the first look. What it holds is older than now, so the
            # clock waits for it.
            self._looked = True
            return 0
        rows = self.read(files)
        self._look_at_rules(self.now_ns())
        self._look_at_calendar(self.now_ns())
        for told in self.store.register.take(SHARD, self.epoch, self.fed, self.now_ns()):
            self.feed(told.record)
        now = self.now_ns()
        if self._ticks(now):
            self.feed(Tick(now))
        if now >= self._told_ns + TELL_S * NS:
            self._told_ns = now
            self.store.feeds.tell(self.health.rows(self.host.counts, now), now)
        self.escalator.turn(now)
        return rows

    def _ticks(self, now: int) -> bool:
        """Return whether the clock has something to do, or has not moved for long."""
        shard = self.host.shards[0]
        if shard.now_ns is None:
            return True
        tick_ns = now // self._tick_ns * self._tick_ns
        return tick_ns >= min(max(shard.next_ns, shard.now_ns + 1), shard.now_ns + IDLE_S * NS)

    def now_ns(self) -> int:
        """Return event time now; it never steps back, whatever the wall clock does."""
        return max(self.wall(), self.host.clock_ns or 0)

    def read(self, paths: Iterable[Path]) -> int:
        """Feed files (events if the name begins so, else readings), merged; return their rows.

        A file that cannot be used is told (:attr:`problems`) and keeps nobody else from being read.
        """
        sources: list[Source] = []
        for path in sorted(paths, key=is_events):  # as replay has them: readings, then events
            name = str(path)
            stat = path.stat()
            before = self.done.get(name)
            if before is not None and stat.st_size <= before[0]:
                self.read_to.pop(name, None)  # not the file that it was: all of it is new
            self.done[name] = [stat.st_size, stat.st_mtime_ns]
            try:
                sources.append(self._open(name))
            except InputError as error:
                self._refuse_file(name, error)
        rows = self._feed_all(sources)
        for source in sources:
            if source.problem is not None:
                self._refuse_file(source.name, source.problem)
        return rows

    def read_lines(self, data: bytes) -> int:
        """Feed readings as text: a header and lines of CSV, or lines of NDJSON; return the rows."""
        kind = "ndjson" if data.lstrip().startswith(b"{") else "csv"
        spool = self.folder.folder / f".stdin.{kind}"
        spool.write_bytes(data)
        self.read_to.pop("stdin", None)
        rows = self._feed_all(
            [open_source(str(spool), self.directory, self.config, False, None, "stdin")]
        )
        self._stdin_rows += rows
        spool.unlink()
        return rows

    def _open(self, name: str) -> Source:
        return open_source(name, self.directory, self.config, is_events(Path(name)))

    def _refuse_file(self, name: str, error: InputError) -> None:
        self.problems[name] = error
        log.error("file_refused", problem=str(error))

    def _feed_all(self, sources: list[Source]) -> int:
        """Feed what was not fed yet of some sources, with the arrival that is true here."""
        rows = 0
        merged = Log(sources)
        # After a pause, or at the first start, files hold the past: it passes by in its own time.
        skew_ns = self.config.clock.max_skew_s * NS
        behind = self.now_ns() - (self.host.clock_ns or 0) > skew_ns
        known = dict(self.read_to)
        try:
            for record in merged:
                fresh = unread(record, known)
                if fresh is not None:
                    here = self._arrived(fresh, behind, skew_ns)
                    self.feed(here)
                    rows += len(here) if isinstance(here, ReadingBlock) else 1
        finally:
            merged.close()
        return rows

    def _arrived(
        self, record: ReadingBlock | Event, behind: bool, skew_ns: int
    ) -> ReadingBlock | Event:
        """Return the record as having arrived here."""
        here = arrived(record, self.now_ns(), self.host.clock_ns or 0, behind, skew_ns)
        if isinstance(here, ReadingBlock) and here.source == "stdin":
            return replace(here, position=here.position + self._stdin_rows)
        return here

    def _new_files(self) -> list[Path]:
        """Return files of the watched folder that are complete."""
        return [] if self._drops is None else self._drops.look(self.done)

    # -- outputs --------------------------------------------------------------------------

    def block(self, block: ReadingBlock, fault: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        """Take quarantined rows."""
        if self.config.quarantine is not None:
            self.quarantine.block(block, fault)

    def event(self, event: Event) -> None:
        """Take a quarantined event."""
        self.quarantine.event(event)

    def _lines(self, lines: Sequence[AlertChange]) -> None:
        new = self.store.commit(SHARD, self.epoch, self.fed, lines, clock_ns=self.host.clock_ns)
        if self.alerts is not None:
            self.alerts.write(lines)
        if new and self._on_lines is not None:  # lines of one release are committed together
            self._on_lines(lines)

    def save(self) -> None:
        """Take a snapshot of everything fed so far; a full disk is told, and loses nothing."""
        if self.alerts is not None:
            self.alerts.sync()
        head, arrays = self.host.snapshot()
        header: dict[str, Any] = {
            "host": head,
            "fed": self.fed,
            "rules": self.book.snapshot(),
            "read_to": self.read_to,
            "done": self.done,
            "alerts_offset": 0 if self.alerts is None else self.alerts.offset,
            "quarantine": self.quarantine.offset(),
        }
        try:
            ref = self.folder.write(SHARD, self.epoch, self.fed, header, arrays)
        except SnapshotFileError as error:
            log.error("snapshot_not_written", problem=str(error))
            return
        self.store.commit(SHARD, self.epoch, self.fed, [], clock_ns=self.host.clock_ns)
        self.store.save_snapshot(SHARD, self.epoch, self.store.current_snapshot(SHARD), ref)
        gone = self.folder.retain(self.store.snapshots(SHARD), ref)
        if gone:
            self.store.drop_snapshots(SHARD, gone)

    def close(self) -> None:
        """Save and close everything."""
        self.save()
        self.abandon()

    def abandon(self) -> None:
        """Close everything without a snapshot: the next start goes on from the journal."""
        if self.alerts is not None:
            self.alerts.close()
        self.quarantine.close()
        self.journal.close()
        self.store.close()


def wall_ns() -> int:
    """Return the wall clock's time (only runners may ask it)."""
    return time.time_ns()
