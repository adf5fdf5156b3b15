"""`gridwarden tasks`: data on stdout, one clear message on stderr, exit codes as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.config import QueueConfig
from engine.desk import Desk
from engine.roster import Worker
from engine.store import Store
from tests.engine.store_kit import GRID, HOUR, MINUTE, T0, change


@pytest.fixture
def queue(lite: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GRIDWARDEN_STORE", str(lite.database.engine.url))
    monkeypatch.setenv("GRIDWARDEN_USER", "w1")
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("GRIDWARDEN_LANGUAGE", raising=False)
    lite.rosters.put_workers(
        [Worker(worker_id=w, grids=(GRID,)) for w in ("w1", "w2")]
    )  # fmt: skip
    changes = [change("home-1"), change("home[bold]2", text="[red]no[/red] sign :warning:")]
    lite.commit("s", lite.claim("s"), 1, changes, clock_ns=T0 + MINUTE)
    return lite


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["tasks", *args])
    return int(done.value.code or 0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_queue_is_listed_in_both_languages_as_it_was_written(
    queue: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("list") == 0
    out = capsys.readouterr().out
    assert "▲ orange" in out
    assert "2026-01-01 09:00" in out
    assert "home[bold]2" in out
    assert "[red]no[/red] sign :warning:" in out
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert run("list", "--worker", "w1") == 0
    out = capsys.readouterr().out
    assert "▲ 橙" in out
    assert "没有生活迹象" in out
    assert out.count("已派单") == 1


def test_a_task_is_signed_reported_and_closed_from_the_terminal(
    queue: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = queue.tasks.list(door="home-1")[0].task_id
    assert run("sign", name, "--json") == 0
    (signed,) = lines(capsys)
    assert (signed["state"], signed["assignee"], signed["signed_ns"]) == (
        "signed",
        "w1",
        T0 + MINUTE,
    )
    assert run("report", name, "--outcome", "away", "--until", "2026-01-04", "--json") == 0
    assert lines(capsys)[0]["outcome"] == "away"
    (absence,) = queue.register.absences("home-1")
    assert absence.until_ns == T0 + 88 * HOUR  # the end of that day in Hangzhou
    at = "2026-01-01T12:00"
    assert run("close", name, "--by", "lead", "--why", "checked", "--at", at, "--json") == 0
    (closed,) = lines(capsys)
    assert (closed["state"], closed["closed_ns"]) == ("closed", T0 + 4 * HOUR)
    assert run("show", name, "--json") == 0
    assert [line.get("action") for line in lines(capsys)] == [
        None, "dispatch", "sign", "report", "close",
    ]  # fmt: skip
    assert run("show", name) == 0
    assert "checked" in capsys.readouterr().out
    assert run("list", "--subject", "home-1", "--json") == 0
    assert lines(capsys) == []
    assert run("list", "--all", "--subject", "home-1", "--json") == 0
    assert len(lines(capsys)) == 1


def test_a_task_is_given_to_somebody_else(queue: Store, capsys: pytest.CaptureFixture[str]) -> None:
    name = queue.tasks.list(worker="w1")[0].task_id
    assert run("reassign", name, "--to", "w2", "--why", "ill", "--key", "k", "--json") == 0
    assert run("reassign", name, "--to", "w2", "--why", "ill", "--key", "k", "--json") == 0
    assert [line["assignee"] for line in lines(capsys)] == ["w2", "w2"]
    assert len(queue.tasks.list(worker="w2")) == 2


def test_what_was_held_back_is_listed_with_its_reason(
    queue: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.desk = Desk(queue=QueueConfig(visits_per_day=1, fdr=1.0, check_share=0.0))
    queue.commit("s", queue.claim("s"), 2, [change(f"h{i}") for i in range(3)])
    assert run("list", "--held") == 0
    out = capsys.readouterr().out
    assert out.count("the day's visits are used up") == 2
    assert run("list", "--held", "--json", "--place", "9") == 0
    assert lines(capsys) == []


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["sign", "t-none"], 3, "task 't-none': there is none"),
        (["close", "TASK"], 3, "cannot close a task that is dispatched"),
        (["reassign", "TASK", "--to", "nobody"], 3, "worker 'nobody' is unknown"),
        (["report", "TASK", "--outcome", "rescued"], 3, "sign it first"),
        (["report", "TASK"], 2, "--outcome"),
        (["sign"], 2, "TASK"),
        (["sign", "TASK", "--at", "tomorrow"], 2, "'tomorrow' is no time"),
        (["list", "--state", "lost"], 2, "lost"),
        (["list", "--store", "sqlite:////no/such.db"], 3, "folder /no does not exist"),
        (["list", "--store", "nonsense"], 3, "is no URL"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_what_cannot_be_done_is_one_clear_message(
    queue: Store,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    says: str,
) -> None:
    name = queue.tasks.list(door="home-1")[0].task_id
    assert run(*(name if arg == "TASK" else arg for arg in args)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_an_incomplete_report_is_a_usage_error(
    queue: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = queue.tasks.list(door="home-1")[0].task_id
    run("sign", name)
    for extra, says in (
        (["--outcome", "away"], "until is missing; give --until"),
        (["--outcome", "sleeping"], "outcome 'sleeping' is unknown; known: rescued"),
        (["--outcome", "rescued", "--kw", "3"], "takes no kw"),
    ):
        assert run("report", name, *extra) == 2
        assert says in capsys.readouterr().err
    assert queue.tasks.get(name).state == "signed"


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys\nfrom engine.cli.main import cli\n"
        "cli.main(['tasks', 'report', '--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'sqlalchemy', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert "approved_use" in done.stdout
