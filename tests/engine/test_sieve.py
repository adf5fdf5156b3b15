"""The candidates of many rules, found together, are those that each finds by itself."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from detectors.base import LEVELS, NO_SLOT
from detectors.budget import Price
from engine.heard import Heard, Marked
from engine.sieve import Sieve
from engine.watch import Watch
from rules.compile import CompiledRule
from rules.loader import load
from tests.rules.kit import KNOWN, document, dump

WHENS = (
    "silence.due",
    "silence.due && now.hour >= 7",
    "silence.due && power.evidence > 0.5",
    "silence.due || power.due",
    "(silence.due || power.due) && silence.ready",
    "!silence.due && silence.ready",
    "silence.due || power.evidence > 1.5",
    "silence.evidence > 1.0 && power.evidence > 0.5",
    "silence.evidence > 1.0 && power.p_value < 0.3",
    "fused > 2.0",
    "silence.urgency >= 20",
    "silence.facts.hours > 3.0",
    "silence.facts.hours > 3.0 && silence.due",
    "silence.ready ? power.due : silence.due",
    "silence.evidence > 1.0 && now.hour >= 7",
    "silence.evidence > 1.0 && now.hour < 7",
)
AROUND: Any = SimpleNamespace(clock=lambda watch, at_ns: {"hour": 9})
LED = {0, 1, 2, 3, 4, 12}


def heard_of(rng: np.random.Generator, rows: int) -> Heard:
    every = np.arange(rows, dtype=np.int32)
    heard = Heard(every, rng.integers(0, 2**63, rows).astype(np.uint64), [], counted=False)
    columns = heard.columns
    columns.urgency[:] = rng.integers(-1, LEVELS, rows)
    ready = columns.urgency >= 0
    columns.evidence[ready] = rng.exponential(1.0, ready.sum())
    columns.p_value[ready] = rng.random(ready.sum())
    columns.onset[:] = np.where(columns.urgency > 0, 5, NO_SLOT)
    return heard


def watches_of(rng: np.random.Generator, rows: int) -> list[Watch]:
    heard = {"silence": heard_of(rng, rows), "power": heard_of(rng, rows)}
    found = []
    for i, when in enumerate(WHENS):
        text = dump(
            document(
                name=f"rule-{i}",
                signals={"silence": {"detector": "quiet"}, "power": {"detector": "load"}},
                when=when,
            )
        )
        (rule,) = load({"rule.yaml": text}, KNOWN)
        watch = Watch(CompiledRule(rule), np.arange(rows, dtype=np.int32), heard, Price(0, 9, 0.5))
        for name, turns in watch.turns.items():
            onset = heard[name].columns.onset
            urgent = np.flatnonzero(onset != NO_SLOT)
            due = np.sort(rng.choice(urgent, len(urgent) // 3, replace=False))
            turns.due = Marked.at(due, onset)
        found.append(watch)
    return found


@pytest.mark.parametrize("rows", [1, 7, 500, 70_000])
def test_together_as_alone(rows: int) -> None:
    watches = watches_of(np.random.default_rng(rows), rows)
    sieve = Sieve(watches)
    sieve.turn(0, AROUND)
    for _ in range(2):
        for i, watch in enumerate(watches):
            alone = np.flatnonzero(watch.mask(slice(None)))
            assert sieve.hit(i).tolist() == alone.tolist(), WHENS[i]
        # What is found holds until columns change.
        heard = watches[0].turns["silence"].heard
        heard.columns.evidence[:] = np.random.default_rng(1).exponential(1.0, rows)
        sieve.turn(0, AROUND)


def test_a_signal_that_must_be_due_leads() -> None:
    watches = watches_of(np.random.default_rng(3), 50)
    assert {i for i, watch in enumerate(watches) if watch.led() is not None} == LED
    assert watches[3].compiled.leads == {"silence", "power"}


def test_what_is_due_at_one_price_is_not_at_another() -> None:
    """Rules share what they hear, not whose moment has come."""
    watches = watches_of(np.random.default_rng(5), 400)
    first, second = watches[0], watches[1]
    second.turns["silence"].due = Marked.at(np.zeros(0, np.int32), np.zeros(400, np.int32))
    sieve = Sieve([first, second])
    sieve.turn(0, AROUND)
    assert len(sieve.hit(0))
    assert not len(sieve.hit(1))
