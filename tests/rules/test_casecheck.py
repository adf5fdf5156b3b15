"""Tests that would pass whatever happens are refused: signals, facts and kinds no rule has."""

from __future__ import annotations

import pytest

from engine import library
from engine.ruletest import case_files
from rules import casecheck
from rules.problems import RuleErrors
from rules.unittest import parse

SHIPPED = library.rules(None)
FILE = """
rules: water-leak
subjects:
  flat: {subject}
tests:
  - name: leaks
    signals:
      {signal}: {{due: 1x20, facts: {{{fact}: 8x20}}}}
    {more}
    expect: []
"""


def wrong(subject: str = "home", signal: str = "flow", fact: str = "hours", more: str = "") -> str:
    text = FILE.format(subject=subject, signal=signal, fact=fact, more=more)
    cases = parse({"t.yaml": text})
    try:
        casecheck.check(cases, SHIPPED)
    except RuleErrors as errors:
        return str(errors)
    return ""


def test_the_librarys_tests_name_what_there_is() -> None:
    casecheck.check(parse(case_files([])), SHIPPED)
    assert wrong() == ""


@pytest.mark.parametrize(
    ("changes", "place", "message", "hint"),
    [
        ({"signal": "flo"}, "t.yaml:8:7", 'test "leaks": "water-leak" has no signal "flo"', "flow"),
        ({"fact": "huors"}, "t.yaml:8:33", 'gives no fact "huors"', "hours"),
        ({"subject": "hoem"}, "t.yaml:4:9", 'watches a subject of kind "hoem"', "home"),
        ({"subject": "air_sensor"}, "t.yaml:4:9", 'of kind "air_sensor": whatever', ""),
        ({"more": "alerts: {elderly-silense: 1}"}, "t.yaml:9:14", "unknown rule", "elderly-silence"),
    ],
)  # fmt: skip
def test_names_that_no_rule_has(
    changes: dict[str, str], place: str, message: str, hint: str
) -> None:
    told = wrong(**changes)
    assert told.startswith(f"{place}: test "), told
    assert message in told
    assert not hint or f'did you mean "{hint}"?' in told


def test_another_kind_is_fine_beside_a_watched_one_but_for_a_slip() -> None:
    assert wrong(subject="home\n  street: air_sensor") == ""
    assert 'did you mean "rental"' in wrong(subject="home\n  let: rentel")


def test_what_stands_above_several_tests_is_told_once() -> None:
    text = FILE.format(subject="hoem", signal="flow", fact="hours", more="")
    second = text[text.index("  - name") :].replace("leaks", "again")
    with pytest.raises(RuleErrors) as errors:
        casecheck.check(parse({"t.yaml": text + second.lstrip("\n")}), SHIPPED)
    assert len(errors.value.problems) == 1
