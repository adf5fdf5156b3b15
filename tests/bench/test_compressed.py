"""The bench of compressed tables: what is kept of a home says the same as all of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.quality import compressed
from bench.quality.hours import Hours, load
from bench.quality.reference import FULL, SHIPPED


@pytest.fixture(scope="module")
def few(data: Path) -> Hours:
    """Two real homes, four months of them; in the second a tap drips."""
    hours = load("homes_water").take(np.array([3, 20]))
    slots = 120 * 24
    return replace(
        hours,
        values=hours.values[:slots] + np.array([0, 4], np.float32),
        known_s=hours.known_s[:slots],
        local_hour=hours.local_hour[:slots],
        local_day=hours.local_day[:slots],
        rest=hours.rest[:slots],
        end=np.minimum(hours.end, slots),
    )


@pytest.fixture(scope="module")
def kept(few: Hours) -> compressed.Told:
    return compressed.shipped(few, 4)


@pytest.fixture(scope="module")
def full(kept: compressed.Told) -> compressed.Told:
    return compressed.in_full(kept, FULL, "in full")


def test_what_is_kept_says_what_a_home_in_full_says(
    kept: compressed.Told, full: compressed.Told
) -> None:
    found = compressed.compare(kept, full)
    compressed.check("a few homes", found)
    assert len(kept.run.cases) == 8
    assert found["hours_of_evidence"] > 1000
    assert 0 < found["evidence_apart"] <= compressed.HALF_STEP + compressed.FLOAT32
    assert compressed.visits(full.run)[0] > 20
    assert np.isfinite(compressed.delays(full.run)).any(axis=0).all(), "an alert at every price"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(SHIPPED, codes=15.0), "evidence differs"),
        (replace(SHIPPED, least=-3.0), "evidence differs"),
        (replace(SHIPPED, units=(1000.0, 0.2, 1.0)), "other signs of life"),
        (replace(SHIPPED, days=20), "evidence differs"),
    ],
    ids=["coarse codes", "too few codes", "coarse nights", "short record"],
)
def test_what_is_kept_too_coarsely_is_noticed(
    kept: compressed.Told, full: compressed.Told, broken, said: str
) -> None:
    lossy = compressed.in_full(kept, broken, "lossy")
    with pytest.raises(AssertionError, match=said):
        compressed.check("a few homes", compressed.compare(lossy, full))


def test_moments_that_come_late_are_noticed(kept: compressed.Told, full: compressed.Told) -> None:
    """As if a moment lay a step further on the grid: urgency comes two hours later."""
    late = kept.run.track.take(np.arange(2))
    late.urgency[2:] = np.where(
        late.onset[2:] == late.onset[:-2], np.minimum(late.urgency[2:], late.urgency[:-2]), 0
    )
    cases = [replace(c, track=c.track.take(np.array([0]))) for c in kept.run.cases]
    for case in cases:
        case.track.urgency[2:] = case.track.urgency[:-2]
    slow = replace(kept, run=replace(kept.run, track=late, cases=cases))
    with pytest.raises(AssertionError, match="median differs") as told:
        compressed.check("a few homes", compressed.compare(slow, full))
    assert "alerts at another hour" in str(told.value)
    assert "false visits more or less" in str(told.value)


def test_bytes_of_a_home_kept_and_in_full() -> None:
    size = compressed.bytes_a_home(channel=0)
    assert size["kept"] <= 1024
    assert size["full"] >= 3 * size["kept"]


def test_figures_are_a_table_and_json(few: Hours) -> None:
    figures = compressed.bench(few.take(np.array([0])), cases=1)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    shown = compressed.table(figures).splitlines()
    assert shown[0].startswith("homes_water: 1 homes")
    assert len(shown) == 2 + len(compressed.SHOWN) + 3
