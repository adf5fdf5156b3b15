"""Recent events, and what the windows of rules see of them. One per shard."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from connectors.records import Event
from detectors.base import NS
from engine.rows import indices_in
from engine.series import SeriesRows
from rules import windows
from rules.windows import Happening, Look

if TYPE_CHECKING:
    from engine.links import Moves
    from engine.shard import ShardRunner
    from engine.watch import Watch

DAY_NS = 86_400 * NS
NEVER_NS = 2**62
LEVELS = ("grid", "community")


class EventWindows:
    """Keeps the events that rules look back on, and knows when a look will change by itself.

    Parameters
    ----------
    shard : ShardRunner
        The shard, whose registry and watches it reads.
    """

    def __init__(self, shard: ShardRunner) -> None:
        self.shard = shard
        self._recent: dict[str, list[Happening]] = defaultdict(list)
        self._looks: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._read_rules()

    def _read_rules(self) -> None:
        """Find out which events to keep, and how long."""
        uses = [u for w in self.shard.watches for u in w.rule.events.values()]
        self._wanted_kinds = {kind for use in uses for kind in windows.kinds(use)}
        self._horizon_ns = NS * max((windows.horizon_s(u) for u in uses), default=0)

    def rewire(self, moves: Moves) -> None:
        """Go on with other rules; looks that were armed move with their rows."""
        self._read_rules()
        before, self._looks = self._looks, defaultdict(list)
        for i, heap in before.items():
            if i in moves:
                place, rows = moves[i]
                self._looks[place] = sorted((at, rows[r]) for at, r in heap if r in rows)

    # -- looks ----------------------------------------------------------------------------

    def looks(self, watch: Watch, row: int, at_ns: int, *, past: bool = False) -> dict[str, Look]:
        """Return what each event window of the rule sees, and arm its next change.

        A look into the `past` arms nothing: what changed since has been seen.
        """
        found: dict[str, Look] = {}
        for name, use in watch.rule.events.items():
            scope = self._scope(watch, row, use.scope)
            look = windows.look(use, self._recent.get(scope, ()), at_ns)
            found[name] = look
            if look.next_ns is not None and not past:
                index = self.shard.watches.index(watch)
                heapq.heappush(self._looks[index], (look.next_ns, row))
        return found

    def _scope(self, watch: Watch, row: int, scope: str) -> str:
        at, registry = int(watch.rows[row]), self.shard.registry
        if watch.rule.subjects.grain == "place":
            return f"community:{registry.communities[int(self.shard.places.community[at])]}"
        if watch.series is not None:
            if scope == "subject":
                return self._own(watch.series, row)
            return f"{scope}:{registry.layout.at(watch.series.places[row], scope)}"
        if scope == "subject":
            return f"subject:{at}"
        return f"{scope}:{registry.layout.at(registry.place(at), scope)}"

    def _own(self, series: SeriesRows, row: int) -> str:
        return f"series:{self.shard.series.index(series)}:{row}"

    def next_ns(self, index: int) -> int:
        """Return when a window of a rule will change without a new event."""
        heap = self._looks.get(index)
        return heap[0][0] if heap else NEVER_NS

    def due(self, index: int, to_ns: int) -> NDArray[np.int32]:
        """Return the rows whose windows change up to a time."""
        heap = self._looks.get(index, [])
        rows: set[int] = set()
        while heap and heap[0][0] <= to_ns:
            rows.add(heapq.heappop(heap)[1])
        return np.array(sorted(rows), np.int32)

    # -- events ---------------------------------------------------------------------------

    def take(self, event: Event, rows: NDArray[np.int32]) -> None:
        """Count an event where events make subjects, and show it to the windows it falls into.

        `rows` are the registry rows that it concerns.
        """
        registry = self.shard.registry
        place = event.place or (registry.place(int(rows[0])) if len(rows) else "")
        made = {id(s): s.take(event, place) for s in self.shard.series}
        if event.kind not in self._wanted_kinds:
            return
        happening = Happening(event.ts_ns, event.kind, dict(event.attrs), event.event_id)
        scopes = [f"{level}:{registry.layout.at(place, level)}" for level in LEVELS]
        if event.subject_id and len(rows):
            scopes.append(f"subject:{int(rows[0])}")
        for series in self.shard.series:
            row = made[id(series)]
            if row is not None:
                scopes.append(self._own(series, row))
        for scope in scopes:
            self._recent[scope].append(happening)
        for index, watch in enumerate(self.shard.watches):
            if any(event.kind in windows.kinds(u) for u in watch.rule.events.values()):
                for row in self._watched_by(watch, rows, place, made):
                    self.shard.touch(index, row, event.arrival_ns)

    def _watched_by(
        self, watch: Watch, rows: NDArray[np.int32], place: str, made: Mapping[int, int | None]
    ) -> list[int]:
        """Return the rows of a rule whose windows an event falls into."""
        registry = self.shard.registry
        if watch.rule.subjects.grain == "place":
            community = registry.layout.at(place, "community")
            codes = [registry.communities[c] for c in self.shard.places.community.tolist()]
            return [i for i, p in enumerate(watch.rows.tolist()) if codes[p] == community]
        scopes = {u.scope for u in watch.rule.events.values()}
        wide = max(scopes, key=("subject", *LEVELS).index)
        if watch.series is not None:
            if wide == "subject":
                row = made[id(watch.series)]
                return [] if row is None else [row]
            area = registry.layout.at(place, wide)
            return [i for i, p in enumerate(watch.series.places) if p.startswith(area)]
        if wide != "subject":
            rows = registry.rows_at(registry.layout.at(place, wide))
        index = indices_in(watch.rows, rows)
        return [
            int(i)
            for i, r in zip(index.tolist(), rows.tolist(), strict=True)
            if i < len(watch.rows) and watch.rows[i] == r
        ]

    def expire(self, at_ns: int) -> None:
        """Forget what no window can see any more."""
        for series in self.shard.series:
            series.expire(at_ns)
        for scope, held in list(self._recent.items()):
            left = [e for e in held if e.ts_ns > at_ns - self._horizon_ns - DAY_NS]
            if left:
                self._recent[scope] = left
            else:
                del self._recent[scope]

    # -- snapshots ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "recent": [
                [scope, [[e.ts_ns, e.kind, dict(e.attrs), e.event_id] for e in held]]
                for scope, held in sorted(self._recent.items())
            ],
            "looks": [[i, sorted(heap)] for i, heap in sorted(self._looks.items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over :meth:`snapshot`'s values."""
        self._recent = defaultdict(list)
        for scope, held in state["recent"]:
            self._recent[scope] = [Happening(*e) for e in held]
        self._looks = defaultdict(list)
        for i, heap in state["looks"]:
            self._looks[int(i)] = [(int(a), int(b)) for a, b in heap]
