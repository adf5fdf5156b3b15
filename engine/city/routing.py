"""Which shard a meter, an event or a place belongs to: whole communities, by a hash of their code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.records import Event
from connectors.tables import MetersTable, SubjectsTable
from engine.partition import partition, shard_of
from engine.places import PlaceLayout
from engine.registry import Registry


class Routing:
    """The way from ids to shards.

    Parameters
    ----------
    meters, subjects : tables
        Of the whole district.
    layout : PlaceLayout
    shards : int
        Number of shards: partitions of the log, fixed for a district's life.
    """

    def __init__(
        self, meters: MetersTable, subjects: SubjectsTable, layout: PlaceLayout, shards: int
    ) -> None:
        self.shards = shards
        self.layout = layout
        self.tables = meters, subjects
        self.whole = Registry(meters, subjects, layout)
        of_community = np.array([shard_of(c, shards) for c in self.whole.communities], np.int32)
        # A subject without a place has the empty code, as `partition` has it.
        of_community = np.append(of_community, np.int32(shard_of("", shards)))
        self.of_subject: NDArray[np.int32] = of_community[self.whole.subjects.community]
        owner = self.whole.meters.subject
        self.of_meter: NDArray[np.int32] = np.where(
            owner >= 0, self.of_subject[owner], np.int32(0)
        ).astype(np.int32)
        self._by_code = dict(zip(self.whole.communities, of_community.tolist(), strict=False))
        self.meter_id: pa.StringArray = self.whole.meters.meter_id

    def of_event(self, event: Event) -> list[int]:
        """Return the shards that an event concerns.

        One about a subject or a place within a community goes to one; one about a street, a county
        or the whole district goes to every shard that holds part of it.
        """
        if event.subject_id:
            row = int(self.whole.subject_rows([event.subject_id])[0])
            if row >= 0:
                return [int(self.of_subject[row])]
        if not event.place:
            return list(range(self.shards))
        code = self.layout.at(event.place, self.layout.shard_level)
        if len(code) >= self.layout.length(self.layout.shard_level):
            return [self._by_code.get(code, shard_of(code, self.shards))]
        return sorted({s for c, s in self._by_code.items() if c.startswith(event.place)})

    def registries(self, wanted: Sequence[int]) -> dict[int, Registry]:
        """Return the registries of some shards."""
        parts = partition(*self.tables, self.layout, self.shards, only=wanted)
        return dict(zip(wanted, parts, strict=True))

    @property
    def peopled(self) -> list[int]:
        """Shards that have subjects; the others have nothing to say."""
        return np.unique(self.of_subject).tolist()
