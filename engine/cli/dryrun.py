"""`gridwarden rules dry-run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.replay import budgets, moment

if TYPE_CHECKING:
    from engine.config import Config
    from engine.dryrun import Draft, DryRun


@click.command("dry-run")
@click.option(
    "--against",
    metavar="OLD",
    help="Rules now: folder, file, version in --store; default: shipped.",
)
@click.option(
    "--new", "draft", metavar="NEW", help="The draft: folder, file, version; default: as OLD."
)
@click.option("--readings", required=True, multiple=True, metavar="F", help="Readings. Repeatable.")
@click.option("--events", multiple=True, metavar="F", help="Events. Repeatable.")
@click.option("--meters", required=True, metavar="M", help="Meters table.")
@click.option("--subjects", required=True, metavar="S", help="Subjects table.")
@click.option("--places", metavar="P", help="Names of places.")
@click.option("--workers", metavar="W", help="Gridworkers; without them visits are told by grid.")
@click.option(
    "--budget", multiple=True, metavar="RULE=N", callback=budgets, help="Budget of the draft."
)
@click.option(
    "--old-budget", multiple=True, metavar="RULE=N", callback=budgets, help="Budget of OLD."
)
@click.option(
    "--from", "from_ns", metavar="T", callback=moment, help="Compare alerts raised from T on."
)
@click.option("--to", "to_ns", metavar="T", callback=moment, help="Compare alerts raised before T.")
@click.option("--store", metavar="URL", help="Where outcomes and versions of rules are kept.")
@click.option("--json", "json_out", metavar="OUT", help="Everything as JSON; - is stdout.")
@click.option("--html", "html_out", metavar="OUT", help="One self-contained page.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file."
)
def dry_run(
    against: str | None, draft: str | None, readings: tuple[str, ...], events: tuple[str, ...],
    meters: str, subjects: str, places: str | None, workers: str | None, budget: dict[str, float],
    old_budget: dict[str, float], from_ns: int | None, to_ns: int | None, store: str | None,
    json_out: str | None, html_out: str | None, config_file: Path | None,
) -> int:  # fmt: skip
    """Rehearse a change of rules on history: alerts gained, lost, earlier, later; extra visits.

    Both sets of rules run over the same data in one pass, each exactly as a replay would.
    """
    from connectors.progress import Progress
    from engine.config import load
    from engine.dryrun import DryRunner, verdicts
    from engine.dryrun_page import as_json, as_text
    from engine.language import calendar_unknown, say
    from engine.library import BudgetError
    from engine.replay import ReplayOptions
    from engine.sinks import writing
    from engine.store import Store

    config = load(config_file)
    options = ReplayOptions(
        readings=readings, events=events, meters=meters, subjects=subjects, places=places,
        workers=workers, from_ns=from_ns, to_ns=to_ns,
    )  # fmt: skip
    known: dict[str, str] = {}
    if store is not None:
        with Store.open(store, create=False) as opened:
            known = verdicts(opened)
    try:
        old = side(against, old_budget, store, config)
        new = side(draft if draft is not None else against, budget or old_budget, store, config)
    except BudgetError as error:
        raise click.UsageError(str(error)) from None
    runner = DryRunner(options, old, new, config, known)
    with Progress(say("dry_run"), runner.share) as progress:
        runner.on_progress = progress.update
        result = runner.run()
    if json_out != "-":
        click.echo(as_text(result), nl=False)
    if json_out is not None:
        text = json.dumps(as_json(result), indent=1, ensure_ascii=False) + "\n"
        if json_out == "-":
            click.echo(text, nl=False)
        else:
            with writing(json_out):
                Path(json_out).write_text(text, encoding="utf-8")
    if html_out is not None:
        with writing(html_out):
            Path(html_out).write_text(_page(result, readings, places, config), encoding="utf-8")
    if result.unknown_years:
        notice = calendar_unknown(config.calendar, result.unknown_years)
        click.echo(f"gridwarden: {notice}", err=True)
    for problem in result.problems:
        click.echo(f"gridwarden: {problem}", err=True)
    return 3 if result.problems else 0


def side(name: str | None, budgets: dict[str, float], store: str | None, config: Config) -> Draft:
    """Return the rules that a folder, a file or a version of a store names."""
    from engine import library
    from engine.dryrun import Draft
    from engine.store import Store
    from rules.loader import load

    path = config.rules.path if name is None else Path(name)
    if path is not None and not path.exists() and store is not None:
        with Store.open(store, create=False) as opened:
            kept = opened.versions.list(str(name))
        if kept:
            found = library.with_budgets(load(kept[0].rules), {**kept[0].budgets, **budgets})
            return Draft(str(name), found, kept[0].rules)
    files = library.rule_files(path)
    given = {**config.rules.budgets, **budgets}
    rules = library.with_budgets(load(files), given)
    return Draft("rules/library" if path is None else str(path), rules, files)


def _page(result: DryRun, readings: tuple[str, ...], places: str | None, config: Config) -> str:
    from engine.dryrun_page import CURVES, render
    from engine.inputs import place_names
    from engine.reporting import curves_of

    firsts = [pair.either.first for _, pair in result.comparison.changed][:CURVES]
    rules = [*result.old.draft.rules, *result.new.draft.rules]
    curves = {} if "-" in readings else curves_of(firsts, readings, result.registry, rules)
    return render(result, curves, place_names(places), config.language)
