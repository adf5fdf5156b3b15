"""How good a detector is at a budget: how soon it finds what is wrong, for how many false alerts.

The price of a block of time is what the blocks before it, on the same fleet, would have asked for
the budget, as the engine's controller learns it: no block is judged by a price that has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.base import LEVELS, NO_SLOT
from detectors.budget import coin
from engine.tuning.tape import Tape, Track

YEAR_S = 365 * 86_400
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Episodes:
    """Episodes of a track, shape (E,): row, first slot index, onset, and the highest urgency."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    onset: NDArray[np.int64]
    peak: NDArray[np.int64]

    @classmethod
    def of(cls, track: Track) -> Episodes:
        """Return the episodes of all rows."""
        onset = track.onset.T.ravel()  # row after row
        slots = track.onset.shape[0]
        new = np.r_[True, onset[1:] != onset[:-1]]
        new[:: max(slots, 1)] = True
        begin = np.flatnonzero(new)
        end = np.r_[begin[1:], len(onset)]
        urgency = track.urgency.T.ravel().astype(np.int64)
        peak = np.maximum.reduceat(urgency, begin) if len(begin) else begin
        keep = (onset[begin] != NO_SLOT) & (peak > 0)
        begin, end = begin[keep], end[keep]
        return cls(begin // slots, begin % slots, (end - 1) % slots, onset[begin], peak[keep])

    def take(self, keep: NDArray[np.bool_]) -> Episodes:
        """Return some of them."""
        return Episodes(
            *(getattr(self, n)[keep] for n in ("row", "first", "last", "onset", "peak"))
        )


def price(peaks: NDArray[np.int64], years: float, budget: float) -> tuple[int, float]:
    """Return (index, fraction): the lowest price at which `peaks` keep to the budget.

    >>> price(np.array([5, 9, 9, 20]), years=1.0, budget=2.0)
    (9, 0.5)
    """
    allowed = budget * years
    above = np.array([(peaks > k).sum() for k in range(LEVELS + 1)])
    index = int(np.argmax(above <= allowed))
    at = int((peaks == index).sum()) if index > 0 else 0
    share = (allowed - above[index]) / at if at else 0.0
    return index, float(np.clip(share, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Wrong:
    """What was truly wrong with some row of a track, shape (K,): row, slots from start to stop."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def covers(self, episodes: Episodes) -> NDArray[np.bool_]:
        """Return which episodes overlap something truly wrong."""
        found = np.zeros(len(episodes.row), bool)
        for row, start, stop in zip(self.row, self.start, self.stop, strict=True):
            hit = (episodes.row == row) & (episodes.first < stop) & (episodes.last >= start)
            found |= hit
        return found


@dataclass(frozen=True, slots=True)
class Paid:
    """Prices of every slot, shape (T,), and what untouched rows paid for them.

    Parameters
    ----------
    false : ndarray of float64, shape (blocks, R)
        False alerts by block and row.
    years : ndarray of float64, shape (blocks, R)
    """

    index: NDArray[np.int64]
    fraction: FloatArray
    false: FloatArray
    years: FloatArray


@dataclass(frozen=True, slots=True)
class Part:
    """A tape's share of a fleet: some of its rows, what was said of them, where blocks begin.

    Parameters
    ----------
    track : Track
        Of the untouched `rows` of the tape, shape (T, R).
    edges : ndarray of int64, shape (blocks + 1,)
        Slot indices; block 0 only teaches the first price.
    wrong : Wrong, optional
        What was truly wrong there: neither false nor a reason for a higher price.
    """

    tape: Tape
    track: Track
    rows: NDArray[np.int64]
    edges: NDArray[np.int64]
    wrong: Wrong | None = None


def pay(parts: Sequence[Part], budget: float) -> list[Paid]:
    """Set each block's price from the blocks before it, over the whole fleet; count false alerts."""
    told = []
    for part in parts:
        episodes = Episodes.of(part.track)
        if part.wrong is not None:
            episodes = episodes.take(~part.wrong.covers(episodes))
        block = np.searchsorted(part.edges, episodes.first, "right") - 1
        ready = (part.track.urgency >= 0) & part.tape.known()[:, part.rows]
        counts = np.add.reduceat(ready, part.edges[:-1], axis=0).astype(np.float64)
        told.append((episodes, block, counts * part.tape.interval_s / YEAR_S))
    blocks = len(parts[0].edges) - 1
    # Block 0 has nothing before it: its own episodes stand in, and it is never judged.
    prices = []
    for b in (max(b, 1) for b in range(blocks)):
        peaks = np.concatenate([e.peak[at < b] for e, at, _ in told])
        prices.append(price(peaks, float(sum(y[:b].sum() for _, _, y in told)), budget))
    return [
        _paid(part, episodes, years, prices)
        for part, (episodes, _, years) in zip(parts, told, strict=True)
    ]


def _paid(
    part: Part, episodes: Episodes, years: FloatArray, prices: Sequence[tuple[int, float]]
) -> Paid:
    lengths = np.diff(part.edges)
    index = np.repeat([i for i, _ in prices], lengths).astype(np.int64)
    fraction = np.repeat([f for _, f in prices], lengths).astype(np.float64)
    key = part.tape.key[part.rows]
    false = np.zeros(years.shape)
    for row, a, z in zip(episodes.row, episodes.first, episodes.last, strict=True):
        hit = first_due(part.track, int(row), int(a), int(z) + 1, index, fraction, key[row])
        if hit >= 0:
            false[int(np.searchsorted(part.edges, hit, "right")) - 1, row] += 1
    return Paid(index, fraction, false, years)


def first_due(
    track: Track,
    row: int,
    start: int,
    stop: int,
    index: NDArray[np.int64],
    fraction: FloatArray,
    key: np.uint64,
) -> int:
    """Return the first slot in [start, stop) at which a row's moment has come, or −1."""
    urgency, onset = track.urgency[start:stop, row], track.onset[start:stop, row]
    level, share = index[start:stop], fraction[start:stop]
    mask = (urgency > level) & (urgency > 0) & (onset != NO_SLOT)
    tie = np.flatnonzero((urgency == level) & (urgency > 0) & (share > 0) & (onset != NO_SLOT))
    if len(tie):
        mask[tie] = coin(np.full(len(tie), key, np.uint64), onset[tie]) < share[tie]
    hits = np.flatnonzero(mask)
    return start + int(hits[0]) if len(hits) else -1


def delays_h(
    tape: Tape, track: Track, source: NDArray[np.int64], start: NDArray[np.int64],
    stop: NDArray[np.int64], paid: Paid,
) -> FloatArray:  # fmt: skip
    """Return hours from the start of each case to its alert; inf for never, shape (K,).

    An alert counts when its slot is due. One that was out before the case began, and went on,
    counts as never: nobody is called twice.
    """
    found = np.full(len(start), np.inf)
    late_h = tape.lateness_s / 3600
    for case, (a, b) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        key = tape.key[source[case]]
        if a > 0 and first_due(track, case, a - 1, a, paid.index, paid.fraction, key) >= 0:
            later = track.onset[min(a + 1, b - 1), case]
            if later == track.onset[a - 1, case]:
                continue
        hit = first_due(track, case, a, b, paid.index, paid.fraction, key)
        if hit >= 0:
            found[case] = (hit - a + 1) * tape.interval_s / 3600 + late_h
    return found


def bootstrap(
    differences: FloatArray, seed: int, share: float = 0.95, turns: int = 2_000
) -> tuple[float, float]:
    """Return the interval of the mean of some subjects' differences, subjects drawn anew.

    >>> low, high = bootstrap(np.array([-2.0, -1.0, -1.5, -0.5]), seed=1)
    >>> low < -1.25 < high < 0
    True
    """
    rng = np.random.default_rng(seed)
    n = len(differences)
    means = differences[rng.integers(0, n, (turns, n))].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def per_subject(
    values: FloatArray, subject: NDArray[np.int64], subjects: Sequence[int]
) -> FloatArray:
    """Return the mean of each subject's cases; NaN for subjects without any."""
    total = np.array([values[subject == s].sum() for s in subjects])
    count = np.array([(subject == s).sum() for s in subjects])
    with np.errstate(invalid="ignore"):
        mean: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
