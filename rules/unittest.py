"""Tests of rules as YAML, in the manner of ``promtool test rules``.

A file holds cases. A case gives *readings* of meters (run through the whole engine), or *signals*
of detectors (run through the rule alone, :mod:`rules.rehearsal`), events and outcomes, and the
alerts that are expected: state, level, time, and words of the sentence. Everything else that is
raised is a failure. The runner is given from outside; this module compares and reports.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from rules.alerts import AlertChange
from rules.cases import NS, Case, Wanted, parse

__all__ = ["Case", "Result", "Run", "compare", "junit_xml", "parse", "report", "run_all"]

Run = Callable[[Case], Sequence[AlertChange]]
"""Runs a case and returns every line that alerts made."""


class Result(NamedTuple):
    """How a case went; ``lines`` say what was wanted and what was got, empty if it passed."""

    case: Case
    lines: tuple[str, ...]
    seconds: float = 0.0
    """How long it took, where somebody took the time."""
    zh: tuple[str, ...] = ()
    """The lines in Chinese; JUnit speaks English."""

    @property
    def passed(self) -> bool:
        """Whether everything expected happened, and nothing else."""
        return not self.lines


def run_all(cases: Iterable[Case], run: Run) -> list[Result]:
    """Return how each case goes with a runner."""
    return [compare(case, run(case)) for case in cases]


def compare(case: Case, changes: Iterable[AlertChange]) -> Result:
    """Return how the alerts of a run differ from those that a case expects."""
    got = _by_alert(case, changes)
    lines: dict[str, list[str]] = {"en": [], "zh": []}
    for key in sorted({*got, *((e.rule, e.subject) for e in case.expect)}):
        wanted = [e for e in case.expect if (e.rule, e.subject) == key]
        alerts = got.get(key, [])
        for i in range(max(len(wanted), len(alerts))):
            mine = wanted[i].changes if i < len(wanted) else ()
            theirs = alerts[i] if i < len(alerts) else []
            if mine and wanted[i].more:
                theirs = theirs[: len(mine)]
            several = max(len(wanted), len(alerts)) > 1
            for language, words in _WORDS.items():
                found = _differences(case, mine, theirs, language)
                if found:
                    number = words.number.format(i + 1) if several else ""
                    head = f"{key[0]} · {key[1]}{number}"
                    lines[language] += [head, *(f"  {line}" for line in found)]
    return Result(case, tuple(lines["en"]), zh=tuple(lines["zh"]))


class _Words(NamedTuple):
    wanted: str
    got: str
    nothing: str
    at: str
    number: str
    states: Mapping[str, str]
    failed: str


_WORDS: Mapping[str, _Words] = {
    "en": _Words("wanted  ", "got     ", "nothing", "at", " (alert {})", {}, "FAILED "),
    "zh": _Words(
        "应有  ", "实有  ", "没有预警", "于", "（第 {} 条预警）",
        {"firing": "预警", "resolved": "解除", "cancelled": "撤回", "red": "红色", "orange": "橙色",
         "yellow": "黄色", "blue": "蓝色"},
        "未通过 ",
    ),
}  # fmt: skip


def _by_alert(
    case: Case, changes: Iterable[AlertChange]
) -> dict[tuple[str, str], list[list[AlertChange]]]:
    alerts: dict[str, list[AlertChange]] = {}
    for change in sorted(changes, key=lambda c: (c.at, c.alert_id, c.seq)):
        alerts.setdefault(change.alert_id, []).append(change)
    found: dict[tuple[str, str], list[list[AlertChange]]] = {}
    for lines in alerts.values():
        # What was raised before the test begins is none of its business, unless it never ends.
        before = _ns(lines[0].raised_at) < case.from_ns and lines[-1].state != "firing"
        if not before and lines[0].rule in case.rules:
            key = (lines[0].rule, lines[0].subject_id or lines[0].place)
            found.setdefault(key, []).append(lines)
    return found


def _differences(
    case: Case, wanted: Sequence[Wanted], got: Sequence[AlertChange], language: str
) -> list[str]:
    lines: list[str] = []
    say = _WORDS[language]
    for i in range(max(len(wanted), len(got))):
        want = wanted[i] if i < len(wanted) else None
        have = got[i] if i < len(got) else None
        if want is None and have is not None:
            lines += [say.wanted + say.nothing, say.got + _said(case, have, say)]
            if str(have.state) == "firing":
                lines.append(f"        {have.reason[language]}")
            continue
        if want is None:
            continue
        if have is None:
            lines += [say.wanted + _asked(case, want, say), say.got + say.nothing]
            continue
        at = _ns(have.at)
        fits = (
            want.state == str(have.state)
            and want.level in (None, str(have.level))
            and want.first_ns <= at <= want.last_ns
        )
        if not fits:
            lines += [say.wanted + _asked(case, want, say), say.got + _said(case, have, say)]
        for spoken, words in (("zh", want.zh), ("en", want.en)):
            text = have.reason[spoken]
            lines += [
                line
                for word in words
                if word not in text
                for line in (f"{say.wanted}{spoken}: … {word} …", f"{say.got}{spoken}: {text}")
            ]
    return lines


def _asked(case: Case, want: Wanted, say: _Words) -> str:
    span = _when(case, want.first_ns)
    if want.last_ns != want.first_ns:
        span += f" .. {_when(case, want.last_ns)}"
    level = want.level and say.states.get(want.level, want.level)
    return " ".join(filter(None, [say.states.get(want.state, want.state), level, say.at, span]))


def _said(case: Case, have: AlertChange, say: _Words) -> str:
    state, level = (say.states.get(word, word) for word in (str(have.state), str(have.level)))
    return f"{state} {level} {say.at} {_when(case, _ns(have.at))}"


def _when(case: Case, at_ns: int) -> str:
    """Return a time as cases write it, and as clocks show it."""
    left = (at_ns - case.start_ns) // NS
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        n, left = divmod(left, seconds) if left >= 0 else (0, left)
        parts.append(f"{n}{unit}" if n else "")
    local = dt.datetime.fromtimestamp(at_ns // NS, ZoneInfo(case.zone))
    return f"{''.join(parts) or '0s'} ({local:%Y-%m-%d %H:%M})"


def _ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000_000) * 1_000


def report(results: Sequence[Result], language: str = "en") -> str:
    """Return the outcome of a run for a terminal: failures with their differences, then a count."""
    lines: list[str] = []
    for result in results:
        if not result.passed:
            word = _WORDS[language].failed
            lines.append(f'{result.case.file}:{result.case.line}: {word}"{result.case.name}"')
            shown = result.zh if language == "zh" and result.zh else result.lines
            lines += [f"    {line}" for line in shown]
    failed = sum(not result.passed for result in results)
    if language == "zh":
        lines.append(f"{len(results)} 个测试，通过 {len(results) - failed}，未通过 {failed}")
        return "\n".join(lines)
    tests = "1 test" if len(results) == 1 else f"{len(results)} tests"
    lines.append(f"{tests}, {len(results) - failed} passed, {failed} failed")
    return "\n".join(lines)


def junit_xml(results: Sequence[Result]) -> str:
    """Return the outcome of a run as JUnit XML, one suite per file."""
    root = ET.Element("testsuites", {"name": "gridwarden rules test", **_sums(results)})
    for file in sorted({result.case.file for result in results}):
        mine = [result for result in results if result.case.file == file]
        suite = ET.SubElement(root, "testsuite", {"name": file, **_sums(mine)})
        for result in mine:
            case = ET.SubElement(
                suite, "testcase", classname=",".join(result.case.rules), name=result.case.name,
                file=file, line=str(result.case.line), time=f"{result.seconds:.3f}",
            )  # fmt: skip
            if not result.passed:
                text = "\n".join(result.lines)
                # Servers show the message in a list: what was wanted and what came, in one line.
                short = "; ".join(" ".join(line.split()) for line in result.lines[1:3])
                failure = ET.SubElement(
                    case, "failure", type="difference", message=f"{result.lines[0]}: {short}"
                )
                failure.text = text
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode")


def _sums(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(not result.passed for result in results)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
