"""A town with known incidents: what people do, what meters say of it, and the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.errors import did_you_mean
from engine.simulate.air import simulate_air
from engine.simulate.config import SimulationError, TownConfig
from engine.simulate.feeds import EventRow, event_rows
from engine.simulate.files import TownData
from engine.simulate.happenings import METERED, Happening, happenings
from engine.simulate.homes import DAY_S, Calendar, Spell, Use, simulate_home
from engine.simulate.keyed import stream
from engine.simulate.layout import Layout, Meter, Subject, lay_out
from engine.simulate.metering import Rows, meter_rows
from engine.simulate.plants import simulate_plant

NS = 1_000_000_000
_SPELLS = {
    "visit": "away",
    "holiday": "away",
    "move_out": "empty",
    "move_in": "let",
    "over_occupied": "crowd",
}
"""Kinds of happening that people feel under another name; the others keep theirs."""
_AMOUNT = {
    "running_tap": ("litres_per_hour", 90.0),
    "stuck_appliance": ("kw", 1.0),
    "new_appliance": ("kw", 0.03),
    "over_occupied": ("people", 8.0),
    "move_in": ("people", 2.0),
    "rhythm_turned": ("hours", 11.0),
    "decline": ("share", 0.5),
    "covert_run": ("share", 0.25),
    "approved_test": ("share", 0.25),
    "tenant": ("kw", 10.0),
    "fade": ("share", 0.4),
    "smoke": ("dust", 150.0),
}


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What all parts of one generation share."""

    config: TownConfig
    layout: Layout
    calendar: Calendar
    seed: int
    start_ns: int
    at: Callable[[float], str]


class Town:
    """A simulated town.

    Parameters
    ----------
    config : TownConfig, optional
        Default: the demo's town.

    Examples
    --------
    >>> data = Town(TownConfig(elderly=2, homes=0, rentals=0, vacant=0, plants=0,
    ...                        closed_plants=0, sensors=0, gas_share=0)).generate(
    ...     days=2, seed=1)
    >>> len(data.meters), len(data.subjects)
    (4, 2)
    """

    def __init__(self, config: TownConfig | None = None) -> None:
        self.config = config or TownConfig.demo()

    def generate(
        self, days: int = 50, seed: int = 7, progress: Callable[[int, int], None] | None = None
    ) -> TownData:
        """Simulate the town.

        Parameters
        ----------
        days : int
            A longer simulation of the same seed begins with the days of a shorter one, but for
            happenings that end after the shorter one's end.
        seed : int
        progress : callable, optional
            Told (subjects done, subjects) now and then.

        Raises
        ------
        SimulationError
            If the configuration does not fit.
        """
        if days < 1:
            raise SimulationError(f"days must be >= 1, got {days}")
        fixed = self._fixed(days, seed)
        happened = happenings(self.config, fixed.layout, days, seed)
        _check_targets(happened, fixed.layout)
        by_subject: dict[str, list[Happening]] = {}
        for happening in happened:
            by_subject.setdefault(happening.target, []).append(happening)
        meters_of: dict[str, list[Meter]] = {}
        for meter in fixed.layout.meters:
            meters_of.setdefault(meter.subject_id, []).append(meter)
        number = {m.meter_id: i for i, m in enumerate(fixed.layout.meters)}
        truth: list[dict[str, Any]] = []
        columns: list[tuple[int, Rows]] = []
        for done, subject in enumerate(fixed.layout.subjects):
            mine = by_subject.get(subject.subject_id, [])
            use, lines = _simulate(fixed, subject, mine, happened)
            truth.extend(lines)
            for meter in meters_of.get(subject.subject_id, []):
                faults = [h for h in by_subject.get(meter.meter_id, []) if h.kind in METERED]
                amounts = getattr(use, meter.utility)
                silences = _silences(meter, subject, happened)
                columns.append(
                    (number[meter.meter_id],
                     meter_rows(seed, meter, amounts, self.config.rates, faults, silences))
                )  # fmt: skip
            if progress is not None:
                progress(done + 1, len(fixed.layout.subjects))
        events = event_rows(self.config, fixed.layout, fixed.calendar, happened, seed, fixed.at)
        truth.extend(_area_truth(fixed, happened))
        truth.sort(
            key=lambda line: (line["from"], line["kind"], line["subject_id"] or line["place"])
        )
        return _gather(fixed, columns, events, truth)

    def _fixed(self, days: int, seed: int) -> _Fixed:
        config = self.config
        offset = config.offset_s(days)
        midnight = datetime.combine(config.start, datetime.min.time(), tzinfo=UTC)
        start_ns = (int(midnight.timestamp()) - offset) * NS
        zone = (
            f"{'+' if offset >= 0 else '-'}{abs(offset) // 3600:02d}:{abs(offset) % 3600 // 60:02d}"
        )

        def at(seconds: float) -> str:
            moment = midnight + timedelta(seconds=round(seconds))
            return moment.strftime("%Y-%m-%dT%H:%M:%S") + zone

        return _Fixed(
            config, lay_out(config, seed), _calendar(config, days, seed), seed, start_ns, at
        )


def _calendar(config: TownConfig, days: int, seed: int) -> Calendar:
    dates = [config.start + timedelta(days=d) for d in range(days)]
    of_year = np.array([d.timetuple().tm_yday for d in dates], float)
    light_h = 12 + 2.0 * np.sin(2 * math.pi * (of_year - 80) / 365)
    steps = stream(seed, config.county, "weather").normal(0, 1.2, days)
    wander = np.convolve(steps, 0.8 ** np.arange(20))[:days]
    daily = 17 + 11 * np.sin(2 * math.pi * (of_year - 110) / 365) + wander
    hour = np.arange(24)
    swing = 3.5 * np.sin(2 * math.pi * (hour - 9) / 24)
    temp = (daily[:, None] + swing).ravel() + stream(seed, config.county, "breeze").normal(
        0, 0.3, days * 24
    )
    return Calendar(
        days=days,
        rest_day=np.array([d.isoweekday() >= 6 for d in dates]),
        temp_c=temp,
        dawn_h=12.1 - light_h / 2,
        dusk_h=12.1 + light_h / 2,
        electricity_s=config.electricity_interval_s,
        water_s=config.water_interval_s,
        gas_s=config.gas_interval_s,
    )


_WHERE_NAMED = "subjects.csv, meters.csv and places.csv of the town without incidents name them"


def _check_targets(happened: Sequence[Happening], layout: Layout) -> None:
    known = {s.subject_id for s in layout.subjects} | {m.meter_id for m in layout.meters}
    known |= set(layout.concentrators) | {row["place"] for row in layout.places}
    for happening in happened:
        if happening.target not in known:
            raise SimulationError(
                f"incident {happening.kind}: no subject, meter, concentrator or place "
                f"{happening.target!r} in this town; "
                + (did_you_mean(happening.target, sorted(known)) or _WHERE_NAMED)
            )


def _silences(meter: Meter, subject: Subject, happened: Sequence[Happening]) -> list[Happening]:
    """Return what keeps this meter's rows from coming though people go on."""
    found = []
    for happening in happened:
        if happening.kind == "dead_concentrator":
            reached = happening.target == meter.concentrator
        else:
            reached = (
                happening.kind == "power_cut"
                and meter.utility == "electricity"
                and subject.place.startswith(happening.target)
                and happening.details.get("meters", "missing") == "missing"
            )
        if reached:
            found.append(happening)
    return found


def _simulate(
    fixed: _Fixed, subject: Subject, mine: Sequence[Happening], happened: Sequence[Happening]
) -> tuple[Use, list[dict[str, Any]]]:
    calendar, seed = fixed.calendar, fixed.seed
    away = [(h.start_s, h.end_s) for h in mine if h.kind in ("visit", "holiday")]
    # nobody collapses at home while away from home
    mine = [
        h for h in mine
        if h.kind != "collapse" or not any(a <= h.start_s < b for a, b in away)
    ]  # fmt: skip
    spells = []
    for h in mine:
        name, usual = _AMOUNT.get(h.kind, ("", 0.0))
        amount = float(h.details.get(name, usual))
        spells.append(Spell(_SPELLS.get(h.kind, h.kind), h.start_s, h.end_s, amount))
    if subject.kind in ("plant", "closed_plant"):
        closed = fixed.config.closed_on_day * DAY_S if subject.kind == "closed_plant" else None
        kwh = simulate_plant(seed, subject.subject_id, calendar, spells, closed)
        use = Use(kwh, np.zeros(0), np.zeros(0))
    elif subject.kind == "air_sensor":
        nothing = np.zeros(0)
        air = simulate_air(seed, subject.subject_id, calendar, spells)
        use = Use(nothing, nothing, nothing, pm25=air)
    else:
        if subject.kind == "rental" and stream(seed, subject.subject_id, "let").random() < 0.2:
            spells.insert(0, Spell("empty", 0.0, calendar.days * DAY_S))
        gas = bool(stream(seed, subject.subject_id, "meters").random(4)[2] < fixed.config.gas_share)
        use = simulate_home(seed, subject.subject_id, subject.kind, calendar, spells, gas=gas)
    for h in happened:
        if h.kind == "power_cut" and subject.place.startswith(h.target):
            step = calendar.electricity_s
            use.electricity[int(h.start_s // step) : int(h.end_s // step)] = 0.0
    lines = [_line(fixed, h, subject.subject_id, subject.place) for h in mine]
    for h, line in zip(mine, lines, strict=True):
        if h.kind == "collapse":
            before = use.signs_s[use.signs_s < h.start_s]
            line["details"]["last_sign"] = fixed.at(float(before[-1])) if len(before) else None
    return use, lines


def _line(fixed: _Fixed, h: Happening, subject: str | None, place: str) -> dict[str, Any]:
    return {
        "kind": h.kind,
        "subject_id": subject,
        "place": place,
        "from": fixed.at(h.start_s),
        "until": fixed.at(h.end_s),
        "details": dict(h.details),
    }


def _area_truth(fixed: _Fixed, happened: Sequence[Happening]) -> list[dict[str, Any]]:
    subjects = {s.subject_id: s for s in fixed.layout.subjects}
    owner = {m.meter_id: subjects[m.subject_id] for m in fixed.layout.meters}
    lines = []
    for h in happened:
        if h.target in subjects:
            continue
        if h.target in owner:
            line = _line(fixed, h, owner[h.target].subject_id, owner[h.target].place)
            line["details"]["meter_id"] = h.target
        elif h.target in fixed.layout.concentrators:
            line = _line(fixed, h, None, fixed.layout.concentrators[h.target])
            line["details"]["concentrator"] = h.target
        else:
            line = _line(fixed, h, None, h.target)
        lines.append(line)
    return lines


def _gather(
    fixed: _Fixed,
    columns: Sequence[tuple[int, Rows]],
    events: list[EventRow],
    truth: list[dict[str, Any]],
) -> TownData:
    meter = np.concatenate([np.full(len(r.value), i, np.int32) for i, r in columns])
    arrival = np.concatenate([r.arrival_s for _, r in columns])
    order = np.argsort(arrival, kind="stable")
    stamp = np.concatenate([r.stamp_s for _, r in columns])[order]
    value = np.concatenate([r.value for _, r in columns])[order]
    length = fixed.calendar.days * DAY_S
    came: NDArray[np.bool_] = arrival[order] <= length + 7200  # the rest comes after the end
    live = fixed.config.live_from_day
    return TownData(
        timezone=fixed.config.timezone,
        start_ns=fixed.start_ns,
        days=fixed.calendar.days,
        live_from_ns=None if live is None else fixed.start_ns + live * 86_400 * NS,
        seed=fixed.seed,
        meter=meter[order][came],
        ts_ns=fixed.start_ns + np.round(stamp[came]).astype(np.int64) * NS,
        value=value[came],
        arrival_ns=fixed.start_ns + np.round(arrival[order][came]).astype(np.int64) * NS,
        places=fixed.layout.places,
        subjects=fixed.layout.subjects,
        meters=fixed.layout.meters,
        workers=fixed.layout.workers,
        contacts=fixed.layout.contacts,
        events=events,
        truth=truth,
    )
