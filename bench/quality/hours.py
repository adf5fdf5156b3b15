"""Real homes as hours: amounts on the slot grid, and when each became known.

A small stand-in for the engine's intake, so that detectors can be trained and compared without
the rest of the engine; ``bench/quality/judged.py`` runs the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.quality.cases import Home, load_homes
from connectors.records import Fault
from engine.intake.limits import LIMITS, LONGEST_GAP_S, LOW_READINGS

HOUR_S = 3600
BURN_IN_H = 28 * 24
YEAR_H = 365 * 24
CHANNEL = {"homes_water": 1, "homes_power": 0, "simulated": 1}

assert int(Fault.OK) == 0


@dataclass(frozen=True, slots=True)
class Hours:
    """A set of homes by the hour; T slots from `first_slot` on, N homes.

    Parameters
    ----------
    values : ndarray of float32, shape (T, N)
        Litres, or kWh of the highest half-hour; NaN where never known.
    known_s : ndarray of int64, shape (T, N)
        When the first reading after the slot arrived, seconds UTC; −1 for never. It completes
        the slot, unless it ends a long gap with use in it.
    begin, end : ndarray of int64, shape (N,)
        First slot of each home, and the one after its last, counted from `first_slot`.
    """

    name: str
    channel: int
    first_slot: int
    values: NDArray[np.float32]
    known_s: NDArray[np.int64]
    local_hour: NDArray[np.int32]
    local_day: NDArray[np.int32]
    rest: NDArray[np.bool_]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @property
    def homes(self) -> int:
        return self.values.shape[1]

    @property
    def exposure_years(self) -> NDArray[np.float64]:
        """Home-years from day 28 to the last reading, shape (N,)."""
        return np.maximum(self.end - self.begin - BURN_IN_H, 0) / YEAR_H

    def take(self, homes: NDArray[np.int64]) -> Hours:
        """Return some homes only."""
        return Hours(
            self.name, self.channel, self.first_slot, self.values[:, homes], self.known_s[:, homes],
            self.local_hour, self.local_day, self.rest, self.begin[homes], self.end[homes],
        )  # fmt: skip


def load(name: str) -> Hours:
    """Read one of the sets ``homes_water``, ``homes_power`` and ``simulated``."""
    homes = load_homes(name)
    first = min(int(h.ts_ns[0]) for h in homes) // 10**9 // HOUR_S
    last = max(int(h.ts_ns[-1]) for h in homes) // 10**9 // HOUR_S + 1
    slots = last - first
    values = np.full((slots, len(homes)), np.nan, np.float32)
    known = np.full((slots, len(homes)), -1, np.int64)
    for i, home in enumerate(homes):
        fill = _register if home.register else _interval
        fill(home, first, values[:, i], known[:, i])
    finite = np.isfinite(values)
    hour, day = _local(first, slots, homes[0].zone)
    return Hours(
        name=name,
        channel=CHANNEL[name],
        first_slot=first,
        values=values,
        known_s=known,
        local_hour=hour,
        local_day=day,
        rest=(day + 3) % 7 >= 5,
        begin=finite.argmax(axis=0).astype(np.int64),
        end=slots - finite[::-1].argmax(axis=0).astype(np.int64),
    )


def _local(first: int, slots: int, zone: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return local hour and local day of each slot."""
    stamps = pa.array((np.arange(slots) + first) * HOUR_S, pa.timestamp("s", tz="UTC"))
    wall = pc.local_timestamp(stamps.cast(pa.timestamp("s", tz=zone)))
    seconds = wall.cast(pa.int64()).to_numpy()
    return (seconds // HOUR_S % 24).astype(np.int32), (seconds // 86_400).astype(np.int32)


def _levels(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a register's litres since its first reading, without its flaws."""
    limits = LIMITS["water"]
    used = np.empty(len(value))
    top, total, doubted = value[0], 0.0, 0
    for i, v in enumerate(value):
        if v - top > limits.jump_per_hour or top - v > limits.step_back:
            doubted += 1
            if doubted >= (3 if v > top else LOW_READINGS):
                top, doubted = v, 0
        else:
            doubted = 0
            if v > top:
                total, top = total + v - top, v
        used[i] = total
    return used


def _register(
    home: Home, first: int, values: NDArray[np.float32], known: NDArray[np.int64]
) -> None:
    """Interpolate a register at the full hours; long gaps count only if it stood still."""
    at, index = np.unique(home.ts_ns // 10**9, return_index=True)
    used = _levels(home.value[index])
    edges = (np.arange(len(values) + 1) + first) * HOUR_S
    level = np.interp(edges, at, used)
    after = np.searchsorted(at, edges[1:], side="left")
    good = (edges[:-1] >= at[0]) & (after < len(at))
    for i in np.flatnonzero((np.diff(at) > LONGEST_GAP_S) & (np.diff(used) > 1.0)):
        good[at[i] // HOUR_S - first : -(-at[i + 1] // HOUR_S) - first] = False
    values[good] = np.diff(level)[good]
    inside = after < len(at)
    known[inside] = at[after[inside]]


def _interval(
    home: Home, first: int, values: NDArray[np.float32], known: NDArray[np.int64]
) -> None:
    """Take the highest half-hour of each hour."""
    at = home.ts_ns // 10**9
    slot = at // HOUR_S - first
    good = np.isfinite(home.value)
    np.fmax.at(values, slot[good], home.value[good].astype(np.float32))
    # A half-hour's reading is known at its end; the hour's when its last one is.
    np.maximum.at(known, slot[good], at[good] + 1800)
