"""Conditions that can never be met: by what values a name can have, and by contradiction.

Sound, not complete: what is reported is impossible, what is not reported may be, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from detectors.base import LEVELS
from rules.expression import Array, Binary, Call, Literal, Logic, Name, Node, Unary, conjuncts, walk
from rules.model import Rule
from rules.problems import suggest

SEASONS = ("winter", "spring", "summer", "autumn")
"""Of ``now.season``, in the order of the year's quarters from December on."""
_RANGES: Mapping[str, tuple[float, float]] = {
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
    "urgency": (-1, LEVELS),
}
WHOLE = frozenset(
    ("hour", "minute", "weekday", "month", "count", "distinct", "followed", "unfollowed", "urgency")
)
"""Fields that are whole numbers."""
_MIRROR = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "=="}
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}


class Dead(NamedTuple):
    """A part that is never met: where it starts in its text, why, and what might be meant."""

    at: int
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class World:
    """What names can be.

    Parameters
    ----------
    domains : mapping of str to frozenset of str
        Names with few values.
    blocked : frozenset of str
        Conditions under which nothing is raised.
    rules : frozenset of str, optional
        Names of all rules; None: not known.
    places : tuple of str
        Places begin with one of these; empty: anywhere.
    windows : mapping of str to int
        Look-back of event windows, seconds.
    overdue : mapping of str to int
        When an expected follow-up is overdue, for windows that expect one.
    """

    domains: Mapping[str, frozenset[str]] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    rules: frozenset[str] | None = None
    places: tuple[str, ...] = ()
    windows: Mapping[str, int] = field(default_factory=dict)
    overdue: Mapping[str, int] = field(default_factory=dict)


def world_of(rule: Rule, rules: Iterable[str] | None = None) -> World:
    """Return what is known of the names that a rule's conditions use."""
    domains = {"now.season": frozenset(SEASONS)}
    if rule.subjects.kinds and rule.subjects.grain == "subject":
        domains["subject.kind"] = frozenset(rule.subjects.kinds)
    for name, values in rule.subjects.attrs.items():
        if all(isinstance(v, str) for v in values):
            domains[f"subject.attrs.{name}"] = frozenset(map(str, values))
    blocked = {str(u.when) for u in rule.unless if u.when}
    blocked |= {f"context.{u.context}" for u in rule.unless if u.context}
    return World(
        domains=domains,
        blocked=frozenset(blocked),
        rules=None if rules is None else frozenset(rules),
        places=rule.subjects.place_prefixes,
        windows={name: use.within_s for name, use in rule.events.items()},
        overdue={n: use.then.within_s for n, use in rule.events.items() if use.then is not None},
    )


def never(tree: Node, text: str, world: World) -> Dead | None:
    """Return why an expression can never be true; None if it might."""
    if isinstance(tree, Logic) and tree.op == "||":
        dead = [never(item, text, world) for item in tree.items]
        return None if None in dead else dead[0]
    facts = _Facts(text, world)
    for clause in conjuncts(tree):
        nested = isinstance(clause, Logic)
        found = never(clause, text, world) if nested else facts.take(clause)
        if found is not None:
            return found
    return None


def dead_ends(tree: Node, text: str, world: World) -> Iterator[Dead]:
    """Yield the alternatives of an expression that can never be met, where others can."""
    for node in walk(tree):
        if isinstance(node, Logic) and node.op == "||":
            found = [never(item, text, world) for item in node.items]
            if None in found:
                yield from (dead for dead in found if dead is not None)


def implied(clause: Node, spans: Mapping[str, Span]) -> bool:
    """Return whether bounds on numbers make a clause like ``name > 3`` true."""
    bound = _bound(clause)
    if bound is None or bound.name not in spans:
        return False
    known, wanted = spans[bound.name], Span()
    wanted.narrow(bound.op, bound.value, bound.whole)
    return known.within(wanted)


def spans_of(tree: Node) -> dict[str, Span]:
    """Return the bounds that the clauses of a condition put on numbers."""
    spans: dict[str, Span] = {}
    for clause in conjuncts(tree):
        bound = _bound(clause)
        if bound is not None:
            span = spans.setdefault(bound.name, Span())
            span.narrow(bound.op, bound.value, bound.whole)
    return spans


class _Facts:
    """What the clauses so far, all of which must hold, leave possible."""

    def __init__(self, text: str, world: World) -> None:
        self.text = text
        self.world = world
        self.flags: dict[str, bool] = {}
        self.spans: dict[str, Span] = {}
        self.words: dict[str, frozenset[str]] = dict(world.domains)

    def take(self, clause: Node) -> Dead | None:
        """Take in a clause; return why it cannot hold beside the others, if it cannot."""
        text = self.text[clause.start : clause.end].strip("()")
        if isinstance(clause, Literal) and clause.value is False:
            return Dead(clause.start, "`false`")
        if text in self.world.blocked:
            return Dead(clause.start, f"`{text}` is also in unless")
        flag, denied = _undenied(clause)
        wanted = not denied
        if isinstance(flag, Literal) and flag.value is True and not wanted:
            return Dead(clause.start, "`!true`")
        if isinstance(flag, Name) and self.flags.setdefault(flag.dotted, wanted) != wanted:
            return Dead(clause.start, f"`{flag.dotted}` and its opposite")
        return self._number(clause) or self._word(clause) or self._call(clause)

    def _number(self, clause: Node) -> Dead | None:
        bound = _bound(clause)
        if bound is None:
            return None
        root, _, last = bound.name.partition(".")
        if bound.name not in self.spans:
            low, high = _RANGES.get(bound.name.rpartition(".")[2], (-math.inf, math.inf))
            self.spans[bound.name] = Span(low, high)
        span = self.spans[bound.name]
        span.narrow(bound.op, bound.value, bound.whole)
        if span.empty:
            return Dead(clause.start, f"no value of `{bound.name}` fits")
        within_s = self.world.windows.get(root)
        if within_s is None or last not in ("age_s", "first_age_s", "unfollowed"):
            return None
        if last == "unfollowed":
            if span.low >= 1 and self.world.overdue.get(root, -1) >= within_s:
                return Dead(
                    clause.start,
                    f"an event of `{root}` leaves the window before what follows is overdue",
                    "make within longer than that of then",
                )
        elif span.low >= within_s:
            return Dead(clause.start, f"`{root}` looks back {within_s} s only")
        return None

    def _word(self, clause: Node) -> Dead | None:
        name, values, keeps = _words(clause)
        if not name:
            return None
        before = self.words.get(name)
        if not keeps:
            if before is None:
                return None
            after = before - values
        else:
            after = values if before is None else before & values
        self.words[name] = after
        if after:
            return None
        known = self.world.domains.get(name, frozenset())
        hint = next((h for v in sorted(values - known) if (h := suggest(v, known))), "")
        return Dead(clause.start, f"no value of `{name}` fits", hint)

    def _call(self, clause: Node) -> Dead | None:
        """Judge ``"rule" in alerts`` and ``subject.place.startsWith("code")``."""
        known, places = self.world.rules, self.world.places
        match clause:
            case Binary(op="in", left=Literal(value=str(rule), start=at), right=right):
                if known is not None and rule not in known and _is(right, "alerts"):
                    return Dead(at, f'no rule is named "{rule}"', suggest(rule, known))
            case Call(
                function="startsWith", target=Name() as target, args=(Literal(value=str(code)),)
            ):
                met = any(p.startswith(code) or code.startswith(p) for p in places)
                if places and not met and _is(target, "subject.place"):
                    return Dead(clause.start, f"the rule watches no place in {code!r}")
        return None


@dataclass
class Span:
    """What values a number may still have."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is none."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def narrow(self, op: str, value: float, whole: bool = False) -> None:
        """Take in ``number op value``."""
        if whole and op == ">":
            op, value = ">=", math.floor(value) + 1
        elif whole and op == "<":
            op, value = "<=", math.ceil(value) - 1
        if op in (">", ">=", "==") and (value, op == ">") > (self.low, self.low_open):
            self.low, self.low_open = value, op == ">"
        if op in ("<", "<=", "==") and (-value, op == "<") > (-self.high, self.high_open):
            self.high, self.high_open = value, op == "<"

    def within(self, other: Span) -> bool:
        """Return whether all these values are among the other's."""
        low = (self.low, self.low_open) >= (other.low, other.low_open)
        return low and (-self.high, self.high_open) >= (-other.high, other.high_open)


class _Bound(NamedTuple):
    name: str
    op: str
    value: float
    whole: bool


def _bound(clause: Node) -> _Bound | None:
    """Return what a clause like ``name > 3`` (or its negation) says of a number."""
    inner, denied = _undenied(clause)
    if not isinstance(inner, Binary) or inner.op not in _MIRROR:
        return None
    left, right, op = inner.left, inner.right, inner.op
    if isinstance(right, Name):
        left, right, op = right, left, _MIRROR[op]
    value = _constant(right)
    if not isinstance(left, Name) or value is None or (denied and op not in _OPPOSITE):
        return None
    return _Bound(left.dotted, _OPPOSITE[op] if denied else op, value, left.path[-1] in WHOLE)


def _words(clause: Node) -> tuple[str, frozenset[str], bool]:
    """Return (name, values, whether it must be one of them) of a clause about text."""
    nothing: tuple[str, frozenset[str], bool] = "", frozenset(), True
    inner, denied = _undenied(clause)
    if not isinstance(inner, Binary):
        return nothing
    left, right = inner.left, inner.right
    if inner.op == "in" and isinstance(left, Name) and isinstance(right, Array):
        values = [i.value for i in right.items if isinstance(i, Literal)]
        if len(values) != len(right.items) or not all(isinstance(v, str) for v in values):
            return nothing
        return left.dotted, frozenset(map(str, values)), not denied
    if inner.op not in ("==", "!="):
        return nothing
    if isinstance(left, Literal):
        left, right = right, left
    if not isinstance(left, Name) or not isinstance(right, Literal):
        return nothing
    if not isinstance(right.value, str):
        return nothing
    return left.dotted, frozenset({right.value}), (inner.op == "==") != denied


def _undenied(node: Node) -> tuple[Node, bool]:
    """Return what ``!`` stands before, and whether it does."""
    if isinstance(node, Unary) and node.op == "!":
        return node.item, True
    return node, False


def _is(node: Node, dotted: str) -> bool:
    return isinstance(node, Name) and node.dotted == dotted


def _constant(node: Node) -> float | None:
    if isinstance(node, Unary) and node.op == "-":
        inner = _constant(node.item)
        return None if inner is None else -inner
    if isinstance(node, Literal) and isinstance(node.value, int | float):
        return None if isinstance(node.value, bool) else float(node.value)
    return None
