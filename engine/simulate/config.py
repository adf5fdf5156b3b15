"""What kind of town to simulate: sizes, rates and scripted incidents; also from YAML."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml

from connectors.errors import clip, did_you_mean

INCIDENT_KINDS = frozenset(
    {
        # people
        "collapse", "visit", "holiday", "illness", "running_tap", "stuck_appliance", "new_appliance",
        "rhythm_turned", "decline",
        # rentals
        "move_out", "move_in", "over_occupied",
        # plants
        "covert_run", "tenant", "approved_test", "fade",
        # areas
        "power_cut", "dead_concentrator", "complaint_surge", "repeat_complaint",
        "dispute", "gate_surge", "smoke",
        # meters
        "meter_dead", "meter_stuck", "register_reset", "clock_ahead", "glitch",
    }
)  # fmt: skip


class SimulationError(ValueError):
    """The configuration of a simulated town does not fit; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that is to happen at a known place and time, besides what chance brings.

    Parameters
    ----------
    kind : str
        One of :data:`INCIDENT_KINDS`.
    target : str
        Subject id, meter id, concentrator id or place code; a place prefix means all below it.
    day : float
        Days since the start of the simulation (local midnight); 46.5 is noon of day 46.
    hours : float
        How long it lasts.
    details : mapping
        What depends on the kind: ``declared`` (visit), ``share`` (covert_run: share of production),
        ``kw`` (stuck_appliance, tenant), ``litres_per_hour`` (running_tap), ``lost`` (dead
        concentrator: rows never come), ``people`` (over_occupied), ``hours`` (rhythm_turned: how much
        later life is in the end), ``share`` (decline: of what is done, lost in the end), ``topic``,
        ``factor`` …
    """

    kind: str
    target: str
    day: float
    hours: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in INCIDENT_KINDS:
            raise SimulationError(unknown("incident kind", self.kind, INCIDENT_KINDS))
        if self.hours < 0 or self.day < 0:
            raise SimulationError(f"{self.kind} at {self.target}: day and hours must be >= 0")


@dataclass(frozen=True, slots=True)
class Rates:
    """How often chance strikes, per year and subject, meter or area; shares are of rows."""

    visit: float = 5.0
    """Elderly: stays with a daughter or son, for days."""
    visit_days: float = 2.5
    """Median length of such a stay."""
    declared_share: float = 0.4
    """Share of the absences that are declared beforehand."""
    holiday: float = 2.0
    """Families: holidays."""
    illness: float = 0.7
    """Days in bed: fewer signs of life, but some."""
    collapse: float = 0.0
    running_tap: float = 0.1
    stuck_appliance: float = 0.05
    new_appliance: float = 0.2
    rhythm_turned: float = 0.0
    """Elderly: days and nights trade places within two weeks."""
    decline: float = 0.0
    """Elderly: ever less is done, over eight weeks."""
    move_out: float = 0.0
    """Rentals: tenants leave, and others come some weeks later."""
    over_occupied: float = 0.0
    """Rentals: let to a crowd, for months."""
    power_cut: float = 0.7
    """Per community."""
    dead_concentrator: float = 2.0
    """Per concentrator."""
    meter_dead: float = 0.01
    meter_stuck: float = 0.02
    register_reset: float = 0.03
    clock_ahead: float = 0.02
    glitch: float = 0.3
    """Per meter: single impossible register values."""
    late_share: float = 0.006
    """Rows that come hours late, in runs."""
    lost_share: float = 0.002
    """Rows that never come, in runs."""
    duplicate_share: float = 0.0005
    conflict_share: float = 0.00002


@dataclass(frozen=True, slots=True)
class TownConfig:
    """A town: how many of each, how they are metered, what happens.

    Examples
    --------
    >>> TownConfig.demo().elderly
    72
    """

    county: str = "330199"
    streets: int = 2
    communities_per_street: int = 2
    grids_per_community: int = 3
    concentrators_per_community: int = 2
    elderly: int = 72
    homes: int = 40
    rentals: int = 6
    vacant: int = 2
    plants: int = 1
    closed_plants: int = 1
    sensors: int = 1
    """Fine-dust sensors, an hour a reading."""
    timezone: str = "Asia/Shanghai"
    start: date = date(2026, 3, 2)
    electricity_interval_s: int = 900
    water_interval_s: int = 3600
    gas_interval_s: int = 3600
    water_share: float = 1.0
    """Share of homes with a water meter that reports."""
    gas_share: float = 0.3
    register_share: float = 1.0
    """Share of electricity meters that give register levels; the others give amounts."""
    closed_on_day: int = 20
    """Closed plants run normally until this day."""
    live_from_day: int | None = None
    """Where history ends and the demo's live days begin; for the reader, changes nothing."""
    weather: bool = True
    feeds: bool = True
    """Complaints, police calls and vehicles."""
    rates: Rates = field(default_factory=Rates)
    incidents: tuple[Incident, ...] = ()

    def __post_init__(self) -> None:
        for name in ("streets", "communities_per_street", "grids_per_community"):
            if not 1 <= getattr(self, name) <= 999:
                raise SimulationError(f"{name} must be 1..999, got {getattr(self, name)}")
        for name in ("elderly", "homes", "rentals", "vacant", "plants", "closed_plants", "sensors"):
            if getattr(self, name) < 0:
                raise SimulationError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name in ("electricity_interval_s", "water_interval_s", "gas_interval_s"):
            value = getattr(self, name)
            if value < 60 or 86_400 % value:
                raise SimulationError(f"{name} must divide a day and be >= 60, got {value}")
        if self.concentrators_per_community < 1:
            raise SimulationError("concentrators_per_community must be >= 1")

    @classmethod
    def demo(cls) -> TownConfig:
        """Return the demo's town: 45 days of history, 5 live days with one of each incident."""
        one, two, four = "330199001001", "330199001002", "330199002002"
        return cls(
            live_from_day=45,
            rates=Rates(visit=0.5, declared_share=0.8, holiday=1.0, power_cut=0,
                        dead_concentrator=0.5, running_tap=0, stuck_appliance=0, meter_dead=0,
                        glitch=0.1),
            incidents=(
                Incident("visit", "elder-0009", 24.4, 62, {"declared": True}),
                Incident("over_occupied", "rental-0002", 33.75, 24 * 30, {"people": 8}),
                Incident("move_out", "rental-0004", 12.5, 24 * 60),
                Incident("power_cut", one, 45.6, 2.25, {"declared": False}),
                Incident("visit", "elder-0011", 46.39, 74, {"declared": False}),
                Incident("meter_dead", "elder-0020-e", 46.3, 24 * 30),
                Incident("complaint_surge", two + "002", 46.5, 6, {"topic": "noise", "calls": 30}),
                Incident("covert_run", "closed-0001", 45.94, 6.5, {"share": 0.15}),
                Incident("covert_run", "closed-0001", 46.92, 7.5, {"share": 0.25}),
                Incident("covert_run", "closed-0001", 47.90, 8.0, {"share": 0.25}),
                Incident("collapse", "elder-0005", 47.34, 24 * 30),
                Incident("running_tap", "elder-0031", 47.55, 30, {"litres_per_hour": 240}),
                Incident("dead_concentrator", f"conc-{four}-1", 48.1, 9),
                Incident("fade", "plant-0001", 30.0, 24 * 8, {"share": 0.25}),
                Incident("running_tap", "home-0003", 45.9, 80, {"litres_per_hour": 60}),
                Incident("smoke", "air-0001", 47.6, 9, {"dust": 210}),
                Incident("repeat_complaint", one + "001", 38.3, 24 * 9,
                         {"topic": "rubbish", "times": 4, "callers": 2, "building": "021"}),
                Incident("dispute", four + "003", 41.8, 24 * 6, {"building": "038"}),
                Incident("gate_surge", "plant-0001", 46.4, 3, {"class": "goods", "vehicles": 40}),
                Incident("clock_ahead", "home-0007-e", 48.2, 6),
                Incident("register_reset", "home-0012-w", 48.45),
                Incident("glitch", "home-0019-w", 47.2),
                Incident("stuck_appliance", "elder-0044", 48.3, 40, {"kw": 1.2}),
            ),
        )  # fmt: skip

    @classmethod
    def quality(cls, streets: int = 4, elderly: int = 400) -> TownConfig:
        """Return a town for measuring quality: much happens, all of it by chance."""
        return cls(
            streets=streets,
            elderly=elderly,
            homes=elderly,
            rentals=60,
            vacant=20,
            plants=4,
            closed_plants=10,
            rates=Rates(collapse=1.0, power_cut=6.0, dead_concentrator=8.0, running_tap=0.5,
                        stuck_appliance=0.3),
        )  # fmt: skip

    def offset_s(self, days: int) -> int:
        """Return the UTC offset of the town in seconds.

        Raises
        ------
        SimulationError
            If the zone is unknown or changes its offset within the simulated days.
        """
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            hint = did_you_mean(self.timezone, sorted(available_timezones()))
            raise SimulationError(
                f"timezone: unknown zone {self.timezone!r}; {hint or 'wanted one as Asia/Shanghai'}"
            ) from error
        first = datetime.combine(self.start, datetime.min.time(), tzinfo=UTC)
        offsets = {
            (first + timedelta(days=d)).astimezone(zone).utcoffset() for d in range(-1, days + 2)
        }
        if len(offsets) != 1:
            raise SimulationError(
                f"timezone: {self.timezone} changes its clocks between {self.start} and day {days}; "
                "a simulated town keeps one offset: choose another zone or other days"
            )
        return int((offsets.pop() or timedelta()).total_seconds())


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return what to say of a name that is none of those known, with the nearest of them."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    return (
        f"unknown {what} {name!r}; " + (f"{hint} " if hint else "") + f"known: {', '.join(names)}"
    )


def load_config(path: Path) -> TownConfig:
    """Read a town's configuration from YAML; unknown keys are refused with their path.

    Raises
    ------
    SimulationError
        If the file cannot be read as a town; the message names the key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SimulationError(f"{path}: cannot read the town's configuration: {error}") from error
    if raw is None:
        return TownConfig()
    config = _build(TownConfig, raw, str(path))
    assert isinstance(config, TownConfig)
    return config


def _build(cls: type[Any], raw: Any, where: str) -> Any:
    if not isinstance(raw, Mapping):
        raise SimulationError(f"{where}: wanted a mapping, got {clip(repr(raw))}")
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    strange = sorted(map(str, set(raw) - known))
    if strange:
        raise SimulationError(f"{where}: {unknown('key', strange[0], known)}")
    fields = dataclasses.fields(cls)
    lacking = [f.name for f in fields if _required(f) and f.name not in raw]
    if lacking:
        raise SimulationError(f"{where}: wanted {', '.join(lacking)}, too")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in raw.items()}
    try:
        return cls(**values)
    except (TypeError, SimulationError) as error:
        raise SimulationError(f"{where}: {error}") from error


def _required(field: dataclasses.Field[Any]) -> bool:
    nothing = dataclasses.MISSING
    return field.default is nothing and field.default_factory is nothing


_KINDS = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false",
    date: "a day as 2026-06-01", type(None): "nothing",
}  # fmt: skip


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Rates:
        return _build(Rates, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise SimulationError(f"{where}: wanted a list, got {clip(repr(value))}")
        return tuple(_build(Incident, v, f"{where}[{i}]") for i, v in enumerate(value))
    allowed = typing.get_args(kind) if origin is types.UnionType else (origin or kind,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_mapping = Mapping in allowed or any(getattr(a, "__name__", "") == "Mapping" for a in allowed)
    if is_mapping and isinstance(value, Mapping):
        return dict(value)
    plain = tuple(a for a in allowed if isinstance(a, type))
    if not isinstance(value, plain) or (isinstance(value, bool) and bool not in plain):
        wanted = " or ".join(_KINDS.get(a, "a mapping") for a in allowed)
        raise SimulationError(f"{where}: wanted {wanted}, got {value!r}")
    return value
