"""Reads YAML text into nodes with positions, within bounds, without ever a traceback.

PyYAML's safe composer gives the marks. Aliases are allowed but counted, so that a few lines
cannot stand for millions of nodes; depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rules.problems import Problem

MAX_CHARACTERS = 500_000
MAX_DEPTH = 16
MAX_NODES = 50_000

_INT = re.compile(r"[-+]?\d{1,15}\Z")
_FLOAT = re.compile(r"[-+]?(\d{1,15}\.\d{0,17}|\.\d{1,17}|\d{1,15})([eE][-+]?\d{1,2})?\Z")


class DocumentError(ValueError):
    """Text that is no YAML this program reads; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int


class _Loader(yaml.SafeLoader):
    """The safe loader, bounded in depth and nodes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.count += 1
        if self.depth > MAX_DEPTH or self.count > MAX_NODES:
            what = "nested too deeply" if self.depth > MAX_DEPTH else "too many values"
            most = MAX_DEPTH if self.depth > MAX_DEPTH else MAX_NODES
            raise yaml.MarkedYAMLError(
                problem=f"{what} (at most {most})",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(file: str, text: str) -> yaml.Node | None:
    """Return the root node of a file's only document; None if it is empty.

    Raises
    ------
    DocumentError
        If it is not YAML, has several documents, or is beyond the bounds.
    """
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(
            Problem(file, 1, 1, f"the file has {len(text)} characters (at most {MAX_CHARACTERS})")
        )
    try:
        loader = _Loader(text)
        root: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = spot_of(mark) if mark else Spot(1, 1)
        message = " ".join(filter(None, (error.context, error.problem))) or "not YAML"
        raise DocumentError(Problem(file, spot.line, spot.column, f"not YAML: {message}")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        message = f"not YAML: the character #x{error.character:04x} is not allowed"
        raise DocumentError(Problem(file, line, column, message)) from None
    except (ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets a few through (an escape beyond Unicode, an absurd %YAML version).
        raise DocumentError(Problem(file, 1, 1, f"not YAML: {error}"[:200])) from None
    if root is not None:
        _bounded(file, root)
    return root


def spot_of(mark: yaml.Mark) -> Spot:
    """Return the place of a mark."""
    return Spot(mark.line + 1, mark.column + 1)


def scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """Return the value of a scalar as JSON would see it.

    Plain ``true``, ``false``, ``null`` and decimal numbers are what they look like; all else is
    text: no ``no`` for false, no ``1:30`` for 90, no dates.
    """
    if node.style is not None or node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    text = node.value
    if text in ("true", "false"):
        return bool(text == "true")
    if text in ("", "null", "~"):
        return None
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else str(text)


def kind(node: yaml.Node) -> str:
    """Return what a node is, in words of a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if not isinstance(node, yaml.ScalarNode):
        return "a list"
    value = scalar(node)
    if value is None:
        return "nothing"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names[type(value)]


def within(node: yaml.Node, offset: int, source: str) -> Spot:
    """Return where the character at `offset` of a scalar's value stands in the file.

    Folding and quoting change white space and quotes only, so the k-th visible character of the
    value is the k-th visible one of the source (escapes in double quotes shift it a little).
    """
    start, stop = node.start_mark.index, node.end_mark.index
    raw = source[start:stop]
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        skip = raw.find("\n") + 1
    else:
        skip = 1 if raw[:1] in ("'", '"') else 0
    visible = sum(not c.isspace() for c in node.value[:offset])
    at = skip
    for at in range(skip, len(raw)):
        if not raw[at].isspace():
            if visible == 0:
                break
            visible -= 1
    else:
        at = len(raw)
    before = source[: start + at]
    return Spot(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _bounded(file: str, root: yaml.Node) -> None:
    """Refuse what aliases blow up: count nodes as a reader without sharing would meet them."""
    met = 0
    pending: list[tuple[yaml.Node, int]] = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        met += 1
        if met > MAX_NODES or depth > MAX_DEPTH:
            spot = spot_of(node.start_mark)
            raise DocumentError(
                Problem(file, spot.line, spot.column, "aliases make the file too large or endless")
            )
        pending += [(child, depth + 1) for child in _children(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
