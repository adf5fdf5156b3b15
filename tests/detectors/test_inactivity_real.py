"""`inactivity` on real homes: a small cut of ``bench/quality/homes.py``, to notice if it breaks."""

from pathlib import Path

import numpy as np
import pytest

from bench.quality.homes import Run, at_budget, plain_rule, run
from bench.quality.hours import load


@pytest.fixture(scope="module")
def water(data: Path) -> Run:
    """A dozen homes, four collapses each."""
    return run(load("homes_water").take(np.arange(0, 46, 4)), None, 4, declared=False)


def test_sooner_than_the_plain_rule_at_its_false_visits(water: Run) -> None:
    plain = plain_rule([water], 12)
    found = at_budget([water], plain.visits)
    assert 0.5 <= found.extra["realised_over_asked"] <= 1.1
    assert plain.quantile(0.5) == 13.0
    assert found.quantile(0.5) <= 10.0
    assert found.within(13.0) >= 0.75
