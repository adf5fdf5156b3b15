"""Progress: a line every ten seconds without a terminal, a bar with one, words in two languages."""

from __future__ import annotations

import io

import pytest

from connectors.progress import Progress, language
from tests.connectors.helpers import ns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("lang", "middle", "end"),
    [
        ("en", "replay   25%  2,000 rows  200 rows/s  left 0:00:30  at 2024-05-01 10:30Z",
         "replay  done: 3,000 rows  15.0 s  200 rows/s"),
        ("zh", "replay   25%  2,000 行  200 行/秒  剩余 0:00:30  时至 2024-05-01 10:30Z",
         "replay  完成: 3,000 行  15.0 s  200 行/秒"),
    ],
)  # fmt: skip
def test_lines(lang: str, middle: str, end: str) -> None:
    clock, out = Clock(), io.StringIO()
    with Progress("replay", lambda: (0.25, True), stream=out, lang=lang, clock=clock) as progress:
        progress.update(1000)
        clock.now += 9
        progress.update(500)
        assert out.getvalue() == ""
        clock.now += 1
        progress.update(500, ns("2024-05-01T10:30:20"))
        clock.now += 5
        progress.update(1000)
    assert out.getvalue().splitlines() == [middle, end]


def test_unknown_sizes_have_no_share() -> None:
    clock, out = Clock(), io.StringIO()
    with Progress("run", stream=out, lang="en", clock=clock) as progress:
        clock.now += 10
        progress.update(5)
    assert out.getvalue().splitlines()[0] == "run  5 rows  0 rows/s"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    clock, out = Clock(), Terminal()
    with Progress("replay", lambda: (0.5, True), stream=out, lang="en", clock=clock) as progress:
        clock.now += 1
        progress.update(7)
        progress._bar.refresh()  # type: ignore[union-attr]
        assert "7 rows" in out.getvalue()
    assert out.getvalue().rstrip().endswith("done: 7 rows  1.0 s  7 rows/s")


@pytest.mark.parametrize(
    ("environ", "want"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US"}, "en"),
        ({"LANG": "es_ES"}, "en"),
        ({}, "en"),
    ],
)
def test_language(environ: dict[str, str], want: str) -> None:
    assert language(environ) == want
