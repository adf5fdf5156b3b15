"""The Numenta Anomaly Benchmark: our own scorer, and a table against published figures.

References
----------
Lavin & Ahmad (2015), "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly
Benchmark", doi:10.1109/ICMLA.2015.141: equations (1) to (4). As the reference scorer does, the
first 15 % of a file, at most 750 rows, are not scored, and a detection after a window costs more
the farther it lies from it, until it costs the full weight.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import lookup
from engine.score import read_series, score_values, step_of

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


def data_path() -> Path:
    """Return the folder of real data: GRIDWARDEN_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parent.parent / ".." / "shared" / "data"
    return Path(os.environ.get("GRIDWARDEN_DATA", beside)).resolve()


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
) -> tuple[NDArray[Any], ...]:
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


def left_out(corpus: Sequence[Series], scores: Scores, profile: Profile) -> float:
    """Return the score when each file is judged at the threshold that is best on all others."""
    total = sum(len(series.windows) for series in corpus)
    won = 0.0
    for series in corpus:
        others = [other for other in corpus if other.name != series.name]
        threshold = sweep(others, scores, profile).threshold
        score, gain, _, _ = _changes(series, scores[series.name], profile)
        won += float(gain[score >= threshold].sum())
    return 100 * won / (total * (1 + profile.missed))


def read_scores(folder: Path, corpus: Iterable[Series], column: str) -> dict[str, Any]:
    """Read one scores file per series from `folder`."""
    out = {}
    for series in corpus:
        with (folder / series.name).open(newline="") as file:
            out[series.name] = np.array([float(row[column]) for row in csv.DictReader(file)])
    return out


def check_scorer(folder: Path, corpus: Sequence[Series]) -> None:
    """Assert that the published windowed Gaussian gets its published scores.

    Raises
    ------
    AssertionError
        If the scorer is wrong: no figure of this bench means anything then.
    """
    given = read_scores(folder / "results" / "windowedGaussian", corpus, "anomaly_score")
    got = tuple(round(sweep(corpus, given, profile).score, 1) for profile in PROFILES)
    want = PUBLISHED_HERE["Windowed Gaussian"]
    if got != want:
        raise AssertionError(f"the scorer gives the windowed Gaussian {got}, published is {want}")


def score_corpus(folder: Path, corpus: Sequence[Series], detector: str) -> tuple[Any, float]:
    """Score every file as ``gridwarden score`` does; return scores and CPU microseconds a row."""
    kind = lookup(detector)
    scores: dict[str, NDArray[np.float64]] = {}
    taken: dict[str, float] = {}
    rows: dict[str, int] = {}
    for series in [corpus[0], *corpus]:  # the first one twice: compiled before it is timed
        source = read_series(folder / "data" / series.name, "value")
        begun = time.process_time()
        scores[series.name], _ = score_values(
            kind, {}, source.seconds, source.values, step_of(source.seconds)
        )
        taken[series.name] = time.process_time() - begun
        rows[series.name] = len(source.values)
    return scores, 1e6 * sum(taken.values()) / sum(rows.values())


def run(folder: Path, detectors: Sequence[str]) -> dict[str, Any]:
    """Check the scorer, score the corpus with each detector, return all figures."""
    corpus = load(folder)
    check_scorer(folder, corpus)
    result: dict[str, Any] = {
        "files": len(corpus),
        "windows": sum(len(series.windows) for series in corpus),
        "published": {name: list(figures) for name, figures in PUBLISHED_HERE.items()},
        "detectors": {},
    }
    for detector in detectors:
        scores, micros = score_corpus(folder, corpus, detector)
        at_standard = sweep(corpus, scores, PROFILES[0])
        result["detectors"][detector] = {
            "scores": [round(sweep(corpus, scores, p).score, 2) for p in PROFILES],
            "left_out": [round(left_out(corpus, scores, p), 2) for p in PROFILES],
            "threshold": at_standard.threshold,
            "found": at_standard.found,
            "false_alarms": at_standard.false_alarms,
            "us_per_row": round(micros, 2),
        }
    return result


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as text, best first."""
    rows = [(name, figures, "published") for name, figures in result["published"].items()]
    for name, entry in result["detectors"].items():
        note = (
            f"left-one-file-out {entry['left_out'][0]:.1f}, {entry['found']} windows found, "
            f"{entry['false_alarms']} false alarms, {entry['us_per_row']:.1f} µs a row"
        )
        rows.append((f"gridwarden {name}", entry["scores"], note))
    lines = [f"{'':32s} {'standard':>9s} {'low FP':>8s} {'low FN':>8s}"]
    for name, figures, note in sorted(rows, key=lambda row: -row[1][0]):
        standard, low_fp, low_fn = figures
        lines.append(f"{name:32s} {standard:9.1f} {low_fp:8.1f} {low_fn:8.1f}   {note}")
    return "\n".join(lines)


def main() -> None:
    """Print the table; with ``--json`` also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_path() / "nab")
    parser.add_argument("--detector", action="append", help="default: auto; repeatable")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = run(args.data, args.detector or ["auto"])
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
