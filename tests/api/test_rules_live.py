"""What the data team and the desk decide on the console takes effect in a running engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.console.app import create_app
from engine.console.context import Console, EventClock
from engine.console.rehearsals import History, Rehearsals, dropped
from engine.live import Live
from rules.alerts import stamp
from tests.api.kit import Client
from tests.engine import live_town
from tests.engine.test_activation import RULE
from tests.engine.test_live import Site, parts

BEGIN_NS = live_town.END_NS - 50 * 3_600 * 10**9
QUIET = "elderly-nights.yaml"


class Running:
    """An engine at work, and clients of its console."""

    def __init__(self, town: Path, folder: Path) -> None:
        self.site = Site(town, folder)
        self.site.now_ns = BEGIN_NS
        self.live: Live = self.site.start()
        clock = EventClock(event_ns=lambda: self.site.now_ns)
        self.console = Console(
            self.live.store, self.site.config, clock=clock, rules=self.live.rules
        )
        self.app = create_app(self.console)
        for name, roles in [
            ("ann", ["data"]), ("ben", ["data"]), ("desk", ["dispatcher"]), ("eve", ["auditor"]),
        ]:  # fmt: skip
            self.live.store.accounts.add(
                name, roles=roles, scope=[""], password="a long enough password", by="test",
                at_ns=BEGIN_NS,
            )  # fmt: skip
        self.turn()

    def turn(self, hours: int = 1) -> None:
        """Let the engine look around."""
        self.site.now_ns += hours * 3_600 * 10**9
        self.live.poll()
        self.live.poll()
        self.console._in_force._looked_at = 0.0  # the console looks anew within seconds

    def client(self, name: str) -> Client:
        found = Client(self.app, base_url="https://site.test")
        secret, session = self.live.store.access.open_session(
            name, now_wall=self.console.wall(), hours=12
        )
        found.cookies.set("gridwarden", secret)
        found.headers["X-CSRF-Token"] = session.csrf
        return found


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("rules-town"))


@pytest.fixture
def running(town: Path, tmp_path: Path) -> Iterator[Running]:
    site = Running(town, tmp_path)
    yield site
    site.live.close()


def changed(running: Running, file: str = QUIET) -> dict[str, str]:
    """Return a rule file with another budget."""
    rules = running.client("ann").api("GET", "/rules").json()
    yaml: str = next(r["yaml"] for r in rules if r["file"] == file)
    assert "false_alerts_per_subject_year: 0.5" in yaml
    return {file: yaml.replace("subject_year: 0.5", "subject_year: 0.25")}


def test_a_proposal_is_approved_by_another_takes_effect_and_is_brought_back(
    running: Running,
) -> None:
    ann, ben = running.client("ann"), running.client("ben")
    before = running.live.rules.version
    made = ann.api("POST", "/rules/proposals", json={"files": changed(running), "note": "fewer"})
    assert made.status_code == 200, made.text
    version = made.json()["version"]
    assert {line["file"] for line in made.json()["diff"]} == {QUIET}
    assert len(made.json()["files"]) == len(running.live.rules), "the others stay"

    path = f"/rules/versions/{version}/approve"
    refused = ann.api("POST", path, json={"why": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (422, "refused")
    running.turn()
    assert running.live.rules.version == before

    assert ben.api("POST", path, json={"why": "reads well"}).json()["status"] == "approved"
    running.turn()
    assert running.live.rules.version == version
    assert running.live.rules["elderly-nights"].budget.false_alerts_per_subject_year == 0.25
    shown = next(r for r in ann.api("GET", "/rules").json() if r["rule"] == "elderly-nights")
    assert shown["budget"] == 0.25
    assert running.console.store.desk.rule("elderly-nights").budget is not None
    statuses = {v["version"]: v["status"] for v in ann.api("GET", "/rules/versions").json()}
    assert statuses == {version: "active", before: "retired"}

    back = ann.api("POST", f"/rules/versions/{before}/rollback", json={"why": "too few"})
    assert back.status_code == 200, back.text
    running.turn()
    assert running.live.rules.version == before
    acts = [e["action"] for e in running.client("eve").api("GET", "/audit").json()["items"]]
    assert {"rules_proposed", "rules_approved", "rules_activated", "rules_rolled_back"} <= {*acts}


def test_a_proposal_tells_which_rules_leave_and_which_no_test_was_run_for(
    running: Running,
) -> None:
    ann, ben = running.client("ann"), running.client("ben")

    def propose(files: dict[str, str], *, whole: bool = False) -> dict[str, Any]:
        answer = ann.api("POST", "/rules/proposals", json={"files": files, "whole": whole})
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        assert ann.api("GET", f"/rules/versions/{made['version']}").json() == made
        return made

    names = {rule.name for rule in running.live.rules}
    kept = propose(changed(running))
    assert (kept["leaves"], kept["untested"]) == ([], []), "events alone are tests, too"
    assert kept["tests_passed"] > 100

    renamed = {
        n: t.replace("name: elderly-nights", "name: dusk") for n, t in changed(running).items()
    }
    made = propose(renamed)
    assert (made["leaves"], made["untested"]) == (["elderly-nights"], ["dusk"])

    alone = propose({"visits.yaml": RULE}, whole=True)
    assert (alone["leaves"], alone["untested"]) == (sorted(names), ["visits"])
    assert (alone["tests_passed"], alone["tests_failed"]) == (0, 0)

    path = f"/rules/versions/{made['version']}"
    assert ben.api("POST", f"{path}/approve", json={"why": "a better name"}).json()["leaves"] == [
        "elderly-nights"
    ]
    running.turn()
    assert ann.api("GET", path).json()["leaves"] == [], "it is in force: nothing is left to go"
    assert "dusk" in ann.api("GET", f"/rules/versions/{kept['version']}").json()["leaves"]


def test_a_bad_file_and_what_changes_nothing_are_refused(running: Running) -> None:
    ann = running.client("ann")
    bad = {name: text + "\nnonsense: 1\n" for name, text in changed(running).items()}
    answer = ann.api("POST", "/rules/proposals", json={"files": bad})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "nonsense" in json.dumps(answer.json()["errors"])
    same = {n: t.replace("0.25", "0.5") for n, t in changed(running).items()}
    answer = ann.api("POST", "/rules/proposals", json={"files": same})
    assert (answer.status_code, answer.json()["code"]) == (422, "refused")


def test_a_silence_set_on_the_console_is_heard_by_the_engine_and_so_is_its_end(
    running: Running,
) -> None:
    desk = running.client("desk")
    until = stamp(running.site.now_ns + 5 * 86_400 * 10**9)
    body = {"rule": "elderly-nights", "subject_id": "elder-0005", "until": until, "why": "works"}
    answer = desk.api("POST", "/silences", json=body, headers={"Idempotency-Key": "k" * 12})
    assert answer.status_code == 200, answer.text
    name = answer.json()["silence_id"]
    running.turn()
    heard = running.live.host.shards[0].around.silences
    assert heard[name].subject_id == "elder-0005"
    assert heard[name].rules == ("elderly-nights",)
    assert desk.api("DELETE", f"/silences/{name}").json()["holds"] is False
    running.turn()
    now_ns = running.site.now_ns
    assert not any(
        s.covers("elderly-nights", "elder-0005", "", now_ns)
        for s in running.live.host.shards[0].around.silences.values()
    )


def test_feeds_tell_what_came_how_late_and_what_was_refused(running: Running) -> None:
    files = list(parts(running.site.town, BEGIN_NS, 4))
    for name, content, at_ns in files:
        (running.site.folder / "in" / name).write_bytes(content)
        running.site.now_ns = at_ns
        running.turn(0)
    running.turn()
    feeds: list[dict[str, Any]] = running.client("ann").api("GET", "/feeds").json()
    source = next(f for f in feeds if f["kind"] == "source")
    assert source["name"] == "readings", "a folder's files are one source"
    counts = running.live.host.counts.values()
    assert source["rows"] == sum(c.rows for c in counts) > 1_000
    assert source["quarantined"] == sum(c.by_status["quarantined"] for c in counts)
    assert source["state"] == "ok"
    assert source["delay_s"] is not None
    assert len(source["spark"]) == 24


def test_a_dry_run_goes_over_what_lies_in_the_folder(running: Running, monkeypatch: Any) -> None:
    ann = running.client("ann")
    version = ann.api("POST", "/rules/proposals", json={"files": changed(running)}).json()[
        "version"
    ]
    path = f"/rules/versions/{version}/dry-run"
    answer = ann.api("POST", path)
    assert (answer.status_code, answer.json()["code"]) == (422, "refused"), "no history yet"

    (running.site.folder / "in" / "readings-1.csv").write_text("meter_id,ts,value\n")
    history = dropped(running.site.config)
    assert isinstance(history, History)
    assert [Path(f).name for f in history.readings] == ["readings-1.csv"]

    def run(_: Rehearsals, row: Any, __: History) -> dict[str, Any]:
        return {"old": {"version": "x"}, "new": {"version": row.version}, "changes": []}

    monkeypatch.setattr(Rehearsals, "_run", run)
    assert ann.api("POST", path).status_code == 200
    while running.console.rehearsals.state(version) == "running":
        pass
    told = ann.api("GET", path).json()
    assert told["report"]["new"]["version"] == version
    assert ann.api("GET", f"/rules/versions/{version}").json()["has_report"] is True
