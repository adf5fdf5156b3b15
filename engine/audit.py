"""Audit: every alert's provenance and counterfactual proven by replay; counts reconciled.

Three things are proven of an alerts file, from the manifest beside it:

1. the inputs are those it was made from, and the same replay gives the same bytes;
2. the counts add up;
3. applying an alert's counterfactual (a reading replaced or added, an event added) and replaying
   keeps that alert from being raised.

All three in one replay: just before a counterfactual would make itself felt, a copy of the program
branches off and goes on with it for some hours (engine/branches.py). So auditing a year of alerts
costs little more than replaying the year. Prices are those that the replay itself publishes: the
question is what *this* alert would have needed, not what a different fleet would have paid.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.merge import Log
from connectors.records import Event, PriceRecord, ReadingBlock
from engine import library
from engine.branches import Branch, Question, ns, questions
from engine.config import Config
from engine.host import Host
from engine.inputs import directory_of, load_registry, open_source
from engine.replay import Replay, ReplayOptions, ReplayResult, manifest_path
from engine.shard import ShardRunner
from engine.store import Store
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
        Told (branches done, branches in all).

    Raises
    ------
    AuditError
        If the file or its manifest cannot be used.
    """
    manifest = _manifest(path)
    lines = _lines(path)
    options, config = options_of(manifest)
    result = AuditResult(alerts=len({line.alert_id for line in lines}))
    cases = _chosen([line for line in lines if line.seq == 1], sample, result)
    withdrawn = _arrivals(options, config, cases)
    asked = questions(cases, lambda case: _begins(case, withdrawn))
    base = _Run(options, config, asked, on_pass)
    _compare(path, manifest, base, base.run(), result)
    for question in asked:
        for case in question.cases:
            if case.alert_id in question.raised:
                problem = "is raised although its counterfactual was applied"
                result.findings.append(Finding(case.alert_id, problem))
            else:
                result.proven += 1
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


def options_of(manifest: Mapping[str, Any]) -> tuple[ReplayOptions, Config]:
    """Return the options and the configuration that a manifest tells of."""
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
    """A replay in memory that follows questions in branches."""

    def __init__(
        self,
        options: ReplayOptions,
        config: Config,
        asked: Sequence[Question] = (),
        on_pass: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(options, config, keep=True)
        # Branches begin and end with a block, so blocks are about as long as a slot.
        rows = max(256, len(self.registry.meters))
        self.options = replace(self.options, block_rows=rows)
        self._asked = deque(asked)
        self._total = len(asked)
        self._on_pass = on_pass

    def _loop(self, log: Log, host: Host, store: Store | None) -> bool:  # noqa: ARG002
        directory = directory_of(self.registry)
        prices: dict[tuple[str, int], PriceRecord] = {}
        known = 0
        branches: list[Branch] = []
        for record in log:
            if self._stopping:
                raise KeyboardInterrupt
            last_ns = record.arrival_ns
            last_ns = int(last_ns[-1]) if isinstance(last_ns, np.ndarray) else last_ns
            while self._asked and self._asked[0].start_ns <= last_ns:
                question = self._asked.popleft()
                branches.append(Branch(question, host, self._fresh, prices, directory))
            host.feed(record)
            prices |= {(p.rule, p.day): p for p in host.published[known:]}
            known = len(host.published)
            going = [branch for branch in branches if branch.feed(record)]
            if self._on_pass is not None and len(going) < len(branches):
                self._on_pass(self._total - len(self._asked) - len(going), self._total)
            branches = going
        for branch in branches:
            branch.finish()
        if self._on_pass is not None:
            self._on_pass(self._total, self._total)
        return True

    def _fresh(self, take: Callable[[Sequence[AlertChange]], None]) -> Host:
        shard = ShardRunner(
            self.registry, self.rules, self.config, library.calendars(self.config.calendars)
        )
        return Host([shard], on_lines=take, refuse=_Nowhere())


class _Nowhere:
    """Takes quarantined rows and forgets them: the base has counted them."""

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        """Take the rows of a block that have a fault."""

    def event(self, event: Event) -> None:
        """Take an event that has a fault."""


def _compare(
    path: Path,
    manifest: Mapping[str, Any],
    base: _Run,
    replayed: ReplayResult,
    result: AuditResult,
) -> None:
    """Check inputs, bytes and counts."""
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
    again = b"".join(line.line() + b"\n" for line in replayed.alerts)
    result.identical = again == path.read_bytes()
    if not result.identical:
        digest = hashlib.sha256(again).hexdigest()[:12]
        result.findings.append(
            Finding(None, f"replaying gives other bytes ({len(again)} of them, sha256 {digest}…)")
        )
    result.reconciled = replayed.reconciled
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


def _begins(case: AlertChange, withdrawn: Mapping[str, int]) -> int:
    """Return when an alert's counterfactual first makes itself felt."""
    return min(
        withdrawn.get(row.get("event_id"), 0) if row.get("withdrawn") else ns(row["ts"])
        for row in case.facts["counterfactual"]
    )


def _arrivals(
    options: ReplayOptions, config: Config, cases: Sequence[AlertChange]
) -> dict[str, int]:
    """Return when the events arrived that counterfactuals withdraw."""
    wanted = {
        row["event_id"]
        for case in cases
        for row in case.facts["counterfactual"]
        if row.get("withdrawn")
    }
    found: dict[str, int] = {}
    if not wanted:
        return found
    directory = directory_of(load_registry(options.meters, options.subjects, config))
    for file in options.events:
        source = open_source(file, directory, config, events=True)
        while (record := source.next_record()) is not None:
            if isinstance(record, Event) and record.event_id in wanted:
                found[record.event_id] = record.arrival_ns
        source.close()
    return found


__all__ = ["AuditError", "AuditResult", "Finding", "audit"]
