"""Slow decline: fewer active hours and less use, week after week.

People who grow weak cook less, wash less, go to bed earlier: no day stands out, but weeks do. A
week's figure is the mean over its lived-in days of the root of the active hours, together with
the logarithm of the litres used where there is water. It is judged as a lasting shift downwards
(:mod:`detectors.shift`) against the home's own weeks, and against how its own season went a year
ago once there is one. Days without life are an absence and say nothing; `inactivity` sees to them.
149 bytes a home, 53 of them last year's weeks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Field, Frame, IntArray, Signals, register
from detectors.day_shift import DayShift
from detectors.days import KNOWN_H, UNSET, Days, day_fields, days_of, keep_hour, read_day
from detectors.evidence import EVIDENCE_LINES
from detectors.shift import Manner, Shift, judge, quiet_of, say, shift_fields, shift_of

WEEK_H = 168
LIVED_H = 2.0
"""A day with fewer active hours is an absence."""
LEAST_DAYS = 4
"""A week with fewer lived-in days says nothing."""
LITRES, DRY = 5.0, 0.43
"""A day's litres become log(1 + l / 5); by how much that exceeds the root of the active hours in
the real homes, so that a day without its water meter does not look like another life."""
YEAR_W, FINE = 53, 30.0
"""Weeks kept, and steps of a week's figure in 8 bits."""
NO_WEEK = 255
SEASON_LEAST, SEASON_SHARE = 40, 0.5
"""Weeks known before the season of a year ago counts, and how much of it does."""
MANNER = Manner(
    sign=-1.0, weight=0.5, lent=4.0, usual=3.3, among=0.6, least=0.12, memory=40.0,
    settle=26.0 * WEEK_H,
)  # fmt: skip
PRIOR_RATE = np.exp(
    np.interp(
        EVIDENCE_LINES,
        [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.75],
        np.log([2.7, 2.1, 1.5, 1.1, 0.9, 0.6, 0.45, 0.3, 0.22, 0.02]),
    )
)
"""Episodes a home-year at each line, on the real homes' busiest season."""
PRIOR_YEARS = 30.0
"""As for `nights`: a fleet that counts few in its first months has learned little."""


class Weeks(NamedTuple):
    """Views of the state of the present week and of the last year."""

    week: NDArray[np.int16]
    sum: NDArray[np.float32]
    lived: NDArray[np.uint8]
    year: NDArray[np.uint8]


@njit(cache=True, nogil=True)
def figure_of(active: float, litres: float) -> float:
    """Return a day's figure: root of the active hours, and half of it the water's where known."""
    if math.isnan(litres):
        return math.sqrt(active)
    return 0.5 * (math.sqrt(active) + math.log(1.0 + litres / LITRES) - DRY)


@njit(cache=True, nogil=True)
def _season(year: NDArray[np.uint8], week: int) -> float:
    """Return how much the weeks around this one, a year ago, stood above that year's mean."""
    known, total = 0, 0.0
    for w in range(YEAR_W):
        if year[w] != NO_WEEK:
            known += 1
            total += year[w] / FINE
    near, here = 0, 0.0
    for k in range(3):  # this slot of the ring still holds the week 53 weeks ago
        code = year[(week + k) % YEAR_W]
        if code != NO_WEEK:
            near += 1
            here += code / FINE
    if known < SEASON_LEAST or near < 2:
        return 0.0
    return SEASON_SHARE * (here / near - total / known)


@njit(cache=True, nogil=True)
def _close_week(w: Weeks, s: Shift, n: int, slot: int, m: Manner) -> None:
    """Judge and learn the week that is over; `slot` is its first."""
    place = w.week[n] % YEAR_W
    if w.lived[n] >= LEAST_DAYS:
        y = w.sum[n] / w.lived[n]
        judge(s, n, y - _season(w.year[n], w.week[n]), slot, m)
        w.year[n, place] = int(min(max(y * FINE + 0.5, 0.0), 254.0))
    else:
        w.year[n, place] = NO_WEEK
    w.sum[n] = 0.0
    w.lived[n] = 0


@njit(cache=True, nogil=True)
def _close_day(d: Days, w: Weeks, n: int) -> None:
    """Add the day that is over to the present week."""
    known, active, _, _, litres = read_day(d.hours[n], d.fed)
    if known < KNOWN_H:
        return
    d.known[n] = min(d.known[n] + 1, 60_000)
    if active >= LIVED_H:
        w.sum[n] += figure_of(active, litres)
        w.lived[n] += 1


@njit(cache=True, nogil=True)
def _step(
    d: Days, w: Weeks, s: Shift, m: Manner, slot: int, values: NDArray[np.float32],
    zone: NDArray[np.uint8], local_hour: NDArray[np.int32], local_day: NDArray[np.int32],
    ready_d: float, evidence: NDArray[np.float32], p_value: NDArray[np.float32],
    urgency: NDArray[np.int8], onset: NDArray[np.int64],
) -> None:  # fmt: skip
    """Carry all rows over one hour; values: (C, N)."""
    for n in range(values.shape[1]):
        heard = not (math.isnan(values[0, n]) and math.isnan(values[1, n]))
        day, hour = local_day[zone[n]], local_hour[zone[n]]
        if heard and d.day[n] != day:
            week = (day + 3) // 7  # from Monday on
            if d.day[n] != UNSET:
                _close_day(d, w, n)
                if week != w.week[n]:
                    first = d.midnight[n] - 24 * ((d.day[n] + 3) % 7)
                    _close_week(w, s, n, first, m)
                    for gone in range(w.week[n] + 1, min(week, w.week[n] + YEAR_W)):
                        w.year[n, gone % YEAR_W] = NO_WEEK
            w.week[n] = week
        if heard:
            keep_hour(d, n, values[:, n], slot, hour, day)
        if d.known[n] >= ready_d:
            say(s, n, n, evidence, p_value, urgency, onset)


@register
class Decline(DayShift):
    """Score how far, and for how many weeks, life in a home has been sinking.

    Parameters
    ----------
    ready_d : float
        Days of at least 18 known hours before a home is judged. How lively a home is cannot be
        borrowed from its peers, so this takes four weeks, not seven days.

    Notes
    -----
    A week runs from Monday to Sunday, local time, and is judged when the first reading of the next
    one comes. An episode begins with the first week that sank, ends when evidence falls to half of
    its highest, and is the new usual after 26 weeks.
    """

    name = "decline"
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    prior_years: ClassVar[float] = PRIOR_YEARS
    defaults: ClassVar[Mapping[str, float]] = {"ready_d": 28.0}

    def _fields(self) -> Mapping[str, Field]:
        return {
            **day_fields(self.fed),
            **shift_fields(MANNER),
            "week": Field("i2"),
            "sum": Field("f4"),
            "lived": Field("u1"),
            "year": Field("u1", (YEAR_W,), fill=NO_WEEK),
        }

    def _weeks(self) -> Weeks:
        return Weeks(*(self.state[name] for name in Weeks._fields))

    def _step(self, frame: Frame, out: Signals) -> None:
        days, weeks, shift = days_of(self.state, self.fed), self._weeks(), shift_of(self.state)
        for t in range(frame.slots):
            _step(
                days, weeks, shift, MANNER, frame.first_slot + t, frame.values[t], self.zone,
                frame.local_slot[t], frame.local_day[t], self.params["ready_d"],
                out.evidence[t], out.p_value[t], out.urgency[t], out.onset[t],
            )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: how lively the home is now and would have to be, as a share of its usual."""
        s = shift_of(self.state)
        usual = np.maximum(s.centre[rows].astype(np.float64), 0.1)
        onset = s.onset[rows].astype(np.int64)
        since = (self.state["midnight"][rows] - onset) / WEEK_H
        return {
            "share": np.square(s.recent[rows] / usual),
            "quiet_share": np.square(np.maximum(quiet_of(s, rows, MANNER), 0.0) / usual),
            "weeks": np.where(onset == NO_SLOT, 0, np.maximum(np.ceil(since), 1)).astype(np.int64),
            "onset": onset,
        }
