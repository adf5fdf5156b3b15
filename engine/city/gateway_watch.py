"""What a gateway shows of itself: readiness and Prometheus metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.city.health import serving

if TYPE_CHECKING:
    from engine.city.gateway import Gateway

STALLED_S = 30.0


class GatewayMetrics(Collector):
    """Reads a gateway's numbers when they are asked for."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        gateway, packer = self.gateway, self.gateway.packer
        rows = CounterMetricFamily(
            "gridwarden_gateway_rows", "Rows by how they ended.", labels=["source", "status"]
        )
        faults = CounterMetricFamily(
            "gridwarden_quarantined", "Rows by reason.", labels=["source", "reason"]
        )
        for source, counts in list(packer.counts.items()):
            for status, n in counts.by_status.items():
                rows.add_metric([source, status], n)
            for reason, n in counts.by_reason.items():
                faults.add_metric([source, reason], n)
        yield from (rows, faults)
        yield CounterMetricFamily("gridwarden_gateway_messages", "Sent.", packer.messages)
        yield GaugeMetricFamily("gridwarden_gateway_load_bytes", "On their way.", packer.load)
        yield GaugeMetricFamily(
            "gridwarden_gateway_clock_seconds", "Event time.", gateway.clock.now_ns() / 1e9
        )
        yield GaugeMetricFamily("gridwarden_log_up", "1: Kafka takes.", gateway.log_up)
        sources = GaugeMetricFamily("gridwarden_source_up", "1: connected.", labels=["source"])
        for name, up in gateway.sources_up.items():
            sources.add_metric([name], float(up()))
        yield sources
        yield GaugeMetricFamily(
            "gridwarden_rules_refused", "Versions that cannot be read.", len(gateway.rules_refused)
        )


def about(gateway: Gateway) -> Mapping[str, Any]:
    """Return how a gateway fares."""
    ok = time.monotonic() - gateway.turned_at < STALLED_S
    sources = {name: up() for name, up in gateway.sources_up.items()}
    return {
        "ok": ok,
        "ready": ok and gateway.log_up and all(sources.values()),
        "log": gateway.log_up,
        "sources": sources,
        "rules_refused": dict(gateway.rules_refused),
    }


def watched(gateway: Gateway) -> AbstractContextManager[None]:
    """Serve health and metrics of a gateway, if the configuration names a port."""
    host = gateway.district.config.health_host
    return serving(
        gateway.config.health_port, lambda: about(gateway), GatewayMetrics(gateway), host
    )
