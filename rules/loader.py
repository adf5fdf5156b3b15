"""YAML files → rules, or all that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import yaml

from detectors.base import Detector, DetectorError, lookup, names
from rules import document
from rules.build import DetectorFacts, KnownDetectors, build
from rules.grammar import FILE, RULE
from rules.lint import lint
from rules.model import Rule, RuleSet, rule_set
from rules.problems import Problem, RuleErrors, listing, suggest
from rules.shapes import BAD, Read, Reader

__all__ = ["DetectorFacts", "load", "registered"]


def load(
    files: Mapping[str, str], known_detectors: Mapping[str, DetectorFacts] | None = None
) -> RuleSet:
    """Return the rules of some files.

    Parameters
    ----------
    files : mapping of str to str
        File name (as messages shall name it) → YAML text. A file holds one rule, or several
        under ``rules:``.
    known_detectors : mapping of str to DetectorFacts, optional
        The detectors there are; default: all that are registered.

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
    rules: list[Rule] = []
    problems: list[Problem] = []
    warnings: list[Problem] = []
    nodes: dict[str, yaml.Node] = {}
    for file in sorted(files):
        reader = Reader(file, files[file])
        try:
            root = document.read(file, files[file])
        except document.DocumentError as error:
            problems.append(error.problem)
            continue
        for record in _records(reader, root):
            rule = build(reader, record, known)
            name = record["name"]
            if name is not BAD:
                if name in nodes:
                    reader.report(record.at("name"), f'a second rule is named "{name}"')
                nodes.setdefault(name, record.node)
            if rule is not None:
                rules.append(rule)
        problems += reader.problems
        warnings += reader.warnings
    problems += _strangers(rules, set(nodes))
    if problems:
        raise RuleErrors(problems)
    warnings += lint(rules)
    return rule_set(rules, tuple(map(str, sorted(warnings))))


@cache
def registered(name: str) -> DetectorFacts | str:
    """Return what the detectors' registry says of a detector."""
    try:
        cls = lookup(name)
    except DetectorError:
        return _unknown(name, names())
    return DetectorFacts(tuple(cls.defaults), _facts(cls), cls.grain)


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
    return "; ".join(filter(None, [*parts, suggest(name, known)]))


def _records(reader: Reader, root: yaml.Node | None) -> list[Read]:
    """Return the rules of a file as records."""
    if root is None:
        reader.warnings.append(Problem(reader.file, 1, 1, "the file is empty"))
        return []
    several = isinstance(root, yaml.MappingNode) and any(
        isinstance(key, yaml.ScalarNode) and key.value == "rules" for key, _ in root.value
    )
    if several:
        whole = FILE.read(reader, root)
        return [r for r in whole["rules"] or () if isinstance(r, Read)]
    reader.rule = _name_of(root)
    record = RULE.read(reader, root)
    return [record] if isinstance(record, Read) else []


def _name_of(root: yaml.Node) -> str:
    """Return the name of the only rule, so that also its first problems can name it."""
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if isinstance(value, yaml.ScalarNode) and getattr(key, "value", None) == "name":
                return str(value.value)[:64]
    return ""


def _strangers(rules: list[Rule], names: set[str]) -> list[Problem]:
    """Return references to rules that no file has."""
    found: list[Problem] = []
    for rule in rules:
        for other in (*rule.inhibits, *(u.alert for u in rule.unless if u.alert)):
            if other == rule.name or other not in names:
                message = f'unknown rule "{other}"' if other != rule.name else "it names itself"
                found.append(
                    Problem(
                        rule.file,
                        rule.line,
                        1,
                        message,
                        rule.name,
                        wanted=f"one of {listing(names - {rule.name}, 30)}",
                        hint=suggest(other, names - {rule.name}),
                    )
                )
    return found
