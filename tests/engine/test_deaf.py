"""Rules that hear nobody are told with the reason."""

from __future__ import annotations

import pytest

from engine import library
from engine.deaf import deaf
from engine.registry import Registry
from engine.ruletest import registry_of
from rules.model import rule_set
from rules.unittest import parse

SHIPPED = library.rules(None)


def town(kind: str, utility: str, interval: str) -> Registry:
    (case,) = parse({"t.yaml": f"""
rules: water-leak
subjects: {{a: {kind}}}
tests:
  - name: a town
    meters: {{m: {{values: 1x3, utility: {utility}, interval: {interval}}}}}
    expect: []
"""})  # fmt: skip
    return registry_of(case)


def told(name: str, registry: Registry, *, asked: bool = False) -> list[str]:
    return deaf(rule_set([SHIPPED[name]]), registry, asked=asked)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")


@pytest.mark.parametrize(
    ("name", "town_of", "why"),
    [
        ("water-leak", ("home", "electricity", "1h"), "1 subject, but it has no meter of water"),
        ("water-leak", ("home", "water", "2h"), "meters come every 120 min, detector excess wants at most 60"),
        ("water-leak", ("home", "water", "15m"), None),
        ("water-leak", ("air_sensor", "water", "1h"), None),
    ],
)  # fmt: skip
def test_why_a_rule_hears_nobody(name: str, town_of: tuple[str, str, str], why: str | None) -> None:
    lines = told(name, town(*town_of))
    assert [f"{name}: {why}" in line for line in lines] == ([] if why is None else [True])


def test_kinds_that_are_not_there_are_told_of_rules_that_were_asked_for() -> None:
    (line,) = told("elderly-silence", town("home", "water", "1h"), asked=True)
    assert line == "no subject of these kinds: elderly-silence (elderly_alone)"


def test_it_is_said_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "zh")
    (line,) = told("water-leak", town("home", "electricity", "1h"))
    assert line == "water-leak: 有 1 个对象，但都没有 water 仪表"
