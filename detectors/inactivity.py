"""`inactivity`: "usually there would have been a sign of life by now".

A home is silent while no channel uses more than its standby. When a silence begins, the home's
own record of the last 73 days says how long silences like this last while all is well, and from
that follows, for each price of a false alert, the hour at which an alert pays best. These moments
are settled once, when the silence is two hours old, and kept while it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors import inactivity_kernels as kernels
from detectors.base import LEVELS, NS, Channel, Detector, Field, Frame, IntArray, Signals, register
from detectors.inactivity_model import GRID_H, PRICES, PRIOR_RATE, shipped

_HOUR_NS = 3600 * NS
_NIGHTS = 42
_UTILITIES = ("electricity", "water", "gas")


@register
class Inactivity(Detector):
    """Silence of a home where there usually is a sign of life.

    Parameters
    ----------
    electricity_kwh, water_l, gas_m3 : float
        What a slot must exceed, above the standby that the home's nights show, to be a sign of
        life. Electricity: the highest slot of the hour.
    half_life_d : float
        Half-life of the home's own past, days.
    ready_h : float
        Known hours before the first score; until a home has a past of its own, the pooled
        weights speak for it.
    own_d : float
        Days of known hours after which a home counts as known by its own past (fact `own`).

    Notes
    -----
    *Evidence* is −log10 S(d), with S the chance that a silence begun at this hour lasts so long
    while all is well; S is also the p-value. *Urgency* counts the prices whose moment has come:
    the moment minimises the expected cost of delay for a person who falls some time during the
    silence, plus the price times S (:func:`detectors.inactivity_kernels.choose`).

    Up to two missing hours between silent ones count as silent, more pause the silence; a missing
    hour alone never raises urgency. Declared absences and outages pause it too, and nothing is
    learned from them; after an absence the silence begins anew. It ends when it was declared to,
    when it is revoked, or when somebody is clearly back (:meth:`returned`). Amendments of the last 7 days are
    exact: they change the record, and the present silence is found and planned again. (Hours keep
    the threshold they were judged by.)
    """

    name = "inactivity"
    slot_s = 3600
    interval_s_allowed = (3600, 3600)
    channels = (Channel("electricity", "max"), Channel("water"), Channel("gas"))
    informs = frozenset({"absence", "absence_revoked", "outage", "sign_of_life", "new_appliance"})
    amends = True
    amend_s = 7 * 86_400
    grid = PRICES
    prior_rate = PRIOR_RATE
    defaults: ClassVar[Mapping[str, float]] = {
        "electricity_kwh": 0.01,
        "water_l": 1.0,
        "gas_m3": 0.02,
        "half_life_d": 45.0,
        "ready_h": 48.0,
        "own_d": 28.0,
    }

    def _configure(self) -> None:
        p = self.params
        # Frames carry volumes in litres, gas too.
        floor = (p["electricity_kwh"], p["water_l"], 1000.0 * p["gas_m3"])
        self._model = shipped(p["half_life_d"], floor)
        self._ready_h = int(p["ready_h"])

    def _fields(self) -> Mapping[str, Field]:
        c, electric = len(self.fed), 0 in self.fed
        return {
            "seen": Field("i4", fill=-1),
            "day": Field("i4", fill=-1),
            "hour": Field("u1"),
            "hours": Field("u2"),
            "known": Field("u8", (kernels.WORDS,)),
            "active": Field("u8", (kernels.WORDS,)),
            "rest": Field("u8", (2,)),
            "onset": Field("i4", fill=-1),
            "silent": Field("u2"),
            "gap": Field("u1"),
            "moments": Field("u1", (LEVELS,), fill=kernels.NEVER),
            "survival": Field("u1", (len(GRID_H),)),
            "nights": Field("u2", (_NIGHTS if electric else 0,)),
            "quiet": Field("u2", (c - electric, 7)),
            "tonight": Field("f4", (c,), fill=np.nan),
            "threshold": Field("f4", (c,), fill=np.nan),
            "heard": Field("u1"),
            "last_channel": Field("i1", fill=-1),
            "last_amount": Field("f4", fill=np.nan),
            "away": Field("i4", (2, 2), fill=-1),
            "away_run": Field("u1"),
            "away_back": Field("u1"),
            "returned": Field("u1"),
            "outage": Field("i4", (1, 2), fill=-1),
        }

    def _rows(self) -> kernels.Rows:
        return kernels.Rows(np.array(self.fed, np.int64), **self.state)

    def _step(self, frame: Frame, out: Signals) -> None:
        rows = self._rows()
        for t in range(frame.slots):
            kernels.step(
                rows,
                self._model,
                frame.first_slot + t,
                frame.values[t],
                self.zone,
                frame.local_slot[t],
                frame.local_day[t],
                frame.rest_day[t],
                self._ready_h,
                out.evidence[t],
                out.p_value[t],
                out.urgency[t],
                out.onset[t],
            )

    def _current(self, rows: IntArray, out: Signals) -> None:
        kernels.current(
            self._rows(),
            self._model,
            np.asarray(rows, np.int64),
            self._ready_h,
            out.evidence[0],
            out.p_value[0],
            out.urgency[0],
            out.onset[0],
        )

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        kernels.amend(
            self._rows(),
            self._model,
            slot,
            np.asarray(rows, np.int64),
            np.ascontiguousarray(values, np.float32),
            self.amend_s // 3600,
        )

    def _inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32],  # noqa: ARG002
    ) -> None:
        if kind == "new_appliance":
            # Its standby is not that of the old nights: learn it from the nights to come.
            self.state["nights"][rows] = 0
            self.state["quiet"][rows] = 0
            return
        start = (start_ns // _HOUR_NS).astype(np.int32)
        end = (-(-end_ns // _HOUR_NS)).astype(np.int32)
        if kind == "absence_revoked":
            kernels.revoke(self._rows(), self._model, np.asarray(rows, np.int64), start, end)
            return
        if kind == "sign_of_life":
            end = start + 1  # As if away for that hour: what comes after begins anew.
        kernels.pause(
            self._rows(), self._model, np.asarray(rows, np.int64), start, end, kind != "outage"
        )

    def returned(self) -> IntArray:
        """Return the rows whose declared absence somebody's use has ended, since last asked."""
        rows = np.flatnonzero(self.state["returned"])
        self.state["returned"][rows] = 0
        return rows

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        s = {k: v[rows] for k, v in self.state.items()}
        silent = s["silent"].astype(np.int64)
        alive = np.exp(-s["survival"].astype(np.float64) / kernels.CODES)
        now = alive[np.arange(len(silent)), self._model.step_of[np.minimum(silent, GRID_H[-1])]]
        # Of silences that were ever two hours old, half have ended by then.
        usual = GRID_H[np.argmax(alive <= 0.5 * alive[:, [kernels.FIRST_H]], axis=1)]
        began = s["hour"].astype(np.int64) - (s["seen"] - s["onset"])
        channel = s["last_channel"].astype(np.int64)
        return {
            "silent_hours": silent,
            "onset": s["onset"].astype(np.int64),
            "usual_share": 1.0 - now,
            "usual_hours": usual,
            "usual_first_sign_hour": (began + usual) % 24,
            "last_channel": channel,
            "last_amount": s["last_amount"].astype(np.float64),
            "own": (s["hours"] >= self.params["own_d"] * 24).astype(np.int64),
            **self._thresholds(s["threshold"]),
        }

    def _thresholds(self, kept: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return what a slot must exceed, by the name and in the unit that people know."""
        names = (("threshold_kwh", 1.0), ("threshold_l", 1.0), ("threshold_m3", 1000.0))
        nothing = np.full(len(kept), np.nan)
        return {
            name: kept[:, self.fed.index(c)].astype(np.float64) / unit if c in self.fed else nothing
            for c, (name, unit) in enumerate(names)
        }
