"""Days of a home: its hours in 8 bits, and what a day says of the people in it once it is over.

Shared by the detectors that think in days (`occupancy`, `nights`, `decline`). A row keeps the hours
of the present local day only, 24 bytes a utility. Readings that come late into the present day are
put in place; later ones are counted by the engine and left, since a day needs only 18 of its hours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import Field, IntArray, State

HOURS = 24
OFF = 255
"""Code of an hour without data."""
STEPS = 24.0
"""Codes in one doubling: 3 % apart, up to 1,550 units."""
UNIT = np.array([0.01, 1.0], np.float32)
"""Where codes turn from even to proportional steps: kWh, l."""
MARGIN = np.array([0.06, 2.0], np.float32)
"""Use above the day's base that takes a person: kWh (more than a fridge's swing), l."""
OF_BASE = np.float32(0.5)
"""The margin is at least this share of the base: large standby swings more."""
KNOWN_H = 18
"""A day with fewer known hours says nothing."""
NIGHT_FROM, NIGHT_TO = 23, 5
"""Hours of the night: 23, 0 … 4."""
READY_D = 7.0
"""Days of at least :data:`KNOWN_H` known hours before a row is judged, by its peers' ways at first."""
OWN_D = 28
"""Days after which a row's own ways are its own (facts `own`)."""
UNSET = -(2**31)
"""Day and slot of a row that has seen nothing."""


def day_fields(fed: Sequence[int]) -> dict[str, Field]:
    """Return the state that :func:`keep_hour` works on, for the channels that are fed."""
    return {
        "hours": Field("u1", (len(fed), HOURS), fill=OFF),
        "day": Field("i4", fill=UNSET),
        "midnight": Field("i4", fill=UNSET),
        "known": Field("u2"),
    }


class Days(NamedTuple):
    """Views of the state of the present day; see :func:`day_fields`."""

    hours: NDArray[np.uint8]
    day: NDArray[np.int32]
    midnight: NDArray[np.int32]
    known: NDArray[np.uint16]
    fed: NDArray[np.int64]
    """Channel of each of the first axis of `hours`."""


def days_of(state: State, fed: Sequence[int]) -> Days:
    """Return the views of a detector's state."""
    channels = np.array(fed, np.int64)
    return Days(state["hours"], state["day"], state["midnight"], state["known"], channels)


@njit(cache=True, nogil=True, inline="always")
def encode(value: float, unit: float) -> int:
    """Return the code of an amount; below 0 is 0."""
    return int(min(STEPS * math.log2(1.0 + max(value, 0.0) / unit) + 0.5, OFF - 1.0))


@njit(cache=True, nogil=True, inline="always")
def decode(code: int, unit: float) -> float:
    """Return the amount behind a code."""
    return float(unit * (2.0 ** (code / STEPS) - 1.0))


@njit(cache=True, nogil=True)
def keep_hour(d: Days, n: int, values: NDArray[np.float32], slot: int, hour: int, day: int) -> None:
    """Put one hour's values (C,) into the present day of row n, which it may begin."""
    if d.day[n] != day:
        d.day[n] = day
        d.midnight[n] = slot - hour
        d.hours[n] = OFF
    for k in range(len(d.fed)):
        c = d.fed[k]
        if not math.isnan(values[c]):
            d.hours[n, k, hour] = encode(values[c], UNIT[c])


@njit(cache=True, nogil=True)
def read_day(
    day: NDArray[np.uint8], fed: NDArray[np.int64]
) -> tuple[float, float, float, float, float]:
    """Return what a day (fed channels, 24) says.

    Returns
    -------
    known : float
        Hours in which any utility is known; 0 where no utility has enough.
    active, night : float
        Hours (all, and of the night) in which any utility shows somebody at home, brought to a
        full day.
    kwh, litres : float
        Use above the day's base, brought to a full day; NaN where there were too few hours.
    """
    seen = np.zeros(HOURS, np.uint8)
    used = np.zeros(HOURS, np.uint8)
    amount = np.full(2, np.nan)
    for k in range(len(fed)):
        c = fed[k]
        known, least, base = 0, np.inf, np.inf
        for h in range(HOURS):
            if day[k, h] != OFF:
                known += 1
                x = decode(day[k, h], UNIT[c])
                if x < least:
                    least, base = x, least
                elif x < base:
                    base = x
        if known < KNOWN_H:
            continue
        total = 0.0
        margin = max(MARGIN[c], OF_BASE * base)
        for h in range(HOURS):
            if day[k, h] != OFF:
                above = decode(day[k, h], UNIT[c]) - base
                total += max(above, 0.0)
                seen[h] = 1
                if above > margin:
                    used[h] = 1
        amount[c] = total * HOURS / known
    known_h, active, night_known, night = 0, 0, 0, 0
    for h in range(HOURS):
        known_h += seen[h]
        active += used[h]
        if h >= NIGHT_FROM or h < NIGHT_TO:
            night_known += seen[h]
            night += used[h]
    whole = HOURS - NIGHT_FROM + NIGHT_TO
    full = HOURS / max(known_h, 1)
    full_night = whole / max(night_known, 1)
    return float(known_h), active * full, night * full_night, amount[0], amount[1]


def amend_day(
    state: State, fed: Sequence[int], slot: int, rows: IntArray, values: NDArray[np.float32]
) -> None:
    """Put late values (C, M) into the present day; those of earlier days are left."""
    hour = slot - state["midnight"][rows].astype(np.int64)
    fits = (hour >= 0) & (hour < HOURS)
    for k, c in enumerate(fed):
        known = ~np.isnan(values[c])
        told = fits & known
        code = [encode(v, UNIT[c]) for v in values[c, told].tolist()]
        state["hours"][rows[told], k, hour[told]] = code
        if len(fed) == 1:  # else nothing is told of this utility, and what was known stands
            state["hours"][rows[fits & ~known], k, hour[fits & ~known]] = OFF
