"""The command line as a user meets it: whatever is wrong, a clear message, and no row is lost."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow.csv
import pyarrow.parquet
import pytest

from engine import library
from engine.cli.main import main
from engine.cli.replay import print_summary
from engine.host import BudgetUse
from engine.language import counted
from engine.replay import ReplayResult
from engine.snapshot import SnapshotFolder
from engine.store import Store
from tests.engine import live_town
from tests.missing import missing

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
HOMES = 4
READINGS = "meter_id,ts,value\n" + "".join(
    f"m{home},{(BEGIN + timedelta(hours=hour)).isoformat()},{0.4 if (hour + home) % 5 == 0 else 0.1}\n"
    for hour in range(1, 49)
    for home in range(HOMES)
)
ROWS = 48 * HOMES
METERS = "meter_id,subject_id,utility,kind,unit,interval_s,multiplier,stamp\n" + "".join(
    f"m{home},home-{home},electricity,interval,kWh,3600,1,end\n" for home in range(HOMES)
)
SUBJECTS = "subject_id,kind,place,timezone,attrs\n" + "".join(
    f"home-{home},elderly_alone,33010600100100{home + 1},Asia/Shanghai,{{}}\n"
    for home in range(HOMES)
)
EVENTS = "event_id,ts,kind,subject_id,place,attrs\n"
NEXT = "2024-03-03T01:00:00Z"


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Town:
    """A folder with a few homes, and the command line run over it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        for name, text in (("readings", READINGS), ("meters", METERS), ("subjects", SUBJECTS)):
            self.put(f"{name}.csv", text)

    def put(self, name: str, content: str | bytes) -> str:
        """Write a file of the folder; return its path."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def path(self, name: str) -> str:
        """Return the path of a file of the folder."""
        return str(self.folder / name)

    def run(self, *args: str) -> Done:
        """Run any command; nothing it prints may look like a crash."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main(args)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        assert "This is a defect" not in err, err
        return Done(int(done.value.code or 0), out, err)

    def replay(self, *more: str, readings: str = "readings.csv") -> Done:
        """Replay the folder; later options win over the usual ones."""
        return self.run(
            "replay", "--readings", self.path(readings), "--meters", self.path("meters.csv"),
            "--subjects", self.path("subjects.csv"), "--alerts", self.path("out.ndjson"),
            "--quarantine", self.path("refused.csv"), *more,
        )  # fmt: skip

    def refused(self, name: str = "refused.csv") -> list[dict[str, str]]:
        """Return the quarantined rows."""
        csv.field_size_limit(20_000_000)
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def town(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Town:
    for name in [n for n in os.environ if n.startswith("GRIDWARDEN_")]:
        if name != "GRIDWARDEN_DATA":
            monkeypatch.delenv(name)
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    return Town(tmp_path, capsys)


def counts(out: str) -> dict[str, list[int]]:
    """Return source → rows, processed, duplicate, late, quarantined of the printed table."""
    found = {}
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("│ ").split("│")]
        if len(cells) == 7 and cells[1].replace(",", "").isdigit():
            assert cells[6] == "✓"
            found[cells[0]] = [int(cell.replace(",", "")) for cell in cells[1:6]]
    return found


# -- rows that cannot be processed --------------------------------------------------------------

BAD_ROWS = {
    "not numbers": ([f"m0,{NEXT},nan", f"m1,{NEXT},inf", f"m2,{NEXT},abc"], ["bad_value"] * 3),
    "negative": ([f"m0,{NEXT},-3"], ["negative"]),
    "1970 and 2100": (
        ["m0,1970-01-01T00:00:00Z,1", "m1,2100-06-01T00:00:00Z,1"],
        ["time_out_of_range"] * 2,
    ),
    "no time": (["m0,yesterday,1"], ["bad_time"]),
    "unknown meter": ([f"stranger,{NEXT},1"], ["unknown_meter"]),
    "10 MB line": (["m1," + "x" * 10_000_000 + ",1"], ["bad_time"]),
    "too few fields": (["m1"], ["malformed"]),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_quarantined_with_its_reason_and_can_be_fed_again(
    town: Town, name: str
) -> None:
    rows, reasons = BAD_ROWS[name]
    town.put("readings.csv", READINGS + "\n".join(rows) + f"\nm3,{NEXT},0.1\n")
    done = town.replay()
    assert done.code == 0
    total = ROWS + len(rows) + 1
    assert counts(done.out) == {"readings.csv": [total, ROWS + 1, 0, 0, len(rows)]}
    assert f"{counted(len(rows), 'row was', 'rows were')} refused" in done.err
    assert town.path("refused.csv") in done.err
    refused = town.refused()
    assert [row["reason"] for row in refused] == reasons
    assert [int(row["position"]) for row in refused] == list(range(ROWS + 1, ROWS + 1 + len(rows)))
    if name != "too few fields":
        kept = [",".join(row[column] for column in ("meter_id", "ts", "value")) for row in refused]
        assert kept == rows
    again = town.replay("--quarantine", town.path("again.csv"), readings="refused.csv")
    assert again.code == 0
    assert counts(again.out) == {"refused.csv": [len(rows), 0, 0, 0, len(rows)]}


def test_rows_of_a_subject_without_place_wait_in_quarantine_for_the_place(town: Town) -> None:
    town.put("subjects.csv", SUBJECTS.replace("330106001001001", ""))
    done = town.replay()
    assert done.code == 0
    assert counts(done.out) == {"readings.csv": [ROWS, ROWS - 48, 0, 0, 48]}
    assert {row["reason"] for row in town.refused()} == {"no_place"}
    town.put("subjects.csv", SUBJECTS)
    again = town.replay("--quarantine", town.path("again.csv"), readings="refused.csv")
    assert counts(again.out) == {"refused.csv": [48, 48, 0, 0, 0]}


def test_broken_events_have_a_quarantine_of_their_own(town: Town) -> None:
    fine = '"{""from"":""2024-03-01T05:00:00Z"",""until"":""2024-03-02T05:00:00Z""}"'
    town.put(
        "events.csv",
        EVENTS
        + "e1,2024-03-01T05:00:00Z,absence,home-1,,{oops\n"
        + "e2,never,absence,home-1,,{}\n"
        + '"e3",2024-03-01T05:00:00Z,absence,home-1,,"{""from"":""x""}"\n'
        + f"e4,2024-03-01T05:00:00Z,absence,home-1,,{fine}\n"
        + f"e4,2024-03-01T05:00:00Z,absence,home-1,,{fine}\n",
    )
    done = town.replay("--events", town.path("events.csv"))
    assert done.code == 0
    assert counts(done.out)["events.csv"] == [5, 1, 1, 0, 3]
    refused = town.refused("refused.events.csv")
    assert [row["event_id"] for row in refused] == ["e1", "e2", "e3"]
    assert [row["reason"] for row in refused] == ["bad_event", "bad_time", "bad_event"]
    assert all(row["detail"] for row in refused if row["reason"] == "bad_event")
    town.put("readings.csv", READINGS)
    again = town.replay(
        "--events", town.path("refused.events.csv"), "--quarantine", town.path("again.csv")
    )
    assert counts(again.out)["refused.events.csv"] == [3, 0, 0, 0, 3]


# -- files that cannot be used ------------------------------------------------------------------


def _parquet(town: Town) -> bytes:
    table = pyarrow.csv.read_csv(town.path("readings.csv"))
    pyarrow.parquet.write_table(table, town.path("whole.parquet"))
    return (town.folder / "whole.parquet").read_bytes()


BAD_FILES: dict[str, tuple[str, Callable[[Town], object], list[str]]] = {
    "missing column": (
        "readings.csv",
        lambda t: t.put("readings.csv", READINGS.replace("value", "val", 1)),
        ['column is missing: "value"', "got meter_id, ts, val", 'did you mean "val"?'],
    ),
    "wrong encoding": (
        "readings.csv",
        lambda t: t.put("readings.csv", READINGS.replace("m3", "表").encode("gb18030")),
        ["is not UTF-8", "row 4", "iconv -f GB18030 -t UTF-8"],
    ),
    "empty": ("readings.csv", lambda t: t.put("readings.csv", b""), ["is empty", "meter_id,ts,value"]),
    "Parquet cut short": (
        "cut.parquet",
        lambda t: t.put("cut.parquet", _parquet(t)[:-100]),
        ["breaks off after", "copy the file anew"],
    ),
    "a folder": ("", lambda t: None, ["is a folder", "wanted a file"]),
    "not there": ("nowhere.csv", lambda t: None, ["no such file", "check the path"]),
    "of an unknown kind": (
        "readings.doc", lambda t: t.put("readings.doc", READINGS), ["unknown kind", ".parquet"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(town: Town, name: str) -> None:
    file, make, words = BAD_FILES[name]
    make(town)
    done = town.replay(readings=file)
    assert done.code == 3
    assert done.err.startswith(f"gridwarden: {town.path(file)}: ")
    for word in words:
        assert word in done.err


def test_an_unreadable_file(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    may = os.access
    refused = town.path("readings.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != refused and may(path, mode))
    done = town.replay()
    assert done.code == 3
    assert done.err.startswith(f"gridwarden: {refused}: cannot be read")


def test_a_gzip_that_breaks_off_gives_the_rows_before_the_break(town: Town) -> None:
    town.put("cut.csv.gz", gzip.compress(READINGS.encode())[:-200])
    done = town.replay(readings="cut.csv.gz")
    assert done.code == 3
    rows, processed, _, _, quarantined = counts(done.out)["cut.csv.gz"]
    assert 0 < processed < ROWS
    assert (rows, quarantined) == (processed + 1, 1)
    assert town.refused()[0]["detail"] == "file breaks off here"
    assert "the gzip stream breaks off after" in done.err
    assert "copy the file anew" in done.err


def test_a_file_of_a_header_alone_is_counted_with_no_rows(town: Town) -> None:
    town.put("readings.csv", "meter_id,ts,value\n")
    done = town.replay()
    assert (done.code, counts(done.out)) == (0, {"readings.csv": [0, 0, 0, 0, 0]})


def test_tables_tell_all_their_mistakes_at_once(town: Town) -> None:
    town.put("meters.csv", METERS.replace("kWh", "furlong", 1).replace(",interval,", ",odd,", 1))
    done = town.replay()
    assert done.code == 3
    assert "2 problems" in done.err
    assert "'furlong'" in done.err
    assert "'odd'" in done.err
    town.put("meters.csv", METERS)
    town.put("subjects.csv", SUBJECTS.replace("/Shanghai", "/Nowhere", 1).replace("{}", "{", 1))
    done = town.replay()
    assert done.code == 3
    assert "timezone is not known: got 'Asia/Nowhere'" in done.err
    assert "attrs: is not JSON" in done.err


# -- rules --------------------------------------------------------------------------------------

MISTAKES = {
    "silence: inactivity": "silence: inactivty",
    "  - absent": "  - abscent",
    "level: orange": "level: purple",
}


def test_three_mistakes_of_a_rule_file_are_three_messages_with_their_places(town: Town) -> None:
    shipped = library.rule_files(None)
    text = next(body for name, body in shipped.items() if name.endswith("elderly-silence.yaml"))
    places = []
    for right, wrong in MISTAKES.items():
        assert text.count(right) == 1
        at = text.index(right) + right.index(right.split()[-1])
        line, column = text[:at].count("\n") + 1, at - text.rfind("\n", 0, at)
        places.append(f"bad.yaml:{line}:{column}")
        text = text.replace(right, wrong)
    town.put("bad.yaml", text)
    checked = town.run("rules", "check", town.path("bad.yaml"))
    assert checked.code == 1
    found = [line.split(": ")[0].rsplit("/", 1)[-1] for line in checked.out.splitlines()]
    assert found == places
    assert 'did you mean "inactivity"?' in checked.out
    replayed = town.replay("--rules", town.path("bad.yaml"))
    assert replayed.code == 3
    assert checked.out.strip() in replayed.err


def test_several_rule_files_are_checked_at_once(town: Town) -> None:
    text = library.shipped("library")
    names = ("water-leak", "elderly-excess")
    paths = [town.put(f"{n}.yaml", text[f"rules/library/{n}.yaml"]) for n in names]
    done = town.run("rules", "check", *map(str, paths))
    assert done.code == 0, done.out
    assert "2 rules in 2 files" in done.out


def test_rules_that_are_not_there(town: Town) -> None:
    for name, word in (("nowhere", "no such folder"), ("", "holds no rule files")):
        done = town.run("rules", "check", town.path(name))
        assert (done.code, word in done.err) == (3, True)


# -- what cannot be meant -----------------------------------------------------------------------

USAGE = {
    "budget of no rule": (["--budget", "elderly-silenc=3"], "no such rule; there are: "),
    "budget of nothing": (["--budget", "elderly-silence"], "wanted RULE=N"),
    "budget below 0": (["--budget", "elderly-silence=-1"], "wanted a number above 0"),
    "no number": (["--budget", "elderly-silence=nan"], "wanted a number above 0"),
    "no time": (["--from", "yesterday"], "wanted ISO 8601"),
    "nothing between": (["--from", "2024-03-02", "--to", "2024-03-01"], "--from must lie before"),
    "output over input": (["--alerts", "{readings.csv}"], "is --readings, too"),
    "two outputs in one": (["--report", "{out.ndjson}"], "is --alerts, too"),
    "no such option": (["--alert", "x"], "No such option"),
}


@pytest.mark.parametrize("name", USAGE)
def test_what_cannot_be_meant_is_a_usage_error(town: Town, name: str) -> None:
    args, words = USAGE[name]
    done = town.replay(*(town.path(a[1:-1]) if a.startswith("{") else a for a in args))
    assert (done.code, words in done.err) == (2, True), done.err
    assert (town.folder / "readings.csv").read_text() == READINGS


# -- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--alerts", "--report", "--quarantine"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(town: Town, option: str) -> None:
    town.put("file", b"")
    for place in (town.path("file/deeper/out"), str(town.folder)):
        done = town.replay(option, place + (".csv" if option == "--quarantine" else ""))
        if option == "--quarantine" and place == str(town.folder):
            continue  # FOLDER.csv can be written
        assert (done.code, "cannot be written" in done.err) == (3, True), done.err
        assert place in done.err
        assert not counts(done.out)


def test_a_full_disk_at_the_alerts(town: Town) -> None:
    if not Path("/dev/full").exists():
        missing("no /dev/full here")
    from engine.sinks import AlertsFile, SinkError

    out = AlertsFile(town.path("out.ndjson"))
    out._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123
    with pytest.raises(SinkError, match="No space left on device; free some space"):
        out.write([_Line()])  # type: ignore[list-item]


class _Line:
    def line(self) -> bytes:
        return b"{}"


def test_a_full_disk_at_the_snapshot_loses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SnapshotFolder.__init__

    def full(self: SnapshotFolder, folder: Path, *_: object, **__: object) -> None:
        def opener(path: Path) -> object:
            path.touch()  # the name still fits, the content does not
            return open("/dev/full", "wb", buffering=0)  # noqa: PTH123

        made(self, folder, opener=opener)  # type: ignore[arg-type]

    if not Path("/dev/full").exists():
        missing("no /dev/full here")
    store = f"sqlite:///{town.path('s.db')}"
    monkeypatch.setattr(SnapshotFolder, "__init__", full)
    done = town.replay("--store", store)
    assert done.code == 0
    assert counts(done.out) == {"readings.csv": [ROWS, ROWS, 0, 0, 0]}
    assert "snapshot" in done.err
    assert "make room" in done.err
    assert list((town.folder / "s.db.snapshots").iterdir()) == []
    monkeypatch.undo()
    assert town.replay("--store", store).code == 0
    assert len(list((town.folder / "s.db.snapshots").iterdir())) == 1


# -- stores -------------------------------------------------------------------------------------


def test_stores_that_cannot_be_used(town: Town) -> None:
    newer = f"sqlite:///{town.path('newer.db')}"
    Store.open(newer).close()
    with sqlite3.connect(town.path("newer.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    town.put("other.db", b"this is no database\n" * 100)
    for url, words in (
        (newer, "start the newer program"),
        (f"sqlite:///{town.path('other.db')}", "file is not a database"),
        (f"sqlite:///{town.path('nowhere/s.db')}", "does not exist"),
        ("nosuch://here", "wanted sqlite or postgresql"),
    ):
        done = town.replay("--store", url)
        assert (done.code, words in done.err) == (3, True), done.err


def test_an_interrupted_replay_starts_anew_where_its_outputs_are_gone(town: Town) -> None:
    store = f"sqlite:///{town.path('s.db')}"
    town.put("readings.csv", READINGS + f"stranger,{NEXT},1\n")
    halfway = town.replay("--store", store, "--block-rows", "10", "--stop-after-rows", "60")
    assert halfway.code == 0
    assert "Stopped. With --store, the same command goes on" in halfway.out
    (town.folder / "refused.csv").unlink()
    done = town.replay("--store", store)
    assert "started again from the first row" in done.err
    assert counts(done.out) == {"readings.csv": [ROWS + 1, ROWS, 0, 0, 1]}
    assert len(town.refused()) == 1


def test_another_replay_needs_another_store(town: Town) -> None:
    folder = live_town.build(town.folder / "town")
    args = ["--store", f"sqlite:///{town.path('s.db')}", "--to", "2026-03-10"]
    for name in ("readings.csv.gz", "meters.csv", "subjects.csv"):
        option = "--" + name.split(".", maxsplit=1)[0]
        args += [option, str(folder / name)]
    assert town.run("replay", *args).code == 0
    other = town.run("replay", *args, "--budget", "elderly-silence=6")
    assert other.code == 3
    assert "holds alerts of another replay" in other.err
    assert town.run("replay", *args).code == 0  # the same again is no other


# -- other commands -----------------------------------------------------------------------------


def test_a_config_tells_all_its_mistakes_with_their_paths(town: Town) -> None:
    text = "clock: {max_skew_s: 0, tik_s: 60}\nqueue: {fdr: 2}\n"
    done = town.run("config", "check", town.put("gw.yaml", text))
    assert done.code == 1
    for path in ("clock.max_skew_s", "clock.tik_s", "queue.fdr"):
        assert path in done.err
    done = town.run("config", "check", town.put("gw.yaml", "clock: [\n"))
    assert (done.code, "gw.yaml:" in done.err) == (1, True)
    fine = town.run("config", "check", town.put("gw.yaml", "seed: 3\n"))
    assert (fine.code, json.loads(fine.out)["seed"]) == (0, 3)


def test_the_schema_of_rules_is_json(town: Town) -> None:
    done = town.run("rules", "schema")
    assert done.code == 0
    assert json.loads(done.out)["$schema"].startswith("https://json-schema.org/")


def test_the_shipped_rules_are_checked_without_an_argument(town: Town) -> None:
    done = town.run("rules", "check")
    assert (done.code, "all good" in done.out) == (0, True)


def test_score_writes_one_row_per_row_or_says_why_not(town: Town) -> None:
    source = town.put("one.csv", "timestamp,value\n" + "".join(
        f"2024-03-01 {hour:02d}:00:00,{hour}\n" for hour in range(24)
    ))  # fmt: skip
    target = town.path("scores.csv")
    done = town.run("score", "--detector", "seasonal", "--input", source, "--output", target)
    assert done.code == 0
    assert len((town.folder / "scores.csv").read_text().splitlines()) == 25
    wrong = town.run("score", "--detector", "sesonal", "--input", source, "--output", target)
    assert wrong.code in (2, 3)
    assert "seasonal" in wrong.err


@pytest.mark.parametrize(("spent", "told"), [(3, True), (2, False)])
def test_a_rate_that_counts_what_was_held_back_says_so(
    spent: int, told: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDWARDEN_LANGUAGE", "en")
    result = ReplayResult(
        counts={}, budgets={"elderly-silence": BudgetUse(12.0, spent, 1.0)}, lines=2, firing=2,
        finished=True, resumed_at=None, seconds=1.0, timings={}, problems=(),
        by_rule={"elderly-silence": 2}, rules=library.rules(None),
    )  # fmt: skip
    print_summary(result, stdout_taken=False)
    assert ("another alert held back" in " ".join(capsys.readouterr().out.split())) is told
