"""Rules that change while a city runs: all shards say what one process with the same journal says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from connectors.records import Activation, Tick
from engine.city import wire
from engine.city.district import District
from engine.store.activations import Announced
from tests.city import kit, rules_kit
from tests.city.test_keeper import a_street, states
from tests.engine import live_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("rules-town"))


@pytest.fixture(scope="module")
def district(town: Path, tmp_path_factory: pytest.TempPathFactory) -> District:
    return District(kit.config(town, tmp_path_factory.mktemp("shared"), "sqlite://"))


@pytest.fixture(scope="module")
def rules() -> list[Activation]:
    return rules_kit.changes()


@pytest.fixture(scope="module")
def golden(town: Path, district: District, rules: list[Activation]) -> list[bytes]:
    lines = kit.embedded(town, district, rules)
    assert lines != kit.embedded(town, district)
    for _, one in enumerate(rules):  # each of them matters
        assert lines != kit.embedded(town, district, [r for r in rules if r is not one])
    return lines


def logs_with(
    town: Path, district: District, coming: list[Announced], ahead_ns: int
) -> list[list[bytes]]:
    announce = [(one.at_ns - ahead_ns, one) for one in coming]
    return kit.pack(district, kit.records(town, district), announce=announce)


@pytest.fixture(scope="module")
def logs(town: Path, district: District, rules: list[Activation]) -> list[list[bytes]]:
    coming = [Announced(seq, one) for seq, one in enumerate(rules, start=1)]
    return logs_with(town, district, coming, 40 * 60 * 10**9)


@pytest.fixture(scope="module")
def golden_states(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes],
    rules: list[Activation], tmp_path_factory: pytest.TempPathFactory,
) -> dict[int, str]:  # fmt: skip
    street = a_street(town, district, logs, tmp_path_factory.mktemp("calm"))
    rules_kit.announced(street.store, rules)
    street.run()
    assert list(street.store.lines()) == golden
    return states(street)


def test_whoever_crashes_whenever_rules_change_at_their_times(
    town: Path, district: District, logs: list[list[bytes]], golden: list[bytes],
    golden_states: dict[int, str], rules: list[Activation], tmp_path: Path,
) -> None:  # fmt: skip
    """Restored from before, between and after: the announcement, its time, the day's end."""
    street = a_street(town, district, logs, tmp_path)
    rules_kit.announced(street.store, rules)
    rng = np.random.default_rng(11)
    waiting = False
    moving = True
    while moving:
        moving = street.step()
        for shard, keeper in list(street.keepers.items()):
            waiting |= bool(keeper.rules.coming)
            luck = rng.random()
            if luck < 0.01:
                street.keepers[shard] = street.take(shard, "another")
                moving = True
            elif luck < 0.03:
                keeper.save()
    assert waiting
    street.run()
    assert list(street.store.lines()) == golden
    assert states(street) == golden_states
    assert all(keeper.late_rules == 0 for keeper in street.keepers.values())


def test_tasks_follow_the_rules_that_said_it(
    town: Path, district: District, logs: list[list[bytes]], golden_states: dict[int, str],
    rules: list[Activation], tmp_path: Path,
) -> None:  # fmt: skip
    """In shadow nobody is sent; what was said before and after sends somebody."""
    street = a_street(town, district, logs, tmp_path)
    rules_kit.announced(street.store, rules)
    street.run()
    shadow_from, shadow_to = rules[3].arrival_ns, rules[4].arrival_ns
    raised = street.store.alerts(rule="elderly-silence")
    within = {a.alert_id for a in raised if shadow_from < a.raised_ns <= shadow_to}
    told = {row.key for row in street.store.outbox.pending("shadow", 10**6)}
    assert within
    assert within <= told
    opened = {task.alert_id for task in street.store.tasks.list(states=None)}
    everyone = {key for key in opened if key in {a.alert_id for a in raised}}
    assert everyone
    assert not within & opened


def test_a_shard_waits_until_all_logs_have_the_rules(
    town: Path, district: District, rules: list[Activation], tmp_path: Path
) -> None:
    """A gateway ended between two logs; the next one writes anew, for a later time."""
    first, later = rules[0], rules_kit.at("2026-03-08T09:00:00Z")
    half = Announced(1, first)
    whole = Announced(
        1, Activation(first.version, first.rules_yaml, first.author, later, first.budgets)
    )
    only = next(iter(district.routing.peopled))
    plain = kit.pack(district, kit.records(town, district), announce=[(later - 10**9, whole)])
    half_logs = kit.pack(
        district,
        kit.records(town, district),
        announce=[(first.arrival_ns - 10**9, half), (later - 10**9, whole)],
    )
    logs = [half_logs[s] if s == only else plain[s] for s in range(kit.SHARDS)]
    street = a_street(town, district, logs, tmp_path)
    made = street.store.activations.decide(first, rules_kit.no_guard)
    assert made is not None
    while street.step():
        pass
    keeper = street.keepers[only]
    assert keeper.waits_for is not None
    assert keeper.host.clock_ns is not None
    assert keeper.host.clock_ns < first.arrival_ns
    assert street.store.activations.tell(1, later, rules_kit.no_guard)
    street.run()
    golden = kit.embedded(town, district, [whole.record])
    assert list(street.store.lines()) == golden


def test_a_log_that_learns_of_rules_too_late_says_so_and_stops_nobody(
    town: Path, district: District, rules: list[Activation], tmp_path: Path
) -> None:
    """Gateways whose clocks are days apart, say: that shard changes late, by its own log."""
    one = Announced(1, rules[0])
    on_time = kit.pack(district, kit.records(town, district), announce=[(one.at_ns - 10**9, one)])
    late = kit.pack(
        district,
        kit.records(town, district),
        announce=[(rules_kit.at("2026-03-11T05:00:00Z"), one)],
    )
    shard = district.routing.peopled[-1]
    logs = [late[s] if s == shard else on_time[s] for s in range(kit.SHARDS)]
    said = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        street = a_street(town, district, logs, tmp_path / name)
        rules_kit.announced(street.store, rules[:1])
        street.run()
        assert {s: k.late_rules for s, k in street.keepers.items()} == {
            s: int(s == shard) for s in street.keepers
        }
        said.append(list(street.store.lines()))
    assert said[0] == said[1]


def test_rules_lost_with_a_part_of_the_log_are_taken_up_from_the_store(
    town: Path, district: District, logs: list[list[bytes]], rules: list[Activation], tmp_path: Path
) -> None:
    street = a_street(town, district, logs, tmp_path)
    rules_kit.announced(street.store, rules)
    shard, keeper = next(iter(street.keepers.items()))
    for _ in range(30):
        street.step()
    assert keeper.rules.taken == 0
    behind = next(
        i for i, m in enumerate(logs[shard])
        if isinstance(r := wire.unpack(m), Tick) and r.arrival_ns > rules[2].arrival_ns
    )  # fmt: skip
    keeper.skip_to(behind)
    street.run()
    assert keeper.host.shards[0].rules.version == rules[-1].version
