"""`gridwarden backup` and `gridwarden restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.backup import Told
    from engine.config import Config
    from engine.snapshot import SnapshotFolder


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path, exists=True),
    help="Only read FILE to its end.",
)
def backup(config_file: Path | None, out: Path | None, checked: Path | None) -> None:
    """Write the store, current snapshots and the journal into one file, while all goes on.

    Not in it: the key of the personal data (keep it elsewhere), tables and rules (they are yours),
    Kafka's logs (`gridwarden archive`), the archive of series.
    """
    from engine.backup import backup as write
    from engine.backup import check
    from engine.config import load

    if checked is not None:
        _print(check(checked), checked)
        return
    if config_file is None or out is None:
        raise click.UsageError("give --config and --out, or --check FILE")
    config = load(config_file)
    _print(write(config.store, _folder(config), _journal(config), out), out)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--config", "config_file", type=click.Path(path_type=Path), required=True)
def restore(file: Path, config_file: Path) -> None:
    """Put FILE into the empty store and folder that a configuration names.

    It may come from SQLite and go into PostgreSQL, and be of an older program. A city goes on
    where its logs on Kafka are; a single process where the journal in the backup ends.
    """
    from engine.backup import restore as put
    from engine.config import load

    config = load(config_file)
    _print(put(file, config.store, _folder(config), _journal(config)), file)


def _folder(config: Config) -> SnapshotFolder:
    from engine.snapshot_store import open_snapshots

    return open_snapshots(Path(config.snapshots), config.city.snapshot_url, "backup")


def _journal(config: Config) -> Path:
    return Path(config.snapshots) / "journal.log"


def _print(told: Told, file: Path) -> None:
    rows = sum(told.tables.values())
    click.echo(
        f"{file}\t{file.stat().st_size:,} bytes\ttaken {told.taken} by {told.program}\t"
        f"{rows:,} rows in {len(told.tables)} tables (schema {told.schema})\t"
        f"{told.snapshots} snapshots\tjournal {told.journal_bytes:,} bytes"
    )
