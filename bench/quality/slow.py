"""Slow changes of homes: what real homes raise, and how soon planted changes are found.

``gridwarden bench slow [--part real|town] [--json FILE]``

Two parts, both through the whole engine with the shipped rules at their default budgets:

- *real*: every alert on the untouched records of the real homes counts as false, though some are
  not (second homes are vacated and occupied in truth). Exposure runs from day 28 to the last
  reading. The rental rules see the same homes as rentals.
- *town*: a simulated town with absences, illness, holidays, seasons, faults of meters and tenants;
  each planted change is in a home of its own, the others are its judges. Delay = `raised_at` − start
  of the change, in days. Rhythms turn within two weeks, decline takes eight: the delay counts from
  where it begins.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

import rules
from bench.quality.cases import BURN_IN_D, data_folder, load_homes
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from engine.simulate import Incident, Town, TownConfig
from engine.simulate.keyed import stream

DAY_S = 86_400
YEAR_S = 365 * DAY_S
ELDERLY = ("elderly-nights", "elderly-decline")
RENTAL = ("rental-vacant", "rental-occupied", "rental-over-occupied")
ASKED = {"elderly-nights": 0.5, "elderly-decline": 0.3, "rental-occupied": 0.5,
         "rental-over-occupied": 0.3}  # fmt: skip
"""Default budgets of the shipped rules; `rental-vacant` has none."""
TOWN_DAYS = 300


@dataclass(frozen=True, slots=True)
class Planted:
    """One kind of change: the rule that should speak, and within how many days."""

    kind: str
    rule: str
    within_d: int
    details: Mapping[str, float]


CHANGES = (
    Planted("rhythm_turned", "elderly-nights", 21, {"hours": 11}),
    Planted("decline", "elderly-decline", 63, {"share": 0.5}),
    Planted("move_out", "rental-vacant", 16, {}),
    Planted("move_in", "rental-occupied", 5, {"people": 2}),
    Planted("over_occupied", "rental-over-occupied", 14, {"people": 8}),
)


# -- real homes -----------------------------------------------------------------------------------


def rules_in(folder: Path, names: Sequence[str]) -> Path:
    """Write a folder of some shipped rules only: the others cost time and change nothing here."""
    made = folder / "rules"
    made.mkdir()
    for name in names:
        shutil.copy(Path(rules.__file__).parent / "library" / f"{name}.yaml", made)
    return made


def real(name: str, kind: str) -> dict[str, Any]:
    """Replay a real set whose homes are of `kind`; return false alerts a home-year by rule."""
    folder = data_folder() / name
    years, begins = 0.0, {}
    for home in load_homes(name):
        begin = int(home.ts_ns[0] // 10**9) + BURN_IN_D * DAY_S
        years += max(0, int(home.ts_ns[-1] // 10**9) - begin) / YEAR_S
        begins["home-" + home.meter_id] = begin
    with tempfile.TemporaryDirectory() as made:
        subjects = Path(made) / "subjects.csv"
        with (folder / "subjects.csv").open() as source, subjects.open("w", newline="") as target:
            rows = list(csv.DictReader(source))
            writer = csv.DictWriter(target, rows[0].keys())
            writer.writeheader()
            writer.writerows({**row, "kind": kind} for row in rows)
        options = ReplayOptions(
            readings=(str(folder / "readings.csv.gz"),),
            meters=str(folder / "meters.csv"),
            subjects=str(subjects),
            rules=rules_in(Path(made), ELDERLY if kind == "elderly_alone" else RENTAL),
        )
        result = Replay(options, Config(), keep=True).run()
    assert result.reconciled
    counts = dict.fromkeys(ELDERLY if kind == "elderly_alone" else RENTAL, 0)
    homes: dict[str, set[str]] = {rule: set() for rule in counts}
    for line in result.alerts:
        subject = line.subject_id or ""
        if line.rule not in counts or line.seq != 1:
            continue
        if _seconds(line.raised_at) >= begins[subject]:
            counts[line.rule] += 1
            homes[line.rule].add(subject)
    return {
        "set": name,
        "home_years": years,
        "rules": {
            rule: {
                "alerts": count,
                "per_home_year": count / years,
                "asked": ASKED.get(rule),
                "homes": len(homes[rule]),
            }
            for rule, count in counts.items()
        },
    }


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


# -- a simulated town -----------------------------------------------------------------------------


def town(each: int, seed: int) -> tuple[TownConfig, dict[tuple[str, str], int]]:
    """Return a town with `each` homes per change, and the day of each planted change."""
    rng = np.random.default_rng(seed)
    starts: dict[tuple[str, str], int] = {}
    incidents: list[Incident] = []
    used = {"elder": 0, "rental": 0, "vacant": 0}
    for change in CHANGES:
        group = "elder" if change.rule in ELDERLY else "rental"
        group = "vacant" if change.kind == "move_in" else group
        for _ in range(each):
            used[group] += 1
            while group == "rental" and not is_let(seed, f"rental-{used[group]:04d}"):
                used[group] += 1
            subject, day = f"{group}-{used[group]:04d}", int(rng.integers(120, TOWN_DAYS - 90))
            starts[change.rule, subject] = day
            hours = 24.0 * (TOWN_DAYS - day)
            incidents.append(Incident(change.kind, subject, day, hours, dict(change.details)))
    config = TownConfig(
        elderly=used["elder"] + 2 * each, rentals=used["rental"] + 3 * each, vacant=used["vacant"],
        homes=0, plants=0, closed_plants=0, feeds=False, weather=False,
        start=date(2026, 1, 5), electricity_interval_s=3600, incidents=tuple(incidents),
    )  # fmt: skip
    return config, starts


def is_let(seed: int, subject: str) -> bool:
    """Return whether a rental home is let when the simulation begins (a fifth stand empty)."""
    return bool(stream(seed, subject, "let").random() >= 0.2)


def simulated(each: int, seed: int) -> dict[str, Any]:
    """Replay the town; return delays of planted changes, and alerts where nothing was planted."""
    config, starts = town(each, seed)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        Town(config).generate(days=TOWN_DAYS, seed=seed).write(folder)
        options = ReplayOptions(
            readings=(str(folder / "readings.csv.gz"),),
            meters=str(folder / "meters.csv"),
            subjects=str(folder / "subjects.csv"),
            rules=rules_in(folder, (*ELDERLY, *RENTAL)),
        )
        result = Replay(options, Config(), keep=True).run()
    assert result.reconciled
    offset_s = config.offset_s(TOWN_DAYS)
    midnight = datetime.combine(config.start, datetime.min.time(), tzinfo=UTC).timestamp()
    raised: dict[tuple[str, str], list[float]] = {}
    for line in result.alerts:
        if line.seq == 1 and line.subject_id:
            day = (_seconds(line.raised_at) + offset_s - midnight) / DAY_S
            raised.setdefault((line.rule, line.subject_id), []).append(day)
    changed = {subject for _, subject in starts}
    out: dict[str, Any] = {"homes_each": each, "seed": seed, "changes": []}
    for change in CHANGES:
        mine = {key: day for key, day in starts.items() if key[0] == change.rule}
        delays = np.array(
            [min((d - day for d in raised.get(key, []) if d >= day), default=np.inf)
             for key, day in mine.items()]
        )  # fmt: skip
        judges = _judges(config, change.rule, changed, seed)
        false = sum(d >= BURN_IN_D for j in judges for d in raised.get((change.rule, j), []))
        years = len(judges) * (TOWN_DAYS - BURN_IN_D) / 365
        out["changes"].append(
            {
                "kind": change.kind,
                "rule": change.rule,
                "planted": len(delays),
                "within_d": change.within_d,
                "found_within": float((delays <= change.within_d).mean()),
                "median_d": float(np.median(delays)),
                "p90_d": float(np.quantile(delays, 0.9, method="higher")),
                "false_per_home_year": false / years,
                "asked": ASKED.get(change.rule),
            }
        )
    return out


def _judges(config: TownConfig, rule: str, changed: set[str], seed: int) -> list[str]:
    """Return the homes in which nothing was planted that the rule could speak of."""
    group, count = ("elder", config.elderly) if rule in ELDERLY else ("rental", config.rentals)
    names = (f"{group}-{n:04d}" for n in range(1, count + 1))
    return [n for n in names if n not in changed and (group == "elder" or is_let(seed, n))]


# -- what people read -----------------------------------------------------------------------------


def table(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    lines = []
    for one in result.get("real", []):
        lines.append(f"{one['set']}, {one['home_years']:.1f} home-years: alerts a home-year, asked")
        for rule, figures in one["rules"].items():
            asked = "-" if figures["asked"] is None else f"{figures['asked']:.2f}"
            lines.append(
                f"  {rule:22s} {figures['per_home_year']:5.2f}  {asked:>5s}"
                f"   ({figures['alerts']} alerts, {figures['homes']} homes)"
            )
    if "town" in result:
        lines.append(
            "simulated town           planted  found within  median   p90  false/yr  asked"
        )
        for row in result["town"]["changes"]:
            asked = "-" if row["asked"] is None else f"{row['asked']:.2f}"
            lines.append(
                f"  {row['rule']:22s} {row['planted']:7d}  {row['found_within']:.2f} in "
                f"{row['within_d']:2d} d  {row['median_d']:5.1f} {row['p90_d']:6.1f}"
                f" {row['false_per_home_year']:8.2f} {asked:>6s}"
            )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the tables; with ``--json`` also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["real", "town"])
    parser.add_argument("--homes", type=int, default=30, help="homes per planted change")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    result: dict[str, Any] = {}
    if args.part != "town":
        result["real"] = [
            real(name, kind)
            for name in ("homes_water", "homes_power")
            for kind in ("elderly_alone", "rental")
        ]
    if args.part != "real":
        result["town"] = simulated(args.homes, args.seed)
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
