"""Runs a rule on signals that a test gives, without detectors: masks, decisions, lives, texts.

It is what the engine does with a rule, for one subject and with the arrays left out.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from rules import texts
from rules.alerts import AlertChange, State, alert_id, stamp
from rules.cases import NS, Case, SignalSeries, Subject
from rules.compile import CompiledRule
from rules.lifecycle import IDLE, Change, Kind, Life, Observation, Timing, advance, observe
from rules.model import CONTEXTS, Rule, RuleSet
from rules.windows import Happening, look

_STATES = {
    Kind.RAISED: State.FIRING,
    Kind.LEVEL: State.FIRING,
    Kind.RESOLVED: State.RESOLVED,
    Kind.CANCELLED: State.CANCELLED,
}
_SEASONS = ("winter", "spring", "summer", "autumn")


def run(case: Case, rules: RuleSet) -> list[AlertChange]:
    """Return the lines that a case of signals makes, for its first subject.

    Raises
    ------
    ValueError
        If the case has no signals: it needs the engine.
    """
    if case.whole:
        raise ValueError(
            f'{case.file}:{case.line}: "{case.name}" has no signals: it needs the engine'
        )
    lines: list[AlertChange] = []
    for name in case.rules:
        lines += _Rehearsal(case, rules[name]).run()
    return sorted(lines, key=lambda line: (line.at, line.alert_id, line.seq))


class _Rehearsal:
    def __init__(self, case: Case, rule: Rule) -> None:
        self.case = case
        self.rule = rule
        self.compiled = CompiledRule(rule)
        self.timing = Timing.of(rule)
        self.subject = case.subjects[0] if case.subjects else Subject("subject", "any", "1", {})
        self.life: Life = IDLE
        self.lines: list[AlertChange] = []
        self.seq = 0
        self.told: dict[str, Any] = {}
        """Signals as they were when the alert last fired: the closing sentence speaks of them."""

    def run(self) -> list[AlertChange]:
        case = self.case
        lengths = [len(v) for s in case.signals.values() for v in s.fields.values()]
        step = case.interval_s * NS
        known = [
            (e.arrival_ns, Happening(e.at_ns, e.kind, e.attrs, e.event_id)) for e in case.events
        ]
        for i in range(max(lengths, default=0)):
            at_ns = case.start_ns + (i + 1) * step
            happenings = [happening for arrival_ns, happening in known if arrival_ns <= at_ns]
            variables = self.variables(i, at_ns, happenings)
            before = self.life
            seen = self.observation(variables, i, at_ns)
            self.life, changes = observe(self.timing, self.life, at_ns, seen)
            self.tell(before, changes, variables)
        before = self.life
        self.life, changes = advance(self.timing, self.life, case.until_ns)
        self.tell(before, changes, variables if lengths else {})
        return self.lines

    def variables(self, i: int, at_ns: int, happenings: Sequence[Happening]) -> dict[str, Any]:
        case = self.case
        local = dt.datetime.fromtimestamp(at_ns // NS, ZoneInfo(case.zone))
        events = {n: look(use, happenings, at_ns).variables for n, use in self.rule.events.items()}
        signals = {
            name: self.signal(case.signals[name], i)
            for name in self.rule.signals
            if name in case.signals
        }
        return {
            "subject": {
                "id": self.subject.subject_id,
                "kind": self.subject.kind,
                "attrs": self.subject.attrs,
                "place": self.subject.place,
            },
            "now": {
                "hour": local.hour,
                "minute": local.minute,
                "weekday": local.isoweekday(),
                "month": local.month,
                "season": _SEASONS[local.month % 12 // 3],
                "rest_day": local.isoweekday() >= 6,
            },
            "context": {n: bool(_at(case.contexts.get(n, [0.0]), i)) for n in CONTEXTS},
            "alerts": [name for name, values in case.alerts.items() if _at(values, i)],
            **events,
            **signals,
        }

    def signal(self, given: SignalSeries, i: int) -> dict[str, Any]:
        values = {name: _at(v, i) for name, v in given.fields.items()}
        spoken = next(iter(values.values()), math.nan)
        onset = self.onset(given, i)
        return {
            "ready": not math.isnan(spoken),
            "due": values.get("due") == 1.0,
            "urgency": int(values.get("urgency", 0.0)) if not math.isnan(spoken) else -1,
            "evidence": values.get("evidence"),
            "p_value": values.get("p_value"),
            "onset_s": float((i + 1 - onset) * self.case.interval_s),
            "utilities": list(given.utilities),
            "facts": {name: _at(v, i) for name, v in given.facts.items()},
        }

    def onset(self, given: SignalSeries, i: int) -> int:
        """Return the slot in which the present episode began."""
        if "onset" in given.fields:
            onset = _at(given.fields["onset"], i)
            return i if math.isnan(onset) else int(onset)
        due = given.fields.get("due", ())
        first = min(i, max(len(due) - 1, 0))
        while first > 0 and due and due[first - 1] == 1.0:
            first -= 1
        return first

    def observation(self, variables: Mapping[str, Any], i: int, at_ns: int) -> Observation:
        decision = self.compiled.decide(variables)
        known = [self.onset(s, i) for n, s in self.case.signals.items() if n in self.rule.signals]
        onset_ns = self.case.start_ns + known[0] * self.case.interval_s * NS if known else at_ns
        return Observation(
            met=decision.met,
            holds=decision.holds,
            onset_ns=onset_ns,
            blocked=decision.blocked_by is not None,
            refuted=self.life.firing and decision.cancels,
            promotions=decision.promotions,
            cause=decision.blocked_by or "data",
        )

    def tell(self, before: Life, changes: Sequence[Change], variables: Mapping[str, Any]) -> None:
        for change in changes:
            state = _STATES[change.kind]
            if change.kind == Kind.RAISED:
                self.seq = 0
            if state == State.FIRING:
                self.told = {n: variables[n] for n in self.rule.signals if n in variables}
            life = self.life if self.life.firing else before
            self.lines.append(self.line(change, state, life, {**variables, **self.told}))
            self.seq += 1

    def line(
        self, change: Change, state: State, life: Life, variables: Mapping[str, Any]
    ) -> AlertChange:
        rule, subject = self.rule, self.subject
        is_place = rule.subjects.grain == "place"
        whom = subject.place if is_place else subject.subject_id
        zone = ZoneInfo(self.case.zone)
        offset = dt.datetime.fromtimestamp(change.at_ns // NS, zone).utcoffset()
        about = {
            "onset_s_utc": life.onset_ns / NS,
            "at_s_utc": change.at_ns / NS,
            "level": str(change.level),
            "cause": change.cause,
        }
        text = {
            State.RESOLVED: rule.texts.resolved,
            State.CANCELLED: rule.texts.cancelled,
        }.get(state, rule.texts.raised)
        seconds = int(offset.total_seconds()) if offset else 0
        return AlertChange(
            alert_id=alert_id(rule.name, whom, life.onset_ns),
            seq=self.seq,
            at=stamp(change.at_ns),
            rule=rule.name,
            rule_version=rule.version,
            subject_id=None if is_place else subject.subject_id,
            place=subject.place,
            level=change.level,
            state=state,
            onset=stamp(life.onset_ns),
            raised_at=stamp(life.raised_ns),
            evidence=None,
            p_value=None,
            budget=rule.budget.false_alerts_per_subject_year if rule.budget else None,
            reason=texts.reason(text, {**variables, "alert": about}, seconds),
            facts={},
            signals=[],
        )


def _at(values: Sequence[float], i: int) -> float:
    """Return a series' value in a slot; its last value goes on."""
    return values[min(i, len(values) - 1)] if values else math.nan
