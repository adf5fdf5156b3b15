"""A small town with everything that happens to a home, hourly so that it is quick."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.simulate import Incident, Rates, Town, TownConfig

DAYS = 19
ZONE = ZoneInfo("Asia/Shanghai")
END_NS = int(datetime(2026, 3, 2 + DAYS, tzinfo=ZONE).timestamp()) * 10**9


def build(folder: Path) -> Path:
    """Write the town into a folder; return it."""
    config = TownConfig(
        streets=1, communities_per_street=2, grids_per_community=1, concentrators_per_community=1,
        elderly=9, homes=4, rentals=0, vacant=0, plants=0, closed_plants=1, closed_on_day=10,
        electricity_interval_s=3600, gas_share=0.0,
        rates=Rates(late_share=0.02, duplicate_share=0.004, conflict_share=0.002, glitch=4.0,
                    clock_ahead=1.0, power_cut=6.0),
        incidents=(
            Incident("collapse", "elder-0005", 16.4, 24 * 30),
            Incident("covert_run", "closed-0001", 16.9, 8, {"share": 0.4}),
            Incident("visit", "elder-0004", 15.4, 70, {"declared": True}),
        ),
    )  # fmt: skip
    Town(config).generate(days=DAYS, seed=5).write(folder)
    return folder
