"""The Numenta Anomaly Benchmark: our own scorer, and a table against published figures.

References
----------
Lavin & Ahmad (2015), "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly
Benchmark", doi:10.1109/ICMLA.2015.141: equations (1) to (4). As the reference scorer does, the
first 15 % of a file, at most 750 rows, are not scored, and a detection after a window costs more
the farther it lies from it, until it costs the full weight.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBATION_SHARE, PROBATION_ROWS = 0.15, 750
FAR = 3.0
"""Windows' widths behind a window at which a false alarm costs its full weight."""


@dataclass(frozen=True)
class Profile:
    """What a false alarm and a missed window cost; a window found at once earns 1."""

    name: str
    false_alarm: float
    missed: float


PROFILES = (
    Profile("standard", 0.11, 1.0),
    Profile("low FP", 0.22, 1.0),
    Profile("low FN", 0.11, 2.0),
)

PUBLISHED_HERE: Mapping[str, tuple[float, float, float]] = {
    "ARTime": (78.2, 70.4, 83.1),
    "CAD OSE": (74.1, 71.7, 76.9),
    "Numenta": (71.2, 65.0, 75.9),
    "KNN-CAD": (64.4, 50.4, 71.0),
    "Random Cut Forest": (52.0, 38.3, 61.0),
    "Windowed Gaussian": (36.7, 21.4, 45.2),
}
"""On the 31 files of the data folder, from the benchmark's published outputs (data/README.md)."""


@dataclass(frozen=True)
class Series:
    """One file of the corpus.

    Parameters
    ----------
    name : str
        ``realTraffic/speed_6005.csv``.
    values : ndarray of float64, shape (n,)
    windows : list of (int, int)
        First and last row of each labelled window.
    """

    name: str
    values: NDArray[np.float64]
    windows: list[tuple[int, int]]

    @property
    def probation(self) -> int:
        """Rows at the beginning that are not scored."""
        return int(min(PROBATION_SHARE * len(self.values), PROBATION_SHARE * 5000))


def load(folder: Path) -> list[Series]:
    """Read the corpus: ``windows.json`` and the files that it names, sorted by name.

    Raises
    ------
    ValueError
        If a window's limits are not stamps of its file.
    """
    labels = json.loads((folder / "windows.json").read_text())
    corpus = []
    for name in sorted(labels):
        with (folder / "data" / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        first: dict[str, int] = {}
        for number, row in enumerate(rows):
            first.setdefault(row["timestamp"], number)
        try:
            windows = [(first[a[:19]], first[b[:19]]) for a, b in labels[name]]
        except KeyError as stamp:
            raise ValueError(f"{name}: window limit {stamp} is not a stamp of the file") from None
        corpus.append(Series(name, np.array([float(row["value"]) for row in rows]), windows))
    return corpus


def sigmoid(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2 / (1 + e^{5y}) − 1 of positions y in window widths; equation (2).

    >>> [round(float(w), 3) for w in sigmoid(np.array([-1.0, 0.0, 1.0, 9.0]))]
    [0.987, 0.0, -0.987, -1.0]
    """
    return np.where(position > FAR, -1.0, 2 / (1 + np.exp(5 * np.minimum(position, FAR))) - 1)


def weigh(series: Series) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what a detection at each row is worth, and the window each row lies in (−1: none)."""
    row = np.arange(len(series.values))
    weight = np.full(len(row), -1.0)
    window = np.full(len(row), -1, np.int64)
    for number, (start, stop) in enumerate(series.windows):
        width = stop - start + 1
        inside = slice(start, stop + 1)
        window[inside] = number
        weight[inside] = sigmoid((row[inside] - stop - 1) / width) / sigmoid(np.array(-1.0))
        after = row[stop + 1 :]
        weight[stop + 1 :] = sigmoid((after - stop) / (width - 1))
    return weight, window


@dataclass(frozen=True)
class Result:
    """A profile's normalised score (0: nothing found, 100: perfect) and the threshold it needs."""

    score: float
    threshold: float
    found: int
    windows: int
    false_alarms: int


Scores = Mapping[str, NDArray[np.float64]]


def sweep(corpus: Sequence[Series], scores: Scores, profile: Profile) -> Result:
    """Return the best score over all thresholds, one threshold for the whole corpus."""
    return _evaluate(corpus, scores, profile, None)


def at_threshold(
    corpus: Sequence[Series], scores: Scores, profile: Profile, threshold: float
) -> Result:
    """Return the score when every row at or above `threshold` is an alarm."""
    return _evaluate(corpus, scores, profile, threshold)


def _evaluate(
    corpus: Sequence[Series], scores: Scores, profile: Profile, threshold: float | None
) -> Result:
    """Walk the alarms from the highest score down, adding up what each changes."""
    total = sum(len(series.windows) for series in corpus)
    if total == 0:
        raise ValueError("a corpus without any window cannot be scored")
    columns = [_changes(series, scores[series.name], profile) for series in corpus]
    score, gain, hit, false = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.argsort(-score, kind="stable")
    score, gain, hit, false = score[order], gain[order], hit[order], false[order]
    sums = -profile.missed * total + np.r_[0.0, np.cumsum(gain)]
    # rows of one score are alarms together: only the last of them is a possible place to stop
    ends = np.r_[0, np.flatnonzero(np.r_[score[1:] != score[:-1], True]) + 1] if len(score) else [0]
    if threshold is None:
        stop = int(ends[int(np.argmax(sums[ends]))])
    else:
        stop = int(np.searchsorted(-score, -threshold, side="right"))
    null, perfect = -profile.missed * total, float(total)
    return Result(
        score=float(100 * (sums[stop] - null) / (perfect - null)),
        threshold=float(score[stop - 1]) if stop and threshold is None else threshold or np.inf,
        found=int(hit[:stop].sum()),
        windows=total,
        false_alarms=int(false[:stop].sum()),
    )


def _changes(
    series: Series, score: NDArray[np.float64], profile: Profile
) -> tuple[NDArray[np.float64], ...]:
    """Return per scored row: its score, what it adds, whether it finds a window, is it false.

    Within a window only the best detection counts, so a row adds what it is better by than the
    rows with higher scores.
    """
    if len(score) != len(series.values):
        raise ValueError(
            f"{series.name}: {len(score)} scores for {len(series.values)} rows; "
            "a scores file has one row per input row"
        )
    weight, window = weigh(series)
    scored = (np.arange(len(score)) >= series.probation) & ~np.isnan(score)
    gain = np.where(window < 0, weight * profile.false_alarm, 0.0)
    hit = np.zeros(len(score), bool)
    for number in range(len(series.windows)):
        rows = np.flatnonzero((window == number) & scored)
        rows = rows[np.lexsort((rows, -score[rows]))]
        best = np.maximum.accumulate(weight[rows])
        gain[rows] = np.diff(np.r_[-profile.missed, best])
        hit[rows[:1]] = True
    return score[scored], gain[scored], hit[scored], (window < 0)[scored]


def read_scores(folder: Path, corpus: Iterable[Series], column: str) -> dict[str, Any]:
    """Read one scores file per series from `folder`."""
    out = {}
    for series in corpus:
        with (folder / series.name).open(newline="") as file:
            out[series.name] = np.array([float(row[column]) for row in csv.DictReader(file)])
    return out


def run(
    corpus: Sequence[Series], score: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Score every series by itself."""
    return {series.name: score(series.values) for series in corpus}
