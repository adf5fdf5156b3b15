"""Repeated events at one address: more of them than addresses here that are heard of at all have.

For complaints, calls and reports per address and topic. That an address is heard of twice says
little where everything is complained of twice; so it is held against the other addresses of its
grid and topic.
"""

# Kernels are not annotated: numba infers their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import (
    NO_SLOT,
    Channel,
    Detector,
    DetectorError,
    Field,
    Frame,
    IntArray,
    Signals,
    register,
)
from detectors.evidence import EVIDENCE_LINES, level_of

USUAL_MEAN = 1.235
"""Events of an address that has any, where nothing is known: a fifth are repeats (DOMAIN.md 5)."""
USUAL_WEIGHT = 10.0
"""How many addresses that belief weighs."""
MOST_EVIDENCE = 3.0
"""A law of counts is not trusted beyond a thousand to one."""
MOST = 10_000
UNSET = -(2**31)


@njit(cache=True, nogil=True)
def rate_of(mean: float) -> float:
    """Return q of the log-series law with a mean: −q / ((1−q) ln(1−q)), by bisection.

    >>> round(rate_of(1.235), 3), round(rate_of(4.0), 3)
    (0.335, 0.903)
    """
    low, high = 1e-9, 1.0 - 1e-9
    for _ in range(50):
        q = 0.5 * (low + high)
        if -q / ((1.0 - q) * math.log1p(-q)) < mean:
            low = q
        else:
            high = q
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def at_least(count: int, q: float) -> float:
    """Return the chance of `count` events or more at an address that has any.

    >>> round(at_least(1, 0.341), 3), round(at_least(3, 0.341), 3)
    (1.0, 0.043)
    """
    total, power = 0.0, 1.0
    for n in range(1, count):
        power *= q
        total += power / n
    return min(max(1.0 + total / math.log1p(-q), 0.0), 1.0)


@njit(cache=True, nogil=True)
def _kernel(
    values, first_slot, local_day, zone, factor, size,
    days, today, seen, first, last, different, usual, pool, onset, peak,
    counts, events, addresses,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, _, rows = values.shape
    quiet0, quiet1 = rate_of(USUAL_MEAN), rate_of(USUAL_MEAN * factor)
    for t in range(slots):
        events[:] = 0
        addresses[:] = 0
        for r in range(rows):
            day = local_day[t, zone[r]]
            if today[r] == UNSET:
                today[r] = day
            for gone in range(min(max(day - today[r], 0), size)):
                days[(day - gone) % size, r] = 0
            today[r] = max(day, today[r])
            x = values[t, 0, r]
            if not math.isnan(x):
                seen[r] = 1
                more = int(min(max(x, 0.0), MOST) + 0.5)
                before = 0
                for d in range(size):
                    before += days[d, r]
                days[day % size, r] = min(days[day % size, r] + more, MOST)
                if more > 0:
                    if before == 0:
                        first[r] = first_slot + t
                    last[r] = first_slot + t
                    if not math.isnan(values[t, 1, r]):
                        different[r] = values[t, 1, r]
            count = 0
            for d in range(size):
                count += days[d, r]
            counts[r] = count
            if pool[r] >= 0 and count > 0:
                events[pool[r]] += count
                addresses[pool[r]] += 1
        for r in range(rows):
            if seen[r] == 0:
                continue
            count = counts[r]
            mean, q0, q1 = USUAL_MEAN, quiet0, quiet1
            if pool[r] >= 0 and count > 0 and addresses[pool[r]] > 1:
                others, heard = events[pool[r]] - count, addresses[pool[r]] - 1
                mean = (others + USUAL_WEIGHT * USUAL_MEAN) / (heard + USUAL_WEIGHT)
                q0, q1 = rate_of(mean), rate_of(mean * factor)
            ratio = math.log(math.log1p(-q0) / math.log1p(-q1)) + count * math.log(q1 / q0)
            evidence = min(ratio / math.log(10.0), MOST_EVIDENCE)
            p = at_least(min(count, 200), q0) if count > 1 else 1.0
            if count < 2:
                # what is left is one event, or none: the next one begins anew
                first[r] = last[r]
                onset[r] = NO_SLOT
                peak[r] = 0
            elif onset[r] == NO_SLOT:
                onset[r] = first[r]
            urgency = level_of(evidence)
            if onset[r] != NO_SLOT:
                urgency = max(np.int64(peak[r]), urgency)
                peak[r] = urgency
            if not math.isnan(values[t, 0, r]):
                usual[r] = mean
            evidence_out[t, r] = evidence
            p_out[t, r] = p
            urgency_out[t, r] = urgency
            onset_out[t, r] = onset[r]


@register
class Repeat(Detector):
    """Score how often one address is heard of within `days`, against its grid's other addresses.

    Addresses differ: with gamma distributed rates and any number of addresses that are never
    heard of, the counts of those that are follow Fisher's log-series law [1]_, over-dispersed by
    construction and with one parameter, which the mean count of the grid's *other* addresses
    gives (with a prior worth ten of them). Evidence is the likelihood ratio of a law with a mean
    `factor` times as large; the p-value the chance of at least this count.

    Parameters
    ----------
    days : float
        Length of the window, whole local days, today included; 2 … 90.
    factor : float
        How many times as many are looked for, > 1.

    Notes
    -----
    Channels: how many events a slot had, and how many different callers the window holds. Callers
    are told, not weighed: one neighbour who calls five times and five who call once are both
    repeated, and not the same thing. An episode lasts while the window holds two events; its
    onset is the first. Rows of one grid and topic are joined by :meth:`join`; sums over them are
    of integers.

    References
    ----------
    .. [1] Fisher, Corbet & Williams (1943), "The relation between the number of species and the
       number of individuals", doi:10.2307/1411: the log-series as the limit of the negative
       binomial for an unknown number of unseen classes.
    """

    name = "repeat"
    grain = "series"
    channels = (Channel("events"), Channel("different"))
    interval_s_allowed = (900, 86_400)
    pooled = True
    defaults: ClassVar[Mapping[str, float]] = {"days": 30.0, "factor": 3.0}
    grid = EVIDENCE_LINES

    def _configure(self) -> None:
        p = self.params
        if not (2 <= p["days"] <= 90 and p["days"] == int(p["days"]) and 1 < p["factor"] <= 100):
            raise DetectorError(
                f"{self.name}: wanted days a whole number 2..90 and factor above 1, got {p}"
            )

    def _fields(self) -> Mapping[str, Field]:
        return {
            "days": Field("u2", (int(self.params["days"]),), axis=1),
            "today": Field("i4", fill=UNSET),
            "seen": Field("u1"),
            "first": Field("i8", fill=NO_SLOT),
            "last": Field("i8", fill=NO_SLOT),
            "different": Field("f4", fill=np.nan),
            "usual": Field("f4", fill=np.nan),
            "pool": Field("i4", fill=-1),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def join(self, pool: IntArray) -> None:
        """Tell which rows are of one grid and topic; −1 for a row that stands alone, shape (N,)."""
        if np.shape(pool) != (self.rows,):
            raise DetectorError(f"{self.name}: join wants {self.rows} pools, got {np.shape(pool)}")
        self.state["pool"][:] = pool

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        pools = int(s["pool"].max(initial=-1)) + 1
        _kernel(
            frame.values, frame.first_slot, frame.local_day, self.zone, self.params["factor"],
            int(self.params["days"]),
            s["days"], s["today"], s["seen"], s["first"], s["last"], s["different"], s["usual"],
            s["pool"], s["onset"], s["peak"],
            np.zeros(self.rows, np.int64), np.zeros(pools, np.int64), np.zeros(pools, np.int64),
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: events and different callers in the window, its days, the usual of an address."""
        s = self.state
        count = s["days"][:, rows].sum(axis=0, dtype=np.int64)
        known = s["different"][rows]
        return {
            "count": count,
            "callers": np.where(np.isnan(known), count, np.minimum(known, count)),
            "days": np.full(len(rows), self.params["days"]),
            "usual": s["usual"][rows],
        }
