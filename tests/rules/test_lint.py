"""Warnings for rules that can never fire, that others cover, and that go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from rules.lint import Population
from rules.loader import load
from rules.problems import RuleErrors
from tests.rules.kit import KNOWN, document, dump

HOMES = Population(
    subjects=[
        ("elderly_alone", {"sector": "north"}, "330106001001"),
        ("rental", {"sector": "south"}, "330106001002"),
        ("closed_plant", {"closed_on": "2024-01-01"}, "330106002001"),
    ],
    roles=frozenset({"gridworker", "market_office"}),
)


def warnings(*rules: dict[str, Any], population: Population | None = None) -> list[str]:
    source = dump({"rules": list(rules)})
    return list(load({"rule.yaml": source}, KNOWN, population).warnings)


def pointed(source: str, line: str) -> str:
    """Return the text from where a warning points to the end of that line."""
    _, row, column, rest = line.split(":", 3)
    assert rest.startswith(' warning: rule "a-rule": ')
    return source.splitlines()[int(row) - 1][int(column) - 1 :]


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
        ({"when": "silence.due && silence.urgency > 35"}, "no value of `silence.urgency`"),
        ({"when": "silence.due && now.hour > 5 && now.hour < 6"}, "no value of `now.hour`"),
        ({"when": "silence.due && !(now.hour <= 20) && now.hour < 20"}, "no value of `now.hour`"),
        ({"when": "silence.due && (now.hour > 30 || now.weekday == 0)"}, "no value of `now.hour`"),
        ({"when": "silence.due && now.season == 'sumer'"}, 'did you mean "summer"?'),
        ({"when": "now.season == 'summer' && silence.due && now.season != 'summer'"}, "no value of `now.season`"),
        ({"when": "silence.due && subject.kind in ['rental', 'plant']"}, "no value of `subject.kind`"),
        ({"when": "silence.due && 'b-rule' in alerts"}, 'no rule is named "b-rule"; did you mean "a-rule"?'),
        ({"when": "silence.due && subject.place.startsWith('44')", "subjects": {"places": ["3301"]}}, "watches no place"),
        ({"unless": ["true"]}, "this always keeps it quiet"),
        ({"when": "calls.age_s > 7200.0", "signals": None, "budget": None,
          "events": {"calls": {"kind": "call", "within": "2h"}}}, "`calls` looks back 7200 s only"),
        ({"when": "calls.unfollowed > 0", "signals": None, "budget": None,
          "events": {"calls": {"kind": "call", "within": "2h", "then": {"kind": "visit", "within": "6h"}}}},
         "leaves the window before what follows is overdue; make within longer"),
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
        "silence.due && (now.hour > 22 || now.hour < 6)",
        "silence.due && silence.urgency > -1",
    ],
)
def test_might_fire(when: str) -> None:
    assert warnings(document(when=when)) == []


@pytest.mark.parametrize(
    ("changes", "at", "message"),
    [
        ({"when": "silence.due && now.hour > 24"}, "now.hour > 24", "it can never fire"),
        ({"when": "silence.due || now.hour > 24"}, "now.hour > 24", "this part is never met"),
        ({"when": "silence.due || false"}, "false", "this part is never met"),
        ({"unless": [{"when": "now.month == 13"}]}, "now.month == 13", "it keeps nothing quiet"),
        ({"unless": ["absent", "now.month == 13"]}, "now.month == 13", "it keeps nothing quiet"),
        ({"promote": [{"to": "red", "when": "silence.p_value < 0.0"}]}, "silence.p_value < 0.0", "it is never promoted"),
        ({"promote": [{"to": "red", "after": "1h"}, {"to": "red", "after": "6h"}]}, "to: red", "it changes nothing"),
        ({"route": {"queue": "grid_worker"}}, "grid_worker", 'did you mean "gridworker"?'),
        ({"route": {"queue": "gridworker", "escalate": [{"to": "stret", "after": "1h"}]}}, "stret", 'did you mean "street"?'),
        ({"route": {"queue": "gridworker", "contact_first": ["resident"]}, "level": "red"}, "- resident", "somebody is sent at once"),
        ({"group": {"by": "grid", "wait": "1h"}, "hard_danger": True}, "1h", "hard danger never waits"),
    ],
)  # fmt: skip
def test_a_warning_points_at_what_is_meant(changes: dict[str, Any], at: str, message: str) -> None:
    source = dump(document(**changes))
    (line,) = load({"rule.yaml": source}, KNOWN).warnings
    assert message in line
    assert pointed(source, line) == at


def test_where_a_condition_goes_over_lines_the_line_is_named() -> None:
    source = dump(document()).replace(
        "when: silence.due\n", "when: >-\n  silence.due\n  && now.hour > 24\n"
    )
    (line,) = load({"rule.yaml": source}, KNOWN).warnings
    assert pointed(source, line) == "now.hour > 24"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subjects": {"kinds": ["elderly_alnoe"]}}, 'of kind "elderly_alnoe"; wanted one of closed_plant, elderly_alone, rental; did you mean "elderly_alone"?'),
        ({"subjects": {"attrs": {"secter": "north"}}}, 'no subject has attribute "secter"; wanted one of closed_on, sector; did you mean "sector"?'),
        ({"subjects": {"kinds": ["rental"], "attrs": {"sector": "soth"}}}, 'no subject has "sector" = soth; wanted one of south; did you mean "south"?'),
        ({"subjects": {"kinds": ["rental"], "places": ["330106002"]}}, 'no such subject is in place "330106002"'),
        ({"route": {"queue": "street_office"}}, 'nobody has the role "street_office"'),
    ],
)  # fmt: skip
def test_whom_nobody_is_or_answers_for(changes: dict[str, Any], message: str) -> None:
    (line,) = warnings(document(**changes), population=HOMES)
    assert message in line
    fine = document(
        subjects={"kinds": ["rental"], "attrs": {"sector": "south"}, "places": ["330106"]},
        route={"queue": "market_office"},
    )
    assert warnings(fine, population=HOMES) == []


def test_a_role_of_ones_own_is_no_slip_of_the_pen() -> None:
    assert warnings(document(route={"queue": "market_office"})) == []


def test_nobody_is_called_about_a_place() -> None:
    (line,) = warnings(
        document(
            subjects={"grain": "place"}, signals={"silence": "street"},
            route={"queue": "street", "contact_first": ["resident"]},
        )
    )  # fmt: skip
    assert "nobody is called about a place" in line


def test_shadowed() -> None:
    wide = document(name="a-wide", inhibits=["b-narrow"])
    narrow = document(
        name="b-narrow", when="silence.due && now.hour > 6", subjects={"kinds": ["elderly_alone"]}
    )
    (line,) = warnings(wide, narrow)
    assert 'rule "b-narrow": it is shadowed: "a-wide" fires whenever it would' in line


def test_shadowed_by_a_lower_threshold() -> None:
    wide = document(name="a-wide", inhibits=["b-narrow"], when="silence.evidence > 2.0")
    narrow = document(name="b-narrow", when="silence.evidence >= 3.0 && now.hour > 6")
    found = [w for w in warnings(wide, narrow) if "shadowed" in w]
    assert len(found) == 1
    narrow["when"] = "silence.evidence >= 2.0"
    assert not any("shadowed" in w for w in warnings(wide, narrow))


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


@pytest.mark.parametrize(
    ("changes", "at", "message"),
    [
        ({"subjects": {"kinds": ["rentel"]}}, "- rentel", 'did you mean "rental"?'),
        ({"signals": {"silence": {"detector": "quiet", "utilities": ["watter"]}}}, "- watter", 'did you mean "water"?'),
        ({"counterfactual": "usual_use"}, "usual_use", "add maintenance to unless"),
        ({"counterfactual": "absence", "unless": ["maintenance"]}, "absence", "add absent to unless"),
    ],
)  # fmt: skip
def test_what_nothing_is_heard_of(changes: dict[str, Any], at: str, message: str) -> None:
    source = dump(document(**changes))
    (line,) = load({"rule.yaml": source}, KNOWN).warnings
    assert message in line
    assert pointed(source, line).strip() == at


def test_kinds_and_measures_of_ones_own_are_no_slips() -> None:
    own = {"silence": {"detector": "quiet", "utilities": ["pm25"]}}
    assert warnings(document(subjects={"kinds": ["greenhouse", "rental_home"]}, signals=own)) == []
    assert warnings(document(counterfactual="usual_use", signals=own)) == []
    assert warnings(document(counterfactual="usual_use", unless=["maintenance"])) == []


def test_a_detector_that_never_hears_a_utility() -> None:
    from rules.loader import registered

    known = {"fade": registered("fade")}
    signals = {"silence": {"detector": "fade", "utilities": ["water"]}}
    (line,) = load({"rule.yaml": dump(document(signals=signals))}, known).warnings  # type: ignore[arg-type]
    assert 'detector "fade" never hears "water"; wanted one of electricity' in line


def test_a_file_of_tests_among_rules_is_told_where_to_go() -> None:
    with pytest.raises(RuleErrors) as error:
        load(
            {"mine/t.yaml": "rules: a-rule\ntests: []\n", "mine/rule.yaml": dump(document())}, KNOWN
        )
    (problem,) = error.value.problems
    assert str(problem).startswith("mine/t.yaml:2:1: this looks like a file of tests")
    assert problem.hint == "move it to mine/tests"
