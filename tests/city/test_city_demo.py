"""`gridwarden city-demo`: everything runs on real servers, and whatever is killed, nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace

import pytest

from engine.city.demo import CityDemo, empty
from engine.city.demo_feed import Feed
from engine.city.servers import Kafka, Mosquitto, Postgres, Redis
from engine.simulate import Incident, TownConfig
from engine.tasks import TaskState

TOWN = TownConfig(
    streets=1, communities_per_street=2, grids_per_community=1, concentrators_per_community=1,
    elderly=6, homes=4, rentals=0, vacant=0, plants=0, closed_plants=1, closed_on_day=5,
    electricity_interval_s=3600, gas_share=0.0, live_from_day=9,
    incidents=(Incident("covert_run", "closed-0001", 9.5, 8, {"share": 0.4}),),
)  # fmt: skip


@pytest.fixture
def programs(kafka: Kafka, pg: Postgres, redis: Redis, mosquitto: Mosquitto) -> None:
    """All servers can be had here."""


def test_a_city_runs_and_forgets_nothing_when_parts_are_killed(programs: None) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gridwarden-city-") as name:
        folder = Path(name) / "demo"
        empty(folder)
        said: list[str] = []
        demo = CityDemo(folder, 3_600.0 * 4, lambda _zh, en: said.append(en), TOWN, days=11)
        try:
            demo.open()
            ends = time.monotonic() + 90
            killed = False
            while not demo.feed.over:
                assert time.monotonic() < ends
                demo.tend()
                if demo.feed.sent and not killed:
                    for process in (demo.parts["one"].process, demo.servers["redis"].process):
                        assert process is not None
                        process.kill()
                        process.wait()
                    demo.servers["redis"].start()
                    killed = True
                time.sleep(0.1)
            assert killed
            assert demo.settle(), {p.name: p.log.read_text()[-1_500:] for p in demo.parts.values()}
            live = int((demo._data.arrival_ns >= (demo._data.live_from_ns or 0)).sum())
            assert demo.feed.sent == live
            tasks = demo.store.tasks.list(states=[str(state) for state in TaskState])
            assert len(tasks) == len({task.alert_id for task in tasks}) > 0
            assert {row.holder for row in demo.store.shards()} <= {"one", "two"}
        finally:
            demo.close()
        assert all(part.process is None for part in demo.parts.values())


def test_a_server_that_cannot_be_had_is_named_with_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "city-demo", "--once", "--folder", tmp_path / "d"],
        env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3
    assert "install openjdk-17-jre-headless" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(FileExistsError, match="choose another --folder"):
        empty(tmp_path)
    assert (tmp_path / "mine").exists()


def test_a_reading_may_be_acknowledged_while_it_is_still_being_sent() -> None:
    """The client holds a lock of its own while it tells: ours must not be held while we send."""
    feed = Feed.__new__(Feed)
    feed._lock, feed._under_way, feed._early, feed._bodies = Lock(), {}, set(), deque()
    feed.sent = 0
    told: list[Thread] = []

    class Client:
        def publish(self, *_: object, **__: object) -> SimpleNamespace:
            told.append(Thread(target=feed._acknowledged, args=(None, None, 7, None, None)))
            told[-1].start()
            told[-1].join(5)
            assert not told[-1].is_alive(), "whoever acknowledges waits for whoever sends"
            return SimpleNamespace(mid=7)

    feed._mqtt = Client()  # type: ignore[assignment]
    feed._publish(b"{}", 3)
    assert (feed.sent, feed.waiting) == (3, 0)
    feed._under_way[8] = 2
    feed._acknowledged(None, None, 8, None, None)
    assert (feed.sent, feed.waiting, feed._early) == (5, 0, set())
