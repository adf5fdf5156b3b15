"""Every refused row says in words what was got and what was wanted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
from click.testing import CliRunner

from connectors.records import Fault
from connectors.refusals import details
from engine.cli.replay import replay

TABLES = {
    "meters": """meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp,register_max
amount,home,electricity,interval,kWh,900,1,start,
level,home,water,register,l,3600,1,end,9999999
lost,nowhere,water,register,l,3600,1,end,
""",
    "subjects": """subject_id,kind,timezone,place,attrs
home,elderly_alone,Europe/Berlin,330102001001001,{}
""",
}
READINGS = """meter_id,ts,value
amount,2024-01-01T00:00:00Z,0.1
amount,2024-01-01T00:15:00Z,0.1
amount,2024-01-01T00:15:00Z,0.2
amount,2024-01-01T00:22:00Z,0.1
amount,2024-01-01T00:30:00Z,-1
amount,2024-01-01T00:30:00Z,1e9
amount,soon,1
amount,2024-01-01T00:30:00Z,much
amount,1970-01-01T00:30:00Z,1
amount,2024-03-31T02:30:00,1
amount,2030-01-01T00:30:00Z,1
stranger,2024-01-01T00:30:00Z,1
lost,2024-01-01T00:30:00Z,1
amount,2024
level,2024-01-01T00:30:00Z,1000
level,2024-01-01T01:30:00Z,1010
level,2024-01-01T02:30:00Z,900000
level,2024-01-01T03:30:00Z,1020
level,2024-01-01T03:30:00Z,1021
level,2024-01-01T04:30:00Z,99999999
level,2024-01-01T05:30:00Z,1030
level,2024-01-01T06:30:00Z,1040
"""
EVENTS = """event_id,ts,kind,subject_id,place,attrs
e1,2024-01-01T00:00:00Z,note,home,,
e2,then,note,home,,
e3,1970-01-01T00:00:00Z,note,home,,
e4,2024-03-31T02:30:00,note,home,,
e5,2024-01-01T00:00:00Z,note,nobody,,
e6,2024-01-01T00:00:00Z,note,,,
e7,2024-01-01T00:00:00Z,,home,,
,2024-01-01T00:00:00Z,note,home,,
e8,2024-01-01T00:00:00Z,note,home,,[1]
e9,2024-01-01T00:00:00Z,absence,home,,"{""until"": ""some day""}"
e10,2024-01-01T00:00:00Z,weather,home,,"{""temp_c"": ""hot""}"
e11,2024-01-01
e12,2040-01-01T00:00:00Z,note,home,,
e13,2024-01-02T00:00:00Z,absence,home,,"{""from"": ""2024-01-05"", ""until"": ""2024-01-03""}"
e14,2024-01-02T00:00:00Z,note,home,,
"""


def refused(tmp_path: Path) -> list[dict[str, str]]:
    """Return the rows of both quarantine files, readings first."""
    files = {**TABLES, "readings": READINGS, "events": EVENTS}
    arguments: list[str] = []
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
        arguments += [f"--{name}", str(tmp_path / f"{name}.csv")]
    done = CliRunner().invoke(replay, [*arguments, "--quarantine", str(tmp_path / "q.csv")])
    assert done.exit_code == 0, done.output
    rows: list[dict[str, str]] = []
    for name in ("q.csv", "q.events.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return rows


def test_one_of_each(tmp_path: Path) -> None:
    rows = refused(tmp_path)
    assert {row["reason"] for row in rows} == {f.name.lower() for f in Fault} - {"ok"}
    for row in rows:
        column, text = row["detail"].split()[0], row["detail"]
        assert "wanted" in text, row
        # What was got, as it stands in the row.
        assert row.get(column, "") in text, row


def test_every_fault_of_a_reading_has_its_words() -> None:
    faults = np.array([f for f in Fault if f not in (Fault.OK, Fault.BAD_EVENT)], np.uint8)
    columns = [pa.array(["m" * 99] * len(faults)) for _ in range(3)]
    said = details(faults, pa.record_batch(columns, names=["meter_id", "ts", "value"])).to_pylist()
    assert len(set(said)) == len(faults)
    assert all("; wanted " in text and len(text) < 200 for text in said)
