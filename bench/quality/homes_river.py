"""The same collapses by models of river: one model a home, one threshold for all homes.

What a data team would build in an afternoon: `GaussianScorer` over the logarithm of the hours
since the last sign of life, `HalfSpaceTrees` over use, those hours and the hour of the day. The
threshold is the one that comes to the asked false visits on these very homes, which is more than a
budget can know beforehand. Alarms within a day of a visit are
that visit's; one that goes on for longer is another.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import anomaly

from bench.quality.homes_train import signs_of_life
from bench.quality.hours import BURN_IN_H, Hours
from detectors import inactivity_kernels as kernels

DUE_H, REPLACED_H, ONE_VISIT_H = 2, 72, 24


class _Gaussian:
    """How unusual so many hours without a sign of life are."""

    def __init__(self, _most: float) -> None:
        self.model = anomaly.GaussianScorer(grace_period=24 * 14)

    def step(self, _use: float, silent: int, _hour: int) -> float:
        y = math.log1p(silent)
        score = float(self.model.score_one(None, y)) if silent else 0.0
        self.model.learn_one(None, y)
        return score


class _Trees:
    """How rare the point (use, hours without a sign of life, hour of the day) is."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.model = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=24 * 14, seed=1)

    def step(self, use: float, silent: int, hour: int) -> float:
        x = {
            "use": min(1.0, use / self.most),
            "silent": min(1.0, silent / REPLACED_H),
            "hour": hour / 24,
        }
        score = float(self.model.score_one(x))
        self.model.learn_one(x)
        return score if silent else 0.0


MODELS: dict[str, Callable[[float], Any]] = {
    "river GaussianScorer": _Gaussian,
    "river HalfSpaceTrees": _Trees,
}


@dataclass(slots=True)
class Scored:
    """Scores of a set and of its collapses, by one kind of model."""

    hours: Hours
    untouched: list[NDArray[np.float64]]
    """Per home, from its first hour on."""
    cases: list[tuple[int, NDArray[np.float64]]]
    """Home, and its scores from the collapse on."""


def score(hours: Hours, name: str, starts: Sequence[tuple[int, int, float]]) -> Scored:
    """Score every home and every collapse (home, slot, standby)."""
    signs = signs_of_life(hours)
    of_home: dict[int, dict[int, float]] = {}
    for home, slot, quiet in starts:
        of_home.setdefault(home, {})[slot] = quiet
    untouched, cases = [], []
    for home in range(hours.homes):
        begin, end = int(hours.begin[home]), int(hours.end[home])
        use = hours.values[begin:end, home]
        model = MODELS[name](float(np.nanquantile(use[:BURN_IN_H], 0.99)) + 1e-6)
        scores, silent = np.zeros(end - begin), 0
        for slot in range(begin, end):
            if slot in of_home.get(home, {}):
                standby = of_home[home][slot]
                told = _collapse(copy.deepcopy(model), hours, home, slot, silent, standby)
                cases.append((home, told))
            if np.isnan(use[slot - begin]):
                continue
            silent = 0 if signs[slot, home] == kernels.ACTIVE else silent + 1
            value, hour = float(use[slot - begin]), int(hours.local_hour[slot])
            scores[slot - begin] = model.step(value, silent, hour)
        untouched.append(scores)
    return Scored(hours, untouched, cases)


def _collapse(
    model: Any, hours: Hours, home: int, start: int, silent: int, standby: float
) -> NDArray[np.float64]:
    scores = np.zeros(REPLACED_H)
    for i in range(REPLACED_H):
        if np.isnan(hours.values[start + i, home]):
            continue
        silent += 1
        scores[i] = model.step(standby, silent, int(hours.local_hour[start + i]))
    return scores


def visits(scored: Scored, threshold: float) -> float:
    """Return the false visits a home-year at a threshold."""
    count = 0
    for scores in scored.untouched:
        free = 0
        for at in np.flatnonzero(scores[BURN_IN_H:] > threshold).tolist():
            if at >= free:
                count, free = count + 1, at + ONE_VISIT_H
    return count / float(scored.hours.exposure_years.sum())


def at_visits(scored: Scored, asked: float) -> tuple[float, NDArray[np.float64], NDArray[np.int64]]:
    """Return the visits nearest under `asked`, and delay and home of each collapse."""
    found = np.unique(np.concatenate(scored.untouched))
    low, high = 0, len(found) - 1
    while low < high:
        middle = (low + high) // 2
        if visits(scored, float(found[middle])) <= asked:
            high = middle
        else:
            low = middle + 1
    threshold = float(found[low])
    delays = [
        float(np.argmax(s > threshold) + DUE_H) if (s > threshold).any() else math.inf
        for _, s in scored.cases
    ]
    return (
        visits(scored, threshold),
        np.array(delays),
        np.array([home for home, _ in scored.cases]),
    )
