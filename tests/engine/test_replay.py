"""The same log gives the same bytes: blocks, interruptions, crashes, shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.merge import Log
from connectors.sources import EventSource, ReadingSource
from connectors.tables import read_meters, read_subjects
from engine import library
from engine.config import Config, tick_s
from engine.host import Host
from engine.inputs import directory_of, layout_of, load_registry
from engine.packing import pack, unpack
from engine.partition import partition, routes
from engine.replay import Replay, ReplayOptions
from engine.shard import ShardRunner
from engine.simulate import Incident, Rates, Town, TownConfig
from engine.sinks import Kept

DAYS = 24


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small town with everything that can go wrong, hourly so that it is quick."""
    folder = tmp_path_factory.mktemp("town")
    config = TownConfig(
        streets=1,
        communities_per_street=3,
        grids_per_community=1,
        concentrators_per_community=1,
        elderly=18,
        homes=9,
        rentals=0,
        vacant=0,
        plants=0,
        closed_plants=1,
        closed_on_day=10,
        electricity_interval_s=3600,
        gas_share=0.0,
        rates=Rates(late_share=0.03, duplicate_share=0.004, conflict_share=0.002, glitch=4.0,
                    register_reset=1.0, clock_ahead=1.0, power_cut=6.0),
        incidents=(
            Incident("collapse", "elder-0002", 18.4, 24 * 30),
            Incident("covert_run", "closed-0001", 17.9, 8, {"share": 0.4}),
            Incident("visit", "elder-0004", 16.4, 70, {"declared": True}),
            Incident("power_cut", "330199001001", 15.5, 5, {"declared": False}),
        ),
    )  # fmt: skip
    Town(config).generate(days=DAYS, seed=3).write(folder)
    return folder


def options(town: Path, **changes: object) -> ReplayOptions:
    made = ReplayOptions(
        readings=(str(town / "readings.csv.gz"),),
        events=(str(town / "events.csv"),),
        meters=str(town / "meters.csv"),
        subjects=str(town / "subjects.csv"),
        workers=str(town / "workers.csv"),
        budgets={"elderly-silence": 52.0},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def golden(town: Path) -> list[bytes]:
    """The lines of one uninterrupted replay."""
    result = Replay(options(town), Config(), keep=True).run()
    assert result.reconciled
    assert result.counts[str(town / "readings.csv.gz")].by_status["late"] > 20
    assert result.counts[str(town / "readings.csv.gz")].by_status["duplicate"] > 5
    return [line.line() for line in result.alerts]


def test_it_finds_what_was_planted(golden: list[bytes]) -> None:
    assert any(b'"elderly-silence"' in x and b"elder-0002" in x for x in golden)
    assert any(b'"area-outage"' in x and b'"330199001001"' in x for x in golden)
    assert golden == sorted(golden, key=lambda x: (x[x.index(b'"at"') :][:28], x[:36]))


@pytest.mark.parametrize("rows", [1, 1_000, 1_000_000])
def test_blocks_change_nothing(town: Path, golden: list[bytes], rows: int) -> None:
    result = Replay(options(town, block_rows=rows), Config(), keep=True).run()
    assert [line.line() for line in result.alerts] == golden
    assert result.reconciled


def test_interrupted_five_times(town: Path, golden: list[bytes], tmp_path: Path) -> None:
    total = 24 * DAYS * 30
    places = sorted(np.random.default_rng(5).integers(500, total, 5).tolist())
    alerts = tmp_path / "out.ndjson"
    store = f"sqlite:///{tmp_path}/x.db"
    for stop in [*places, None]:
        run = Replay(
            options(town, alerts=str(alerts), store=store, stop_after_rows=stop, block_rows=700),
            Config(),
        )
        result = run.run()
        assert result.finished == (stop is None or run.rows < stop)
    assert alerts.read_bytes() == b"".join(line + b"\n" for line in golden)
    assert result.reconciled


def _host(town: Path, kept: Kept, shards: int = 1) -> Host:
    config = Config()
    rules = library.rules(None, {"elderly-silence": 52.0})
    calendars = library.calendars()
    if shards == 1:
        registry = load_registry(str(town / "meters.csv"), str(town / "subjects.csv"), config)
        runner = ShardRunner(registry, rules, config, calendars)
        return Host([runner], on_lines=kept.take_lines, refuse=kept)
    meters, subjects = (
        read_meters(str(town / "meters.csv")),
        read_subjects(str(town / "subjects.csv")),
    )
    layout = layout_of(config)
    whole = load_registry(str(town / "meters.csv"), str(town / "subjects.csv"), config)
    parts = partition(meters, subjects, layout, shards)
    tick = tick_s(config, [(c.interval_s, c.phase_s, c.interval_s) for c in whole.classes])
    runners = [
        ShardRunner(p, rules, config, calendars, tick=tick, share=(i, shards), zone=whole.zones[0])
        for i, p in enumerate(parts)
        if len(p.subjects)
    ]
    parts = [p for p in parts if len(p.subjects)]
    return Host(runners, on_lines=kept.take_lines, refuse=kept, routes=routes(whole, parts))


def _log(town: Path, state: dict[str, object] | None = None) -> Log:
    config = Config()
    registry = load_registry(str(town / "meters.csv"), str(town / "subjects.csv"), config)
    directory = directory_of(registry)
    names = [str(town / "readings.csv.gz"), str(town / "events.csv")]
    states = [None if state is None else state[n] for n in names]
    return Log(
        [
            ReadingSource(names[0], directory, state=states[0]),  # type: ignore[arg-type]
            EventSource(names[1], directory, state=states[1]),  # type: ignore[arg-type]
        ],
        block_rows=333,
    )


def before_sharing(host: Host, head: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn a host's state into what programs wrote whose rules had columns of their own."""
    found = dict(arrays)
    for s, (runner, header) in enumerate(zip(host.shards, head["shards"], strict=True)):
        shares = header.pop("shares")
        header.pop("heard")
        shard = f"shard/{s}/"
        for i, (watch, mine) in enumerate(zip(runner.watches, shares, strict=True)):
            own = f"{shard}watches/{i}/"
            count = 0
            for name, turns in watch.turns.items():
                heard = f"{shard}heard/{mine[name]}/"
                for column in ("urgency", "evidence", "p_value", "onset"):
                    found[f"{own}signal/{name}/{column}"] = arrays[heard + column]
                for mark in ("due", "spent") if turns.heard.counted else ("due",):
                    rows = found.pop(f"{own}signal/{name}/{mark}/rows")
                    found.pop(f"{own}signal/{name}/{mark}/onset")
                    dense = np.zeros(len(watch.rows), bool)
                    dense[rows] = True
                    if mark == "due":
                        found[f"{own}signal/{name}/due"] = dense
                    for k, link in enumerate(turns.heard.links if mark == "spent" else ()):
                        at = f"{own}counter/{count + k}/"
                        found[at + "spent"] = dense[link.rule_rows]
                        for state in ("onset", "peak"):
                            found[at + state] = arrays[f"{heard}episode/{state}"][link.rule_rows]
                count += len(turns.heard.links)
    return {k: v for k, v in found.items() if "/heard/" not in k}


@pytest.mark.parametrize("older", [False, True])
def test_stop_after_any_record_restore_go_on(
    town: Path, golden: list[bytes], *, older: bool
) -> None:
    """A crash without processes: whatever was not in the snapshot is gone.

    `older`: what was saved is what an earlier program would have saved.
    """
    lines: list[bytes] = []
    state: tuple[object, dict[str, object], dict[str, np.ndarray]] | None = None
    rng = np.random.default_rng(11)
    while True:
        kept = Kept()
        host = _host(town, kept)
        log = _log(town, unpack(state[1], state[2]) if state else None)
        if state:
            host.restore(state[0], state[2])  # type: ignore[arg-type]
        for count, record in enumerate(log):
            host.feed(record)
            if count == 60:
                # Everything that goes on lies in plain values and arrays.
                arrays: dict[str, np.ndarray] = {}
                packed = pack(log.state(), "log", arrays)
                head, own = host.snapshot()
                if older:
                    own = before_sharing(host, head, own)
                state = (head, packed, {**arrays, **{k: v.copy() for k, v in own.items()}})
                lines += [line.line() for line in kept.lines]
                kept.lines.clear()
            if count > 60 + rng.integers(1, 9):
                break  # the crash: these records were fed, and are forgotten
        else:
            host.finish()
            lines += [line.line() for line in kept.lines]
            break
        log.close()
    assert lines == golden


@pytest.mark.parametrize("shards", [3, 10])
def test_shards_change_nothing(town: Path, golden: list[bytes], shards: int) -> None:
    kept = Kept()
    host = _host(town, kept, shards)
    for record in _log(town):
        host.feed(record)
    host.finish()
    assert len(host.shards) > 1
    assert [line.line() for line in kept.lines] == golden
    assert all(c.reconciled for c in host.counts.values())


def test_quarantine_can_be_fed_again(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "refused.csv"
    first = Replay(options(town, quarantine=str(out)), Config()).run()
    name = str(town / "readings.csv.gz")
    refused = first.counts[name].by_status["quarantined"]
    assert refused > 0
    again = Replay(options(town, readings=(str(out),), events=()), Config()).run()
    assert again.counts[str(out)].rows == refused
    assert again.reconciled
