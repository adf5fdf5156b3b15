"""`gridwarden rules …`: check, test, rehearse, approve, explain."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.approval import approve, propose, rollback, silence, versions
from engine.cli.dryrun import dry_run
from engine.cli.lang import LANG

if TYPE_CHECKING:
    from engine.ruletest import Runner
    from rules.cases import Case
    from rules.lint import Population
    from rules.model import Rule
    from rules.problems import Problem


@click.group()
def rules() -> None:
    """Write, test, rehearse and approve rules, and explain what they decided."""


@rules.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--today", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="For calendars; default: now."
)
@click.option(
    "--subjects", type=click.Path(exists=True), metavar="FILE",
    help="Also warn of rules that select none of these.",
)  # fmt: skip
@click.option(
    "--workers", type=click.Path(exists=True), metavar="FILE",
    help="Also warn of queues and steps that none of these answers for.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings, too.")
@LANG
def check(
    paths: tuple[Path, ...], config_file: Path | None, today: dt.datetime | None, subjects: str | None,
    workers: str | None, strict: bool,
) -> int:  # fmt: skip
    """Check the rule files of PATHS (default: those of the configuration, else the shipped library).

    Prints every problem of every file as file:line:column; exit code 1 if there are any. What is
    legal but suspicious is a warning: rules that can never fire, that others cover, without a
    route, and years at hand without a calendar of public holidays.
    """
    from engine import library
    from engine.config import load as load_config
    from engine.language import calendar_unknown, say
    from rules.loader import load
    from rules.problems import RuleErrors

    config = load_config(config_file)
    files: dict[str, str] = {}
    for path in paths or (config.rules.path,):
        files |= library.rule_files(path)
    try:
        found = load(files, None, _population(subjects, workers))
        calendars = library.calendars(config.calendars)
    except RuleErrors as errors:
        _tell(errors.problems)
        return 1
    _tell(found.suspicious)
    warned = len(found.suspicious)
    day = (today or dt.datetime.now(dt.UTC)).date()
    if missing := library.missing_years(calendars, config.calendar, day):
        click.echo(say("warning", text=calendar_unknown(config.calendar, missing)))
        warned += 1
    sums = {"rules": len(found), "files": len(files), "version": found.version}
    if warned:
        click.echo(say("rules_warned", warnings=warned, **sums))
        return int(strict)
    click.echo(say("rules_ok", **sums))
    return 0


def _tell(problems: Iterable[Problem]) -> None:
    """Print problems of rule files in the language to speak."""
    from engine.language import language
    from rules.problems_zh import told

    for problem in problems:
        click.echo(told(problem) if language() == "zh" else str(problem))


def _population(subjects: str | None, workers: str | None) -> Population:
    """Return whom there is to watch and to send, by the files that say so."""
    from connectors.tables import read_subjects
    from engine.opening import workers_of
    from rules.lint import Population

    found = None
    if subjects is not None:
        table = read_subjects(subjects)
        distinct = sorted(
            set(
                zip(
                    table.kind.tolist(),
                    table.attrs.code.tolist(),
                    table.place.to_pylist(),
                    strict=True,
                )
            )
        )
        found = [(table.kinds[k], table.attrs.distinct[c], place) for k, c, place in distinct]
    roles = None if workers is None else frozenset(w.role for w in workers_of(workers))
    return Population(found, roles)


@rules.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--rules",
    "rules_path",
    type=click.Path(exists=True, path_type=Path),
    metavar="DIR",
    help="Rules under test; default: those beside the tests, else the shipped library.",
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="OUT", help="Results as JUnit.")
@click.option("--only", metavar="TEXT", help="Only tests whose rule or name contains TEXT.")
@click.option(
    "--mutate", is_flag=True, help="Also break each rule on purpose: its tests must notice."
)
@LANG
def test(
    files: tuple[Path, ...], rules_path: Path | None, junit: Path | None, only: str | None,
    mutate: bool,
) -> int:  # fmt: skip
    """Run the tests in FILES (YAML; folders stand for their files; default: the library's).

    A test gives readings (0.3x48 0x20 _x3), events and outcomes, which run through the whole
    engine, or signals, which run through the rule alone; and the alerts that are expected: level,
    time, words of the sentence. Exit code 1 if any fails.
    """
    from engine import library
    from engine.language import language, say
    from engine.ruletest import Runner, case_files, rules_beside
    from engine.sinks import writing
    from rules import casecheck
    from rules.loader import load
    from rules.problems import RuleErrors
    from rules.unittest import compare, junit_xml, parse, report

    try:
        path = rules_path or rules_beside(files)
        texts = library.rule_files(path)
        found = load(texts)
        cases = parse(case_files(files))
        casecheck.check(cases, found)
    except RuleErrors as errors:
        _tell(errors.problems)
        return 1
    if only is not None:
        cases = [c for c in cases if only in c.name or any(only in rule for rule in c.rules)]
    runner = Runner(found)
    results = []
    with click.progressbar(
        cases, label=say("rule_tests"), file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as shown:
        for case in shown:
            began = time.perf_counter()
            result = compare(case, runner.run(case))
            results.append(result._replace(seconds=time.perf_counter() - began))
    click.echo(report(results, language()))
    if junit is not None:
        with writing(str(junit)):
            junit.write_text(junit_xml(results), encoding="utf-8")
    failed = any(not result.passed for result in results)
    if mutate and not failed:
        failed = _mutate(runner, cases, texts)
    return int(failed)


def _mutate(runner: Runner, cases: Sequence[Case], texts: Mapping[str, str]) -> bool:
    """Say which ways of breaking the rules no test notices; return whether there are any."""
    from engine.language import pick
    from engine.ruletest import Runner
    from rules.model import rule_set
    from rules.mutants import mutants, part_line, survivors
    from rules.unittest import compare

    def passes(case: Case, broken: Rule) -> bool:
        others = [rule for rule in runner.rules if rule.name != broken.name]
        changed = Runner(rule_set([broken, *others]), runner.config)
        return compare(case, changed.run(case)).passed

    tried, left = 0, 0
    for rule in runner.rules:
        mine = [case for case in cases if rule.name in case.rules]
        for how in survivors(rule, mine, passes) if mine else []:
            left += 1
            line = part_line(texts.get(rule.file, ""), rule.line, how.key)
            zh = f"{rule.file}:{line}: 规则“{rule.name}”：{how.zh}；没有测试发现"
            en = f'{rule.file}:{line}: rule "{rule.name}": {how.en}; no test notices'
            click.echo(pick(zh, en))
        tried += len(list(mutants(rule))) if mine else 0
    noticed = tried - left
    click.echo(
        pick(
            f"改坏 {tried} 次，测试发现 {noticed} 次，未发现 {left} 次",
            f"{tried} broken rules, {noticed} noticed, {left} not",
        )
    )
    return left > 0


for command in (dry_run, propose, approve, rollback, versions, silence):
    rules.add_command(command)


@rules.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("docs/rules"), show_default=True
)
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit code 1 if stale.")
def docs(path: Path | None, out: Path, only_check: bool) -> int:
    """Write a page per rule of PATH (default: the shipped library), in Chinese and English."""
    from engine import library
    from engine.sinks import writing
    from rules.docs import pages

    made = pages(library.rules(path))
    there = {
        str(file.relative_to(out)): file.read_text(encoding="utf-8")
        for file in sorted(out.rglob("*.md"))
    }
    if only_check:
        stale = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
        for name in stale:
            click.echo(f"{out / name}: stale; run `gridwarden rules docs`")
        return int(bool(stale))
    for name in sorted({*there} - {*made}):
        (out / name).unlink()
    for name, text in made.items():
        with writing(str(out / name)):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
    click.echo(f"{len(made)} pages in {out}")
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
@click.option(
    "--verify", is_flag=True, help="Recompute it from its inputs; exit code 1 if it differs."
)
@LANG
def explain(alert_id: str, store: str, verify: bool) -> int:
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
    return _verified(store, alert_id) if verify else 0


def _verified(store: str, alert_id: str) -> int:
    """Say whether an alert is what its inputs make of it."""
    from engine.audit import AuditError
    from engine.language import pick
    from engine.verify import verify

    try:
        found = verify(store, alert_id)
    except AuditError as error:
        click.echo(f"gridwarden: {error}", err=True)
        return 3
    assert found is not None
    click.echo("\n" + pick("重算", "recomputed"))
    for check in found.checks:
        word = pick("一致", "same") if check.same else pick("不同", "DIFFERS")
        values = check.kept if check.same else f"{check.kept} → {check.now}"
        click.echo(f"  {word}  {pick(check.zh, check.en)}  {values}")
    return 0 if found.ok else 1
