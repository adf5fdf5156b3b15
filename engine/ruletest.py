"""Tests of rules through the real engine: cases of readings and events, in memory, without files.

The same :class:`engine.shard.ShardRunner` and :class:`engine.host.Host` that replay and run use,
over a registry made from the case. Cases of signals need no engine (:mod:`rules.rehearsal`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.records import Event, LogRecord, ReadingBlock, Tick
from connectors.table_file import TableFile
from connectors.tables import METERS, SUBJECTS, meters_of, subjects_of
from engine import library
from engine.config import Config
from engine.host import Host
from engine.places import PlaceLayout
from engine.registry import Registry
from engine.shard import ShardRunner
from rules import rehearsal, unittest
from rules.alerts import AlertChange
from rules.calendar import Calendars
from rules.cases import Case
from rules.model import RuleSet, rule_set

PLACE = "place"
"""Kind of a case's subjects that are no subjects but places, named in `expect`."""
_TESTS = re.compile(r"^tests\s*:", re.MULTILINE)
"""What a file of tests has and one of rules has not."""


class Runner:
    """Runs cases of one set of rules.

    Parameters
    ----------
    rules : RuleSet
    config : Config, optional
    """

    def __init__(self, rules: RuleSet, config: Config | None = None) -> None:
        self.rules = rules
        self.config = config or Config()
        self.calendars: Calendars = library.calendars(self.config.calendars)

    def run(self, case: Case) -> list[AlertChange]:
        """Return every line that a case makes.

        Raises
        ------
        LibraryError
            If the case names a rule that is not there, or a budget that cannot be set.
        """
        missing = sorted(set(case.rules) - {rule.name for rule in self.rules})
        if missing:
            folder = Path(case.file).parent
            beside = "" if folder.name == "tests" else (
                f"; if its rules lie beside it, move it to {folder / 'tests'}"
            )  # fmt: skip
            raise library.LibraryError(
                f'{case.file}:{case.line}: "{case.name}" tests {missing[0]}, which is none of the '
                f"rules; give their folder with --rules{beside}"
            )
        if not case.whole:
            return rehearsal.run(case, self.rules)
        rules = rule_set([rule for rule in self.rules if rule.name in case.rules])
        rules = library.with_budgets(rules, case.budgets)
        registry = registry_of(case)
        lines: list[AlertChange] = []
        shard = ShardRunner(registry, rules, self.config, self.calendars, zone=case.zone)
        host = Host([shard], on_lines=lines.extend, refuse=_Refused(case))
        for record in records(case, registry):
            host.feed(record)
        host.finish()
        return lines


class _Refused:
    """A row that the engine refuses is a mistake in the test, not a silence."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        row = int(np.flatnonzero(fault)[0]) if fault.any() else 0
        raise self._error(f"a reading of {block.source} (value {block.value[row]:g})", "refused")

    def event(self, event: Event) -> None:
        raise self._error(f"the event of kind {event.kind}", event.detail or event.fault.name)

    def _error(self, what: str, why: str) -> library.LibraryError:
        case = self.case
        return library.LibraryError(f'{case.file}:{case.line}: "{case.name}": {what}: {why}')


def registry_of(case: Case) -> Registry:
    """Return the registry of a case's subjects and meters."""
    meters = [
        {
            "meter_id": m.meter_id,
            "subject_id": m.subject_id,
            "utility": m.utility,
            "kind": m.kind,
            "unit": m.unit,
            "interval_s": str(m.interval_s),
            "multiplier": str(m.multiplier),
            "stamp": m.stamp,
        }
        for m in case.meters
    ]
    subjects = [
        {
            "subject_id": s.subject_id,
            "kind": s.kind,
            "place": s.place,
            "timezone": case.zone,
            "attrs": json.dumps(s.attrs, ensure_ascii=False),
        }
        for s in case.subjects
        if s.kind != PLACE
    ]
    name = f'{case.file}:{case.line} "{case.name}"'
    return Registry(
        meters_of(TableFile.of(name, meters, METERS)),
        subjects_of(TableFile.of(name, subjects, SUBJECTS)),
        PlaceLayout(),
    )


def records(case: Case, registry: Registry) -> Iterator[LogRecord]:
    """Yield the log of a case: readings and events by arrival, and time until its end."""
    columns = case.columns()
    arrival = columns["arrival_ns"]
    n = len(arrival)
    meter = pc.index_in(pa.array(columns["meter_id"], pa.string()), registry.meters.meter_id)
    block = ReadingBlock(
        case.name,
        np.arange(1, n + 1),
        meter.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32),
        columns["ts_ns"],
        columns["value"],
        arrival,
        np.zeros(n, np.uint8),
    )
    start = 0
    for event in case.events:
        stop = int(np.searchsorted(arrival, event.arrival_ns, side="right"))
        if stop > start:
            yield block.slice(start, stop)
        start = max(start, stop)
        yield Event(
            event_id=event.event_id,
            ts_ns=event.at_ns,
            kind=event.kind,
            subject_id=event.subject_id,
            place=event.place,
            attrs=event.attrs,
            arrival_ns=event.arrival_ns,
            source=case.name,
        )
    if start < n:
        yield block.slice(start, n)
    last_ns = max([case.start_ns, *arrival[-1:].tolist(), *(e.arrival_ns for e in case.events)])
    yield Tick(max(case.until_ns, last_ns))


def case_files(paths: Sequence[Path]) -> dict[str, str]:
    """Return file name → text of test files; a folder stands for the YAML files in it.

    No paths: the tests of the shipped library.

    Raises
    ------
    LibraryError
        If a file cannot be read, or a folder holds no tests.
    """
    if not paths:
        return library.shipped("library/tests")
    found: dict[str, str] = {}
    for path in paths:
        inner = path / "tests"
        here = library.rule_files(inner if inner.is_dir() else path)
        if path.is_dir() and not any(_TESTS.search(text) for text in here.values()):
            raise library.LibraryError(
                f"{path}: holds no tests; tests of a folder of rules lie in {inner}, "
                "as YAML files with rules: and tests:"
            )
        found |= here
    return found


def rehearse(rules: RuleSet) -> dict[str, Any]:
    """Run the shipped tests of these rules that need no meters; return what :func:`told` says.

    They take milliseconds: a proposal made on a page need not wait for weeks of readings.
    """
    cases = [
        case
        for case in unittest.parse(case_files(()))
        if not case.meters and set(case.rules) <= rules.names
    ]
    runner = Runner(rules)
    return told(cases, [unittest.compare(case, runner.run(case)) for case in cases], rules)


def told(
    cases: Sequence[Case], results: Sequence[unittest.Result], rules: RuleSet
) -> dict[str, Any]:
    """Return what a version keeps of its tests: counts, and `untested`, its rules without one."""
    tested = {name for case in cases for name in case.rules}
    return {**counts(results), "untested": sorted(rules.names - tested)}


def rules_beside(paths: Sequence[Path]) -> Path | None:
    """Return the rules that test files are about, by their place; None: the shipped ones.

    Tests of a folder of rules lie in ``tests`` within it; given that folder itself, its rules are
    meant.
    """
    for path in paths:
        folder = path if path.is_dir() else path.parent
        if (folder / "tests").is_dir():
            return folder
        if folder.resolve().name == "tests" and any(folder.resolve().parent.glob("*.y*ml")):
            return folder.resolve().parent
    return None


def counts(results: Sequence[unittest.Result]) -> Mapping[str, int]:
    """Return how many tests there were, passed and failed."""
    failed = sum(not result.passed for result in results)
    return {"tests": len(results), "passed": len(results) - failed, "failed": failed}


__all__ = [
    "Runner",
    "case_files",
    "counts",
    "records",
    "registry_of",
    "rehearse",
    "rules_beside",
    "told",
]
