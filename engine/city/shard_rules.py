"""Which rules one shard of a city follows, and which are to come: by its log alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.store.activations import Activations, Announced


@dataclass(slots=True)
class ShardRules:
    """Activations of a shard by their numbers; what they say is in the log and in the store."""

    lineage: list[int] = field(default_factory=lambda: [0])
    """Those that shaped the shard's groups, oldest first; the last one is in force."""
    taken: int = 0
    """The newest that was taken up."""
    coming: list[Announced] = field(default_factory=list)
    """Read in the log, to take effect at their times; in that order."""
    unpriced: dict[str, int] = field(default_factory=dict)
    """Rule → the event-day whose price was for a budget that is no more."""

    def announce(self, one: Announced) -> None:
        """Take one that the log announces; whoever wrote it may have written it again."""
        key = (one.seq, one.at_ns)
        if one.seq <= self.taken or key in [(c.seq, c.at_ns) for c in self.coming]:
            return
        self.coming.append(one)
        self.coming.sort(key=lambda c: (c.at_ns, c.seq))

    def due(self, arrival_ns: int) -> Announced | None:
        """Return the next that takes effect before a record of that arrival."""
        while self.coming and self.coming[0].at_ns <= arrival_ns:
            if self.coming[0].seq > self.taken:
                return self.coming[0]
            self.coming.pop(0)
        return None

    def take(self, one: Announced, *, settled: bool) -> None:
        """Note that one is in force.

        `settled`: a shard built afresh from it would be the same; what was before need not be
        known any more.
        """
        self.lineage = [one.seq] if settled else [*self.lineage, one.seq]
        self.taken = one.seq
        self.coming.remove(one)

    def unprice(self, rules: Collection[str], day: int) -> None:
        """Pass over the prices of some rules that were found for a day before they changed."""
        still = {rule: d for rule, d in self.unpriced.items() if d >= day}
        self.unpriced = still | dict.fromkeys(sorted(rules), day)

    def snapshot(self) -> Mapping[str, Any]:
        """Return plain values."""
        return {
            "lineage": self.lineage,
            "taken": self.taken,
            "coming": [[one.seq, one.at_ns] for one in self.coming],
            "unpriced": self.unpriced,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None, known: Activations) -> ShardRules:
        """Return what :meth:`snapshot` gave; states until 2026-11-22 know the first rules alone."""
        if state is None:
            return cls()
        coming = []
        for seq, at_ns in state["coming"]:
            coming.append(Announced(seq, replace(known.get(seq).record, arrival_ns=at_ns)))
        return cls(list(state["lineage"]), state["taken"], coming, dict(state["unpriced"]))
