"""Attributes (JSON) of subjects and events: what is read from them must have its shape."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules import permits

Problem: TypeAlias = tuple[str, str, str]
"""(what, got, wanted)"""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of many subjects as one column: a code a row, and what each code stands for.

    Most subjects have nothing, or what a thousand others have, so each is kept once. Code 0 stands
    for no attributes.

    Examples
    --------
    >>> homes = Attributes.of([{}, {"floor": 3}, {"floor": 3}])
    >>> homes[2], len(homes.distinct)
    ({'floor': 3}, 2)
    """

    code: NDArray[np.unsignedinteger[Any]]
    """Index into `distinct`, shape (n,), in as few bytes as that takes."""
    distinct: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        narrow = self.code.astype(np.min_scalar_type(max(len(self.distinct) - 1, 0)))
        object.__setattr__(self, "code", narrow)

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Attributes:
        """Return the column of these rows."""
        found: dict[str, int] = {"{}": 0}
        distinct: list[Mapping[str, Any]] = [{}]
        code = np.zeros(len(rows), np.uint32)
        for i, row in enumerate(rows):
            key = json.dumps(row, sort_keys=True)
            if key not in found:
                found[key] = len(distinct)
                distinct.append(row)
            code[i] = found[key]
        return cls(code, tuple(distinct))

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        return self.distinct[self.code[row]]

    def take(self, rows: NDArray[Any]) -> Attributes:
        """Return the column of some rows, with only what they need."""
        used, code = np.unique(np.append(0, self.code[rows]), return_inverse=True)
        return Attributes(
            code[1:].astype(np.uint32), tuple(self.distinct[i] for i in used.tolist())
        )

    def where(self, holds: Callable[[Mapping[str, Any]], bool]) -> NDArray[np.bool_]:
        """Return for which rows a condition on their attributes holds, shape (n,)."""
        return np.array([holds(one) for one in self.distinct], bool)[self.code]

    def rows_with(self, names: frozenset[str]) -> NDArray[np.int64]:
        """Return the rows that have one of these attributes, ascending."""
        return np.flatnonzero(self.where(lambda attrs: not names.isdisjoint(attrs)))

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return self.code.nbytes


def parse_attrs(text: str | None) -> tuple[dict[str, Any], Problem | None]:
    """Parse a JSON object; nothing at all is an empty one.

    Examples
    --------
    >>> parse_attrs('{"kw": 3}')
    ({'kw': 3}, None)
    """
    if text is None or not text.strip():
        return {}, None
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return {}, (f"is not JSON ({error})", text, "a JSON object")
    if not isinstance(value, dict):
        return {}, ("is not a JSON object", text, "a JSON object")
    return value, None


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON number")


def check_subject(kind: str, attrs: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the attributes of a subject.

    Unknown attributes are accepted; those that detectors read must have their shape.
    """
    problems: list[Problem] = []
    if "closed_on" in attrs:
        _date(attrs, "closed_on", problems)
    elif kind == "closed_plant":
        problems.append(("closed_on is missing", json.dumps(dict(attrs)), "the date of the order"))
    if "permitted_kw" in attrs:
        _amount(attrs, "permitted_kw", problems)
    windows = attrs.get("permitted_windows", [])
    if not isinstance(windows, list):
        problems.append(("permitted_windows is not a list", _show(windows), "a list of windows"))
        return problems
    for i, window in enumerate(windows):
        where = f"permitted_windows[{i}]"
        if not isinstance(window, dict):
            problems.append(
                (f"{where} is not an object", _show(window), "from, to, days, hours, kw")
            )
            continue
        problems += [(f"{where}.{w}", g, a) for w, g, a in _check_window(window)]
    # What the rules would pass over in silence is a mistake in the file, too.
    return problems or [_parted(text) for text in permits.problems(attrs)]


def _parted(text: str) -> Problem:
    what, _, rest = text.partition(": got ")
    got, _, wanted = rest.partition(", wanted ")
    return what, got, wanted


def _check_window(window: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    first, last = _date(window, "from", problems), _date(window, "to", problems)
    if first and last and last < first:
        problems.append(("to is before from", str(last), f"{first} or later"))
    days = window.get("days", [1])
    if not (isinstance(days, list) and days and all(type(d) is int and 1 <= d <= 7 for d in days)):
        problems.append(("days is not valid", _show(days), "a list of 1 (Monday) … 7"))
    hours = window.get("hours", ["00:00", "24:00"])
    good = isinstance(hours, list) and len(hours) == 2 and all(map(_is_hour, hours))
    if not good or hours[0] == hours[1]:
        problems.append(("hours is not valid", _show(hours), 'two times, e.g. ["07:00", "18:00"]'))
    _amount(window, "kw", problems)
    if unknown := sorted(set(window) - {"from", "to", "days", "hours", "kw"}):
        problems.append((f"{unknown[0]} is not known", unknown[0], "from, to, days, hours, kw"))
    return problems


def _is_hour(value: Any) -> bool:
    if value == "24:00":
        return True
    try:
        return isinstance(value, str) and len(value) == 5 and time.fromisoformat(value) is not None
    except ValueError:
        return False


def _date(attrs: Mapping[str, Any], name: str, problems: list[Problem]) -> date | None:
    value = attrs.get(name)
    try:
        if isinstance(value, str):
            return date.fromisoformat(value)
    except ValueError:
        pass
    problems.append((f"{name} is not a date", _show(value), "a date, e.g. 2024-06-30"))
    return None


def _amount(attrs: Mapping[str, Any], name: str, problems: list[Problem]) -> None:
    value: Any = attrs.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        problems.append((f"{name} is not valid", _show(value), "a number of kW, 0 or more"))


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
