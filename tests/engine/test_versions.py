"""Approval of rules: never the author, never untested; back to what was in force."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.rules import rules as command
from engine.proposal import leaving
from engine.store import Store
from engine.store.versions import ApprovalError
from rules.loader import load
from tests.engine.test_activation import RULE

T0 = 1_772_409_600 * 10**9
FILES = {"a.yaml": "x: 1"}
GOOD = {"tests": 3, "passed": 3, "failed": 0}


def propose(store: Store, version: str = "v1", **given: object) -> None:
    told = {"author": "Ann", "at_ns": T0, "tests": GOOD, "dry_run": {"alerts": {}}, **given}
    store.versions.propose(version, FILES, **told)  # type: ignore[arg-type]


def test_the_author_cannot_approve_however_the_name_is_written(store: Store) -> None:
    propose(store)
    for name in ("Ann", " ann ", "ANN", ""):
        with pytest.raises(ApprovalError, match="ask a second person"):
            store.versions.approve("v1", by=name, at_ns=T0, from_ns=T0)
    done = store.versions.approve("v1", by="Bob", at_ns=T0 + 1, from_ns=T0 + 9)
    assert (done.status, done.approver, done.from_ns) == ("approved", "Bob", T0 + 9)
    assert store.versions.due(T0 + 8) == []
    assert [v.version for v in store.versions.due(T0 + 9)] == ["v1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tests": None}, "were not run"),
        ({"tests": {"failed": 1}}, "failed"),
        ({"dry_run": None}, "not rehearsed"),
    ],
)
def test_what_is_missing_is_told(store: Store, given: dict[str, object], message: str) -> None:
    propose(store, **given)
    with pytest.raises(ApprovalError, match=message):
        store.versions.approve("v1", by="Bob", at_ns=T0, from_ns=T0)
    with pytest.raises(ApprovalError, match="no such version"):
        store.versions.approve("v9", by="Bob", at_ns=T0, from_ns=T0)


def test_one_is_in_force_and_a_rollback_brings_back_the_one_before(store: Store) -> None:
    for i, name in enumerate(("v1", "v2")):
        propose(store, name)
        store.versions.approve(name, by="Bob", at_ns=T0 + i, from_ns=T0 + i)
        store.versions.activated(name, FILES, by="system", at_ns=T0 + i)
    with pytest.raises(ApprovalError, match="only what is proposed"):
        store.versions.approve("v1", by="Bob", at_ns=T0, from_ns=T0)
    assert {v.version: v.status for v in store.versions.list()} == {"v1": "retired", "v2": "active"}
    assert store.versions.rollback(by="Ann", at_ns=T0 + 5).version == "v1"
    store.versions.activated("v1", FILES, by="system", at_ns=T0 + 6)
    active = store.versions.active
    assert active is not None
    assert active.version == "v1"
    with pytest.raises(ApprovalError, match="only what was in force"):
        store.versions.rollback(by="Ann", at_ns=T0 + 7, to="v1")


def test_proposing_again_keeps_the_author_and_takes_newer_tests(store: Store) -> None:
    propose(store, tests={"failed": 1}, dry_run=None)
    propose(store, author="Bob")
    (version,) = store.versions.list("v")
    assert (version.author, version.tests, version.dry_run) == ("Ann", GOOD, {"alerts": {}})


def test_the_beginning_of_a_version_is_enough_where_one_begins_so(store: Store) -> None:
    for name in ("abc1", "abd2"):
        propose(store, name)
    with pytest.raises(ApprovalError, match="several versions begin so: abc1, abd2"):
        store.versions.approve("ab", by="Bob", at_ns=T0, from_ns=T0)
    assert store.versions.approve("abc", by="Bob", at_ns=T0, from_ns=T0).version == "abc1"
    with pytest.raises(ApprovalError, match="no such version"):
        store.versions.approve("", by="Bob", at_ns=T0, from_ns=T0)


def test_rules_of_the_first_start_come_back_on_somebodys_word(store: Store) -> None:
    store.versions.activated("v0", FILES, by="system", at_ns=T0)
    propose(store, "v1")
    store.versions.approve("v1", by="Bob", at_ns=T0, from_ns=T0)
    store.versions.activated("v1", FILES, by="system", at_ns=T0)
    back = store.versions.rollback(by="Cai", at_ns=T0 + 1, to="v0")
    assert back.people == "system, approved by Cai"


def test_rules_that_leave_and_missing_tests_are_told(tmp_path: Path) -> None:
    (tmp_path / "visits.yaml").write_text(RULE, "utf-8")
    version = load({"visits.yaml": RULE}).version
    store = f"sqlite:///{tmp_path / 'gw.db'}"
    words = ["propose", str(tmp_path), "--author", "Ann", "--store", store]
    proposed = CliRunner().invoke(command, words, standalone_mode=False).output
    words = ["approve", version[:5], "--by", "Bob", "--unrehearsed", "--store", store]
    approved = CliRunner().invoke(command, words, standalone_mode=False).output
    for out in (proposed, approved):
        assert "NO TESTS" in out
        assert re.search(r"warning: 19 rules leave: air-quality, .*water-leak\.", out)
    assert "in force from" in approved
    assert "when `run`, or a city, takes it up" in approved


def test_nothing_is_said_to_leave_where_rules_cannot_be_read() -> None:
    assert leaving({"1.yaml": RULE}, {}) == ["visits"]
    assert leaving({"1.yaml": RULE}, FILES) == leaving(FILES, {"1.yaml": RULE}) == []


def test_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    (folder / "tests").mkdir(parents=True)
    (folder / "visits.yaml").write_text(RULE, "utf-8")
    visit = "{at: 1h, kind: visit}"
    (folder / "tests" / "visits.yaml").write_text(
        "rules: visits\nsubjects: {p: {kind: plant}}\ntests:\n"
        f"  - {{name: one is none, until: 3h, events: [{visit}], expect: []}}\n"
    )
    store = f"sqlite:///{tmp_path / 'gw.db'}"
    version = load({"visits.yaml": RULE}).version
    dry = tmp_path / "dry.json"
    dry.write_text(json.dumps({"new": {"version": version}, "alerts": {}, "changes": []}))

    def run(*words: str) -> tuple[int | None, str]:
        done = CliRunner().invoke(
            command, [*words, "--store", store], standalone_mode=False, catch_exceptions=True
        )
        return done.return_value, done.output + str(done.exception or "")

    code, out = run("propose", str(folder), "--author", "Ann", "--dry-run", str(dry))
    assert code == 0
    assert version in out
    assert "cannot approve" in run("approve", version, "--by", "ann")[1]
    assert run("approve", version, "--by", "Bob", "--at", "2026-03-03T08:00:00+08:00")[0] == 0
    listed = run("versions", version)[1]
    assert "Ann, approved by Bob" in listed
    assert "2026-03-03T00:00:00Z" in listed
    assert "rules_approved  Bob" in listed
    assert "nothing to go back to" in run("rollback", "--by", "Bob")[1]
    code, out = run(
        "silence",
        "add",
        "--rule",
        "visits",
        "--until",
        "2999-01-01",
        "--author",
        "Ann",
        "--reason",
        "x",
    )
    assert "within 90 days" in out
