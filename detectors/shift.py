"""A lasting shift of a daily (or weekly) figure against the row's own usual: one-sided CUSUM.

A figure y comes once a day. Its usual value and spread are learned from the row itself, leaning on
those of peers at first. Each day adds the log likelihood ratio of "shifted by :data:`DELTA`
spreads" against "as usual" (Gaussian, clipped on both sides, at a weight below one because days
resemble their neighbours); the sum never falls below 0. How large such sums get in this row while
nothing is wrong is learned too, as an exponential tail, so that 10 to the minus evidence is the
chance of such a day.

References
----------
.. [1] Page (1954), "Continuous inspection schemes", Biometrika 41, doi:10.1093/biomet/41.1-2.100,
   section 2: S_n = max(0, S_{n-1} + x_n).
.. [2] Lorden (1971), doi:10.1214/aoms/1177693055: such sums of log likelihood ratios find a change
   soonest for a given rate of false alarms.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Field, IntArray, Signals, State
from detectors.evidence import level_of

DELTA = 1.5
"""Size of the shift that is looked for, in spreads."""
Z_MAX = 3.0
"""Distance from the usual that counts at most, in spreads."""
TOP = 9.0
"""Largest sum, log10."""
TAIL_LEAST = 0.15
"""Mean sum (log10) of the days of a calm row; an uneasy row's own may be larger."""
TAIL_LENT, TAIL_DAYS = 40.0, 180.0
"""Days of experience that it counts for, and after which the past fades."""
NOT_TAUGHT = 8
"""From this urgency (evidence 2) on, an episode teaches a tenth of what other days teach."""
RECENT = 1.0 / 5.0
"""Rate of the running mean that is told to people as "now"."""
NONE = -1
LOG10_E = 0.4342944819032518


class Shift(NamedTuple):
    """Views of the state that :func:`judge` works on, each of shape (N,)."""

    days: NDArray[np.uint16]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    recent: NDArray[np.float32]
    total: NDArray[np.float32]
    tail: NDArray[np.float32]
    rose: NDArray[np.int32]
    onset: NDArray[np.int32]
    peak: NDArray[np.int8]


class Manner(NamedTuple):
    """How a figure is judged.

    Parameters
    ----------
    sign : float
        1 for shifts upwards, −1 downwards.
    weight : float
        What a day's likelihood ratio counts, 0 … 1.
    lent, usual, among, least : float
        Experience (days) that peers lend, their usual figure, how much they differ among one
        another, and the smallest spread that matters to people.
    memory : float
        Days of experience after which the past fades.
    settle : float
        Slots after which what an episode brought is the new usual.
    """

    sign: float
    weight: float
    lent: float
    usual: float
    among: float
    least: float
    memory: float
    settle: float


def shift_fields(manner: Manner) -> dict[str, Field]:
    """Return the state that :func:`judge` works on: 35 bytes a row."""
    return {
        "days": Field("u2"),
        "centre": Field("f4", fill=manner.usual),
        "spread": Field("f4", fill=2.0 * manner.least),
        "recent": Field("f4", fill=manner.usual),
        "total": Field("f4"),
        "tail": Field("f4", fill=TAIL_LEAST),
        "rose": Field("i4", fill=NONE),
        "onset": Field("i4", fill=NONE),
        "peak": Field("i1"),
    }


def shift_of(state: State) -> Shift:
    """Return the views of a detector's state."""
    return Shift(**{name: state[name] for name in Shift._fields})


@njit(cache=True, nogil=True)
def evidence_of(s: Shift, n: int) -> float:
    """Return minus log10 of the chance of a day with such a sum."""
    return float(s.total[n] * LOG10_E / s.tail[n])


@njit(cache=True, nogil=True)
def width_of(s: Shift, n: int, m: Manner) -> float:
    """Return the spread that a figure is measured by: the row's own, and doubt about its usual."""
    unsure = m.among * m.lent / (m.lent + s.days[n])
    return math.sqrt(max(s.spread[n], m.least) ** 2 + unsure**2)


@njit(cache=True, nogil=True)
def judge(s: Shift, n: int, y: float, slot: int, m: Manner) -> None:
    """Judge the figure of a day that began in `slot`, then learn from it."""
    days = float(s.days[n])
    width = width_of(s, n, m)
    z = min(max(m.sign * (y - s.centre[n]) / width, -Z_MAX), Z_MAX)
    gain = m.weight * DELTA * (z - DELTA / 2.0) * LOG10_E
    s.total[n] = min(max(s.total[n] + gain, 0.0), TOP)
    if s.total[n] > 0.0 and s.rose[n] == NONE:
        s.rose[n] = slot
    level = level_of(evidence_of(s, n))
    if s.onset[n] == NONE and level > 0:
        s.onset[n] = s.rose[n]
    if s.onset[n] != NONE:
        s.peak[n] = max(np.int64(s.peak[n]), level)
        settled = slot - s.onset[n] >= m.settle
        if settled:
            s.centre[n] = s.recent[n]
        if settled or 2 * level < s.peak[n]:
            s.total[n] = 0.0
            s.onset[n] = NONE
            s.peak[n] = 0
    if s.total[n] == 0.0:
        s.rose[n] = NONE

    # learn; what an episode brings teaches little, until it has settled
    teach = 0.1 if s.peak[n] >= NOT_TAUGHT else 1.0
    rate = teach / min(m.lent + days + 1.0, m.memory)
    away = min(max(y - s.centre[n], -Z_MAX * width), Z_MAX * width)
    s.centre[n] += rate * away
    s.spread[n] += rate * (1.25 * abs(away) - s.spread[n])
    s.recent[n] += max(RECENT, 1.0 / (days + 1.0)) * (y - s.recent[n])
    capped = min(s.total[n], 6.0 * s.tail[n])
    s.tail[n] += teach / min(TAIL_LENT + days, TAIL_DAYS) * (capped - s.tail[n])
    s.tail[n] = max(s.tail[n], np.float32(TAIL_LEAST))
    s.days[n] = min(s.days[n] + 1, 60_000)


@njit(cache=True, nogil=True)
def say(
    s: Shift, n: int, at: int, evidence: NDArray[np.float32], p_value: NDArray[np.float32],
    urgency: NDArray[np.int8], onset: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write what row n says now into place `at` of one slot's signals."""
    e = evidence_of(s, n)
    evidence[at] = e
    p_value[at] = 10.0 ** (-e)
    urgency[at] = s.peak[n]
    onset[at] = s.onset[n] if s.onset[n] != NONE else NO_SLOT


def quiet_of(s: Shift, rows: IntArray, m: Manner) -> NDArray[np.float64]:
    """Return the figure up to which a day adds no evidence, shape (M,)."""
    width = np.array([width_of(s, n, m) for n in rows.tolist()])
    return s.centre[rows] + m.sign * DELTA / 2.0 * width


def say_rows(s: Shift, rows: IntArray, ready: NDArray[np.bool_], out: Signals) -> None:
    """Write what some rows say now into signals of shape (1, M)."""
    for at, n in enumerate(rows.tolist()):
        if ready[at]:
            say(s, n, at, out.evidence[0], out.p_value[0], out.urgency[0], out.onset[0])
