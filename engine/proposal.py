"""What a proposal of rules takes away: the rules in force that it lacks.

Told by `gridwarden rules propose | approve` and by the console's page, before somebody approves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine import library
from engine.store.versions import RuleVersion
from rules.loader import load
from rules.problems import RuleErrors


def files_in_force(active: RuleVersion | None, begins_with: Path | None) -> dict[str, str]:
    """Return file name → text of the rules in force.

    Parameters
    ----------
    active : RuleVersion or None
        What the store says is in force; None: nothing has run yet.
    begins_with : Path or None
        The folder that a site begins with then, as its configuration says; None: the shipped rules.

    Raises
    ------
    LibraryError
        If that folder cannot be read.
    """
    return dict(active.rules) if active else library.rule_files(begins_with)


def leaving(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names of rules in `before` that `after` lacks: a version replaces all rules.

    None are told where either cannot be read, as files kept by an older program may be: whoever
    wants to put them in force hears why they cannot.
    """
    old, new = (_names(tuple(sorted(files.items()))) for files in (before, after))
    return [] if old is None or new is None else sorted(old - new)


@lru_cache(maxsize=16)
def _names(files: tuple[tuple[str, str], ...]) -> frozenset[str] | None:
    """Remembered, because a page asks every few seconds."""
    try:
        return load(dict(files)).names
    except RuleErrors:
        return None


__all__ = ["files_in_force", "leaving"]
