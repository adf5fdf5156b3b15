"""What was found at the door: typed, expiring, bounded; and what each kind does.

An outcome closes the loop of its alert (record :class:`~connectors.records.Outcome`); what it
*does* is an event of the log of a kind the engine knows anyway, so nothing else has to understand
outcomes: an absence, a power cut, a maintenance window, an approved test, a sign of life.

**No feedback can mute a home for good.** Three bounds, whoever says what how often:

1. every kind has a longest time it may quiet a subject;
2. all that quiets one subject, of any kind, makes up stretches of at most :data:`STRETCH_S`;
3. between two stretches lie at least :data:`WATCH_S` in which the subject is watched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from connectors.records import Event, Outcome
from rules.alerts import stamp

NS = 1_000_000_000
HOUR_S, DAY_S = 3_600, 86_400
STRETCH_S = 120 * DAY_S
"""Longest time for which a subject can be quieted in one stretch."""
WATCH_S = 7 * DAY_S
"""Shortest time between two such stretches."""
AHEAD_S = 366 * DAY_S
"""How far ahead something may be declared."""
BACK_S = 60 * DAY_S
"""How far back something may be declared to have begun."""


class OutcomeError(ValueError):
    """An outcome or absence that cannot be taken; the message says why and what to do."""


class Verdict(StrEnum):
    """What an outcome says of the alert."""

    CONFIRMED = "confirmed"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of outcome.

    Parameters
    ----------
    zh, en : str
        For people.
    verdict : Verdict
        Whether the alert was right.
    event : str or None
        Kind of the event that carries the effect into the log.
    quiets : bool
        Whether the effect keeps rules quiet for a while.
    default_s, longest_s : int
        How long, unless said otherwise; and at most.
    needs : tuple of str
        What has to be given: ``until``, ``kw``.
    """

    zh: str
    en: str
    verdict: Verdict
    event: str | None = None
    quiets: bool = False
    default_s: int = 0
    longest_s: int = 0
    needs: tuple[str, ...] = ()


_V = Verdict
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "rescued": Kind("已救助", "rescued", _V.CONFIRMED),
        "safe_at_home": Kind("在家平安", "safe at home", _V.FALSE, "sign_of_life"),
        "away": Kind(
            "外出", "away", _V.FALSE, "absence", True, 3 * DAY_S, 60 * DAY_S, ("until",)
        ),
        "in_hospital": Kind(
            "住院", "in hospital", _V.FALSE, "absence", True, 7 * DAY_S, 90 * DAY_S
        ),
        "power_cut": Kind(
            "停电", "power cut", _V.FALSE, "power_cut", True, 6 * HOUR_S, 2 * DAY_S
        ),
        "meter_fault": Kind(
            "表计故障", "meter fault", _V.FALSE, "maintenance", True, 7 * DAY_S, 30 * DAY_S
        ),
        "refused": Kind("拒绝入户", "refused", _V.UNKNOWN),
        "wrong_address": Kind("地址有误", "wrong address", _V.UNKNOWN),
        "confirmed_violation": Kind("违规属实", "confirmed violation", _V.CONFIRMED),
        "handled": Kind("情况属实，已处置", "true, and dealt with", _V.CONFIRMED),
        "approved_use": Kind(
            "经批准用电", "approved use", _V.FALSE, "approved_test", True,
            DAY_S, 31 * DAY_S, ("until", "kw"),
        ),
        "new_appliance": Kind("新增电器", "new appliance", _V.FALSE, "new_appliance"),
        "duplicate": Kind("重复派单", "duplicate", _V.UNKNOWN),
    }
)  # fmt: skip
"""DOMAIN.md §6, and ``new_appliance`` and ``handled`` (a leak, a quarrel: no rescue, no violation)."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """A time for which a subject is quieted."""

    from_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a gridworker reports of a task.

    ``until_ns`` and ``kw`` as the kind needs them; ``from_ns`` where it began before the visit
    (at most :data:`BACK_S` before).
    """

    kind: str
    until_ns: int | None = None
    kw: float | None = None
    from_ns: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A checked report: the record of the outcome, and the events that carry its effect."""

    outcome: Outcome
    verdict: Verdict
    quiet: Quiet | None
    events: tuple[Event, ...]


def kind_of(name: str) -> Kind:
    """Return the kind of that name.

    Raises
    ------
    OutcomeError
        If there is none; the message lists what there is.
    """
    if name not in KINDS:
        raise OutcomeError(f"outcome {name!r} is unknown; known: {', '.join(KINDS)}")
    return KINDS[name]


def clip(
    quiet: Quiet, longest_s: int, at_ns: int, known: Iterable[Quiet], what: str = "absence"
) -> Quiet:
    """Return the part of a quiet time that the bounds leave; see the module's docstring.

    Parameters
    ----------
    quiet : Quiet
        As declared.
    longest_s : int
        Most that its kind may last.
    at_ns : int
        When it is declared.
    known : iterable of Quiet
        All that quiets, or quieted, the subject already.
    what : str
        For the message.

    Raises
    ------
    OutcomeError
        If nothing is left of it, or it lies too far ahead or back.

    Examples
    --------
    >>> day = 86_400 * NS
    >>> clip(Quiet(0, 400 * day), 60 * 86_400, 0, []).until_ns // day
    60
    >>> clip(Quiet(100 * day, 160 * day), 60 * 86_400, 0, [Quiet(10 * day, 100 * day)]).until_ns // day
    130
    """
    start = quiet.from_ns
    if quiet.until_ns <= start:
        raise OutcomeError(
            f"{what}: ends {stamp(quiet.until_ns)}, before it begins ({stamp(start)}); "
            "give a later end"
        )
    if not at_ns - BACK_S * NS <= start <= at_ns + AHEAD_S * NS:
        raise OutcomeError(
            f"{what}: begins {stamp(start)}; wanted at most {BACK_S // DAY_S} days back "
            f"and {AHEAD_S // DAY_S} days ahead of {stamp(at_ns)}"
        )
    longest = min(quiet.until_ns, start + longest_s * NS)
    others = [*known]
    begin = _connected(others, start, start + 1)[0]
    # The best end is as asked, or fills up the stretch, or leaves a watch before what follows.
    ends = {longest, min(longest, begin + STRETCH_S * NS)}
    ends |= {
        o.from_ns - WATCH_S * NS for o in others if start < o.from_ns <= longest + WATCH_S * NS
    }
    fitting = [end for end in ends if end > start and not _too_long(others, start, end)]
    if not fitting:
        raise OutcomeError(
            f"{what}: with what is known already this home would be quieted for more than "
            f"{STRETCH_S // DAY_S} days on end; look in again, or end an earlier absence first"
        )
    return Quiet(start, max(fitting))


def _too_long(others: list[Quiet], start: int, end: int) -> bool:
    first, last = _connected(others, start, end)
    return last - first > STRETCH_S * NS


def _connected(others: list[Quiet], start: int, end: int) -> tuple[int, int]:
    """Return the stretch around [start, end): everything with gaps shorter than the watch."""
    grown = True
    while grown:
        grown = False
        for other in others:
            near = other.from_ns < end + WATCH_S * NS and start < other.until_ns + WATCH_S * NS
            if near and (other.from_ns < start or other.until_ns > end):
                start, end = min(start, other.from_ns), max(end, other.until_ns)
                grown = True
    return start, end


def find(
    report: Report,
    *,
    outcome_id: str,
    alert_id: str,
    subject_id: str | None,
    place: str,
    at_ns: int,
    by: str,
    known: Iterable[Quiet] = (),
) -> Finding:
    """Check a report and return its records.

    Parameters
    ----------
    report : Report
    outcome_id : str
        Deterministic id; see :func:`outcome_id_of`.
    alert_id, subject_id, place
        Of the task.
    at_ns : int
        When it was found, event time.
    by : str
        Who found it.
    known : iterable of Quiet
        All that quiets the subject already.

    Raises
    ------
    OutcomeError
        If the kind is unknown, needs something that is missing, or breaks the bounds.
    """
    kind = kind_of(report.kind)
    for name, value in (("until", report.until_ns), ("kw", report.kw)):
        if name in kind.needs and value is None:
            raise OutcomeError(f"outcome {report.kind}: {name} is missing; give --{name}")
        if value is not None and not kind.quiets:
            raise OutcomeError(f"outcome {report.kind}: takes no {name}; leave --{name} out")
    if report.kw is not None and not 0 <= report.kw < float("inf"):
        raise OutcomeError(f"outcome {report.kind}: kw must be >= 0, got {report.kw}")
    quiet = None
    if kind.quiets:
        if report.until_ns is not None and report.until_ns <= at_ns:
            raise OutcomeError(
                f"outcome {report.kind}: until {stamp(report.until_ns)} is past "
                f"(now {stamp(at_ns)}); give a later time"
            )
        start = at_ns if report.from_ns is None else min(report.from_ns, at_ns)
        start = max(start, at_ns - BACK_S * NS)
        until = report.until_ns if report.until_ns is not None else at_ns + kind.default_s * NS
        quiet = clip(
            Quiet(start, until), kind.longest_s + (at_ns - start) // NS, at_ns, known, report.kind
        )
    outcome = Outcome(
        outcome_id=outcome_id,
        ts_ns=at_ns,
        alert_id=alert_id,
        subject_id=subject_id,
        kind=report.kind,
        until_ns=quiet.until_ns if quiet else None,
        arrival_ns=at_ns,
        by=by,
    )
    events: tuple[Event, ...] = ()
    if kind.event is not None and subject_id is not None:
        attrs: dict[str, Any] = {"source": f"outcome:{report.kind}"}
        if quiet is not None:
            upper = "until" if kind.event == "absence" else "to"
            attrs |= {"from": stamp(quiet.from_ns), upper: stamp(quiet.until_ns)}
        if report.kw is not None:
            attrs["kw"] = report.kw
        events = (event(outcome_id, kind.event, at_ns, subject_id, place, attrs),)
    return Finding(outcome, kind.verdict, quiet, events)


def event(
    key: str, kind: str, at_ns: int, subject_id: str | None, place: str | None,
    attrs: Mapping[str, Any],
) -> Event:  # fmt: skip
    """Return an event of the log that people caused; its id is a hash of `key` and kind."""
    digest = hashlib.sha256(f"{key}\x1f{kind}".encode()).hexdigest()[:20]
    return Event(
        event_id=f"fb-{digest}",
        ts_ns=at_ns,
        kind=kind,
        subject_id=subject_id,
        place=place or None,
        attrs=dict(attrs),
        arrival_ns=at_ns,
        source="feedback",
    )


def outcome_id_of(task_id: str, count: int) -> str:
    """Return the id of a task's outcome (`count`: reports of that task before this one)."""
    return "o-" + hashlib.sha256(f"outcome\x1f{task_id}\x1f{count}".encode()).hexdigest()[:16]
