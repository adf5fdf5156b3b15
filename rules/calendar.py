"""Rest days with swapped work days, from one data file per country and year.

A year without a file is *unknown*: its week-ends are taken as rest days, and :meth:`Calendars.known`
says so, because "no calendar yet" is not "no holidays".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import yaml
from numpy.typing import NDArray

from rules import document
from rules.problems import Problem, RuleErrors, shown
from rules.shapes import BAD, Entry, Many, Number, Read, Reader, Record, Words

_DAY = r"\d{4}-\d{2}-\d{2}"
_FILE = Record(
    {
        "country": Entry(Words("a country code such as CN", r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?"), "Country.", required=True),
        "year": Entry(Number(1970, 2100), "Year.", required=True),
        "rest": Entry(
            Many(Words("a day, or first..last", rf"{_DAY}(?:\.\.{_DAY})?")), "Public holidays.", ()
        ),
        "work": Entry(Many(Words("a day such as 2026-01-04", _DAY)), "Week-end days of work.", ()),
        "source": Entry(Words("where this was published"), "Where it was published."),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Year:
    """One country's year: public holidays, and week-end days on which people work."""

    rest: frozenset[dt.date]
    work: frozenset[dt.date]


class Calendars:
    """Rest days by country.

    Parameters
    ----------
    years : mapping of (str, int) to Year
        By country and year.
    """

    def __init__(self, years: Mapping[tuple[str, int], Year]) -> None:
        self._years = dict(years)

    def known(self, country: str, year: int) -> bool:
        """Return whether a calendar is published for that year."""
        return (country, year) in self._years

    def countries(self) -> tuple[str, ...]:
        """Return the countries with at least one year, sorted."""
        return tuple(sorted({country for country, _ in self._years}))

    def rest_days(self, country: str, first_day: dt.date, days: int) -> NDArray[np.bool_]:
        """Return which of some days are rest days: bool, shape (days,).

        >>> calendars = Calendars({("CN", 2026): Year(frozenset(), frozenset({dt.date(2026, 1, 4)}))})
        >>> calendars.rest_days("CN", dt.date(2026, 1, 2), 4).tolist()  # Friday, Sat, Sun, Mon
        [False, True, False, False]
        """
        span = (first_day + dt.timedelta(days=i) for i in range(days))
        return np.fromiter((self._rests(country, day) for day in span), np.bool_, days)

    def holiday(self, country: str, day: dt.date) -> bool | None:
        """Return whether a day is a public holiday; None where the year is not known."""
        year = self._years.get((country, day.year))
        return None if year is None else day in year.rest

    def _rests(self, country: str, day: dt.date) -> bool:
        year = self._years.get((country, day.year))
        week_end = day.isoweekday() >= 6
        if year is None:
            return week_end
        return day in year.rest or (week_end and day not in year.work)


def load_calendars(files: Mapping[str, str]) -> Calendars:
    """Return the calendars of some files (name → YAML text).

    Raises
    ------
    RuleErrors
        With every problem of every file.
    """
    years: dict[tuple[str, int], Year] = {}
    problems: list[Problem] = []
    for file in sorted(files):
        reader = Reader(file, files[file])
        try:
            root = document.read(file, files[file])
        except document.DocumentError as error:
            problems.append(error.problem)
            continue
        record = BAD if root is None else _FILE.read(reader, root)
        if root is None:
            problems.append(Problem(file, 1, 1, "the calendar is empty"))
        if isinstance(record, Read) and record["country"] is not BAD and record["year"] is not BAD:
            key = (record["country"], int(record["year"]))
            if key in years:
                reader.report(record.node, f"a second calendar of {key[0]} {key[1]}")
            years[key] = _year(reader, record, key[1])
        problems += reader.problems
    if problems:
        raise RuleErrors(problems)
    return Calendars(years)


def _year(reader: Reader, record: Read, year: int) -> Year:
    rest: set[dt.date] = set()
    for text, node in _items(record, "rest"):
        first, _, last = text.partition("..")
        rest |= set(_span(reader, node, first, last or first, year))
    work: set[dt.date] = set()
    for text, node in _items(record, "work"):
        for day in _span(reader, node, text, text, year):
            if day.isoweekday() < 6:
                reader.report(node, f"{day} is no week-end day: people work anyway")
            work.add(day)
    for day in sorted(rest & work):
        reader.report(record.at("work"), f"{day} is both a holiday and a day of work")
    return Year(frozenset(rest), frozenset(work))


def _items(record: Read, key: str) -> Iterator[tuple[str, yaml.Node]]:
    """Yield the texts of a list and where each stands."""
    node, texts = record.at(key), record[key] or ()
    single = isinstance(node, yaml.SequenceNode) and len(node.value) == len(texts)
    yield from zip(texts, node.value if single else [node] * len(texts), strict=True)


def _span(reader: Reader, node: yaml.Node, first: str, last: str, year: int) -> Iterator[dt.date]:
    try:
        start, stop = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    except ValueError:
        reader.report(node, "not a day", got=shown(f"{first} {last}"), wanted="a date that exists")
        return
    if start > stop or start.year != year or stop.year != year:
        reader.report(node, "days out of order or of another year", got=shown(f"{first}..{last}"))
        return
    for i in range((stop - start).days + 1):
        yield start + dt.timedelta(days=i)


def file_name(country: str, year: int) -> str:
    """Return the name of the file of a country's year.

    >>> file_name("CN", 2026)
    'CN-2026.yaml'
    """
    if not re.fullmatch(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?", country):
        raise ValueError(f"country must be a code such as CN, got {country!r}")
    return f"{country}-{year}.yaml"
