"""The shipped rules: sound, tested, and tested by tests that notice when they are broken."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import rules
from engine.ruletest import Runner
from rules.alerts import AlertChange, Level
from rules.cases import Case
from rules.docs import index, page
from rules.loader import load
from rules.model import URGENCY, Rule, RuleSet, rule_set
from rules.mutants import mutants
from rules.unittest import compare, parse, report, run_all

LIBRARY = Path(rules.__file__).parent / "library"
NAMES = sorted(p.stem for p in LIBRARY.glob("*.yaml"))


@cache
def library() -> RuleSet:
    return load({f"{n}.yaml": (LIBRARY / f"{n}.yaml").read_text("utf-8") for n in NAMES})


@cache
def cases() -> tuple[Case, ...]:
    """Return the cases without readings: those are slow, and run in tests/engine."""
    files = {p.name: p.read_text("utf-8") for p in sorted(LIBRARY.glob("tests/*.yaml"))}
    return tuple(c for c in parse(files) if not c.meters)


def run(case: Case, known: RuleSet) -> list[AlertChange]:
    return Runner(known).run(case)


def cases_of(name: str) -> list[Case]:
    return [c for c in cases() if name in c.rules]


def passes(case: Case, *changed: Rule) -> bool:
    names = {r.name for r in changed}
    return compare(
        case,
        run(case, rule_set([*changed, *(r for r in library() if r.name not in names)])),
    ).passed


def test_it_loads_without_warnings() -> None:
    assert library().warnings == ()
    assert {r.name for r in library()} == set(NAMES)  # a file is named like its rule


def test_what_must_be_there() -> None:
    assert {"elderly-silence", "elderly-excess", "closed-plant-production", "area-outage"} <= set(
        NAMES
    )


def test_its_tests_pass() -> None:
    results = run_all(cases(), lambda case: run(case, library()))
    assert all(r.passed for r in results), report(results)


@pytest.mark.parametrize("name", NAMES)
def test_three_tests_each_fires_stays_quiet_boundary(name: str) -> None:
    mine = cases_of(name)
    assert len(mine) >= 3
    assert any(c.expect for c in mine), "none fires"
    assert any(not c.expect for c in mine), "none stays quiet"
    assert any("boundary" in c.name for c in mine), "none is about a boundary"


@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_breaking_a_rule_fails_a_test(name: str) -> None:
    mine = cases_of(name)
    survivors = [
        how for how, rule in mutants(library()[name]) if all(passes(c, rule) for c in mine)
    ]
    assert survivors == []


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.rules[0]}: {c.name}"[:60])
def test_every_test_fails_for_a_broken_rule(case: Case) -> None:
    assert any(not passes(case, rule) for _, rule in mutants(library()[case.rules[0]]))


# -- what people rely on --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_sentences_say_since_when_what_was_usual_and_what_would_have_kept_it_quiet(
    name: str,
) -> None:
    raised = library()[name].texts.raised
    assert "alert.onset_s_utc:time" in raised.zh
    assert "alert.onset_s_utc:time" in raised.en
    for usual, quiet in (("平时", "不会预警"), ("通常", "不会提示"), ("通常", "不会预警")):
        if usual in raised.zh and quiet in raised.zh:
            break
    else:
        pytest.fail(raised.zh)
    assert "usual" in raised.en
    assert "kept this quiet" in raised.en


def test_life_safety_is_never_starved_and_is_urgent() -> None:
    silence = library()["elderly-silence"]
    assert silence.hard_danger
    assert silence.budget is not None
    assert (silence.budget.false_alerts_per_subject_year, silence.budget.scope) == (12.0, "fleet")
    assert {u.context for u in silence.unless} >= {"absent", "area_outage"}
    red = silence.limits_at(Level.RED)
    # DOMAIN.md 6: sign within 15 minutes, contact within 30, door within 60, on calendar hours.
    assert (red.sign_s, red.contact_s, red.door_s, red.clock) == (900, 1800, 3600, "calendar")
    assert silence.route is not None
    assert [c.who for c in silence.route.contact_first] == ["resident", "family"]


@pytest.mark.parametrize("name", NAMES)
def test_promotions_rise_and_limits_tighten(name: str) -> None:
    rule = library()[name]
    assert rule.route is not None
    assert rule.description is not None
    for step in rule.promotions:
        assert URGENCY[step.to] > URGENCY[rule.level]
        higher, base = rule.limits_at(step.to), rule.limits
        for field in ("sign_s", "contact_s", "door_s"):
            if getattr(base, field) and getattr(higher, field):
                assert getattr(higher, field) <= getattr(base, field)


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_the_rule_says(name: str, lang: str) -> None:
    rule = library()[name]
    text = page(rule, lang)
    assert text.startswith(f"# {rule.title.zh if lang == 'zh' else rule.title.en}\n")
    told: list[Callable[[], bool]] = [
        lambda: rule.version in text,
        lambda: rule.when in text,
        lambda: (rule.texts.raised.zh if lang == "zh" else rule.texts.raised.en) in text,
        lambda: all(s.detector in text for s in rule.signals.values()),
        lambda: rule.budget is None or f"{rule.budget.false_alerts_per_subject_year:g}" in text,
    ]
    assert all(check() for check in told)
    assert (lang == "zh") == ("对象" in text)


def test_the_index_links_every_page() -> None:
    text = index(library(), "en")
    assert all(f"[{name}]({name}.md)" in text for name in NAMES)
