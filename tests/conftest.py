"""Shared by all tests: where the real data lies, and one Hypothesis profile."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.missing import missing

settings.register_profile(
    "gridwarden",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("gridwarden")

ROOT = Path(__file__).resolve().parent.parent


def data_path() -> Path:
    """Return the folder of real data: GRIDWARDEN_DATA, or ../shared/data beside the checkout."""
    return Path(os.environ.get("GRIDWARDEN_DATA", ROOT / ".." / "shared" / "data")).resolve()


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data; a laptop without it skips loudly, CI fails."""
    path = data_path()
    if not path.is_dir():
        missing(f"real data not found at {path}: set GRIDWARDEN_DATA")
    return path
