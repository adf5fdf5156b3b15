"""`gridwarden tune`."""

from __future__ import annotations

import json
from pathlib import Path

import click


def _ranges(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """Parse NAME=LOW:HIGH options."""
    found = {}
    for text in given:
        name, _, span = text.partition("=")
        low, _, high = span.partition(":")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            raise click.BadParameter(
                f"{text!r}; wanted NAME=LOW:HIGH, such as own_d=7:56"
            ) from None
    return found


@click.command()
@click.argument("rule")
@click.option("--readings", required=True, multiple=True, metavar="F", help="Readings. Repeatable.")
@click.option("--events", multiple=True, metavar="F", help="Events. Repeatable.")
@click.option("--meters", required=True, metavar="M", help="Meters table.")
@click.option("--subjects", required=True, metavar="S", help="Subjects table.")
@click.option(
    "--rules", type=click.Path(path_type=Path, exists=True), metavar="DIR",
    help="Rules; default: the shipped library. Only read.",
)  # fmt: skip
@click.option("--param", "params", multiple=True, metavar="NAME=LOW:HIGH", callback=_ranges,
              help="Where to search; default: every parameter, ¼ to 4 times what it is.")  # fmt: skip
@click.option("--budget", "budgets", multiple=True, type=click.FloatRange(min=0, min_open=True),
              help="False alerts a subject-year to measure at; default: the rule's. Repeatable.")  # fmt: skip
@click.option("--target-h", type=click.FloatRange(min=0, min_open=True),
              help="Propose the smallest --budget whose median is within so many hours.")  # fmt: skip
@click.option("--plant", metavar="KIND[:AMOUNT]",
              help="What to plant and find: silence, stuck, times, drop, night, turned.")  # fmt: skip
@click.option("--labels", type=click.Path(path_type=Path, exists=True), metavar="F",
              help="What truly happened (subject_id, from, until, outcome) instead of planting.")  # fmt: skip
@click.option("--label", "label", multiple=True, default=("confirmed",), show_default=True,
              help="Outcomes (or kinds) in --labels that count. Repeatable.")  # fmt: skip
@click.option("--trials", default=40, show_default=True, type=click.IntRange(1))
@click.option("--cases", default=10, show_default=True, type=click.IntRange(1),
              help="Planted changes a subject.")  # fmt: skip
@click.option("--blocks", default=6, show_default=True, type=click.IntRange(3),
              help="Blocks of time.")  # fmt: skip
@click.option("--most-subjects", default=400, show_default=True, type=click.IntRange(4))
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--study", metavar="FILE", help="SQLite file of trials; an interrupted search goes on."
)
@click.option("--proposal", metavar="DIR", type=click.Path(path_type=Path),
              help="New folder for the rules with this one changed, if it improves.")  # fmt: skip
@click.option("--report", metavar="OUT", help="One self-contained HTML page.")
@click.option("--json", "json_out", metavar="OUT", help="Figures as JSON.")
@click.option("--config", "config_file", type=click.Path(path_type=Path, exists=True))
def tune(
    rule: str,
    readings: tuple[str, ...],
    events: tuple[str, ...],
    meters: str,
    subjects: str,
    rules: Path | None,
    params: dict[str, tuple[float, float]],
    budgets: tuple[float, ...],
    target_h: float | None,
    plant: str | None,
    labels: Path | None,
    label: tuple[str, ...],
    trials: int,
    cases: int,
    blocks: int,
    most_subjects: int,
    seed: int,
    study: str | None,
    proposal: Path | None,
    report: str | None,
    json_out: str | None,
    config_file: Path | None,
) -> int:
    """Search the parameters of RULE's detector on history.

    Half of the subjects and the early part of time are searched; the other half's later months,
    which the search never saw, say whether anything was gained. Rules in force are not touched.
    """
    from rich.console import Console
    from rich.progress import Progress

    from engine.config import load
    from engine.replay import ReplayOptions
    from engine.tuning.report import text, write_html
    from engine.tuning.run import TuneOptions, run

    options = TuneOptions(
        rule, budgets, params, plant, labels, label, trials, cases, blocks, seed, most_subjects,
        target_h, study,
    )  # fmt: skip
    inputs = ReplayOptions(
        readings=readings, events=events, meters=meters, subjects=subjects, rules=rules
    )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("recording", total=None)
        done_rows = 0

        def on_rows(rows: int, _clock_ns: int | None) -> None:
            nonlocal done_rows
            done_rows += rows
            bar.update(task, description=f"recording, {done_rows:,} rows")

        def on_trial(done: int, total: int, least: float) -> None:
            bar.update(task, completed=done, total=total, description=f"best {least:.2f} h")

        tuned = run(options, inputs, load(config_file), on_rows=on_rows, on_trial=on_trial)
    click.echo(text(tuned))
    if report:
        write_html(report, tuned)
    if json_out:
        figures = {
            "rule": tuned.rule, "detector": tuned.detector, "verdict": tuned.verdict,
            "changed": tuned.changed, "budget": tuned.budget, "gain_h": tuned.found.gain_h,
            "interval_h": tuned.found.interval_h, "plan": dict(tuned.plan), "quarters": tuned.rows(),
        }  # fmt: skip
        Path(json_out).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if proposal is not None and tuned.worth_proposing:
        file = tuned.propose(proposal)
        click.echo(f"\nproposed: {file}")
        old = rules or "rules/library"
        click.echo(f"rehearse: gridwarden rules dry-run --against {old} --new {proposal} …")
        click.echo(f"propose:  gridwarden rules propose {proposal} --author YOU")
    elif proposal is not None:
        click.echo("\nnothing proposed: --proposal was not written")
    return 0
