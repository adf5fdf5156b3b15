"""`gridwarden bench quality`: all benches of detection by one command, their figures in one file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import bench as cli


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Two benches that note how they were called; the second one says that something was wrong."""
    called: list[list[str]] = []

    def main(code: int) -> int:
        called.append(sys.argv)
        Path(sys.argv[-1]).write_text(json.dumps({"code": code}), encoding="utf-8")
        return code

    for code, name in enumerate(("one", "other")):
        fake: Any = SimpleNamespace(main=lambda code=code: main(code))
        monkeypatch.setitem(sys.modules, f"bench.{name}", fake)
        monkeypatch.setitem(cli.BENCHES, name, (f"bench.{name}", name))
    monkeypatch.setattr(cli, "QUALITY", {"one": (), "other": ("--cases", "3")})
    monkeypatch.setattr(sys, "argv", sys.argv)
    return called


def test_all_figures_come_into_one_file(two: list[list[str]], tmp_path: Path) -> None:
    out = tmp_path / "quality.json"
    done = CliRunner().invoke(cli.bench, ["quality", "--json", str(out)], standalone_mode=False)
    assert done.exception is None
    assert done.return_value == 1
    assert json.loads(out.read_text()) == {"one": {"code": 0}, "other": {"code": 1}}
    assert [argv[:-1] for argv in two] == [
        ["gridwarden bench one", "--json"],
        ["gridwarden bench other", "--cases", "3", "--json"],
    ]


def test_options_of_one_bench_are_not_for_all(two: list[list[str]]) -> None:
    done = CliRunner().invoke(cli.bench, ["quality", "--seed", "3"])
    assert done.exit_code == 2
    assert "name one of one, other" in done.output
    assert two == []


def test_what_quality_runs_is_there() -> None:
    assert cli.QUALITY.keys() <= cli.BENCHES.keys()
