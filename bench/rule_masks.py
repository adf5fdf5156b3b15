"""Cost of asking 1,000 rules about 1 million subjects, once: the numeric clauses as masks.

Run ``python -m bench.rule_masks``. The candidates of some rules are checked against each rule's own
mask before any time is reported.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np

from rules.compile import CompiledRule
from rules.loader import DetectorFacts, load
from rules.masks import Graph, Masks
from rules.model import Rule

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


def main() -> None:
    """Print seconds of processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--subjects", type=int, default=1_000_000)
    asked = parser.parse_args()
    compiled = [CompiledRule(rule) for rule in rules(asked.rules)]
    prices = [PRICES[i % len(PRICES)] for i in range(asked.rules)]
    graph = Graph()
    roots = [
        c.add_to(graph, {"silence": f"silence@{p}"}) for c, p in zip(compiled, prices, strict=True)
    ]
    masks, given = Masks(graph, roots), columns(asked.subjects)

    found = dict(masks.each(given, asked.subjects))
    for i in range(0, asked.rules, max(1, asked.rules // 10)):
        own = {
            k.replace(f"@{prices[i]}", ""): v(0, asked.subjects) if callable(v) else v
            for k, v in given.items()
        }
        alone = np.flatnonzero(np.broadcast_to(compiled[i].mask(own), asked.subjects))
        assert np.array_equal(found.get(i, np.zeros(0, np.int64)), alone), i

    times = []
    for _ in range(3):
        start = time.process_time()
        candidates = sum(len(rows) for _, rows in masks.each(given, asked.subjects))
        times.append(time.process_time() - start)
    pairs = asked.rules * asked.subjects
    print(
        f"{asked.rules} rules x {asked.subjects} subjects: {min(times):.3f} s of processor time, "
        f"{min(times) / pairs * 1e12:.0f} ps a pair, {len(graph.terms)} terms, {candidates} candidates"
    )


if __name__ == "__main__":
    main()
