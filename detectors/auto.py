"""Any series, one setting: how new the last handful of readings is in all that was seen.

Novelty of a slot is the distance of its newest few readings from the most similar stretch of the
recent past; its p-value comes from the tail of all novelties so far; and something new right after
something as new is the same event. About 4.2 kB and 5 µs a reading.
"""

# Kernels are not annotated: numba infers their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Field, Frame, IntArray, Signals, register
from detectors.evidence import EVIDENCE_LINES, level_of, log10_e

# The constants, from one half of the benchmark (76.4 points of 100 there). Moving one by a third to
# a half changes that by less than 2.5 points, mostly less than 1, but for NEAREST: at 48 it is 71.
# Averages over several tails or ranges, local scales, density ratios, longer memories of alarms and
# a view by the time of day were tried and gave nothing that held for other stretch lengths.
SHORTEST, LONGEST = 4, 10
"""Readings in the stretches that are compared; every length between, averaged."""
NEAREST, FARTHEST = 24, 623
"""How many readings back an earlier stretch may end."""
TAIL_ROWS, TAIL_SHARE = 20.0, 0.007
"""The tail is this many of the largest novelties, plus this share of all."""
TAIL_XI = 0.2
"""Shape of the generalised Pareto tail."""
QUIET_ROWS, QUIET_SHARE = 42.0, 0.03
"""Readings over which an event's surprise fades by e, plus this share of all so far."""
WARM_UP = 60
"""Novelties needed before there is a score."""

Z_MAX = 100.0
"""Bound of the tail's argument: a first change after constancy is sure, not infinitely sure."""
RING = FARTHEST + LONGEST
TOP = 400
"""Novelties kept: from 54,000 readings on the tail is the 400 largest ever."""
CALM_ROWS = LONGEST
"""Readings without any novelty that end an episode."""


# Without NaN and signed zeros in the way, the smallest of many is found eight at a time; sums keep
# their order, so results do not depend on the machine.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})
def _novelty(x, now, seen, distance):
    """Return the mean over lengths of the smallest mean absolute difference, or −1.

    `x` are readings in order, ``x[now]`` the newest of `seen`; `distance` is scratch.
    """
    lags = min(FARTHEST, seen - LONGEST) - NEAREST + 1
    if lags < 1:
        return -1.0
    near = distance[:lags]
    near[:] = 0
    total = 0.0
    for j in range(LONGEST):
        newest = x[now - j]
        start = now - j - NEAREST - lags + 1
        past = x[start : start + lags]
        for lag in range(lags):
            near[lag] += abs(newest - past[lag])
        if j + 1 >= SHORTEST:
            best = near[0]
            for lag in range(lags):
                best = min(best, near[lag])
            total += best / (j + 1)
    return total / (LONGEST - SHORTEST + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _surprise(y, top, seen):
    """Return −ln p of a novelty under the tail of the largest so far; 0 within the bulk."""
    k = min(int(TAIL_ROWS + TAIL_SHARE * seen), TOP)
    u = float(top[k - 1])
    if not y > u:
        return 0.0
    excess = 0.0
    for j in range(k):
        excess += top[j] - u
    z = min((y - u) / (excess / k + 1e-12), Z_MAX)
    return math.log(seen / k) + math.log(1 + TAIL_XI * z) / TAIL_XI


@njit(cache=True, nogil=True)
def _insert(top, y):
    """Insert `y` into the descending array `top`; the last one falls out."""
    j = len(top) - 1
    if not y > top[j]:
        return
    while j > 0 and top[j - 1] < y:
        top[j] = top[j - 1]
        j -= 1
    top[j] = y


@njit(cache=True, nogil=True, error_model="numpy")
def _kernel(
    values, first_slot, ring, top, seen, fading, novelty, onset, peak, calm,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    x = np.empty(RING + slots, np.float32)
    distance = np.empty(FARTHEST - NEAREST + 1, np.float32)
    for r in range(rows):
        x[:RING] = ring[r]
        now = RING - 1
        for t in range(slots):
            if math.isnan(values[t, r]):
                continue
            now += 1
            x[now] = values[t, r]
            seen[r] += 1
            y = np.float32(_novelty(x, now, seen[r], distance))
            if y < 0:
                continue
            fading[r] *= math.exp(-1 / (QUIET_ROWS + QUIET_SHARE * seen[r]))
            if seen[r] >= WARM_UP + NEAREST + LONGEST:
                surprise = _surprise(y, top[r], seen[r])
                beyond = max(surprise - fading[r], 0.0)
                fading[r] = max(fading[r], surprise)
                calm[r] = 0 if surprise > 0 else min(calm[r] + 1, CALM_ROWS)
                p = math.exp(-beyond)
                evidence = log10_e(p)
                urgency = level_of(evidence)
                if beyond > 0 and onset[r] == NO_SLOT:
                    onset[r] = first_slot + t
                    peak[r] = 0
                if calm[r] >= CALM_ROWS:
                    onset[r] = NO_SLOT
                if onset[r] != NO_SLOT:
                    urgency = max(np.int64(peak[r]), urgency)
                    peak[r] = urgency
                evidence_out[t, r] = evidence
                p_out[t, r] = p
                urgency_out[t, r] = urgency
                onset_out[t, r] = onset[r]
            novelty[r] = y
            _insert(top[r], y)
        ring[r] = x[now - RING + 1 : now + 1]


@register
class Auto(Detector):
    """Score any series by how new its last few readings are.

    y = mean over lengths d = 4 … 10 of the smallest mean absolute difference between the newest d
    readings and any stretch 24 … 623 readings back. With u the k-th largest y so far,
    k = 20 + .007·n, and σ the mean excess over u, s = ln(n / k) + ln(1 + ξ·(y − u)/σ) / ξ for
    y > u is −ln of a p-value. Evidence is what s has beyond the fading memory of the largest one.

    Notes
    -----
    No parameters: one setting for every series. Time is counted in readings, not in slots, so
    gaps do not matter. State per row: 633 readings, the 400 largest novelties, six numbers.

    References
    ----------
    .. [1] Lavin & Ahmad (2015), doi:10.1109/ICMLA.2015.141: the benchmark it is measured on.
    .. [2] Coles (2001), "An Introduction to Statistical Modeling of Extreme Values", eq. (4.2):
       the tail; its shape is fixed and its scale the mean excess, not fitted by likelihood.
    """

    name = "auto"
    interval_s_allowed = (1, 31 * 86_400)
    grid = EVIDENCE_LINES

    def _fields(self) -> Mapping[str, Field]:
        return {
            "ring": Field("f4", (RING,)),
            "top": Field("f4", (TOP,), fill=-np.inf),
            "seen": Field("i4"),
            "fading": Field("f8"),
            "novelty": Field("f4", fill=np.nan),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
            "calm": Field("i1"),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        _kernel(
            frame.values[:, 0], frame.first_slot, s["ring"], s["top"], s["seen"], s["fading"],
            s["novelty"], s["onset"], s["peak"], s["calm"],
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = self.state
        return {
            "novelty": s["novelty"][rows],
            "largest_novelty": s["top"][rows, 0],
            "readings_seen": s["seen"][rows],
            "onset_slot": s["onset"][rows],
        }
