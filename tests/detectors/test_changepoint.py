"""`changepoint`: run lengths under noise, and how soon a new level is seen."""

import numpy as np
import pytest

from detectors.changepoint import Changepoint
from tests.detectors.cases import frame_of

ROWS, DAYS = 60, 120


def noise(kind: str, rng: np.random.Generator, slots: int) -> np.ndarray:
    if kind == "skewed":
        return rng.gamma(4, 0.5, (slots, ROWS))
    white = rng.normal(size=(slots, ROWS))
    if kind == "autocorrelated":
        for t in range(1, slots):
            white[t] += 0.6 * white[t - 1]
    return white


@pytest.mark.parametrize("kind", ["normal", "skewed", "autocorrelated"])
def test_average_run_length_is_at_least_what_the_line_says(kind: str) -> None:
    slots = DAYS * 24
    values = 10 + noise(kind, np.random.default_rng(4), slots)
    frame = frame_of(values.astype(np.float32)[:, None], 400_000, 3600)
    signals = Changepoint(ROWS, interval_s=3600, warm_up=21).step(frame)
    line = 2.5
    above = np.nan_to_num(signals.evidence, nan=-1) >= line
    alarms = (above[1:] & ~above[:-1]).sum()
    run_length = signals.ready.sum() / max(alarms, 1)
    assert run_length >= 10**line


@pytest.mark.parametrize("size", [1.5, -1.5])
def test_a_new_level_is_seen_within_a_day(size: float) -> None:
    slots = DAYS * 24
    values = 10 + noise("normal", np.random.default_rng(4), slots)
    values[-48:] += size
    frame = frame_of(values.astype(np.float32)[:, None], 400_000, 3600)
    detector = Changepoint(ROWS, interval_s=3600)
    evidence = detector.step(frame).evidence[-48:]
    delay = np.argmax(evidence >= 2.5, axis=0)
    assert np.median(delay) <= 10
    assert (evidence[:24].max(axis=0) >= 2.5).mean() > 0.95
    assert (detector.explain(np.arange(ROWS))["direction"] == np.sign(size)).all()
