"""How fast files become reading blocks, on one core: decoding, ids, UTC and arrival together.

Run ``python -m bench.ingest [--rows N] [--meters N] [--repeat N]``. Every block is compared with
what was written before a speed is printed. Arrow runs without threads of its own; the figures are
rows per second of CPU time (user + system of this process) and of wall time, best of the repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.ids import IdMap
from connectors.normalise import Directory
from connectors.sources import ReadingSource
from connectors.writers import RowWriter

ZONE = "Asia/Shanghai"
AHEAD_NS = 8 * 3600 * 10**9
START = np.datetime64("2024-05-01T00:00:00")
FORMATS = ("parquet", "arrow", "csv", "csv.gz", "ndjson")


def batches(rows: int, meters: int, shuffled: bool) -> list[pa.RecordBatch]:
    """Slot after slot, each with all meters in file order or in a new random order."""
    names = pa.array([f"m{i:07d}" for i in range(meters)])
    random = np.random.default_rng(1)
    out = []
    for slot in range(-(-rows // meters)):
        n = min(meters, rows - slot * meters)
        order = random.permutation(meters)[:n] if shuffled else np.arange(n)
        stamp = START + np.timedelta64(900 * slot, "s")
        columns = {
            "meter_id": names.take(pa.array(order)),
            "ts": pa.array([str(stamp)] * n),
            "value": pa.array((order % 1000) / 8),
        }
        out.append(pa.RecordBatch.from_pydict(columns))
    return out


def write(path: str, parts: list[pa.RecordBatch], stamps: bool) -> None:
    """Write parts; Parquet and Arrow carry time stamps where `stamps`."""
    if stamps:
        parts = [
            p.set_column(1, "ts", p.column("ts").cast(pa.timestamp("s")).cast(pa.timestamp("ms")))
            for p in parts
        ]
    if path.endswith("parquet"):
        pq.write_table(pa.Table.from_batches(parts), path)
        return
    with RowWriter(path, parts[0].schema) as out:
        for part in parts:
            out.write(part)


def check(path: str, book: Directory, parts: list[pa.RecordBatch]) -> None:
    """Assert that every row is what was written."""
    at = 0
    numbers = [pc.utf8_ltrim(p.column(0), "m").cast(pa.int64()).to_numpy() for p in parts]
    want_meter = np.concatenate(numbers)
    want_slot = np.concatenate([np.full(len(p), i) for i, p in enumerate(parts)])
    start = START.astype("datetime64[ns]").astype(np.int64) - AHEAD_NS
    for block in ReadingSource(path, book):
        rows = slice(at, at + len(block))
        assert not block.fault.any()
        assert (block.meter == want_meter[rows]).all()
        assert (block.value == (want_meter[rows] % 1000) / 8).all()
        assert (block.ts_ns == start + want_slot[rows] * 900 * 10**9).all()
        assert (block.arrival_ns == block.ts_ns).all()
        at += len(block)
    assert at == len(want_meter)


def measure(path: str, book: Directory, rows: int, repeat: int) -> tuple[float, float]:
    """Return best rows/s of CPU time and of wall time."""
    cpu = wall = 0.0
    for _ in range(repeat):
        c, w = time.process_time(), time.perf_counter()
        for _ in ReadingSource(path, book):
            pass
        cpu = max(cpu, rows / (time.process_time() - c))
        wall = max(wall, rows / (time.perf_counter() - w))
    return cpu, wall


def measure_ids(n: int) -> None:
    """Print ns a row of the id map alone, on n ids, for plain strings and Parquet dictionaries."""
    names = pa.array([f"m{i:07d}" for i in range(n)])
    ids = IdMap()
    ids.put(names, np.arange(n))
    random = np.random.default_rng(2)
    print(f"{n:,} ids: {ids.nbytes / n - 8:.1f} bytes an id beyond its own 8")
    for order in ("file", "random"):
        for form in ("strings", "dictionary"):
            best = np.inf
            for _ in range(3):
                rows = random.permutation(n) if order == "random" else np.arange(n)
                codes = pa.array(rows.astype(np.int32))
                column = names.take(codes)
                if form == "dictionary":
                    column = pa.DictionaryArray.from_arrays(codes, names)
                    ids.lookup(column.slice(0, 1))  # a row group's dictionary is looked up once
                began = time.process_time()
                got = [ids.lookup(column.slice(at, 65_536)) for at in range(0, n, 65_536)]
                best = min(best, time.process_time() - began)
                assert (np.concatenate(got) == rows).all()
            print(f"{'ids: ' + form:<22}{order:<9}{best / n * 1e9:>10.0f} ns a row")


def main() -> None:
    """Write, check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    pa.set_cpu_count(1)
    measure_ids(1_000_000)
    n = args.meters
    ids = IdMap()
    ids.put(pa.array([f"m{i:07d}" for i in range(n)]), np.arange(n))
    book = Directory(
        meters=ids,
        meter_zone=np.zeros(n, np.uint8),
        meter_interval_s=np.full(n, 900, np.int32),
        meter_fault=np.zeros(n, np.uint8),
        zones=[ZONE],
    )
    print(f"{args.rows:,} rows of {n:,} meters; id map {ids.nbytes / n:.1f} bytes an id")
    print(f"{'format':<22}{'order':<9}{'M rows/s CPU':>13}{'wall':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for shuffled in (False, True):
            parts = batches(args.rows, n, shuffled)
            for kind in FORMATS:
                for stamps in (True, False) if kind in ("parquet", "arrow") else (False,):
                    path = str(Path(folder) / f"r.{kind}")
                    write(path, parts, stamps)
                    check(path, book, parts)
                    cpu, wall = measure(path, book, args.rows, args.repeat)
                    name = f"{kind} {'timestamps' if stamps else 'strings'}"
                    order = "random" if shuffled else "file"
                    print(f"{name:<22}{order:<9}{cpu / 1e6:>13.2f}{wall / 1e6:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
