"""What a closed plant may draw: permits of a subject's attributes as intervals of UTC."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

NS = 1_000_000_000
MOST_KW = 1e6
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class Interval(NamedTuple):
    """A permitted load: kW as an hourly mean, from start to before end."""

    start_ns: int
    end_ns: int
    kw: float


@dataclass(frozen=True, slots=True)
class Window:
    """One entry of ``permitted_windows``; minutes count from local midnight of the first day.

    ``stop`` ≤ ``start`` never occurs: hours that cross midnight end after 1,440.
    """

    first: dt.date
    last: dt.date
    days: frozenset[int]
    start: int
    stop: int
    kw: float


def expand(attrs: Mapping[str, Any], first_day: dt.date, days: int, zone: str) -> list[Interval]:
    """Return the permitted loads of some local days, in order, without overlap.

    A window belongs to the day on which it begins; what it has after midnight is part of the next
    day. Where several permits apply the highest wins; without one there is no interval. Entries
    that :func:`problems` finds fault with permit nothing.

    Parameters
    ----------
    attrs : mapping
        ``permitted_kw`` (always), ``permitted_windows``; see the files' description.
    first_day, days
        Local days, cut at local midnights.
    zone : str
        IANA time zone.

    >>> window = {"from": "2026-03-02", "to": "2026-03-02", "hours": ["22:00", "06:00"], "kw": 5}
    >>> found = expand({"permitted_windows": [window]}, dt.date(2026, 3, 2), 2, "UTC")
    >>> [((i.end_ns - i.start_ns) // 3600 // NS, i.kw) for i in found]
    [(8, 5.0)]
    """
    base, windows, _ = _read(attrs)
    tz = ZoneInfo(zone)
    span_start, span_stop = _utc(first_day, 0, tz), _utc(first_day, days * 1440, tz)
    pieces = [(span_start, span_stop, base)] if base > 0 else []
    for offset in range(-1, days):
        day = first_day + dt.timedelta(days=offset)
        for window in windows:
            if window.first <= day <= window.last and day.isoweekday() in window.days:
                start = max(_utc(day, window.start, tz), span_start)
                stop = min(_utc(day, window.stop, tz), span_stop)
                if start < stop and window.kw > 0:
                    pieces.append((start, stop, window.kw))
    return _highest(pieces)


def problems(attrs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a subject's permits, for the report on the subjects file.

    >>> problems({"permitted_windows": [{"kw": "five"}]})
    ['permitted_windows[0].kw: got "five", wanted a number from 0 to 1e+06']
    """
    return _read(attrs)[2]


def _utc(day: dt.date, minutes: int, tz: ZoneInfo) -> int:
    """Return local wall time as ns UTC; an hour that is skipped counts with the old offset."""
    more, rest = divmod(minutes, 1440)
    day += dt.timedelta(days=more)
    local = dt.datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=tz)
    return int(local.timestamp()) * NS


def _highest(pieces: list[tuple[int, int, float]]) -> list[Interval]:
    """Return the highest permit over time; neighbours of equal height become one interval."""
    edges = sorted({edge for start, stop, _ in pieces for edge in (start, stop)})
    found: list[Interval] = []
    for start, stop in pairwise(edges):
        heights = [kw for a, b, kw in pieces if a <= start and stop <= b]
        if not heights:
            continue
        kw = max(heights)
        if found and found[-1].end_ns == start and found[-1].kw == kw:
            start = found.pop().start_ns
        found.append(Interval(start, stop, kw))
    return found


def _read(attrs: Mapping[str, Any]) -> tuple[float, list[Window], list[str]]:
    wrong: list[str] = []
    base = _load(attrs.get("permitted_kw", 0.0), "permitted_kw", wrong) or 0.0
    given = attrs.get("permitted_windows", ())
    windows: list[Window] = []
    if not isinstance(given, list | tuple):
        wrong.append(f"permitted_windows: got {_shown(given)}, wanted a list")
        given = ()
    for i, entry in enumerate(given):
        where = f"permitted_windows[{i}]"
        if not isinstance(entry, Mapping):
            wrong.append(f"{where}: got {_shown(entry)}, wanted an object")
            continue
        before = len(wrong)
        window = _window(entry, where, wrong)
        if window is not None and len(wrong) == before:
            windows.append(window)
    return base, windows, wrong


def _window(entry: Mapping[str, Any], where: str, wrong: list[str]) -> Window | None:
    known = ("from", "to", "days", "hours", "kw")
    wrong += [
        f"{where}: unknown key {_shown(key)}, wanted one of {', '.join(known)}"
        for key in sorted(set(map(str, entry)) - set(known))
    ]
    first = _date(entry.get("from"), dt.date.min, f"{where}.from", wrong)
    last = _date(entry.get("to"), dt.date.max, f"{where}.to", wrong)
    if first > last:
        wrong.append(f"{where}: from {first} is after to {last}")
    days = _days(entry.get("days"), f"{where}.days", wrong)
    start, stop = _hours(entry.get("hours"), f"{where}.hours", wrong)
    kw = _load(entry.get("kw"), f"{where}.kw", wrong)
    return None if kw is None else Window(first, last, days, start, stop, kw)


def _load(value: Any, where: str, wrong: list[str]) -> float | None:
    # NaN fails both comparisons and is refused with the rest.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MOST_KW:
        wrong.append(f"{where}: got {_shown(value)}, wanted a number from 0 to {MOST_KW:g}")
        return None
    return float(value)


def _date(value: Any, default: dt.date, where: str, wrong: list[str]) -> dt.date:
    if value is None:
        return default
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        wrong.append(f"{where}: got {_shown(value)}, wanted a date such as 2026-03-01")
        return default


def _days(value: Any, where: str, wrong: list[str]) -> frozenset[int]:
    if value is None:
        return frozenset(range(1, 8))
    listed = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    days = list(value) if listed else [value]
    if not all(isinstance(d, int) and not isinstance(d, bool) and 1 <= d <= 7 for d in days):
        wrong.append(f"{where}: got {_shown(value)}, wanted days 1 (Monday) … 7")
        return frozenset()
    return frozenset(days)


def _hours(value: Any, where: str, wrong: list[str]) -> tuple[int, int]:
    if value is None:
        return 0, 1440
    clocks = value if isinstance(value, list | tuple) else ()
    if len(clocks) != 2 or not all(isinstance(c, str) and _CLOCK.fullmatch(c) for c in clocks):
        wrong.append(f'{where}: got {_shown(value)}, wanted ["07:00", "18:00"]')
        return 0, 0
    start, stop = (int(c[:2]) * 60 + int(c[3:]) for c in clocks)
    return start, stop if stop > start else stop + 1440


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text[:60]
