"""Shapes of values in a file: one description that reads YAML nodes and writes JSON Schema.

A shape reads a node into a plain value and reports what does not fit; it never raises. A value
that did not fit is :data:`BAD`, and what would be derived from it is left out silently, so that
one mistake is reported once.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from rules.document import kind, scalar, spot_of, within
from rules.expression import ExpressionError, Node, parse
from rules.problems import Problem, listing, shown, suggest


class _Bad:
    """The value of what did not fit its shape."""

    def __repr__(self) -> str:
        return "BAD"

    def __bool__(self) -> bool:
        return False


BAD: Final = _Bad()


class Reader:
    """One file being read: its text, and the problems found so far."""

    def __init__(self, file: str, source: str, what: str = "rule") -> None:
        self.file = file
        self.source = source
        self.what = what
        """What the file holds: rules or tests; messages name them so."""
        self.rule = ""
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def report(
        self,
        node: yaml.Node,
        message: str,
        *,
        got: str = "",
        wanted: str = "",
        hint: str = "",
        offset: int | None = None,
        warn: bool = False,
    ) -> _Bad:
        """Note a problem at a node, or at a character within its text; return :data:`BAD`."""
        spot = spot_of(node.start_mark) if offset is None else within(node, offset, self.source)
        problem = Problem(
            self.file, spot.line, spot.column, message, self.rule, got, wanted, hint, warn,
            self.what,
        )  # fmt: skip
        (self.warnings if warn else self.problems).append(problem)
        return BAD


class Read(dict[str, Any]):
    """A record as read: values by key, and where they stand."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node
        self.nodes: dict[str, yaml.Node] = {}
        """Node of each value that was there."""
        self.keys_at: dict[str, yaml.Node] = {}

    def at(self, key: str) -> yaml.Node:
        """Return the node to point at for a key: its value, else the record."""
        return self.nodes.get(key, self.node)


class Shape(ABC):
    """What a value must look like."""

    wanted = ""
    """In words, for messages."""

    @abstractmethod
    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the node's value, or BAD after reporting what is wrong."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the same values."""

    def refuse(self, reader: Reader, node: yaml.Node, name: str = "") -> _Bad:
        """Report that a node is not what was wanted."""
        got = kind(node)
        if isinstance(node, yaml.ScalarNode) and scalar(node) is not None:
            got = shown(node.value)
        return reader.report(
            node, f"{name or 'this value'} does not fit", got=got, wanted=self.wanted
        )


@dataclass(frozen=True)
class Words(Shape):
    """Text, optionally of a pattern."""

    wanted: str = "text"
    pattern: str = ""
    most: int = 2_000

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the text."""
        if not isinstance(node, yaml.ScalarNode) or not isinstance(scalar(node), str):
            hint = ""
            if isinstance(node, yaml.ScalarNode) and scalar(node) is not None:
                hint = f'quote it to make it text: "{node.value[:40]}"'
            return reader.report(
                node, "this value does not fit", got=kind(node), wanted=self.wanted, hint=hint
            )
        text = node.value.strip() if not self.pattern else node.value
        if not text or len(text) > self.most:
            got = f"{len(text)} characters" if text else "nothing"
            return reader.report(node, "this text does not fit", got=got, wanted=self.wanted)
        if self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            return self.refuse(reader, node)
        return text

    def schema(self) -> dict[str, Any]:
        """Return a string type."""
        extra = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {"minLength": 1}
        return {"type": "string", "maxLength": self.most, **extra}


@dataclass(frozen=True)
class OneOf(Shape):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """The words."""
        return f"one of {', '.join(self.words)}"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the word."""
        if isinstance(node, yaml.ScalarNode) and scalar(node) in self.words:
            return node.value
        hint = suggest(node.value, self.words) if isinstance(node, yaml.ScalarNode) else ""
        got = shown(node.value) if isinstance(node, yaml.ScalarNode) else kind(node)
        return reader.report(node, "unknown word", got=got, wanted=self.wanted, hint=hint)

    def schema(self) -> dict[str, Any]:
        """Return an enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Number(Shape):
    """A number within bounds."""

    least: float = 0.0
    most: float = 1e9
    above: bool = False

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """The bounds."""
        return f"a number {'above' if self.above else 'from'} {self.least:g} up to {self.most:g}"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the number as float."""
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.refuse(reader, node)
        if not (self.least < value if self.above else self.least <= value) or value > self.most:
            return self.refuse(reader, node)
        return float(value)

    def schema(self) -> dict[str, Any]:
        """Return a number type."""
        least = "exclusiveMinimum" if self.above else "minimum"
        return {"type": "number", least: self.least, "maximum": self.most}


class Truth(Shape):
    """True or false."""

    wanted = "true or false"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the bool."""
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        return value if isinstance(value, bool) else self.refuse(reader, node)

    def schema(self) -> dict[str, Any]:
        """Return a boolean type."""
        return {"type": "boolean"}


class Plain(Shape):
    """A scalar that attributes are compared to: text, a number, true or false."""

    wanted = "text, a number, true or false"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the scalar."""
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        return self.refuse(reader, node) if value is None else value

    def schema(self) -> dict[str, Any]:
        """Return the scalar types."""
        return {"type": ["string", "number", "boolean"]}


_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
DURATION = r"(?=\d)(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?"


@dataclass(frozen=True)
class Duration(Shape):
    """A length of time: ``90s``, ``15m``, ``6h``, ``1h30m``, ``2d``; read as seconds."""

    positive: bool = False

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What it looks like."""
        return f"a duration {'above' if self.positive else 'from'} 0s, such as 90s, 15m, 1h30m, 2d"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return whole seconds."""
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        match = re.fullmatch(DURATION, text, re.ASCII)
        if match is None:
            hint = ""
            if re.fullmatch(r"\d{1,9}", text):
                hint = f'give it a unit: "{text}s"'
            return reader.report(
                node, "not a duration", got=shown(text), wanted=self.wanted, hint=hint
            )
        seconds = sum(
            int(part) * unit for part, unit in zip(match.groups("0"), _UNITS.values(), strict=True)
        )
        return seconds if seconds or not self.positive else self.refuse(reader, node)

    def schema(self) -> dict[str, Any]:
        """Return a string type."""
        parts = zip(_UNITS, (4, 5, 6, 8), strict=True)
        pattern = "".join(f"([0-9]{{1,{most}}}{unit})?" for unit, most in parts)
        return {"type": "string", "pattern": f"^{pattern}$", "minLength": 2}


@dataclass(frozen=True)
class Expression:
    """A CEL expression as read."""

    text: str
    tree: Node
    node: yaml.Node


class Cel(Shape):
    """A CEL expression; what it names is checked later, with the rule's signals at hand."""

    wanted = "a CEL expression"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the :class:`Expression`."""
        value = scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if value is None or not isinstance(node, yaml.ScalarNode):
            return self.refuse(reader, node, "this condition")
        text = str(node.value).strip()
        try:
            return Expression(text, parse(text), node)
        except ExpressionError as error:
            shift = len(node.value) - len(node.value.lstrip())
            return reader.report(
                node,
                f"not a CEL expression: {error.message}",
                wanted=error.wanted,
                offset=error.offset + shift,
            )

    def schema(self) -> dict[str, Any]:
        """Return a string type (``true`` and ``false`` are YAML booleans)."""
        return {"type": ["string", "boolean"], "description": "CEL expression"}


@dataclass(frozen=True)
class Many(Shape):
    """A list; a single value stands for a list of one."""

    item: Shape
    least: int = 0
    most: int = 100

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return a tuple of the values that fit."""
        items: Sequence[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not self.least <= len(items) <= self.most:
            return reader.report(
                node,
                "list of wrong length",
                got=str(len(items)),
                wanted=f"{self.least} … {self.most}",
            )
        values = [self.item.read(reader, item) for item in items]
        return tuple(v for v in values if v is not BAD)

    def schema(self) -> dict[str, Any]:
        """Return an array type, or the single value."""
        many = {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.least,
            "maxItems": self.most,
        }
        return {"anyOf": [self.item.schema(), many]}


@dataclass(frozen=True)
class Entry:
    """One key of a record."""

    shape: Shape
    about: str
    default: Any = None
    required: bool = False


def _pairs(reader: Reader, node: yaml.MappingNode) -> list[tuple[str, yaml.Node, yaml.Node]]:
    """Return (key, node of the key, node of the value); keys that repeat are reported."""
    found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            reader.report(key, "a key must be text", got=kind(key))
            continue
        name = str(key.value)
        if name in found:
            first = found[name][1].start_mark.line + 1
            reader.report(key, f"{shown(name)} stands twice", hint=f"first on line {first}")
            continue
        found[name] = (name, key, value)
    return list(found.values())


@dataclass(frozen=True)
class Record(Shape):
    """A mapping with known keys.

    ``single`` reads a value that is no mapping as that key's. ``named`` is the key by which
    problems within it are told apart.
    """

    entries: Mapping[str, Entry]
    about: str = ""
    single: str = ""
    named: str = ""

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """The keys."""
        return f"a mapping with {listing(self.entries, 30)}"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return a :class:`Read` with every entry's value or default."""
        record = Read(node)
        if self.named:
            reader.rule = _name_in(node, self.named)
        if self.single and not isinstance(node, yaml.MappingNode):
            record[self.single] = self.entries[self.single].shape.read(reader, node)
            record.nodes[self.single] = node
        elif not isinstance(node, yaml.MappingNode):
            return self.refuse(reader, node)
        else:
            self._fill(reader, node, record)
        for name, entry in self.entries.items():
            if name not in record:
                if entry.required:
                    reader.report(node, f'"{name}" is missing', wanted=entry.shape.wanted)
                record[name] = BAD if entry.required else entry.default
        return record

    def _fill(self, reader: Reader, node: yaml.MappingNode, record: Read) -> None:
        for name, key, value in _pairs(reader, node):
            if name not in self.entries:
                reader.report(
                    key,
                    f"unknown key {shown(name)}",
                    wanted=f"one of {listing(self.entries, 40)}",
                    hint=suggest(name, self.entries),
                )
                continue
            record.keys_at[name] = key
            record.nodes[name] = value
            record[name] = self.entries[name].shape.read(reader, value)

    def schema(self) -> dict[str, Any]:
        """Return an object type."""
        properties = {
            name: {**entry.shape.schema(), "description": entry.about}
            for name, entry in self.entries.items()
        }
        required = [name for name, entry in self.entries.items() if entry.required]
        schema = {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }
        if self.about:
            schema["description"] = self.about
        return (
            {"anyOf": [self.entries[self.single].shape.schema(), schema]} if self.single else schema
        )


def _name_in(node: yaml.Node, key: str) -> str:
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(value, yaml.ScalarNode) and name.value == key:
            return str(value.value)[:64]
    return ""


@dataclass(frozen=True)
class Table(Shape):
    """A mapping with keys of the author's choice."""

    item: Shape
    key: str = r"[a-z][a-z0-9_]*"
    key_wanted: str = "a name of small letters, digits and _"
    most: int = 50

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What the keys are."""
        return f"a mapping from {self.key_wanted}"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return a :class:`Read` with the values that fit."""
        if not isinstance(node, yaml.MappingNode):
            return self.refuse(reader, node)
        table = Read(node)
        pairs = _pairs(reader, node)
        if len(pairs) > self.most:
            return reader.report(
                node, "too many entries", got=str(len(pairs)), wanted=f"at most {self.most}"
            )
        for name, key, value in pairs:
            if not re.fullmatch(self.key, name, re.ASCII):
                reader.report(
                    key, "this name does not fit", got=shown(name), wanted=self.key_wanted
                )
                continue
            table.keys_at[name] = key
            table.nodes[name] = value
            table[name] = self.item.read(reader, value)
        return table

    def schema(self) -> dict[str, Any]:
        """Return an object type with pattern properties."""
        return {
            "type": "object",
            "patternProperties": {f"^{self.key}$": self.item.schema()},
            "additionalProperties": False,
            "maxProperties": self.most,
        }
