"""Ways of life: who lives in a home, when they rise, cook, wash, go out and sleep.

A home's habits are drawn once; the days are drawn from them. Figures are ordinary household
figures (a kettle's litre is 0.1 kWh, a flush 6 l, a fridge 0.5–1 kWh a day), set so that an
elderly person living alone uses 1.5–4 kWh a day (DOMAIN.md 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.simulate.keyed import stream

FloatArray = NDArray[np.float64]


class Occasion(NamedTuple):
    """Something a person does about once a day."""

    name: str
    anchor: str
    """wake, lunch, dinner or sleep of the person, or clock (offset is the hour itself)."""
    offset_h: float
    spread_h: float
    chance: float
    shared: bool
    """Done once for the home, not once a person."""
    kw: float
    minutes: float
    litres: float
    gas: bool = False
    """Cooking: on gas (m3) instead of electricity where the home has gas."""


OCCASIONS = (
    Occasion("rise", "wake", 0.05, 0.15, 0.97, False, 0.03, 20, 6),
    Occasion("wash", "wake", 0.25, 0.15, 0.92, False, 0.0, 0, 6),
    Occasion("kettle", "wake", 0.4, 0.2, 0.85, True, 1.8, 4, 1.5),
    Occasion("breakfast", "wake", 0.7, 0.25, 0.85, True, 0.9, 9, 4, True),
    Occasion("dishes", "wake", 1.2, 0.3, 0.75, True, 0.0, 0, 8),
    Occasion("laundry", "wake", 2.0, 0.7, 0.3, True, 0.3, 45, 50),
    Occasion("cleaning", "wake", 2.6, 0.8, 0.25, True, 0.0, 0, 12),
    Occasion("toilet morning", "wake", 3.0, 1.0, 0.85, False, 0.0, 0, 6),
    Occasion("tea morning", "clock", 9.6, 0.5, 0.4, False, 1.8, 3, 0.8),
    Occasion("lunch", "lunch", -0.4, 0.25, 0.9, True, 1.0, 25, 9, True),
    Occasion("rice", "lunch", -0.6, 0.2, 0.6, True, 0.5, 30, 1.5),
    Occasion("dishes lunch", "lunch", 0.5, 0.2, 0.85, True, 0.0, 0, 9),
    Occasion("toilet noon", "lunch", 1.2, 0.6, 0.75, False, 0.0, 0, 6),
    Occasion("tea afternoon", "clock", 15.2, 0.7, 0.5, False, 1.8, 3, 0.8),
    Occasion("television afternoon", "clock", 15.6, 0.8, 0.4, True, 0.08, 80, 0),
    Occasion("toilet afternoon", "clock", 15.0, 1.2, 0.85, False, 0.0, 0, 6),
    Occasion("dinner", "dinner", -0.5, 0.3, 0.92, True, 1.1, 28, 11, True),
    Occasion("dishes dinner", "dinner", 0.6, 0.2, 0.9, True, 0.0, 0, 9),
    Occasion("television", "dinner", 0.9, 0.3, 0.88, True, 0.09, 130, 0),
    Occasion("toilet evening", "dinner", 1.5, 0.6, 0.8, False, 0.0, 0, 6),
    Occasion("shower", "sleep", -1.2, 0.4, 0.5, False, 1.6, 16, 32),
    Occasion("foot bath", "sleep", -0.7, 0.3, 0.4, False, 1.2, 6, 9),
    Occasion("toilet late", "sleep", -0.2, 0.2, 0.9, False, 0.02, 8, 6),
    Occasion("hands morning", "clock", 9.0, 1.5, 0.75, False, 0.0, 0, 3),
    Occasion("hands noon", "clock", 12.5, 1.5, 0.7, False, 0.0, 0, 3),
    Occasion("hands afternoon", "clock", 15.5, 1.8, 0.75, False, 0.0, 0, 3),
    Occasion("hands evening", "clock", 19.5, 1.8, 0.8, False, 0.0, 0, 3),
    Occasion("computer", "clock", 14.0, 4.0, 0.5, False, 0.07, 110, 0),
    Occasion("toilet night", "clock", 1.6, 0.9, 0.45, False, 0.02, 5, 6),
    Occasion("toilet small hours", "clock", 4.0, 0.6, 0.4, False, 0.02, 5, 6),
)
_COUNT = len(OCCASIONS)
_COLUMN = {
    name: np.array([getattr(o, name) for o in OCCASIONS])
    for name in ("offset_h", "spread_h", "chance", "shared", "kw", "minutes", "litres", "gas")
}
_ANCHORS = ("wake", "lunch", "dinner", "sleep", "clock")
_ANCHOR = np.array([_ANCHORS.index(o.anchor) for o in OCCASIONS])
_NIGHT = np.array([o.name in ("toilet night", "toilet small hours") for o in OCCASIONS])


@dataclass(frozen=True, slots=True)
class Habits:
    """A home's way of life; arrays have one column an occasion (persons one after another).

    Parameters
    ----------
    people : int
    hour, spread_h, chance : ndarray, shape (K,)
        Usual hour, its spread and the chance of each occasion on a day.
    kw, minutes, litres : ndarray, shape (K,)
        What it uses.
    gas : ndarray of bool, shape (K,)
    person : ndarray of int, shape (K,)
    out_hour, out_hours, out_chance, rest_chance : ndarray, shape (people, 2)
        Outings: when they begin, how long they last, chance on a work day and a day off.
    wake_h, sleep_h : float
    standby_kw, light_kw, cooling_kw, heating_kw : float
    fridge_kw, fridge_period_s, fridge_duty : float
    """

    people: int
    hour: FloatArray
    spread_h: FloatArray
    chance: FloatArray
    kw: FloatArray
    minutes: FloatArray
    litres: FloatArray
    gas: NDArray[np.bool_]
    person: NDArray[np.int64]
    out_hour: FloatArray
    out_hours: FloatArray
    out_chance: FloatArray
    rest_chance: FloatArray
    wake_h: float
    sleep_h: float
    standby_kw: float
    light_kw: float
    cooling_kw: float
    heating_kw: float
    fridge_kw: float
    fridge_period_s: float
    fridge_duty: float


def draw_habits(
    seed: int, subject: str, kind: str, *, people: int | None = None, gas: bool = False
) -> Habits:
    """Draw a home's way of life.

    Parameters
    ----------
    seed, subject
        Key of the draw.
    kind : str
        ``elderly_alone``, ``home`` (a family), ``rental`` (people with jobs).
    people : int, optional
        Fixed number of persons; drawn by kind where not given.
    gas : bool
        Whether the home cooks on gas.
    """
    rng = stream(seed, subject, f"habits {people or ''}")
    elder = kind == "elderly_alone"
    if people is None:
        options = {"elderly_alone": (1, 2), "home": (2, 5), "rental": (1, 4)}
        people = int(rng.integers(*options[kind]))
    crowded = people > 5
    wake0, sleep0 = (5.9, 21.2) if elder else (6.9, 22.9)
    hours, chances, persons, spreads = [], [], [], []
    out_hour, out_hours, out_chance, rest_chance = (np.zeros((people, 2)) for _ in range(4))
    wakes, sleeps = [], []
    for p in range(people):
        wake = wake0 + rng.normal(0, 2.5 if crowded else 0.7)
        sleep = sleep0 + rng.normal(0, 0.8)
        lunch = rng.normal(11.5, 0.35)
        dinner = rng.normal(17.6 if elder else 18.6, 0.45)
        anchors = np.array([wake, lunch, dinner, sleep, 0.0])
        hours.append(anchors[_ANCHOR] + _COLUMN["offset_h"] + rng.normal(0, 0.25, _COUNT))
        logit = np.log(_COLUMN["chance"] / (1 - _COLUMN["chance"])) + rng.normal(0, 0.6, _COUNT)
        chance = 1 / (1 + np.exp(-logit))
        chance[_NIGHT] *= 1.0 if elder else 0.2
        chance[_COLUMN["shared"]] *= 1.0 if p == 0 else 0.0
        if crowded and p > 0:  # in a group-let home everybody cooks for himself
            chance[_COLUMN["gas"]] = 0.7
        chances.append(chance)
        spreads.append(_COLUMN["spread_h"] * rng.lognormal(0, 0.3))
        persons.append(np.full(_COUNT, p))
        wakes.append(wake)
        sleeps.append(sleep)
        works = not elder and (kind == "rental" or rng.random() < 0.6)
        if works:
            out_hour[p] = (wake + rng.uniform(0.8, 1.6), rng.normal(19.3, 0.6))
            out_hours[p] = (rng.normal(10, 1.0), rng.uniform(1.0, 2.5))
            out_chance[p] = (rng.uniform(0.7, 0.95), rng.uniform(0.05, 0.25))
            rest_chance[p] = (rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.3))
        else:
            out_hour[p] = (wake + rng.uniform(1.2, 2.8), rng.normal(14.3, 0.7))
            out_hours[p] = (rng.uniform(0.7, 1.8), rng.uniform(1.2, 3.0))
            out_chance[p] = (rng.uniform(0.2, 0.85), rng.uniform(0.1, 0.7))
            rest_chance[p] = out_chance[p] * rng.uniform(0.7, 1.2)
    thrift = rng.lognormal(0, 0.25) * (0.75 if elder else 1.0)
    scale = 1 + 0.3 * (min(people, 5) - 1)
    shared = np.tile(_COLUMN["shared"], people)
    size = np.where(shared, scale, 1.0)
    rooms = 1 + 0.5 * (people - 1) if crowded else 1.0
    duty = rng.uniform(0.3, 0.45)
    fridge_day = rng.uniform(0.5, 0.95) if elder else rng.uniform(0.7, 1.4)
    return Habits(
        people=people,
        hour=np.concatenate(hours),
        spread_h=np.concatenate(spreads),
        chance=np.concatenate(chances),
        kw=np.tile(_COLUMN["kw"], people) * thrift * np.sqrt(size),
        minutes=np.tile(_COLUMN["minutes"], people) * np.sqrt(size),
        litres=np.tile(_COLUMN["litres"], people) * size * rng.lognormal(0, 0.2),
        gas=np.tile(_COLUMN["gas"], people) & gas,
        person=np.concatenate(persons),
        out_hour=out_hour,
        out_hours=out_hours,
        out_chance=out_chance,
        rest_chance=rest_chance,
        wake_h=float(min(wakes)),
        sleep_h=float(max(sleeps)),
        standby_kw=float(rng.uniform(0.003, 0.018) * (1 if elder else 2.5) * rooms),
        light_kw=float(rng.uniform(0.02, 0.06) * (1 + 0.4 * (people - 1))),
        cooling_kw=float((rng.random() < (0.5 if elder else 0.9)) * rng.uniform(0.4, 0.9) * rooms),
        heating_kw=float((rng.random() < (0.3 if elder else 0.6)) * rng.uniform(0.1, 0.8) * rooms),
        fridge_kw=fridge_day / 24 / duty * (1 + 0.2 * (rooms - 1)),
        fridge_period_s=float(rng.uniform(2400, 4500)),
        fridge_duty=float(duty),
    )


class Deeds(NamedTuple):
    """What was done in a home, one row a deed, in no order."""

    start_s: FloatArray
    kwh: FloatArray
    duration_s: FloatArray
    litres: FloatArray
    gas_m3: FloatArray


def draw_days(
    seed: int,
    subject: str,
    habits: Habits,
    rest_day: NDArray[np.bool_],
    ill_day: NDArray[np.bool_],
) -> tuple[Deeds, FloatArray]:
    """Draw the deeds of all days, as if nobody ever went away for longer than an outing.

    Returns
    -------
    deeds : Deeds
        Times are seconds since the first midnight.
    out : ndarray, shape (days, 2, 2)
        Outings of the first person: (begin, end) in seconds; NaN where none.
    """
    days = len(rest_day)
    k = len(habits.hour)
    happens = stream(seed, subject, "happens").random((days, k))
    # heavy tails: most days are alike, some are quite different
    when = stream(seed, subject, "when").standard_t(4, (days, k))
    much = stream(seed, subject, "much").lognormal(0, 0.3, (days, k))
    much *= stream(seed, subject, "busy").lognormal(0, 0.25, (days, 1))
    chance = habits.chance * np.where(ill_day, 0.45, 1.0)[:, None]
    hour = habits.hour + when * habits.spread_h
    hour += stream(seed, subject, "drift").normal(0, 0.35, (days, 1))  # a late day is late all day
    goes = stream(seed, subject, "goes").random((days, habits.people, 2))
    begin_h = habits.out_hour + stream(seed, subject, "leaves").normal(
        0, 0.35, (days, habits.people, 2)
    )
    stays = stream(seed, subject, "stays").lognormal(0, 0.3, (days, habits.people, 2))
    p_out = np.where(rest_day[:, None, None], habits.rest_chance, habits.out_chance)
    is_out = (goes < p_out) & ~ill_day[:, None, None]
    begin_h = np.where(is_out, begin_h, np.nan)
    end_h = begin_h + habits.out_hours * stays
    mine_from, mine_to = begin_h[:, habits.person], end_h[:, habits.person]  # (days, k, 2)
    absent = ((hour[:, :, None] >= mine_from) & (hour[:, :, None] < mine_to)).any(axis=2)
    done = (happens < chance) & ~absent
    day, what = np.nonzero(done)
    start = day * 86_400.0 + hour[day, what] * 3600.0
    duration = habits.minutes[what] * 60.0 * much[day, what]
    on_gas = habits.gas[what]
    kwh = np.where(on_gas, 0.0, habits.kw[what] * duration / 3600.0)
    deeds = Deeds(
        start_s=start,
        kwh=kwh,
        duration_s=np.maximum(duration, 60.0),
        litres=habits.litres[what] * much[day, what],
        gas_m3=np.where(on_gas, 0.25 * duration / 3600.0, 0.0),
    )
    midnight = np.arange(days)[:, None, None] * 86_400.0
    out = midnight + np.stack([begin_h[:, 0], end_h[:, 0]], axis=2) * 3600.0
    return deeds, out


def select(deeds: Deeds, keep: NDArray[Any]) -> Deeds:
    """Return some of the deeds."""
    return Deeds(*(column[keep] for column in deeds))
