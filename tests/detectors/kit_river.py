"""Kits of the river family: small windows, short streams; the models are slow."""

from dataclasses import replace

import numpy as np

from detectors.base import Detector
from tests.detectors.cases import frame_of, home_like
from tests.detectors.kits import Planted, kit


def spike(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """One reading of thirty times the load in rows 0 and 3, two days before the end."""
    slots = 8 * 86_400 // detector.interval_s
    values = np.nan_to_num(home_like(detector, rng, first_slot, slots), nan=0.5)
    for row in (0, 3):
        values[-24:-20, 0, row] = 30 * values[:, 0, row].mean()
    frame = frame_of(values, first_slot, detector.interval_s)
    return Planted(frame, [0, 3], slots - 24, slots - 18, urgency=2)


def shift(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """A level that stays high for the last three days in rows 0 and 3; drift is told once."""
    planted = spike(detector, rng, first_slot)
    slots = planted.frame.slots
    for row in planted.rows:
        planted.frame.values[slots - 72 :, 0, row] += 10 * planted.frame.values[:, 0, row].mean()
    return replace(planted, start=slots - 72, stop=slots, urgency=1)


SMALL = {"window": 128}
kit("river:StandardAbsoluteDeviation", params={"default": SMALL}, days=8, plant=spike)
kit("river:GaussianScorer", params={"default": {**SMALL, "grace_period": 40}}, days=8, plant=spike)
FEW = {**SMALL, "window_size": 50, "n_trees": 4, "height": 5}
kit("river:HalfSpaceTrees", params={"default": FEW}, days=6, plant=spike)
kit("river:PageHinkley", params={"default": {**SMALL, "threshold": 40}}, days=8, plant=shift)
