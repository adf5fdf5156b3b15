"""Replay: history through the whole pipeline, at full speed, resumable at any row."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.errors import InputError
from connectors.merge import Log, source_state
from connectors.normalise import Directory
from connectors.quarantine import QuarantineWriter
from connectors.records import Counts, Event, ReadingBlock
from connectors.sources import Source
from detectors.base import NS
from engine import library
from engine.config import Config
from engine.host import BudgetUse, Host
from engine.inputs import (
    directory_of,
    fingerprint,
    layout_of,
    load_registry,
    open_source,
    place_names,
)
from engine.language import calendar_unknown
from engine.opening import open_store, snapshot_folder
from engine.packing import pack, unpack
from engine.places import PlaceTree
from engine.registry import Registry
from engine.shard import ShardRunner
from engine.sinks import AlertsFile, holds, writing
from engine.snapshot import SnapshotFileError, SnapshotFolder
from engine.store import DeterminismViolation, Store
from engine.watched import curve_tap, enter_watched
from rules.alerts import AlertChange
from rules.model import RuleSet

SNAPSHOT_EVERY_S = 20.0
"""Wall time between snapshots of a replay; when they are taken changes nothing in the result."""


class ReplayError(ValueError):
    """A replay cannot be run as asked."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay, and where results go.

    Parameters
    ----------
    readings, events : tuple of str
        Input files; ``-`` is stdin.
    meters, subjects, places : str
        Tables.
    rules : Path or None
        Folder of rules; None: the shipped ones.
    budgets : mapping of str to float
        False alerts per subject-year, by rule.
    from_ns, to_ns : int or None
        Limit the output; earlier rows still teach.
    alerts, report, store, quarantine : str or None
        Outputs.
    block_rows : int or None
        Most rows of a block; changes nothing in the result.
    stop_after_rows : int or None
        Stop (with a snapshot, where there is a store) after so many rows.
    """

    readings: tuple[str, ...]
    meters: str
    subjects: str
    events: tuple[str, ...] = ()
    places: str | None = None
    workers: str | None = None
    rules: Path | None = None
    budgets: dict[str, float] = field(default_factory=dict)
    from_ns: int | None = None
    to_ns: int | None = None
    alerts: str | None = None
    report: str | None = None
    store: str | None = None
    quarantine: str | None = None
    block_rows: int | None = None
    stop_after_rows: int | None = None

    def manifest(self, rules: RuleSet, config: Config) -> dict[str, Any]:
        """Return what must be the same for a resumed replay to go on."""
        files = [*self.readings, *self.events, self.meters, self.subjects]
        return {
            "inputs": [[f, fingerprint(f)] for f in files],
            "readings": list(self.readings),
            "events": list(self.events),
            "meters": self.meters,
            "subjects": self.subjects,
            "places": self.places,
            "rules": rules.version,
            "rules_path": None if self.rules is None else str(self.rules),
            "budgets": dict(sorted(self.budgets.items())),
            "from_ns": self.from_ns,
            "to_ns": self.to_ns,
            "config": config.model_dump(mode="json", exclude={"personal_data_key", "console"}),
        }


@dataclass(slots=True)
class ReplayResult:
    """What a replay came to."""

    counts: dict[str, Counts]
    budgets: dict[str, BudgetUse]
    lines: int
    firing: int
    finished: bool
    resumed_at: int | None
    seconds: float
    timings: dict[str, float]
    problems: tuple[InputError, ...]
    by_rule: dict[str, int] = field(default_factory=dict)
    alerts: list[AlertChange] = field(default_factory=list)
    rules: RuleSet | None = None
    registry: Registry | None = None
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def reconciled(self) -> bool:
        """Whether every row of every source is accounted for exactly once."""
        return all(c.reconciled for c in self.counts.values())


class Replay:
    """One replay: inputs, host and outputs, with snapshots in between.

    Parameters
    ----------
    options : ReplayOptions
    config : Config
    on_lines : callable, optional
        Takes lines as they are released, after the outputs.
    keep : bool
        Whether to keep all lines in memory for the result.
    """

    def __init__(
        self,
        options: ReplayOptions,
        config: Config,
        *,
        on_lines: Callable[[Sequence[AlertChange]], None] | None = None,
        keep: bool = False,
    ) -> None:
        self.options = options
        self.config = config
        self.rules = library.rules(
            options.rules or config.rules.path, {**config.rules.budgets, **options.budgets}
        )
        self.registry = load_registry(options.meters, options.subjects, config)
        self.tree = PlaceTree(layout_of(config), place_names(options.places))
        self.on_progress: Callable[[int, int | None], None] | None = None
        """Told (rows more, event time in ns) after every record."""
        self.until_ns: int | None = None
        """End as if the input ended here, event time."""
        self._log: Log | None = None
        self._on_lines = on_lines
        self._keep = keep or options.report is not None
        self._kept: list[AlertChange] = []
        self._firing: dict[str, str] = {}
        self._lines = 0
        self._stopping = False
        self.rows = 0
        self.warnings: list[str] = []
        """What went wrong without harm to the result (a full disk, a torn snapshot)."""

    def run(self) -> ReplayResult:
        """Run to the end of the inputs, or until stopped; return what it came to."""
        began = time.perf_counter()
        with ExitStack() as stack:
            store = self._open_store()
            if store is not None:
                stack.callback(store.close)
            host = self.host = self._host()
            self._prepare()
            saved = self._resume(store, host)
            log = self._log = self._open_log(saved)
            stack.callback(log.close)
            self._open_outputs(saved, store)
            stack.enter_context(_Interrupts(self))
            finished = self._loop(log, host, store)
            if finished:
                host.finish()
            unknown = {year for shard in host.shards for year in shard.local.unknown}
            if unknown:
                self.warnings.append(calendar_unknown(self.config.calendar, unknown))
            self._save(log, host, store, finished)
            self._close_outputs()
            if finished and self.options.alerts and self.options.alerts != "-":
                self._write_manifest()
            return ReplayResult(
                counts={s.name: Counts() for s in log.sources} | host.counts,
                budgets=host.budgets,
                lines=self._lines,
                firing=len(self._firing),
                finished=finished,
                resumed_at=None if saved is None else saved["rows"],
                seconds=time.perf_counter() - began,
                timings=dict(host.shards[0].timings.seconds),
                problems=log.problems,
                by_rule=dict(sorted(Counter(self._firing.values()).items())),
                alerts=self._kept,
                rules=self.rules,
                registry=self.registry,
                first_ns=host.first_ns,
                last_ns=host.clock_ns,
            )

    def _open_store(self) -> Store | None:
        if not self.options.store:
            return None
        zone = (self.registry.zones or ["UTC"])[0]
        store = open_store(self.options.store, self.rules, self.config, self.options.workers, zone)
        enter_watched(store, self.registry, self.tree)
        return store

    def _prepare(self) -> None:
        """Change the host before the first record (audits do)."""

    def share(self) -> tuple[float, bool]:
        """Return how much of the input was read, and whether that is known."""
        return (0.0, False) if self._log is None else self._log.progress()

    def stop(self) -> None:
        """Ask the loop to end after the present block."""
        self._stopping = True

    # -- the loop -------------------------------------------------------------------------

    def _host(self) -> Host:
        shard = ShardRunner(
            self.registry, self.rules, self.config, library.calendars(self.config.calendars)
        )
        if self.options.store:
            shard.tap = curve_tap(self.config, snapshot_folder(self.options.store), shard)
        return Host([shard], on_lines=self._take_lines, refuse=self)

    def _loop(self, log: Log, host: Host, store: Store | None) -> bool:
        saved_at = time.monotonic()
        stop_at = self.options.stop_after_rows
        for record in log:
            host.feed(record)
            rows = len(record) if isinstance(record, ReadingBlock) else 1
            self.rows += rows
            if self.on_progress is not None:
                self.on_progress(rows, host.clock_ns)
            if self.until_ns is not None and (host.clock_ns or 0) > self.until_ns:
                return True
            if self._stopping or (stop_at is not None and self.rows >= stop_at):
                return False
            if store is not None and time.monotonic() - saved_at > SNAPSHOT_EVERY_S:
                self._save(log, host, store, finished=False)
                saved_at = time.monotonic()
        return True

    # -- inputs ---------------------------------------------------------------------------

    def _open_log(self, saved: dict[str, Any] | None) -> Log:
        directory = directory_of(self.registry)
        states = None if saved is None else saved["log"]
        return Log(self._sources(directory, states), block_rows=self.options.block_rows)

    def _sources(self, directory: Directory, states: dict[str, Any] | None) -> list[Source]:
        """Return the inputs, in the order given: readings, then events."""
        return [
            open_source(f, directory, self.config, events, source_state(states, f))
            for events, files in ((False, self.options.readings), (True, self.options.events))
            for f in files
        ]

    # -- outputs --------------------------------------------------------------------------

    def _open_outputs(self, saved: dict[str, Any] | None, store: Store | None) -> None:
        offset = 0 if saved is None else int(saved["alerts_offset"])
        self._alerts = None
        if self.options.alerts:
            self._alerts = AlertsFile(self.options.alerts, offset)
        if self.options.report:
            _must_be_writable(self.options.report)
        resume = None if saved is None else saved["quarantine"]
        self._quarantine = QuarantineWriter(self.options.quarantine, resume=resume)
        self._store = store

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        """Take quarantined rows."""
        if self.options.quarantine:
            self._quarantine.block(block, fault)

    def event(self, event: Event) -> None:
        """Take a quarantined event."""
        if self.options.quarantine:
            self._quarantine.event(event)

    def _take_lines(self, lines: Sequence[AlertChange]) -> None:
        mine = [line for line in lines if self._within(line)]
        if not mine:
            return
        if self._alerts is not None:
            self._alerts.write(mine)
        if self._store is not None:
            self._commit(self._store, mine)
        self._lines += len(mine)
        self._firing |= {line.alert_id: line.rule for line in mine}
        if self._keep:
            self._kept += mine
        if self._on_lines is not None:
            self._on_lines(mine)

    def _commit(self, store: Store, lines: Sequence[AlertChange]) -> None:
        try:
            store.commit(self._shard, self._epoch, self.rows, lines, clock_ns=_ns(lines[-1].at))
        except DeterminismViolation:
            if [row.shard for row in store.shards()] == [self._shard]:
                raise
            raise ReplayError(
                f"--store {self.options.store}: holds alerts of another replay, with other inputs, "
                "rules, budgets or settings; give each its own store"
            ) from None

    def _within(self, line: AlertChange) -> bool:
        """Return whether an alert was raised between --from and --to."""
        raised = _ns(line.raised_at)
        low, high = self.options.from_ns, self.options.to_ns
        return (low is None or raised >= low) and (high is None or raised < high)

    def _write_manifest(self) -> None:
        """Say beside the alerts what they were made from, for `gridwarden audit`."""
        text = json.dumps(
            self.options.manifest(self.rules, self.config), indent=1, ensure_ascii=False
        )
        manifest_path(str(self.options.alerts)).write_text(text + "\n", encoding="utf-8")

    def _close_outputs(self) -> None:
        if self._alerts is not None:
            self._alerts.close()
        self._quarantine.close()

    # -- snapshots ------------------------------------------------------------------------

    def _resume(self, store: Store | None, host: Host) -> dict[str, Any] | None:
        """Take over the newest good snapshot of the same replay, if there is one."""
        if store is None:
            return None
        manifest = self.options.manifest(self.rules, self.config)
        self._manifest = json.loads(json.dumps(manifest))
        # Each way to replay has a shard of its own, so that several may share a store.
        text = json.dumps(self._manifest, sort_keys=True).encode()
        self._shard = "replay-" + hashlib.sha256(text).hexdigest()[:12]
        self._epoch = store.claim(self._shard)
        self._folder = SnapshotFolder(snapshot_folder(self.options.store or ""))
        self._current = store.current_snapshot(self._shard)
        refs = store.snapshots(self._shard)
        for ref in sorted(refs, key=lambda r: r != self._current):
            try:
                _, header, arrays = self._folder.read(ref)
            except SnapshotFileError as error:
                self.warnings.append(str(error))
                continue
            if header["finished"]:
                return None
            if not self._outputs_hold(header):
                self.warnings.append(
                    "an output of the interrupted replay is gone or another one was asked for; "
                    "started again from the first row"
                )
                return None
            host.restore(header["host"], arrays)
            self.rows = int(header["rows"])
            self._lines = int(header["lines"])
            self._firing = dict(header["firing"])
            if self._keep:
                earlier = islice(store.lines(self._shard), self._lines)
                self._kept = [msgspec.json.decode(line, type=AlertChange) for line in earlier]
            return {**header, "log": unpack(header["log"], arrays)}
        return None

    def _outputs(self) -> list[str | None]:
        return [self.options.alerts, self.options.quarantine]

    def _outputs_hold(self, header: dict[str, Any]) -> bool:
        """Return whether the outputs are those of the snapshot and reach as far as they did."""
        quarantined = header["quarantine"].get("readings") or {}
        return (
            header["outputs"] == self._outputs()
            and holds(self.options.alerts, int(header["alerts_offset"]))
            and holds(self.options.quarantine, int(quarantined.get("bytes", 0)))
        )

    def _save(self, log: Log, host: Host, store: Store | None, finished: bool) -> None:
        if self._alerts is not None:
            self._alerts.sync()
        if store is None:
            return
        arrays: dict[str, Any] = {}
        state = pack(log.state(), "log", arrays)
        head, own = host.snapshot()
        arrays |= own
        header = {
            "manifest": self._manifest,
            "finished": finished,
            "rows": self.rows,
            "lines": self._lines,
            "firing": self._firing,
            "outputs": self._outputs(),
            "alerts_offset": 0 if self._alerts is None else self._alerts.offset,
            "quarantine": self._quarantine.offset(),
            "log": state,
            "host": head,
        }
        try:
            ref = self._folder.write(self._shard, self._epoch, self.rows, header, arrays)
        except SnapshotFileError as error:
            # The old snapshot stays current and nothing is lost: a resumed run repeats more.
            self.warnings.append(str(error))
            return
        store.commit(self._shard, self._epoch, self.rows, [], clock_ns=host.clock_ns)
        store.save_snapshot(self._shard, self._epoch, self._current, ref)
        self._current = ref
        gone = self._folder.retain(store.snapshots(self._shard), ref)
        if gone:
            store.drop_snapshots(self._shard, gone)


def _must_be_writable(path: str) -> None:
    """Find out before the work, not after it, that an output cannot be written."""
    with writing(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).open("ab").close()


def manifest_path(alerts: str) -> Path:
    """Return where the manifest of an alerts file lies: beside it."""
    return Path(alerts + ".manifest.json")


class _Interrupts:
    """Turns the first Ctrl-C into a clean stop with a snapshot; the second one is not caught."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    def __enter__(self) -> None:
        try:
            self._old = signal.signal(signal.SIGINT, self._stop)
        except ValueError:  # not the main thread: nobody can press keys there
            self._old = None

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._replay.stop()
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * NS + moment.microsecond * 1000
