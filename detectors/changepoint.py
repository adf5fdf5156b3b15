"""Change points: the level has moved and stays moved, up or down."""

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
from detectors.evidence import LINE_STEP, level_of

Z_CLIP = 3.0
"""A reading counts at most this many deviations: a spike is no change of level."""


@njit(cache=True, nogil=True, error_model="numpy")
def _kernel(
    values, first_slot, bins, zone, warm_up, rate, slow, shift,
    profile, seen, spread, drift, sums, began, onset, peak,
    evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    n_bins = profile.shape[0]
    for t in range(slots):
        for r in range(rows):
            x = float(values[t, r])
            if math.isnan(x):
                continue
            seen[r] += 1
            b = bins[t, zone[r]]
            usual = float(profile[b, r])
            if math.isnan(usual):
                profile[b, r] = x
                continue
            residual = x - usual
            deviation = 1.2533 * spread[b, r] + 1e-6 * abs(x) + 1e-9
            z = min(max(residual / deviation, -Z_CLIP), Z_CLIP)
            # readings hang together: what the last residual foretells is no news
            news = (z - drift[0, r] * drift[1, r]) / math.sqrt(max(1 - drift[0, r] ** 2, 0.05))
            ready = seen[r] >= warm_up
            if seen[r] >= 0.5 * warm_up:
                for side in range(2):
                    step = shift * (news if side == 0 else -news) - 0.5 * shift * shift
                    if sums[side, r] + step <= 0:
                        sums[side, r] = 0
                        began[side, r] = NO_SLOT
                    else:
                        if sums[side, r] == 0:
                            began[side, r] = first_slot + t
                        sums[side, r] += step
                drift[0, r] += slow * (min(max(z * drift[1, r], -4.0), 4.0) - drift[0, r])
                drift[0, r] = min(max(drift[0, r], 0.0), 0.9)
            drift[1, r] = z
            if ready:
                side = 0 if sums[0, r] >= sums[1, r] else 1
                total = float(sums[side, r]) - math.log(2)  # two sums are watched, not one
                evidence = total / math.log(10)
                p = min(math.exp(-total), 1.0)
                if sums[side, r] <= 0:
                    onset[r] = NO_SLOT
                elif onset[r] == NO_SLOT:
                    onset[r] = began[side, r]
                    peak[r] = 0
                urgency = level_of(evidence)
                if onset[r] != NO_SLOT:
                    urgency = max(np.int64(peak[r]), urgency)
                    peak[r] = urgency
                evidence_out[t, r] = evidence
                p_out[t, r] = p
                urgency_out[t, r] = urgency
                onset_out[t, r] = onset[r]
            taught = min(max(residual, -Z_CLIP * deviation), Z_CLIP * deviation)
            if seen[r] < 0.5 * warm_up:
                taught = residual
            step = max(rate, 1 / (2 + seen[r] / n_bins))
            profile[b, r] = usual + step * taught
            spread[b, r] += step * (abs(taught) - spread[b, r])


@register
class Changepoint(Detector):
    """Sum up the news that the level has moved by `shift` deviations, up and down apart.

    The reading is compared with the usual of its time of day, the part of the residual that the one
    before foretold is taken out, and Page's CUSUM of the log likelihood ratio between a mean of
    ±shift and of 0 runs on each side [1]_: S ← max(0, S + shift·z − shift²/2). An alarm at S ≥ h
    has an average run length of at least e^h slots when nothing is wrong [2]_, e^h / 2 with both
    sides. Evidence is (S − ln 2) / ln 10, so its lines bound false alarms: line 4.5 is reached once
    in 31,000 slots or less often. A level that stays becomes the usual with `half_life`.

    Parameters
    ----------
    shift : float
        Change that is looked for, in standard deviations, 0 … 3.
    half_life : float
        Days after which a day counts half in the usual.
    warm_up : float
        Days of readings before there is a score.

    Notes
    -----
    The bound holds for independent normal news with known parameters; here mean and deviation are
    learned and one lag of dependence is taken out, so it is approximate; the tests measure it on
    normal, skewed and autocorrelated noise.

    References
    ----------
    .. [1] Page (1954), "Continuous inspection schemes", doi:10.1093/biomet/41.1-2.100, eq. (2).
    .. [2] Lorden (1971), "Procedures for reacting to a change in distribution",
       doi:10.1214/aoms/1177693055, Theorem 2: E∞[N] ≥ 1/α for a threshold of ln(1/α).
    """

    name = "changepoint"
    defaults: ClassVar[Mapping[str, float]] = {"shift": 1.0, "half_life": 14.0, "warm_up": 7.0}
    grid = LINE_STEP * np.arange(1, 36, dtype=np.float64)

    def _configure(self) -> None:
        p = self.params
        if not (0 < p["shift"] <= 3 and p["half_life"] > 0 and p["warm_up"] > 0):
            raise DetectorError(
                f"{self.name}: wanted 0 < shift <= 3, half_life > 0, warm_up > 0, got {p}"
            )
        self._per_day = max(86_400 // self.interval_s, 1)
        self._bins = min(24, self._per_day)
        self._rate = 1 - 0.5 ** (self._bins / (p["half_life"] * self._per_day))
        self._slow = 1 - 0.5 ** (1 / (p["half_life"] * self._per_day))

    def _fields(self) -> Mapping[str, Field]:
        return {
            "profile": Field("f4", (self._bins,), fill=np.nan, axis=1),
            "seen": Field("i4"),
            "spread": Field("f4", (self._bins,), axis=1),
            "drift": Field("f4", (2,), axis=1),
            "sums": Field("f4", (2,), axis=1),
            "began": Field("i8", (2,), fill=NO_SLOT, axis=1),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s = self.state
        bins = frame.local_slot.astype(np.int64) * self._bins // self._per_day % self._bins
        _kernel(
            frame.values[:, 0], frame.first_slot, bins, self.zone,
            self.params["warm_up"] * self._per_day, self._rate, self._slow, self.params["shift"],
            s["profile"], s["seen"], s["spread"], s["drift"], s["sums"], s["began"], s["onset"],
            s["peak"], out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = self.state
        return {
            "typical_deviation": s["spread"][:, rows].mean(axis=0),
            "direction": np.where(s["sums"][0, rows] >= s["sums"][1, rows], 1, -1),
            "since_slot": s["onset"][rows],
        }
