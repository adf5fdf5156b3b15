"""Shards: whole communities, so that homes, neighbours and events of a place stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.ids import IdMap
from connectors.tables import MetersTable, SubjectsTable
from engine.places import PlaceLayout
from engine.registry import Registry


def shard_of(community: str, shards: int) -> int:
    """Return the shard of a community: a hash, so that it never depends on who else is there.

    >>> 0 <= shard_of("330106001001", 10) < 10
    True
    """
    digest = hashlib.blake2b(community.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shards


def partition(
    meters: MetersTable,
    subjects: SubjectsTable,
    layout: PlaceLayout,
    shards: int,
    only: Sequence[int] | None = None,
) -> list[Registry]:
    """Return a registry per shard (or of some shards only); each subject and meter is in one.

    Meters of unknown subjects go to shard 0, where their rows are refused.
    """
    width = layout.length(layout.shard_level)
    codes = pc.utf8_slice_codeunits(subjects.place, 0, width).dictionary_encode()
    by_code = np.array([shard_of(c, shards) for c in codes.dictionary.to_pylist()] or [0])
    subject_shard = by_code[codes.indices.to_numpy(zero_copy_only=False)]
    owner = pc.index_in(meters.subject_id, value_set=subjects.subject_id).fill_null(-1)
    row = owner.to_numpy(zero_copy_only=False)
    meter_shard = np.where(row >= 0, subject_shard[row], 0)
    return [
        Registry(
            _meters(meters, np.flatnonzero(meter_shard == i)),
            _subjects(subjects, np.flatnonzero(subject_shard == i)),
            layout,
        )
        for i in (range(shards) if only is None else only)
    ]


def routes(whole: Registry, parts: list[Registry]) -> NDArray[np.int32]:
    """Return, for each meter row of the whole, its shard and its row there, shape (meters, 2)."""
    result = np.full((len(whole.meters), 2), -1, np.int32)
    result[:, 0] = 0
    for i, part in enumerate(parts):
        ids = IdMap()
        ids.put(part.meters.meter_id, np.arange(len(part.meters)))
        local = ids.lookup(whole.meters.meter_id)
        result[local >= 0] = np.stack(
            [np.full((local >= 0).sum(), i), local[local >= 0]], axis=1
        ).astype(np.int32)
    return result


def _meters(table: MetersTable, rows: NDArray[np.int64]) -> MetersTable:
    take = pa.array(rows)
    return replace(
        table,
        meter_id=table.meter_id.take(take),
        subject_id=table.subject_id.take(take),
        utility=table.utility[rows],
        register=table.register[rows],
        unit=table.unit[rows],
        unit_scale=table.unit_scale[rows],
        interval_s=table.interval_s[rows],
        multiplier=table.multiplier[rows],
        stamp_start=table.stamp_start[rows],
        register_max=table.register_max[rows],
        concentrator=table.concentrator.take(take),
    )


def _subjects(table: SubjectsTable, rows: NDArray[np.int64]) -> SubjectsTable:
    take = pa.array(rows)
    return replace(
        table,
        subject_id=table.subject_id.take(take),
        kind=table.kind[rows],
        place=table.place.take(take),
        zone=table.zone[rows],
        attrs=table.attrs.take(rows),
        lat=table.lat[rows],
        lon=table.lon[rows],
        calendar=table.calendar.take(take),
    )
