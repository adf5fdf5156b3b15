"""A rule broken on purpose in one way after another: its tests must notice each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from rules.alerts import Level
from rules.cases import Case
from rules.expression import conjuncts, parse
from rules.model import EventUse, Promotion, Rule, Text

Passes = Callable[[Case, Rule], bool]
"""Whether a case passes with a rule in place of the one of its name."""


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Yield (how it is broken, the broken rule)."""
    always = " && ".join(f"{name}.ready" for name in rule.signals) or "true"
    yield from _conditions(rule, always)
    yield "level", replace(rule, level=_other(rule.level), promotions=(), downgrades=())
    yield "later", replace(rule, for_s=rule.for_s + 8 * 3600)
    yield "longer", replace(rule, keep_firing_for_s=rule.keep_firing_for_s + 12 * 3600)
    if rule.for_s:
        yield "sooner", replace(rule, for_s=0)
    if rule.keep_firing_for_s:
        yield "shorter", replace(rule, keep_firing_for_s=0)
    empty = Text("空", "empty")
    yield "text", replace(rule, texts=replace(rule.texts, raised=empty))
    closing = replace(rule.texts, resolved=empty, cancelled=empty)
    yield "last words", replace(rule, texts=closing)
    for i, step in enumerate(rule.promotions):
        others = (*rule.promotions[:i], *rule.promotions[i + 1 :])
        yield f"no promotion {i}", replace(rule, promotions=others)
        changed = Promotion(step.to, step.after_s * 2)
        how = "later"
        if step.when is not None:
            changed, how = Promotion(step.to, step.after_s, always), "always"
        yield f"promotion {i} {how}", replace(rule, promotions=(*others, changed))
    for i, back in enumerate(rule.downgrades):
        others_down = (*rule.downgrades[:i], *rule.downgrades[i + 1 :])
        yield f"no way down from {back.from_}", replace(rule, downgrades=others_down)
    if rule.unless:
        yield "always, whatever explains it", replace(rule, when=always, hold=always, unless=())
    for unless in rule.unless:
        left = tuple(u for u in rule.unless if u != unless)
        yield f"not unless {unless.label}", replace(rule, unless=left)
    series = rule.subjects.series
    if series is not None and series.where and not rule.signals:
        every = replace(rule.subjects, series=replace(series, where={}))
        yield "whatever the events say", replace(rule, subjects=every)
    for name, use in rule.events.items():
        yield f"events {name} forgotten at once", _with_events(rule, name, use)


def _conditions(rule: Rule, always: str) -> Iterator[tuple[str, Rule]]:
    """Yield the rule with another `when`."""
    never = f"({rule.when}) && false"
    yield "never", replace(rule, when=never, hold=never)
    yield "always", replace(rule, when=always, hold=always)
    yield "opposite", replace(rule, when=f"!({rule.when})", hold=f"!({rule.when})")
    if rule.signals:
        blind = " || ".join([f"({rule.when})", *(f"!{name}.ready" for name in rule.signals)])
        yield "fires without data", replace(rule, when=blind, hold=blind)
    clauses = [rule.when[node.start : node.end] for node in conjuncts(parse(rule.when))]
    for clause in clauses if len(clauses) > 1 else []:
        left = " && ".join(c for c in clauses if c != clause)
        yield f"without {clause}", replace(rule, when=left, hold=left)


def _with_events(rule: Rule, name: str, use: EventUse) -> Rule:
    # A window that forgets at once: whatever needs two events, or a wait, cannot come about.
    return replace(rule, events={**rule.events, name: replace(use, within_s=60)})


def _other(level: Level) -> Level:
    return Level.BLUE if level is not Level.BLUE else Level.RED


def survivors(rule: Rule, cases: Iterable[Case], passes: Passes) -> list[str]:
    """Return the ways of breaking a rule that none of its cases notices.

    Cases of signals are tried first: they cost next to nothing.
    """
    ordered = sorted(cases, key=lambda case: case.whole)
    return [how for how, broken in mutants(rule) if all(passes(c, broken) for c in ordered)]
