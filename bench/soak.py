"""Whether memory stays flat: a month of a district, hour by hour, in one process.

``gridwarden bench soak [--meters N] [--days N] [--json FILE]``

Resident memory is read at the end of every day of event time. What is learned takes its room in
the first week (pages are touched as rings fill); from then on it must not grow. The answer is
asserted first: every row processed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.cost import cpu_s
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from engine.simulate.load import generate_load

SETTLED_D = 7
MOST_GROWTH = 0.02


def resident_mb() -> float:
    """Return the resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def run(meters: int, days: int) -> dict[str, Any]:
    """Replay the month, and return memory by day."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    by_day: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = generate_load(Path(folder), meters, 24 * days, 0.1, interval_s=3600)
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        )
        replay = Replay(options, Config())

        def note(_rows: int, _clock_ns: int | None) -> None:
            by_day[replay.rows // (24 * meters)] = resident_mb()

        replay.on_progress = note
        began = cpu_s()
        result = replay.run()
        used = cpu_s() - began
    counts = next(iter(result.counts.values()))
    assert result.reconciled
    assert counts.by_status["processed"] == meters * 24 * days, counts.by_status
    settled = [mb for day, mb in sorted(by_day.items()) if day >= SETTLED_D]
    return {
        "meters": meters,
        "days": days,
        "rows": counts.rows,
        "rows_per_cpu_s": round(counts.rows / used),
        "resident_mb_by_day": {day: round(mb, 1) for day, mb in sorted(by_day.items())},
        "growth_after_the_first_week": round(max(settled) / settled[0] - 1, 4),
    }


def main(argv: list[str] | None = None) -> int:
    """Print the figures; --json writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    if args.days <= SETTLED_D:
        parser.error(f"--days must be more than the {SETTLED_D} in which memory settles")
    figures = run(args.meters, args.days)
    for name, value in figures.items():
        print(f"{name:28} {value:,}" if isinstance(value, int) else f"{name:28} {value}")
    print(f"{'asked':28} at most {MOST_GROWTH:.0%}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0 if figures["growth_after_the_first_week"] <= MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
