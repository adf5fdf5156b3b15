"""Compile all kernels once, so that nobody waits for it later: `python -m engine.warm`.

The compiled code is kept beside the sources; installation runs this (Makefile, `venv`).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from connectors.sources import ReadingSource
from connectors.writers import RowWriter
from engine.config import Config
from engine.inputs import directory_of
from engine.replay import Replay, ReplayOptions
from engine.simulate import Town, TownConfig


def warm() -> float:
    """Replay a tiny town through every shipped rule; return how long it took, seconds."""
    began = time.perf_counter()
    config = TownConfig(
        streets=1,
        communities_per_street=1,
        grids_per_community=1,
        elderly=6,
        homes=2,
        rentals=0,
        vacant=0,
        plants=0,
        closed_plants=1,
        closed_on_day=1,
        gas_share=0.5,
    )
    with tempfile.TemporaryDirectory() as made:
        data = Town(config).generate(days=3, seed=1)
        paths = data.write(Path(made))
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            events=(str(paths["events"]),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        )
        replay = Replay(options, Config())
        replay.run()
        _read_all_formats(data.readings_table().combine_chunks(), replay, Path(made))
    return time.perf_counter() - began


def _read_all_formats(readings: pa.Table, replay: Replay, folder: Path) -> None:
    """Read the same rows from each kind of file: columns of theirs come in different forms."""
    directory = directory_of(replay.registry)
    text = readings.set_column(0, "meter_id", readings["meter_id"].cast(pa.string()))
    text = text.set_column(1, "ts", readings["ts"].cast(pa.string()))
    stamped = text.set_column(1, "ts", readings["ts"])
    for ending, table in (
        ("csv", text),
        ("ndjson", text),
        ("parquet", text),
        ("parquet", stamped),
        ("arrow", stamped),
    ):
        path = str(folder / f"warm.{ending}")
        with RowWriter(path, table.schema) as out:
            for batch in table.to_batches(4_096):
                out.write(batch)
        for _ in ReadingSource(path, directory):
            pass


if __name__ == "__main__":
    sys.stderr.write("gridwarden: compiling kernels (once) …\n")
    sys.stderr.write(f"gridwarden: compiled in {warm():.0f} s\n")
