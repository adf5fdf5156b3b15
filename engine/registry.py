"""The registry: subjects, meters and communities as dense rows, contiguous per community.

Everything per meter or subject is an array; ids are Arrow strings. Rows never leave the process:
what must last is named by id.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.attributes import Attributes
from connectors.tables import MetersTable, SubjectsTable
from engine.places import PlaceLayout
from engine.rows import indices_in

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class ClassKey:
    """What makes meters fall due together: utility, interval and, for daily slots, the zone."""

    utility: str
    interval_s: int
    phase_s: int = 0

    @property
    def label(self) -> str:
        """Name in the configuration, such as ``water@3600``."""
        return f"{self.utility}@{self.interval_s}"


@dataclass(slots=True)
class Subjects:
    """Subjects as columns; row order is registry order."""

    subject_id: pa.StringArray
    kind: NDArray[np.uint8]
    place: pa.StringArray
    community: NDArray[np.int32]
    """Index into :attr:`Registry.communities`; −1 without a place."""
    zone: NDArray[np.uint8]
    attrs: Attributes
    lat: NDArray[np.float32]
    """Degrees north; NaN where not known; empty if it is known of nobody."""

    def __len__(self) -> int:
        return len(self.subject_id)


@dataclass(slots=True)
class Meters:
    """Meters as columns; row order is registry order."""

    meter_id: pa.StringArray
    subject: NDArray[np.int32]
    """Registry row of the subject; −1 where the subject is unknown."""
    class_index: NDArray[np.uint8]
    class_row: NDArray[np.int32]
    register: NDArray[np.bool_]
    stamp_end: NDArray[np.bool_]
    scale: NDArray[np.float64]
    """Multiplier × unit factor: value in the file → canonical unit."""
    register_max: NDArray[np.float64]
    """In the file's unit; 0 where not given."""
    concentrator: NDArray[np.int32]
    """Index into :attr:`Registry.concentrators`; −1 where not given."""
    zone: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.meter_id)


class Registry:
    """All subjects and meters of a shard (or of a replay).

    Parameters
    ----------
    meters : MetersTable
        Meters file.
    subjects : SubjectsTable
        Subjects file.
    layout : PlaceLayout
        How place codes are read.
    """

    def __init__(self, meters: MetersTable, subjects: SubjectsTable, layout: PlaceLayout) -> None:
        self.layout = layout
        self.kinds: list[str] = []
        self.zones: list[str] = []
        self.communities: list[str] = []
        self.concentrators: list[str] = []
        self.classes: list[ClassKey] = []
        self.class_sizes: list[int] = []
        self.subjects = self._load_subjects(subjects)
        self.meters = self._load_meters(meters)
        self.key = hash_ids(self.subjects.subject_id)
        # Meters lie in the order of their subjects; those of unknown subjects come last.
        self._owners = np.where(self.meters.subject < 0, 2**30, self.meters.subject)

    # -- loading --------------------------------------------------------------------------

    def _load_subjects(self, table: SubjectsTable) -> Subjects:
        width = self.layout.length(self.layout.shard_level)
        community_code = pc.utf8_slice_codeunits(table.place, 0, width)
        encoded = community_code.dictionary_encode()
        codes = encoded.dictionary.to_pylist()
        order = sorted(range(len(codes)), key=codes.__getitem__)
        self.communities = [codes[i] for i in order if codes[i]]
        rank = np.full(len(codes) + 1, -1, np.int32)
        for new, old in enumerate(i for i in order if codes[i]):
            rank[old] = new
        community = rank[encoded.indices.to_numpy(zero_copy_only=False)]
        rows = np.argsort(np.where(community < 0, 2**30, community), kind="stable")
        take = pa.array(rows)
        self.kinds, self.zones = list(table.kinds), list(table.zones)
        said = np.array([_number(attrs.get("lat")) for attrs in table.attrs.distinct])
        lat = np.where(np.isfinite(said[table.attrs.code]), said[table.attrs.code], table.lat)
        known = np.isfinite(lat).any()
        return Subjects(
            subject_id=table.subject_id.take(take),
            kind=table.kind[rows],
            place=table.place.take(take),
            community=community[rows],
            zone=table.zone[rows],
            attrs=table.attrs.take(rows),
            lat=lat[rows].astype(np.float32) if known else np.zeros(0, np.float32),
        )

    def _load_meters(self, table: MetersTable) -> Meters:
        subject = pc.index_in(table.subject_id, value_set=self.subjects.subject_id)
        subject_row = subject.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        order = np.argsort(np.where(subject_row < 0, 2**30, subject_row), kind="stable")
        take = pa.array(order)
        subject_row = subject_row[order]
        zone = np.where(subject_row >= 0, self.subjects.zone[subject_row], 0).astype(np.uint8)
        interval_s = np.asarray(table.interval_s)[order].astype(np.int64)
        phase_s = np.zeros(len(order), np.int64)
        daily = interval_s >= DAY_S
        if daily.any():
            offsets = np.array([_offset_s(z) for z in self.zones], np.int64)
            phase_s[daily] = -offsets[zone[daily]] % DAY_S
        combined = np.stack([table.utility[order].astype(np.int64), interval_s, phase_s], axis=1)
        unique, class_index = np.unique(combined, axis=0, return_inverse=True)
        class_index = class_index.reshape(-1)
        self.classes = [ClassKey(table.utilities[int(u)], int(i), int(p)) for u, i, p in unique]
        if len(self.classes) > 255:
            raise ValueError(f"{len(self.classes)} meter classes; at most 255 are possible")
        self.class_sizes = np.bincount(class_index, minlength=len(self.classes)).tolist()
        class_row = np.zeros(len(order), np.int32)
        for i, size in enumerate(self.class_sizes):
            class_row[class_index == i] = np.arange(size, dtype=np.int32)
        concentrator, self.concentrators = _codes(table.concentrator.take(take))
        if "" in self.concentrators:
            concentrator[concentrator == self.concentrators.index("")] = -1
        return Meters(
            meter_id=table.meter_id.take(take),
            subject=subject_row,
            class_index=class_index.astype(np.uint8),
            class_row=class_row,
            register=table.register[order],
            stamp_end=~table.stamp_start[order],
            scale=(table.multiplier * table.unit_scale)[order],
            register_max=np.nan_to_num(table.register_max[order]),
            concentrator=concentrator.astype(np.int32),
            zone=zone,
        )

    # -- questions ------------------------------------------------------------------------

    def subject_id(self, row: int) -> str:
        """Return a subject's id."""
        return str(self.subjects.subject_id[row].as_py())

    def place(self, row: int) -> str:
        """Return a subject's place code."""
        return str(self.subjects.place[row].as_py() or "")

    def meter_id(self, row: int) -> str:
        """Return a meter's id."""
        return str(self.meters.meter_id[row].as_py())

    def attrs(self, row: int) -> Mapping[str, Any]:
        """Return a subject's attributes."""
        attrs = self.subjects.attrs[row]
        lat = float(self.subjects.lat[row]) if len(self.subjects.lat) else np.nan
        return attrs if "lat" in attrs or np.isnan(lat) else {**attrs, "lat": round(lat, 6)}

    def kind(self, row: int) -> str:
        """Return a subject's kind."""
        return self.kinds[int(self.subjects.kind[row])]

    def zone(self, row: int) -> str:
        """Return a subject's time zone."""
        return self.zones[int(self.subjects.zone[row])]

    def subject_rows(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Return the rows of subjects; −1 for unknown ones."""
        found = pc.index_in(pa.array(ids, pa.string()), value_set=self.subjects.subject_id)
        rows: NDArray[np.int32] = found.fill_null(-1).to_numpy(zero_copy_only=False)
        return rows.astype(np.int32)

    def rows_of_kinds(self, kinds: Iterable[str]) -> NDArray[np.int32]:
        """Return the rows of subjects of some kinds that have a place, ascending."""
        wanted = [i for i, k in enumerate(self.kinds) if k in set(kinds)]
        mask = np.isin(self.subjects.kind, np.array(wanted, np.uint8))
        return np.flatnonzero(mask & (self.subjects.community >= 0)).astype(np.int32)

    def rows_at(self, place: str) -> NDArray[np.int32]:
        """Return the rows of subjects at or under a place."""
        under = pc.starts_with(self.subjects.place, place).to_numpy(zero_copy_only=False)
        return np.flatnonzero(under).astype(np.int32)

    def meters_of(self, row: int) -> NDArray[np.int32]:
        """Return the meter rows of a subject (contiguous by construction)."""
        first, last = indices_in(self._owners, (row, row + 1))
        return np.arange(first, last, dtype=np.int32)


def _number(value: object) -> float:
    """Return a number as it is, NaN for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else np.nan  # type: ignore[arg-type]


def hash_ids(ids: pa.StringArray) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each id: the key of all per-subject randomness, shape (N,)."""
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "little")
            for s in ids.to_pylist()
        ],
        np.uint64,
    )


def _codes(column: pa.StringArray) -> tuple[NDArray[np.int64], list[str]]:
    """Return dense codes of a string column and what they stand for, in sorted order."""
    encoded = column.dictionary_encode()
    words = [w or "" for w in encoded.dictionary.to_pylist()]
    order = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words) + 1, np.int64)
    for new, old in enumerate(order):
        rank[old] = new
    indices = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    if column.null_count:
        order.append(len(words))
        words.append("")
        rank[len(words) - 1] = len(words) - 1
    return rank[indices], [words[i] for i in order]


def _offset_s(zone: str) -> int:
    """Return a zone's standard offset from UTC in seconds."""
    from zoneinfo import ZoneInfo

    winter = dt.datetime(2001, 1, 15, tzinfo=ZoneInfo(zone))
    offset = winter.utcoffset()
    return int(offset.total_seconds()) if offset else 0
