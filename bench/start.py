"""How long people wait at the start: for `--help`, and for the first alert of the demo.

``gridwarden bench scale --part start [--json FILE]``, or ``python -m bench.start [--runs N]``

The demo runs as people run it, in a process of its own: `demo --once` into a pipe, and `demo` on a
terminal, where it opens the console later. The wait is from the process's start to the moment when
the first alert's sentence is read from it. Before any time is told, that sentence must be the one
of the first line of the demo's alerts; then the demo is asked to stop, as with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import resource
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

RUNS = 3
PATIENCE_S = 120.0
GRIDWARDEN = (sys.executable, "-m", "engine.cli.main")
_MARK = re.compile(r"^[●▲■◆] \d\d-\d\d \d\d:\d\d  ")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def start(runs: int = RUNS) -> Iterator[dict[str, Any]]:
    """Yield the median and the longest of some runs of each kind."""
    subprocess.run([*GRIDWARDEN, "--help"], check=True, stdout=subprocess.DEVNULL)
    waits = [_help() for _ in range(runs)]
    yield _figures("--help", waits, asked_s=0.5)
    for name, terminal in (("demo --once", False), ("demo, terminal", True)):
        waits = [first_alert(terminal) for _ in range(runs)]
        yield _figures(name, waits, asked_s=10.0)


def _figures(name: str, waits: list[tuple[float, float]], asked_s: float) -> dict[str, Any]:
    return {
        "part": "start",
        "of": name,
        "median_s": round(statistics.median(wall for wall, _ in waits), 2),
        "longest_s": round(max(wall for wall, _ in waits), 2),
        "cpu_s": round(statistics.median(cpu for _, cpu in waits), 2),
        "asked_s": asked_s,
    }


def _help() -> tuple[float, float]:
    began, used = time.perf_counter(), _children_s()
    said = subprocess.run(
        [*GRIDWARDEN, "--help"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    wall = time.perf_counter() - began
    assert "replay" in said, said
    return wall, _children_s() - used


def first_alert(terminal: bool) -> tuple[float, float]:
    """Return wall and CPU seconds from the demo's start to its first alert's sentence."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "demo"
        command = [*GRIDWARDEN, "demo", "--folder", str(folder), "--port", "0"]
        env = os.environ | {"GRIDWARDEN_LANGUAGE": "en", "COLUMNS": "500", "TERM": "xterm"}
        reader, writer = pty.openpty() if terminal else os.pipe()
        began = time.perf_counter()
        demo = subprocess.Popen(
            command if terminal else [*command, "--once"],
            stdout=writer,
            stderr=writer if terminal else subprocess.DEVNULL,
            env=env,
        )
        os.close(writer)
        try:
            said = _sentence(reader, began)
            wall, cpu = time.perf_counter() - began, _cpu_s(demo.pid)
            demo.send_signal(signal.SIGINT)
            _drain(reader)
            demo.wait(PATIENCE_S)
        finally:
            if demo.poll() is None:
                demo.kill()
                demo.wait()
            os.close(reader)
        first = json.loads((folder / "alerts.ndjson").read_text().splitlines()[0])
        assert first["state"] == "firing", first
        # Into a pipe long sentences are folded: the first line of it is enough.
        assert said, "an empty sentence"
        assert first["reason"]["en"].startswith(said), (said, first["reason"]["en"])
        return wall, cpu


def _sentence(reader: int, began: float) -> str:
    """Read until the line after an alert's first line is whole, and return it."""
    seen = ""
    while time.perf_counter() - began < PATIENCE_S:
        if select.select([reader], [], [], 1.0)[0]:
            more = os.read(reader, 65_536)
            assert more, f"the demo ended without an alert:\n{seen}"
            seen += more.decode(errors="replace")
            lines = [_COLOURS.sub("", x).strip("\r") for x in seen.split("\n")[:-1]]
            for line, after in pairwise(lines):
                if _MARK.match(line.strip()):
                    return after.strip()
    raise AssertionError(f"no alert within {PATIENCE_S:.0f} s:\n{seen}")


def _drain(reader: int) -> None:
    """Read what is left, so that the demo can end."""
    try:
        while os.read(reader, 65_536):
            pass
    except OSError:  # how a terminal says that nobody writes to it any more
        pass


def _cpu_s(pid: int) -> float:
    """Return CPU seconds of a living process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: list[str] | None = None) -> int:
    """Print one line a figure; --json writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    found = []
    for figures in start(args.runs):
        found.append(figures)
        print("  ".join(f"{k} {v}" for k, v in figures.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
