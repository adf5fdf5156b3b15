"""Firms that fade: a running plant's load falls and stays low, while its sector's does not.

A day at a time. A holiday, a repair of a few days or a quiet week is no fade; half of the
production gone for a fortnight is one, and so is a third gone for a month.
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

UNSET = -(2**31)
KNOWN_H = 20
"""Hours of a day that must be known; its total is scaled up to 24."""
WORKED = 0.5
"""A weekday counts if its usual is at least this share of the busiest weekday's."""
WEDNESDAY, SATURDAY, HOLIDAY = 2, 5, 7
"""Kinds of day: the weekdays from Monday = 0; a swapped work day is a Wednesday."""
ALLOWED, WANTED = 0.15, 0.39
"""Drops (natural logarithm) within a firm's ordinary ups and downs: 14 %; and looked for: 32 %."""
ALLOWED_YOUNG, WANTED_YOUNG = 0.50, 1.00
"""The same until a quarter is known: only a halving counts."""
QUARTER_D = 84
CLIP, MOST_A_DAY, MOST = 2.5, 1.0, 15.0
"""Deviations a day counts at most; nats it adds or takes at most; nats that are kept."""
PRIOR_SPREAD, MIN_SPREAD, SPREAD_DAYS = 0.25, 0.08, 28.0
MOST_DRIFT = 0.8
FROZEN, FROZEN_D = 0.25, 60
"""While a drop gathers, the usual learns slower; but not for ever."""
PEERS = 3.0
"""How many peers weigh as much as none: their mean counts n / (n + 3)."""
LONG_D, BACK_D = 4, 14
"""So many days of rest in a row are a long holiday: what gathered in the two weeks that ran up to
it is forgotten, and nothing counts until the firm has had time to start again."""
AFTER_D, AFTER_SPRING_D = 3, 16
SPRING_FROM, SPRING_TO = 15, 60
"""Days of the year in which a long holiday is Spring Festival: 15 January to 1 March."""
RUN_UP_FROM, RUN_UP_TO, MOST_RUN_UP = 8, 52, 0.35
"""From 8 January to 21 February a day adds less: firms stop up to a fortnight before the festival,
and when it is cannot be known beforehand from the days that were."""
SCALE = 1000
"""Peers' ratios are summed as whole thousandths: a sum must not depend on its order."""
PRIOR_RATE = np.r_[
    11.1, 3.5, 2.3, 1.2, 0.89, 0.43, 0.18, 0.10, 0.047, 0.022, 0.009, 0.004,
    0.004 * 0.4 ** np.arange(1, 24),
]  # fmt: skip
"""Harmless episodes a firm-year that reach each line: 552 years of simulated firms that wander, stop
and keep Spring Festival (bench/quality/fades.py); beyond line 12 extrapolated."""


@njit(cache=True, nogil=True)
def _finish(r, b, total, hours, usual, counted, spread):
    """Return (ratio, kWh, usual kWh) of the day that is over in row r; NaN if it counts nothing."""
    kwh = total[r] * 24.0 / hours[r]
    best = 0.0
    for other in range(7):
        if not math.isnan(usual[other, r]):
            best = max(best, usual[other, r])
    normal = usual[b, r]
    if math.isnan(normal) or normal <= 0 or normal < WORKED * best or counted[b, r] < 2:
        return math.nan, kwh, normal
    width = CLIP * max(spread[r], MIN_SPREAD)
    return min(max(math.log(max(kwh, 1e-3 * normal) / normal), -2 * width), width), kwh, normal


@njit(cache=True, nogil=True)
def _kernel(
    values, first_slot, local_day, rest_day, zone, warm_up, rate,
    usual, counted, seen, today, kind, start, total, hours, run, paused, spread, drift, sums, back,
    onset, gone, peers, peak, pool, ratio, pool_sum, pool_n,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    spread_rate = 1 - 0.5 ** (1 / SPREAD_DAYS)
    for t in range(slots):
        slot = first_slot + t
        pool_sum[:] = 0
        pool_n[:] = 0
        # days that this slot ends, and what the firms of a sector make of them
        for r in range(rows):
            ratio[0, r] = math.nan
            if math.isnan(values[t, r]) or today[r] == local_day[t, zone[r]] or today[r] == UNSET:
                continue
            if kind[r] < HOLIDAY and hours[r] >= KNOWN_H and today[r] >= paused[r]:
                ratio[0, r], ratio[1, r], ratio[2, r] = _finish(
                    r, kind[r], total, hours, usual, counted, spread
                )
            if not math.isnan(ratio[0, r]) and pool[r] >= 0:
                pool_sum[pool[r]] += math.floor(SCALE * min(max(ratio[0, r], -1.0), 1.0) + 0.5)
                pool_n[pool[r]] += 1
        for r in range(rows):
            x = float(values[t, r])
            day = local_day[t, zone[r]]
            if not math.isnan(x) and today[r] != day:
                if today[r] != UNSET:
                    seen[r] += 1
                    run[r] = run[r] + 1 if kind[r] >= SATURDAY else 0
                    of_year = int((today[r] + 0.5) % 365.2425)
                    if run[r] >= LONG_D:
                        spring = SPRING_FROM <= of_year <= SPRING_TO
                        paused[r] = today[r] + 1 + (AFTER_SPRING_D if spring else AFTER_D)
                        sums[0, r] = min(sums[0, r], back[today[r] % BACK_D, r])
                    ok = not math.isnan(ratio[0, r])
                    if ok:
                        n = pool_n[pool[r]] - 1 if pool[r] >= 0 else 0
                        others = 0.0
                        if n > 0:
                            mine = math.floor(SCALE * min(max(ratio[0, r], -1.0), 1.0) + 0.5)
                            others = (pool_sum[pool[r]] - mine) / (SCALE * (n + PEERS))
                        _judge(
                            r, ratio[0, r] - others, ratio[1, r], ratio[2, r], others, start,
                            seen, warm_up, spread, drift, sums, onset, gone, peers, peak,
                            spread_rate, RUN_UP_FROM <= of_year <= RUN_UP_TO,
                        )  # fmt: skip
                    back[today[r] % BACK_D, r] = sums[0, r]
                    if kind[r] < HOLIDAY and hours[r] >= KNOWN_H and today[r] >= paused[r]:
                        _learn(r, kind[r], total[r] * 24.0 / hours[r], usual, counted, rate, onset, slot)  # fmt: skip
                weekday = (day + 3) % 7
                kind[r] = weekday
                if rest_day[t, zone[r]] and weekday < SATURDAY:
                    kind[r] = HOLIDAY
                elif not rest_day[t, zone[r]] and weekday >= SATURDAY:
                    kind[r] = WEDNESDAY
                today[r] = day
                start[r] = slot
                total[r], hours[r] = 0, 0
            if not math.isnan(x):
                total[r] += max(x, 0.0)
                hours[r] += 1
            if seen[r] >= warm_up:
                evidence = sums[0, r] / math.log(10.0)
                evidence_out[t, r] = evidence
                p_out[t, r] = min(math.exp(-sums[0, r]), 1.0)
                urgency = level_of(evidence)
                if onset[r] != NO_SLOT:
                    urgency = max(np.int64(peak[r]), urgency)
                    peak[r] = urgency
                urgency_out[t, r] = urgency
                onset_out[t, r] = onset[r]


@njit(cache=True, nogil=True)
def _judge(
    r, drop, kwh, normal, others, start, seen, warm_up, spread, drift, sums, onset, gone, peers,
    peak, spread_rate, run_up,
):  # fmt: skip
    """Take one day of row r into its sum; `drop` is the ratio with the sector's taken out."""
    deviation = max(spread[r], MIN_SPREAD)
    z = min(max(drop / deviation, -CLIP), CLIP)
    allowed, wanted = ALLOWED, WANTED
    if seen[r] < QUARTER_D:
        allowed, wanted = ALLOWED_YOUNG, WANTED_YOUNG
    # log likelihood ratio of a mean of −wanted against one of −allowed, days in a row counted as
    # the fewer that they are worth
    gain = (wanted - allowed) / deviation**2 * (-drop - 0.5 * (wanted + allowed))
    gain *= (1 - drift[0, r]) / (1 + drift[0, r])
    gain = min(max(gain, -MOST_A_DAY), MOST_RUN_UP if run_up else MOST_A_DAY)
    if seen[r] >= warm_up:
        before = sums[0, r]
        sums[0, r] = min(max(before + gain, 0.0), MOST)
        if sums[0, r] == 0:
            onset[r] = NO_SLOT
            peak[r] = 0
        elif before == 0:
            onset[r] = start[r]
            gone[0, r], gone[1, r], gone[2, r], peers[r] = 0, 0, 0, 0
        if onset[r] != NO_SLOT:
            gone[0, r] += kwh
            gone[1, r] += normal
            gone[2, r] += 1
            peers[r] += others
    drift[0, r] += 0.03 * (min(max(z * drift[1, r], -4.0), 4.0) - drift[0, r])
    drift[0, r] = min(max(drift[0, r], 0.0), MOST_DRIFT)
    drift[1, r] = z
    if onset[r] == NO_SLOT:
        limit = CLIP * deviation
        spread[r] += spread_rate * (1.2533 * min(abs(drop), limit) - spread[r])


@njit(cache=True, nogil=True)
def _learn(r, b, kwh, usual, counted, rate, onset, slot):
    """Teach a day's total to the usual of its weekday."""
    if math.isnan(usual[b, r]):
        usual[b, r] = kwh
        counted[b, r] = 1
        return
    step = max(rate, 1.0 / (counted[b, r] + 1))
    if onset[r] != NO_SLOT and slot - onset[r] < 24 * FROZEN_D and counted[b, r] >= 4:
        step *= FROZEN
    counted[b, r] = min(counted[b, r] + 1, 1000)
    taught = min(max(kwh, 0.3 * usual[b, r]), 2.0 * usual[b, r]) if counted[b, r] > 3 else kwh
    usual[b, r] += step * (taught - usual[b, r])


@register
class Fade(Detector):
    """Add up, work day by work day, how much likelier a lasting drop is than ordinary wandering.

    A day's total is compared with the usual of its weekday (learned with `half_life`), in
    logarithms, and what the other firms of its sector do that day is taken out. The log likelihood
    ratio of a mean drop of 32 % against one of 14 %, which orders and seasons bring to every firm,
    goes into Page's sum S ← max(0, S + gain) [1]_. The ratio is monotone, so e^gain has a mean of
    at most 1 for *every* firm that has lost less than the allowed: S is an e-detector [2]_ of that
    composite hypothesis, and S ≥ h comes at most once in e^h work days (line 3.25: e^7.5, six
    years). Evidence is S / ln 10. Until a quarter of a year is known, only a halving counts.

    Parameters
    ----------
    half_life : float
        Days after which a day counts half in the usual; slower while a drop gathers.
    warm_up : float
        Days before there is a score.

    Notes
    -----
    No day adds more than one nat, so no fade is shorter than a week of work days. Holidays on
    weekdays count nothing; a long holiday (four days of rest in a row) forgets what gathered in the
    fortnight before and pauses for 3 days after it, 16 after Spring Festival; in the weeks in which
    that may come, a day adds a third as much. Weekdays below half
    of the busiest count nothing. The bound holds for independent days of known scatter; scatter is
    learned, and days that hang together are counted as the fewer that they are worth,
    (1 − φ) / (1 + φ) of them. Measured in bench/quality/fades.py.

    References
    ----------
    .. [1] Page (1954), doi:10.1093/biomet/41.1-2.100; Lorden (1971), doi:10.1214/aoms/1177693055.
    .. [2] Shin, Ramdas & Rinaldo (2024), "E-detectors: a nonparametric framework for sequential
       change detection", doi:10.51387/23-NEJSDS51, Definition 2.2 and Theorem 2.4.
    """

    name = "fade"
    slot_s = 3600
    interval_s_allowed = (3600, 3600)
    channels = (Channel("electricity"),)
    pooled = True
    defaults: ClassVar[Mapping[str, float]] = {"half_life": 56.0, "warm_up": 28.0}
    grid = EVIDENCE_LINES
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    prior_years = 20.0

    def _configure(self) -> None:
        p = self.params
        if not (p["half_life"] > 0 and p["warm_up"] >= 14):
            raise DetectorError(f"{self.name}: wanted half_life > 0 and warm_up >= 14, got {p}")

    def _fields(self) -> Mapping[str, Field]:
        return {
            "usual": Field("f4", (7,), fill=np.nan, axis=1),
            "counted": Field("u2", (7,), axis=1),
            "seen": Field("i4"),
            "today": Field("i4", fill=UNSET),
            "kind": Field("i1"),
            "start": Field("i8", fill=NO_SLOT),
            "total": Field("f4"),
            "hours": Field("u1"),
            "run": Field("i2"),
            "paused": Field("i4", fill=UNSET),
            "spread": Field("f4", fill=PRIOR_SPREAD),
            "drift": Field("f4", (2,), axis=1),
            "sums": Field("f4", (1,), axis=1),
            "back": Field("f4", (BACK_D,), axis=1),
            "onset": Field("i8", fill=NO_SLOT),
            "gone": Field("f4", (3,), axis=1),
            "peers": Field("f4"),
            "peak": Field("i1"),
            "pool": Field("i4", fill=-1),
        }

    def join(self, pool: IntArray) -> None:
        """Tell which rows are of one sector; −1 for a firm that stands alone, shape (N,)."""
        if np.shape(pool) != (self.rows,):
            raise DetectorError(f"{self.name}: join wants {self.rows} pools, got {np.shape(pool)}")
        self.state["pool"][:] = pool

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        pools = int(s["pool"].max(initial=-1)) + 1
        _kernel(
            frame.values[:, 0], frame.first_slot, frame.local_day, frame.rest_day, self.zone,
            int(self.params["warm_up"]), 1 - 0.5 ** (7.0 / self.params["half_life"]),
            s["usual"], s["counted"], s["seen"], s["today"], s["kind"], s["start"], s["total"],
            s["hours"], s["run"], s["paused"], s["spread"], s["drift"], s["sums"], s["back"],
            s["onset"], s["gone"], s["peers"], s["peak"], s["pool"],
            np.full((3, self.rows), np.nan), np.zeros(pools, np.int64), np.zeros(pools, np.int64),
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: share of the load that is gone since the onset, the days that say so, kWh a day.

        `sector_drop` is how much the sector has lost meanwhile (a share; 0 without peers).
        """
        s = self.state
        kwh, normal, days = s["gone"][:, rows].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            drop = np.where(normal > 0, 1 - kwh / normal, np.nan)
            each = np.where(days > 0, 1 / days, np.nan)
        return {
            "drop": drop,
            "days": days,
            "mean_kwh": kwh * each,
            "usual_kwh": normal * each,
            "sector_drop": np.where(days > 0, 1 - np.exp(s["peers"][rows] * each), np.nan),
            "known_days": s["seen"][rows],
        }
