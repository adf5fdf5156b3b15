"""The reference says what the detectors say."""

import subprocess
import sys
from pathlib import Path

from detectors.base import names
from tests.conftest import ROOT

SCRIPT = ROOT / "docs" / "make_detectors.py"


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, cwd=ROOT
    )


def test_the_pages_of_detectors_are_up_to_date() -> None:
    done = make("--check")
    assert done.returncode == 0, done.stdout  # `python docs/make_detectors.py` mends it


def test_a_stale_page_is_told(tmp_path: Path) -> None:
    assert make("--out", str(tmp_path), "--only", "limit").returncode == 0
    (tmp_path / "limit.md").write_text("old")
    done = make("--out", str(tmp_path), "--only", "limit", "--check")
    assert done.returncode == 1
    assert "limit.md: is stale" in done.stdout


def test_every_detector_has_a_page_and_a_picture() -> None:
    folder = ROOT / "docs" / "detectors"
    index = (folder / "README.md").read_text("utf-8")
    for name in names():
        assert f"[{name}]({name}.md)" in index
        page = (folder / f"{name}.md").read_text("utf-8")
        assert f"]({name}.svg)" in page
        picture = (folder / f"{name}.svg").read_text("utf-8")
        assert picture.count("<path") == 4
