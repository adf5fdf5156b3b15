"""Whole replay at scale: decode → ids → slots → detectors → rules → alerts, and bytes a meter.

Run ``gridwarden bench throughput [--meters N] [--slots N]``, or ``python -m bench.throughput``.
The answer is asserted before any time is printed: every row processed, and the registers' last
levels equal to those in the file. Speed is rows per second of CPU time (user + system of this one
process, which has one thread of its own), beside the bare decode of the same file in the same run.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import floor, plots
from bench.cost import bandwidth, cpu_s
from connectors.sources import ReadingSource
from engine.config import Config
from engine.inputs import directory_of
from engine.replay import Replay, ReplayOptions
from engine.simulate.load import generate_load

PLAIN_BYTES, WATCHED_BYTES = 550, 1500
"""Asked: at most so many bytes a plain meter and a watched home."""


def run(meters: int, slots: int, watched: float, order: str, kind: str) -> dict[str, Any]:
    """Generate, replay, assert, and return the figures."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = generate_load(
            Path(folder), meters, slots, watched, order=order, kind=kind, progress=None
        )
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        )
        warm(Path(folder))
        began = cpu_s()
        replay = Replay(options, Config())
        loaded = cpu_s() - began
        began, wall = cpu_s(), time.perf_counter()
        result = replay.run()
        used, wall = cpu_s() - began, time.perf_counter() - wall
        _assert_answer(replay, result, paths["readings"], meters * slots)
        held = memory(replay, watched)  # before the floors are measured: they take room themselves
        edge = decode_s(replay, str(paths["readings"]))
        bare, copied = floor.bare_decode_s(paths["readings"]), bandwidth()
        rows = meters * slots
        return {
            "meters": meters,
            "rows": meters * slots,
            "watched": watched,
            "order": order,
            "kind": kind,
            "registry_s": round(loaded, 2),
            "replay_cpu_s": round(used, 2),
            "rows_per_cpu_s": round(meters * slots / used),
            "edge_only_rows_per_cpu_s": round(rows / edge),
            "decode_only_rows_per_cpu_s": round(rows / bare),
            "wall_s": round(wall, 2),
            "copy_gb_s": round(copied / 1e9, 1),
            "stages": floor.stages(rows, used, wall, edge, bare, result.timings, copied),
            "alerts": result.firing,
            **held,
        }


def warm(folder: Path) -> None:
    """Compile all kernels on a town too small to matter."""
    paths = generate_load(folder / "warm", 800, 12, 0.5)
    options = ReplayOptions(
        readings=(str(paths["readings"]),),
        meters=str(paths["meters"]),
        subjects=str(paths["subjects"]),
    )
    Replay(options, Config()).run()


def _assert_answer(replay: Replay, result: Any, readings: Path, rows: int) -> None:
    assert result.reconciled, "the counts do not add up"
    counts = next(iter(result.counts.values()))
    assert counts.rows == rows, (counts.rows, rows)
    assert counts.by_status["processed"] == rows, counts.by_status
    shard = replay.host.shards[0]
    file = pq.ParquetFile(readings)
    if shard.registry.meters.register.all():
        # Levels only grow, so each meter's largest level in the last row groups is its last one.
        groups = range(max(0, file.num_row_groups - 2), file.num_row_groups)
        table = pa.concat_tables([file.read_row_group(g) for g in groups])
        ids = replay_ids(replay).lookup(table["meter_id"].combine_chunks().cast(pa.string()))
        level = np.zeros(len(shard.registry.meters))
        np.maximum.at(level, ids, table["value"].to_numpy())
        known = level > 0
        assert known.any()
        assert np.array_equal(shard.intake.last_value[known], level[known]), "levels differ"


def replay_ids(replay: Replay) -> Any:
    """Return the id map of a replay's registry."""
    return directory_of(replay.registry).meters


def decode_s(replay: Replay, path: str) -> float:
    """Return CPU seconds of the edge alone over the same file."""
    began = cpu_s()
    source = ReadingSource(path, directory_of(replay.registry))
    rows = 0
    while (block := source.next_record()) is not None:
        rows += len(block)
    source.close()
    return cpu_s() - began


def memory(replay: Replay, watched: float) -> dict[str, Any]:
    """Return bytes a plain meter and a watched home, id map and open slots included.

    Every array that the shard's parts hold is counted once, however many hold it.
    """
    shard = replay.host.shards[0]
    registry = replay.registry
    n = len(registry.meters)
    ids = directory_of(registry)
    shared = shard.intake.nbytes + ids.meters.nbytes + ids.subjects.nbytes
    for table in (registry.meters, registry.subjects):
        for name in table.__slots__:
            value = getattr(table, name)
            shared += getattr(value, "nbytes", 0)
    shared += registry.key.nbytes
    seen = {id(registry.key)}
    homes = 0
    for group in shard.groups:
        if group.detector.grain == "subject":
            homes += _bytes(seen, group.subject_rows, group.detector.key, group.detector.zone)
            homes += _bytes(seen, *group.detector.state.values())
            for feed in group.feeds:
                homes += _bytes(seen, feed.class_rows, feed.group_rows, feed.parts.values)
    for watch in shard.watches:
        if watch.rule.subjects.grain == "subject":
            homes += _bytes(seen, watch.rows)
            for turns in watch.turns.values():
                heard = turns.heard
                homes += _bytes(seen, heard.key, *heard.columns.arrays().values())
                if heard.episodes is not None:
                    homes += _bytes(seen, *heard.episodes.state.values())
                homes += _bytes(seen, *turns.arrays().values())
            for link in watch.links:
                homes += _bytes(seen, link.rule_rows, link.group_rows)
    plain = shared / n
    return {
        "bytes_plain_meter": round(plain),
        "bytes_watched_home": round(plain + homes / max(1, n * watched)),
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _bytes(seen: set[int], *arrays: Any) -> int:
    """Return the bytes of arrays not seen before."""
    new = {id(a): a.nbytes for a in arrays if id(a) not in seen}
    seen.update(new)
    return sum(new.values())


def main(argv: list[str] | None = None) -> int:
    """Print the table and, with --json, the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=1_000_000)
    parser.add_argument("--slots", type=int, default=96)
    parser.add_argument("--watched", type=float, default=0.1)
    parser.add_argument("--order", choices=["file", "random"], default="file")
    parser.add_argument("--kind", choices=["register", "interval"], default="register")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of the stages (.svg, .png)")
    args = parser.parse_args(argv)
    figures = run(args.meters, args.slots, args.watched, args.order, args.kind)
    for name, value in figures.items():
        if name != "stages":
            print(f"{name:28} {value:,}" if isinstance(value, int) else f"{name:28} {value}")
    ok = figures["bytes_plain_meter"] <= PLAIN_BYTES
    ok &= figures["bytes_watched_home"] <= WATCHED_BYTES
    rate = 5_000_000 if args.order == "file" else 2_500_000
    print(f"{'asked':28} {rate:,} rows/s; {PLAIN_BYTES} and {WATCHED_BYTES} bytes")
    print()
    print(floor.table(figures["stages"]))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plots.stages(figures["stages"], args.plot, args.order)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
