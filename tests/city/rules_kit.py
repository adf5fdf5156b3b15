"""Versions of the rules for a town under watch, and how they get into its logs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from connectors.records import Activation
from engine import library
from engine.store import Store
from engine.store.activations import Announced
from rules.loader import load

HOUR_NS = 3_600 * 10**9
BUDGETS = {"elderly-silence": 52.0}
SHIPPED = library.shipped("library")
SILENCE = "rules/library/elderly-silence.yaml"


def at(text: str) -> int:
    """Return a moment in nanoseconds."""
    return round(datetime.fromisoformat(text).timestamp() * 1e3) * 10**6


def version(
    change: tuple[str, str] = ("", ""), at_ns: int = 0, drop: str = "", **budgets: float
) -> Activation:
    """Return the shipped rules with a change of one rule, without another, and other budgets."""
    files = {name: text for name, text in SHIPPED.items() if not drop or drop not in name}
    assert change[0] in files[SILENCE]
    files[SILENCE] = files[SILENCE].replace(*change)
    asked = BUDGETS | {k.replace("_", "-"): v for k, v in budgets.items()}
    found = library.with_budgets(load(files), asked).version
    return Activation(found, files, "ann, approved by bob", at_ns, asked)


def changes() -> list[Activation]:
    """Return what happens to the rules of the town: five versions, two of them on one day."""
    shadow = ("level: orange\n", "level: orange\nshadow: true\n")
    return [
        version(("没有任何", "没有一点"), at("2026-03-08T03:17:00.500Z"), elderly_silence=120.0),
        version(("[elderly_alone]", "[elderly_alone, home]"), at("2026-03-10T00:00:00Z")),
        version(at_ns=at("2026-03-10T13:30:00Z"), drop="non-police", elderly_silence=80.0),
        version(shadow, at("2026-03-14T07:30:00.250Z")),
        version(at_ns=at("2026-03-15T23:59:59.900Z")),  # back to what the city began with
    ]


def no_guard(_: Connection) -> None:
    """Stand for a lease that holds."""


def announced(store: Store, rules: list[Activation], *, tell: bool = True) -> list[Announced]:
    """Write rules down as a gateway does, to hold at their times."""
    found = []
    for one in rules:
        made = store.activations.decide(one, no_guard)
        assert made is not None
        if tell:
            assert store.activations.tell(made.seq, one.arrival_ns, no_guard)
        found.append(replace(made, record=one))
    return found
