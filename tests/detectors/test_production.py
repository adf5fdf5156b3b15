"""`production`: closed plants that run, and what looks like it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from detectors.base import NO_SLOT, NS, DetectorError, Frame, lookup
from detectors.production import Production

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
            total = sum(v[0] for k, v in facts.items() if k.startswith("ledger_"))
            assert total == pytest.approx(best, abs=1e-4)
            checked += 1
    assert checked > 3
    assert facts["ledger_vehicles"][0] > 0.9
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
