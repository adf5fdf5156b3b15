"""State of an older schema is brought to the present one, or refused by name; never misread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.base import SnapshotError
from detectors.seasonal import Seasonal
from tests.detectors.cases import frame_of

HALF = 24 * 30
DAYS = 60
FIRST = 20_000 * 24


class Older(Seasonal):
    """As an earlier program was: it kept one of its arrays doubled, and called it something else."""

    schema = Seasonal.schema - 1

    def snapshot(self) -> tuple[dict[str, Any], Any]:
        header, arrays = super().snapshot()
        name, *_ = floats(arrays)
        arrays["once_" + name] = arrays.pop(name) * 2
        return header, arrays


class Present(Seasonal):
    """Knows the way from there to here."""

    def _migrate(self, schema: int, arrays: Any) -> Any:
        if schema == Older.schema:
            name, *_ = floats(self.state)
            return {**arrays, name: arrays["once_" + name] / 2}
        return super()._migrate(schema, arrays)


def floats(arrays: Any) -> list[str]:
    return sorted(k for k, v in arrays.items() if v.dtype == np.float32)


def values() -> Any:
    rng = np.random.default_rng(3)
    day = 1 + np.sin(np.arange(24 * DAYS) * 2 * np.pi / 24)[:, None]
    found = (day + 0.1 * rng.standard_normal((24 * DAYS, 3))).astype(np.float32)
    found[24 * 50 : 24 * 50 + 12, 1] = 9.0
    return found[:, None, :]


def test_what_was_migrated_says_what_the_program_would_have_said() -> None:
    whole = Seasonal(3, interval_s=3600)
    whole.step(frame_of(values()[:HALF], FIRST, 3600))
    wanted = whole.step(frame_of(values()[HALF:], FIRST + HALF, 3600))
    older = Older(3, interval_s=3600)
    older.step(frame_of(values()[:HALF], FIRST, 3600))
    present = Present(3, interval_s=3600)
    present.restore(*older.snapshot())
    got = present.step(frame_of(values()[HALF:], FIRST + HALF, 3600))
    assert np.nanmax(wanted.evidence) > 1
    np.testing.assert_array_equal(got.evidence, wanted.evidence)
    np.testing.assert_array_equal(got.onset, wanted.onset)
    assert present.snapshot()[0]["schema"] == Seasonal.schema


def test_where_there_is_no_way_it_is_refused_by_name() -> None:
    state = Older(3, interval_s=3600).snapshot()
    with pytest.raises(SnapshotError, match="seasonal: no way from schema 0 to 1"):
        Seasonal(3, interval_s=3600).restore(*state)


def test_a_newer_one_is_refused_by_name() -> None:
    header, arrays = Seasonal(3, interval_s=3600).snapshot()
    with pytest.raises(SnapshotError, match="start the newer program"):
        Older(3, interval_s=3600).restore(header, arrays)


def test_a_way_that_leads_elsewhere_is_found_out() -> None:
    class Wrong(Present):
        def _migrate(self, schema: int, arrays: Any) -> Any:
            found = super()._migrate(schema, arrays)
            name, *_ = floats(self.state)
            return {**found, name: found[name][:-1]}

    with pytest.raises(SnapshotError, match="wanted float32"):
        Wrong(3, interval_s=3600).restore(*Older(3, interval_s=3600).snapshot())
