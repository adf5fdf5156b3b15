"""`inactivity`: "usually there would have been a sign of life by now"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors import inactivity_kernels as kernels
from detectors.base import NS, Channel, Detector, Field, Frame, IntArray, Signals, register
from detectors.inactivity_model import GRID_H, PRICES, PRIOR_RATE

_HOUR_NS = 3600 * NS


@register
class Inactivity(Detector):
    """Silence of a home where there usually is a sign of life.

    Parameters
    ----------
    water_l, gas_m3 : float
        An hour with more than this is active.
    half_life_d : float
        Half-life of the home's own statistics.
    ready_h : float
        Known hours before the first score.
    own_d : float
        Days of own history after which a home no longer leans on its peers (`facts.own`).
    moment_h : float
        Cost of waiting steps up at half of this and at this.
    """

    name = "inactivity"
    slot_s = 3600
    interval_s_allowed = (3600, 3600)
    channels = (Channel("electricity", "max"), Channel("water"), Channel("gas"))
    informs = frozenset({"absence", "outage"})
    amends = True
    amend_s = 7 * 86_400
    grid = PRICES
    prior_rate: ClassVar[NDArray[np.float64]] = PRIOR_RATE
    defaults: ClassVar[Mapping[str, float]] = {
        "water_l": 1.0,
        "gas_m3": 0.02,
        "half_life_d": 90.0,
        "ready_h": 48.0,
        "own_d": 28.0,
        "moment_h": 12.0,
    }

    def _fields(self) -> Mapping[str, Field]:
        c = len(self.channels)
        return {
            "seen": Field("i4", fill=-1),
            "known": Field("u8", (kernels.WORDS,)),
            "active": Field("u8", (kernels.WORDS,)),
            "onset": Field("i4", fill=-1),
            "silent": Field("u2"),
            "gap": Field("u1"),
            "peak": Field("i1"),
            "moments": Field("u1", (len(PRICES),), fill=kernels.NEVER),
            "survival": Field("f4", (len(GRID_H),), fill=1.0),
            "learned": Field("i4", fill=-1),
            "run_onset": Field("i4", fill=-1),
            "run_silent": Field("u2"),
            "run_gap": Field("u1"),
            "table": Field("f4", (8, 2, len(GRID_H))),
            "hours": Field("u2"),
            "nights": Field("f4", (42,), fill=np.nan),
            "night": Field("f4", fill=np.nan),
            "threshold": Field("f4", (c,), fill=np.nan),
            "last_value": Field("f4", (c,), fill=np.nan),
            "away_from": Field("i4", fill=-1),
            "away_until": Field("i4", fill=-1),
            "rest": Field("u2"),
        }

    def _rows(self) -> kernels.Rows:
        # A row's thresholds of water and gas come from the parameters: restored with them.
        threshold = self.state["threshold"]
        threshold[:, 1] = self.params["water_l"]
        threshold[:, 2] = self.params["gas_m3"]
        return kernels.Rows(**self.state)

    def _decay(self) -> float:
        return float(0.5 ** (1.0 / self.params["half_life_d"]))

    def _step(self, frame: Frame, out: Signals) -> None:
        rows = self._rows()
        p = self.params
        for t in range(frame.slots):
            kernels.step(
                rows,
                frame.first_slot + t,
                frame.values[t],
                self.zone,
                frame.local_slot[t],
                frame.local_day[t],
                frame.rest_day[t],
                p["moment_h"] / 2,
                p["moment_h"],
                self._decay(),
                int(p["ready_h"]),
                out.evidence[t],
                out.p_value[t],
                out.urgency[t],
                out.onset[t],
            )
        self._hour_of = frame.local_slot[-1].astype(np.int64)

    def _current(self, rows: IntArray, out: Signals) -> None:
        kernels.current(
            self._rows(),
            np.asarray(rows, np.int64),
            int(self.params["ready_h"]),
            out.evidence[0],
            out.p_value[0],
            out.urgency[0],
            out.onset[0],
        )

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        kernels.amend(
            self._rows(),
            slot,
            np.asarray(rows, np.int64),
            values,
            self.zone,
            self._hour_of,
            self.params["moment_h"] / 2,
            self.params["moment_h"],
            self._decay(),
        )

    def _inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32],
    ) -> None:
        start = (start_ns // _HOUR_NS).astype(np.int32)
        end = (-(-end_ns // _HOUR_NS)).astype(np.int32)
        self.state["away_from"][rows] = start
        self.state["away_until"][rows] = end

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = self.state
        silent = s["silent"][rows].astype(np.int64)
        step = np.searchsorted(GRID_H, silent, side="right") - 1
        alive = s["survival"][rows, step].astype(np.float64)
        return {
            "silent_hours": silent,
            "onset": s["onset"][rows].astype(np.int64),
            "usual_share": 1.0 - alive,
            "own": (s["hours"][rows] >= self.params["own_d"] * 24).astype(np.int64),
            "threshold_kwh": s["threshold"][rows, 0],
            "threshold_l": s["threshold"][rows, 1],
            "threshold_m3": s["threshold"][rows, 2],
        }
