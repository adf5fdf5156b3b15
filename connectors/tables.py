"""Meters, subjects and places as columns, every row checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.attributes import Attributes, check_subject, parse_attrs
from connectors.rows import Columns
from connectors.table_file import TableFile
from connectors.zones import zone_changes

METERS = Columns(
    "meters",
    ("meter_id", "subject_id", "utility", "kind", "unit", "interval_s"),
    ("multiplier", "stamp", "register_max", "concentrator"),
)
SUBJECTS = Columns(
    "subjects",
    ("subject_id", "kind", "place", "timezone"),
    ("attrs", "lat", "lon", "calendar"),
)
PLACES = Columns("places", ("place",), ("parent", "name", "level"))

UNITS: Mapping[str, tuple[str, float]] = {
    "kWh": ("kWh", 1.0),
    "Wh": ("kWh", 0.001),
    "MWh": ("kWh", 1000.0),
    "MJ": ("kWh", 1 / 3.6),
    "GJ": ("kWh", 1000 / 3.6),
    "l": ("l", 1.0),
    "m3": ("l", 1000.0),
    "m³": ("l", 1000.0),
}
"""Known units: canonical unit of the detectors, and how many of it one unit is."""
_ENERGY = frozenset(u for u, (base, _) in UNITS.items() if base == "kWh")
_VOLUME = frozenset(u for u, (base, _) in UNITS.items() if base == "l")
UTILITY_UNITS: Mapping[str, frozenset[str]] = {
    "electricity": _ENERGY,
    "water": _VOLUME,
    "gas": _ENERGY | _VOLUME,
    "heat": _ENERGY,
}
"""Units that make sense for the usual utilities; any other utility may have any unit."""


@dataclass(frozen=True, slots=True)
class MetersTable:
    """Meters as columns, all of length n, in file order.

    Parameters
    ----------
    name : str
        File.
    meter_id, subject_id : pyarrow.StringArray
    utility : ndarray of uint8
        Index into `utilities`.
    register : ndarray of bool
        Cumulative register (True) or amount of the interval.
    unit : ndarray of uint8
        Index into `units`: canonical units (``kWh``, ``l``), or as written where not known.
    unit_scale : ndarray of float64
        Canonical units in one unit of the file.
    interval_s : ndarray of int32
    multiplier : ndarray of float64
        CT × PT; default 1.
    stamp_start : ndarray of bool
        Stamps name the start of the interval (default: its end).
    register_max : ndarray of float64
        Register value at which the meter rolls over, in its own unit; NaN where not known.
    concentrator : pyarrow.StringArray
        Empty where not known.
    """

    name: str
    meter_id: pa.StringArray
    subject_id: pa.StringArray
    utility: NDArray[np.uint8]
    utilities: tuple[str, ...]
    register: NDArray[np.bool_]
    unit: NDArray[np.uint8]
    units: tuple[str, ...]
    unit_scale: NDArray[np.float64]
    interval_s: NDArray[np.int32]
    multiplier: NDArray[np.float64]
    stamp_start: NDArray[np.bool_]
    register_max: NDArray[np.float64]
    concentrator: pa.StringArray

    def __len__(self) -> int:
        return len(self.meter_id)


@dataclass(frozen=True, slots=True)
class SubjectsTable:
    """Subjects as columns, all of length n, in file order.

    Parameters
    ----------
    name : str
        File.
    subject_id : pyarrow.StringArray
    kind : ndarray of uint8
        Index into `kinds`.
    place : pyarrow.StringArray
        Place code; empty for a subject without place (rows of its meters get ``NO_PLACE``).
    zone : ndarray of uint8
        Index into `zones` (IANA names).
    attrs : Attributes
        What else is said of each subject.
    lat, lon : ndarray of float64
        Degrees; NaN where not known.
    calendar : pyarrow.StringArray
        Name of a holiday calendar; empty where not given.
    """

    name: str
    subject_id: pa.StringArray
    kind: NDArray[np.uint8]
    kinds: tuple[str, ...]
    place: pa.StringArray
    zone: NDArray[np.uint8]
    zones: tuple[str, ...]
    attrs: Attributes
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    calendar: pa.StringArray

    def __len__(self) -> int:
        return len(self.subject_id)


@dataclass(frozen=True, slots=True)
class PlacesTable:
    """Nodes of the address tree as columns, in file order; `parent` is empty where not given."""

    name: str
    place: pa.StringArray
    parent: pa.StringArray
    label: pa.StringArray
    level: pa.StringArray

    def __len__(self) -> int:
        return len(self.place)


def read_meters(path: str) -> MetersTable:
    """Read a meters file (CSV, Parquet, NDJSON, Arrow IPC or xlsx).

    Raises
    ------
    InputError
        If the file cannot be used.
    TableError
        All problems of its rows at once.
    """
    return meters_of(TableFile.load(path, METERS))


def meters_of(table: TableFile) -> MetersTable:
    """Return the meters of a table that was read or made; raises TableError as a file would."""
    meter_id = table.unique("meter_id")
    subject_id = table.text("subject_id", required=True)
    utility, utilities = table.code("utility")
    kind, _ = table.code("kind", ("interval", "register"))
    unit, units, scale = _units(table, utility, utilities)
    interval_s = table.number(
        "interval_s", "a whole number of seconds, 1 or more",
        lambda x: (x >= 1) & (x <= 2**31 - 1) & (x == np.floor(x)),
    )  # fmt: skip
    multiplier = table.number("multiplier", "a number > 0", lambda x: x > 0, empty=1)
    stamp, _ = table.code("stamp", ("end", "start"), empty="end")
    register_max = table.number("register_max", "a number > 0", lambda x: x > 0, empty=np.nan)
    table.done()
    return MetersTable(
        table.name, meter_id, subject_id, utility, utilities, kind == 1, unit, units, scale,
        interval_s.astype(np.int32), multiplier, stamp == 1, register_max,
        table.text("concentrator"),
    )  # fmt: skip


def _units(
    table: TableFile, utility: NDArray[np.uint8], utilities: tuple[str, ...]
) -> tuple[NDArray[np.uint8], tuple[str, ...], NDArray[np.float64]]:
    """Return (index, canonical units, scale); note units that do not fit their utility."""
    index, written = table.code("unit")
    exact = {u.lower(): u for u in UNITS}
    # "mwh" could be milli or mega, but meters count kWh and MWh.
    named = [exact.get(w.lower(), w) for w in written]
    canonical = [UNITS[w][0] if w in UNITS else w for w in named]
    names = tuple(dict.fromkeys(canonical))
    for u, name in enumerate(utilities):
        allowed = UTILITY_UNITS.get(name)
        if allowed is None:
            continue
        wrong = np.array([w not in allowed for w in named] or [False])
        bad = (utility == u) & wrong[index] & ~_empty(table, "unit") & ~_empty(table, "utility")
        table.note_all(bad, "unit", f"does not fit {name}", " or ".join(sorted(allowed)))
    to_name = np.array([names.index(c) for c in canonical] or [0], np.uint8)
    scale = np.array([UNITS[w][1] if w in UNITS else 1.0 for w in named] or [1.0])
    return to_name[index], names, scale[index]


def read_subjects(path: str) -> SubjectsTable:
    """Read a subjects file (CSV, Parquet, NDJSON, Arrow IPC or xlsx).

    Raises
    ------
    InputError
        If the file cannot be used.
    TableError
        All problems of its rows at once.
    """
    return subjects_of(TableFile.load(path, SUBJECTS))


def subjects_of(table: TableFile) -> SubjectsTable:
    """Return the subjects of a table that was read or made; raises TableError as a file would."""
    subject_id = table.unique("subject_id")
    kind, kinds = table.code("kind")
    place = table.place("place")
    zone, zones = table.code("timezone")
    for z, name in enumerate(zones):
        try:
            zone_changes(name)
        except KeyError:
            table.note_all(
                (zone == z) & ~_empty(table, "timezone"),
                "timezone", "is not known", "an IANA name, e.g. Asia/Shanghai",
            )  # fmt: skip
    attrs = _attributes(table, kind, kinds)
    lat = table.number("lat", "−90 … 90", lambda x: np.abs(x) <= 90, empty=np.nan)
    lon = table.number("lon", "−180 … 180", lambda x: np.abs(x) <= 180, empty=np.nan)
    table.done()
    return SubjectsTable(
        table.name, subject_id, kind, kinds, place, zone, zones, attrs, lat, lon,
        table.text("calendar"),
    )  # fmt: skip


def _attributes(table: TableFile, kind: NDArray[np.uint8], kinds: Sequence[str]) -> Attributes:
    """Parse each distinct text once, and check it once for each kind of subject that has it."""
    encoded = table.columns["attrs"].dictionary_encode()
    text = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    parsed = [parse_attrs(t) for t in encoded.dictionary.to_pylist()]
    column = Attributes.of([value for value, _ in parsed])
    pairs, pair_of = np.unique(text * len(kinds) + kind, return_inverse=True)
    for i, pair in enumerate(pairs.tolist()):
        value, problem = parsed[pair // len(kinds)]
        problems = [problem] if problem else check_subject(kinds[pair % len(kinds)], value)
        for row in np.flatnonzero(pair_of == i).tolist() if problems else ():
            for what, got, wanted in problems:
                table.note(row + 1, f"attrs: {what}", got=got, wanted=wanted)
    return Attributes(column.code[text], column.distinct)


def read_places(path: str) -> PlacesTable:
    """Read a places file (CSV, Parquet, NDJSON, Arrow IPC or xlsx).

    Raises
    ------
    InputError
        If the file cannot be used.
    TableError
        All problems of its rows at once.
    """
    table = TableFile.load(path, PLACES)
    table.unique("place")
    place = table.place("place")
    parent = table.place("parent")
    own = pc.and_(pc.equal(parent, place), pc.not_equal(place, ""))
    table.note_all(
        own.to_numpy(zero_copy_only=False), "parent", "is the place itself", "a node above"
    )
    table.done()
    return PlacesTable(table.name, place, parent, table.text("name"), table.text("level"))


def _empty(table: TableFile, column: str) -> NDArray[np.bool_]:
    return _mask_any(table.columns[column], ("",))


def _mask_any(values: pa.StringArray, words: tuple[str, ...]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(values, pa.array(words, pa.string())).to_numpy(
        zero_copy_only=False
    )
    return found
