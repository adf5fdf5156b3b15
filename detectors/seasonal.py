"""Robust seasonal residual: what is usual at this time of day, on a work day or a rest day.

One row costs about 410 bytes: centre and spread of 48 times of day × 2 kinds of day in 16 bits
each, and eight numbers. The kernel walks memory in row order.
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

UNSEEN = 0x8000
"""Code of a bin that has seen nothing (the pattern of a negative zero)."""
_EXPONENT, _MANTISSA_BITS = 97, 9
_DROPPED = 23 - _MANTISSA_BITS

CLIP = 4.0
"""Residuals teach up to this many spreads: one absurd value moves the profile little."""
Z_MAX = 100.0
TAIL_SHARE = 0.02
"""Share of slots that are the tail: their p-values come from a tail model, the others' from ranks."""
TAIL_XI = 0.2
"""Shape of the tail (generalised Pareto): heavier than exponential, with a finite mean."""
TAIL_GAIN = 0.05
BULK_LOW, BULK_HIGH = -1.0, 0.46925795
"""Evidence of a perfectly usual slot and of one at the cut (where the tail takes over); the
e-value's mean stays under 1."""
SLOW = 0.005
"""Rate of a row's typical deviation, once it has seen 200 slots."""


@njit(cache=True, nogil=True, inline="always")
def encode(x):
    """Return the 16-bit code of `x`: sign, 6 bits of exponent, 9 of mantissa, nearest.

    Keeps 3 decimal digits over 1e-9 … 8e9; smaller becomes 0, larger the largest.
    """
    bits = np.float32(x).view(np.uint32)
    code = (np.int64(bits & 0x7FFFFFFF) + (1 << (_DROPPED - 1))) >> _DROPPED
    code = min(code - (_EXPONENT << _MANTISSA_BITS), np.int64(0x7FFF))
    if code <= 0:
        return 0
    return code | (np.int64(bits >> 31) << 15)


@njit(cache=True, nogil=True, inline="always")
def decode(code):
    """Return the number behind a code; :data:`UNSEEN` reads as 0."""
    body = np.int64(code) & 0x7FFF
    if body == 0:
        return 0.0
    bits = ((body + (_EXPONENT << _MANTISSA_BITS)) << _DROPPED) | ((np.int64(code) >> 15) << 31)
    return float(np.uint32(bits).view(np.float32))


@njit(cache=True, nogil=True)
def _tail_p(statistic, cut, excess):
    """Return the chance of at least `statistic`, beyond the cut."""
    return TAIL_SHARE * (1 + TAIL_XI * (statistic - cut) / excess) ** (-1 / TAIL_XI)


@njit(cache=True, nogil=True, error_model="numpy")
def _stretch(
    slot, values, per_day, warm_up, rates, slows, blend,
    centre, spread, other_centre, other_spread, seen, other_seen,
    base, scale, run, cut, excess, onset, peak,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    """One slot of neighbouring rows of one time zone; every array is 1-d, over these rows."""
    last_rate, last_slow = len(rates) - 1, len(slows) - 1
    for r in range(len(values)):
        raw = float(values[r])
        if math.isnan(raw):
            continue
        if math.isnan(base[r]):
            base[r] = raw
        x = raw - base[r]
        own = np.int64(seen[r])
        both = own + np.int64(other_seen[r])
        mine = centre[r]
        c, s, around = decode(mine), decode(spread[r]), 0.25 * scale[r] + 1e-6 * abs(raw) + 1e-9
        residual = x - c
        width = s + around

        if 2 * both >= warm_up:
            code, away, wide = mine, residual, width
            # a kind of day hardly seen yet borrows from the other kind
            few = own < 3 * per_day and both > 2 * own
            if (few or mine == UNSEEN) and other_centre[r] != UNSEEN:
                code = other_centre[r]
                away, wide = x - decode(code), decode(other_spread[r]) + around
            if code != UNSEEN:
                z = min(max(away / wide, -Z_MAX), Z_MAX)
                mean = run[r] + blend * (z - run[r])
                run[r] = mean
                statistic, limit = abs(mean), float(cut[r])
                beyond = statistic > limit
                if both >= warm_up:
                    if beyond:
                        p = _tail_p(statistic, limit, excess[r])
                        evidence = log10_e(p)
                        if onset[r] == NO_SLOT:
                            onset[r] = slot
                            peak[r] = 0
                    else:
                        share = statistic / limit
                        p = 1.0 - (1.0 - TAIL_SHARE) * share
                        evidence = BULK_LOW + (BULK_HIGH - BULK_LOW) * share * share
                        if share < 0.5:
                            onset[r] = NO_SLOT
                    urgency, began = level_of(evidence), onset[r]
                    if began != NO_SLOT:
                        urgency = max(np.int64(peak[r]), urgency)
                        peak[r] = urgency
                    evidence_out[r], p_out[r] = evidence, p
                    urgency_out[r], onset_out[r] = urgency, began
                # the cut is a quantile by stochastic approximation
                if beyond:
                    over = min(statistic - limit, 5.0 * excess[r])
                    moved = excess[r] + TAIL_GAIN * (over - excess[r])
                    excess[r] = max(moved, 0.05 * limit)
                    cut[r] = limit * (1 + TAIL_GAIN * (1 - TAIL_SHARE))
                else:
                    cut[r] = max(limit * (1 - TAIL_GAIN * TAIL_SHARE), 1.0)

        # learn, in the kind of day it is
        if mine == UNSEEN:
            centre[r] = encode(x)
        else:
            rate, slow = rates[min(own, last_rate)], slows[min(both, last_slow)]
            if own >= 3 * per_day:
                residual = min(max(residual, -CLIP * width), CLIP * width)
            centre[r] = encode(c + rate * residual)
            spread[r] = encode(s + rate * (abs(residual) - s))
            scale[r] += slow * (abs(residual) - scale[r])
        seen[r] = min(own + 1, 65535)


@njit(cache=True, nogil=True)
def _kernel(
    values, first_slot, bins, kinds, zone, per_day, warm_up, rates, slows, blend,
    centre, spread, base, scale, run, cut, excess, seen, onset, peak,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    for t in range(slots):
        stop = 0
        while stop < rows:
            start, place = stop, zone[stop]
            while stop < rows and zone[stop] == place:
                stop += 1
            kind, b = kinds[t, place], bins[t, place]
            _stretch(
                first_slot + t, values[t, start:stop],
                per_day, warm_up, rates, slows, blend,
                centre[kind, b, start:stop], spread[kind, b, start:stop],
                centre[1 - kind, b, start:stop], spread[1 - kind, b, start:stop],
                seen[kind, start:stop], seen[1 - kind, start:stop],
                base[start:stop], scale[start:stop], run[start:stop], cut[start:stop],
                excess[start:stop], onset[start:stop], peak[start:stop],
                evidence_out[t, start:stop], p_out[t, start:stop],
                urgency_out[t, start:stop], onset_out[t, start:stop],
            )  # fmt: skip


@register
class Seasonal(Detector):
    """Score how far each reading is from what is usual at this time of day.

    The residual is divided by its own spread at that time of day, averaged over neighbouring
    slots (so that a run counts more than a spike), and turned into a p-value by the row's own
    distribution: ranks up to its 98 % quantile, a generalised Pareto tail beyond.

    Parameters
    ----------
    warm_up : float
        Days of readings before a row has scores. A time of day that was never seen has none either.
    half_life : float
        Days of one kind (work, rest) after which a day counts half.
    bins : float
        Times of day that the profile tells apart (fewer if the slots are longer).
    blend : float
        Weight of the newest residual in the running mean, 0 … 1.

    Notes
    -----
    Bytes a row at 48 bins: 2 · 48 · 2 · 2 + 30 = 414.
    """

    name = "seasonal"
    defaults: ClassVar[Mapping[str, float]] = {
        "warm_up": 3.0,
        "half_life": 14.0,
        "bins": 48.0,
        "blend": 0.5,
    }
    grid = EVIDENCE_LINES

    def _configure(self) -> None:
        p = self.params
        if not (p["warm_up"] > 0 and p["half_life"] > 0 and p["bins"] >= 1 and 0 < p["blend"] <= 1):
            raise DetectorError(
                f"{self.name}: wanted warm_up > 0, half_life > 0, bins >= 1, 0 < blend <= 1, got {p}"
            )
        self._per_day = max(86_400 // self.interval_s, 1)
        self._bins = min(int(p["bins"]), self._per_day)
        floor = 1 - 0.5 ** (self._bins / (p["half_life"] * self._per_day))
        # by readings seen: a table costs less than two divisions a reading
        seen = np.arange(min(int(np.ceil(self._bins / floor)), 65_535) + 1)
        self._rates = np.maximum(floor, 1 / (1 + seen / self._bins))
        self._slows = np.maximum(SLOW, 1 / (1.0 + np.arange(int(1 / SLOW))))

    def _fields(self) -> Mapping[str, Field]:
        return {
            "centre": Field("u2", (2, self._bins), fill=UNSEEN, axis=2),
            "spread": Field("u2", (2, self._bins), axis=2),
            "base": Field("f4", fill=np.nan),
            "scale": Field("f4"),
            "run": Field("f4"),
            "cut": Field("f4", fill=3.0),
            "excess": Field("f4", fill=1.0),
            "seen": Field("u2", (2,), axis=1),
            "onset": Field("i4", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def _bin_of(self, frame: Frame) -> NDArray[np.int64]:
        return frame.local_slot.astype(np.int64) * self._bins // self._per_day % self._bins

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        _kernel(
            frame.values[:, 0], frame.first_slot, self._bin_of(frame),
            frame.rest_day.astype(np.int64), self.zone, self._per_day,
            int(np.ceil(self.params["warm_up"] * self._per_day)),
self._rates, self._slows, self.params["blend"],
            s["centre"], s["spread"], s["base"], s["scale"], s["run"], s["cut"], s["excess"],
            s["seen"], s["onset"], s["peak"],
            out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = self.state
        return {
            "residual_spreads": s["run"][rows],
            "unusual_from_spreads": s["cut"][rows],
            "typical_deviation": s["scale"][rows],
            "onset_slot": s["onset"][rows],
        }
