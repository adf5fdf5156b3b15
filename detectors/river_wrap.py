"""Any model of ``river.anomaly`` or ``river.drift`` as a detector: ``river:HalfSpaceTrees``.

One model per row, fed one reading at a time: slower by orders of magnitude than the kernels of this
package, but the whole river zoo.

River models can only be saved by pickle, which snapshots do not allow. So a model never knows more
than the last 2·h readings (h = half of ``window``), which are state: every h readings it is built
anew from the newest h, and goes on learning from there. Its state is a function of arrays, restoring
replays at most 2·h readings, and going on is bitwise the same.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.base import (
    NO_SLOT,
    Detector,
    DetectorError,
    Field,
    Frame,
    IntArray,
    Signals,
    register_family,
)
from detectors.evidence import EVIDENCE_LINES, level_of, log10_e

MODULES = ("river.anomaly", "river.drift")
TAIL_SHARE, TAIL_XI = 0.02, 0.2
Z_MAX = 20.0
"""Bound of the tail's argument: some hundred scores cannot show a p-value under 1e-5."""
OWN_WARM_UP = ("grace_period", "window_size", "warmup_period", "min_instances")
"""Parameters by which river models say how long they say nothing (or 0) at first."""
CLOSES_AT = 0.2
"""An episode ends when the p-value is above this."""
_MIX = 0x9E3779B97F4A7C15


class RiverDetector(Detector):
    """Score each row with a river model of its own.

    Readings are standardised by the mean and the deviation of the stretch the model was built from.
    Models of ``river.anomaly`` see ``{"now": x, "before": x₋₁}``, scaled into [0, 1]; supervised
    ones predict the standardised reading from the one before; detectors of ``river.drift`` see the
    standardised reading. The p-value of a score is its rank among the row's last `window` scores,
    with a generalised Pareto tail beyond the 98 % quantile; a drift's is the rate of drifts so far.

    Parameters
    ----------
    window : float
        Readings a model is built from and lives on, at least 64. There is no score before ⅝ of it.
    **params
        Parameters of the river model that are numbers.
    """

    interval_s_allowed = (1, 31 * 86_400)
    grid = EVIDENCE_LINES
    factory: ClassVar[Callable[..., Any]]
    drift: ClassVar[bool]
    seeded: ClassVar[bool]
    numbers: ClassVar[Mapping[str, float]]

    def _configure(self) -> None:
        if self.params["window"] < 64:
            raise DetectorError(f"{self.name}: window must be >= 64, got {self.params['window']}")
        self._half = int(self.params["window"]) // 2
        for name in OWN_WARM_UP:
            if self.params.get(name, 0) > self._half:
                raise DetectorError(
                    f"{self.name}: {name} {self.params[name]:g} needs window >= "
                    f"{2 * self.params[name]:g}, got {self.params['window']:g}: the model would "
                    "hardly leave its warm-up"
                )
        self._models: list[_Model | None] = [None] * self.rows

    def _fields(self) -> Mapping[str, Field]:
        return {
            "readings": Field("f4", (2 * self._half,), fill=np.nan),
            "scores": Field("f4", (2 * self._half,), fill=np.nan),
            "seen": Field("i8"),
            "digest": Field("u8"),
            "drifts": Field("i4"),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def grow(
        self,
        rows: int,
        zone: NDArray[np.uint8] | None = None,
        key: NDArray[np.uint64] | None = None,
    ) -> None:
        """Append rows that have seen nothing."""
        super().grow(rows, zone, key)
        self._models += [None] * (rows - len(self._models))

    def _step(self, frame: Frame, out: Signals) -> None:
        for row in range(self.rows):
            for t in range(frame.slots):
                value = float(frame.values[t, 0, row])
                if not math.isnan(value):
                    self._reading(row, t, frame.first_slot + t, value, out)

    def _reading(self, row: int, t: int, slot: int, value: float, out: Signals) -> None:
        s, half = self.state, self._half
        seen = int(s["seen"][row])
        model = self._model(row)
        if model is not None:
            score = model.score(value)
            scores = s["scores"][row]
            known = scores[~np.isnan(scores)]
            if len(known) >= half // 4:
                self._judge(row, t, slot, score, known, out)
            s["drifts"][row] += int(self.drift and score > 0)
            scores[seen % (2 * half)] = score
            model.learn(value)
        s["readings"][row, seen % (2 * half)] = value
        s["seen"][row] = seen + 1
        bits = int(np.float32(value).view(np.uint32))
        s["digest"][row] = ((int(s["digest"][row]) ^ (bits + 1)) * _MIX) % 2**64
        if model is not None:
            model.digest = int(s["digest"][row])

    def _model(self, row: int) -> _Model | None:
        """Return the row's model as of its readings, building it if what is kept is another's."""
        seen, half = int(self.state["seen"][row]), self._half
        if seen < half:
            return None
        model, digest = self._models[row], int(self.state["digest"][row])
        if model is None or model.digest != digest or seen % half == 0:
            start = seen // half * half - half
            order = np.arange(start, seen) % (2 * half)
            readings = self.state["readings"][row, order].astype(np.float64)
            model = self._models[row] = _Model(self, row, readings, half, digest)
        return model

    def _judge(
        self, row: int, t: int, slot: int, score: float, known: NDArray[Any], out: Signals
    ) -> None:
        s = self.state
        if self.drift:
            rate = (int(s["drifts"][row]) + 1) / (int(s["seen"][row]) - self._half + 2)
            p = rate if score > 0 else 1.0
        else:
            cut = float(np.quantile(known, 1 - TAIL_SHARE))
            beyond = known[known > cut]
            excess = max(
                float(np.mean(beyond - cut)) if len(beyond) else 0.0, 1e-6 * abs(cut) + 1e-9
            )
            if score > cut:
                z = min((score - cut) / excess, Z_MAX)
                p = TAIL_SHARE * (1 + TAIL_XI * z) ** (-1 / TAIL_XI)
            else:
                p = max((1 + int(np.sum(known >= score))) / (1 + len(known)), TAIL_SHARE)
        evidence = log10_e(p)
        urgency = level_of(evidence)
        if p <= TAIL_SHARE and s["onset"][row] == NO_SLOT:
            s["onset"][row], s["peak"][row] = slot, 0
        elif p > CLOSES_AT:
            s["onset"][row] = NO_SLOT
        if s["onset"][row] != NO_SLOT:
            urgency = s["peak"][row] = max(int(s["peak"][row]), urgency)
        out.evidence[t, row], out.p_value[t, row] = evidence, p
        out.urgency[t, row], out.onset[t, row] = urgency, s["onset"][row]

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = self.state
        last = (s["seen"][rows] - 1) % (2 * self._half)
        return {
            "model_score": s["scores"][rows, last],
            "drifts_so_far": s["drifts"][rows],
            "onset_slot": s["onset"][rows],
        }


class _Model:
    """One river model, built from a stretch of readings; knows which readings it has seen."""

    def __init__(
        self,
        detector: RiverDetector,
        row: int,
        readings: NDArray[np.float64],
        half: int,
        digest: int,
    ) -> None:
        kwargs: dict[str, Any] = {
            name: type(default)(detector.params[name]) for name, default in detector.numbers.items()
        }
        if detector.seeded:
            kwargs["seed"] = int(detector.key[row]) % 2**31
        self._model = type(detector).factory(**kwargs)
        self._drift = detector.drift
        self._supervised = not self._drift and (
            "y" in inspect.signature(self._model.score_one).parameters
        )
        built_from = readings[:half]
        self._mean = float(built_from.mean())
        self._width = max(float(built_from.std()), 1e-6 * abs(self._mean) + 1e-9)
        self._before = 0.0
        self.digest = digest
        for value in readings.tolist():
            self.learn(value)

    def score(self, value: float) -> float:
        """Return the model's score of a reading (1 or 0 for a drift)."""
        z = (value - self._mean) / self._width
        if self._drift:
            # a drift detector only says so once it has seen the reading: learn() finds it done
            self._model.update(z)
            self._updated = True
            return float(self._model.drift_detected)
        if self._supervised:
            score = self._model.score_one({"before": self._before}, z)
        else:
            score = self._model.score_one({"now": _squash(z), "before": _squash(self._before)})
        return float(score) if math.isfinite(score) else 0.0

    _updated = False

    def learn(self, value: float) -> None:
        """Learn from a reading."""
        z = (value - self._mean) / self._width
        if self._drift:
            if not self._updated:
                self._model.update(z)
            self._updated = False
        elif self._supervised:
            self._model.learn_one({"before": self._before}, z)
        else:
            self._model.learn_one({"now": _squash(z), "before": _squash(self._before)})
        self._before = z


def _squash(z: float) -> float:
    """Return `z` in [0, 1], where forests look: ±8 deviations, linear."""
    return min(max(0.5 + z / 16, 0.0), 1.0)


@functools.cache
def river(model: str) -> type[Detector]:
    """Return the detector class around a river model, by class name.

    Raises
    ------
    DetectorError
        If river has no such model, or it needs more than numbers to be made.
    """
    import importlib

    modules = {name: importlib.import_module(name) for name in MODULES}
    usable = {
        name: (getattr(module, name), where == "river.drift")
        for where, module in modules.items()
        for name in module.__all__
        if _makeable(getattr(module, name, None))
    }
    if model not in usable:
        raise DetectorError(
            f"unknown detector 'river:{model}'; river has {', '.join(sorted(usable))}"
        )
    factory, drift = usable[model]
    parameters = inspect.signature(factory).parameters
    numbers = {
        name: p.default
        for name, p in parameters.items()
        if isinstance(p.default, int | float) and not isinstance(p.default, bool)
    }
    return type(
        f"River{model}",
        (RiverDetector,),
        {
            "name": f"river:{model}",
            "defaults": {"window": 512.0, **{k: float(v) for k, v in numbers.items()}},
            "factory": staticmethod(factory),
            "drift": drift,
            "seeded": "seed" in parameters,
            "numbers": numbers,
            "__doc__": f"Score each row with a ``{factory.__module__}.{model}`` of its own.",
        },
    )


def around(model: Any) -> type[Detector]:
    """Return the detector class around a river model as it was made, pipelines included.

    Every row gets a clone of `model`, unlearned; ``window`` is the only parameter.

    Raises
    ------
    DetectorError
        If it is no model of river that scores or detects drifts.

    Examples
    --------
    >>> from river import anomaly
    >>> around(anomaly.HalfSpaceTrees(n_trees=5, seed=1)).name
    'river:HalfSpaceTrees'
    """
    drift = hasattr(model, "drift_detected")
    if not hasattr(model, "clone") or not (drift or hasattr(model, "score_one")):
        raise DetectorError(
            f"got {type(model).__name__}; wanted a river model with score_one, or a drift detector"
        )
    return type(
        f"River{type(model).__name__}",
        (RiverDetector,),
        {
            "name": f"river:{type(model).__name__}",
            "defaults": {"window": 512.0},
            "factory": staticmethod(lambda: model.clone()),
            "drift": drift,
            "seeded": False,
            "numbers": {},
            "__doc__": f"Score each row with a clone of {model!r}.",
        },
    )


def _makeable(cls: Any) -> bool:
    """Whether this is a model that can be made without arguments."""
    return inspect.isclass(cls) and all(
        p.default is not inspect.Parameter.empty for p in inspect.signature(cls).parameters.values()
    )


register_family("river", river)
