"""Collapses cut into real homes, run through the whole engine, as its users would.

For each home, waking hours in which it was active (after 28 days) are drawn; from each, the record
is continued for 72 hours with the home's own standby (a register that stands still, or the loads
of its quiet nights) while readings go on arriving. Each such case is a home of its own in a
community of its own; the untouched homes are in the same replay, and every alert on them counts as
a false visit. Delay = `raised_at` − start of the first replaced hour.

Run ``gridwarden bench quality`` or ``python -m bench.quality.judged --set homes_water --budget 33.6``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from connectors.sources import ReadingSource
from engine.config import Config
from engine.inputs import directory_of, load_registry
from engine.replay import Replay, ReplayOptions

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
REPLACED_H = 72
BURN_IN_D = 28
RULE = "elderly-silence"


def data_folder() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("GRIDWARDEN_DATA", "../shared/data"))


@dataclass(frozen=True, slots=True)
class Home:
    """One home's readings in UTC, in order."""

    meter_id: str
    place: str
    ts_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    register: bool
    offset_ns: int
    """Offset of local time, constant enough to choose waking hours by."""

    def use(self) -> tuple[int, NDArray[np.float64]]:
        """Return (first hour, use per hour; NaN without readings)."""
        if self.register:
            top = np.maximum.accumulate(self.value)
            amount, at = np.diff(top), self.ts_ns[1:] - 1
        else:
            amount, at = self.value, self.ts_ns
        hour = at // HOUR_NS
        first = int(hour[0])
        total = np.zeros(int(hour[-1]) - first + 1)
        np.add.at(total, hour - first, amount)
        total[np.bincount(hour - first, minlength=len(total)) == 0] = np.nan
        return first, total


def load_homes(name: str) -> list[Home]:
    """Return the homes of a set, with UTC stamps."""
    folder = data_folder() / name
    registry = load_registry(str(folder / "meters.csv"), str(folder / "subjects.csv"), Config())
    source = ReadingSource(str(folder / "readings.csv.gz"), directory_of(registry))
    parts = []
    while (block := source.next_record()) is not None:
        good = block.fault == 0
        parts.append((block.meter[good], block.ts_ns[good], block.value[good]))
    meter, ts, value = (np.concatenate([p[i] for p in parts]) for i in range(3))
    offset = {"Europe/Madrid": 1, "Australia/Brisbane": 10}[registry.zones[0]] * HOUR_NS
    homes = []
    for row in range(len(registry.meters)):
        mine = np.flatnonzero(meter == row)
        mine = mine[np.argsort(ts[mine], kind="stable")]
        subject = int(registry.meters.subject[row])
        homes.append(
            Home(
                registry.meter_id(row),
                registry.place(subject),
                ts[mine],
                value[mine],
                bool(registry.meters.register[row]),
                offset,
            )
        )
    return homes


def plain_rule_visits(homes: list[Home], hours: int, active: float) -> float:
    """Return the false visits a home-year of "no use for so many hours" on untouched records."""
    visits, years = 0, 0.0
    for home in homes:
        _first, use = home.use()
        start = BURN_IN_D * 24
        silent = 0
        for h, amount in enumerate(use):
            silent = silent + 1 if not amount > active else 0
            visits += int(silent == hours and h >= start)
        years += max(0, len(use) - start) / (365 * 24)
    return visits / years


def draw(home: Home, count: int, active: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return starts (hours since the epoch, UTC) of collapses in a home."""
    first, use = home.use()
    hours = np.arange(first, first + len(use))
    clock = (hours + home.offset_ns // HOUR_NS) % 24
    known = np.isfinite(use)
    fits = known & (use > active) & (clock >= 7) & (clock <= 20)
    fits &= (hours >= first + BURN_IN_D * 24) & (hours < first + len(use) - REPLACED_H)
    eligible = hours[fits]
    return np.sort(rng.choice(eligible, min(count, len(eligible)), replace=False))


def collapsed(
    home: Home, start_h: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the record up to a collapse, and 72 hours of standby after it."""
    start, stop = start_h * HOUR_NS, (start_h + REPLACED_H) * HOUR_NS
    keep = home.ts_ns < stop
    ts, value = home.ts_ns[keep], home.value[keep].copy()
    after = ts >= start
    if home.register:
        value[after] = value[~after][-1]
        return ts, value
    before = ts[~after]
    nights = (before + home.offset_ns) // HOUR_NS % 24 < 5
    recent = before >= start - 28 * DAY_NS
    pool = value[~after][nights & recent]
    quiet = pool[pool <= np.quantile(pool, 0.4)]
    value[after] = rng.choice(quiet, int(after.sum()))
    return ts, value


def write_cases(
    folder: Path, name: str, per_home: int, seed: int, absences: bool
) -> tuple[dict[str, Path], dict[str, int], list[Home]]:
    """Write untouched homes and cases as one district; return paths and starts by subject."""
    homes = load_homes(name)
    active = 1.0 if homes[0].register else 0.25
    rng = np.random.default_rng(seed)
    ids: list[str] = []
    columns: list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]] = []
    meters, subjects, events = [], [], []
    starts: dict[str, int] = {}
    interval = 3600 if homes[0].register else 1800
    kind = ["water", "register", "l", str(interval), "1", "end"]
    if not homes[0].register:
        kind = ["electricity", "interval", "kWh", str(interval), "1", "start"]
    zone = "Europe/Madrid" if homes[0].register else "Australia/Brisbane"

    def add(subject: str, place: str, ts: NDArray[np.int64], value: NDArray[np.float64]) -> None:
        ids.append(f"m-{subject}")
        columns.append((np.full(len(ts), len(ids) - 1, np.int32), ts, value))
        meters.append([f"m-{subject}", subject, *kind])
        subjects.append([subject, "elderly_alone", place, zone, "{}"])

    number = 0
    for i, home in enumerate(homes):
        add(f"home-{i:03d}", home.place, home.ts_ns, home.value)
        if absences:
            events += _absences(f"home-{i:03d}", home, active)
        for start in draw(home, per_home, active, rng).tolist():
            number += 1
            subject = f"case-{i:03d}-{start}"
            starts[subject] = start
            ts, value = collapsed(home, start, rng)
            add(subject, f"3301{number // 900 + 10:02d}{number % 900 + 1:03d}001001", ts, value)
            if absences:
                events += list(_absences(subject, home, active, start))
    paths = _write(folder, ids, columns, meters, subjects, events)
    return paths, starts, homes


def _absences(
    subject: str, home: Home, active: float, until_h: int | None = None
) -> list[list[str]]:
    """Return declared absences: silences of 24 hours and more, told when they began."""
    first, use = home.use()
    rows = []
    begin = None
    for h, amount in enumerate([*use, np.inf]):
        silent = (not amount > active and np.isfinite(amount)) or np.isnan(amount)
        if silent and begin is None:
            begin = h
        if not silent and begin is not None:
            if h - begin >= 24 and (until_h is None or first + h <= until_h):
                a, b = (np.datetime64((first + x) * 3600, "s") for x in (begin, h))
                attrs = json.dumps({"from": f"{a}Z", "until": f"{b}Z"})
                rows.append([f"abs-{subject}-{begin}", f"{a}Z", "absence", subject, "", attrs])
            begin = None
    return rows


def _write(
    folder: Path, ids: list[str], columns: list[Any], meters: Any, subjects: Any, events: Any
) -> dict[str, Path]:
    meter, ts, value = (np.concatenate([c[i] for c in columns]) for i in range(3))
    order = np.lexsort((meter, ts))
    table = pa.table(
        {
            "meter_id": pa.DictionaryArray.from_arrays(meter[order], pa.array(ids)),
            "ts": pa.array(ts[order], pa.timestamp("ns", tz="UTC")),
            "value": value[order],
        }
    )
    paths = {n: folder / f"{n}.csv" for n in ("meters", "subjects", "events")}
    paths["readings"] = folder / "readings.parquet"
    pq.write_table(table, paths["readings"])
    heads = {
        "meters": "meter_id subject_id utility kind unit interval_s multiplier stamp",
        "subjects": "subject_id kind place timezone attrs",
        "events": "event_id ts kind subject_id place attrs",
    }
    for name, rows in (
        ("meters", meters),
        ("subjects", subjects),
        ("events", sorted(events, key=lambda r: r[1])),
    ):
        names = heads[name].split()
        pa_csv.write_csv(
            pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(names)}),
            paths[name],
        )
    return paths


def evaluate(
    name: str, budget: float, per_home: int = 10, seed: int = 1, absences: bool = False
) -> dict[str, Any]:
    """Run one set at one budget and return its figures."""
    with tempfile.TemporaryDirectory() as made:
        paths, starts, homes = write_cases(Path(made), name, per_home, seed, absences)
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            events=(str(paths["events"]),) if absences else (),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
            budgets={RULE: budget},
        )
        result = Replay(options, Config(), keep=True).run()
    assert result.reconciled
    raised: dict[str, list[int]] = {}
    for line in result.alerts:
        if line.rule == RULE and line.seq == 1 and line.subject_id:
            at = int(datetime.fromisoformat(line.raised_at).timestamp())
            raised.setdefault(line.subject_id, []).append(at)
    delays = np.array([_delay(raised.get(s, []), start) for s, start in starts.items()])
    false, years, by_home = 0, 0.0, []
    for i, home in enumerate(homes):
        begin = home.ts_ns[0] // 10**9 + BURN_IN_D * 86_400
        mine = sum(at >= begin for at in raised.get(f"home-{i:03d}", []))
        span = max(0, home.ts_ns[-1] // 10**9 - begin) / (365 * 86_400)
        false, years = false + mine, years + span
        by_home.append(mine / span if span else 0.0)
    return {
        "set": name,
        "budget": budget,
        "absences_declared": absences,
        "cases": len(delays),
        "median_h": float(np.median(delays)),
        "p90_h": float(np.quantile(delays, 0.9, method="higher")),
        "mean_72_h": float(np.minimum(delays, 72).mean()),
        "within_12_h": float((delays <= 13).mean()),
        "within_24_h": float((delays <= 25).mean()),
        "never_72_h": float(np.isinf(delays).mean()),
        "false_per_home_year": false / years,
        "realised_over_asked": false / years / budget,
        "home_rate_min_max": [min(by_home), max(by_home)],
    }


def _delay(raised: list[int], start_h: int) -> float:
    """Return the delay in hours; infinite where nothing was raised within the replaced hours."""
    after = [
        at - start_h * 3600 for at in raised if 0 <= at - start_h * 3600 <= (REPLACED_H + 2) * 3600
    ]
    return min(after) / 3600 if after else float("inf")


def main(argv: list[str] | None = None) -> int:
    """Print one line a run; --json writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="homes_water", choices=["homes_water", "homes_power"])
    parser.add_argument("--budget", type=float, action="append")
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--absences", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    homes = load_homes(args.set)
    active = 1.0 if homes[0].register else 0.25
    for hours in (12, 24):
        rate = plain_rule_visits(homes, hours, active)
        print(f"{hours}-h-zero rule: {rate:.1f} false visits a home-year")
    rows = []
    for budget in args.budget or [33.6, 12.4]:
        rows.append(evaluate(args.set, budget, args.cases, args.seed, args.absences))
        print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
