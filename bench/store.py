"""What the store takes: changes of alerts a second, and bytes of snapshots a second.

``python -m bench.store [--url URL] [--changes N] [--mb N] [--json]``. The answers are checked
before any speed is told. Wall time and CPU time are told apart: on a busy machine the first says
little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.snapshot import SnapshotFolder, state_digest
from engine.store import Store
from rules.alerts import AlertChange, Level, State, alert_id, stamp

NS = 1_000_000_000
START_NS = 1_767_225_600 * NS


def changes(count: int, homes: int) -> list[AlertChange]:
    """Return alerts that fire and, one change later, resolve."""
    found = []
    for i in range(count):
        subject, onset_ns = f"home-{i // 2 % homes}", START_NS + i // 2 * NS
        found.append(
            AlertChange(
                alert_id=alert_id("elderly-silence", subject, onset_ns),
                seq=i % 2,
                at=stamp(onset_ns + 6 * 3600 * NS + i % 2 * NS),
                rule="elderly-silence",
                rule_version="0123456789ab",
                subject_id=subject,
                place=f"330106001{i // 2 % 40:03d}{i // 2 % 9:03d}",
                level=Level.ORANGE,
                state=State.FIRING if i % 2 == 0 else State.RESOLVED,
                onset=stamp(onset_ns),
                raised_at=stamp(onset_ns + 6 * 3600 * NS),
                evidence=2.5,
                p_value=0.001,
                budget=12.0,
                reason={
                    "zh": "自 07:00 起已连续 6 小时没有任何用水动静；平时此时早已有动静。",
                    "en": "No sign of life by water for 6 h, since 07:00; usually there is by now.",
                },
                facts={"counterfactual": [{"meter": "m", "value": 3.0}], "silent_hours": 6.0},
                signals=[{"detector": "inactivity", "evidence": 2.5, "p_value": 0.001}],
            )
        )
    return found


def commits(url: str, count: int, batch: int, homes: int) -> dict[str, Any]:
    """Measure commits, and the same again after a restart."""
    told = changes(count, homes)
    with Store.open(url) as store:
        shard = f"bench-{time.time_ns()}"
        epoch = store.claim(shard)
        wall, cpu = time.perf_counter(), time.process_time()
        new = sum(
            store.commit(shard, epoch, i, told[i : i + batch]) for i in range(0, count, batch)
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        again = time.process_time()
        repeated = sum(
            store.commit(shard, epoch, i, told[i : i + batch]) for i in range(0, count, batch)
        )
        again = time.process_time() - again
        tasks = len(store.tasks.list())
        assert (new, repeated) == (count, 0), (new, repeated)
        assert tasks == min(homes, (count + 1) // 2), tasks
        lines = sum(1 for _ in store.lines(shard))
        assert lines == count, lines
    return {
        "changes": count,
        "batch": batch,
        "homes": homes,
        "tasks": tasks,
        "per_second_wall": round(count / wall),
        "per_second_cpu": round(count / cpu),
        "repeated_per_second_cpu": round(count / again),
    }


def snapshots(folder: Path, megabytes: int) -> dict[str, Any]:
    """Measure one snapshot file: written, checked and read."""
    rows = megabytes * 1_000_000 // 8 // 28
    rng = np.random.default_rng(1)
    arrays = {f"inactivity/part{i}": rng.random(rows) for i in range(28)}
    kept = SnapshotFolder(folder)
    size = sum(a.nbytes for a in arrays.values()) / 1e6
    wall = time.perf_counter()
    ref = kept.write("bench", 1, 1, {"alerts": []}, arrays)
    written = time.perf_counter() - wall
    wall = time.perf_counter()
    found = kept.read(ref)
    total = sum(float(found.arrays[name].sum()) for name in sorted(arrays))
    read = time.perf_counter() - wall
    assert total == sum(float(arrays[name].sum()) for name in sorted(arrays))
    assert state_digest(found.header, found.arrays) == ref.state_hash
    return {
        "megabytes": round(size),
        "write_mb_per_second": round(size / written),
        "read_mb_per_second": round(size / read),
    }


def main() -> None:
    """Run both and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="store; default: a SQLite file of its own")
    parser.add_argument("--changes", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=4_000)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/bench.db"
        results = {
            "one alert a home": commits(url, given.changes, given.batch, homes=10**9),
            "snapshot": snapshots(Path(folder), given.mb),
        }
    if given.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(name, *(f"{key}={value:,}" for key, value in result.items()), sep="  ")


if __name__ == "__main__":
    main()
