"""`gridwarden run`: a folder is watched, crashes change nothing, what people report is heard."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from connectors.records import Activation, Event, LogRecord, Outcome, ReadingBlock
from detectors.base import NS
from engine.cli.main import main
from engine.config import Config
from engine.journal import Journal, JournalError
from engine.live import SHARD, Live, LiveError
from engine.replay import Replay, ReplayOptions
from engine.store import Store
from tests.engine import live_town
from tests.engine.live_town import END_NS

HOUR_NS, DAY_NS = 3_600 * NS, 86_400 * NS
LIVE_HOURS = 30
LIVE_NS = END_NS - 2 * DAY_NS
"""From here on files come hour by hour; what was before lies there at the first start."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return live_town.build(tmp_path_factory.mktemp("live-town"))


@pytest.fixture(scope="module")
def golden(town: Path) -> bytes:
    """What a replay of the same files says."""
    run = Replay(
        ReplayOptions(
            readings=(str(town / "readings.csv.gz"),),
            events=(str(town / "events.csv"),),
            meters=str(town / "meters.csv"),
            subjects=str(town / "subjects.csv"),
        ),
        Config(),
        keep=True,
    )
    return b"".join(line.line() + b"\n" for line in run.run().alerts)


class Site:
    """A folder with everything `gridwarden run` needs, and a clock that only the test moves."""

    def __init__(self, town: Path, folder: Path) -> None:
        self.town = town
        self.folder = folder
        (folder / "in").mkdir(parents=True)
        shutil.copy(town / "workers.csv", folder / "workers.csv")
        self.now_ns = 0
        self.echoed: list[bytes] = []
        self.config = Config.model_validate(
            {
                "store": f"sqlite:///{folder / 'gw.db'}",
                "snapshots": folder / "state",
                "alerts": folder / "alerts.ndjson",
                "quarantine": folder / "refused.csv",
                "inputs": {
                    "meters": town / "meters.csv",
                    "subjects": town / "subjects.csv",
                    "workers": folder / "workers.csv",
                    "watch": folder / "in",
                },
            }
        )

    def start(self) -> Live:
        return Live(
            self.config,
            lambda: self.now_ns,
            on_lines=lambda lines: self.echoed.extend(line.line() for line in lines),
        )

    @property
    def alerts(self) -> bytes:
        return (self.folder / "alerts.ndjson").read_bytes()

    @property
    def refused(self) -> list[str]:
        text = (self.folder / "refused.csv").read_text().replace(str(self.folder), "")
        return sorted(text.splitlines())


def parts(
    town: Path, begin_ns: int = LIVE_NS, hours: int = LIVE_HOURS
) -> Iterator[tuple[str, bytes, int]]:
    """Yield (file name, content, wall time when it is there): the history, then hour by hour."""
    lines = gzip.decompress((town / "readings.csv.gz").read_bytes()).decode().splitlines(True)
    header, rows = lines[0], lines[1:]
    cut, hour, newest = [0], begin_ns, 0
    for i, row in enumerate(rows):
        local = datetime.fromisoformat(row.split(",")[1]).replace(tzinfo=live_town.ZONE)
        stamp = int(local.timestamp()) * NS
        newest = max(newest, stamp if stamp <= END_NS else 0)  # a clock or two is far ahead
        if newest > hour:
            cut.append(i)
            hour += HOUR_NS
    for k in range(hours):
        content = header + "".join(rows[cut[k] : cut[k + 1]])
        yield f"readings-{k:02d}.csv", content.encode(), begin_ns + k * HOUR_NS + 60 * NS


def work(site: Site, live: Live, until: int = LIVE_HOURS) -> None:
    """Put one file after the other into the folder and look at it twice."""
    for k, (name, content, at_ns) in enumerate(parts(site.town)):
        if k > until:
            return
        if not (site.folder / "in" / name).exists():
            (site.folder / "in" / name).write_bytes(content)
        site.now_ns = max(site.now_ns, at_ns)
        live.poll()
        live.poll()


def test_a_folder_of_history_gives_what_a_replay_gives(
    town: Path, golden: bytes, tmp_path: Path
) -> None:
    site = Site(town, tmp_path)
    shutil.copy(town / "readings.csv.gz", tmp_path / "in")
    shutil.copy(town / "events.csv", tmp_path / "in")
    site.now_ns = END_NS
    live = site.start()
    assert live.poll() == 0  # perhaps it still grows
    assert live.poll() > 1000
    assert all(counts.reconciled for counts in live.host.counts.values())
    live.close()
    assert len(site.alerts) > 0.5 * len(golden)
    assert golden.startswith(site.alerts)
    assert b"".join(line + b"\n" for line in site.echoed) == site.alerts


@pytest.fixture(scope="module")
def undisturbed(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site where nothing went wrong."""
    site = Site(town, tmp_path_factory.mktemp("undisturbed"))
    live = site.start()
    work(site, live)
    live.close()
    assert b"elder-0005" in site.alerts
    return site


class Killed(BaseException):
    """The process is gone."""


def kill_at(live: Live, record: int) -> None:
    """Let the process die when so many records were written to the journal."""
    append = live.journal.append

    def counted(what: LogRecord) -> int:
        offset = append(what)
        if offset >= record:
            raise Killed
        return offset

    live.journal.append = counted  # type: ignore[method-assign,assignment]


def test_crashes_change_nothing(town: Path, undisturbed: Site, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    for record, saves in ((2, False), (15, True), (16, False), (17, True)):
        live = site.start()
        kill_at(live, record)
        with pytest.raises(Killed):
            work(site, live)
        live.abandon()
        if saves:
            live = site.start()
            live.close()
    live = site.start()
    work(site, live)
    live.close()
    assert site.alerts == undisturbed.alerts
    assert site.echoed == undisturbed.echoed
    assert site.refused == undisturbed.refused
    with Store.open(site.config.store) as mine, Store.open(undisturbed.config.store) as theirs:
        assert len(theirs.tasks.list()) > 0
        assert [t.task_id for t in mine.tasks.list()] == [t.task_id for t in theirs.tasks.list()]
        assert list(mine.lines(SHARD)) == list(theirs.lines(SHARD))


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(args)
    return int(done.value.code or 0)


def open_task(site: Site) -> str:
    with Store.open(site.config.store) as store:
        (task,) = [t for t in store.tasks.list(door="elder-0005") if t.state != "closed"]
        return task.task_id


def tell_away(site: Site) -> None:
    """Report from a terminal that nobody is at home for a week."""
    until = datetime.fromtimestamp(site.now_ns / NS + 7 * 86_400).astimezone().isoformat()
    task = open_task(site)
    assert run("tasks", "sign", task, "--by", "w", "--store", site.config.store) == 0
    args = ["tasks", "report", task, "--outcome", "away", "--until", until, "--by", "w"]
    assert run(*args, "--store", site.config.store) == 0


@pytest.mark.parametrize("crash", [None, "before the journal"])
def test_away_until_reaches_the_shard_once_and_keeps_quiet(
    town: Path, tmp_path: Path, crash: str | None, undisturbed: Site
) -> None:
    site = Site(town, tmp_path)
    live = site.start()
    work(site, live, until=24)
    tell_away(site)
    if crash is not None:
        append: Callable[[LogRecord], int] = live.journal.append

        def die(record: LogRecord) -> int:
            told = isinstance(record, Outcome) or (
                isinstance(record, Event) and not record.position
            )
            if told:
                raise Killed
            return append(record)

        live.journal.append = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            live.poll()
        live.abandon()
        live = site.start()
    work(site, live)
    live.close()
    counts = live.host.counts["feedback"]
    assert (counts.rows, counts.by_status["processed"]) == (1, 1)
    mine = [line for line in lines(site) if line["subject_id"] == "elder-0005"]
    theirs = [line for line in lines(undisturbed) if line["subject_id"] == "elder-0005"]
    assert theirs[-1]["state"] == "firing"
    assert mine[-1]["state"] in ("cancelled", "resolved")
    assert len({line["alert_id"] for line in mine}) <= len({line["alert_id"] for line in theirs})


def lines(site: Site) -> list[dict[str, object]]:
    return [json.loads(line) for line in site.alerts.splitlines()]


def test_one_bad_file_keeps_nobody_else_from_being_read(town: Path, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    (name, content, site.now_ns), *_ = parts(town)
    (tmp_path / "in" / "bad.csv").write_text("meter,when\n")
    (tmp_path / "in" / "half.csv.gz").write_bytes(gzip.compress(content)[:5000])
    (tmp_path / "in" / name).write_bytes(content)
    (tmp_path / "in" / "still.tmp").write_bytes(content)
    live = site.start()
    live.poll()
    assert live.poll() > content.count(b"\n") - 1
    assert sorted(Path(p).name for p in live.problems) == ["bad.csv", "half.csv.gz"]
    counts = live.host.counts.values()
    waiting = sum(c.rows - sum(c.by_status.values()) for c in counts)
    assert waiting == live.host.waiting
    assert live.poll() == 0
    live.close()


def test_a_file_that_grows_or_is_replaced_is_read_again(town: Path, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    (name, content, site.now_ns), *_ = parts(town)
    rows = content.splitlines(keepends=True)[:401]
    path = tmp_path / "in" / name
    path.write_bytes(b"".join(rows[:201]))
    live = site.start()
    live.poll()
    assert live.poll() == 200
    live.close()
    path.write_bytes(b"".join(rows))
    live = site.start()
    assert live.poll() + live.poll() == 200
    path.write_bytes(b"".join(rows[:101]))
    assert live.poll() + live.poll() == 100
    (counts,) = live.host.counts.values()
    assert (counts.rows, live.host.waiting) == (500, counts.rows - sum(counts.by_status.values()))
    assert counts.by_status["duplicate"] + counts.by_status["late"] >= 100  # nothing counts twice
    live.close()


def test_stdin_is_read_as_it_comes_and_starts_anew_every_time(town: Path, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    (_, content, site.now_ns), *_ = parts(town)
    rows = content.splitlines(keepends=True)
    live = site.start()
    assert live.read_lines(b"".join(rows[:11])) == 10
    assert live.read_lines(rows[0] + b"".join(rows[11:21])) == 10
    live.close()
    live = site.start()
    assert live.read_lines(rows[0] + b"stranger,2026-03-02T00:00:00Z,1\n") == 1
    assert live.host.counts["stdin"].rows == 21
    assert live.host.counts["stdin"].by_status["quarantined"] >= 1
    live.close()


def test_stamps_ahead_of_the_wall_clock_are_refused(town: Path, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    (name, content, site.now_ns), *_ = parts(town)
    site.now_ns -= 2 * DAY_NS
    (tmp_path / "in" / name).write_bytes(content)
    live = site.start()
    live.poll()
    live.poll()
    (counts,) = live.host.counts.values()
    assert counts.by_reason["clock_ahead"] > 100
    assert live.host.clock_ns is not None
    assert live.host.clock_ns <= site.now_ns
    live.close()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_configuration_in_the_readme_runs(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readme: str
) -> None:
    text = (Path(__file__).parents[2] / readme).read_text(encoding="utf-8")
    block = text[text.index("```yaml\nstore:") :].split("```")[1].removeprefix("yaml\n")
    for name in ("meters.csv", "subjects.csv", "workers.csv"):
        shutil.copy(town / name, tmp_path)
    (tmp_path / "inbox").mkdir()
    (name, content, _), *_ = parts(town)
    (tmp_path / "inbox" / name).write_bytes(b"".join(content.splitlines(True)[:200]))
    (tmp_path / "gridwarden.yaml").write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    now = END_NS - 18 * DAY_NS
    monkeypatch.setattr("engine.live.wall_ns", lambda: now)
    assert run("config", "check", "gridwarden.yaml") == 0
    assert run("run", "--config", "gridwarden.yaml", "--once") == 0
    assert (tmp_path / "alerts.ndjson").exists()
    with Store.open("sqlite:///gridwarden.db", create=False) as store:
        shard = store.shard(SHARD)
        assert shard is not None
        assert shard.snapshot is not None


def test_an_alert_is_explained_with_numbers_and_origin_in_both_languages(
    undisturbed: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lines(undisturbed)[0]
    name, url = str(first["alert_id"]), undisturbed.config.store
    monkeypatch.delenv("LC_ALL", raising=False)
    for lang, words in (
        (
            "en_GB.UTF-8",
            (
                "silence.due  →  true  (silence.due: yes)",
                "silent for (silent_hours): ",
                " hours\n",
                "shard live",
                "task",
                "false alerts a subject-year",
            ),
        ),
        (
            "zh_CN.UTF-8",
            (
                "silence.due  →  成立  (silence.due：是)",
                "静默时长（silent_hours）：",
                "小时\n",
                "分片 live",
                "任务",
                "预算每户每年误报",
            ),
        ),
    ):
        monkeypatch.setenv("LANG", lang)
        assert run("rules", "explain", name[:8], "--store", url) == 0
        out = capsys.readouterr().out
        for word in (name, str(first["rule_version"]), *words):
            assert word in out
        for raw in ("True", "False", "None", "{'", "()"):
            assert raw not in out
        assert first["reason"][lang[:2]] in out  # type: ignore[index]
    assert run("rules", "explain", "none", "--store", url) == 3
    assert "no alert" in capsys.readouterr().err


# -- the journal --------------------------------------------------------------------------------


def test_a_journal_drops_a_torn_end_and_refuses_a_hole(town: Path, tmp_path: Path) -> None:
    site = Site(town, tmp_path)
    (name, content, site.now_ns), *_ = parts(town)
    (tmp_path / "in" / name).write_bytes(content)
    live = site.start()
    live.poll()
    live.poll()
    site.now_ns += HOUR_NS
    live.poll()
    live.abandon()
    path = tmp_path / "state" / "journal.log"
    whole = path.read_bytes()
    journal = Journal(path)
    count = journal.count
    journal.close()
    assert count >= 1
    path.write_bytes(whole[:-3])
    journal = Journal(path)
    assert journal.count == count - 1
    kept = list(journal.read())
    assert [type(record) for record in kept[:2]] == [Activation, ReadingBlock]
    journal.close()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(JournalError, match="is damaged at byte 0, with records behind it"):
        Journal(path)
    path.write_bytes(whole)
    live = site.start()
    live.save()
    live.abandon()
    path.unlink()
    with pytest.raises(JournalError, match=f"has 0 records, the snapshot covers {count}"):
        site.start()


def test_what_is_missing_from_the_configuration_is_said(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match=r"inputs\.meters and inputs\.subjects"):
        Live(Config(), lambda: 0)
