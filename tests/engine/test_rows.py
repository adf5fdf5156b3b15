"""Finding rows among ascending rows: the same as numpy finds, without copying what is searched."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rows import index_in, indices_in

ROWS = st.lists(st.integers(0, 200), unique=True).map(sorted)


@given(ROWS, st.lists(st.integers(-5, 300)), st.sampled_from([np.int32, np.int64]))
def test_found_as_numpy_finds_them(
    ascending: list[int], asked: list[int], kind: type[np.int32]
) -> None:
    rows = np.array(ascending, kind)
    assert indices_in(rows, asked).tolist() == np.searchsorted(rows, asked).tolist()
    wide = np.array(asked, np.int64)
    assert indices_in(rows, wide).tolist() == np.searchsorted(rows, asked).tolist()
    for one in asked:
        found = index_in(rows, one)
        assert found == (ascending.index(one) if one in ascending else -1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_what_is_searched_is_not_copied(dtype: type[np.int32]) -> None:
    rows = np.arange(1_000_000, dtype=dtype)
    tracemalloc.start()
    try:
        assert index_in(rows, 900_000) == 900_000
        assert indices_in(rows, [5, 7]).tolist() == [5, 7]
        assert indices_in(rows, np.array([5, 7], np.int64)).tolist() == [5, 7]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows.nbytes / 100
