"""`rules explain` writes values as people do, of whatever an alert carries."""

from __future__ import annotations

from typing import Any

import pytest

from engine.explain import render
from rules.alerts import AlertChange, Level, State

FACTS: dict[str, Any] = {
    "silent_hours": 30, "own": 1, "usual_share": 0.985972, "onset_slot": 7, "mine": 1.23456,
    "slot_end": "2026-03-07T20:00:00Z", "price": {"index": 19, "fraction": 0.179, "day": 20519},
    "clauses": [
        {"clause": "silence.due && x", "met": None, "with": {"silence.due": True, "x": None}},
        {"clause": "silence.facts.silent_hours > 5", "met": False,
         "with": {"silence.facts.silent_hours": 30.0, "names": ["a", "b"]}},
    ],
    "counterfactual": [
        {"meter_id": "m", "ts": "2026-03-07T19:59:59Z", "value": 3531.25},
        {"event_id": "e1", "withdrawn": True},
        {"event_id": "e2", "kind": "absence", "subject_id": "home", "place": "33",
         "ts": "2026-03-01T00:00:00Z",
         "attrs": {"from": "2026-03-01T00:00:00Z", "to": "2026-03-09T00:00:00Z", "kw": 2.0}},
    ],
}  # fmt: skip
ENGLISH = """silence.due && x  →  unknown  (silence.due: yes, x: unknown)
  silence.facts.silent_hours > 5  →  false  (silence.facts.silent_hours: 30 hours, names: a, b)

signals
  silence (inactivity): evidence 1.85, p-value unknown, urgency 22, since unknown

facts
  silent for (silent_hours): 30 hours
  judged by the home's own habits (own): yes
  share of such silences that are over by now (usual_share): 99%
  mine: 1.23
  up to (slot_end): 2026-03-07 20:00 UTC

what would have kept it quiet
  meter m reads 3,531.25 at 2026-03-07 19:59:59 UTC
  without the event e1
  an event absence of home, 2026-03-01 00:00 UTC to 2026-03-09 00:00 UTC, kw 2

provenance
  rule version v; budget 12 false alerts a subject-year; price of 2026-03-07: due above urgency 19, and at 19 in 18% of cases

history
  2026-03-07 21:00 UTC  firing  orange  why"""


def change(**changes: Any) -> AlertChange:
    signal = {"name": "silence", "detector": "inactivity", "evidence": 1.85299, "p_value": None,
              "urgency": 22, "onset": None}  # fmt: skip
    fields = {
        "alert_id": "a", "seq": 0, "at": "2026-03-07T21:00:00Z", "rule": "r", "rule_version": "v",
        "subject_id": "home", "place": "33", "level": Level.ORANGE, "state": State.FIRING,
        "onset": "2026-03-06T20:00:00Z", "raised_at": "2026-03-07T21:00:00Z", "evidence": 1.85,
        "p_value": None, "budget": 12.0, "reason": {"zh": "原因", "en": "why"}, "facts": FACTS,
        "signals": [signal],
    }  # fmt: skip
    return AlertChange(**{**fields, **changes})


def test_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")
    assert ENGLISH in render([change()])


def test_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "zh")
    said = render([change()])
    for words in (
        "silence.due && x  →  未知  (silence.due：是，x：未知)", "静默时长（silent_hours）：30小时",
        "按本户自己的习惯判断（own）：是", "表 m 在 2026-03-07 19:59:59 UTC 的读数为 3,531.25",
        "没有事件 e1", "紧迫度超过 19 即预警，等于 19 的有 18% 预警", "预警中  橙色  原因",
    ):  # fmt: skip
        assert words in said


def test_of_events_alone_no_slot_and_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")
    facts = {"slot_end": "1970-01-01T00:00:00Z", "price": {"index": 0, "fraction": 0.0, "day": -1}}
    said = render([change(facts=facts, signals=[], budget=None)])
    assert "1970" not in said
    assert "rule version v; no budget\n" in said
