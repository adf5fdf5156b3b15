"""What events, outcomes and attributes mean: context for rules, notices for detectors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connectors import zones
from connectors.records import Event
from detectors.base import NS
from engine.context import ABSENT, APPROVED, MAINTENANCE, NO_END, POWER_CUT
from engine.outcomes import KINDS, STRETCH_S
from rules import permits

VEHICLES = {
    ("hazmat", "in"): 1.0,
    ("hazmat", "out"): 2.0,
    ("goods", "in"): 3.0,
    ("goods", "out"): 4.0,
}
CONTEXT_OF = {
    "absence": ABSENT,
    "maintenance": MAINTENANCE,
    "approved_test": APPROVED,
    "power_cut": POWER_CUT,
}
"""Event kinds that hold for a while, and what rules call that."""
OPEN_S = {
    event: max(k.longest_s for k in KINDS.values() if k.event == event) for event in CONTEXT_OF
}
"""How long that holds whose end nobody gave: as long as it could be declared at the door."""
STANDING = frozenset({"closed_on"})
PERMITTED = frozenset({"permitted_kw", "permitted_windows"})
"""Attributes of subjects that detectors are told of: once, and day by day."""
NOTICE_OF = {"absence": "absence", "power_cut": "outage", "approved_test": "approved_test"}


class EventError(ValueError):
    """An event's attributes cannot be understood; it goes to quarantine with this reason."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a detector is told about some subjects."""

    kind: str
    start_ns: int
    end_ns: int
    value: float = float("nan")


def of_event(event: Event, zone: str) -> tuple[tuple[str, int, int] | None, Notice | None]:
    """Return what an event means for its subjects: a context interval, a notice, or neither.

    Parameters
    ----------
    event : Event
        The event.
    zone : str
        Time zone for local times in its attributes.

    Raises
    ------
    EventError
        If attributes that its kind needs are missing or wrong.
    """
    attrs = event.attrs
    if event.kind in CONTEXT_OF:
        start_ns, end_ns = _span(event, zone)
        context = (CONTEXT_OF[event.kind], start_ns, end_ns)
        kw = _number(event, "kw") if event.kind == "approved_test" else float("nan")
        kind = NOTICE_OF.get(event.kind)
        return context, None if kind is None else Notice(kind, start_ns, end_ns, kw)
    if event.kind == "vehicle_gate":
        value = VEHICLES.get((str(attrs.get("class")), str(attrs.get("direction"))))
        if value is None:
            return None, None
        return None, Notice("vehicle", event.ts_ns, event.ts_ns, value)
    if event.kind in ("complaint", "sign_of_life", "new_appliance"):
        return None, Notice(event.kind, event.ts_ns, event.ts_ns)
    if event.kind == "weather" and "temp_c" in attrs:
        return None, Notice("temperature", event.ts_ns, event.ts_ns, _number(event, "temp_c"))
    return None, None


def _span(event: Event, zone: str) -> tuple[int, int]:
    start = event.attrs.get("from")
    end = event.attrs.get("until", event.attrs.get("to"))
    start_ns = event.ts_ns if start is None else instant_ns(start, zone, event)
    longest_ns = NS * (OPEN_S[event.kind] if end is None else STRETCH_S)
    end_ns = NO_END if end is None else instant_ns(end, zone, event, end=True)
    if end_ns < start_ns:
        raise EventError(
            f"{event.kind} {event.event_id!r} ends before it begins: got {start} … {end}; wanted a "
            "later end"
        )
    if end is None or event.kind == "absence":
        # Nothing that is told may mute a home for good.
        end_ns = min(end_ns, start_ns + longest_ns)
    return start_ns, end_ns


def instant_ns(text: object, zone: str, event: Event, *, end: bool = False) -> int:
    """Return a time given in attributes: with offset, or else local.

    As the end of a span (`end`) a bare date means that day too.
    """
    try:
        return zones.instant_ns(str(text), zone, end=end)
    except ValueError:
        raise EventError(
            f"{event.kind} {event.event_id!r}: {text!r} is no time; wanted ISO 8601"
        ) from None


def _number(event: Event, name: str) -> float:
    value = event.attrs.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EventError(f"{event.kind} {event.event_id!r}: {name} is {value!r}; wanted a number")
    return float(value)


def of_attributes(attrs: Mapping[str, Any], zone: str) -> Iterator[Notice]:
    """Yield the standing notices of a subject: the closure order."""
    closed_on = attrs.get("closed_on")
    if closed_on:
        day = dt.date.fromisoformat(str(closed_on))
        midnight = dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        start_ns = int(midnight.timestamp()) * NS
        yield Notice("closed", start_ns, NO_END)


def permits_of(attrs: Mapping[str, Any], days: Iterable[dt.date], zone: str) -> Iterator[Notice]:
    """Yield the permitted loads of some local days."""
    if PERMITTED.isdisjoint(attrs):
        return
    for day in days:
        for interval in permits.expand(attrs, day, 1, zone):
            yield Notice("permit", interval.start_ns, interval.end_ns, interval.kw)
