"""What every detector costs and keeps, and whether it finds what the common suite plants.

``gridwarden bench detectors [--only NAME] [--json FILE]``

One row a registered detector, found by itself: a new file in ``detectors/`` is measured without
another edit. Cost is CPU of one process over the suite's ordinary stream, repeated over many rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import Detector, lookup, names
from tests.detectors import kits
from tests.detectors.cases import Case, burst, frame_of

ROWS = 500
SLOW_ROWS = 2
"""Rows of river models: one Python object a row."""
DAYS = 3


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one detector."""
    kit = kits.KITS.get(name, kits.Kit())
    params = tuple(sorted(kit.params.get("default", {}).items()))
    case = Case(name, lookup(name), params, kit)
    rows = SLOW_ROWS if name.startswith("river:") else ROWS
    planted = (case.kit.plant or burst)(case.make(), np.random.default_rng(11), case.first_slot)
    said = case.make().step(planted.frame)
    top = said.urgency[planted.start : planted.stop].max(axis=0)
    clean = [r for r in range(len(top)) if r not in planted.rows]
    found = bool((top[planted.rows] >= planted.urgency).all())
    assert found, f"{name}: does not find what was planted"
    assert (top[clean] < planted.urgency).all(), f"{name}: finds what was not planted"
    return {
        "detector": name,
        "ns": cost_ns(case, rows),
        "bytes": (case.make(100).nbytes - case.make(0).nbytes) / 100,
        "channels": len(case.cls.channels),
        "slot_s": case.interval_s,
        "ready_d": ready_d(case),
    }


def cost_ns(case: Case, rows: int) -> float:
    """Return CPU nanoseconds a row and slot, of a detector that has seen the suite's stream."""
    base = case.stream()
    order = np.arange(rows) % base.values.shape[2]
    detector: Detector = case.make(rows)
    slots = base.slots
    warm = slots - DAYS * 86_400 // case.interval_s
    if rows == SLOW_ROWS:
        order = np.arange(rows)
    values = np.ascontiguousarray(base.values[:, :, order])
    whole = frame_of(values, base.first_slot, case.interval_s)
    step = 86_400 // case.interval_s
    spent = 0.0
    for start in range(0, slots, step):
        part = frame_of(values[start : start + step], base.first_slot + start, case.interval_s)
        began = time.process_time()
        detector.step(part)
        if start >= warm:
            spent += time.process_time() - began
    return spent / ((slots - warm) * rows) * 1e9 if whole.slots else float("nan")


def ready_d(case: Case) -> float:
    """Return after how many days of ordinary data half of the rows have a score."""
    ready = case.signals().ready.mean(axis=1) >= 0.5
    return float(np.argmax(ready) * case.interval_s / 86_400) if ready.any() else float("nan")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    lines = ["| detector | ns a slot | bytes a row | slot | ready after |", "|---|---|---|---|---|"]
    lines += [
        f"| {r['detector']} | {r['ns']:,.0f} | {r['bytes']:,.0f} | {r['slot_s'] // 60} min | "
        f"{r['ready_d']:.1f} d |"
        for r in rows
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the table; with ``--json`` also write the figures."""
    parser = argparse.ArgumentParser(prog="gridwarden bench detectors", description=__doc__)
    parser.add_argument("--only", action="append", help="a detector; repeatable")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    kits.load()
    rows = []
    for name in args.only or [*names(), *sorted(kits.EXTRA_NAMES)]:
        sys.stderr.write(f"detectors: {name} …\n")
        rows.append(measure(name))
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
