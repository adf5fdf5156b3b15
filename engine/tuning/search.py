"""The search: optuna proposes, fleets judge, others that the search never saw have the last word.

Subjects are halved by a hash, time is cut into blocks. Searched are one half's early blocks. The
other half's late blocks, unseen in both ways, say whether anything was gained; the two mixed
quarters (the same subjects later, other subjects at the same time) say where a gain was lost.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, DetectorError
from engine.tuning.fleet import Blocks, Fleet, Outcome
from engine.tuning.judge import bootstrap
from engine.tuning.tape import Tape

SPAN = 4.0
"""Parameters without a range of their own are tried from a quarter to four times their value."""
OVERSPENT = 1.2
"""False alerts beyond this share of what was asked cost as much as waiting."""
LEAST_GAIN_H = 0.05
"""A smaller gain is none, and no share of it can be told."""
INTEGRAL_FROM = 10
WORTHLESS = 0.02
"""A change of a parameter that brings less than this share of the gain is taken back."""
QUARTERS = {
    "searched": "the homes that were searched, the time that was searched",
    "later": "the same homes, later",
    "others": "other homes, the same time",
    "unseen": "other homes, later",
}


class TuneError(ValueError):
    """A search cannot be run as asked."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a parameter is looked for, both ends included."""

    low: float
    high: float
    whole: bool = False


def ranges(
    kind: type[Detector], given: Mapping[str, tuple[float, float]], now: Mapping[str, float]
) -> dict[str, Range]:
    """Return the ranges to search: those given, else all parameters around what they are now.

    >>> from detectors.base import lookup
    >>> ranges(lookup("seasonal"), {}, {"half_life": 14.0, "blend": 0.5})["half_life"]
    Range(low=4.0, high=56.0, whole=True)

    Raises
    ------
    TuneError
        If there is no such parameter, or nothing to search.
    """
    unknown = sorted(set(given) - set(kind.defaults))
    if unknown:
        known = ", ".join(sorted(kind.defaults)) or "none"
        raise TuneError(f"{kind.name}: unknown parameter {unknown[0]!r}; known: {known}")
    if not given:
        given = {k: (v / SPAN, v * SPAN) for k, v in now.items() if v > 0}
    if not given:
        raise TuneError(f"{kind.name}: has no parameters to search")
    found = {}
    for name, (low, high) in sorted(given.items()):
        if not low < high:
            raise TuneError(f"{name}: wanted LOW:HIGH with LOW < HIGH, got {low:g}:{high:g}")
        value = now.get(name, kind.defaults[name])
        whole = float(value).is_integer() and value >= INTEGRAL_FROM
        found[name] = (
            Range(float(math.ceil(low)), float(math.floor(high)), True)
            if whole
            else Range(low, high)
        )
    return found


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters that was tried: its objective (hours), and each subject's wait."""

    number: int
    params: dict[str, float]
    value: float
    waits_h: tuple[float, ...]


@dataclass(slots=True)
class Found:
    """What a search came to.

    Parameters
    ----------
    now, best : dict of str to float
        Parameters of the rule, and the best that were found (the same, if none were better).
    trials : list of Trial
    quarters : mapping of (budget, quarter) to (now, best)
    gain_h, interval_h : per quarter
        Mean hours saved a subject, and its 95 % interval over subjects.
    cross_validated_h : float
        Hours saved on folds of the searched subjects that did not choose.
    """

    now: dict[str, float]
    best: dict[str, float]
    trials: list[Trial]
    budgets: tuple[float, ...]
    quarters: dict[tuple[float, str], tuple[Outcome, Outcome]]
    gain_h: dict[str, float] = field(default_factory=dict)
    interval_h: dict[str, tuple[float, float]] = field(default_factory=dict)
    cross_validated_h: float = math.nan

    @property
    def verdict(self) -> str:
        """``improves``, ``no improvement`` or ``worse``, by the quarter nobody saw."""
        if self.best == self.now:
            return "no improvement"
        low, high = self.interval_h["unseen"]
        if low > 0:
            return "improves"
        return "worse" if high < 0 else "no improvement"

    @property
    def kept(self) -> float:
        """Share of the gain while searching that remained where nothing was seen; NaN of none."""
        seen = self.gain_h.get("searched", 0.0)
        return self.gain_h.get("unseen", 0.0) / seen if seen >= LEAST_GAIN_H else math.nan


@dataclass(slots=True)
class Search:
    """One search over one rule's detector.

    Parameters
    ----------
    searched, others : Fleet
        The two halves.
    budgets : tuple of float
        False alerts a subject-year; the objective is the mean over them.
    storage : str or None
        SQLite URL or file: trials are kept there, and an interrupted search goes on.
    identity : str
        What must be the same for old trials to count.
    """

    searched: Fleet
    others: Fleet
    blocks: Blocks
    tapes: Sequence[Tape]
    ranges: Mapping[str, Range]
    budgets: tuple[float, ...]
    trials: int
    seed: int = 1
    storage: str | Path | None = None
    identity: str = ""
    on_trial: Callable[[int, int, float], None] | None = None

    def run(self) -> Found:
        """Search, then judge on what the search did not see."""
        now = dict(self.tapes[0].params)
        value, waits = self._value(now)
        tried = self._search(now)
        best = min(tried, key=lambda t: (t.value, t.number))
        chosen = self._pruned(now, best, value) if best.value < value else now
        found = Found(now, chosen, tried, self.budgets, {})
        for fleet, early, late in (
            (self.searched, "searched", "later"), (self.others, "others", "unseen")
        ):  # fmt: skip
            spans = {early: self.blocks.early_blocks, late: self.blocks.late_blocks}
            old = fleet.judge(now, self.budgets, spans)
            new = old if chosen == now else fleet.judge(chosen, self.budgets, spans)
            found.quarters |= {key: (old[key], new[key]) for key in old}
        for name in QUARTERS:
            saved = self._saved(found, name)
            found.gain_h[name] = float(saved.mean()) if len(saved) else math.nan
            low_high = bootstrap(saved, self.seed) if len(saved) > 1 else (math.nan, math.nan)
            found.interval_h[name] = low_high
        found.cross_validated_h = cross_validated(waits, tried, self.seed)
        return found

    def _pruned(self, now: Mapping[str, float], best: Trial, value: float) -> dict[str, float]:
        """Return the best parameters without the changes that gained nothing by themselves."""
        chosen = {**now, **best.params}
        bearable = best.value + WORTHLESS * (value - best.value)
        for name in sorted(best.params):
            without = {**chosen, name: now[name]}
            if without == chosen or not _inside(now[name], self.ranges[name]):
                continue
            try:
                if self._value(without)[0] <= bearable:
                    chosen = without
            except DetectorError:
                continue
        return chosen

    def _saved(self, found: Found, quarter: str) -> NDArray[np.float64]:
        """Return the hours saved by each subject, over all budgets."""
        per = [
            found.quarters[b, quarter][0].waits_h - found.quarters[b, quarter][1].waits_h
            for b in self.budgets
        ]
        mean = np.mean(per, axis=0)
        return mean[np.isfinite(mean)]

    def _search(self, now: Mapping[str, float]) -> list[Trial]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = None if self.storage is None else _url(self.storage)
        study = optuna.create_study(
            storage=url, study_name=self._name(), load_if_exists=True, direction="minimize"
        )
        here = {k: now[k] for k in self.ranges if _inside(now[k], self.ranges[k])}
        if not study.trials and len(here) == len(self.ranges):
            study.enqueue_trial(here)
        done = _finished(study, optuna)
        while len(done) < self.trials:
            # A sampler made anew from (seed, how many are done) goes on after an interruption as
            # if there had been none.
            study.sampler = optuna.samplers.TPESampler(
                seed=self.seed * 100_003 + len(study.trials), multivariate=True
            )
            study.optimize(self._objective(optuna), n_trials=1)
            done = _finished(study, optuna)
            if self.on_trial is not None:
                least = min((t.value for t in done), default=math.nan)
                self.on_trial(len(done), self.trials, float(least))
            if len(study.trials) > 10 * self.trials:
                raise TuneError("nearly all parameters in these ranges are refused by the detector")
        return [
            Trial(t.number, {k: float(v) for k, v in t.params.items()}, float(t.value),
                  tuple(t.user_attrs["waits_h"]))
            for t in done
        ]  # fmt: skip

    def _name(self) -> str:
        what = {
            "identity": self.identity,
            "ranges": {k: [r.low, r.high, r.whole] for k, r in self.ranges.items()},
            "budgets": self.budgets,
            "seed": self.seed,
            "cases": self.searched.cases,
        }
        return "tune-" + hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    def _objective(self, optuna: Any) -> Callable[[Any], float]:
        def objective(trial: Any) -> float:
            params = {
                name: float(trial.suggest_int(name, int(r.low), int(r.high), log=r.low >= 1))
                if r.whole
                else float(trial.suggest_float(name, r.low, r.high, log=r.low > 0))
                for name, r in self.ranges.items()
            }
            try:
                value, waits = self._value(params)
            except DetectorError as error:
                raise optuna.TrialPruned(str(error)) from None
            trial.set_user_attr("waits_h", [round(float(w), 4) for w in waits])
            return value

        return objective

    def _value(self, params: Mapping[str, float]) -> tuple[float, NDArray[np.float64]]:
        """Return the objective in hours, and the mean wait of each searched subject."""
        spans = {"searched": self.blocks.early_blocks}
        outcomes = list(self.searched.judge(params, self.budgets, spans).values())
        waits = np.mean([o.waits_h for o in outcomes], axis=0)
        if not np.isfinite(waits).any():
            raise TuneError("no case can be judged: no subject has any in the searched blocks")
        over = np.mean([max(0.0, np.nan_to_num(o.realised) - OVERSPENT) for o in outcomes])
        return float(np.nanmean(waits)) + self.searched.horizon_h * float(over), waits


def _url(storage: str | Path) -> str:
    text = str(storage)
    return text if "://" in text else f"sqlite:///{text}"


def _inside(value: float, r: Range) -> bool:
    return r.low <= value <= r.high


def _finished(study: Any, optuna: Any) -> list[Any]:
    complete = optuna.trial.TrialState.COMPLETE
    return [t for t in study.trials if t.state == complete]


def cross_validated(
    now: NDArray[np.float64], tried: Sequence[Trial], seed: int, folds: int = 5
) -> float:
    """Return the hours saved on subjects that did not choose, within the searched half.

    Each fold is judged by the trial that is best on the others, against what the rule has `now`.
    What is lost to ``gain_h["searched"]`` is what choosing among many adds by luck.
    """
    waits = np.array([now, *(t.waits_h for t in tried)])
    waits = waits[:, np.isfinite(waits).all(axis=0)]
    subjects = waits.shape[1]
    if subjects < folds:
        return math.nan
    fold = np.random.default_rng(seed).permutation(subjects) % folds
    saved = np.zeros(subjects)
    for f in range(folds):
        best = int(waits[:, fold != f].mean(axis=1).argmin())
        saved[fold == f] = waits[0, fold == f] - waits[best, fold == f]
    return float(saved.mean())
