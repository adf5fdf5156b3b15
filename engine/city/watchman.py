"""What a worker shows of itself: readiness and Prometheus metrics, from a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.city.district import District
from engine.city.health import Health
from engine.city.workshop import Workshop

log = structlog.get_logger()
STALLED_S = 30.0


class Member(Protocol):
    """A worker, whatever transport it has."""

    district: District
    workshop: Workshop
    rebalances: int
    turned_at: float


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
        yield GaugeMetricFamily("gridwarden_store_up", "1: reachable.", not workshop.store_problem)
        label = ["shard"]
        clock = GaugeMetricFamily("gridwarden_shard_clock_seconds", "Event time.", labels=label)
        offset = GaugeMetricFamily("gridwarden_shard_offset", "Next offset.", labels=label)
        waiting = GaugeMetricFamily("gridwarden_shard_waiting", "Messages waiting.", labels=label)
        up = GaugeMetricFamily("gridwarden_shard_up", "1: watched here.", labels=label)
        age = GaugeMetricFamily("gridwarden_snapshot_age_seconds", "Since it.", labels=label)
        size = GaugeMetricFamily("gridwarden_snapshot_bytes", "Of the newest.", labels=label)
        rows = CounterMetricFamily(
            "gridwarden_rows", "Rows by how they ended.", labels=[*label, "status"]
        )
        for shard, bench in sorted(workshop.benches.items()):
            name, keeper = [str(shard)], bench.keeper
            up.add_metric(name, float(keeper is not None and not bench.stopped))
            waiting.add_metric(name, len(bench.waiting))
            if keeper is None:
                continue
            clock.add_metric(name, (keeper.host.clock_ns or 0) / 1e9)
            offset.add_metric(name, keeper.next)
            age.add_metric(name, time.monotonic() - keeper.saved_at)
            size.add_metric(name, keeper.saved_bytes)
            for counts in list(keeper.host.counts.values()):
                for status, n in counts.by_status.items():
                    rows.add_metric([*name, status], n)
        yield from (clock, offset, waiting, up, age, size, rows)


def about(member: Member) -> Mapping[str, Any]:
    """Return how a worker fares."""
    workshop = member.workshop
    shards = {
        shard: bench.problem for shard, bench in sorted(workshop.benches.items()) if bench.problem
    }
    ok = time.monotonic() - member.turned_at < STALLED_S
    return {
        "ok": ok,
        "ready": ok and workshop.store_problem is None and not shards,
        "shards": sorted(workshop.benches),
        "problems": shards,
        "store": workshop.store_problem,
    }


@contextmanager
def watched(member: Member) -> Iterator[Health | None]:
    """Serve health and metrics of a worker, if the configuration names a port."""
    port = member.district.config.city.worker.health_port
    if port is None:
        yield None
        return
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(member))
    health = Health(port, lambda: about(member), registry)
    log.info("health", port=health.port)
    try:
        yield health
    finally:
        health.close()
