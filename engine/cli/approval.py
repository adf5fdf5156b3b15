"""`gridwarden rules propose | approve | rollback | versions | silence`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.replay import budgets, moment

if TYPE_CHECKING:
    from engine.store import Store
    from rules.model import RuleSet

STORE = click.option(
    "--store", envvar="GRIDWARDEN_STORE", default="sqlite:///gridwarden.db", show_default=True,
    metavar="URL", help="Where versions are kept; also GRIDWARDEN_STORE.",
)  # fmt: skip


def _now_ns() -> int:
    return time.time_ns()


def _open(store: str) -> Store:
    from engine.store import Store

    return Store.open(store)


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--author", required=True, metavar="WHO", help="Who proposes it.")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@click.option(
    "--budget", multiple=True, metavar="RULE=N", callback=budgets, help="Budgets that differ."
)
@click.option("--dry-run", "dry_run", type=click.Path(exists=True, path_type=Path), metavar="JSON",
              help="Its rehearsal: `rules dry-run --new PATH --json JSON`.")  # fmt: skip
@STORE
def propose(
    path: Path, author: str, note: str, budget: dict[str, float], dry_run: Path | None, store: str
) -> int:
    """Propose the rules in PATH (a folder): their tests are run, the dry run is attached.

    Tests lie in PATH/tests. Exit code 1 if rules or tests are not good; nothing is kept then.
    """
    import json

    from engine import library
    from engine.ruletest import Runner, case_files, told
    from rules import casecheck
    from rules.loader import load
    from rules.problems import RuleErrors
    from rules.unittest import compare, parse, report

    files = library.rule_files(path)
    try:
        found = library.with_budgets(load(files), budget)
        cases = parse(case_files((path,))) if (path / "tests").is_dir() else []
        casecheck.check(cases, found)
    except RuleErrors as errors:
        click.echo(str(errors))
        return 1
    runner = Runner(found)
    results = [compare(case, runner.run(case)) for case in cases]
    click.echo(report(results))
    if any(not result.passed for result in results):
        return 1
    tests = told(cases, results, found)
    rehearsed = (
        None if dry_run is None else _rehearsal(json.loads(dry_run.read_text("utf-8")), found)
    )
    with _open(store) as opened:
        opened.versions.propose(
            found.version, files, author=author, at_ns=_now_ns(), budgets=budget, note=note,
            tests=tests, dry_run=rehearsed,
        )  # fmt: skip
        left = _leaving(opened, files)
    if not cases:
        click.echo(
            f"warning: NO TESTS: {path / 'tests'} holds none, nothing shows what these rules do",
            err=True,
        )
    else:
        for name in tests["untested"]:
            click.echo(f'warning: rule "{name}" has no test', err=True)
    if left:
        click.echo(left, err=True)
    click.echo(f"{found.version}  proposed by {author}; a second person approves it:")
    click.echo(f"gridwarden rules approve {found.version} --by WHO --store {store}")
    return 0


def _leaving(store: Store, files: Mapping[str, str]) -> str:
    """Return a warning of the rules in force that these files lack; nothing if they lack none."""
    from engine.config import load as load_config
    from engine.library import LibraryError
    from engine.proposal import files_in_force, leaving

    active = store.versions.active
    try:
        begins_with = None if active else load_config(None).rules.path
        gone = leaving(files_in_force(active, begins_with), files)
    except LibraryError:
        return ""
    if not gone:
        return ""
    whose = f"in force ({active.version})" if active else "that a site starts with"
    rules = "1 rule leaves" if len(gone) == 1 else f"{len(gone)} rules leave"
    return (
        f"warning: {rules}: {', '.join(gone)}. A version replaces all rules {whose}; "
        "to keep them, put their files into the folder, too"
    )


def _rehearsal(told: dict[str, Any], found: RuleSet) -> dict[str, Any]:
    """Return a dry run without its long lists, if it is of these rules."""
    if told.get("new", {}).get("version") != found.version:
        raise click.UsageError(
            f"--dry-run: is of version {told.get('new', {}).get('version')}, these rules are "
            f"{found.version}; rehearse what you propose"
        )
    return {k: v for k, v in told.items() if k != "changes"} | {
        "changes": told.get("changes", [])[:1_000]
    }


@click.command()
@click.argument("version")
@click.option("--by", required=True, metavar="WHO", help="Who approves: never its author.")
@click.option(
    "--at", "from_ns", metavar="T", callback=moment, help="In force from then on; default: now."
)
@click.option("--unrehearsed", is_flag=True, help="Approve without a dry run.")
@STORE
def approve(version: str, by: str, from_ns: int | None, unrehearsed: bool, store: str) -> int:
    """Approve VERSION: what runs (`run`, or a city) puts it in force at event time T.

    The beginning of a version is enough where only one begins so.
    """
    now = _now_ns()
    with _open(store) as opened:
        done = opened.versions.approve(
            version, by=by, at_ns=now, from_ns=from_ns or now, unrehearsed=unrehearsed
        )
        left = _leaving(opened, done.rules)
    if done.tests is not None and not done.tests.get("tests"):
        click.echo("warning: NO TESTS came with them", err=True)
    if left:
        click.echo(left, err=True)
    click.echo(
        f"{done.version}  approved by {by}; in force from {_time(done.from_ns)} when `run`, "
        "or a city, takes it up"
    )
    return 0


@click.command()
@click.option("--to", metavar="VERSION", help="Default: the version in force before.")
@click.option("--by", required=True, metavar="WHO")
@click.option("--why", default="", metavar="TEXT")
@STORE
def rollback(to: str | None, by: str, why: str, store: str) -> int:
    """Bring back rules that were in force before, from now on.

    The beginning of a version is enough where only one begins so.
    """
    with _open(store) as opened:
        done = opened.versions.rollback(by=by, at_ns=_now_ns(), to=to, why=why)
    click.echo(
        f"{done.version}  brought back by {by}; in force again when `run`, or a city, takes it up"
    )
    return 0


@click.command()
@click.argument("version", required=False)
@STORE
def versions(version: str | None, store: str) -> int:
    """List versions of the rules; of VERSION also what was decided, by whom and when."""
    with _open(store) as opened:
        found = opened.versions.list(version)
        for one in found:
            tests = (
                "no tests" if one.tests is None else f"{one.tests.get('passed', 0)} tests passed"
            )
            dry = "no dry run" if one.dry_run is None else "dry run"
            click.echo(
                f"{one.version}  {one.status:<8}  {_time(one.from_ns or one.at_ns)}  {one.people}  "
                f"({tests}, {dry})  {one.note}"
            )
        if version is not None and len(found) == 1:
            for line in reversed(opened.books.audit_log(found[0].version)):
                click.echo(f"  {_time(line.at_ns)}  {line.action}  {line.who}  {dict(line.detail)}")
    return 0 if found or version is None else 3


def _time(ns: int | None) -> str:
    from rules.alerts import stamp

    return "—" if ns is None else stamp(ns // 1_000_000_000 * 1_000_000_000)


@click.group()
def silence() -> None:
    """Keep alerts from sending people for a while; they are recorded all the same."""


@silence.command()
@click.option("--rule", metavar="RULE", help="Only this rule's alerts.")
@click.option("--subject", metavar="ID", help="Only this subject's.")
@click.option("--place", metavar="CODE", help="Only in this place.")
@click.option("--from", "from_ns", metavar="T", callback=moment, help="Default: now.")
@click.option(
    "--until", "until_ns", required=True, metavar="T", callback=moment, help="It always ends."
)
@click.option("--author", required=True, metavar="WHO")
@click.option("--reason", required=True, metavar="TEXT")
@STORE
def add(
    rule: str | None, subject: str | None, place: str | None, from_ns: int | None, until_ns: int,
    author: str, reason: str, store: str,
) -> int:  # fmt: skip
    """Silence alerts of a rule, a subject or a place until T."""
    now = _now_ns()
    with _open(store) as opened:
        made = opened.silences.add(
            from_ns=from_ns or now, until_ns=until_ns, author=author, reason=reason, at_ns=now,
            rule=rule, subject_id=subject, place=place,
        )  # fmt: skip
    click.echo(made.silence_id)
    return 0


@silence.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@STORE
def list_(everything: bool, store: str) -> int:
    """List silences: what, until when, by whom, why."""
    with _open(store) as opened:
        for row in opened.silences.list(None if everything else _now_ns()):
            one = row.silence
            what = " ".join([*one.rules, one.subject_id or "", one.place or ""]).strip()
            click.echo(
                f"{one.silence_id}  {what}  {_time(one.from_ns)} … {_time(row.end_ns)}  "
                f"{one.author}: {one.reason}"
            )
    return 0


@silence.command()
@click.argument("silence_id")
@click.option("--by", required=True, metavar="WHO")
@STORE
def end(silence_id: str, by: str, store: str) -> int:
    """End a silence early; whoever it kept at home for is sent now."""
    with _open(store) as opened:
        row = opened.silences.end(silence_id, by=by, at_ns=_now_ns())
    click.echo(f"{silence_id}  ends {_time(row.end_ns)}")
    return 0
