"""Silence of many told apart: power cut, dead concentrator, or one person (or meter) alone.

``python -m bench.quality.silence [--days 60] [--towns 3] [--json out.json]``

Simulated streets of three sizes, with outages, dead concentrators, collapses, visits, dead meters
and lost rows by chance, and the truth. An incident counts as told apart if the verdict about its
group of meters is the right one in more than half of the slots that lie wholly inside it, and the
wrong one in no slot that it touches; one
person's (or meter's) silence, if the verdict about its groups is "nothing shared" in all slots
that touch no real outage. Groups of one to four meters are listed apart: theirs is unknown by
design. Beside it, the hours of the real water homes in which most of a
community is silent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.adjudicate import DEAD_CONCENTRATOR, FEWEST, NONE, POWER_CUT, Adjudicate
from detectors.base import NS, Frame
from engine.simulate import Rates, Town, TownConfig, TownData

NAMES = {NONE: "nothing shared", POWER_CUT: "power cut", DEAD_CONCENTRATOR: "dead concentrator"}
SLOT_S = 3600
ALONE = ("collapse", "visit", "holiday", "meter_dead")
STREETS = {
    "tiny": TownConfig(streets=4, elderly=36, homes=44, concentrators_per_community=2),
    "small": TownConfig(streets=3, elderly=40, homes=44, concentrators_per_community=2),
    "middle": TownConfig(streets=3, elderly=240, homes=240, concentrators_per_community=2),
    "large": TownConfig(streets=1, communities_per_street=2, elderly=300, homes=500,
                        concentrators_per_community=2),
}  # fmt: skip
RATES = Rates(visit=6, collapse=1.5, power_cut=40, dead_concentrator=25, meter_dead=0.1)


@dataclass(frozen=True)
class Census:
    """Counts per slot of each group of meters, as `adjudicate` takes them."""

    values: NDArray[np.float32]
    first_slot: int
    names: list[tuple[str, str]]
    """Community and concentrator of each row."""
    offset_s: int

    @property
    def community(self) -> NDArray[np.int64]:
        return np.unique([c for c, _ in self.names], return_inverse=True)[1]


def census_of(data: TownData) -> Census:
    """Count a town's meters as the engine does: heard of since the slot began, one slot late."""
    place = {s.subject_id: s.place for s in data.subjects}
    names = sorted({(place[m.subject_id][:12], m.concentrator) for m in data.meters})
    row = {name: i for i, name in enumerate(names)}
    slots = data.days * 86_400 // SLOT_S
    values = np.zeros((slots, 5, len(names)), np.float32)
    order = np.argsort(data.meter, kind="stable")
    cuts = np.searchsorted(data.meter[order], np.arange(len(data.meters) + 1))
    for m, meter in enumerate(data.meters):
        mine = order[cuts[m] : cuts[m + 1]]
        step = meter.interval_s
        count = data.days * 86_400 // step
        index = (data.ts_ns[mine] - data.start_ns) // (step * NS)  # end of slot index − 1
        fine = (index >= 0) & (index <= count)
        arrival = np.full(count + 2, np.inf)
        level = np.full(count + 2, np.nan)
        np.minimum.at(arrival, index[fine], (data.arrival_ns[mine][fine] - data.start_ns) / NS)
        level[index[fine]] = data.value[mine][fine]
        begin, due = np.arange(count), (np.arange(count) + 2.0) * step
        heard = (arrival[begin] <= due) | (arrival[begin + 1] <= due)
        known = np.minimum.accumulate(arrival)[1 : count + 1] <= due
        used = level[1 : count + 1] - level[:count]
        zero = heard & known & (used <= 0.008 * step / 3600)
        ratio = SLOT_S // step

        def put(channel: int, mask: NDArray[np.bool_], column: int, ratio: int = ratio) -> None:
            values[:, channel, column] += mask.reshape(-1, ratio).mean(axis=1)

        column = row[(place[meter.subject_id][:12], meter.concentrator)]
        put(0, known, column)
        put(1, known & ~heard, column)
        if meter.utility == "electricity":
            put(2, zero, column)
            put(3, heard & known, column)
            put(4, heard & known & ~zero, column)
        else:
            put(4, heard & known, column)
    return Census(values, data.start_ns // NS // SLOT_S, names, 8 * 3600)


def verdicts(census: Census) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return kind and evidence, shape (slots, groups)."""
    detector = Adjudicate(len(census.names), interval_s=SLOT_S)
    detector.join(census.community)
    slot = census.first_slot + np.arange(len(census.values))
    local = (slot * SLOT_S + census.offset_s)[:, None]
    day = (local // 86_400).astype(np.int32)
    hour = (local % 86_400 // 3600).astype(np.int32)
    kinds = np.zeros((len(slot), len(census.names)), np.uint8)
    evidence = np.zeros(kinds.shape, np.float32)
    for t in range(len(slot)):
        one = Frame(int(slot[t]), census.values[t : t + 1], hour[t : t + 1], day[t : t + 1],
                    (day[t : t + 1] + 3) % 7 >= 5)  # fmt: skip
        evidence[t] = detector.step(one).evidence[0]
        kinds[t] = detector.verdict(np.arange(detector.rows))
    return kinds, evidence


def seconds(data: TownData, text: str) -> float:
    return datetime.fromisoformat(text).timestamp() - data.start_ns / NS


def judge_town(data: TownData) -> tuple[dict[str, dict[str, int]], dict[str, float]]:
    """Return truth kind → verdict → count, and figures of the slots without any outage."""
    census = census_of(data)
    kinds, evidence = verdicts(census)
    slots = len(kinds)
    rows_of: dict[str, set[int]] = defaultdict(set)
    index = {name: i for i, name in enumerate(census.names)}
    place = {s.subject_id: s.place for s in data.subjects}
    for m in data.meters:
        rows_of[m.subject_id].add(index[(place[m.subject_id][:12], m.concentrator)])
    real = np.zeros(kinds.shape, bool)
    shared = []
    for line in data.truth:
        start, end = seconds(data, line["from"]), seconds(data, line["until"])
        if line["kind"] == "power_cut":
            rows = [i for (c, k), i in index.items() if c == line["place"] and "radio" not in k]
            kind = POWER_CUT
        elif line["kind"] == "dead_concentrator":
            rows = [i for (_, k), i in index.items() if k == line["details"]["concentrator"]]
            kind = DEAD_CONCENTRATOR
        else:
            continue
        # the census lags: the slot in which rows come back still lacks its first ones
        touched = slice(int(start // SLOT_S), int(end // SLOT_S) + 3)
        community = {census.names[i][0] for i in rows}
        area = [i for (c, _), i in index.items() if c in community]
        shared.append((kind, rows, area, start, end))
        real[touched, area] = True
    table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for kind, rows, area, start, end in shared:
        inside = slice(int(-(-start // SLOT_S)), int(end // SLOT_S))
        clashes = [
            o for o in shared if set(o[2]) & set(area) and o[3] < end + 7200 and start < o[4] + 7200
        ]
        if inside.stop - inside.start < 1 or len(clashes) > 1 or inside.start < 72:
            continue  # shorter than a slot, in another's shadow, or before the first days are known
        seen = kinds[inside, rows].ravel()
        likely = int(np.bincount(seen, minlength=3).argmax())
        around = kinds[inside.start - 1 : inside.stop + 3, rows].ravel()
        others = around[(around != NONE) & (around != kind)]
        if len(others):  # a wrong word, even for one slot, sends the wrong people
            likely = int(others[0])
        meters = census.values[inside, 0][:, rows].max(axis=0).sum()
        name = NAMES[kind] if meters >= FEWEST else f"{NAMES[kind]}, 1–4 meters"
        table[name][NAMES[likely]] += 1
    for line in data.truth:
        if line["kind"] not in ALONE or line["subject_id"] is None:
            continue
        start, end = seconds(data, line["from"]), seconds(data, line["until"])
        inside = slice(max(int(start // SLOT_S), 72), int(end // SLOT_S))
        rows = sorted(rows_of[line["subject_id"]])
        free = ~real[inside, rows]
        if inside.stop > inside.start and free.any():
            worst = int(kinds[inside, rows][free].max())
            table["one alone"][NAMES[worst]] += 1
    quiet = ~real[72:]
    false = int(((kinds[72:] != NONE) & quiet).sum())
    figures = {
        "groups": len(census.names),
        "group_years": float(quiet.sum() / 8766),
        "false_verdict_hours": false,
        "p999_evidence": float(np.nanquantile(evidence[72:][quiet], 0.999)),
        "slots": slots,
    }
    return {k: dict(v) for k, v in table.items()}, figures


def real_hours(folder: Path) -> dict[str, int]:
    """Return verdicts over the real water homes: hours by share silent × verdict."""
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv

    table = pa_csv.read_csv(folder / "homes_water" / "readings.csv.gz")
    time = table["ts"].cast("int64").to_numpy()  # local; the clock change shifts two hours a year
    start = time.min() // SLOT_S * SLOT_S
    slots = int((time.max() - start) // SLOT_S)
    values = np.zeros((slots, 5, 1), np.float32)
    for name in pc.unique(table["meter_id"]).to_pylist():
        mine = pc.equal(table["meter_id"], name).to_numpy(zero_copy_only=False)
        heard = np.zeros(slots + 2, bool)
        heard[np.clip((time[mine] - start) // SLOT_S, 0, slots + 1)] = True
        begin = int((time[mine].min() - start) // SLOT_S)
        late = heard[:slots] | heard[1 : slots + 1]  # one slot of lateness
        values[begin:, 0, 0] += 1
        values[begin:, 1, 0] += ~late[begin:]
        values[begin:, 4, 0] += late[begin:]
    kinds, _ = verdicts(Census(values, int(start // SLOT_S), [("c", "")], 0))
    share = values[:, 1, 0] / np.maximum(values[:, 0, 0], 1)
    # a community is mostly silent measured by what is usual there: many homes drop out for good
    usual = np.array([np.median(share[max(0, t - 336) : t + 1]) for t in range(slots)])
    jump = (share - usual) / np.maximum(1 - usual, 0.01)
    most = (jump > 0.5) & (np.arange(slots) >= 72)
    calm = (jump < 0.15) & (np.arange(slots) >= 72)
    return {
        "hours with most silent": int(most.sum()),
        "… told as an outage of data": int((most & (kinds[:, 0] != NONE)).sum()),
        "… told as a power cut": int((most & (kinds[:, 0] == POWER_CUT)).sum()),
        "ordinary hours": int(calm.sum()),
        "… told as an outage": int((calm & (kinds[:, 0] != NONE)).sum()),
    }


def evaluate(days: int, towns: int, data: Path | None) -> dict[str, Any]:
    """Return the whole result as plain values."""
    total: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    figures: dict[str, Any] = {}
    for name, config in STREETS.items():
        for seed in range(towns):
            town = Town(replace(config, rates=RATES, feeds=False, weather=False))
            table, more = judge_town(town.generate(days, seed))
            for truth, by in table.items():
                for verdict, count in by.items():
                    total[truth][verdict] += count
            figures[f"{name} {seed}"] = more
    asked = {
        NAMES[POWER_CUT]: POWER_CUT,
        NAMES[DEAD_CONCENTRATOR]: DEAD_CONCENTRATOR,
        "one alone": NONE,
    }
    right = sum(total[k].get(NAMES[kind], 0) for k, kind in asked.items())
    cases = sum(sum(total[k].values()) for k in asked)
    result: dict[str, Any] = {
        "told_apart": right / cases,
        "cases": cases,
        "table": {k: dict(v) for k, v in total.items()},
        "towns": figures,
    }
    if data is not None and data.is_dir():
        result["homes_water"] = real_hours(data)
    return result


def report(result: dict[str, Any]) -> str:
    """Return the tables as text."""
    columns = list(NAMES.values())
    lines = ["what it was" + " " * 21 + "".join(f"{c:>20}" for c in columns)]
    for truth, by in result["table"].items():
        lines.append(f"{truth:32}" + "".join(f"{by.get(c, 0):20}" for c in columns))
    lines.append(f"told apart: {result['told_apart']:.4f} of {result['cases']} cases (asked 0.99)")
    years = sum(f["group_years"] for f in result["towns"].values())
    false = sum(f["false_verdict_hours"] for f in result["towns"].values())
    lines.append(f"false verdicts: {false} hours in {years:.0f} group-years without an outage")
    if "homes_water" in result:
        lines.append("homes_water (real)")
        lines.extend(f"  {k:32}{v:8}" for k, v in result["homes_water"].items())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--towns", type=int, default=3)
    parser.add_argument("--data", type=Path,
                        default=Path(os.environ.get("GRIDWARDEN_DATA", "../shared/data")))  # fmt: skip
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = evaluate(args.days, args.towns, args.data)
    sys.stdout.write(report(result) + "\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
