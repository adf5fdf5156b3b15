"""What a signal last said, kept once for all rules that listen alike.

A thousand rules about the same homes differ in their budgets and conditions, not in what they hear.
So the columns of a signal and its episodes are shared; a rule of its own has only the rows whose
moment has come at its price, which are few: one home in a thousand at any hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, BoolArray, IntArray, Signals
from detectors.budget import Price, coin
from detectors.episodes import Episodes, Tally
from engine.columns import SignalColumns
from engine.links import Link
from engine.rows import index_in, indices_in

Rows: TypeAlias = NDArray[np.int32]
"""Rows of a rule, ascending."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Rows with the onset of the episode for which they are marked; another onset ends the mark.

    Parameters
    ----------
    rows : ndarray of int32, shape (M,)
        Rows of a rule, ascending.
    onset : ndarray of int32, shape (M,)
        Slots in which their episodes began.
    """

    rows: Rows
    onset: NDArray[np.int32]

    @classmethod
    def at(cls, rows: IntArray, onset: NDArray[np.int32]) -> Marked:
        """Return marks for the present episodes of some rows, `onset` being that of all rows."""
        return cls(rows.astype(np.int32, copy=False), onset[rows])

    def valid(self, onset: NDArray[np.int32]) -> Rows:
        """Return the rows whose episode is still the one they are marked for."""
        return self.rows[onset[self.rows] == self.onset] if len(self.rows) else self.rows

    def has(self, row: int) -> bool:
        """Return whether a row is marked."""
        return index_in(self.rows, row) >= 0

    def mask(self, rows: Rows | slice, n: int) -> BoolArray:
        """Return which of some ascending rows, or of a slice of `n` rows, are marked."""
        if not isinstance(rows, slice):
            return contained(rows, self.rows)
        start, stop, _ = rows.indices(n)
        first, last = indices_in(self.rows, (start, stop))
        marked = np.zeros(stop - start, np.bool_)
        marked[self.rows[first:last] - start] = True
        return marked

    def moved(self, to: IntArray, there: IntArray) -> Marked:
        """Return the marks of rows `there`, which are rows `to` from now on; both ascend."""
        at = indices_in(there, self.rows)
        here = contained(self.rows, there.astype(np.int32))
        return Marked(to[at[here]].astype(np.int32), self.onset[here])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for snapshots."""
        return {"rows": self.rows, "onset": self.onset}


NOBODY = Marked(np.zeros(0, np.int32), np.zeros(0, np.int32))


def contained(rows: Rows, others: Rows) -> BoolArray:
    """Return which of `rows` are among `others`; both ascend."""
    if not len(others) or not len(rows):
        return np.zeros(len(rows), np.bool_)
    at = np.minimum(indices_in(others, rows), len(others) - 1)
    found: BoolArray = others[at] == rows
    return found


def union(some: Rows, others: Rows) -> Rows:
    """Return the rows that are in either, ascending."""
    if not len(others):
        return some
    return others if not len(some) else np.union1d(some, others)


class Urgent:
    """Rows with an urgent episode, among those spoken of, by how urgent; found once for all rules.

    Parameters
    ----------
    rows : ndarray of int32, shape (M,)
        Rows spoken of whose urgency is over 0 and that have an onset, ascending.
    urgency : ndarray of int8, shape (M,)
        How urgent they are.
    coins : callable
        Gives the episode's uniform number (:func:`detectors.budget.coin`) of some rows.
    """

    def __init__(
        self,
        rows: Rows,
        urgency: NDArray[np.int8],
        coins: Callable[[Rows], NDArray[np.float64]],
    ) -> None:
        self._least: dict[int, tuple[Rows, NDArray[np.int8]]] = {1: (rows, urgency)}
        self._ties: dict[int, tuple[Rows, NDArray[np.float64]]] = {}
        self._coins = coins

    def _at_least(self, level: int) -> tuple[Rows, NDArray[np.int8]]:
        known = self._least.get(level)
        if known is None:
            rows, urgency = self._least[max(k for k in self._least if k < level)]
            more = urgency >= level
            known = self._least[level] = (rows[more], urgency[more])
        return known

    def come(self, price: Price) -> Rows:
        """Return the rows whose moment has come at a price, ascending.

        The same as :func:`detectors.budget.due` says of all rows spoken of that have an onset.
        """
        index = price.index
        rows = self._at_least(max(index + 1, 1))[0]
        if index < 1 or not price.fraction > 0:
            return rows
        if index not in self._ties:
            among, urgency = self._at_least(index)
            tied = among[urgency == index]
            self._ties[index] = tied, self._coins(tied)
        tied, coins = self._ties[index]
        return union(rows, tied[coins < price.fraction])


class Said(NamedTuple):
    """What a group said of its rows at one slot, or at a correction of it."""

    within: Rows | None
    """The rows spoken of; None: all."""
    urgent: Urgent
    tally: Tally
    """Episodes that newly reached each price, and time watched; corrections count nothing."""

    def covers(self, rows: Rows) -> BoolArray:
        """Return which of some rows were spoken of."""
        return np.ones(len(rows), np.bool_) if self.within is None else contained(rows, self.within)


class Heard:
    """The last word of a signal on the rows of rules.

    Parameters
    ----------
    rows : ndarray of int32, shape (N,)
        Registry rows (or place rows) of the rules' subjects.
    key : ndarray of uint64
        Hash of the id of every registry row (or place row), or of every row that events make.
    links : list of Link
        The groups that speak.
    counted : bool
        Whether budgets are spent on its episodes.
    """

    def __init__(
        self, rows: Rows, key: NDArray[np.uint64], links: list[Link], *, counted: bool
    ) -> None:
        self.rows = rows
        self.key = key
        self.links = links
        self.counted = counted
        self.columns = SignalColumns.empty(len(rows))
        self.episodes = Episodes(len(rows)) if counted else None

    def __len__(self) -> int:
        return len(self.rows)

    def grow(self, keys: Callable[[int], NDArray[np.uint64]], n: int) -> None:
        """Append rows that events have made since until there are `n`; `keys` gives theirs."""
        old = len(self)
        if old == n:
            return
        self.key = np.concatenate([self.key[:old], keys(old)])
        self.rows = np.arange(n, dtype=np.int32)
        for link in self.links:
            link.grow(n)
        self.columns.grow(n)
        if self.episodes is not None:
            self.episodes.grow(n)

    # -- what groups say ------------------------------------------------------------------

    def take(self, link: Link, signals: Signals) -> Said:
        """Take over what a group said of its last slot."""
        rows: Any = slice(None) if link.whole else link.rule_rows
        picked: Any = slice(None) if link.whole else link.group_rows
        urgency, onset = self._write(rows, signals, picked)
        tally = Tally()
        if self.episodes is not None:
            reached = self.episodes.rise(urgency, onset, rows)[0]
            watched_s = int(np.count_nonzero(urgency >= 0)) * link.group.slot_s
            tally = Tally(reached, watched_s)
        return self._said(None if link.whole else link.rule_rows, urgency, onset, tally)

    def correct(
        self, link: Link, group_rows: IntArray, signals: Signals
    ) -> tuple[IntArray, IntArray, Said]:
        """Take over corrected signals of some group rows.

        Returns
        -------
        rows : ndarray of int
            Rows for which anything that decides has changed.
        index : ndarray of int
            Their places in `group_rows`.
        said : Said
        """
        rule_rows = link.to_rule(group_rows)
        mine = np.flatnonzero(rule_rows >= 0)
        rows = rule_rows[mine].astype(np.int32, copy=False)
        before = self.columns.urgency[rows], self.columns.onset[rows]
        urgency, onset = self._write(rows, signals, mine)
        changed = (before[0] != urgency) | (before[1] != onset)
        return rows[changed], mine[changed], self._said(rows, urgency, onset, Tally())

    def _write(
        self, rows: Rows | slice, signals: Signals, picked: IntArray | slice
    ) -> tuple[NDArray[np.int8], IntArray]:
        urgency, onset = signals.urgency[0, picked], signals.onset[0, picked]
        columns = self.columns
        columns.urgency[rows] = urgency
        columns.evidence[rows] = signals.evidence[0, picked]
        columns.p_value[rows] = signals.p_value[0, picked]
        columns.onset[rows] = onset
        return urgency, onset

    def _said(
        self, within: Rows | None, urgency: NDArray[np.int8], onset: IntArray, tally: Tally
    ) -> Said:
        at = np.flatnonzero(urgency > 0)
        at = at[onset[at] != NO_SLOT]
        rows = at.astype(np.int32) if within is None else within[at]
        return Said(within, Urgent(rows, urgency[at], self._coins), tally)

    def _coins(self, rows: Rows) -> NDArray[np.float64]:
        return coin(self.key[self.rows[rows]], self.columns.onset[rows])

    # -- other rules, snapshots -----------------------------------------------------------

    def like(self) -> Heard:
        """Return one that listens alike and has heard nothing yet."""
        return Heard(self.rows, self.key, self.links, counted=self.counted)

    def alike(self, other: Heard) -> bool:
        """Return whether another listens to the same groups about the same rows."""
        return (
            self.counted == other.counted
            and np.array_equal(self.rows, other.rows)
            and [id(link.group) for link in self.links] == [id(link.group) for link in other.links]
        )

    def adopt(self, old: Heard, mine: IntArray, theirs: IntArray) -> None:
        """Take over what another has heard: its rows `theirs` are rows `mine` here."""
        for name, values in old.columns.arrays().items():
            getattr(self.columns, name)[mine] = values[theirs]
        if self.episodes is not None and old.episodes is not None:
            for name, values in self.episodes.state.items():
                values[mine] = old.episodes.state[name][theirs]

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return plain values for the header, and arrays."""
        arrays = self.columns.arrays()
        if self.episodes is not None:
            arrays |= {f"episode/{k}": v for k, v in self.episodes.state.items()}
        # Copies: a snapshot is written while the shard goes on.
        return {"rows": len(self)}, {name: values.copy() for name, values in arrays.items()}

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:  # noqa: ARG002
        """Take over :meth:`snapshot`'s values."""
        for name in SignalColumns.__slots__:
            setattr(self.columns, name, np.array(arrays[name]))
        if self.episodes is not None:
            start = "episode/"
            self.episodes.restore(
                {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
            )


class Turns:
    """Whose moment has come, for one signal of one rule at its price.

    Parameters
    ----------
    heard : Heard
        What the signal says.
    primary : bool
        Whether it is the signal that decides: once its moment has come it stays come for that
        episode, whatever prices follow.
    """

    def __init__(self, heard: Heard, *, primary: bool) -> None:
        self.heard = heard
        self.primary = primary
        self.due = NOBODY
        self.spent = NOBODY
        """Due rows that have been counted against the budget."""

    def take(self, said: Said, price: Price, *, count: bool = True) -> Tally:
        """Decide anew for the rows spoken of; return what is to be counted of them."""
        come, before = said.urgent.come(price), self.due
        if len(before.rows):
            stays = before.valid(self.heard.columns.onset)
            inside = said.covers(stays)
            others = stays[~inside]
            if self.primary:
                come = union(come, stays[inside])
        else:
            others = before.rows
        if len(come) or len(before.rows):
            self.due = Marked.at(union(come, others), self.heard.columns.onset)
        episodes = self.heard.episodes
        if not count or episodes is None or not (len(come) or len(self.spent.rows)):
            return said.tally
        onset = episodes.state["onset"]
        known = self.spent.valid(onset)
        new = come[~contained(come, known)]
        self.spent = Marked.at(union(known, new), onset)
        return Tally(said.tally.reached, said.tally.exposure_s, len(new))

    def adopt(self, old: Turns, mine: IntArray, theirs: IntArray) -> None:
        """Go on where an older version of the rule stood."""
        self.due = old.due.moved(mine, theirs)
        if self.heard.counted and old.heard.counted:
            self.spent = old.spent.moved(mine, theirs)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for snapshots."""
        found = {f"due/{k}": v for k, v in self.due.arrays().items()}
        if self.heard.counted:
            found |= {f"spent/{k}": v for k, v in self.spent.arrays().items()}
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over :meth:`arrays`' values."""
        self.due = Marked(np.array(arrays["due/rows"]), np.array(arrays["due/onset"]))
        if self.heard.counted:
            self.spent = Marked(np.array(arrays["spent/rows"]), np.array(arrays["spent/onset"]))


__all__ = ["Heard", "Marked", "Said", "Turns", "Urgent", "contained", "union"]
