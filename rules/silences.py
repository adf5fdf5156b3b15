"""Silences: somebody keeps some alerts from sending people, for a reason and until a time.

A silence does not touch an alert's life: the alert is recorded, nobody is sent. It always ends,
so that nothing is muted for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NS = 1_000_000_000
SILENCE, SILENCE_ENDED = "silence", "silence_ended"
"""Kinds of the events by which the log learns of silences."""
LONGEST_S = 90 * 86_400
"""A silence that is wanted for longer is a change of the rule, and goes through approval."""


class SilenceError(ValueError):
    """A silence that cannot be; the message says what, got and wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Who silenced what, why and for how long.

    Parameters
    ----------
    silence_id : str
        Its id.
    rules : tuple of str
        Rules; empty: all.
    subject_id, place : str, optional
        A subject, or the beginning of a place code. One of rules, subject_id and place is needed.
    from_ns, until_ns : int
        From when to (not including) when, event time.
    author, reason : str
        Who, and why.

    Raises
    ------
    SilenceError
        If it names nothing, nobody, no reason, or a time that does not end.
    """

    silence_id: str
    from_ns: int
    until_ns: int
    author: str
    reason: str
    rules: tuple[str, ...] = ()
    subject_id: str | None = None
    place: str | None = None

    def __post_init__(self) -> None:
        if not (self.rules or self.subject_id or self.place):
            raise SilenceError("a silence must name rules, a subject or a place, got none of them")
        for what in ("author", "reason"):
            if not getattr(self, what).strip():
                raise SilenceError(f"a silence must have its {what}, got nothing")
        length_s = (self.until_ns - self.from_ns) / NS
        if not 0 < length_s <= LONGEST_S:
            raise SilenceError(
                f"a silence must end after it begins and within {LONGEST_S // 86_400} days, "
                f"got {length_s / 86_400:.1f} days; a longer one is a change of the rule"
            )

    def covers(self, rule: str, subject_id: str | None, place: str, at_ns: int) -> bool:
        """Return whether an alert of that rule, subject and place is silenced at a time."""
        return (
            self.from_ns <= at_ns < self.until_ns
            and (not self.rules or rule in self.rules)
            and (self.subject_id is None or subject_id == self.subject_id)
            and (self.place is None or place.startswith(self.place))
        )


def silenced_by(
    silences: Iterable[Silence], rule: str, subject_id: str | None, place: str, at_ns: int
) -> Silence | None:
    """Return the silence that covers an alert the longest, or None."""
    covering = [s for s in silences if s.covers(rule, subject_id, place, at_ns)]
    return max(covering, key=lambda s: (s.until_ns, s.silence_id), default=None)
