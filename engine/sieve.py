"""The rows where conditions of many rules could be met, found together.

Most conditions ask that a signal is due; for them the few rows that are due are looked at. What is
left is put over the arrays of all rows: equal clauses of many rules once, a piece of the rows at a
time, so that columns and masks stay in the processor's cache.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.watch import Surroundings, Watch
from rules.masks import Graph, Masks


class Sieve:
    """Finds the candidates of rules, all of one turn together.

    Parameters
    ----------
    watches : sequence of Watch
        The rules.
    """

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.watches = watches
        self._piles: dict[int, _Pile] = {}
        self._timed = [watch for watch in watches if watch.reads_clock and watch.turns]
        by_rows: dict[Hashable, list[int]] = defaultdict(list)
        for i, watch in enumerate(watches):
            if watch.turns and watch.compiled.leads is None:
                by_rows[len(watch.rows) if watch.series is None else id(watch.series)].append(i)
        for members in by_rows.values():
            pile = _Pile({i: watches[i] for i in members})
            self._piles |= dict.fromkeys(members, pile)

    def turn(self, at_ns: int, around: Surroundings) -> None:
        """Begin a turn: columns have changed since the last one, and time has passed."""
        for pile in self._piles.values():
            pile.found = None
        for watch in self._timed:
            watch.set_clock(around.clock(watch, at_ns))

    def hit(self, index: int) -> NDArray[Any]:
        """Return the rows where a rule's condition could be met, ascending."""
        led = self.watches[index].led()
        return self._piles[index].hit(index) if led is None else led


class _Pile:
    """Rules over the same number of rows whose conditions are put over all of them."""

    def __init__(self, watches: dict[int, Watch]) -> None:
        self.watches = watches
        self.found: dict[int, NDArray[np.int64]] | None = None
        graph = Graph()
        roots: list[int] = []
        self._columns: dict[str, Callable[[int, int], Any]] = {}
        for i, watch in watches.items():
            names = self._names(i, watch)
            root = watch.compiled.add_to(graph, names)
            roots.append(root)
            for dotted in watch.compiled.columns:
                name, _, rest = dotted.partition(".")
                known = names.get(dotted) or f"{names.get(name, name)}.{rest}"
                self._columns.setdefault(known, partial(_piece, watch, dotted))
        self._masks = Masks(graph, roots)

    @staticmethod
    def _names(i: int, watch: Watch) -> dict[str, str]:
        """Return the shared name of a signal's columns; what depends on the rule has its own."""
        names = {"fused": f"{i}:fused", "now": f"{i}:now"}
        for name, turns in watch.turns.items():
            names[name] = f"heard:{id(turns.heard)}"
            names[f"{name}.due"] = f"{i}:{name}.due"
        for name in watch.event_columns:
            names[name] = f"{i}:{name}"
        return names

    def hit(self, index: int) -> NDArray[np.int64]:
        """Return the rows where a rule's condition could be met."""
        if self.found is None:
            rows = len(next(iter(self.watches.values())).rows)
            order = list(self.watches)
            found = self._masks.each(self._columns, rows)
            self.found = {order[i]: hits for i, hits in found}
        return self.found.get(index, np.zeros(0, np.int64))


def _piece(watch: Watch, dotted: str, start: int, stop: int) -> Any:
    values = watch.column(dotted, slice(start, stop))
    return None if values is None else np.asarray(values)
