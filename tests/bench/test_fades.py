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


def test_figures_are_a_table_and_json_without_infinity() -> None:
    of = {"median_days": 48.0, "p90_days": float("inf"), "within_30d": 0.2, "within_45d": 0.5, "within_90d": 0.7}  # fmt: skip
    figures = {
        "firm_years": 552.3,
        "budget 0.2": {"line": 7, "drop 30%": of},
        "real plant": {"days": 181, "alerts": 0},
        "real plant, planted": {"drop 30%": [39.0, float("inf")]},
    }
    shown = fades.table(figures).splitlines()
    assert shown[2].split() == ["0.2", "30%", "48", "d", "never", "0.20", "0.50", "0.70"]
    assert shown[-1].endswith("told after 39 d, never")
    assert fades._finite(figures)["budget 0.2"]["drop 30%"]["p90_days"] is None
