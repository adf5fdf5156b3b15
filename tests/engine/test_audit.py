"""Audits: alerts proven by one replay with branches, and what is found when something is wrong."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.audit import AuditError, audit
from engine.config import Config
from engine.counterfactual import Counterfactuals
from engine.outcomes import STRETCH_S
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


def _street_of_one(folder: Path) -> ReplayOptions:
    """A home whose register is read twice an hour and drips a litre; from day 30 on that is all."""
    start = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    rows, level = ["meter_id,ts,value"], 1000
    for hour in range(32 * 24):
        at = start + dt.timedelta(hours=hour)
        level += 12 if hour % 24 in (7, 8, 12, 13, 18, 19, 21) and hour < 30 * 24 + 9 else 1
        for minute in (28, 44):
            rows.append(f"w,{at + dt.timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ},{level}")
    (folder / "readings.csv").write_text("\n".join(rows) + "\n")
    (folder / "meters.csv").write_text(
        "meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp\n"
        "w,home,water,register,l,3600,1,end\n"
    )
    (folder / "subjects.csv").write_text(
        "subject_id,kind,place,timezone,attrs\nhome,elderly_alone,330199001001001,UTC,{}\n"
    )
    return ReplayOptions(
        readings=(str(folder / "readings.csv"),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
        alerts=str(folder / "alerts.ndjson"),
    )


def test_a_register_stood_at_what_it_told_before_the_hour_not_after(tmp_path: Path) -> None:
    """What it told while the slot waited was not known then; it pushed the hour's edge out."""
    done = Replay(_street_of_one(tmp_path), Config(), keep=True).run()
    assert "elderly-silence" in {line.rule for line in done.alerts}
    result = audit(tmp_path / "alerts.ndjson")
    assert result.findings == []
    assert result.proven > 0


@pytest.mark.parametrize(("weeks", "reaches_d"), [(2, 14), (23, 60)])
def test_an_absence_that_explains_a_long_decline_is_one_that_is_believed(
    weeks: int, reaches_d: int
) -> None:
    """Longer than 120 days none is: one that began with the decline would have ended before it told."""
    day_ns = 86_400 * 10**9
    tip_ns = 20_000 * day_ns
    raised: Any = SimpleNamespace(
        row=0, tip_ns=tip_ns, life=SimpleNamespace(onset_ns=tip_ns - weeks * 7 * day_ns)
    )
    watch: Any = SimpleNamespace(rule=SimpleNamespace(subjects=SimpleNamespace(grain="subject")))
    around = SimpleNamespace(subject=lambda *_: {"id": "home", "place": "330199001001001"})
    shard: Any = SimpleNamespace(around=around)
    (told,) = Counterfactuals(shard)._absence(watch, raised)
    start, end = (dt.datetime.fromisoformat(told["attrs"][k]) for k in ("from", "to"))
    tip = dt.datetime.fromtimestamp(tip_ns // 10**9, dt.UTC)
    assert start <= tip - dt.timedelta(days=reaches_d)
    assert end > tip
    assert end - start <= dt.timedelta(seconds=STRETCH_S)
