"""`gridwarden score`: one detector over one series."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--detector", required=True, metavar="NAME", help="Detector, or river:<class>.")
@click.option(
    "--param", "params", multiple=True, metavar="K=V", help="Parameter of the detector; repeatable."
)
@click.option("--column", default="value", show_default=True, help="Column of the values.")
@click.option(
    "--input", "source", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--output", "target", required=True, type=click.Path(path_type=Path, dir_okay=False))
def score(detector: str, params: tuple[str, ...], column: str, source: Path, target: Path) -> None:
    """Score a series: writes timestamp, value, score, one row per input row, in its order.

    The score lies in [0, 1] and grows with the evidence; it is nan while the detector is not
    ready, or where the value is missing. Rows whose stamps step back by more than an hour are out
    of order: the series is then scored in the order of time, with a warning.
    """
    overrides = dict(_override(text) for text in params)
    from engine.language import counted
    from engine.score import order_warning, score_file

    done = score_file(detector, overrides, column, source, target)
    if done.out_of_order:
        click.echo(f"gridwarden: warning: {order_warning(source, done.out_of_order)}", err=True)
    click.echo(
        f"{source}: {counted(done.rows, 'row')}, {done.scored:,} scored, "
        f"slots of {done.interval_s} s → {target}",
        err=True,
    )


def _override(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or not name or number != number:
        raise click.BadParameter(f"wanted name=number, got {text!r}", param_hint="--param")
    return name, number
