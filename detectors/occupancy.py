"""Who lives there: nobody, as many as usual, or many more; and the moments that this changes.

A filter over days with three states: *vacant*, *lived in*, *over-occupied*.

- Whether anybody is there: the log odds of "lived in" against "vacant", one day's active hours at
  a time, between −3 and 3; it takes two or three days to turn (:data:`DAY_ODDS`).
- Since when nobody is: the longer an absence, the fewer absences last that long. Over real homes
  the share that lasts d days or more falls like d to the −0.87, so that evidence for "vacated"
  reaches 1 after 14 days and 1.3 after a month.
- Whether more people are there: a lived-in day's use above the day's base and its active hours,
  judged as a lasting shift upwards (:mod:`detectors.shift`) against the home's own, or against
  that of homes like it while new occupants' ways are unknown.

Standby, fridges and heating that runs through are part of the day's base and count for nothing; a
thrifty elderly home is lived in as clearly as any. 123 bytes a home.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Channel, Detector, Field, Frame, IntArray, Signals, register
from detectors.days import (
    HOURS,
    KNOWN_H,
    OWN_D,
    READY_D,
    UNSET,
    Days,
    amend_day,
    day_fields,
    days_of,
    keep_hour,
    read_day,
)
from detectors.evidence import EVIDENCE_LINES, level_of
from detectors.shift import (
    NONE,
    NOT_TAUGHT,
    Manner,
    Shift,
    judge,
    say,
    shift_fields,
    shift_of,
)

UNKNOWN, VACANT, LIVED, CROWDED = 0, 1, 2, 3
"""States, as in the fact `state`."""
STILL, ABSENT_DAY, BUSY_SHARE = 0.25, 0.06, 0.06
"""Chance of one more active hour in a vacant home (a visit, a pump); of a day out of a home that
is lived in; and of each number of active hours there (1 … 24, about even: 0.94 / 24, rounded up)."""
DAY_CAP = 1.0
"""One day is one visit: it never weighs more than this."""
ODDS_MAX = 3.0
TURNED = 1.0
"""Odds at which the state turns."""
ABSENCE_SLOPE = 0.87
SCALE = np.array([0.1, 5.0], np.float32)
"""A day's use becomes log(1 + use / scale): kWh, l."""
PEERS_USE = np.array([3.7, 3.7], np.float32)
PEERS_ACTIVE = 2.7
"""Means over real homes of the logs of use, and of .8 times the root of the active hours."""
MANNER = Manner(
    sign=1.0, weight=0.5, lent=14.0, usual=0.0, among=0.5, least=0.3, memory=60.0, settle=24.0 * 60
)
RECENT = np.float32(0.2)
CROWDED_LEVEL = 12
"""Urgency (evidence 3) from which facts call a home over-occupied."""
SETTLED_H = 28 * 24
"""Hours after which new occupants are no news."""


def _day_odds() -> NDArray[np.float64]:
    """Return log10 of P(active hours | lived in) / P(active hours | vacant), for 0 … 24 hours."""
    hours = np.arange(25)
    vacant = (1 - STILL) * STILL**hours
    lived = np.where(hours == 0, ABSENT_DAY, BUSY_SHARE * (1 - ABSENT_DAY))
    return np.clip(np.log10(lived / vacant), -ODDS_MAX, DAY_CAP)


DAY_ODDS = _day_odds()


def _rate(evidence: list[float], yearly: list[float]) -> NDArray[np.float64]:
    """Return episodes a home-year at each line of the grid, from some of them."""
    return np.exp(np.interp(EVIDENCE_LINES, evidence, np.log(yearly)))


CROWDED_RATE = _rate(
    [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 8.75],
    [24.0, 14.0, 6.0, 2.3, 1.4, 1.0, 0.75, 0.5, 0.38, 0.03],
)
VACATED_RATE = _rate([0.25, 1.0, 1.25, 1.5, 2.0, 8.75], [6.0, 0.95, 0.5, 0.25, 0.08, 1e-6])
OCCUPIED_RATE = _rate([0.25, 1.0, 2.0, 3.0, 4.0, 8.75], [1.2, 1.0, 0.7, 0.5, 0.4, 0.01])
"""Episodes a home-year at each line, on the real water homes (48 years); second homes among them
are vacated and occupied in truth."""


class People(NamedTuple):
    """Views of the state of who lives there; see `Occupancy._fields`."""

    odds: NDArray[np.float32]
    state: NDArray[np.uint8]
    last_lived: NDArray[np.int32]
    vacated: NDArray[np.int32]
    arrived: NDArray[np.int32]
    sure: NDArray[np.int8]
    usual_use: NDArray[np.float32]
    now_use: NDArray[np.float32]


@njit(cache=True, nogil=True)
def figure_of(active: float, kwh: float, litres: float) -> float:
    """Return how much life a day shows above that of homes like it."""
    use, known = 0.0, 0
    if not math.isnan(kwh):
        use += math.log(1.0 + kwh / SCALE[0]) - PEERS_USE[0]
        known += 1
    if not math.isnan(litres):
        use += math.log(1.0 + litres / SCALE[1]) - PEERS_USE[1]
        known += 1
    return 0.5 * (use / max(known, 1) + 0.8 * math.sqrt(active) - PEERS_ACTIVE)


@njit(cache=True, nogil=True)
def _drop(s: Shift, n: int) -> None:
    """End the present episode of over-occupation."""
    s.total[n] = 0.0
    s.rose[n] = NONE
    s.onset[n] = NONE
    s.peak[n] = 0


@njit(cache=True, nogil=True)
def _begin_anew(s: Shift, p: People, n: int, m: Manner) -> None:
    """Forget the ways of people who moved out."""
    _drop(s, n)
    s.days[n] = 0
    s.centre[n] = m.usual
    s.recent[n] = m.usual
    s.spread[n] = 2.0 * m.least
    p.usual_use[n] = np.nan
    p.now_use[n] = np.nan


@njit(cache=True, nogil=True)
def _turn(s: Shift, p: People, n: int, slot: int, vacant_d: float, m: Manner) -> None:
    """Turn the state where the odds have; note when the change began."""
    if p.odds[n] <= -TURNED and p.state[n] != VACANT:
        p.state[n] = VACANT
        p.vacated[n] = p.last_lived[n]
        p.arrived[n] = NONE
        _drop(s, n)
    elif p.odds[n] >= TURNED and p.state[n] != LIVED:
        p.state[n] = LIVED
        if p.arrived[n] != NONE:
            _begin_anew(s, p, n, m)
    empty = p.state[n] == VACANT and slot - p.vacated[n] >= 24.0 * vacant_d
    if empty and p.arrived[n] == NONE and p.last_lived[n] == slot + 24:
        p.arrived[n] = slot
        p.sure[n] = 0
    if p.arrived[n] != NONE:
        visit = p.odds[n] < -ODDS_MAX + 0.1
        settled = p.state[n] == LIVED and slot - p.arrived[n] >= SETTLED_H
        if visit or settled:
            p.arrived[n] = NONE
        else:
            p.sure[n] = max(np.int64(p.sure[n]), level_of(p.odds[n] + ODDS_MAX))


@njit(cache=True, nogil=True)
def _use(p: People, s: Shift, n: int, c: int, amount: float) -> None:
    """Learn a lived-in day's use, for people to compare."""
    if math.isnan(amount):
        return
    if math.isnan(p.usual_use[n, c]):
        p.usual_use[n, c] = amount
        p.now_use[n, c] = amount
    days = float(s.days[n])
    if s.peak[n] < NOT_TAUGHT:
        p.usual_use[n, c] += (amount - p.usual_use[n, c]) / min(days + 1.0, 60.0)
    p.now_use[n, c] += max(RECENT, 1.0 / (days + 1.0)) * (amount - p.now_use[n, c])


@njit(cache=True, nogil=True)
def _close_day(d: Days, s: Shift, p: People, n: int, vacant_d: float, m: Manner) -> None:
    """Judge and learn the day that is over."""
    known, active, _, kwh, litres = read_day(d.hours[n], d.fed)
    if known < KNOWN_H:
        return
    slot = d.midnight[n]
    d.known[n] = min(d.known[n] + 1, 60_000)
    odds = DAY_ODDS[min(int(active + 0.5), HOURS)]
    p.odds[n] = min(max(p.odds[n] + odds, -ODDS_MAX), ODDS_MAX)
    if odds > 0.0:
        p.last_lived[n] = slot + 24
    elif p.last_lived[n] == NONE:
        p.last_lived[n] = slot
    _turn(s, p, n, slot, vacant_d, m)
    if p.state[n] == LIVED and odds > 0.0:
        judge(s, n, figure_of(active, kwh, litres), slot, m)
        _use(p, s, n, 0, kwh)
        _use(p, s, n, 1, litres)


@njit(cache=True, nogil=True)
def _say(
    change: int, d: Days, s: Shift, p: People, n: int, at: int, evidence: NDArray[np.float32],
    p_value: NDArray[np.float32], urgency: NDArray[np.int8], onset: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write what row n says of one change into place `at` of one slot's signals."""
    if change == CROWDED:
        say(s, n, at, evidence, p_value, urgency, onset)
        return
    evidence[at], urgency[at], onset[at] = 0.0, 0, NO_SLOT
    if change == VACANT and p.state[n] == VACANT:
        since = (d.midnight[n] - p.vacated[n]) / 24.0
        evidence[at] = ABSENCE_SLOPE * math.log10(max(since, 1.0))
        urgency[at] = level_of(evidence[at])
        onset[at] = p.vacated[n]
    elif change == LIVED and p.arrived[n] != NONE:
        evidence[at] = p.odds[n] + ODDS_MAX
        urgency[at] = p.sure[n]
        onset[at] = p.arrived[n]
    p_value[at] = 10.0 ** (-evidence[at])


@njit(cache=True, nogil=True)
def _step(
    change: int, d: Days, s: Shift, p: People, m: Manner, slot: int, values: NDArray[np.float32],
    zone: NDArray[np.uint8], local_hour: NDArray[np.int32], local_day: NDArray[np.int32],
    ready_d: float, vacant_d: float, evidence: NDArray[np.float32], p_value: NDArray[np.float32],
    urgency: NDArray[np.int8], onset: NDArray[np.int64],
) -> None:  # fmt: skip
    """Carry all rows over one hour; values: (C, N)."""
    for n in range(values.shape[1]):
        heard = not (math.isnan(values[0, n]) and math.isnan(values[1, n]))
        day = local_day[zone[n]]
        if heard:
            if d.day[n] != UNSET and d.day[n] != day:
                _close_day(d, s, p, n, vacant_d, m)
            keep_hour(d, n, values[:, n], slot, local_hour[zone[n]], day)
        if d.known[n] >= ready_d:
            _say(change, d, s, p, n, n, evidence, p_value, urgency, onset)


@register
class Occupancy(Detector):
    """Score how likely many more people live in a home than usual.

    Two more detectors keep the same filter and speak of its other changes: ``vacated`` (since when
    nobody lives there) and ``occupied`` (somebody moved into a home that stood empty).

    Parameters
    ----------
    ready_d : float
        Days of at least 18 known hours before a home is judged, by homes like it at first.
    vacant_d : float
        Days that a home must have stood empty before people in it are new occupants; shorter
        absences are holidays. Their ways are learned anew.

    Notes
    -----
    A day is judged when the first reading of the next one comes; readings that come later than that
    are left (the engine counts them), earlier ones are put in place. Days with less than 18 known
    hours say nothing. An episode of over-occupation ends when evidence falls to half of its
    highest, or the home is vacant, and is the new usual after 60 days; a home that was crowded
    before it was ever watched is compared with homes like it only in its first weeks.
    """

    name = "occupancy"
    change: ClassVar[int] = CROWDED
    slot_s = 3600
    interval_s_allowed = (3600, 3600)
    channels = (Channel("electricity"), Channel("water"))
    amends = True
    amend_s = 86_400
    grid = EVIDENCE_LINES
    prior_rate: ClassVar[NDArray[np.float64]] = CROWDED_RATE
    prior_years: ClassVar[float] = 30.0
    defaults: ClassVar[Mapping[str, float]] = {"ready_d": READY_D, "vacant_d": 28.0}

    def _fields(self) -> Mapping[str, Field]:
        return {
            **day_fields(self.fed),
            **shift_fields(MANNER),
            # log10 odds of "lived in" against "vacant", and the state that they turned to last
            "odds": Field("f4"),
            "state": Field("u1"),
            # slots: end of the last lived-in day; begin of the vacancy, and of the new occupation
            "last_lived": Field("i4", fill=NONE),
            "vacated": Field("i4", fill=NONE),
            "arrived": Field("i4", fill=NONE),
            "sure": Field("i1"),
            # use above the base on a lived-in day: kWh, l
            "usual_use": Field("f4", (2,), fill=np.nan),
            "now_use": Field("f4", (2,), fill=np.nan),
        }

    def _people(self) -> People:
        return People(*(self.state[name] for name in People._fields))

    def _step(self, frame: Frame, out: Signals) -> None:
        days, shift, people = days_of(self.state, self.fed), shift_of(self.state), self._people()
        for t in range(frame.slots):
            _step(
                self.change, days, shift, people, MANNER, frame.first_slot + t, frame.values[t],
                self.zone, frame.local_slot[t], frame.local_day[t], self.params["ready_d"],
                self.params["vacant_d"],
                out.evidence[t], out.p_value[t], out.urgency[t], out.onset[t],
            )  # fmt: skip

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        amend_day(self.state, self.fed, slot, rows, values)

    def _current(self, rows: IntArray, out: Signals) -> None:
        days, shift, people = days_of(self.state, self.fed), shift_of(self.state), self._people()
        for at, n in enumerate(rows.tolist()):
            if days.known[n] >= self.params["ready_d"]:
                _say(
                    self.change, days, shift, people, n, at,
                    out.evidence[0], out.p_value[0], out.urgency[0], out.onset[0],
                )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: `state` 0 unknown, 1 vacant, 2 lived in, 3 over-occupied; a day's use above base.

        `empty_days` is how long the home has stood empty, or had when somebody came. The use of
        people who moved out stays "usual" until others have settled.
        """
        s, state = shift_of(self.state), self.state
        crowded = (s.onset[rows] != NONE) & (s.peak[rows] >= CROWDED_LEVEL)
        until = np.where(
            state["arrived"][rows] != NONE, state["arrived"][rows], state["midnight"][rows]
        )
        empty = (until.astype(np.int64) - state["vacated"][rows]) / 24.0
        return {
            "state": np.where(crowded, CROWDED, state["state"][rows]).astype(np.int64),
            "usual_kwh": state["usual_use"][rows, 0],
            "usual_l": state["usual_use"][rows, 1],
            "now_kwh": state["now_use"][rows, 0],
            "now_l": state["now_use"][rows, 1],
            "empty_days": np.where(state["vacated"][rows] == NONE, 0, np.maximum(empty, 0)).astype(
                np.int64
            ),
            "own": (s.days[rows] >= OWN_D).astype(np.int64),
        }


@register
class Vacated(Occupancy):
    """Score how unlikely it is that an absence lasts this long: the home stands empty.

    Parameters as for `occupancy`.

    Notes
    -----
    The share of absences that last d days or more, in 48 years of real homes (families, some of
    them second homes): 3 days .44, 7 days .18, 14 days .10, 28 days .05, 60 days .02.
    """

    name = "vacated"
    change: ClassVar[int] = VACANT
    prior_rate: ClassVar[NDArray[np.float64]] = VACATED_RATE
    prior_years: ClassVar[float] = 50.0


@register
class Occupied(Occupancy):
    """Score how likely somebody moved into a home that stood empty: one day is one visit.

    Parameters as for `occupancy`.
    """

    name = "occupied"
    change: ClassVar[int] = LIVED
    prior_rate: ClassVar[NDArray[np.float64]] = OCCUPIED_RATE
    prior_years: ClassVar[float] = 50.0
