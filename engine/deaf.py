"""Rules that hear nobody: no subject of their kinds, or none with a meter that their detectors take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.base import Detector, lookup
from engine.language import pick
from engine.registry import ClassKey, Registry
from rules.model import Rule, RuleSet, SignalUse


def deaf(rules: RuleSet, registry: Registry, *, asked: bool) -> list[str]:
    """Return a line for each rule that hears none of its subjects, saying why.

    Parameters
    ----------
    asked : bool
        Whether somebody chose these rules: then one line also names those whose kinds of subject
        are not there at all. Of the shipped rules, few towns have subjects for each.
    """
    lines: list[str] = []
    nobody: list[str] = []
    for rule in rules:
        if rule.subjects.grain != "subject" or not rule.signals:
            continue
        kinds = rule.subjects.kinds
        rows = registry.rows_of_kinds(kinds or registry.kinds)
        if not len(rows):
            nobody.append(f"{rule.name} ({', '.join(kinds)})")
            continue
        mine = registry.meters.class_index[np.isin(registry.meters.subject, rows)]
        classes = [registry.classes[i] for i in np.unique(mine).tolist()]
        if not any(_hears(use, key) for use in rule.signals.values() for key in classes):
            lines.append(f"{rule.name}: {_why(rule, classes, len(rows))}")
    if asked and nobody:
        listed = ", ".join(nobody)
        lines.append(pick(f"没有这些类型的对象：{listed}", f"no subject of these kinds: {listed}"))
    return lines


def _fits(use: SignalUse, cls: type[Detector], key: ClassKey) -> bool:
    """Return whether a detector takes what a class of meters measures."""
    return (not use.utilities or key.utility in use.utilities) and any(
        channel.utility in ("*", key.utility) for channel in cls.channels
    )


def _hears(use: SignalUse, key: ClassKey) -> bool:
    cls = lookup(use.detector)
    low, high = cls.interval_s_allowed
    slot_s = cls.slot_s or key.interval_s
    return _fits(use, cls, key) and low <= slot_s <= high and slot_s % key.interval_s == 0


def _why(rule: Rule, classes: Sequence[ClassKey], subjects: int) -> str:
    for use in rule.signals.values():
        cls = lookup(use.detector)
        fitting = [key for key in classes if _fits(use, cls, key)]
        if fitting:
            every = "/".join(f"{key.interval_s / 60:g}" for key in fitting)
            most = (cls.slot_s or cls.interval_s_allowed[1]) / 60
            return pick(
                f"仪表每 {every} 分钟一个读数，检测器 {use.detector} 要求不超过 {most:g} 分钟且能整除",
                f"meters come every {every} min, detector {use.detector} wants at most {most:g} "
                "and a whole number of them in a slot",
            )
    wanted = {
        utility
        for use in rule.signals.values()
        for utility in (use.utilities or [c.utility for c in lookup(use.detector).channels])
    } - {"*"}
    what = ", ".join(sorted(wanted)) or pick("任何", "any")
    some = "1 subject, but it has no" if subjects == 1 else f"{subjects} subjects, but none has a"
    return pick(f"有 {subjects} 个对象，但都没有 {what} 仪表", f"{some} meter of {what}")
