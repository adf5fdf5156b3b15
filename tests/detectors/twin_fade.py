"""Naive twin and kit of `fade`: a day at a time, the past in dicts and lists."""

import math

import numpy as np
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import frame_of
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def works(
    detector: Detector, rng: np.random.Generator, first_slot: int, slots: int
) -> NDArray[np.float32]:
    """Firms by day, week-ends half, with scatter from day to day and a few gaps."""
    at = first_slot + np.arange(slots)
    day = at // 24
    hour = at % 24
    values = np.empty((slots, 1, detector.rows), np.float32)
    for row in range(detector.rows):
        level = 100.0 * (1 + row)
        daily = np.exp(rng.normal(0, 0.12, day.max() - day.min() + 1))[day - day.min()]
        weekend = np.where((day + 3) % 7 >= 5, 0.3, 1.0)
        shift = np.where((hour >= 7) & (hour < 19), 1.0, 0.15)
        values[:, 0, row] = level * daily * weekend * shift
    values[rng.random(values.shape) < 0.004] = np.nan
    return values


def faded(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    """Two firms lose half of their load within a fortnight, after 17 weeks."""
    slots, start = 24 * 170, 24 * 119
    values = works(detector, rng, first_slot, slots)
    left = 1 - 0.5 * np.clip((np.arange(slots) - start) / (24 * 14), 0, 1)
    values[:, 0, [0, 3]] *= left[:, None].astype(np.float32)
    return Planted(frame_of(values, first_slot, 3600), [0, 3], start, slots, 10)


kit("fade", params={"quick": {"half_life": 28, "warm_up": 21}}, days=140, stream=works, plant=faded)


def f4(x: float) -> float:
    return float(np.float32(x))


@twin("fade")
def fade(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    rate = 1 - 0.5 ** (7 / detector.params["half_life"])
    for row in range(detector.rows):
        zone = detector.zone[row]
        usual: dict[int, float] = {}
        taught: dict[int, int] = {}
        kept = [0.0] * 14
        today, kind, begin, total, hours = None, 0, NO_SLOT, 0.0, 0
        seen, resting, paused, spread, phi, last = 0, 0, -(10**9), 0.25, 0.0, 0.0
        gathered, onset, peak = 0.0, NO_SLOT, 0
        for t in range(frame.slots):
            x, day = float(frame.values[t, 0, row]), int(frame.local_day[t, zone])
            if not math.isnan(x):
                if today is not None and day != today:
                    seen += 1
                    kwh = f4(total) * 24 / max(hours, 1)
                    good = kind < 7 and hours >= 20 and today >= paused
                    normal = usual.get(kind)
                    counts = (
                        good
                        and normal is not None
                        and normal > 0
                        and normal >= 0.5 * max(usual.values())
                        and taught[kind] >= 2
                    )
                    resting = resting + 1 if kind >= 5 else 0
                    if resting >= 4:
                        spring = 15 <= int((today + 0.5) % 365.2425) <= 60
                        paused = today + 1 + (16 if spring else 3)
                        gathered = min(gathered, kept[today % 14])
                    if counts:
                        assert normal is not None
                        deviation = max(spread, 0.08)
                        drop = math.log(max(kwh, normal / 1000) / normal)
                        drop = min(max(drop, -5 * deviation), 2.5 * deviation)
                        few, many = (0.5, 1.0) if seen < 84 else (0.15, 0.39)
                        gain = (many - few) / deviation**2 * (-drop - (few + many) / 2)
                        most = 0.35 if 8 <= int((today + 0.5) % 365.2425) <= 52 else 1
                        gain = min(max(gain * (1 - phi) / (1 + phi), -1), most)
                        if seen >= detector.params["warm_up"]:
                            before, gathered = gathered, f4(min(max(gathered + gain, 0), 15))
                            if gathered == 0:
                                onset, peak = NO_SLOT, 0
                            elif before == 0:
                                onset = begin
                        z = min(max(drop / deviation, -2.5), 2.5)
                        phi = f4(min(max(phi + 0.03 * (min(max(z * last, -4), 4) - phi), 0), 0.8))
                        last = f4(z)
                        if onset == NO_SLOT:
                            size = 1.2533 * min(abs(drop), 2.5 * deviation)
                            spread = f4(spread + (1 - 0.5 ** (1 / 28)) * (size - spread))
                    kept[today % 14] = gathered
                    if good and kind not in usual:
                        usual[kind], taught[kind] = f4(kwh), 1
                    elif good:
                        step = max(rate, 1 / (taught[kind] + 1))
                        now = frame.first_slot + t
                        if onset != NO_SLOT and now - onset < 24 * 60 and taught[kind] >= 4:
                            step /= 4
                        taught[kind] = min(taught[kind] + 1, 1000)
                        if taught[kind] > 3:
                            kwh = min(max(kwh, 0.3 * usual[kind]), 2 * usual[kind])
                        usual[kind] = f4(usual[kind] + step * (kwh - usual[kind]))
                if day != today:
                    weekday, rest = (day + 3) % 7, bool(frame.rest_day[t, zone])
                    kind = weekday
                    if rest and weekday < 5:
                        kind = 7
                    elif not rest and weekday >= 5:
                        kind = 2
                    today, begin, total, hours = day, frame.first_slot + t, 0.0, 0
                total, hours = f4(total + max(x, 0)), hours + 1
            if seen >= detector.params["warm_up"]:
                evidence = gathered / math.log(10)
                urgency = sum(evidence >= 0.25 * line for line in range(1, 36))
                if onset != NO_SLOT:
                    urgency = peak = max(peak, urgency)
                out.evidence[t, row], out.p_value[t, row] = evidence, math.exp(-gathered)
                out.urgency[t, row], out.onset[t, row] = urgency, onset
    return out
