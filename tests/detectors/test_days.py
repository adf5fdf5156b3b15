"""What the detectors of days share: hours in 8 bits, late hours, facts that are true, memory."""

import numpy as np
import pytest

from detectors import days, nights, shift
from detectors.base import lookup
from tests.detectors.cases import frame_of, part, with_values
from tests.detectors.kit_nights import lived

FIRST = 24 * 17_000
NAMES = ("nights", "decline", "occupancy", "vacated", "occupied")


@pytest.mark.parametrize("unit", days.UNIT.tolist())
def test_hours_in_8_bits_keep_3_percent_and_fit(unit):
    amounts = unit * np.array([0.0, 0.3, 1.0, 7.0, 60.0, 900.0, 1500.0])
    kept = [days.decode(days.encode(x, unit), unit) for x in amounts.tolist()]
    assert np.allclose(kept, amounts, rtol=0.03, atol=0.02 * unit)
    assert days.encode(1e9, unit) < days.OFF
    assert days.encode(-5.0, unit) == 0


def test_standby_is_nobody_and_a_thrifty_day_is_somebody():
    day = np.full((2, 24), days.OFF, np.uint8)
    fridge = [days.encode(0.03 + 0.02 * (h % 3 == 0), 0.01) for h in range(24)]
    day[0] = fridge
    assert days.read_day(day, np.arange(2))[1:3] == (0.0, 0.0)
    for h in (7, 8, 12, 18, 19):  # half a kWh a day in all: a kettle, a lamp, the rice
        day[0, h] = days.encode(0.15, 0.01)
    assert days.read_day(day, np.arange(2))[1] == 5.0


def test_a_day_with_too_few_hours_says_nothing():
    day = np.full((2, 24), days.OFF, np.uint8)
    day[1, :17] = days.encode(20.0, 1.0)
    assert days.read_day(day, np.arange(2))[0] == 0.0
    day[1, 17] = 0
    assert days.read_day(day, np.arange(2))[0] == 18.0


@pytest.mark.parametrize("name", NAMES)
def test_a_late_hour_of_the_present_day_counts_as_if_it_had_come_in_time(name):
    frame = frame_of(lived(np.random.default_rng(1), FIRST, 24 * 30 + 20, 4), FIRST, 3600)
    in_time = lookup(name)(4, interval_s=3600)
    in_time.step(frame)
    holes = frame.values.copy()
    late = 24 * 30 + 9
    holes[late, :, [0, 2]] = np.nan
    corrected = lookup(name)(4, interval_s=3600)
    corrected.step(with_values(frame, holes))
    rows = np.array([0, 2])
    corrected.amend(FIRST + late, rows, frame.values[late][:, rows])
    for field, array in in_time.state.items():
        assert np.array_equal(array, corrected.state[field], equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_later_than_that_is_left(name):
    frame = frame_of(lived(np.random.default_rng(2), FIRST, 24 * 30 + 20, 2), FIRST, 3600)
    detector = lookup(name)(2, interval_s=3600)
    detector.step(frame)
    before = {k: v.copy() for k, v in detector.state.items()}
    detector.amend(FIRST + 24 * 29 + 9, np.array([0, 1]), np.full((2, 2), 50.0, np.float32))
    for field, array in detector.state.items():
        assert np.array_equal(array, before[field], equal_nan=array.dtype.kind == "f")


def test_the_quiet_share_that_people_are_told_adds_no_evidence():
    manner = nights.MANNER
    state = {k: f.allocate(2) for k, f in shift.shift_fields(manner).items()}
    s = shift.shift_of(state)
    rng = np.random.default_rng(3)
    for day in range(60):
        for n in range(2):
            shift.judge(s, n, 0.35 + 0.08 * rng.standard_normal(), 24 * day, manner)
    quiet = shift.quiet_of(s, np.arange(2), manner)
    for added, grows in ((-0.001, False), (0.02, True)):
        for n in range(2):
            s.total[n], s.rose[n] = 0.5, 24 * 60
            shift.judge(s, n, float(quiet[n]) + added, 24 * 61, manner)
            assert (s.total[n] > 0.5) == grows


def test_what_lasts_becomes_the_usual():
    manner = nights.MANNER
    state = {k: f.allocate(1) for k, f in shift.shift_fields(manner).items()}
    s = shift.shift_of(state)
    onsets = []
    for day in range(260):
        shift.judge(s, 0, 0.35 if day < 60 else 0.9, 24 * day, manner)
        onsets.append(int(s.onset[0]))
    assert onsets[75] == 24 * 60  # told from its first day on
    assert onsets[-1] == shift.NONE
    assert s.centre[0] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_small(name):
    assert lookup(name)(100, interval_s=3600).nbytes / 100 <= 150


def test_absence_is_no_decline():
    values = lived(np.random.default_rng(4), FIRST, 24 * 7 * 20, 2)
    values[24 * 7 * 12 : 24 * 7 * 16, 0, 0] = 0.05
    values[24 * 7 * 12 : 24 * 7 * 16, 1, 0] = 0.0
    signals = lookup("decline")(2, interval_s=3600).step(frame_of(values, FIRST, 3600))
    assert signals.urgency[24 * 7 * 12 :].max() < 4


def test_a_week_end_visit_is_no_new_tenant_and_four_days_are():
    values = np.zeros((24 * 60, 2, 2), np.float32)
    values[:, 0] = 0.05
    somebody = lived(np.random.default_rng(5), FIRST, 24 * 60, 2)
    values[24 * 40 : 24 * 42, :, 0] = somebody[24 * 40 : 24 * 42, :, 0]
    values[24 * 40 :, :, 1] = somebody[24 * 40 :, :, 1]
    frame = frame_of(values, FIRST, 3600)
    signals = lookup("occupied")(2, interval_s=3600, zone=np.zeros(2, np.uint8)).step(frame)
    assert signals.urgency[:, 0].max() <= 8  # two days are evidence 2
    assert signals.urgency[24 * 44 + 1, 1] >= 12
    after = part(frame, 24 * 47, 24 * 60)
    assert (signals.onset[24 * 47 :, 0] == -1).all(), after.slots
