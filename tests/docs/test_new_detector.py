"""A detector added by following the guide alone, in one file: suite, rules, reference and bench."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.detectors.suite import CHECKS
from tests.docs.pages import environment, follow, steps

GUIDE = ROOT / "docs" / "guides" / "new-detector.md"
PARTS = ("detectors", "rules", "connectors", "engine", "tests", "bench", "docs")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project, compiled kernels included, to add a file to."""
    folder = tmp_path_factory.mktemp("checkout")
    left_out = shutil.ignore_patterns("node_modules", "dist", ".bin", ".demo")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=left_out)
    shutil.copy2(ROOT / "pyproject.toml", folder)
    return folder


def test_the_guide_is_followed_to_the_letter(checkout: Path) -> None:
    before = {p.relative_to(checkout) for p in (checkout / "detectors").glob("*.py")}
    ran = follow(GUIDE, checkout, checkout)
    assert ran == len([s for s in steps(GUIDE.read_text("utf-8")) if s.path is None]) >= 6
    after = {p.relative_to(checkout) for p in (checkout / "detectors").glob("*.py")}
    assert after - before == {Path("detectors/jump.py")}
    page = (checkout / "reference" / "jump.md").read_text("utf-8")
    assert "Weigh how far a reading lies above" in page
    assert "`warm_up` = 48" in page
    assert (checkout / "reference" / "jump.svg").read_text("utf-8").startswith("<svg")
    scores = (checkout / "scores.csv").read_text().splitlines()[1:]
    top = sorted(scores, key=lambda row: float(row.split(",")[2].replace("nan", "0")))[-4:]
    assert {row.split(",")[1] for row in top} == {"25.0"}


def test_nothing_else_was_edited_and_every_check_ran(checkout: Path) -> None:
    env = environment(checkout, checkout)
    done = subprocess.run(
        ["python", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
         "tests/detectors/test_suite.py", "-k", "jump-default"],
        cwd=checkout, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    told = done.stdout.splitlines()[0].split()[0]
    assert told == "." * told.index("s") + "s" + "." * (len(CHECKS) - told.index("s") - 1)
    assert "no twin" in done.stdout  # the one check that needs a second file
    names = subprocess.run(
        ["python", "-c", "from detectors.base import names; print(names())"],
        cwd=checkout, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert "'jump'" in names.stdout
    assert not (ROOT / "detectors" / "jump.py").exists()
