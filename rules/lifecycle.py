"""The life of an alert over event time: pending → firing → resolved or cancelled.

A :class:`Life` is plain integers, one per (rule, subject) that is not idle. It moves by two
functions: :func:`observe` when a slot or event says something new, and :func:`advance` when time
alone has passed. Both return the changes with the exact event time they stand for, so that the
result does not depend on when, or in how many steps, the caller asks.

Two things hold throughout: no data never resolves (an unknown `holds` stops the clock that runs
towards the end), and a pending alert that does not come to fire was never there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from rules.alerts import Level
from rules.model import BY_URGENCY, URGENCY, Rule

NS = 1_000_000_000
NEVER = 2**63 - 1
"""Deadline of a life that nothing but data can move."""


class Phase(IntEnum):
    """Where a life stands. CLEARING is firing whose end has begun to count down."""

    IDLE = 0
    PENDING = 1
    FIRING = 2
    CLEARING = 3


class Kind(StrEnum):
    """What a change is."""

    RAISED = "raised"
    LEVEL = "level"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class Change(NamedTuple):
    """One exported change; ``cause`` says what moved it (``for``, ``data``, a label of `unless`)."""

    kind: Kind
    at_ns: int
    level: Level
    cause: str


@dataclass(frozen=True, slots=True)
class Timing:
    """What of a rule is about time: nanoseconds, and levels as urgencies.

    ``promotions`` are (to, after); ``downgrades`` map a level to (to, after).
    """

    for_ns: int
    keep_ns: int
    base: int
    promotions: tuple[tuple[int, int], ...]
    downgrades: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, rule: Rule) -> Timing:
        """Return the timing of a rule."""
        return cls(
            rule.for_s * NS,
            rule.keep_firing_for_s * NS,
            URGENCY[rule.level],
            tuple((URGENCY[p.to], p.after_s * NS) for p in rule.promotions),
            {URGENCY[d.from_]: (URGENCY[d.to], d.after_s * NS) for d in rule.downgrades},
        )


class Life(NamedTuple):
    """State of one rule on one subject; integers only, so a snapshot is a row.

    Parameters
    ----------
    phase : int
        :class:`Phase`.
    onset_ns : int
        Onset of the episode that the alert is about; kept while it fires.
    met_ns : int
        Since when `when` is met, less the time that nobody could see (pending).
    raised_ns : int
        When it was raised.
    clear_ns : int
        Since when `hold` is false (clearing), or since when nothing is known (pending, blind).
    seen_ns : int
        Time of the last observation; nothing happens before it.
    blind : int
        1 while the last word was "unknown": the countdown stands still.
    blocked : int
        1 while an `unless` keeps a pending alert from firing.
    level : int
        Urgency of the present level.
    unwarranted_ns : int
        Since when nothing warrants the present level; −1 while something does.
    promotions : int
        Bit i: the condition of promotion i held when last looked at.
    """

    phase: int = 0
    onset_ns: int = 0
    met_ns: int = 0
    raised_ns: int = 0
    clear_ns: int = 0
    seen_ns: int = 0
    blind: int = 0
    blocked: int = 0
    level: int = 0
    unwarranted_ns: int = -1
    promotions: int = 0

    @property
    def firing(self) -> bool:
        """Whether an alert is out."""
        return self.phase >= Phase.FIRING

    def deadline_ns(self, timing: Timing) -> int:
        """Return when time alone will move this life; :data:`NEVER` if it will not."""
        return _next(timing, self)[0]


IDLE = Life()
"""A life that has nothing to tell; need not be kept."""


class Observation(NamedTuple):
    """What is known of a rule on a subject at one moment.

    Parameters
    ----------
    met : bool or None
        `when` is true, false, or cannot be told.
    holds : bool or None
        `hold` is true, false, or cannot be told.
    onset_ns : int
        Onset of the present episode.
    blocked : bool
        An `unless` applies: nothing new is raised.
    refuted : bool
        What raised the alert turned out wrong (a late reading), or is explained (a context): a
        firing alert is cancelled, a pending one forgotten.
    promotions : int
        Bit i: the condition of promotion i holds.
    cause : str
        What a change that follows is put down to.
    """

    met: bool | None
    holds: bool | None
    onset_ns: int
    blocked: bool = False
    refuted: bool = False
    promotions: int = 0
    cause: str = "data"


def observe(timing: Timing, life: Life, at_ns: int, seen: Observation) -> tuple[Life, list[Change]]:
    """Work off deadlines before `at_ns`, take in what is seen then, and work off what is due.

    >>> timing = Timing(for_ns=2, keep_ns=0, base=1, promotions=(), downgrades={})
    >>> life, changes = observe(timing, IDLE, 10, Observation(True, True, 9))
    >>> changes, life.deadline_ns(timing)
    ([], 12)
    >>> life, changes = advance(timing, life, 20)
    >>> [(str(c.kind), c.at_ns) for c in changes]
    [('raised', 12)]
    """
    at_ns = max(at_ns, life.seen_ns)
    changes: list[Change] = []
    life = _work_off(timing, life, at_ns - 1, changes)
    if life.firing:
        life = _look_at_firing(timing, life, at_ns, seen, changes)
    else:
        life = _look_at_pending(timing, life, at_ns, seen)
    return _work_off(timing, life, at_ns, changes), changes


def advance(timing: Timing, life: Life, to_ns: int) -> tuple[Life, list[Change]]:
    """Work off all deadlines up to and including `to_ns`, each at its own time."""
    changes: list[Change] = []
    return _work_off(timing, life, to_ns, changes), changes


def _look_at_pending(timing: Timing, life: Life, at_ns: int, seen: Observation) -> Life:
    if seen.refuted or seen.met is False:
        return IDLE
    if seen.met is None:
        # Time that nobody saw does not count towards `for`: the clock stops until data is back.
        if life.phase == Phase.IDLE:
            return IDLE
        since = life.clear_ns if life.blind else at_ns
        return life._replace(blind=1, clear_ns=since, seen_ns=at_ns)
    if life.phase == Phase.IDLE:
        life = Life(phase=Phase.PENDING, met_ns=at_ns, level=timing.base)
    elif life.blind:
        life = life._replace(met_ns=life.met_ns + at_ns - life.clear_ns, blind=0)
    # Before it fires an alert has no identity: it is about the newest episode.
    return life._replace(
        onset_ns=seen.onset_ns,
        blocked=int(seen.blocked),
        promotions=seen.promotions,
        seen_ns=at_ns,
    )


def _look_at_firing(
    timing: Timing, life: Life, at_ns: int, seen: Observation, changes: list[Change]
) -> Life:
    if seen.refuted:
        changes.append(Change(Kind.CANCELLED, at_ns, BY_URGENCY[life.level], seen.cause))
        return IDLE
    if seen.holds is None:
        return life._replace(blind=1, seen_ns=at_ns)
    if seen.holds:
        life = life._replace(phase=Phase.FIRING, clear_ns=0)
    elif life.phase == Phase.FIRING:
        life = life._replace(phase=Phase.CLEARING, clear_ns=at_ns)
    life = life._replace(blind=0, seen_ns=at_ns, promotions=seen.promotions)
    if _warranted(timing, life, at_ns) >= life.level:
        return life._replace(unwarranted_ns=-1)
    return life._replace(unwarranted_ns=at_ns if life.unwarranted_ns < 0 else life.unwarranted_ns)


def _warranted(timing: Timing, life: Life, at_ns: int) -> int:
    """Return the most urgent level that base and promotions warrant."""
    level = timing.base
    for i, (to, after) in enumerate(timing.promotions):
        if life.promotions >> i & 1 and at_ns - life.raised_ns >= after:
            level = max(level, to)
    return level


class _Due(IntEnum):
    """Kinds of deadline, in the order in which those of one moment are worked off."""

    FIRE = 0
    PROMOTE = 1
    DOWNGRADE = 2
    RESOLVE = 3
    NONE = 4


def _next(timing: Timing, life: Life) -> tuple[int, _Due]:
    """Return the next deadline and its kind; one that was held up is due when it was let go."""
    found: list[tuple[int, _Due]] = []
    if life.phase == Phase.PENDING:
        if not (life.blocked or life.blind):
            found.append((life.met_ns + timing.for_ns, _Due.FIRE))
    elif life.firing:
        for i, (to, after) in enumerate(timing.promotions):
            if life.promotions >> i & 1 and to > life.level:
                found.append((life.raised_ns + after, _Due.PROMOTE))
        if not life.blind:
            if life.unwarranted_ns >= 0 and life.level in timing.downgrades:
                after = timing.downgrades[life.level][1]
                found.append((life.unwarranted_ns + after, _Due.DOWNGRADE))
            if life.phase == Phase.CLEARING:
                found.append((life.clear_ns + timing.keep_ns, _Due.RESOLVE))
    if not found:
        return NEVER, _Due.NONE
    return min((max(due, life.seen_ns), kind) for due, kind in found)


def _work_off(timing: Timing, life: Life, to_ns: int, changes: list[Change]) -> Life:
    while True:
        at, kind = _next(timing, life)
        if at > to_ns or kind == _Due.NONE:
            return life
        before = life.level
        if kind == _Due.FIRE:
            life = life._replace(phase=Phase.FIRING, raised_ns=at, clear_ns=0)
            life = life._replace(level=_warranted(timing, life, at))
            cause = "for" if timing.for_ns else "data"
            changes.append(Change(Kind.RAISED, at, BY_URGENCY[life.level], cause))
        elif kind == _Due.PROMOTE:
            life = life._replace(level=_warranted(timing, life, at), unwarranted_ns=-1)
            changes.append(Change(Kind.LEVEL, at, BY_URGENCY[life.level], "promotion"))
        elif kind == _Due.DOWNGRADE:
            warranted = _warranted(timing, life, at)
            level = max(timing.downgrades[life.level][0], warranted)
            life = life._replace(level=level, unwarranted_ns=at if level > warranted else -1)
            if level != before:
                changes.append(Change(Kind.LEVEL, at, BY_URGENCY[level], "downgrade"))
        else:
            changes.append(Change(Kind.RESOLVED, at, BY_URGENCY[life.level], "data"))
            return IDLE
