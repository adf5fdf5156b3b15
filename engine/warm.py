"""Compile all kernels once, so that nobody waits for it later: `python -m engine.warm`.

The compiled code is kept beside the sources; installation runs this (Makefile, `venv`).
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
from numba.core.dispatcher import Dispatcher

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


def kernels() -> tuple[int, int]:
    """Return how many kernels are ready, and how many there are in the modules loaded so far."""
    ours = ("detectors", "rules", "connectors", "engine")
    modules = [m for name, m in list(sys.modules.items()) if name.split(".")[0] in ours]
    found = {k for m in modules for k in list(vars(m).values()) if isinstance(k, Dispatcher)}
    return sum(bool(k.overloads) for k in found), len(found)


@contextmanager
def telling(stream: TextIO, every_s: float = 5.0) -> Iterator[None]:
    """Say from time to time how far the compiler is: it takes minutes on a small machine."""
    done = threading.Event()
    began = time.perf_counter()

    def tell() -> None:
        while not done.wait(every_s):
            ready, known = kernels()
            took = time.perf_counter() - began
            print(f"gridwarden: {ready} of {known} kernels, {took:.0f} s", file=stream, flush=True)

    thread = threading.Thread(target=tell, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.stderr.write("gridwarden: compiling kernels (once; a minute or two) …\n")
    with telling(sys.stderr):
        seconds = warm()
    sys.stderr.write(f"gridwarden: {kernels()[0]} kernels compiled in {seconds:.0f} s\n")
