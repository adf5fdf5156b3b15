"""Rest days with swapped work days; unknown years say so."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import rules
from rules.calendar import Calendars, file_name, load_calendars
from rules.problems import RuleErrors

SHIPPED = Path(rules.__file__).parent / "calendars"


@pytest.fixture(scope="module")
def calendars() -> Calendars:
    return load_calendars({p.name: p.read_text("utf-8") for p in sorted(SHIPPED.glob("*.yaml"))})


def rests(calendars: Calendars, day: str) -> bool:
    return bool(calendars.rest_days("CN", dt.date.fromisoformat(day), 1)[0])


def test_swapped_work_days_of_2026(calendars: Calendars) -> None:
    # DOMAIN.md 1: these week-end days of 2026 are work days.
    for day in ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10"):
        assert dt.date.fromisoformat(f"2026-{day}").isoweekday() >= 6
        assert not rests(calendars, f"2026-{day}")


def test_holidays_within_the_week(calendars: Calendars) -> None:
    assert rests(calendars, "2026-10-01")  # a Thursday
    assert rests(calendars, "2025-01-28")  # a Tuesday, New Year's Eve
    assert not rests(calendars, "2026-10-08")
    assert rests(calendars, "2026-10-11")  # an ordinary Sunday


@pytest.mark.parametrize(("year", "work_days"), [(2024, 251), (2025, 248), (2026, 248)])
def test_days_of_work_in_a_year(calendars: Calendars, year: int, work_days: int) -> None:
    days = (dt.date(year + 1, 1, 1) - dt.date(year, 1, 1)).days
    assert days - calendars.rest_days("CN", dt.date(year, 1, 1), days).sum() == work_days


def test_an_unknown_year_is_unknown_not_without_holidays(calendars: Calendars) -> None:
    assert calendars.known("CN", 2026)
    assert not calendars.known("CN", 2031)
    assert not calendars.known("AU", 2026)
    assert calendars.holiday("CN", dt.date(2031, 10, 1)) is None
    assert calendars.holiday("CN", dt.date(2026, 10, 1)) is True
    assert calendars.holiday("CN", dt.date(2026, 10, 11)) is False
    assert calendars.rest_days("CN", dt.date(2031, 10, 3), 3).tolist() == [False, True, True]


def test_a_span_over_the_turn_of_the_year(calendars: Calendars) -> None:
    found = calendars.rest_days("CN", dt.date(2025, 12, 31), 5).tolist()
    assert found == [False, True, True, True, False]


def test_files_are_named_by_country_and_year() -> None:
    for path in SHIPPED.glob("*.yaml"):
        country, year = path.stem.split("-")
        assert file_name(country, int(year)) == path.name


def test_every_mistake_of_every_file_at_once() -> None:
    with pytest.raises(RuleErrors) as error:
        load_calendars(
            {
                "a.yaml": "country: CN\nyear: 2026\nrest: [2026-02-30, 2025-01-01]\nwork: [2026-01-05]\n",
                "b.yaml": "country: china\nyear: soon\nholidays: []\n",
                "c.yaml": "",
                "d.yaml": "country: CN\nyear: 2027\nrest: [2027-01-02]\nwork: [2027-01-02]\n",
            }
        )
    lines = [str(problem) for problem in error.value.problems]
    assert len(lines) == 8
    assert lines[0].startswith("a.yaml:3:8: not a day")
    assert any("no week-end day" in line for line in lines)
    assert any("both a holiday and a day of work" in line for line in lines)
