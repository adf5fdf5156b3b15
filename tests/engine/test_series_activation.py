"""A rule whose subjects events make is activated in the middle of a log, restarts and shards included."""

from __future__ import annotations

import json
import random

import pytest

from connectors.records import Activation, Event, LogRecord, Tick
from connectors.table_file import TableFile
from connectors.tables import METERS, SUBJECTS, MetersTable, SubjectsTable, meters_of, subjects_of
from engine import library
from engine.activation import rules_of
from engine.config import Config
from engine.host import Host
from engine.partition import partition
from engine.places import PlaceLayout
from engine.shard import ShardRunner
from rules.alerts import AlertChange
from rules.loader import load

NS, HOUR_NS, DAY_NS = 10**9, 3_600 * 10**9, 86_400 * 10**9
START_NS = 1_772_380_800 * NS  # 2026-03-02 00:00 in Hangzhou, a Monday
COMMUNITIES = [f"33010600{i}00{j}" for i in (1, 2) for j in (1, 2, 3)]
SHIPPED = library.shipped("library")
BEFORE = {n: t for n, t in SHIPPED.items() if n.endswith("repeated-complaint.yaml")}
AFTER = {n: t for n, t in SHIPPED.items() if n.endswith(("complaint.yaml", "surge.yaml"))}


def version(files: dict[str, str], at_ns: int) -> Activation:
    return Activation(load(files).version, files, "ann", at_ns, {})


def tables() -> tuple[MetersTable, SubjectsTable]:
    """Return a home in each community, and no meters."""
    homes = [
        {"subject_id": f"h{c}", "kind": "home", "place": f"{c}001", "timezone": "Asia/Shanghai"}
        for c in COMMUNITIES
    ]
    subjects = subjects_of(TableFile.of("subjects", homes, SUBJECTS))
    return meters_of(TableFile.of("meters", [], METERS)), subjects


def calls(days: int, burst_day: int) -> list[Event]:
    """Return a few calls a day and community, and thirty about noise in two hours of one day."""
    rng = random.Random(5)
    found = []

    def call(at_ns: int, community: str, topic: str, home: str | None = None) -> None:
        attrs = {"topic": topic, "caller": f"c{len(found)}"}
        place = f"{community}001"
        found.append(Event(f"e{len(found)}", at_ns, "complaint", home, place, attrs, at_ns))

    for day in range(days):
        for community in COMMUNITIES:
            for _ in range(rng.randrange(4)):
                at = START_NS + day * DAY_NS + rng.randrange(7 * 3600, 22 * 3600) * NS
                call(at, community, rng.choice(["noise", "parking"]))
    for day in range(20, 26):
        at = START_NS + day * DAY_NS + 9 * HOUR_NS
        call(at, COMMUNITIES[0], "heating", f"h{COMMUNITIES[0]}")
    for i in range(30):
        at = START_NS + burst_day * DAY_NS + 14 * HOUR_NS + i * 200 * NS
        call(at, COMMUNITIES[4], "noise")
    return sorted(found, key=lambda e: (e.arrival_ns, e.event_id))


def run(
    log: list[LogRecord], first: Activation, shards: int = 1, cuts: frozenset[int] = frozenset()
) -> list[bytes]:
    """Feed a log; stop and restore before the records at `cuts`."""
    calendars, lines = library.calendars(), list[AlertChange]()
    parts = partition(*tables(), PlaceLayout(), shards)
    lineage = [first]

    def host() -> Host:
        made = Host(
            [
                ShardRunner(
                    part, rules_of(lineage[0]), Config(), calendars, share=(i, shards),
                    zone="Asia/Shanghai",
                )
                for i, part in enumerate(parts)
            ],
            on_lines=lines.extend,
            refuse=Refuse(),
        )  # fmt: skip
        for record in lineage[1:]:
            made.reshape(record)
        return made

    here = host()
    for i, record in enumerate(log):
        if i in cuts:
            head, arrays = here.snapshot()
            here = host()
            here.restore(json.loads(json.dumps(head)), arrays)
        here.feed(record)
        if isinstance(record, Activation):
            lineage.append(record)
    here.finish()
    return sorted(line.line() for line in lines)


class Refuse:
    def block(self, *_: object) -> None:
        raise AssertionError

    event = block


def story(active_day: float, days: int = 42, burst_day: int = 40) -> tuple[list[LogRecord], int]:
    """Return a log with the activation of the surge rule in it, and where it stands."""
    at_ns = START_NS + int(active_day * DAY_NS)
    events: list[LogRecord] = list(calls(days, burst_day))
    where = next(i for i, e in enumerate(events) if e.arrival_ns > at_ns)
    log = [*events[:where], version(AFTER, at_ns), *events[where:]]
    return [*log, Tick(START_NS + (days + 2) * DAY_NS)], where


@pytest.fixture(scope="module")
def plain() -> list[bytes]:
    log, _ = story(5.31)
    return run(log, version(BEFORE, 0))


def test_counts_begin_with_the_activation_and_a_burst_after_it_is_found(plain: list[bytes]) -> None:
    surges = [json.loads(line) for line in plain if b'"hotline-surge"' in line]
    assert surges
    assert all(x["at"] > "2026-04-04" for x in surges)
    mine = [x for x in surges if x["subject_id"] == f"{COMMUNITIES[4]}001:noise"]
    assert {x["onset"][:13] for x in mine} == {"2026-04-11T06"}  # 14:00 on the day of the burst
    assert mine[0]["state"] == "firing"
    # The rule that was in force before has gone on: what it said is what it says without the other.
    log, where = story(5.31)
    alone = run([*log[:where], *log[where + 1 :]], version(BEFORE, 0))
    assert [x for x in plain if b'"repeated-complaint"' in x] == alone
    assert alone


def test_the_same_bytes_wherever_it_restarts(plain: list[bytes]) -> None:
    log, where = story(5.31)
    burst = next(i for i, e in enumerate(log) if e.arrival_ns > START_NS + 40 * DAY_NS)
    cuts = {where, where + 1, where + 2, where + 40, burst + 5, burst + 17, len(log) - 1}
    assert run(log, version(BEFORE, 0), cuts=frozenset(cuts)) == plain


@pytest.mark.parametrize("shards", [2, 5])
def test_the_number_of_shards_changes_nothing(plain: list[bytes], shards: int) -> None:
    log, where = story(5.31)
    assert run(log, version(BEFORE, 0), shards, frozenset({where + 1, where + 90})) == plain


def test_a_burst_right_after_the_activation_is_no_surge_before_anything_is_known() -> None:
    """Without a past there is nothing that thirty calls are more than; the rule learns, and waits."""
    log, _ = story(39.9)
    assert not [x for x in run(log, version(BEFORE, 0)) if b'"hotline-surge"' in x]


def test_taken_back_and_put_in_force_again_it_counts_anew() -> None:
    log, where = story(5.31)
    again = START_NS + 7 * DAY_NS
    off = next(i for i, e in enumerate(log) if e.arrival_ns > again)
    on = next(i for i, e in enumerate(log) if e.arrival_ns > again + DAY_NS)
    both = [
        *log[:off], version(BEFORE, again), *log[off:on], version(AFTER, again + DAY_NS), *log[on:],
    ]  # fmt: skip
    first = run(both, version(BEFORE, 0))
    assert run(both, version(BEFORE, 0), 2, frozenset({off + 1, on + 2, where + 1})) == first
    surges = [json.loads(x) for x in first if b'"hotline-surge"' in x]
    assert any(x["onset"].startswith("2026-04-11") for x in surges)
