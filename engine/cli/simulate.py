"""``gridwarden simulate``: a town with known incidents, for trials and load."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the files.",
)
@click.option(
    "--town",
    type=click.Choice(["demo", "quality"]),
    default="demo",
    show_default=True,
    help="A ready-made town; --config describes one of your own.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Town as YAML.",
)
@click.option("--days", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--format",
    "readings_format",
    type=click.Choice(["csv", "csv.gz", "parquet"]),
    default="csv.gz",
    show_default=True,
    help="Of the readings.",
)
@click.option(
    "--load",
    "load_meters",
    type=click.IntRange(min=1),
    help="Instead of a town: this many plain meters as Parquet, for throughput.",
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=96, show_default=True, help="With --load."
)
@click.option(
    "--watched-share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="With --load: share of homes that rules watch.",
)
@click.option(
    "--order",
    type=click.Choice(["file", "random"]),
    default="file",
    show_default=True,
    help="With --load: order of the meters within a slot.",
)
@click.option(
    "--compare",
    "real",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of real data: show the town's distributions beside theirs.",
)
def simulate(
    out: Path,
    town: str,
    config_path: Path | None,
    days: int,
    seed: int,
    readings_format: str,
    load_meters: int | None,
    slots: int,
    watched_share: float,
    order: str,
    real: Path | None,
) -> None:
    """Write a simulated town with known incidents (truth.ndjson) into a folder.

    The paths of the files are printed, one a line: name, tab, path.
    """
    from rich.console import Console
    from rich.progress import Progress

    from engine.simulate import SimulationError, Town, TownConfig, load_config

    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("simulating", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            if load_meters is not None:
                from engine.simulate.load import generate_load

                paths = generate_load(
                    out,
                    load_meters,
                    slots,
                    watched_share,
                    order=order,
                    seed=seed,
                    progress=progress,
                )
            else:
                ready_made = {"demo": TownConfig.demo, "quality": TownConfig.quality}
                config = load_config(config_path) if config_path else ready_made[town]()
                data = Town(config).generate(days, seed, progress)
                bar.update(task, description="writing", total=None)
                paths = data.write(out, readings_format)
                if real is not None:
                    from engine.simulate.compare import compare, table

                    console.print(table(compare(data, real)), highlight=False, soft_wrap=True)
    except SimulationError as error:
        console.print(f"[red]error[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(3)
    for name, path in paths.items():
        click.echo(f"{name}\t{path}")
