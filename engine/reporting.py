"""From a replay's result to its report: curves around alerts, read from the inputs once more."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import engine
from connectors.records import ReadingBlock
from connectors.sources import ReadingSource
from detectors.base import NS
from engine.about import threshold_of, utilities_of
from engine.inputs import directory_of
from engine.registry import Registry
from engine.replay import Replay, ReplayResult
from engine.report import CURVES, BudgetLine, Curve, ReplaySummary, write_report
from rules.alerts import AlertChange, State
from rules.model import Rule

HOUR_NS = 3600 * NS
BEFORE_NS, AFTER_NS = 36 * HOUR_NS, 12 * HOUR_NS
HISTORY_NS = 28 * 24 * HOUR_NS
"""From how far back the usual band comes."""
LONGEST_NS = 45 * 24 * HOUR_NS
"""Of what began earlier, only so much before the alert is drawn."""
UNITS = {"electricity": "kWh / h", "water": "l / h", "gas": "m³ / h"}
"""What a curve is labelled with; a utility that nobody announced by its own name."""


def write_replay_report(
    path: str, replay: Replay, result: ReplayResult, *, command: str = "", made: str = ""
) -> None:
    """Write the report of a replay.

    Parameters
    ----------
    path : str
        The page.
    command : str
        What was called; default: the command line.
    made : str
        A folder of files that stand for tables of the caller: the page names them without it.
    """
    registry = result.registry
    assert registry is not None
    readings = replay.options.readings
    curves = {} if "-" in readings else curves_of(result.alerts, readings, registry, result.rules)
    budgets = [
        BudgetLine(rule, use.asked, use.spent, use.exposure_years)
        for rule, use in result.budgets.items()
        if use.exposure_years
    ]
    counts = {plain_name(name, made): c for name, c in result.counts.items()}
    inputs = (*readings, replay.options.meters, replay.options.subjects)
    named = next((f for f in inputs if f != "-" and not (made and f.startswith(made))), "")
    summary = ReplaySummary(
        title=Path(named).absolute().parent.name or "Gridwarden",
        counts=counts,
        alerts=result.alerts,
        from_ns=result.first_ns,
        to_ns=result.last_ns,
        timezone=(registry.zones or ["UTC"])[0],
        subjects=len(registry.subjects),
        meters=len(registry.meters),
        rules_version="" if result.rules is None else result.rules.version,
        version=engine.__version__,
        seconds=result.seconds,
        budgets=budgets,
        curves=curves,
        timings=result.timings,
        command=command or shlex.join(["gridwarden", *sys.argv[1:]]),
        simulated=any(a.get("simulated") for a in registry.subjects.attrs.distinct),
        place_names=replay.tree.names,
        language=replay.config.language,
    )
    write_report(Path(path), summary)


def plain_name(source: str, made: str) -> str:
    """Return what a source is called; of one in the folder `made` the name without its path.

    >>> plain_name("/tmp/x/readings-0.arrow", "/tmp/x")
    'readings-0'
    """
    return Path(source).stem if made and source.startswith(made) else source


def curves_of(
    alerts: Sequence[AlertChange],
    readings: Sequence[str],
    registry: Registry,
    rules: Iterable[Rule] | None = None,
) -> dict[str, Curve]:
    """Return hourly use around the first alerts of a report, with the subject's usual band.

    Of a subject's meters, the one that the alert speaks of (:func:`engine.about.utilities_of`).
    """
    known = {rule.name: rule for rule in rules or ()}
    raised = [a for a in alerts if a.seq == 1 and a.state == State.FIRING and a.subject_id]
    raised = raised[:CURVES]
    meter_of: dict[int, list[AlertChange]] = {}
    for alert in raised:
        row = int(registry.subject_rows([str(alert.subject_id)])[0])
        meter = None if row < 0 else _meter(alert, known.get(alert.rule), registry, row)
        if meter is not None:
            meter_of.setdefault(meter, []).append(alert)
    series = _series(set(meter_of), readings, registry)
    curves: dict[str, Curve] = {}
    for meter, mine in meter_of.items():
        if meter not in series:
            continue
        first_hour, use = _hourly(meter, *series[meter], registry)
        for alert in mine:
            curve = _window(alert, first_hour, use, registry, meter)
            if curve is not None:
                curves[alert.alert_id] = curve
    return curves


def _meter(alert: AlertChange, rule: Rule | None, registry: Registry, row: int) -> int | None:
    """Return the meter that an alert speaks of; None where its subject has none of that kind."""
    meters = [int(m) for m in registry.meters_of(row)]
    spoken = utilities_of(alert, rule)
    if not spoken:
        return meters[0] if meters else None
    return next((m for u in spoken for m in meters if _utility(registry, m) == u), None)


def _series(
    meters: set[int], readings: Sequence[str], registry: Registry
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return stamps and values of some meters, sorted by stamp."""
    wanted = np.zeros(len(registry.meters) + 1, bool)
    wanted[sorted(meters)] = True
    kept: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]] = []
    directory = directory_of(registry)
    for path in readings:
        source = ReadingSource(path, directory)
        while (block := source.next_record()) is not None:
            assert isinstance(block, ReadingBlock)
            pick = wanted[block.meter] & (block.fault == 0)
            if pick.any():
                kept.append((block.meter[pick], block.ts_ns[pick], block.value[pick]))
        source.close()
    if not kept:
        return {}
    meter, ts, value = (np.concatenate([k[i] for k in kept]) for i in range(3))
    order = np.lexsort((ts, meter))
    meter, ts, value = meter[order], ts[order], value[order]
    cuts = np.flatnonzero(meter[1:] != meter[:-1]) + 1
    return {
        int(m[0]): (t, v)
        for m, t, v in zip(
            np.split(meter, cuts), np.split(ts, cuts), np.split(value, cuts), strict=True
        )
    }


def _hourly(
    meter: int, ts: NDArray[np.int64], value: NDArray[np.float64], registry: Registry
) -> tuple[int, NDArray[np.float64]]:
    """Return (first hour since the epoch, use per hour; NaN where nothing was read)."""
    scale = float(registry.meters.scale[meter])
    if registry.meters.register[meter]:
        use = np.maximum(np.diff(np.maximum.accumulate(value)), 0.0) * scale
        at = ts[1:] - 1
    else:
        use, at = value * scale, ts
        if registry.meters.stamp_end[meter]:
            at = ts - 1
    if _utility(registry, meter) == "gas":
        use = use * 0.001  # volumes are kept in litres; people know gas by the cubic metre
    hour = at // HOUR_NS
    if not len(hour):
        return 0, np.zeros(0)
    first = int(hour[0])
    total = np.zeros(int(hour[-1]) - first + 1)
    np.add.at(total, hour - first, use)
    count = np.bincount(hour - first, minlength=len(total))
    if _utility(registry, meter) not in UNITS and not registry.meters.register[meter]:
        total /= np.maximum(count, 1)  # a concentration or a level is no amount to add up
    total[count == 0] = np.nan
    return first, total


def _utility(registry: Registry, meter: int) -> str:
    return registry.classes[int(registry.meters.class_index[meter])].utility


def _window(
    alert: AlertChange,
    first_hour: int,
    use: NDArray[np.float64],
    registry: Registry,
    meter: int,
) -> Curve | None:
    onset = int(datetime.fromisoformat(alert.onset).timestamp()) * NS
    raised = int(datetime.fromisoformat(alert.raised_at).timestamp()) * NS
    start = (max(onset, raised - LONGEST_NS) - BEFORE_NS) // HOUR_NS
    stop = (raised + AFTER_NS) // HOUR_NS
    hours = np.arange(start, stop)
    index = hours - first_hour
    inside = (index >= 0) & (index < len(use))
    values = np.full(len(hours), np.nan)
    values[inside] = use[index[inside]]
    if not inside.any():
        return None
    low, high = _band(hours, onset // HOUR_NS, first_hour, use)
    utility = _utility(registry, meter)
    sign = threshold_of(alert.facts, utility)
    threshold = None
    if sign is not None:
        # What one slot has to exceed is drawn as the same use all through the hour.
        slot_s = registry.classes[int(registry.meters.class_index[meter])].interval_s
        threshold = sign.amount * (1.0 if sign.hourly else max(3600 / slot_s, 1.0))
    return Curve(
        hours * HOUR_NS,
        values,
        low,
        high,
        UNITS.get(utility, utility),
        threshold,
    )


def _band(
    hours: NDArray[np.int64], onset: int, first_hour: int, use: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the quartiles of the same hours of the day in the weeks before the onset."""
    stop = min(onset - first_hour, len(use))
    start = max(stop - HISTORY_NS // HOUR_NS, 0)
    low = np.full(len(hours), np.nan)
    high = np.full(len(hours), np.nan)
    history = use[start:stop]
    clock = (np.arange(start, stop) + first_hour) % 24
    for hour in range(24):
        same = history[clock == hour]
        same = same[np.isfinite(same)]
        if len(same) >= 5:
            low[hours % 24 == hour], high[hours % 24 == hour] = np.quantile(same, [0.25, 0.75])
    return low, high
