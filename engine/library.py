"""Rules and calendars from disk: the shipped ones, or a folder of the user's."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from rules.calendar import Calendars, load_calendars
from rules.loader import load
from rules.model import Budget, RuleSet, rule_set


class LibraryError(ValueError):
    """Rules cannot be read from where they were said to be."""


class BudgetError(LibraryError):
    """A budget was given that cannot be set."""


def rule_files(path: Path | None, what: str = "rule files") -> dict[str, str]:
    """Return file name → text of all rule files of a folder (None: the shipped library).

    Raises
    ------
    LibraryError
        If the folder or a file cannot be read, or holds no rules.
    """
    if path is None:
        return shipped("library")
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
    else:
        raise LibraryError(f"{path}: no such folder; give a folder with {what} (*.yaml)")
    if not found:
        raise LibraryError(f"{path}: holds no {what} (*.yaml)")
    texts: dict[str, str] = {}
    for file in found:
        try:
            texts[str(file)] = file.read_text(encoding="utf-8")
        except OSError as error:
            raise LibraryError(f"{file}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise LibraryError(
                f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8"
            ) from None
    return texts


def shipped(folder: str) -> dict[str, str]:
    """Return file name → text of the YAML files that a folder of the package `rules` holds."""
    inside = resources.files("rules").joinpath(folder)
    names = sorted(f.name for f in inside.iterdir() if f.name.endswith(".yaml"))
    return {f"rules/{folder}/{n}": inside.joinpath(n).read_text(encoding="utf-8") for n in names}


def rules(path: Path | None, budgets: Mapping[str, float] | None = None) -> RuleSet:
    """Return the rules of a folder (None: shipped), with budgets of some replaced.

    Raises
    ------
    RuleErrors
        With all problems of all files.
    BudgetError
        If a budget names a rule that is not there or has none, or is no number above 0.
    """
    return with_budgets(load(rule_files(path)), budgets or {})


def with_budgets(found: RuleSet, budgets: Mapping[str, float]) -> RuleSet:
    """Return rules with the budgets of some replaced.

    Raises
    ------
    BudgetError
        If a budget names a rule that is not there or has none, or is no number above 0.
    """
    if not budgets:
        return found
    changed = []
    unknown = sorted(set(budgets) - {r.name for r in found})
    if unknown:
        names = ", ".join(r.name for r in found)
        raise BudgetError(f"budget of {unknown[0]}: no such rule; there are: {names}")
    for rule in found:
        amount = budgets.get(rule.name)
        if amount is None:
            changed.append(rule)
            continue
        if rule.budget is None:
            raise BudgetError(f"budget of {rule.name}: this rule has no budget to set")
        if not 0 < amount < math.inf:
            raise BudgetError(f"budget of {rule.name}: got {amount:g}, wanted a number above 0")
        budget = Budget(float(amount), rule.budget.scope)
        changed.append(replace(rule, budget=budget).with_version())
    return rule_set(changed, found.suspicious)


def calendars(path: Path | None = None) -> Calendars:
    """Return the shipped calendars, and those of a folder; a file there replaces its namesake.

    Raises
    ------
    RuleErrors
        With all problems of all files.
    LibraryError
        If the folder or a file cannot be read, or holds no calendars.
    """
    files = shipped("calendars")
    if path is not None:
        own = rule_files(path, "calendars")
        names = {Path(name).name for name in own}
        files = {n: text for n, text in files.items() if Path(n).name not in names} | own
    return load_calendars(files)


AHEAD = dt.timedelta(days=30)
"""How long before it begins a year belongs to those at hand."""


def missing_years(known: Calendars, country: str, today: dt.date) -> list[int]:
    """Return the years at hand for which there is no calendar: this one, and in December the next.

    >>> missing_years(Calendars({}), "CN", dt.date(2026, 12, 5))
    [2026, 2027]
    """
    years = sorted({today.year, (today + AHEAD).year})
    return [year for year in years if not known.known(country, year)]
