"""`gridwarden rules check | schema | explain`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def rules() -> None:
    """Check rules, and explain what they decided."""


@rules.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
def check(path: Path | None) -> int:
    """Check the rule files of PATH (default: the shipped library).

    Prints every problem of every file as file:line:column; exit code 1 if there are any.
    """
    from engine import library
    from engine.language import say
    from rules.loader import load
    from rules.problems import RuleErrors

    files = library.rule_files(path)
    try:
        found = load(files)
    except RuleErrors as errors:
        click.echo(str(errors))
        return 1
    for warning in found.warnings:
        click.echo(warning)
    click.echo(say("rules_ok", rules=len(found), files=len(files), version=found.version))
    return 0


@rules.command()
def schema() -> None:
    """Print the JSON Schema of rule files, for editors."""
    import json

    from rules.schema import schema as make

    click.echo(json.dumps(make(), indent=2, ensure_ascii=False))


@rules.command()
@click.argument("alert_id", metavar="ALERT")
@click.option(
    "--store",
    envvar="GRIDWARDEN_STORE",
    default="sqlite:///gridwarden.db",
    show_default=True,
    metavar="URL",
    help="Where the alert was recorded; also GRIDWARDEN_STORE.",
)
def explain(alert_id: str, store: str) -> int:
    """Say which clause said what of ALERT, with numbers, and where it came from.

    The beginning of an id is enough where it is unambiguous; tasks show names the alerts of each.
    """
    from engine.explain import explain as make

    text = make(store, alert_id)
    if text is None:
        click.echo(
            f"gridwarden: {store} has no alert (or several) whose id begins with {alert_id!r}; "
            "the alerts file and `gridwarden tasks list --json` name ids",
            err=True,
        )
        return 3
    click.echo(text)
    return 0
