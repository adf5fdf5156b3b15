"""Short notation of series in rule tests: ``0.3x48 0x20 _x3``.

=============== ==============================================================================
``0.3``         one value
``_``           one missing value
``0.3x48``      48 times the same
``1+0.5x4``     four values, each 0.5 more: 1 1.5 2 2.5 (``1-0.5x4`` falls)
``0.3~0.1x48``  48 values within 0.1 of 0.3, drawn from the series' own name: always the same
``(0 0.2)x12``  a group, 12 times
``{day}x28``    a pattern of the test file, 28 times
=============== ==============================================================================

Unlike promtool's, the count is the number of values.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

MAX_LENGTH = 200_000
MAX_DEPTH = 5
_NUMBER = r"[-+]?\d{1,12}(?:\.\d{1,12})?"
_ITEM = re.compile(
    rf"(?:(?P<value>{_NUMBER})(?P<step>[-+]\d{{1,12}}(?:\.\d{{1,12}})?)?"
    r"(?:~(?P<noise>\d{1,12}(?:\.\d{1,12})?))?"
    r"|(?P<missing>_)|(?P<open>\()|(?P<close>\))|\{(?P<name>[a-z][a-z0-9_]*)\})"
    r"(?:x(?P<count>\d{1,6}))?",
    re.ASCII,
)


class SeriesError(ValueError):
    """Text that is no series; ``offset`` counts characters from its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class _Run:
    """Values in a row: value + i·step ± noise."""

    value: float
    step: float
    noise: float
    count: int


_Group: TypeAlias = "tuple[list[_Run | _Group], int]"


def expand(text: str, patterns: Mapping[str, str] | None = None, seed: str = "") -> list[float]:
    """Return the values of a series; missing ones are NaN.

    Raises
    ------
    SeriesError
        If the text is no series, or too long.

    >>> expand("0.3x2 _ (1 2)x2")
    [0.3, 0.3, nan, 1.0, 2.0, 1.0, 2.0]
    >>> expand("5-2x3")
    [5.0, 3.0, 1.0]
    """
    runs = _runs(text, patterns or {}, 0)
    values: list[float] = []
    for run in runs:
        for i in range(run.count):
            noise = run.noise * _draw(seed, len(values)) if run.noise else 0.0
            values.append(run.value + i * run.step + noise)
    return values


def _runs(text: str, patterns: Mapping[str, str], depth: int) -> list[_Run]:
    """Return the runs of a series, groups and patterns unrolled."""
    stack: list[tuple[list[_Run], int]] = [([], 0)]
    at, end = 0, len(text.rstrip())
    while at < end:
        at += len(text[at:end]) - len(text[at:end].lstrip())
        match = _ITEM.match(text, at)
        after = match.end() if match else at
        if match is None or not (match["open"] or (text[after:end] + " ")[0] in " \t\n()"):
            raise SeriesError(f'cannot read "{text[at:end].split()[0][:20]}"', at)
        count = int(match["count"]) if match["count"] else 1
        if match["open"]:
            if match["count"]:
                raise SeriesError("a count stands after the bracket's end", at)
            if len(stack) > MAX_DEPTH:
                raise SeriesError("nested too deeply", at)
            stack.append(([], at))
        elif match["close"]:
            if len(stack) == 1:
                raise SeriesError('")" without "("', at)
            group, _ = stack.pop()
            stack[-1][0].extend(_times(group, count, at))
        elif match["name"]:
            stack[-1][0].extend(_times(_pattern(match["name"], patterns, depth, at), count, at))
        else:
            value = math.nan if match["missing"] else float(match["value"])
            step, noise = float(match["step"] or 0), float(match["noise"] or 0)
            stack[-1][0].append(_Run(value, step, noise, count))
        at = after
    if len(stack) > 1:
        raise SeriesError('"(" is never closed', stack[-1][1])
    _times(stack[0][0], 1, 0)
    return stack[0][0]


def _pattern(name: str, patterns: Mapping[str, str], depth: int, at: int) -> list[_Run]:
    if name not in patterns:
        raise SeriesError(f'unknown pattern "{name}"', at)
    if depth >= MAX_DEPTH:
        raise SeriesError("patterns go round in a circle", at)
    try:
        return _runs(patterns[name], patterns, depth + 1)
    except SeriesError as error:
        raise SeriesError(f'in pattern "{name}": {error}', at) from None


def _times(runs: list[_Run], count: int, at: int) -> list[_Run]:
    if sum(run.count for run in runs) * count > MAX_LENGTH or len(runs) * count > MAX_LENGTH:
        raise SeriesError(f"more than {MAX_LENGTH} values", at)
    return runs * count


def _draw(seed: str, index: int) -> float:
    """Return a number in [-1, 1) that belongs to (seed, index)."""
    digest = hashlib.blake2b(f"{seed}\x1f{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**63 - 1.0
