"""YAML files → rules, or all that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np
import yaml

from detectors.base import BROKEN, Detector, DetectorError, lookup, names
from rules import document
from rules.build import DetectorFacts, KnownDetectors, build
from rules.grammar import FILE, RULE
from rules.lint import Path, Population, lint
from rules.model import RuleSet, rule_set
from rules.problems import Problem, RuleErrors, listing, suggest
from rules.shapes import BAD, Read, Reader

__all__ = ["DetectorFacts", "load", "registered"]


def load(
    files: Mapping[str, str],
    known_detectors: Mapping[str, DetectorFacts] | None = None,
    population: Population | None = None,
) -> RuleSet:
    """Return the rules of some files.

    Parameters
    ----------
    files : mapping of str to str
        File name (as messages shall name it) → YAML text. A file holds one rule, or several
        under ``rules:``.
    known_detectors : mapping of str to DetectorFacts, optional
        The detectors there are; default: all that are registered.
    population : Population, optional
        Whom there is to watch and to send: rules that reach nobody of them are warned of.

    Returns
    -------
    RuleSet
        Sorted by name; ``warnings`` has what is legal but suspicious.

    Raises
    ------
    RuleErrors
        With every problem of every file.
    """
    known = registered if known_detectors is None else _lookup_in(known_detectors)
    readers: list[Reader] = []
    found: list[_Found] = []
    for file in sorted(files):
        reader = Reader(file, files[file])
        readers.append(reader)
        found += [_Found(reader, record, known) for record in _records(reader)]
    _compare(found)
    problems = [problem for reader in readers for problem in reader.problems]
    if problems:
        raise RuleErrors(problems)
    built = [(one, one.rule) for one in found if one.rule is not None]
    rules = [rule for _, rule in built]
    for (one, rule), suspicions in zip(built, lint(rules, population), strict=True):
        one.reader.rule = rule.name
        for s in suspicions:
            node = _node_at(one.record, s.path)
            offset = s.offset if isinstance(node, yaml.ScalarNode) else None
            one.reader.report(
                node, s.message, hint=s.hint, wanted=s.wanted, offset=offset, warn=True
            )
    warnings = [warning for reader in readers for warning in reader.warnings]
    return rule_set(rules, tuple(sorted(warnings)))


def _node_at(record: Read, path: Path) -> yaml.Node:
    """Return the node of a part of a rule; of the whole where it is written in short."""
    node: yaml.Node = record.node
    part: Any = record
    for step in path:
        if isinstance(part, Read) and isinstance(step, str):
            node = part.at(step)
            part = part.get(step)
        elif isinstance(part, tuple) and isinstance(step, int) and step < len(part):
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            node, part = items[step], part[step]
    return node


class _Found:
    """A rule as read and, if nothing is wrong with it, as built."""

    def __init__(self, reader: Reader, record: Read, known: KnownDetectors) -> None:
        self.reader = reader
        self.record = record
        self.name = str(record["name"]) if record["name"] is not BAD else ""
        reader.rule = self.name
        self.rule = build(reader, record, known)

    def others(self) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the rules that this one names, and where."""
        for name in self.record["inhibits"] or ():
            yield name, self.record.at("inhibits")
        for entry in self.record["unless"] or ():
            if entry["alert"]:
                yield entry["alert"], entry.at("alert")


def _compare(found: list[_Found]) -> None:
    """Report names that two rules have, and names that no rule has."""
    names: dict[str, _Found] = {}
    for one in found:
        one.reader.rule = one.name
        if one.name and (first := names.setdefault(one.name, one)) is not one:
            line = first.record.at("name").start_mark.line + 1
            one.reader.report(
                one.record.at("name"),
                f'a second rule is named "{one.name}"',
                hint=f"the first is {first.reader.file}:{line}",
            )
    for one in found:
        one.reader.rule = one.name
        for other, node in one.others():
            if other == one.name:
                one.reader.report(node, "the rule names itself", got=f'"{other}"')
            elif other not in names:
                known = set(names) - {one.name}
                one.reader.report(
                    node,
                    f'unknown rule "{other}"',
                    wanted=f"one of {listing(known, 30)}" if known else "",
                    hint=suggest(other, known),
                )


@cache
def registered(name: str) -> DetectorFacts | str:
    """Return what the detectors' registry says of a detector."""
    try:
        cls = lookup(name)
    except DetectorError:
        return _unknown(name, names())
    counts = len(cls.channels) == 1 and cls.channels[0].utility == "*"
    return DetectorFacts(tuple(cls.defaults), _facts(cls), cls.grain, counts)


def _facts(cls: type[Detector]) -> tuple[str, ...]:
    """Return the names of a detector's facts: those it explains one row with."""
    interval_s = cls.slot_s or max(cls.interval_s_allowed[0], min(3600, cls.interval_s_allowed[1]))
    return tuple(cls(1, interval_s=interval_s).explain(np.zeros(1, np.int64)))


def _lookup_in(known: Mapping[str, DetectorFacts]) -> KnownDetectors:
    def find(name: str) -> DetectorFacts | str:
        return known[name] if name in known else _unknown(name, known)

    return find


def _unknown(name: str, known: Mapping[str, DetectorFacts] | list[str]) -> str:
    parts = [f'unknown detector "{name}"', f"wanted one of {listing(known, 30)}"]
    broken = [f"not loaded: {why}" for why in BROKEN.values()]
    return "; ".join(filter(None, [*parts, suggest(name, known), *broken]))


def _records(reader: Reader) -> list[Read]:
    """Return the rules of a file as records."""
    try:
        root = document.read(reader.file, reader.source)
    except document.DocumentError as error:
        reader.problems.append(error.problem)
        return []
    if root is None:
        reader.warnings.append(Problem(reader.file, 1, 1, "the file is empty", warning=True))
        return []
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    keys = {key.value: key for key, _ in pairs if isinstance(key, yaml.ScalarNode)}
    if "tests" in keys:
        folder = PurePath(reader.file).parent / "tests"
        reader.report(
            keys["tests"], "this looks like a file of tests, not of rules",
            hint=f"move it to {folder}",
        )  # fmt: skip
        return []
    if "rules" in keys:
        whole = FILE.read(reader, root)
        return [r for r in whole["rules"] or () if isinstance(r, Read)]
    record = RULE.read(reader, root)
    return [record] if isinstance(record, Read) else []
