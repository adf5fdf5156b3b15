"""Columns of a rule: the last word of each signal, and the last look of each event window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT
from rules.windows import Look

NO_ONSET = -(2**62)
"""Onset of a row without an episode, in nanoseconds."""


@dataclass(slots=True)
class SignalColumns:
    """The last word of one signal on every row: what masks and budgets need of all.

    What only few rows are asked for (times, the group that spoke) follows from the links.
    """

    urgency: NDArray[np.int8]
    evidence: NDArray[np.float32]
    p_value: NDArray[np.float32]
    onset: NDArray[np.int32]
    """Slot in which the present episode began; :data:`~detectors.base.NO_SLOT` without one."""

    @classmethod
    def empty(cls, n: int) -> SignalColumns:
        """Return columns that nobody has filled."""
        return cls(
            np.full(n, -1, np.int8),
            np.full(n, np.nan, np.float32),
            np.full(n, np.nan, np.float32),
            np.full(n, NO_SLOT, np.int32),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, for snapshots."""
        return {name: getattr(self, name) for name in self.__slots__}

    def grow(self, n: int) -> None:
        """Append rows that nobody has filled until there are `n`."""
        _append(self, self.empty(n - len(self.urgency)))


@dataclass(slots=True)
class EventColumns:
    """The last look of one event window on every row of a rule: what masks are made from.

    They are right at every moment without being asked for: a window changes with an event or at
    a time that the look itself names, and is looked at again then. Ages are left out.
    """

    count: NDArray[np.int32]
    distinct: NDArray[np.int32]
    followed: NDArray[np.int32]
    unfollowed: NDArray[np.int32]
    seen: NDArray[np.bool_]
    evidence: NDArray[np.float32]
    onset_ns: NDArray[np.int64]

    @classmethod
    def empty(cls, n: int) -> EventColumns:
        """Return columns of empty windows."""
        return cls(
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, np.bool_),
            np.zeros(n, np.float32),
            np.full(n, NO_ONSET, np.int64),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, for masks and snapshots."""
        return {name: getattr(self, name) for name in self.__slots__}

    def grow(self, n: int) -> None:
        """Append empty windows until there are `n`."""
        _append(self, self.empty(n - len(self.count)))

    def put(self, row: int, look: Look) -> None:
        """Take over what a window shows."""
        for name in ("count", "distinct", "followed", "unfollowed", "seen", "evidence"):
            getattr(self, name)[row] = look.variables[name]
        self.onset_ns[row] = NO_ONSET if look.onset_ns is None else look.onset_ns


def _append(columns: Any, more: Any) -> None:
    for name in columns.__slots__:
        setattr(columns, name, np.concatenate([getattr(columns, name), getattr(more, name)]))
