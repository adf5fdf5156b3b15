"""What is wrong with rule files: all of it at once, each with its place and a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong (or, as a warning, suspicious) in a rule file.

    ``line`` and ``column`` count from 1. ``got`` and ``wanted`` are as short as they can be;
    ``hint`` is what to do next; ``warning``: legal all the same.
    """

    file: str
    line: int
    column: int
    message: str
    rule: str = ""
    got: str = ""
    wanted: str = ""
    hint: str = ""
    warning: bool = False
    what: str = "rule"
    """What ``rule`` names: a rule, or a test of rules."""

    def __str__(self) -> str:
        """Return ``file:line:column: [warning: ]rule "x": message; got …; wanted …; hint``."""
        about = "warning: " if self.warning else ""
        about += f'{self.what} "{self.rule}": ' if self.rule else ""
        parts = [f"{about}{self.message}"]
        if self.got:
            parts.append(f"got {self.got}")
        if self.wanted:
            parts.append(f"wanted {self.wanted}")
        if self.hint:
            parts.append(self.hint)
        return f"{self.file}:{self.line}:{self.column}: " + "; ".join(parts)


class RuleErrors(ValueError):  # noqa: N818 - several errors, hence the plural
    """Rule files that cannot be used; ``problems`` has every one of them, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "…"?`` for the nearest known word, or nothing.

    >>> suggest("kindz", ["kinds", "attrs"])
    'did you mean "kinds"?'
    """
    near = difflib.get_close_matches(word[:64], sorted(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def listing(known: Iterable[str], most: int = 12) -> str:
    """Return known words for a message, cut short where there are many."""
    words = sorted(known)
    more = f" … ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + more if words else "none"


def shown(value: object, most: int = 60) -> str:
    """Return a value for a message: quoted, on one line, cut short."""
    text = str(value)
    cut = text[:most] + ("…" if len(text) > most else "")
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut) + '"'
