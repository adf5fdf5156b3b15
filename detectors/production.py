"""`production`: a closed plant that runs, and a new load by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors import ledger
from detectors import production_kernel as kernel
from detectors import production_notices as notices
from detectors import production_state as layout
from detectors.base import (
    LEVELS,
    NS,
    Channel,
    Detector,
    DetectorError,
    Field,
    FloatArray,
    Frame,
    IntArray,
    Signals,
    register,
)
from detectors.ledger import LOG10_E

_LOWEST, _SPACING = -0.5, 0.2
_LINES: NDArray[np.float64] = np.asarray(_LOWEST + _SPACING * np.arange(LEVELS), np.float64)
"""The grid in nats."""
_MINUTE_NS = 60 * NS
_CHANCE = np.array([0.5, 0.3, 0.3, 0.3, 0.3])
"""Chance that a covert run has such a visitor near it: by kind, 1 hazmat in … 5 complaint."""


def _false_rate(line: FloatArray) -> NDArray[np.float64]:
    """Return the false cases per plant-year to expect at lines of evidence, nats."""
    return np.asarray(0.2 * np.exp(-1.3 * (line - 0.7)), np.float64)


@register
class Production(Detector):
    """Whether a plant under a closure order runs, from its load and from who comes and goes.

    Standby is learned after the order, production before it. Load above what standby, permits
    and tests explain opens an *episode*, which is weighed as a whole by level, duration, time,
    and likeness to lights or to a tenant's day, together with vehicles and complaints near it.
    Episodes add up in a memory with a half-life, so that weak runs show after some nights.

    Parameters
    ----------
    prior : float, default 2.5
        What an episode must bring before it counts, nats.
    half_life_d : float, default 10
        Half-life of the memory of earlier episodes, days.
    quiet_d : float, default 10
        A case ends at latest after so many days without a suspicious episode.
    latitude, noon_h : float, default 32 and 12.2
        For sunset where the subject gives no place: degrees north, local clock at solar noon.

    Notes
    -----
    The episode of :attr:`Signals.onset` is a *case*: it begins with the first episode of load
    whose evidence reaches the lowest line of the grid, and lasts as long as the ledger remembers
    anything, at most `quiet_d` days after the last suspicious episode. One alert is about a case.

    The grid are lines of evidence: −0.5, −0.3 … 6.3 in natural logarithms (H of the recipe),
    divided by ln 10.

    Notices: ``closed`` (start = local midnight of the order), ``permit`` (interval, total kW),
    ``approved_test`` (interval, kW above standby), ``outage`` (interval), ``vehicle`` (moment;
    value 1 hazmat in, 2 hazmat out, 3 goods in, 4 goods out), ``complaint`` (moment),
    ``temperature`` (moment, °C), ``latitude`` and ``longitude`` (value in degrees).

    Amendments: slots of an earlier hole, back-filled within 36 hours, are weighed as an episode of
    their own; corrections of slots that were known are ignored.

    References
    ----------
    Page (1954), "Continuous inspection schemes", doi:10.1093/biomet/41.1-2.100: the memory is a
    CUSUM over episodes, max(0, S + E − prior), that forgets.
    """

    name = "production"
    slot_s = 900
    interval_s_allowed = (900, 3600)
    channels = (Channel("electricity", "sum"),)
    informs = frozenset(
        {
            "closed",
            "permit",
            "approved_test",
            "outage",
            "vehicle",
            "complaint",
            "temperature",
            "latitude",
            "longitude",
        }
    )
    amends = True
    amend_s = layout.BACKFILL_S
    defaults: ClassVar[Mapping[str, float]] = {
        "prior": 2.5,
        "half_life_d": 10.0,
        "quiet_d": 10.0,
        "latitude": 32.0,
        "noon_h": 12.2,
    }
    grid = _LINES * LOG10_E
    prior_rate: ClassVar[NDArray[np.float64]] = _false_rate(_LINES)
    """False cases per plant-year to expect at each line of the grid, shape (LEVELS,).

    0.2 at H = 0.7, falling as e^(−1.3 H): about five times what ``bench/quality/plants.py`` counts
    on its own harmless causes, because the field has causes that nobody thought of.
    """
    prior_years = 2000.0
    """Closed plants are few and most of their cases are real."""
    daytime: ClassVar[bool] = False

    def _configure(self) -> None:
        if 86_400 % self.interval_s or self.interval_s % 900:
            raise DetectorError(
                f"{self.name}: slots must be 15, 30 or 60 minutes, got {self.interval_s} s"
            )
        minutes = self.interval_s // 60
        per_hour = max(1, 60 // minutes)
        slot_d = self.interval_s / 86_400
        self._c = layout.Constants(
            slot_min=minutes,
            slots=1440 // minutes,
            scale=minutes / 15,
            hour=per_hour,
            near=max(1, 30 // minutes),
            far=max(1, 60 // minutes),
            shortest=max(1, 45 // minutes),
            longest=36 * 60 // minutes,
            patience=150 // minutes,
            back=layout.BACKFILL_S // self.interval_s,
            prior=self.params["prior"],
            keep=0.5 ** (slot_d / self.params["half_life_d"]),
            pull=1.0 - 0.85 ** (minutes / 15),
            relax=0.999 ** (minutes / 15),
            smooth=1.0 - 0.65 ** (minutes / 15),
            quiet_slots=int(self.params["quiet_d"] / slot_d),
            lowest=_LOWEST,
            spacing=_SPACING,
            latitude=self.params["latitude"],
            noon_h=self.params["noon_h"],
            daytime=self.daytime,
        )
        self._to_kw = np.float32(3600 / self.interval_s)

    def _fields(self) -> Mapping[str, Field]:
        return layout.fields(self._c.slots, self._c.back)

    def _step(self, frame: Frame, out: Signals) -> None:
        state = self.state
        kernel.run(
            state["base"],
            state["base_days"],
            state["levels"],
            state["seen"],
            state["real"],
            state["whole"],
            self._c,
            self.zone,
            np.int64(frame.first_slot),
            frame.values[:, 0, :] * self._to_kw,
            np.ascontiguousarray(frame.local_slot),
            np.ascontiguousarray(frame.local_day),
            np.ascontiguousarray(frame.rest_day),
            out.evidence,
            out.urgency,
            out.onset,
        )
        self._finish(out)

    def _current(self, rows: IntArray, out: Signals) -> None:
        real, whole = self.state["real"][rows], self.state["whole"][rows]
        ready = (real[:, layout.PRODUCTION] > 0) & (whole[:, layout.NOW] >= whole[:, layout.CLOSED])
        out.evidence[0, ready] = real[ready, layout.EVIDENCE]
        out.onset[0, ready] = whole[ready, layout.ONSET]
        top = np.maximum(real[ready, layout.TOP].astype(np.float64), _LOWEST - _SPACING)
        lines = np.floor((top - _LOWEST) / _SPACING + 1e-4) + 1
        out.urgency[0, ready] = np.minimum(lines, LEVELS)
        self._finish(out)

    def _finish(self, out: Signals) -> None:
        """Turn nats into the ledger's unit and give the p-values."""
        out.evidence *= np.float32(LOG10_E)
        out.p_value[out.urgency >= 0] = 1.0
        some = out.evidence >= self.grid[0]
        if some.any():
            out.p_value[some] = self.p_value(out.evidence[some])

    @staticmethod
    def p_value(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the chance of at least this evidence on a day on which nothing is wrong.

        From the false cases per plant-year of :attr:`prior_rate`, r: 1 − exp(−r / 365).
        """
        rate = _false_rate(evidence.astype(np.float64) / LOG10_E)
        return (-np.expm1(-rate / 365.0)).astype(np.float32)

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        state = self.state
        kernel.back_fill(
            state["base"],
            state["base_days"],
            state["seen"],
            state["real"],
            state["whole"],
            self._c,
            np.int64(slot),
            np.asarray(rows, np.int64),
            values[0] * self._to_kw,
        )

    def _inform(
        self,
        kind: str,
        rows: IntArray,
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32],
    ) -> None:
        rows = np.asarray(rows, np.int64)
        real, whole = self.state["real"], self.state["whole"]
        start, end = _minutes(start_ns), _minutes(end_ns)
        if kind == "closed":
            slot = -(-np.asarray(start_ns, np.int64) // (self.interval_s * NS))
            slot = np.clip(slot, 0, layout.NEVER)
            reopened = slot > whole[rows, layout.NOW]
            whole[rows[reopened], layout.SETTLED] = 0
            whole[rows, layout.CLOSED] = slot
        elif kind in ("latitude", "longitude"):
            real[rows, layout.LATITUDE if kind == "latitude" else layout.LONGITUDE] = value
        elif kind == "temperature":
            real[rows, layout.TEMPERATURE] = value
            whole[rows, layout.TEMPERATURE_AT] = start
        elif kind in ("vehicle", "complaint"):
            code = np.nan_to_num(value).astype(np.int64)
            if kind == "complaint":
                code = np.full(len(rows), layout.COMPLAINT)
            notices.tell_visitor(real, whole, rows, start, code, _CHANCE, _MOST)
        else:
            longest = _LONGEST_MIN[kind]  # an end that nobody reports must not blind us for ever
            end = np.minimum(end, start.astype(np.int64) + longest).astype(np.int32)
            kw = np.nan_to_num(np.asarray(value, np.float32))
            notices.tell_window(real, whole, rows, _WINDOW_KINDS[kind], start, end, kw)

    def _explain(self, rows: IntArray) -> dict[str, NDArray[Any]]:
        real = self.state["real"][rows].astype(np.float64)
        whole = self.state["whole"][rows].astype(np.int64)
        account = real[:, layout.ACCOUNT :]
        entries = len(layout.ENTRIES)
        facts = ledger.facts(layout.ENTRIES, account)
        facts |= dict(zip(layout.FACTS, account[:, entries:].T, strict=True))
        facts["kind"] = np.full(len(rows), int(self.daytime))
        facts["episode_start"] = whole[:, layout.ACCOUNT_START]
        facts["production_kw"] = real[:, layout.PRODUCTION]
        facts["standby_kw"] = real[:, layout.IDLE]
        excess = facts["mean_kw"] - facts["usual_kw"]
        facts["share"] = excess / np.maximum(real[:, layout.PRODUCTION], 1e-9)
        facts["nights"] = whole[:, layout.NIGHTS]
        return facts


_LONGEST_MIN = {"permit": 2**40, "approved_test": 31 * 1440, "outage": 2 * 1440}
_WINDOW_KINDS = {
    "permit": layout.PERMIT,
    "approved_test": layout.TEST,
    "outage": layout.OUTAGE,
}
_MOST = np.array([1.35, 0.7, 0.35, 0.35, 1.5])
"""Most that one visitor may add, nats, by kind. What a vehicle that happens to pass adds in false
cases must not be more than what its absence saves (bench/RESULTS.md has the counts): hence 1.35
for hazmat and not 2, and .35 for goods, which any tenant receives."""


def _minutes(ns: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return minutes since 1970 of nanoseconds, clipped to what int32 holds."""
    return np.clip(np.asarray(ns, np.int64) // _MINUTE_NS, -(2**31) + 1, 2**31 - 1).astype(np.int32)


@register
class DaytimeLoad(Production):
    """A new load by day at a closed plant: most often a tenant, sometimes a covert day shift.

    The same state and episodes as :class:`Production`, but working hours speak for it and nights
    against it. Meant for a blue alert: somebody should look, nobody should hurry.
    """

    name = "daytime_load"
    daytime = True
