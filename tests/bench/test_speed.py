"""What the speed benches say beside their figures: floors, bare decode, pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import floor, plots
from bench.scale import FORMATS, written_as
from engine.simulate.load import generate_load


def test_stages_add_up_and_stand_beside_their_floors() -> None:
    timings = {"intake": 1.0, "slots": 0.5, "detector inactivity": 0.2, "detector excess": 0.1}
    found = floor.stages(10_000_000, 2.0, 4.0, 0.6, 0.25, timings, 10e9)
    ns = {row["stage"]: row["ns"] for row in found}
    assert ns.pop("all") == 200.0
    assert sum(ns.values()) == pytest.approx(200.0)
    # The process had half of the processor while the shard's own clock ran.
    assert ns["intake: register → amounts"] == 50.0
    assert ns["detectors"] == 15.0
    assert ns["decode"] == 25.0
    low = {row["stage"]: row["floor_ns"] for row in found}
    assert low["intake: register → amounts"] == pytest.approx(floor.INTAKE / 10, abs=0.05)
    assert len(floor.table(found).splitlines()) == len(found) + 1


def test_every_format_has_a_bare_decode(tmp_path: Path) -> None:
    paths = generate_load(tmp_path, 400, 4, 0.1)
    for name in FORMATS:
        assert floor.bare_decode_s(written_as(paths["readings"], name)) >= 0.0


def test_pictures_are_drawn(tmp_path: Path) -> None:
    stages = floor.stages(1_000, 1.0, 1.0, 0.5, 0.2, {"intake": 0.1}, 1e9)
    plots.stages(stages, tmp_path / "stages.svg", "random")
    rates = ("rows_per_cpu_s", "edge_only_rows_per_cpu_s", "decode_only_rows_per_cpu_s")
    formats = {"part": "formats", "format": "csv", "order": "file", **dict.fromkeys(rates, 2e6)}
    growth = {"part": "growth", "meters": 1_000, "ns_a_reading": 200.0}
    plots.scale([formats, growth, {"part": "start"}], tmp_path / "scale.svg")
    plots.scale([{"part": "start"}], tmp_path / "nothing.svg")
    plots.peers([{"method": "gridwarden auto", "ns": 9.0, "found": 0.3}], tmp_path / "peers.svg")
    plots.waits([0.1, 0.2, 0.15], tmp_path / "waits.svg")
    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert set(drawn) == {f"{n}.svg" for n in ("stages", "scale", "nothing", "peers", "waits")}
    assert all("</svg>" in text for text in drawn.values())
