"""Cases of closed plants as the public files, and back: for the whole program, as a stranger runs it."""

from __future__ import annotations

import csv
import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.quality.plants_cases import DAY, GOODS_IN, GOODS_OUT, HAZMAT_IN, HAZMAT_OUT, Case
from engine.config import Config
from engine.replay import Replay, ReplayOptions

RULE = "closed-plant-production"
ZONE = dt.timezone(dt.timedelta(hours=8))
_CLASS = {
    HAZMAT_IN: ("hazmat", "in"),
    HAZMAT_OUT: ("hazmat", "out"),
    GOODS_IN: ("goods", "in"),
    GOODS_OUT: ("goods", "out"),
}


def write_case(folder: Path, batch: list[Case], vehicles: bool = True) -> None:
    """Write a batch as ``readings.parquet``, ``meters.csv``, ``subjects.csv``, ``events.csv``.

    Each plant has a community of its own. ``truth.json`` says which runs are real.
    """
    folder.mkdir(parents=True, exist_ok=True)
    meters, subjects, events, truth = [], [], [], {}
    for i, case in enumerate(batch):
        subject = f"plant-{i:03d}"
        subjects.append(
            [subject, "closed_plant", f"330106{i + 1:03d}001001", "Asia/Shanghai", _attrs(case)]
        )
        kind = "register" if case.register else "interval"
        meters.append([f"m-{i:03d}", subject, "electricity", kind, "kWh", 900, 1, "start"])
        events += [
            [f"{subject}-{j}", *event] for j, event in enumerate(_events(case, subject, vehicles))
        ]
        runs = [[_stamp(case, a), _stamp(case, b)] for a, b in case.runs]
        truth[subject] = {"kind": case.kind, "runs": runs, "closed": _stamp(case, case.closed)}
    _write(
        folder / "meters.csv",
        "meter_id subject_id utility kind unit interval_s multiplier stamp",
        meters,
    )
    _write(folder / "subjects.csv", "subject_id kind place timezone attrs", subjects)
    _write(
        folder / "events.csv",
        "event_id ts kind subject_id place attrs",
        sorted(events, key=lambda e: e[1]),
    )
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))
    _readings(batch).write_parquet(folder / "readings.parquet")


def _readings(batch: list[Case]) -> pl.DataFrame:
    """Return the rows of a readings file in the order of time, in local time."""
    level = np.full((batch[0].slots + 1, len(batch)), np.nan)
    for i, case in enumerate(batch):
        column = _values(case)
        level[: len(column), i] = column
    slot, meter = np.nonzero(~np.isnan(level))
    days = np.datetime64("1970-01-01", "ms") + np.timedelta64(batch[0].first_day, "D")
    names = pl.Series([f"m-{i:03d}" for i in range(len(batch))])
    return pl.DataFrame(
        {
            "meter_id": names.gather(meter),
            "ts": days + slot * np.timedelta64(900_000, "ms"),
            "value": level[slot, meter].round(4),
        }
    )


def _values(case: Case) -> Any:
    """Return the value at each quarter of an hour: amounts, or a register read at each mark."""
    kwh = case.kw / 4
    if not case.register:
        return kwh
    known = ~np.isnan(kwh)
    level = 1000 + np.concatenate([[0.0], np.cumsum(np.where(known, kwh, np.nanmedian(kwh)))])
    for at in case.resets:
        level[at:] -= level[at]
    level[1:][~known] = np.nan
    return level


def _attrs(case: Case) -> str:
    attrs: dict[str, Any] = {
        "closed_on": str(_time(case, case.closed).date()),
        "lat": round(case.latitude, 2),
    }
    windows = [
        {
            "from": str(_time(case, permit["first"] * DAY).date()),
            "to": str(_time(case, permit["last"] * DAY).date()),
            "days": permit["days"],
            "hours": [f"{int(h):02d}:00" for h in permit["hours"]],
            "kw": round(permit["kw"], 1),
        }
        for permit in case.permits
    ]
    return json.dumps(attrs | ({"permitted_windows": windows} if windows else {}))


def _events(case: Case, subject: str, vehicles: bool) -> list[list[str]]:
    out = []
    for a, b, kw in case.tests:
        attrs = {"from": _stamp(case, a), "to": _stamp(case, b), "kw": round(kw, 1)}
        out.append(
            [_stamp(case, max(0, a - 2 * DAY)), "approved_test", subject, "", json.dumps(attrs)]
        )
    for at, code in case.visits if vehicles else ():
        kind, direction = _CLASS[code]
        attrs = {"class": kind, "direction": direction}
        out.append([_stamp(case, at), "vehicle_gate", subject, "", json.dumps(attrs)])
    return out


def _time(case: Case, slot: float) -> dt.datetime:
    day = dt.datetime(1970, 1, 1, tzinfo=ZONE) + dt.timedelta(days=case.first_day)
    return day + dt.timedelta(seconds=round(900 * slot))


def _stamp(case: Case, slot: float) -> str:
    return _time(case, slot).isoformat()


def _write(path: Path, header: str, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        writer.writerows(rows)


def through_engine(batch: list[Case], vehicles: bool = True) -> list[list[int]]:
    """Replay a batch through the whole program with the shipped rules.

    Returns
    -------
    list of list of int
        For each plant when its alerts of ``closed-plant-production`` above blue were raised, in
        slots of the batch, in order.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_case(folder, batch, vehicles)
        options = ReplayOptions(
            readings=(str(folder / "readings.parquet"),),
            events=(str(folder / "events.csv"),),
            meters=str(folder / "meters.csv"),
            subjects=str(folder / "subjects.csv"),
        )
        result = Replay(options, Config(), keep=True).run()
    assert result.reconciled
    raised: list[list[int]] = [[] for _ in batch]
    for line in result.alerts:
        first = line.seq == 1 and line.rule == RULE and line.level != "blue"
        if first and line.subject_id:
            row = int(line.subject_id.removeprefix("plant-"))
            at = dt.datetime.fromisoformat(line.raised_at) - _time(batch[row], 0)
            raised[row].append(round(at.total_seconds() / 900))
    return raised
