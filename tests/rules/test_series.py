"""The short notation of series."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.series import SeriesError, expand


def shown(text: str, **patterns: str) -> list[float | None]:
    return [None if math.isnan(v) else v for v in expand(text, patterns)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("0.3x2 0x3 _x2", [0.3, 0.3, 0, 0, 0, None, None]),
        ("1 -2 _ +3", [1, -2, None, 3]),
        ("1+0.5x4", [1, 1.5, 2, 2.5]),
        ("5-2x3", [5, 3, 1]),
        ("-1-1x2", [-1, -2]),
        ("0x0 1", [1]),
        ("(0 1)x2 2", [0, 1, 0, 1, 2]),
        ("((1 2)x2 3)x2", [1, 2, 1, 2, 3, 1, 2, 1, 2, 3]),
        ("( 1\n2 )", [1, 2]),
        ("{day}x2 9", [1, 2, 1, 2, 9]),
    ],
)
def test_notation(text: str, values: list[float | None]) -> None:
    assert shown(text, day="1 2") == values


def test_noise_belongs_to_the_series_and_stays_within_its_bounds() -> None:
    values = expand("0.3~0.1x200", seed="a")
    assert values == expand("0.3~0.1x200", seed="a")
    assert values != expand("0.3~0.1x200", seed="b")
    assert all(0.2 <= v <= 0.4 for v in values)
    assert max(values) > 0.38
    assert min(values) < 0.22
    assert len(set(values)) == 200


def test_patterns_within_patterns() -> None:
    assert shown("{week}", week="{day}x2 0", day="1 2") == [1, 2, 1, 2, 0]


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("0.3 x4", 4, 'cannot read "x4"'),
        ("0.3x", 0, "cannot read"),
        ("0.3x2y", 0, "cannot read"),
        ("abc", 0, "cannot read"),
        ("1 (2 3", 2, "never closed"),
        ("1 2)", 3, 'without "("'),
        ("(1)x3x", 2, "cannot read"),
        ("1 {nobody}", 2, "unknown pattern"),
        ("{round}", 0, "in a circle"),
        ("1x999999", 0, "more than"),
        ("((1x999)x999)x999", 7, "more than"),
        ("((((((((1))))))))", 5, "nested too deeply"),
        ("1e5", 0, "cannot read"),
        ("NaN", 0, "cannot read"),
    ],
)
def test_mistakes_have_a_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(SeriesError) as error:
        expand(text, {"round": "{round}"})
    assert message in str(error.value)
    assert error.value.offset == offset


@given(st.text("01.x_()+-~ {}a\n", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        values = expand(text, {"a": "1 2"})
    except SeriesError as error:
        values = []
        offset = error.offset
    else:
        offset = 0
    assert 0 <= offset <= len(text)
    assert len(values) <= 200_000
