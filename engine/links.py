"""Which rows of a rule are which rows of a detector group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from detectors.base import NS, IntArray
from engine.groups import Group
from engine.rows import index_in, indices_in

Moves: TypeAlias = dict[int, tuple[int, dict[int, int]]]
"""Where rules went when others were activated: place before → (place now, row before → row now)."""


def rows_in(rows: IntArray, others: IntArray) -> tuple[IntArray, IntArray]:
    """Return where rows and others are equal: indices into both; each ascends without repeats."""
    at = np.minimum(indices_in(others, rows), max(len(others) - 1, 0))
    mine = np.flatnonzero(others[at] == rows) if len(others) else np.zeros(0, np.int64)
    return mine, at[mine]


def translate(rows: IntArray, ascending: NDArray[np.int32], other: NDArray[np.int32]) -> IntArray:
    """Return the entries of `other` beside those of `ascending` that equal `rows`; −1 for none."""
    at = np.minimum(indices_in(ascending, rows), len(ascending) - 1)
    found: IntArray = np.where(ascending[at] == rows, other[at], -1)
    return found


@dataclass(slots=True)
class Link:
    """A group's rows that are rows of rules; both ascend."""

    group: Group
    rule_rows: NDArray[np.int32]
    group_rows: NDArray[np.int32]
    whole: bool
    """Whether the group's rows are the rule's rows, all and in order."""

    def grow(self, n: int) -> None:
        """Follow a group whose rows are the rule's rows to `n` of them."""
        self.rule_rows = self.group_rows = np.arange(n, dtype=np.int32)

    def hears(self, rule_row: int) -> bool:
        """Return whether the group speaks of a rule row."""
        return index_in(self.rule_rows, rule_row) >= 0

    def to_rule(self, group_rows: IntArray) -> IntArray:
        """Return the rule row of each group row; −1 for rows that are not this rule's."""
        return translate(group_rows, self.group_rows, self.rule_rows)

    def to_group(self, rule_rows: IntArray) -> IntArray:
        """Return the group row of each rule row; −1 for rows that are not this group's."""
        return translate(rule_rows, self.rule_rows, self.group_rows)

    @property
    def end_ns(self) -> int:
        """End of the slot that the group last spoke of; 0 before it did."""
        group = self.group
        if group.last_slot is None:
            return 0
        return ((group.last_slot + 1) * group.slot_s + group.phase_s) * NS


@dataclass(slots=True)
class Touched:
    """Rule rows that late readings corrected, with the arrival of the newest reading of each."""

    arrivals: dict[int, int] = field(default_factory=dict)
    refuted: set[int] = field(default_factory=set)
    """Rows whose alert has lost its ground: what came late lies before it was raised."""

    def add(self, rows: IntArray, arrival_ns: NDArray[np.int64]) -> None:
        """Add rows and their arrivals."""
        for row, arrival in zip(rows.tolist(), arrival_ns.tolist(), strict=True):
            self.arrivals[row] = max(arrival, self.arrivals.get(row, 0))
