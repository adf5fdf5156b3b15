"""Feeds of events and slow meters through the real engine: small logs in, alerts out, a rule each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from connectors.records import Event, LogRecord, ReadingBlock, Tick
from connectors.table_file import TableFile
from connectors.tables import METERS, SUBJECTS, MetersTable, SubjectsTable, meters_of, subjects_of
from engine import library
from engine.config import Config
from engine.host import Host
from engine.partition import partition, routes
from engine.places import PlaceLayout
from engine.registry import Registry
from engine.shard import ShardRunner
from rules.alerts import AlertChange
from rules.model import RuleSet, rule_set

HOUR, DAY, NS = 3600, 86_400, 1_000_000_000
START_S = int(datetime(2026, 3, 1, 16, tzinfo=UTC).timestamp())
"""Midnight of a Monday in Shanghai."""
ZONE = "Asia/Shanghai"
COMMUNITIES = [f"330106001{n:03d}" for n in range(1, 7)]
GRID = COMMUNITIES[0] + "002"
Row = tuple[float, str, str, dict[str, object]]
"""Seconds since the start, kind, place, attributes."""


class Refused:
    def block(self, *_: object) -> None:
        raise AssertionError("a reading was refused")

    def event(self, event: Event) -> None:
        raise AssertionError(event.detail)


def rules(*names: str, **budgets: float) -> RuleSet:
    chosen = rule_set([r for r in library.rules(None) if r.name in names])
    return library.with_budgets(chosen, {k.replace("_", "-"): v for k, v in budgets.items()})


def subjects(*rows: tuple[str, str, str, dict[str, object]]) -> SubjectsTable:
    named = [
        {"subject_id": i, "kind": k, "place": p, "timezone": ZONE, "attrs": json.dumps(a)}
        for i, k, p, a in rows
    ]
    return subjects_of(TableFile.of("subjects", named, SUBJECTS))


def meters(*rows: tuple[str, str, str, str]) -> MetersTable:
    """Return hourly interval meters: meter, subject, utility, unit."""
    named = [
        {
            "meter_id": m,
            "subject_id": s,
            "utility": u,
            "kind": "interval",
            "unit": unit,
            "interval_s": "3600",
            "multiplier": "1",
            "stamp": "start",
        }
        for m, s, u, unit in rows
    ]
    return meters_of(TableFile.of("meters", named, METERS))


def events(rows: Iterable[Row], days: float) -> Iterator[LogRecord]:
    """Yield events in order, and ticks to the end."""
    for n, (at_s, kind, place, attrs) in enumerate(sorted(rows, key=lambda r: r[0])):
        ns = int((START_S + at_s) * NS)
        yield Event(f"e{n:05d}", ns, kind, None, place, attrs, ns, "feed")
    yield Tick(int(START_S + days * DAY) * NS)


def readings(values: np.ndarray) -> Iterator[LogRecord]:
    """Yield hourly values (hours, meters), a day a block; each arrives an hour after its start."""
    hours, n = values.shape
    for first in range(0, hours, 24):
        part = values[first : first + 24]
        start_s = START_S + (first + np.arange(len(part))) * HOUR
        ts = np.repeat(start_s, n) * NS
        size = part.size
        yield ReadingBlock(
            "meters",
            np.arange(size),
            np.tile(np.arange(n, dtype=np.int32), len(part)),
            ts,
            part.ravel().astype(float),
            ts + HOUR * NS,
            np.zeros(size, np.uint8),
        )


def run(
    known: RuleSet,
    log: Iterable[LogRecord],
    people: SubjectsTable | None = None,
    devices: MetersTable | None = None,
    shards: int = 1,
) -> list[AlertChange]:
    """Return the lines of a log, in one shard or several."""
    people, devices = people or subjects(), devices or meters()
    layout, lines = PlaceLayout(), []
    whole = Registry(devices, people, layout)
    parts = partition(devices, people, layout, shards) if shards > 1 else [whole]
    runners = [
        ShardRunner(
            part, known, Config(), library.calendars(), tick=900, share=(i, shards), zone=ZONE
        )
        for i, part in enumerate(parts)
    ]
    host = Host(
        runners,
        on_lines=lines.extend,
        refuse=Refused(),
        routes=routes(whole, parts) if shards > 1 else None,
    )
    for record in log:
        host.feed(record)
    host.finish()
    return lines


def calls(days: int, seed: int = 1) -> list[Row]:
    """Return the ordinary calls of six communities: three grids each, three topics, by day."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for community in COMMUNITIES:
        for grid in range(1, 4):
            for topic, a_day in (("noise", 1.2), ("parking", 0.5), ("rubbish", 0.3)):
                for n in range(rng.poisson(a_day * days)):
                    at = rng.integers(days) * DAY + rng.uniform(8, 20) * HOUR
                    attrs = {"topic": topic, "caller": f"{community}{grid}{n}"}
                    rows.append((float(at), "complaint", f"{community}{grid:03d}", attrs))
    return rows


def burst(place: str, topic: str, at_s: float, n: int, each_s: float = 300) -> list[Row]:
    return [
        (at_s + i * each_s, "complaint", place, {"topic": topic, "caller": f"b{i}"})
        for i in range(n)
    ]


def said(lines: Iterable[AlertChange], rule: str) -> list[tuple[str, str, str]]:
    return [(str(x.state), str(x.level), x.subject_id or x.place) for x in lines if x.rule == rule]


# -- counts per grid and topic --------------------------------------------------------------------


def test_a_surge_of_calls_is_one_alert_about_its_grid_and_topic() -> None:
    at = 45 * DAY + 14 * HOUR
    lines = run(rules("hotline-surge"), events([*calls(50), *burst(GRID, "noise", at, 24)], 50))
    assert said(lines, "hotline-surge")[0] == ("firing", "yellow", f"{GRID}:noise")
    assert {x.subject_id for x in lines} == {f"{GRID}:noise"}
    first = lines[0]
    raised = datetime.fromisoformat(first.raised_at).timestamp() - START_S
    assert at < raised <= at + 2.25 * HOUR
    assert first.place == GRID
    assert "突增" in first.reason["zh"]
    withdrawn = [row["event_id"] for row in first.facts["counterfactual"]]
    assert len(withdrawn) == first.facts["count"] >= 10


def test_without_those_calls_there_is_no_surge() -> None:
    at = 45 * DAY + 14 * HOUR
    log = list(events([*calls(50), *burst(GRID, "noise", at, 24)], 50))
    (first, *_) = run(rules("hotline-surge"), log)
    gone = {row["event_id"] for row in first.facts["counterfactual"]}
    left = [r for r in log if not (isinstance(r, Event) and r.event_id in gone)]
    assert first.alert_id not in {x.alert_id for x in run(rules("hotline-surge"), left)}


def test_a_topic_that_nobody_ever_named_before_surges_at_once() -> None:
    """A quiet past is known: the community's feed has been there, and this topic was never in it."""
    at = 45 * DAY + 14 * HOUR
    lines = run(rules("hotline-surge"), events([*calls(50), *burst(GRID, "smell", at, 12)], 50))
    assert said(lines, "hotline-surge")[0] == ("firing", "yellow", f"{GRID}:smell")


def test_a_feed_that_has_only_begun_does_not_surge() -> None:
    lines = run(rules("hotline-surge"), events(burst(GRID, "noise", 3 * DAY, 40), 6))
    assert lines == []


def test_an_event_that_comes_after_its_hour_was_counted_is_not_counted() -> None:
    known = rules("hotline-surge")
    at = 45 * DAY + 14 * HOUR
    late = [
        Event(f"late{i}", int((START_S + at) * NS), "complaint", None, GRID, {"topic": "noise"},
              int((START_S + at + 3 * HOUR) * NS), "feed")
        for i in range(40)
    ]  # fmt: skip
    log = [*events(calls(50), 50)]
    cut = next(i for i, r in enumerate(log) if r.arrival_ns > late[0].arrival_ns)
    assert run(known, [*log[:cut], *late, *log[cut:]]) == run(known, log)


def test_a_gate_that_reports_totals() -> None:
    rng = np.random.default_rng(4)
    gate = COMMUNITIES[1] + "001009"
    rows: list[Row] = [
        (d * DAY + h * HOUR + 60, "traffic_gate", gate,
         {"class": "goods", "direction": "in", "count": int(rng.poisson(6 if 7 < h < 19 else 1))})
        for d in range(45) for h in range(24)
    ]  # fmt: skip
    flood = [
        (44 * DAY + h * HOUR + 120, "traffic_gate", gate,
         {"class": "goods", "direction": "in", "count": 60})
        for h in (10, 11)
    ]  # fmt: skip
    lines = run(rules("traffic-gate-surge"), events([*rows, *flood], 45))
    assert said(lines, "traffic-gate-surge")[0][0::2] == ("firing", f"{gate}:goods")
    assert lines[0].facts["count"] >= 60


# -- one address ----------------------------------------------------------------------------------

HOUSE = GRID + "045"


def test_the_third_complaint_at_one_address_within_a_month() -> None:
    again = [(d * DAY + 9 * HOUR, "complaint", HOUSE, {"topic": "noise", "caller": c})
             for d, c in ((32, "a"), (38, "b"), (41, "a"))]  # fmt: skip
    lines = run(rules("repeated-complaint"), events([*calls(45), *again], 45))
    mine = [x for x in lines if x.subject_id == f"{HOUSE}:noise"]
    assert [str(x.state) for x in mine] == ["firing"]
    assert (mine[0].facts["count"], mine[0].facts["callers"]) == (3, 2)
    assert mine[0].onset == "2026-04-03T01:00:00Z"
    assert "来自2位来电人" in mine[0].reason["zh"]
    assert len(mine[0].facts["counterfactual"]) == 3


def test_three_complaints_over_three_months_are_no_repeat() -> None:
    again = [(d * DAY, "complaint", HOUSE, {"topic": "noise", "caller": "a"}) for d in (2, 34, 66)]
    assert run(rules("repeated-complaint"), events(again, 70)) == []


def test_where_every_address_complains_again_one_more_is_usual() -> None:
    rows = [(d * DAY + n * 60.0, "complaint", f"{GRID}{n:03d}", {"topic": "parking", "caller": "x"})
            for n in range(1, 40) for d in range(3, 28, 4)]  # fmt: skip
    lines = run(rules("repeated-complaint"), events(rows, 30))
    few = [x for x in lines if x.raised_at > "2026-03-14"]
    assert few == []


def test_a_dispute_needs_two_sides_and_the_police() -> None:
    def quarrel(*kinds: tuple[str, str]) -> list[AlertChange]:
        rows = [(i * DAY + HOUR, kind, HOUSE, {"topic": "quarrel", "caller": c})
                for i, (kind, c) in enumerate(kinds)]  # fmt: skip
        return run(rules("dispute-early-warning"), events(rows, 9))

    three = quarrel(("complaint", "a"), ("police_call", "b"), ("complaint", "a"))
    assert [(str(x.state), str(x.level)) for x in three] == [("firing", "orange")]
    assert three[0].place == HOUSE
    assert not quarrel(("complaint", "a"), ("complaint", "b"), ("complaint", "a"))
    assert not quarrel(("complaint", "a"), ("police_call", "a"), ("complaint", "a"))


def test_calls_that_are_no_police_matter_go_out_within_one_turn_of_the_clock() -> None:
    rows: list[Row] = [
        (DAY + 65, "police_call", HOUSE, {"topic": "quarrel", "police_matter": False}),
        (DAY + 70, "police_call", HOUSE, {"topic": "robbery", "police_matter": True}),
    ]
    lines = run(rules("non-police-call"), events(rows, 2))
    assert said(lines, "non-police-call") == [
        ("firing", "blue", f"{HOUSE}:quarrel"),
        ("resolved", "blue", f"{HOUSE}:quarrel"),
    ]
    assert lines[0].raised_at == "2026-03-02T16:01:05Z"
    assert lines[0].facts["counterfactual"] == [{"event_id": "e00000", "withdrawn": True}]


# -- slow meters ----------------------------------------------------------------------------------


def test_a_firm_fades_its_sector_does_not() -> None:
    rng = np.random.default_rng(2)
    days = 60
    weekday = (np.arange(days) % 7 < 5).astype(float)
    load = 100 * (0.3 + weekday)[:, None] * np.exp(rng.normal(0, 0.08, (days, 4)))
    load[38:, 1] *= 0.25
    people = subjects(
        *[(f"firm-{i}", "plant", COMMUNITIES[2] + "001", {"sector": "steel"}) for i in range(4)]
    )
    devices = meters(*[(f"m{i}", f"firm-{i}", "electricity", "kWh") for i in range(4)])
    log = readings(np.repeat(load / 24, 24, axis=0))
    lines = run(rules("firm-fading"), log, people, devices)
    assert {x.subject_id for x in lines} == {"firm-1"}
    assert lines[0].facts["drop"] == pytest.approx(0.75, abs=0.06)
    assert lines[0].onset.startswith("2026-04-08")
    assert lines[0].raised_at < "2026-04-24"
    assert lines[0].facts["sector_drop"] == pytest.approx(0.0, abs=0.1)


def test_water_that_runs_all_night_leaks() -> None:
    rng = np.random.default_rng(3)
    hours = np.arange(40 * 24)
    use = rng.gamma(1.0, 14, len(hours)) * (rng.random(len(hours)) < 0.6) * (hours % 24 > 6)
    use[36 * 24 :] += 80
    people = subjects(("flat", "home", COMMUNITIES[3] + "001", {}))
    lines = run(
        rules("water-leak"), readings(use[:, None]), people, meters(("w", "flat", "water", "l"))
    )
    assert lines
    assert lines[0].raised_at >= "2026-04-06"
    assert "没有停顿" in lines[0].reason["zh"]


def test_a_sensor_above_its_limit() -> None:
    rng = np.random.default_rng(5)
    air = np.clip(35 + rng.normal(0, 6, 24 * 30), 5, None)
    air[24 * 26 : 24 * 26 + 10] = 210
    people = subjects(("pm", "air_sensor", COMMUNITIES[4] + "001", {}))
    lines = run(
        rules("air-quality"), readings(air[:, None]), people, meters(("s", "pm", "pm25", "ug"))
    )
    assert said(lines, "air-quality")[0] == ("firing", "blue", "pm") or lines[0].level != "blue"
    assert str(lines[-1].state) == "resolved"
    assert max(x.facts["mean"] for x in lines) > 75


# -- however it is cut ----------------------------------------------------------------------------


def everything() -> list[LogRecord]:
    rows = [
        *calls(40),
        *burst(GRID, "noise", 36 * DAY + 14 * HOUR, 24),
        *burst(COMMUNITIES[4] + "001", "parking", 37 * DAY + 10 * HOUR, 20),
    ]
    for n, community in enumerate(COMMUNITIES):
        house = community + "002011"
        rows += [(d * DAY + n * HOUR, "complaint", house, {"topic": "noise", "caller": f"c{d}"})
                 for d in (30, 31, 33)]  # fmt: skip
        rows.append((35 * DAY + n * 700, "police_call", house,
                     {"topic": "quarrel", "caller": "p", "police_matter": False}))  # fmt: skip
    return list(events(rows, 40))


FEEDS = ("hotline-surge", "repeated-complaint", "dispute-early-warning", "non-police-call")


@pytest.fixture(scope="module")
def golden() -> list[bytes]:
    people = subjects(*[(f"s{c}", "home", c + "001", {}) for c in COMMUNITIES])
    lines = run(rules(*FEEDS), everything(), people)
    assert {x.rule for x in lines} == set(FEEDS)
    return [line.line() for line in lines]


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_change_nothing(golden: list[bytes], shards: int) -> None:
    people = subjects(*[(f"s{c}", "home", c + "001", {}) for c in COMMUNITIES])
    lines = run(rules(*FEEDS), everything(), people, shards=shards)
    assert [line.line() for line in lines] == golden


def test_a_snapshot_anywhere_changes_nothing(golden: list[bytes]) -> None:
    """Rows that events made are there again, with counts that were open."""
    people = subjects(*[(f"s{c}", "home", c + "001", {}) for c in COMMUNITIES])
    log, known = everything(), rules(*FEEDS)
    registry = Registry(meters(), people, PlaceLayout())
    lines: list[AlertChange] = []

    def fresh() -> Host:
        runner = ShardRunner(registry, known, Config(), library.calendars(), tick=900, zone=ZONE)
        return Host([runner], on_lines=lines.extend, refuse=Refused())

    host = fresh()
    cuts = set(np.random.default_rng(8).integers(1, len(log), 12).tolist())
    for i, record in enumerate(log):
        if i in cuts:
            header, arrays = host.snapshot()
            host = fresh()
            host.restore(json.loads(json.dumps(header)), arrays)
        host.feed(record)
    host.finish()
    assert [line.line() for line in lines] == golden
