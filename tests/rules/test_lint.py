"""Warnings for rules that can never fire, that others cover, and that go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from rules.loader import load
from tests.rules.kit import KNOWN, document, dump


def warnings(*rules: dict[str, Any]) -> list[str]:
    return list(load({"rule.yaml": dump({"rules": list(rules)})}, KNOWN).warnings)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"when": "false && silence.due"}, "`false`"),
        ({"when": "silence.due && silence.evidence > 3.0 && silence.evidence < 2"}, "no value of `silence.evidence`"),
        ({"when": "silence.due && now.hour > 23"}, "no value of `now.hour`"),
        ({"when": "silence.due && now.hour >= 24"}, "no value of `now.hour`"),
        ({"when": "silence.due && 1.5 < silence.p_value"}, "no value of `silence.p_value`"),
        ({"when": "silence.due && silence.evidence < -1.0 && silence.evidence == 0.0"}, "no value"),
        ({"when": "silence.due && !silence.due"}, "`silence.due` and its opposite"),
        ({"when": "silence.due && context.absent", "unless": ["absent"]}, "also in unless"),
        ({"when": "silence.due && now.hour < 6", "unless": ["now.hour < 6"]}, "also in unless"),
    ],
)  # fmt: skip
def test_never_fires(changes: dict[str, Any], reason: str) -> None:
    (line,) = warnings(document(**changes))
    assert "it can never fire" in line
    assert reason in line


@pytest.mark.parametrize(
    "when",
    [
        "silence.due && silence.evidence > 2.0 && silence.evidence < 3.0",
        "silence.due && now.hour >= 23",
        "silence.due && silence.evidence >= 2.0 && silence.evidence <= 2.0",
        "silence.due || false",
        "silence.due && (now.hour > 22 || now.hour < 6)",
        "silence.due && silence.urgency > -1",
    ],
)
def test_might_fire(when: str) -> None:
    assert warnings(document(when=when)) == []


def test_shadowed() -> None:
    wide = document(name="a-wide", inhibits=["b-narrow"])
    narrow = document(
        name="b-narrow", when="silence.due && now.hour > 6", subjects={"kinds": ["elderly_alone"]}
    )
    (line,) = warnings(wide, narrow)
    assert 'rule "b-narrow": it is shadowed: "a-wide" fires whenever it would' in line


def test_shadowed_by_its_own_exception() -> None:
    assert (
        "shadowed" in warnings(document(name="b"), document(name="a", unless=[{"alert": "b"}]))[0]
    )


def test_the_same_rule_twice() -> None:
    assert "shadowed" in warnings(document(name="a"), document(name="b", level="red"))[0]


@pytest.mark.parametrize(
    "other",
    [
        {"subjects": {"kinds": ["rental"]}},
        {"subjects": {"kinds": ["elderly_alone"], "places": ["3301"]}},
        {"for": "1h"},
        {"when": "silence.due && now.hour > 12"},
        {"signals": {"silence": {"detector": "quiet", "params": {"water_l": 2}}}},
        {"unless": ["absent"]},
        {"shadow": True},
    ],
)
def test_not_shadowed_by_what_is_narrower_or_other(other: dict[str, Any]) -> None:
    wide = document(name="a-wide", inhibits=["b-narrow"], **other)
    assert warnings(wide, document(name="b-narrow")) == []


def test_without_a_route() -> None:
    assert "it has no route" in warnings(document(route=None))[0]
    assert warnings(document(route=None, shadow=True)) == []
