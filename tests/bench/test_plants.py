"""The bench of closed plants: its cases, its figures, its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.quality import plants, plants_cases, plants_files

KINDS = ("night 25 %", "night 12 %", "week-end 25 %", *plants_cases.CAUSES, "mixture")


@pytest.fixture(scope="module")
def batch(data: Path) -> list[plants_cases.Case]:
    return plants.make_batch(plants_cases.load(data), KINDS, seed=401)


def test_runs_are_found_and_harmless_causes_are_not(batch: list[plants_cases.Case]) -> None:
    _, urgency, onset = plants.run_detector(batch)
    for i, case in enumerate(batch):
        alerts = plants.alerts_of(urgency[:, i], onset[:, i])
        if case.runs:
            assert plants.night_of(case, alerts) == 1, case.kind
        else:
            assert not alerts, case.kind


def test_cases_are_the_same_every_time(data: Path, batch: list[plants_cases.Case]) -> None:
    again = plants.make_batch(plants_cases.load(data), KINDS, seed=401)
    for one, two in zip(batch, again, strict=True):
        np.testing.assert_array_equal(one.kw, two.kw)
        assert one.runs == two.runs


def test_practice_needs_the_night_to_outweigh_the_day(batch: list[plants_cases.Case]) -> None:
    case = batch[0]
    alerts = plants.practice(case)["night >= 1.5 day"]
    assert alerts
    assert all(alert.raised > case.runs[0][0] for alert in alerts)


def test_files_tell_the_same_case(tmp_path: Path, batch: list[plants_cases.Case]) -> None:
    pick = [batch[0], batch[KINDS.index("dismantling")], batch[KINDS.index("lorries")]]
    plants_files.write_case(tmp_path, pick)
    with (tmp_path / "meters.csv").open() as file:
        meters = list(csv.DictReader(file))
    assert [m["kind"] for m in meters] == ["register" if c.register else "interval" for c in pick]
    with (tmp_path / "subjects.csv").open() as file:
        attrs = [json.loads(row["attrs"]) for row in csv.DictReader(file)]
    assert attrs[1]["permitted_windows"][0]["kw"] == round(pick[1].permits[0]["kw"], 1)
    assert all("closed_on" in a for a in attrs)
    with (tmp_path / "events.csv").open() as file:
        events = list(csv.DictReader(file))
    assert len(events) == len(pick[2].visits)
    assert {json.loads(e["attrs"])["class"] for e in events} == {"hazmat", "goods"}
    readings = pl.read_parquet(tmp_path / "readings.parquet")
    value = readings.filter(pl.col("meter_id") == "m-000")["value"].to_numpy()
    kwh = np.diff(value) if pick[0].register else value
    assert kwh.sum() * 4 == pytest.approx(np.nansum(pick[0].kw), rel=1e-3)
