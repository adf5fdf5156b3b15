"""Two relays as processes on PostgreSQL: one is stopped, the other acts, nothing is done twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select, text

from engine.city.servers import Postgres, free_port
from engine.desk import Desk
from engine.roster import Roster, Worker
from engine.store import Store
from engine.store.schema import metadata
from engine.store.schema_console import leases
from rules.alerts import Level
from tests.city.receiver import Receiver, receiver
from tests.engine.store_kit import GRID, T0, change

WORKERS = (
    Worker(worker_id="w-1", grids=(GRID,), stand_in="w-2"),
    Worker(worker_id="leader", grids=(GRID[:12],), role="grid_leader"),
    Worker(worker_id="street", grids=(GRID[:9],), role="street"),
    Worker(worker_id="fire", grids=(GRID[:6],), role="department"),
)


class Relays:
    """Relays of one store, by pid."""

    def __init__(self, url: str, web: Receiver, folder: Path) -> None:
        self.folder = folder
        self.web = web
        self.store = Store.open(url, desk=Desk(roster=Roster(WORKERS)))
        with self.store.database.write() as connection:
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        self.store.rosters.put_workers(WORKERS)
        self.running: dict[int, tuple[subprocess.Popen[bytes], int]] = {}
        self._epoch = self.store.claim("s")
        self._offset = 0
        self._url = url

    def start(self) -> None:
        port = free_port()
        config = {
            "store": self._url,
            "relay": {
                "lease_s": 2, "health_port": port, "networks": ["127.0.0.0/8"],
                "webhooks": {"desk": {"url": self.web.url, "secret": "a secret of some length"}},
            },
        }  # fmt: skip
        file = self.folder / f"{port}.yaml"
        file.write_text(yaml.safe_dump(config))
        with (self.folder / f"{port}.log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.cli.main", "relay", "--config", str(file)],
                stdout=out, stderr=out, env={**os.environ, "GRIDWARDEN_DEBUG": "1"},
            )  # fmt: skip
        self.running[process.pid] = process, port

    def commit(self, *subjects: str) -> None:
        self._offset += 1
        lines = [change(s, level=Level.RED) for s in subjects]
        self.store.commit("s", self._epoch, self._offset, lines, clock_ns=T0)

    def acting(self) -> int | None:
        """Pid of the one that holds the lease."""
        with self.store.database.read() as connection:
            query = select(leases.c.holder).where(leases.c.name == "relay")
            holder = connection.execute(query).scalar() or ""
        pid = int(holder.rpartition(" ")[2]) if holder else None
        return pid if pid in self.running else None

    def wait(self, what: Callable[[], bool], within_s: float = 60.0) -> None:
        ends = time.monotonic() + within_s
        while not what():
            said = {p.name: p.read_text()[-2_000:] for p in self.folder.glob("*.log")}
            assert time.monotonic() < ends, said
            time.sleep(0.05)

    def about(self, pid: int, path: str) -> str:
        url = f"http://127.0.0.1:{self.running[pid][1]}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: str = answer.read().decode()
        return found

    def told(self) -> Counter[str]:
        return Counter(post.headers["webhook-id"] for post in list(self.web.posts))

    def escalated(self) -> int:
        return sum(task.state == "escalated" for task in self.store.tasks.list())

    def written(self) -> set[str]:
        """Names of all that is to be told."""
        found = {f"alert:{json.loads(line)['alert_id']}:0" for line in self.store.lines()}
        for task in self.store.tasks.list():
            found |= {f"task:{e.task_id}:{e.seq}" for e in self.store.tasks.history(task.task_id)}
        return found


@pytest.fixture
def relays(pg: Postgres, tmp_path: Path) -> Iterator[Relays]:
    with receiver() as web:
        found = Relays(pg.url, web, tmp_path)
        try:
            yield found
        finally:
            for process, _ in found.running.values():
                process.kill()
                process.wait()
            found.store.close()


def test_one_acts_and_when_it_stops_the_other_does(relays: Relays) -> None:
    """Told at least once and under one id; marks and steps of the ladder once each."""
    for _ in range(2):
        relays.start()
    relays.commit("home-1")
    relays.wait(lambda: len(relays.told()) >= 2)
    first = relays.acting()
    assert first is not None
    relays.running[first][0].send_signal(signal.SIGSTOP)
    relays.commit("home-2", "home-3")
    relays.wait(lambda: relays.acting() not in (None, first))
    relays.running[first][0].send_signal(signal.SIGCONT)
    relays.wait(lambda: relays.escalated() == 3)  # their time came long ago
    relays.commit("home-4")
    relays.wait(lambda: relays.escalated() == 4)
    relays.wait(lambda: set(relays.told()) == relays.written())
    for task in relays.store.tasks.list():
        steps = [
            (e.action, e.why, e.detail) for e in relays.store.tasks.history(task.task_id)
        ]  # fmt: skip
        assert len(steps) == len(set(steps)), steps
        assert sum(action == "escalate" for action, _, _ in steps) == 1
    second = relays.acting()
    assert second is not None
    assert json.loads(relays.about(second, "/readyz"))["acts"] is True
    metrics = relays.about(second, "/metrics")
    assert "gridwarden_deliveries_waiting{" not in metrics  # nothing waits
    assert sum(float(n) for n in re.findall(r"gridwarden_tasks\{.*\} (.*)", metrics)) == 4
    for process, _ in relays.running.values():
        process.terminate()
    assert [process.wait(30) for process, _ in relays.running.values()] == [0, 0]
