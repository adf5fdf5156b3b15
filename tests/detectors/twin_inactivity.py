"""Naive twin of `inactivity`: the benches' reference home, rounding what the detector rounds."""

from bench.quality.reference import SHIPPED, Home
from detectors.base import Detector, Frame, Signals
from tests.detectors.twins import twin


@twin("inactivity")
def inactivity(detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for row in range(detector.rows):
        zone = detector.zone[row]
        hour, day = frame.local_slot[:, zone].tolist(), frame.local_day[:, zone].tolist()
        rest = dict(zip(day, frame.rest_day[:, zone].tolist(), strict=True))
        home = Home(detector.params, rest, SHIPPED)
        for t, use in enumerate(frame.values[:, :, row].tolist()):
            said = home.step(frame.first_slot + t, hour[t], day[t], use)
            if said is not None:
                out.evidence[t, row], out.p_value[t, row] = said.evidence, said.p_value
                out.urgency[t, row], out.onset[t, row] = said.urgency, said.onset
    return out
