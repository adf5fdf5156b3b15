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

from engine.config import Config
from engine.replay import Replay, ReplayOptions, ReplayResult
from engine.reporting import write_replay_report
from engine.simulate import Town, TownConfig
from rules.alerts import AlertChange

REAL = (
    # sample of the wheel, first day taken (a Monday, as the town's), grid it is put into
    ("uk-electricity-hdd-only-hourly-sample-1", date(2013, 3, 4), "330199001001001"),
    ("uk-electricity-hdd-only-hourly-sample-2", date(2013, 3, 4), "330199002001001"),
)
DAYS = 50


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
    assert data.live_from_ns is not None
    return DemoTown(
        folder=folder,
        readings=tuple(readings),
        events=str(paths["events"]),
        meters=str(paths["meters"]),
        subjects=str(paths["subjects"]),
        places=str(paths["places"]),
        workers=str(paths["workers"]),
        live_from_ns=data.live_from_ns,
        real=tuple(real),
        simulated=len(data.subjects),
    )


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
    """Slows event time down once the live days begin, so that people can watch.

    Parameters
    ----------
    live_from_ns : int
        Where history ends.
    speed : float
        Event seconds per second from then on; 0 runs as fast as it goes.
    """

    def __init__(self, live_from_ns: int, speed: float) -> None:
        self.live_from_ns = live_from_ns
        self.speed = speed
        self._began: float | None = None

    def wait(self, clock_ns: int | None) -> None:
        """Sleep until event time may be where it is."""
        if not self.speed or clock_ns is None or clock_ns < self.live_from_ns:
            return
        now = time.monotonic()
        if self._began is None:
            self._began = now
        due = self._began + (clock_ns - self.live_from_ns) / 1e9 / self.speed
        if due > now:
            time.sleep(due - now)


def run(
    town: DemoTown,
    config: Config,
    *,
    store: str,
    on_lines: Callable[[Sequence[AlertChange]], None],
    on_progress: Callable[[int, int | None], None],
    speed: float,
) -> tuple[Replay, ReplayResult]:
    """Replay the town: history as fast as it goes, the live days at `speed`."""
    pace = Pace(town.live_from_ns, speed)

    def progress(rows: int, clock_ns: int | None) -> None:
        on_progress(rows, clock_ns)
        pace.wait(clock_ns)

    options = ReplayOptions(
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
    replay = Replay(options, config, on_lines=on_lines)
    replay.on_progress = progress
    result = replay.run()
    write_replay_report(str(options.report), replay, result)
    return replay, result
