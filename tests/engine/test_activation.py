"""Rules change while a site runs: by the log, with what did not change kept; bad files refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.records import Activation, Event, LogRecord
from engine import library
from engine.activation import ActivationError, activate, rules_of
from engine.config import Config
from engine.host import Host
from engine.hours import ns_of
from engine.journal import Journal
from engine.live import Live
from engine.ruletest import records, registry_of
from engine.shard import ShardRunner
from rules.alerts import AlertChange
from rules.cases import Case
from rules.loader import load
from rules.unittest import parse

NS, HOUR_NS = 10**9, 3_600 * 10**9

CASE = """
rules: elderly-silence
interval: 30m
patterns:
  day: 0.03~0.01x12 (0.4~0.1 0.1~0.05)x16 0.2~0.1x2 0.03~0.01x2
subjects: {home: elderly_alone, flat: {kind: rental}}
tests:
  - name: silent
    until: 44d
    meters:
      e: "{day}x42 0.03~0.01x12 0.4 0.1 0.4 0.1 0.03~0.01x56"
      r: {subject: flat, values: "{day}x43"}
    expect: []
"""
FILES = {
    "rules/library/elderly-silence.yaml": library.shipped("library")[
        "rules/library/elderly-silence.yaml"
    ]
}
TEXT = next(iter(FILES.values()))


@pytest.fixture(scope="module")
def case() -> Case:
    (case,) = parse({"a.yaml": CASE})
    return case


def activation(text: str, at_ns: int, **budgets: float) -> Activation:
    budget = {k.replace("_", "-"): v for k, v in budgets.items()}
    files = {"elderly-silence.yaml": text}
    version = library.with_budgets(load(files), budget).version
    return Activation(version, files, "ann", at_ns, budget)


class Refuse:
    def block(self, *_: object) -> None:
        raise AssertionError

    event = block


def run(
    case: Case, first: Activation, later: list[Activation], cut: bool = False
) -> tuple[list[AlertChange], Host]:
    """Feed the case with activations between its records; `cut`: restart after each of them."""
    registry, calendars = registry_of(case), library.calendars()
    lines: list[AlertChange] = []

    def host(lineage: list[Activation]) -> Host:
        shard = ShardRunner(registry, rules_of(lineage[0]), Config(), calendars)
        made = Host([shard], on_lines=lines.extend, refuse=Refuse())
        for record in lineage[1:]:
            made.reshape(record)
        return made

    log: list[LogRecord] = []
    waiting = sorted(later, key=lambda a: a.arrival_ns)
    for record in records(case, registry):
        if hasattr(record, "slice"):
            start = 0
            for one in waiting:
                stop = int((record.arrival_ns <= one.arrival_ns).sum())
                log += [record.slice(start, stop), one]
                start = stop
            log.append(record.slice(start, len(record)))
        else:
            log.append(record)
    lineage, here = [first], host([first])
    for record in log:
        here.feed(record)
        if isinstance(record, Activation):
            lineage.append(record)
            if cut:
                head, arrays = here.snapshot()
                here = host(lineage)
                here.restore(json.loads(json.dumps(head)), arrays)
    here.finish()
    return lines, here


def test_detectors_and_alerts_go_on_where_they_stood(case: Case) -> None:
    first = activation(TEXT, 0)
    plain, _ = run(case, first, [])
    raised = plain[-1]
    assert raised.state == "firing"
    raised_ns = ns_of(raised.raised_at)
    # A day before the silence: detectors must not forget six weeks for a text that was changed.
    early = activation(TEXT.replace("没有任何", "没有一点"), case.start_ns + 41 * 24 * HOUR_NS)
    changed, host = run(case, first, [early])
    mine = [line for line in changed if line.alert_id == raised.alert_id]
    assert mine[0].raised_at == next(p.raised_at for p in plain if p.alert_id == raised.alert_id)
    assert "没有一点" in mine[0].reason["zh"]
    assert mine[0].rule_version != raised.rule_version
    assert host.shards[0].builder.settled
    # While it fires: the alert goes on under its id, told by the new version.
    late = activation(
        TEXT.replace("after: 6h", "after: 8h").replace("0.002", "0.0000001"), raised_ns + HOUR_NS
    )
    during, _ = run(case, first, [late])
    ids = {line.alert_id for line in during}
    assert ids == {line.alert_id for line in plain}


def test_the_same_bytes_across_restarts(case: Case) -> None:
    first = activation(TEXT, 0)
    later = [
        activation(TEXT, case.start_ns + 30 * 24 * HOUR_NS, elderly_silence=24.0),
        activation(
            TEXT.replace("kinds: [elderly_alone]", "kinds: [elderly_alone, rental]"),
            case.start_ns + 36 * 24 * HOUR_NS,
        ),
    ]
    whole, host = run(case, first, later)
    assert whole
    assert [line.line() for line in run(case, first, later, cut=True)[0]] == [
        line.line() for line in whole
    ]
    # New subjects have a group of their own, so that those watched before keep their history.
    assert [len(g.subject_rows) for g in host.shards[0].groups] == [1, 1]
    assert not host.shards[0].builder.settled


def test_a_budget_has_its_price_at_once_and_a_withdrawn_rule_takes_its_alerts_back(
    case: Case,
) -> None:
    first = activation(TEXT, 0)
    at_ns = case.start_ns + 30 * 24 * HOUR_NS
    _, host = run(case, first, [activation(TEXT, at_ns, elderly_silence=48.0)])
    assert host.budgets["elderly-silence"].asked == 48.0
    assert host.reducers["elderly-silence"].budget == 48.0
    other = TEXT.replace("name: elderly-silence", "name: other-silence")
    lines, _ = run(case, first, [activation(other, case.start_ns + 43 * 24 * HOUR_NS)])
    last = [line for line in lines if line.rule == "elderly-silence"][-1]
    assert (last.state, last.facts["cause"]) == ("cancelled", "rule_withdrawn")
    assert "withdrawn" in last.reason["en"]


def test_another_reading_of_the_same_rules_stops_loudly() -> None:
    record = replace(activation(TEXT, 0), version="0123456789ab")
    with pytest.raises(ActivationError, match="reads them as version"):
        rules_of(record)


def test_the_same_version_again_changes_nothing(case: Case) -> None:
    record = activation(TEXT, 0)
    shard = ShardRunner(registry_of(case), rules_of(record), Config(), library.calendars())
    watches = list(shard.watches)
    activate(shard, rules_of(record), 0)
    assert shard.watches == watches


# -- live -----------------------------------------------------------------------------------------

METERS = "meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp\nm,p,electricity,interval,kWh,3600,1,start\n"
SUBJECTS = "subject_id,kind,place,timezone,attrs\np,plant,330106001001001,Asia/Shanghai,{}\n"
RULE = """
name: visits
title: {zh: 来访, en: Visits}
subjects: {kinds: [plant]}
events: {seen: {kind: visit, within: 1d}}
when: seen.count >= 2
level: yellow
route: {queue: street}
texts:
  raised: {zh: 来访多, en: "many visits"}
  resolved: {zh: 已过, en: over}
  cancelled: {zh: 撤销, en: "taken back"}
"""
START_NS = 1_772_409_600 * NS


class Site:
    """A site whose rules lie in a folder, and a clock that only the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("meters.csv", METERS), ("subjects.csv", SUBJECTS)):
            (folder / name).write_text(text)
        (folder / "in").mkdir()
        (folder / "rules").mkdir()
        self.rule(RULE)
        self.now_ns = START_NS
        self.config = Config.model_validate(
            {
                "store": f"sqlite:///{folder / 'gw.db'}",
                "snapshots": folder / "state",
                "alerts": folder / "alerts.ndjson",
                "rules": {"path": folder / "rules"},
                "inputs": {
                    "meters": folder / "meters.csv",
                    "subjects": folder / "subjects.csv",
                    "watch": folder / "in",
                },
            }
        )

    def rule(self, text: str) -> None:
        (self.folder / "rules" / "visits.yaml").write_text(text, "utf-8")

    def start(self) -> Live:
        return Live(self.config, lambda: self.now_ns)

    def visit(self, live: Live, n: int) -> None:
        self.now_ns += HOUR_NS
        live.feed(Event(f"v{n}", self.now_ns, "visit", "p", None, {}, self.now_ns))
        self.now_ns += HOUR_NS
        live.poll()

    def alerts(self) -> bytes:
        return (self.folder / "alerts.ndjson").read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    return Site(tmp_path)  # type: ignore[return-value]


def test_a_bad_file_is_refused_and_the_old_rules_stay(site: Site) -> None:
    live = site.start()
    live.poll()
    before = live.rules.version
    site.rule(RULE.replace("seen.count", "sen.count"))
    live.poll()
    assert live.rules.version == before
    assert "visits.yaml:6:7" in live.refused_rules["files"]
    (line,) = [a for a in live.store.books.audit_log() if a.action == "rules_refused"]
    assert line.detail["in_force"] == before
    live.poll()
    assert len([a for a in live.store.books.audit_log() if a.action == "rules_refused"]) == 1
    site.visit(live, 1)
    site.visit(live, 2)
    live.abandon()
    assert b"many visits" in site.alerts()


def test_changed_files_take_effect_by_the_log_and_survive_restarts(site: Site) -> None:
    live = site.start()
    live.poll()
    site.visit(live, 1)
    site.rule(RULE.replace("count >= 2", "count >= 3").replace("many", "very many"))
    live.poll()
    second = live.rules.version
    site.visit(live, 2)
    assert site.alerts() == b""  # the old rule would have fired
    live.abandon()  # a crash: no snapshot since the start
    live = site.start()
    assert live.rules.version == second
    live.poll()
    site.visit(live, 3)
    live.close()
    told = site.alerts()
    assert b"very many visits" in told
    assert [v.status for v in live_versions(site)] == ["active", "retired"]
    # The journal alone, from its first record, gives the same bytes.
    journal = list(Journal(site.folder / "state" / "journal.log").read())
    assert isinstance(journal[0], Activation)
    lines: list[AlertChange] = []
    shard = ShardRunner(live.registry, rules_of(journal[0]), site.config, library.calendars())
    host = Host([shard], on_lines=lines.extend, refuse=Refuse())
    for record in journal:
        host.feed(record)
    assert b"".join(line.line() + b"\n" for line in lines) == told


def live_versions(site: Site) -> list[object]:
    from engine.store import Store

    with Store.open(site.config.store) as store:
        return sorted(store.versions.list(), key=lambda v: v.status)


def test_what_was_approved_is_not_undone_by_files_at_a_restart(site: Site) -> None:
    live = site.start()
    live.poll()
    files = {"visits.yaml": RULE.replace("count >= 2", "count >= 1")}
    version = load(files).version
    store = live.store
    store.versions.propose(
        version, files, author="Ann", at_ns=site.now_ns, tests={"failed": 0}, dry_run={}
    )
    store.versions.approve(version, by="Bob", at_ns=site.now_ns, from_ns=site.now_ns + HOUR_NS)
    live.poll()
    assert live.rules.version != version  # not yet
    site.now_ns += 2 * HOUR_NS
    live.poll()
    assert live.rules.version == version
    live.close()
    live = site.start()
    live.poll()
    assert live.rules.version == version
    # On the way back nobody needs a second person: it was approved, or in force, before.
    live.store.versions.rollback(by="Ann", at_ns=site.now_ns, why="too many")
    live.poll()
    assert live.rules.version == load({"visits.yaml": RULE}).version
    actions = [
        a.action for a in reversed(live.store.books.audit_log()) if a.action.startswith("rules")
    ]
    assert actions == [
        "rules_activated", "rules_proposed", "rules_approved", "rules_activated",
        "rules_rolled_back", "rules_activated",
    ]  # fmt: skip
    live.abandon()


def test_shadow_is_recorded_marked_and_sends_nobody(site: Site) -> None:
    site.rule(RULE + "shadow: true\n")
    live = site.start()
    live.poll()
    site.visit(live, 1)
    site.visit(live, 2)
    live.poll()
    (line,) = [json.loads(x) for x in live.store.lines()]
    assert line["facts"]["shadow"] == "rule"
    assert live.store.tasks.list() == []
    assert [row.topic for row in live.store.outbox.pending()] == ["shadow"]
    live.abandon()


def test_a_silence_keeps_people_at_home_until_it_ends(site: Site) -> None:
    live = site.start()
    live.poll()
    until = site.now_ns + 24 * HOUR_NS
    silence = live.store.silences.add(
        from_ns=site.now_ns, until_ns=until, author="Ann", reason="works", at_ns=site.now_ns,
        rule="visits", place="330106001",
    )  # fmt: skip
    live.poll()
    site.visit(live, 1)
    site.visit(live, 2)
    (line,) = [json.loads(x) for x in live.store.lines()]
    assert line["facts"]["silenced"]["reason"] == "works"
    assert live.store.tasks.list() == []
    assert [h.reason for h in live.store.tasks.held_back()] == [f"silenced:{silence.silence_id}"]
    live.abandon()
    live = site.start()  # a restart does not forget it
    assert set(live.host.shards[0].around.silences) == {silence.silence_id}
    live.store.silences.end(silence.silence_id, by="Bob", at_ns=site.now_ns)
    live.poll()
    live.poll()
    (task,) = live.store.tasks.list()  # it still fires: somebody goes now
    assert task.rule == "visits"
    live.abandon()
