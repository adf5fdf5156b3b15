"""What befalls the town: scripted incidents and what chance brings, each keyed by its target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.simulate.config import Rates, TownConfig
from engine.simulate.homes import DAY_S
from engine.simulate.keyed import stream
from engine.simulate.layout import Layout, Meter, Subject


@dataclass(frozen=True, slots=True)
class Happening:
    """An incident with its times; seconds since the first midnight."""

    kind: str
    target: str
    start_s: float
    end_s: float
    details: dict[str, Any] = field(default_factory=dict)


PERSONAL = (
    "visit",
    "holiday",
    "illness",
    "collapse",
    "running_tap",
    "stuck_appliance",
    "new_appliance",
    "rhythm_turned",
    "decline",
    "over_occupied",
)
METERED = ("meter_dead", "meter_stuck", "register_reset", "clock_ahead", "glitch")


def happenings(config: TownConfig, layout: Layout, days: int, seed: int) -> list[Happening]:
    """Return all that happens, scripted first, then chance; in a fixed order."""
    length = days * DAY_S
    found = [
        Happening(i.kind, i.target, i.day * DAY_S, min(i.day * DAY_S + i.hours * 3600, length),
                  dict(i.details))
        for i in config.incidents
        if i.day * DAY_S < length
    ]  # fmt: skip
    for subject in layout.subjects:
        found.extend(_of_subject(config.rates, subject, days, seed))
    for meter in layout.meters:
        found.extend(_of_meter(config.rates, meter, days, seed))
    for community in layout.communities:
        for start, rng in _times(seed, community, "power_cut", config.rates.power_cut, days):
            hours = float(np.clip(rng.lognormal(np.log(2.0), 0.7), 0.5, 24))
            found.append(
                Happening("power_cut", community, start, min(start + hours * 3600, length),
                          {"declared": bool(rng.random() < 0.5),
                           "meters": str(rng.choice(["missing", "zero"]))})
            )  # fmt: skip
    for concentrator in layout.concentrators:
        rate = config.rates.dead_concentrator
        for start, rng in _times(seed, concentrator, "dead_concentrator", rate, days):
            hours = float(np.clip(rng.lognormal(np.log(8.0), 0.8), 1.5, 96))
            found.append(
                Happening("dead_concentrator", concentrator, start,
                          min(start + hours * 3600, length), {"lost": bool(rng.random() < 0.2)})
            )  # fmt: skip
    return found


def _times(
    seed: int, key: str, kind: str, per_year: float, days: int
) -> Iterator[tuple[float, np.random.Generator]]:
    """Yield the times of a Poisson process and a generator for each one's details."""
    if per_year <= 0:
        return
    rng = stream(seed, key, f"times {kind}")
    now, n = 0.0, 0
    while True:
        now += float(rng.exponential(365 * DAY_S / per_year))
        if now >= days * DAY_S:
            return
        yield now, stream(seed, key, f"{kind} {n}")
        n += 1


def _of_subject(rates: Rates, subject: Subject, days: int, seed: int) -> Iterator[Happening]:
    if subject.kind not in ("elderly_alone", "home", "rental"):
        return
    key, length = subject.subject_id, days * DAY_S
    elder = subject.kind == "elderly_alone"
    eagerness = float(stream(seed, key, "eagerness").gamma(1.5, 1 / 1.5))
    often = {
        "visit": rates.visit * eagerness if elder else 0.0,
        "holiday": 0.0 if elder else rates.holiday * eagerness,
        "illness": rates.illness,
        "collapse": rates.collapse if elder else 0.0,
        "running_tap": rates.running_tap,
        "stuck_appliance": rates.stuck_appliance,
        "new_appliance": rates.new_appliance,
        "rhythm_turned": rates.rhythm_turned if elder else 0.0,
        "decline": rates.decline if elder else 0.0,
        "over_occupied": rates.over_occupied if subject.kind == "rental" else 0.0,
    }
    if subject.kind == "rental":
        yield from _tenants(seed, key, rates.move_out, days)
    for kind in PERSONAL:
        for start, rng in _times(seed, key, kind, often[kind], days):
            yield _personal(kind, key, start, length, rates, rng)


def _tenants(seed: int, key: str, per_year: float, days: int) -> Iterator[Happening]:
    """Yield tenants that leave, and those that come after them; nobody leaves an empty flat."""
    length, let_from = days * DAY_S, 0.0
    for start, rng in _times(seed, key, "move_out", per_year, days):
        weeks = float(np.clip(rng.lognormal(np.log(6), 0.6), 1, 40))
        come = start + weeks * 7 * DAY_S
        if start < let_from:
            continue
        yield Happening("move_out", key, start, min(come, length))
        if come < length:
            yield Happening("move_in", key, come, length, {"people": int(rng.integers(1, 4))})
        let_from = come


def _personal(
    kind: str, key: str, start: float, length: float, rates: Rates, rng: np.random.Generator
) -> Happening:
    midnight = start // DAY_S * DAY_S
    details: dict[str, Any] = {}
    if kind in ("visit", "holiday"):
        median = rates.visit_days if kind == "visit" else 4.0
        start = midnight + float(rng.normal(10, 2)) * 3600
        nights = round(float(np.clip(rng.lognormal(np.log(median), 0.7), 0, 30)))
        # they come home in the afternoon, after a short stay in the evening
        end = midnight + nights * DAY_S + float(rng.normal(16 if nights else 20.5, 1)) * 3600
        details["declared"] = bool(rng.random() < rates.declared_share)
    elif kind == "illness":
        end = start + float(rng.uniform(3, 10)) * DAY_S
    elif kind == "collapse":
        start = midnight + float(rng.uniform(7, 20)) * 3600
        end = length
    elif kind == "running_tap":
        end = start + float(rng.lognormal(np.log(20), 0.8)) * 3600
        details["litres_per_hour"] = round(float(rng.lognormal(np.log(90), 0.7)), 1)
    elif kind == "stuck_appliance":
        end = start + float(rng.lognormal(np.log(24), 0.7)) * 3600
        details["kw"] = round(float(rng.uniform(0.3, 2.0)), 2)
    elif kind == "rhythm_turned":
        end = length
        details["hours"] = round(float(rng.uniform(8, 12)), 1)
    elif kind == "decline":
        end = length
        details["share"] = round(float(rng.uniform(0.4, 0.7)), 2)
    elif kind == "over_occupied":
        end = start + float(rng.uniform(60, 200)) * DAY_S
        details["people"] = int(rng.integers(7, 12))
    else:
        end = length
        details["kw"] = round(float(rng.uniform(0.01, 0.06)), 3)
    return Happening(kind, key, start, min(end, length), details)


def _of_meter(rates: Rates, meter: Meter, days: int, seed: int) -> Iterator[Happening]:
    often = {kind: float(getattr(rates, kind)) for kind in METERED}
    length = days * DAY_S
    for kind in METERED:
        if kind != "meter_dead" and kind != "clock_ahead" and meter.kind != "register":
            continue
        for start, rng in _times(seed, meter.meter_id, kind, often[kind], days):
            lasts = {"meter_dead": length, "meter_stuck": float(rng.uniform(1, 10)) * DAY_S,
                     "clock_ahead": float(rng.uniform(2, 48)) * 3600}.get(kind, 0.0)  # fmt: skip
            details = {"ahead_days": int(rng.integers(2, 400))} if kind == "clock_ahead" else {}
            yield Happening(kind, meter.meter_id, start, min(start + lasts, length), details)
