"""Alerts of two runs side by side: gained, lost, earlier, later, at another level, the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.hours import ns_of
from rules.alerts import AlertChange, State


class Raised(NamedTuple):
    """An alert as a run raised it; ``end_ns`` is None while it fires at the end."""

    alert_id: str
    rule: str
    subject: str
    place: str
    level: str
    onset_ns: int
    raised_ns: int
    end_ns: int | None
    end: str
    first: AlertChange


class Pair(NamedTuple):
    """The same episode in both runs; None where a run has no alert about it."""

    old: Raised | None
    new: Raised | None

    @property
    def either(self) -> Raised:
        """The new one, else the old one."""
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def moved_s(self) -> int:
        """How much later the new one was raised, seconds; negative for earlier."""
        if self.old is None or self.new is None:
            return 0
        return (self.new.raised_ns - self.old.raised_ns) // 1_000_000_000


@dataclass(slots=True)
class Comparison:
    """Pairs by what became of them, each list by time."""

    gained: list[Pair] = field(default_factory=list)
    lost: list[Pair] = field(default_factory=list)
    earlier: list[Pair] = field(default_factory=list)
    later: list[Pair] = field(default_factory=list)
    relevelled: list[Pair] = field(default_factory=list)
    """Raised at the same time at another level."""
    same: list[Pair] = field(default_factory=list)

    @property
    def changed(self) -> list[tuple[str, Pair]]:
        """Return everything that differs, with its kind, by time."""
        kinds = ("gained", "lost", "earlier", "later", "relevelled")
        found = [(kind, pair) for kind in kinds for pair in getattr(self, kind)]
        return sorted(found, key=lambda x: (x[1].either.raised_ns, x[1].either.alert_id))


def raised_of(lines: Iterable[AlertChange]) -> list[Raised]:
    """Return the alerts of a run's lines, by the time they were raised."""
    alerts: dict[str, list[AlertChange]] = defaultdict(list)
    for line in lines:
        alerts[line.alert_id].append(line)
    found = []
    for changes in alerts.values():
        first, last = changes[0], changes[-1]
        over = last.state != State.FIRING
        found.append(
            Raised(
                first.alert_id, first.rule, first.subject_id or first.place, first.place,
                str(first.level), ns_of(first.onset), ns_of(first.raised_at),
                ns_of(last.at) if over else None, str(last.state), first,
            )
        )  # fmt: skip
    return sorted(found, key=lambda r: (r.raised_ns, r.alert_id))


def pair_up(old: Sequence[Raised], new: Sequence[Raised]) -> Comparison:
    """Pair the alerts of two runs: the same alert, else the same episode.

    Two alerts of one rule on one subject are about the same episode if their spans, from onset to
    end, overlap: a budget moves the moment, and with it sometimes what counts as the onset.
    """
    there = {r.alert_id: r for r in new}
    pairs = [Pair(r, there.pop(r.alert_id)) for r in old if r.alert_id in there]
    matched = {p.either.alert_id for p in pairs}
    left: dict[tuple[str, str], list[Raised]] = defaultdict(list)
    for r in there.values():
        left[r.rule, r.subject].append(r)
    for r in old:
        if r.alert_id in matched:
            continue
        others = left[r.rule, r.subject]
        twin = next((o for o in others if _overlap(r, o)), None)
        if twin is not None:
            others.remove(twin)
        pairs.append(Pair(r, twin))
    pairs += [Pair(None, r) for rest in left.values() for r in rest]
    found = Comparison()
    for pair in sorted(pairs, key=lambda p: (p.either.raised_ns, p.either.alert_id)):
        _kind(found, pair).append(pair)
    return found


def _kind(found: Comparison, pair: Pair) -> list[Pair]:
    if pair.old is None:
        return found.gained
    if pair.new is None:
        return found.lost
    if pair.moved_s:
        return found.earlier if pair.moved_s < 0 else found.later
    return found.same if pair.old.level == pair.new.level else found.relevelled


def _overlap(one: Raised, other: Raised) -> bool:
    end, other_end = one.end_ns or 2**63, other.end_ns or 2**63
    return one.onset_ns < other_end and other.onset_ns < end
