"""From what was used to what the meter's rows say and when they arrive, faults included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.simulate.config import Rates
from engine.simulate.happenings import Happening
from engine.simulate.keyed import stream
from engine.simulate.layout import Meter

DECIMALS = {"kWh": 3, "l": 0, "m3": 3, "ug_m3": 0}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one meter; seconds since the first midnight."""

    stamp_s: NDArray[np.float64]
    value: NDArray[np.float64]
    arrival_s: NDArray[np.float64]


def meter_rows(
    seed: int,
    meter: Meter,
    amounts: NDArray[np.float64],
    rates: Rates,
    faults: Sequence[Happening],
    silences: Sequence[Happening],
) -> Rows:
    """Return what one meter sends.

    Parameters
    ----------
    amounts : ndarray, shape (slots,)
        True use per slot, in the meter's unit after the multiplier.
    faults : sequence of Happening
        Of this meter.
    silences : sequence of Happening
        Power cuts and dead concentrators that reach this meter's rows.
    """
    key, step = meter.meter_id, float(meter.interval_s)
    end_s: NDArray[np.float64] = np.arange(1, len(amounts) + 1, dtype=np.float64) * step
    decimals = DECIMALS[meter.unit]
    if meter.kind == "register":
        value = _register(seed, meter, amounts, decimals, faults, end_s)
        stamp = end_s.copy()
    else:
        value = np.round(amounts / meter.multiplier, decimals + 1)
        stamp = end_s - step
    keep = np.ones(len(end_s), bool)
    for fault in faults:
        if fault.kind == "meter_dead":
            keep &= end_s < fault.start_s
        elif fault.kind == "clock_ahead":
            inside = (end_s >= fault.start_s) & (end_s < fault.end_s)
            stamp[inside] += 86_400.0 * int(fault.details.get("ahead_days", 3))
    rng = stream(seed, key, "transport")
    base = float(stream(seed, meter.concentrator, "delay").uniform(5, 60))
    arrival = end_s + base + rng.uniform(0, 40, len(end_s))
    keep &= ~_runs(seed, key, "lost", rates.lost_share, len(end_s))
    late = _runs(seed, key, "late", rates.late_share, len(end_s))
    arrival += late * stream(seed, key, "how late").uniform(1, 30) * 3600
    for silence in silences:
        inside = (end_s > silence.start_s) & (end_s <= silence.end_s)
        if silence.kind == "power_cut" or silence.details.get("lost"):
            keep &= ~inside
        else:
            back = silence.end_s + rng.uniform(60, 1200)
            arrival = np.where(inside, np.maximum(arrival, back), arrival)
    rows = Rows(stamp[keep], value[keep], arrival[keep])
    return _doubled(seed, key, rows, rates, 10.0**-decimals)


def _register(
    seed: int,
    meter: Meter,
    amounts: NDArray[np.float64],
    decimals: int,
    faults: Sequence[Happening],
    end_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    shown = np.cumsum(amounts) / meter.multiplier
    level = float(stream(seed, meter.meter_id, "level").uniform(50, 20_000)) + shown
    for fault in faults:
        after = end_s >= fault.start_s
        if not after.any():
            continue
        first = int(np.argmax(after))
        if fault.kind == "register_reset":
            level[first:] -= level[max(first - 1, 0)]
        elif fault.kind == "meter_stuck":
            level[after & (end_s < fault.end_s)] = level[first]
    assert meter.register_max is not None
    level = (
        np.floor(level * 10**decimals + 1e-6) / 10**decimals % (meter.register_max + 10**-decimals)
    )
    for fault in faults:
        if fault.kind == "glitch":
            first = int(np.argmax(end_s >= fault.start_s))
            level[first] += round(float(stream(seed, meter.meter_id, f"glitch {fault.start_s}")
                                        .uniform(3000, 20_000)), decimals)  # fmt: skip
    return level


def _runs(seed: int, key: str, part: str, share: float, n: int) -> NDArray[np.bool_]:
    """Mark runs of about six rows that make up a share of all."""
    mark = np.zeros(n, bool)
    if share <= 0:
        return mark
    starts = np.flatnonzero(stream(seed, key, part).random(n) < share / 6)
    lengths = stream(seed, key, f"{part} length").geometric(1 / 6, len(starts))
    for start, length in zip(starts, lengths, strict=True):
        mark[start : start + int(length)] = True
    return mark


def _doubled(seed: int, key: str, rows: Rows, rates: Rates, unit: float) -> Rows:
    """Send some rows twice, and a few again with another value."""
    n = len(rows.value)
    draw = stream(seed, key, "doubled").random(n)
    same = np.flatnonzero(draw < rates.duplicate_share)
    other = np.flatnonzero(draw > 1 - rates.conflict_share)
    again = np.concatenate([same, other])
    if not len(again):
        return rows
    value = rows.value[again].copy()
    value[len(same) :] += unit
    wait = stream(seed, key, "again").uniform(1, 3000, len(again))
    return Rows(
        np.concatenate([rows.stamp_s, rows.stamp_s[again]]),
        np.concatenate([rows.value, value]),
        np.concatenate([rows.arrival_s, rows.arrival_s[again] + wait]),
    )
