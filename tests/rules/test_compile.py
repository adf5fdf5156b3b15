"""Masks over arrays and decisions by CEL: the mask is a superset, and exact where it says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.alerts import Level
from rules.compile import CompiledRule
from rules.masks import Graph, Masks
from rules.model import Unless
from tests.rules.kit import rule

ROWS = 24


def variables(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "silence": {
            "ready": True,
            "due": True,
            "urgency": 3,
            "evidence": 1.5,
            "p_value": 0.01,
            "onset_s": 3600.0,
            "utilities": ["electricity"],
            "facts": {"hours": 9.0, "share": float("nan")},
        },
        "subject": {"id": "h", "kind": "elderly_alone", "attrs": {"floor": 3}, "place": "330106"},
        "context": {},
        "now": {
            "hour": 8,
            "minute": 0,
            "weekday": 1,
            "month": 3,
            "season": "spring",
            "rest_day": False,
        },
        "alerts": [],
    }
    base.update(changes)
    return base


def decide(when: str, **more: Any) -> bool | None:
    budget = None if ".due" not in when else {"false_alerts_per_subject_year": 1}
    return CompiledRule(rule(when=when, budget=budget)).decide(variables(**more)).met


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ("silence.due", True),
        ("!silence.due", False),
        ("silence.facts.hours > 8.5", True),
        ("silence.facts.share > 0.5", None),
        ("!(silence.facts.share > 0.5)", None),
        ("silence.facts.share > 0.5 || silence.due", True),
        ("silence.facts.share > 0.5 && !silence.due", False),
        ("subject.attrs.floor >= 3", True),
        ("subject.attrs.lift == true", None),
        ("has(subject.attrs.lift)", False),
        ("subject.attrs['floor'] == 3", True),
        ("subject.attrs.floor == 'three'", False),
        ("now.hour >= 7 && now.weekday == 1", True),
        ("now.season == 'spring'", True),
        ("fused > 1.4", True),
        ("'x' in alerts", False),
        ("5 / (now.hour - 8) > 1", None),
    ],
)
def test_decides_in_three_values(when: str, met: bool | None) -> None:
    assert decide(when) is met


def test_not_ready_is_unknown_and_never_normal() -> None:
    stale = variables()["silence"] | {"ready": False}
    for when in ("silence.due", "!silence.due", "silence.evidence < 99.0", "silence.urgency < 99"):
        assert decide(when, silence=stale) is None
    assert decide("!silence.ready", silence=stale) is True


def test_a_signal_that_never_spoke_is_unknown() -> None:
    told = variables()
    del told["silence"]
    assert CompiledRule(rule()).decide(told).met is None


def test_zero_is_a_value() -> None:
    quiet = variables()["silence"] | {"evidence": 0.0, "facts": {"hours": 0.0}}
    assert decide("silence.evidence == 0.0 && silence.facts.hours == 0.0", silence=quiet) is True


def test_clauses_say_what_they_looked_at() -> None:
    compiled = CompiledRule(rule(when="silence.due && silence.facts.hours > 10.0"))
    decision = compiled.decide(variables())
    assert [(c.text, c.value, dict(c.operands)) for c in decision.clauses] == [
        ("silence.due", True, {"silence.due": True}),
        ("silence.facts.hours > 10.0", False, {"silence.facts.hours": 9.0}),
    ]


def test_hold_is_decided_apart() -> None:
    compiled = CompiledRule(rule(hold="silence.evidence > 1.0"))
    low = variables()["silence"] | {"due": False}
    decision = compiled.decide(variables(silence=low))
    assert (decision.met, decision.holds) == (False, True)


def test_fused_adds_weighted_evidence_and_events() -> None:
    compiled = CompiledRule(
        rule(
            signals={
                "silence": {"detector": "quiet", "weight": 2},
                "power": {"detector": "load", "weight": -0.5},
            },
            events={"cars": {"kind": "vehicle_gate", "within": "1d", "evidence": 0.7}},
            when="fused > 3.19 && fused < 3.21",
            budget=None,
        )
    )
    power = {"ready": True, "evidence": 1.0}
    told = variables(power=power, cars={"evidence": 0.7})
    assert compiled.decide(told).met is True
    assert compiled.decide(told | {"power": {"ready": False, "evidence": 9.0}}).met is False
    columns = {
        "silence.evidence": np.array([1.5, 1.5, np.nan]),
        "power.evidence": np.array([1.0, np.nan, np.nan]),
        "cars.evidence": np.array([0.7, 0.7, 0.0]),
    }
    assert compiled.mask(columns).tolist() == [True, False, False]


def unless(*entries: Any) -> CompiledRule:
    return CompiledRule(rule(unless=list(entries)))


def test_unless_names_what_blocks() -> None:
    compiled = unless("absent", "now.hour < 6")
    assert compiled.decide(variables()).blocked_by is None
    decision = compiled.decide(variables(context={"absent": True}))
    assert (decision.blocked_by, decision.cancels) == ("absent", True)
    night = compiled.decide(variables(now={"hour": 3}))
    assert (night.blocked_by, night.cancels) == ("now.hour < 6", False)


def test_what_cancels_goes_first() -> None:
    compiled = unless("now.hour < 99", "absent")
    decision = compiled.decide(variables(context={"absent": True}))
    assert (decision.blocked_by, decision.cancels) == ("absent", True)


def test_an_unknown_exception_does_not_block() -> None:
    assert unless("subject.attrs.lift == true").decide(variables()).blocked_by is None


def test_other_alerts_block() -> None:
    compiled = CompiledRule(replace(rule(), unless=(Unless(alert="other"),)))
    assert compiled.decide(variables(alerts=["other"])).blocked_by == "alert:other"
    assert compiled.decide(variables(alerts=["another"])).blocked_by is None


def test_levels() -> None:
    compiled = CompiledRule(
        rule(
            promote=[{"to": "red", "when": "silence.evidence > 1.0"}, {"to": "red", "after": "6h"}]
        )
    )
    decision = compiled.decide(variables())
    assert (decision.level, decision.promotions) == (Level.RED, 0b11)
    low = variables()["silence"] | {"evidence": 0.5}
    decision = compiled.decide(variables(silence=low))
    assert (decision.level, decision.promotions) == (Level.ORANGE, 0b10)


def test_columns_and_exactness() -> None:
    compiled = CompiledRule(rule(when="silence.due && silence.facts.hours > 2.0 && now.hour > 6"))
    assert compiled.columns == {"silence.due", "silence.facts.hours", "now.hour", "silence.ready"}
    assert compiled.due_signals == ("silence",)
    assert compiled.mask_exact
    assert not CompiledRule(rule(when="silence.due && subject.kind == 'x'")).mask_exact
    assert not CompiledRule(rule(when="silence.due && subject.attrs.floor > 3")).mask_exact


def test_a_missing_column_could_be_anything() -> None:
    compiled = CompiledRule(rule(when="silence.due && silence.facts.hours > 2.0"))
    due = np.array([True, False])
    assert compiled.mask({"silence.due": due}).tolist() == [True, False]


@pytest.mark.parametrize("op", [">", ">=", "<", "<=", "==", "!="])
@pytest.mark.parametrize("constant", [0.1, 1 / 3, 16777217.0, 1e-50, 1e300, -0.1, 0.5])
def test_float32_columns_are_compared_as_doubles(op: str, constant: float) -> None:
    near = np.float32(constant) if abs(constant) < 1e38 else np.float32(3e38)
    column = np.array(
        [
            np.nextafter(near, np.float32(-np.inf)),
            near,
            np.nextafter(near, np.float32(np.inf)),
            np.nan,
        ],
        np.float32,
    )
    compiled = CompiledRule(
        rule(when=f"silence.evidence {op} {constant!r}".replace("e+", "e"), budget=None)
    )
    mask = compiled.mask({"silence.evidence": column})
    for value, could in zip(column.tolist(), mask.tolist(), strict=True):
        silence = {"ready": True, "evidence": value}
        assert could == (compiled.decide(variables(silence=silence)).met is True)


# -- superset and exactness on random expressions ------------------------------------------------

_NUMBERS = [
    "silence.evidence",
    "silence.facts.hours",
    "power.facts.mean_kw",
    "fused",
    "power.p_value",
]
_INTS = ["silence.urgency", "now.hour", "cars.count"]
_FLAGS = [
    "silence.due",
    "power.due",
    "silence.ready",
    "now.rest_day",
    "context.absent",
    "cars.seen",
]
_OTHERS = ["subject.kind == 'x'", "subject.attrs.n > 2", "'r' in alerts", "cars.value == 'y'"]

doubles = st.one_of(
    st.sampled_from(_NUMBERS),
    st.sampled_from(["0.0", "1.5", "2.0", "-1.0"]),
    st.builds(
        "({} {} {})".format,
        st.sampled_from(_NUMBERS),
        st.sampled_from("+-*/"),
        st.sampled_from([*_NUMBERS, "2.0"]),
    ),
)
ints = st.one_of(
    st.sampled_from(_INTS),
    st.integers(0, 5).map(str),
    st.builds(
        "({} {} {})".format,
        st.sampled_from(_INTS),
        st.sampled_from("+-*/%"),
        st.integers(1, 3).map(str),
    ),
)
relation = st.sampled_from([">", ">=", "<", "<=", "==", "!="])
atoms = st.one_of(
    st.sampled_from(_FLAGS),
    st.sampled_from(_OTHERS),
    st.builds("{} {} {}".format, doubles, relation, doubles),
    st.builds("{} {} {}".format, ints, relation, ints),
    st.builds("{} {} {}".format, doubles, relation, st.integers(0, 3).map(str)),
    st.builds("({}) == {}".format, st.sampled_from(_FLAGS), st.sampled_from(["true", "false"])),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)


def town(seed: int) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Return the same subjects as columns and as variables."""
    rng = np.random.default_rng(seed)

    def doubles_of(dtype: str) -> np.ndarray:
        values = rng.choice([0.0, 1.5, 2.0, -1.0, 0.3, np.nan], ROWS).astype(dtype)
        return np.asarray(values)

    ready = {name: rng.random(ROWS) < 0.7 for name in ("silence", "power")}
    columns: dict[str, np.ndarray] = {
        "now.hour": rng.integers(0, 6, ROWS),
        "now.rest_day": rng.random(ROWS) < 0.5,
        "context.absent": rng.random(ROWS) < 0.5,
        "cars.count": rng.integers(0, 4, ROWS),
    }
    columns["cars.seen"] = columns["cars.count"] > 0
    for name in ("silence", "power"):
        columns[f"{name}.ready"] = ready[name]
        columns[f"{name}.due"] = ready[name] & (rng.random(ROWS) < 0.5)
        columns[f"{name}.urgency"] = np.where(ready[name], rng.integers(0, 6, ROWS), -1).astype(
            np.int8
        )
        for field in ("evidence", "p_value", "facts.hours", "facts.mean_kw"):
            values = doubles_of("f4" if field in ("evidence", "p_value") else "f8")
            columns[f"{name}.{field}"] = np.where(ready[name], values, np.nan).astype(values.dtype)
    told = []
    for i in range(ROWS):
        one = {k: v[i].item() for k, v in columns.items()}
        said: dict[str, Any] = {
            "subject": {"kind": rng.choice(["x", "z"]), "attrs": {"n": 3}, "place": "1", "id": "1"},
            "alerts": ["r"] if rng.random() < 0.5 else [],
            "now": {"hour": one["now.hour"], "rest_day": one["now.rest_day"]},
            "context": {"absent": one["context.absent"]},
            "cars": {
                "count": one["cars.count"],
                "seen": one["cars.seen"],
                "value": "y",
                "evidence": 0.0,
            },
        }
        for name in ("silence", "power"):
            said[name] = {
                "ready": one[f"{name}.ready"],
                "due": one[f"{name}.due"],
                "urgency": one[f"{name}.urgency"],
                "evidence": one[f"{name}.evidence"],
                "p_value": one[f"{name}.p_value"],
                "facts": {
                    "hours": one[f"{name}.facts.hours"],
                    "mean_kw": one[f"{name}.facts.mean_kw"],
                },
            }
        told.append(said)
    return columns, told


BASE = rule(
    signals={
        "silence": {"detector": "quiet", "weight": 1.5},
        "power": {"detector": "load", "weight": 0.5},
    },
    events={"cars": {"kind": "vehicle_gate", "within": "1d"}},
)


def compiled_of(when: str) -> CompiledRule:
    return CompiledRule(replace(BASE, when=when, hold=when))


@settings(max_examples=150)
@given(conditions, st.integers(0, 10**6))
def test_the_mask_is_a_superset_and_exact_where_it_says_so(when: str, seed: int) -> None:
    compiled = compiled_of(when)
    columns, told = town(seed)
    mask = np.broadcast_to(compiled.mask(columns), ROWS)
    met = np.array([compiled.decide(one).met is True for one in told])
    assert not (met & ~mask).any()
    if compiled.mask_exact and compiled.columns <= set(columns) | {"fused"}:
        assert (met == mask).all()


@settings(max_examples=60)
@given(conditions, st.integers(0, 10**6), st.sets(st.integers(0, 20)))
def test_columns_left_out_only_widen_the_mask(when: str, seed: int, without: set[int]) -> None:
    compiled = compiled_of(when)
    columns, told = town(seed)
    fewer = {k: v for i, (k, v) in enumerate(sorted(columns.items())) if i not in without}
    mask = np.broadcast_to(compiled.mask(fewer), ROWS)
    met = np.array([compiled.decide(one).met is True for one in told])
    assert not (met & ~mask).any()


def test_rules_that_share_share_their_masks() -> None:
    graph = Graph()
    rules = [compiled_of(f"silence.due && power.evidence > {i}.0") for i in range(3)] * 2
    roots = [r.add_to(graph, {"silence": "inactivity#0", "power": "production#1"}) for r in rules]
    assert roots[:3] == roots[3:]
    due = np.zeros(100_000, bool)
    due[[5, 70_000, 99_999]] = True
    asked: list[int] = []

    def evidence(start: int, stop: int) -> np.ndarray:
        asked.append(start)
        return np.arange(start, stop) / 50_000

    columns = {"inactivity#0.due": due, "production#1.evidence": evidence}
    found = {i: rows.tolist() for i, rows in Masks(graph, roots).each(columns, 100_000)}
    assert found == {
        0: [5, 70_000, 99_999],
        1: [70_000, 99_999],
        3: [5, 70_000, 99_999],
        4: [70_000, 99_999],
    }
    # A part in which nobody is due is not looked at further.
    assert asked == [0, 65_536, 98_304]


@settings(max_examples=50)
@given(
    hours=st.lists(st.floats(0, 40) | st.just(float("nan")), min_size=1, max_size=5),
    evidence=st.floats(-1, 3, width=32),
)
def test_promotions_over_arrays_are_those_of_decide(hours: list[float], evidence: float) -> None:
    promote = [
        {"to": "red", "when": "silence.facts.hours >= 12.0 && silence.evidence > 0.5"},
        {"to": "red", "after": "6h"},
        {"to": "red", "when": "silence.facts.hours >= 24.0 || silence.urgency >= 5"},
    ]
    compiled = CompiledRule(rule(promote=promote))
    assert compiled.promotions_exact
    assert compiled.promotion_facts() == (("silence", "hours"),)
    seen = [
        variables(silence=variables()["silence"] | {"evidence": evidence, "facts": {"hours": h}})
        for h in hours
    ]
    bits = compiled.promoted(
        {
            "silence.ready": np.ones(len(hours), bool),
            "silence.urgency": np.full(len(hours), 3, np.int8),
            "silence.evidence": np.full(len(hours), evidence, np.float32),
            "silence.facts.hours": np.array(hours),
        },
        len(hours),
    )
    assert bits.tolist() == [compiled.decide(one).promotions for one in seen]


def test_promotions_that_arrays_cannot_express_are_said_to_be_so() -> None:
    promote = [{"to": "red", "when": 'subject.attrs["floor"] > 2'}]
    assert not CompiledRule(rule(promote=promote)).promotions_exact
