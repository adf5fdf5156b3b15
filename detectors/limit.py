"""Limits: a mean over some hours that lies above what is allowed, by more than a sensor's error."""

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
from detectors.evidence import EVIDENCE_LINES, level_of

USUAL_DAYS = 14.0
"""Half-life of what is usual at a sensor."""
QUIET_EVIDENCE = 1.0
"""Evidence for which the fact `quiet` names the mean."""
MOST_EVIDENCE = 8.75
MOSTLY = 0.75
"""Share of the slots of a mean that must be known."""


@njit(cache=True, nogil=True)
def _kernel(
    values, first_slot, limit, error, usual_rate,
    recent, known, last, usual, mean, onset, peak, evidence_out, p_out, urgency_out, onset_out,
):  # fmt: skip
    slots, rows = values.shape
    size = recent.shape[0]
    for t in range(slots):
        slot = first_slot + t
        for r in range(rows):
            x = float(values[t, r])
            if math.isnan(x):
                continue
            if known[r] > 0 and slot - last[r] > 2 * size:
                known[r] = 0  # what was measured before the gap says nothing of now
            last[r] = slot
            if known[r] == 0:
                recent[:, r] = math.nan
            recent[slot % size, r] = x
            known[r] = min(known[r] + 1, size)
            usual[r] = x if math.isnan(usual[r]) else usual[r] + usual_rate * (x - usual[r])
            total, n = 0.0, 0
            for k in range(size):
                if not math.isnan(recent[k, r]):
                    total += recent[k, r]
                    n += 1
            mean[r] = total / n
            if known[r] < size or n < MOSTLY * size:
                continue
            z = (mean[r] - limit) / error
            evidence = min(max(z, 0.0) ** 2 / (2 * math.log(10.0)), MOST_EVIDENCE)
            if z <= 0:
                onset[r] = NO_SLOT
                peak[r] = 0
            elif onset[r] == NO_SLOT:
                onset[r] = slot
            urgency = level_of(evidence)
            if onset[r] != NO_SLOT:
                urgency = max(np.int64(peak[r]), urgency)
                peak[r] = urgency
            evidence_out[t, r] = evidence
            p_out[t, r] = 0.5 * math.erfc(z / math.sqrt(2.0))
            urgency_out[t, r] = urgency
            onset_out[t, r] = onset[r]


@register
class Limit(Detector):
    """Weigh whether the mean of the last `hours` truly lies above `limit`.

    With measuring errors of standard deviation `accuracy` · limit that the sensor's own means
    share, evidence is the generalised likelihood ratio of "above" against "at the limit",
    z² / (2 ln 10) for z > 0; the p-value is that of z.

    Parameters
    ----------
    limit : float
        What is allowed, in the meter's unit.
    hours : float
        Length of the mean; a score needs three quarters of its slots.
    accuracy : float
        Standard error of such a mean, as a share of the limit.

    References
    ----------
    .. [1] Wilks (1938), doi:10.1214/aoms/1177732360: the generalised likelihood ratio.
    """

    name = "limit"
    defaults: ClassVar[Mapping[str, float]] = {"limit": 75.0, "hours": 6.0, "accuracy": 0.1}
    grid = EVIDENCE_LINES

    def _configure(self) -> None:
        p = self.params
        if not (p["limit"] > 0 and 0 < p["hours"] <= 720 and 0 < p["accuracy"] < 10):
            raise DetectorError(
                f"{self.name}: wanted limit > 0, hours in 0..720, accuracy > 0, got {p}"
            )
        self._size = max(round(p["hours"] * 3600 / self.interval_s), 1)
        self._rate = 1 - 0.5 ** (self.interval_s / (USUAL_DAYS * 86_400))

    def _fields(self) -> Mapping[str, Field]:
        return {
            "recent": Field("f4", (self._size,), fill=np.nan, axis=1),
            "known": Field("i4"),
            "last": Field("i8", fill=NO_SLOT),
            "usual": Field("f4", fill=np.nan),
            "mean": Field("f4", fill=np.nan),
            "onset": Field("i8", fill=NO_SLOT),
            "peak": Field("i1"),
        }

    def _step(self, frame: Frame, out: Signals) -> None:
        s, p = self.state, self.params
        _kernel(
            frame.values[:, 0], frame.first_slot, p["limit"], p["accuracy"] * p["limit"],
            self._rate, s["recent"], s["known"], s["last"], s["usual"], s["mean"], s["onset"],
            s["peak"], out.evidence, out.p_value, out.urgency, out.onset,
        )  # fmt: skip

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        """Facts: the mean, the limit, the usual of this sensor, and a mean that is no alert."""
        s, p = self.state, self.params
        full = np.ones(len(rows))
        z = math.sqrt(2 * math.log(10) * QUIET_EVIDENCE)
        return {
            "mean": s["mean"][rows],
            "limit": full * p["limit"],
            "times": s["mean"][rows] / p["limit"],
            "usual": s["usual"][rows],
            "hours": full * p["hours"],
            "quiet": full * p["limit"] * (1 + 0.99 * z * p["accuracy"]),
        }
