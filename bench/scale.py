"""How cost and memory grow with the number of meters, and what a city's day and snapshots take.

``gridwarden bench scale [--part growth|formats|start|day|snapshots] [--meters N] [--json FILE]
[--plot FILE]``

``growth``: the whole replay of towns of all sizes, each in a process of its own. ``formats``: the
same rows as Parquet, Arrow, CSV and NDJSON, in file order and shuffled, beside the edge alone
and the bare decode of the library that reads them.
``start``: from a process's start to the help, and to the first alert of the demo (`bench.start`).
``day``: one day of a city with power cuts, in one shard and in ten, whose alerts must be the same
bytes. ``snapshots``: the state of that city written and read back shard by shard; the stream stands
still only while one shard's arrays are copied. Answers are asserted before any time is told.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench import plots
from bench.cost import cpu_s
from bench.floor import bare_decode_s
from bench.start import start
from bench.throughput import decode_s, warm
from connectors.merge import Log
from connectors.records import ReadingBlock
from connectors.tables import read_meters, read_subjects
from engine import library
from engine.config import Config, tick_s
from engine.host import Host
from engine.inputs import directory_of, layout_of, open_source
from engine.partition import partition, routes
from engine.registry import Registry
from engine.replay import Replay, ReplayOptions
from engine.shard import ShardRunner
from engine.simulate.load import Trouble, generate_load
from engine.snapshot import SnapshotFolder
from rules.loader import load
from rules.model import RuleSet

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ROWS = 10_000_000
"""Readings of a growth run, about: small towns run longer."""
SHARDS = 10
FORMATS = ("parquet", "arrow", "csv", "ndjson")
Figures = dict[str, Any]


# -- growth -------------------------------------------------------------------------------------


def growth(sizes: Sequence[int]) -> Iterator[Figures]:
    """Yield the figures of each size; every one in a fresh process, so that memory is its own."""
    for meters in sizes:
        slots = max(4, min(960, ROWS // meters))
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [sys.executable, "-m", "bench.throughput", "--meters", str(meters)]
            command += ["--slots", str(slots), "--json", out.name]
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
            found = json.loads(Path(out.name).read_text())
        yield {
            "part": "growth",
            "meters": meters,
            "rows": found["rows"],
            "ns_a_reading": round(1e9 / found["rows_per_cpu_s"], 1),
            "bytes_plain_meter": found["bytes_plain_meter"],
            "bytes_watched_home": found["bytes_watched_home"],
            "resident_mb": found["resident_mb"],
        }


# -- formats ------------------------------------------------------------------------------------


def formats(meters: int, slots: int = 24) -> Iterator[Figures]:
    """Yield rows a CPU second of each format and order; every answer equals that of Parquet."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        warm(folder)
        for name in FORMATS:
            little = generate_load(folder / f"little-{name}", 800, 12, 0.5)
            _replay(written_as(little["readings"], name), little).run()
        for order in ("file", "random"):
            paths = generate_load(folder / order, meters, slots, 0.1, order=order)
            levels: NDArray[np.float64] | None = None
            for name in FORMATS:
                readings = written_as(paths["readings"], name)
                replay = _replay(readings, paths)
                began = cpu_s()
                result = replay.run()
                used = cpu_s() - began
                counts = next(iter(result.counts.values()))
                assert counts.by_status["processed"] == meters * slots, counts.by_status
                mine = replay.host.shards[0].intake.last_value
                levels = mine if levels is None else levels
                assert np.array_equal(mine, levels), f"{name} {order}: other levels"
                edge, bare = decode_s(replay, str(readings)), bare_decode_s(readings)
                if name != "parquet":
                    readings.unlink()
                yield {
                    "part": "formats",
                    "meters": meters,
                    "format": name,
                    "order": order,
                    "rows_per_cpu_s": round(meters * slots / used),
                    "edge_only_rows_per_cpu_s": round(meters * slots / edge),
                    "decode_only_rows_per_cpu_s": round(meters * slots / bare),
                }


def written_as(parquet: Path, name: str) -> Path:
    """Write the rows of a Parquet file in another format, and return the file."""
    if name == "parquet":
        return parquet
    path = parquet.with_suffix(f".{name}")
    file = pq.ParquetFile(parquet)
    if name == "ndjson":
        import polars as pl

        with path.open("wb") as out:
            for batch in file.iter_batches(1 << 18):
                pl.DataFrame(pl.from_arrow(batch)).write_ndjson(out)
        return path
    with (
        pc.CSVWriter(path, file.schema_arrow)
        if name == "csv"
        else pa.ipc.new_file(path, file.schema_arrow)
    ) as writer:
        for batch in file.iter_batches(1 << 18):
            writer.write_batch(batch)
    return path


def _replay(readings: Path, paths: dict[str, Path]) -> Replay:
    return Replay(
        ReplayOptions(
            readings=(str(readings),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        ),
        Config(),
    )


# -- a day, in one shard and in ten ---------------------------------------------------------------


class _Refused:
    """Nothing may be refused."""

    def block(self, block: ReadingBlock, fault: NDArray[np.uint8]) -> None:
        raise AssertionError(f"{np.count_nonzero(fault)} rows of {block.source} refused")

    def event(self, event: object) -> None:
        raise AssertionError(f"{event} refused")


def awake() -> RuleSet:
    """Return the shipped rules; the census is ready after 6 hours, so that one day has alerts."""
    texts = library.shipped("library")
    return load({k: re.sub("(tells: [12])}", r"\1, ready_h: 6}", v) for k, v in texts.items()})


def city(paths: dict[str, Path], shards: int, lines: list[bytes]) -> tuple[Host, Registry]:
    """Return a host of a city cut into shards; its lines go to `lines`."""
    config = Config()
    meters, subjects = read_meters(str(paths["meters"])), read_subjects(str(paths["subjects"]))
    whole = Registry(meters, subjects, layout_of(config))
    parts = [whole] if shards == 1 else partition(meters, subjects, layout_of(config), shards)
    step = tick_s(config, [(c.interval_s, c.phase_s, c.interval_s) for c in whole.classes])
    rules, calendars, zone = awake(), library.calendars(), whole.zones[0]
    runners = [
        ShardRunner(p, rules, config, calendars, tick=step, share=(i, shards), zone=zone)
        for i, p in enumerate(parts)
    ]
    host = Host(
        runners,
        on_lines=lambda new: lines.extend(line.line() for line in new),
        refuse=_Refused(),
        routes=None if shards == 1 else routes(whole, parts),
    )
    return host, whole


def day(paths: dict[str, Path], rows: int, shards: int) -> tuple[Host, list[bytes], Figures]:
    """Run a day through so many shards; return the host, its lines and the figures."""
    lines: list[bytes] = []
    began = cpu_s()
    host, whole = city(paths, shards, lines)
    built = cpu_s() - began
    began = cpu_s()
    source = open_source(str(paths["readings"]), directory_of(whole), Config(), False)
    for record in Log([source]):
        host.feed(record)
    host.finish()
    used = cpu_s() - began
    counts = next(iter(host.counts.values()))
    assert counts.reconciled, counts
    assert counts.by_status["processed"] == rows, counts.by_status
    return host, lines, {
        "part": "day",
        "meters": len(whole.meters),
        "rows": rows,
        "shards": shards,
        "registry_cpu_s": round(built, 1),
        "day_cpu_s": round(used, 1),
        "rows_per_cpu_s": round(rows / used),
        "lines": len(lines),
        "resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


# -- snapshots ------------------------------------------------------------------------------------


def snapshots(host: Host, paths: dict[str, Path], folder: Path) -> Figures:
    """Write every shard and read it back, one after the other, as a rolling snapshot does."""
    store = SnapshotFolder(folder)
    pauses, refs = [], []
    began = time.perf_counter()
    for i, shard in enumerate(host.shards):
        paused = time.perf_counter()
        header, arrays = shard.snapshot()  # the copy: this shard's stream stands still
        pauses.append(time.perf_counter() - paused)
        refs.append(store.write(f"{i:03d}", 1, 0, header, arrays))
    written = time.perf_counter() - began
    digests = [ref.state_hash for ref in refs]
    fresh, _ = city(paths, len(host.shards), [])
    began = time.perf_counter()
    for shard, ref in zip(fresh.shards, refs, strict=True):
        snapshot = store.read(ref)
        shard.restore(snapshot.header, snapshot.arrays)
    restored = time.perf_counter() - began
    for i, shard in enumerate(fresh.shards):
        again = store.write(f"{i:03d}-again", 1, 0, *shard.snapshot())
        assert again.state_hash == digests[i], f"shard {i} came back as another"
        (folder / again.file).unlink()
    size = sum((folder / ref.file).stat().st_size for ref in refs)
    return {
        "part": "snapshots",
        "meters": sum(len(s.registry.meters) for s in host.shards),
        "shards": len(host.shards),
        "megabytes": round(size / 1e6),
        "write_s": round(written, 2),
        "restore_s": round(restored, 2),
        "longest_pause_s": round(max(pauses), 3),
    }


def run_day(meters: int, slots: int, with_snapshots: bool) -> Iterator[Figures]:
    """Yield a city's day in one shard, in ten, and the snapshots of the ten."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        warm(folder)
        cut = Trouble(slots // 2, slots // 2 + 16, cut_share=0.02)
        paths = generate_load(folder / "city", meters, slots, 0.1, trouble=cut)
        rows = pq.ParquetFile(paths["readings"]).metadata.num_rows
        # Not the host: two cities of ten million would be in memory at once.
        alone, figures = day(paths, rows, 1)[1:]
        yield figures
        gc.collect()
        host, together, figures = day(paths, rows, SHARDS)
        assert alone, "a day without alerts shows nothing"
        assert alone == together, f"{len(alone)} lines in one shard, {len(together)} in {SHARDS}"
        yield figures
        if with_snapshots:
            yield snapshots(host, paths, folder / "snapshots")


def main(argv: list[str] | None = None) -> int:
    """Print one line a figure; --json writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["growth", "formats", "start", "day", "snapshots"])
    parser.add_argument("--meters", type=int, help="of formats and the day (default 1,000,000)")
    parser.add_argument("--slots", type=int, default=96)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of formats and growth (.svg, .png)")
    args = parser.parse_args(argv)
    found: list[Figures] = []
    parts: list[Iterator[Figures]] = []
    if args.part in (None, "growth"):
        parts.append(growth(SIZES if args.meters is None else [*SIZES, args.meters]))
    if args.part in (None, "formats"):
        parts.append(formats(args.meters or 1_000_000))
    if args.part in (None, "start"):
        parts.append(start())
    if args.part in (None, "day", "snapshots"):
        parts.append(run_day(args.meters or 1_000_000, args.slots, args.part != "day"))
    for part in parts:
        for figures in part:
            found.append(figures)
            print("  ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}"
                            for k, v in figures.items()), flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plots.scale(found, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
