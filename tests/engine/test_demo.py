"""The demo: the first alert is told while the past is still being read."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from engine import demo as town_demo
from engine.cli.demo import MARKS, _Printer
from engine.config import Config
from engine.replay import Replay
from rules.alerts import AlertChange

DAY_NS = 86_400 * 10**9


class _EnoughError(Exception):
    """Seen what there was to see."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> town_demo.DemoTown:
    return town_demo.build(tmp_path_factory.mktemp("demo"))


@pytest.mark.parametrize(("language", "words"), [("en", "kept this quiet"), ("zh", "就不会")])
def test_the_first_alert_is_told_when_it_is_made(
    town: town_demo.DemoTown, monkeypatch: pytest.MonkeyPatch, language: str, words: str
) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", language)
    screen = io.StringIO()
    printer = _Printer(Console(file=screen, width=1_000), town)
    reached: list[int] = []
    rows = 0

    def moved(more: int, at_ns: int | None) -> None:
        nonlocal rows
        rows += more
        reached.append(at_ns or 0)
        if printer.shown:
            raise _EnoughError

    with pytest.raises(_EnoughError):
        town_demo.run(
            town, Config(), store=f"sqlite:///{town.folder}/{language}.db",
            on_lines=printer, on_progress=moved,
        )  # fmt: skip
    # Within the first of 45 days of history, and after the rows of that day alone.
    assert reached[-1] < town.live_from_ns - 44 * DAY_NS
    assert rows < 40_000
    note, head, sentence = screen.getvalue().splitlines()[:3]
    assert note.startswith("—")
    assert head[0] in MARKS.values()
    assert words in sentence


def _lines(town: town_demo.DemoTown) -> list[AlertChange]:
    """Return the lines of the town's first day."""
    lines: list[AlertChange] = []

    def moved(_rows: int, at_ns: int | None) -> None:
        if (at_ns or 0) > town.live_from_ns - 44 * DAY_NS:
            raise _EnoughError

    replay = Replay(
        town_demo.options_of(town, f"sqlite:///{town.folder}/lines.db"),
        Config(), on_lines=lines.extend,
    )  # fmt: skip
    replay.on_progress = moved
    with pytest.raises(_EnoughError):
        replay.run()
    return lines


def test_of_the_past_beginnings_are_told_and_of_the_live_days_everything(
    town: town_demo.DemoTown,
) -> None:
    lines = _lines(town)
    assert {line.seq for line in lines} >= {1, 2}
    past, live = io.StringIO(), io.StringIO()
    _Printer(Console(file=past, width=1_000), town)(lines)
    today = replace(town, live_from_ns=0)
    _Printer(Console(file=live, width=1_000), today)(lines)
    first = [line for line in lines if line.seq == 1]
    assert past.getvalue().count("\n") == 1 + 2 * len(first)
    assert live.getvalue().count("\n") == 1 + 2 * len(lines)
    assert "✓" in live.getvalue()
    assert "✓" not in past.getvalue()
