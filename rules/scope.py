"""What expressions and texts of a rule may name, and whether they name it rightly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from rules.expression import (
    FUNCTIONS,
    MACROS,
    METHODS,
    Array,
    Binary,
    Call,
    Index,
    Literal,
    Logic,
    Name,
    Node,
    Select,
    Ternary,
    Unary,
)
from rules.model import CONTEXTS
from rules.problems import listing, suggest


class Type(StrEnum):
    """Types of CEL, as far as rules meet them; ANY is an attribute that only data decides."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list"
    MAP = "map"
    NULL = "null"
    ANY = "any"


Scope: TypeAlias = Mapping[str, "Type | Scope"]
NUMBERS = (Type.INT, Type.DOUBLE, Type.ANY)

SUBJECT: Scope = MappingProxyType(
    {"id": Type.STRING, "kind": Type.STRING, "attrs": Type.MAP, "place": Type.STRING}
)
NOW: Scope = MappingProxyType(
    {
        "hour": Type.INT,
        "minute": Type.INT,
        "weekday": Type.INT,
        "month": Type.INT,
        "season": Type.STRING,
        "rest_day": Type.BOOL,
    }
)
CONTEXT: Scope = MappingProxyType(dict.fromkeys(CONTEXTS, Type.BOOL))
ALERT: Scope = MappingProxyType(
    {
        "onset_s_utc": Type.DOUBLE,
        "at_s_utc": Type.DOUBLE,
        "level": Type.STRING,
        "cause": Type.STRING,
    }
)
"""What texts may say of the alert itself; expressions cannot see it."""
LOOK: Scope = MappingProxyType(
    {
        "count": Type.INT,
        "distinct": Type.INT,
        "seen": Type.BOOL,
        "age_s": Type.DOUBLE,
        "first_age_s": Type.DOUBLE,
        "followed": Type.INT,
        "unfollowed": Type.INT,
        "value": Type.STRING,
        "evidence": Type.DOUBLE,
    }
)
ROOTS = frozenset({"subject", "context", "now", "alerts", "alert", "fused"})
"""Names that signals and events cannot take."""


def signal_scope(facts: Iterable[str] | None) -> Scope:
    """Return what can be named of a signal; None for facts that nobody declared."""
    return {
        "ready": Type.BOOL,
        "due": Type.BOOL,
        "urgency": Type.INT,
        "evidence": Type.DOUBLE,
        "p_value": Type.DOUBLE,
        "onset_s": Type.DOUBLE,
        "utilities": Type.LIST,
        "facts": Type.MAP if facts is None else dict.fromkeys(facts, Type.DOUBLE),
    }


def rule_scope(signals: Mapping[str, Iterable[str] | None], events: Iterable[str]) -> Scope:
    """Return the scope of a rule with these signals (name → facts) and events."""
    return {
        "subject": SUBJECT,
        "context": CONTEXT,
        "now": NOW,
        "alerts": Type.LIST,
        "fused": Type.DOUBLE,
        **dict.fromkeys(events, LOOK),
        **{name: signal_scope(facts) for name, facts in signals.items()},
    }


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in an expression; ``offset`` counts characters from its start."""

    message: str
    offset: int
    got: str = ""
    wanted: str = ""
    hint: str = ""


def resolve(path: tuple[str, ...], scope: Scope, offset: int) -> Type | Finding:
    """Return the type of a dotted path, or what is wrong with it."""
    known: Scope | Type = scope
    for i, word in enumerate(path):
        if isinstance(known, Type):
            if known in (Type.MAP, Type.ANY):
                return Type.ANY
            return Finding(f'"{".".join(path[:i])}" is a {known} and has no fields', offset, word)
        if word not in known:
            within = f' in "{".".join(path[:i])}"' if i else ""
            return Finding(
                f'unknown name "{word}"{within}',
                offset + sum(len(w) + 1 for w in path[:i]),
                wanted=f"one of {listing(known)}" if known else "nothing (it has no facts)",
                hint=suggest(word, known),
            )
        known = known[word]
    if isinstance(known, Type):
        return known
    return Finding(
        f'"{".".join(path)}" is no value', offset, wanted=f"one of its fields: {listing(known)}"
    )


def check(node: Node, scope: Scope) -> tuple[Type, list[Finding]]:
    """Return the type of an expression and every mistake in it.

    >>> from rules.expression import parse
    >>> kind, found = check(parse("now.huor > 3"), {"now": NOW})
    >>> found[0].message, found[0].offset, found[0].hint
    ('unknown name "huor" in "now"', 4, 'did you mean "hour"?')
    """
    checker = _Checker()
    kind = checker.type_of(node, scope)
    return kind, checker.found


class _Checker:
    def __init__(self) -> None:
        self.found: list[Finding] = []

    def wrong(self, node: Node, message: str, got: str = "", wanted: str = "") -> Type:
        self.found.append(Finding(message, node.start, got, wanted))
        return Type.ANY

    def type_of(self, node: Node, scope: Scope) -> Type:
        match node:
            case Literal():
                return _LITERALS[type(node.value)]
            case Name():
                kind = resolve(node.path, scope, node.start)
                if isinstance(kind, Finding):
                    self.found.append(kind)
                    return Type.ANY
                return kind
            case Unary():
                return self.unary(node, scope)
            case Logic():
                for item in node.items:
                    self.want(item, scope, (Type.BOOL, Type.ANY), f'a condition beside "{node.op}"')
                return Type.BOOL
            case Ternary():
                self.want(node.test, scope, (Type.BOOL, Type.ANY), 'a condition before "?"')
                return self.same(node.yes, node.no, scope)
            case Binary():
                return self.binary(node, scope)
            case Array():
                for item in node.items:
                    self.type_of(item, scope)
                return Type.LIST
            case Index():
                self.want(node.target, scope, (Type.LIST, Type.MAP, Type.ANY), 'a list before "["')
                self.type_of(node.item, scope)
                return Type.ANY
            case Select():
                self.want(node.target, scope, (Type.MAP, Type.ANY), 'a map before "."')
                return Type.ANY
            case Call():
                return self.call(node, scope)

    def want(self, node: Node, scope: Scope, allowed: tuple[Type, ...], what: str) -> Type:
        kind = self.type_of(node, scope)
        if kind not in allowed:
            self.wrong(node, f"wanted {what}", f"a {kind}")
        return kind

    def same(self, left: Node, right: Node, scope: Scope) -> Type:
        one, two = self.type_of(left, scope), self.type_of(right, scope)
        if one != two and Type.ANY not in (one, two):
            self.wrong(right, f"both sides must have one type: a {one} and a {two}")
        return two if one == Type.ANY else one

    def unary(self, node: Unary, scope: Scope) -> Type:
        if node.op == "!":
            self.want(node.item, scope, (Type.BOOL, Type.ANY), 'a condition after "!"')
            return Type.BOOL
        return self.want(node.item, scope, NUMBERS, 'a number after "-"')

    def binary(self, node: Binary, scope: Scope) -> Type:
        left, right = self.type_of(node.left, scope), self.type_of(node.right, scope)
        if node.op == "in":
            if right not in (Type.LIST, Type.MAP, Type.ANY):
                self.wrong(node.right, 'wanted a list after "in"', f"a {right}")
            return Type.BOOL
        if node.op in ("+", "-", "*", "/", "%"):
            return self.arithmetic(node, left, right)
        both = {left, right}
        if both <= set(NUMBERS) or Type.ANY in both:
            return Type.BOOL
        comparable = left == right and (node.op in ("==", "!=") or left == Type.STRING)
        if not comparable and not (Type.NULL in both and node.op in ("==", "!=")):
            self.wrong(node, f'a {left} cannot be compared to a {right} by "{node.op}"')
        return Type.BOOL

    def arithmetic(self, node: Binary, left: Type, right: Type) -> Type:
        for side, kind in ((node.left, left), (node.right, right)):
            text = kind == Type.STRING and node.op == "+"
            if kind not in NUMBERS and not text:
                return self.wrong(side, f'wanted a number beside "{node.op}"', f"a {kind}")
        if left != right and Type.ANY not in (left, right):
            whole = node.left if left == Type.INT else node.right
            return self.wrong(
                whole,
                f"CEL does not mix int and double in arithmetic: a {left} {node.op} a {right}",
                wanted="a decimal point (2.0), or double(…)",
            )
        if node.op == "%" and Type.DOUBLE in (left, right):
            return self.wrong(node, '"%" works on int only')
        return right if left == Type.ANY else left

    def call(self, node: Call, scope: Scope) -> Type:
        name = node.function
        if node.target is None:
            if name not in FUNCTIONS:
                return self.unknown(node, FUNCTIONS)
        elif name in MACROS:
            return self.macro(node, scope)
        elif name not in METHODS:
            return self.unknown(node, METHODS | MACROS)
        wanted = 0 if name == "size" and node.target is not None else 1
        if len(node.args) != wanted:
            return self.wrong(node, f"{name}() takes {wanted} argument(s)", str(len(node.args)))
        if name == "has":
            return self.has(node, scope)
        if node.target is not None and name != "size":
            self.want(node.target, scope, (Type.STRING, Type.ANY), f"text before .{name}()")
            self.want(node.args[0], scope, (Type.STRING, Type.ANY), f"text in {name}()")
        for arg in (*node.args, *([node.target] if node.target and name == "size" else [])):
            if node.target is None or name == "size":
                self.type_of(arg, scope)
        results = {"size": Type.INT, "int": Type.INT, "double": Type.DOUBLE, "string": Type.STRING}
        return results.get(name, Type.BOOL)

    def unknown(self, node: Call, known: frozenset[str]) -> Type:
        self.found.append(
            Finding(
                f'unknown function "{node.function}"',
                node.at,
                wanted=f"one of {listing(known)}",
                hint=suggest(node.function, known),
            )
        )
        return Type.ANY

    def has(self, node: Call, scope: Scope) -> Type:
        if not (isinstance(node.args[0], Name) and len(node.args[0].path) > 1):
            self.wrong(node.args[0], "has() takes a field, as in has(subject.attrs.floor)")
        else:
            self.type_of(node.args[0], scope)
        return Type.BOOL

    def macro(self, node: Call, scope: Scope) -> Type:
        assert node.target is not None
        self.want(node.target, scope, (Type.LIST, Type.ANY), f"a list before .{node.function}()")
        if len(node.args) != 2 or not (
            isinstance(node.args[0], Name) and len(node.args[0].path) == 1
        ):
            return self.wrong(node, f"{node.function}() takes a name and an expression")
        inner = {**scope, node.args[0].path[0]: Type.ANY}
        if node.function == "map":
            self.type_of(node.args[1], inner)
            return Type.LIST
        self.want(node.args[1], inner, (Type.BOOL, Type.ANY), f"a condition in {node.function}()")
        return Type.LIST if node.function == "filter" else Type.BOOL


_LITERALS: Mapping[type, Type] = {
    bool: Type.BOOL,
    int: Type.INT,
    float: Type.DOUBLE,
    str: Type.STRING,
    type(None): Type.NULL,
}
