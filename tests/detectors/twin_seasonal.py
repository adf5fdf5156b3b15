"""Naive twin and kit of `seasonal`: floats packed with struct, one reading at a time."""

import math
import struct
from dataclasses import replace

import numpy as np

from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.cases import burst
from tests.detectors.kits import Planted, kit
from tests.detectors.twins import twin


def busy(detector: Detector, rng: np.random.Generator, first_slot: int) -> Planted:
    return replace(burst(detector, rng, first_slot), urgency=5)


kit(
    "seasonal",
    plant=busy,
    params={"hourly-bins": {"bins": 24, "half_life": 5}},
    interval_s=1800,
    days=28,
)


def squeeze(x: float) -> float:
    """Return `x` as 1 sign, 6 exponent and 9 mantissa bits keep it."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    body = ((bits & 0x7FFFFFFF) + (1 << 13) >> 14) - (97 << 9)
    if body <= 0:
        return 0.0
    bits = (min(body, 0x7FFF) + (97 << 9) << 14) | (bits >> 31 << 31)
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def single(x: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


@twin("seasonal")
def seasonal(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    p, per_day = detector.params, 86_400 // detector.interval_s
    bins = min(int(p["bins"]), per_day)
    floor = 1 - 0.5 ** (bins / (p["half_life"] * per_day))
    for row in range(detector.rows):
        zone = detector.zone[row]
        profile: dict[tuple[bool, int], tuple[float, float]] = {}
        seen = {False: 0, True: 0}
        base, scale, run, cut, excess = None, 0.0, 0.0, 3.0, 1.0
        onset, peak = NO_SLOT, 0
        for t in range(frame.slots):
            raw = float(frame.values[t, 0, row])
            if math.isnan(raw):
                continue
            base = raw if base is None else base
            x = raw - base
            rest = bool(frame.rest_day[t, zone])
            b = int(frame.local_slot[t, zone]) * bins // per_day
            own, both = seen[rest], seen[rest] + seen[not rest]
            mine = profile.get((rest, b))
            usual = mine
            if (own < 3 * per_day and both > 2 * own) or mine is None:
                usual = profile.get((not rest, b), mine)
            around = 0.25 * scale + 1e-6 * abs(raw) + 1e-9
            if usual is not None and both >= p["warm_up"] * per_day / 2:
                z = (x - usual[0]) / (usual[1] + around)
                run = single(run + p["blend"] * (min(max(z, -100), 100) - run))
                s = abs(run)
                if s > cut:
                    chance = 0.02 * (1 + 0.2 * (s - cut) / excess) ** -5
                    ln = math.log(chance)
                    evidence = math.log10((1 - chance + chance * ln) / (chance * ln * ln))
                else:
                    chance = 1 - 0.98 * s / cut
                    evidence = -1 + 1.46925795 * (s / cut) ** 2
                if both >= p["warm_up"] * per_day:
                    if s > cut and onset == NO_SLOT:
                        onset, peak = frame.first_slot + t, 0
                    elif s < cut / 2:
                        onset = NO_SLOT
                    level = sum(evidence >= 0.25 * line for line in range(1, 36))
                    peak = max(peak, level) if onset != NO_SLOT else 0
                    out.evidence[t, row], out.p_value[t, row] = evidence, chance
                    out.urgency[t, row] = peak if onset != NO_SLOT else level
                    out.onset[t, row] = onset
                if s > cut:
                    moved = excess + 0.05 * (min(s - cut, 5 * excess) - excess)
                    excess = single(max(moved, 0.05 * cut))
                    cut = single(cut * (1 + 0.05 * 0.98))
                else:
                    cut = single(max(cut * (1 - 0.05 * 0.02), 1.0))
            if mine is None:
                profile[rest, b] = (squeeze(x), 0.0)
            else:
                rate = max(floor, 1 / (1 + own / bins))
                centre, spread = mine
                residual = x - centre
                if own >= 3 * per_day:
                    reach = 4 * (spread + around)
                    residual = min(max(residual, -reach), reach)
                profile[rest, b] = (
                    squeeze(centre + rate * residual),
                    squeeze(spread + rate * (abs(residual) - spread)),
                )
                scale = single(scale + max(0.005, 1 / (1 + both)) * (abs(residual) - scale))
            seen[rest] += 1
    return out
