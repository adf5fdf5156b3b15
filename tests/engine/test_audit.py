"""Audits: alerts proven by one replay with branches, and what is found when something is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from engine.audit import AuditError, audit
from engine.config import Config
from engine.replay import Replay, ReplayOptions, ReplayResult, manifest_path
from engine.simulate import Incident, Rates, Town, TownConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReplayResult]:
    """A street in which a pensioner collapses and the power fails, replayed to a file."""
    folder = tmp_path_factory.mktemp("street")
    config = TownConfig(
        streets=1, communities_per_street=2, grids_per_community=1, concentrators_per_community=1,
        elderly=9, homes=7, rentals=0, vacant=0, plants=0, closed_plants=0,
        electricity_interval_s=3600, gas_share=0.0, rates=Rates(late_share=0.02),
        incidents=(
            Incident("collapse", "elder-0002", 12.4, 48),
            Incident("power_cut", "330199001001", 11.5, 5, {"declared": False}),
        ),
    )  # fmt: skip
    Town(config).generate(days=15, seed=3).write(folder)
    options = ReplayOptions(
        readings=(str(folder / "readings.csv.gz"),),
        events=(str(folder / "events.csv"),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
        budgets={"elderly-silence": 52.0},
        alerts=str(folder / "alerts.ndjson"),
    )
    return folder, Replay(options, Config(), keep=True).run()


def test_every_counterfactual_is_proven_in_one_replay(made: tuple[Path, ReplayResult]) -> None:
    folder, replayed = made
    raised = [line for line in replayed.alerts if line.seq == 1]
    rules = {line.rule for line in raised}
    assert {"elderly-silence", "area-outage"} <= rules
    told: list[tuple[int, int]] = []
    result = audit(folder / "alerts.ndjson", on_pass=lambda *x: told.append(x))
    assert result.findings == []
    assert result.identical
    assert result.reconciled
    assert result.proven == len(raised)
    assert told[-1][0] == told[-1][1] <= len(raised)
    assert audit(folder / "alerts.ndjson", sample=2).proven == 2


def _copy(folder: Path, target: Path, change: dict[str, object]) -> Path:
    """Copy the alerts with the first counterfactual reading of each changed."""
    lines = []
    for text in (folder / "alerts.ndjson").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        for row in line["facts"].get("counterfactual", ()):
            if "meter_id" in row:
                row |= change
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    path = target / "alerts.ndjson"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    manifest = manifest_path(str(folder / "alerts.ndjson")).read_bytes()
    manifest_path(str(path)).write_bytes(manifest)
    return path


def test_a_counterfactual_that_does_not_hold_is_found(
    made: tuple[Path, ReplayResult], tmp_path: Path
) -> None:
    folder, replayed = made
    path = _copy(folder, tmp_path, {"value": 0.0, "ts": "2026-01-01T00:00:00Z"})
    result = audit(path)
    silences = {
        line.alert_id
        for line in replayed.alerts
        if line.rule == "elderly-silence" and line.subject_id == "elder-0002"
    }
    found = {f.alert_id for f in result.findings if "although" in f.problem}
    assert found & silences
    assert not result.identical, "and these are not the bytes that the replay gives"


def test_changed_inputs_and_missing_manifests_are_found(
    made: tuple[Path, ReplayResult], tmp_path: Path
) -> None:
    folder, _ = made
    readings = folder / "readings.csv.gz"
    kept = readings.read_bytes()
    text = gzip.decompress(kept)
    readings.write_bytes(gzip.compress(text[: len(text) * 3 // 4]))
    try:
        problems = [f.problem for f in audit(folder / "alerts.ndjson", sample=1).findings]
    finally:
        readings.write_bytes(kept)
    assert any("is not the file it was made from" in p for p in problems)
    assert any("replaying gives other bytes" in p for p in problems)
    alone = tmp_path / "alone.ndjson"
    alone.write_text("", encoding="utf-8")
    with pytest.raises(AuditError, match="manifest"):
        audit(alone)
