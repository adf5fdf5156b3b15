"""A city on real servers on this machine: from arrival to task while readings pour in; MQTT's many meters;
Mosquitto and Redis away under load
(``city_outages``); topics of single readings (``city_topic``); the Faust worker beside a plain Faust agent (``city_faust``).

    python -m bench.city latency --rate 50000 --seconds 30
    python -m bench.city mqtt --meters 100000
    python -m bench.city outages --seconds 30
    python -m bench.city topic --messages 2000000
    python -m bench.city faust --homes 50000 --slots 192

``latency``: HTTP push (Arrow) of a district's readings to a gateway, Kafka, one worker, PostgreSQL;
meanwhile calls that are no police matter come in, one address each, by the same door. From the
moment a call is sent until its task can be read in SQL. ``mqtt``: each meter publishes a reading of
its own at QoS 1, Mosquitto is killed and restarted twice meanwhile; every message that the broker
acknowledged must be in the log, and count once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import paho.mqtt.client as mqtt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import text

from bench import city_faust, city_outages, city_topic
from engine.city.servers import Kafka, Mosquitto, Postgres, Server, free_port
from engine.simulate.load import generate_load
from engine.store import Store
from tests.city import running

KEY = "bench"
EVERY_S = 5
"""Every meter's register is read so often; slots have 15 minutes, as a district's meters have."""
PUSHES = 10
"""Bodies a second."""


@contextmanager
def a_city(
    folder: Path,
    tables: dict[str, Path],
    sources: dict[str, Any],
    parts: list[str],
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """Start servers and parts; yield addresses and processes."""
    kafka, pg = Kafka(folder / "kafka"), Postgres(folder / "pg")
    servers: list[Server] = [kafka, pg]
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for server in servers:
            server.start()
        http = free_port()
        config = {
            "store": pg.url,
            "snapshots": str(folder / "snapshots"),
            "inputs": {"meters": str(tables["meters"]), "subjects": str(tables["subjects"])},
            "city": {
                "kafka": kafka.address, "shards": 16,
                "gateway": {
                    "http": {"port": http, "keys": {"bench": KEY}}, "linger_s": 0.1,
                    "state": str(folder / "gateway.json"), **sources,
                },
                "worker": {"save_every_s": 20},
            },
            **more,
        }  # fmt: skip
        file = folder / "city.yaml"
        file.write_text(yaml.safe_dump(config))

        def start(part: str) -> subprocess.Popen[bytes]:
            with (folder / f"{part}.log").open("wb") as out:
                processes[part] = subprocess.Popen(
                    [sys.executable, "-m", "engine.cli.main", part, "--config", str(file)],
                    stdout=out, stderr=out,
                )  # fmt: skip
            return processes[part]

        for part in parts:
            start(part)
        url = f"http://127.0.0.1:{http}"
        for _ in range(600 if parts else 0):
            try:
                httpx.get(f"{url}/healthz", trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield {"url": url, "store": pg.url, "kafka": kafka, "processes": processes, "start": start}
    except BaseException:
        for part in processes:
            log = folder / f"{part}.log"
            print(part, log.read_text()[-1_500:] if log.exists() else "", file=sys.stderr)
        raise
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(60)
        for server in servers:
            server.stop()


# -- from arrival to task ---------------------------------------------------------------------------


class Push(threading.Thread):
    """Reads every meter every few seconds, evenly over them; the registers only grow."""

    def __init__(self, url: str, ids: pa.Array) -> None:
        super().__init__(daemon=True)
        self.url, self.ids, self.stop = url, ids, threading.Event()
        self.rows = self.refused = 0

    def run(self) -> None:
        client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60,
            trust_env=False,
        )  # fmt: skip
        n, beat = len(self.ids), 0
        per = n // (EVERY_S * PUSHES)
        level = np.random.default_rng(1).integers(1_000, 90_000, n).astype(np.float64)
        began = time.time()
        while not self.stop.is_set():
            at = beat % (EVERY_S * PUSHES) * per
            ids = self.ids.slice(at, per)
            level[at : at + per] += 0.01
            second = int(began + beat / PUSHES)
            batch = pa.record_batch(
                {
                    "meter_id": ids,
                    "ts": pa.array(np.full(len(ids), second * 10**9), pa.timestamp("ns", "UTC")),
                    "value": pa.array(level[at : at + per]),
                }
            )
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            answer = client.post(
                "/v1/readings", content=sink.getvalue().to_pybytes(),
                headers={"content-type": "application/vnd.apache.arrow.stream"},
            )  # fmt: skip
            if answer.status_code == 200:
                self.rows += len(ids)
                beat += 1
            else:
                self.refused += 1
            left = began + beat / PUSHES - time.time()
            if left > 0:
                time.sleep(left)


def latency(rate: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        meters = rate * EVERY_S
        tables = generate_load(folder / "load", meters, 1, 0.1)
        ids = pq.read_table(tables["meters"], columns=["meter_id"])["meter_id"].combine_chunks()
        places = pq.read_table(tables["subjects"], columns=["place"])["place"].unique().to_pylist()
        with (
            a_city(folder, tables, {}, ["gateway", "worker"]) as city,
            Store.open(city["store"]) as store,
        ):
            push = Push(city["url"], ids.cast(pa.string()))
            push.start()
            await_all(store, time.time() + 90)
            print(f"{meters:,} meters, {rate:,} readings/s wanted; warm after {push.rows:,} rows")
            cpu = {n: cpu_s(p) for n, p in city["processes"].items()}
            began, rows = time.time(), push.rows
            waits = calls(store, city["url"], places, seconds)
            took = time.time() - began
            sent = (push.rows - rows) / took
            used = {n: (cpu_s(p) - cpu[n]) / took for n, p in city["processes"].items()}
            push.stop.set()
            push.join()
        q = np.quantile(waits, [0.5, 0.9, 0.99])
        print(
            f"{sent:,.0f} readings/s acknowledged ({push.refused} bodies refused), "
            f"{len(waits)} calls: call sent → task in SQL median {q[0]:.2f} s, p90 {q[1]:.2f} s, "
            f"p99 {q[2]:.2f} s, most {max(waits):.2f} s; CPU "
            + ", ".join(f"{n} {u:.2f}" for n, u in used.items())
            + f" cores; load average {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores"
        )


def await_all(store: Store, until: float) -> None:
    """Wait until the workers follow the clock."""
    while time.time() < until:
        rows = store.shards()
        if rows and all(time.time() - r.clock_ns / 1e9 < 5 for r in rows):
            time.sleep(5)
            return
        time.sleep(0.5)
    raise TimeoutError("the workers do not follow")


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def calls(store: Store, url: str, places: list[str], seconds: float) -> list[float]:
    """Send calls, one address each; return how long each took to become a task."""
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    over = threading.Event()

    def look() -> None:
        query = text("SELECT place FROM tasks WHERE rule = 'non-police-call'")
        while not over.is_set():
            with store.database.read() as connection:
                found = [row[0] for row in connection.execute(query)]
            now = time.perf_counter()
            for place in found:
                seen.setdefault(place, now)
            time.sleep(0.01)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    client = httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=60, trust_env=False
    )
    began = time.perf_counter()
    rng = np.random.default_rng(5)
    number = 0
    while time.perf_counter() - began < seconds:
        grid = str(places[int(rng.integers(len(places)))])[:15]
        place = f"{grid}{number % 1000:03d}"
        body = {
            "event_id": f"call-{number}", "kind": "police_call", "place": place,
            "ts": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "attrs": {"topic": "noise", "police_matter": False},
        }  # fmt: skip
        number += 1
        if place in sent:
            continue
        sent[place] = time.perf_counter()
        client.post("/v1/events", json=body).raise_for_status()
        time.sleep(float(rng.exponential(0.15)))
    ends = time.perf_counter() + 20
    while len(seen) < len(sent) and time.perf_counter() < ends:
        time.sleep(0.1)
    over.set()
    looking.join()
    assert set(sent) <= set(seen), (len(set(sent) - set(seen)), sorted(seen)[:5], sorted(sent)[:5])
    return [seen[p] - sent[p] for p in sent]


# -- many meters by MQTT ----------------------------------------------------------------------------


def many_meters(meters: int, clients: int = 20) -> None:
    with tempfile.TemporaryDirectory(prefix="gridwarden-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        tables = generate_load(folder / "load", meters, 1, 0.0, kind="interval")
        ids = pq.read_table(tables["meters"], columns=["meter_id"])["meter_id"].to_pylist()
        broker = Mosquitto(folder / "mosquitto")
        broker.start()
        try:
            sources = {"mqtt": {"port": broker.port}}
            with a_city(folder, tables, sources, ["gateway"]) as city:
                publish(ids, broker, clients)
                logs = settled(city["kafka"].address, meters)
        finally:
            broker.stop()
    found = [meter for meter, _, _ in running.readings(logs)]
    assert set(found) == set(ids), f"{len(set(ids) - set(found)):,} readings are lost"
    twice = len(found) - len(set(found))
    print(
        f"in the log: {len(set(found)):,} meters, 0 lost; {twice:,} came again and end as duplicates"
    )


def publish(ids: list[str], broker: Mosquitto, clients: int) -> None:
    """Each meter's reading by itself, QoS 1, over a few connections; the broker dies twice."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - 900))
    acknowledged = [0] * clients
    made = []
    for number in range(clients):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, f"head-end-{number}", clean_session=False)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(200)
        client.reconnect_delay_set(1, 1)

        def told(*_: Any, number: int = number) -> None:
            acknowledged[number] += 1

        client.on_publish = told
        client.connect_async("127.0.0.1", broker.port)
        client.loop_start()
        made.append(client)
    began = time.monotonic()
    for i, meter in enumerate(ids):
        body = json.dumps({"meter_id": meter, "ts": stamp, "value": 0.25})
        made[i % clients].publish(f"gridwarden/readings/{meter}", body, qos=1)
    restarts = 0
    while sum(acknowledged) < len(ids):
        if restarts < 2 and sum(acknowledged) > (restarts + 1) * len(ids) // 3:
            broker.stop()  # it writes its sessions down; what is under way is sent again
            broker.start()
            restarts += 1
        time.sleep(0.01)
        assert time.monotonic() - began < 600, sum(acknowledged)
    took = time.monotonic() - began
    for client in made:
        client.disconnect()
        client.loop_stop()
    print(
        f"{len(ids):,} meters, one message each, QoS 1, {restarts} restarts of the broker: all "
        f"acknowledged after {took:.0f} s ({len(ids) / took:,.0f} messages/s)"
    )


def settled(kafka: str, meters: int) -> list[list[bytes]]:
    """Wait until the log grows no more; return it."""
    size, quiet = -1, 0
    while quiet < 3:
        logs = running.messages(kafka, "gridwarden.log", 16)
        found = len({meter for meter, _, _ in running.readings(logs)})
        quiet = quiet + 1 if found == size else 0
        size = found
        if found == meters:
            quiet += 1
        time.sleep(2)
    return logs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["latency", "mqtt", "faust", "topic", "outages"])
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--homes", type=int, default=50_000)
    parser.add_argument("--slots", type=int, default=192, help="quarters of an hour of each home")
    parser.add_argument("--transport", choices=["faust", "aiokafka"], default="faust")
    options = parser.parse_args()
    if options.part == "latency":
        latency(options.rate, options.seconds)
    elif options.part == "faust":
        city_faust.run(options.homes, options.slots, options.transport)
    elif options.part == "outages":
        city_outages.run(options.seconds)
    elif options.part == "topic":
        city_topic.run(options.messages)
    else:
        many_meters(options.meters)


if __name__ == "__main__":
    main()
