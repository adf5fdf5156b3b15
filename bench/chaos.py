"""Chaos on real servers: what workers say when they are killed, against one calm process.

    python -m bench.chaos kills --kills 100        # random SIGKILLs of two workers under load
    python -m bench.chaos rebalance                # a third worker joins and leaves: pause per shard
    python -m bench.chaos rolling                  # every worker restarted in turn, twice
    python -m bench.chaos snapshots                # disk full (needs root: a tmpfs), then torn files
    python -m bench.chaos servers --seconds 30     # Kafka and PostgreSQL away under load

Each part ends with an assertion: every line and every final state byte-equal to an uninterrupted
embedded run of the same log, no task lost or doubled.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.city.district import District
from engine.city.keeper import shard_name
from engine.city.servers import Kafka, Postgres, Server
from engine.snapshot import SnapshotRef
from engine.tasks import TaskState
from tests.city import kit
from tests.city.processes import City
from tests.city.test_keeper import a_street, states
from tests.engine import live_town

Logs = list[list[bytes]]


class Golden:
    """What one calm process says of a town."""

    def __init__(self, folder: Path) -> None:
        self.town = live_town.build(folder / "town")
        district = District(kit.config(self.town, folder, "sqlite://"))
        self.lines = kit.embedded(self.town, district)
        self.logs = kit.pack(district, kit.records(self.town, district, block_rows=120))
        (folder / "calm").mkdir()
        street = a_street(self.town, district, self.logs, folder / "calm")
        street.run()
        assert list(street.store.lines()) == self.lines
        self.states = states(street)
        self.tasks = {task.task_id for task in all_tasks(street.store)}

    def check(self, city: City) -> None:
        """Compare a city that has fed everything and saved."""
        assert list(city.store.lines()) == self.lines
        assert city.states() == self.states
        tasks = [task.task_id for task in all_tasks(city.store)]
        assert len(tasks) == len(set(tasks))
        assert set(tasks) == self.tasks
        print(
            f"equal: {len(self.lines)} lines, {len(self.states)} final states, {len(tasks)} tasks, "
            "0 lost, 0 doubled"
        )


def _read(golden: Golden, share: float, at: Mapping[int, int]) -> bool:
    """Return whether so much of every shard's log was read."""
    return all(read >= share * len(golden.logs[shard]) for shard, read in at.items())


def all_tasks(store: Any) -> list[Any]:
    return store.tasks.list(states=[str(s) for s in TaskState])


class Pauses:
    """Watches how long each shard stands still."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.longest: dict[int, float] = {}
        self._moved: dict[int, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def reset(self) -> None:
        self.longest, self._moved = {}, {}

    def __enter__(self) -> Pauses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            try:
                at, now = self.city.offsets(), time.monotonic()
            except Exception:
                continue  # PostgreSQL is away
            for shard, offset in at.items():
                before = self._moved.get(shard)
                if before is None or before[0] != offset:
                    if before is not None:
                        pause = now - before[1]
                        self.longest[shard] = max(self.longest.get(shard, 0.0), pause)
                    self._moved[shard] = offset, now

    def table(self) -> str:
        return ", ".join(f"{shard_name(s)} {p:.1f} s" for s, p in sorted(self.longest.items()))


def a_city(golden: Golden, folder: Path, servers: list[Server]) -> City:
    kafka, pg = servers
    assert isinstance(kafka, Kafka)
    assert isinstance(pg, Postgres)
    return City(kafka, pg, golden.town, folder, "aiokafka")


def finish(city: City, golden: Golden) -> None:
    city.wait(lambda at: all(at[s] >= len(golden.logs[s]) for s in at), 600)
    # A worker that was killed a moment ago may have committed all and saved less: let it come back.
    city.wait(lambda _: saved(city) == {s: len(golden.logs[s]) for s in city.offsets()}, 120)
    city.stop()
    golden.check(city)


def saved(city: City) -> dict[int, int]:
    refs = {s: city.store.current_snapshot(shard_name(s)) for s in city.offsets()}
    return {s: ref.offset for s, ref in refs.items() if ref is not None}


class Load(threading.Thread):
    """Writes the rest of the log little by little, evenly over some time."""

    def __init__(self, city: City, logs: Logs, start: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self.city, self.logs, self.from_share, self.seconds = city, logs, start, seconds
        self.share = start

    def run(self) -> None:
        began = time.monotonic()
        while self.share < 1:
            spent = (time.monotonic() - began) / self.seconds
            until = min(1.0, self.from_share + (1 - self.from_share) * spent)
            self.city.produce(self.logs, self.share, until)
            self.share = until
            time.sleep(0.1)


def kills(city: City, golden: Golden, n: int, seed: int) -> None:
    """The log grows by a share before each kill; the moment within it is random."""
    rng = np.random.default_rng(seed)
    logs = golden.logs
    names = ("one", "two")
    for name in names:
        city.start(name)
    both = under_way = 0
    began = time.monotonic()
    for kill in range(n):
        city.produce(logs, kill / n, (kill + 1) / n)
        ends = time.monotonic() + float(rng.exponential(2.5))
        least = {s: int(len(logs[s]) * (kill + 0.3) / n) for s in city.offsets()}
        # Every third kill waits for work that is under way; the others come whenever they come.
        while time.monotonic() < ends or (
            kill % 3 == 0 and not any(o > least[s] for s, o in city.offsets().items())
        ):
            time.sleep(0.02)
        at = city.offsets()
        under_way += any(at[s] < len(logs[s]) * (kill + 1) // n for s in at)
        victims = list(names) if rng.random() < 0.15 else [names[int(rng.integers(2))]]
        both += len(victims) == 2
        for name in victims:
            city.kill(name)
        for name in victims:
            city.start(name)
        if (kill + 1) % 10 == 0:
            print(f"  {kill + 1} kills, {time.monotonic() - began:.0f} s", flush=True)
    finish(city, golden)
    epochs = {row.shard: row.epoch for row in city.store.shards()}
    print(
        f"{n} SIGKILLs (seed {seed}; {both} of both workers at once; {under_way} while messages "
        f"waited), {time.monotonic() - began:.0f} s; shards taken over {sum(epochs.values())} times"
    )


def rebalance(city: City, golden: Golden) -> None:
    for name in ("one", "two"):
        city.start(name)
    city.produce(golden.logs, 0, 0.2)
    city.wait(lambda at: all(at[s] > 0.15 * len(golden.logs[s]) for s in at), 300)
    load = Load(city, golden.logs, 0.2, 130)
    with Pauses(city) as pauses:
        load.start()
        time.sleep(8)
        print(f"steady (2 workers):     {pauses.table()}")
        pauses.reset()
        city.start("three")
        holders: set[str] = set()
        while "three" not in holders and load.is_alive():
            holders = {row.holder for row in city.store.shards()}
            time.sleep(0.2)
        time.sleep(8)
        print(f"third worker joins:     {pauses.table()}")
        pauses.reset()
        city.signal("three", signal.SIGTERM)
        city.workers["three"].wait(60)
        time.sleep(8)
        print(f"third worker leaves:    {pauses.table()}")
        pauses.reset()
        city.kill("two")
        time.sleep(12)
        print(f"second worker is killed: {pauses.table()}")
        city.start("two")
        load.join()
    finish(city, golden)


def rolling(city: City, golden: Golden) -> None:
    """Stop and start each worker in turn, twice, as an upgrade does, while the log grows."""
    names = ("one", "two")
    for name in names:
        city.start(name)
    city.produce(golden.logs, 0, 0.1)
    city.wait(lambda at: any(at[s] > 0 for s in at), 300)
    load = Load(city, golden.logs, 0.1, 60)
    load.start()
    with Pauses(city) as pauses:
        for name in names * 2:
            city.signal(name, signal.SIGTERM)
            assert city.workers[name].wait(60) == 0, city.said(name)
            city.start(name)
            time.sleep(10)
        print(f"four restarts, longest pause: {pauses.table()}")
    load.join()
    finish(city, golden)


def snapshots(city: City, golden: Golden) -> None:
    """No room for snapshots, then room; then both workers killed and the newest snapshots torn."""
    folder = city.config.snapshots
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        for name in ("one", "two"):
            city.start(name)
        city.produce(golden.logs, 0, 0.4)
        city.wait(lambda at: all(at[s] > 0.3 * len(golden.logs[s]) for s in at), 300)
        city.wait(lambda _: "snapshot_not_written" in city.everything_said())
        print(f"disk full: shards go on, {len(saved(city))} saved; the log says why", flush=True)
        subprocess.run(["mount", "-o", "remount,size=256m", str(folder)], check=True)
        freed = time.monotonic()
        city.wait(lambda at: set(saved(city)) == set(at), 120)
        print(f"room again: all shards saved {time.monotonic() - freed:.1f} s later", flush=True)
        city.produce(golden.logs, 0.4, 0.5)
        city.wait(lambda at: all(len(kept(city, s)) > 1 for s in at), 120)
        for name in ("one", "two"):
            city.kill(name)
        for shard in city.offsets():
            newest = folder / kept(city, shard)[0].file
            newest.write_bytes(newest.read_bytes()[:-100])
        for name in ("one", "two"):
            city.start(name)
        city.produce(golden.logs, 0.5, 0.7)
        city.wait(lambda at: all(at[s] > 0.6 * len(golden.logs[s]) for s in at), 300)
        city.produce(golden.logs, 0.7, 1)
        finish(city, golden)
        told = city.everything_said().count("snapshot_torn")
        assert told >= len(city.offsets()), told
        print(
            f"newest snapshot of {len(city.offsets())} shards torn: told, the one before was taken"
        )
    finally:
        for worker in city.workers.values():
            worker.kill()
            worker.wait()
        subprocess.run(["umount", "-l", str(folder)], check=True)


def kept(city: City, shard: int) -> list[SnapshotRef]:
    return list(city.store.snapshots(shard_name(shard)))


def servers(city: City, golden: Golden, running: list[Server], seconds: float) -> None:
    for name in ("one", "two"):
        city.start(name)
    city.produce(golden.logs, 0, 0.3)
    city.wait(lambda at: any(at[s] > 0 for s in at), 300)
    for i, server in enumerate(reversed(running)):
        server.kill()
        gone = time.monotonic()
        if server.name == "postgres":
            city.produce(golden.logs, 0.3, 0.6)
        time.sleep(max(0.0, seconds - (time.monotonic() - gone)))
        server.start()
        back = time.monotonic()
        if server.name == "kafka":
            city.produce(golden.logs, 0.6, 1)
        share = 0.55 if i == 0 else 0.95
        city.wait(partial(_read, golden, share), 300)
        caught = time.monotonic() - back
        print(
            f"{server.name} killed, away {seconds:.0f} s: caught up {caught:.1f} s after it was back"
        )
    finish(city, golden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "part",
        choices=["kills", "rebalance", "rolling", "servers", "snapshots"],
        nargs="?",
        default="kills",
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridwarden-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        golden = Golden(folder)
        print(
            f"golden: {len(golden.lines)} lines, {sum(map(len, golden.logs))} messages", flush=True
        )
        running: list[Server] = [Kafka(folder / "kafka"), Postgres(folder / "pg")]
        try:
            for server in running:
                server.start()
            (folder / "city").mkdir()
            with a_city(golden, folder / "city", running) as city:
                if options.part == "kills":
                    kills(city, golden, options.kills, options.seed)
                elif options.part == "rebalance":
                    rebalance(city, golden)
                elif options.part == "snapshots":
                    snapshots(city, golden)
                elif options.part == "rolling":
                    rolling(city, golden)
                else:
                    servers(city, golden, running, options.seconds)
        finally:
            for server in running:
                server.stop()


if __name__ == "__main__":
    main()
