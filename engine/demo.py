"""The demo: real half-hourly homes as neighbours in a simulated town; event time runs fast.

What is real and what is simulated is said on screen: the two homes whose subject ids begin with
``real-`` are British households from the sample files of the `opendsm` package, moved in time;
everything else is made by `gridwarden simulate`.
"""

from __future__ import annotations

import csv
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from connectors.merge import Log
from connectors.records import Activation, LogRecord, ReadingBlock, Tick
from engine import library
from engine.activation import rules_of
from engine.config import Config
from engine.demo_desk import Colleagues, Happened, add_staff, read_truth
from engine.health import Health
from engine.host import Host
from engine.opening import desk_of
from engine.replay import Replay, ReplayOptions, ReplayResult
from engine.reporting import write_replay_report
from engine.simulate import Town, TownConfig
from engine.store import Store
from rules.alerts import AlertChange

REAL = (
    # sample of the wheel, first day taken (a Monday, as the town's), grid it is put into
    ("uk-electricity-hdd-only-hourly-sample-1", date(2013, 3, 4), "330199001001001"),
    ("uk-electricity-hdd-only-hourly-sample-2", date(2013, 3, 4), "330199002001001"),
)
DAYS = 50
MORNING_NS = 30_600 * 10**9
"""The live days begin half an hour into the day shift: somebody is there to be sent."""
NIGHT_NS = 10 * 3_600 * 10**9
"""How long before the live days tasks are left to do."""
HOUR_NS = 3_600 * 10**9
BEAT_S = 0.25
LIVE_ROWS, EARLY_NS = 256, 12 * 3_600 * 10**9
"""Small blocks from shortly before the live days on: a watched minute is a few rows."""


class DemoError(RuntimeError):
    """The demo cannot run here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class DemoTown:
    """Files of the demo's town."""

    folder: Path
    readings: tuple[str, ...]
    events: str
    meters: str
    subjects: str
    places: str
    workers: str
    contacts: str
    truth: str
    live_from_ns: int
    real: tuple[str, ...]
    simulated: int


def samples() -> Path:
    """Return the folder of the `opendsm` wheel's sample files, without importing the package.

    Raises
    ------
    DemoError
        If the wheel is not installed.
    """
    found = importlib.util.find_spec("opendsm")
    if found is None or not found.submodule_search_locations:
        raise DemoError(
            "the demo's real homes are missing: run `make demo`, or "
            "`pip install --no-deps opendsm==1.2.7` (the wheel alone)"
        )
    return Path(next(iter(found.submodule_search_locations))) / "eemeter" / "samples"


def build(folder: Path, seed: int = 7) -> DemoTown:
    """Write the town's files into a folder and put the real homes among its neighbours."""
    config = TownConfig.demo()
    data = Town(config).generate(days=DAYS, seed=seed)
    paths = data.write(folder)
    real = []
    readings = [str(paths["readings"])]
    with (
        paths["meters"].open("a", newline="", encoding="utf-8") as meters,
        paths["subjects"].open("a", newline="", encoding="utf-8") as subjects,
    ):
        for number, (name, first, place) in enumerate(REAL, start=1):
            subject = f"real-{number:04d}"
            csv.writer(meters).writerow(
                [
                    f"{subject}-e",
                    subject,
                    "electricity",
                    "interval",
                    "kWh",
                    1800,
                    1,
                    "start",
                    "",
                    "",
                ]
            )
            note = '{"simulated": false, "origin": "' + name + ' (opendsm)"}'
            csv.writer(subjects).writerow([subject, "elderly_alone", place, config.timezone, note])
            target = folder / f"readings-{subject}.csv"
            _write_real(samples() / f"{name}.csv.gz", first, config.start, f"{subject}-e", target)
            readings.append(str(target))
            real.append(subject)
    streets, communities = _areas(paths["places"])
    add_staff(paths["workers"], streets, communities)
    assert data.live_from_ns is not None
    return DemoTown(
        folder=folder,
        readings=tuple(readings),
        events=str(paths["events"]),
        meters=str(paths["meters"]),
        subjects=str(paths["subjects"]),
        places=str(paths["places"]),
        workers=str(paths["workers"]),
        contacts=str(paths["contacts"]),
        truth=str(paths["truth"]),
        live_from_ns=data.live_from_ns + MORNING_NS,
        real=tuple(real),
        simulated=len(data.subjects),
    )


def _areas(places: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of (streets, communities) of a places file, by code."""
    with places.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_level = {
        level: {r["place"]: r["name"] for r in rows if r["level"] == level}
        for level in ("street", "community")
    }
    return by_level["street"], by_level["community"]


def _write_real(sample: Path, first: date, start: date, meter_id: str, target: Path) -> None:
    """Take DAYS days of a sample, move them to the town's start (same weekdays), write readings."""
    table = pa_csv.read_csv(sample)
    begin = datetime.combine(first, datetime.min.time())
    stamps = table["start"].cast(pa.timestamp("s"))
    shift = pa.scalar((start - first).days * 86_400, pa.duration("s"))
    keep = pc.and_(
        pc.greater_equal(stamps, pa.scalar(begin, pa.timestamp("s"))),
        pc.less(
            stamps,
            pc.add(pa.scalar(begin, pa.timestamp("s")), pa.scalar(DAYS * 86_400, pa.duration("s"))),
        ),
    )
    moved = pc.add(stamps.filter(keep), shift)
    text = pc.replace_substring(moved.cast(pa.string()), " ", "T")
    ids = pa.array([meter_id] * len(moved), pa.string())
    out = pa.table({"meter_id": ids, "ts": text, "value": table["value"].filter(keep)})
    pa_csv.write_csv(out, target, pa_csv.WriteOptions(quoting_style="none"))


class Pace:
    """Event time of the live days, so many times as fast as the wall clock.

    Parameters
    ----------
    live_from_ns : int
        Where history ends.
    speed : float
        Event seconds per second from then on.
    """

    def __init__(self, live_from_ns: int, speed: float) -> None:
        self.live_from_ns = live_from_ns
        self.speed = speed
        self._began: float | None = None
        self._ended_ns: int | None = None

    def begin(self) -> None:
        """Let the live days begin now."""
        self._began = time.monotonic()

    def end(self, clock_ns: int) -> None:
        """Stand still: there is no more data."""
        self._ended_ns = clock_ns

    def now_ns(self) -> int:
        """Return event time."""
        if self._ended_ns is not None:
            return self._ended_ns
        if self._began is None:
            return self.live_from_ns
        return self.live_from_ns + int((time.monotonic() - self._began) * self.speed * 1e9)

    def running(self) -> float:
        """Return how fast event time runs now."""
        return self.speed if self._began is not None and self._ended_ns is None else 0.0


class Performance(Replay):
    """A replay that people watch: history at full speed, then the live days at a pace.

    What people report on the console comes into the log while it runs, as it does live.

    Parameters
    ----------
    options, config, on_lines
        As of a replay.
    pace : Pace
    on_live : callable
        Called once, between history and the live days.
    truth : sequence of Happened
        What gridworkers of the past found; from the night before the live days on, tasks wait.
    """

    def __init__(
        self,
        options: ReplayOptions,
        config: Config,
        *,
        on_lines: Callable[[Sequence[AlertChange]], None],
        pace: Pace,
        on_live: Callable[[], None],
        truth: Sequence[Happened] = (),
    ) -> None:
        super().__init__(options, config, on_lines=on_lines)
        self._truth = truth
        self._worked_ns = 0
        self.pace = pace
        self._on_live = on_live
        self._health = Health()
        self._told_ns = 0

    def _loop(self, log: Log, host: Host, store: Store | None) -> bool:
        live = False
        for record in log:
            end_ns = _last_ns(record)
            if end_ns >= self.pace.live_from_ns - EARLY_NS:
                log.limit(LIVE_ROWS)
            if not live and end_ns >= self.pace.live_from_ns:
                live = True
                self._tell_health(host, store, self.pace.live_from_ns)
                self._note_rules(store, self.pace.live_from_ns)
                self._on_live()
                self.pace.begin()
            while live and self.pace.now_ns() < end_ns and not self._stopping:
                self._take_reports(host, store, end_ns)
                time.sleep(BEAT_S)
            if self._stopping:
                return False
            host.feed(record)
            if not live:
                self._work_off(store, host.clock_ns or 0)
            self._health.note(record)
            rows = len(record) if isinstance(record, ReadingBlock) else 1
            self.rows += rows
            if self.on_progress is not None:
                self.on_progress(rows, host.clock_ns)
        self.pace.end(host.clock_ns or self.pace.live_from_ns)
        while live and not self._stopping:
            time.sleep(BEAT_S)
        return True

    def _take_reports(self, host: Host, store: Store | None, before_ns: int) -> None:
        """Move the clock, and feed what people reported, silenced and approved."""
        now = max(min(self.pace.now_ns(), before_ns), host.clock_ns or 0)
        if store is not None:
            self._take_rules(host, store, now)
            for told in store.register.take(self._shard, self._epoch, self.rows, now):
                host.feed(told.record)
        tick_ns = host.shards[0].tick_ns
        if now // tick_ns > (host.clock_ns or 0) // tick_ns:
            host.feed(Tick(now))
            self._tell_health(host, store, now)

    def _work_off(self, store: Store | None, now_ns: int) -> None:
        """Have the past's people do their work in its time: later alerts find their doors free."""
        if store is None or now_ns < self._worked_ns + HOUR_NS:
            return
        self._worked_ns = now_ns
        Colleagues(store, self._truth, None, self.pace.live_from_ns - NIGHT_NS).turn(now_ns)

    def _take_rules(self, host: Host, store: Store, now_ns: int) -> None:
        """Put in force what was approved and is due, as a live site does."""
        for version in store.versions.due(now_ns):
            author = version.people
            record = Activation(version.version, version.rules, author, now_ns, version.budgets)
            host.feed(record)
            store.desk = desk_of(rules_of(record), self.config, store.desk.zone)
            store.versions.activated(
                record.version, record.rules_yaml, by=author, at_ns=now_ns, budgets=record.budgets
            )

    def _note_rules(self, store: Store | None, at_ns: int) -> None:
        """Tell the store which rules are in force at the start."""
        if store is not None:
            files = library.rule_files(self.config.rules.path)
            store.versions.activated(self.rules.version, files, by="files", at_ns=at_ns)

    def _tell_health(self, host: Host, store: Store | None, now_ns: int) -> None:
        if store is not None and now_ns >= self._told_ns + 60 * 10**9:
            self._told_ns = now_ns
            store.feeds.tell(self._health.rows(host.counts, now_ns), now_ns)


def _last_ns(record: LogRecord) -> int:
    if isinstance(record, ReadingBlock):
        return int(record.arrival_ns[-1])
    return record.arrival_ns


def options_of(town: DemoTown, store: str) -> ReplayOptions:
    """Return what the demo replays, and where its results go."""
    return ReplayOptions(
        readings=town.readings,
        events=(town.events,),
        meters=town.meters,
        subjects=town.subjects,
        places=town.places,
        workers=town.workers,
        alerts=str(town.folder / "alerts.ndjson"),
        report=str(town.folder / "report.html"),
        quarantine=str(town.folder / "quarantine.csv"),
        store=store,
        block_rows=4_096,
    )


def run(
    town: DemoTown,
    config: Config,
    *,
    store: str,
    on_lines: Callable[[Sequence[AlertChange]], None],
    on_progress: Callable[[int, int | None], None],
) -> tuple[Replay, ReplayResult]:
    """Replay the town as fast as it goes."""
    replay = Replay(options_of(town, store), config, on_lines=on_lines)
    replay.on_progress = on_progress
    result = replay.run()
    write_replay_report(str(replay.options.report), replay, result)
    return replay, result


def perform(
    town: DemoTown,
    config: Config,
    *,
    store: str,
    on_lines: Callable[[Sequence[AlertChange]], None],
    on_progress: Callable[[int, int | None], None],
    on_live: Callable[[], None],
    pace: Pace,
) -> tuple[Replay, ReplayResult]:
    """Replay the town for people to watch, until they end it."""
    options = options_of(town, store)
    replay = Performance(options, config, on_lines=on_lines, pace=pace, on_live=on_live,
                         truth=read_truth(Path(town.truth)))  # fmt: skip
    replay.on_progress = on_progress
    result = replay.run()
    write_replay_report(str(options.report), replay, result)
    return replay, result
