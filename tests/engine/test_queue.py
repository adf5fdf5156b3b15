"""The queue's capacity: hard danger always, discoveries by visits, the rest visible and sampled."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import QueueConfig
from engine.queue import RENEW_TESTS, Gate, Waiting, lot, recall, surprise
from tests.engine.store_kit import DAY, T0

ONE = QueueConfig(visits_per_day=2, fdr=1.0, check_share=0.0)


def wants(name: str, **given: object) -> Waiting:
    facts = {
        "level": "orange", "hard": False, "evidence": 3.0, "p_value": None, "budget": None,
        "since_ns": T0,
    }  # fmt: skip
    return Waiting(alert_id=name, **{**facts, **given})


def test_without_a_limit_nothing_is_held_back() -> None:
    gate = Gate("g")
    verdicts = [gate.admit(wants(str(i), evidence=0.0), T0, QueueConfig()) for i in range(50)]
    assert {(v.send, v.reason) for v in verdicts} == {(True, "no_limit")}


def test_a_day_has_so_many_visits_and_the_next_day_again() -> None:
    gate = Gate("g")
    day = [gate.admit(wants(str(i)), T0 + i, ONE).reason for i in range(4)]
    assert day == ["discovery", "discovery", "capacity", "capacity"]
    # 08:00 in Hangzhou: 16 hours later it is the next day, 15 hours later it is not.
    assert gate.admit(wants("x"), T0 + 15 * DAY // 24, ONE).reason == "capacity"
    assert gate.admit(wants("x"), T0 + 16 * DAY // 24, ONE).send


def test_hard_danger_is_sent_whatever_was_used_up() -> None:
    gate = Gate("g")
    for i in range(100):
        verdict = gate.admit(wants(str(i), hard=True, evidence=-9.0), T0, ONE)
        assert (verdict.send, verdict.reason) == (True, "hard_danger")
    assert gate.admit(wants("soft"), T0, ONE).reason == "capacity"


def test_the_most_pressing_go_first_when_visits_return() -> None:
    gate = Gate("g", day=0)
    held = [
        wants("old", since_ns=T0 - DAY),
        wants("young", since_ns=T0),
        wants("strong", evidence=9.0),
        wants("yellow", level="yellow", evidence=20.0),
        wants("blind", evidence=None),
    ]
    sent = gate.release(held, T0, ONE)
    assert [w.alert_id for w in sent] == ["strong", "old"]
    assert gate.release(held, T0, ONE) == []
    everything = gate.release(held, T0, QueueConfig())
    assert [w.alert_id for w in everything] == ["strong", "old", "young", "blind", "yellow"]


@pytest.mark.parametrize(
    ("p_value", "evidence", "budget", "wanted"),
    [
        (0.001, 5.0, None, 0.024),
        (0.5, None, None, 1.0),
        (None, 2.0, None, 0.01),
        (None, -1.0, None, 1.0),
        (float("nan"), 2.0, None, 0.01),
        (None, 3.0, 36.5, 0.01),
        (None, 3.0, 10_000.0, 0.001),
        (None, 3.0, 0.0, 0.001),
        (None, None, 12.0, None),
        (0.0, None, 12.0, 0.0),
    ],
)
def test_the_p_value_given_that_the_alert_was_raised(
    p_value: float | None, evidence: float | None, budget: float | None, wanted: float | None
) -> None:
    found = surprise(p_value, evidence, budget)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_what_has_no_p_value_passes_the_test_untested() -> None:
    gate = Gate("g")
    config = QueueConfig(visits_per_day=9, fdr=0.1, check_share=0.0)
    assert gate.admit(wants("a", evidence=None), T0, config).send
    assert gate.snapshot() is None


@pytest.mark.parametrize(("real_share", "fdr"), [(0.3, 0.2), (0.3, 0.5), (0.05, 0.2)])
def test_the_false_discovery_rate_holds(real_share: float, fdr: float) -> None:
    """Simulated grids: p uniform where nothing is wrong, small where something is."""
    config = QueueConfig(visits_per_day=10**6, fdr=fdr, check_share=0.0)
    rng = np.random.default_rng(7)
    shares, power = [], []
    for _ in range(30):
        gate, real = Gate("g"), rng.random(400) < real_share
        p = np.where(real, 10.0 ** -rng.uniform(3, 8, 400), rng.random(400))
        sent = np.array(
            [
                gate.admit(wants(str(i), evidence=float(-np.log10(x))), T0, config).send
                for i, x in enumerate(p)
            ]
        )
        shares.append((sent & ~real).sum() / max(1, sent.sum()))
        power.append((sent & real).sum() / max(1, real.sum()))
    assert np.mean(shares) <= fdr + 2 * np.std(shares) / np.sqrt(len(shares))
    # And it must be able to send somebody: an FDR of 0 by silence would pass the line above.
    assert np.mean(power) > 0.5


def test_nothing_but_noise_sends_hardly_anybody() -> None:
    config = QueueConfig(visits_per_day=10**6, fdr=0.1, check_share=0.0)
    rng = np.random.default_rng(3)
    ever = []
    for _ in range(200):
        gate, noise = Gate("g"), -np.log10(rng.random(60))
        ever.append(any(gate.admit(wants("x", evidence=float(e)), T0, config).send for e in noise))
    # With no real case every discovery is false, so the rate is the chance of sending anybody.
    assert np.mean(ever) <= 0.1 + 2 * 0.3 / np.sqrt(len(ever))


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 6), max_size=30), st.integers(0, 30))
def test_a_gate_goes_on_from_its_snapshot_as_if_nothing_had_been(
    evidence: list[float], cut: int
) -> None:
    config = QueueConfig(visits_per_day=5, fdr=0.3, check_share=0.1)

    def decide(gate: Gate, i: int) -> object:
        return gate.admit(wants(f"{i}", evidence=evidence[i]), T0 + i * DAY // 4, config)

    whole = Gate("g")
    wanted = [decide(whole, i) for i in range(len(evidence))]
    gate = Gate("g")
    found = [decide(gate, i) for i in range(min(cut, len(evidence)))]
    tests = gate.snapshot()
    kept = None if tests is None else msgspec.json.decode(msgspec.json.encode(tests))
    gate = Gate("g", gate.day, gate.sent, gate.renewed_day, kept)
    found += [decide(gate, i) for i in range(len(found), len(evidence))]
    assert found == wanted


def test_a_test_sequence_starts_anew_so_that_its_state_stays_small() -> None:
    config = QueueConfig(visits_per_day=10**6, fdr=0.2, check_share=0.0)
    gate = Gate("g")
    for i in range(RENEW_TESTS + 1):
        gate.admit(wants(str(i), evidence=0.35), T0, config)
    assert gate.snapshot()["state"]["_num_hypotheses"] == 1
    gate.admit(wants("x", evidence=0.35), T0 + 91 * DAY, config)
    assert gate.snapshot()["state"]["_num_hypotheses"] == 1


def test_of_what_is_held_back_a_keyed_share_is_sent_as_checks() -> None:
    config = QueueConfig(visits_per_day=1, fdr=1.0, check_share=0.2, seed=5)
    names = [f"a{i}" for i in range(2_000)]
    gate = Gate("g")
    gate.admit(wants("first"), T0, config)
    kinds = {n: gate.admit(wants(n), T0, config) for n in names}
    checks = {n for n, v in kinds.items() if v.kind == "check"}
    assert checks == {n for n in names if lot(5, n) < 0.2}
    assert 0.17 < len(checks) / len(names) < 0.23
    assert all(kinds[n].send for n in checks)
    assert checks != {n for n in names if lot(6, n) < 0.2}


def test_recall_is_estimated_from_the_checks() -> None:
    """The interval holds the truth as often as it says, and the estimate is near it."""
    rng = np.random.default_rng(11)
    held, real_share, found, hits, errors = 400, 0.1, 80, 0, []
    for _ in range(120):
        checked = rng.random(held) < 0.25
        real = rng.random(held) < real_share
        estimate = recall(found, held, int(checked.sum()), int((checked & real).sum()))
        seen = found + int((checked & real).sum())
        truth = seen / (found + int(real.sum()))
        hits += estimate.low <= truth <= estimate.high
        assert estimate.estimate is not None
        errors.append(estimate.estimate - truth)
    assert hits / 120 >= 0.9
    assert abs(np.mean(errors)) < 0.02


def test_recall_without_checks_knows_only_its_bounds() -> None:
    found = recall(10, 30, 0, 0)
    assert (found.estimate, found.low, found.high) == (None, 0.25, 1.0)
    assert recall(0, 0, 0, 0).high == 1.0
    late = recall(10, 30, 10, 1, late=5)
    assert late.low <= late.estimate <= late.high
    with pytest.raises(ValueError, match="wanted 0 <= confirmed <= checked <= held"):
        recall(1, 2, 3, 0)
