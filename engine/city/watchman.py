"""What a worker shows of itself: readiness and Prometheus metrics, from a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.city.district import District
from engine.city.health import serving
from engine.city.workshop import Workshop
from engine.intake import Intake

STALLED_S = 30.0


class Member(Protocol):
    """A worker, whatever transport it has."""

    district: District
    workshop: Workshop
    rebalances: int
    turned_at: float

    def newest(self, shard: int) -> int | None:
        """Return the offset behind the newest message of a shard's log, if it is known."""


class WorkerMetrics(Collector):
    """Reads a worker's numbers when they are asked for; the work itself counts nothing extra."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        workshop = self.member.workshop
        yield CounterMetricFamily("gridwarden_messages", "Messages fed.", workshop.messages)
        yield CounterMetricFamily("gridwarden_busy_seconds", "Seconds at work.", workshop.busy_s)
        yield CounterMetricFamily("gridwarden_rebalances", "Assignments.", self.member.rebalances)
        yield GaugeMetricFamily(
            "gridwarden_longest_turn_seconds", "Longest turn.", workshop.longest_turn_s
        )
        yield GaugeMetricFamily(
            "gridwarden_longest_loop_turn_seconds", "Of the event loop.", workshop.loop.longest_s
        )
        yield GaugeMetricFamily("gridwarden_store_up", "1: reachable.", not workshop.store_problem)
        label = ["shard"]
        clock = GaugeMetricFamily("gridwarden_shard_clock_seconds", "Event time.", labels=label)
        offset = GaugeMetricFamily("gridwarden_shard_offset", "Next offset.", labels=label)
        waiting = GaugeMetricFamily("gridwarden_shard_waiting", "Messages waiting.", labels=label)
        up = GaugeMetricFamily("gridwarden_shard_up", "1: watched here.", labels=label)
        age = GaugeMetricFamily("gridwarden_snapshot_age_seconds", "Since it.", labels=label)
        size = GaugeMetricFamily("gridwarden_snapshot_bytes", "Of the newest.", labels=label)
        lag = GaugeMetricFamily("gridwarden_shard_lag", "Messages behind the log.", labels=label)
        missing = GaugeMetricFamily(
            "gridwarden_missing_share", "Meters without a reading in their last slot.", labels=label
        )
        rows = CounterMetricFamily(
            "gridwarden_rows", "Rows by how they ended.", labels=[*label, "status"]
        )
        late = CounterMetricFamily(
            "gridwarden_rules_late", "Changes of rules learned after their time.", labels=label
        )
        for shard, bench in sorted(workshop.benches.items()):
            name, keeper = [str(shard)], bench.keeper
            up.add_metric(name, float(keeper is not None and not bench.stopped))
            waiting.add_metric(name, len(bench.waiting))
            if keeper is None:
                continue
            clock.add_metric(name, (keeper.host.clock_ns or 0) / 1e9)
            offset.add_metric(name, keeper.next)
            age.add_metric(name, time.monotonic() - keeper.kept_at)
            size.add_metric(name, keeper.saved_bytes)
            late.add_metric(name, keeper.late_rules)
            newest = self.member.newest(shard)
            if newest is not None:
                lag.add_metric(name, max(0, newest - keeper.next))
            share = missing_share(keeper.host.shards[0].intake)
            if share is not None:
                missing.add_metric(name, share)
            for counts in list(keeper.host.counts.values()):
                for status, n in counts.by_status.items():
                    rows.add_metric([*name, status], n)
        yield from (clock, offset, waiting, up, age, size, lag, missing, rows, late)
        yield from self._budgets()

    def _budgets(self) -> Iterator[Metric]:
        """Yield what each rule may spend, and what it has spent here."""
        label = ["rule"]
        asked = GaugeMetricFamily(
            "gridwarden_rule_budget", "False alerts per subject-year.", labels=label
        )
        spent = CounterMetricFamily("gridwarden_rule_spent", "Candidates.", labels=label)
        exposed = CounterMetricFamily(
            "gridwarden_rule_exposure_seconds", "Watched time.", labels=label
        )
        allowed: dict[str, float] = {}
        totals: dict[str, tuple[int, int]] = {}
        for bench in list(self.member.workshop.benches.values()):
            if bench.keeper is not None:
                for rule in bench.keeper.host.shards[0].rules:
                    if rule.budget is not None:
                        allowed[rule.name] = rule.budget.false_alerts_per_subject_year
                for rule_name, (n, seconds) in list(bench.keeper.spent.items()):
                    before = totals.get(rule_name, (0, 0))
                    totals[rule_name] = before[0] + n, before[1] + seconds
        for rule_name, budget in sorted(allowed.items()):
            asked.add_metric([rule_name], budget)
        for rule_name, (n, seconds) in sorted(totals.items()):
            spent.add_metric([rule_name], n)
            exposed.add_metric([rule_name], seconds)
        yield from (asked, spent, exposed)


def missing_share(intake: Intake) -> float | None:
    """Return the share of meters without a reading in the last slot that closed, of all classes."""
    there = expected = 0
    sizes = np.bincount(intake.registry.meters.class_index, minlength=len(intake.classes))
    for c, size in zip(intake.classes, sizes, strict=True):
        first = int(c["bits_tag"])
        tags = intake.bit_tags[first : first + int(c["kept"])]
        newest = int(tags.max(initial=-1))
        if newest < 0:
            continue
        begin = int(c["bits_at"]) + newest % int(c["kept"]) * int(c["bits_row"])
        bits = np.unpackbits(intake.bits[begin : begin + int(c["bits_row"])])
        there += int(bits.sum())
        expected += int(size)
    return 1.0 - there / expected if expected else None


def about(member: Member) -> Mapping[str, Any]:
    """Return how a worker fares."""
    workshop = member.workshop
    benches = sorted(workshop.benches.items())
    shards = {shard: bench.problem for shard, bench in benches if bench.problem}
    unsaved = {s: b.keeper.problem for s, b in benches if b.keeper is not None and b.keeper.problem}
    ok = time.monotonic() - member.turned_at < STALLED_S
    return {
        "ok": ok,
        "ready": ok and workshop.store_problem is None and not shards,
        "shards": sorted(workshop.benches),
        "problems": shards,
        "unsaved": unsaved,
        "store": workshop.store_problem,
    }


def watched(member: Member) -> AbstractContextManager[None]:
    """Serve health and metrics of a worker, if the configuration names a port."""
    config = member.district.config
    return serving(
        config.city.worker.health_port,
        lambda: about(member),
        WorkerMetrics(member),
        config.health_host,
    )
