"""`gridwarden gateway`: sources in, blocks on Kafka out."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.city.gateway import Gateway


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
def gateway(config_file: Path) -> None:
    """Pack readings and events of all configured sources into the logs of their shards.

    Sources (city.gateway): http, mqtt, topics and event_topics of Kafka, and the folder
    inputs.watch. What cannot be packed goes to the topic PREFIX.quarantine with its reason. Ctrl-C
    sends what is open and ends.
    """
    import asyncio
    import signal

    from engine.city.district import District
    from engine.city.gateway import Gateway
    from engine.config import load
    from engine.trial import wall_ns_of

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        config = load(config_file)
        gateway = Gateway(District(config), wall_ns_of(config))
        _collect_seldom()
        await gateway.run(stop, _sources)

    asyncio.run(work())


def _collect_seldom() -> None:
    """Have Python look for cycles seldom, and never among what stays.

    A batch of messages is thousands of objects that cycles could go through; the collector walked
    over them, and over the registry, again and again: half of a gateway's time.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _sources(gateway: Gateway) -> list[Coroutine[Any, Any, None]]:
    from engine.city.source_people import PeopleSource
    from engine.city.source_rules import RulesSource
    from engine.config import ConfigError

    config, inputs = gateway.config, gateway.district.config.inputs
    found: list[Coroutine[Any, Any, None]] = []
    if inputs.watch is not None:
        from engine.city.source_folder import FolderSource

        found.append(FolderSource(gateway, inputs.watch, config.state).run())
    if config.http is not None:
        from engine.city.source_http import HttpSource

        found.append(HttpSource(gateway, config.http).run())
    if config.mqtt is not None:
        from engine.city.source_mqtt import MqttSource

        found.append(MqttSource(gateway, config.mqtt).run())
    for topics, events in ((config.topics, False), (config.event_topics, True)):
        if topics:
            from engine.city.source_kafka import KafkaSource

            found.append(KafkaSource(gateway, topics, events).run())
    if not found:
        raise ConfigError(
            "configuration: the gateway has no source; set inputs.watch, city.gateway.http, "
            "city.gateway.mqtt or city.gateway.topics"
        )
    found.append(PeopleSource(gateway, gateway.district.open_store).run())
    found.append(RulesSource(gateway, gateway.district.open_store).run())
    return found
