"""Silences have an author, a reason and an end."""

from __future__ import annotations

from typing import Any

import pytest

from rules.silences import NS, Silence, SilenceError, silenced_by

DAY = 86_400 * NS


def silence(**changes: Any) -> Silence:
    base: dict[str, Any] = {
        "silence_id": "s1",
        "rules": ("elderly-excess",),
        "from_ns": 0,
        "until_ns": DAY,
        "author": "li",
        "reason": "pipes are being flushed",
    }
    return Silence(**{**base, **changes})


def test_covers_its_rules_within_its_time() -> None:
    one = silence()
    assert one.covers("elderly-excess", "h", "3301", 0)
    assert not one.covers("elderly-excess", "h", "3301", DAY)
    assert not one.covers("elderly-silence", "h", "3301", 0)


def test_covers_a_subject_or_a_place() -> None:
    assert silence(rules=(), subject_id="h").covers("any", "h", "3301", 5)
    assert not silence(rules=(), subject_id="h").covers("any", "g", "3301", 5)
    assert silence(rules=(), place="3301").covers("any", None, "330106", 5)
    assert not silence(rules=(), place="3302").covers("any", None, "330106", 5)


def test_the_longest_is_named() -> None:
    both = [silence(), silence(silence_id="s2", until_ns=2 * DAY)]
    found = silenced_by(both, "elderly-excess", "h", "33", 5)
    assert found is not None
    assert found.silence_id == "s2"
    assert silenced_by(both, "other", "h", "33", 5) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": ()}, "must name"),
        ({"author": " "}, "its author"),
        ({"reason": ""}, "its reason"),
        ({"until_ns": 0}, "must end after it begins"),
        ({"until_ns": 91 * DAY}, "within 90 days, got 91.0 days"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SilenceError, match=message):
        silence(**changes)
