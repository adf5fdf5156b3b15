"""A plain detector that keeps every promise, and one for each check that breaks just that one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.base import (
    LEVELS,
    NO_SLOT,
    Detector,
    DetectorError,
    Field,
    Frame,
    Signals,
)
from tests.detectors.cases import Case, burst
from tests.detectors.kits import Kit, Planted


class Plain(Detector):
    """Running mean and deviation of each row; evidence = (|z| − 3) clipped; vectorised over rows."""

    name = "plain"
    defaults: ClassVar[Mapping[str, float]] = {"half_life": 100.0}
    grid = np.linspace(-2.9, 5, LEVELS)

    def _configure(self) -> None:
        self.rate = 1 - 0.5 ** (1 / self.params["half_life"])

    def _fields(self) -> Mapping[str, Field]:
        return {
            "count": Field("i4"),
            "mean": Field("f8"),
            "spread": Field("f8"),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1", fill=-1),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        for t in range(frame.slots):
            x = frame.values[t, 0].astype(np.float64)
            seen = ~np.isnan(x)
            ready = seen & (s["count"] >= 48)
            z = self._z(x)
            evidence = np.clip(z - 3, -3, 6)
            level = np.searchsorted(self.grid, evidence, side="right").astype(np.int8)
            open_ = ready & (z > 4)
            begins = open_ & (s["onset"] == NO_SLOT)
            s["onset"][begins] = frame.first_slot + t
            s["onset"][ready & ~open_] = NO_SLOT
            s["peak"] = np.where(
                open_, np.maximum(level, np.where(begins, -1, s["peak"])), -1
            ).astype(np.int8)
            out.evidence[t, ready] = evidence[ready]
            out.p_value[t, ready] = np.exp(-np.maximum(z[ready], 0))
            out.urgency[t, ready] = np.where(open_, s["peak"], level)[ready]
            out.onset[t] = np.where(ready, s["onset"], NO_SLOT)
            self._learn(x, seen)

    def _z(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        s = self.state
        return np.abs(np.nan_to_num(x) - s["mean"]) / (
            s["spread"] + 1e-9 * np.abs(s["mean"]) + 1e-9
        )

    def _learn(self, x: NDArray[np.float64], seen: NDArray[np.bool_]) -> None:
        s = self.state
        rate = np.maximum(self.rate, 1 / (s["count"] + 1.0))
        miss = np.nan_to_num(x) - s["mean"]
        s["mean"] += np.where(seen, rate * miss, 0)
        s["spread"] += np.where(seen, rate * (np.abs(miss) - s["spread"]), 0)
        s["count"] += seen.astype(np.int32)

    def _explain(self, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"usual": self.state["mean"][rows]}


def _plain_twin(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    rate = 1 - 0.5 ** (1 / detector.params["half_life"])
    for row in range(detector.rows):
        count, mean, spread, onset, peak = 0, 0.0, 0.0, NO_SLOT, -1
        for t in range(frame.slots):
            x = float(frame.values[t, 0, row])
            if x != x:
                peak = -1
                continue
            miss = x - mean
            if count >= 48:
                z = abs(miss) / (spread + 1e-9 * abs(mean) + 1e-9)
                evidence = min(max(z - 3, -3), 6)
                level = sum(1 for line in Plain.grid if line <= evidence)
                if z > 4:
                    onset, peak = (
                        (frame.first_slot + t, level)
                        if onset == NO_SLOT
                        else (onset, max(peak, level))
                    )
                    level = peak
                else:
                    onset, peak = NO_SLOT, -1
                out.evidence[t, row] = evidence
                out.p_value[t, row] = np.exp(-z)
                out.urgency[t, row] = level
                out.onset[t, row] = onset
            step = max(rate, 1 / (count + 1))
            mean, spread = mean + step * miss, spread + step * (abs(miss) - spread)
            count += 1
    return out


def case(cls: type[Detector]) -> Case:
    """Return the case of one of these classes."""
    cls.twin = staticmethod(_plain_twin)  # type: ignore[attr-defined]
    return Case(cls.__name__, cls, (), Kit(days=20, plant=_plant))


def _plant(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    return replace(burst(detector, rng, first_slot), urgency=30)


class WrongRange(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        out.p_value[out.ready] += 1


class ObjectState(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        self.state["mean"] = self.state["mean"].astype(object)


class Unkeyed(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        out.evidence += np.random.default_rng().random(out.evidence.shape, dtype=np.float32)


class AnyParameter(Plain):
    def __init__(self, rows: int, *, no_such_parameter: float = 0, **rest: Any) -> None:
        super().__init__(rows, **rest)


class ScoreLearns(Plain):
    def score(self, frame: Frame) -> Signals:
        return self.step(frame)


class KnowsFrames(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        if frame.slots:
            self.state["mean"] += 0.1
        super()._step(frame, out)


class Neighbours(Plain):
    def _learn(self, x: NDArray[np.float64], seen: NDArray[np.bool_]) -> None:
        super()._learn(x, seen)
        if len(x):
            self.state["mean"] += 0.01 * (self.state["mean"].mean() - self.state["mean"])


class OffByOne(Plain):
    def _learn(self, x: NDArray[np.float64], seen: NDArray[np.bool_]) -> None:
        super()._learn(x, seen)
        self.state["spread"] *= 0.99


class HiddenState(Plain):
    def _configure(self) -> None:
        super()._configure()
        self.seen = 0

    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        self.seen += frame.slots
        out.evidence += np.float32(self.seen)


class TakesAny(Plain):
    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.state = {k: np.array(v) for k, v in arrays.items()}


class NanIsZero(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(Frame(frame.first_slot, np.nan_to_num(frame.values), *_local(frame)), out)


def _local(frame: Frame) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return frame.local_slot, frame.local_day, frame.rest_day


class WarmUpIsNormal(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        fresh = ~out.ready
        out.evidence[fresh], out.p_value[fresh], out.urgency[fresh] = 0, 1, 0


class TakesInfinity(Plain):
    def _check(self, frame: Frame) -> None:
        if frame.values.shape[2] != self.rows:
            raise DetectorError("rows")


class WritesInput(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        if frame.values.flags.writeable:
            np.nan_to_num(frame.values, copy=False)


class Hoards(Plain):
    def _configure(self) -> None:
        super()._configure()
        self.log: list[float] = []

    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        self.log.extend(frame.values.ravel().tolist())


class GrowResets(Plain):
    def grow(self, rows: int, zone: Any = None, key: Any = None) -> None:
        super().grow(rows, zone, key)
        self.state["count"][:] = 0


class HalfForgets(Plain):
    def forget(self, rows: NDArray[Any]) -> None:
        self.state["count"][rows] = 0


class Textbook(Plain):
    """Variance as E[x²] − E[x]² in float32, without a floor: the classic."""

    def _fields(self) -> Mapping[str, Field]:
        return {**super()._fields(), "square": Field("f4"), "mean32": Field("f4")}

    def _learn(self, x: NDArray[np.float64], seen: NDArray[np.bool_]) -> None:
        super()._learn(x, seen)
        s = self.state
        rate = np.maximum(self.rate, 1 / np.maximum(s["count"], 1.0)).astype(np.float32)
        y = np.nan_to_num(x).astype(np.float32)
        s["mean32"] += np.where(seen, rate * (y - s["mean32"]), 0).astype(np.float32)
        s["square"] += np.where(seen, rate * (y * y - s["square"]), 0).astype(np.float32)

    def _z(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        s = self.state
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(
                np.abs(x - s["mean32"]) / np.sqrt(s["square"] - s["mean32"] ** 2), dtype=np.float64
            )


class SharpOnNothing(Plain):
    def _z(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self.state["spread"] < 1e-6, 20.0, super()._z(x))


class ZeroIsFalse(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        nothing = np.abs(self.state["mean"]) < 0.2
        for array in (out.evidence, out.p_value):
            array[:, nothing] = np.nan
        out.urgency[:, nothing] = -1
        out.onset[:, nothing] = NO_SLOT


class Restless(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        out.urgency[1::2][out.urgency[1::2] > 5] = 5


class Deaf(Plain):
    def _step(self, frame: Frame, out: Signals) -> None:
        super()._step(frame, out)
        out.urgency[out.ready] = 0


class OneFactForAll(Plain):
    def _explain(self, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {"usual": self.state["mean"]}


class AmendsAll(Plain):
    amends = True

    def _amend(self, slot: int, rows: NDArray[Any], values: NDArray[np.float32]) -> None:
        self.state["mean"] += 1

    def _current(self, rows: NDArray[Any], out: Signals) -> None:
        out.urgency[:] = 0


BROKEN: dict[str, type[Detector]] = {
    "shapes_and_dtypes": WrongRange,
    "state_is_arrays": ObjectState,
    "deterministic": Unkeyed,
    "unknown_parameter_refused": AnyParameter,
    "score_leaves_state": ScoreLearns,
    "any_split_same": KnowsFrames,
    "rows_isolated": Neighbours,
    "equals_twin": OffByOne,
    "snapshot_goes_on": HiddenState,
    "foreign_snapshot_refused": TakesAny,
    "nan_changes_only_time": NanIsZero,
    "unseen_is_not_ready": WarmUpIsNormal,
    "infinity_raises": TakesInfinity,
    "no_aliasing": WritesInput,
    "memory_constant": Hoards,
    "grow_leaves_old_rows": GrowResets,
    "forget_is_fresh": HalfForgets,
    "constant_series": SharpOnNothing,
    "large_offset": Textbook,
    "zero_mean": ZeroIsFalse,
    "urgency_never_falls": Restless,
    "planted_found": Deaf,
    "explains": OneFactForAll,
    "amendments_and_notices": AmendsAll,
}
