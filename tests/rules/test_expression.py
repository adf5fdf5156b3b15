"""Expressions are read as CEL reads them, within bounds, with the place of every mistake."""

from __future__ import annotations

import contextlib

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.expression import MAX_DEPTH, MAX_LENGTH, ExpressionError, conjuncts, parse, walk
from rules.scope import Type, check, rule_scope

GOOD = [
    "a",
    "a.b.c > 1",
    "-a.b < -2.5e3 && !c || d",
    "(a || b) && c",
    "a ? b : c ? d : e",
    "a in [1, 2, 'x']",
    '"x" in a.tags',
    "a[0] == a['k'].z",
    "a.b.startsWith('x') && size(a) > 2",
    "a.exists(t, t == 1)",
    "has(a.b) && a.matches('^x+$')",
    "int(a) % 2 == 1 + 2 * 3 - 4 / 5",
    "true == !false",
    "'it\\'s' == \"q\\\"\\n\"",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_expressions_are_good_to_cel(text: str) -> None:
    node = parse(text)
    assert (node.start, node.end) == (0, len(text)) or text[0] == "("
    cel.compile(text)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("a &&", 4, "the end"),
        ("a && && b", 5, '"&&"'),
        ("a = 1", 2, "unexpected character '='"),
        ("a & b", 2, "unexpected character '&'"),
        ("a > 'x", 4, "string that does not end"),
        ("a < b < c", 6, "do not chain"),
        ("(a && b", 7, "the end"),
        ("a)", 1, '")"'),
        ("a.b.(c)", 4, '"("'),
        ("foo(1,", 6, "the end"),
        ("9223372036854775808 > 1", 0, "too large"),
        ("a == 1e999", 5, "too large"),
        ("a > ---1", 6, "too many signs"),
        ("for", 0, "reserved"),
        ("中 > 1", 0, "unexpected character"),
        ("a && \x00", 5, "unexpected character"),
        ("{'a': 1}", 0, "unexpected character"),
    ],
)
def test_mistakes_have_a_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(
        ExpressionError, match=message.replace("(", r"\(").replace(")", r"\)")
    ) as error:
        parse(text)
    assert error.value.offset == offset


def test_bounds() -> None:
    parse("(" * (MAX_DEPTH - 1) + "a" + ")" * (MAX_DEPTH - 1))
    for hostile in (
        "(" * 5000 + "a",
        "(" * 500 + "a" + ")" * 500,
        "!" * 1500 + "a",
        "a" + ".b" * 900,
        "a" + "[0]" * 500,
        "1" + "+1" * 900,
        "a ? b : " * 240 + "c",
        "a" * (MAX_LENGTH + 1),
        "[" * 900,
    ):
        with pytest.raises(ExpressionError):
            parse(hostile)


def test_clauses_keep_their_text() -> None:
    text = "a.due && (b > 1 || c) && !d"
    assert [text[n.start : n.end] for n in conjuncts(parse(text))] == [
        "a.due",
        "(b > 1 || c)",
        "!d",
    ]


@settings(max_examples=500)
@given(st.text("ab.()[]!&|<>=+-*/%?:,'\" 019\\nxin", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    node = None
    with contextlib.suppress(ExpressionError):
        node = parse(text)
    if node is None:
        return
    assert all(0 <= n.start < n.end <= len(text) for n in walk(node))
    cel.compile(text)


SCOPE = rule_scope({"s": ("hours", "share"), "open": None}, ("visits",))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("s.due", Type.BOOL),
        ("s.facts.hours + 1.0", Type.DOUBLE),
        ("now.hour + 1", Type.INT),
        ("s.facts.hours > 1", Type.BOOL),
        ("subject.attrs.floors + 1 > 2", Type.BOOL),
        ("visits.count * 2", Type.INT),
        ("open.facts.anything > 1.0", Type.BOOL),
        ("'x' in alerts", Type.BOOL),
        ("now.season == 'winter' ? 1.0 : 2.0", Type.DOUBLE),
        ("size(alerts)", Type.INT),
        ("alerts.size() + 1", Type.INT),
        ("alerts.exists(a, a.startsWith('x'))", Type.BOOL),
        ("has(subject.attrs.x)", Type.BOOL),
        ("double(now.hour) * 1.5", Type.DOUBLE),
        ("visits.value == null", Type.BOOL),
    ],
)
def test_types(text: str, kind: Type) -> None:
    assert check(parse(text), SCOPE) == (kind, [])


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("s.deu", 2, 'unknown name "deu"'),
        ("t.due", 0, 'unknown name "t"'),
        ("s.facts.huors > 1.0", 8, 'unknown name "huors"'),
        ("s.facts.hours + 1 > 2.0", 16, "does not mix"),
        ("now.hour * 1.5 > 2.0", 0, "does not mix"),
        ("s > 1", 0, "is no value"),
        ("s.due.x", 0, "has no fields"),
        ("s.due && now.hour", 9, "wanted a condition"),
        ("!now.hour", 1, "wanted a condition"),
        ("now.season > 3", 0, "cannot be compared"),
        ("s.due == 1", 0, "cannot be compared"),
        ("foo(1)", 0, "unknown function"),
        ("alerts.foo(1)", 7, "unknown function"),
        ("'a' in now.hour", 7, "wanted a list"),
        ("size(1, 2) > 1", 0, "takes 1"),
        ("has(alerts)", 4, "takes a field"),
        ("alerts.map(1, 2)", 0, "takes a name"),
        ("s.due ? 1 : 'x'", 12, "one type"),
        ("s.due + 1 > 2", 0, "wanted a number"),
        ("s.p_value % 2.0 > 1.0", 0, "works on int"),
        ("now.hour.startsWith('x')", 0, "wanted text"),
        ("now.hour[0]", 0, "wanted a list"),
        ("(s.due ? alerts : alerts).x", 0, "wanted a map"),
    ],
)
def test_type_mistakes(text: str, offset: int, message: str) -> None:
    _, found = check(parse(text), SCOPE)
    assert [(f.offset, message in f.message) for f in found] == [(offset, True)]


def test_all_mistakes_at_once() -> None:
    _, found = check(parse("s.deu && now.huor > 3 || fusde > 1.0"), SCOPE)
    assert [f.hint for f in found] == [
        'did you mean "due"?',
        'did you mean "hour"?',
        'did you mean "fused"?',
    ]
