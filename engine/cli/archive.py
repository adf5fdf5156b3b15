"""`gridwarden archive`: a city's logs as Parquet files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
@click.option("--once", is_flag=True, help="Archive what is there now, and end.")
@click.option("--every", "every_s", default=300.0, show_default=True, help="Seconds between turns.")
def archive(config_file: Path, once: bool, every_s: float) -> None:
    """Keep a city's logs as Parquet files in the folder `city.archive`, by shard and offset.

    Kafka keeps them for `city.keep_days`. A worker whose shard goes on from before that reads the
    archive first, then Kafka: what comes of it is the same. Ctrl-C ends; files are whole or not there.
    """
    import signal
    import threading

    import structlog

    from engine.city.archive import ArchiveError, archive_of, fill
    from engine.city.district import District
    from engine.config import load

    district = District(load(config_file))
    kept = archive_of(district)
    if kept is None:
        raise click.ClickException("configuration: city.archive must name a folder")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while True:
        try:
            n = fill(district, kept)
            click.echo(f"{n:,} messages archived in {kept.folder}")
        except ArchiveError as error:
            if once:
                raise click.ClickException(str(error)) from None
            structlog.get_logger().error("not_archived", problem=str(error))
        if once or stop.wait(every_s):
            return
