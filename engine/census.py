"""The census: how many meters of a place report, miss, or stand at zero; feeds `adjudicate`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.base import BoolArray, Frame
from engine.build import PlaceRows
from engine.groups import Group
from engine.intake.layout import BEFORE, NEVER
from engine.registry import Registry

EXPECTED, MISSING, ZERO, REPORTING, NORMAL = range(5)
ZERO_KW = 0.008
"""A meter below 0.002 kWh a quarter of an hour has no house behind it, or no power."""
_DEPTH = 4


@njit(cache=True, nogil=True)
def _count(
    rows: NDArray[np.int32],
    frame: NDArray[np.float32],
    heard: NDArray[np.uint8],
    zero: float,
    tally: NDArray[np.int64],
) -> None:
    """Count the meters of a class by place row; `zero` < 0: the utility does not tell of power."""
    for j in range(len(rows)):
        row = rows[j]
        if row < 0 or heard[j] == NEVER:
            continue
        tally[EXPECTED, row] += 1
        if heard[j] == BEFORE:
            tally[MISSING, row] += 1
            continue
        if zero >= 0.0:
            tally[REPORTING, row] += 1
            if frame[j] <= zero:
                tally[ZERO, row] += 1
                continue
        tally[NORMAL, row] += 1


class Census:
    """Counts per place row and slot of the place detectors.

    Counts of classes finer than the slot are averaged over it, so that every meter weighs one.

    Parameters
    ----------
    registry : Registry
        Subjects and meters.
    places : PlaceRows
        Rows of the place detectors.
    slot_s : int
        Their slot, seconds.
    """

    def __init__(self, registry: Registry, places: PlaceRows, slot_s: int) -> None:
        self.slot_s = slot_s
        self.counts = np.zeros((_DEPTH, 5, len(places)), np.float32)
        self.held = np.full(_DEPTH, -1, np.int64)
        self._classes = registry.classes
        self._rows: list[NDArray[np.int32]] = []
        for i in range(len(registry.classes)):
            meters = np.flatnonzero(registry.meters.class_index == i)
            meters = meters[np.argsort(registry.meters.class_row[meters])]
            self._rows.append(places.meter_row[meters])

    def take(
        self,
        class_index: int,
        slot: int,
        frame: NDArray[np.float32],
        heard: NDArray[np.uint8],
    ) -> None:
        """Count one class slot.

        Parameters
        ----------
        frame : ndarray of float32, shape (M,)
            Amounts of the class's slot.
        heard : ndarray of uint8, shape (M,)
            When each was last heard of (``layout.NEVER``, ``BEFORE`` the slot, ``SINCE`` it began):
            a register's slot may still wait for its far end.
        """
        key = self._classes[class_index]
        ratio = self.slot_s // key.interval_s
        rows = self._rows[class_index]
        if ratio == 0 or not len(rows):
            return
        place_slot = slot // ratio
        at = place_slot % _DEPTH
        if self.held[at] != place_slot:
            self.counts[at] = 0
            self.held[at] = place_slot
        tally = np.zeros((5, self.counts.shape[2]), np.int64)
        _count(
            rows,
            frame,
            heard,
            ZERO_KW * key.interval_s / 3600 if key.utility == "electricity" else -1.0,
            tally,
        )
        self.counts[at] += tally.astype(np.float32) * np.float32(1.0 / ratio)

    def fill(
        self,
        group: Group,
        slot: int,
        local: tuple[NDArray[np.int32], NDArray[np.int32], BoolArray],
    ) -> Frame:
        """Return the frame of a place detector."""
        at = slot % _DEPTH
        values = np.full((1, 5, group.detector.rows), np.nan, np.float32)
        if self.held[at] == slot:
            values[0] = self.counts[at]
        group.last_slot = slot
        return Frame(slot, values, *local)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return the arrays."""
        return {"counts": self.counts.copy(), "held": self.held.copy()}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over :meth:`snapshot`'s arrays."""
        self.counts = np.array(arrays["counts"])
        self.held = np.array(arrays["held"])
