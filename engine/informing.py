"""What detectors are told of their subjects: attributes, permits, absences, outages."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine import notices
from engine.context import ABSENT, POWER_CUT, Interval
from engine.notices import Notice
from engine.rows import indices_in

if TYPE_CHECKING:
    from engine.groups import Group
    from engine.shard import ShardRunner

NOTICE_OF_CONTEXT = {ABSENT: "absence", POWER_CUT: "outage"}


class Informer:
    """Tells a shard's detectors what is known of their subjects, many at once.

    Parameters
    ----------
    shard : ShardRunner
        The shard, whose registry and groups it reads.
    """

    def __init__(self, shard: ShardRunner) -> None:
        self.shard = shard

    def everything(
        self, groups: Sequence[Group], last_day: int | None, held: Iterable[Interval]
    ) -> None:
        """Tell groups that came later all that the others know.

        That is the registry, the permits of `last_day` and the day after, and the absences, works
        and power cuts that hold.
        """
        days = []
        if last_day is not None:
            first = dt.date(1970, 1, 1) + dt.timedelta(days=last_day)
            days = [first, first + dt.timedelta(days=1)]
        self.registry(groups, days)
        for one in held:
            kind = NOTICE_OF_CONTEXT.get(one.kind)
            if kind is not None and one.row >= 0:
                notice = Notice(kind, one.start_ns, one.end_ns)
                self.tell(notice, np.array([one.row], np.int32), groups)

    def registry(self, groups: Sequence[Group] | None = None, days: Sequence[dt.date] = ()) -> None:
        """Tell what attributes and coordinates say, and permits of some days."""
        registry = self.shard.registry
        found = []
        attributes = registry.subjects.attrs
        for row in attributes.rows_with(notices.STANDING | notices.PERMITTED).tolist():
            attrs, zone = registry.attrs(row), registry.zone(row)
            found += [(row, notice) for notice in notices.of_attributes(attrs, zone)]
            found += [(row, notice) for notice in notices.permits_of(attrs, days, zone)]
        self._tell_many(found, groups)
        north = np.flatnonzero(np.isfinite(registry.subjects.lat)).astype(np.int32)
        never = np.zeros(len(north), np.int64)
        self._tell("latitude", north, never, never, registry.subjects.lat[north], groups)

    def permits(self, days: Sequence[dt.date]) -> None:
        """Tell the permits of some days."""
        registry = self.shard.registry
        self._tell_many(
            (row, notice)
            for row in registry.subjects.attrs.rows_with(notices.PERMITTED).tolist()
            for notice in notices.permits_of(registry.attrs(row), days, registry.zone(row))
        )

    def tell(
        self, notice: Notice, rows: NDArray[np.int32], groups: Sequence[Group] | None = None
    ) -> None:
        """Tell one notice of some subjects."""
        n = len(rows)
        start_ns, end_ns = np.full(n, notice.start_ns), np.full(n, notice.end_ns)
        self._tell(
            notice.kind, rows, start_ns, end_ns, np.full(n, notice.value, np.float32), groups
        )

    def _tell_many(
        self, found: Iterable[tuple[int, Notice]], groups: Sequence[Group] | None = None
    ) -> None:
        """Tell detectors of many subjects at once; what is told of one subject keeps its order."""
        batches: dict[tuple[str, int], list[tuple[int, Notice]]] = {}
        told: Counter[tuple[str, int]] = Counter()
        for row, notice in found:
            batches.setdefault((notice.kind, told[notice.kind, row]), []).append((row, notice))
            told[notice.kind, row] += 1
        for (kind, _), batch in sorted(batches.items(), key=lambda b: b[0]):
            self._tell(
                kind,
                np.array([row for row, _ in batch], np.int32),
                np.array([n.start_ns for _, n in batch], np.int64),
                np.array([n.end_ns for _, n in batch], np.int64),
                np.array([n.value for _, n in batch], np.float32),
                groups,
            )

    def _tell(
        self,
        kind: str,
        rows: NDArray[np.int32],
        start_ns: NDArray[np.int64],
        end_ns: NDArray[np.int64],
        value: NDArray[np.float32],
        groups: Sequence[Group] | None,
    ) -> None:
        """Tell the detectors of some subjects that understand this kind of notice."""
        for group in self.shard.groups if groups is None else groups:
            detector = group.detector
            if detector.grain == "place" or group.series or kind not in detector.informs:
                continue
            index = indices_in(group.subject_rows, rows)
            inside = index < len(group.subject_rows)
            inside[inside] = group.subject_rows[index[inside]] == rows[inside]
            mine = index[inside].astype(np.int32)
            if len(mine):
                detector.inform(kind, mine, start_ns[inside], end_ns[inside], value[inside])
