"""What the common suite must know of `production` and `daytime_load`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import NS, Detector
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit

HISTORY_D, DAYS = 14, 42


def closed(detector: Detector, rows: NDArray[Any], first_slot: int) -> None:
    """Rows differ in zone by eight hours; the order takes effect at one moment for all."""
    slot = first_slot + HISTORY_D * 86_400 // detector.interval_s
    moment = np.full(len(rows), slot * detector.interval_s * NS, np.int64)
    detector.inform("closed", rows, moment, moment)


def plants(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Plants that work by day until the order, then stand by; gaps; a run at night now and then."""
    n = detector.rows
    per_day = 86_400 // detector.interval_s
    t = first_slot + np.arange(slots)
    day = np.arange(slots) // per_day
    hour = (t[:, None] * detector.interval_s / 3600 + np.array([0, 8])[np.arange(n) % 2]) % 24
    scale = rng.uniform(50, 400, n)
    kw = 0.05 * scale * (1 + 0.1 * rng.random((slots, n)))
    working = (day[:, None] < HISTORY_D) & (hour > 8) & (hour < 18)
    kw = np.where(working, scale * rng.uniform(0.6, 1.2, (slots, n)), kw)
    for row in range(n):
        for begin in rng.integers(HISTORY_D * per_day, slots - per_day, 4):
            length = int(rng.integers(2, 6 * per_day // 24))
            kw[begin : begin + length, row] += scale[row] * rng.uniform(0.05, 0.3)
    gaps = rng.random((slots, n)) < 0.003
    gaps[1:] |= gaps[:-1]
    kw[gaps] = np.nan
    return (kw * detector.interval_s / 3600)[:, None, :].astype(np.float32)


def night_run(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Rows 0 and 3 run for six hours in a night (a day, for the daytime detector)."""
    per_day = 86_400 // detector.interval_s
    slots = DAYS * per_day
    n = detector.rows
    hour = (np.arange(slots)[:, None] * 24 / per_day + np.array([0, 8])[np.arange(n) % 2]) % 24
    history = (np.arange(slots) < HISTORY_D * per_day)[:, None]
    kw = 10 + 0.5 * rng.random((slots, n))
    kw = np.where(history & (hour > 8) & (hour < 18), 200 * rng.uniform(0.6, 1.2, kw.shape), kw)
    begin, stop = 38 * per_day, 40 * per_day
    for row in (0, 3):
        wanted = (hour[:, row] >= 9) & (hour[:, row] < 16)
        if detector.name == "production":
            wanted = (hour[:, row] >= 22) | (hour[:, row] < 4)
        wanted[:begin] = False
        wanted[stop:] = False
        kw[wanted, row] += 30 if detector.name == "daytime_load" else 60
    values = (kw * detector.interval_s / 3600)[:, None, :].astype(np.float32)
    frame = frame_of(values, first_slot, detector.interval_s)
    return Planted(frame, [0, 3], begin, stop, urgency=8)


for name in ("production", "daytime_load"):
    kit(
        name,
        params={"slow": {"half_life_d": 20.0, "prior": 3.0}},
        stream=plants,
        prepare=closed,
        plant=night_run,
        # packed rows: decay, dusk, gaps and the end of an episode lie beside what is learned;
        # test_production.py holds that nothing is learned from missing slots
        time_fields=frozenset({"real", "whole", "seen"}),
    )
