"""The file of rule tests: its keys and their shapes."""

from __future__ import annotations

from typing import Any, Final

import yaml

from rules.alerts import Level, State
from rules.document import scalar
from rules.grammar import ANY_ATTRIBUTE, KEBAB, WORD
from rules.model import CONTEXTS
from rules.shapes import (
    Duration,
    Entry,
    Many,
    Number,
    OneOf,
    Reader,
    Record,
    Shape,
    Table,
    Truth,
    Words,
)

ID = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"


class Free(Shape):
    """Anything that JSON can hold."""

    wanted = "anything"

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return plain data."""
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): self.read(reader, value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self.read(reader, item) for item in node.value]
        return scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def schema(self) -> dict[str, Any]:
        """Return the schema of anything."""
        return {}


class Series(Words):
    """A series in short notation; a single number is one, too."""

    def read(self, reader: Reader, node: yaml.Node) -> Any:
        """Return the text."""
        if isinstance(node, yaml.ScalarNode) and scalar(node) not in (None, True, False):
            return str(node.value)
        if isinstance(node, yaml.ScalarNode) and scalar(node) in (0, 1):
            return str(node.value)
        return self.refuse(reader, node)

    def schema(self) -> dict[str, Any]:
        """Return text or a number."""
        return {"type": ["string", "number"]}


_SERIES = Series("a series such as 0.3x48 0x20 _x3", most=20_000)
_NAME = Words("a name such as elderly-silence", KEBAB, 64)
_TIME = Words("2d6h after the start, or 2026-03-02T06:00", most=60)
_RULES = Many(_NAME, least=1)
_SUBJECTS = Table(
    Record(
        {
            "kind": Entry(Words("a kind", WORD, 64), "Kind of subject.", required=True),
            "place": Entry(Words("a place code", ID, 64), "Place code.", "330106001001001"),
            "attrs": Entry(Free(), "Attributes."),
        },
        about="A subject.",
        single="kind",
    ),
    ID,
    "an id",
)
_METER = Record(
    {
        "values": Entry(_SERIES, "Amount of each interval.", required=True),
        "subject": Entry(Words("a subject of this test", ID, 64), "Default: the first."),
        "utility": Entry(
            Words("a utility", WORD, 64), "What it measures: any word.", "electricity"
        ),
        "kind": Entry(OneOf(("interval", "register")), "What it sends.", "interval"),
        "unit": Entry(
            Words("a unit", r"[^\s,;]+", 16), "Default: kWh, l, m3; 1 for any other utility."
        ),
        "interval": Entry(Duration(positive=True), "Default: the test's."),
        "stamp": Entry(OneOf(("start", "end")), "Which end of the interval it stamps.", "start"),
    },
    about="A meter and what it sends.",
    single="values",
)
_SIGNAL = Record(
    {
        "due": Entry(_SERIES, "0 or 1 in each slot; missing: not ready."),
        "urgency": Entry(_SERIES, "Urgency in each slot."),
        "evidence": Entry(_SERIES, "log10 evidence in each slot."),
        "p_value": Entry(_SERIES, "p-value in each slot."),
        "onset": Entry(_SERIES, "Slot in which the episode began; default: the first due one."),
        "facts": Entry(Table(_SERIES, ANY_ATTRIBUTE, "a fact"), "Facts in each slot."),
        "utilities": Entry(
            Many(Words("a utility", WORD, 64)),
            "What the meters measure.",
            ("electricity",),
        ),
    },
    about="What a detector says, slot by slot; the last value of a series goes on.",
)
_EVENT = Record(
    {
        "at": Entry(_TIME, "When.", required=True),
        "kind": Entry(Words("a kind", WORD, 64), "Kind of event, or `outcome`.", required=True),
        "arrives": Entry(_TIME, "When it becomes known; default: at once."),
        "subject": Entry(Words("a subject of this test", ID, 64), "Default: the only one."),
        "place": Entry(Words("a place code", ID, 64), "Place code."),
        "attrs": Entry(Free(), "Attributes."),
    },
    about="An event or an outcome.",
)
_LATE = Record(
    {
        "meter": Entry(Words("a meter of this test", ID, 64), "Default: the first."),
        "at": Entry(_TIME, "Its stamp.", required=True),
        "value": Entry(Number(-1e12, 1e12), "Its value.", required=True),
        "arrives": Entry(_TIME, "When it comes.", required=True),
    },
    about="A reading that comes long after its time (its place in the series is `_`).",
)
_CHANGE = Record(
    {
        "state": Entry(OneOf(tuple(map(str, State))), "The state it changes to.", "firing"),
        "level": Entry(OneOf(tuple(map(str, Level))), "Its level."),
        "at": Entry(_TIME, "When, or first..last.", required=True),
        "zh": Entry(Many(Words("words of the sentence")), "What the Chinese text contains.", ()),
        "en": Entry(Many(Words("words of the sentence")), "What the English text contains.", ()),
    },
    about="A change of state or level.",
)
_EXPECTED = Record(
    {
        "rule": Entry(_NAME, "Default: the first rule of the test."),
        "subject": Entry(Words("an id or place", ID, 64), "Default: the first subject."),
        "changes": Entry(Many(_CHANGE, least=1), "Its changes, in order.", required=True),
        "more": Entry(Truth(), "Whether changes after these are left open.", False),
    },
    about="An alert.",
    single="changes",
)
_COMMON = {
    "rules": Entry(_RULES, "Rules that run."),
    "zone": Entry(Words("a time zone", r"[A-Za-z0-9_+/-]+", 64), "Time zone."),
    "start": Entry(_TIME, "When the series begin, local time."),
    "interval": Entry(Duration(positive=True), "Length of a slot."),
    "subjects": Entry(_SUBJECTS, "Subjects by id."),
}
TEST: Final = Record(
    {
        "name": Entry(Words("what it shows", most=200), "What it shows.", required=True),
        **_COMMON,
        "from": Entry(_TIME, "Alerts raised before are not compared, unless they fire to the end."),
        "until": Entry(_TIME, "Until when time goes on without data; default: end of the series."),
        "meters": Entry(
            Table(_METER, ID, "an id"), "Meters by id: a test of the whole engine, as events alone."
        ),
        "signals": Entry(Table(_SIGNAL), "Signals by local name: a test of the rule alone."),
        "context": Entry(
            Table(_SERIES, "|".join(CONTEXTS), "a context"), "0 or 1 in each slot, with signals."
        ),
        "alerts": Entry(
            Table(_SERIES, KEBAB, "a rule"), "Other alerts: 0 or 1 in each slot, with signals."
        ),
        "events": Entry(Many(_EVENT, most=1_000), "Events and outcomes.", ()),
        "late": Entry(Many(_LATE, most=1_000), "Readings that come late.", ()),
        "budgets": Entry(
            Table(Number(0, 1_000, above=True), KEBAB, "a rule"), "Budgets that differ."
        ),
        "expect": Entry(Many(_EXPECTED), "All alerts that are raised; [] for none.", required=True),
    },
    about="One test.",
    named="name",
)
TEST_FILE: Final = Record(
    {
        **_COMMON,
        "rules": Entry(_RULES, "Rules that run.", required=True),
        "zone": Entry(_COMMON["zone"].shape, "Time zone.", "Asia/Shanghai"),
        "start": Entry(_TIME, "When the series begin, local time.", "2026-03-02T00:00"),
        "interval": Entry(Duration(positive=True), "Length of a slot.", 3_600),
        "patterns": Entry(Table(_SERIES), "Series to be used by name.", {}),
        "tests": Entry(Many(TEST, least=1), "The tests.", required=True),
    },
    about="Tests of rules.",
)
