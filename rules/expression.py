"""Reads CEL expressions into a tree with positions.

Evaluation is left to the CEL library; this tree is what lets the loader name the column of a
mistake, and what lets numeric clauses run over arrays (:mod:`rules.masks`). It takes the part of
CEL that rules need (no messages, maps, bytes or comments) and bounds length and depth, so
that hostile text can exhaust neither this parser nor the library's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

MAX_LENGTH = 2_000
MAX_DEPTH = 30
MAX_TERMS = 200
_INT_MAX = 2**63 - 1

METHODS = frozenset({"contains", "startsWith", "endsWith", "matches", "size"})
FUNCTIONS = frozenset({"size", "int", "double", "string", "has"})
MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let"}
    | {"loop", "package", "namespace", "return", "var", "void", "while"}
)


class ExpressionError(ValueError):
    """Text that is no expression; ``offset`` counts characters from its start."""

    def __init__(self, message: str, offset: int, wanted: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: bool, int, float, str, or None for ``null``."""

    value: bool | int | float | str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, as a dotted path: ``silence.facts.hours`` is ``("silence", "facts", "hours")``."""

    path: tuple[str, ...]
    start: int
    end: int

    @property
    def dotted(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Unary:
    """``!x`` or ``-x``."""

    op: str
    item: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, a comparison, or ``in``."""

    op: str
    left: Node
    right: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Logic:
    """``a && b && …`` or ``a || b || …``, flattened."""

    op: str
    items: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Ternary:
    """``test ? yes : no``."""

    test: Node
    yes: Node
    no: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, b, …]``."""

    items: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Index:
    """``target[item]``."""

    target: Node
    item: Node
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Select:
    """``target.field`` of something that is not a plain path."""

    target: Node
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """``function(args)``, or ``target.function(args)``; ``at`` is where its name stands."""

    function: str
    target: Node | None
    args: tuple[Node, ...]
    at: int
    start: int
    end: int


Node: TypeAlias = Literal | Name | Unary | Binary | Logic | Ternary | Array | Index | Select | Call


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct parts of a node."""
    match node:
        case Unary():
            return (node.item,)
        case Binary():
            return (node.left, node.right)
        case Logic() | Array():
            return node.items
        case Ternary():
            return (node.test, node.yes, node.no)
        case Index():
            return (node.target, node.item)
        case Select():
            return (node.target,)
        case Call():
            return node.args if node.target is None else (node.target, *node.args)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all its parts."""
    yield node
    for child in children(node):
        yield from walk(child)


def conjuncts(node: Node) -> tuple[Node, ...]:
    """Return the clauses of a top-level ``&&``; the node itself if there is none.

    >>> text = "a.due && (b > 1.0 || c)"
    >>> [text[n.start : n.end] for n in conjuncts(parse(text))]
    ['a.due', '(b > 1.0 || c)']
    """
    return node.items if isinstance(node, Logic) and node.op == "&&" else (node,)


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises
    ------
    ExpressionError
        If it is none, or is longer or deeper than rules need.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters", MAX_LENGTH, f"at most {MAX_LENGTH}"
        )
    return _Parser(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


_TOKENS = re.compile(
    r"""(?P<space>[ \t\r\n\f]+)
    |(?P<float>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+))
    |(?P<int>\d+)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<string>"(?:[^"\\\n]|\\["'\\nrtabfv`?])*"|'(?:[^'\\\n]|\\["'\\nrtabfv`?])*')
    |(?P<op>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(_Token(kind, match.group(), at))
        at = match.end()
    found.append(_Token("end", "", len(text)))
    return found


def _unreadable(text: str, at: int) -> ExpressionError:
    char = text[at]
    if char in "\"'":
        return ExpressionError("a string that does not end, or with an unknown escape", at)
    meant = {"=": '"=="', "&": '"&&"', "|": '"||"'}.get(char, "")
    return ExpressionError(f"unexpected character {char!a}", at, meant)


class _Parser:
    """Recursive descent over the tokens, one method per precedence."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0
        self.depth = 0
        self.terms = 0

    def whole(self) -> Node:
        if self.peek.kind == "end":
            raise ExpressionError("the expression is empty", 0)
        node = self.ternary()
        if self.peek.kind != "end":
            raise self.unexpected("the end or an operator")
        return node

    @property
    def peek(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def accept(self, *texts: str) -> _Token | None:
        token = self.peek
        if token.kind in ("op", "name") and token.text in texts:
            return self.take()
        return None

    def expect(self, text: str) -> _Token:
        token = self.accept(text)
        if token is None:
            raise self.unexpected(f'"{text}"')
        return token

    def unexpected(self, wanted: str) -> ExpressionError:
        token = self.peek
        got = "the end of the expression" if token.kind == "end" else f'"{token.text[:40]}"'
        return ExpressionError(f"unexpected {got}", token.start, wanted)

    def ternary(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError("nested too deeply", self.peek.start, f"at most {MAX_DEPTH}")
        test = self.logic("||")
        if self.accept("?"):
            yes = self.logic("||")
            self.expect(":")
            no = self.ternary()
            test = Ternary(test, yes, no, test.start, no.end)
        self.depth -= 1
        return test

    def logic(self, op: str) -> Node:
        items = [self.logic("&&") if op == "||" else self.relation()]
        while self.accept(op):
            items.append(self.logic("&&") if op == "||" else self.relation())
        if len(items) == 1:
            return items[0]
        return Logic(op, tuple(items), items[0].start, items[-1].end)

    def relation(self) -> Node:
        left = self.sum()
        token = self.accept(*_RELATIONS)
        if token is None:
            return left
        right = self.sum()
        if self.peek.text in _RELATIONS and self.peek.kind in ("op", "name"):
            raise ExpressionError("comparisons do not chain", self.peek.start, '"&&" between them')
        return Binary(token.text, left, right, left.start, right.end)

    def sum(self) -> Node:
        left = self.product()
        while token := self.accept("+", "-"):
            right = self.product()
            left = self.joined(token, left, right)
        return left

    def product(self) -> Node:
        left = self.unary()
        while token := self.accept("*", "/", "%"):
            right = self.unary()
            left = self.joined(token, left, right)
        return left

    def joined(self, token: _Token, left: Node, right: Node) -> Node:
        # A chain leans left, so its length is the depth of the tree.
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise ExpressionError("too many terms", token.start, f"at most {MAX_TERMS}")
        return Binary(token.text, left, right, left.start, right.end)

    def unary(self) -> Node:
        signs: list[_Token] = []
        while token := self.accept("!", "-"):
            signs.append(token)
            if len(signs) > 2:
                raise ExpressionError("too many signs in a row", token.start, "one")
        node = self.member()
        for token in reversed(signs):
            node = Unary(token.text, node, token.start, node.end)
        return node

    def member(self) -> Node:
        node = self.primary()
        links = 0
        while token := self.accept(".", "["):
            links += 1
            if links > MAX_DEPTH:
                raise ExpressionError(
                    "too many links in a row", token.start, f"at most {MAX_DEPTH}"
                )
            if token.text == "[":
                item = self.ternary()
                node = Index(node, item, node.start, self.expect("]").end)
            elif self.peek.kind != "name" or self.peek.text == "in":
                raise self.unexpected("a name")
            else:
                node = self.link(node, self.take())
        return node

    def link(self, node: Node, field: _Token) -> Node:
        if self.accept("("):
            args, end = self.arguments(")")
            return Call(field.text, node, args, field.start, node.start, end)
        if isinstance(node, Name):
            return Name((*node.path, field.text), node.start, field.end)
        return Select(node, field.text, node.start, field.end)

    def arguments(self, close: str) -> tuple[tuple[Node, ...], int]:
        items: list[Node] = []
        while not (end := self.accept(close)):
            if items and not self.accept(","):
                raise self.unexpected(f'"," or "{close}"')
            items.append(self.ternary())
        return tuple(items), end.end

    def primary(self) -> Node:
        token = self.peek
        if token.kind == "op" and token.text == "(":
            self.take()
            node = self.ternary()
            return _widened(node, token.start, self.expect(")").end)
        if token.kind == "op" and token.text == "[":
            self.take()
            items, end = self.arguments("]")
            return Array(items, token.start, end)
        if token.kind in ("float", "int"):
            return _number(self.take())
        if token.kind == "string":
            self.take()
            return Literal(_unescape(token.text[1:-1]), token.start, token.end)
        if token.kind == "name":
            return self.name()
        raise self.unexpected("a value")

    def name(self) -> Node:
        token = self.peek
        if token.text in _RESERVED:
            raise ExpressionError(f'"{token.text}" is a reserved word', token.start, "a value")
        self.take()
        if token.text in ("true", "false", "null"):
            value = {"true": True, "false": False}.get(token.text)
            return Literal(value, token.start, token.end)
        if self.accept("("):
            args, end = self.arguments(")")
            return Call(token.text, None, args, token.start, token.start, end)
        return Name((token.text,), token.start, token.end)


def _number(token: _Token) -> Literal:
    if token.kind == "float":
        value = float(token.text)
        if value in (float("inf"),):
            raise ExpressionError("the number is too large", token.start)
        return Literal(value, token.start, token.end)
    if len(token.text) > 19 or int(token.text) > _INT_MAX:
        raise ExpressionError("the number is too large", token.start, f"at most {_INT_MAX}")
    return Literal(int(token.text), token.start, token.end)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text)


def _widened(node: Node, start: int, end: int) -> Node:
    """Return the node with its brackets, so that its text can be quoted whole."""
    return replace(node, start=start, end=end)
