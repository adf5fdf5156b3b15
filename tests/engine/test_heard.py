"""What rules hear, shared and sparse, against a twin that keeps dense columns for every rule."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.base import LEVELS, NO_SLOT, Signals
from detectors.budget import Price, due
from detectors.episodes import EpisodeCounter, Tally
from engine.heard import NOBODY, Heard, Marked, Turns, contained, union
from engine.links import Link

SLOT_S = 3600


def said_of(rng: np.random.Generator, before: Signals | None, slot: int, rows: int) -> Signals:
    """Episodes that begin, rise and end; rows that are not ready, with and without an onset."""
    if before is None:
        level, begun = np.zeros(rows, np.int8), np.full(rows, NO_SLOT, np.int64)
    else:
        level, begun = np.maximum(before.urgency[0], 0), before.onset[0].copy()
    ends = rng.random(rows) < 0.1
    begun[ends], level[ends] = NO_SLOT, 0
    begins = (begun == NO_SLOT) & (rng.random(rows) < 0.4)
    begun[begins] = slot
    again = rng.random(rows) < 0.05  # another episode at once, as urgent as the one before
    begun[again] = slot
    rise = rng.integers(0, 9, rows) * (rng.random(rows) < 0.6)
    urgency = np.where(begun == NO_SLOT, 0, np.minimum(level + rise, LEVELS)).astype(np.int8)
    lost = rng.random(rows) < 0.1
    urgency[lost] = -1
    begun[lost & (rng.random(rows) < 0.5)] = NO_SLOT
    none = rng.random(rows).astype(np.float32)
    return Signals(none[None], none[None], urgency[None], begun[None])


class Dense:
    """A rule with columns of its own: what the engine kept before it shared them."""

    def __init__(self, rows: int, links: list[Link], key: np.ndarray, *, primary: bool) -> None:
        self.key = key
        self.primary = primary
        self.due = np.zeros(rows, bool)
        self.onset = np.full(rows, NO_SLOT, np.int64)
        self.counters = [EpisodeCounter(len(link.group_rows), SLOT_S) for link in links]

    def write(self, rows: np.ndarray, said: Signals, price: Price) -> np.ndarray:
        onset = said.onset[0]
        stays = self.due[rows] & (self.onset[rows] == onset)
        come = due(said.urgency[0], price, self.key[rows], onset)
        if self.primary:
            come |= stays
        come &= onset != NO_SLOT
        self.due[rows], self.onset[rows] = come, onset
        return come

    def take(self, i: int, link: Link, said: Signals, price: Price) -> Tally:
        mine = said.take(link.group_rows)
        return self.counters[i].count(mine, self.write(link.rule_rows, mine, price))


def group_of(rows: int) -> SimpleNamespace:
    return SimpleNamespace(slot_s=SLOT_S, detector=SimpleNamespace(rows=rows))


def links_over(rng: np.random.Generator, rows: int, groups: int) -> list[Link]:
    """Groups that share a rule's rows among them; each also speaks of rows that are nobody's."""
    if groups == 1:
        every = np.arange(rows, dtype=np.int32)
        return [Link(group_of(rows), every, every, whole=True)]
    owner = rng.integers(0, groups, rows)
    links = []
    for g in range(groups):
        mine = np.flatnonzero(owner == g).astype(np.int32)
        size = 2 * len(mine) + 3
        theirs = np.sort(rng.choice(size, len(mine), replace=False)).astype(np.int32)
        links.append(Link(group_of(size), mine, theirs, whole=False))
    return links


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    groups=st.integers(1, 3),
    primary=st.booleans(),
)
def test_shared_and_sparse_says_what_a_dense_rule_of_its_own_says(seed, rows, groups, primary):
    rng = np.random.default_rng(seed)
    links = links_over(rng, rows, groups)
    key = rng.integers(0, 2**63, 3 * rows).astype(np.uint64)
    registry_rows = np.sort(rng.choice(3 * rows, rows, replace=False)).astype(np.int32)
    heard = Heard(registry_rows, key, links, counted=True)
    rules = [Turns(heard, primary=primary) for _ in range(3)]
    twins = [Dense(rows, links, key[registry_rows], primary=primary) for _ in range(3)]
    spoken: list[Signals | None] = [None] * groups
    for slot in range(25):
        prices = [Price(0, int(rng.integers(0, LEVELS + 1)), float(rng.random())) for _ in rules]
        for g, link in enumerate(links):
            if rng.random() < 0.2:
                continue  # groups do not all speak at the same time
            spoken[g] = now = said_of(rng, spoken[g], slot, link.group.detector.rows)
            said = heard.take(link, now)
            for rule, twin, price in zip(rules, twins, prices, strict=True):
                got, want = rule.take(said, price), twin.take(g, link, now, price)
                assert (got.spent, got.exposure_s) == (want.spent, want.exposure_s)
                assert got.reached.tolist() == want.reached.tolist()
            if rng.random() < 0.3 and len(link.group_rows):
                _correct(rng, heard, link, now, slot, list(zip(rules, twins, prices, strict=True)))
        for rule, twin in zip(rules, twins, strict=True):
            assert rule.due.mask(slice(None), rows).tolist() == twin.due.tolist()
            some = np.sort(rng.choice(rows, rng.integers(0, rows + 1), replace=False))
            assert rule.due.mask(some.astype(np.int32), rows).tolist() == twin.due[some].tolist()
            assert [rule.due.has(r) for r in range(rows)] == twin.due.tolist()


def _correct(rng, heard, link, now, slot, rules) -> None:
    """Late readings correct some rows of a group: no episode counts twice."""
    size = link.group.detector.rows
    some = np.sort(rng.choice(size, rng.integers(1, size + 1), replace=False)).astype(np.int32)
    other = said_of(rng, now, slot, size).take(some)
    before = heard.columns.urgency.copy(), heard.columns.onset.copy()
    changed, index, said = heard.correct(link, some, other)
    mine = np.flatnonzero(np.isin(some, link.group_rows))
    rows = link.to_rule(some[mine])
    differs = (before[0][rows] != other.urgency[0, mine]) | (
        before[1][rows] != other.onset[0, mine]
    )
    assert changed.tolist() == rows[differs].tolist()
    assert index.tolist() == mine[differs].tolist()
    for rule, twin, price in rules:
        rule.take(said, price, count=False)
        twin.write(rows, other.take(mine), price)


@pytest.mark.parametrize("seed", range(20))
def test_an_interruption_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    links = links_over(rng, 30, 2)
    key = rng.integers(0, 2**63, 30).astype(np.uint64)
    rows = np.arange(30, dtype=np.int32)
    heard = Heard(rows, key, links, counted=True)
    turns = Turns(heard, primary=True)
    spoken: list[Signals | None] = [None, None]
    for slot in range(20):
        price = Price(0, int(rng.integers(0, 12)), 0.5)
        fresh = heard.like()
        fresh.restore(*heard.snapshot())
        other = Turns(fresh, primary=True)
        other.restore(turns.arrays())
        for g, link in enumerate(links):
            spoken[g] = now = said_of(rng, spoken[g], slot, link.group.detector.rows)
            told = [
                one.take(h.take(link, now), price) for one, h in ((turns, heard), (other, fresh))
            ]
            assert told[0].spent == told[1].spent
            assert told[0].reached.tolist() == told[1].reached.tolist()
        assert other.due.rows.tolist() == turns.due.rows.tolist()
        heard, turns = fresh, other


def test_marks_move_with_their_rows():
    marks = Marked(np.array([1, 4, 7], np.int32), np.array([10, 40, 70], np.int32))
    mine, theirs = np.array([0, 2, 5]), np.array([1, 3, 7])
    moved = marks.moved(mine, theirs)
    assert moved.rows.tolist() == [0, 5]
    assert moved.onset.tolist() == [10, 70]
    assert NOBODY.moved(mine, theirs).rows.tolist() == []


def test_sets_of_rows():
    some, others = np.array([1, 3, 5], np.int32), np.array([3, 4], np.int32)
    none = np.zeros(0, np.int32)
    assert union(some, others).tolist() == [1, 3, 4, 5]
    assert union(none, others) is others
    assert contained(some, others).tolist() == [False, True, False]
    assert contained(some, none).tolist() == [False] * 3
