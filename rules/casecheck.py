"""Whether tests name what their rules have: a test of a misspelt signal passes whatever happens."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from rules.cases import Case
from rules.loader import registered
from rules.model import Rule, RuleSet
from rules.problems import Problem, RuleErrors, listing, suggest


def check(cases: Sequence[Case], rules: RuleSet) -> None:
    """Refuse cases that give signals, facts or subjects which the rules under test never look at.

    A subject of another kind is fine beside one that a rule of the test watches: it shows that the
    rule tells them apart. Alone, it would keep any rule quiet, and the test would show nothing.
    Rules that are not there are left to the runner.

    Raises
    ------
    RuleErrors
        With every such name of every case, and the nearest right one.
    """
    by_name = {rule.name: rule for rule in rules}
    problems: list[Problem] = []
    for case in cases:
        if set(case.rules) <= set(by_name):
            tested = [by_name[name] for name in case.rules]
            problems += [*_signals(case, tested), *_kinds(case, tested, rules)]
            problems += _alerts(case, by_name)
    # What stands above all tests of a file is told once, not for each of them.
    first = {(p.file, p.line, p.column, p.message): p for p in reversed(problems)}
    if first:
        raise RuleErrors(first.values())


def _problem(
    case: Case, at: tuple[str, ...], message: str, wrong: str, known: Collection[str]
) -> Problem:
    spot = case.spots[at]
    return Problem(
        case.file, spot.line, spot.column, message, case.name,
        wanted=f"one of {listing(known, 30)}" if known else "", hint=suggest(wrong, known),
        what="test",
    )  # fmt: skip


def _signals(case: Case, tested: Sequence[Rule]) -> Iterator[Problem]:
    known = _facts(tested)
    whose = " or ".join(f'"{rule.name}"' for rule in tested)
    for name, given in case.signals.items():
        if name not in known:
            yield _problem(case, ("signals", name), f'{whose} has no signal "{name}"', name, known)
            continue
        facts = known[name]
        for fact in given.facts:
            if facts is not None and fact not in facts:
                message = f'the detector of signal "{name}" gives no fact "{fact}"'
                yield _problem(case, ("signals", name, fact), message, fact, facts)


def _facts(tested: Sequence[Rule]) -> Mapping[str, Collection[str] | None]:
    """Return signal → facts that its detectors give, over all rules of a test; None: not known."""
    found: dict[str, set[str] | None] = {}
    for rule in tested:
        for name, use in rule.signals.items():
            detector = registered(use.detector)
            facts = None if isinstance(detector, str) else detector.facts
            before = found.get(name, set())
            found[name] = None if facts is None or before is None else before | set(facts)
    return found


def _kinds(case: Case, tested: Sequence[Rule], rules: RuleSet) -> Iterator[Problem]:
    if any(r.subjects.grain != "subject" or not r.subjects.kinds for r in tested):
        return
    watched = {kind for rule in tested for kind in rule.subjects.kinds}
    known = {kind for rule in rules for kind in rule.subjects.kinds}
    controlled = any(subject.kind in watched for subject in case.subjects)
    for subject in case.subjects:
        kind = subject.kind
        slip = kind not in known and suggest(kind, known)
        if kind not in watched and (slip or not controlled):
            message = f'no rule of this test watches a subject of kind "{kind}"'
            if not slip and not case.expect:
                message += ": whatever happens, it stays quiet; put one that is watched beside it"
            yield _problem(case, ("subjects", subject.subject_id), message, kind, watched)


def _alerts(case: Case, by_name: Mapping[str, Rule]) -> Iterator[Problem]:
    for name in case.alerts:
        if name not in by_name:
            yield _problem(case, ("alerts", name), f'unknown rule "{name}"', name, by_name)
