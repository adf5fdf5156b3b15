"""Closed plants cut from one real plant: covert runs, and what only looks like them.

The real plant gives three things: its record before the order (history), its idle days (standby)
and its working hours (texture of a covert run). All else is drawn: size, standby level, season,
latitude, length of history, noise, and the harmless causes. Nothing here uses the detector's code
or its constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

DAY = 96
"""Slots a day: 15 minutes."""
Array = NDArray[Any]

HAZMAT_IN, HAZMAT_OUT, GOODS_IN, GOODS_OUT = 1, 2, 3, 4
UTC_OFFSET = 8 * 4


@dataclass(frozen=True)
class Source:
    """The real plant: kW by day and slot, and which of its days were idle."""

    days: Array
    weekday: Array
    idle: Array
    production_kw: float
    idle_kw: float


def load(folder: Path) -> Source:
    """Read ``plant_power`` (interval meter, kWh per quarter of an hour)."""
    table = pl.read_csv(folder / "plant_power" / "readings.csv.gz", try_parse_dates=True)
    kw = table["value"].to_numpy() * 4.0
    days = kw[: len(kw) // DAY * DAY].reshape(-1, DAY)
    first = table["ts"][0].weekday() - 1
    total = days.sum(axis=1)
    idle = np.flatnonzero(total < 0.15 * np.median(total))
    busy = kw[kw > 0.3 * np.quantile(kw, 0.95)]
    return Source(
        days,
        (first + np.arange(len(days))) % 7,
        idle,
        float(np.median(busy)),
        float(np.median(days[idle])),
    )


@dataclass
class Case:
    """One closed plant with everything that is known of it and everything that is true.

    Slots count from the start of the batch (local midnight). ``kw`` is the true load; NaN where
    the meter tells nothing.
    """

    kind: str
    rng: np.random.Generator
    first_day: int
    kw: Array
    closed: int
    production_kw: float
    latitude: float
    temperature: Array
    rain: Array
    sunset: Array
    sunrise: Array
    rest: Array
    runs: list[tuple[int, int]] = field(default_factory=list)
    permits: list[dict[str, Any]] = field(default_factory=list)
    tests: list[tuple[int, int, float]] = field(default_factory=list)
    visits: list[tuple[float, int]] = field(default_factory=list)
    register: bool = False
    resets: list[int] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return len(self.kw)

    def weekday(self, day: int) -> int:
        """Return the weekday of a day of the batch, Monday = 0."""
        return int((self.first_day + 3 + day) % 7)


def base_case(
    source: Source,
    rng: np.random.Generator,
    kind: str,
    first_day: int,
    days: int,
    rest: Array,
    history_d: int,
) -> Case:
    """Return a plant that stands by from its order on.

    Parameters
    ----------
    first_day : int
        Days since 1970 of the batch's first day.
    days, history_d : int
        Length, and of it before the order.
    rest : ndarray of bool, shape (days,)
    """
    production = float(np.exp(rng.uniform(np.log(30), np.log(2000))))
    scale = production / source.production_kw
    kw = np.zeros((days, DAY))
    weekday = (first_day + 3 + np.arange(days)) % 7
    begin = int(rng.integers(0, len(source.days) - 70))
    begin += int((weekday[0] - source.weekday[begin]) % 7)
    standby = scale * float(rng.choice([0.6, 0.8, 1.0, 1.0, 1.3]))
    phase = int(rng.integers(-2, 3))
    for d in range(days):
        if d < history_d:
            kw[d] = scale * source.days[(begin + d) % len(source.days)]
        else:
            kw[d] = standby * np.roll(source.days[rng.choice(source.idle)], phase)
            kw[d] *= 1 + 0.03 * rng.standard_normal()
    kw *= np.exp(rng.choice([0.005, 0.015, 0.04]) * rng.standard_normal(kw.shape))
    latitude = float(rng.uniform(23, 42))
    doy = (first_day + np.arange(days)) % 365.25
    sunrise, sunset = _sun(doy, latitude)
    return Case(
        kind=kind,
        rng=rng,
        first_day=first_day,
        kw=kw.ravel(),
        closed=history_d * DAY,
        production_kw=production,
        latitude=latitude,
        temperature=_temperature(rng, doy, latitude),
        rain=_rain(rng, days),
        rest=rest,
        register=bool(rng.random() < 0.4),
        sunrise=sunrise,
        sunset=sunset,
    )


def _temperature(rng: np.random.Generator, doy: Array, latitude: float) -> Array:
    """Return °C by slot: season, day and night, weather of a few days."""
    mean = 16 - 0.55 * (latitude - 32)
    swing = 11 + 0.35 * (latitude - 32)
    season = mean - swing * np.cos(2 * np.pi * (doy - 20) / 365.25)
    weather = np.zeros(len(doy))
    for d in range(1, len(doy)):
        weather[d] = 0.75 * weather[d - 1] + 2.2 * rng.standard_normal()
    hour = np.arange(DAY) / 4
    daily = -4 * np.cos(2 * np.pi * (hour - 3) / 24)
    smooth = np.interp(np.arange(len(doy) * DAY) / DAY, np.arange(len(doy)) + 0.5, season + weather)
    return np.asarray(smooth + np.tile(daily, len(doy)))


def _rain(rng: np.random.Generator, days: int) -> Array:
    """Return which days are wet; wet days come together."""
    wet = np.zeros(days, bool)
    for d in range(1, days):
        wet[d] = rng.random() < (0.6 if wet[d - 1] else 0.15)
    return wet


def _sun(doy: Array, latitude: float) -> tuple[Array, Array]:
    """Return sunrise and sunset in hours of the local clock (Cooper's declination)."""
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + doy) / 365)
    half = np.degrees(np.arccos(-np.tan(np.radians(latitude)) * np.tan(declination))) / 15
    noon = 12.05
    return noon - half - 0.1, noon + half + 0.1


# -- covert runs -------------------------------------------------------------------------------


def texture(source: Source, rng: np.random.Generator, slots: int) -> Array:
    """Return a stretch of real working hours, as a share of production (mean 1)."""
    flat = source.days.ravel()
    line = 0.3 * np.quantile(flat, 0.95)
    while True:
        a = int(rng.integers(0, len(flat) - slots))
        piece = flat[a : a + slots]
        if (piece > line).mean() > 0.85:
            out = np.maximum(piece - source.idle_kw, 0.0)
            return np.asarray(out / out.mean())


def add_run(source: Source, case: Case, start: int, slots: int, share: float) -> None:
    """Let the plant run: `share` of its production on top of standby."""
    stop = min(case.slots, start + slots)
    if stop - start < 4:
        return
    case.kw[start:stop] += share * case.production_kw * texture(source, case.rng, stop - start)
    case.runs.append((start, stop))


def night_runs(source: Source, case: Case, share: float, vehicles: float = 0.0) -> None:
    """Runs at night from some night on, three to seven nights a week.

    With `vehicles`, a hazmat lorry comes with that chance before each run and leaves in the night.
    """
    rng = case.rng
    first = case.closed // DAY + int(rng.integers(5, 25))
    per_week = int(rng.integers(3, 8))
    hour = rng.uniform(20.5, 24.5)
    length = rng.uniform(4.0, 8.0)
    for d in range(first, case.slots // DAY - 1):
        if d > first and rng.random() > per_week / 7:
            continue
        start = int(d * DAY + 4 * (hour + rng.normal(0, 0.5)))
        add_run(source, case, start, int(4 * length + rng.integers(-3, 4)), share)
        if vehicles and rng.random() < vehicles:
            at = start - 4 * rng.uniform(0, 2)
            case.visits += [(at, HAZMAT_IN), (at + 4 * rng.uniform(1, 6), HAZMAT_OUT)]


def weekend_days(source: Source, case: Case, share: float) -> None:
    """Covert work on days of rest, 08–17."""
    first = case.closed // DAY + int(case.rng.integers(3, 12))
    for d in range(first, case.slots // DAY):
        if case.rest[d]:
            start = int(d * DAY + 4 * case.rng.uniform(7.5, 9))
            add_run(source, case, start, int(4 * case.rng.uniform(6, 9)), share)


def slow_ramp(source: Source, case: Case, top: float = 0.5, nights: int = 20) -> None:
    """Runs every night, each a little stronger than the last."""
    first = case.closed // DAY + int(case.rng.integers(5, 20))
    for j, d in enumerate(range(first, case.slots // DAY - 1)):
        share = top * min(1.0, (j + 1) / nights)
        start = int(d * DAY + 4 * case.rng.uniform(21, 23))
        add_run(source, case, start, int(4 * case.rng.uniform(5, 7)), share)


def day_shift(source: Source, case: Case, share: float = 0.12) -> None:
    """A small shift by day, on work days."""
    first = case.closed // DAY + int(case.rng.integers(5, 20))
    for d in range(first, case.slots // DAY):
        if not case.rest[d]:
            add_run(source, case, int(d * DAY + 4 * case.rng.uniform(7.5, 9)), 32, share)


# -- harmless causes ---------------------------------------------------------------------------


def _kw(case: Case, low: float, high: float, most: float) -> float:
    """Draw a load as a share of production, no more than `most` kW (such devices have a size)."""
    share = np.exp(case.rng.uniform(np.log(low), np.log(high)))
    return float(min(most * case.rng.uniform(0.4, 1.0), share * case.production_kw))


def _from(case: Case) -> int:
    """Draw the day on which something new begins."""
    return case.closed // DAY + int(case.rng.integers(0, 30))


def lighting(case: Case) -> None:
    """Security lights from dusk to dawn, by photocell, by a clock that is set now and then, or by hand."""
    kw = _kw(case, 0.01, 0.1, 24)
    lag, dim = case.rng.uniform(-0.3, 0.6), case.rng.random() < 0.3
    mode = case.rng.choice(3, p=[0.6, 0.25, 0.15])
    begin = _from(case)
    for d in range(begin, case.slots // DAY - 1):
        jitter = case.rng.normal(0, 0.1, 2) * (1, 0.05, 4)[mode]
        set_on = d if mode != 1 else begin + (d - begin) // 45 * 45
        on = int(np.round(DAY * d + 4 * (case.sunset[set_on] + lag + jitter[0])))
        off = int(np.round(DAY * (d + 1) + 4 * (case.sunrise[set_on] - lag + jitter[1])))
        level = np.full(off - on, kw)
        if dim:
            level[max(0, DAY * (d + 1) - on) :] *= 0.5
        case.kw[on:off] += level * (1 + 0.01 * case.rng.standard_normal(off - on))


def cooling(case: Case) -> None:
    """Cooling that follows the heat; compressors come and go."""
    kw = _kw(case, 0.03, 0.15, 60)
    need = np.clip((case.temperature - case.rng.uniform(23, 27)) / 9, 0, 1.2)
    t = np.arange(case.slots)
    wave = np.sin(2 * np.pi * t / case.rng.uniform(2.5, 7))
    duty = np.clip(need + 0.12 * wave, 0, 1.2)
    if case.rng.random() < 0.3:  # one machine, on or off
        duty = (need > 0.5 + 0.5 * wave).astype(float)
    load = kw * np.where(need > 0, duty, 0) * (1 + 0.05 * case.rng.standard_normal(case.slots))
    load[: case.closed] = 0
    case.kw += load


def heating(case: Case) -> None:
    """Heating against frost and in the guards' rooms, by thermostat."""
    kw = _kw(case, 0.02, 0.12, 40)
    need = np.clip((case.rng.uniform(5, 14) - case.temperature) / 12, 0, 1)
    t = np.arange(case.slots)
    cycle = 0.5 + 0.5 * np.sin(2 * np.pi * t / case.rng.uniform(3, 8) + case.rng.uniform(0, 6))
    duty = np.clip(need + 0.25 * (cycle - 0.5), 0, 1) * (need > 0)
    if case.rng.random() < 0.3:
        duty = ((need > cycle) & (need > 0)).astype(float)
    load = kw * duty * (1 + 0.05 * case.rng.standard_normal(case.slots))
    load[: case.closed] = 0
    case.kw += load


def tenant(case: Case) -> None:
    """A tenant's workshop by day; now and then an evening or a Saturday."""
    kw = _kw(case, 0.03, 0.18, 60)
    rng = case.rng
    begin, end = rng.uniform(6.8, 9), rng.uniform(16.5, 18.5)
    overtime = rng.uniform(0, 0.25)
    for d in range(_from(case), case.slots // DAY):
        if case.rest[d] and rng.random() > 0.08:
            continue
        late = rng.uniform(0.5, 3.0) if rng.random() < overtime else 0.0
        a = int(DAY * d + 4 * (begin + rng.normal(0, 0.2)))
        b = min(case.slots, int(DAY * d + 4 * (end + late + rng.normal(0, 0.25))))
        load = kw * np.clip(1 + 0.25 * rng.standard_normal(b - a), 0.2, 2)
        load[int(4 * (12 - begin)) : int(4 * (13 - begin))] *= 0.4
        case.kw[a:b] += load * rng.uniform(0.7, 1.1)


def dismantling(case: Case, source: Source) -> None:
    """Permitted work: windows in the register, real texture within them."""
    rng = case.rng
    first = case.closed // DAY + int(rng.integers(3, 20))
    length = int(rng.integers(10, 35))
    share = rng.uniform(0.1, 0.5)
    kw = share * case.production_kw
    idle = float(np.nanmedian(case.kw[case.closed :]))
    days = [1, 2, 3, 4, 5, 6] if rng.random() < 0.5 else [1, 2, 3, 4, 5]
    case.permits.append(
        {
            "first": first,
            "last": first + length,
            "days": days,
            "hours": (7.0, 18.0),
            "kw": kw + idle,
        }
    )
    for d in range(first, min(first + length + 1, case.slots // DAY)):
        if case.weekday(d) + 1 not in days or rng.random() < 0.2:
            continue
        a = int(DAY * d + 4 * (7.25 + rng.exponential(0.4)))
        b = int(DAY * d + 4 * rng.uniform(15, 18.2))
        piece = kw * rng.uniform(0.4, 0.9) * texture(source, rng, b - a)
        hourly = np.convolve(piece, np.ones(4) / 4, mode="same")
        piece *= min(1.0, kw / hourly.max())
        case.kw[a:b] += piece[: max(0, case.slots - a)]


def approved_test(case: Case, source: Source) -> None:
    """Tests that were filed: a few hours at a good part of production, at any hour."""
    for _ in range(int(case.rng.integers(1, 4))):
        d = int(case.rng.integers(case.closed // DAY + 2, case.slots // DAY - 2))
        a = DAY * d + int(case.rng.integers(0, DAY))
        n = int(4 * case.rng.uniform(2, 9))
        kw = case.rng.uniform(0.15, 0.8) * case.production_kw
        load = texture(source, case.rng, n)
        hourly = np.convolve(load, np.ones(4) / 4, mode="same").max()
        case.tests.append((a, a + n, kw))
        b = min(case.slots, a + n)
        case.kw[a:b] += (kw * load / hourly * case.rng.uniform(0.7, 1.0))[: b - a]


def pump(case: Case) -> None:
    """Pumps on wet days, at any hour, or all the time by a float switch."""
    kw = _kw(case, 0.01, 0.08, 22)
    if case.rng.random() < 0.35:
        every, runs = case.rng.uniform(8, 40), int(case.rng.integers(1, 5))
        first = _from(case) * DAY
        for a in first + np.cumsum(every * case.rng.uniform(0.8, 1.25, 20 * DAY)).astype(int):
            case.kw[a : a + runs] += kw
        return
    for d in range(case.closed // DAY, case.slots // DAY):
        count = int(case.rng.poisson(2.5 if case.rain[d] else 0.1))
        for _ in range(count):
            a = DAY * d + int(case.rng.integers(0, DAY))
            n = int(case.rng.integers(1, 10))
            case.kw[a : a + n] += kw * (1 + 0.02 * case.rng.standard_normal())


def gaps(case: Case) -> None:
    """Missing hours, days and a register that starts anew."""
    for _ in range(int(case.rng.integers(3, 12))):
        a = int(case.rng.integers(0, case.slots))
        case.kw[a : a + int(np.exp(case.rng.uniform(0, np.log(150))))] = np.nan
    at = int(case.rng.integers(case.closed, case.slots))
    case.resets.append(at)
    case.kw[at] = np.nan


def lorries(case: Case) -> None:
    """Lorries that clear the store, and goods for whoever is left; most by day."""
    rng = case.rng
    for code, per_day in ((HAZMAT_IN, rng.uniform(0.05, 0.6)), (GOODS_IN, rng.uniform(0.2, 2))):
        for d in range(case.closed // DAY, case.slots // DAY):
            for _ in range(int(rng.poisson(per_day))):
                at = DAY * d + 4 * (
                    rng.uniform(7, 19) if rng.random() < 0.85 else rng.uniform(0, 24)
                )
                case.visits += [(at, code), (at + 4 * rng.uniform(0.3, 2), code + 1)]


def guard_house(case: Case) -> None:
    """A guard's kettle, heater and lights."""
    rng = case.rng
    heater = float(rng.uniform(1, 2.5))
    for d in range(case.closed // DAY, case.slots // DAY):
        for hour in rng.uniform(6, 23, int(rng.integers(2, 7))):
            a = DAY * d + int(4 * hour)
            case.kw[a : a + int(rng.integers(1, 3))] += rng.uniform(0.5, 2.0)
        if case.temperature[DAY * d + 90 : DAY * d + 91].min(initial=99) < 6:
            a = DAY * d + int(4 * rng.uniform(20, 23))
            case.kw[a : a + int(4 * rng.uniform(5, 9))] += heater


def cold_store(case: Case) -> None:
    """Cooling machines that run from the start, and defrost at fixed hours."""
    kw = _kw(case, 0.02, 0.08, 40)
    t = np.arange(case.slots)
    load = kw * (1 + 0.35 * np.sign(np.sin(2 * np.pi * t / case.rng.uniform(3, 9))))
    times = case.rng.choice(24, 3, replace=False) * 4
    for s in times:
        load[(t % DAY >= s) & (t % DAY < s + 2)] += 0.8 * kw
    load[: case.closed] = 0
    case.kw += load


def quiet(case: Case) -> None:
    """Nothing happens."""


def charger(case: Case) -> None:
    """A guard's car charges in some nights: 7 kW, flat. Outside the twelve causes: known hard."""
    for d in range(_from(case), case.slots // DAY - 1):
        if case.rng.random() < 0.3:
            a = int(DAY * d + 4 * case.rng.uniform(19, 24))
            case.kw[a : a + int(4 * case.rng.uniform(2, 6))] += 6.6


Cause = Callable[..., None]
CAUSES: dict[str, Cause] = {
    "lighting": lighting,
    "cooling": cooling,
    "heating": heating,
    "tenant": tenant,
    "dismantling": dismantling,
    "approved test": approved_test,
    "pump": pump,
    "gaps": gaps,
    "lorries": lorries,
    "guard house": guard_house,
    "cold store": cold_store,
    "quiet": quiet,
}
"""Twelve harmless causes; ``mixture`` draws two to four of them."""


def _apply(source: Source, case: Case, name: str) -> None:
    cause = CAUSES[name]
    if cause in (dismantling, approved_test):
        cause(case, source)
    else:
        cause(case)


def harmless(source: Source, case: Case) -> None:
    """Apply the causes of the case's kind."""
    if case.kind == "mixture":
        for name in case.rng.choice(sorted(CAUSES), int(case.rng.integers(2, 5)), replace=False):
            _apply(source, case, str(name))
    elif case.kind == BUSY_GATE:
        others = sorted(CAUSES.keys() - {"lorries"})
        for name in case.rng.choice(others, int(case.rng.integers(1, 5)), replace=False):
            _apply(source, case, str(name))
        lorries(case)
    elif case.kind == "charger":
        charger(case)
    else:
        _apply(source, case, case.kind)


COVERT: dict[str, Callable[[Source, Case], None]] = {
    "night 100 %": lambda source, case: night_runs(source, case, 1.0),
    "night 50 %": lambda source, case: night_runs(source, case, 0.5),
    "night 25 %": lambda source, case: night_runs(source, case, 0.25),
    "night 12 %": lambda source, case: night_runs(source, case, 0.12),
    "night 8 %": lambda source, case: night_runs(source, case, 0.08),
    "night 6 % + vehicles": lambda source, case: night_runs(source, case, 0.06, vehicles=0.8),
    "night 4 % + vehicles": lambda source, case: night_runs(source, case, 0.04, vehicles=0.8),
    "week-end 25 %": lambda source, case: weekend_days(source, case, 0.25),
    "week-end 12 %": lambda source, case: weekend_days(source, case, 0.12),
    "ramp": slow_ramp,
    "day shift 12 %": day_shift,
}
BUSY_GATE = "busy gate"
"""One to four harmless causes, and lorries that have nothing to do with them."""


def busy_weak_run(source: Source, case: Case) -> None:
    """Weak runs that no lorry serves, at a plant whose gate sees lorries of others."""
    night_runs(source, case, 0.08)
    lorries(case)


COVERT_AT_GATE: dict[str, Callable[[Source, Case], None]] = {
    "night 6 % + vehicles": COVERT["night 6 % + vehicles"],
    "night 4 % + vehicles": COVERT["night 4 % + vehicles"],
    "night 8 %, busy gate": busy_weak_run,
}
"""Covert runs that show what evidence of vehicles is worth, and what it costs."""
