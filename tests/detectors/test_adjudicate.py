"""`adjudicate`: power cut, dead concentrator and one person alone are told apart."""

import numpy as np
import pytest
from scipy.stats import betabinom

from bench.quality import silence
from detectors.adjudicate import DEAD_CONCENTRATOR, NONE, POWER_CUT, Adjudicate, log10_ratio
from detectors.base import DetectorError, Frame
from engine.simulate import Incident, Rates, Town, TownConfig


def run(values, community=None, hours_before=72, **params):
    """Return kinds (slots, groups) for census counts (slots, 5, groups) after quiet days."""
    quiet = values[:1].repeat(hours_before, axis=0)
    values = np.concatenate([quiet, values]).astype(np.float32)
    detector = Adjudicate(values.shape[2], interval_s=3600, **params)
    if community is not None:
        detector.join(np.array(community))
    kinds, signals = [], []
    for t in range(len(values)):
        hour = np.array([[t % 24]], np.int32)
        frame = Frame(t, values[t : t + 1], hour, hour * 0, np.zeros((1, 1), bool))
        signals.append(detector.step(frame))
        kinds.append(detector.verdict(np.arange(detector.rows)))
    return np.array(kinds)[hours_before:], signals[hours_before:], detector


def census(electric, battery, *, missing_e=0, missing_b=0, zero=0):
    reporting = electric - missing_e
    missing = missing_e + missing_b
    return [electric + battery, missing, zero, reporting, electric + battery - missing - zero]


def hours(*groups):
    """Return counts (slots, 5, groups) from a list of slots per group."""
    return np.array(groups, float).transpose(1, 2, 0)


@pytest.mark.parametrize("electric", [5, 9, 60, 5000])
def test_meters_at_zero_are_a_power_cut(electric):
    normal, cut = census(electric, 0), census(electric, 0, zero=electric)
    kinds, _, _ = run(hours([normal, cut, cut, normal]))
    assert kinds[:, 0].tolist() == [NONE, POWER_CUT, POWER_CUT, NONE]


@pytest.mark.parametrize("electric", [5, 30])
def test_electricity_missing_while_battery_meters_report_is_a_power_cut(electric):
    normal = [census(electric, 0), census(0, electric)]
    cut = [census(electric, 0, missing_e=electric), census(0, electric)]
    kinds, _, _ = run(hours([normal[0], cut[0], cut[0]], [normal[1], cut[1], cut[1]]), [0, 0])
    assert (kinds[1:, 0] == POWER_CUT).all()
    assert (kinds[:, 1] == NONE).all()
    mixed, gone = census(electric, electric), census(electric, electric, missing_e=electric)
    kinds, _, _ = run(hours([mixed, gone, gone]))
    assert kinds[2, 0] == POWER_CUT


def test_one_concentrator_missing_among_others_is_dead():
    normal, gone = census(12, 0), census(12, 0, missing_e=12)
    radio, radio_gone = census(0, 20), census(0, 20, missing_b=20)
    kinds, _, _ = run(hours([normal, gone, gone], [normal] * 3, [radio] * 3), [4, 4, 4])
    assert kinds[2].tolist() == [DEAD_CONCENTRATOR, NONE, NONE]
    kinds, _, _ = run(hours([normal] * 2, [normal] * 2, [radio, radio_gone]), [4, 4, 4])
    assert kinds[1].tolist() == [NONE, NONE, DEAD_CONCENTRATOR]
    # the same silence in another community is no news about this one
    kinds, _, _ = run(hours([normal, gone], [normal, normal]), [0, 1])
    assert kinds[1].tolist() == [DEAD_CONCENTRATOR, NONE]


def test_all_concentrators_at_once_are_a_power_cut():
    normal, gone = census(9, 3), census(9, 3, missing_e=9, missing_b=3)
    kinds, _, _ = run(hours([normal, gone], [normal, gone]), [0, 0])
    assert kinds[1].tolist() == [POWER_CUT, POWER_CUT]


@pytest.mark.parametrize("tells", [0.0, POWER_CUT, DEAD_CONCENTRATOR])
def test_one_concentrator_speaks_for_a_cut_and_tells_of_all(tells):
    small, large = census(9, 3), census(30, 0)
    gone = census(9, 3, missing_e=9, missing_b=3), census(30, 0, missing_e=30)
    slots = [small, gone[0], gone[0], gone[0]], [large, gone[1], gone[1], large]
    kinds, signals, detector = run(hours(*slots), [0, 0], tells=tells)
    assert kinds[1].tolist() == [POWER_CUT, POWER_CUT]
    urgent = [s.urgency[0] > 0 for s in signals]
    if tells == DEAD_CONCENTRATOR:  # a cut is not what was asked for; one group left dark is
        assert [u.tolist() for u in urgent[1:3]] == [[False, False]] * 2
        return
    # the larger speaks for both for as long as it lasts; the smaller never speaks of this cut
    assert [u.tolist() for u in urgent[1:3]] == [[False, True]] * 2
    facts = detector.explain(np.array([1, 0]))
    assert facts["expected"].tolist() == [30, 12]
    _, _, dark = run(hours(*[s[:3] for s in slots]), [0, 0], tells=tells)
    assert dark.explain(np.array([1]))["expected"].tolist() == [42]
    assert dark.explain(np.array([1]))["missing"].tolist() == [42]


@pytest.mark.parametrize("silent", [1, 2])
def test_one_or_two_silent_meters_are_nothing_shared(silent):
    normal, alone = census(20, 10), census(20, 10, missing_e=silent, zero=silent)
    kinds, signals, _ = run(hours([normal] + [alone] * 24))
    assert (kinds == NONE).all()
    assert max(s.evidence[0, 0] for s in signals) < 1


@pytest.mark.parametrize("meters", [1, 2, 4])
def test_a_community_of_one_to_four_meters_is_unknown(meters):
    normal, gone = census(meters, 0), census(meters, 0, missing_e=meters)
    kinds, signals, _ = run(hours([normal, gone, gone]))
    assert (kinds == NONE).all()
    assert not any(s.ready.any() for s in signals)


def test_meters_usually_at_zero_are_no_power_cut():
    """A street of holiday homes: most stand at zero every day."""
    usual = census(20, 0, zero=17)
    kinds, signals, _ = run(hours(*[[usual] * 10 + [census(20, 0, zero=19)] * 5]))
    assert (kinds == NONE).all()
    assert max(s.evidence[0, 0] for s in signals) < 1


def test_part_of_a_street_waits_one_slot():
    normal, part = census(30, 0), census(30, 0, missing_e=15)
    kinds, _, detector = run(hours([normal, part, part, normal]))
    assert kinds[:, 0].tolist() == [NONE, NONE, POWER_CUT, NONE]
    facts = detector.explain(np.array([0]))
    assert facts["expected"][0] == 30


def test_coming_back_is_still_the_same_outage():
    normal, gone, part = census(15, 0), census(15, 0, missing_e=15), census(15, 0, missing_e=6)
    slots = [normal, part, gone, gone, part, normal]
    kinds, _, _ = run(hours(slots, [normal] * 6, [census(0, 20)] * 6), [1, 1, 1])
    assert kinds[:, 0].tolist() == [NONE, NONE, *[DEAD_CONCENTRATOR] * 3, NONE]
    assert (kinds[:, 1:] == NONE).all()


def test_no_census_ends_nothing():
    normal, gone = census(30, 0), census(30, 0, zero=30)
    values = hours([normal, gone, gone, gone])
    values[2:] = np.nan
    kinds, signals, _ = run(values)
    assert (kinds[1:] == POWER_CUT).all()
    assert (np.diff([s.urgency[0, 0] for s in signals[1:]]) == 0).all()


def test_an_outage_teaches_nothing_for_a_week():
    normal, gone = census(20, 0), census(20, 0, missing_e=20)
    kinds, _, _ = run(hours([normal] + [gone] * 100))
    assert (kinds[1:] == DEAD_CONCENTRATOR).all()


def test_ratio_is_that_of_two_beta_binomials():
    for k, n, usual in ((5, 5, 0.02), (9, 30, 0.1), (30, 30, 0.4), (4000, 5000, 0.2)):
        single = betabinom.logpmf(k, n, usual * 30, (1 - usual) * 30)
        shared = np.log(0.5 * betabinom.pmf(k, n, 6, 0.6) + 0.5 / (n + 1))
        assert log10_ratio(k, n, usual) == pytest.approx((shared - single) / np.log(10), abs=1e-5)


def test_join_wants_one_community_a_row():
    with pytest.raises(DetectorError, match="one community a row"):
        Adjudicate(3, interval_s=3600).join(np.array([0, 1]))


def test_told_apart_on_a_simulated_street():
    config = TownConfig(
        streets=1, communities_per_street=2, elderly=24, homes=24, plants=0, closed_plants=0, feeds=False,
        weather=False, rates=Rates(visit=12, collapse=4, power_cut=60, dead_concentrator=30),
    )  # fmt: skip
    table, figures = silence.judge_town(Town(config).generate(24, 5))
    assert set(table) >= {"power cut", "dead concentrator", "one alone"}
    for truth, by in table.items():
        assert set(by) == {"nothing shared" if truth == "one alone" else truth}
    assert figures["false_verdict_hours"] == 0


def test_one_cut_among_declared_incidents_is_seen_where_it_is():
    config = TownConfig(
        streets=1, elderly=24, homes=24, plants=0, closed_plants=0, feeds=False, weather=False,
        rates=Rates(visit=0, holiday=0, power_cut=0, dead_concentrator=0),
        incidents=(Incident("power_cut", "330199001002", 6.5, 5, {"meters": "zero"}),),
    )  # fmt: skip
    counts = silence.census_of(Town(config).generate(8, 5))
    kinds, _ = silence.verdicts(counts)
    where = np.array([c == "330199001002" and "radio" not in k for c, k in counts.names])
    hour = 156
    assert (kinds[hour + 1 : hour + 4, where] == POWER_CUT).all()
    assert (kinds[:, ~where] == NONE).all()
    assert (kinds[: hour - 1] == NONE).all()
