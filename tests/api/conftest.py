"""A site for the API's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.kit import Site, a_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield a small site."""
    with a_site(tmp_path) as made:
        yield made
