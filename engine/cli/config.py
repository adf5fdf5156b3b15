"""`gridwarden config check FILE`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def config() -> None:
    """Check a configuration file."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check FILE and the environment; print the configuration in force (secrets hidden)."""
    from engine.config import ConfigError, load

    try:
        loaded = load(file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    click.echo(loaded.model_dump_json(indent=2))
