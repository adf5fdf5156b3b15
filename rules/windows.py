"""What a rule sees of recent events: counts, distinct counts, sequences, absence.

A window is the half-open span ``(now − within, now]``. :func:`look` also says when the picture
will change without a new event (one leaves the window, a follow-up is overdue), so that the
absence of an event fires at its exact moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rules.model import EventUse, Scalar

NS = 1_000_000_000


class Happening(NamedTuple):
    """An event as rules see it; `event_id` tells repeats of one event apart from two events."""

    ts_ns: int
    kind: str
    attrs: Mapping[str, Any]
    event_id: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a window shows.

    Parameters
    ----------
    variables : dict
        ``count``, ``distinct`` (int), ``seen`` (bool), ``age_s``, ``first_age_s`` (float, None
        without an event), ``followed``, ``unfollowed`` (int), ``value`` (of `same`; None without
        an event), ``evidence`` (float, log10).
    onset_ns : int or None
        Time of the oldest event that counts.
    next_ns : int or None
        When the variables change without a new event (ages left out).
    events : tuple of str
        Ids of the events that count, oldest first: the provenance.
    """

    variables: dict[str, Any]
    onset_ns: int | None
    next_ns: int | None
    events: tuple[str, ...]


def horizon_s(use: EventUse) -> int:
    """Return how long events must be kept for this use, seconds."""
    return use.within_s + (use.then.within_s if use.then else 0)


def kinds(use: EventUse) -> frozenset[str]:
    """Return the kinds of event that this use asks for."""
    return frozenset(use.kinds + (use.then.kinds if use.then else ()))


def look(use: EventUse, events: Iterable[Happening], now_ns: int) -> Look:
    """Return what `use` sees of `events` (any order, any kinds, repeats allowed) at `now_ns`.

    >>> use = EventUse(kinds=("complaint",), within_s=60, distinct="caller")
    >>> calls = [Happening(t * NS, "complaint", {"caller": c}, f"e{t}")
    ...          for t, c in ((5, "a"), (50, "a"), (70, "b"), (90, "c"))]
    >>> seen = look(use, calls, 80 * NS)
    >>> seen.variables["count"], seen.variables["distinct"], seen.variables["age_s"]
    (2, 2, 10.0)
    >>> seen.next_ns // NS
    90
    """
    every = sorted(events, key=_order)
    ordered = [e for e in every if e.ts_ns <= now_ns]
    later = every[len(ordered) :]
    known = list({e.event_id: e for e in ordered}.values())
    since = now_ns - use.within_s * NS
    mine = [e for e in known if e.ts_ns > since and _matches(e, use.kinds, use.where)]
    value: str | None = None
    if use.same is not None:
        value, mine = _largest(mine, use.same)

    leaves = [e.ts_ns + use.within_s * NS for e in mine]
    # An event whose clock runs a little ahead counts once its own time has come.
    leaves += [e.ts_ns for e in later if e.kind in kinds(use)]
    followed = unfollowed = 0
    if use.then is not None:
        span = use.then.within_s * NS
        after = [e for e in known if _matches(e, use.then.kinds, use.then.where)]
        for first in mine:
            if _has_follower(first, after, span):
                followed += 1
            elif first.ts_ns + span <= now_ns:
                unfollowed += 1
            else:
                leaves.append(first.ts_ns + span)

    names = [e.attrs.get(use.distinct) for e in mine] if use.distinct else []
    variables = {
        "count": len(mine),
        "distinct": len({str(name) for name in names if name is not None}),
        "seen": bool(mine),
        "age_s": (now_ns - mine[-1].ts_ns) / NS if mine else None,
        "first_age_s": (now_ns - mine[0].ts_ns) / NS if mine else None,
        "followed": followed,
        "unfollowed": unfollowed,
        "value": value,
        "evidence": min(use.evidence * len(mine), use.evidence_max),
    }
    return Look(
        variables,
        mine[0].ts_ns if mine else None,
        min(leaves, default=None),
        tuple(e.event_id for e in mine),
    )


def _order(event: Happening) -> tuple[int, str]:
    return event.ts_ns, event.event_id


def _matches(
    event: Happening, wanted: tuple[str, ...], where: Mapping[str, tuple[Scalar, ...]]
) -> bool:
    return event.kind in wanted and all(
        event.attrs.get(name) in allowed for name, allowed in where.items()
    )


def _largest(events: list[Happening], attribute: str) -> tuple[str | None, list[Happening]]:
    """Return the largest group of equal values; of equals, the one with the newest event."""
    groups: dict[str, list[Happening]] = {}
    for event in events:
        if event.attrs.get(attribute) is not None:
            groups.setdefault(str(event.attrs[attribute]), []).append(event)
    if not groups:
        return None, []
    return max(groups.items(), key=lambda item: (len(item[1]), _order(item[1][-1]), item[0]))


def _has_follower(first: Happening, after: list[Happening], span: int) -> bool:
    return any(0 <= e.ts_ns - first.ts_ns <= span and e.event_id != first.event_id for e in after)
