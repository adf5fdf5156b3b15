"""Sentences: what they say, what they leave out, and what templates may not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.model import Text
from rules.scope import rule_scope
from rules.texts import FORMATS, check, parse, reason, render

NAN = float("nan")


def both(template: str, value: Any, zone_offset_s: int = 0) -> tuple[str, str]:
    told = reason(Text(template, template), {"x": value}, zone_offset_s)
    return told["zh"], told["en"]


@pytest.mark.parametrize(
    ("form", "value", "zh", "en"),
    [
        ("hours", 9, "9小时", "9 hours"),
        ("hours", 1, "1小时", "1 hour"),
        ("hours", 0.5, "30分钟", "30 minutes"),
        ("hours", 0, "0分钟", "0 minutes"),
        ("hours", 7.75, "7小时45分钟", "7 hours 45 minutes"),
        ("hours", 47, "47小时", "47 hours"),
        ("hours", 48, "2天", "2 days"),
        ("hours", 51.5, "2天3小时", "2 days 3 hours"),
        ("duration", 5400, "1小时30分钟", "1 hour 30 minutes"),
        ("kwh", 0.25, "0.25度", "0.25 kWh"),
        ("kwh", 0, "0度", "0 kWh"),
        ("kwh", 0.0042, "0.0042度", "0.0042 kWh"),
        ("kw", 12.34, "12.3千瓦", "12.3 kW"),
        ("kw", 1234.5, "1,234千瓦", "1,234 kW"),
        ("l", 6.2, "6.2升", "6.2 l"),
        ("m3", 0.02, "0.02立方米", "0.02 m³"),
        ("number", 3.0, "3", "3"),
        ("number", -0.05, "-0.05", "-0.05"),
        ("int", 36.0, "36", "36"),
        ("percent", 0.973, "97%", "97%"),
        ("percent", 1, "100%", "100%"),
        ("percent", 0.9996, "99%以上", "over 99%"),
        ("percent", 0.0004, "不到1%", "under 1%"),
        ("percent", 0.0, "0%", "0%"),
        ("clock", 7.5, "07:30", "07:30"),
        ("time", 1_772_000_000, "2月25日06:13", "25 February 06:13"),
        ("date", 1_772_000_000, "2月25日", "25 February"),
        ("utilities", ["electricity"], "用电", "electricity"),
        (
            "utilities",
            ["electricity", "water", "gas"],
            "用电、用水、用气",
            "electricity, water or gas",
        ),
        ("channel", 1, "用水", "water"),
        ("level", "red", "红色", "red"),
        ("cause", "absent", "已登记外出", "a registered absence"),
        ("cause", "alert:other", "另一条预警已涵盖", "another alert that covers it"),
        ("cause", "now.hour < 6", "规则中的例外情形", "an exception of the rule"),
        ("plain", "noise", "noise", "noise"),
        ("plain", True, "是", "yes"),
        ("plain", ["a", "b"], "a、b", "a, b"),
    ],
)
def test_formats(form: str, value: Any, zh: str, en: str) -> None:
    assert both(f"{{x:{form}}}", value) == (zh, en)


def test_local_time() -> None:
    assert both("{x:time}", 1_772_000_000, 8 * 3600)[1] == "25 February 14:13"
    assert both("{x:time}", 1_772_000_000, -7 * 3600)[1] == "24 February 23:13"


def test_either() -> None:
    assert both("{x:either|own|lent}", 1) == ("own", "own")
    assert both("{x:either|own|lent}", 0.0) == ("lent", "lent")


@pytest.mark.parametrize("value", [None, NAN, float("inf")])
def test_unknown_is_said_or_left_out(value: Any) -> None:
    assert both("a {x:kwh} b", value) == ("a 未知 b", "a unknown b")
    assert both("a[[, {x:kwh}]] b", value) == ("a b", "a b")
    assert both("a[[, {x:kwh}]] b", 0.0) == ("a, 0度 b", "a, 0 kWh b")


def test_a_test_leaves_out_zero() -> None:
    assert both("a[[{?x}, {x:int}]]", 0) == ("a", "a")
    assert both("a[[{?x}, {x:int}]]", 3) == ("a, 3", "a, 3")
    assert both("a[[{?x}, x]]", NAN) == ("a", "a")


def test_a_value_of_another_kind_is_unknown() -> None:
    for form in set(FORMATS) - {"plain", "given", "either", "level", "cause", "word"}:
        assert both(f"{{x:{form}}}", "seven") == ("未知", "unknown")


def test_amounts_have_the_unit_of_what_is_measured() -> None:
    def said(utilities: list[str], **facts: float) -> str:
        return render("{s.facts.t:amount}", "en", {"s": {"utilities": utilities, "facts": facts}})

    assert said(["water"], t=3.0) == "3 l"
    assert said(["electricity"], t=3.0) == "3 kWh"
    assert said(["electricity", "water"], t=3.0) == "unknown"
    assert said(["electricity", "water"], t=3.0, channel=2.0) == "3 m³"


def test_thresholds_of_what_the_home_has() -> None:
    facts = {"threshold_kwh": 0.2, "threshold_l": 1.0, "threshold_m3": NAN}
    told = {"s": {"utilities": ["electricity", "water", "gas"], "facts": facts}}
    assert render("{s.utilities:thresholds}", "zh", told) == "0.2度电或1升水"
    told["s"]["utilities"] = ["water"]
    assert render("{s.utilities:thresholds}", "en", told) == "1 l of water"


SCOPE = rule_scope({"s": ("hours",)}, ("visits",))


@pytest.mark.parametrize(
    "template",
    ["plain", "{s.facts.hours:hours}", "{{x}}", "[x]", "{alert.level:level}", "{subject.place}",
     "{visits.count:int}", "[[{?s.facts.hours} x]]", "{s.due:either|a|b}", "{subject.attrs.floor}"],
)  # fmt: skip
def test_good_templates(template: str) -> None:
    assert check(template, SCOPE) == []


@pytest.mark.parametrize(
    ("template", "offset", "message"),
    [
        ("a {s.facts.huors:hours}", 11, "unknown name"),
        ("{s.facts.hours:huors}", 15, "unknown format"),
        ("{s.due:hours}", 0, "does not fit"),
        ("{subject.kind:kwh}", 0, "does not fit"),
        ("a {", 2, "not a fact"),
        ("a }", 2, "not a fact"),
        ("{s.facts.hours!r}", 0, "not a fact"),
        ("{s.facts.hours:.2f}", 0, "not a fact"),
        ("{s.__class__}", 0, "not a fact"),
        ("{0}", 0, "not a fact"),
        ("{}", 0, "not a fact"),
        ("a [[ b", 2, "never closed"),
        ("a ]] b", 2, "without"),
        ("[[ [[ ]] ]]", 3, "within"),
        ("{s.due:either|a}", 0, "choices"),
        ("{s.facts.hours:hours|a}", 0, "choices"),
        ("{?s.due}", 0, "outside"),
        ("[[{?s.due:hours}]]", 2, "no format"),
        ("{s.facts}", 1, "no value"),
    ],
)
def test_bad_templates(template: str, offset: int, message: str) -> None:
    found = check(template, SCOPE)
    assert (found[0].offset, message in found[0].message) == (offset, True), found


@given(st.text("ab{}[]:|?.x1 s facts", max_size=40))
def test_any_template_is_read_and_rendered(template: str) -> None:
    parse(template)
    check(template, SCOPE)
    assert isinstance(render(template, "en", {"s": {"facts": {"hours": 1.0}}}), str)
