"""Audit: every alert's provenance and counterfactual proven by replay; counts reconciled.

Three things are proven of an alerts file, from the manifest beside it:

1. the inputs are those it was made from, and the same replay gives the same bytes;
2. the counts add up;
3. applying an alert's counterfactual (a reading replaced or added, an event added) and replaying
   keeps that alert from being raised.

Counterfactuals of different subjects are tried in one replay, one per subject at a time, so a
street of thousands needs as many replays as its busiest home had alerts. Prices are those that the
original replay published: the question is what *this* alert would have needed, not what a
different fleet would have paid.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from connectors.errors import InputError
from connectors.normalise import Directory
from connectors.records import Event, LogRecord, PriceRecord, ReadingBlock
from connectors.sources import Source
from detectors.base import NS
from engine.config import Config
from engine.replay import Replay, ReplayOptions, ReplayResult, manifest_path
from rules.alerts import AlertChange


class AuditError(ValueError):
    """An alerts file cannot be audited; the message says what is missing."""


@dataclass(slots=True)
class Finding:
    """What an audit found wrong."""

    alert_id: str | None
    problem: str


@dataclass(slots=True)
class AuditResult:
    """What an audit proved, and what it could not."""

    alerts: int = 0
    identical: bool = False
    reconciled: bool = False
    proven: int = 0
    without: int = 0
    """Alerts that list no counterfactual."""
    untried: int = 0
    """Alerts left out by --sample."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def audit(
    path: Path,
    *,
    sample: int | None = None,
    on_pass: Callable[[int, int], None] | None = None,
) -> AuditResult:
    """Audit one alerts file.

    Parameters
    ----------
    path : Path
        NDJSON of `gridwarden replay`; its manifest lies beside it.
    sample : int, optional
        Try the counterfactuals of so many alerts only (spread evenly over the file).
    on_pass : callable, optional
        Told (replays done, replays in all).

    Raises
    ------
    AuditError
        If the file or its manifest cannot be used.
    """
    manifest = _manifest(path)
    lines = _lines(path)
    options, config = _options(manifest)
    result = AuditResult(alerts=len({line.alert_id for line in lines}))
    base = _Run(options, config)
    base.run()
    _compare(path, manifest, base, result)
    raised = _chosen([line for line in lines if line.seq == 1], sample, result)
    passes = _passes(raised)
    for number, cases in enumerate(passes):
        if on_pass is not None:
            on_pass(number, len(passes))
        _try(options, config, base.prices, cases, result)
    if on_pass is not None:
        on_pass(len(passes), len(passes))
    return result


def _manifest(path: Path) -> dict[str, Any]:
    beside = manifest_path(str(path))
    try:
        loaded: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
    except OSError:
        raise AuditError(
            f"{path}: its manifest {beside.name} is not beside it; audit needs to know the inputs. "
            "Run the replay again with --alerts to a file"
        ) from None
    except ValueError as error:
        raise AuditError(f"{beside}: not a manifest: {error}") from None
    return loaded


def _lines(path: Path) -> list[AlertChange]:
    decoder = msgspec.json.Decoder(AlertChange)
    try:
        texts = path.read_bytes().splitlines()
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from None
    lines: list[AlertChange] = []
    for text in texts:
        try:
            lines.append(decoder.decode(text))
        except msgspec.DecodeError as error:
            raise AuditError(f"{path}:{len(lines) + 1}: not an alert: {error}") from None
    return lines


def _options(manifest: Mapping[str, Any]) -> tuple[ReplayOptions, Config]:
    rules = manifest["rules_path"]
    options = ReplayOptions(
        readings=tuple(manifest["readings"]),
        events=tuple(manifest["events"]),
        meters=manifest["meters"],
        subjects=manifest["subjects"],
        rules=None if rules is None else Path(rules),
        budgets=manifest["budgets"],
        from_ns=manifest["from_ns"],
        to_ns=manifest["to_ns"],
    )
    if "-" in options.readings:
        raise AuditError("the readings came from stdin and are gone; replay from a file to audit")
    return options, Config.model_validate(manifest["config"])


class _Run(Replay):
    """A replay in memory that keeps the prices it published, or runs under recorded ones."""

    def __init__(
        self,
        options: ReplayOptions,
        config: Config,
        prices: Sequence[PriceRecord] | None = None,
        patch: _Patch | None = None,
    ) -> None:
        super().__init__(options, config, keep=True)
        self._given = prices
        self._patch = patch
        self.prices: list[PriceRecord] = []
        self.result: ReplayResult | None = None

    def run(self) -> ReplayResult:
        """Run and keep the result."""
        self.result = super().run()
        self.prices = self.host.published if self._given is None else list(self._given)
        return self.result

    def _prepare(self) -> None:
        if self._given is not None:
            self.host.recorded = {(p.rule, p.day): p for p in self._given}

    def _sources(self, directory: Directory, states: dict[str, Any] | None) -> list[Source]:
        sources = super()._sources(directory, states)
        if self._patch is None:
            return sources
        self._patch.resolve(directory)
        patched: list[Source] = [
            _Patched(s, self._patch, fills=i == 0) for i, s in enumerate(sources)
        ]
        return [*patched, _Events(self._patch.events)]


def _compare(path: Path, manifest: Mapping[str, Any], base: _Run, result: AuditResult) -> None:
    """Check inputs, bytes and counts."""
    assert base.result is not None
    now = base.options.manifest(base.rules, base.config)
    for was, found in zip(manifest["inputs"], now["inputs"], strict=True):
        if was[1] != found[1]:
            result.findings.append(Finding(None, f"{was[0]} is not the file it was made from"))
    if manifest["rules"] != now["rules"]:
        result.findings.append(
            Finding(
                None, f"rules are {now['rules']}, the alerts were made under {manifest['rules']}"
            )
        )
    again = b"".join(line.line() + b"\n" for line in base.result.alerts)
    result.identical = again == path.read_bytes()
    if not result.identical:
        digest = hashlib.sha256(again).hexdigest()[:12]
        result.findings.append(
            Finding(None, f"replaying gives other bytes ({len(again)} of them, sha256 {digest}…)")
        )
    result.reconciled = base.result.reconciled
    if not result.reconciled:
        result.findings.append(Finding(None, "the counts of the replay do not add up"))


def _chosen(
    raised: list[AlertChange], sample: int | None, result: AuditResult
) -> list[AlertChange]:
    with_one = [line for line in raised if line.facts.get("counterfactual")]
    result.without = len(raised) - len(with_one)
    for line in raised:
        if not line.facts.get("counterfactual"):
            result.findings.append(Finding(line.alert_id, "lists no counterfactual"))
    if sample is None or sample >= len(with_one):
        return with_one
    picked = np.unique(np.linspace(0, len(with_one) - 1, sample).round().astype(int))
    result.untried = len(with_one) - len(picked)
    return [with_one[i] for i in picked.tolist()]


def _passes(raised: list[AlertChange]) -> list[list[AlertChange]]:
    """Return groups of alerts to try together: each subject, and each place, once a group."""
    queues: dict[str, list[AlertChange]] = defaultdict(list)
    for line in raised:
        queues[line.subject_id or f"place {line.place}"].append(line)
    longest = max(map(len, queues.values()), default=0)
    return [[q[i] for q in queues.values() if len(q) > i] for i in range(longest)]


def _try(
    options: ReplayOptions,
    config: Config,
    prices: Sequence[PriceRecord],
    cases: list[AlertChange],
    result: AuditResult,
) -> None:
    """Replay with the counterfactuals of `cases` applied, up to the last of them."""
    patch = _Patch.of(cases)
    last = max(_ns(case.at) for case in cases) + 6 * 3600 * NS
    run = _Run(replace(options, from_ns=None, to_ns=None), config, prices, patch)
    run.until_ns = last
    run.run()
    assert run.result is not None
    still = {line.alert_id for line in run.result.alerts}
    for case in cases:
        if case.alert_id in still:
            result.findings.append(
                Finding(case.alert_id, "is raised although its counterfactual was applied")
            )
        else:
            result.proven += 1


@dataclass(slots=True)
class _Patch:
    """Readings to replace or add, and events to add or withdraw."""

    readings: list[tuple[str, int, float]]
    events: list[Event]
    withdrawn: set[str]
    _values: dict[tuple[int, int], float] = field(default_factory=dict)
    _times: Any = None
    _left: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, cases: Sequence[AlertChange]) -> _Patch:
        readings: list[tuple[str, int, float]] = []
        events: list[Event] = []
        withdrawn: set[str] = set()
        for case in cases:
            for row in case.facts["counterfactual"]:
                if "meter_id" in row:
                    readings.append((row["meter_id"], _ns(row["ts"]), float(row["value"])))
                elif row.get("withdrawn"):
                    withdrawn.add(row["event_id"])
                else:
                    at = _ns(row["ts"])
                    events.append(
                        Event(
                            row["event_id"],
                            at,
                            row["kind"],
                            row.get("subject_id"),
                            row.get("place"),
                            row.get("attrs", {}),
                            at,
                            "counterfactual",
                        )
                    )
        return cls(readings, sorted(events, key=lambda e: (e.arrival_ns, e.event_id)), withdrawn)

    def resolve(self, directory: Directory) -> None:
        """Look the meters up."""
        import pyarrow as pa

        meters = directory.meters.lookup(pa.array([r[0] for r in self.readings], pa.string()))
        self._values = {
            (int(m), r[1]): r[2] for m, r in zip(meters.tolist(), self.readings, strict=True)
        }
        self._times = np.unique(np.array([r[1] for r in self.readings], np.int64))
        self._left = sorted(self._values, key=lambda key: (key[1], key[0]))

    def replaced(self, block: ReadingBlock) -> ReadingBlock:
        """Return the block with the readings replaced that the patch names."""
        if not len(self._times):
            return block
        at = np.searchsorted(self._times, block.ts_ns)
        at[at == len(self._times)] = 0
        near = np.flatnonzero(self._times[at] == block.ts_ns)
        value = block.value.copy()
        for i in near.tolist():
            key = (int(block.meter[i]), int(block.ts_ns[i]))
            if key in self._values:
                value[i] = self._values[key]
                if key in self._left:
                    self._left.remove(key)
        return replace(block, value=value)

    def filled(self, block: ReadingBlock) -> ReadingBlock:
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


class _Memory:
    """A source in memory."""

    name = "memory"
    problem: InputError | None = None

    def __init__(self, records: Iterator[LogRecord]) -> None:
        self._records = records

    def next_record(self) -> LogRecord | None:
        """Return the next record."""
        return next(self._records, None)

    def state(self, used: int) -> dict[str, Any]:
        """Return nothing: this run is never resumed."""
        return {"used": used}

    def progress(self) -> tuple[int, int | None]:
        """Return that nothing is left to read."""
        return 1, 1

    def close(self) -> None:
        """Nothing to close."""


class _Events(_Memory):
    name = "counterfactual events"

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__(iter(events))


class _Patched:
    """A source whose readings are replaced, and whose events may be withdrawn.

    The first source also takes the readings that are added.
    """

    def __init__(self, source: Source, patch: _Patch, *, fills: bool) -> None:
        self.name = source.name
        self._source = source
        self._patch = patch
        self._fills = fills

    @property
    def problem(self) -> InputError | None:
        """What kept the end of the source from being read."""
        return self._source.problem

    def next_record(self) -> LogRecord | None:
        """Return the next record, changed as the counterfactuals say."""
        while (record := self._source.next_record()) is not None:
            if isinstance(record, ReadingBlock):
                block = self._patch.replaced(record)
                return self._patch.filled(block) if self._fills else block
            if not (isinstance(record, Event) and record.event_id in self._patch.withdrawn):
                return record
        return None

    def state(self, used: int) -> dict[str, Any]:
        """Return the source's state."""
        return self._source.state(used)

    def progress(self) -> tuple[int, int | None]:
        """Return the source's progress."""
        return self._source.progress()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * NS + moment.microsecond * 1000


__all__ = ["AuditError", "AuditResult", "Finding", "audit"]
