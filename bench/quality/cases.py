"""Real homes, and collapses cut into them, as the files that ``gridwarden replay`` reads.

For each home, waking hours in which it was active (after 28 days) are drawn; from each, the record
is continued for 72 hours with the home's own standby (a register that stands still, or the loads
of its quiet nights) while readings go on arriving. Each such case is a home of its own in a
community of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from connectors.sources import ReadingSource
from connectors.zones import zone_changes
from engine.config import Config
from engine.inputs import directory_of, load_registry
from engine.simulate import Town, TownConfig

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
REPLACED_H = 72
BURN_IN_D = 28
ABSENT_H = 24
REMEMBERED_D = 90
"""More than `inactivity` remembers: older readings change nothing under given prices."""
WAKING_H = (7, 20)
SETS = ("homes_water", "homes_power")
_ZONES = {"homes_water": "Europe/Madrid", "homes_power": "Australia/Brisbane"}
SIMULATED = "simulated"
TOWN = TownConfig(
    elderly=40, homes=0, rentals=0, vacant=0, plants=0, closed_plants=0, sensors=0, gas_share=0.0,
    register_share=0.0, electricity_interval_s=3600, feeds=False, weather=False,
)  # fmt: skip
"""Elderly people with a water register each, who visit, fall ill and holiday as the simulator does."""
_TABLES = {
    "meters": "meter_id subject_id utility kind unit interval_s multiplier stamp",
    "subjects": "subject_id kind place timezone attrs",
    "events": "event_id ts kind subject_id place attrs",
}


def data_folder() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("GRIDWARDEN_DATA", "../shared/data"))


@dataclass(frozen=True, slots=True)
class Home:
    """One home's readings in UTC, in order."""

    meter_id: str
    place: str
    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    register: bool
    zone: str

    def clock(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the local hour of the day, summer time and all."""
        first, changes = zone_changes(self.zone)
        at = np.array([utc_s for utc_s, _ in changes], np.int64)
        offset = np.array([first, *(offset_s for _, offset_s in changes)], np.int64)
        seconds = ts_ns // 10**9
        hour: NDArray[np.int64] = (
            (seconds + offset[np.searchsorted(at, seconds, side="right")]) // 3600 % 24
        )
        return hour

    @property
    def active(self) -> float:
        """Use in an hour above which somebody is there: litres, or kWh."""
        return 1.0 if self.register else 0.25

    @property
    def begin_s(self) -> int:
        """Day 28, seconds since the epoch: alerts count from here."""
        return int(self.ts_ns[0] // 10**9) + BURN_IN_D * 86_400

    @property
    def exposure_years(self) -> float:
        """Home-years from day 28 to the last reading, gaps included."""
        return float(max(0, self.ts_ns[-1] // 10**9 - self.begin_s) / (365 * 86_400))

    def use(self) -> tuple[int, NDArray[np.float64]]:
        """Return (first hour, use per hour; NaN without readings)."""
        if self.register:
            top = np.maximum.accumulate(self.value)
            amount, at = np.diff(top), self.ts_ns[1:] - 1
        else:
            amount, at = self.value, self.ts_ns
        hour = at // HOUR_NS
        first = int(hour[0])
        total = np.zeros(int(hour[-1]) - first + 1)
        np.add.at(total, hour - first, amount)
        total[np.bincount(hour - first, minlength=len(total)) == 0] = np.nan
        return first, total


def load_homes(name: str) -> list[Home]:
    """Return the homes of a set, with UTC stamps; `simulated`: of a town made for it."""
    if name != SIMULATED:
        return _homes_in(data_folder() / name, _ZONES[name])
    with tempfile.TemporaryDirectory() as folder:
        Town(TOWN).generate(days=240, seed=11).write(Path(folder))
        homes = _homes_in(Path(folder), TOWN.timezone)
    return [home for home in homes if home.meter_id.startswith("elder-") and home.register]


def _homes_in(folder: Path, zone: str) -> list[Home]:
    registry = load_registry(str(folder / "meters.csv"), str(folder / "subjects.csv"), Config())
    source = ReadingSource(str(folder / "readings.csv.gz"), directory_of(registry))
    parts = []
    while (block := source.next_record()) is not None:
        good = block.fault == 0
        parts.append((block.meter[good], block.ts_ns[good], block.value[good]))
    meter, ts, value = (np.concatenate([p[i] for p in parts]) for i in range(3))
    homes = []
    for row in range(len(registry.meters)):
        mine = np.flatnonzero(meter == row)
        mine = mine[np.argsort(ts[mine], kind="stable")]
        homes.append(
            Home(
                registry.meter_id(row),
                registry.place(int(registry.meters.subject[row])),
                ts[mine],
                value[mine],
                bool(registry.meters.register[row]),
                zone,
            )
        )
    return homes


def plain_rule_visits(homes: list[Home], hours: int, gaps: bool) -> float:
    """Return the false visits a home-year of "no use for so many hours" on untouched records.

    With `gaps`, hours without readings count as silent, else they are passed over.
    """
    visits, years = 0, 0.0
    for home in homes:
        _first, use = home.use()
        silent = 0
        for h, amount in enumerate(use):
            if np.isnan(amount) and not gaps:
                continue
            silent = silent + 1 if not amount > home.active else 0
            visits += int(silent == hours and h >= BURN_IN_D * 24)
        years += home.exposure_years
    return visits / years


def draw(home: Home, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return starts (hours since the epoch, UTC) of collapses in a home."""
    first, use = home.use()
    hours = np.arange(first, first + len(use))
    clock = home.clock(hours * HOUR_NS)
    fits = np.isfinite(use) & (use > home.active)
    fits &= (clock >= WAKING_H[0]) & (clock <= WAKING_H[1])
    fits &= (hours >= first + BURN_IN_D * 24) & (hours < first + len(use) - REPLACED_H)
    eligible = hours[fits]
    return np.sort(rng.choice(eligible, min(count, len(eligible)), replace=False))


def collapsed(
    home: Home, start_h: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the record up to a collapse, and 72 hours of standby after it."""
    start, stop = start_h * HOUR_NS, (start_h + REPLACED_H) * HOUR_NS
    keep = home.ts_ns < stop
    ts, value = home.ts_ns[keep], home.value[keep].copy()
    after = ts >= start
    if home.register:
        value[after] = value[~after][-1]
        return ts, value
    before = ts[~after]
    nights = home.clock(before) < 5
    recent = before >= start - 28 * DAY_NS
    pool = value[~after][nights & recent]
    quiet = pool[pool <= np.quantile(pool, 0.4)]
    value[after] = rng.choice(quiet, int(after.sum()))
    return ts, value


def absences(home: Home, until_h: int | None = None) -> list[tuple[int, int]]:
    """Return silences of 24 hours and more as (first hour, hour of return)."""
    first, use = home.use()
    found = []
    begin = None
    for h, amount in enumerate([*use, np.inf]):
        silent = not amount > home.active
        if silent and begin is None:
            begin = h
        if not silent and begin is not None:
            if h - begin >= ABSENT_H and (until_h is None or first + h <= until_h):
                found.append((first + begin, first + h))
            begin = None
    return found


@dataclass(slots=True)
class District:
    """Homes to be written as one district; `starts` has the collapses by subject."""

    name: str
    ids: list[str] = field(default_factory=list)
    columns: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]] = field(
        default_factory=list
    )
    meters: list[list[str]] = field(default_factory=list)
    subjects: list[list[str]] = field(default_factory=list)
    events: list[list[str]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)

    def add(
        self, subject: str, place: str, ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> None:
        """Add one home with one meter."""
        kind = ["water", "register", "l", "3600", "1", "end"]
        if self.name == "homes_power":
            kind = ["electricity", "interval", "kWh", "1800", "1", "start"]
        self.ids.append(f"m-{subject}")
        self.columns.append((np.full(len(ts), len(self.ids) - 1, np.int32), ts, value))
        self.meters.append([f"m-{subject}", subject, *kind])
        self.subjects.append([subject, "elderly_alone", place, _ZONES[self.name], "{}"])

    def away(self, subject: str, spans: list[tuple[int, int]], told: str = "until") -> None:
        """Declare absences (hours since the epoch) when they begin."""
        for begin, end in spans:
            a, b = (f"{np.datetime64(x * 3600, 's')}Z" for x in (begin, end))
            attrs = json.dumps({"from": a, told: b})
            self.events.append([f"abs-{subject}-{begin}", a, "absence", subject, "", attrs])

    def write(self, folder: Path) -> dict[str, str]:
        """Write the district's files; return their paths."""
        meter, ts, value = (np.concatenate([c[i] for c in self.columns]) for i in range(3))
        order = np.lexsort((meter, ts))
        table = pa.table(
            {
                "meter_id": pa.DictionaryArray.from_arrays(meter[order], pa.array(self.ids)),
                "ts": pa.array(ts[order], pa.timestamp("ns", tz="UTC")),
                "value": value[order],
            }
        )
        folder.mkdir(parents=True, exist_ok=True)
        paths = {n: str(folder / f"{n}.csv") for n in _TABLES}
        paths["readings"] = str(folder / "readings.parquet")
        pq.write_table(table, paths["readings"])
        rows: dict[str, list[list[str]]] = {
            "meters": self.meters,
            "subjects": self.subjects,
            "events": sorted(self.events, key=lambda r: r[1]),
        }
        for table_name, heads in _TABLES.items():
            names = heads.split()
            data: dict[str, Any] = {
                n: pa.array([r[i] for r in rows[table_name]], pa.string())
                for i, n in enumerate(names)
            }
            pa_csv.write_csv(pa.table(data), paths[table_name])
        return paths


def untouched(name: str, homes: list[Home], declared: bool) -> District:
    """Return the homes as they are."""
    district = District(name)
    for i, home in enumerate(homes):
        subject = f"home-{i:03d}"
        district.add(subject, home.place, home.ts_ns, home.value)
        if declared:
            district.away(subject, absences(home))
    return district


def add_cases(
    district: District, homes: list[Home], per_home: int, seed: int, declared: bool, whole: bool
) -> None:
    """Add collapses, each as a home of its own in a community of its own.

    With the `whole` record before the collapse, or only what `inactivity` remembers of it.
    """
    rng = np.random.default_rng(seed)
    number = 0
    for i, home in enumerate(homes):
        for start in draw(home, per_home, rng).tolist():
            number += 1
            subject = f"case-{i:03d}-{start}"
            place = f"3301{number // 900 + 10:02d}{number % 900 + 1:03d}001001"
            district.starts[subject] = start
            ts, value = collapsed(home, start, rng)
            begin = 0 if whole else start * HOUR_NS - REMEMBERED_D * DAY_NS
            district.add(subject, place, ts[ts >= begin], value[ts >= begin])
            if declared:
                spans = [s for s in absences(home, start) if s[1] * HOUR_NS > begin]
                district.away(subject, spans)
