"""Days and nights trading places: the share of the activity that falls into the night turns.

Confusion, pain or poor sleep turn a person's rhythm within days or weeks. Each day gives the share
of its active hours that lie between 23 and 5; it is judged as a lasting shift against the home's
own share (:mod:`detectors.shift`). 89 bytes a home.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import Field, Frame, IntArray, Signals, register
from detectors.day_shift import DayShift
from detectors.days import (
    KNOWN_H,
    OWN_D,
    READY_D,
    UNSET,
    Days,
    day_fields,
    days_of,
    keep_hour,
    read_day,
)
from detectors.evidence import EVIDENCE_LINES
from detectors.shift import Manner, Shift, judge, quiet_of, say, shift_fields, shift_of

LEAST_ACTIVE_H = 4.0
"""A day with fewer active hours has no rhythm to speak of."""
MANNER = Manner(
    sign=1.0,
    weight=0.5,
    lent=14.0,
    usual=0.43,
    among=0.08,
    least=0.1,
    memory=60.0,
    settle=24.0 * 60,
)
"""Figures are arcsines of the square root of the share; usual and among are those of the real water
and electricity homes, whose shares are 11 to 26 %."""
PRIOR_RATE = np.exp(
    np.interp(
        EVIDENCE_LINES,
        [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.75],
        np.log([26.0, 18.0, 10.0, 6.0, 3.6, 2.2, 1.4, 0.75, 0.35, 0.01]),
    )
)
"""Episodes a home-year at each line: on the real homes' busiest season, half as much again over the
year as a whole."""
PRIOR_YEARS = 30.0
"""Episodes are rare, and while a home is new its doubt is wide and they are rarer still: a fleet that
counts few in its first months has learned little."""


@njit(cache=True, nogil=True)
def figure_of(active: float, night: float) -> float:
    """Return the arcsine of the square root of the share of the night."""
    return math.asin(math.sqrt(min((night + 0.5) / (active + 1.0), 1.0)))


@njit(cache=True, nogil=True)
def _close_day(d: Days, s: Shift, n: int, m: Manner) -> None:
    """Judge and learn the day that is over."""
    known, active, night, _, _ = read_day(d.hours[n], d.fed)
    if known < KNOWN_H:
        return
    d.known[n] = min(d.known[n] + 1, 60_000)
    if active >= LEAST_ACTIVE_H:
        judge(s, n, figure_of(active, night), d.midnight[n], m)


@njit(cache=True, nogil=True)
def _step(
    d: Days, s: Shift, m: Manner, slot: int, values: NDArray[np.float32],
    zone: NDArray[np.uint8], local_hour: NDArray[np.int32], local_day: NDArray[np.int32],
    ready_d: float, evidence: NDArray[np.float32], p_value: NDArray[np.float32],
    urgency: NDArray[np.int8], onset: NDArray[np.int64],
) -> None:  # fmt: skip
    """Carry all rows over one hour; values: (C, N)."""
    for n in range(values.shape[1]):
        heard = not (math.isnan(values[0, n]) and math.isnan(values[1, n]))
        day = local_day[zone[n]]
        if heard:
            if d.day[n] != UNSET and d.day[n] != day:
                _close_day(d, s, n, m)
            keep_hour(d, n, values[:, n], slot, local_hour[zone[n]], day)
        if d.known[n] >= ready_d:
            say(s, n, n, evidence, p_value, urgency, onset)


@register
class Nights(DayShift):
    """Score how much more of the activity falls into the night than usual, for how long.

    Parameters
    ----------
    ready_d : float
        Days of at least 18 known hours before a home is judged, by its peers' share at first.

    Notes
    -----
    An hour is active when use is above the day's own base by more than a fridge's swing (or 2 l of
    water). A day is judged when the first reading of the next one comes; readings that come later
    than that are left (the engine counts them), earlier ones are put in place. Days with less than
    18 known or 4 active hours say nothing. An episode begins with the first day that leaned
    towards the night, ends when evidence falls to half of its highest, and is the new usual after
    60 days.
    """

    name = "nights"
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    prior_years: ClassVar[float] = PRIOR_YEARS
    defaults: ClassVar[Mapping[str, float]] = {"ready_d": READY_D}

    def _fields(self) -> Mapping[str, Field]:
        return {**day_fields(self.fed), **shift_fields(MANNER)}

    def _step(self, frame: Frame, out: Signals) -> None:
        days, shift = days_of(self.state, self.fed), shift_of(self.state)
        for t in range(frame.slots):
            _step(
                days, shift, MANNER, frame.first_slot + t, frame.values[t], self.zone,
                frame.local_slot[t], frame.local_day[t], self.params["ready_d"],
                out.evidence[t], out.p_value[t], out.urgency[t], out.onset[t],
            )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: shares of the night (0 … 1) usual, now and up to which a day adds nothing."""
        s = shift_of(self.state)
        return {
            "usual": np.sin(s.centre[rows]) ** 2,
            "now": np.sin(s.recent[rows]) ** 2,
            "quiet": np.sin(np.minimum(quiet_of(s, rows, MANNER), np.pi / 2)) ** 2,
            "onset": s.onset[rows].astype(np.int64),
            "own": (s.days[rows] >= OWN_D).astype(np.int64),
        }
