"""Place codes: one configurable layout, so that everything speaks of the same spot.

The published layouts conflict (DOMAIN.md §7), so the widths and names of the levels are
configuration. A place code is a string of digits; a place's parent is a prefix of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class PlaceError(ValueError):
    """A place code does not fit the configured layout."""


@dataclass(frozen=True, slots=True)
class PlaceLayout:
    """How a place code is read.

    Parameters
    ----------
    widths : sequence of int
        Digits of each level, from the top.
    levels : sequence of str
        Name of each level.
    shard_level : str
        Whole places of this level stay together in one shard.

    Examples
    --------
    >>> layout = PlaceLayout()
    >>> layout.at("330106001002003", "community")
    '330106001002'
    >>> layout.level("330106001")
    'street'
    >>> layout.parent("330106001")
    '330106'
    """

    widths: Sequence[int] = (6, 3, 3, 3)
    levels: Sequence[str] = ("county", "street", "community", "grid")
    shard_level: str = "community"

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.levels) or not self.widths:
            raise PlaceError(
                f"place layout: {len(self.widths)} widths for {len(self.levels)} levels; "
                "give each level one width"
            )
        if self.shard_level not in self.levels:
            raise PlaceError(
                f"place layout: shard_level {self.shard_level!r} is none of {', '.join(self.levels)}"
            )

    def length(self, level: str) -> int:
        """Return how many digits a code of that level has."""
        return sum(self.widths[: self.levels.index(level) + 1])

    def at(self, code: str, level: str) -> str:
        """Return the ancestor of `code` at `level` (or `code` itself where it is shorter)."""
        return code[: self.length(level)]

    def level(self, code: str) -> str:
        """Return the name of the level of `code`.

        Codes longer than the layout (a building, a unit) are ``unit``.

        Raises
        ------
        PlaceError
            If the code is not digits, or ends in the middle of a level.
        """
        if not code.isdigit():
            raise PlaceError(f"place {code!r}: wanted digits only")
        total = 0
        for width, level in zip(self.widths, self.levels, strict=True):
            total += width
            if len(code) == total:
                return level
        if len(code) > total:
            return "unit"
        raise PlaceError(
            f"place {code!r}: {len(code)} digits end inside a level; "
            f"the layout is {'-'.join(map(str, self.widths))}"
        )

    def parent(self, code: str) -> str | None:
        """Return the code one level up, or None at the top."""
        lengths = [self.length(level) for level in self.levels]
        shorter = [n for n in lengths if n < len(code)]
        return code[: shorter[-1]] if shorter else None

    def shard_key(self, code: str) -> str:
        """Return the place that decides the shard of `code`."""
        return self.at(code, self.shard_level)


@dataclass(frozen=True, slots=True)
class PlaceTree:
    """Names of places; the tree itself comes from the codes.

    Parameters
    ----------
    layout : PlaceLayout
        How codes are read.
    names : mapping of str to str
        Code → name, for people.
    """

    layout: PlaceLayout
    names: Mapping[str, str]

    def name(self, code: str) -> str:
        """Return the place's name, or its code where nobody named it."""
        return self.names.get(code, code)

    def path(self, code: str) -> list[str]:
        """Return the codes from the top down to `code`."""
        found = [code]
        while (up := self.layout.parent(found[-1])) is not None:
            found.append(up)
        return found[::-1]
