"""The agent that one writes first: Faust, one JSON reading an event, one detector a home.

``python -m bench.plain_faust KAFKA TOPIC EVENTS TABLES OUT``, started by ``bench.city faust``. It has it
easy: no validation, no late readings, no durable state (homes in a dict, not in a Faust table), no
alerts. What it is given of ours is the detector itself, one row of it a home, in its compiled form.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faust
import msgspec
import numpy as np
import pyarrow.parquet as pq

from bench.cost import cpu_s
from detectors.base import Detector, Frame
from engine.city.district import District
from engine.config import Config

HOUR_S = 3_600
PARTS = 4
DETECTOR = "inactivity"


class Home:
    """One home: the parts of the hour that is open, and a detector with one row."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.hour = -1
        self.parts: list[np.float32] = []

    def feed(self, second: int, value: float, local: Any) -> None:
        """Take a quarter of an hour; the fourth closes the hour."""
        hour = second // HOUR_S
        if hour != self.hour:
            self.hour, self.parts = hour, []
        self.parts.append(np.float32(value))
        if len(self.parts) == PARTS:
            values = np.full((1, len(self.detector.channels), 1), np.nan, np.float32)
            values[0, 0, 0] = max(self.parts)  # as the detector's channel has it
            self.detector.step(Frame(hour, values, *local(hour)))


def district(tables: Path, shards: int = 4, **more: Any) -> District:
    """Return the district of a load."""
    inputs = {
        "meters": str(tables / "meters.parquet"),
        "subjects": str(tables / "subjects.parquet"),
    }
    return District(Config.model_validate({"inputs": inputs, "city": {"shards": shards}, **more}))


class Agent:
    """The agent and what it needs to make detectors that are those of the rule."""

    def __init__(self, tables: Path) -> None:
        here = district(tables, shards=1, store="sqlite://")
        runner = here.runner(0)
        group = next(g for g in runner.groups if g.detector.name == DETECTOR)
        self._like = group.detector
        names = pq.read_table(tables / "meters.parquet", columns=["meter_id", "subject_id"])
        subjects = runner.registry.subjects.subject_id.to_pylist()
        row = {subjects[r]: i for i, r in enumerate(group.subject_rows.tolist())}
        self._row = {
            meter: row[subject]
            for meter, subject in zip(*names.to_pydict().values(), strict=True)
            if subject in row
        }
        self._local = runner.local
        self._columns: dict[int, Any] = {}
        self.homes: dict[str, Home] = {}

    def columns(self, hour: int) -> Any:
        """Return what the calendar says of an hour; worked out once for all homes."""
        if hour not in self._columns:
            self._columns[hour] = self._local.columns(hour, HOUR_S, 0)
        return self._columns[hour]

    def home(self, meter: str) -> Home:
        """Return a home; made when it is first heard of."""
        found = self.homes.get(meter)
        if found is None:
            like, row = self._like, self._row[meter]
            made = type(like)(
                1, interval_s=HOUR_S, zone=like.zone[row : row + 1], key=like.key[row : row + 1],
                fed=like.fed, **like.params,
            )  # fmt: skip
            found = self.homes[meter] = Home(made)
        return found


async def run(kafka: str, topic: str, events: int, tables: Path, out: Path) -> None:
    """Take so many events, then write what they cost and what every home's detector came to."""
    agent = Agent(tables)
    # Compile before the clock runs.
    some = Home(agent.home(next(iter(agent._row))).detector)
    for quarter in range(PARTS):
        some.feed(quarter * 900, 0.0, agent.columns)
    agent.homes.clear()
    done = asyncio.Event()
    began: list[float] = []
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        app = faust.App(
            "plain-agent", broker=f"kafka://{kafka}", store="memory://", datadir=folder,
            web_enabled=False, topic_disable_leader=True, consumer_auto_offset_reset="earliest",
        )  # fmt: skip

        @app.agent(app.topic(topic, value_serializer="json"))
        async def watch(stream: Any) -> None:
            nonlocal seen
            async for reading in stream:
                if not began:
                    began.extend((cpu_s(), time.monotonic()))
                second = int(dt.datetime.fromisoformat(reading["ts"]).timestamp())
                home = agent.home(reading["meter_id"])
                home.feed(second, reading["value"], agent.columns)
                seen += 1
                if seen == events:
                    done.set()

        app.finalize()
        await app.start()
        await asyncio.wait_for(done.wait(), 900)
        figures = {
            "cpu_s": cpu_s() - began[0],
            "wall_s": time.monotonic() - began[1],
            "events": seen,
        }
        await app.stop()
    states: dict[str, Any] = {
        f"{meter}/{name}": array
        for meter, home in agent.homes.items()
        for name, array in home.detector.state.items()
    }
    np.savez(out, figures=np.frombuffer(msgspec.json.encode(figures), np.uint8), **states)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    broker, name, number, folder, file = sys.argv[1:]
    asyncio.run(run(broker, name, int(number), Path(folder), Path(file)))
