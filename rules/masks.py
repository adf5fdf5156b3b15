"""Numeric clauses of expressions as masks over arrays.

CEL decides about one subject at a time; a million subjects need arrays first. An expression is
read as two questions, "could it be true here" and "could it be false here": a value that is not
known (NaN) answers no to both, as an error does in CEL, and a clause that arrays cannot express
answers yes to both. So the mask is always a superset of where CEL says true, and equals it when
every clause could be expressed. Equal sub-expressions of many rules are evaluated once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.expression import Binary, Literal, Logic, Name, Node, Ternary, Unary

BoolMask: TypeAlias = "NDArray[np.bool_] | np.bool_"
Columns: TypeAlias = Mapping[str, Any]
CHUNK = 32_768
"""Rows looked at together: their columns and masks stay in the processor's cache."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
_MIRROR = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_EXACT_INT = 2**31
_FLAGS = frozenset({"due", "ready", "seen", "rest_day"})
_WHOLE = frozenset({"urgency", "count", "distinct", "followed", "unfollowed"}) | frozenset(
    {"hour", "minute", "weekday", "month"}
)


class Term(NamedTuple):
    """A node of the shared graph; ``args`` are indices of other terms."""

    op: str
    args: tuple[int, ...] = ()
    value: Any = None


OPAQUE = Term("opaque")
"""What arrays cannot express; it could be anything."""


class Graph:
    """Terms of any number of expressions, equal ones stored once."""

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self._index: dict[Term, int] = {}

    def put(self, term: Term) -> int:
        """Return the index of a term, adding it if it is new."""
        # 1, 1.0 and True are equal keys in Python, but not the same constant.
        key = term._replace(value=(type(term.value), term.value))
        if key not in self._index:
            self._index[key] = len(self.terms)
            self.terms.append(term)
        return self._index[key]

    def add(self, node: Node, rename: Callable[[str], str | None]) -> int:
        """Return the term of an expression; `rename` gives a dotted name's column, if it has one."""
        match node:
            case Literal(value=value) if isinstance(value, bool | int | float):
                if isinstance(value, int) and abs(value) >= _EXACT_INT:
                    return self.put(OPAQUE)
                return self.put(Term("constant", value=value))
            case Name():
                key = rename(node.dotted)
                if key is None:
                    return self.put(OPAQUE)
                return self.put(
                    Term("column", value=(key, node.path[-1], rename(f"{node.path[0]}.ready")))
                )
            case Unary() if (number := _constant(node)) is not None:
                return self.put(Term("constant", value=number))
            case Unary():
                return self._put("!" if node.op == "!" else "-", [node.item], rename)
            case Logic():
                items = tuple(sorted({self.add(i, rename) for i in node.items}))
                return self.put(Term(node.op, items))
            case Binary() if _expressible(node):
                return self._put(node.op, [node.left, node.right], rename)
            case Ternary():
                return self._put("?", [node.test, node.yes, node.no], rename)
            case _:
                return self.put(OPAQUE)

    def _put(self, op: str, nodes: list[Node], rename: Callable[[str], str | None]) -> int:
        return self.put(Term(op, tuple(self.add(n, rename) for n in nodes)))

    def exact(self, term: int) -> bool:
        """Return whether arrays can express a term and all its parts."""
        here = self.terms[term]
        return here.op != "opaque" and all(self.exact(arg) for arg in here.args)

    def columns(self, term: int) -> frozenset[str]:
        """Return the columns that a term can use."""
        here = self.terms[term]
        mine = [self.columns(arg) for arg in here.args]
        if here.op == "column":
            key, field, ready = here.value
            mine.append(frozenset({key, ready} if field == "due" and ready else {key}))
        return frozenset().union(*mine)


def _expressible(node: Binary) -> bool:
    """Return whether arrays give what CEL gives for this operator on these operands."""
    if any(_is_flag(side) for side in (node.left, node.right)):
        return False
    if node.op in ("/", "%"):
        # CEL divides int towards zero and stops at zero; doubles divide as numpy's do.
        return node.op == "/" and not (_is_whole(node.left) or _is_whole(node.right))
    if node.op in ("==", "!="):
        # 0.0 / 0.0 is a value to CEL (unequal to all) but looks like an unknown one here.
        sides = (node.left, node.right)
        return all(isinstance(s, Literal | Name) or _constant(s) is not None for s in sides)
    return node.op in _COMPARE or node.op in _ARITHMETIC


def _constant(node: Node) -> int | float | None:
    """Return the value of ``-2.5``; None if it is something else."""
    if not isinstance(node, Unary) or node.op != "-" or not isinstance(node.item, Literal):
        return None
    value = node.item.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return -value if number and abs(value) < _EXACT_INT else None  # type: ignore[operator,arg-type]


def _is_flag(node: Node) -> bool:
    if isinstance(node, Literal):
        return isinstance(node.value, bool)
    return (isinstance(node, Unary) and node.op == "!") or (
        isinstance(node, Name) and (node.path[-1] in _FLAGS or node.path[0] == "context")
    )


def _is_whole(node: Node) -> bool:
    match node:
        case Literal():
            return isinstance(node.value, int)
        case Name():
            return node.path[-1] in _WHOLE
        case Unary():
            return _is_whole(node.item)
        case Binary():
            return _is_whole(node.left) and _is_whole(node.right)
        case _:
            return False


class Masks:
    """Masks of several expressions over the same rows.

    Parameters
    ----------
    graph : Graph
        Their terms.
    roots : sequence of int
        One term per expression.
    """

    def __init__(self, graph: Graph, roots: Sequence[int]) -> None:
        self.graph = graph
        self.roots = tuple(roots)

    def each(self, columns: Columns, rows: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield (expression, rows where it could be true), expressions that nowhere can left out.

        A column is a scalar, an array of shape (rows,), or a function of (start, stop) that
        returns that part of it: a column per rule need not exist as a whole.
        """
        found: dict[int, list[NDArray[np.int64]]] = {root: [] for root in self.roots}
        with np.errstate(all="ignore"):
            for start in range(0, rows, CHUNK):
                stop = min(start + CHUNK, rows)
                part = Evaluation(self.graph.terms, columns, start, stop)
                for root, parts in found.items():
                    mask: Any = part.could(root)
                    if mask.ndim:
                        hits = mask.nonzero()[0]
                        if len(hits):
                            parts.append(hits + start)
                    elif mask:
                        parts.append(np.arange(start, stop))
        whole = {root: np.concatenate(parts) for root, parts in found.items() if parts}
        for i, root in enumerate(self.roots):
            if root in whole:
                yield i, whole[root]


class Evaluation:
    """The masks of a graph's terms over rows start … stop−1, each computed once.

    Divisions by zero and numbers beyond float32 are in order here: callers silence numpy.
    """

    def __init__(
        self, terms: Sequence[Term], columns: Columns, start: int = 0, stop: int | None = None
    ) -> None:
        self.terms = terms
        self.columns = columns
        self.start = start
        self.stop = stop
        self._masks: dict[tuple[int, bool], BoolMask] = {}
        self._arrays: dict[str, NDArray[Any] | None] = {}

    def could(self, term: int) -> BoolMask:
        """Return where a term could be true."""
        return self._mask(term, True)

    def could_not(self, term: int) -> BoolMask:
        """Return where a term could be false."""
        return self._mask(term, False)

    def _mask(self, term: int, wanted: bool) -> BoolMask:
        key = (term, wanted)
        if key not in self._masks:
            self._masks[key] = self._compute(self.terms[term], wanted)
        return self._masks[key]

    def _compute(self, term: Term, wanted: bool) -> BoolMask:
        match term.op:
            case "constant" if isinstance(term.value, bool):
                return np.bool_(term.value is wanted)
            case "column":
                return self._flag(term, wanted)
            case "!":
                return self._mask(term.args[0], not wanted)
            case "&&" | "||":
                return self._logic(term, wanted)
            case "?":
                test, yes, no = term.args
                return (self.could(test) & self._mask(yes, wanted)) | (
                    self.could_not(test) & self._mask(no, wanted)
                )
            case op if op in _COMPARE:
                return self._compare(term, wanted)
            case _:
                return np.bool_(True)

    def _logic(self, term: Term, wanted: bool) -> BoolMask:
        """Return the mask of && and ||: every part must be `wanted`, or any may."""
        every = (term.op == "&&") is wanted
        mask: BoolMask = self._mask(term.args[0], wanted)
        for arg in term.args[1:]:
            if every:
                if not mask.any():
                    break
                mask = mask & self._mask(arg, wanted)
            else:
                mask = mask | self._mask(arg, wanted)
        return mask

    def _flag(self, term: Term, wanted: bool) -> BoolMask:
        key, field, ready_key = term.value
        flag = self._column(key)
        if flag is None or flag.dtype != np.bool_:
            return np.bool_(True)
        if wanted:
            return flag
        ready = self._column(ready_key) if field == "due" and ready_key is not None else None
        # Not due is one thing, not ready another: only the first makes `!x.due` true.
        return ~flag if ready is None else ~flag & ready.astype(np.bool_)

    def _compare(self, term: Term, wanted: bool) -> BoolMask:
        op = term.op if wanted else _OPPOSITE[term.op]
        left, right = (self._number(arg) for arg in term.args)
        if left is None or right is None:
            return np.bool_(True)
        mask = _compared(op, left, right)
        for arg in term.args:
            known = self._known(self.terms[arg])
            if known is not None:
                mask = mask & known
        return mask

    def _known(self, term: Term) -> BoolMask | None:
        """Return where a whole-number column is known; floats say it themselves by NaN."""
        if term.op == "column" and term.value[1] == "urgency":
            urgency = self._column(term.value[0])
            return None if urgency is None else urgency >= 0
        masks = [m for m in (self._known(self.terms[a]) for a in term.args) if m is not None]
        return np.logical_and.reduce(masks) if masks else None

    def _number(self, term_index: int) -> Any:
        """Return the values of a term: an array, a Python number, or None if they are not known."""
        term = self.terms[term_index]
        match term.op:
            case "constant":
                return None if isinstance(term.value, bool) else term.value
            case "column":
                array = self._column(term.value[0])
                return None if array is None or array.dtype.kind not in "iuf" else array
            case op if op in _ARITHMETIC:
                values = [self._number(arg) for arg in term.args]
                if any(v is None for v in values):
                    return None
                wide = [np.asarray(v, np.float64) for v in values]
                return -wide[0] if len(wide) == 1 else _ARITHMETIC[op](*wide)
            case _:
                return None

    def _column(self, key: str) -> NDArray[Any] | None:
        if key not in self._arrays:
            value = self.columns.get(key)
            if callable(value):
                value = value(self.start, self.stop)
            elif value is not None:
                value = np.asarray(value)
                value = value[self.start : self.stop] if value.ndim else value
            self._arrays[key] = value
        return self._arrays[key]


def fuse(
    evidences: Sequence[tuple[NDArray[Any], float]],
) -> NDArray[np.float64]:
    """Return the weighted sum of what evidence there is (NaN counts nothing); NaN for none."""
    total: Any = 0.0
    known: Any = np.bool_(False)
    for evidence, weight in evidences:
        there = ~np.isnan(evidence)
        total = total + np.where(there, np.asarray(evidence, np.float64), 0.0) * weight
        known = known | there
    return np.where(known, total, np.nan)


def _compared(op: str, left: Any, right: Any) -> BoolMask:
    if not isinstance(left, np.ndarray):
        left, right, op = right, left, _MIRROR[op]
    if not isinstance(left, np.ndarray):
        return np.bool_(_COMPARE[op](left, right))
    if isinstance(right, int | float):
        if left.dtype == np.float32:
            return _compared_single(op, left, float(right))
    elif left.dtype != right.dtype:
        left, right = left.astype(np.float64), right.astype(np.float64)
    if op == "!=":
        # NaN is unequal to everything, but an unknown value is not known to be unequal.
        return np.asarray((left < right) | (left > right))
    return np.asarray(_COMPARE[op](left, right))


def _compared_single(op: str, left: NDArray[np.float32], right: float) -> BoolMask:
    """Compare float32 to a double exactly, without widening the array.

    Between two neighbouring float32 no value of the array can lie, so the bound moves to the
    neighbour on the right side: x > c and x > floor32(c) are the same for every float32 x.
    """
    bound = np.float32(right)
    if op in ("==", "!=") and float(bound) != right:
        known = ~np.isnan(left)
        return known if op == "!=" else ~known & known
    if op in (">", "<=") and float(bound) > right:
        bound = np.nextafter(bound, np.float32(-math.inf))
    if op in (">=", "<") and float(bound) < right:
        bound = np.nextafter(bound, np.float32(math.inf))
    if op == "!=":
        return (left < bound) | (left > bound)
    return np.asarray(_COMPARE[op](left, bound))
