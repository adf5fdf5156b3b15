"""The bench of fading firms: what it simulates, and the figures on the real plant."""

from pathlib import Path

import numpy as np

from bench.quality import fades


def test_the_real_plant_does_not_fade_and_a_planted_fade_is_found(data: Path) -> None:
    daily, first, rest = fades.real_plant(data)
    assert len(daily) == 181
    assert fades.alerts_at(fades.run(daily, first, rest), 7) == 0
    found = fades.delays(daily, 0.7, 7, 0, first, rest, 100)[0]
    assert found <= 45  # three weeks of them the ramp
    assert fades.delays(daily, 0.5, 7, 0, first, rest, 100)[0] <= 30


def test_simulated_firms_keep_the_budget_and_halving_is_found() -> None:
    rest = fades.rest_days(fades.FIRST, 400)
    quiet = fades.firms(80, 400, seed=5)
    rate, years = fades.rates(fades.run(quiet, fades.FIRST, rest))
    assert years > 75
    assert rate[6] <= 0.7
    days = fades.delays(quiet, 0.5, 7, 2, fades.FIRST, rest, 120)
    assert np.median(days) <= 30
    assert (days <= 45).mean() >= 0.9


def test_spring_festival_is_no_fade() -> None:
    """Three weeks of standstill around the holiday, in firms that are steady otherwise."""
    rest = fades.rest_days(fades.FIRST, 500)
    weekday = np.arange(500) % 7
    daily = np.where(weekday < 5, 4000.0, 500.0)[:, None] * np.ones((1, 3))
    daily *= np.exp(np.random.default_rng(1).normal(0, 0.08, daily.shape))
    ((first, last), *_) = fades._festivals(rest)
    daily[first - 7 : last + 12] = 250
    signals = fades.run(daily, fades.FIRST, rest)
    assert signals.urgency.max() <= 6
