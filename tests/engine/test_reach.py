"""Whose silences no alert would ever tell of."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.base import NO_SLOT, Frame, Signals
from detectors.inactivity import Inactivity
from engine import library
from engine.cli.main import main
from engine.clock import LocalTime
from engine.config import Config
from engine.reach import WITHIN_H, delays, unreached
from engine.replay import Replay, ReplayOptions

RULE = "elderly-silence"
DAYS, LEVEL = 60, 14
START = 490_896  # hours since 1970: 2026-01-01T00:00Z
UTC = LocalTime(["UTC"], library.calendars(Config().calendars), Config().calendar)


def local(slot: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    return UTC.columns(slot, 3600, 0)


def lived() -> NDArray[np.float32]:
    """Hourly litres of two homes: one lives from 7 to 22 h every day, one a day in six."""
    hour, day = np.arange(DAYS * 24) % 24, np.arange(DAYS * 24) // 24
    awake = (hour >= 7) & (hour < 22)
    return np.stack([20.0 * awake, 20.0 * (awake & (day % 6 == 0))], axis=1).astype(np.float32)


def trained() -> Inactivity:
    detector = Inactivity(2, interval_s=3600, fed=[1])
    values = np.full((1, 3, 2), np.nan, np.float32)
    for i, litres in enumerate(lived()):
        values[0, 1] = litres
        detector.step(Frame(START + i, values, *local(START + i)))
    return detector


def due(said: Signals) -> NDArray[np.bool_]:
    return (said.urgency[0] > LEVEL) & (said.onset[0] != NO_SLOT)


def test_silences_are_played_as_they_would_come_and_nothing_changes() -> None:
    detector, first = trained(), START + DAYS * 24
    before = {name: values.tobytes() for name, values in detector.state.items()}
    hour, delay_h, ready = delays(detector, first, local, due)
    assert {name: values.tobytes() for name, values in detector.state.items()} == before
    assert ready.all()
    assert sorted(hour[:, 0].tolist()) == list(range(24))
    waking = (hour[:, 0] >= 7) & (hour[:, 0] < 21)
    assert np.isfinite(delay_h[waking, 0]).all(), "a home of habits is always heard of"
    assert np.isnan(delay_h[:, 1]).any(), "where five days pass without use, silence says little"

    # The same by hand, for a silence that begins at 9 h.
    (i,) = np.flatnonzero(hour[:, 0] == 9)
    values = np.full((1, 3, 2), np.nan, np.float32)
    for slot in range(first, first + i + 1 + WITHIN_H):
        values[0, 1] = 50.0 if slot <= first + i else 0.0
        mask = due(detector.step(Frame(slot, values, *local(slot))))
        for row in range(2):
            if mask[row] and slot > first + i:
                assert slot - first - i >= delay_h[i, row]
                if slot - first - i == delay_h[i, row]:
                    delay_h[i, row] = 0
    assert delay_h[i, 0] == 0, "raised in the hour that was foretold"


def town(folder: Path) -> ReplayOptions:
    """Write two homes as files."""
    stamps = [np.datetime64("2026-01-01T01:00") + np.timedelta64(i, "h") for i in range(DAYS * 24)]
    rows = [
        f"w{home},{stamp}:00+00:00,{litres:g}"
        for stamp, both in zip(stamps, lived(), strict=True)
        for home, litres in enumerate(both)
    ]
    meters = [f"w{h},home-{h},water,interval,l,3600,1,end" for h in range(2)]
    homes = [f"home-{h},elderly_alone,330106001001001,UTC,{{}}" for h in range(2)]
    heads = {
        "readings": "meter_id,ts,value",
        "meters": "meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp",
        "subjects": "subject_id,kind,place,timezone,attrs",
    }
    for (name, head), lines in zip(heads.items(), (rows, meters, homes), strict=True):
        (folder / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    paths = {name: str(folder / f"{name}.csv") for name in heads}
    return ReplayOptions(
        (paths["readings"],), paths["meters"], paths["subjects"], budgets={RULE: 2.0}
    )


def test_homes_to_call_after_a_replay(tmp_path: Path) -> None:
    options = town(tmp_path)
    run = Replay(options, Config())
    run.run()
    (shard,) = run.host.shards
    state, _ = shard.snapshot()
    found = unreached(shard)
    assert shard.snapshot()[0] == state
    assert [home.subject_id for home in found] == ["home-1"]
    assert found[0].rule == RULE
    assert found[0].ready
    assert set(found[0].hours) <= set(range(7, 21))
    assert 0 < found[0].share <= 1

    out = tmp_path / "call.csv"
    with pytest.raises(SystemExit) as done:
        main(
            ["replay", "--readings", *options.readings, "--meters", options.meters,
             "--subjects", options.subjects, "--budget", f"{RULE}=2", "--unreached", str(out)]
        )  # fmt: skip
    assert not done.value.code
    (row,) = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    assert row["subject_id"] == "home-1"
    assert row["hours"] == " ".join(map(str, found[0].hours))


def test_who_is_known_to_be_away_needs_no_call(tmp_path: Path) -> None:
    options = town(tmp_path)
    away = tmp_path / "events.csv"
    away.write_text(
        "event_id,ts,kind,subject_id,place,attrs\n"
        'e1,2026-02-27T08:00:00Z,absence,home-1,,"{""until"": ""2026-03-20""}"\n',
        encoding="utf-8",
    )
    run = Replay(replace(options, events=(str(away),)), Config())
    run.run()
    assert unreached(run.host.shards[0]) == []
