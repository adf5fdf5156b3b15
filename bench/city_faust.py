"""The Faust worker on blocks, beside the Faust agent that one writes first, in one run.

Both read the same homes' quarters of an hour from the same Kafka: the worker blocks, all rules and
detectors of the library, validation, lines to PostgreSQL, snapshots; the agent (``plain_faust``) one JSON
reading an event and the one detector `inactivity`. Before any time is told, the state of that
detector must be the same, bit for bit, for every home that the agent has seen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.plain_faust import DETECTOR, district
from connectors.merge import Log
from connectors.records import Tick
from engine.city import topics, wire
from engine.city.district import District
from engine.city.keeper import shard_name
from engine.city.servers import Kafka, Postgres
from engine.inputs import directory_of, open_source
from engine.simulate.load import generate_load
from engine.snapshot import SnapshotFolder
from engine.store import Store
from tests.city import kit

SHARDS = 4
SLOT_S = 900
PLAIN_HOMES = 400


def run(homes: int, slots: int, transport: str = "faust") -> None:
    """Measure both, compare, print."""
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tables = generate_load(folder / "load", homes, slots, 1.0, kind="interval")
        kafka, pg = Kafka(folder / "kafka"), Postgres(folder / "pg")
        try:
            kafka.start()
            pg.start()
            ours = _ours(folder, tables["readings"].parent, kafka, pg, transport)
            plain = _plain(folder, tables["readings"].parent, kafka)
        finally:
            kafka.stop()
            pg.stop()
        figures = msgspec.json.decode(bytes(plain.pop("figures")))
        same = _compare(ours.pop("states"), plain, tables["readings"].parent)
    rate, slow = ours["rows"] / ours["cpu_s"], figures["events"] / figures["cpu_s"]
    print(
        f"the same: `{DETECTOR}` of {same:,} homes, every array bit for bit; of {ours['rows']:,} "
        "readings each was counted once\n"
        f"{transport} worker, blocks, all rules:   {ours['rows']:,} readings in {ours['cpu_s']:.1f} s of CPU "
        f"({ours['wall_s']:.1f} s): {rate:,.0f} readings/s of CPU\n"
        f"plain Faust agent, one detector: {figures['events']:,} readings in {figures['cpu_s']:.1f} s "
        f"of CPU ({figures['wall_s']:.1f} s): {slow:,.0f} readings/s of CPU\n"
        f"{rate / slow:,.0f} times; load average {psutil.getloadavg()[0]:.1f} on "
        f"{psutil.cpu_count()} cores"
    )


# -- the worker ---------------------------------------------------------------------------------------


def _ours(folder: Path, tables: Path, kafka: Kafka, pg: Postgres, transport: str) -> dict[str, Any]:
    here = district(
        tables, shards=SHARDS, store=pg.url, snapshots=str(folder / "snapshots"), clock={"tick_s": SLOT_S},
    )  # fmt: skip
    config = here.config.model_dump(mode="json", exclude_none=True)
    config["city"] |= {"kafka": kafka.address, "worker": {"transport": transport}}
    file = folder / "city.yaml"
    file.write_text(yaml.safe_dump(config))
    logs, rows = _logs(here, tables / "readings.parquet")
    name = here.topic(topics.LOG)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for made in admin.create_topics([NewTopic(name, SHARDS, 1)]).values():
        made.result()
    with Store.open(pg.url) as store, (folder / "worker.log").open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "worker", "--config", str(file)],
            stdout=out, stderr=out,
        )  # fmt: skip
        try:
            wait_for(lambda: len(store.shards()) == len(here.routing.peopled), worker, folder)
            time.sleep(3)
            process = psutil.Process(worker.pid)
            before, began = process.cpu_times(), time.monotonic()
            producer = Producer(
                {"bootstrap.servers": kafka.address, "linger.ms": 5, "log_level": 0}
            )
            for shard, log in enumerate(logs):
                for message in log:
                    producer.produce(name, message, partition=shard)
                    producer.poll(0)
            producer.flush()
            ends = {shard_name(s): len(logs[s]) for s in here.routing.peopled}
            wait_for(
                lambda: all(row.offset >= ends[row.shard] for row in store.shards()), worker, folder
            )
            after, wall = process.cpu_times(), time.monotonic() - began
            worker.terminate()
            worker.wait(60)
        finally:
            worker.kill()
        states, processed = _states(here, store, folder / "snapshots")
    assert processed == rows, (processed, rows)
    used = after.user + after.system - before.user - before.system
    return {"rows": rows, "cpu_s": used, "wall_s": wall, "states": states}


def _logs(here: District, readings: Path) -> tuple[list[list[bytes]], int]:
    """Return every shard's log as a gateway that catches up writes it, and its readings."""
    source = open_source(str(readings), directory_of(here.routing.whole), here.config, False)
    logs = kit.pack(here, Log([source], block_rows=1 << 16), block_rows=4_096)
    rows = pq.ParquetFile(readings).metadata.num_rows
    newest = pc.max(pq.read_table(readings, columns=["ts"])["ts"]).value
    for log in logs:  # the last hour is due, and done with, when its lateness is over
        log.append(wire.pack(Tick(newest + 3_600 * 10**9)))
    return logs, rows


def _states(
    here: District, store: Store, folder: Path
) -> tuple[dict[str, dict[str, np.ndarray[Any, Any]]], int]:
    """Return the detector's arrays by subject, from the snapshots that the worker left."""
    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    processed = 0
    for shard in here.routing.peopled:
        ref = store.current_snapshot(shard_name(shard))
        assert ref is not None
        snapshot = SnapshotFolder(folder).read(ref)
        counts = snapshot.header["host"]["counts"]
        processed += sum(by_status["processed"] for _, by_status, _ in counts.values())
        runner = here.runner(shard)
        subjects = runner.registry.subjects.subject_id.to_pylist()
        for i, group in enumerate(runner.groups):
            if group.detector.name != DETECTOR:
                continue
            arrays = {
                name: np.moveaxis(np.asarray(snapshot.arrays[f"shard/0/groups/{i}/{name}"]), spec.axis, 0)
                for name, spec in group.detector.layout.items()
            }  # fmt: skip
            for row, subject in enumerate(group.subject_rows.tolist()):
                found[subjects[subject]] = {name: a[row] for name, a in arrays.items()}
    return found, processed


def wait_for(
    what: Any, worker: subprocess.Popen[bytes], folder: Path, within_s: float = 300
) -> None:
    ends = time.monotonic() + within_s
    while not what():
        assert worker.poll() is None, (folder / "worker.log").read_text()[-3_000:]
        assert time.monotonic() < ends, (folder / "worker.log").read_text()[-3_000:]
        time.sleep(0.1)


# -- the agent ----------------------------------------------------------------------------------------


def _plain(folder: Path, tables: Path, kafka: Kafka) -> dict[str, Any]:
    """Run the agent over some homes' readings, one JSON message each."""
    table = pq.read_table(tables / "readings.parquet")
    homes = table["meter_id"].slice(0, PLAIN_HOMES)
    table = table.filter(pc.is_in(table["meter_id"], homes.combine_chunks()))
    topic = "plain"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for made in admin.create_topics([NewTopic(topic, SHARDS, 1)]).values():
        made.result()
    producer = Producer({"bootstrap.servers": kafka.address, "linger.ms": 5, "log_level": 0})
    for meter, ts, value in zip(*(table[c].to_pylist() for c in table.column_names), strict=True):
        body = {"meter_id": meter, "ts": ts.isoformat(), "value": value}
        producer.produce(topic, json.dumps(body), key=meter)
        producer.poll(0)
    producer.flush()
    out = folder / "plain.npz"
    subprocess.run(
        [sys.executable, "-m", "bench.plain_faust", kafka.address, topic, str(len(table)),
         str(tables), str(out)],
        check=True,
    )  # fmt: skip
    return dict(np.load(out))


def _compare(
    ours: dict[str, dict[str, np.ndarray[Any, Any]]],
    plain: dict[str, np.ndarray[Any, Any]],
    tables: Path,
) -> int:
    names = pq.read_table(tables / "meters.parquet", columns=["meter_id", "subject_id"]).to_pydict()
    subject = dict(zip(names["meter_id"], names["subject_id"], strict=True))
    homes = set()
    for key, array in plain.items():
        meter, _, name = key.partition("/")
        mine = ours[subject[meter]][name]
        row = array.reshape(mine.shape)
        assert row.dtype == mine.dtype
        assert row.tobytes() == np.ascontiguousarray(mine).tobytes(), (meter, name, row, mine)
        homes.add(meter)
    assert len(homes) == min(PLAIN_HOMES, len(subject)), len(homes)
    return len(homes)
