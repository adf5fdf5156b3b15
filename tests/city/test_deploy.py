"""What is shipped to run it: every name in it is one that the program has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from engine.city.dashboard import dashboard
from engine.city.district import District
from engine.city.gateway import Gateway
from engine.city.gateway_watch import GatewayMetrics
from engine.city.loop_watch import LoopWatch
from engine.city.watchman import WorkerMetrics
from engine.cli.main import COMMANDS, cli
from engine.config import Config, load
from engine.console.context import Console, EventClock
from engine.console.feeds import complete, feeds
from engine.host import Host
from engine.relay.relay import Relay
from engine.relay.standing import standings, unwatched
from engine.relay.watchman import DeadMan, RelayMetrics, dead_man
from engine.store import Store
from engine.watched import enter_watched
from tests.city import kit
from tests.city.test_keeper import a_street
from tests.city.test_relay import Ears
from tests.engine import live_town
from tests.engine.store_kit import T0, change, quick
from tests.missing import missing

DEPLOY = Path(__file__).parents[2] / "deploy"
ENVIRON = {"GRIDWARDEN_STORE_URL": "sqlite://", "GRIDWARDEN_PUSH_KEY": "k"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("deploy-town"))


@pytest.fixture(scope="module")
def exported(town: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that a gateway, a worker and a relay export, once they have done something."""
    folder = tmp_path_factory.mktemp("metrics")
    config = kit.config(town, folder, f"sqlite:///{folder / 's.db'}")
    district = District(config)
    gateway = Gateway(district, lambda: T0)
    gateway.sources_up["mqtt"] = lambda: True
    log = list(kit.records(town, district))

    class Refused:
        def block(self, *_: object) -> None: ...
        def event(self, *_: object) -> None: ...

    counts = Host([district.runner(0)], on_lines=lambda _: None, refuse=Refused()).counts
    gateway.packer.counts.update(counts)
    from connectors.records import Counts

    seen = Counts()
    seen.by_status["processed"] += 1
    seen.by_reason["malformed"] = 1
    gateway.packer.counts["http"] = seen
    street = a_street(town, district, kit.pack(district, log), folder)
    street.run()

    class Bench:
        def __init__(self, keeper: Any) -> None:
            self.keeper, self.stopped, self.waiting = keeper, False, ()

    class Shop:
        messages, busy_s, longest_turn_s, store_problem = 1, 1.0, 0.1, None
        loop = LoopWatch()
        benches: ClassVar[Any] = {s: Bench(k) for s, k in street.keepers.items()}

    class Worker:
        rebalances, turned_at, workshop = 1, 0.0, Shop
        newest = staticmethod(lambda _shard: 10**6)

    Worker.district = district  # type: ignore[attr-defined]
    with quick(folder / "relay.db") as store:
        store.commit("s", store.claim("s"), 1, [change()], clock_ns=T0)
        with store.database.write() as connection:
            from engine.store import schema as t
            from engine.store.database import write

            price = {"rule": "r", "day": 1, "index": 3, "fraction": 0.0, "arrival_ns": 1}
            write(connection, t.prices, [price])
        relay = Relay(store, [Ears()], holder="one")
        relay.turn()
        relay.tell = lambda _channel: 0  # type: ignore[method-assign]
        collectors: list[Collector] = [
            GatewayMetrics(gateway), WorkerMetrics(Worker()), RelayMetrics(relay, config),
        ]  # type: ignore[list-item,arg-type]  # fmt: skip
        text = ""
        for collector in collectors:
            registry = CollectorRegistry()
            registry.register(collector)
            text += generate_latest(registry).decode()
    return text


def names(expr: str) -> set[str]:
    return set(re.findall(r"gridwarden_\w+", expr))


def test_every_metric_of_the_dashboard_and_the_alarms_exists(exported: str) -> None:
    there = set(re.findall(r"^(gridwarden_\w+)(?:\{.*\})? \S+$", exported, re.M))
    shown = {n for panel in dashboard()["panels"] for t in panel.get("targets", ()) for n in names(t["expr"])}  # fmt: skip
    alarms = yaml.safe_load((DEPLOY / "alarms.yml").read_text())
    asked = {
        n for group in alarms["groups"] for rule in group["rules"] for n in names(rule["expr"])
    }
    assert shown | asked <= there
    unseen = there - shown - {n for n in there if n.endswith("_created")}
    assert not unseen, "exported, and on no panel"


def test_labels_in_legends_and_groupings_exist(exported: str) -> None:
    labels: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^(gridwarden_\w+)(?:\{(.*)\})? \S+$", exported, re.M):
        labels.setdefault(name, {"instance"}).update(re.findall(r"(\w+)=\"", inside))
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            have = set.union(*(labels[n] for n in names(target["expr"])))
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            wanted |= {
                w for g in re.findall(r"by \(([^)]*)\)", target["expr"]) for w in g.split(", ")
            }
            assert wanted <= have, target


def test_the_dashboard_in_the_repository_is_the_one_that_the_program_makes() -> None:
    assert json.loads((DEPLOY / "grafana" / "gridwarden.json").read_text()) == dashboard()


def test_the_configuration_of_compose_loads_and_its_parts_exist() -> None:
    config = load(DEPLOY / "city.yaml", ENVIRON)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    parts = {name: s for name, s in services.items() if s.get("image") == "gridwarden"}
    assert {s["command"][0] for s in parts.values()} == {
        "archive", "gateway", "worker", "relay", "serve",
    }  # fmt: skip

    for part in parts.values():
        assert_command(part["command"])
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists() or source.startswith("./tables/"), source
            else:
                assert source in compose["volumes"], source
    assert config.city.kafka.split(":")[0] in services
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    targets = {t for job in scraped for group in job["static_configs"] for t in group["targets"]}
    assert config.city.gateway.http is not None
    ports = {
        "gateway": config.city.gateway.health_port, "worker-one": config.city.worker.health_port,
        "worker-two": config.city.worker.health_port, "relay": config.relay.health_port,
    }  # fmt: skip
    assert targets == {f"{name}:{port}" for name, port in ports.items()}
    assert config.health_host == "0.0.0.0"


def assert_command(words: list[str]) -> None:
    """Its options are options of the command."""
    import click

    assert words[0] in COMMANDS
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    options = {o for p in command.params for o in p.opts}
    assert {w for w in words if w.startswith("--")} <= options


@pytest.mark.parametrize("unit", sorted(p.name for p in (DEPLOY / "systemd").iterdir()))
def test_units_start_commands_that_exist(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / unit).read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    words = start.split()
    assert words[0].endswith("/gridwarden")
    assert_command(words[1:])
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        missing("no systemd-analyze")
    # The program is not installed there in a test: any one that is will do.
    file = tmp_path / unit.replace("@", "@x")
    file.write_text(text.replace(words[0], "/bin/true").replace("User=gridwarden\n", ""))
    done = subprocess.run([analyze, "verify", file], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if unit.split("@")[0] in line]
    assert not complaints, done.stderr


# -- who watches the watchman ---------------------------------------------------------------------


def test_homes_whose_shard_is_down_are_not_watched_and_outsiders_hear_nothing(
    town: Path, tmp_path: Path
) -> None:
    from engine.inputs import layout_of, load_registry
    from engine.places import PlaceTree

    config = Config.model_validate(
        {
            **kit.config(town, tmp_path, "sqlite://").model_dump(),
            "relay": {"heartbeat": "http://x/"},
        }
    )
    with Store.open(tmp_path / "s.db") as store:
        registry = load_registry(str(town / "meters.csv"), str(town / "subjects.csv"), config)
        enter_watched(store, registry, PlaceTree(layout_of(config), {}))
        shards = District(config).routing.peopled
        names_of = [f"s{s:04d}" for s in shards]
        for name in names_of:
            store.commit(name, store.claim(name, holder="one"), 1, [], clock_ns=T0)
        now_ns = T0 + 600 * 10**9
        relay = Relay(store, [], holder="one")
        switch = dead_man(relay, config, lambda: now_ns)
        assert switch is not None
        calls: list[int] = []
        switch._call = lambda: calls.append(1)
        assert switch.beat()
        assert sum(s.subjects for s in standings(store, config)) == len(registry.subjects)

        late_ns = T0 + 3_600 * 10**9
        store.commit(names_of[0], 1, 2, [], clock_ns=late_ns)
        lost = unwatched(standings(store, config), late_ns, config)
        assert {s.shard for s in lost} == set(names_of[1:])
        later = DeadMan(switch._call, dead_man(relay, config, lambda: late_ns)._well)  # type: ignore[union-attr]
        assert not later.beat()
        assert "not watched" in (later.silent or "")
        assert len(calls) == 1

        console = Console(store, config, clock=EventClock(event_ns=lambda: late_ns))
        down = [f for f in feeds(console) if f.label.en.startswith("Not watched")]
        assert {f.name for f in down} == set(names_of[1:])
        assert complete(console)[3] == sum(s.subjects for s in lost)
