"""The rule file: its keys, their shapes, defaults and meaning.

The loader reads with this description, ``rules schema`` publishes it, and the reference page is
generated from it: there is no second list of keys.
"""

from __future__ import annotations

from typing import Final

from rules.alerts import Level
from rules.model import CONTEXTS, COUNTERFACTUALS
from rules.shapes import (
    Cel,
    Duration,
    Entry,
    Many,
    Number,
    OneOf,
    Plain,
    Record,
    Table,
    Truth,
    Words,
)

KEBAB = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
WORD = r"[a-z][a-z0-9_]*"
PLACES = ("subject", "unit", "building", "grid", "community", "street")
LEVELS = tuple(str(level) for level in Level)
ANY_ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_]*"

_RULE_NAME = Words("a name such as elderly-silence", KEBAB, 64)
_KIND = Words("a kind such as elderly_alone", WORD, 64)
_LEVEL = OneOf(LEVELS)
_TEXT = Record(
    {
        "zh": Entry(Words("a sentence in Chinese"), "In Chinese.", required=True),
        "en": Entry(Words("a sentence in English"), "In English.", required=True),
    },
    about="One text in both languages.",
)
_WHERE = Table(Many(Plain(), least=1), ANY_ATTRIBUTE, "an attribute's name")

_SERIES = Record(
    {
        "kind": Entry(Many(_KIND, least=1), "Kinds of event.", required=True),
        "at": Entry(
            OneOf(("address", "place", "grid", "community")),
            "Where events are gathered: at their address (a subject, or a place within a grid; "
            "others do not count), at their own place of any level, at its grid or community.",
            "grid",
        ),
        "by": Entry(
            Words("an attribute's name", ANY_ATTRIBUTE, 64), "Attribute counted apart, as topic."
        ),
        "where": Entry(_WHERE, "Attribute → allowed value, or list of them.", {}),
        "every": Entry(OneOf(("15m", "30m", "1h")), "Length of a slot.", "1h"),
        "amount": Entry(
            Words("an attribute's name", ANY_ATTRIBUTE, 64),
            "Attribute that says how many an event stands for; default: one each.",
        ),
        "distinct": Entry(
            Words("an attribute's name", ANY_ATTRIBUTE, 64),
            "Attribute whose different values are counted besides, as caller.",
        ),
        "within": Entry(Duration(positive=True), "How far back `distinct` looks.", 30 * 86_400),
    },
    about="Subjects that events make: one per place and value of `by`, with the first event.",
    single="kind",
)
_SUBJECTS = Record(
    {
        "kinds": Entry(Many(_KIND), "Kinds of subject; empty: any.", ()),
        "attrs": Entry(_WHERE, "Attribute → allowed value, or list of them.", {}),
        "places": Entry(
            Many(Words("the beginning of a place code", r"[0-9A-Za-z_-]+", 64)),
            "Place codes start with one of these; empty: anywhere.",
            (),
        ),
        "grain": Entry(OneOf(("subject", "place")), "What an alert is about.", "subject"),
        "series": Entry(_SERIES, _SERIES.about),
    },
    about="Whom the rule watches.",
)
_SIGNAL = Record(
    {
        "detector": Entry(
            Words("a detector's name", r"[A-Za-z][A-Za-z0-9_.:-]*", 80),
            "Name of the detector.",
            required=True,
        ),
        "params": Entry(
            Table(Number(-1e12, 1e12), WORD, "a parameter's name"),
            "Parameters that differ from the detector's defaults.",
            {},
        ),
        "weight": Entry(Number(-10, 10), "Factor of its evidence within `fused`.", 1.0),
        "utilities": Entry(Many(_KIND), "Meters it listens to; empty: all it understands.", ()),
    },
    about="A detector this rule listens to, under a local name.",
    single="detector",
)
_FOLLOW = Record(
    {
        "kind": Entry(Many(_KIND, least=1), "Kinds of the event that follows.", required=True),
        "within": Entry(Duration(positive=True), "How soon it must follow.", required=True),
        "where": Entry(_WHERE, "Attribute → allowed value, or list of them.", {}),
    },
    about="What is expected to follow each event: a sequence, or its absence.",
)
_EVENTS = Record(
    {
        "kind": Entry(Many(_KIND, least=1), "Kinds of event.", required=True),
        "within": Entry(Duration(positive=True), "Length of the window.", required=True),
        "where": Entry(_WHERE, "Attribute → allowed value, or list of them.", {}),
        "scope": Entry(OneOf(("subject", "grid", "community")), "Whose events.", "subject"),
        "distinct": Entry(
            Words("an attribute's name", ANY_ATTRIBUTE, 64),
            "Attribute whose different values `.distinct` counts.",
        ),
        "same": Entry(
            Words("an attribute's name", ANY_ATTRIBUTE, 64),
            "Only the largest group of events with equal values of this attribute counts.",
        ),
        "then": Entry(_FOLLOW, _FOLLOW.about),
        "evidence": Entry(Number(-5, 5), "What one event adds to `fused` (log10).", 0.0),
        "evidence_max": Entry(Number(0, 20), "The most that all of them add.", 3.0),
    },
    about="A window over recent events, under a local name.",
)
_UNLESS = Record(
    {
        "context": Entry(OneOf(CONTEXTS), "Something that explains the episode."),
        "alert": Entry(_RULE_NAME, "A rule whose alert stands for this one."),
        "when": Entry(Cel(), "A condition."),
        "cancels": Entry(
            Truth(), "Whether it cancels an alert that already fires; default: contexts do."
        ),
    },
    about="What keeps the rule quiet: exactly one of context, alert, when.",
    single="when",
)
_PROMOTION = Record(
    {
        "to": Entry(_LEVEL, "The more urgent level.", required=True),
        "after": Entry(Duration(), "How long the alert must have fired.", 0),
        "when": Entry(Cel(), "What must hold besides."),
    },
    about="A more urgent level.",
)
_DOWNGRADE = Record(
    {
        "from": Entry(_LEVEL, "The level that nothing warrants any more.", required=True),
        "to": Entry(_LEVEL, "The less urgent level.", required=True),
        "after": Entry(Duration(positive=True), "For how long nothing does.", required=True),
    },
    about="The way back from a level, after a time.",
)
_BUDGET = Record(
    {
        "false_alerts_per_subject_year": Entry(
            Number(0, 1_000, above=True), "How many false alerts it may spend.", required=True
        ),
        "scope": Entry(
            OneOf(("fleet", "subject")), "Whether subjects share it or each has its own.", "fleet"
        ),
    },
    about="What replaces a threshold: `.due` is true when acting pays at this budget.",
    single="false_alerts_per_subject_year",
)
_ROUTE = Record(
    {
        "queue": Entry(
            _KIND, "Whose queue: gridworker, grid_leader, street, department.", required=True
        ),
        "contact_first": Entry(
            Many(
                Record(
                    {
                        "who": Entry(_KIND, "resident, family …", required=True),
                        "wait": Entry(Duration(), "How long before the next one's turn.", 600),
                    },
                    about="Somebody to call before anyone is sent.",
                    single="who",
                )
            ),
            "Calls before anybody is sent, in order; the answer that all is well cancels the task.",
            (),
        ),
        "send_at_once": Entry(
            Many(_LEVEL), "Levels at which somebody is sent while the calls are made.", ("red",)
        ),
        "escalate": Entry(
            Many(
                Record(
                    {
                        "to": Entry(_KIND, "stand_in, grid_leader, street …", required=True),
                        "after": Entry(
                            Duration(positive=True), "Unsigned for how long.", required=True
                        ),
                    },
                    about="Who takes over.",
                )
            ),
            "Who takes over a task that nobody signs for, in order.",
            (),
        ),
    },
    about="Whose queue, who is called first, who takes over.",
)
_LIMIT_ENTRIES = {
    "sign": Entry(Duration(positive=True), "Until it is signed for."),
    "contact": Entry(Duration(positive=True), "Until somebody was reached."),
    "door": Entry(Duration(positive=True), "Until somebody stood at the door."),
    "report": Entry(Duration(positive=True), "Until the finding is reported."),
    "close": Entry(Duration(positive=True), "Until it is closed."),
    "clock": Entry(OneOf(("calendar", "work")), "Calendar hours, or working hours.", "calendar"),
}
_LIMITS = Record(
    {
        **_LIMIT_ENTRIES,
        "levels": Entry(
            Table(Record(_LIMIT_ENTRIES), "|".join(LEVELS), f"one of {', '.join(LEVELS)}"),
            "Other limits at some levels; what is not named there is as above.",
            {},
        ),
    },
    about="Time limits of the task.",
)
_GROUP = Record(
    {
        "by": Entry(OneOf(PLACES), "What they share.", "subject"),
        "wait": Entry(Duration(), "How long to collect before dispatch.", 0),
    },
    about="Alerts that become one task.",
    single="by",
)
_DEDUPE = Record(
    {
        "by": Entry(OneOf(PLACES), "What they share.", "subject"),
        "within": Entry(Duration(positive=True), "For how long.", required=True),
    },
    about="No second task for the same place within a time.",
)
_TEXTS = Record(
    {
        "raised": Entry(_TEXT, "When it is raised or its level changes.", required=True),
        "resolved": Entry(_TEXT, "When it is over.", required=True),
        "cancelled": Entry(_TEXT, "When it is taken back.", required=True),
    },
    about="Sentences of the alert; `{name:format}` inserts facts (see docs).",
)

RULE: Final = Record(
    {
        "name": Entry(_RULE_NAME, "Unique name.", required=True),
        "title": Entry(_TEXT, "Short title.", required=True),
        "description": Entry(_TEXT, "What it is for, for the generated page."),
        "subjects": Entry(_SUBJECTS, _SUBJECTS.about, required=True),
        "signals": Entry(Table(_SIGNAL), "Detectors it listens to, by local name.", {}),
        "events": Entry(Table(_EVENTS), "Windows over events, by local name.", {}),
        "when": Entry(Cel(), "When to raise.", required=True),
        "hold": Entry(Cel(), "Once raised, it goes on while this is not false; default: `when`."),
        "for": Entry(Duration(), "How long `when` must be met first.", 0),
        "keep_firing_for": Entry(Duration(), "How long `hold` must be false before it ends.", 0),
        "unless": Entry(Many(_UNLESS), "What keeps it quiet.", ()),
        "level": Entry(_LEVEL, "Level when raised.", required=True),
        "promote": Entry(Many(_PROMOTION), "More urgent levels.", ()),
        "downgrade": Entry(Many(_DOWNGRADE), "Ways back to less urgent levels.", ()),
        "budget": Entry(_BUDGET, _BUDGET.about),
        "route": Entry(_ROUTE, _ROUTE.about),
        "limits": Entry(_LIMITS, _LIMITS.about, {}),
        "group": Entry(_GROUP, _GROUP.about),
        "dedupe": Entry(_DEDUPE, _DEDUPE.about),
        "inhibits": Entry(Many(_RULE_NAME), "Rules that stay quiet here while this one fires.", ()),
        "texts": Entry(_TEXTS, _TEXTS.about, required=True),
        "counterfactual": Entry(
            OneOf(tuple(COUNTERFACTUALS)), "What, changed, would have kept it quiet.", "none"
        ),
        "hard_danger": Entry(Truth(), "Never held back by a queue's daily capacity.", False),
        "shadow": Entry(Truth(), "Runs and is recorded; nobody is sent.", False),
    },
    about="A Gridwarden rule.",
    named="name",
)
FILE: Final = Record(
    {"rules": Entry(Many(RULE), "Several rules in one file.", required=True)},
    about="A file of several rules.",
)
