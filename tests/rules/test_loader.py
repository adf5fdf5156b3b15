"""Rule files: what they may say, and how every mistake is told."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from rules.alerts import Level
from rules.loader import DetectorFacts, load, registered
from rules.model import Budget, EventUse, Follow, Limits, Promotion, Unless
from rules.problems import RuleErrors, listing, shown, suggest
from tests.rules.kit import KNOWN, document, dump, rule, text


def problems(source: str | dict[str, Any], **files: str) -> list[str]:
    """Return the problems of a file (and of others)."""
    main = source if isinstance(source, str) else dump(source)
    with pytest.raises(RuleErrors) as error:
        load({"rule.yaml": main, **{f"{k}.yaml": v for k, v in files.items()}}, KNOWN)
    lines = [str(problem) for problem in error.value.problems]
    assert all(re.match(r"[\w./-]+:\d+:\d+: .", line) for line in lines)
    return lines


def only(source: str | dict[str, Any]) -> str:
    found = problems(source)
    assert len(found) == 1, found
    return found[0]


# -- what is read ---------------------------------------------------------------------------------


def test_a_small_rule_and_its_defaults() -> None:
    made = rule()
    assert made.level is Level.ORANGE
    assert made.budget == Budget(12.0, "fleet")
    assert (made.for_s, made.keep_firing_for_s, made.unless, made.promotions) == (0, 0, (), ())
    assert made.hold == made.when == "silence.due"
    assert made.subjects.selects("elderly_alone", {}, "3301")
    assert not made.subjects.selects("rental", {}, "3301")


def test_everything_a_rule_can_say() -> None:
    made = rule(
        subjects={
            "kinds": "rental",
            "attrs": {"floor": [1, 2], "lift": True},
            "places": ["3301", "3302"],
        },
        signals={
            "silence": {
                "detector": "quiet",
                "params": {"water_l": 2},
                "weight": 0.5,
                "utilities": "water",
            }
        },
        events={
            "calls": {
                "kind": ["complaint", "report"],
                "within": "30d",
                "where": {"topic": ["noise", "smell"]},
                "scope": "grid",
                "distinct": "caller",
                "same": "topic",
                "then": {"kind": "visit", "within": "6h"},
                "evidence": 0.3,
                "evidence_max": 1,
            }
        },
        when="silence.due && calls.count >= 3",
        hold="silence.evidence > 0.5",
        **{"for": "1h30m", "keep_firing_for": "2d"},
        unless=["absent", {"context": "holiday", "cancels": False}, "now.hour < 6"],
        promote=[{"to": "red", "after": "6h", "when": "calls.distinct > 2"}],
        downgrade={"from": "red", "to": "orange", "after": "1d"},
        budget=0.5,
        route={
            "queue": "gridworker",
            "contact_first": ["resident", {"who": "family", "wait": "5m"}],
            "escalate": [{"to": "stand_in", "after": "15m"}],
        },
        limits={
            "sign": "1h",
            "clock": "work",
            "levels": {"red": {"sign": "15m", "clock": "calendar"}},
        },
        group="grid",
        dedupe={"by": "unit", "within": "12h"},
        counterfactual="sign_of_life",
        hard_danger=True,
        shadow=True,
        description=text(),
    )
    assert made.subjects.attrs == {"floor": (1, 2), "lift": (True,)}
    assert made.subjects.selects("rental", {"floor": 2, "lift": True}, "330199")
    assert not made.subjects.selects("rental", {"floor": 3, "lift": True}, "330199")
    assert made.signals["silence"].utilities == ("water",)
    assert made.events["calls"] == EventUse(
        kinds=("complaint", "report"),
        within_s=30 * 86_400,
        where={"topic": ("noise", "smell")},
        scope="grid",
        distinct="caller",
        same="topic",
        then=Follow(("visit",), 6 * 3600, {}),
        evidence=0.3,
        evidence_max=1.0,
    )
    assert (made.for_s, made.keep_firing_for_s) == (5400, 2 * 86_400)
    assert made.unless == (
        Unless(context="absent", cancels=True),
        Unless(context="holiday", cancels=False),
        Unless(when="now.hour < 6", cancels=False),
    )
    assert made.promotions == (Promotion(Level.RED, 21_600, "calls.distinct > 2"),)
    assert made.budget == Budget(0.5)
    assert made.route is not None
    assert [(c.who, c.wait_s) for c in made.route.contact_first] == [
        ("resident", 600),
        ("family", 300),
    ]
    assert made.limits_at(Level.ORANGE) == Limits(sign_s=3600, clock="work")
    assert made.limits_at(Level.RED) == Limits(sign_s=900, clock="calendar")


def test_several_rules_in_a_file_and_in_files() -> None:
    several = dump({"rules": [document(name="b"), document(name="a")]})
    found = load({"x.yaml": several, "y.yaml": dump(document(name="c"))}, KNOWN)
    assert [r.name for r in found] == ["a", "b", "c"]
    assert found["b"].name == "b"
    with pytest.raises(KeyError):
        found["d"]


def test_no_files_and_empty_files_are_no_rules() -> None:
    assert len(load({}, KNOWN)) == 0
    assert load({"empty.yaml": "# nothing yet\n"}, KNOWN).warnings == (
        "empty.yaml:1:1: warning: the file is empty",
    )


def test_the_version_is_of_the_content_alone() -> None:
    plain = rule()
    source = dump(document())
    commented = "# a comment\n" + source.replace("level: orange", "level:   'orange'  # yes")
    (same,) = load({"elsewhere.yaml": commented}, KNOWN)
    assert same.version == plain.version
    assert re.fullmatch("[0-9a-f]{12}", plain.version)
    assert dataclasses.replace(plain, level=Level.RED).with_version().version != plain.version
    changed = [
        rule(level="red"),
        rule(**{"for": "1s"}),
        rule(budget=13),
        rule(texts={**document()["texts"], "raised": text("静", "silent")}),
        rule(signals={"silence": {"detector": "quiet", "params": {"water_l": 2}}}),
    ]
    assert len({plain.version, *(r.version for r in changed)}) == 6


def test_the_version_of_a_set_is_of_its_rules() -> None:
    one, two = dump(document(name="a")), dump(document(name="b"))
    whole = load({"1.yaml": one, "2.yaml": two}, KNOWN)
    assert whole.version == load({"3.yaml": two, "4.yaml": one}, KNOWN).version
    assert whole.version != load({"1.yaml": one}, KNOWN).version


def test_folded_chinese_has_no_spaces_of_the_fold() -> None:
    source = dump(document()).replace(
        "raised:\n    zh: 静默", "raised:\n    zh: >-\n      自昨天起，\n      没有动静。", 1
    )
    (made,) = load({"rule.yaml": source}, KNOWN)
    assert made.texts.raised.zh == "自昨天起，没有动静。"


def test_registered_detectors_are_known_by_their_own_words() -> None:
    found = registered("inactivity")
    assert isinstance(found, DetectorFacts)
    assert "silent_hours" in (found.facts or ())
    assert "half_life_d" in found.params
    assert registered("inactivty") == (
        f'unknown detector "inactivty"; wanted one of {listing(_names(), 30)}; did you mean "inactivity"?'
    )


def _names() -> list[str]:
    from detectors.base import names

    return names()


def test_every_registered_detector_can_say_its_facts() -> None:
    for name in _names():
        assert isinstance(registered(name), DetectorFacts)


# -- mistakes -------------------------------------------------------------------------------------


def test_three_mistakes_are_three_messages_with_their_places() -> None:
    source = dump(document()).replace("level: orange", "level: orenge")
    source = source.replace("silence.due", "silence.deu").replace("kinds:", "kindz:")
    found = problems(source)
    assert found == [
        'rule.yaml:6:3: rule "a-rule": unknown key "kindz"; wanted one of attrs, grain, kinds, '
        'places, series; did you mean "kinds"?',
        'rule.yaml:11:15: rule "a-rule": unknown name "deu" in "silence"; wanted one of due, evidence, '
        'facts, onset_s, p_value, ready, urgency, utilities; did you mean "due"?',
        'rule.yaml:12:8: rule "a-rule": unknown word; got "orenge"; wanted one of red, orange, yellow, '
        'blue; did you mean "orange"?',
    ]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"name": "Elderly Silence"}, "1:7", "wanted a name such as elderly-silence"),
        ({"name": None}, "1:1", '"name" is missing'),
        ({"for": "-5s"}, None, 'not a duration; got "-5s"'),
        ({"for": "5"}, None, 'give it a unit: "5s"'),
        ({"for": 5}, None, 'give it a unit: "5s"'),
        ({"for": "1h1d"}, None, "not a duration"),
        ({"for": ""}, None, "not a duration"),
        ({"for": ["1h"]}, None, "not a duration"),
        ({"level": "purple"}, None, "unknown word"),
        ({"budget": 0}, None, "wanted a number above 0"),
        ({"budget": -1}, None, "wanted a number above 0"),
        ({"budget": float("nan")}, None, "wanted a number above 0"),
        ({"budget": True}, None, "wanted a number above 0"),
        ({"budget": None}, None, '"silence.due" needs a budget'),
        ({"when": "silence.evidence"}, None, "not a condition; got a double"),
        ({"when": "silence.evidence >"}, None, "unexpected the end of the expression"),
        ({"when": 7}, None, "not a condition; got a int"),
        ({"when": ["a"]}, None, "wanted a CEL expression"),
        ({"when": "silence.evidence + 1 > 2.0"}, None, "does not mix int and double"),
        ({"when": "subject.place.matches('(')"}, None, "not a regular expression"),
        ({"signals": None, "when": "true", "budget": None}, None, "listens to nothing"),
        ({"signals": {"silence": {"detector": "quit"}}}, None, 'did you mean "quiet"?'),
        ({"signals": {"silence": {"detector": "quiet", "params": {"halflife": 1}}}}, None, "has no parameter"),
        ({"signals": {"silence": "street"}}, None, 'set "grain: place"'),
        ({"signals": {"now": "quiet", "silence": "quiet"}}, None, 'the name "now" is taken'),
        ({"signals": {"Silence": "quiet"}, "when": "true", "budget": None}, None, "a name of small letters"),
        ({"signals": ["quiet"]}, None, "wanted a mapping"),
        ({"events": {"silence": {"kind": "x", "within": "1h"}}}, None, 'the name "silence" is taken'),
        ({"events": {"calls": {"kind": "x", "within": "0s"}}}, None, "a duration above 0s"),
        ({"events": {"calls": {"kind": [], "within": "1h"}}}, None, "list of wrong length"),
        ({"events": {"calls": {"within": "1h"}}}, None, '"kind" is missing'),
        ({"unless": ["abesnt"]}, None, 'did you mean "absent"?'),
        ({"unless": [{"alert": "nobody"}]}, None, 'unknown rule "nobody"'),
        ({"unless": [{"alert": "a-rule"}]}, None, "the rule names itself"),
        ({"unless": [{"context": "absent", "when": "true"}]}, None, "exactly one of"),
        ({"unless": [{}]}, None, "exactly one of"),
        ({"unless": ["now.huor < 6"]}, None, 'did you mean "hour"?'),
        ({"inhibits": ["nobody"]}, None, 'unknown rule "nobody"'),
        ({"promote": [{"to": "yellow", "after": "1h"}]}, None, "is not more urgent"),
        ({"promote": [{"to": "red"}]}, None, "needs after or when"),
        ({"promote": [{"to": "red", "when": "silence.x"}]}, None, 'unknown name "x"'),
        ({"downgrade": [{"from": "red", "to": "orange", "after": "1h"}]}, None, 'nothing promotes to "red"'),
        ({"route": {"contact_first": []}}, None, '"queue" is missing'),
        ({"limits": {"sign": "soon"}}, None, "not a duration"),
        ({"limits": {"levels": {"pink": {}}}}, None, "one of red, orange, yellow, blue"),
        ({"subjects": {"kinds": ["Elderly"]}}, None, "a kind such as"),
        ({"subjects": "elderly"}, None, "wanted a mapping"),
        ({"title": {"zh": "标题"}}, None, '"en" is missing'),
        ({"title": {"zh": "", "en": "x"}}, None, "got nothing"),
        ({"title": {"zh": "标题", "en": 5}}, None, "quote it"),
        ({"shadow": "yes"}, None, "wanted true or false"),
        ({"counterfactual": "magic"}, None, "unknown word"),
        ({"texts": None}, None, '"texts" is missing'),
    ],
)  # fmt: skip
def test_each_mistake(changes: dict[str, Any], place: str | None, message: str) -> None:
    found = only(document(**changes))
    assert message in found
    if place is not None:
        assert found.startswith(f"rule.yaml:{place}:")


def test_texts_are_checked_with_their_place() -> None:
    raised = {"zh": "静默{silence.facts.huors:hours}", "en": "for {silence.facts.hours:huors}"}
    found = problems(document(texts={**document()["texts"], "raised": raised}))
    lines = dump(document(texts={**document()["texts"], "raised": raised})).splitlines()
    for line, needle in zip(found, ("huors:", "huors}"), strict=True):
        _, row, column = line.split(":")[:3]
        assert lines[int(row) - 1][int(column) - 1 :].startswith(needle)
    assert 'did you mean "hours"?' in found[0]


def test_columns_within_block_scalars() -> None:
    source = dump(document()).replace(
        "when: silence.due", "when: >\n  silence.due &&\n  (now.hour > 6 ||\n   now.huor < 3)"
    )
    assert only(source).startswith('rule.yaml:14:8: rule "a-rule": unknown name "huor"')


def test_columns_within_quotes() -> None:
    source = dump(document()).replace("when: silence.due", 'when: "silence.due && now.huor > 3"')
    assert only(source).startswith("rule.yaml:11:27:")


def test_a_key_twice() -> None:
    found = only(dump(document()) + "level: red\n")
    assert '"level" stands twice; first on line 12' in found


def test_two_rules_of_one_name() -> None:
    found = problems(document(), other=dump(document()))
    assert found == [
        'rule.yaml:1:7: rule "a-rule": a second rule is named "a-rule"; the first is other.yaml:1'
    ]


def test_rules_of_a_list_are_told_apart() -> None:
    found = problems(
        dump({"rules": [document(name="a", level="x"), document(name="b", level="y")]})
    )
    assert ['rule "a"' in found[0], 'rule "b"' in found[1]] == [True, True]


def test_unknown_key_beside_rules() -> None:
    assert "unknown key" in only(dump({"rules": [document()], "rule": 1}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("name: [", "not YAML"),
        ("a: b: c", "not YAML"),
        ("\tname: x", "not YAML"),
        ("name: *nobody", "undefined alias"),
        ("name: &a [*a]\nlevel: *a", "aliases make the file too large or endless"),
        ("- " * 40 + "x", "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("a: \x01", "is not allowed"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
        ("--- 1\n--- 2\n", "not YAML"),
        ("just text", "wanted a mapping"),
        ("[1, 2]", "wanted a mapping"),
        ("x" * 600_000, "600000 characters"),
        ("? [a, b]\n: c", "a key must be text"),
        ("rules: 5", "wanted a mapping"),
    ],
)
def test_text_that_is_no_rule_file(source: str, message: str) -> None:
    assert any(message in line for line in problems(source))


def test_a_bomb_of_aliases_is_defused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    assert "aliases make the file too large" in problems("\n".join(lines))[0]


def test_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.document.MAX_NODES", 300)
    assert "too many values" in problems("a: [" + "1, " * 400 + "]")[0]


def test_yaml_words_keep_their_letters() -> None:
    """No "Norway problem": only true and false are truth values, only decimals are numbers."""
    made = load(
        {
            "r.yaml": dump(document()).replace(
                "kinds:", "attrs: {country: no, code: 0o17, at: 1:30}\n  kinds:"
            )
        },
        KNOWN,
    )["a-rule"]
    assert made.subjects.attrs == {"country": ("no",), "code": ("0o17",), "at": ("1:30",)}


def test_a_problem_is_told_once() -> None:
    assert len(problems(document(signals={"silence": {"detector": "nobody"}}))) == 1


def test_warnings_are_no_errors() -> None:
    found = load(
        {"rule.yaml": dump(document(texts={**document()["texts"], "raised": text("silent")}))},
        KNOWN,
    )
    assert found.warnings == (
        'rule.yaml:19:9: warning: rule "a-rule": texts.raised.zh has no Chinese in it',
    )


def test_a_budget_that_changes_nothing_is_warned_of() -> None:
    found = load({"rule.yaml": dump(document(when="silence.evidence > 2.0"))}, KNOWN)
    assert "the budget changes nothing" in found.warnings[0]


def test_words_for_messages() -> None:
    assert suggest("zzzz", ["kinds"]) == ""
    assert listing([]) == "none"
    assert listing(map(str, range(20)), 3) == "0, 1, 10 … (20 in all)"
    assert shown("a\nb") == '"a\\nb"'
    assert shown("x" * 100, 5) == '"xxxxx…"'
