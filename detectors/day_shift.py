"""What detectors share that judge the days of a home as a lasting shift (`nights`, `decline`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.base import Channel, Detector, IntArray, Signals
from detectors.days import amend_day
from detectors.evidence import EVIDENCE_LINES
from detectors.shift import say_rows, shift_of


class DayShift(Detector):
    """Base: hours of electricity and water, kept by day; state of :mod:`detectors.shift`.

    A row is judged once it has ``ready_d`` days with enough known hours. What comes late into the
    present day is put in place.
    """

    slot_s = 3600
    interval_s_allowed = (3600, 3600)
    channels = (Channel("electricity"), Channel("water"))
    amends = True
    amend_s = 86_400
    grid = EVIDENCE_LINES

    def _amend(self, slot: int, rows: IntArray, values: NDArray[np.float32]) -> None:
        amend_day(self.state, self.fed, slot, rows, values)

    def _current(self, rows: IntArray, out: Signals) -> None:
        ready = self.state["known"][rows] >= self.params["ready_d"]
        say_rows(shift_of(self.state), rows, ready, out)
