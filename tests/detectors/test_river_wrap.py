"""`river:<class>`: which models there are, what they may be told, and that nothing is pickled."""

import numpy as np
import pytest

from detectors.base import Detector, DetectorError, Frame, lookup
from tests.detectors.cases import frame_of


def stream(slots: int, rows: int = 1) -> Frame:
    values = np.random.default_rng(2).normal(5, 1, (slots, 1, rows)).astype(np.float32)
    return frame_of(values, 400_000, 3600)


def make(name: str, rows: int = 1, **params: float) -> Detector:
    return lookup(name)(rows, interval_s=3600, **params)


@pytest.mark.parametrize(
    "name",
    ["ADWIN", "GaussianScorer", "HalfSpaceTrees", "KSWIN", "LODA", "LocalOutlierFactor",
     "OneClassSVM", "PageHinkley", "PredictiveAnomalyDetection", "StandardAbsoluteDeviation"],
)  # fmt: skip
def test_every_model_scores_after_an_honest_warm_up(name: str) -> None:
    small = dict.fromkeys(("grace_period", "window_size", "stat_size"), 30.0)
    kind = lookup(f"river:{name}")
    params = {k: v for k, v in small.items() if k in kind.defaults}
    if name == "KSWIN":
        params["stat_size"] = 10
    signals = make(f"river:{name}", window=64, **params).step(stream(90))
    ready = np.flatnonzero(signals.ready[:, 0])
    assert ready[0] == 40, "half the window to build from, an eighth of scores to rank among"
    assert len(ready) == 50


@pytest.mark.parametrize("name", ["QuantileFilter", "ThresholdFilter", "NoSuchModel", "Base"])
def test_what_cannot_be_made_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(DetectorError, match=r"river:.*HalfSpaceTrees"):
        lookup(f"river:{name}")


def test_parameters_reach_the_model_with_their_type() -> None:
    detector = make("river:HalfSpaceTrees", n_trees=3, window=64, window_size=20)
    detector.step(stream(40))
    assert detector._models[0]._model.n_trees == 3  # type: ignore[attr-defined]
    with pytest.raises(DetectorError, match="unknown parameter 'trees'"):
        make("river:HalfSpaceTrees", trees=3)


def test_a_window_too_small_for_the_models_own_warm_up_is_refused() -> None:
    with pytest.raises(DetectorError, match="window_size 250 needs window >= 500"):
        make("river:HalfSpaceTrees", window=128)
    with pytest.raises(DetectorError, match="window must be >= 64"):
        make("river:PageHinkley", window=10)


def test_random_models_are_seeded_by_the_rows_key() -> None:
    frame = stream(60, rows=2)
    frame.values[:, :, 1] = frame.values[:, :, 0]
    small = {"window": 64.0, "window_size": 20.0, "n_trees": 3.0}
    kind = lookup("river:HalfSpaceTrees")
    twins = kind(2, interval_s=3600, key=np.array([7, 7], np.uint64), **small).step(frame)
    assert np.array_equal(twins.evidence[:, 0], twins.evidence[:, 1], equal_nan=True)
    others = kind(2, interval_s=3600, key=np.array([7, 8], np.uint64), **small)
    others.step(frame)
    scores = others.state["scores"]
    assert not np.array_equal(scores[0], scores[1], equal_nan=True)


def test_a_snapshot_of_same_age_but_other_readings_is_not_confused() -> None:
    """Two detectors of one age: what a row's model knows must follow the restored arrays."""
    first, second, tail = stream(70), stream(70), stream(100)
    second.values[:] *= 2
    a, b = (
        make("river:StandardAbsoluteDeviation", window=64),
        make("river:StandardAbsoluteDeviation", window=64),
    )
    a.step(first)
    b.step(second)
    b.restore(*a.snapshot())
    want, got = a.step(tail), b.step(tail)
    assert np.array_equal(want.evidence, got.evidence, equal_nan=True)
