"""What a reading costs, and what it buys, beside what a user would pick instead; one run.

Run ``gridwarden bench peers [--meters N] [--json FILE]``. Peers that are not installed are named as
such (``make bench`` installs them: requirements-peers.lock).

Every method sees the same streams: hourly use with the rhythm of the day and the week, and noise in
proportion. Cost is CPU time a reading, scoring and learning, one model a meter. Quality is the
share of planted falls and rises (4 hours at ×0.1 or ×3) found within 3 hours at the threshold that
gives 12 alarms a meter-year on the untouched streams. Slow methods get fewer readings for their
cost and fewer meters for their quality; how many is in the table.

The answer is asserted before any time is told: the kernel's scores equal those of its plain twin in
Python, reading by reading.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import plots
from bench.cost import bandwidth
from bench.quality.surges import ALARMS_A_YEAR, HOURS_A_YEAR, alarms
from detectors.base import Frame, lookup

Values = NDArray[np.float64]
HOUR_S, DAY_H = 3600, 24
DAYS, JUDGED_FROM_D = 42, 28
LENGTH_H, WITHIN_H = 4, 3
FIRST_SLOT = 20_000 * DAY_H  # a midnight


@dataclass(frozen=True)
class Method:
    """A way to score streams.

    Parameters
    ----------
    name : str
    score : callable
        From values (slots, meters) to scores of the same shape, NaN while not ready.
    meters : int
        Meters it is given: what is fast gets more.
    plain : bool
        Whether this is the plain twin, to which the kernel is compared.
    """

    name: str
    score: Callable[[Values], Values]
    meters: int


# -- streams ------------------------------------------------------------------------------------


def streams(meters: int, seed: int, days: int = DAYS) -> Values:
    """Return untouched hourly use, shape (slots, meters)."""
    rng = np.random.default_rng(seed)
    hour = np.arange(days * DAY_H)
    of_day, rest = hour % DAY_H, hour // DAY_H % 7 >= 5
    out = np.empty((len(hour), meters))
    for m in range(meters):
        morning, evening = rng.normal(7.5, 1), rng.normal(19.5, 1)
        shape = 0.15 + sum(
            height * np.exp(-0.5 * ((of_day - peak) / width) ** 2)
            for height, peak, width in (
                (rng.uniform(0.3, 1), morning, 1.5), (rng.uniform(0.5, 1.5), evening, 2.5))
        )  # fmt: skip
        shape = shape * np.where(rest, rng.uniform(0.8, 1.4), 1.0)
        noise = rng.gamma(4.0, 0.25, len(hour))
        out[:, m] = rng.lognormal(0, 0.5) * shape * noise
    return out


def planted(values: Values, seed: int) -> tuple[Values, NDArray[np.int64]]:
    """Return a copy with one event a meter after the warm-up, and where each begins."""
    rng = np.random.default_rng(seed)
    changed = values.copy()
    days = rng.integers(JUDGED_FROM_D, len(values) // DAY_H - 1, values.shape[1])
    at: NDArray[np.int64] = np.asarray(days * DAY_H + rng.integers(6, 21, values.shape[1]))
    for m, start in enumerate(at.tolist()):
        changed[start : start + LENGTH_H, m] *= 3.0 if m % 2 else 0.1
    return changed, at


def threshold(scores: Values) -> float:
    """Return the lowest line with at most 12 alarms a meter-year on untouched streams."""
    judged = np.nan_to_num(scores[JUDGED_FROM_D * DAY_H :], nan=-np.inf)
    allowed = ALARMS_A_YEAR * judged.size / HOURS_A_YEAR
    lines = np.unique(judged[np.isfinite(judged)])[::-1]
    low, high = 0, len(lines)
    while low < high:  # the number of alarms grows as the line falls
        middle = (low + high) // 2
        raised = sum(alarms(judged[:, m] >= lines[middle]) for m in range(judged.shape[1]))
        low, high = (middle + 1, high) if raised <= allowed else (low, middle)
    return float(lines[low - 1]) if low else np.inf


def found(method: Method, seed: int) -> float:
    """Return the share of planted events found in time."""
    untouched = streams(method.meters, seed)
    line = threshold(method.score(untouched))
    changed, at = planted(untouched, seed + 1)
    scores = np.nan_to_num(method.score(changed), nan=-np.inf)
    hits = [(scores[t : t + WITHIN_H, m] >= line).any() for m, t in enumerate(at.tolist())]
    return float(np.mean(hits))


def cost_ns(method: Method, seed: int) -> tuple[float, int]:
    """Return CPU nanoseconds a reading, and how many readings were timed."""
    values = streams(method.meters, seed, days=7)
    method.score(values[: 2 * DAY_H])  # compiled, imported, allocated
    began = time.process_time()
    method.score(values)
    return (time.process_time() - began) / values.size * 1e9, values.size


# -- methods ------------------------------------------------------------------------------------


def _frame(values: Values, first: int = FIRST_SLOT) -> Frame:
    slot = (first + np.arange(len(values)))[:, None]
    return Frame(
        first,
        np.ascontiguousarray(values[:, None, :], np.float32),
        (slot % DAY_H).astype(np.int32),
        (slot // DAY_H).astype(np.int32),
        slot // DAY_H % 7 >= 5,
    )


def ours(name: str) -> Callable[[Values], Values]:
    """Return one of this project's detectors."""

    def score(values: Values) -> Values:
        detector = lookup(name)(values.shape[1], interval_s=HOUR_S)
        said: Values = detector.step(_frame(values)).evidence.astype(np.float64)
        return said

    return score


def twin(values: Values) -> Values:
    """Score with the plain Python twin of `seasonal` that the tests hold the kernel to."""
    from tests.detectors.twin_seasonal import seasonal

    detector = lookup("seasonal")(values.shape[1], interval_s=HOUR_S)
    said: Values = seasonal(detector, _frame(values)).evidence.astype(np.float64)
    return said


def one_by_one(make: Callable[[], Callable[[float], float]]) -> Callable[[Values], Values]:
    """Return a method that gives each meter a model of its own, a reading at a time."""

    def score(values: Values) -> Values:
        out = np.empty_like(values)
        for m in range(values.shape[1]):
            model = make()
            out[:, m] = [model(x) for x in values[:, m].tolist()]
        return out

    return score


def river_models() -> Iterator[Method]:
    """Yield river's models; each learns after it has scored."""
    from river import anomaly, preprocessing, time_series

    def gaussian() -> Callable[[float], float]:
        model = anomaly.GaussianScorer(window_size=DAY_H * 14)

        def step(x: float) -> float:
            score = float(model.score_one({}, x))
            model.learn_one({}, x)
            return score

        return step

    def half_space() -> Callable[[float], float]:
        scale, model = preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1)
        before = 0.0

        def step(x: float) -> float:
            nonlocal before
            pair = {"now": x, "before": before}
            before = x
            scale.learn_one(pair)
            scaled = scale.transform_one(pair)
            score = float(model.score_one(scaled))
            model.learn_one(scaled)
            return score

        return step

    def holt_winters() -> Callable[[float], float]:
        model = anomaly.PredictiveAnomalyDetection(
            time_series.HoltWinters(alpha=0.1, beta=0.01, gamma=0.1, seasonality=DAY_H)
        )

        def step(x: float) -> float:
            # `score_one` caps at 1: the model's own error says more
            try:
                score = abs(x - float(model.predictive_model.forecast(1)[0]))
            except (ValueError, IndexError, TypeError, AttributeError):
                score = np.nan
            model.learn_one(None, x)
            return score

        return step

    yield Method("river GaussianScorer", one_by_one(gaussian), 60)
    yield Method("river HalfSpaceTrees", one_by_one(half_space), 20)
    yield Method("river HoltWinters", one_by_one(holt_winters), 60)


def pysad_models() -> Iterator[Method]:
    """Yield models of pysad."""
    from pysad.models import LODA, RSHash

    def loda() -> Callable[[float], float]:
        model = LODA()
        return lambda x: float(model.fit_score_partial(np.array([x])))

    def hashed() -> Callable[[float], float]:
        model = RSHash(feature_mins=np.array([0.0]), feature_maxes=np.array([20.0]))
        return lambda x: float(model.fit_score_partial(np.array([x])))

    yield Method("pysad LODA", one_by_one(loda), 8)
    yield Method("pysad RSHash", one_by_one(hashed), 4)


def random_cut() -> Iterator[Method]:
    """Yield a random cut forest of 20 trees of 128 leaves over shingles of two."""
    import rrcf

    def forest() -> Callable[[float], float]:
        rng = np.random.RandomState(1)
        trees = [rrcf.RCTree(random_state=rng) for _ in range(20)]
        before, seen = 0.0, 0

        def step(x: float) -> float:
            nonlocal before, seen
            point, before = np.array([before, x]), x
            total = 0.0
            for tree in trees:
                if len(tree.leaves) > 128:
                    tree.forget_point(seen - 128)
                tree.insert_point(point, index=seen)
                total += tree.codisp(seen)
            seen += 1
            return total / len(trees)

        return step

    yield Method("rrcf", one_by_one(forest), 2)


def dataflow() -> Iterator[Method]:
    """Yield bytewax with a running z score by hour of the day as its state."""
    from bytewax import operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    def step(state: Any, row: tuple[int, float]) -> tuple[Any, tuple[int, float]]:
        slot, x = row
        table = state if state is not None else [(0, 0.0, 0.0)] * DAY_H
        n, mean, square = table[slot % DAY_H]
        score = abs(x - mean) / (square / (n - 1)) ** 0.5 if n > 2 and square > 0 else np.nan
        n += 1
        moved = mean + (x - mean) / n
        table[slot % DAY_H] = (n, moved, square + (x - mean) * (x - moved))
        return table, (slot, score)

    def score(values: Values) -> Values:
        rows = [
            (str(m), (t, float(values[t, m])))
            for t in range(len(values))
            for m in range(values.shape[1])
        ]
        out: list[tuple[str, tuple[int, float]]] = []
        flow = Dataflow("peers")
        read = op.input("in", flow, TestingSource(rows, batch_size=1000))
        scored = op.stateful_map("z", read, step)
        op.output("out", scored, TestingSink(out))
        run_main(flow)
        result = np.full_like(values, np.nan)
        for m, (t, s) in out:
            result[t, int(m)] = s
        return result

    yield Method("bytewax, z by hour of day", score, 60)


def notebooks() -> Iterator[Method]:
    """Yield what a notebook does with a whole table at once: no stream, no state kept."""
    import pandas as pd
    import polars as pl

    def with_pandas(values: Values) -> Values:
        table = pd.DataFrame(values)
        by_hour = table.groupby(np.arange(len(values)) % DAY_H)
        mean = by_hour.transform(lambda x: x.shift().expanding().mean())
        deviation = by_hour.transform(lambda x: x.shift().expanding().std())
        z: Values = ((table - mean).abs() / deviation).to_numpy()
        return z

    def with_polars(values: Values) -> Values:
        slots, meters = values.shape
        table = pl.DataFrame(
            {
                "meter": np.tile(np.arange(meters), slots),
                "hour": np.repeat(np.arange(slots) % DAY_H, meters),
                "value": values.ravel(),
            }
        )
        over = pl.col("value").over("meter", "hour")
        mean = over.mean().over("meter", "hour")
        z = table.select(
            ((pl.col("value") - mean).abs() / pl.col("value").std().over("meter", "hour")).alias(
                "z"
            )
        )
        return z["z"].to_numpy().reshape(slots, meters)

    yield Method("pandas, z by hour of day", with_pandas, 200)
    yield Method("polars, z by hour of day", with_polars, 2000)


PEERS: Mapping[str, Callable[[], Iterator[Method]]] = {
    "river": river_models,
    "pysad": pysad_models,
    "rrcf": random_cut,
    "bytewax": dataflow,
    "pandas, polars": notebooks,
}


# -- the run ------------------------------------------------------------------------------------


def kernel(meters: int) -> dict[str, float]:
    """Return what the seasonal kernel costs in order over many meters, and its bytes a reading."""
    rng = np.random.default_rng(5)
    detector = lookup("seasonal")(meters, interval_s=900)
    values = rng.gamma(4.0, 0.25, (8, meters))
    slots = 8

    def frame(first: int) -> Frame:
        slot = (first + np.arange(slots))[:, None]
        local = (slot % 96).astype(np.int32)
        return Frame(first, values[:, None, :].astype(np.float32), local, (slot // 96).astype(np.int32),
                     np.zeros((slots, 1), bool))  # fmt: skip

    for day in range(6):  # the tables of these times of day are filled and have scores
        detector.step(frame(day * 96))
    times = []
    for day in range(6, 11):
        one = frame(day * 96)
        began = time.process_time()
        detector.step(one)
        times.append((time.process_time() - began) / (meters * slots) * 1e9)
    # read and written: two codes of 16 bits, five floats, count, onset, peak; the other kind of
    # day is read; out go evidence, p, urgency, onset
    moved = 2 * (2 + 2 + 5 * 4 + 2 + 4 + 1) + (2 + 2 + 2) + 4 + (4 + 4 + 1 + 8)
    return {"ns": float(np.median(times)), "bytes": float(moved), "meters": float(meters)}


def assert_answer() -> None:
    """Assert that the kernel says what its plain twin says."""
    values = streams(3, 11, days=20)
    fast, plain = ours("seasonal")(values), twin(values)
    assert np.array_equal(np.isnan(fast), np.isnan(plain))
    assert np.isfinite(fast).mean() > 0.5
    np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4, equal_nan=True)


def run(meters: int) -> dict[str, Any]:
    """Return all figures."""
    assert_answer()
    floor = bandwidth()
    fast = kernel(meters)
    rows: list[dict[str, Any]] = []
    mine = [
        Method("gridwarden seasonal", ours("seasonal"), 4000),
        Method("gridwarden auto", ours("auto"), 200),
        Method("seasonal's model in plain Python", twin, 8),
    ]
    missing: list[str] = []
    methods = list(mine)
    for name, make in PEERS.items():
        try:
            methods += list(make())
        except ImportError as error:
            missing.append(f"{name} ({error.name})")
    for method in methods:
        sys.stderr.write(f"peers: {method.name} …\n")
        ns, timed = cost_ns(method, 3)
        judged = Method(method.name, method.score, min(method.meters, 200))
        rows.append(
            {
                "method": method.name,
                "ns": ns,
                "readings": timed,
                "found": found(judged, 21),
                "meters": judged.meters,
            }
        )
    base = rows[0]["ns"]
    for row in rows:
        row["times"] = row["ns"] / base
    plain = next(r for r in rows if "plain Python" in r["method"])["ns"]
    return {
        "kernel_ns": fast["ns"],
        "kernel_meters": int(fast["meters"]),
        "kernel_times_plain": plain / fast["ns"],
        "copy_gb_s": floor / 1e9,
        "kernel_share_of_copy": fast["bytes"] / (fast["ns"] * 1e-9) / floor,
        "methods": rows,
        "missing": missing,
    }


def table(figures: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    lines = [
        f"seasonal kernel, {figures['kernel_meters']:,} meters in order: "
        f"{figures['kernel_ns']:.1f} ns a reading, {figures['kernel_times_plain']:.0f} × the same "
        f"model in plain Python, {figures['kernel_share_of_copy']:.0%} of copy bandwidth "
        f"({figures['copy_gb_s']:.1f} GB/s)",
        "",
        f"{'method':36}{'ns a reading':>14}{'×':>9}{'found':>8}{'meters':>8}",
    ]
    lines += [
        f"{r['method']:36}{r['ns']:14,.0f}{r['times']:9,.1f}{r['found']:8.2f}{r['meters']:8}"
        for r in figures["methods"]
    ]
    if figures["missing"]:
        lines.append(f"not installed: {', '.join(figures['missing'])} (requirements-peers.lock)")
    return "\n".join(lines)


def main() -> int:
    """Print the table; with ``--json`` also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of cost beside quality (.svg, .png)")
    args = parser.parse_args()
    figures = run(args.meters)
    print(table(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plots.peers(figures["methods"], args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
