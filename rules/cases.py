"""Cases of rule tests: read from YAML, expanded to readings or signals."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import yaml

from rules import document, series
from rules.casegrammar import TEST_FILE
from rules.document import Spot, spot_of
from rules.problems import Problem, RuleErrors, shown
from rules.shapes import BAD, DURATION, Read, Reader

NS = 1_000_000_000
_UNITS = {"electricity": "kWh", "water": "l", "gas": "m3"}
"""Units of amounts; what else is measured has the unit that the test gives, or none."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter of a case, as in the meters file."""

    meter_id: str
    subject_id: str
    utility: str
    kind: str
    unit: str
    interval_s: int
    stamp: str
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a case, as in the subjects file."""

    subject_id: str
    kind: str
    place: str
    attrs: Mapping[str, Any]


class CaseEvent(NamedTuple):
    """An event of a case; outcomes are events of kind ``outcome``."""

    event_id: str
    at_ns: int
    kind: str
    subject_id: str | None
    place: str | None
    attrs: Mapping[str, Any]
    arrival_ns: int


class LateReading(NamedTuple):
    """A reading that comes long after its time."""

    meter_id: str
    ts_ns: int
    value: float
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class SignalSeries:
    """What one signal says at the end of each slot, by field; facts by name."""

    fields: Mapping[str, Sequence[float]]
    facts: Mapping[str, Sequence[float]]
    utilities: tuple[str, ...]


class Wanted(NamedTuple):
    """One expected change: between `first_ns` and `last_ns`, with these words in its sentence."""

    state: str
    level: str | None
    first_ns: int
    last_ns: int
    zh: tuple[str, ...]
    en: tuple[str, ...]


class Expected(NamedTuple):
    """One expected alert: a rule, a subject (or place), and its changes in order.

    With ``more`` the changes that follow are left open.
    """

    rule: str
    subject: str
    changes: tuple[Wanted, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes
    ----------
    rules : tuple of str
        Rules that run; all others are left out.
    start_ns, from_ns, until_ns : int
        Beginning of the series; alerts raised before `from_ns` are not compared; until when time
        goes on without data.
    signals : mapping
        Local name → series; empty for a case of readings.
    contexts, alerts : mapping
        For a case of signals: name → 0 or 1 in each slot.
    spots : mapping
        Line and column of what the case names of rules: ``("signals", name)``,
        ``("signals", name, fact)``, ``("subjects", id)``, ``("alerts", name)``.
    """

    name: str
    file: str
    line: int
    rules: tuple[str, ...]
    zone: str
    start_ns: int
    from_ns: int
    until_ns: int
    interval_s: int
    subjects: tuple[Subject, ...]
    meters: tuple[Meter, ...] = ()
    readings: Mapping[str, Sequence[float]] = field(default_factory=dict)
    signals: Mapping[str, SignalSeries] = field(default_factory=dict)
    contexts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    alerts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    events: tuple[CaseEvent, ...] = ()
    late: tuple[LateReading, ...] = ()
    budgets: Mapping[str, float] = field(default_factory=dict)
    expect: tuple[Expected, ...] = ()
    spots: Mapping[tuple[str, ...], Spot] = field(default_factory=dict, compare=False)

    @property
    def whole(self) -> bool:
        """Whether it runs through the whole engine, and not through the rule alone."""
        return not self.signals

    def columns(self) -> dict[str, Any]:
        """Return the readings as columns, by time and meter.

        Returns
        -------
        dict
            ``meter_id`` (list of str), ``ts_ns`` (int64), ``value`` (float64): an interval
            meter's amounts, or a register's levels, which begin at 0 when the series begins;
            ``arrival_ns`` (int64): the stamp, but for late readings. Rows are in the order of
            arrival. A missing value has no row (and adds nothing to a register).
        """
        rows: list[tuple[int, str, float, int]] = [
            (late.arrival_ns, late.meter_id, late.value, late.ts_ns) for late in self.late
        ]
        for meter in self.meters:
            amounts = np.asarray(self.readings[meter.meter_id], np.float64)
            step = meter.interval_s * NS
            shift = 1 if meter.stamp == "end" or meter.kind == "register" else 0
            at = self.start_ns + (np.arange(len(amounts)) + shift) * step
            there = ~np.isnan(amounts)
            values = amounts
            if meter.kind == "register":
                rows.append((self.start_ns, meter.meter_id, 0.0, self.start_ns))
                values = np.cumsum(np.where(there, amounts, 0.0))
            rows += [
                (t, meter.meter_id, v, t)
                for t, v in zip(at[there].tolist(), values[there].tolist(), strict=True)
            ]
        rows.sort()
        return {
            "meter_id": [row[1] for row in rows],
            "ts_ns": np.array([row[3] for row in rows], np.int64),
            "value": np.array([row[2] for row in rows], np.float64),
            "arrival_ns": np.array([row[0] for row in rows], np.int64),
        }


def parse(files: Mapping[str, str]) -> list[Case]:
    """Return the cases of test files (name → YAML text), in order.

    Raises
    ------
    RuleErrors
        With every problem of every file.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    for file in sorted(files):
        reader = Reader(file, files[file], "test")
        try:
            root = document.read(file, files[file])
        except document.DocumentError as error:
            problems.append(error.problem)
            continue
        record = BAD if root is None else TEST_FILE.read(reader, root)
        if isinstance(record, Read):
            patterns = {k: v for k, v in (record["patterns"] or {}).items() if v is not BAD}
            tests = () if reader.problems else record["tests"]
            cases += [_CaseReader(reader, record, test, patterns).case() for test in tests]
        problems += reader.problems
    if problems:
        raise RuleErrors(problems)
    return cases


class _CaseReader:
    """Reads one case; reports what does not fit, and goes on with what can stand for it."""

    def __init__(self, reader: Reader, file: Read, test: Read, patterns: Mapping[str, str]) -> None:
        self.reader = reader
        self.test = test
        self.patterns = patterns
        reader.rule = test["name"]
        self.rules = test["rules"] or file["rules"]
        self.zone = test["zone"] or file["zone"]
        try:
            self.tz = ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            reader.report(test.at("zone"), "unknown time zone", got=shown(self.zone))
            self.tz = ZoneInfo("UTC")
        self.spots: dict[tuple[str, ...], Spot] = {}
        self.start_ns = 0
        self.start_ns = self.moment(test["start"] or file["start"], test.at("start"))
        self.default_interval_s = test["interval"] or file["interval"]
        self.subjects = self._subjects(test["subjects"] or file["subjects"])

    def case(self) -> Case:
        test, start = self.test, self.start_ns
        meters = self._meters()
        readings = {
            m.meter_id: self.numbers(test["meters"][m.meter_id], "values", m.meter_id)
            for m in meters
        }
        signals = {
            name: self._signal(name, entry) for name, entry in (test["signals"] or {}).items()
        }
        if meters and signals:
            self.reader.report(
                test.node, "meters and signals in one test", wanted="one of them, or events alone"
            )
        if not (meters or signals or test["events"]):
            self.reader.report(
                test.node, "the test gives nothing", wanted="meters, signals, events"
            )
        lengths = [len(v) * m.interval_s for m, v in zip(meters, readings.values(), strict=True)]
        lengths += [
            len(v) * self.default_interval_s for s in signals.values() for v in s.fields.values()
        ]
        end = start + max(lengths, default=0) * NS
        events = self._events()
        end = max([end, *(event.arrival_ns for event in events)])
        return Case(
            name=test["name"],
            file=self.reader.file,
            line=test.node.start_mark.line + 1,
            rules=self.rules,
            zone=self.zone,
            start_ns=start,
            from_ns=self.moment(test["from"], test.at("from")) if test["from"] else start,
            until_ns=self.moment(test["until"], test.at("until")) if test["until"] else end,
            interval_s=self.default_interval_s,
            subjects=self.subjects,
            meters=meters,
            readings=readings,
            signals=signals,
            contexts=self._table("context"),
            alerts=self._table("alerts"),
            events=events,
            late=self._late(meters),
            budgets=dict(test["budgets"] or {}),
            expect=tuple(self._expected(entry) for entry in test["expect"]),
            spots=self.spots,
        )

    def moment(self, text: str, node: yaml.Node) -> int:
        """Return a time: a duration since the start, or local ISO time."""
        match = re.fullmatch(DURATION, text, re.ASCII)
        if match is not None:
            units = (86_400, 3_600, 60, 1)
            return self.start_ns + NS * sum(
                int(n) * unit for n, unit in zip(match.groups("0"), units, strict=True)
            )
        try:
            local = dt.datetime.fromisoformat(text)
        except ValueError:
            self.reader.report(
                node,
                "not a time",
                got=shown(text),
                wanted="2d6h after the start, or 2026-03-02T06:00",
            )
            return 0
        at = local if local.tzinfo else local.replace(tzinfo=self.tz)
        return int(at.timestamp()) * NS

    def numbers(self, record: Read, key: str, seed: str) -> list[float]:
        """Return a series' values."""
        try:
            return series.expand(record[key], self.patterns, f"{self.test['name']}\x1f{seed}")
        except series.SeriesError as error:
            self.reader.report(
                record.at(key),
                f"not a series: {error}",
                offset=error.offset,
                wanted="0.3x48 0x20 _x3",
            )
            return []

    def _subjects(self, table: Any) -> tuple[Subject, ...]:
        for name, entry in (table or {}).items():
            self.spots["subjects", name] = spot_of(entry.at("kind").start_mark)
        return tuple(
            Subject(name, entry["kind"], entry["place"], entry["attrs"] or {})
            for name, entry in (table or {}).items()
        )

    def _meters(self) -> tuple[Meter, ...]:
        found = []
        for name, entry in (self.test["meters"] or {}).items():
            owner = entry["subject"] or (self.subjects[0].subject_id if self.subjects else "")
            if owner not in {s.subject_id for s in self.subjects}:
                self.reader.report(
                    entry.at("subject"), f'meter "{name}" has no subject', got=shown(owner)
                )
            unit = entry["unit"] or _UNITS.get(entry["utility"], "1")
            interval_s = entry["interval"] or self.default_interval_s
            found.append(
                Meter(
                    name, owner, entry["utility"], entry["kind"], unit, interval_s, entry["stamp"]
                )
            )
        return tuple(found)

    def _signal(self, name: str, entry: Read) -> SignalSeries:
        fields = {
            key: self.numbers(entry, key, f"{name}.{key}")
            for key in ("due", "urgency", "evidence", "p_value", "onset")
            if entry[key] is not None
        }
        facts = entry["facts"] or Read(entry.node)
        self.spots["signals", name] = spot_of(self.test["signals"].keys_at[name].start_mark)
        for fact in facts:
            self.spots["signals", name, fact] = spot_of(facts.keys_at[fact].start_mark)
        return SignalSeries(
            fields,
            {fact: self.numbers(facts, fact, f"{name}.{fact}") for fact in facts},
            entry["utilities"],
        )

    def _table(self, key: str) -> dict[str, list[float]]:
        table = self.test[key] or Read(self.test.node)
        self.spots |= {
            (key, name): spot_of(node.start_mark) for name, node in table.keys_at.items()
        }
        return {name: self.numbers(table, name, name) for name in table}

    def _events(self) -> tuple[CaseEvent, ...]:
        only = self.subjects[0].subject_id if len(self.subjects) == 1 else None
        found = []
        for i, entry in enumerate(self.test["events"] or (), 1):
            at_ns = arrival_ns = self.moment(entry["at"], entry.at("at"))
            if entry["arrives"]:
                arrival_ns = max(at_ns, self.moment(entry["arrives"], entry.at("arrives")))
            event = CaseEvent(
                f"event-{i:04}",
                at_ns,
                entry["kind"],
                entry["subject"] or (None if entry["place"] else only),
                entry["place"],
                entry["attrs"] or {},
                arrival_ns,
            )
            found.append(event)
        return tuple(sorted(found, key=lambda event: (event.arrival_ns, event.event_id)))

    def _late(self, meters: Sequence[Meter]) -> tuple[LateReading, ...]:
        known = [meter.meter_id for meter in meters]
        found = []
        for entry in self.test["late"] or ():
            meter = entry["meter"] or (known[0] if known else "")
            if meter not in known:
                self.reader.report(entry.at("meter"), "no meter of this test", got=shown(meter))
            at_ns = self.moment(entry["at"], entry.at("at"))
            arrival_ns = self.moment(entry["arrives"], entry.at("arrives"))
            found.append(LateReading(meter, at_ns, entry["value"], max(at_ns, arrival_ns)))
        return tuple(found)

    def _expected(self, entry: Read) -> Expected:
        rule = entry["rule"] or self.rules[0]
        subject = entry["subject"] or (self.subjects[0].subject_id if self.subjects else "")
        if rule not in self.rules:
            self.reader.report(entry.at("rule"), f'rule "{rule}" does not run in this test')
        # An alert about a place is named by the place.
        places = {s.subject_id: s.place for s in self.subjects if s.kind == "place"}
        changes = tuple(self._wanted(change) for change in entry["changes"])
        return Expected(rule, places.get(subject, subject), changes, entry["more"])

    def _wanted(self, change: Read) -> Wanted:
        first, _, last = change["at"].partition("..")
        node = change.at("at")
        start = self.moment(first, node)
        return Wanted(
            change["state"],
            change["level"],
            start,
            self.moment(last, node) if last else start,
            change["zh"],
            change["en"],
        )
