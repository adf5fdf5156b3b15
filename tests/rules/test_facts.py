"""Every fact of every detector has a name in both languages, and is shown as people write it."""

from __future__ import annotations

import pytest

from detectors.base import names
from rules.facts import UNITS, fact, shown, unit
from rules.loader import registered


@pytest.mark.parametrize("detector", names())
def test_every_fact_has_its_words_and_unit(detector: str) -> None:
    told = registered(detector)
    assert not isinstance(told, str)
    for name in told.facts or ():
        found = fact(detector, name)
        assert found is not None, name
        assert found.zh
        assert found.en
        assert found.choices is not None or found.form in UNITS, name
        assert "{" not in shown(detector, name, {name: 1.0, "channel": 1.0}, "en")
        assert unit(found, "zh")
        assert unit(found, "en")


@pytest.mark.parametrize(
    ("detector", "name", "facts", "zh", "en"),
    [
        ("inactivity", "silent_hours", {"silent_hours": 30}, "30小时", "30 hours"),
        ("inactivity", "usual_share", {"usual_share": 0.985972}, "99%", "99%"),
        ("inactivity", "usual_first_sign_hour", {"usual_first_sign_hour": 9}, "09:00", "09:00"),
        ("excess", "usual", {"usual": 6.07025, "channel": 1}, "6.07升", "6.07 l"),
        ("excess", "usual", {"usual": 6.07025}, "6.07", "6.07"),
        ("excess", "own", {"own": 0}, "否", "no"),
        ("occupancy", "state", {"state": 3}, "人数偏多", "over-occupied"),
        ("occupancy", "state", {"state": None}, "未知", "unknown"),
        ("repeat", "callers", {"callers": 1}, "1人", "1 person"),
        ("repeat", "callers", {}, "未知", "unknown"),
        ("mine", "x", {"x": 2.345678}, "2.35", "2.35"),
    ],
)
def test_values_are_written_as_people_do(
    detector: str, name: str, facts: dict[str, float], zh: str, en: str
) -> None:
    assert shown(detector, name, facts, "zh") == zh
    assert shown(detector, name, facts, "en") == en
