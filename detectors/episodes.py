"""Episodes: what budgets are counted in.

An episode is what one alert would be about: a silence, a run, a burst. Counts of episodes are
integers only, so those of shards add up to the same total under any split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import LEVELS, NO_SLOT, BoolArray, DetectorError, IntArray, Signals, State

Counts = NDArray[np.int64]


@dataclass(slots=True)
class Tally:
    """Integer counts of one event-day (or of any set of slots); they add up over shards.

    Parameters
    ----------
    reached : ndarray of int64, shape (LEVELS,)
        Episodes that newly reached each price.
    exposure_s : int
        Watched time, subject-seconds: slots in which the detector was ready.
    spent : int
        Episodes that became due, before inhibition, false-discovery control and capacity.
    """

    reached: Counts = field(default_factory=lambda: np.zeros(LEVELS, np.int64))
    exposure_s: int = 0
    spent: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.reached + other.reached,
            self.exposure_s + other.exposure_s,
            self.spent + other.spent,
        )


class Episodes:
    """The present episode of each row: when it began, and how urgent it has been.

    Parameters
    ----------
    rows : int
        Number of rows N.
    """

    def __init__(self, rows: int) -> None:
        self.state: State = {
            "onset": np.full(rows, NO_SLOT, np.int32),
            "peak": np.zeros(rows, np.int8),
        }

    def rise(
        self,
        urgency: NDArray[np.int8],
        onset: IntArray,
        rows: IntArray | slice = slice(None),
    ) -> tuple[Counts, IntArray, IntArray]:
        """Take over one slot of some rows, shapes (M,).

        Returns
        -------
        reached : ndarray of int64, shape (LEVELS,)
            Episodes that newly reached each price.
        rose : ndarray of int
            Which of the M are more urgent than before in their episode.
        fresh : ndarray of int
            Which of the M have another episode than before, or none any more.
        """
        peak, known = self.state["peak"][rows], self.state["onset"][rows]
        # Rows that are not ready keep their episode: no data never ends one.
        fresh = np.flatnonzero((onset != known) & (urgency >= 0))
        if len(fresh):
            known[fresh] = onset[fresh]
            peak[fresh] = 0
        rose = np.flatnonzero(urgency > peak)
        steps = np.zeros(LEVELS + 1, np.int64)
        np.add.at(steps, peak[rose], 1)
        np.add.at(steps, urgency[rose], -1)
        peak[rose] = urgency[rose]
        if not isinstance(rows, slice):  # what a slice gave were views
            self.state["peak"][rows], self.state["onset"][rows] = peak, known
        return np.cumsum(steps)[:LEVELS], rose, fresh

    def grow(self, rows: int) -> None:
        """Append rows that have seen nothing until there are `rows` of them."""
        more = rows - len(self.state["peak"])
        fill = {"onset": NO_SLOT, "peak": 0, "spent": 0}
        for name, old in self.state.items():
            self.state[name] = np.concatenate([old, np.full(more, fill[name], old.dtype)])

    def forget(self, rows: IntArray) -> None:
        """Erase what is known of some rows."""
        self.state["onset"][rows] = NO_SLOT
        self.state["peak"][rows] = 0

    def snapshot(self) -> State:
        """Return copies of the arrays."""
        return {k: v.copy() for k, v in self.state.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over the arrays of a snapshot."""
        take_over(self.state, arrays, type(self).__name__)


class EpisodeCounter(Episodes):
    """Counts episodes that newly reach each price, exposure and what was spent.

    Parameters
    ----------
    rows : int
        Number of rows N, as the detector's.
    interval_s : int
        The detector's slot length.
    """

    def __init__(self, rows: int, interval_s: int) -> None:
        super().__init__(rows)
        self.interval_s = int(interval_s)
        self.state["spent"] = np.zeros(rows, np.bool_)

    def count(self, signals: Signals, mask: BoolArray | None = None) -> Tally:
        """Count the slots of `signals`.

        Parameters
        ----------
        signals : Signals, shapes (T, N)
            All rows, every slot once.
        mask : ndarray of bool, shape (N,) or (T, N), optional
            Rows that are due (:func:`due`); without it nothing counts as spent.

        Returns
        -------
        Tally
        """
        total = Tally()
        slots, rows = signals.urgency.shape
        spent = None if mask is None else np.broadcast_to(mask, (slots, rows))
        for t in range(slots):
            total.exposure_s += int(np.count_nonzero(signals.urgency[t] >= 0)) * self.interval_s
            total.reached += self._reached(signals.urgency[t], signals.onset[t])[0]
            if spent is not None:
                new = spent[t] & ~self.state["spent"]
                self.state["spent"] |= new
                total.spent += int(np.count_nonzero(new))
        return total

    def _reached(self, urgency: NDArray[np.int8], onset: IntArray) -> tuple[Counts, IntArray]:
        """Update the peaks; return counts per price, and the rows that rose."""
        reached, rose, fresh = self.rise(urgency, onset)
        self.state["spent"][fresh] = False
        return reached, rose

    def forget(self, rows: IntArray) -> None:
        """Erase what is known of some rows."""
        super().forget(rows)
        self.state["spent"][rows] = False


def take_over(state: State, arrays: Mapping[str, NDArray[Any]], who: str) -> None:
    """Take over the arrays of a snapshot, for whom it is told when they do not fit.

    Raises
    ------
    DetectorError
        If one is missing or has another shape or type.
    """
    for name, mine in state.items():
        theirs = arrays.get(name)
        if theirs is None or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
            got = "nothing" if theirs is None else f"{theirs.dtype}{theirs.shape}"
            raise DetectorError(
                f"{who}: snapshot array {name!r} is {got}, wanted {mine.dtype}{mine.shape}"
            )
    for name in state:
        state[name] = np.array(arrays[name])
