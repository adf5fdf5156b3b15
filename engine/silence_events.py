"""Silences that come as events: rules that send nobody for a while, and their early end."""

from __future__ import annotations

from dataclasses import replace

from connectors.records import Event
from engine import notices
from rules.silences import SILENCE_ENDED, Silence, SilenceError


def silence_told(silences: dict[str, Silence], event: Event, zone: str) -> None:
    """Take a silence, or its early end, into those that are known, by id.

    Raises
    ------
    EventError
        If it has no end, or is none that :class:`rules.silences.Silence` allows.
    """
    attrs = event.attrs
    silence_id = str(attrs.get("silence_id") or event.event_id)
    if event.kind == SILENCE_ENDED:
        known = silences.get(silence_id)
        if known is not None and known.from_ns < event.ts_ns:
            end_ns = min(known.until_ns, event.ts_ns)
            silences[silence_id] = replace(known, until_ns=end_ns)
        elif known is not None:
            del silences[silence_id]
        return
    named = attrs.get("rules") or ()
    until = attrs.get("until")
    if until is None:
        raise notices.EventError(
            f"silence {silence_id!r}: until is empty; wanted its end, none is for ever"
        )
    start = attrs.get("from")
    try:
        silences[silence_id] = Silence(
            silence_id=silence_id,
            rules=(named,) if isinstance(named, str) else tuple(map(str, named)),
            subject_id=event.subject_id,
            place=event.place,
            from_ns=event.ts_ns if start is None else notices.instant_ns(start, zone, event),
            until_ns=notices.instant_ns(until, zone, event, end=True),
            author=str(attrs.get("author", "")),
            reason=str(attrs.get("reason", "")),
        )
    except SilenceError as error:
        raise notices.EventError(f"silence {silence_id!r}: {error}") from None
