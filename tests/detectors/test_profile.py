"""`profile`: shapes that never were stand out, shapes that were once do not, p-values hold."""

import numpy as np
import pytest

from detectors.base import DetectorError, lookup
from tests.detectors.cases import frame_of

FIRST, DAY = 24 * 17_000, 24


def series(days, seed=0, rows=1):
    """Return (slots, 1, rows): two shapes of day, work and rest, with noise."""
    rng = np.random.default_rng(seed)
    hour, day = np.arange(days * DAY) % DAY, np.arange(days * DAY) // DAY
    work = np.exp(-(((hour - 8) / 2.0) ** 2)) + np.exp(-(((hour - 18) / 2.0) ** 2))
    rest = 0.8 * np.exp(-(((hour - 13) / 4.0) ** 2))
    shape = np.where(day % 7 < 5, work, rest)
    values = shape[:, None] * rng.gamma(25, 1 / 25, (len(hour), rows))
    values += 0.05 * rng.random((len(hour), rows))
    return values.astype(np.float32)[:, None, :]


def run(values, **params):
    rows = values.shape[2]
    detector = lookup("profile")(rows, interval_s=3600, zone=np.zeros(rows, np.uint8), **params)
    return detector, detector.step(frame_of(values, FIRST, 3600))


def test_the_same_amount_at_other_hours_is_a_rare_day():
    values = series(70)
    day = slice(50 * DAY, 51 * DAY)
    values[day] = np.roll(values[day], 5, axis=0)  # neither the total nor the largest hour changes
    _, signals = run(values)
    assert np.nanmax(signals.evidence[day]) >= 1
    assert np.nanmax(signals.evidence[30 * DAY : 50 * DAY]) < 0.8


def test_a_shape_that_was_seen_once_is_no_longer_rare():
    values = series(80)
    for at in (50, 57):  # the same day of the week
        values[at * DAY : (at + 1) * DAY] = np.roll(values[at * DAY : (at + 1) * DAY], 5, axis=0)
    _, signals = run(values)
    first = np.nanmax(signals.evidence[50 * DAY : 51 * DAY])
    again = np.nanmax(signals.evidence[58 * DAY - 3 : 58 * DAY])
    assert again < first / 2


def test_work_and_rest_days_are_both_usual():
    _, signals = run(series(120, seed=2))
    assert np.nanmax(signals.evidence[40 * DAY :]) < 2.5


def test_p_values_are_what_they_say():
    _, signals = run(series(365, seed=3, rows=8))
    p = signals.p_value[60 * DAY :]
    for level in (0.1, 0.02, 0.005):
        assert 0.2 * level < np.mean(p <= level) < 1.5 * level


def test_a_fall_to_nothing_and_a_first_visit_stay_finite():
    values = series(90)
    values[30 * DAY : 80 * DAY] = 0.0
    values[80 * DAY + 9] = 3.0
    _, signals = run(values)
    assert np.isfinite(signals.evidence[signals.ready]).all()
    assert signals.urgency[80 * DAY + 10 : 80 * DAY + 14].max() >= 8


@pytest.mark.parametrize("params", [{"days": 2}, {"bins": 3}, {"warm_up": 0}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(DetectorError, match="profile: wanted"):
        lookup("profile")(1, interval_s=3600, **params)


def test_memory_is_as_documented():
    assert lookup("profile")(100, interval_s=3600).nbytes / 100 == 1387
    assert lookup("profile")(100, interval_s=300, bins=12, days=14).nbytes / 100 < 400
