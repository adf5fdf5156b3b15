"""A file of a detector that is broken: told by file and line, and in nobody else's way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detectors.base import (
    Detector,
    DetectorError,
    Field,
    Frame,
    Signals,
    all_or_nothing,
    names,
    register,
)
from detectors.mishaps import told
from tests.conftest import ROOT

LOOK = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from detectors.base import DetectorError, lookup, names
    print("limit" in names(), "jump" in names())
    for w in said:
        print(w.category.__name__, w.message)
    try:
        lookup("jump")
    except DetectorError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "detectors", folder / "detectors")
    return folder


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import numpy as np\n\ndef broken()\n    pass\n", "detectors/jump.py:3: expected ':'"),
        ("x = 1\nimport nowhere\n", "detectors/jump.py:2: ModuleNotFoundError: No module named"),
        (
            "from detectors.base import Detector, register\n\n@register\nclass Jump(Detector):\n"
            '    name = "jump"\n\n1 / 0\n',
            "detectors/jump.py:7: ZeroDivisionError: division by zero",
        ),
    ],
    ids=["syntax", "import", "half a file"],
)
def test_a_broken_file_is_told_and_the_others_work(package: Path, text: str, why: str) -> None:
    (package / "detectors" / "jump.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=package, capture_output=True, text=True,
        env={"PYTHONPATH": str(package), "PATH": ""},
    )  # fmt: skip
    first, warned, refused = done.stdout.splitlines()
    assert first == "True False"
    assert warned.startswith(f"BrokenDetectorWarning {why}")
    assert refused.startswith("unknown detector 'jump'; ")
    assert f"; not loaded: {why}" in refused


class Failing(Detector):
    """Fails at its second slot."""

    name = "failing"

    def _fields(self) -> dict[str, Field]:
        return {"n": Field("i4")}

    def _step(self, frame: Frame, out: Signals) -> None:
        if frame.slots > 1:
            out.evidence[:, 0] = np.zeros(3)  # a line of ours, an error of numpy's


def test_an_error_within_a_step_names_detector_file_and_line() -> None:
    slots = np.zeros(2, np.int32)
    frame = Frame(0, np.zeros((2, 1, 1), np.float32), slots, slots, np.zeros(2, np.bool_))
    with pytest.raises(DetectorError) as caught:
        Failing(1, interval_s=3600).step(frame)
    line = next(
        i
        for i, text in enumerate(Path(__file__).read_text().splitlines(), 1)
        if "error of numpy" in text
    )
    message = str(caught.value)
    assert message.startswith('detector "failing" failed: ')
    assert f"test_mishaps.py:{line}: ValueError: could not broadcast" in message
    assert "mend " in message
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_a_file_registered_before_it_failed_is_forgotten() -> None:
    before = names()
    with pytest.raises(ZeroDivisionError):
        _half_a_file()
    assert names() == before


def _half_a_file() -> None:
    with all_or_nothing():
        register(Failing)
        assert Failing.name in names()
        raise ZeroDivisionError


def test_an_error_without_a_place_is_told_as_it_is() -> None:
    assert told(KeyError("x")) == "KeyError: 'x'"
