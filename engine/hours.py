"""Clocks of time limits: life safety runs on calendar hours, the rest on working hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from rules.calendar import Calendars

NS = 1_000_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_LONGEST_REST_DAYS = 60
"""A calendar without a work day in that many days is a mistake, not a holiday."""


class Hours(Protocol):
    """How a time limit runs."""

    def after(self, start_ns: int, seconds: int) -> int:
        """Return the moment at which `seconds` of this clock have passed since `start_ns`."""
        ...


@dataclass(frozen=True, slots=True)
class CalendarHours:
    """Every second counts.

    >>> CalendarHours().after(0, 900) // NS
    900
    """

    def after(self, start_ns: int, seconds: int) -> int:
        """Return ``start_ns`` plus the seconds."""
        return start_ns + seconds * NS


def weekday(day: dt.date) -> bool:
    """Return whether it is Monday to Friday: the work days where no calendar is given."""
    return day.isoweekday() <= 5


@dataclass(frozen=True, slots=True)
class WorkHours:
    """Only working hours of work days count.

    Parameters
    ----------
    zone : str
        Time zone of the office.
    opens, closes : datetime.time
        Working hours, local.
    work_day : callable
        date → whether people work; a calendar with swapped work days goes here.

    Examples
    --------
    >>> friday_1630 = int(dt.datetime(2026, 7, 3, 8, 30, tzinfo=dt.UTC).timestamp()) * NS
    >>> end = WorkHours().after(friday_1630, 3600)
    >>> dt.datetime.fromtimestamp(end // NS, ZoneInfo("Asia/Shanghai")).isoformat()
    '2026-07-06T09:30:00+08:00'
    """

    zone: str = "Asia/Shanghai"
    opens: dt.time = dt.time(9)
    closes: dt.time = dt.time(17)
    work_day: Callable[[dt.date], bool] = weekday

    def after(self, start_ns: int, seconds: int) -> int:
        """Return the moment at which `seconds` of working time have passed.

        Raises
        ------
        ValueError
            If the calendar has no work day for two months.
        """
        zone = ZoneInfo(self.zone)
        day = dt.datetime.fromtimestamp(start_ns // NS, zone).date()
        left_ns, rested = seconds * NS, 0
        while True:
            if self.work_day(day):
                rested = 0
                opens = max(start_ns, _local_ns(day, self.opens, zone))
                room = _local_ns(day, self.closes, zone) - opens
                if room > 0 and room >= left_ns:
                    return opens + left_ns
                left_ns -= max(room, 0)
            else:
                rested += 1
                if rested > _LONGEST_REST_DAYS:
                    raise ValueError(
                        f"calendar: no work day in the {rested} days before {day}; check its file"
                    )
            day += dt.timedelta(days=1)


def work_days(calendars: Calendars, country: str) -> Callable[[dt.date], bool]:
    """Return who works when by a country's calendar; in a year it does not know, Monday to Friday."""

    @lru_cache(2_000)
    def works(day: dt.date) -> bool:
        if not calendars.known(country, day.year):
            return weekday(day)
        return not bool(calendars.rest_days(country, day, 1)[0])

    return works


def _local_ns(day: dt.date, time: dt.time, zone: ZoneInfo) -> int:
    return int(dt.datetime.combine(day, time, zone).timestamp()) * NS


def local(ns: int, zone: str) -> dt.datetime:
    """Return local time (to the second)."""
    return dt.datetime.fromtimestamp(ns // NS, ZoneInfo(zone))


@lru_cache(8192)
def ns_of(text: str) -> int:
    """Return nanoseconds of an ISO 8601 stamp; the inverse of :func:`rules.alerts.stamp`.

    >>> ns_of("2016-03-01T00:00:00Z")
    1456790400000000000
    """
    return (dt.datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND * 1000
