"""From a record as read to a rule: everything that needs more than one key to judge."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import cel

from rules import texts
from rules.alerts import Level
from rules.expression import Call, Literal, Name, walk
from rules.model import (
    CONTEXTS,
    URGENCY,
    Budget,
    ContactStep,
    Dedupe,
    Downgrade,
    EscalationStep,
    EventUse,
    Follow,
    Group,
    Limits,
    Promotion,
    Route,
    Rule,
    Selector,
    Series,
    SignalUse,
    Text,
    Texts,
    Unless,
)
from rules.problems import listing, suggest
from rules.scope import ROOTS, Scope, Type, check, rule_scope
from rules.shapes import BAD, Expression, Read, Reader


@dataclass(frozen=True, slots=True)
class DetectorFacts:
    """What the loader must know of a detector.

    Parameters
    ----------
    params : collection of str
        Its parameters.
    facts : collection of str or None
        Names of the facts that it explains itself with; None if nobody declared them (any name
        is then accepted).
    grain : str
        ``subject``, ``place`` or ``series``.
    """

    params: Collection[str] = ()
    facts: Collection[str] | None = None
    grain: str = "subject"
    counts: bool = True
    """Whether it takes any series of numbers, so that it may watch counts of events."""


_CJK = "[\u3001-\u303f\u4e00-\u9fff\uff00-\uffef]"

KnownDetectors = Callable[[str], "DetectorFacts | str"]
"""Looks a detector up; text says why there is none."""


def build(reader: Reader, record: Read, known: KnownDetectors) -> Rule | None:
    """Return the rule of a record; None if anything about it was reported now or while reading."""
    before = len(reader.problems)
    builder = _Builder(reader, record, known)
    try:
        rule = builder.rule()
    except _IncompleteError:
        rule = None
    return rule if rule is not None and len(reader.problems) == before else None


class _IncompleteError(Exception):
    """A part that was already reported is missing."""


def _need(value: Any) -> Any:
    if value is BAD:
        raise _IncompleteError
    return value


class _Builder:
    def __init__(self, reader: Reader, record: Read, known: KnownDetectors) -> None:
        self.reader = reader
        self.record = record
        self.known = known
        self.blind = record["signals"] is BAD or record["events"] is BAD
        """What names there are is not known: conditions and texts cannot be judged."""
        self.grain = "subject"
        subjects = record["subjects"]
        if isinstance(subjects, Read) and subjects["grain"] is not BAD:
            self.grain = "series" if "series" in subjects.nodes else subjects["grain"]

    def rule(self) -> Rule:
        """Read every part, so that everything is reported, then put the rule together."""
        record = self.record
        signals, facts = self.signals()
        events = self.events(signals)
        scope = rule_scope(facts, events)
        if not self._keys("signals") and not self._keys("events"):
            self.report("signals", "the rule listens to nothing", wanted="a signal or an event")
        when = self.condition(record["when"], scope)
        hold = self.condition(record["hold"], scope) if record["hold"] is not None else when
        unless = self.unless(scope)
        promotions = self.promotions(scope)
        downgrades = self.downgrades(promotions)
        budget = self.budget()
        self.texts(scope)
        limits, by_level = self.limits()
        missing = [name for name, value in record.items() if value is BAD]
        if missing or when is None or hold is None:
            raise _IncompleteError
        return Rule(
            name=record["name"],
            version="",
            title=_text(record["title"]),
            subjects=self.selector(),
            signals=signals,
            events=events,
            when=when,
            hold=hold,
            for_s=record["for"],
            keep_firing_for_s=record["keep_firing_for"],
            unless=unless,
            level=Level(record["level"]),
            promotions=promotions,
            downgrades=downgrades,
            budget=budget,
            route=self.route(),
            limits=limits,
            limits_by_level=by_level,
            group=_made(Group, record["group"], by="by", wait_s="wait") or Group(),
            dedupe=_made(Dedupe, record["dedupe"], by="by", within_s="within") or Dedupe(),
            inhibits=record["inhibits"],
            texts=Texts(**{key: _text(_need(value)) for key, value in record["texts"].items()}),
            counterfactual=record["counterfactual"],
            hard_danger=record["hard_danger"],
            shadow=record["shadow"],
            description=_text(record["description"]) if record["description"] else None,
            file=self.reader.file,
            line=record.node.start_mark.line + 1,
        ).with_version()

    def report(self, key: str, message: str, **more: Any) -> None:
        """Report a problem at one of the rule's keys."""
        self.reader.report(self.record.at(key), message, **more)

    def _keys(self, key: str) -> bool:
        """Return whether a table has any entry, right or wrong."""
        node = self.record.nodes.get(key)
        return node is not None and bool(node.value)

    # -- whom, what it listens to -----------------------------------------------------------

    def selector(self) -> Selector:
        subjects = _need(self.record["subjects"])
        attrs = {name: _need(values) for name, values in _need(subjects["attrs"]).items()}
        places = _need(subjects["places"])
        if subjects["series"] is None:
            return Selector(_need(subjects["kinds"]), attrs, places, _need(subjects["grain"]))
        for key in ("kinds", "attrs", "grain"):
            if key in subjects.nodes:
                self.reader.report(
                    subjects.keys_at[key],
                    f'"{key}" does not go with "series"',
                    hint='events are chosen by "where" within series',
                )
        return Selector(place_prefixes=places, grain="series", series=_series(subjects["series"]))

    def signals(self) -> tuple[dict[str, SignalUse], dict[str, Collection[str] | None]]:
        uses: dict[str, SignalUse] = {}
        facts: dict[str, Collection[str] | None] = {}
        table = self.record["signals"]
        for name, signal in table.items() if table else ():
            facts[name] = None
            if name in ROOTS:
                self._taken(table, name)
            if signal is BAD or signal["detector"] is BAD:
                continue
            found = self.known(signal["detector"])
            if isinstance(found, str):
                self.reader.report(signal.at("detector"), found)
                continue
            facts[name] = found.facts
            if found.grain != self.grain and not (self.grain == "series" and found.counts):
                self.reader.report(
                    signal.at("detector"),
                    f'detector "{signal["detector"]}" watches a {found.grain}, this rule a {self.grain}',
                    hint=_other_subjects(found, self.grain),
                )
            params: Read = signal["params"] or Read(signal.node)
            for param in params:
                if param not in found.params:
                    self.reader.report(
                        params.keys_at[param],
                        f'detector "{signal["detector"]}" has no parameter "{param}"',
                        wanted=f"one of {listing(found.params, 30)}",
                        hint=suggest(param, found.params),
                    )
            uses[name] = SignalUse(
                signal["detector"],
                {k: v for k, v in params.items() if v is not BAD},
                signal["weight"],
                signal["utilities"],
            )
        return uses, facts

    def events(self, signals: Mapping[str, Any]) -> dict[str, EventUse]:
        uses: dict[str, EventUse] = {}
        table = self.record["events"]
        for name, event in table.items() if table else ():
            if name in ROOTS or name in signals:
                self._taken(table, name)
            uses[name] = EventUse(("unknown",), 1)
            if event is BAD or BAD in event.values():
                continue
            then = event["then"]
            if then is not None and BAD in then.values():
                continue
            uses[name] = EventUse(
                event["kind"],
                event["within"],
                dict(event["where"]),
                event["scope"],
                event["distinct"],
                event["same"],
                Follow(then["kind"], then["within"], dict(then["where"])) if then else None,
                event["evidence"],
                event["evidence_max"],
            )
        return uses

    def _taken(self, table: Read, name: str) -> None:
        self.reader.report(
            table.keys_at[name], f'the name "{name}" is taken', wanted="a name of its own"
        )

    # -- conditions -------------------------------------------------------------------------

    def condition(self, expression: Any, scope: Scope) -> str | None:
        """Check a condition; return its text, None if it was reported."""
        if not isinstance(expression, Expression):
            return None
        if self.blind:
            return expression.text
        kind, findings = check(expression.tree, scope)
        for f in findings:
            self.reader.report(
                expression.node, f.message, got=f.got, wanted=f.wanted, hint=f.hint, offset=f.offset
            )
        if not findings and kind not in (Type.BOOL, Type.ANY):
            self.reader.report(
                expression.node, "not a condition", got=f"a {kind}", wanted="true or false"
            )
        self._patterns(expression)
        try:
            cel.compile(expression.text)
        except ValueError as error:
            if not findings:
                self.reader.report(expression.node, "CEL refuses this", got=str(error)[:120])
        return expression.text

    def _patterns(self, expression: Expression) -> None:
        """Report regular expressions that CEL would stumble over only while deciding."""
        for node in walk(expression.tree):
            if not (isinstance(node, Call) and node.function == "matches" and node.args):
                continue
            pattern = node.args[0]
            if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
                continue
            try:
                cel.evaluate("'x'.matches(p)", {"p": pattern.value})
            except (ValueError, RuntimeError):
                self.reader.report(
                    expression.node, "not a regular expression", offset=pattern.start
                )

    def unless(self, scope: Scope) -> tuple[Unless, ...]:
        found: list[Unless] = []
        for entry in self.record["unless"] or ():
            given = [k for k in ("context", "alert", "when") if entry[k] is not None]
            if len(given) != 1:
                self.reader.report(
                    entry.node, "wanted exactly one of context, alert, when", got=listing(given)
                )
                continue
            value = entry[given[0]]
            if value is BAD or entry["cancels"] is BAD:
                continue
            if given[0] == "when":
                made = self._unless_text(entry, value, scope)
            elif given[0] == "context":
                made = Unless(context=value, cancels=True)
            else:
                made = Unless(alert=value)
            if made is not None:
                cancels = made.cancels if entry["cancels"] is None else entry["cancels"]
                found.append(Unless(made.context, made.alert, made.when, cancels))
        return tuple(found)

    def _unless_text(self, entry: Read, value: Expression, scope: Scope) -> Unless | None:
        """Read an entry that is text: the name of a context, or a condition."""
        if not (isinstance(value.tree, Name) and len(value.tree.path) == 1):
            text = self.condition(value, scope)
            return None if text is None else Unless(when=text)
        if value.text in CONTEXTS:
            return Unless(context=value.text, cancels=True)
        self.reader.report(
            entry.at("when"),
            f'unknown context "{value.text}"',
            wanted=f"one of {listing(CONTEXTS)}, or alert: RULE, or a condition",
            hint=suggest(value.text, CONTEXTS),
        )
        return None

    # -- levels -----------------------------------------------------------------------------

    def promotions(self, scope: Scope) -> tuple[Promotion, ...]:
        found: list[Promotion] = []
        level = self.record["level"]
        for entry in self.record["promote"] or ():
            if entry is BAD:
                continue
            when = self.condition(entry["when"], scope) if entry["when"] is not None else None
            if entry["to"] is BAD or entry["after"] is BAD or entry["when"] is BAD:
                continue
            if level is not BAD and URGENCY[Level(entry["to"])] <= URGENCY[Level(level)]:
                self.reader.report(
                    entry.at("to"), f'"{entry["to"]}" is not more urgent than "{level}"'
                )
            if not entry["after"] and when is None:
                self.reader.report(entry.node, "a promotion needs after or when")
            found.append(Promotion(Level(entry["to"]), entry["after"], when))
        if len(found) > 30:
            self.report("promote", "too many promotions", got=str(len(found)), wanted="at most 30")
        return tuple(found)

    def downgrades(self, promotions: tuple[Promotion, ...]) -> tuple[Downgrade, ...]:
        found: list[Downgrade] = []
        base = self.record["level"]
        reached = {p.to for p in promotions}
        for entry in self.record["downgrade"] or ():
            if entry is BAD or BAD in entry.values():
                continue
            start, to = Level(entry["from"]), Level(entry["to"])
            if URGENCY[to] >= URGENCY[start]:
                self.reader.report(entry.at("to"), f'"{to}" is not less urgent than "{start}"')
            elif base is not BAD and URGENCY[to] < URGENCY[Level(base)]:
                self.reader.report(entry.at("to"), f'below the rule\'s own level "{base}"')
            elif start not in reached and start not in {d.to for d in found}:
                self.reader.report(entry.at("from"), f'nothing promotes to "{start}"')
            if any(d.from_ == start for d in found):
                self.reader.report(entry.at("from"), f'a second way down from "{start}"')
            found.append(Downgrade(start, to, entry["after"]))
        return tuple(found)

    def budget(self) -> Budget | None:
        """Check that a budget and the conditions that ask for it go together."""
        budget = self.record["budget"]
        priced = [
            e.tree for e in (self.record["when"], self.record["hold"]) if isinstance(e, Expression)
        ]
        asks = [n for t in priced for n in walk(t) if isinstance(n, Name) and n.path[-1] == "due"]
        if asks and budget is None:
            self.report(
                "when",
                f'"{asks[0].dotted}" needs a budget: it says that acting pays at its price',
                hint="add budget: {false_alerts_per_subject_year: 12}",
            )
        if budget is None or budget is BAD or BAD in budget.values():
            return None
        if not asks and isinstance(self.record["when"], Expression):
            self.reader.report(
                self.record.at("budget"),
                "the budget changes nothing: no condition asks for .due of a signal",
                warn=True,
            )
        return Budget(budget["false_alerts_per_subject_year"], budget["scope"])

    # -- people -----------------------------------------------------------------------------

    def route(self) -> Route | None:
        route = self.record["route"]
        if not route or BAD in route.values():
            return None
        return Route(
            route["queue"],
            tuple(ContactStep(_need(s["who"]), _need(s["wait"])) for s in route["contact_first"]),
            tuple(EscalationStep(_need(s["to"]), _need(s["after"])) for s in route["escalate"]),
            tuple(Level(_need(level)) for level in route["send_at_once"]),
        )

    def limits(self) -> tuple[Limits, dict[Level, Limits]]:
        limits = self.record["limits"]
        if not limits or BAD in limits.values():
            return Limits(), {}
        base = {key: value for key, value in limits.items() if key != "levels"}
        by_level: dict[Level, Limits] = {}
        for name, entry in limits["levels"].items():
            if entry is BAD or BAD in entry.values():
                continue
            named = {k: entry[k] for k in entry.nodes}
            by_level[Level(name)] = _limits({**base, **named})
        return _limits(base), by_level

    def texts(self, scope: Scope) -> None:
        """Report what is wrong with the templates."""
        table = self.record["texts"]
        for key, text in table.items() if table else ():
            if text is BAD:
                continue
            for language in texts.LANGUAGES:
                template, node = text[language], text.at(language)
                if template is BAD:
                    continue
                shift = len(node.value) - len(node.value.lstrip())
                for f in () if self.blind else texts.check(template, scope):
                    self.reader.report(
                        node,
                        f"texts.{key}.{language}: {f.message}",
                        got=f.got,
                        wanted=f.wanted,
                        hint=f.hint,
                        offset=f.offset + shift,
                    )
            zh = text["zh"]
            if zh is not BAD and not any("一" <= c <= "鿿" for c in zh):
                self.reader.report(text.at("zh"), f"texts.{key}.zh has no Chinese in it", warn=True)


def _series(record: Any) -> Series:
    if _need(record) and BAD in record.values():
        raise _IncompleteError
    return Series(
        record["kind"],
        record["at"],
        record["by"],
        dict(record["where"]),
        {"15m": 900, "30m": 1800, "1h": 3600}[record["every"]],
        record["amount"],
        record["distinct"],
        record["within"],
    )


def _other_subjects(found: DetectorFacts, grain: str) -> str:
    """Return what would make a rule's subjects fit a detector."""
    if found.grain == "series":
        return 'say in "subjects: {series: …}" which events make the subjects'
    if grain == "series":
        return "it needs meters: name the kinds of its subjects, without series"
    return f'set "grain: {found.grain}" in subjects'


def _text(record: Read) -> Text:
    # YAML folds lines with a space, which Chinese does not have.
    zh = re.sub(rf"(?<={_CJK}) (?={_CJK})", "", _need(record["zh"]))
    return Text(zh, _need(record["en"]))


def _limits(values: Mapping[str, Any]) -> Limits:
    return Limits(
        values["sign"],
        values["contact"],
        values["door"],
        values["report"],
        values["close"],
        values["clock"],
    )


def _made(cls: type[Any], record: Any, **keys: str) -> Any:
    """Return an object of a flat record; None if there is none."""
    if not record:
        return None
    return cls(**{name: _need(record[key]) for name, key in keys.items()})
