"""The curves beside an alert: first the one that it speaks of, with the threshold on its axis."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.console.series_view import curves_of
from engine.curves import Ring
from tests.api.kit import DAY, T0, Site
from tests.engine.store_kit import change

NS = 10**9


@pytest.fixture
def console(site: Site, tmp_path: Path):
    """Return the console of a site whose home-1 has a water meter, too; without a usual band."""
    head = {
        "kind": "class", "label": "water@3600", "utility": "water", "interval_s": 3600,
        "phase_s": 0, "slots": 24 * 8, "rows": ["w-1"], "subjects": ["home-1"],
    }  # fmt: skip
    ring = Ring.create(site.folder / "curves" / "class-water-3600-0", head)
    first = (T0 - 2 * DAY) // (3600 * NS)
    for i in range(48):
        ring.put(first + i, np.array([30.0], np.float32))
    yield site.console
    for file in (site.folder / "curves").glob("class-water-*"):
        file.unlink()


def drawn(console, **facts):
    about = msgspec.structs.replace(change("home-1", seq=1), facts=facts)
    return curves_of(console, "home-1", T0 - DAY, T0, [about])


def test_a_leak_shows_water_and_its_litres(console) -> None:
    found = drawn(console, channel=1, threshold=15.0)
    first, second = found.curves
    assert (first.utility, first.unit, first.threshold) == ("water", "l", 15.0)
    assert (second.utility, second.threshold) == ("electricity", None)
    assert {c for day in found.raster for c in day.cells.strip(" .")} <= {"0", "1"}
    assert len(found.raster[-1].cells) <= 24  # slots of the water meter


def test_a_run_of_electricity_is_told_by_the_hour_and_drawn_by_the_quarter(console) -> None:
    first = drawn(console, channel=0, threshold=2.0).curves[0]
    assert (first.utility, first.threshold) == ("electricity", 0.5)


def test_a_silence_keeps_its_thresholds_of_each_meter(console) -> None:
    found = drawn(console, silent_hours=6, last_channel=0, threshold_kwh=0.03, threshold_l=1.0)
    assert [(c.utility, c.threshold) for c in found.curves] == [("electricity", 0.03), ("water", 1)]


def test_without_a_word_the_meter_with_a_band_comes_first(console) -> None:
    assert [c.utility for c in drawn(console, usual=3).curves] == ["electricity", "water"]
