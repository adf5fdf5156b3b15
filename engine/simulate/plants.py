"""A plant's electricity per slot: production before a closure order, standby after, covert runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.simulate.homes import DAY_S, Calendar, Spell
from engine.simulate.keyed import stream

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Works:
    """A plant's way of working, drawn once.

    Parameters
    ----------
    load_kw : float
        Level of production.
    idle_kw : float
        What runs while nothing is produced.
    begin_h, end_h : float
        Work hours of a work day.
    night_share : float
        Share of production that goes on at night.
    rest_share : float
        Chance that a day off is worked.
    roughness : float
        Relative size of the load's fluctuations.
    lights_kw, guard_kw, pump_kw : float
        What a closed site keeps: security lights at night, the guard's house, a pump.
    cooling_kw : float
        Per degree above 24 °C.
    """

    load_kw: float
    idle_kw: float
    begin_h: float
    end_h: float
    night_share: float
    rest_share: float
    roughness: float
    lights_kw: float
    guard_kw: float
    pump_kw: float
    cooling_kw: float


def draw_works(seed: int, subject: str) -> Works:
    """Draw a plant's way of working."""
    rng = stream(seed, subject, "works")
    load = float(rng.lognormal(np.log(180), 0.5))
    return Works(
        load_kw=load,
        idle_kw=load * float(rng.uniform(0.04, 0.10)),
        begin_h=float(rng.uniform(6.5, 8.5)),
        end_h=float(rng.uniform(17.0, 22.0)),
        night_share=float(rng.choice([0.0, 0.15, 0.8], p=[0.6, 0.2, 0.2])),
        rest_share=float(rng.uniform(0.05, 0.5)),
        roughness=float(rng.uniform(0.06, 0.18)),
        lights_kw=load * float(rng.uniform(0.005, 0.02)),
        guard_kw=float(rng.uniform(0.5, 2.0)),
        pump_kw=load * float(rng.uniform(0.0, 0.015)),
        cooling_kw=load * float(rng.uniform(0.0, 0.002)),
    )


def simulate_plant(
    seed: int,
    subject: str,
    calendar: Calendar,
    spells: Sequence[Spell],
    closed_s: float | None = None,
) -> FloatArray:
    """Return a plant's electricity, kWh per slot.

    Parameters
    ----------
    spells : sequence of Spell
        ``covert_run`` and ``approved_test`` (amount = share of production), ``tenant`` (kW in
        work hours), ``fade`` (amount = share of production that is left at the end).
    closed_s : float, optional
        When the closure order took effect; running all the time without.
    """
    works = draw_works(seed, subject)
    e_s = calendar.electricity_s
    slots = round(calendar.days * DAY_S / e_s)
    middle: FloatArray = np.arange(0.5, slots, dtype=np.float64) * e_s
    hour = (middle % DAY_S) / 3600
    day = (middle // DAY_S).astype(np.int64)
    texture = _texture(seed, subject, slots, works.roughness)
    production = works.load_kw * _shift(seed, subject, works, calendar, hour, day) * texture
    idle = works.idle_kw * (1 + 0.1 * (texture - 1))
    running = np.maximum(production, idle)
    for spell in spells:
        if spell.kind == "fade":
            span = np.clip((middle - spell.start_s) / max(spell.end_s - spell.start_s, 1.0), 0, 1)
            running = running * (1 - (1 - spell.amount) * span)
    if closed_s is None:
        kw = running
    else:
        standby = _standby(seed, subject, works, calendar, middle, hour, day)
        kw = np.where(middle < closed_s, running, standby)
    for spell in spells:
        inside = (middle >= spell.start_s) & (middle < spell.end_s)
        if spell.kind in ("covert_run", "approved_test"):
            # machines take a few slots to come up and to stop
            ramp = np.minimum(middle - spell.start_s, spell.end_s - middle) / 1800
            kw += inside * np.clip(ramp, 0, 1) * spell.amount * works.load_kw * texture
        elif spell.kind == "tenant":
            working = (hour >= 8) & (hour < 18) & ~calendar.rest_day[day]
            kw += inside * working * spell.amount * texture
    return np.asarray(kw * e_s / 3600)


def _texture(seed: int, subject: str, slots: int, roughness: float) -> FloatArray:
    """Load fluctuates around 1: a first-order process with jumps of batches."""
    rng = stream(seed, subject, "texture")
    steps = rng.normal(0, 1, slots)
    kernel = 0.7 ** np.arange(12)
    smooth = np.convolve(steps, kernel / np.sqrt((kernel**2).sum()))[:slots]
    return np.asarray(np.maximum(1 + roughness * (smooth + 0.5 * steps), 0.2))


def _shift(
    seed: int,
    subject: str,
    works: Works,
    calendar: Calendar,
    hour: FloatArray,
    day: NDArray[np.int64],
) -> FloatArray:
    """Return the share of production that the hour of the day asks for."""
    worked = ~calendar.rest_day | (
        stream(seed, subject, "worked").random(calendar.days) < works.rest_share
    )
    shift = stream(seed, subject, "shift").normal(0, 0.25, (calendar.days, 2))
    begin = works.begin_h + shift[day, 0]
    end = works.end_h + shift[day, 1]
    rising = np.clip((hour - begin) / 0.75, 0, 1)
    falling = np.clip((end - hour) / 0.75, 0, 1)
    lunch = 1 - 0.35 * ((hour >= 11.75) & (hour < 12.75))
    level = np.minimum(rising, falling) * lunch
    return np.asarray(np.maximum(level, works.night_share) * worked[day])


def _standby(
    seed: int,
    subject: str,
    works: Works,
    calendar: Calendar,
    middle: FloatArray,
    hour: FloatArray,
    day: NDArray[np.int64],
) -> FloatArray:
    """Return what a closed site draws, kW."""
    kw = works.guard_kw * (1 + stream(seed, subject, "guard").normal(0, 0.1, len(middle)))
    dark = (hour > calendar.dusk_h[day]) | (hour < calendar.dawn_h[day])
    kw += works.lights_kw * dark
    kw += works.pump_kw * (stream(seed, subject, "pump").random(len(middle)) < 0.15)
    temp = calendar.temp_c[np.minimum((middle // 3600).astype(np.int64), len(calendar.temp_c) - 1)]
    kw += works.cooling_kw * np.clip(temp - 24, 0, None)
    return np.asarray(np.maximum(kw, 0.1))
