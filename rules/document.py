"""Reads YAML text into nodes with positions, within bounds, without ever a traceback.

PyYAML's parser gives events and marks; nodes are put together here, so that depth and size are
bounded while reading. Aliases are allowed but counted: a few lines cannot stand for millions of
nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import yaml

from rules.problems import Problem, shown

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


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml, where PyYAML was built with it: ten times as fast as the scanner in Python."""
_STR = "tag:yaml.org,2002:str"


class _Composer:
    """Puts the nodes of one document together from parser events, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: yaml.Node | None = None
        self.open: list[yaml.CollectionNode] = []
        self.keys: list[yaml.Node | None] = []
        self.anchors: dict[str, yaml.Node] = {}
        self.count = 0

    def take(self, event: Any) -> None:
        """Take in the next event."""
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self.refuse(event, "a second document begins here; use one file each, or rules:")
        elif isinstance(event, yaml.AliasEvent):
            known = self.anchors.get(str(event.anchor))
            if known is None:
                self.refuse(event, f"not YAML: found undefined alias {shown(event.anchor)}")
            else:
                self.place(event, known)
        elif isinstance(event, yaml.ScalarEvent):
            # An explicit tag is dropped but for !!str: a value is what it looks like.
            plain = event.implicit[0] and event.tag is None
            style = (
                None if plain else event.style or "'" if event.tag in (None, "!", _STR) else None
            )
            start, end = cast("Any", event.start_mark), cast("Any", event.end_mark)
            self.place(event, yaml.ScalarNode(_STR, event.value, start, end, style))
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            sequence = isinstance(event, yaml.SequenceStartEvent)
            cls: Any = yaml.SequenceNode if sequence else yaml.MappingNode
            node = cls("", [], event.start_mark, event.end_mark)
            self.place(event, node)
            self.open.append(node)
            self.keys.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop().end_mark = event.end_mark
            self.keys.pop()

    def place(self, event: Any, node: yaml.Node) -> None:
        """Put a node where it belongs: root, item, key or value."""
        self.count += 1
        if len(self.open) >= MAX_DEPTH:
            self.refuse(event, f"not YAML that rules need: nested too deeply (at most {MAX_DEPTH})")
        if self.count > MAX_NODES:
            self.refuse(event, f"not YAML that rules need: too many values (at most {MAX_NODES})")
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            self.anchors[event.anchor] = node
        if not self.open:
            self.root = node
        elif isinstance(self.open[-1], yaml.SequenceNode):
            self.open[-1].value.append(node)
        elif (key := self.keys[-1]) is None:
            self.keys[-1] = node
        else:
            self.open[-1].value.append((key, node))
            self.keys[-1] = None

    def refuse(self, event: Any, message: str) -> None:
        spot = spot_of(event.start_mark)
        raise DocumentError(Problem(self.file, spot.line, spot.column, message))


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
    composer = _Composer(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = spot_of(mark) if mark else Spot(1, 1)
        message = " ".join(filter(None, (error.context, error.problem))) or "not YAML"
        raise DocumentError(Problem(file, spot.line, spot.column, f"not YAML: {message}")) from None
    except yaml.reader.ReaderError as error:
        bad = next((i for i, c in enumerate(text) if not _allowed(c)), 0)
        line = text.count("\n", 0, bad) + 1
        message = f"not YAML: the character {text[bad : bad + 1]!a} is not allowed"
        raise DocumentError(Problem(file, line, bad - text.rfind("\n", 0, bad), message)) from error
    except (ValueError, OverflowError) as error:
        # PyYAML lets a few through (an escape beyond Unicode, an absurd %YAML version).
        raise DocumentError(Problem(file, 1, 1, f"not YAML: {shown(error)}")) from None
    if composer.root is not None:
        _bounded(file, composer.root)
    return composer.root


def _allowed(char: str) -> bool:
    """Return whether YAML allows a character."""
    return char in "\t\n\r\x85" or (
        char >= " "
        and not "\x7f" <= char <= "\x9f"
        and not ("\ud800" <= char <= "\udfff" or char in "\ufffe\uffff")
    )


def spot_of(mark: yaml.Mark) -> Spot:
    """Return the place of a mark."""
    return Spot(mark.line + 1, mark.column + 1)


def scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """Return the value of a scalar as JSON would see it.

    Plain ``true``, ``false``, ``null`` and decimal numbers are what they look like; all else is
    text: no ``no`` for false, no ``1:30`` for 90, no dates.
    """
    if node.style is not None:
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
