"""Absences through the whole engine: told once, told early, revoked, over sooner than declared."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from connectors.records import Event
from engine.config import Config
from engine.context import ABSENT, Context, Interval
from engine.notices import OPEN_S, EventError, of_event
from engine.outcomes import STRETCH_S
from engine.replay import Replay, ReplayOptions

NS = 10**9
DAYS = 60
BEGIN = datetime.fromisoformat("2026-03-02T00:00:00+08:00")
HOME = "elder-1"


def hour(day: int, clock: int) -> int:
    """Hours since the record began, of a local hour."""
    return 24 * day + clock


def at(hours: float) -> str:
    return (BEGIN + timedelta(hours=hours)).isoformat()


def event(kind: str, told: float, **attrs: object) -> list[str]:
    return [f"{kind}-{told}", at(told), kind, HOME, "", json.dumps(attrs)]


def raised(folder: Path, silent: Sequence[tuple[int, int]], *events: list[str]) -> list[float]:
    """Replay one home that is silent at some hours; return when alerts were raised, in hours."""
    rng = np.random.default_rng(1)
    tables = {
        "meters": [
            ["meter_id", "subject_id", "utility", "kind", "unit", "interval_s", "stamp"],
            ["m", HOME, "water", "interval", "l", "3600", "start"],
        ],
        "subjects": [
            ["subject_id", "kind", "place", "timezone", "attrs"],
            [HOME, "elderly_alone", "330199001001001", "Asia/Shanghai", "{}"],
        ],
        "events": [["event_id", "ts", "kind", "subject_id", "place", "attrs"], *events],
        "readings": [["meter_id", "ts", "value"]],
    }
    for h in range(DAYS * 24):
        busy = 7 <= h % 24 < 22 and rng.random() < 0.9
        quiet = any(a <= h < b for a, b in silent)
        tables["readings"].append(["m", at(h), "0" if quiet or not busy else "9"])
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    options = ReplayOptions(
        readings=(str(folder / "readings.csv"),),
        events=(str(folder / "events.csv"),),
        meters=str(folder / "meters.csv"),
        subjects=str(folder / "subjects.csv"),
        budgets={"elderly-silence": 6.0},
    )
    result = Replay(options, Config(), keep=True).run()
    assert result.reconciled
    assert not sum(c.by_status["quarantined"] for c in result.counts.values())
    first = [line for line in result.alerts if line.seq == 1]
    assert all(line.rule == "elderly-silence" for line in first)
    times = [datetime.fromisoformat(line.raised_at) for line in first]
    return sorted((t - BEGIN).total_seconds() / 3600 for t in times)


COLLAPSE = (hour(55, 9), hour(58, 9))


@pytest.fixture
def alone(tmp_path: Path) -> float:
    """When a collapse is found in a home that was never away."""
    found = raised(tmp_path, [COLLAPSE])
    assert len(found) == 1
    assert 2 < found[0] - COLLAPSE[0] <= 12
    return found[0]


def test_away_reported_once_is_quiet_and_the_next_collapse_is_found_as_soon(
    tmp_path: Path, alone: float
) -> None:
    away = (hour(45, 8), hour(50, 18))
    first = raised(tmp_path, [away, COLLAPSE])[0]
    assert away[0] < first < away[0] + 12
    # The gridworker reaches the daughter by telephone: back on the evening of day 50.
    told = event("outcome", first + 1, outcome="away", until=at(away[1]), by="w")
    found = raised(tmp_path, [away, COLLAPSE], told)
    assert found[0] == first
    assert len(found) == 2, "no second alert in that absence"
    assert found[1] <= alone


def test_who_is_back_before_the_declared_end_is_watched_again(tmp_path: Path, alone: float) -> None:
    away = (hour(45, 8), hour(50, 18))
    told = event("absence", away[0], **{"from": at(away[0]), "until": at(hour(59, 0))})
    assert raised(tmp_path, [away, COLLAPSE], told) == [pytest.approx(alone, abs=1.0)]


def test_a_revoked_absence_reaches_rules_and_detectors(tmp_path: Path) -> None:
    span = {"from": at(hour(54, 8)), "until": at(hour(59, 0))}
    told = event("absence", hour(53, 0), **span)
    assert raised(tmp_path, [COLLAPSE], told) == []
    # "She did not go after all", says the daughter two hours after the collapse.
    revoked = event("absence_revoked", COLLAPSE[0] + 2, **span)
    found = raised(tmp_path, [COLLAPSE], told, revoked)
    assert len(found) == 1
    assert found[0] <= COLLAPSE[0] + 2 + 12
    # Withdrawn before it began: as if it had never been told.
    withdrawn = event("absence_revoked", hour(53, 5), **span)
    assert raised(tmp_path, [COLLAPSE], told, withdrawn) == raised(tmp_path, [COLLAPSE])


def test_many_absences_may_be_told_long_before(tmp_path: Path) -> None:
    spans = [(hour(day, 7), hour(day + 2, 20)) for day in (20, 27, 34, 41, 48)]
    told = [
        event("absence", i / 100, **{"from": at(a), "until": at(b)})
        for i, (a, b) in enumerate(spans)
    ]
    assert raised(tmp_path, spans, *told) == []


@pytest.mark.parametrize("kind", sorted(OPEN_S))
def test_nothing_told_without_an_end_holds_for_good(kind: str) -> None:
    attrs = {"kw": 1.0} if kind == "approved_test" else {}
    told = Event("e", 0, kind, HOME, None, attrs, 0, "file")
    context, _ = of_event(told, "Asia/Shanghai")
    assert context is not None
    assert context[2] == OPEN_S[kind] * NS
    assert OPEN_S[kind] <= 90 * 86_400


def test_no_absence_is_longer_than_a_stretch() -> None:
    told = Event("e", 0, "absence", HOME, None, {"until": "2099-01-01"}, 0, "file")
    context, notice = of_event(told, "Asia/Shanghai")
    assert context is not None
    assert notice is not None
    assert context[2] == notice.end_ns == STRETCH_S * NS
    with pytest.raises(EventError, match="ends before it begins"):
        of_event(Event("e", 10**18, "absence", HOME, None, {"until": "1970-01-02"}, 0, "f"), "UTC")


def test_ending_what_holds_leaves_the_rest() -> None:
    context = Context()
    for start, end in ((0, 10), (20, 30), (40, 50)):
        context.add(Interval(ABSENT, 1, start, end, 0, "x"))
    context.end(ABSENT, 1, 25, start_ns=40)
    assert [(k.start_ns, k.end_ns) for k in context.intervals()] == [(0, 10), (20, 25)]
