"""`gridwarden run`: live, embedded."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--once", is_flag=True, help="Read what is there, save, and end.")
@click.option(
    "--save-every", type=click.FloatRange(1), default=60.0, show_default=True, metavar="S"
)
def run(config_file: Path, once: bool, save_every: float) -> int:
    """Watch a folder (inputs.watch), or read stdin where none is configured.

    A file is read once it has stopped growing; files whose name begins with "event" hold events,
    all others readings. Ctrl-C saves and ends; after a crash the next start goes on where the
    journal ends.
    """
    import time

    import structlog

    from engine.config import load
    from engine.live import Live, wall_ns

    log = structlog.get_logger()
    config = load(config_file)
    live = Live(
        config, wall_ns, on_lines=lambda lines: [click.echo(x.line()) for x in lines] and None
    )
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, ask_to_stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    log.info("started", store=config.store, watch=str(config.inputs.watch), offset=live.fed)
    saved = time.monotonic()
    try:
        if config.inputs.watch is None:
            rows = live.read("-")
            log.info("read", source="stdin", rows=rows)
        else:
            quiet = 0
            while not stop.is_set():
                rows = live.poll()
                if rows:
                    log.info("read", rows=rows, event_time_ns=live.host.clock_ns)
                quiet = 0 if rows else quiet + 1
                # A file is taken at the second look, when it has stopped growing.
                if once and quiet >= 2:
                    break
                if time.monotonic() - saved > save_every:
                    live.save()
                    saved = time.monotonic()
                stop.wait(0.05 if once else config.inputs.poll_s)
    finally:
        live.close()
        log.info("stopped", offset=live.fed)
    return 0
