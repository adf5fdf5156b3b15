"""Surges of counts: more events than this hour of the week, this season and this day explain.

For counts per grid and topic, by the hour or the day: calls, complaints, reports, vehicles.
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

SUNDAY, WEDNESDAY = 6, 2
CAP, CAP_EVENTS = 2.0, 2.0
"""A count teaches up to twice what was expected, and two events: surges do not become usual."""
MIN_MEAN = 0.3
PRIOR_DISPERSION, MIN_DISPERSION = 0.15, 0.01
DISPERSION_DAYS = 8.0
SLOW_DAYS, FAST_HOURS, FAST_WEIGHT = 14.0, 8.0, 0.5
"""Half-lives of the level: the season, and the day (weather); the day counts half."""
PRIOR_EVENTS = 2.0
TAIL_SHARE, TAIL_XI = 0.02, 0.2
TAIL_PRIOR, TAIL_GAIN = 50.0, 0.002
CUT, EXCESS = 3.0, 1.5
"""The tail before anything was seen, in nats; it has the weight of 2,500 slots."""
BULK_LOW, BULK_HIGH = -1.0, 0.46925795
PRIOR_RATE = np.r_[31.0, 23.0, 3.7, 0.76, 0.16, 0.16 * 0.2 ** np.arange(1, 31)]
"""Harmless episodes a series-year that reach each line: 600 simulated hotline series of a year, .04
to 25 events a day, over-dispersed by the day and the hour; beyond line 5 extrapolated."""


@njit(cache=True, nogil=True, error_model="numpy")
def _kernel(
    values, first_slot, week_bin, day_bin, zone, per_day, warm_up, rates, log_factor, factor,
    usual, dispersion, seen, level, pending, recent, cut, excess, onset, peak, episode,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    usual_rate, dispersion_rate, fast, slow = rates
    span = recent.shape[0]
    for t in range(slots):
        for r in range(rows):
            x = float(values[t, r])
            if math.isnan(x):
                continue
            x = max(x, 0.0)
            week, day = week_bin[t, zone[r]], day_bin[t, zone[r]]
            seen[r] += 1
            base = float(usual[week, r])
            if math.isnan(base):
                usual[week, r] = x + 0.5
                continue

            # what to expect: this hour of the week × the season × half of how today goes
            season = (level[0, r] + PRIOR_EVENTS) / (level[1, r] + PRIOR_EVENTS)
            today = (level[2, r] + PRIOR_EVENTS) / (level[3, r] + PRIOR_EVENTS)
            mean = max(base * season * today**FAST_WEIGHT, MIN_MEAN)
            spread = max(dispersion[day, r], MIN_DISPERSION)
            size = 1 / spread

            # negative binomial, `factor` times as many against as many as expected; the best of
            # the last 1 … span slots added up
            now = x * log_factor - (x + size) * math.log((size + factor * mean) / (size + mean))
            total, statistic = now, now
            for k in range(span - 1):
                total += recent[k, r]
                statistic = max(statistic, total)
            for k in range(span - 2, 0, -1):
                recent[k, r] = recent[k - 1, r]
            if span > 1:
                recent[0, r] = now

            limit = float(cut[r])
            beyond = statistic > limit
            if seen[r] >= warm_up:
                if beyond:
                    p = TAIL_SHARE * (1 + TAIL_XI * (statistic - limit) / excess[r]) ** (
                        -1 / TAIL_XI
                    )
                    evidence = log10_e(p)
                    if onset[r] == NO_SLOT:
                        onset[r] = first_slot + t
                        peak[r] = 0
                        episode[0, r], episode[1, r] = 0, 0
                else:
                    share = max(statistic, 0.0) / limit
                    p = 1 - (1 - TAIL_SHARE) * share
                    evidence = BULK_LOW + (BULK_HIGH - BULK_LOW) * share * share
                    if share < 0.5:
                        onset[r] = NO_SLOT
                urgency = level_of(evidence)
                if onset[r] != NO_SLOT:
                    episode[0, r] += x
                    episode[1, r] += mean
                    urgency = max(np.int64(peak[r]), urgency)
                    peak[r] = urgency
                evidence_out[t, r] = evidence
                p_out[t, r] = p
                urgency_out[t, r] = urgency
                onset_out[t, r] = onset[r]
            gain = max(TAIL_GAIN, 1 / (TAIL_PRIOR + TAIL_SHARE * seen[r]))
            if beyond:
                over = min(statistic - limit, 5 * excess[r])
                excess[r] = max(excess[r] + gain * (over - excess[r]), 0.05 * limit)
                cut[r] = limit * (1 + gain * (1 - TAIL_SHARE))
            else:
                cut[r] = max(limit * (1 - gain * TAIL_SHARE), 0.5)

            # learn; the level one slot late, so that a surge does not excuse itself
            taught = min(x, CAP * mean + CAP_EVENTS)
            scatter = min(((taught - mean) ** 2 - mean) / (mean * mean + 1), 4.0)
            dispersion[day, r] += dispersion_rate * (scatter - dispersion[day, r])
            before, before_base = pending[0, r], pending[1, r]
            if not math.isnan(before):
                level[0, r] += slow * (before - level[0, r])
                level[1, r] += slow * (before_base - level[1, r])
                level[2, r] += fast * (before - level[2, r])
                level[3, r] += fast * (before_base * season - level[3, r])
            pending[0, r], pending[1, r] = taught, base
            weeks = seen[r] / (7 * per_day)
            usual[week, r] = base + max(usual_rate, 1 / (weeks + 1)) * (taught / season - base)


@register
class Surge(Detector):
    """Score how many more events there are than usual, added up over a few hours.

    Expected is the usual of this hour of the week, times the season's level (two weeks), times the
    root of the day's level (hours: weather). Against it stands `factor` times as many, both
    negative binomial with the scatter of this hour of the day; the largest sum of log likelihood
    ratios over the last 1 … `hours` is the statistic, and its p-value comes from the row's own tail.

    Parameters
    ----------
    factor : float
        Size of the surge that is looked for, > 1.
    hours : float
        How long evidence is added up.
    half_life : float
        Weeks after which a week counts half.
    warm_up : float
        Days of counts before there is a score.

    Notes
    -----
    A rest day on a work day counts as a Sunday, a swapped work day as a Wednesday.

    References
    ----------
    .. [1] Kulldorff (1997), doi:10.1080/03610929708831995: scan statistic, the largest log
       likelihood ratio over windows (here in time only, with a fixed factor).
    .. [2] Noufaily et al. (2013), doi:10.1002/sim.5595: past outbreaks must not teach at full
       weight; here counts teach up to a cap.
    """

    name = "surge"
    interval_s_allowed = (900, 86_400)
    defaults: ClassVar[Mapping[str, float]] = {
        "factor": 2.5,
        "hours": 3.0,
        "half_life": 8.0,
        "warm_up": 28.0,
    }
    grid = EVIDENCE_LINES
    schema = 2
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    prior_years = 30.0

    def _configure(self) -> None:
        p = self.params
        if not (p["factor"] > 1 and p["hours"] > 0 and p["half_life"] > 0 and p["warm_up"] >= 0):
            raise DetectorError(
                f"{self.name}: wanted factor > 1, hours > 0, half_life > 0, warm_up >= 0, got {p}"
            )
        self._per_day = max(86_400 // self.interval_s, 1)
        self._span = max(round(p["hours"] * 3600 / self.interval_s), 1)
        per_hour = 3600 / self.interval_s
        self._rates = (
            1 - 0.5 ** (1 / p["half_life"]),
            1 - 0.5 ** (1 / DISPERSION_DAYS),
            1 - 0.5 ** (1 / max(FAST_HOURS * per_hour, 1)),
            1 - 0.5 ** (1 / (SLOW_DAYS * self._per_day)),
        )

    def _fields(self) -> Mapping[str, Field]:
        return {
            "usual": Field("f4", (7 * self._per_day,), fill=np.nan, axis=1),
            "dispersion": Field("f4", (2 * self._per_day,), fill=PRIOR_DISPERSION, axis=1),
            "seen": Field("i4"),
            "level": Field("f4", (4,), axis=1),
            "pending": Field("f4", (2,), fill=np.nan, axis=1),
            "recent": Field("f4", (self._span,), axis=1),
            "cut": Field("f4", fill=CUT),
            "excess": Field("f4", fill=EXCESS),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
            "episode": Field("f4", (2,), axis=1),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        weekday = (frame.local_day.astype(np.int64) + 3) % 7
        weekday = np.where(frame.rest_day & (weekday < 5), SUNDAY, weekday)
        weekday = np.where(~frame.rest_day & (weekday >= 5), WEDNESDAY, weekday)
        slot = frame.local_slot.astype(np.int64) % self._per_day
        _kernel(
            frame.values[:, 0], frame.first_slot,
            weekday * self._per_day + slot, frame.rest_day * self._per_day + slot,
            self.zone, self._per_day, self.params["warm_up"] * self._per_day, self._rates,
            math.log(self.params["factor"]), self.params["factor"],
            s["usual"], s["dispersion"], s["seen"], s["level"], s["pending"], s["recent"],
            s["cut"], s["excess"], s["onset"], s["peak"], s["episode"],
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: events counted since the onset, and expected at those hours."""
        s = self.state
        count, expected = s["episode"][:, rows]
        return {
            "count": count,
            "expected": expected,
            "times": np.divide(count, expected, out=np.full(len(count), np.nan, np.float32),
                               where=expected > 0),
            "typical_scatter": np.sqrt(np.maximum(s["dispersion"][:, rows].mean(axis=0), 0)),
        }  # fmt: skip
