"""A year without a calendar: unknown to rules, told to the operator, mended by a file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from engine import library
from engine.cli.rules import rules as command
from engine.clock import LocalTime
from engine.config import Config
from engine.hours import NS
from engine.library import LibraryError
from engine.ruletest import Runner
from rules.loader import load
from rules.problems import RuleErrors
from rules.unittest import parse
from tests.engine.test_activation import RULE, Site

FILE = "country: CN\nyear: 2031\nrest: [2031-10-01..2031-10-07]\nwork: [2031-10-11]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "calendars"
    made.mkdir()
    (made / "CN-2031.yaml").write_text(FILE, "utf-8")
    return made


def fires(when: str, day: str, config: Config) -> bool:
    """Return whether a rule with that condition fires on a day's event."""
    text = RULE.replace("seen.count >= 2", when)
    rules = load({"r.yaml": text})
    case = (
        f"rules: visits\nsubjects: {{p: {{kind: plant}}}}\nstart: {day}\ntests:\n"
        "  - {name: a, until: 1d, events: [{at: 9h, kind: visit}], expect: []}\n"
    )
    (test,) = parse({"t.yaml": case})
    return bool(Runner(rules, config).run(test))


@pytest.mark.parametrize(
    ("when", "day", "known", "unknown"),
    [
        ("seen.count > 0 && now.rest_day", "2031-10-01", True, False),
        ("seen.count > 0 && now.rest_day", "2031-10-11", False, False),  # a Saturday of work
        ("seen.count > 0 && !now.rest_day", "2031-10-08", True, False),
        ("seen.count > 0 && context.holiday", "2031-10-02", True, False),
        ("seen.count > 0 && !context.holiday", "2031-10-09", True, False),
        ("seen.count > 0 && (now.rest_day || now.hour > 5)", "2031-10-08", True, True),
    ],
)
def test_what_a_rule_makes_of_a_year(
    folder: Path, when: str, day: str, known: bool, unknown: bool
) -> None:
    assert fires(when, day, Config(calendars=folder)) is known
    assert fires(when, day, Config()) is unknown


def test_detectors_take_the_week_ends_and_the_year_is_noted() -> None:
    time = LocalTime(["Asia/Shanghai"], library.calendars(), "CN")
    thursday = (dt.date(2026, 10, 1) - dt.date(1970, 1, 1)).days
    assert (time.rest_day(thursday), time.rests(thursday), time.unknown) == (True, True, set())
    saturday = (dt.date(2031, 10, 11) - dt.date(1970, 1, 1)).days
    assert (time.rest_day(saturday), time.rests(saturday)) == (True, None)
    assert time.unknown == {2031}


def test_a_folder_adds_to_the_shipped_ones_and_its_mistakes_are_told(folder: Path) -> None:
    both = library.calendars(folder)
    assert both.known("CN", 2031)
    assert both.known("CN", 2026)
    (folder / "CN-2026.yaml").write_text("country: CN\nyear: 2026\n", "utf-8")
    assert library.calendars(folder).holiday("CN", dt.date(2026, 10, 1)) is False
    (folder / "CN-2031.yaml").write_text("country: CN\nyear: 2031\nrest: [2031-02-30]\n", "utf-8")
    with pytest.raises(RuleErrors, match=r"CN-2031\.yaml:3:8: not a day"):
        library.calendars(folder)
    with pytest.raises(LibraryError, match="no such folder; give a folder with calendars"):
        library.calendars(folder / "none")


def test_rules_check_warns_of_years_at_hand(folder: Path, tmp_path: Path) -> None:
    def check(*given: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, ["check", *given], standalone_mode=False)
        assert done.exception is None, done.output
        return done.return_value, done.output

    assert "calendar" not in check("--today", "2026-11-22")[1]
    code, said = check("--today", "2031-12-05")
    assert (code, "there is no calendar of CN for 2031, 2032" in said) == (0, True)
    assert "warning: " in said
    assert "CN-2031.yaml, CN-2032.yaml" in said
    assert check("--today", "2031-12-05", "--strict")[0] == 1
    config = tmp_path / "gw.yaml"
    config.write_text(f"calendars: {folder}\n", "utf-8")
    assert "for 2032:" in check("--today", "2031-12-05", "--config", str(config))[1]
    assert "calendar" not in check("--today", "2031-11-05", "--config", str(config))[1]


def test_rules_check_knows_whom_there_is(tmp_path: Path) -> None:
    subjects = tmp_path / "subjects.csv"
    subjects.write_text("subject_id,kind,place,timezone\nh,plnat,330106001001001,UTC\n")
    workers = tmp_path / "workers.csv"
    workers.write_text("worker_id,name,grids,role,shift,stand_in\nw,Li,,office,,\n")
    (tmp_path / "r.yaml").write_text(RULE.replace("queue: street", "queue: offce"), "utf-8")
    done = CliRunner().invoke(
        command,
        ["check", str(tmp_path / "r.yaml"), "--subjects", str(subjects), "--workers", str(workers)],
        standalone_mode=False,
    )
    lines = done.output.splitlines()
    assert 'no subject is of kind "plant"; wanted one of plnat; did you mean "plnat"?' in lines[0]
    assert 'nobody has the role "offce"' in lines[1]
    assert 'did you mean "office"?' in lines[1]


def test_a_live_site_tells_its_operator_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.now_ns = int(dt.datetime(2031, 3, 1, tzinfo=dt.UTC).timestamp()) * NS
    with structlog.testing.capture_logs() as logs:
        live = site.start()
        for _ in range(4):
            site.now_ns += 3600 * NS
            live.poll()
    told = [entry for entry in logs if entry["event"] == "calendar_unknown"]
    assert [(e["log_level"], e["years"]) for e in told] == [("warning", [2031])]
    assert "CN-2031.yaml" in told[0]["notice"]
    (line,) = [a for a in live.store.books.audit_log() if a.action == "calendar_unknown"]
    assert line.detail == {"years": [2031]}
