"""A home's electricity, water and gas per slot, from its habits and what befalls it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.simulate.habits import Deeds, Habits, draw_days, draw_habits, select
from engine.simulate.keyed import stream

FloatArray = NDArray[np.float64]
DAY_S = 86_400.0
TURN_DAYS, DECLINE_DAYS = 14.0, 56.0
"""How long a rhythm takes to turn, and a decline to run its course."""


@dataclass(frozen=True, slots=True)
class Spell:
    """Something that holds in a home for a while; seconds since the first midnight."""

    kind: str
    start_s: float
    end_s: float
    amount: float = 0.0


@dataclass(slots=True)
class Use:
    """What a home used, per slot of each utility."""

    electricity: FloatArray
    water: FloatArray
    gas: FloatArray
    pm25: FloatArray = field(default_factory=lambda: np.empty(0))
    """What a sensor measured, µg/m³."""
    signs_s: FloatArray = field(default_factory=lambda: np.empty(0))
    """Times at which somebody did something, sorted."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The simulated days, as homes see them.

    Parameters
    ----------
    days : int
    rest_day : ndarray of bool, shape (days,)
    temp_c : ndarray, shape (days * 24,)
    dawn_h, dusk_h : ndarray, shape (days,)
    electricity_s, water_s, gas_s : int
        Slot lengths.
    """

    days: int
    rest_day: NDArray[np.bool_]
    temp_c: FloatArray
    dawn_h: FloatArray
    dusk_h: FloatArray
    electricity_s: int
    water_s: int
    gas_s: int


def deposit(
    start_s: FloatArray, duration_s: FloatArray, amount: FloatArray, slots: int, slot_s: int
) -> FloatArray:
    """Spread amounts evenly over their durations into slots.

    Examples
    --------
    >>> deposit(np.array([30.0]), np.array([60.0]), np.array([1.0]), 3, 60).tolist()
    [0.5, 0.5, 0.0]
    """
    first = np.floor(start_s / slot_s).astype(np.int64)
    last = np.floor((start_s + duration_s) / slot_s).astype(np.int64)
    touched = last - first + 1
    event = np.repeat(np.arange(len(first)), touched)
    slot = first[event] + np.arange(len(event)) - np.repeat(np.cumsum(touched) - touched, touched)
    begin = np.maximum(start_s[event], slot * float(slot_s))
    end = np.minimum(start_s[event] + duration_s[event], (slot + 1.0) * slot_s)
    part = amount[event] * np.maximum(end - begin, 0.0) / duration_s[event]
    inside = (slot >= 0) & (slot < slots)
    return np.bincount(slot[inside], part[inside], slots)[:slots].astype(np.float64)


def within(times: FloatArray, intervals: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Return which times lie in any of the half-open intervals (which may overlap)."""
    inside = np.zeros(len(times), bool)
    for begin, end in intervals:
        inside |= (times >= begin) & (times < end)
    return inside


def simulate_home(
    seed: int,
    subject: str,
    kind: str,
    calendar: Calendar,
    spells: Sequence[Spell],
    *,
    gas: bool,
) -> Use:
    """Return what a home uses.

    Parameters
    ----------
    kind : str
        ``elderly_alone``, ``home``, ``rental`` or ``vacant``.
    spells : sequence of Spell
        ``away``, ``collapse``, ``illness``, ``empty``, ``crowd`` (amount = people),
        ``running_tap`` (litres an hour), ``stuck_appliance`` and ``new_appliance`` (kW),
        ``rhythm_turned`` (hours that life is later by in the end), ``decline`` (share of the deeds
        that is lost in the end).
    """
    slots = round(calendar.days * DAY_S / calendar.electricity_s)
    use = Use(
        electricity=np.zeros(slots),
        water=np.zeros(round(calendar.days * DAY_S / calendar.water_s)),
        gas=np.zeros(round(calendar.days * DAY_S / calendar.gas_s)),
    )
    parts = _tenancies(kind, calendar.days * DAY_S, spells)
    gone = [
        (s.start_s, s.end_s if s.kind != "collapse" else np.inf)
        for s in spells
        if s.kind in ("away", "collapse")
    ]
    signs: list[FloatArray] = []
    for begin, end, people in parts:
        if people != 0:
            signs.append(
                _lived(seed, subject, kind, calendar, spells, gone, (begin, end), people, gas, use)
            )
        else:
            use.electricity[_slots(begin, end, calendar.electricity_s, slots)] += (
                0.001 * calendar.electricity_s / 3600
            )
    for spell in spells:
        if spell.kind == "running_tap":
            where = _slots(spell.start_s, spell.end_s, calendar.water_s, len(use.water))
            use.water[where] += spell.amount * calendar.water_s / 3600
        elif spell.kind in ("stuck_appliance", "new_appliance"):
            where = _slots(spell.start_s, spell.end_s, calendar.electricity_s, slots)
            use.electricity[where] += spell.amount * calendar.electricity_s / 3600
    use.signs_s = np.sort(np.concatenate(signs)) if signs else np.empty(0)
    return use


def _tenancies(
    kind: str, length_s: float, spells: Sequence[Spell]
) -> list[tuple[float, float, int]]:
    """Return (begin, end, people) without gaps; people −1 = as the habits say, 0 = empty."""
    usual = 0 if kind == "vacant" else -1
    marks = sorted({0.0, length_s, *(min(t, length_s) for s in spells for t in (s.start_s, s.end_s)
                                    if s.kind in ("empty", "crowd", "let"))})  # fmt: skip
    parts = []
    for begin, end in itertools.pairwise(marks):
        people = usual
        for spell in spells:
            if spell.start_s <= begin and end <= spell.end_s:
                if spell.kind == "empty":
                    people = 0
                elif spell.kind in ("crowd", "let"):
                    people = int(spell.amount)
        parts.append((begin, end, people))
    return parts


def _slots(begin_s: float, end_s: float, slot_s: int, slots: int) -> slice:
    return slice(max(0, round(begin_s / slot_s)), min(slots, max(0, round(end_s / slot_s))))


def _lived(
    seed: int,
    subject: str,
    kind: str,
    calendar: Calendar,
    spells: Sequence[Spell],
    gone: Sequence[tuple[float, float]],
    span: tuple[float, float],
    people: int,
    gas: bool,
    use: Use,
) -> FloatArray:
    """Add the use of the people of one tenancy to `use`; return the times of their deeds."""
    habits = draw_habits(
        seed, subject, "rental" if kind == "vacant" else kind, people=people if people > 0 else None,
        gas=gas,
    )  # fmt: skip
    ill = np.zeros(calendar.days, bool)
    for spell in spells:
        if spell.kind == "illness":
            ill[int(spell.start_s // DAY_S) : int(spell.end_s // DAY_S) + 1] = True
    deeds, out = draw_days(seed, subject, habits, calendar.rest_day, ill)
    deeds = _thinned(seed, subject, deeds, spells)
    deeds = deeds._replace(start_s=deeds.start_s + _later(deeds.start_s, spells))
    out = out + _later(out, spells)
    here = (deeds.start_s >= span[0]) & (deeds.start_s < span[1])
    deeds = select(deeds, here & ~within(deeds.start_s, gone))
    n_e, n_w, n_g = len(use.electricity), len(use.water), len(use.gas)
    e_s = calendar.electricity_s
    use.electricity += deposit(deeds.start_s, deeds.duration_s, deeds.kwh, n_e, e_s)
    use.water += _poured(deeds, n_w, calendar.water_s)
    use.gas += deposit(deeds.start_s, deeds.duration_s, deeds.gas_m3, n_g, calendar.gas_s)
    begin, end = span
    if end == calendar.days * DAY_S:
        end += DAY_S
    cycles = _fridge(seed, subject, habits.fridge_kw, habits.fridge_period_s, habits.fridge_duty,
                     calendar.days)  # fmt: skip
    cycles = select(cycles, (cycles.start_s >= begin) & (cycles.start_s < end))
    use.electricity += deposit(cycles.start_s, cycles.duration_s, cycles.kwh, n_e, e_s)
    middle: FloatArray = np.arange(0.5, n_e, dtype=np.float64) * e_s
    tenancy = (middle >= span[0]) & (middle < span[1])
    use.electricity += tenancy * habits.standby_kw * e_s / 3600
    by_clock = middle - _later(middle, spells)  # the hour it is in the lives of these people
    use.electricity += (
        _comfort(seed, subject, habits, calendar, gone, out, middle, by_clock) * tenancy
    )
    return deeds.start_s


def _grown(times_s: FloatArray, spell: Spell, days: float) -> FloatArray:
    """Return how much of a slow change has come about: 0 before it, rising to 1 within `days`."""
    grown: FloatArray = np.clip((times_s - spell.start_s) / (days * DAY_S), 0.0, 1.0)
    return np.where(times_s < spell.end_s, grown, 0.0)


def _later(times_s: FloatArray, spells: Sequence[Spell]) -> FloatArray:
    """Return by how many seconds life at these times is later than its habits."""
    later = np.zeros_like(times_s)
    for spell in spells:
        if spell.kind == "rhythm_turned":
            later += 3600 * spell.amount * _grown(times_s, spell, TURN_DAYS)
    return later


def _thinned(seed: int, subject: str, deeds: Deeds, spells: Sequence[Spell]) -> Deeds:
    """Leave out the deeds that people in decline no longer do."""
    keep = np.ones(len(deeds.start_s), bool)
    for spell in spells:
        if spell.kind == "decline":
            luck = stream(seed, subject, "decline").random(len(keep))
            keep &= luck >= spell.amount * _grown(deeds.start_s, spell, DECLINE_DAYS)
    return select(deeds, keep)


def _poured(deeds: Deeds, slots: int, slot_s: int) -> FloatArray:
    """Water runs for as long as it takes at 7 l a minute."""
    some = select(deeds, deeds.litres > 0)
    return deposit(some.start_s, some.litres / 7.0 * 60.0, some.litres, slots, slot_s)


def _fridge(seed: int, subject: str, kw: float, period_s: float, duty: float, days: int) -> Deeds:
    count = int(days * DAY_S / period_s * 1.1) + 4
    pause = stream(seed, subject, "fridge").uniform(0.85, 1.15, count)
    on = period_s * duty * stream(seed, subject, "fridge on").uniform(0.85, 1.15, count)
    start = period_s * (np.cumsum(pause) - 1 - duty)
    zero = np.zeros(count)
    return Deeds(start, kw * on / 3600, on, zero, zero)


def _comfort(
    seed: int,
    subject: str,
    habits: Habits,
    calendar: Calendar,
    gone: Sequence[tuple[float, float]],
    out: FloatArray,
    middle: FloatArray,
    by_clock: FloatArray,
) -> FloatArray:
    """Return lights, cooling and heating per slot, kWh: while somebody is at home and awake."""
    hour = (middle % DAY_S) / 3600
    day = np.minimum((middle // DAY_S).astype(np.int64), calendar.days - 1)
    late = stream(seed, subject, "late").normal(0, 0.4, calendar.days)
    lived_hour = (by_clock % DAY_S) / 3600
    awake = (lived_hour >= habits.wake_h) & (lived_hour < habits.sleep_h + late[day])
    home = ~within(middle, gone)
    if habits.people == 1:
        # flat edges of the day's outings: sorted, so membership is parity of the position
        edges = np.sort(out[np.isfinite(out[..., 0])].ravel())
        home &= np.searchsorted(edges, middle, side="right") % 2 == 0
    dark = (hour > calendar.dusk_h[day]) | (hour < calendar.dawn_h[day])
    temp = calendar.temp_c[np.minimum((middle // 3600).astype(np.int64), len(calendar.temp_c) - 1)]
    noise = stream(seed, subject, "comfort").uniform(0.5, 1.0, len(middle))
    kw = habits.light_kw * dark
    kw += habits.cooling_kw * np.clip((temp - 28) / 6, 0, 1)
    kw += habits.heating_kw * np.clip((9 - temp) / 10, 0, 1)
    return np.asarray(kw * noise * (awake & home) * calendar.electricity_s / 3600)
