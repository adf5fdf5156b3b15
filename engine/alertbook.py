"""Alerts that are out, and the lines that tell of their changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from detectors.base import NS
from engine.columns import NO_ONSET
from engine.watch import Raised, Watch
from rules import texts
from rules.alerts import AlertChange, Level, State, alert_id, stamp
from rules.lifecycle import Kind


@dataclass(slots=True)
class OpenAlert:
    """What the later lines of an alert repeat of its first."""

    alert_id: str
    seq: int
    raised_at: str
    onset_ns: int
    evidence: float | None
    p_value: float | None
    facts: dict[str, Any]
    signals: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Named:
    """How an alert's subject is named to the outside."""

    subject_id: str | None
    place: str
    key: str
    """What the alert's id is made from: the subject's id, or the place."""
    zone_offset_s: int


class AlertBook:
    """Turns changes of lives into lines, and remembers what open alerts said.

    Lines are handed out sorted by (time, id), and only once nothing can come before them.
    """

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], OpenAlert] = {}
        self.closed: dict[tuple[str, str], tuple[int, int, str]] = {}
        """Onset, last seq and raised_at of the newest alert that ended, by rule and subject."""
        self._waiting: list[tuple[int, str, int, AlertChange]] = []

    def note(
        self,
        watch: Watch,
        raised: Raised,
        named: Named,
        counterfactual: list[dict[str, Any]],
        extra: Mapping[str, Any],
        marks: Mapping[str, Any],
    ) -> AlertChange:
        """Record one change and return its line; `marks` say why nobody is to be sent."""
        rule = watch.rule
        key = (rule.name, named.key)
        change = raised.change
        if change.kind == Kind.RAISED:
            self.open[key] = self._opened(watch, raised, named, counterfactual, extra)
            onset_ns, seq, raised_at = self.closed.get(key, (None, 0, ""))
            if onset_ns == self.open[key].onset_ns:
                # The same episode again (what explained it has passed): the same alert goes on.
                self.open[key].seq, self.open[key].raised_at = seq, raised_at
        alert = self.open[key]
        alert.seq += 1
        state = {Kind.RESOLVED: State.RESOLVED, Kind.CANCELLED: State.CANCELLED}.get(
            change.kind, State.FIRING
        )
        if state != State.FIRING:
            del self.open[key]
            self.closed[key] = (alert.onset_ns, alert.seq, alert.raised_at)
        line = AlertChange(
            alert_id=alert.alert_id,
            seq=alert.seq,
            at=stamp(change.at_ns),
            rule=rule.name,
            rule_version=rule.version,
            subject_id=named.subject_id,
            place=named.place,
            level=Level(change.level),
            state=state,
            onset=stamp(alert.onset_ns),
            raised_at=alert.raised_at,
            evidence=alert.evidence,
            p_value=alert.p_value,
            budget=None if rule.budget is None else rule.budget.false_alerts_per_subject_year,
            reason=self._reason(watch, raised, state, alert, named),
            facts=alert.facts
            | ({} if change.kind == Kind.RAISED else {"cause": change.cause})
            | dict(marks),
            signals=alert.signals,
        )
        self._waiting.append((change.at_ns, alert.alert_id, alert.seq, line))
        return line

    def _opened(
        self,
        watch: Watch,
        raised: Raised,
        named: Named,
        counterfactual: list[dict[str, Any]],
        extra: Mapping[str, Any],
    ) -> OpenAlert:
        signals: list[dict[str, Any]] = []
        facts: dict[str, Any] = {}
        for name, use in watch.rule.signals.items():
            said = raised.variables[name]
            onset = watch.onset_ns(name, raised.row)
            for fact, value in said["facts"].items():
                # The onset is a field of its own, as a time; a slot number means nothing outside.
                if fact != "onset" and number(value) is not None:
                    facts.setdefault(fact, number(value))
            signals.append(
                {
                    "name": name,
                    "detector": use.detector,
                    "evidence": number(said["evidence"]),
                    "p_value": number(said["p_value"]),
                    "urgency": said["urgency"],
                    "onset": None if onset == NO_ONSET else stamp(onset),
                }
            )
        facts |= dict(extra)
        facts["slot_end"] = stamp(raised.tip_ns)
        facts["price"] = {
            "index": watch.price.index,
            "fraction": round(watch.price.fraction, 6),
            "day": watch.price.day,
        }
        facts["clauses"] = [
            {"clause": c.text, "met": c.value, "with": plain(c.operands)}
            for c in raised.decision.clauses
        ]
        facts["counterfactual"] = counterfactual
        evidence = [s["evidence"] for s in signals if s["evidence"] is not None]
        p_values = [s["p_value"] for s in signals if s["p_value"] is not None]
        onset_ns = raised.life.onset_ns
        return OpenAlert(
            alert_id=alert_id(watch.rule.name, named.key, onset_ns),
            seq=0,
            raised_at=stamp(raised.change.at_ns),
            onset_ns=onset_ns,
            evidence=number(sum(evidence)) if evidence else None,
            p_value=min(p_values) if p_values else None,
            facts=facts,
            signals=signals,
        )

    def _reason(
        self, watch: Watch, raised: Raised, state: State, alert: OpenAlert, named: Named
    ) -> Mapping[str, str]:
        kind = {
            State.RESOLVED: watch.rule.texts.resolved,
            State.CANCELLED: watch.rule.texts.cancelled,
        }
        text = kind.get(state, watch.rule.texts.raised)
        variables = dict(raised.variables)
        if state != State.FIRING:
            # The episode is over: its own facts, as they were said, make the closing sentence.
            for name in watch.rule.signals:
                kept = {k: v for k, v in alert.facts.items() if isinstance(v, int | float)}
                variables[name] = {**variables[name], "facts": kept}
        variables["alert"] = {
            "onset_s_utc": alert.onset_ns / NS,
            "at_s_utc": raised.change.at_ns / NS,
            "level": str(raised.change.level),
            "cause": raised.change.cause,
        }
        return texts.reason(text, variables, zone_offset_s=named.zone_offset_s)

    @property
    def has_waiting(self) -> bool:
        """Whether some line waits to be released."""
        return bool(self._waiting)

    def release(self, until_ns: int | None) -> list[AlertChange]:
        """Return, sorted, the lines up to and including a time (all of them for None)."""
        self._waiting.sort(key=lambda w: w[:3])
        n = len(self._waiting)
        if until_ns is not None:
            n = next((i for i, w in enumerate(self._waiting) if w[0] > until_ns), n)
        out, self._waiting = self._waiting[:n], self._waiting[n:]
        return [line for *_, line in out]

    def snapshot(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "open": [
                [rule, key, *(getattr(a, name) for name in OpenAlert.__slots__)]
                for (rule, key), a in sorted(self.open.items())
            ],
            "closed": [[*key, *value] for key, value in sorted(self.closed.items())],
            "waiting": [[at, _builtins(line)] for at, _, _, line in self._waiting],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over :meth:`snapshot`'s values."""
        import msgspec

        self.open = {(r[0], r[1]): OpenAlert(*r[2:]) for r in state["open"]}
        self.closed = {(r[0], r[1]): (r[2], r[3], r[4]) for r in state["closed"]}
        self._waiting = []
        for at, body in state["waiting"]:
            line = msgspec.convert(body, AlertChange)
            self._waiting.append((at, line.alert_id, line.seq, line))


def _builtins(line: AlertChange) -> Any:
    import msgspec

    return msgspec.to_builtins(line)


def number(value: Any) -> float | int | None:
    """Return a JSON number with six significant digits; None for NaN and infinity."""
    if value is None or isinstance(value, bool | int):
        return value
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [plain(v) for v in value]
