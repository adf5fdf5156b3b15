"""`production`: closed plants that run, and what looks like it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import production_state as layout
from detectors.base import LEVELS, NO_SLOT, NS, DetectorError, Frame, lookup
from detectors.ledger import Ledger
from detectors.production import Production
from detectors.production_state import CLOSED
from tests.detectors.twin_production import Plant, tell

DAY0 = 17_600  # 2018-03-10, a Saturday
OFFSET_H = 8


def clock(days: int, interval_s: int = 900) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """First slot and the local columns of `days` days from local midnight of DAY0."""
    per_day = 86_400 // interval_s
    first = DAY0 * per_day - OFFSET_H * 3600 // interval_s
    local = np.arange(days * per_day)
    day = (DAY0 + local // per_day).astype(np.int32)
    rest = (day + 3) % 7 >= 5
    return first, (local % per_day).astype(np.int32)[:, None], day[:, None], rest[:, None]


def frame_of(kw: np.ndarray, interval_s: int = 900) -> Frame:
    """A frame of loads in kW, shape (T,) or (T, N), from local midnight of DAY0."""
    kw = kw[:, None] if kw.ndim == 1 else kw
    first, slot, day, rest = clock(-(-len(kw) * interval_s // 86_400), interval_s)
    t = len(kw)
    values = (kw * interval_s / 3600).astype(np.float32)[:, None, :]
    return Frame(first, values, slot[:t], day[:t], rest[:t])


def cut(frame: Frame, a: int, b: int) -> Frame:
    return Frame(
        frame.first_slot + a,
        frame.values[a:b],
        frame.local_slot[a:b],
        frame.local_day[a:b],
        frame.rest_day[a:b],
    )


def plant(days: int, history: int, seed: int = 0, interval_s: int = 900) -> np.ndarray:
    """Loads of a plant that works 08–18 on work days until its order, then stands by at 10 kW."""
    rng = np.random.default_rng(seed)
    per_day = 86_400 // interval_s
    kw = 10 + rng.normal(0, 0.3, days * per_day)
    hour = np.arange(len(kw)) % per_day * 24 / per_day
    day = np.arange(len(kw)) // per_day
    working = (day < history) & ((DAY0 + day + 3) % 7 < 5) & (hour >= 8) & (hour < 18)
    return np.where(working, 200 + rng.normal(0, 40, len(kw)), kw)


def at(day: int, hour: float, interval_s: int = 900) -> int:
    return int((day * 24 + hour) * 3600 // interval_s)


def closed(detector: Production, day: int) -> None:
    """Tell all rows that the order takes effect at midnight of the given day."""
    ns = np.full(detector.rows, ((DAY0 + day) * 24 - OFFSET_H) * 3600 * NS, np.int64)
    detector.inform("closed", np.arange(detector.rows), ns, ns)


def ns_at(detector: Production, day: int, hour: float) -> np.ndarray:
    moment = int((((DAY0 + day) * 24 - OFFSET_H) + hour) * 3600) * NS
    return np.full(detector.rows, moment, np.int64)


@pytest.mark.parametrize("interval_s", [900, 1800, 3600])
def test_night_run_found_the_same_night(interval_s: int) -> None:
    kw = plant(50, 30, interval_s=interval_s)
    a, b = at(45, 22, interval_s), at(46, 4, interval_s)
    kw[a:b] += 50
    detector = Production(1, interval_s=interval_s)
    closed(detector, 30)
    out = detector.step(frame_of(kw, interval_s))
    assert (out.urgency[: at(30, 0, interval_s)] == -1).all()
    assert (out.urgency[at(30, 0, interval_s) : a] == 0).all()
    fired = np.flatnonzero(out.urgency[:, 0] > 8)
    assert a <= fired[0] <= a + 2 * 3600 // interval_s
    first = clock(1, interval_s)[0]
    assert out.onset[fired[0], 0] == first + a


def test_ledger_adds_up_to_the_evidence() -> None:
    kw = plant(50, 30)
    kw[at(44, 23) : at(45, 3)] += 15
    kw[at(45, 22) : at(46, 4)] += 24
    detector = Production(1, interval_s=900)
    closed(detector, 30)
    frame = frame_of(kw)
    best = -np.inf
    checked = 0
    for t in range(frame.slots):
        if t == at(45, 21):
            start = ns_at(detector, 45, 21)
            detector.inform("vehicle", np.arange(1), start, start, np.array([1], np.float32))
        out = detector.step(cut(frame, t, t + 1))
        if out.onset[0, 0] != NO_SLOT and out.evidence[0, 0] > best:
            best = out.evidence[0, 0]
            facts = detector.explain(np.array([0]))
            told = Ledger.of({name: values[0] for name, values in facts.items()})
            assert told.total == pytest.approx(best, abs=1e-4)
            checked += 1
    assert checked > 3
    assert facts["ledger_vehicles"][0] == pytest.approx(1.35 / np.log(10))
    assert told.leading(2)[0][0] in ("level", "vehicles")
    assert facts["quiet_kw"][0] > facts["usual_kw"][0]


def test_splits_and_neighbours_do_not_matter() -> None:
    kw = np.stack([plant(40, 20, seed) for seed in range(3)], axis=1)
    kw[at(30, 22) : at(31, 3), 1] += 60
    kw[at(33, 10) : at(33, 13), 2] = np.nan
    frame = frame_of(kw)
    whole = Production(3, interval_s=900)
    closed(whole, 20)
    expected = whole.step(frame)
    parts = Production(3, interval_s=900)
    closed(parts, 20)
    edges = [0, 1, 97, 1000, 3001, frame.slots]
    for a, b in pairwise(edges):
        out = parts.step(cut(frame, a, b))
        np.testing.assert_array_equal(out.evidence, expected.evidence[a:b])
        np.testing.assert_array_equal(out.urgency, expected.urgency[a:b])
        np.testing.assert_array_equal(out.onset, expected.onset[a:b])
    alone = Production(1, interval_s=900)
    closed(alone, 20)
    single = alone.step(frame_of(kw[:, 1]))
    np.testing.assert_array_equal(single.evidence[:, 0], expected.evidence[:, 1])


def test_permit_and_test_keep_quiet_and_excess_over_them_does_not() -> None:
    for kind, kw_told, fires in [
        ("permit", 70, False),
        ("approved_test", 60, False),
        ("permit", 30, True),
    ]:
        kw = plant(50, 30)
        kw[at(45, 22) : at(46, 4)] += 60
        detector = Production(1, interval_s=900)
        closed(detector, 30)
        told = np.array([kw_told], np.float32)
        start, end = ns_at(detector, 45, 22), ns_at(detector, 46, 4)
        detector.inform(kind, np.arange(1), start, end, told)
        out = detector.step(frame_of(kw))
        assert (out.urgency.max() > 8) == fires, kind


def test_back_filled_night_is_scored_when_it_arrives() -> None:
    kw = plant(50, 30)
    a, b = at(45, 22), at(46, 4)
    kw[a:b] += 60
    live = kw.copy()
    live[at(45, 20) : at(46, 8)] = np.nan
    detector = Production(1, interval_s=900)
    closed(detector, 30)
    frame = frame_of(live)
    stop = at(46, 10)
    out = detector.step(cut(frame, 0, stop))
    assert out.urgency.max() == 0
    for t in range(at(45, 20), at(46, 8)):
        value = np.array([[kw[t] / 4]], np.float32)
        detector.amend(frame.first_slot + t, np.arange(1), value)
    now = detector.current(np.arange(1))
    assert now.urgency[0, 0] > 8
    assert now.onset[0, 0] == frame.first_slot + a
    # told again, the same slots say nothing more
    before = detector.state["real"].copy()
    detector.amend(frame.first_slot + a, np.arange(1), np.array([[99]], np.float32))
    np.testing.assert_array_equal(detector.state["real"], before)


def test_daytime_load_is_for_the_blue_rule() -> None:
    kw = plant(50, 30)
    for day in (44, 45, 46):
        if (DAY0 + day + 3) % 7 < 5:
            kw[at(day, 9) : at(day, 16)] += 20
    night, day_ = Production(1, interval_s=900), lookup("daytime_load")(1, interval_s=900)
    closed(night, 30)
    closed(day_, 30)
    assert night.step(frame_of(kw)).urgency.max() == 0
    assert day_.step(frame_of(kw)).urgency.max() > 8
    assert day_.explain(np.array([0]))["kind"][0] == 1


def test_snapshot_goes_on_bitwise() -> None:
    kw = plant(45, 20)
    kw[at(40, 22) : at(41, 4)] += 60
    frame = frame_of(kw)
    one = Production(1, interval_s=900)
    closed(one, 20)
    one.step(cut(frame, 0, at(40, 23)))
    header, arrays = one.snapshot()
    two = Production(1, interval_s=900)
    two.restore(header, arrays)
    rest = cut(frame, at(40, 23), frame.slots)
    np.testing.assert_array_equal(one.step(rest).evidence, two.step(rest).evidence)


def test_wrong_slot_length_says_what_is_wanted() -> None:
    with pytest.raises(DetectorError, match="15, 30 or 60 minutes"):
        Production(1, interval_s=1000)


LORRIES = [("hazmat in", 1.35), ("hazmat out", 0.7), ("goods in", 0.35), ("goods out", 0.35)]
"""What the first of its kind is worth, nats; in the order of the codes, from 1."""


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), interval_s=st.sampled_from([900, 1800, 3600]))
def test_equals_twin_with_notices(seed: int, interval_s: int) -> None:
    """Permits, tests, outages and a lorry, at random, beside runs at random."""
    rng = np.random.default_rng(seed)
    kw = plant(24, 12, seed, interval_s)
    windows = []
    for kind in ("permit", "approved_test", "outage", "permit"):
        day, hour, length = int(rng.integers(12, 22)), rng.uniform(0, 24), rng.uniform(2, 8)
        a, b = at(day, hour, interval_s), at(day, hour + length, interval_s)
        load = rng.uniform(10, 60)
        kw[a:b] += load * rng.uniform(0.6, 1.6)
        windows.append((kind, day, hour, length, load))
    for _ in range(4):
        a = at(int(rng.integers(13, 23)), rng.uniform(18, 30), interval_s)
        kw[a : a + int(rng.integers(2, 7 * 3600 // interval_s))] += rng.uniform(8, 40)
    kw[rng.random(len(kw)) < 0.01] = np.nan
    lorry = (int(rng.integers(14, 22)), rng.uniform(18, 28))
    detector = Production(1, interval_s=interval_s)
    closed(detector, 12)
    twin = Plant(detector, int(detector.state["whole"][0, CLOSED]), daytime=False)
    for kind, day, hour, length, load in windows:
        start, end = ns_at(detector, day, hour), ns_at(detector, day, hour + length)
        value = np.array([load], np.float32)
        detector.inform(kind, np.arange(1), start, end, value)
        minutes = int(start[0]) // (60 * NS), int(end[0]) // (60 * NS)
        twin.windows.append((kind, *minutes, float(value[0])))
    moment, code = ns_at(detector, *lorry), int(rng.integers(0, 5))
    if code:
        detector.inform("vehicle", np.arange(1), moment, moment, np.array([code], np.float32))
        twin.visitors.append((int(moment[0]) // (60 * NS), *LORRIES[code - 1]))
    frame = frame_of(kw, interval_s)
    got, want = detector.step(frame), tell(Production(1, interval_s=interval_s), frame, [twin])
    np.testing.assert_allclose(got.evidence, want.evidence, atol=2e-3)
    assert np.abs(got.urgency.astype(int) - want.urgency).max() <= 1
    np.testing.assert_array_equal(got.onset, want.onset)


def test_missing_slots_teach_nothing() -> None:
    detector = Production(1, interval_s=900)
    closed(detector, 20)
    frame = frame_of(np.append(plant(30, 20), np.full(96 * 4, np.nan)))
    detector.step(cut(frame, 0, at(30, 0)))
    before = {k: v.copy() for k, v in detector.state.items()}
    detector.step(cut(frame, at(30, 0), at(34, 0)))
    for name in ("base", "base_days", "levels"):
        np.testing.assert_array_equal(detector.state[name], before[name])
    learned = [layout.PRODUCTION, layout.IDLE, layout.SHIFT, layout.NOISE, layout.STEP]
    np.testing.assert_array_equal(detector.state["real"][:, learned], before["real"][:, learned])


def test_a_lorry_that_comes_every_night_says_nothing_in_the_end() -> None:
    worth = []
    detector = Production(1, interval_s=900)
    closed(detector, 20)
    frame = frame_of(plant(80, 20))
    for day in range(20, 80):
        detector.step(cut(frame, at(day, 0), at(day + 1, 0)))
        moment = ns_at(detector, day, 22)
        detector.inform("vehicle", np.arange(1), moment, moment, np.array([1], np.float32))
        scores = detector.state["real"][0, layout.VISITOR_SCORE :][: layout.VISITORS]
        worth.append(scores.max())
    assert worth[0] == pytest.approx(1.35)
    newest = detector.state["whole"][0, layout.VISITOR_MINUTE :][: layout.VISITORS].argmax()
    assert scores[newest] < 0.7


@pytest.mark.parametrize(
    ("visits", "worth"),
    [
        ([], 0.0),
        ([(21, 1)], 1.35),  # arrived an hour before the load began
        ([(21, 2)], np.log(0.75)),  # left before it: its arrival would have told, this does not
        ([(22.5, 2)], 0.7),
        ([(12, 1)], np.log(0.75)),  # somebody comes at times, but nobody came for this
        ([(12, 3)], 0.0),  # of hazmat nothing is known: no gate, or none that tells
        ([(21, 3)], 0.35),
    ],
)
def test_what_lorries_say_of_a_run(visits: list[tuple[float, int]], worth: float) -> None:
    kw = plant(40, 20)
    kw[at(35, 22) : at(36, 2)] += 60
    detector = Production(1, interval_s=900)
    closed(detector, 20)
    detector.step(cut(frame_of(kw), 0, at(35, 0)))
    for hour, code in visits:
        moment = ns_at(detector, 35, hour)
        detector.inform("vehicle", np.arange(1), moment, moment, np.array([code], np.float32))
    detector.step(cut(frame_of(kw), at(35, 0), at(35, 23)))
    told = detector.explain(np.array([0]))["ledger_vehicles"][0]
    assert told == pytest.approx(worth / np.log(10), abs=1e-6)


def test_what_nobody_ends_does_not_blind_for_ever() -> None:
    """An outage or a test whose end is never told stops counting after days, not never."""
    for kind, days in (("outage", 2), ("approved_test", 31)):
        kw = plant(70, 20)
        kw[at(22 + days, 22) : at(23 + days, 4)] += 60
        detector = Production(1, interval_s=900)
        closed(detector, 20)
        start, end = ns_at(detector, 21, 0), np.array([2**62])
        detector.inform(kind, np.arange(1), start, end, np.array([1000], np.float32))
        assert detector.step(frame_of(kw)).urgency.max() > 8, kind


def test_one_case_for_runs_in_many_nights_and_a_new_one_after_quiet_weeks() -> None:
    kw = plant(90, 30)
    nights = [*range(45, 55), 80]
    for day in nights:
        kw[at(day, 22) : at(day + 1, 4)] += 60
    detector = Production(1, interval_s=900)
    closed(detector, 30)
    out = detector.step(frame_of(kw))
    first = clock(1)[0]
    cases = sorted(set(out.onset[out.urgency > 8].tolist()))
    assert cases == [first + at(45, 22), first + at(80, 22)]
    assert (out.onset[at(70, 0) : at(79, 0)] == NO_SLOT).all()


def test_counterfactual_load_keeps_quiet() -> None:
    kw = plant(50, 30)
    a = at(45, 22)
    kw[a : at(46, 4)] += 60
    detector = Production(1, interval_s=900)
    closed(detector, 30)
    frame = frame_of(kw)
    urgency = [detector.step(cut(frame, t, t + 1)).urgency[0, 0] for t in range(a + 12)]
    assert urgency[-1] > 8
    facts = detector.explain(np.array([0]))
    assert facts["episode_start"][0] == frame.first_slot + a
    kw[a : at(46, 4)] = facts["quiet_kw"][0]
    again = Production(1, interval_s=900)
    closed(again, 30)
    assert again.step(frame_of(kw)).urgency.max() == 0


def test_memory_and_price_curve() -> None:
    detector = Production(10, interval_s=900)
    assert detector.nbytes / 10 <= 2_100
    rate = Production.prior_rate
    assert rate.shape == Production.grid.shape == (LEVELS,)
    assert (np.diff(rate) < 0).all()
    assert (np.diff(Production.grid) > 0).all()


def test_plants_from_30_kw_to_2_mw_and_without_history() -> None:
    for scale in (0.15, 1.0, 10.0):
        for known in (0, 3, 30):
            kw = plant(50, 30) * scale
            kw[: at(30 - known, 0)] = np.nan
            kw[at(45, 22) : at(46, 4)] += 50 * scale
            detector = Production(1, interval_s=900)
            closed(detector, 30)
            out = detector.step(frame_of(kw))
            fired = np.flatnonzero(out.urgency[:, 0] > 8)
            assert at(45, 22) <= fired[0] <= at(46, 0), (scale, known)
