"""What is legal but suspicious: rules that can never fire, that others cover, that go nowhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rules.expression import Binary, Literal, Name, Node, Unary, conjuncts, parse
from rules.model import Rule, Selector
from rules.problems import Problem

_RANGES: dict[str, tuple[float, float]] = {
    "hour": (0, 23),
    "minute": (0, 59),
    "weekday": (1, 7),
    "month": (1, 12),
    "p_value": (0, 1),
    "count": (0, math.inf),
    "distinct": (0, math.inf),
    "followed": (0, math.inf),
    "unfollowed": (0, math.inf),
    "age_s": (0, math.inf),
    "first_age_s": (0, math.inf),
    "onset_s": (0, math.inf),
    "urgency": (-1, 127),
}
_MIRROR = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "=="}


def lint(rules: Sequence[Rule]) -> list[Problem]:
    """Return warnings for a set of rules that was loaded without errors."""
    found: list[Problem] = []
    for rule in rules:
        reason = never(rule)
        if reason:
            found.append(_warning(rule, f"it can never fire: {reason}"))
        by = next((o for o in rules if o.name != rule.name and covers(o, rule)), None)
        if by is not None:
            found.append(_warning(rule, f'it is shadowed: "{by.name}" fires whenever it would'))
        if rule.route is None and not rule.shadow:
            found.append(_warning(rule, "it has no route: its alerts become nobody's task"))
    return found


def never(rule: Rule) -> str:
    """Return why a rule can never fire; nothing if it might."""
    tree = parse(rule.when)
    blocked = {str(unless.when) for unless in rule.unless if unless.when}
    blocked |= {f"context.{unless.context}" for unless in rule.unless if unless.context}
    spans: dict[str, _Span] = {}
    flags: dict[str, bool] = {}
    for clause in conjuncts(tree):
        text = rule.when[clause.start : clause.end].strip("()")
        if isinstance(clause, Literal) and clause.value is False:
            return "`false`"
        if text in blocked:
            return f"`{text}` is also in unless"
        flag, wanted = (clause.item, False) if isinstance(clause, Unary) else (clause, True)
        if isinstance(flag, Name) and flags.setdefault(flag.dotted, wanted) != wanted:
            return f"`{flag.dotted}` and its opposite"
        name = _bound(clause, spans)
        if name and spans[name].empty:
            return f"no value of `{name}` fits"
    return ""


def covers(other: Rule, rule: Rule) -> bool:
    """Return whether `other` fires whenever `rule` would, and then keeps it quiet (or equals it)."""
    quiet = rule.name in other.inhibits or any(u.alert == other.name for u in rule.unless)
    same = other.when == rule.when and other.for_s == rule.for_s and other.name < rule.name
    alike = (
        other.signals == rule.signals
        and other.events == rule.events
        and other.budget == rule.budget
        and set(other.unless) <= {u for u in rule.unless if u.alert != other.name}
    )
    if not (quiet or same) or not alike or other.shadow:
        return False
    return (
        _wider(other.subjects, rule.subjects)
        and _clauses(other) <= _clauses(rule)
        and other.for_s <= rule.for_s
    )


def _warning(rule: Rule, message: str) -> Problem:
    return Problem(rule.file, rule.line, 1, message, rule.name)


def _clauses(rule: Rule) -> set[str]:
    return {rule.when[c.start : c.end] for c in conjuncts(parse(rule.when))}


def _wider(one: Selector, two: Selector) -> bool:
    """Return whether `one` watches everything that `two` does."""
    return (
        one.grain == two.grain
        and one.series == two.series
        and (not one.kinds or (bool(two.kinds) and set(two.kinds) <= set(one.kinds)))
        and (
            not one.place_prefixes
            or (
                bool(two.place_prefixes)
                and all(p.startswith(one.place_prefixes) for p in two.place_prefixes)
            )
        )
        and all(
            name in two.attrs and set(two.attrs[name]) <= set(allowed)
            for name, allowed in one.attrs.items()
        )
    )


@dataclass
class _Span:
    """What values a number may still have."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def narrow(self, op: str, value: float) -> None:
        if op in (">", ">=", "==") and (value, op == ">") > (self.low, self.low_open):
            self.low, self.low_open = value, op == ">"
        if op in ("<", "<=", "==") and (-value, op == "<") > (-self.high, self.high_open):
            self.high, self.high_open = value, op == "<"


def _bound(clause: Node, spans: dict[str, _Span]) -> str:
    """Take a clause like ``name > 3`` into the spans; return the name."""
    if not isinstance(clause, Binary) or clause.op not in _MIRROR:
        return ""
    left, right, op = clause.left, clause.right, clause.op
    if isinstance(right, Name):
        left, right, op = right, left, _MIRROR[op]
    value = _constant(right)
    if not isinstance(left, Name) or value is None:
        return ""
    if left.dotted not in spans:
        low, high = _RANGES.get(left.path[-1], (-math.inf, math.inf))
        spans[left.dotted] = _Span(low, high)
    spans[left.dotted].narrow(op, value)
    return left.dotted


def _constant(node: Node) -> float | None:
    if isinstance(node, Unary) and node.op == "-":
        inner = _constant(node.item)
        return None if inner is None else -inner
    if isinstance(node, Literal) and isinstance(node.value, int | float):
        return None if isinstance(node.value, bool) else float(node.value)
    return None
