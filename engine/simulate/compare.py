"""A simulated town's distributions beside those of real meters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from engine.simulate.config import SimulationError
from engine.simulate.files import NS, TownData

FloatArray = NDArray[np.float64]
LONGEST_GAP_S = 9000
"""Readings further apart say nothing of the hours between them."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Distributions of one group of meters.

    Parameters
    ----------
    name : str
    meters : int
    daily : tuple of float
        Quantiles 5, 50, 95 % over meters of the mean amount a day.
    spread : float
        Median over meters of the standard deviation of days over their mean.
    active : float
        Median share of hours with use above `floor`.
    profile : ndarray, shape (24,)
        Mean share of hours with use above the floor, by local hour (the share of the day's
        amount for meters that are never idle).
    silence_h : tuple of float
        Quantiles 50, 90, 99 % of the lengths of silences, median over meters.
    """

    name: str
    meters: int
    daily: tuple[float, float, float]
    spread: float
    active: float
    profile: FloatArray
    silence_h: tuple[float, float, float]

    def apart(self, other: Likeness) -> float:
        """Return the mean absolute difference of two daily profiles, each summing to one."""
        mine, theirs = self.profile / self.profile.sum(), other.profile / other.profile.sum()
        return float(np.abs(mine - theirs).sum() / 2)


def describe(name: str, hourly: FloatArray, first_hour: int, floor: FloatArray | float) -> Likeness:
    """Describe hourly amounts.

    Parameters
    ----------
    hourly : ndarray, shape (hours, meters)
        NaN = unknown.
    first_hour : int
        Local hour of the day of ``hourly[0]``.
    floor : float or ndarray, shape (meters,)
        What counts as use.
    """
    hours, meters = hourly.shape
    skip = (24 - first_hour) % 24
    whole = hourly[skip : skip + (hours - skip) // 24 * 24].reshape(-1, 24, meters)
    known = np.asarray(np.isfinite(whole).all(axis=1))
    enough = known.sum(axis=0) >= 7
    whole, known, hourly = whole[:, :, enough], known[:, enough], hourly[:, enough]
    line: FloatArray = np.broadcast_to(np.asarray(floor, np.float64), meters)[enough]
    meters = int(np.count_nonzero(enough))
    days = np.where(known, whole.sum(axis=1), np.nan)
    mean = np.nanmean(days, axis=0)
    active = np.where(np.isfinite(whole), whole > line, np.nan)
    silences = [_silences(hourly[:, m], float(line[m])) for m in range(meters)]
    quantiles = np.median([np.quantile(s, [0.5, 0.9, 0.99]) for s in silences if len(s)], axis=0)
    low, middle, high = np.quantile(mean, [0.05, 0.5, 0.95])
    short, long, longest = quantiles
    return Likeness(
        name=name,
        meters=meters,
        daily=(float(low), float(middle), float(high)),
        spread=float(np.median(np.nanstd(days, axis=0) / np.maximum(mean, 1e-9))),
        active=float(np.median(np.nanmean(active, axis=(0, 1)))),
        profile=np.nanmean(active, axis=(0, 2)),
        silence_h=(float(short), float(long), float(longest)),
    )


def _silences(amounts: FloatArray, floor: float) -> NDArray[np.int64]:
    """Return lengths of runs of hours without use, between two uses."""
    used = np.flatnonzero(np.nan_to_num(amounts) > floor)
    lengths = np.diff(used) - 1
    return lengths[lengths > 0]


def hourly_of_registers(
    meter: NDArray[np.int32], ts_s: NDArray[np.int64], value: FloatArray, start_s: int, hours: int
) -> FloatArray:
    """Return hourly amounts, shape (hours, meters), from register levels at any stamps."""
    out = np.full((hours, int(meter.max()) + 1), np.nan)
    marks = start_s + 3600 * np.arange(hours + 1)
    order = np.lexsort((ts_s, meter))
    cuts = np.searchsorted(meter[order], np.arange(out.shape[1] + 1))
    for m in range(out.shape[1]):
        mine = order[cuts[m] : cuts[m + 1]]
        if len(mine) < 2:
            continue
        t, v = ts_s[mine], value[mine]
        level = np.interp(marks, t, v, left=np.nan, right=np.nan)
        after = np.clip(np.searchsorted(t, marks), 1, len(t) - 1)
        level[t[after] - t[after - 1] > LONGEST_GAP_S] = np.nan
        used = np.diff(level)
        out[:, m] = np.where((used >= 0) & (used < 3000), used, np.nan)
    return out


def of_town(data: TownData, kind: str, utility: str) -> Likeness | None:
    """Describe the meters of one kind of subject in a simulated town; None without any."""
    kinds = {s.subject_id: s.kind for s in data.subjects}
    picked = [
        i for i, m in enumerate(data.meters)
        if m.utility == utility and kinds[m.subject_id] == kind and m.kind == "register"
    ]  # fmt: skip
    if not picked:
        return None
    dense = np.full(len(data.meters), -1, np.int32)
    dense[picked] = np.arange(len(picked), dtype=np.int32)
    rows = dense[data.meter] >= 0
    meter = dense[data.meter[rows]]
    scale = np.array([data.meters[i].multiplier for i in picked])
    hourly = hourly_of_registers(
        meter,
        data.ts_ns[rows] // NS,
        data.value[rows] * scale[meter],
        data.start_ns // NS,
        data.days * 24,
    )
    floor = 1.0 if utility == "water" else _standby(hourly)
    return describe(f"{kind} {utility} (simulated)", hourly, 0, floor)


def _standby(hourly: FloatArray) -> FloatArray:
    """Return what runs by itself: 1.3 times the 15 % quantile of the hours."""
    return np.asarray(1.3 * np.nanquantile(hourly, 0.15, axis=0) + 0.01)


def of_real(folder: Path) -> list[Likeness]:
    """Describe the real homes and the real plant of a data folder.

    Raises
    ------
    SimulationError
        If a file is not there.
    """
    found = []
    for name, utility in (
        ("homes_water", "water"),
        ("homes_power", "electricity"),
        ("plant_power", "electricity"),
    ):
        path = folder / name / "readings.csv.gz"
        try:
            table = pa_csv.read_csv(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise SimulationError(f"{path}: cannot read real readings: {error}") from error
        ids = table["meter_id"].combine_chunks().dictionary_encode()
        meter = ids.indices.to_numpy().astype(np.int32)
        ts = (
            table["ts"].cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
        )  # local; UTC plays no part
        value = table["value"].cast(pa.float64()).to_numpy()
        start = int(ts.min()) // 86_400 * 86_400
        hours = int(ts.max() - start) // 3600
        if utility == "water":
            hourly = hourly_of_registers(meter, ts, value, start, hours)
        else:
            hourly = _hourly_of_amounts(meter, ts, value, start, hours)
        floor = 1.0 if utility == "water" else _standby(hourly)
        found.append(describe(f"{name} (real)", hourly, 0, floor))
    return found


def _hourly_of_amounts(
    meter: NDArray[np.int32], ts_s: NDArray[np.int64], value: FloatArray, start_s: int, hours: int
) -> FloatArray:
    count = int(meter.max()) + 1
    slot = (ts_s - start_s) // 3600
    inside = (slot >= 0) & (slot < hours)
    cell = slot[inside] * count + meter[inside]
    total = np.bincount(cell, value[inside], hours * count).reshape(hours, count)
    seen = np.bincount(cell, minlength=hours * count).reshape(hours, count)
    return np.where(seen > 0, total, np.nan)


def compare(data: TownData, folder: Path) -> list[tuple[Likeness, Likeness]]:
    """Return pairs (real, simulated) that stand for the same thing.

    The real homes are families, so they stand beside simulated homes; the elderly living alone of
    the simulation have no real counterpart here and are held to DOMAIN.md's figures.
    """
    beside = {"homes_water (real)": ("home", "water"), "homes_power (real)": ("home", "electricity"),
              "plant_power (real)": ("plant", "electricity")}  # fmt: skip
    pairs = []
    for real in of_real(folder):
        simulated = of_town(data, *beside[real.name])
        if simulated is not None:
            pairs.append((real, simulated))
    return pairs


def table(pairs: list[tuple[Likeness, Likeness]]) -> str:
    """Return the comparison as text."""
    head = f"{'':34}{'meters':>7}{'a day 5 / 50 / 95 %':>26}{'spread':>8}{'active':>8}{'silence h 50/90/99 %':>23}{'profile':>9}"
    lines = [head]
    for real, simulated in pairs:
        for one in (real, simulated):
            apart = f"{one.apart(real):9.2f}" if one is simulated else " " * 9
            daily = " / ".join(f"{v:.0f}" if v >= 100 else f"{v:.3g}" for v in one.daily)
            silence = " / ".join(f"{v:.3g}" for v in one.silence_h)
            lines.append(
                f"{one.name:34}{one.meters:7}{daily:>26}{one.spread:8.2f}{one.active:8.2f}{silence:>23}{apart}"
            )
    return "\n".join(lines)
