"""Rules in force, and versions of them: proposed, approved, active, retired."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy import func, select

from engine import library
from engine.console.boards import DiffLine, DryRun, RuleInfo, RuleVersionDetail, RuleVersionInfo
from engine.console.context import Console
from engine.console.errors import ApiError, not_found
from engine.console.requests import Proposal, Reason
from engine.console.routes.params import Id
from engine.console.schemas import FieldError, Text
from engine.console.security import Allow, Here, Who
from engine.proposal import files_in_force, leaving
from engine.ruletest import rehearse
from engine.store import StoreError
from engine.store import schema as t
from engine.store.versions import RuleVersion
from rules.alerts import stamp
from rules.loader import load

router = APIRouter(tags=["rules"])
Reader = Annotated[Who, Depends(Allow("data", "auditor"))]
Author = Annotated[Who, Depends(Allow("data"))]
_MOST_DIFF = 5_000


@router.get("/rules", operation_id="rules")
def rules(
    console: Here,
    _: Annotated[Who, Depends(Allow("command", "dispatcher", "data", "auditor"))],
) -> list[RuleInfo]:
    """List the rules in force."""
    by_name = {k.rpartition("/")[2]: v for k, v in _files_in_force(console).items()}
    a = t.alerts.c
    query = select(a.rule, func.count()).where(a.state == "firing").group_by(a.rule)
    with console.store.database.read() as connection:
        firing = {rule: int(n) for rule, n in connection.execute(query)}
    return [
        RuleInfo(
            rule=rule.name,
            title=console.title(rule.name),
            description=(
                Text(zh=rule.description.zh, en=rule.description.en) if rule.description else None
            ),
            version=rule.version,
            level=str(rule.level),
            kinds=list(rule.subjects.kinds),
            grain=rule.subjects.grain,
            budget=rule.budget.false_alerts_per_subject_year if rule.budget else None,
            scope=rule.budget.scope if rule.budget else None,
            shadow=rule.shadow,
            yaml=by_name.get(rule.file.rpartition("/")[2]),
            file=rule.file.rpartition("/")[2],
            open=firing.get(rule.name, 0),
        )
        for rule in console.rules or ()
    ]


def _files_in_force(console: Console) -> dict[str, str]:
    return files_in_force(console.store.versions.active, console.config.rules.path)


def _info(console: Console, row: RuleVersion, who: Who) -> dict[str, Any]:
    tests = row.tests or {}
    return {
        "version": row.version,
        "author": row.author,
        "approver": row.approver,
        "status": row.status,
        "at": stamp(row.at_ns),
        "note": row.note,
        "files": sorted(row.rules),
        "mine": row.author == who.account.name,
        "has_report": row.dry_run is not None,
        "rehearsal": console.rehearsals.state(row.version),
        "from_": None if row.from_ns is None else stamp(row.from_ns),
        "tests_passed": tests.get("passed"),
        "tests_failed": tests.get("failed"),
    }


@router.get("/rules/versions", operation_id="rule_versions")
def rule_versions(console: Here, who: Reader) -> list[RuleVersionInfo]:
    """List the versions of the rules, the newest first."""
    return [RuleVersionInfo(**_info(console, r, who)) for r in console.store.versions.list()]


def _version(console: Console, version: str) -> RuleVersion:
    found = [r for r in console.store.versions.list(version) if r.version == version]
    if not found:
        raise not_found(f"rules {version!r}")
    return found[0]


@router.get("/rules/versions/{version}", operation_id="rule_version")
def rule_version(console: Here, who: Reader, version: Id) -> RuleVersionDetail:
    """Return a version with its files, and how they differ from what is in force."""
    row = _version(console, version)
    before = _files_in_force(console)
    return RuleVersionDetail(
        **_info(console, row, who),
        yaml=dict(row.rules),
        diff=diff(before, row.rules),
        leaves=leaving(before, row.rules),
        untested=list((row.tests or {}).get("untested", ())),
        can_rehearse=console.rehearsals.possible(),
    )


def diff(before: Any, after: Any) -> list[DiffLine]:
    """Return the lines that differ between two sets of files, with three lines around them."""
    by_name = [{name.rpartition("/")[2]: text for name, text in side.items()}
               for side in (before, after)]  # fmt: skip
    lines: list[DiffLine] = []
    for name in sorted({*by_name[0], *by_name[1]}):
        old, new = (side.get(name, "").splitlines() for side in by_name)
        at_old = at_new = 0
        for line in list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]:
            op, text = line[0], line[1:]
            if op == "@":
                spans = line.split(" ")
                at_old, at_new = (abs(int(s.split(",")[0])) for s in spans[1:3])
                lines.append(DiffLine(file=name, op="@", old=at_old, new=at_new, text=line))
                continue
            lines.append(
                DiffLine(
                    file=name, op=op, text=text, old=None if op == "+" else at_old,
                    new=None if op == "-" else at_new,
                )
            )  # fmt: skip
            at_old += op != "+"
            at_new += op != "-"
    return lines[:_MOST_DIFF]


@router.get("/rules/versions/{version}/dry-run", operation_id="dry_run")
def dry_run(console: Here, _: Reader, version: Id) -> DryRun:
    """Return the report of a dry run over history."""
    row = _version(console, version)
    report = row.dry_run
    if report is None:
        raise not_found(f"rules {version!r}: no dry run yet; `gridwarden rules dry-run`")
    return DryRun(
        version=version,
        against=str(report.get("old", {}).get("version", "")),
        at=stamp(row.at_ns),
        report=dict(report),
    )


@router.post("/rules/versions/{version}/dry-run", operation_id="rehearse_rules")
def rehearse_rules(console: Here, who: Author, version: Id) -> RuleVersionDetail:
    """Begin a dry run over history; it takes minutes, `rehearsal` says how it stands."""
    row = _version(console, version)
    if not console.rehearsals.start(row, by=who.account.name, now=console.now_ns):
        raise ApiError(
            "refused",
            "no history to go over: inputs.watch names no folder with readings; see "
            "`gridwarden rules dry-run --help`",
        )
    return rule_version(console, who, version)


@router.post("/rules/proposals", operation_id="propose_rules")
def propose_rules(console: Here, who: Author, body: Proposal) -> RuleVersionDetail:
    """Propose rule files; they are checked, and nothing changes before somebody else approves.

    Files in force that are not among them stay as they are.
    """
    files = {} if body.whole else _files_in_force(console)
    changed = {name.rpartition("/")[2] for name in body.files}
    files = {k: v for k, v in files.items() if k.rpartition("/")[2] not in changed}
    files |= dict(body.files)
    active = console.store.versions.active
    budgets = dict(active.budgets if active else console.config.rules.budgets)
    try:
        found = library.with_budgets(load(files), budgets)
    except ValueError as error:
        problems = str(error).splitlines()[:50]
        raise ApiError(
            "invalid", errors=[FieldError(field="files", problem=p[:300]) for p in problems]
        ) from None
    if active is not None and found.version == active.version:
        raise ApiError("refused", "these rules are in force already: nothing would change")
    console.store.versions.propose(
        found.version, files, author=who.account.name, at_ns=console.now_ns(),
        note=body.note, tests=rehearse(found), budgets=budgets,
    )  # fmt: skip
    return rule_version(console, who, found.version)


@router.post("/rules/versions/{version}/approve", operation_id="approve_rules")
def approve_rules(console: Here, who: Author, version: Id, body: Reason) -> RuleVersionDetail:
    """Approve a version, in force from the next turn of the engine on; its author cannot."""
    row = _version(console, version)
    now = console.now_ns()
    try:
        # A dry run is asked for on the page; who approves without one says why.
        console.store.versions.approve(
            version, by=who.account.name, at_ns=now, from_ns=now, unrehearsed=row.dry_run is None
        )
    except StoreError as error:
        raise ApiError("refused", str(error)) from None
    console.store.books.audit(
        who.account.name, now, "rules_approved_because", version, {"why": body.why}
    )
    return rule_version(console, who, version)


@router.post("/rules/versions/{version}/rollback", operation_id="rollback_rules")
def rollback_rules(console: Here, who: Author, version: Id, body: Reason) -> RuleVersionDetail:
    """Bring back a version that was in force before; it was approved once, one person will do."""
    _version(console, version)
    now = console.now_ns()
    try:
        console.store.versions.rollback(by=who.account.name, at_ns=now, to=version, why=body.why)
    except StoreError as error:
        raise ApiError("refused", str(error)) from None
    return rule_version(console, who, version)
