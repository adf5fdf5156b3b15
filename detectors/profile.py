"""Rare shapes of a day: the last day's curve against all the days that the row remembers.

A row keeps its last `days` days as means of `bins` times of day, 16 bits each. Whenever a bin is
over, the curve of the last day up to now is compared with the curves that ended at the same time of
day on each earlier day; the distance to the nearest of them says how new the shape is. What distance
is usual the row shows itself: ranks up to its 98 % quantile, a generalised Pareto tail beyond.
A shape that was seen once is in the dictionary and no longer rare.

1,387 bytes a row with 28 days of 24 bins; rules that watch many homes set fewer `bins`.

References
----------
.. [1] Yeh et al. (2016), "Matrix Profile I", doi:10.1109/ICDM.2016.0179: the discord of a series is
   the window farthest from its nearest neighbour. Here neighbours are earlier windows at the same
   time of day, and curves keep their level (no z-normalisation: a high day is news too).
.. [2] Laxhammar & Falkman (2014), doi:10.1109/TPAMI.2013.172: nearest-neighbour distances as
   conformal scores of trajectories, one at a time.
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
    Detector,
    DetectorError,
    Field,
    Frame,
    IntArray,
    Signals,
    register,
)
from detectors.evidence import EVIDENCE_LINES, level_of, log10_e
from detectors.seasonal import UNSEEN, decode, encode

DAY_S = 86_400
LEAST_KNOWN = 0.75
"""Share of the bins that two days must both know to be compared."""
LEAST_DAYS = 7
"""Earlier days that a day must be compared with before its distance means anything."""
TAIL_SHARE, TAIL_XI, TAIL_GAIN = 0.02, 0.2, 0.02
BULK_LOW, BULK_HIGH = -1.0, 0.46925795
"""As in `seasonal`: the bulk's ranks and the tail beyond its 98 % quantile. The tail follows
quickly, so that p-values hold on homes that change; the price is modest evidence for one odd day."""
CUT, EXCESS = 2.0, 0.25
"""Quantile and mean excess of the distance, in usual distances, before the row showed its own."""
TYPICAL_DAYS = 14.0
"""Days over which the usual distance is averaged."""
MOST = 20.0
"""Largest distance, in usual distances: in a home that stands empty any use is without measure."""
UNSET = -(2**31)
PRIOR_RATE = np.exp(
    np.interp(
        EVIDENCE_LINES,
        [0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 8.75],
        np.log([40.0, 20.0, 4.0, 1.0, 0.45, 0.2, 0.13, 0.11, 0.01]),
    )
)
"""Episodes a home-year at each line, on 60 years of the real homes (water and electricity)."""


@njit(cache=True, nogil=True)
def nearest(ring, now, bins):
    """Return the smallest mean distance of the day that ended in bin `now` to an earlier day.

    NaN where fewer than :data:`LEAST_DAYS` can be compared: a Sunday must have met a Sunday.
    """
    length = len(ring)
    least, days = np.inf, 0
    need = LEAST_KNOWN * bins
    for back in range(bins, length - bins + 1, bins):
        total, known = 0.0, 0
        for k in range(bins):
            a, b = ring[(now - k) % length], ring[(now - back - k) % length]
            if a != UNSEEN and b != UNSEEN:
                total += abs(decode(a) - decode(b))
                known += 1
        if known >= need:
            days += 1
            least = min(least, total / known)
    return least if days >= LEAST_DAYS else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _score(r, distance, slot, bins, typical, met, cut, excess, evidence, p_value, onset, peak):
    """Score a distance, then learn what distances are usual."""
    floor = 1e-6 * typical[r] + 1e-9
    statistic = min(distance / (typical[r] + floor), MOST) if met[r] > 0 else 0.0
    limit = float(cut[r])
    beyond = statistic > limit
    if beyond:
        p = TAIL_SHARE * (1 + TAIL_XI * (statistic - limit) / excess[r]) ** (-1 / TAIL_XI)
        e = log10_e(p)
        if onset[r] == NO_SLOT:
            onset[r] = slot
            peak[r] = 0
    else:
        share = statistic / limit
        p = 1.0 - (1.0 - TAIL_SHARE) * share
        e = BULK_LOW + (BULK_HIGH - BULK_LOW) * share * share
        if share < 0.5:
            onset[r] = NO_SLOT
            peak[r] = 0
    evidence[r], p_value[r] = e, p
    peak[r] = max(np.int64(peak[r]), level_of(e)) if onset[r] != NO_SLOT else level_of(e)
    if beyond:
        over = min(statistic - limit, 5.0 * excess[r])
        excess[r] = max(excess[r] + TAIL_GAIN * (over - excess[r]), 0.05 * limit)
        cut[r] = limit * (1 + TAIL_GAIN * (1 - TAIL_SHARE))
    else:
        cut[r] = max(limit * (1 - TAIL_GAIN * TAIL_SHARE), 1.0)
    met[r] += 1
    taught = distance if met[r] <= bins else min(distance, 3.0 * typical[r])
    typical[r] += (taught - typical[r]) / min(float(met[r]), TYPICAL_DAYS * bins)


@njit(cache=True, nogil=True)
def _kernel(
    values, first_slot, bin_now, zone, bins, half, warm_up,
    ring, base, total, count, present, met, typical, cut, excess, evidence, p_value, onset, peak,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    length = ring.shape[1]
    for t in range(slots):
        for r in range(rows):
            x = float(values[t, r])
            now = bin_now[t, zone[r]]
            if not math.isnan(x):
                if math.isnan(base[r]):
                    base[r] = x
                    present[r] = now
                if now > present[r]:
                    mean = encode(total[r] / max(count[r], 1)) if count[r] >= half else UNSEEN
                    ring[r, present[r] % length] = mean
                    if mean != UNSEEN:
                        distance = nearest(ring[r], present[r], bins)
                        if not math.isnan(distance):
                            _score(
                                r, distance, first_slot + t, bins, typical, met, cut, excess,
                                evidence, p_value, onset, peak,
                            )  # fmt: skip
                    for gone in range(max(present[r] + 1, now - length), now):
                        ring[r, gone % length] = UNSEEN
                    present[r] = now
                    total[r] = 0.0
                    count[r] = 0
                total[r] += x - base[r]
                count[r] += 1
            if met[r] >= warm_up:
                evidence_out[t, r], p_out[t, r] = evidence[r], p_value[r]
                urgency_out[t, r], onset_out[t, r] = peak[r], onset[r]


@register
class Profile(Detector):
    """Score how unlike every remembered day the last day's curve is, for any series.

    Parameters
    ----------
    warm_up : float
        Days that were compared before a row has scores; comparing begins after a week.
    days : float
        Days that a row remembers; four weeks hold every kind of day.
    bins : float
        Times of day that a curve tells apart (fewer if the slots are longer).

    Notes
    -----
    Speaks whenever a bin is over (hourly by default) and holds its word in between. A bin is known
    if half of its slots are; two days are compared if they share three quarters of the bins.
    """

    name = "profile"
    interval_s_allowed = (60, DAY_S // 4)
    defaults: ClassVar[Mapping[str, float]] = {"warm_up": 1.0, "days": 28.0, "bins": 24.0}
    grid = EVIDENCE_LINES
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE

    def _configure(self) -> None:
        p = self.params
        if not (p["warm_up"] > 0 and 9 <= p["days"] <= 400 and p["bins"] >= 4):
            raise DetectorError(
                f"{self.name}: wanted warm_up > 0, 9 <= days <= 400, bins >= 4, got {p}"
            )
        self._per_day = DAY_S // self.interval_s
        self._bins = min(int(p["bins"]), self._per_day)

    def _fields(self) -> Mapping[str, Field]:
        return {
            "ring": Field("u2", (int(self.params["days"]) * self._bins,), fill=UNSEEN),
            "base": Field("f4", fill=np.nan),
            "total": Field("f4"),
            "count": Field("u2"),
            "present": Field("i4", fill=UNSET),
            "met": Field("i4"),
            "typical": Field("f4"),
            "cut": Field("f4", fill=CUT),
            "excess": Field("f4", fill=EXCESS),
            "evidence": Field("f4"),
            "p_value": Field("f4", fill=1.0),
            "onset": Field("i4", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        in_day = frame.local_slot.astype(np.int64) * self._bins // self._per_day % self._bins
        half = max(self._per_day // (2 * self._bins), 1)
        _kernel(
            frame.values[:, 0], frame.first_slot,
            frame.local_day.astype(np.int64) * self._bins + in_day, self.zone, self._bins, half,
            int(np.ceil(self.params["warm_up"] * self._bins)),
            s["ring"], s["base"], s["total"], s["count"], s["present"], s["met"], s["typical"],
            s["cut"], s["excess"], s["evidence"], s["p_value"], s["onset"], s["peak"],
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: the usual distance (units of the series) and from how many of them it is rare."""
        s = self.state
        return {
            "usual_distance": s["typical"][rows],
            "rare_from": s["cut"][rows],
            "onset_slot": s["onset"][rows],
        }
