"""Subjects that events make: counts of some events per place and, say, topic.

Nobody lists them: a row comes to be with its first event. From then on it is a subject like any
other, named ``place:value``, watched by the same detectors and rules, in the shard that owns the
place. Rows are in order of appearance and never leave the process by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.records import Event
from detectors.base import NS, Channel
from engine.places import PlaceLayout
from engine.registry import hash_ids
from rules.model import Selector, Series
from rules.windows import Happening

LATENESS_S = 900
"""How long events may take to arrive before their slot is counted."""
KEEP_NS = 3 * 86_400 * NS
"""How long events are kept to say which ones made an alert, where no window asks for more."""
MOST_VALUES = 200
"""Different values of ``by`` at one place; what comes above is counted together, as ``…``."""
NOTHING, OTHERS = "-", "…"


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What tells two definitions apart."""

    series: Series
    places: tuple[str, ...]

    @classmethod
    def of(cls, selector: Selector) -> SeriesKey:
        """Return the definition of a rule's subjects."""
        assert selector.series is not None
        return cls(selector.series, selector.place_prefixes)

    def __hash__(self) -> int:
        return hash(repr(self))


class SeriesRows:
    """The subjects of one definition and their open counts.

    Parameters
    ----------
    key : SeriesKey
        Which events, gathered how.
    layout : PlaceLayout
        How place codes are read.
    owns : callable
        Whether a place is this shard's.
    zone_of : callable
        Index of a place's time zone.
    """

    def __init__(
        self,
        key: SeriesKey,
        layout: PlaceLayout,
        owns: Callable[[str], bool],
        zone_of: Callable[[str], int],
    ) -> None:
        self.key = key
        self.use = key.series
        self.kind = f"{self.use.at}_{self.use.by or 'events'}"
        self.ids: list[str] = []
        self.places: list[str] = []
        self.values: list[str] = []
        self.zone: list[int] = []
        self.pool: list[int] = []
        """The grid × value each row belongs to, for detectors that compare like with like."""
        self.since: list[int] = []
        """Slot of the first event that the row's community ever had of these kinds: before it
        nothing is known, after it none is zero."""
        self.closed_slot: int | None = None
        self.late = 0
        """Events whose slot had been counted already; they are kept, but not counted."""
        self._layout = layout
        self._owns = owns
        self._zone_of = zone_of
        self._row: dict[str, int] = {}
        self._pool: dict[str, int] = {}
        self._values_at: dict[str, int] = {}
        self._began: dict[str, int] = {}
        self._open: dict[int, dict[int, float]] = {}
        self._recent: dict[int, list[Happening]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def slot_ns(self) -> int:
        """Length of a slot."""
        return self.use.every_s * NS

    def keys(self, start: int) -> NDArray[np.uint64]:
        """Return the hashes of the ids from row `start` on."""
        return hash_ids(pa.array(self.ids[start:], pa.string()))

    def row(self, subject_id: str) -> int | None:
        """Return the row of an id."""
        return self._row.get(subject_id)

    # -- events ---------------------------------------------------------------------------

    def take(self, event: Event, place: str) -> int | None:
        """Count an event at a place code; return its row, or None if it is not for these."""
        use = self.use
        if event.kind not in use.kinds or any(
            event.attrs.get(name) not in allowed for name, allowed in use.where.items()
        ):
            return None
        if not place or not self._owns(place):
            return None
        grid = self._layout.length("grid") if "grid" in self._layout.levels else 0
        if use.at == "address" and not event.subject_id and len(place) <= grid:
            return None
        if self.key.places and not place.startswith(self.key.places):
            return None
        slot = event.ts_ns // self.slot_ns
        row = self._row_of(event, place, slot)
        if self.closed_slot is not None and slot <= self.closed_slot:
            self.late += 1
        else:
            counts = self._open.setdefault(slot, {})
            counts[row] = counts.get(row, 0.0) + self._amount(event)
        happening = Happening(event.ts_ns, event.kind, dict(event.attrs), event.event_id)
        self._recent.setdefault(row, []).append(happening)
        return row

    def _row_of(self, event: Event, place: str, slot: int) -> int:
        use = self.use
        own = use.at in ("address", "place")
        where = place if own else self._layout.at(place, use.at)
        if own and event.subject_id:
            where = event.subject_id
        given = event.attrs.get(use.by) if use.by is not None else ".".join(use.kinds)
        value = NOTHING if given is None else str(given)
        name = f"{where}:{value}"
        if name not in self._row and self._values_at.get(where, 0) >= MOST_VALUES:
            value, name = OTHERS, f"{where}:{OTHERS}"
        row = self._row.get(name)
        if row is None:
            row = self._row[name] = len(self.ids)
            self._values_at[where] = self._values_at.get(where, 0) + 1
            shown = place if own else where
            pool = f"{self._layout.at(shown, 'grid')}:{value}"
            self.ids.append(name)
            self.places.append(shown)
            self.values.append(value)
            self.zone.append(self._zone_of(shown))
            # A community is always in one shard, whatever their number: its first event is the
            # same for all.
            self.since.append(self._began.setdefault(self._layout.shard_key(place), slot))
            self.pool.append(self._pool.setdefault(pool, len(self._pool)))
        return row

    def _amount(self, event: Event) -> float:
        amount = 1.0 if self.use.amount is None else event.attrs.get(self.use.amount, 1.0)
        usable = isinstance(amount, int | float) and 0 <= amount < 1e9
        return float(amount) if usable else 1.0

    # -- slots ----------------------------------------------------------------------------

    def frame(self, slot: int, channels: Sequence[Channel]) -> NDArray[np.float32]:
        """Return the values of a slot, shape (1, C, N), and count it no further."""
        values = np.zeros((1, len(channels), len(self)), np.float32)
        values[:, :, np.array(self.since, np.int64) > slot] = np.nan
        counts = self._open.get(slot, {})
        for c, channel in enumerate(channels):
            if channel.utility == "different":
                for row in counts:
                    values[0, c, row] = self.different(row, (slot + 1) * self.slot_ns)
            else:
                for row, count in counts.items():
                    values[0, c, row] = count
        return values

    def close(self, slot: int) -> None:
        """Forget the counts up to a slot: it was scored."""
        self.closed_slot = slot
        for old in [s for s in self._open if s <= slot]:
            del self._open[old]

    def different(self, row: int, before_ns: int) -> int:
        """Return how many different values (callers, say) a row's window holds; unnamed: each one."""
        name = self.use.distinct
        since = before_ns - self.use.within_s * NS
        held = [e for e in self._recent.get(row, ()) if since < e.ts_ns <= before_ns]
        if name is None:
            return len({e.event_id for e in held})
        return len({str(e.attrs.get(name, e.event_id)) for e in held})

    def recent(self, row: int) -> list[Happening]:
        """Return the events of a row that are still kept, in order of arrival."""
        return self._recent.get(row, [])

    def expire(self, now_ns: int) -> None:
        """Forget events that no window and no explanation needs."""
        since = now_ns - max(KEEP_NS, self.use.within_s * NS)
        for row, held in list(self._recent.items()):
            left = [e for e in held if e.ts_ns > since]
            if left:
                self._recent[row] = left
            else:
                del self._recent[row]

    # -- as rules see it ------------------------------------------------------------------

    def subject(self, row: int) -> dict[str, Any]:
        """Return a row as rules see a subject."""
        attrs = {} if self.use.by is None else {self.use.by: self.values[row]}
        return {
            "id": self.ids[row],
            "kind": self.kind,
            "attrs": attrs,
            "place": self.places[row],
        }

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": [list(r) for r in zip(self.ids, self.places, self.values, strict=True)],
            "pool": [self.pool, sorted(self._pool.items())],
            "values_at": sorted(self._values_at.items()),
            "zone": self.zone,
            "since": [self.since, sorted(self._began.items())],
            "closed": self.closed_slot,
            "late": self.late,
            "open": [[s, sorted(c.items())] for s, c in sorted(self._open.items())],
            "recent": [
                [row, [[e.ts_ns, e.kind, dict(e.attrs), e.event_id] for e in held]]
                for row, held in sorted(self._recent.items())
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self.ids = [r[0] for r in state["rows"]]
        self.places = [r[1] for r in state["rows"]]
        self.values = [r[2] for r in state["rows"]]
        self._row = {name: i for i, name in enumerate(self.ids)}
        self.pool = [int(p) for p in state["pool"][0]]
        self._pool = {str(k): int(v) for k, v in state["pool"][1]}
        self._values_at = {str(k): int(v) for k, v in state["values_at"]}
        self.zone = [int(z) for z in state["zone"]]
        self.since = [int(s) for s in state["since"][0]]
        self._began = {str(k): int(s) for k, s in state["since"][1]}
        self.closed_slot = state["closed"]
        self.late = int(state["late"])
        self._open = {int(s): {int(r): float(n) for r, n in c} for s, c in state["open"]}
        self._recent = {int(row): [Happening(*e) for e in held] for row, held in state["recent"]}
