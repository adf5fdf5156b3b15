"""`inactivity` beyond the common suite: amendments, absences, standby, what it says of itself."""

from collections.abc import Sequence

import numpy as np
import pytest

from detectors.base import NO_SLOT, NS, Frame
from detectors.inactivity import Inactivity
from detectors.inactivity_kernels import LOST_H
from tests.detectors.twin_inactivity import inactivity as twin

HOUR_S = 3600
FIRST = 24 * 18_000  # midnight, a Friday
ELECTRICITY, WATER, GAS = range(3)


def frame(values: np.ndarray, slot: int) -> Frame:
    """Hours from `slot` on, UTC; values of shape (T, N) are litres, (T, 3, N) all channels."""
    if values.ndim == 2:
        channels = np.full((len(values), 3, values.shape[1]), np.nan, np.float32)
        channels[:, WATER] = values
        values = channels
    hours = slot + np.arange(len(values))
    day = (hours // 24).astype(np.int32)[:, None]
    return Frame(
        slot,
        values.astype(np.float32),
        (hours % 24).astype(np.int32)[:, None],
        day,
        (day + 3) % 7 >= 5,
    )


def habits(rng: np.random.Generator, days: int, homes: int, busy: float = 0.55) -> np.ndarray:
    """Litres: quiet nights, busy days."""
    hour = np.arange(days * 24) % 24
    chance = np.where((hour >= 7) & (hour < 23), busy, 0.03)[:, None]
    return np.where(rng.random((days * 24, homes)) < chance, 12.0, 0.0)


def lived(
    days: int = 40, homes: int = 1, busy: float = 0.9, seed: int = 0, fed: Sequence[int] = (1,)
) -> Inactivity:
    """A detector that has seen some days; its next slot is the midnight after."""
    detector = Inactivity(homes, interval_s=HOUR_S, fed=fed)
    detector.step(frame(habits(np.random.default_rng(seed), days, homes, busy), FIRST))
    return detector


def go_on(detector: Inactivity, values: list[float]):
    """Step on with the same litres for all rows; return the signals."""
    slot = int(detector.state["seen"][0]) + 1
    use = np.repeat(np.array(values, float)[:, None], detector.rows, axis=1)
    return detector.step(frame(use, slot))


def ns(slot: int) -> np.ndarray:
    return np.array([slot * HOUR_S * NS])


# -- amendments --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_amending_equals_having_known(seed: int) -> None:
    """Hours that come late, or come again with another value, leave what a rerun would."""
    rng = np.random.default_rng(seed)
    days, homes = 33, 3
    truth = habits(rng, days, homes, busy=0.3)
    if seed % 3 == 0:
        truth[-30 - seed : -3] = 0.0  # a long silence at the end
    told = truth.copy()
    hour = np.arange(days * 24) % 24
    # By day, for hours keep the standby by which they were judged.
    late = (rng.random(truth.shape) < 0.08) & (hour >= 6)[:, None]
    told[late] = np.where(rng.random(late.sum()) < 0.7, np.nan, 12.0 - truth[late])
    one, other = (Inactivity(homes, interval_s=HOUR_S, fed=[WATER]) for _ in range(2))
    one.step(frame(truth, FIRST))
    pending = [(int(t + rng.integers(1, 7 * 24 - 1)), t, n) for t, n in np.argwhere(late)]
    for t in range(len(told)):
        other.step(frame(told[t : t + 1], FIRST + t))
        last = t == len(told) - 1
        for _, at, n in [p for p in sorted(pending) if p[0] == t or (last and p[0] > t)]:
            values = np.full((3, 1), np.nan, np.float32)
            values[WATER] = truth[at, n]
            other.amend(FIRST + at, np.array([n]), values)
    for name in ("known", "active", "hours", "onset", "silent", "gap", "seen"):
        assert (one.state[name] == other.state[name]).all(), name
    silent = one.state["silent"] >= 2  # a plan of a silence that has ended may lie about
    assert (one.state["moments"] == other.state["moments"])[silent].all()
    assert (one.state["survival"] == other.state["survival"])[silent].all()
    rows = np.arange(homes)
    a, b = one.current(rows), other.current(rows)
    for name in ("evidence", "p_value", "urgency", "onset"):
        assert (getattr(a, name) == getattr(b, name)).all(), name


def test_a_late_sign_of_life_ends_the_silence() -> None:
    detector = lived()
    before = go_on(detector, [12.0] * 12 + [0.0] * 10)
    assert before.urgency[-1, 0] > 20
    slot = int(detector.state["seen"][0])
    values = np.array([[np.nan], [12.0], [np.nan]], np.float32)
    detector.amend(slot - 1, np.array([0]), values)
    after = detector.current(np.array([0]))
    assert after.urgency[0, 0] == 0
    assert after.onset[0, 0] == slot
    detector.amend(
        slot - 1, np.array([0]), np.where(np.isnan(values), values, 0).astype(np.float32)
    )
    assert detector.current(np.array([0])).urgency[0, 0] == before.urgency[-1, 0], "and back again"


def test_a_late_meter_that_shows_nothing_takes_back_no_sign_of_life_of_another() -> None:
    """Gas that arrives half a day late says nothing of the water that was used meanwhile."""
    detector = lived(fed=[0, WATER, 2])
    go_on(detector, [12.0] * 12 + [0.0, 12.0, 0.0])
    before = detector.current(np.array([0]))
    slot = int(detector.state["seen"][0])
    gas = np.array([[np.nan], [np.nan], [0.0]], np.float32)
    for back in range(8, -1, -1):
        detector.amend(slot - back, np.array([0]), gas)
        detector.amend(slot - back, np.array([0]), np.full((3, 1), np.nan, np.float32))
    after = detector.current(np.array([0]))
    assert after.onset[0, 0] == before.onset[0, 0]
    assert after.urgency[0, 0] == before.urgency[0, 0]


def test_what_is_older_than_a_week_is_not_amended() -> None:
    detector = lived()
    kept = {k: v.copy() for k, v in detector.state.items()}
    slot = int(detector.state["seen"][0]) - 7 * 24 - 1
    detector.amend(slot, np.array([0]), np.full((3, 1), 12.0, np.float32))
    assert all(np.array_equal(detector.state[k], v, equal_nan=True) for k, v in kept.items())


# -- missing hours -----------------------------------------------------------------------------


def test_a_missing_hour_raises_nothing_and_short_gaps_count() -> None:
    detector = lived()
    go_on(detector, [12.0] * 12)
    said = go_on(detector, [0.0] * 3 + [np.nan] * 2 + [0.0] + [np.nan] * 3 + [0.0])
    assert (said.urgency[3:5] == said.urgency[2]).all()
    assert detector.explain(np.array([0]))["silent_hours"][0] == 3 + 3 + 1
    assert (said.onset == said.onset[0]).all()


def test_a_home_that_is_not_heard_of_is_not_ready() -> None:
    detector = lived()
    said = go_on(detector, [12.0] + [np.nan] * LOST_H)
    assert said.ready[LOST_H - 1, 0]
    assert not said.ready[LOST_H, 0]
    assert go_on(detector, [0.0]).ready[0, 0]


@pytest.mark.parametrize("known", [0, 1])
def test_readings_that_come_back_after_a_week_begin_a_silence_of_their_own(known: int) -> None:
    """A plan needs the weeks before its silence: one made for another silence must not speak."""
    detector = lived()
    # A silence that is planned, activity, and then nothing is heard of for more than a week.
    go_on(detector, [12.0] * 8 + [0.0] * 6 + [12.0] + [0.0] * known)
    first = int(detector.state["seen"][0]) + 1
    said = go_on(detector, [np.nan] * (LOST_H + 20) + [0.0] * 30)
    back = first + LOST_H + 20
    assert detector.state["onset"][0] == back
    assert said.onset[-30:, 0].tolist() == [back] * 30
    assert detector.state["silent"][0] == 30
    assert said.urgency[-30:-28].max() == 0
    assert said.urgency[-1, 0] > 0
    moments = detector.state["moments"].copy()
    # What is amended is found again as it was lived through.
    detector.amend(back + 3, np.array([0]), np.array([[np.nan], [0.0], [np.nan]], np.float32))
    assert detector.state["onset"][0] == back
    assert (detector.state["moments"] == moments).all()
    # A sign of life before the gap that comes late changes the silence before it, not this one.
    fresh = lived()
    go_on(fresh, [12.0] * 8 + [0.0] * 6 + [12.0] + [0.0] * known + [np.nan] * (LOST_H + 20))
    go_on(fresh, [0.0] * 30)
    assert (fresh.state["moments"] == moments).all()


@pytest.mark.parametrize("missing", [150, 161, 162, 163, 164, 165, 166, 170, 200])
def test_a_home_that_was_away_from_the_network_is_that_of_its_twin(missing: int) -> None:
    rng = np.random.default_rng(missing)
    use = habits(rng, 60, 2, busy=0.7)
    use[-missing - 40 :] = 0.0
    use[-missing - 40 : -40] = np.nan
    use[-missing - 40, 1] = 0.0  # one has a silent hour before, the other is last seen active
    use[-missing - 41] = 12.0
    detector = Inactivity(2, interval_s=HOUR_S)
    hours = frame(use, FIRST)
    want = twin(Inactivity(2, interval_s=HOUR_S), hours)
    said = detector.step(hours)
    assert (said.urgency[-40:] == want.urgency[-40:]).all()
    assert (said.onset[-40:] == want.onset[-40:]).all()
    np.testing.assert_allclose(said.evidence[-40:], want.evidence[-40:], rtol=1e-4, atol=1e-5)


# -- absences, outages, other news -------------------------------------------------------------


def test_a_declared_absence_raises_nothing_and_the_next_silence_is_found_as_soon() -> None:
    told, plain = lived(), lived()
    for detector in (told, plain):
        go_on(detector, [12.0] * 12)
    slot = int(told.state["seen"][0]) + 1
    told.inform("absence", np.array([0]), ns(slot + 2), ns(slot + 50))
    away = go_on(told, [12.0] * 2 + [0.0] * 48)
    assert (away.urgency == 0).all()
    assert (away.onset[2:] == NO_SLOT).all()
    go_on(plain, [12.0] * 2 + [0.0] * 48)
    known = told.state["hours"][0] - plain.state["hours"][0].astype(int)
    assert known == -48, "the hours away teach nothing"
    # Two days back at home, then a true silence from noon on.
    found = []
    for detector in (told, plain):
        go_on(detector, [12.0] * 46)
        come = go_on(detector, [0.0] * 14).urgency[:, 0] >= 20
        assert come.any()
        found.append(int(np.argmax(come)))
    assert found[0] <= found[1]


def test_an_absence_told_afterwards_takes_its_silence_back() -> None:
    detector = lived()
    go_on(detector, [12.0] * 12 + [0.0] * 12)
    slot = int(detector.state["seen"][0])
    hours = int(detector.state["hours"][0])
    detector.inform("absence", np.array([0]), ns(slot - 11), ns(slot + 30))
    assert detector.current(np.array([0])).urgency[0, 0] == 0
    assert detector.state["silent"][0] == 0
    assert (go_on(detector, [0.0] * 29).urgency == 0).all()
    assert int(detector.state["hours"][0]) == hours
    assert go_on(detector, [0.0] * 3).onset[-1, 0] == slot + 30, "afterwards it begins anew"


def test_who_comes_back_early_is_watched_again() -> None:
    detector = lived()
    go_on(detector, [12.0] * 12)
    slot = int(detector.state["seen"][0]) + 1
    detector.inform("absence", np.array([0]), ns(slot), ns(slot + 24 * 20))
    said = go_on(detector, [0.0] * 48 + [12.0])
    assert (said.urgency == 0).all(), "one use may be a neighbour who waters the flowers"
    go_on(detector, [12.0] * 10 + [0.0] * 9 + [12.0] * 4)
    assert go_on(detector, [0.0] * 12).urgency.max() > 20


def test_two_absences_are_remembered_and_one_can_be_moved() -> None:
    detector = lived()
    slot = int(detector.state["seen"][0]) + 1
    for start, end in ((10, 30), (60, 90), (60, 120)):
        detector.inform("absence", np.array([0]), ns(slot + start), ns(slot + end))
    said = go_on(detector, [12.0] * 10 + [0.0] * 20 + [12.0] * 30 + [0.0] * 60)
    assert (said.urgency == 0).all()


def test_an_outage_pauses_a_silence() -> None:
    detector = lived()
    go_on(detector, [12.0] * 12 + [0.0] * 3)
    slot = int(detector.state["seen"][0]) + 1
    detector.inform("outage", np.array([0]), ns(slot), ns(slot + 8))
    go_on(detector, [0.0] * 8)
    assert detector.state["silent"][0] == 3
    go_on(detector, [0.0])
    assert detector.state["silent"][0] == 4
    detector.inform("outage", np.array([0]), ns(slot - 2), ns(slot))
    assert detector.state["silent"][0] == 2, "told afterwards, too"


def test_a_reported_sign_of_life_begins_anew() -> None:
    detector = lived()
    go_on(detector, [12.0] * 12 + [0.0] * 8)
    slot = int(detector.state["seen"][0])
    detector.inform("sign_of_life", np.array([0]), ns(slot), ns(slot))
    assert detector.current(np.array([0])).urgency[0, 0] == 0
    assert go_on(detector, [0.0] * 2).onset[-1, 0] == slot + 1


def test_unknown_news_are_ignored() -> None:
    detector = lived()
    kept = detector.snapshot()[1]
    detector.inform("vehicle", np.array([0]), ns(1), ns(1))
    assert all(np.array_equal(detector.state[k], v, equal_nan=True) for k, v in kept.items())


# -- standby -----------------------------------------------------------------------------------


def fridge(rng: np.random.Generator, hours: int, standby: float) -> np.ndarray:
    """kWh of the highest half-hour: a fridge that cycles, and people by day."""
    hour = np.arange(hours) % 24
    load = standby * (0.6 + 0.4 * rng.random(hours))
    people = (hour >= 7) & (hour < 23) & (rng.random(hours) < 0.8)
    return load + people * rng.uniform(0.2, 1.0, hours)


def electric(load: np.ndarray) -> np.ndarray:
    values = np.full((len(load), 3, 1), np.nan, np.float32)
    values[:, ELECTRICITY, 0] = load
    return values


def test_a_fridge_is_no_sign_of_life() -> None:
    rng = np.random.default_rng(2)
    detector = Inactivity(1, interval_s=HOUR_S)
    detector.step(frame(electric(fridge(rng, 40 * 24 + 12, 0.06)), FIRST))
    slot = int(detector.state["seen"][0]) + 1
    quiet = 0.06 * (0.6 + 0.4 * rng.random(12))
    assert detector.step(frame(electric(quiet), slot)).urgency[-1, 0] > 20
    threshold = detector.explain(np.array([0]))["threshold_kwh"][0]
    assert 0.06 < threshold < 0.09


def test_a_new_appliance_is_learned_from_the_nights_to_come() -> None:
    rng = np.random.default_rng(3)
    told, untold = (Inactivity(1, interval_s=HOUR_S) for _ in range(2))
    for detector in (told, untold):
        detector.step(frame(electric(fridge(rng, 40 * 24, 0.06)), FIRST))
    told.inform("new_appliance", np.array([0]), ns(FIRST), ns(FIRST))
    slot = int(told.state["seen"][0]) + 1
    for detector in (told, untold):
        detector.step(frame(electric(fridge(rng, 3 * 24, 0.3)), slot))
    now, before = (d.explain(np.array([0]))["threshold_kwh"][0] for d in (told, untold))
    assert now > 0.2
    assert before < 0.1, "without the news, the quietest nights of six weeks decide"


def test_a_dripping_tap_is_no_sign_of_life() -> None:
    rng = np.random.default_rng(4)
    detector = Inactivity(1, interval_s=HOUR_S)
    detector.step(frame(habits(rng, 40, 1, 0.9) + 4.0, FIRST))
    assert 4.5 < detector.explain(np.array([0]))["threshold_l"][0] < 8
    assert go_on(detector, [16.0] * 12 + [4.0] * 12).urgency[-1, 0] > 20


def test_any_utility_counts_and_all_known_must_be_silent() -> None:
    rng = np.random.default_rng(5)
    values = np.full((40 * 24 + 12, 3, 2), np.nan)
    values[:, ELECTRICITY] = fridge(rng, len(values), 0.06)[:, None]
    values[:, WATER, 0] = np.where(rng.random(len(values)) < 0.3, 9.0, 0.0)
    values[:, GAS, 0] = 0.0
    detector = Inactivity(2, interval_s=HOUR_S)
    detector.step(frame(values, FIRST))
    slot = int(detector.state["seen"][0]) + 1
    quiet = np.full((8, 3, 2), np.nan)
    quiet[:, ELECTRICITY] = 0.04
    quiet[:, WATER, 0] = 0.0
    assert (detector.step(frame(quiet, slot)).onset[-1] != NO_SLOT).all()
    quiet[0, WATER, 0] = 9.0
    said = detector.step(frame(quiet[:1], slot + 8))
    assert said.onset[0, 0] == NO_SLOT
    assert said.onset[0, 1] != NO_SLOT
    facts = detector.explain(np.array([0]))
    assert facts["last_channel"][0] == WATER
    assert facts["last_amount"][0] == 9.0


# -- what it says of itself --------------------------------------------------------------------


def test_ready_within_two_days_and_own_within_28() -> None:
    detector = Inactivity(1, interval_s=HOUR_S)
    use = habits(np.random.default_rng(6), 30, 1, 0.9)
    said = detector.step(frame(use[: 24 * 7], FIRST))
    assert np.flatnonzero(said.ready[:, 0])[0] == 47
    row = np.array([0])
    assert detector.explain(row)["own"][0] == 0
    assert go_on(detector, [12.0] * 12 + [0.0] * 14).urgency[-1, 0] > 15, "peers speak for it"
    go_on(detector, use[: 24 * 21, 0].tolist())
    assert detector.explain(row)["own"][0] == 1


def test_facts_tell_the_story() -> None:
    detector = lived(days=60, busy=0.95)
    go_on(detector, [0.0] * 8 + [15.0] * 4 + [0.0] * 7)
    facts = {k: v[0] for k, v in detector.explain(np.array([0])).items()}
    slot = int(detector.state["seen"][0])
    assert facts["silent_hours"] == 7
    assert facts["onset"] == slot - 6
    assert facts["last_channel"] == WATER
    assert facts["last_amount"] == 15.0
    assert facts["usual_share"] > 0.95
    assert facts["threshold_l"] == 1.0
    assert np.isnan(facts["threshold_kwh"])
    assert 2 <= facts["usual_hours"] <= 4
    assert facts["usual_first_sign_hour"] == (12 + facts["usual_hours"]) % 24
    p = detector.current(np.array([0])).p_value[0, 0]
    assert np.isclose(facts["usual_share"], 1 - p, atol=1e-6)


def test_urgency_never_falls_within_a_silence_and_moments_are_in_order() -> None:
    detector = lived(homes=5, busy=0.5)
    said = go_on(detector, [12.0] + [0.0] * 80)
    assert (np.diff(said.urgency[1:].astype(int), axis=0) >= 0).all()
    assert (np.diff(detector.state["moments"].astype(int), axis=1) >= 0).all()


def test_p_values_are_calibrated_on_homes_it_never_saw() -> None:
    """Of natural silences, no more than a share p ever reach a p-value of p."""
    rng = np.random.default_rng(8)
    homes, days = 24, 120
    detector = Inactivity(homes, interval_s=HOUR_S)
    least = np.ones(homes)
    onset = np.full(homes, NO_SLOT)
    ended: list[float] = []
    use = habits(rng, days, homes, busy=0.25)
    all_of_them = (use[28 * 24 :] > 0).sum()  # a silence begins after every sign of life
    said = detector.step(frame(use, FIRST))
    for t in range(28 * 24, days * 24):
        fresh = (said.onset[t] != onset) & (onset != NO_SLOT)
        ended += least[fresh & (least < 1)].tolist()
        least = np.where(said.onset[t] != onset, 1.0, least)
        onset = said.onset[t]
        least = np.minimum(least, said.p_value[t])
    for p in (0.3, 0.1, 0.03):
        # `ended` has only silences of two hours and more; `all_of_them` every one.
        share = (np.array(ended) <= p).sum() / all_of_them
        assert share <= 1.25 * p, (p, share)


def test_memory_of_a_home() -> None:
    assert Inactivity(1000, interval_s=HOUR_S).nbytes <= 900 * 1000
