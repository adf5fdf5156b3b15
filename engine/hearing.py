"""Which rules listen to which group of detectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from detectors.base import IntArray, Signals
from engine.groups import Group
from engine.heard import Heard
from engine.links import Link
from engine.watch import Watch


class Ear(NamedTuple):
    """A signal of a rule that listens."""

    rule: int
    """Place of the rule among the shard's."""
    watch: Watch
    signal: str


class Hearing:
    """Hands what groups say to the rules that listen; what many hear alike is taken up once.

    Parameters
    ----------
    groups : sequence of Group
        The groups of a shard.
    watches : sequence of Watch
        Its rules.
    """

    def __init__(self, groups: Sequence[Group], watches: Sequence[Watch]) -> None:
        self.watches = watches
        ears: dict[int, list[Ear]] = defaultdict(list)
        known: dict[int, Heard] = {}
        for i, watch in enumerate(watches):
            for name, turns in watch.turns.items():
                known[id(turns.heard)] = turns.heard
                ears[id(turns.heard)].append(Ear(i, watch, name))
        self.heard = list(known.values())
        """What is heard, in the order in which rules first ask for it."""
        speaks: dict[int, list[tuple[Heard, Link, list[Ear]]]] = defaultdict(list)
        for heard in self.heard:
            for link in heard.links:
                speaks[id(link.group)].append((heard, link, ears[id(heard)]))
        self._links = [speaks[id(group)] for group in groups]
        self._depth = _depths(watches)
        self._told = [{ear.rule for *_, by in links for ear in by} for links in self._links]

    def told(self, groups: Iterable[int]) -> list[int]:
        """Return the rules that listen to some of the groups, in the order to be asked in."""
        return self.ordered(set().union(*(self._told[g] for g in groups)))

    def ordered(self, rules: Iterable[int]) -> list[int]:
        """Return rules such that one comes after those whose alerts hold it back."""
        return sorted(rules, key=lambda i: (self._depth[i], i))

    def take(self, g: int, signals: Signals) -> None:
        """Hand on what a group said of its last slot."""
        for heard, link, ears in self._links[g]:
            said = heard.take(link, signals)
            for ear in ears:
                ear.watch.take(ear.signal, said)

    def disproved(self, g: int, rows: IntArray, slot: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (rule, rows whose alert has lost its ground) after a slot of a group was amended."""
        for _, link, ears in self._links[g]:
            for ear in ears:
                gone = ear.watch.disproved(ear.signal, link, rows, slot)
                if gone:
                    yield ear.rule, gone

    def correct(
        self, g: int, rows: IntArray, signals: Signals
    ) -> Iterator[tuple[int, IntArray, IntArray]]:
        """Hand on corrected signals; yield (rule, its rows that changed, their places in `rows`)."""
        for heard, link, ears in self._links[g]:
            changed, mine, said = heard.correct(link, rows, signals)
            for ear in ears:
                ear.watch.correct(ear.signal, said)
                if len(changed):
                    yield ear.rule, changed, mine

    # -- snapshots ------------------------------------------------------------------------

    def shares(self) -> list[dict[str, int]]:
        """Return, for each rule, which of :attr:`heard` each of its signals is."""
        place = {id(heard): i for i, heard in enumerate(self.heard)}
        return [
            {name: place[id(turns.heard)] for name, turns in watch.turns.items()}
            for watch in self.watches
        ]

    def share(self, shares: Sequence[Mapping[str, int]]) -> bool:
        """Have rules share as they did when a snapshot was taken; return whether that is new.

        Rules that were activated later began to listen later, so they may share less than rules
        that are built together. After a change a new Hearing is to be made.
        """
        if list(shares) == self.shares():
            return False
        made: dict[int, Heard] = {}
        for watch, mine in zip(self.watches, shares, strict=True):
            for name, i in mine.items():
                if i not in made:
                    made[i] = watch.turns[name].heard.like()
                watch.turns[name].heard = made[i]
        return True


def _depths(watches: Sequence[Watch]) -> list[int]:
    """Return how long a chain of other rules may hold each rule back; 0: none does.

    Where rules hold each other back in a circle, the one that stands first is asked first.
    """
    place = {watch.rule.name: i for i, watch in enumerate(watches)}
    holders: list[set[int]] = [
        {place[u.alert] for u in watch.rule.unless if u.alert in place} for watch in watches
    ]
    for i, watch in enumerate(watches):
        for name in watch.rule.inhibits:
            if name in place:
                holders[place[name]].add(i)
    depths: dict[int, int] = {}

    def depth(i: int, above: frozenset[int]) -> int:
        if i not in depths:
            below = [depth(j, above | {i}) + 1 for j in sorted(holders[i] - above - {i})]
            depths[i] = max(below, default=0)
        return depths[i]

    return [depth(i, frozenset()) for i in range(len(watches))]
