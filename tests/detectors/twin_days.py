"""Plain-Python twins of `nights`, `decline` and the occupancy family: a dict of hours a day."""

import math

import numpy as np

from detectors import days as source
from detectors import decline, nights, occupancy, shift
from detectors.base import NO_SLOT, Detector, Frame, Signals
from tests.detectors.twins import twin


class Day:
    """The hours of one local day, rounded as the state keeps them."""

    def __init__(self, start):
        self.start = start
        self.hours = ({}, {})

    def put(self, c, hour, value):
        unit = float(source.UNIT[c])
        code = int(min(24 * math.log2(1 + max(value, 0) / unit) + 0.5, 254))
        self.hours[c][hour] = unit * (2 ** (code / 24) - 1)

    def read(self):
        """Return known, active and night hours, kWh and litres; None for too little data."""
        seen, used, amounts = set(), set(), [None, None]
        for c, hours in enumerate(self.hours):
            if len(hours) < 18:
                continue
            base = sorted(hours.values())[1]
            margin = max(float(source.MARGIN[c]), base / 2)
            seen |= set(hours)
            used |= {h for h, x in hours.items() if x - base > margin}
            amounts[c] = sum(max(x - base, 0) for x in hours.values()) * 24 / len(hours)
        if not seen:
            return None
        night = {23, 0, 1, 2, 3, 4}
        share = len(used) * 24 / len(seen)
        return share, len(used & night) * 6 / max(len(seen & night), 1), *amounts


class Usual:
    """What is usual of one figure, and the sum of evidence against it."""

    def __init__(self, manner):
        self.m, self.days, self.total, self.tail = manner, 0, 0.0, 0.15
        self.centre = self.recent = manner.usual
        self.spread = 2 * manner.least
        self.rose = self.onset = None
        self.peak = 0

    @property
    def evidence(self):
        return self.total / (self.tail * math.log(10))

    @property
    def width(self):
        doubt = self.m.among * self.m.lent / (self.m.lent + self.days)
        return math.hypot(max(self.spread, self.m.least), doubt)

    def judge(self, y, slot):
        m, width = self.m, self.width
        z = min(max(m.sign * (y - self.centre) / width, -3), 3)
        gain = m.weight * (0.5 * z**2 - 0.5 * (z - shift.DELTA) ** 2) / math.log(10)
        self.total = min(max(self.total + gain, 0), 9)
        if self.total > 0 and self.rose is None:
            self.rose = slot
        level = sum(self.evidence >= 0.25 * line for line in range(1, 36))
        if self.onset is None and level:
            self.onset = self.rose
        if self.onset is not None:
            self.peak = max(self.peak, level)
            settled = slot - self.onset >= m.settle
            if settled:
                self.centre = self.recent
            if settled or level < self.peak / 2:
                self.total, self.onset, self.peak = 0.0, None, 0
        if self.total == 0:
            self.rose = None
        teach = 0.1 if self.peak >= 8 else 1.0
        rate = teach / min(m.lent + self.days + 1, m.memory)
        away = min(max(y - self.centre, -3 * width), 3 * width)
        self.centre += rate * away
        self.spread += rate * (1.25 * abs(away) - self.spread)
        self.recent += max(0.2, 1 / (self.days + 1)) * (y - self.recent)
        heavy = min(self.total, 6 * self.tail)
        self.tail += teach / min(40 + self.days, 180) * (heavy - self.tail)
        self.tail = max(self.tail, 0.15)
        self.days += 1

    def say(self, out, t, n):
        out.evidence[t, n] = self.evidence
        out.p_value[t, n] = 10**-self.evidence
        out.urgency[t, n] = self.peak
        out.onset[t, n] = NO_SLOT if self.onset is None else self.onset


class Home:
    """One home: the present day, and what the detector under test makes of days that are over."""

    def __init__(self, detector):
        self.day, self.midnight, self.known = None, None, 0
        self.detector = detector

    def hear(self, slot, hour, day, values):
        known = {c: v for c, v in enumerate(values) if not math.isnan(v)}
        if not known:
            return
        if self.day is not None and day != self.midnight:
            read = self.day.read()
            if read is not None:
                self.known += 1
                self.over(self.day.start, self.midnight, *read)
            self.next_day(day)
        if day != self.midnight:
            self.day, self.midnight = Day(slot - hour), day
        for c, v in known.items():
            self.day.put(c, hour, v)

    def over(self, slot, day, active, night, kwh, litres):
        raise NotImplementedError

    def next_day(self, day):
        pass

    def say(self, out, t, n):
        self.usual.say(out, t, n)


def run(home, detector: Detector, frame: Frame) -> Signals:
    out = Signals.empty(frame.slots, detector.rows)
    for n in range(detector.rows):
        one, zone = home(detector), detector.zone[n]
        for t in range(frame.slots):
            hour, day = int(frame.local_slot[t, zone]), int(frame.local_day[t, zone])
            one.hear(frame.first_slot + t, hour, day, frame.values[t, :, n].astype(np.float64))
            if one.known >= detector.params["ready_d"]:
                one.say(out, t, n)
    return out


class NightsHome(Home):
    def __init__(self, detector):
        super().__init__(detector)
        self.usual = Usual(nights.MANNER)

    def over(self, slot, day, active, night, kwh, litres):
        if active >= 4:
            share = min((night + 0.5) / (active + 1), 1)
            self.usual.judge(math.asin(math.sqrt(share)), slot)


@twin("nights")
def nights_twin(detector: Detector, frame: Frame) -> Signals:
    return run(NightsHome, detector, frame)


class DeclineHome(Home):
    def __init__(self, detector):
        super().__init__(detector)
        self.usual = Usual(decline.MANNER)
        self.weeks = {}
        self.week, self.figures = None, []

    def hear(self, slot, hour, day, values):
        super().hear(slot, hour, day, values)
        if self.midnight is not None:
            self.week = (self.midnight + 3) // 7

    def close(self):
        if len(self.figures) >= 4:
            y = sum(self.figures) / len(self.figures)
            first = self.day.start - 24 * ((self.midnight + 3) % 7)
            self.usual.judge(y - self.season(), first)
            self.weeks[self.week] = min(max(int(y * 30 + 0.5), 0), 254) / 30
        self.figures = []

    def next_day(self, day):
        if (day + 3) // 7 != self.week:
            self.close()

    def season(self):
        past = {w: y for w, y in self.weeks.items() if w >= self.week - 53}
        near = [past[w] for w in (self.week - 53, self.week - 52, self.week - 51) if w in past]
        if len(past) < 40 or len(near) < 2:
            return 0.0
        return 0.5 * (sum(near) / len(near) - sum(past.values()) / len(past))

    def over(self, slot, day, active, night, kwh, litres):
        if active >= 2 and litres is None:
            self.figures.append(math.sqrt(active))
        elif active >= 2:
            self.figures.append((math.sqrt(active) + math.log(1 + litres / 5) - 0.43) / 2)


@twin("decline")
def decline_twin(detector: Detector, frame: Frame) -> Signals:
    return run(DeclineHome, detector, frame)


class OccupiedHome(Home):
    """Who lives there; `speaks` is the change that the detector under test speaks of."""

    def __init__(self, detector):
        super().__init__(detector)
        self.vacant_h = 24 * detector.params["vacant_d"]
        self.speaks = detector.name
        self.usual = Usual(occupancy.MANNER)
        self.odds, self.state = 0.0, "unknown"
        self.last_lived = self.vacated = self.arrived = None
        self.sure = 0

    def over(self, slot, day, active, night, kwh, litres):
        hours = min(int(active + 0.5), 24)
        lived = 0.06 if hours == 0 else 0.06 * 0.94
        odds = min(max(math.log10(lived / (0.75 * 0.25**hours)), -3), 1)
        self.odds = min(max(self.odds + odds, -3), 3)
        if odds > 0:
            self.last_lived = slot + 24
        elif self.last_lived is None:
            self.last_lived = slot
        self.turn(slot)
        if self.state == "lived in" and odds > 0:
            self.usual.judge(self.figure(active, kwh, litres), slot)

    def turn(self, slot):
        if self.odds <= -1 and self.state != "vacant":
            self.state, self.vacated, self.arrived = "vacant", self.last_lived, None
            self.usual.total, self.usual.onset, self.usual.rose, self.usual.peak = 0, None, None, 0
        elif self.odds >= 1 and self.state != "lived in":
            self.state = "lived in"
            if self.arrived is not None:  # new people: their ways are learned anew
                tail, self.usual = self.usual.tail, Usual(occupancy.MANNER)
                self.usual.tail = tail
        empty = self.state == "vacant" and slot - self.vacated >= self.vacant_h
        if empty and self.arrived is None and self.last_lived == slot + 24:
            self.arrived, self.sure = slot, 0
        if self.arrived is not None:
            old = self.state == "lived in" and slot - self.arrived >= 28 * 24
            if self.odds < -2.9 or old:
                self.arrived = None
            else:
                self.sure = max(self.sure, int((self.odds + 3) / 0.25 + 1e-6))

    @staticmethod
    def figure(active, kwh, litres):
        use = []
        if kwh is not None:
            use.append(math.log(1 + kwh / 0.1) - 3.7)
        if litres is not None:
            use.append(math.log(1 + litres / 5) - 3.7)
        return (sum(use) / max(len(use), 1) + 0.8 * math.sqrt(active) - 2.7) / 2

    def say(self, out, t, n):
        if self.speaks == "occupancy":
            super().say(out, t, n)
            return
        evidence, level, onset = 0.0, 0, NO_SLOT
        if self.speaks == "vacated" and self.state == "vacant":
            days = (self.day.start - self.vacated) / 24
            evidence, onset = 0.87 * math.log10(max(days, 1)), self.vacated
            level = min(int(evidence / 0.25), 35)
        elif self.speaks == "occupied" and self.arrived is not None:
            evidence, level, onset = self.odds + 3, self.sure, self.arrived
        out.evidence[t, n], out.p_value[t, n] = evidence, 10**-evidence
        out.urgency[t, n], out.onset[t, n] = level, onset


@twin("occupancy")
@twin("vacated")
@twin("occupied")
def occupancy_twin(detector: Detector, frame: Frame) -> Signals:
    return run(OccupiedHome, detector, frame)
