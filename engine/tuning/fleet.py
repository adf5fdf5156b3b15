"""A fleet to try parameters on: subjects, blocks of time, and what is wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.base import BoolArray
from engine.tuning.judge import Paid, Part, Wrong, delays_h, pay, per_subject
from engine.tuning.planting import Plant, draw, planted
from engine.tuning.tape import Script, Tape, Track

DAY_S = 86_400
BURN_IN_D = 28


class Label(NamedTuple):
    """Something that was truly wrong with a subject, seconds since 1970 UTC."""

    subject: str
    start_s: int
    stop_s: int


class SplitError(ValueError):
    """History is too short, or subjects are too few, to search on some and judge by others."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of time: the first teaches the price, the early ones are searched, the late judge.

    Parameters
    ----------
    edges_s : ndarray of int64, shape (B + 1,)
        Seconds UTC.
    late : int
        The first block that the search does not see.
    """

    edges_s: NDArray[np.int64]
    late: int

    @property
    def early_blocks(self) -> range:
        """Blocks that the search is judged by."""
        return range(1, self.late)

    @property
    def late_blocks(self) -> range:
        """Blocks that the search does not see."""
        return range(self.late, len(self.edges_s) - 1)

    def of(self, tape: Tape) -> NDArray[np.int64]:
        """Return the blocks' edges as slot indices of a tape."""
        at = self.edges_s // tape.interval_s - tape.frame.first_slot
        edges: NDArray[np.int64] = np.clip(at, 0, tape.slots)
        edges[0], edges[-1] = 0, tape.slots
        return edges


def blocks_of(tapes: Sequence[Tape], blocks: int, hours: float) -> Blocks:
    """Cut the tapes' time into equal blocks, each long enough for a case.

    Raises
    ------
    SplitError
        If history is too short for it.
    """
    first = min(t.frame.first_slot * t.interval_s for t in tapes)
    last = max((t.frame.first_slot + t.slots) * t.interval_s for t in tapes)
    shortest_d = hours / 24 + 2
    days = (last - first) / DAY_S
    while blocks > 3 and (days - BURN_IN_D) / blocks < shortest_d:
        blocks -= 1
    if blocks < 3 or (days - BURN_IN_D) / blocks < shortest_d:
        raise SplitError(
            f"history is {days:.0f} days; wanted at least "
            f"{BURN_IN_D + 3 * shortest_d:.0f}: {BURN_IN_D} to warm up, and three blocks of "
            f"{shortest_d:.0f} days to set a price, to search and to judge"
        )
    start = first + BURN_IN_D * DAY_S
    edges = np.linspace(start, last, blocks + 1).astype(np.int64)
    edges[0] = first
    return Blocks(edges, late=1 + max(1, round((blocks - 1) * 0.6)) if blocks > 3 else 2)


def halves(tapes: Sequence[Tape], seed: int, share: float = 0.5) -> list[BoolArray]:
    """Return which rows of each tape are searched; by a hash of the subject, whoever else is there.

    The same subject is on the same side in every tape. Of the order of the hashes, `share` is
    taken, so that both sides have their number.

    Raises
    ------
    SplitError
        If a side would have fewer than two subjects.
    """
    keys = np.unique(np.concatenate([t.key for t in tapes]))
    mixed = (keys ^ np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    order = keys[np.argsort(mixed, kind="stable")]
    taken = order[: round(share * len(order))]
    if min(len(taken), len(order) - len(taken)) < 2:
        raise SplitError(
            f"{len(order)} subjects; wanted at least 4: some to search on, others to judge by"
        )
    return [np.isin(t.key, taken) for t in tapes]


class Outcome(NamedTuple):
    """What a set of parameters came to on one part of a fleet's time.

    Parameters
    ----------
    waits_h : ndarray of float64, shape (S,)
        Mean wait of each subject's cases, never counted as the horizon; NaN without cases.
    within : float
        Share of cases found within a quarter of the horizon.
    found : float
        Share of cases found at all.
    realised : float
        False alerts a subject-year over what was asked.
    """

    waits_h: NDArray[np.float64]
    delays_h: NDArray[np.float64]
    realised: float
    false_per_year: float

    @property
    def mean_h(self) -> float:
        """Mean wait over subjects."""
        return float(np.nanmean(self.waits_h)) if np.isfinite(self.waits_h).any() else np.nan

    @property
    def found(self) -> float:
        """Share of cases found within the horizon."""
        return float(np.isfinite(self.delays_h).mean()) if len(self.delays_h) else np.nan

    def rank_h(self, share: float) -> float:
        """Return the delay that `share` of the cases do not exceed."""
        if not len(self.delays_h):
            return np.nan
        return float(np.quantile(self.delays_h, share, method="higher"))


@dataclass(slots=True)
class _Side:
    """A tape's rows on one side, untouched, and their cases."""

    tape: Tape
    rows: NDArray[np.int64]
    edges: NDArray[np.int64]
    untouched: Script
    cases: Script | None
    block: NDArray[np.int64]
    wrong: Wrong | None


def _taken(
    tapes: Sequence[Tape], mine: Sequence[BoolArray], blocks: Blocks
) -> Iterator[tuple[Tape, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the tapes that have rows of this side, with those rows and the edges of the blocks."""
    for tape, mask in zip(tapes, mine, strict=True):
        rows = np.flatnonzero(mask)
        if len(rows):
            yield tape, rows, blocks.of(tape)


@dataclass(slots=True)
class Fleet:
    """Subjects of one side with the cases to be found among them.

    Parameters
    ----------
    sides : list of _Side
    subjects : list of int
        Numbers of the subjects, over all tapes.
    horizon_h : float
        How long one waits for an alert.
    """

    sides: list[_Side]
    horizon_h: float
    labelled: bool
    years: float = field(init=False)

    def __post_init__(self) -> None:
        self.years = 0.0

    @classmethod
    def planted(
        cls,
        tapes: Sequence[Tape],
        mine: Sequence[BoolArray],
        blocks: Blocks,
        plant: Plant,
        amount: float,
        cases: int,
        seed: int,
    ) -> Fleet:
        """Return a fleet with `cases` planted in every subject, spread over the judged blocks."""
        sides = []
        for tape, rows, edges in _taken(tapes, mine, blocks):
            judged = [*blocks.early_blocks, *blocks.late_blocks]
            each = -(-cases // len(judged))
            drawn = [
                (row, int(start), b)
                for row in rows.tolist()
                for b in judged
                for start in draw(
                    tape, row, (int(edges[b]), int(edges[b + 1])), plant, each, seed
                ).tolist()
            ]
            source, start, block = (
                np.array([d[i] for d in drawn], np.int64).reshape(-1) for i in range(3)
            )
            sides.append(
                _Side(
                    tape, rows, edges, Script.of(tape, rows),
                    planted(tape, source, start, plant, amount), block, None,
                )
            )  # fmt: skip
        return cls(sides, plant.hours, labelled=False)

    @classmethod
    def of_labels(
        cls,
        tapes: Sequence[Tape],
        mine: Sequence[BoolArray],
        blocks: Blocks,
        labels: Sequence[Label],
        horizon_h: float,
    ) -> Fleet:
        """Return a fleet whose cases are what people have confirmed; the rest is false."""
        sides = []
        for tape, rows, edges in _taken(tapes, mine, blocks):
            at = {tape.subjects[row]: i for i, row in enumerate(rows.tolist())}
            known = [x for x in labels if x.subject in at]
            first, step = tape.frame.first_slot, tape.interval_s
            start = np.array([x.start_s // step - first for x in known], np.int64)
            stop = np.array([-(-x.stop_s // step) - first for x in known], np.int64)
            row = np.array([at[x.subject] for x in known], np.int64)
            inside = (start >= edges[1]) & (start < tape.slots)
            longest = round(horizon_h * 3600 / step)
            wrong = Wrong(row, start, np.maximum(stop, start + longest))
            keep = np.flatnonzero(inside)
            block = np.searchsorted(edges, start[keep], "right") - 1
            cases = Script(
                tape, row[keep], start[keep], np.minimum(start[keep] + longest, tape.slots),
                np.zeros((0, 0, 0), np.float32),
            )  # fmt: skip
            sides.append(_Side(tape, rows, edges, Script.of(tape, rows), cases, block, wrong))
        return cls(sides, horizon_h, labelled=True)

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return len(np.unique(np.concatenate([s.tape.key[s.rows] for s in self.sides])))

    @property
    def cases(self) -> int:
        """Number of cases."""
        return sum(len(s.block) for s in self.sides)

    def judge(
        self, params: Mapping[str, float], budgets: Sequence[float], spans: Mapping[str, range]
    ) -> dict[tuple[float, str], Outcome]:
        """Return what parameters come to, by (budget, name of span of blocks)."""
        played = []
        for side in self.sides:
            own = {**side.tape.params, **params}
            calm = side.untouched.play(own)
            told = calm
            if not self.labelled and side.cases is not None and len(side.block):
                told = side.cases.play(own)
            elif self.labelled and side.cases is not None:
                told = Track(calm.urgency[:, side.cases.source], calm.onset[:, side.cases.source])
            played.append((side, calm, told))
        parts = [Part(s.tape, calm, s.rows, s.edges, s.wrong) for s, calm, _ in played]
        out = {}
        for budget in budgets:
            paid = pay(parts, budget)
            for name, span in spans.items():
                out[budget, name] = self._outcome(played, paid, span, budget)
        return out

    def _outcome(self, played: Sequence[tuple[_Side, Track, Track]], paid: Sequence[Paid],
                 span: range, budget: float) -> Outcome:  # fmt: skip
        delays, keys, false, years = [], [], 0.0, 0.0
        for (side, _, told), one in zip(played, paid, strict=True):
            false += float(one.false[span.start : span.stop].sum())
            years += float(one.years[span.start : span.stop].sum())
            pick = np.isin(side.block, list(span))
            if side.cases is None or not pick.any():
                continue
            rows = side.rows[side.cases.source] if self.labelled else side.cases.source
            cut = Track(told.urgency[:, pick], told.onset[:, pick])
            delays.append(
                delays_h(side.tape, cut, rows[pick], side.cases.start[pick],
                         side.cases.stop[pick], one)
            )  # fmt: skip
            keys.append(side.tape.key[rows[pick]])
        late = np.concatenate(delays) if delays else np.zeros(0)
        key = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        every = np.unique(np.concatenate([s.tape.key[s.rows] for s in self.sides]))
        number = np.searchsorted(every, key)
        waits = per_subject(np.minimum(late, self.horizon_h), number, range(len(every)))
        rate = false / years if years else np.nan
        return Outcome(waits, late, rate / budget, rate)
