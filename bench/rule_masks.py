"""Cost of 1,000 rules: as masks over a million subjects, and through a whole replay.

``python -m bench.rule_masks`` asks 1,000 rules about 1 million subjects, once; the candidates of
some rules are checked against each rule's own mask before any time is reported.

``python -m bench.rule_masks --replay`` replays the same load with one rule and with all of them
(CPU time of the whole replay, reading included). Before any time is reported, the lines of some
rules are checked against a replay with those rules alone. ``--everybody``: every rule watches every
home; else each watches its share of the grids, so that a home is under ``--each`` of them. The
budgets of the rules that watch a home add up to ``--visits`` a year, and so does that of the one rule
they are compared with: what is asked is what rules cost, not what their alerts do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.cost import cpu_s
from bench.throughput import warm
from engine import library
from engine.config import Config
from engine.replay import Replay, ReplayOptions
from engine.simulate.load import Trouble, generate_load
from rules.alerts import AlertChange
from rules.compile import CompiledRule
from rules.loader import DetectorFacts, load
from rules.masks import Graph, Masks
from rules.model import Rule, rule_set

RULE = """
name: a-rule
title: {zh: 规则, en: rule}
subjects: {kinds: [elderly_alone]}
signals: {silence: inactivity, power: production}
when: silence.due
level: yellow
budget: 12
texts:
  raised: {zh: 有, en: up}
  resolved: {zh: 无, en: down}
  cancelled: {zh: 撤, en: back}
"""
PRICES = range(4, 24)


def rules(count: int) -> list[Rule]:
    """Return rules of four makes; equal clauses occur in many of them, as they do in life."""
    known = dict.fromkeys(("inactivity", "production"), DetectorFacts())
    (base,) = load({"rule.yaml": RULE}, known)
    makes = (
        "silence.due && now.hour >= {0}",
        "silence.due && power.evidence > {1}.5",
        "silence.evidence > {2} && silence.p_value < 0.0{3}",
        "silence.due && !context.absent && now.hour < {3}",
    )
    texts = [makes[i % 4].format(i % 24, i % 7, 1 + i % 40 / 10, 1 + i % 9) for i in range(count)]
    return [replace(base, name=f"r{i}", when=t, hold=t) for i, t in enumerate(texts)]


def columns(subjects: int) -> dict[str, Any]:
    """Return what detectors say of every subject; `due` per price, made when asked for."""
    rng = np.random.default_rng(1)
    urgency = np.minimum(rng.geometric(0.7, subjects) - 1, 35).astype(np.int8)
    evidence = rng.exponential(0.4, subjects).astype(np.float32)
    p_value = rng.random(subjects).astype(np.float32)
    found: dict[str, Any] = {
        "now.hour": 8,
        "context.absent": np.zeros(subjects, bool),
        "power.evidence": evidence,
    }
    for price in PRICES:
        found[f"silence@{price}.due"] = lambda a, b, price=price: urgency[a:b] > price
        found[f"silence@{price}.ready"] = lambda a, b: urgency[a:b] >= 0
        found[f"silence@{price}.evidence"] = evidence
        found[f"silence@{price}.p_value"] = p_value
    return found


def rules_of_a_city(
    count: int, grids: Sequence[str], each: int, visits: float, *, everybody: bool
) -> list[Rule]:
    """Return rules like the shipped one about silence, with conditions and budgets of their own.

    Each watches its share of the grids, so that a grid is under `each` rules; `everybody`: all
    rules watch all. The budgets of the rules that watch a home add up to `visits` a year.
    """
    base = library.rules(None)["elderly-silence"]
    assert base.budget is not None
    makes = (
        "silence.due && now.hour >= {0}",
        "silence.due && silence.evidence > {1}.5",
        "silence.evidence > {3}.{2} && silence.p_value < 0.000{2}",
        "silence.due && !context.absent && now.weekday < {2}",
    )
    shares = 4.0 + np.arange(count) % 20
    shares /= shares.mean()
    found = []
    for i in range(count):
        when = makes[i % 4].format(i % 24, i % 3, 1 + i % 9, 6 if everybody else 3)
        mine_of_them = visits * float(shares[i]) / (count if everybody else each)
        budget = replace(base.budget, false_alerts_per_subject_year=mine_of_them)
        mine = replace(base, name=f"r{i:04}", when=when, hold=when, budget=budget)
        if not everybody:
            step = len(grids) * each / count
            first, last = round(i * step), round((i + 1) * step)
            at = [grids[g % len(grids)] for g in range(first, max(last, first + 1))]
            mine = replace(mine, subjects=replace(mine.subjects, place_prefixes=tuple(at)))
        found.append(mine.with_version())
    return found


def replayed(options: ReplayOptions, some: Sequence[Rule]) -> tuple[float, dict[str, list[bytes]]]:
    """Return CPU seconds of a replay with some rules, and their lines by rule."""
    lines: dict[str, list[bytes]] = {rule.name: [] for rule in some}

    def keep(new: Sequence[AlertChange]) -> None:
        for line in new:
            lines[line.rule].append(line.line())

    replay = Replay(options, Config(), on_lines=keep)
    replay.rules = rule_set(list(some))
    began = cpu_s()
    result = replay.run()
    used = cpu_s() - began
    assert result.reconciled
    return used, lines


def through_a_replay(
    count: int, subjects: int, slots: int, each: int, visits: float, *, everybody: bool
) -> None:
    """Print CPU seconds of a replay with one rule and with `count`.

    Two homes fall silent, so that there are lines to compare; making lines is no evaluation.
    """
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        warm(Path(folder))
        trouble = Trouble(first_slot=slots // 2, end_slot=slots, silent_share=2 / subjects)
        paths = generate_load(Path(folder) / "load", subjects, slots, 1.0, trouble=trouble)
        options = ReplayOptions(
            readings=(str(paths["readings"]),),
            meters=str(paths["meters"]),
            subjects=str(paths["subjects"]),
        )
        places = pq.read_table(paths["subjects"], columns=["place"])["place"].to_pylist()
        grids = sorted({place[:15] for place in places})
        many = rules_of_a_city(count, grids, each, visits, everybody=everybody)
        (first,) = rules_of_a_city(1, [], 1, visits, everybody=True)
        one = [replace(first, when="silence.due", hold="silence.due").with_version()]
        base, said = min((replayed(options, one) for _ in range(2)), key=lambda found: found[0])
        used, lines = replayed(options, many)
        checked = many[:: max(1, count // 10)]
        alone = replayed(options, checked)[1]
        assert all(lines[name] == found for name, found in alone.items())
    total = sum(map(len, lines.values()))
    assert total, "nothing fired: the answer says nothing"
    pairs = subjects * (count if everybody else each)
    hours = slots / 4
    print(
        f"replay of {subjects:,} watched homes x {hours:g} h: {base:.2f} s of CPU with one rule, "
        f"{used:.2f} s with {count:,} ({'everybody' if everybody else f'{each} a home'}): "
        f"{used / base - 1:+.0%}, {(used - base) / pairs / hours * 1e9:.1f} ns a pair and hour; "
        f"{total:,} lines (one rule: {len(said['r0000']):,}), those of {len(checked)} rules as by "
        "themselves"
    )


def main() -> None:
    """Print seconds of processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--subjects", type=int, default=1_000_000)
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--slots", type=int, default=480, help="of a quarter of an hour")
    parser.add_argument("--each", type=int, default=4, help="rules that a home is under")
    parser.add_argument("--visits", type=float, default=12.0, help="false alerts a home-year")
    parser.add_argument("--everybody", action="store_true", help="every rule watches every home")
    asked = parser.parse_args()
    if asked.replay:
        through_a_replay(
            asked.rules, asked.subjects, asked.slots, asked.each, asked.visits,
            everybody=asked.everybody,
        )  # fmt: skip
        return
    at_once(asked.rules, asked.subjects)


def at_once(count: int, subjects: int) -> None:
    """Print seconds of processor time that all masks take, once."""
    compiled = [CompiledRule(rule) for rule in rules(count)]
    prices = [PRICES[i % len(PRICES)] for i in range(count)]
    graph = Graph()
    roots = [
        c.add_to(graph, {"silence": f"silence@{p}"}) for c, p in zip(compiled, prices, strict=True)
    ]
    masks, given = Masks(graph, roots), columns(subjects)

    found = dict(masks.each(given, subjects))
    for i in range(0, count, max(1, count // 10)):
        own = {
            k.replace(f"@{prices[i]}", ""): v(0, subjects) if callable(v) else v
            for k, v in given.items()
        }
        alone = np.flatnonzero(np.broadcast_to(compiled[i].mask(own), subjects))
        assert np.array_equal(found.get(i, np.zeros(0, np.int64)), alone), i

    times = []
    for _ in range(3):
        start = time.process_time()
        candidates = sum(len(rows) for _, rows in masks.each(given, subjects))
        times.append(time.process_time() - start)
    pairs = count * subjects
    print(
        f"{count} rules x {subjects} subjects: {min(times):.3f} s of processor time, "
        f"{min(times) / pairs * 1e12:.0f} ps a pair, {len(graph.terms)} terms, {candidates} candidates"
    )


if __name__ == "__main__":
    main()
