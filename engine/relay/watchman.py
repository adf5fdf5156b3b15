"""What the relay shows of itself and of the district; and the dead-man's switch.

The switch is a URL outside that expects a call a minute. It is called only while the store
answers and every shard moves, so that silence says that something is wrong, whatever it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from detectors.base import NS
from engine.config import Config
from engine.relay.figures import Figures, figures
from engine.relay.relay import Relay
from engine.relay.standing import Standing, standings, unwatched
from engine.trial import wall_ns_of

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = structlog.get_logger()
STALLED_S = 30.0
BEAT_S = 60.0


class RelayMetrics:
    """Reads the district's numbers from SQL when they are asked for."""

    def __init__(self, relay: Relay, config: Config) -> None:
        self.relay = relay
        self.config = config
        self._now_ns = wall_ns_of(config)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        relay = self.relay
        yield GaugeMetricFamily("gridwarden_relay_acts", "1: it holds the lease.", relay.acts)
        channel = ["channel"]
        up = GaugeMetricFamily("gridwarden_channel_up", "1: reachable.", labels=channel)
        told = CounterMetricFamily("gridwarden_told", "Messages told.", labels=channel)
        failed = CounterMetricFamily("gridwarden_told_failed", "Attempts.", labels=channel)
        for name, numbers in relay.numbers.items():
            up.add_metric([name], float(numbers.problem is None))
            told.add_metric([name], numbers.told)
            failed.add_metric([name], numbers.failed)
        yield from (up, told, failed)
        try:
            now_ns = self._now_ns()
            found = figures(relay.store, now_ns)
            shards = standings(relay.store, self.config)
        except Exception as error:
            log.warning("figures_wait", problem=str(error))
            yield GaugeMetricFamily("gridwarden_relay_store_up", "1: reachable.", 0.0)
            return
        yield GaugeMetricFamily("gridwarden_relay_store_up", "1: reachable.", 1.0)
        yield from _of_figures(found, now_ns)
        yield from _of_shards(shards, now_ns, self.config)


def _of_figures(found: Figures, now_ns: int) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    channel = ["channel"]
    waiting = GaugeMetricFamily("gridwarden_deliveries_waiting", "To be told.", labels=channel)
    dead = GaugeMetricFamily("gridwarden_deliveries_aside", "Given up.", labels=channel)
    oldest = GaugeMetricFamily("gridwarden_deliveries_oldest_seconds", "Age.", labels=channel)
    for name, backlog in found.backlog.items():
        waiting.add_metric([name], backlog.waiting)
        dead.add_metric([name], backlog.dead)
        age_ns = 0 if backlog.oldest_ns is None else max(0, now_ns - backlog.oldest_ns)
        oldest.add_metric([name], age_ns / NS)
    tasks = GaugeMetricFamily("gridwarden_tasks", "Open tasks.", labels=["queue", "level"])
    for (queue, level), n in found.tasks.items():
        tasks.add_metric([queue, level], n)
    age = GaugeMetricFamily(
        "gridwarden_queue_oldest_seconds", "Since its oldest unsigned task.", labels=["queue"]
    )
    for queue, opened_ns in found.oldest_unsigned.items():
        age.add_metric([queue], max(0, now_ns - opened_ns) / NS)
    alerts = GaugeMetricFamily("gridwarden_alerts_firing", "Firing now.", labels=["rule", "level"])
    for (rule, level), n in found.firing.items():
        alerts.add_metric([rule, level], n)
    raised = CounterMetricFamily("gridwarden_alerts_raised", "Ever.", labels=["rule"])
    for rule, n in found.raised.items():
        raised.add_metric([rule], n)
    price = GaugeMetricFamily("gridwarden_rule_price", "Index of its price.", labels=["rule"])
    for rule, index in found.prices.items():
        price.add_metric([rule], index)
    yield from (waiting, dead, oldest, tasks, age, alerts, raised, price)


def _of_shards(shards: list[Standing], now_ns: int, config: Config) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    behind = GaugeMetricFamily(
        "gridwarden_shard_behind_seconds", "Clock behind now.", labels=["shard"]
    )
    for shard in shards:
        behind.add_metric([shard.shard], shard.behind_s(now_ns))
    lost = sum(s.subjects for s in unwatched(shards, now_ns, config))
    yield behind
    yield GaugeMetricFamily(
        "gridwarden_subjects", "To be watched.", sum(s.subjects for s in shards)
    )
    yield GaugeMetricFamily("gridwarden_subjects_unwatched", "Of shards that are down.", lost)


class DeadMan:
    """Calls a URL while all is well.

    Parameters
    ----------
    call : callable
        Makes the call; raises if it failed.
    well : callable
        Returns None if all is well, else what is not.
    """

    def __init__(self, call: Callable[[], None], well: Callable[[], str | None]) -> None:
        self._call = call
        self._well = well
        self.silent: str | None = None
        """Why it does not call."""

    def beat(self) -> bool:
        """Call if all is well; return whether it did."""
        try:
            silent = self._well()
            if silent is None:
                self._call()
        except Exception as error:
            silent = str(error)
        if silent is not None and silent != self.silent:
            log.error("heartbeat_stops", problem=silent)
        self.silent = silent
        return silent is None


def dead_man(
    relay: Relay, config: Config, now_ns: Callable[[], int] | None = None
) -> DeadMan | None:
    """Return the switch of a configuration, if it has one."""
    if config.relay.heartbeat is None:
        return None
    from engine.relay.egress import client

    clock = now_ns or wall_ns_of(config)
    url = config.relay.heartbeat.get_secret_value()
    caller = client(config.relay.networks, 10.0)

    def call() -> None:
        caller.get(url).raise_for_status()

    def well() -> str | None:
        if relay.problem is not None:
            return f"relay: {relay.problem}"
        shards = standings(relay.store, config)
        lost = unwatched(shards, clock(), config)
        if not shards or lost:
            names = ", ".join(s.shard for s in lost) or "no shard has begun"
            return f"not watched: {sum(s.subjects for s in lost)} subjects of {names}"
        return None

    return DeadMan(call, well)


def about(relay: Relay) -> Mapping[str, Any]:
    """Return how a relay fares."""
    ok = time.monotonic() - relay.turned_at < STALLED_S
    problems = {name: n.problem for name, n in relay.numbers.items() if n.problem is not None}
    return {
        "ok": ok,
        "ready": ok and relay.problem is None and not problems,
        "acts": relay.acts,
        "store": relay.problem,
        "channels": problems,
    }


@contextmanager
def watched(relay: Relay, config: Config) -> Iterator[None]:
    """Serve health and metrics, and call outside, where the configuration says so."""
    with ExitStack() as stack:
        port = config.relay.health_port
        if port is not None:
            from engine.city.health import serving

            stack.enter_context(
                serving(port, lambda: about(relay), RelayMetrics(relay, config), config.health_host)
            )
        switch = dead_man(relay, config)
        if switch is not None:
            stop = threading.Event()
            stack.callback(stop.set)
            beating: DeadMan = switch

            def beat() -> None:
                while not stop.wait(BEAT_S):
                    if relay.acts:
                        beating.beat()

            threading.Thread(target=beat, daemon=True, name="heartbeat").start()
        yield
