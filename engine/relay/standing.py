"""Which places are watched: shards, how far each has come, and what hangs on it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import func, select

from detectors.base import NS
from engine.config import Config
from engine.inputs import layout_of
from engine.partition import shard_of
from engine.store import Store
from engine.store.holding import ShardRow
from engine.store.schema_console import subjects

LATE_S = 2_400.0
"""A shard whose clock is so far behind is not watching: ticks come every 15 minutes at most."""
TRIAL_S = 30.0
"""In a trial, whose time runs fast: so many seconds of the wall clock, if that is more."""


class Standing(NamedTuple):
    """A shard as outsiders see it."""

    shard: str
    holder: str
    clock_ns: int
    """0: nobody ever worked on it."""
    subjects: int
    communities: tuple[str, ...]

    def behind_s(self, now_ns: int) -> float:
        """Return how far its clock is behind."""
        return max(0.0, (now_ns - self.clock_ns) / NS)


def standings(store: Store, config: Config) -> list[Standing]:
    """Return all shards that have subjects, by name; also those that nobody ever took."""
    rows = {row.shard: row for row in store.shards()}
    c = subjects.c
    query = select(c.place, func.count()).group_by(c.place)
    with store.database.read() as connection:
        places = [(r[0], int(r[1])) for r in connection.execute(query)]
    whole = [name for name in rows if not of_city(name)]
    layout = layout_of(config)
    count: Counter[str] = Counter()
    communities: dict[str, set[str]] = {}
    for place, n in places:
        community = layout.at(place, layout.shard_level)
        shard = whole[0] if whole else f"s{shard_of(community, config.city.shards):04d}"
        count[shard] += n
        communities.setdefault(shard, set()).add(community)
    found = []
    for name in sorted(set(rows) | set(count)):
        row = rows.get(name, ShardRow(name, 0, "", -1, 0, None))
        places_of = tuple(sorted(communities.get(name, ())))
        found.append(Standing(name, row.holder, row.clock_ns, count[name], places_of))
    return found


def unwatched(found: list[Standing], now_ns: int, config: Config) -> list[Standing]:
    """Return the shards with subjects that nobody watches now."""
    late_s = LATE_S if config.trial is None else max(LATE_S, TRIAL_S * config.trial.speed)
    return [s for s in found if s.subjects and s.behind_s(now_ns) > late_s]


def of_city(name: str) -> bool:
    """Return whether a shard is one of many (a single process has one of another name)."""
    return len(name) == 5 and name[0] == "s" and name[1:].isdigit()
