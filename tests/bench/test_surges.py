"""The surge benchmark: its alarms, its threshold, and the asked figure."""

from pathlib import Path

import numpy as np
import pytest

from bench.quality import surges
from engine.score import read_series


def test_alarms_within_a_day_are_one() -> None:
    above = np.zeros(200, bool)
    above[[10, 11, 30, 55, 80, 120]] = True
    assert surges.alarms(above) == 4  # 10 to 30; 55; 80; 120
    assert surges.alarms(np.zeros(5, bool)) == 0


def test_threshold_spends_the_alarms_it_may() -> None:
    score = np.random.default_rng(0).random(2 * surges.HOURS_A_YEAR)
    line = surges.threshold(score)
    judged = score[surges.WARM_UP_H :]
    allowed = 12 * len(judged) / surges.HOURS_A_YEAR
    assert surges.alarms(judged >= line) <= allowed
    assert surges.alarms(judged >= line) >= allowed - 1


def test_ears_c1_by_hand() -> None:
    x = np.full(8 * surges.WEEK_H, 10.0)
    x[::2] = 16.0
    x[surges.WEEK_H * 7] = 40
    c1 = surges.ears("C1")(x)
    assert c1[surges.WEEK_H * 7] == pytest.approx((40 - 16) / surges.LEAST_DEVIATION)
    assert np.isnan(c1[:336]).all()


def test_surge_finds_four_in_five_within_three_hours(data: Path) -> None:
    series = read_series(data / "counts" / "fremont_hourly.csv.gz", "east")
    at = surges.starts(series, 120, seed=1)
    ours = surges.judge(surges.detector("surge", series), series, at)
    c1 = surges.judge(surges.ears("C1"), series, at)
    assert ours["within_3h"] >= 0.8
    assert ours["within_3h"] >= c1["within_3h"] + 0.1
