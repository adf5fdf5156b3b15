"""Rule tests: reading, expansion, comparison, diff and JUnit."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rules import rehearsal
from rules.alerts import AlertChange, Level, State, alert_id, stamp
from rules.cases import NS, Case
from rules.loader import load
from rules.problems import RuleErrors
from rules.unittest import Result, compare, junit_xml, parse, report, run_all
from tests.rules.kit import KNOWN, document, dump

START = 1_772_380_800 * NS  # 2026-03-02 00:00 in Shanghai


def one(**changes: Any) -> Case:
    test = {
        "name": "a test",
        "signals": {"silence": {"due": "0x2 1x3"}},
        "expect": [],
        **changes,
    }
    test = {k: v for k, v in test.items() if v is not None}
    data = {"rules": "a-rule", "subjects": {"home": "elderly_alone"}, "tests": [test]}
    (case,) = parse({"t.yaml": dump(data)})
    return case


def change(
    state: str, hour: int, level: str = "orange", onset: int = 0, **more: Any
) -> AlertChange:
    told = {"rule": "a-rule", "subject_id": "home", "zh": "已静默", "en": "silent for long", **more}
    return AlertChange(
        alert_id=alert_id(told["rule"], told["subject_id"], onset),
        seq=hour,
        at=stamp(START + hour * 3600 * NS),
        rule=told["rule"],
        rule_version="",
        subject_id=told["subject_id"],
        place="1",
        level=Level(level),
        state=State(state),
        onset="",
        raised_at=stamp(START + hour * 3600 * NS),
        evidence=None,
        p_value=None,
        budget=None,
        reason={"zh": told["zh"], "en": told["en"]},
        facts={},
        signals=[],
    )


def expected(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"changes": list(changes)}]


# -- readings -------------------------------------------------------------------------------------


def test_interval_meters_become_rows() -> None:
    case = one(
        signals=None,
        meters={
            "b": {"values": "1 _ 3", "interval": "30m"},
            "a": {"values": "5 6", "stamp": "end", "utility": "water"},
        },
    )
    columns = case.columns()
    assert [(m, (t - START) // NS // 60, v) for m, t, v in zip(
        columns["meter_id"], columns["ts_ns"].tolist(), columns["value"].tolist(), strict=True
    )] == [("b", 0, 1.0), ("a", 60, 5.0), ("b", 60, 3.0), ("a", 120, 6.0)]  # fmt: skip
    assert (columns["ts_ns"].dtype, columns["value"].dtype) == (np.int64, np.float64)
    assert [m.unit for m in case.meters] == ["kWh", "l"]


def test_a_meter_may_measure_anything() -> None:
    case = one(
        signals=None,
        meters={
            "a": {"values": "45 66", "utility": "noise", "unit": "dB"},
            "b": {"values": "80", "utility": "o3", "unit": "µg/m³"},
            "c": {"values": "3", "utility": "visitors"},
        },
    )
    assert [(m.utility, m.unit) for m in case.meters] == [
        ("noise", "dB"), ("o3", "µg/m³"), ("visitors", "1"),
    ]  # fmt: skip


def test_registers_count_up_and_miss_no_amount_that_is_not_known() -> None:
    case = one(signals=None, meters={"m": {"values": "1 2 _ 4", "kind": "register"}})
    columns = case.columns()
    assert columns["value"].tolist() == [0.0, 1.0, 3.0, 7.0]
    assert ((columns["ts_ns"] - START) // NS // 3600).tolist() == [0, 1, 2, 4]


def test_times_are_local_or_since_the_start() -> None:
    case = one(
        events=[
            {"at": "2h", "kind": "absence"},
            {"at": "2026-03-02T01:00", "kind": "x", "place": "33"},
        ]
    )
    assert [(e.kind, (e.at_ns - START) // NS, e.subject_id, e.place) for e in case.events] == [
        ("x", 3600, None, "33"),
        ("absence", 7200, "home", None),
    ]
    assert case.start_ns == START
    assert case.until_ns == START + 5 * 3600 * NS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": {"silence": {"due": "0 x3"}}}, "not a series"),
        ({"signals": None}, "the test gives nothing"),
        ({"meters": {"m": "1x3"}}, "meters and signals in one test"),
        ({"expect": expected({"at": "soon"})}, "not a time"),
        ({"expect": [{"rule": "other", "changes": [{"at": "1h"}]}]}, "does not run in this test"),
        ({"expect": None}, '"expect" is missing'),
        ({"zone": "Mars/Olympus"}, "unknown time zone"),
        ({"context": {"abesnt": "1"}}, "this name does not fit"),
        (
            {"signals": None, "meters": {"m": {"values": "1", "subject": "nobody"}}},
            "has no subject",
        ),
        ({"expects": []}, 'did you mean "expect"?'),
    ],
)
def test_mistakes_are_told_with_their_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleErrors) as error:
        one(**changes)
    assert message in str(error.value)
    assert str(error.value).startswith("t.yaml:")
    assert 'test "a test"' in str(error.value)


def test_all_cases_are_checked_at_once() -> None:
    tests = [{"name": f"{i}", "signals": {"s": {"due": "0 x"}}, "expect": []} for i in range(3)]
    with pytest.raises(RuleErrors) as error:
        parse({"t.yaml": dump({"rules": "a", "tests": tests}), "u.yaml": "tests: 5"})
    assert len(error.value.problems) >= 5


# -- comparison -----------------------------------------------------------------------------------


def test_as_expected() -> None:
    case = one(
        expect=expected(
            {"at": "3h", "level": "orange", "zh": "静默", "en": ["silent", "long"]},
            {"at": "4h..6h", "state": "resolved"},
        )
    )
    assert compare(case, [change("firing", 3), change("resolved", 5)]).passed


@pytest.mark.parametrize(
    "got",
    [
        [],
        [change("firing", 4)],
        [change("firing", 3, "red")],
        [change("resolved", 3)],
        [change("firing", 3), change("resolved", 9)],
        [change("firing", 3), change("firing", 4, onset=9)],
        [change("firing", 3, en="loud")],
        [change("firing", 3), change("firing", 3, subject_id="other")],
    ],
)
def test_every_difference_fails(got: list[AlertChange]) -> None:
    case = one(expect=expected({"at": "3h", "level": "orange", "en": "silent"}))
    assert compare(case, [change("firing", 3)]).passed
    assert not compare(case, got).passed


def test_what_follows_can_be_left_open() -> None:
    open_end = [{"changes": [{"at": "3h"}], "more": True}]
    assert compare(one(expect=open_end), [change("firing", 3), change("resolved", 9)]).passed
    assert not compare(one(expect=open_end), [change("firing", 4), change("resolved", 9)]).passed


def test_nothing_expected() -> None:
    assert compare(one(), []).passed
    assert not compare(one(), [change("firing", 3)]).passed


def test_alerts_of_the_time_before_and_of_other_rules_do_not_count() -> None:
    case = one(**{"from": "4h"})
    assert compare(case, [change("firing", 3), change("resolved", 5)]).passed
    assert not compare(case, [change("firing", 3)]).passed, "it fires all through the test"
    assert compare(one(), [change("firing", 3, rule="other")]).passed


def test_the_difference_is_readable() -> None:
    case = one(expect=expected({"at": "3h..4h", "level": "orange", "zh": "静默9小时"}))
    result = compare(case, [change("firing", 5, "red")])
    assert report([result]) == (
        't.yaml:5: FAILED "a test"\n'
        "    a-rule · home\n"
        "      wanted  firing orange at 3h (2026-03-02 03:00) .. 4h (2026-03-02 04:00)\n"
        "      got     firing red at 5h (2026-03-02 05:00)\n"
        "      wanted  zh: … 静默9小时 …\n"
        "      got     zh: 已静默\n"
        "1 test, 0 passed, 1 failed"
    )


def test_junit_can_be_read() -> None:
    case = one(expect=expected({"at": "3h"}))
    results = [compare(case, []), Result(case, (), 1.5)]
    root = ET.fromstring(junit_xml(results).split("\n", 1)[1])
    (suite,) = root
    sums = {"tests": "2", "failures": "1", "errors": "0", "skipped": "0", "time": "1.500"}
    assert suite.attrib == {"name": "t.yaml", **sums}
    assert {k: root.attrib[k] for k in sums} == sums
    failed, passed = suite
    assert len(passed) == 0
    assert failed[0].tag == "failure"
    assert failed[0].attrib["message"] == (
        "a-rule · home: wanted firing at 3h (2026-03-02 03:00); got nothing"
    )
    assert "wanted  firing at 3h" in (failed[0].text or "")


# -- rehearsal ------------------------------------------------------------------------------------


def rehearse(case: Case, **changes: Any) -> Result:
    found = load({"r.yaml": dump(document(**changes))}, KNOWN)
    (result,) = run_all([case], lambda c: rehearsal.run(c, found))
    return result


def test_a_rule_is_rehearsed_on_signals() -> None:
    case = one(expect=expected({"at": "3h", "level": "orange"}))
    assert rehearse(case).passed
    assert not rehearse(case, level="red").passed
    assert not rehearse(case, **{"for": "1h"}).passed


def test_time_goes_on_without_data() -> None:
    case = one(until="9h", expect=expected({"at": "3h"}, {"at": "8h", "level": "red"}))
    assert rehearse(case, promote=[{"to": "red", "after": "5h"}]).passed
    assert not rehearse(case, promote=[{"to": "red", "after": "6h"}]).passed


def test_events_are_seen() -> None:
    case = one(
        signals={"silence": {"due": "1x6"}},
        events=[{"at": "2h", "kind": "visit"}],
        expect=expected({"at": "3h"}),
    )
    calm = {
        "events": {"visits": {"kind": "visit", "within": "1d"}},
        "when": "silence.due && visits.seen",
    }
    assert not rehearse(case, **calm).passed
    assert rehearse(case, **{**calm, "when": "silence.due && visits.age_s >= 3600.0"}).passed


def test_readings_need_the_engine() -> None:
    case = one(signals=None, meters={"m": "1x3"})
    with pytest.raises(ValueError, match="needs the engine"):
        rehearse(case)
