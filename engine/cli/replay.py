"""`gridwarden replay`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engine.replay import Replay, ReplayResult


def budgets(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, float]:
    """Parse RULE=N options."""
    found: dict[str, float] = {}
    for text in given:
        name, _, amount = text.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            raise click.BadParameter(
                f"{text!r}; wanted RULE=N, such as elderly-silence=12"
            ) from None
    return found


def moment(_context: click.Context, _parameter: click.Parameter, given: str | None) -> int | None:
    """Parse a time option (ISO 8601; UTC where it has no offset)."""
    if given is None:
        return None
    from datetime import UTC, datetime

    try:
        when = datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(f"{given!r}; wanted ISO 8601, such as 2016-06-01") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 1_000_000_000


@click.command()
@click.option(
    "--readings",
    required=True,
    multiple=True,
    metavar="F",
    help="Readings; - is stdin. Repeatable.",
)
@click.option("--events", multiple=True, metavar="F", help="Events. Repeatable.")
@click.option("--meters", required=True, metavar="M", help="Meters table.")
@click.option("--subjects", required=True, metavar="S", help="Subjects table.")
@click.option("--places", metavar="P", help="Names of places.")
@click.option("--workers", metavar="W", help="Gridworkers, for tasks in --store.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Rules; default: the shipped library.",
)
@click.option(
    "--budget",
    multiple=True,
    metavar="RULE=N",
    callback=budgets,
    help="False alerts per subject-year of a rule.",
)
@click.option(
    "--from",
    "from_ns",
    metavar="T",
    callback=moment,
    help="Leave out alerts raised before T; rows before still teach.",
)
@click.option(
    "--to", "to_ns", metavar="T", callback=moment, help="Leave out alerts raised at or after T."
)
@click.option("--alerts", metavar="OUT", help="Alerts as NDJSON; - is stdout.")
@click.option("--report", metavar="OUT", help="One self-contained HTML page.")
@click.option(
    "--store", metavar="URL", help="Keep alerts and tasks; an interrupted replay goes on from here."
)
@click.option(
    "--quarantine", metavar="OUT", help="Refused rows with their reasons; can be fed again."
)
@click.option(
    "--unreached",
    metavar="OUT",
    help="Homes, as CSV, with waking hours whose silences would never come to an alert: somebody "
    "is to call them.",
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file."
)
@click.option(
    "--block-rows",
    type=click.IntRange(1),
    help="Most rows of a block; changes nothing in the result.",
)
@click.option(
    "--stop-after-rows",
    type=click.IntRange(1),
    help="Stop after so many rows, with a snapshot in --store.",
)
def replay(
    readings: tuple[str, ...],
    events: tuple[str, ...],
    meters: str,
    subjects: str,
    places: str | None,
    workers: str | None,
    rules: Path | None,
    budget: dict[str, float],
    from_ns: int | None,
    to_ns: int | None,
    alerts: str | None,
    report: str | None,
    store: str | None,
    quarantine: str | None,
    unreached: str | None,
    config_file: Path | None,
    block_rows: int | None,
    stop_after_rows: int | None,
) -> int:
    """Run history through detectors and rules; print how every row ended.

    Alerts are the same, byte for byte, whatever the block size and however often the replay was
    interrupted (give --store to be able to go on).
    """
    _check_span(from_ns, to_ns)
    _check_outputs(
        {"--readings": readings, "--events": events, "--meters": (meters,)}
        | {"--subjects": (subjects,), "--places": (places,), "--workers": (workers,)},
        {"--alerts": alerts, "--report": report, "--quarantine": quarantine}
        | {"--unreached": unreached},
    )
    from connectors.progress import Progress
    from engine.config import load
    from engine.language import say
    from engine.library import BudgetError
    from engine.replay import Replay, ReplayOptions

    options = ReplayOptions(
        readings=readings,
        events=events,
        meters=meters,
        subjects=subjects,
        places=places,
        workers=workers,
        rules=rules,
        budgets=budget,
        from_ns=from_ns,
        to_ns=to_ns,
        alerts=alerts,
        report=report,
        store=store,
        quarantine=quarantine,
        block_rows=block_rows,
        stop_after_rows=stop_after_rows,
    )
    config = load(config_file)
    try:
        run = Replay(options, config)
    except BudgetError as error:
        raise click.UsageError(str(error)) from None
    with Progress(say("replay"), run.share) as progress:
        run.on_progress = progress.update
        result = run.run()
    for warning in run.warnings:
        click.echo(f"gridwarden: {warning}", err=True)
    print_summary(result, stdout_taken="-" in (alerts, quarantine))
    _say_deaf(result, asked=rules is not None)
    _say_where(quarantine, result)
    if report:
        from engine.reporting import write_replay_report
        from engine.sinks import writing

        with writing(report):
            write_replay_report(report, run, result)
    if unreached:
        _tell_unreached(unreached, run)
    if result.problems:
        for problem in result.problems:
            click.echo(f"gridwarden: {problem}", err=True)
        return 3
    return 0 if result.finished or stop_after_rows is not None else 130


def _check_span(from_ns: int | None, to_ns: int | None) -> None:
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise click.UsageError("--from must lie before --to: nothing lies between them")


def _check_outputs(
    inputs: Mapping[str, Sequence[str | None]], outputs: Mapping[str, str | None]
) -> None:
    """Refuse an output that would overwrite an input, or another output."""
    taken = {
        _real(name): option for option, names in inputs.items() for name in names if name != "-"
    }
    taken.pop(None, None)
    for option, name in outputs.items():
        place = _real(name)
        if place is None:
            continue
        if place in taken:
            raise click.UsageError(f"{option} {name} is {taken[place]}, too; give it another name")
        taken[place] = option


def _real(name: str | None) -> str | None:
    """Return what tells files apart, whatever way they are named; two ``-`` are one stdout."""
    return name if name is None or name == "-" else os.path.realpath(name)


def _say_where(quarantine: str | None, result: ReplayResult) -> None:
    """Say where refused rows went, or how to have them."""
    refused = sum(c.by_status["quarantined"] for c in result.counts.values())
    if not refused or quarantine == "-":
        return
    from engine.language import say

    if quarantine is None:
        click.echo(say("quarantine_how", rows=refused), err=True)
    else:
        click.echo(say("quarantine_where", rows=refused, path=quarantine), err=True)


def _tell_unreached(path: str, run: Replay) -> None:
    """Write whose silences no alert would tell of at the end, and say how many they are."""
    from engine.language import say
    from engine.reach import unreached, write_unreached
    from engine.sinks import writing

    found = [home for shard in run.host.shards for home in unreached(shard)]
    with writing(path):
        write_unreached(path, found)
    click.echo(say("unreached", homes=len(found), path=path), err=True)


def _say_deaf(result: ReplayResult, *, asked: bool) -> None:
    """Say which rules hear nobody, and why: no alerts of theirs is no good news."""
    from engine.deaf import deaf
    from engine.language import pick

    if result.rules is None or result.registry is None:
        return
    for line in deaf(result.rules, result.registry, asked=asked):
        click.echo(pick("听不到：", "hears nobody: ") + line, err=True)


def names_seen(result: ReplayResult) -> set[str]:
    """Return the file names of the sources; fewer than sources where two share one."""
    return {Path(source).name for source in result.counts}


def print_summary(result: ReplayResult, *, stdout_taken: bool, hint: bool = True) -> None:
    """Print counts, budgets and how long it took; `hint`: also how to go on when it was stopped."""
    from rich.console import Console
    from rich.table import Table

    from engine.language import say

    console = Console(stderr=stdout_taken, width=None if sys.stdout.isatty() else 110)
    table = Table(title=say("rows"), title_justify="left")
    table.add_column(say("source"), overflow="fold")
    names = ["processed", "duplicate", "late", "quarantined"]
    for name in ["total", *names, "sum"]:
        table.add_column(say(name), justify="right")
    for source, counts in result.counts.items():
        cells = [f"{counts.by_status[n]:,}" for n in names]
        ok = "✓" if counts.reconciled else "✗"
        table.add_row(
            Path(source).name if len(names_seen(result)) == len(result.counts) else source,
            f"{counts.rows:,}",
            *cells,
            ok,
        )
    console.print(table)
    for source, counts in result.counts.items():
        if counts.by_reason:
            reasons = ", ".join(f"{k} {v:,}" for k, v in sorted(counts.by_reason.items()))
            console.print(f"{say('quarantined')} ({source}): {reasons}", highlight=False)
    rules = Table(title=say("alerts"), title_justify="left")
    for name in ["rule", "alerts", "asked", "realised"]:
        rules.add_column(say(name), justify="left" if name == "rule" else "right")
    for rule in result.rules or ():
        use = result.budgets.get(rule.name)
        asked = "—" if use is None else f"{use.asked:g}"
        real = "—" if use is None or use.realised is None else f"{use.realised:.2f}"
        rules.add_row(rule.name, f"{result.by_rule.get(rule.name, 0):,}", asked, real)
    console.print(rules)
    if any(use.spent > result.by_rule.get(name, 0) for name, use in result.budgets.items()):
        console.print(say("realised_counts"), highlight=False)
    total = sum(c.rows for c in result.counts.values())
    rate = total / result.seconds if result.seconds else 0.0
    if hint or result.finished:  # a demo that people watched was as fast as they
        console.print(say("done", rows=total, seconds=result.seconds, rate=rate), highlight=False)
    if result.resumed_at is not None:
        console.print(say("resumed", rows=result.resumed_at), highlight=False)
    if hint and not result.finished:
        console.print(say("stopped"), highlight=False)
