"""Closed plants through the whole engine: what goes on firing is not looked at anew, to no effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.quality import plants_cases, plants_files
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from engine.watch import Watch

HISTORY, DAYS = 28, 44


@pytest.fixture(scope="module")
def fleet(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three plants of 16 closed days: one runs every night, one by day, one not at all."""
    source = plants_cases.load(data)
    batch = []
    for i, hour in enumerate([22.0, 8.5, None]):
        rng = np.random.default_rng([3, i])
        rest = np.zeros(DAYS, bool)
        case = plants_cases.base_case(source, rng, "own", 18_262, DAYS, rest, HISTORY)
        for day in range(HISTORY + 3, DAYS - 1):
            if hour is not None:
                start = int(day * plants_cases.DAY + 4 * hour)
                plants_cases.add_run(source, case, start, 26, 0.4)
        batch.append(case)
    folder = tmp_path_factory.mktemp("plants")
    plants_files.write_case(folder, batch)
    return folder


def lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[object], int]:
    """Return the lines of all alerts of a replay, and how often single rows were looked at."""
    options = ReplayOptions(
        readings=(str(folder / "readings.parquet"),),
        events=(str(folder / "events.csv"),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
    )
    looks = 0
    look = Watch._evaluate_row

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal looks
        looks += 1
        return look(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "_evaluate_row", counted)
        result = Replay(options, Config(), keep=True).run()
    return list(result.alerts), looks


def test_rows_left_alone_tell_the_same(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts, looks = lines(fleet, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(Watch, "_unmoved", lambda *_: set())
        patched.setattr(Watch, "_held_back", lambda *_: set())
        every, all_looks = lines(fleet, monkeypatch)
    assert alerts == every
    assert looks * 20 < all_looks
    mine = [a for a in alerts if getattr(a, "rule", "") == plants_files.RULE]
    assert {(a.subject_id, str(a.level)) for a in mine} >= {  # type: ignore[attr-defined]
        ("plant-000", "orange"),
        ("plant-000", "red"),
    }
