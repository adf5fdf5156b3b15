"""From arrival to task: how long people wait while a district's readings pour in.

``gridwarden bench latency [--meters N] [--rate N] [--seconds N] [--json FILE]
[--plot FILE]``

The embedded engine as ``gridwarden run`` has it (journal, store, escalation, snapshots), in event
time that is the wall clock. Readings come at a steady rate in blocks of a fiftieth of a second;
among them come calls whose alert becomes a task (rule ``non-police-call``). The wait is from a
call's arrival to the moment when its task is committed. Before any time is told, every call must
have its one task, and every reading must be accounted for.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import plots
from bench.cost import cpu_s
from connectors.records import Event, ReadingBlock
from engine.config import Config, InputConfig
from engine.live import Live, wall_ns
from engine.simulate.load import generate_load
from rules.alerts import AlertChange

BLOCK_S = 0.02
CALL_EVERY_S = 0.1
NS = 1_000_000_000


class _Feed:
    """Makes the blocks: meters in turn, registers that only grow, stamps that are now."""

    def __init__(self, meters: int, rate: int) -> None:
        self.rows = round(rate * BLOCK_S)
        self.meters = meters
        self.level = np.random.default_rng(1).integers(1_000, 90_000, meters).astype(np.float64)
        self.sent = 0

    def block(self, now_ns: int) -> ReadingBlock:
        """Return the next block, arriving now."""
        meter = ((self.sent + np.arange(self.rows)) % self.meters).astype(np.int32)
        self.level[meter] += 0.01
        position = np.arange(self.sent, self.sent + self.rows, dtype=np.int64)
        self.sent += self.rows
        return ReadingBlock(
            meter=meter,
            ts_ns=np.full(self.rows, now_ns, np.int64),
            value=self.level[meter],
            arrival_ns=np.full(self.rows, now_ns, np.int64),
            fault=np.zeros(self.rows, np.uint8),
            source="bench",
            position=position,
        )


def run(meters: int, rate: int, seconds: float) -> dict[str, Any]:
    """Feed, wait for the tasks, assert, and return the figures."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        paths = generate_load(folder, meters, 1, 0.1, interval_s=900)
        config = Config(
            store=f"sqlite:///{folder / 'district.db'}",
            snapshots=folder / "snapshots",
            inputs=InputConfig(meters=paths["meters"], subjects=paths["subjects"]),
        )
        tasked: dict[str, int] = {}

        def note(lines: Sequence[AlertChange]) -> None:
            now = time.time_ns()
            for line in lines:
                if line.rule == "non-police-call" and line.seq == 1:
                    tasked.setdefault(str(line.subject_id), now)

        live = Live(config, wall_ns, on_lines=note)
        called, used, wall = _pour(live, _Feed(meters, rate), seconds)
        tasks = [t for t in live.store.tasks.list() if t.rule == "non-police-call"]
        counts = live.host.counts["bench"]
        live.close()
    waits = np.array([(tasked[c] - at) / NS for c, at in called.items() if c in tasked])
    assert len(waits) == len(called), f"{len(called) - len(waits)} calls without a task"
    assert len(tasks) == len(called), f"{len(tasks)} tasks for {len(called)} calls"
    assert counts.by_status["processed"] == counts.rows, counts
    return {
        "meters": meters,
        "readings_a_second": round(counts.rows / wall),
        "calls": len(called),
        "p50_s": round(float(np.quantile(waits, 0.5)), 3),
        "p99_s": round(float(np.quantile(waits, 0.99)), 3),
        "longest_s": round(float(waits.max()), 3),
        "cpu_share": round(used / wall, 2),
        "waits_s": np.sort(waits).round(3).tolist(),
    }


def _pour(live: Live, feed: _Feed, seconds: float) -> tuple[dict[str, int], float, float]:
    """Feed blocks and calls at their times; return when each call came, CPU and wall seconds."""
    called: dict[str, int] = {}
    began, cpu = time.monotonic(), cpu_s()
    polled = call = 0.0
    block = 0
    while (now := time.monotonic() - began) < seconds + 2:
        if now < seconds and now >= block * BLOCK_S:
            live.feed(feed.block(live.now_ns()))
            block += 1
        if now < seconds and now >= call:
            at = live.now_ns()
            number = len(called)
            place = f"330199001001{number % 10 + 1:03d}"
            live.feed(_call(number, place, at))
            called[f"{place}:topic-{number}"] = at
            call += CALL_EVERY_S
        if now >= polled:
            live.poll()
            polled = now + live.config.inputs.poll_s
        ahead = min(block * BLOCK_S, polled, call) - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    return called, cpu_s() - cpu, time.monotonic() - began


def _call(number: int, place: str, at_ns: int) -> Event:
    return Event(
        event_id=f"call-{number}",
        ts_ns=at_ns,
        kind="police_call",
        subject_id=None,
        place=place,
        attrs={"topic": f"topic-{number}", "police_matter": False},
        arrival_ns=at_ns,
        source="calls",
        position=number,
    )


def main(argv: list[str] | None = None) -> int:
    """Print the figures; --json writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=50_000, help="readings a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of the waits (.svg, .png)")
    args = parser.parse_args(argv)
    if args.meters < 2 * args.rate:
        parser.error("a meter reads once in two seconds at most: --meters must be 2 × --rate")
    figures = run(args.meters, args.rate, args.seconds)
    waits = figures.pop("waits_s")
    for name, value in figures.items():
        print(f"{name:20} {value:,}" if isinstance(value, int) else f"{name:20} {value}")
    print(f"{'asked':20} p50 0.2 s, p99 1 s")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if args.plot:
        plots.waits(waits, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
