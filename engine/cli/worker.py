"""`gridwarden worker`: the shards that Kafka assigns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.city.district import District
    from engine.city.worker_aiokafka import AiokafkaWorker
    from engine.city.worker_faust import FaustWorker


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--name", help="Of this worker, the same after a restart; default: the machine's.")
def worker(config_file: Path, name: str | None) -> None:
    """Watch the shards that Kafka assigns to this worker, beside other workers.

    Alerts and tasks go to the store, snapshots to the folder `snapshots`, which all workers must
    reach. Ctrl-C saves all shards and leaves; a worker that is killed loses nothing.
    """
    import asyncio
    import signal
    import socket

    from engine.city.district import District
    from engine.city.watchman import watched
    from engine.city.workshop import Workshop
    from engine.config import load

    config = load(config_file)
    mine = name or config.city.worker.name or socket.gethostname()

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        district = District(config)
        workshop = Workshop(district, mine)
        member = _member(config.city.worker.transport)(district, workshop, mine)
        with watched(member), _telling(district):
            await member.run(stop)

    asyncio.run(work())


@contextmanager
def _telling(district: District) -> Iterator[None]:
    """Run the relay here, too, where it has anybody to tell."""
    relay = district.config.relay
    if not (relay.inside and relay.anybody):
        yield
        return
    from engine.relay.opening import relaying

    with district.open_store() as store, relaying(district.config, store, escalate=True):
        yield


def _member(transport: str) -> type[AiokafkaWorker] | type[FaustWorker]:
    if transport == "faust":
        from engine.city.worker_faust import FaustWorker

        return FaustWorker
    from engine.city.worker_aiokafka import AiokafkaWorker

    return AiokafkaWorker
