"""Train the pooled weights of `inactivity` and write ``detectors/inactivity_weights.py``.

``python -m bench.quality.homes_train [--write]``

Every silence of every home is followed over the steps of the duration grid; a logistic regression
says at each step how likely a sign of life is. First a model of the clock alone, which new homes
lean on; then the weights of what a home's own record tells, read by the very kernel that reads it
in production. Homes of both sets teach, water and electricity alike. The prior rates come from
homes that the weights did not see (two folds).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.quality.hours import BURN_IN_H, Hours, load
from detectors import inactivity_kernels as kernels
from detectors.base import Frame
from detectors.inactivity import Inactivity
from detectors.inactivity_kernels import Model

# No cache: numba watches only this file, and these call the kernels of another.
RIDGE = 3.0
FIRST_STEP_SHARE = 0.15
"""Nine in ten silences end within their first hour: a share of those is enough."""
SETS = ("homes_water", "homes_power")
TARGET = Path(__file__).parents[2] / "detectors" / "inactivity_weights.py"


@dataclass(frozen=True, slots=True)
class Silences:
    """Silences of a set's homes: one begins after every active hour, most last no hour at all.

    Arrays of shape (P,) unless said.
    """

    home: NDArray[np.int64]
    onset: NDArray[np.int64]
    """Slot counted from the set's first."""
    hour: NDArray[np.int64]
    day: NDArray[np.int64]
    length: NDArray[np.int64]
    """Silent hours, as the detector counts them."""
    next_active: NDArray[np.int64]
    """Slot of the activity that ended it; −1 if the record ended first."""
    share: NDArray[np.float64]
    """Active share of the 28 days before."""


def signs_of_life(hours: Hours) -> NDArray[np.int8]:
    """Return silent (0), active (1) or missing (2) for each hour, as the detector judges."""
    detector = Inactivity(hours.homes, interval_s=3600)
    slots = len(hours.values)
    out = np.empty((slots, hours.homes), np.int8)
    for a in range(0, slots, 1000):
        b = min(a + 1000, slots)
        detector.step(frame(hours, a, hours.values[a:b]))
        at = (np.arange(a, b) + hours.first_slot) % kernels.RING_H
        known, active = (
            detector.state[k][:, at >> 6] >> (at & 63).astype(np.uint64) & np.uint64(1)
            for k in ("known", "active")
        )
        out[a:b] = np.where(known == 0, 2, active.astype(np.int8)).T
    return out


def frame(hours: Hours, slot: int, values: NDArray[np.float32]) -> Frame:
    """Return consecutive slots of a set as a frame; `values` of shape (T, N)."""
    t, n = values.shape
    channels = np.full((t, len(Inactivity.channels), n), np.nan, np.float32)
    channels[:, hours.channel] = values
    span = slice(slot, slot + t)
    return Frame(
        hours.first_slot + slot,
        channels,
        hours.local_hour[span, None],
        hours.local_day[span, None],
        hours.rest[span, None],
    )


@njit
def _follow(signs: Any, first: Any, last: Any) -> Any:
    """Return (home, onset, silent hours, slot of the next activity) of every silence."""
    out = []
    for n in range(signs.shape[1]):
        begun, silent, gap = -1, 0, 0
        for h in range(first[n], last[n]):
            kind = signs[h, n]
            if kind == kernels.MISSING:
                gap += 1
                continue
            bridge = gap if gap <= kernels.SHORT_GAP_H else 0
            gap = 0
            if kind == kernels.SILENT:
                silent += 1 + bridge
            else:
                if begun >= 0:
                    out.append((n, begun, silent + bridge, h))
                begun, silent = h + 1, 0
        if begun >= 0:
            out.append((n, begun, silent, -1))
    return out


@njit
def _read(s: Any, m: Any, signs: Any, days: Any, rest: Any, base: int, silences: Any) -> Any:
    """Return what the record tells of every silence: (P, K − 1, VARYING), (P, CONSTANT), share."""
    homes, onsets, clock, day = silences
    x = np.empty((len(m.grid) - 1, kernels.VARYING))
    y = np.empty(kernels.CONSTANT)
    varying = np.empty((len(onsets), *x.shape), np.float32)
    constant = np.empty((len(onsets), len(y)), np.float32)
    share = np.empty(len(onsets))
    at = 0
    for n in range(signs.shape[1]):
        for h in range(signs.shape[0]):
            mask = np.uint64(1) << np.uint64(days[h] & 63)
            s.rest[n, (days[h] >> 6) & 1] &= ~mask
            if rest[h]:
                s.rest[n, (days[h] >> 6) & 1] |= mask
            kernels.write(s.known, s.active, n, base + h, signs[h, n])
            if at < len(onsets) and homes[at] == n and onsets[at] == h + 1:
                o = base + h + 1
                kernels.features(s, n, m, o, clock[at], day[at], x, y)
                varying[at], constant[at] = x, y
                seen = kernels.count(s.known, n, o - 672, 672) + 20.0
                share[at] = (kernels.count(s.active, n, o - 672, 672) + 5.0) / seen
                at += 1
    return varying, constant, share


@dataclass(slots=True)
class Past:
    """A set's silences with what the record told at their beginning."""

    hours: Hours
    signs: NDArray[np.int8]
    silences: Silences
    varying: NDArray[np.float32]
    constant: NDArray[np.float32]


def silences_of(hours: Hours) -> tuple[NDArray[np.int8], Silences]:
    """Return the signs of life of a set and all its silences."""
    signs = signs_of_life(hours)
    home, onset, length, after = np.array(_follow(signs, hours.begin, hours.end), np.int64).T
    clock = hours.local_hour[onset - 1].astype(np.int64) + 1
    return signs, Silences(
        home,
        onset,
        clock % 24,
        hours.local_day[onset - 1] + clock // 24,
        length,
        after,
        np.empty(0),
    )


def read(hours: Hours, signs: NDArray[np.int8], silences: Silences, model: Model) -> Past:
    """Let the detector's kernel read the record at the beginning of every silence."""
    rows = Inactivity(hours.homes, interval_s=3600)._rows()
    keys = (silences.home, silences.onset, silences.hour, silences.day)
    varying, constant, share = _read(
        rows, model, signs, hours.local_day, hours.rest, hours.first_slot, keys
    )
    return Past(hours, signs, replace(silences, share=share), varying, constant)


# -- regression --------------------------------------------------------------------------------


def _regress(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ridge logistic weights."""

    def loss(b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = (x @ b.astype(np.float32)).astype(np.float64)
        p = 1.0 / (1.0 + np.exp(-z))
        value = float((np.logaddexp(0.0, z) - y * z).sum() + 0.5 * RIDGE * (b @ b))
        return value, (x.T @ (p - y).astype(np.float32)).astype(np.float64) + RIDGE * b

    start = np.zeros(x.shape[1])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150})
    return np.asarray(fitted.x)


def _at_risk(s: Silences, k: int, grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return silences that reached duration k and whose next step is known."""
    known = (s.next_active >= 0) | (s.length >= grid[k + 1])
    at = np.flatnonzero((s.length >= grid[k]) & known)
    if k == 0:
        at = at[np.random.default_rng(0).random(len(at)) < FIRST_STEP_SHARE]
    return at


def _one_hot(rows: int, width: int, *columns: Any) -> NDArray[np.float32]:
    out = np.zeros((rows, width), np.float32)
    for column, value in columns:
        out[np.arange(rows), column] = value
    return out


def fit_clock(parts: Sequence[tuple[Silences, NDArray[np.bool_]]], model: Model) -> Model:
    """Fit the model of the clock alone on some homes of each set."""
    grid, steps = model.grid, len(model.grid) - 1
    xs, ys = [], []
    for s, teaches in parts:
        for k in range(steps):
            at = _at_risk(s, k, grid)
            at = at[teaches[s.home[at]]]
            hour = (s.hour[at] + grid[k + 1] - 1) % 24
            columns = (hour, 1.0), (24 + hour, model.log_d[k]), (48 + k, 1.0)
            xs.append(_one_hot(len(at), 48 + steps, *columns))
            ys.append((s.length[at] < grid[k + 1]).astype(np.float32))
    b = _regress(np.concatenate(xs), np.concatenate(ys))
    return model._replace(clock=b[:48].reshape(2, 24).copy(), clock_step=b[48:].copy())


def fit_steps(parts: Sequence[tuple[Past, NDArray[np.bool_]]], model: Model) -> Model:
    """Fit the weights of what the record tells on some homes of each set."""
    grid, steps = model.grid, len(model.grid) - 1
    xs, ys = [], []
    for past, teaches in parts:
        s = past.silences
        for k in range(steps):
            at = _at_risk(s, k, grid)
            at = at[teaches[s.home[at]]]
            told = np.concatenate([past.varying[at, k], past.constant[at]], axis=1)
            ahead = s.hour[at] + grid[k + 1] - 1
            rest = (s.day[at] + ahead // 24 + 3) % 7 >= 5
            hour = ahead % 24
            columns = (hour, 1.0), (24 + hour, rest), (48 + k, 1.0)
            hot = _one_hot(len(at), 48 + steps, *columns)
            xs.append(np.concatenate([told, told * np.float32(model.log_d[k]), hot], axis=1))
            ys.append((s.length[at] < grid[k + 1]).astype(np.float32))
    b = _regress(np.concatenate(xs), np.concatenate(ys))
    width = kernels.VARYING + kernels.CONSTANT
    weights, hours, step = np.split(b, [2 * width, 2 * width + 48])
    return model._replace(
        weights=weights.reshape(2, width).copy(),
        hour=np.stack([hours[:24], hours[:24] + hours[24:]]),
        step=step.copy(),
    )


def train(sets: Sequence[Hours], teaches: Sequence[NDArray[np.bool_]]) -> tuple[Model, list[Past]]:
    """Fit all weights on some homes of each set; return them and the sets as they were read."""
    model = Inactivity(1, interval_s=3600)._model
    found = [silences_of(h) for h in sets]
    model = fit_clock([(s, t) for (_, s), t in zip(found, teaches, strict=True)], model)
    pasts = [read(h, signs, s, model) for h, (signs, s) in zip(sets, found, strict=True)]
    return fit_steps(list(zip(pasts, teaches, strict=True)), model), pasts


# -- prior rates -------------------------------------------------------------------------------


@njit
def _moments(m: Any, kind: int, hour: Any, day: Any, x: Any, y: Any, share: Any) -> Any:
    out = np.empty((len(hour), len(m.price)), np.uint8)
    alive = np.empty(len(m.grid))
    for p in range(len(hour)):
        kernels.survive(m, hour[p], day[p], x[p], y[p], alive)
        kernels.choose(m, kind, hour[p], alive, 8.76 * share[p], out[p])
    return out


def moments_of(past: Past, model: Model) -> NDArray[np.uint8]:
    """Return the moments of every silence at every price, shape (P, LEVELS)."""
    s = past.silences
    kind = kernels.ELECTRICITY_ALONE if past.hours.channel == 0 else kernels.ANY
    return np.asarray(_moments(model, kind, s.hour, s.day, past.varying, past.constant, s.share))


def visits(past: Past, moments: NDArray[np.uint8], homes: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many harmless silences of some homes reach each price after day 28."""
    s = past.silences
    counted = homes[s.home] & (s.onset > past.hours.begin[s.home] + BURN_IN_H)
    reached = (moments != kernels.NEVER) & (s.length[:, None] >= moments)
    return np.asarray(reached[counted].sum(axis=0))


def folds(sets: Sequence[Hours], number: int = 2) -> list[list[NDArray[np.bool_]]]:
    """Return, for each fold, which homes of each set it holds."""
    return [[np.arange(h.homes) % number == j for h in sets] for j in range(number)]


def prior_rate(sets: Sequence[Hours]) -> NDArray[np.float64]:
    """Return harmless episodes a home-year at each price, on homes that did not teach."""
    reached, years = np.zeros(len(Inactivity.grid)), 0.0
    for held in folds(sets):
        model, pasts = train(sets, [~h for h in held])
        for past, mine in zip(pasts, held, strict=True):
            reached += visits(past, moments_of(past, model), mine)
            years += past.hours.exposure_years[mine].sum()
    return np.asarray(reached / years)


def write(model: Model, rates: NDArray[np.float64], path: Path = TARGET) -> None:
    """Write the module that `inactivity` is shipped with."""

    def literal(values: Any, digits: int) -> str:
        if np.ndim(values):
            return "[" + ", ".join(literal(v, digits) for v in values) + "]"
        return repr(round(float(values), digits))

    parts = [
        '"""Pooled weights of `inactivity`, written by ``bench/quality/homes_train.py``; do not edit.\n\n'
        'The names are the fields of :class:`detectors.inactivity_kernels.Model`.\n"""\n\n'
        "import numpy as np\n"
    ]
    for name, values, digits, text in (
        ("CLOCK", model.clock, 3, "Logit of a sign of life by local hour; its slope on ln d."),
        ("CLOCK_STEP", model.clock_step, 3, "Its offset by duration."),
        ("WEIGHTS", model.weights, 4, "Weights of the features, and of their products with ln d."),
        ("HOUR", model.hour, 3, "Offset by local hour, on work days and on rest days."),
        ("STEP", model.step, 3, "Offset by duration."),
        ("PRIOR_RATE", rates, 2, "Harmless silences per home-year that reach each price."),
    ):
        parts.append(f'\n{name} = np.array({literal(values, digits)})\n"""{text}"""\n')
    path.write_text("".join(parts), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Train on all homes; print the prior rates; write with --write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(argv)
    sets = [load(name) for name in SETS]
    rates = prior_rate(sets)
    model, _ = train(sets, [np.ones(h.homes, np.bool_) for h in sets])
    for price, rate in zip(Inactivity.grid, rates, strict=True):
        print(f"log10 price {np.log10(price):5.2f}: {rate:7.2f} a home-year")
    if args.write:
        write(model, rates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
