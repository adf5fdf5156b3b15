"""`gridwarden relay`: tell others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.store import Store


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--list", "listed", is_flag=True, help="Print what still has to be told, and end.")
@click.option("--revive", is_flag=True, help="Try once more what was put aside, and end.")
@click.option(
    "--drop", metavar="CHANNEL", help="Forget what a channel that is no more had to tell."
)
def relay(config_file: Path, listed: bool, revive: bool, drop: str | None) -> None:
    """Tell others of alerts and tasks, and turn the clock of tasks.

    Channels (relay): doorbells in Redis, CloudEvents on Kafka, webhooks, and messages to people by
    Apprise. Any number of relays may run: one acts, another takes over within half a minute. Each
    message is told at least once, under an id that stays the same. Ctrl-C ends.
    """
    import signal
    import threading

    from engine import library
    from engine.config import load
    from engine.opening import open_store
    from engine.relay.opening import relaying

    config = load(config_file)
    rules = library.rules(config.rules.path, dict(config.rules.budgets))
    workers = None if config.inputs.workers is None else str(config.inputs.workers)
    with open_store(config.store, rules, config, workers) as store:
        if listed or revive or drop:
            _once(store, revive, drop)
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with relaying(config, store, escalate=True, always=True):
            stop.wait()


def _once(store: Store, revive: bool, drop: str | None) -> None:
    if revive:
        click.echo(f"{store.deliveries.revive()} messages are tried once more", err=True)
    if drop:
        click.echo(f"{store.deliveries.drop(drop)} messages dropped", err=True)
    for channel, backlog in sorted(store.deliveries.backlog().items()):
        click.echo(f"{channel}\twaiting {backlog.waiting}\tput aside {backlog.dead}")
    for one in store.deliveries.dead():
        click.echo(f"{one.channel}\t{one.name}\t{one.attempts} attempts\t{one.problem}")
