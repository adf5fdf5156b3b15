"""`adjudicate`: silence of many. Power cut, dead concentrator, or nothing that they share.

Rows are groups of meters that share a concentrator within a community (or the community, where
none is given). Counts of a slot are set against what is usual here at this hour: if the meters
failed one by one, the number silent is beta-binomial around the usual share; if something they
share failed, most of them are silent at once. The log10 ratio of the two is the evidence. What
failed is then told by who else is silent: meters that stand at zero have no power; electricity
that is missing where battery meters go on has none either; a whole concentrator missing while its
neighbours report is dead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import (
    NO_SLOT,
    BoolArray,
    Channel,
    Detector,
    DetectorError,
    Field,
    Frame,
    IntArray,
    Signals,
    register,
)

NONE, POWER_CUT, DEAD_CONCENTRATOR = 0, 1, 2
UNDECIDED, SPEAKS, SPOKEN_FOR = 0, 1, 2
EXPECTED, MISSING, ZERO, REPORTING, NORMAL = range(5)
GRID = np.linspace(1.0, 18.0, 35)
PRIOR_RATE = 4.0 * 10.0 ** -(GRID - 1.0)
"""Expected false episodes per group-year at each line; simulated streets without outages gave 3.3
at evidence 1, .43 at 1.5, .08 at 2, none above in 26 group-years."""
PRIOR_SHARE = 0.02
"""Share of meters missing, or at zero, before anything is known (DOMAIN.md 1: 99 % succeed)."""
LENT = 3.0
"""Days of an hour's own experience that the group's other hours count for, and hours of the
group's experience that the prior counts for."""
TOGETHER = 30.0
"""Concentration of the usual share: single failures cluster a little (weather, one staircase)."""
FEWEST = 5
"""Meters of a group, or of its community, below which nobody can tell."""
WHOLE = 0.8
"""Share of a group that counts as all of it: some battery meters may hang on another radio."""
STALE_H = 24 * 7
"""An outage that lasts longer teaches, like anything that is usual."""


class Rows(NamedTuple):
    """Views of the state that the kernels work on; the fields are told of in `_fields`."""

    community: NDArray[np.int32]
    missing: NDArray[np.float32]
    zero: NDArray[np.float32]
    days: NDArray[np.uint8]
    overall: NDArray[np.float32]
    electric: NDArray[np.float32]
    seen: NDArray[np.uint16]
    census: NDArray[np.float32]
    usual: NDArray[np.float32]
    onset: NDArray[np.int32]
    peak: NDArray[np.int8]
    kind: NDArray[np.uint8]
    partial: NDArray[np.uint8]
    voice: NDArray[np.uint8]


@njit(cache=True, nogil=True)
def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@njit(cache=True, nogil=True)
def log10_ratio(count: float, total: float, usual: float) -> float:
    """Return log10 P(count | a shared cause) / P(count | each on its own).

    Each on its own: beta-binomial with mean `usual`. A shared cause: half of the time nearly all
    (beta 6, 0.6), half of the time any number (a part of the street).
    """
    n = round(total)
    k = max(min(round(count), n), 0)
    a, b = max(usual * TOGETHER, 0.05), max((1.0 - usual) * TOGETHER, 0.05)
    single = _log_beta(k + a, n - k + b) - _log_beta(a, b)
    choose = -math.log(n + 1.0) - _log_beta(k + 1.0, n - k + 1.0)
    nearly_all = _log_beta(k + 6.0, n - k + 0.6) - _log_beta(6.0, 0.6)
    shared = math.log(0.5 * math.exp(choose + nearly_all) + 0.5 / (n + 1.0))
    ratio = (shared - choose - single) / math.log(10.0)
    return ratio if k > n * usual else min(ratio, 0.0)  # fewer than usual is no outage either


@njit(cache=True, nogil=True)
def _weigh(
    rows: Rows,
    values: NDArray[np.float32],
    zone: NDArray[np.uint8],
    hour: NDArray[np.int64],
    known: BoolArray,
    dark: NDArray[np.float64],
    flat: NDArray[np.float64],
    power: NDArray[np.float64],
) -> None:
    """Weigh every group by itself: meters missing (dark), at zero (flat), electricity (power)."""
    for n in range(values.shape[1]):
        known[n] = not np.isnan(values[EXPECTED, n]) and values[EXPECTED, n] >= 1.0
        dark[n] = flat[n] = power[n] = np.nan
        if not known[n]:
            continue
        for c in range(5):
            rows.census[n, c] = values[c, n]
        h = hour[zone[n]]
        days = rows.days[n, h]
        share = (rows.missing[n, h] * days + rows.overall[n, 0] * LENT) / (days + LENT)
        zeros = (rows.zero[n, h] * days + rows.overall[n, 1] * LENT) / (days + LENT)
        rows.usual[n, 0], rows.usual[n, 1] = share, zeros
        expected, reporting = values[EXPECTED, n], values[REPORTING, n]
        dark[n] = log10_ratio(float(values[MISSING, n]), float(expected), float(share))
        if reporting >= FEWEST:
            flat[n] = log10_ratio(float(values[ZERO, n]), float(reporting), float(zeros))
        electric = max(rows.electric[n], reporting)
        if electric >= FEWEST:
            power[n] = log10_ratio(float(electric - reporting), float(electric), float(share))


@njit(cache=True, nogil=True)
def _survey(
    rows: Rows,
    known: BoolArray,
    area: NDArray[np.int64],
    dark: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add up each community into `sums`, shape (communities, 10).

    Columns: meters expected, missing, usually missing; groups, those wholly missing, those lit
    (with electricity meters that report and draw power); electricity meters, those that report,
    those at zero, those usually missing or at zero.
    """
    for n in range(len(known)):
        if not known[n]:
            continue
        one = sums[area[n]]
        expected = rows.census[n, EXPECTED]
        one[0] += expected
        one[1] += rows.census[n, MISSING]
        one[2] += rows.usual[n, 0] * expected
        one[3] += 1
        electric = max(rows.electric[n], rows.census[n, REPORTING])
        one[6] += electric
        one[7] += rows.census[n, REPORTING]
        one[8] += rows.census[n, ZERO]
        one[9] += electric * (1.0 - (1.0 - rows.usual[n, 0]) * (1.0 - rows.usual[n, 1]))
        if rows.census[n, MISSING] >= WHOLE * expected:
            one[4] += 1
        elif (
            rows.electric[n] >= 1.0
            and rows.census[n, ZERO] < WHOLE * rows.census[n, REPORTING]
            and dark[n] < 1.0
        ):
            one[5] += 1


@njit(cache=True, nogil=True)
def _judge(
    rows: Rows,
    n: int,
    around: NDArray[np.float64],
    dark: float,
    flat: float,
    power: float,
    line: float,
    least: float,
) -> tuple[float, int, bool]:
    """Return evidence and kind of one group, and whether only a part of it is silent."""
    expected, missing = rows.census[n, EXPECTED], rows.census[n, MISSING]
    reporting = rows.census[n, REPORTING]
    if around[0] < FEWEST:
        return np.nan, NONE, False
    share = missing / expected
    whole = share >= WHOLE
    electric = max(rows.electric[n], reporting)
    battery = expected - electric
    battery_missing = max(missing - (electric - reporting), 0.0)
    evidence = dark
    if expected < FEWEST:
        evidence = log10_ratio(around[1], around[0], around[2] / around[0])
    # all electricity of the community missing or at zero: small groups lend to one another
    out = around[6] - around[7] + around[8]
    if electric >= 1.0 and around[6] >= FEWEST and out >= WHOLE * around[6]:
        shared = log10_ratio(out, around[6], around[9] / around[6])
    else:
        shared = -9.0
    if flat > max(evidence, shared):
        evidence, share, kind = flat, rows.census[n, ZERO] / reporting, POWER_CUT
    elif power > line and battery >= 3.0 and battery_missing < 0.5 * battery:
        # one concentrator reads both, and only electricity is missing
        evidence, share, kind = max(evidence, power), 1.0 - reporting / electric, POWER_CUT
    elif shared > line and (around[3] > 1.0 or around[8] > 0.5 * out):
        evidence, share, kind = max(evidence, shared), out / around[6], POWER_CUT
    elif not whole:
        kind = POWER_CUT if electric >= 1.0 else DEAD_CONCENTRATOR
    elif around[3] > 1.0 and around[4] == around[3]:
        kind = POWER_CUT  # every concentrator at once
    else:
        kind = DEAD_CONCENTRATOR
    if evidence < line or share < least:
        kind = NONE
    return evidence, kind, share < WHOLE


@njit(cache=True, nogil=True)
def _speak(
    rows: Rows, area: NDArray[np.int64], areas: int, tells: int, urgency: NDArray[np.int8]
) -> None:
    """Leave urgency to one group of each power cut, and to the kind that is asked for.

    A cut darkens many concentrators of a community at once: the one with most meters speaks for
    all of them, for as long as its own episode lasts.
    """
    speaker = np.full(areas, -1, np.int64)
    for n in range(len(area)):
        if rows.onset[n] < 0:
            rows.voice[n] = UNDECIDED
        elif rows.voice[n] == SPEAKS and rows.kind[n] == POWER_CUT:
            speaker[area[n]] = n
    taken = speaker >= 0
    for n in range(len(area)):
        if rows.voice[n] == UNDECIDED and rows.kind[n] == POWER_CUT and not taken[area[n]]:
            best = speaker[area[n]]
            if best < 0 or rows.census[n, EXPECTED] > rows.census[best, EXPECTED]:
                speaker[area[n]] = n
    for n in range(len(area)):
        if rows.voice[n] == UNDECIDED and rows.kind[n] == POWER_CUT:
            rows.voice[n] = SPEAKS if speaker[area[n]] == n else SPOKEN_FOR
        mute = rows.kind[n] == POWER_CUT and rows.voice[n] == SPOKEN_FOR
        if mute or (tells != NONE and rows.kind[n] != tells):
            urgency[n] = min(urgency[n], 0)


@njit(cache=True, nogil=True)
def _learn(rows: Rows, n: int, h: int, rate_floor: float) -> None:
    """Learn the usual shares of this hour, and how many electricity meters there are."""
    days = min(rows.days[n, h] + 1, 250)
    rows.days[n, h] = days
    rate = np.float32(max(1.0 / days, rate_floor))
    hours = np.float32(1.0 / (min(rows.seen[n], 24 * 60) + LENT))
    expected, reporting = rows.census[n, EXPECTED], rows.census[n, REPORTING]
    missing = rows.census[n, MISSING] / expected
    rows.missing[n, h] += rate * (missing - rows.missing[n, h])
    rows.overall[n, 0] += hours * (missing - rows.overall[n, 0])
    if reporting >= 1.0:
        zero = rows.census[n, ZERO] / reporting
        rows.zero[n, h] += rate * (zero - rows.zero[n, h])
        rows.overall[n, 1] += hours * (zero - rows.overall[n, 1])
    if reporting > rows.electric[n]:
        rows.electric[n] = reporting
    else:  # slowly, so that an outage that is not recognised does not hide the next
        rows.electric[n] += np.float32(0.002) * (reporting - rows.electric[n])


@njit(cache=True, nogil=True)
def _step(
    rows: Rows,
    slot: int,
    values: NDArray[np.float32],
    zone: NDArray[np.uint8],
    hour: NDArray[np.int64],
    area: NDArray[np.int64],
    grid: NDArray[np.float64],
    line: float,
    least: float,
    ready: int,
    stale: int,
    rate_floor: float,
    tells: int,
    evidence: NDArray[np.float32],
    p_value: NDArray[np.float32],
    urgency: NDArray[np.int8],
    onset: NDArray[np.int64],
    known: BoolArray,
    ratios: NDArray[np.float64],
    around: NDArray[np.float64],
) -> None:
    """Judge all groups at one slot (values: (5, N)), then learn from it.

    The last three are scratch: (N,), (3, N), and zeros of shape (communities, 10).
    """
    dark, flat, power = ratios[0], ratios[1], ratios[2]
    _weigh(rows, values, zone, hour, known, dark, flat, power)
    _survey(rows, known, area, dark, around)
    for n in range(values.shape[1]):
        if known[n]:
            rows.seen[n] = min(rows.seen[n] + 1, 65_000)
        if rows.seen[n] < ready:
            if known[n]:
                _learn(rows, n, hour[zone[n]], rate_floor)
            continue
        if known[n]:
            e, kind, partial = _judge(
                rows, n, around[area[n]], dark[n], flat[n], power[n], line, least
            )
            if np.isnan(e):
                _learn(rows, n, hour[zone[n]], rate_floor)
                rows.kind[n] = NONE
                continue
            if kind != NONE and partial:
                # the slot in which a group falls silent, or comes back, is silent in part: the
                # first waits for the next, the last is still what its outage was
                rows.partial[n] = min(rows.partial[n] + 1, 250)
                if rows.kind[n] != NONE:
                    kind = rows.kind[n]
                elif rows.partial[n] == 1:
                    kind = NONE
            else:
                rows.partial[n] = 0
            rows.kind[n] = kind
            reached = 0
            while reached < len(grid) and grid[reached] <= e:
                reached += 1
            if reached == 0:
                rows.onset[n], rows.peak[n] = -1, 0
            elif rows.onset[n] < 0:
                rows.onset[n], rows.peak[n] = slot, reached
            else:
                rows.peak[n] = max(rows.peak[n], reached)
            if rows.onset[n] < 0 or slot - rows.onset[n] > stale:
                _learn(rows, n, hour[zone[n]], rate_floor)
            evidence[n] = e
            p_value[n] = min(1.0, 10.0 ** (-e))
        elif rows.peak[n] >= 0:
            evidence[n] = 0.0
            p_value[n] = 1.0
        urgency[n] = rows.peak[n]
        onset[n] = rows.onset[n] if rows.onset[n] >= 0 else NO_SLOT
    _speak(rows, area, len(around), tells, urgency)


@register
class Adjudicate(Detector):
    """Tells a power cut and a dead concentrator from single silences.

    Parameters
    ----------
    line : float
        Evidence (log10) from which a verdict is given.
    least : float
        Share of a group that must be silent for a verdict.
    ready_h : float
        Hours of census before the first score.
    half_life_d : float
        Memory of the usual shares.
    tells : float
        The one kind to be urgent about (1 power cut, 2 dead concentrator); 0: any. A rule that is
        about one kind alone asks for it, so that its budget is not spent on the other.

    Notes
    -----
    Inputs are census counts per slot: meters expected, missing, electricity meters at zero,
    electricity meters reporting, meters reporting normally. Call :meth:`join` once, and after
    growing, so that groups of one community are seen together. A community of fewer than five
    meters is never ready: its silence is unknown, not an outage. By Ville's inequality the chance
    of evidence e without a shared cause is at most 10^-e at any one slot.
    """

    name = "adjudicate"
    slot_s = 3600
    grain = "place"
    channels = tuple(Channel("census") for _ in range(5))
    grid = GRID
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    defaults: ClassVar[Mapping[str, float]] = {
        "line": 3.0,
        "least": 0.3,
        "ready_h": 24.0,
        "half_life_d": 30.0,
        "tells": 0.0,
    }

    def _fields(self) -> Mapping[str, Field]:
        return {
            "community": Field("i4", fill=-1),
            # usual shares by hour of the local day, the days they rest on, shares at any hour
            "missing": Field("f4", (24,)),
            "zero": Field("f4", (24,)),
            "days": Field("u1", (24,)),
            "overall": Field("f4", (2,), fill=PRIOR_SHARE),
            "electric": Field("f4"),
            "seen": Field("u2"),
            # the last census, and what was usual then
            "census": Field("f4", (5,)),
            "usual": Field("f4", (2,)),
            # the present episode
            "onset": Field("i4", fill=-1),
            "peak": Field("i1"),
            "kind": Field("u1"),
            "partial": Field("u1"),
            "voice": Field("u1"),
        }

    def join(self, community: IntArray) -> None:
        """Tell which rows belong to one community.

        Parameters
        ----------
        community : ndarray of int, shape (N,)
            Index of each row's community; −1 for a row that stands alone.
        """
        if np.shape(community) != (self.rows,):
            raise DetectorError(
                f"{self.name}: join wants one community a row, shape ({self.rows},), "
                f"got {np.shape(community)}"
            )
        self.state["community"][:] = community

    def verdict(self, rows: IntArray) -> NDArray[np.uint8]:
        """Return what silenced each group at the last slot: 0 nothing shared, or unknown;
        1 power cut; 2 dead concentrator.
        """  # noqa: D205
        return np.asarray(self.state["kind"][rows], np.uint8)

    def _areas(self) -> NDArray[np.int64]:
        """Return a dense index of each row's community; rows that stand alone get their own."""
        community = self.state["community"].astype(np.int64)
        alone = community < 0
        community[alone] = community.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
        dense: NDArray[np.int64] = np.unique(community, return_inverse=True)[1]
        return dense.astype(np.int64)

    def _step(self, frame: Frame, out: Signals) -> None:
        rows = Rows(**self.state)
        p = self.params
        per_hour = 3600 / self.interval_s
        area = self._areas()
        for t in range(frame.slots):
            _step(
                rows,
                frame.first_slot + t,
                frame.values[t],
                self.zone,
                (frame.local_slot[t] / per_hour).astype(np.int64) % 24,
                area,
                GRID,
                p["line"],
                p["least"],
                max(1, round(p["ready_h"] * per_hour)),
                round(STALE_H * per_hour),
                1.0 - 0.5 ** (1.0 / p["half_life_d"]),
                int(p["tells"]),
                out.evidence[t],
                out.p_value[t],
                out.urgency[t],
                out.onset[t],
                np.zeros(self.rows, np.bool_),
                np.zeros((3, self.rows)),
                np.zeros((area.max(initial=-1) + 1, 10)),
            )

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: counts of the last census, the usual share missing, the kind of outage.

        A group that speaks for a power cut tells of all groups that are dark with it.
        """
        s = self.state
        census, usual = s["census"].astype(np.float64), s["usual"].astype(np.float64)
        area = self._areas()
        cut = (s["kind"] == POWER_CUT) & (s["onset"] >= 0)
        told = np.empty((len(rows), 8))
        for i, n in enumerate(rows.tolist()):
            here = area == area[n]
            of = np.flatnonzero(here & cut) if cut[n] and s["voice"][n] == SPEAKS else np.array([n])
            total = census[of].sum(axis=0)
            told[i, :5] = total
            told[i, 5] = census[of, EXPECTED] @ usual[of, 0] / max(total[EXPECTED], 1)
            told[i, 6] = census[of, REPORTING] @ usual[of, 1] / max(total[REPORTING], 1)
            told[i, 7] = (census[here, EXPECTED] - census[here, MISSING]).sum() - (
                total[EXPECTED] - total[MISSING]
            )
        missing = told[:, MISSING] / np.maximum(told[:, EXPECTED], 1)
        zero = told[:, ZERO] / np.maximum(told[:, REPORTING], 1)
        flat = zero > missing  # what is told is the larger of the two, beside its own usual share
        return {
            "kind": s["kind"][rows].astype(np.int64),
            "onset": s["onset"][rows].astype(np.int64),
            "expected": np.rint(told[:, EXPECTED]).astype(np.int64),
            "missing": np.rint(told[:, MISSING]).astype(np.int64),
            "zero": np.rint(told[:, ZERO]).astype(np.int64),
            "share": np.where(flat, zero, missing),
            "usual_share": np.where(flat, told[:, 6], told[:, 5]),
            "neighbours": np.rint(told[:, 7]).astype(np.int64),
        }
