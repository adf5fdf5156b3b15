"""A rule broken on purpose in one way after another: its tests must notice each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from rules.alerts import Level
from rules.cases import Case
from rules.expression import conjuncts, parse
from rules.model import EventUse, Promotion, Rule, Text

Passes = Callable[[Case, Rule], bool]
"""Whether a case passes with a rule in place of the one of its name."""


class How(NamedTuple):
    """One way of breaking a rule, in words; ``key`` is the part of the file that was changed."""

    key: str
    zh: str
    en: str


def mutants(rule: Rule) -> Iterator[tuple[How, Rule]]:
    """Yield (how it is broken, the broken rule)."""
    always = " && ".join(f"{name}.ready" for name in rule.signals) or "true"
    yield from _conditions(rule, always)
    other = _other(rule.level)
    level = How("level", f"等级改为 {other}，不再升降", f"level {other}, and it stays")
    yield level, replace(rule, level=other, promotions=(), downgrades=())
    later = How("for", "for 加长 8 小时，预警更晚", "8 hours added to for: it fires later")
    yield later, replace(rule, for_s=rule.for_s + 8 * 3600)
    longer = How(
        "keep_firing_for", "keep_firing_for 加长 12 小时，解除更晚",
        "12 hours added to keep_firing_for: it resolves later",
    )  # fmt: skip
    yield longer, replace(rule, keep_firing_for_s=rule.keep_firing_for_s + 12 * 3600)
    if rule.for_s:
        sooner = How("for", "去掉 for，立即预警", "without for: it fires at once")
        yield sooner, replace(rule, for_s=0)
    if rule.keep_firing_for_s:
        shorter = How(
            "keep_firing_for", "去掉 keep_firing_for，立即解除",
            "without keep_firing_for: it resolves at once",
        )  # fmt: skip
        yield shorter, replace(rule, keep_firing_for_s=0)
    empty = Text("空", "empty")
    yield (
        How("texts", "预警文案换成“空”", 'another sentence when it is raised: "empty"'),
        replace(rule, texts=replace(rule.texts, raised=empty)),
    )
    closing = replace(rule.texts, resolved=empty, cancelled=empty)
    last = How(
        "texts", "解除、撤回文案换成“空”",
        'another sentence when it is resolved or cancelled: "empty"',
    )  # fmt: skip
    yield last, replace(rule, texts=closing)
    for i, step in enumerate(rule.promotions):
        others = (*rule.promotions[:i], *rule.promotions[i + 1 :])
        without = How(
            "promote", f"去掉升到 {step.to} 的一步", f"without the promotion to {step.to}"
        )
        yield without, replace(rule, promotions=others)
        changed = Promotion(step.to, step.after_s * 2)
        how = How(
            "promote",
            f"升到 {step.to} 的等待时间加倍",
            f"the promotion to {step.to} takes twice as long",
        )
        if step.when is not None:
            changed = Promotion(step.to, step.after_s, always)
            how = How(
                "promote",
                f"升到 {step.to} 不再看 when",
                f"the promotion to {step.to} whatever its when says",
            )
        yield how, replace(rule, promotions=(*others, changed))
    for i, back in enumerate(rule.downgrades):
        others_down = (*rule.downgrades[:i], *rule.downgrades[i + 1 :])
        stays = How(
            "downgrade",
            f"去掉从 {back.from_} 降级的一步",
            f"without the way down from {back.from_}",
        )
        yield stays, replace(rule, downgrades=others_down)
    if rule.unless:
        blunt = How(
            "unless", "when 总成立，并去掉全部 unless", "when is always true, without any unless"
        )
        yield blunt, replace(rule, when=always, hold=always, unless=())
    for unless in rule.unless:
        left = tuple(u for u in rule.unless if u != unless)
        heedless = How("unless", f"去掉 unless {unless.label}", f"without unless {unless.label}")
        yield heedless, replace(rule, unless=left)
    series = rule.subjects.series
    if series is not None and series.where and not rule.signals:
        every = replace(rule.subjects, series=replace(series, where={}))
        everything = How(
            "subjects",
            "去掉 series.where，任何事件都算",
            "without series.where: every event counts",
        )
        yield everything, replace(rule, subjects=every)
    for name, use in rule.events.items():
        forgetful = How(
            "events", f"事件 {name} 的 within 改为 1 分钟，转眼就忘",
            f"within of events {name} is 1 minute: forgotten at once",
        )  # fmt: skip
        yield forgetful, _with_events(rule, name, use)


def _conditions(rule: Rule, always: str) -> Iterator[tuple[How, Rule]]:
    """Yield the rule with another `when`."""
    never = f"({rule.when}) && false"
    yield How("when", "when 永不成立", "when is never true"), replace(rule, when=never, hold=never)
    yield How("when", "when 总成立", "when is always true"), replace(rule, when=always, hold=always)
    opposite = How("when", "when 取反", "the opposite of when")
    yield opposite, replace(rule, when=f"!({rule.when})", hold=f"!({rule.when})")
    if rule.signals:
        blind = " || ".join([f"({rule.when})", *(f"!{name}.ready" for name in rule.signals)])
        eager = How("when", "信号尚无数据时也预警", "it also fires while a signal has no data")
        yield eager, replace(rule, when=blind, hold=blind)
    clauses = [rule.when[node.start : node.end] for node in conjuncts(parse(rule.when))]
    for clause in clauses if len(clauses) > 1 else []:
        left = " && ".join(c for c in clauses if c != clause)
        lax = How("when", f"when 中去掉“{clause}”", f'when without "{clause}"')
        yield lax, replace(rule, when=left, hold=left)


def _with_events(rule: Rule, name: str, use: EventUse) -> Rule:
    # A window that forgets at once: whatever needs two events, or a wait, cannot come about.
    return replace(rule, events={**rule.events, name: replace(use, within_s=60)})


def _other(level: Level) -> Level:
    return Level.BLUE if level is not Level.BLUE else Level.RED


def survivors(rule: Rule, cases: Iterable[Case], passes: Passes) -> list[How]:
    """Return the ways of breaking a rule that none of its cases notices.

    Cases of signals are tried first: they cost next to nothing.
    """
    ordered = sorted(cases, key=lambda case: case.whole)
    return [how for how, broken in mutants(rule) if all(passes(c, broken) for c in ordered)]


def part_line(text: str, first: int, key: str) -> int:
    r"""Return the line of a rule's part in its file; that of the rule where it has none.

    Parameters
    ----------
    text : str
        The file.
    first : int
        Line on which the rule begins, from 1.
    key : str
        Such as ``when``.

    Examples
    --------
    >>> part_line("rules:\n- name: a\n  when: x\n- name: b\n  when: y\n", 4, "when")
    5
    """
    lines = text.splitlines()[first - 1 :]
    if not lines:
        return first
    indent = re.match(r"[\s-]*", lines[0])
    margin = 0 if indent is None else len(indent[0])
    for n, line in enumerate(lines):
        column = len(line) - len(line.lstrip(" "))
        if n and line.lstrip(" ").startswith("- ") and column < margin:
            break  # the next rule
        begins = line[margin:] if len(line) > margin else ""
        if begins.startswith(f"{key}:"):
            return first + n
    return first
