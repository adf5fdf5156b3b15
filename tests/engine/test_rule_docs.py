"""The pages of the shipped rules say what the rules say."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from engine.cli.rules import rules as command
from tests.conftest import ROOT


def test_the_pages_are_up_to_date() -> None:
    done = CliRunner().invoke(
        command, ["docs", "--out", str(ROOT / "docs" / "rules"), "--check"], standalone_mode=False
    )
    assert done.return_value == 0, done.output  # `python -m engine.cli.main rules docs` mends it


def test_a_page_that_is_stale_missing_or_left_over_is_told(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int | None, str]:
        done = CliRunner().invoke(
            command, ["docs", "--out", str(tmp_path), *words], standalone_mode=False
        )
        return done.return_value, done.output

    assert run()[0] == 0
    assert run("--check") == (0, "")
    (tmp_path / "en" / "elderly-silence.md").write_text("old")
    (tmp_path / "zh" / "gone.md").write_text("a rule that was")
    code, said = run("--check")
    assert code == 1
    assert [line.split(":")[0].rpartition("/")[2] for line in said.splitlines()] == [
        "elderly-silence.md", "gone.md",
    ]  # fmt: skip
    assert "rules docs" in said
