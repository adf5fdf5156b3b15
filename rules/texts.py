"""Sentences for people: templates over facts, in Chinese and English.

A template inserts facts by the names that expressions use: ``{silence.facts.silent_hours:hours}``.
``[[ … ]]`` is left out when a fact within it is not known, so that a sentence never says NaN.
Nothing is evaluated: a template is text, names and the formats below.

========== =====================================================================================
format     gives (zh / en)
========== =====================================================================================
hours      hours as days, hours, minutes: 9小时 / 9 hours; 2天3小时 / 2 days 3 hours
duration   the same, from seconds
kwh kw l   an amount with its unit: 0.25度 / 0.25 kWh
m3         cubic metres
amount     an amount with the unit of the signal's own utility; unknown if it has several
percent    a share between 0 and 1: 93%
number     a number as short as it can be; `int` a whole one
clock      an hour of the day: 7.5 → 07:30
time       epoch seconds as local date and time: 3月5日14:30 / 5 March 14:30
date       epoch seconds as local date
utilities  what the meters measure: 用电、用水 / electricity or water
level      红色 / red
cause      why an alert was taken back
channel    number of a detector's channel (0, 1, 2) as what it measures: 用水 / water
thresholds of ``x.utilities``: the amounts that count as use, from the facts ``threshold_kwh``,
           ``threshold_l``, ``threshold_m3``: 0.2度电或1升水 / 0.2 kWh of electricity or 1 l of water
either     ``{x:either|yes|no}``: one of two words by whether x is true or not 0
word       a word of an event feed as people say it: noise → 噪声扰民 / noise
plain      text as it is (the default)
========== =====================================================================================

``{?name}`` writes nothing, and leaves its ``[[ … ]]`` out also when the fact is 0, false or empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from rules.model import Text
from rules.problems import listing, suggest
from rules.scope import ALERT, Finding, Scope, Type, resolve
from rules.words import word as known_word

MAX_LENGTH = 1_000
UNKNOWN = {"zh": "未知", "en": "unknown"}
LANGUAGES = ("zh", "en")


@dataclass(frozen=True, slots=True)
class Field:
    """An inserted fact."""

    path: tuple[str, ...]
    form: str
    choices: tuple[str, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Optional:
    """A part that is left out when a fact within is unknown."""

    parts: tuple[str | Field, ...]


Part: TypeAlias = "str | Field | Optional"
Template: TypeAlias = tuple[Part, ...]

_PATH = r"[a-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*"
_FIELD = re.compile(rf"\{{(\??)({_PATH})(?::([a-z0-9]+)((?:\|[^{{}}|]*)*))?\}}", re.ASCII)
_PIECE = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{[^{}]*\}?|\}|[^{}\[\]]+|[\[\]]")


@cache
def parse(template: str) -> tuple[Template, tuple[Finding, ...]]:
    """Return the parts of a template, and what is wrong with it.

    >>> parse("{a.b:hours} silent")[0][1]
    ' silent'
    """
    found: list[Finding] = []
    parts: list[Part] = []
    inner: list[str | Field] | None = None
    opened = 0
    if len(template) > MAX_LENGTH:
        found.append(Finding("the text is too long", MAX_LENGTH, wanted=f"{MAX_LENGTH} characters"))
        return (), tuple(found)
    for match in _PIECE.finditer(template):
        piece, at = match.group(), match.start()
        made: str | Field | None = piece
        if piece == "[[":
            if inner is not None:
                found.append(Finding('"[[" within "[["', at))
            inner, opened, made = [], at, None
        elif piece == "]]":
            if inner is None:
                found.append(Finding('"]]" without "[["', at))
            else:
                parts.append(Optional(tuple(inner)))
            inner, made = None, None
        elif piece in ("{{", "}}"):
            made = piece[0]
        elif piece[0] in "{}":
            made = _field(piece, at, found)
        if isinstance(made, Field) and made.form == "given" and inner is None:
            found.append(Finding("a test stands outside [[ ]]", at, f'"{piece[:40]}"'))
        if made is not None:
            (parts if inner is None else inner).append(made)
    if inner is not None:
        found.append(Finding('"[[" is never closed', opened, wanted='"]]"'))
    return tuple(parts), tuple(found)


def _field(piece: str, at: int, found: list[Finding]) -> Field | None:
    match = _FIELD.fullmatch(piece)
    if match is None:
        found.append(
            Finding(
                "not a fact",
                at,
                f'"{piece[:40]}"',
                "{name} or {name:format}; write {{ for a bracket",
            )
        )
        return None
    path, choices = match[2], tuple((match[4] or "").split("|")[1:])
    form = "given" if match[1] else match[3] or "plain"
    if match[1] and match[3]:
        found.append(Finding("a test has no format", at, f'"{piece[:40]}"', f"{{?{path}}}"))
    if form not in FORMATS:
        known = listing(FORMATS, 30)
        offset = at + 2 + len(path)
        found.append(Finding(f'unknown format "{form}"', offset, "", known, suggest(form, FORMATS)))
        return None
    if len(choices) != (2 if form == "either" else 0):
        found.append(
            Finding(f'format "{form}" has {len(choices)} choices', at, "", "{x:either|a|b}")
        )
        return None
    return Field(tuple(path.split(".")), form, choices, at)


def fields(template: Template) -> Iterator[Field]:
    """Yield every fact of a template."""
    for part in template:
        if isinstance(part, Field):
            yield part
        elif isinstance(part, Optional):
            yield from (p for p in part.parts if isinstance(p, Field))


def check(template: str, scope: Scope) -> list[Finding]:
    """Return everything that is wrong with a template in a rule's scope."""
    parts, wrong = parse(template)
    found = list(wrong)
    whole: Scope = {**scope, "alert": ALERT}
    for field in fields(parts):
        kind = resolve(field.path, whole, field.offset + 1)
        if isinstance(kind, Finding):
            found.append(kind)
        elif kind not in FORMATS[field.form].takes and kind != Type.ANY:
            takes = " or ".join(FORMATS[field.form].takes)
            name = ".".join(field.path)
            found.append(
                Finding(
                    f'format "{field.form}" does not fit "{name}"', field.offset, f"a {kind}", takes
                )
            )
    return found


def reason(text: Text, variables: Mapping[str, Any], zone_offset_s: int = 0) -> dict[str, str]:
    """Return a text in both languages.

    Parameters
    ----------
    text : Text
        Templates that the loader accepted.
    variables : mapping
        As for :meth:`rules.compile.CompiledRule.decide`, and ``alert``.
    zone_offset_s : int
        Seconds that the subject's local time is ahead of UTC.
    """
    return {
        "zh": render(text.zh, "zh", variables, zone_offset_s),
        "en": render(text.en, "en", variables, zone_offset_s),
    }


def render(
    template: str, language: str, variables: Mapping[str, Any], zone_offset_s: int = 0
) -> str:
    """Return a template with its facts inserted.

    >>> render("quiet for {s.facts.h:hours}[[, since {s.facts.t:time}]]", "en",
    ...        {"s": {"facts": {"h": 9.0}}})
    'quiet for 9 hours'
    """
    writer = _Writer(language, variables, zone_offset_s)
    out: list[str] = []
    for part in parse(template)[0]:
        if isinstance(part, Optional):
            texts = [writer.write(p) for p in part.parts]
            out += [] if None in texts else [t for t in texts if t is not None]
        else:
            text = writer.write(part)
            out.append(UNKNOWN[language] if text is None else text)
    return "".join(out).strip()


class _Writer:
    """Formats facts in one language."""

    def __init__(self, language: str, variables: Mapping[str, Any], zone_offset_s: int) -> None:
        self.language = language
        self.variables = variables
        self.zone_offset_s = zone_offset_s
        self.zh = language == "zh"
        self.choices: tuple[str, ...] = ()
        self.root = ""

    def write(self, part: str | Field) -> str | None:
        if isinstance(part, str):
            return part
        value: Any = self.variables
        for word in part.path:
            value = value.get(word) if isinstance(value, Mapping) else None
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        self.choices, self.root = part.choices, part.path[0]
        try:
            return FORMATS[part.form].write(self, value)
        except (TypeError, ValueError, OverflowError, LookupError, AttributeError):
            return None  # an attribute of another type than the text expects

    def plain(self, value: Any) -> str:
        if isinstance(value, bool):
            return ("是" if value else "否") if self.zh else ("yes" if value else "no")
        if isinstance(value, str):
            return value
        if isinstance(value, Sequence):
            return ("、" if self.zh else ", ").join(str(v) for v in value)
        return self.number(value)

    def number(self, value: Any) -> str:
        number = float(value)
        size = abs(number)
        digits = 0 if size >= 100 or number.is_integer() else 1 if size >= 10 else 2
        # The shortest that is not misleading: small amounts keep two digits that count.
        if 0 < size < 0.1:
            digits = min(6, 1 - math.floor(math.log10(size)))
        text = f"{number:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def whole(self, value: Any) -> str:
        return f"{round(float(value)):,d}"

    def hours(self, value: Any) -> str:
        return self.duration(float(value) * 3600)

    def duration(self, value: Any) -> str:
        minutes = round(float(value) / 60)
        days, rest = divmod(minutes, 1440) if minutes >= 2880 else (0, minutes)
        hours, minutes = divmod(rest, 60)
        if days:
            minutes = 0
        parts = [(days, "天", "day"), (hours, "小时", "hour"), (minutes, "分钟", "minute")]
        shown = [p for p in parts if p[0]] or [parts[2]]
        if self.zh:
            return "".join(f"{n}{unit}" for n, unit, _ in shown)
        return " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, _, unit in shown)

    def unit(self, name: str) -> Callable[[Any], str]:
        zh, en = _UNITS[name]
        if self.zh:
            return lambda value: f"{self.number(value)}{zh}"
        return lambda value: f"{self.number(value)} {en}"

    def amount(self, value: Any) -> str:
        """Return an amount in the unit of what it measures; fails where that is not one thing."""
        signal = self.variables[self.root]
        channel = signal.get("facts", {}).get("channel")
        if channel is None:
            (utility,) = signal.get("utilities", ())
        else:
            utility = CHANNELS[int(channel)]
        return self.unit(UNIT_OF[utility])(value)

    def channel(self, value: Any) -> str:
        return self.utilities([CHANNELS[int(value)]])

    def thresholds(self, value: Any) -> str:
        facts = self.variables[self.root]["facts"]
        found = []
        for utility in value:
            amount = facts.get(f"threshold_{UNIT_OF.get(utility)}")
            if amount is not None and math.isfinite(amount):
                zh, en = _STUFF[utility]
                shown = self.unit(UNIT_OF[utility])(amount)
                found.append(f"{shown}{zh}" if self.zh else f"{shown} of {en}")
        if not found:
            raise ValueError("no threshold is known")
        return ("或" if self.zh else " or ").join(found)

    def given(self, value: Any) -> str | None:
        return "" if value else None

    def percent(self, value: Any) -> str:
        share = float(value) * 100
        rounded = round(share)
        # A share that is not quite all, or not quite none, is not said to be so.
        if rounded == 100 and share < 100:
            return "99%以上" if self.zh else "over 99%"
        if rounded == 0 and share > 0:
            return "不到1%" if self.zh else "under 1%"
        return f"{rounded}%"

    def clock(self, value: Any) -> str:
        minutes = round(float(value) * 60) % 1440
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def local(self, value: Any) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=float(value) + self.zone_offset_s
        )

    def date(self, value: Any) -> str:
        day = self.local(value)
        return f"{day.month}月{day.day}日" if self.zh else f"{day.day} {_MONTHS[day.month - 1]}"

    def time(self, value: Any) -> str:
        day = self.local(value)
        return f"{self.date(value)}{'' if self.zh else ' '}{day.hour:02d}:{day.minute:02d}"

    def utilities(self, value: Any) -> str:
        if isinstance(value, str):
            raise TypeError("a list of utilities is wanted")
        words = [_UTILITIES.get(str(v), (str(v), str(v)))[0 if self.zh else 1] for v in value]
        if not words:
            raise ValueError("no utility")
        if self.zh:
            return "、".join(words)
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

    def level(self, value: Any) -> str:
        return (
            {"red": "红色", "orange": "橙色", "yellow": "黄色", "blue": "蓝色"}.get(
                str(value), str(value)
            )
            if self.zh
            else str(value)
        )

    def word(self, value: Any) -> str:
        return known_word(str(value), self.language)

    def cause(self, value: Any) -> str:
        name = str(value).partition(":")[0]
        return _CAUSES.get(name, _CAUSES["when"])[0 if self.zh else 1]

    def either(self, value: Any) -> str:
        return self.choices[0 if value else 1]


_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_UNITS = {"kwh": ("度", "kWh"), "kw": ("千瓦", "kW"), "l": ("升", "l"), "m3": ("立方米", "m³")}
UNIT_OF = {"electricity": "kwh", "water": "l", "gas": "m3"}
CHANNELS = ("electricity", "water", "gas")
_STUFF = {"electricity": ("电", "electricity"), "water": ("水", "water"), "gas": ("气", "gas")}
_UTILITIES = {
    "electricity": ("用电", "electricity"),
    "water": ("用水", "water"),
    "gas": ("用气", "gas"),
}
_CAUSES = {
    "data": ("补到的读数", "readings that came later"),
    "late_reading": ("补到的读数", "readings that came later"),
    "rule_withdrawn": ("规则已停用或不再适用", "the rule was withdrawn, or no longer applies here"),
    "late_event": ("补到的事件", "an event that was reported late"),
    "absent": ("已登记外出", "a registered absence"),
    "area_outage": ("片区停电", "a power cut in the area"),
    "dead_concentrator": ("集中器故障", "a dead concentrator"),
    "maintenance": ("计划检修", "planned maintenance"),
    "approved_work": ("已批准的作业", "approved work"),
    "holiday": ("节假日", "a holiday"),
    "alert": ("另一条预警已涵盖", "another alert that covers it"),
    "when": ("规则中的例外情形", "an exception of the rule"),
}


@dataclass(frozen=True, slots=True)
class Format:
    """How a value is written, and which types it takes."""

    write: Callable[[_Writer, Any], str | None]
    takes: tuple[Type, ...] = (Type.DOUBLE, Type.INT)


_ALL = tuple(Type)
FORMATS: Mapping[str, Format] = {
    "plain": Format(_Writer.plain, _ALL),
    "number": Format(_Writer.number),
    "int": Format(_Writer.whole),
    "hours": Format(_Writer.hours),
    "duration": Format(_Writer.duration),
    "kwh": Format(lambda w, v: w.unit("kwh")(v)),
    "kw": Format(lambda w, v: w.unit("kw")(v)),
    "l": Format(lambda w, v: w.unit("l")(v)),
    "m3": Format(lambda w, v: w.unit("m3")(v)),
    "amount": Format(_Writer.amount),
    "percent": Format(_Writer.percent),
    "clock": Format(_Writer.clock),
    "time": Format(_Writer.time),
    "date": Format(_Writer.date),
    "utilities": Format(_Writer.utilities, (Type.LIST,)),
    "level": Format(_Writer.level, (Type.STRING,)),
    "channel": Format(_Writer.channel),
    "thresholds": Format(_Writer.thresholds, (Type.LIST,)),
    "cause": Format(_Writer.cause, (Type.STRING,)),
    "word": Format(_Writer.word, (Type.STRING,)),
    "given": Format(_Writer.given, _ALL),
    "either": Format(_Writer.either, (Type.DOUBLE, Type.INT, Type.BOOL)),
}
"""Formats by name; the table of the module's docstring."""
