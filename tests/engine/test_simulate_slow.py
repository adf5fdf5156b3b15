"""Slow changes of simulated homes: rhythms that turn, decline, tenants who leave and come."""

import itertools

import numpy as np
import pytest

from engine.simulate import Incident, Rates
from tests.engine.test_simulate import QUIET, amounts, small

DAY_H = 24


def litres(data, meter, from_day, to_day, hours=range(24)):
    """Return the litres used between two days in some hours of the day."""
    end_h, used = amounts(data, meter)
    begin = end_h - 1
    mine = (begin >= from_day * DAY_H) & (begin < to_day * DAY_H)
    return used[mine & np.isin(begin.astype(int) % DAY_H, list(hours))].sum()


def test_a_turned_rhythm_moves_use_into_the_night_and_keeps_its_amount():
    turned = Incident("rhythm_turned", "elder-0001", 10, 24 * 60, {"hours": 11})
    one, other = small(40, incidents=[turned]), small(40)
    night = range(5)
    assert litres(one, "elder-0001-w", 0, 10) == litres(other, "elder-0001-w", 0, 10)
    share = litres(one, "elder-0001-w", 25, 40, night) / litres(one, "elder-0001-w", 25, 40)
    usual = litres(other, "elder-0001-w", 25, 40, night) / litres(other, "elder-0001-w", 25, 40)
    assert share > 2 * usual
    assert litres(one, "elder-0001-w", 25, 40) == pytest.approx(
        litres(other, "elder-0001-w", 25, 40), rel=0.1
    )
    (line,) = one.truth
    assert (line["kind"], line["details"]["hours"]) == ("rhythm_turned", 11)


def test_decline_is_slow_and_ends_where_it_says():
    sinking = Incident("decline", "elder-0002", 20, 24 * 400, {"share": 0.5})
    one, other = small(110, incidents=[sinking]), small(110)

    def left(a, b):
        return litres(one, "elder-0002-w", a, b) / litres(other, "elder-0002-w", a, b)

    assert left(0, 20) == 1
    assert left(20, 34) > left(48, 62) > left(80, 110)
    assert 0.35 < left(80, 110) < 0.65


def test_tenants_leave_and_others_come():
    rates = Rates(**{**{f: getattr(QUIET, f) for f in QUIET.__slots__}, "move_out": 4.0})
    data = small(150, seed=4, rentals=12, elderly=0, homes=0, rates=rates)
    left = [line for line in data.truth if line["kind"] == "move_out"]
    come = [line for line in data.truth if line["kind"] == "move_in"]
    assert len(left) >= 8
    assert len(come) >= 5
    spans = {}
    for line in left:
        spans.setdefault(line["subject_id"], []).append((line["from"], line["until"]))
    for mine in spans.values():  # nobody leaves an empty flat
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))
    assert {line["details"]["people"] for line in come} <= {1, 2, 3}
