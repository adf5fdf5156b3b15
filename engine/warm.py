"""Compile all kernels once, so that nobody waits for it later: `python -m engine.warm`.

The compiled code is kept beside the sources; installation runs this (Makefile, `venv`).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from engine.config import Config
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
        paths = Town(config).generate(days=3, seed=1).write(Path(made))
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            events=(str(paths["events"]),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        )
        Replay(options, Config()).run()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.stderr.write("gridwarden: compiling kernels (once) …\n")
    sys.stderr.write(f"gridwarden: compiled in {warm():.0f} s\n")
