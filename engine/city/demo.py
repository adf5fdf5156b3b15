"""A whole city on one machine: real servers, all parts as processes, a simulated town.

A process that ends is started again after a while, as systemd would; so anything may be killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import yaml

from engine import library
from engine.city.demo_feed import Feed
from engine.city.servers import Kafka, Mosquitto, Postgres, Redis, Server, ServerMissing, free_port
from engine.config import Config, load
from engine.console.serve import vault_of
from engine.demo import NIGHT_NS
from engine.demo_desk import (
    Colleagues,
    add_accounts,
    add_people,
    read_truth,
    viewers_worker,
    work_off,
)
from engine.inputs import layout_of, load_registry, place_names
from engine.opening import open_store
from engine.places import PlaceTree
from engine.simulate import Town, TownConfig
from engine.store import Store, StoreError
from engine.trial import wall_ns_of
from engine.watched import enter_contacts, enter_watched

SHARDS = 16
DAYS = 50
KEY = "demo-key"

BACK_S = 8.0
"""A part that ended is started again after so long."""
NS = 1_000_000_000


@dataclass(slots=True)
class Part:
    """One process of the city."""

    name: str
    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, writing its log."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603 -- our own program
                [sys.executable, "-m", "engine.cli.main", *self.arguments],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.ended_at = None

    def stop(self, patience_s: float = 30.0) -> None:
        """Ask it to end, and end it if it does not."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class CityDemo:
    """The city; :meth:`open` it, watch it, :meth:`close` it.

    Parameters
    ----------
    folder : Path
        Its own, emptied at the start.
    speed : float
        Event seconds a second in the live days.
    say : callable
        Takes a line about what is being done, in Chinese and English.
    town : TownConfig, optional
        With ``live_from_day``; default: the demo's.
    days : int
        Of the town.
    """

    def __init__(
        self,
        folder: Path,
        speed: float,
        say: Callable[[str, str], None],
        town: TownConfig | None = None,
        days: int = DAYS,
    ) -> None:
        self.folder = folder
        self.speed = speed
        self.servers: dict[str, Server] = {}
        self.missing: dict[str, str] = {}
        self.parts: dict[str, Part] = {}
        self.accounts: list[tuple[str, str, str]] = []
        self.history_rows = 0
        self.history_s = 0.0
        self.feed: Feed
        self.store: Store
        self.config: Config
        self._say = say
        self._town = town or TownConfig.demo()
        self._days = days
        self._elsewhere: Path | None = None
        self._ports = {
            n: free_port() for n in ("http", "console", "gateway", "one", "two", "relay")
        }

    @property
    def console_url(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self._ports['console']}/"

    @property
    def file(self) -> Path:
        """The configuration of all parts."""
        return self.folder / "city.yaml"

    # -- starting -------------------------------------------------------------------------

    def open(self) -> None:
        """Start everything, bring the past behind, and let the live days begin.

        Raises
        ------
        ServerMissing
            If Kafka or PostgreSQL cannot be had; without Redis or Mosquitto it goes on.
        """
        self._start_servers()
        self._say("正在生成模拟小镇", "making a simulated town")
        town = self.folder / "town"
        self._data = Town(self._town).generate(days=self._days, seed=7)
        self._paths = self._data.write(town, "parquet")
        assert self._data.live_from_ns is not None
        self._write_history()
        self._configure(trial=None)
        rules = library.rules(None)
        vault = vault_of(self.config, self.config.snapshots)
        workers = str(self._paths["workers"])
        self.store = open_store(self.config.store, rules, self.config, workers, vault=vault)
        for name in ("one", "two"):
            self._start(name, "worker", "--name", name)
        self._bring_history()
        self._enter_people()
        self._begin_live()

    def _start_servers(self) -> None:
        made: dict[str, Server] = {
            "kafka": Kafka(self.folder / "kafka"),
            "postgres": Postgres(self._open_folder() / "postgres"),
            "redis": Redis(self.folder / "redis"),
            "mosquitto": Mosquitto(self.folder / "mosquitto"),
        }

        def begin(name: str) -> Exception | None:
            try:
                made[name].start()
            except Exception as error:
                return error
            self._say(
                f"{name} 已启动（端口 {made[name].port}）", f"{name} runs on port {made[name].port}"
            )
            return None

        self._say("正在启动服务器", "starting servers (the first time Kafka is fetched by Maven)")
        with ThreadPoolExecutor(len(made)) as pool:
            problems = dict(zip(made, pool.map(begin, made), strict=True))
        self.servers = {name: server for name, server in made.items() if problems[name] is None}
        for name, problem in problems.items():
            if problem is None:
                continue
            if name in ("kafka", "postgres") or not isinstance(problem, ServerMissing):
                raise problem
            self.missing[name] = str(problem)
            self._say(f"没有 {name}：{problem}", f"going on without {name}: {problem}")

    def _open_folder(self) -> Path:
        """Return a folder that PostgreSQL reaches: for root it runs as another user."""
        if os.geteuid() != 0:
            return self.folder
        self._elsewhere = Path(tempfile.mkdtemp(prefix="gridwarden-pg-"))
        self._elsewhere.chmod(0o755)
        return self._elsewhere

    def _configure(self, trial: dict[str, Any] | None) -> None:
        """Write the configuration; the live days have another clock and other sources."""
        kafka, pg = self.servers["kafka"], self.servers["postgres"]
        assert isinstance(pg, Postgres)
        gateway: dict[str, Any] = {
            "state": str(self.folder / "gateway.json"),
            "health_port": self._ports["gateway"],
            "clock": "data" if trial is None else "wall",
        }
        inputs = {
            name: str(self._paths[name])
            for name in ("meters", "subjects", "places", "workers", "contacts")
        }
        if trial is None:
            inputs["watch"] = str(self.folder / "inbox")
        else:
            gateway["http"] = {"port": self._ports["http"], "keys": {"demo": KEY}}
            if "mosquitto" in self.servers:
                gateway["mqtt"] = {"port": self.servers["mosquitto"].port}
        data: dict[str, Any] = {
            "store": pg.url,
            "snapshots": str(self.folder / "snapshots"),
            "inputs": inputs,
            "console": {"port": self._ports["console"], "url": self.console_url},
            "city": {
                "kafka": kafka.address, "shards": SHARDS, "gateway": gateway,
                "worker": {"session_s": 3, "save_every_s": 15},
            },
            "relay": {
                "inside": False, "kafka": True, "lease_s": 3, "health_port": self._ports["relay"],
            },
        }  # fmt: skip
        if "redis" in self.servers:
            data["relay"]["redis"] = f"redis://{self.servers['redis'].address}/0"
        if trial is not None:
            data["trial"] = trial
        self.file.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False))
        self.config = load(self.file)

    def _start(self, name: str, command: str, *arguments: str) -> None:
        log = self.folder / f"{name}.log"
        part = Part(name, (command, "--config", str(self.file), *arguments), log)
        self.parts[name] = part
        part.start()

    # -- the past -------------------------------------------------------------------------

    def _write_history(self) -> None:
        data = self._data
        live_from_ns = data.live_from_ns or 0
        inbox = self.folder / "inbox"
        inbox.mkdir()
        n = self.history_rows = int(np.searchsorted(data.arrival_ns, live_from_ns))
        table = data.readings_table().slice(0, n)
        ids = table["meter_id"].cast(pa.string())
        pa_csv.write_csv(table.set_column(0, "meter_id", ids), inbox / "readings.csv")
        events = pa_csv.read_csv(
            self._paths["events"],
            convert_options=pa_csv.ConvertOptions(column_types={"ts": pa.string()}),
        )
        past = [data.start_ns + e.ts_s * NS < live_from_ns for e in data.events]
        pa_csv.write_csv(events.filter(pa.array(past)), inbox / "events.csv")

    def _bring_history(self) -> None:
        """Have a gateway pack the past at full speed, and wait until the workers are through."""
        self._say(
            f"正在处理历史：{self.history_rows:,} 条读数",
            f"the past: {self.history_rows:,} readings",
        )
        began = time.monotonic()
        self._start("gateway", "gateway")
        wanted = (self._data.live_from_ns or 0) - 3_600 * NS
        while True:
            self.tend()
            shards = self.store.shards()
            if shards and all(row.clock_ns >= wanted for row in shards):
                break
            time.sleep(0.3)
        self.history_s = time.monotonic() - began
        self.parts["gateway"].stop()

    def _enter_people(self) -> None:
        config, now_ns = self.config, self._data.live_from_ns or 0
        registry = load_registry(str(self._paths["meters"]), str(self._paths["subjects"]), config)
        names = place_names(str(self._paths["places"]))
        enter_watched(self.store, registry, PlaceTree(layout_of(config), names))
        enter_contacts(self.store, str(self._paths["contacts"]), now_ns)
        worker = viewers_worker(self.store, now_ns)
        truth = read_truth(self._paths["truth"])
        self._colleagues = Colleagues(self.store, truth, worker, now_ns - NIGHT_NS)
        work_off(self._colleagues, now_ns)
        add_people(self.store, now_ns)
        self.accounts = add_accounts(self.store, now_ns, worker)

    # -- the present ----------------------------------------------------------------------

    def _begin_live(self) -> None:
        live_from = datetime.fromtimestamp((self._data.live_from_ns or 0) / NS, UTC)
        now = datetime.now(UTC)
        self._configure(
            {"event_from": live_from.isoformat(), "wall_from": now.isoformat(), "speed": self.speed}
        )
        self.now_ns = wall_ns_of(self.config)
        self._start("gateway", "gateway")
        self._start("relay", "relay")
        self._start("console", "serve")
        mosquitto = self.servers.get("mosquitto")
        self.feed = Feed(
            self._data, f"http://127.0.0.1:{self._ports['http']}", KEY,
            None if mosquitto is None else mosquitto.port, self.now_ns,
        )  # fmt: skip
        self.feed.start()

    def tend(self) -> None:
        """Start again what has ended, after a while."""
        for part in self.parts.values():
            if part.process is None or part.running:
                continue
            now = time.monotonic()
            if part.ended_at is None:
                part.ended_at = now
            elif now - part.ended_at > BACK_S:
                part.restarts += 1
                part.start()

    def work(self) -> None:
        """Have the simulated gridworkers do what is due by now."""
        with contextlib.suppress(StoreError):  # PostgreSQL was killed: a little later
            self._colleagues.turn(self.now_ns())

    def settle(self, patience_s: float = 90.0) -> bool:
        """Send nothing more, and wait until all that was sent has come to its end."""
        self.feed.pause()
        until_ns, ends = self.now_ns(), time.monotonic() + patience_s
        while time.monotonic() < ends:
            self.tend()
            shards = self.store.shards()
            through = all(row.clock_ns >= until_ns for row in shards)
            told = all(b.waiting == 0 for b in self.store.deliveries.backlog().values())
            if through and told and not self.feed.waiting:
                return True
            time.sleep(0.3)
        return False

    def close(self) -> None:
        """Stop everything, the parts before the servers."""
        if hasattr(self, "feed"):
            self.feed.close()
        for name in ("gateway", "one", "two", "relay", "console"):
            if name in self.parts and self.parts[name].process is not None:
                self.parts[name].process.terminate()  # type: ignore[union-attr]
        for part in self.parts.values():
            part.stop()
        if hasattr(self, "store"):
            self.store.close()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda server: server.stop(), self.servers.values()))
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)


def empty(folder: Path) -> None:
    """Make a folder for a demo, removing what an earlier one left in it.

    Raises
    ------
    FileExistsError
        If it is somebody else's.
    """
    marker = folder / ".gridwarden-city-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise FileExistsError(
            f"{folder} exists and is not a demo's folder; choose another --folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()
