"""The benchmark's scorer: by hand on a tiny corpus, and against the published figures."""

from pathlib import Path

import numpy as np
import pytest

from bench import nab

STANDARD, LOW_FP, LOW_FN = nab.PROFILES


def tiny(n: int = 100, windows: tuple[tuple[int, int], ...] = ((50, 59),)) -> nab.Series:
    return nab.Series("tiny", np.zeros(n), list(windows))


def at(*rows: int, n: int = 100) -> dict[str, np.ndarray]:
    scores = np.zeros(n)
    scores[list(rows)] = 1
    return {"tiny": scores}


def weight(position: float) -> float:
    return 2 / (1 + np.exp(5 * position)) - 1


@pytest.mark.parametrize(
    ("rows", "raw"),
    [
        ((50,), 1.0),  # at the window's first row: the full weight
        ((59,), weight(-0.1) / weight(-1)),  # at its last row: a small one
        ((50, 55, 59), 1.0),  # only the best counts
        ((30,), -1 - 0.11),  # before any window: full cost, and the window is missed
        ((62,), -1 + 0.11 * weight(3 / 9)),  # just behind: less than the full cost
        ((99,), -1 - 0.11),  # far behind
        ((3,), -1.0),  # in probation: not scored
    ],
)
def test_what_one_alarm_is_worth(rows: tuple[int, ...], raw: float) -> None:
    result = nab.at_threshold([tiny()], at(*rows), STANDARD, 1.0)
    assert result.score == pytest.approx(100 * (raw + 1) / 2)


def test_profiles_weigh_false_alarms_and_misses() -> None:
    scores = at(30, 50)
    assert nab.at_threshold([tiny()], scores, LOW_FP, 1.0).score == pytest.approx(100 - 11)
    assert nab.at_threshold([tiny()], scores, LOW_FN, 1.0).score == pytest.approx(100 - 11 / 3)


def test_the_best_threshold_is_found_and_ties_stay_together() -> None:
    scores = at(50)
    scores["tiny"][[30, 31]] = 0.5
    result = nab.sweep([tiny()], scores, STANDARD)
    assert (result.score, result.threshold, result.found, result.false_alarms) == (100, 1, 1, 0)
    scores["tiny"][50] = 0.5
    tied = nab.sweep([tiny()], scores, STANDARD)
    assert tied.false_alarms == 2
    assert tied.score == pytest.approx(100 - 11)


def test_nan_is_no_alarm_and_short_scores_are_refused() -> None:
    scores = at(50)
    scores["tiny"][30] = np.nan
    assert nab.sweep([tiny()], scores, STANDARD).score == 100
    with pytest.raises(ValueError, match="99 scores for 100 rows"):
        nab.sweep([tiny()], {"tiny": np.zeros(99)}, STANDARD)


def test_published_windowed_gaussian_is_reproduced(data: Path) -> None:
    nab.check_scorer(data / "nab", nab.load(data / "nab"))


def test_a_wrong_scorer_is_noticed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nab, "FAR", 0.5)
    with pytest.raises(AssertionError, match="published is"):
        nab.check_scorer(data / "nab", nab.load(data / "nab"))


def test_auto_keeps_its_score(data: Path) -> None:
    """The asked figure: at least 74 on the standard profile, one fixed setting."""
    corpus = nab.load(data / "nab")
    scores, micros = nab.score_corpus(data / "nab", corpus, "auto")
    assert nab.sweep(corpus, scores, STANDARD).score >= 74
    assert micros > 0


def test_left_out_judges_each_file_at_the_others_threshold() -> None:
    a = nab.Series("a", np.zeros(100), [(50, 59)])
    b = nab.Series("b", np.zeros(100), [(50, 59)])
    high, low = np.zeros(100), np.zeros(100)
    high[50], low[50] = 0.9, 0.5
    # a's own best threshold (.9) finds nothing in b; b's (.5) finds a
    assert nab.left_out([a, b], {"a": high, "b": low}, STANDARD) == pytest.approx(50)


def test_table_is_sorted_best_first() -> None:
    entry = {"scores": [90, 1, 1], "left_out": [80, 1, 1], "found": 1, "false_alarms": 0}
    text = nab.table(
        {"published": {"Old": [50, 40, 60]}, "detectors": {"new": {**entry, "us_per_row": 1}}}
    )
    assert text.index("gridwarden new") < text.index("Old")
