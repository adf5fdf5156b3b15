"""`seasonal`: its 16-bit numbers, its bytes, and whether its p-values mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import DetectorError, Frame
from detectors.evidence import log10_e
from detectors.seasonal import UNSEEN, Seasonal, decode, encode
from tests.detectors.cases import frame_of

FIRST_DAY = 17_000  # a Monday


@given(st.floats(min_value=1e-8, max_value=8e9) | st.floats(min_value=-8e9, max_value=-1e-8))
def test_sixteen_bits_keep_three_digits(x: float) -> None:
    assert decode(encode(x)) == pytest.approx(x, rel=1 / 1023)
    assert encode(decode(encode(x))) == encode(x)


def test_sixteen_bits_at_the_ends() -> None:
    assert decode(encode(0.0)) == 0
    assert encode(-0.0) == 0, "negative zero must not read as unseen"
    assert decode(encode(1e-12)) == 0
    assert encode(-1e-12) != UNSEEN
    assert decode(encode(1e30)) > 8e9
    codes = [encode(x) for x in np.geomspace(1e-9, 1e9, 500)]
    assert codes == sorted(codes)


def test_a_plain_quarter_hour_meter_costs_little() -> None:
    assert Seasonal(1000, interval_s=900).nbytes / 1000 <= 420


def noise(kind: str, slots: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    if kind == "heavy":
        return np.exp(rng.normal(size=(slots, rows)))
    white = rng.normal(size=(slots, rows))
    if kind == "persistent":
        for t in range(1, slots):
            white[t] = 0.7 * white[t - 1] + 0.71 * white[t]
    return white + 10


@pytest.mark.parametrize("kind", ["normal", "heavy", "persistent"])
def test_p_values_hold_on_noise_and_e_values_have_mean_at_most_one(kind: str) -> None:
    slots, rows = 24 * 150, 40
    values = noise(kind, slots, rows).astype(np.float32)[:, None]
    signals = Seasonal(rows, interval_s=3600).step(frame_of(values, FIRST_DAY * 24, 3600))
    p = signals.p_value[24 * 40 :].astype(np.float64)
    for level in (0.3, 0.1, 0.02, 0.005, 0.001):
        assert (p <= level).mean() <= 1.4 * level + 1e-4, level
    assert (p <= 0.02).mean() >= 0.012, "the tail's share is held from below too"
    assert np.mean(10 ** signals.evidence[24 * 40 :].astype(np.float64)) <= 1.05


def test_rest_days_have_a_profile_of_their_own() -> None:
    slots = 24 * 84
    frame = frame_of(np.zeros((slots, 1, 1), np.float32), FIRST_DAY * 24, 3600)
    values = np.where(frame.rest_day[:, :1], 20, 5) + noise("normal", slots, 1) - 10
    full = Frame(frame.first_slot, values.astype(np.float32)[:, None], *columns(frame))
    evidence = Seasonal(1, interval_s=3600).step(full).evidence[24 * 42 :, 0]
    rest = frame.rest_day[24 * 42 :, 0]
    assert np.mean(evidence[rest] > 1) < 0.02
    assert np.mean(evidence[~rest] > 1) < 0.02


def columns(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return frame.local_slot, frame.local_day, frame.rest_day


@pytest.mark.parametrize("bad", [{"warm_up": 0}, {"bins": 0}, {"blend": 1.5}, {"half_life": -1}])
def test_parameters_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(DetectorError, match=next(iter(bad))):
        Seasonal(1, interval_s=900, **bad)


def test_the_calibrator_is_an_e_value() -> None:
    p = (np.arange(200_000) + 0.5) / 200_000
    assert np.mean([10 ** log10_e(float(x)) for x in p[::10]]) == pytest.approx(1, abs=0.1)
    falling = [log10_e(x) for x in np.geomspace(1e-12, 1, 200)]
    assert falling == sorted(falling, reverse=True)
