"""`rules test`: cases through the real engine, in memory; what it says when one fails."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from engine import library
from engine.cli.rules import rules as command
from engine.library import LibraryError
from engine.ruletest import Runner, case_files, records, registry_of
from rules.alerts import AlertChange
from rules.cases import Case
from rules.model import RuleSet, rule_set
from rules.mutants import mutants
from rules.unittest import compare, parse, report

SHIPPED = library.rules(None)
CASES = [c for c in parse(case_files([])) if c.whole]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rules[0]}: {c.name}"[:60])
def test_the_librarys_tests_of_readings_and_events_pass(case: Case) -> None:
    result = compare(case, Runner(SHIPPED).run(case))
    assert result.passed, report([result])


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rules[0]}: {c.name}"[:60])
def test_each_of_them_fails_for_a_broken_rule(case: Case) -> None:
    broken = {how.en: rule for name in case.rules for how, rule in mutants(SHIPPED[name])}
    first = (
        ["when is never true"]
        if case.expect
        else ["when is always true, without any unless", "when is always true"]
    )
    likely = [how for how in first if how in broken]
    for how in [*likely, *(h for h in broken if h not in likely)]:
        others = [rule for rule in SHIPPED if rule.name != broken[how].name]
        if not compare(case, Runner(rule_set([broken[how], *others])).run(case)).passed:
            return
    pytest.fail("it passes however its rules are broken")


def test_every_way_of_breaking_the_library_fails_a_test() -> None:
    """`gridwarden rules test --mutate`, as in the README."""
    done = CliRunner().invoke(command, ["test", "--mutate"], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert re.search(r"^\d{3} broken rules, \d{3} noticed, 0 not$", done.output, re.M)


TEXTS = """
texts:
  raised: {zh: 车未出, en: "no way out since {alert.onset_s_utc:time}"}
  resolved: {zh: 已出, en: out}
  cancelled: {zh: 撤销, en: "taken back: {alert.cause:cause}"}
"""
GATE = f"""
name: no-way-out
title: {{zh: 车未出, en: No way out}}
subjects: {{kinds: [plant]}}
events:
  inbound:
    kind: vehicle_gate
    where: {{direction: in}}
    within: 2d
    then: {{kind: vehicle_gate, where: {{direction: out}}, within: 6h}}
when: inbound.unfollowed > 0
level: yellow
route: {{queue: street}}
{TEXTS}
"""


def gate_rules(tmp_path: Path) -> RuleSet:
    (tmp_path / "gate.yaml").write_text(GATE, "utf-8")
    return library.rules(tmp_path)


def cases(text: str) -> list[Case]:
    head = "rules: no-way-out\nsubjects: {p: {kind: plant}}\ntests:\n"
    return parse({"gate-test.yaml": head + text})


LORRY_IN = "{at: 1h10m7s, kind: vehicle_gate, attrs: {direction: in}}"
OUT = "kind: vehicle_gate, attrs: {direction: out}"


def changes(case: Case, rules: RuleSet) -> list[tuple[str, str]]:
    return [(str(c.state), c.at) for c in Runner(rules).run(case)]


def test_the_absence_of_an_event_fires_at_its_exact_time_without_further_data(
    tmp_path: Path,
) -> None:
    (case,) = cases(
        f"  - {{name: a, until: 9h, events: [{LORRY_IN}], expect: [[{{at: 7h10m7s}}]]}}"
    )
    result = compare(case, Runner(gate_rules(tmp_path)).run(case))
    assert result.passed, report([result])


def test_what_follows_in_time_keeps_it_quiet(tmp_path: Path) -> None:
    (case,) = cases(
        f"  - {{name: a, until: 9h, events: [{LORRY_IN}, {{at: 7h, {OUT}}}], expect: []}}"
    )
    assert changes(case, gate_rules(tmp_path)) == []


def test_a_late_event_that_refutes_it_cancels_it_and_one_that_comes_too_late_ends_it(
    tmp_path: Path,
) -> None:
    late, true = cases(
        f"  - {{name: a, until: 12h, events: [{LORRY_IN}, {{at: 5h, arrives: 9h, {OUT}}}],\n"
        "     expect: [[{at: 7h10m7s}, {state: cancelled, at: 9h, en: late}]]}\n"
        f"  - {{name: b, until: 3d, events: [{LORRY_IN}, {{at: 8h, {OUT}}}],\n"
        "     expect: [[{at: 7h10m7s}, {state: resolved, at: 2d1h10m7s}]]}\n"
    )
    rules = gate_rules(tmp_path)
    results = [compare(case, Runner(rules).run(case)) for case in (late, true)]
    assert all(r.passed for r in results), report(results)


@pytest.mark.parametrize("cut", [1, 2])
def test_it_survives_a_restart_between_any_two_records(tmp_path: Path, cut: int) -> None:
    from engine.config import Config
    from engine.shard import ShardRunner

    (case,) = cases(
        f"  - {{name: a, until: 3d, events: [{LORRY_IN}, {{at: 6h, kind: weather, "
        "attrs: {temp_c: 3}}], expect: []}"
    )
    rules = gate_rules(tmp_path)
    registry = registry_of(case)
    calendars = library.calendars()
    log = list(records(case, registry))

    def run(cut: int | None) -> list[AlertChange]:
        shard = ShardRunner(registry, rules, Config(), calendars)
        lines: list[AlertChange] = []
        for i, record in enumerate(log):
            if i == cut:
                header, arrays = shard.snapshot()
                shard = ShardRunner(registry, rules, Config(), calendars)
                shard.restore(header, arrays)
            shard.feed(record)
            lines += shard.release()
        return lines + shard.release(final=True)

    whole = run(None)
    assert [str(line.state) for line in whole] == ["firing", "resolved"]
    assert run(cut) == whole


SILENT = """
rules: elderly-silence
interval: 30m
patterns:
  day: 0.03~0.01x12 (0.4~0.1 0.1~0.05)x16 0.2~0.1x2 0.03~0.01x2
subjects: {home: elderly_alone}
tests:
  - name: what came late had been there, so the alert is taken back
    from: 40d
    meters: {e: "{day}x42 0.03~0.01x12 0.4 0.1 0.4 0.1 0.03~0.01x12 _ 0.03~0.01x3"}
    late: [{at: 42d14h, value: 0.9, arrives: 42d16h}]
    expect:
      - changes: [{at: 42d15h30m}, {state: cancelled, at: 42d16h, en: later}]
"""


def test_late_readings_refute() -> None:
    (case,) = parse({"silent.yaml": SILENT})
    result = compare(case, Runner(SHIPPED).run(case))
    assert result.passed, report([result])


# -- the command ------------------------------------------------------------------------------


def write(folder: Path, wanted: str) -> Path:
    (folder / "tests").mkdir()
    (folder / "gate.yaml").write_text(GATE, "utf-8")
    text = (
        "rules: no-way-out\nsubjects: {p: {kind: plant}}\ntests:\n"
        f"  - {{name: a lorry, until: 9h, events: [{LORRY_IN}], expect: {wanted}}}\n"
    )
    file = folder / "tests" / "gate.yaml"
    file.write_text(text, "utf-8")
    return file


def test_the_rules_beside_the_tests_are_meant(tmp_path: Path) -> None:
    file = write(tmp_path, "[[{at: 7h10m7s}]]")
    for path in (file, tmp_path, tmp_path / "tests"):
        done = CliRunner().invoke(command, ["test", str(path)], standalone_mode=False)
        assert (done.return_value, done.output) == (0, "1 test, 1 passed, 0 failed\n")


def test_a_failure_says_what_was_wanted_and_what_came(tmp_path: Path) -> None:
    file = write(tmp_path, "[[{at: 7h, level: red}]]")
    junit = tmp_path / "out.xml"
    done = CliRunner().invoke(
        command, ["test", str(file), "--junit", str(junit)], standalone_mode=False
    )
    assert done.return_value == 1
    assert 'gate.yaml:4: FAILED "a lorry"' in done.output
    assert "wanted  firing red at 7h (2026-03-02 07:00)" in done.output
    assert "got     firing yellow at 7h10m7s (2026-03-02 07:10)" in done.output
    suite = ET.parse(junit).getroot()[0]
    assert suite.attrib["failures"] == "1"


def test_mutation_names_what_no_test_notices(tmp_path: Path) -> None:
    file = write(tmp_path, "[[{at: 7h10m7s}]]")
    done = CliRunner().invoke(command, ["test", str(file), "--mutate"], standalone_mode=False)
    assert done.return_value == 1
    line = 1 + GATE.splitlines().index("texts:")
    assert f'gate.yaml:{line}: rule "no-way-out": another sentence when it is raised' in done.output
    assert "no test notices" in done.output


def test_a_rule_that_is_not_there_and_a_row_that_is_refused_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="tests no-way-out, which is none"):
        Runner(SHIPPED).run(cases("  - {name: a, events: [{at: 1h, kind: x}], expect: []}")[0])
    wrong = "{at: 1h, kind: absence, attrs: {from: never}}"
    with pytest.raises(LibraryError, match="no time"):
        Runner(gate_rules(tmp_path)).run(
            cases(f"  - {{name: a, events: [{wrong}], expect: []}}")[0]
        )


def test_a_folder_of_rules_without_tests_says_where_they_go(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text(GATE, encoding="utf-8")
    with pytest.raises(LibraryError, match=r"holds no tests; .*lie in .*tests, as YAML files"):
        case_files([tmp_path])


def test_a_test_beside_its_rules_is_told_where_to_go() -> None:
    text = "rules: my-rule\nsubjects: {a: home}\ntests:\n- {name: x, events: [{at: 1h, kind: v}], expect: []}\n"
    for file, told in (("mine/t.yaml", True), ("mine/tests/t.yaml", False)):
        (case,) = parse({file: text})
        with pytest.raises(LibraryError, match="none of the rules") as error:
            Runner(SHIPPED).run(case)
        assert ("move it to mine/tests" in str(error.value)) is told
