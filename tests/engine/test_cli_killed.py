"""SIGKILL in the middle of `gridwarden replay --store`: the same command goes on, byte for byte."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.store import Store
from tests.engine import live_town

PATIENCE_S = 300

CHILD = """
import os, signal, sys
import engine.replay as replay

replay.SNAPSHOT_EVERY_S = 0.2
die_at = int(sys.argv.pop(1))
take = replay.Replay._take_lines

def after(self, lines):
    take(self, lines)
    if self.rows >= die_at:  # alerts beyond the snapshot are in the file and in the store already
        self._alerts.sync()
        os.kill(os.getpid(), signal.SIGKILL)

replay.Replay._take_lines = after
from engine.cli.main import main
main(sys.argv[1:])
"""


def command(town: Path, folder: Path) -> list[str]:
    """Return the arguments of the replay."""
    return [
        "replay", "--readings", str(town / "readings.csv.gz"), "--events", str(town / "events.csv"),
        "--meters", str(town / "meters.csv"), "--subjects", str(town / "subjects.csv"),
        "--workers", str(town / "workers.csv"), "--alerts", str(folder / "out.ndjson"),
        "--quarantine", str(folder / "refused.csv"), "--store", f"sqlite:///{folder / 's.db'}",
        "--block-rows", "1500",
    ]  # fmt: skip


def run(town: Path, folder: Path) -> int:
    """Run the replay to its end, here."""
    with pytest.raises(SystemExit) as done:
        main(command(town, folder))
    return int(done.value.code or 0)


def kill(town: Path, folder: Path, die_at: int) -> int:
    """Run the replay in a process of its own, which dies between an alert and a snapshot."""
    args = [sys.executable, "-c", CHILD, str(die_at), *command(town, folder)]
    done = subprocess.run(args, check=False, capture_output=True, timeout=PATIENCE_S)
    return done.returncode


def test_sigkill_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    town, whole, killed = (tmp_path / name for name in ("town", "whole", "killed"))
    live_town.build(town)
    whole.mkdir()
    killed.mkdir()
    assert run(town, whole) == 0
    assert kill(town, killed, 6000) == -signal.SIGKILL
    assert 0 < (killed / "out.ndjson").stat().st_size < (whole / "out.ndjson").stat().st_size
    capsys.readouterr()
    assert run(town, killed) == 0
    assert "Went on from row" in capsys.readouterr().out
    for name in ("out.ndjson", "refused.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    stores = [f"sqlite:///{folder / 's.db'}" for folder in (whole, killed)]
    with Store.open(stores[0]) as mine, Store.open(stores[1]) as theirs:
        assert [t.task_id for t in mine.tasks.list()] == [t.task_id for t in theirs.tasks.list()]
        assert len(mine.tasks.list()) > 0
        assert list(mine.lines()) == list(theirs.lines())
