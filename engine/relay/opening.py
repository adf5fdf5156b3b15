"""The relay that a configuration describes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine import library
from engine.config import Config, ConfigError, RelayConfig
from engine.escalation import Escalator
from engine.in_force import RulesInForce
from engine.relay.channel import Channel
from engine.relay.relay import Relay
from engine.relay.watchman import watched
from engine.relay.words import LEVELS, Words
from engine.store import Store
from engine.trial import wall_ns_of


def channels_of(
    config: Config, store: Store, wall: Callable[[], float] = time.time
) -> list[Channel]:
    """Return the channels of a configuration.

    Raises
    ------
    ConfigError
        If one cannot be made.
    """
    relay = config.relay
    found: list[Channel] = []
    if relay.redis is not None:
        from engine.relay.redis import RedisChannel

        found.append(RedisChannel(relay.redis.get_secret_value(), relay.redis_prefix))
    if relay.kafka:
        from engine.relay.kafka import KafkaChannel

        city = config.city
        found.append(KafkaChannel(city.kafka, city.prefix, relay.source, city.replicas))
    found += _webhooks(relay, wall)
    if relay.notify:
        from engine.relay.notify import NotifyChannel

        for name, one in relay.notify.items():
            words = _words(config, one.language, store.desk.zone)
            found.append(NotifyChannel(name, one, words, wall))
    if relay.push is not None:
        from engine.relay.push import PushChannel

        spoken = {lang: _words(config, lang, store.desk.zone) for lang in LEVELS}
        found.append(PushChannel(relay.push, store, spoken, relay.networks, wall))
    return found


def _words(config: Config, language: str, zone: str) -> Words:
    rules = library.rules(config.rules.path, {})
    titles = {rule.name: str(getattr(rule.title, language)) for rule in rules}
    return Words(language, titles, zone, config.console.url)


def _webhooks(relay: RelayConfig, wall: Callable[[], float]) -> list[Channel]:
    if not relay.webhooks:
        return []
    from engine.relay.webhook import WebhookChannel

    try:
        return [
            WebhookChannel(name, one, relay.source, relay.networks, wall)
            for name, one in relay.webhooks.items()
        ]
    except ValueError as error:
        raise ConfigError(f"relay.networks: {error}") from None


@contextmanager
def relaying(
    config: Config, store: Store, *, escalate: bool = False, always: bool = False
) -> Iterator[Relay | None]:
    """Run the relay of a configuration in threads, if it has any channel (or `always`)."""
    channels = channels_of(config, store)
    if not channels and not always:
        yield None
        return
    holder = f"{socket.gethostname()} {os.getpid()}"

    wall_ns = wall_ns_of(config)

    def now_ns() -> int:
        return max(wall_ns(), store.clock() or 0)

    lease_s = config.relay.lease_s
    escalator = None
    if escalate:
        escalator = Escalator(store, holder, settings=config.console, lease_s=lease_s)
    relay = Relay(
        store,
        channels,
        holder=holder,
        keep_rows=config.relay.keep_rows,
        escalator=escalator,
        rules=RulesInForce(store, config, store.desk.zone, store.desk.rules),
        now_ns=now_ns,
        lease_s=lease_s,
    )
    with watched(relay, config):
        relay.start()
        try:
            yield relay
        finally:
            relay.close()
