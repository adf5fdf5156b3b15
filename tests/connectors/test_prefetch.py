"""A hint to the processor is in the machine code, and changes no result."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from connectors.prefetch import prefetch


def test_the_hint_reaches_the_compiler_and_changes_nothing() -> None:
    @njit
    def total(values, order):  # type: ignore[no-untyped-def]
        found = 0.0
        for i in range(len(order)):
            prefetch(values, order[min(i + 8, len(order) - 1)])
            found += values[order[i]]["level"]
        return found

    values = np.zeros(1_000, [("stamp", np.uint32), ("level", np.float64)])  # records, unaligned
    values["level"] = np.arange(1_000)
    for kind in (np.int32, np.int64, np.uint64):
        order = np.random.default_rng(3).permutation(1_000).astype(kind)
        assert total(values, order) == 999 * 1_000 / 2
    assert "llvm.prefetch" in next(iter(total.inspect_llvm().values()))


def test_it_says_what_it_takes() -> None:
    @njit
    def wrong(value):  # type: ignore[no-untyped-def]
        prefetch(value, 0)

    with pytest.raises(TypingError, match="prefetch takes an array and an index"):
        wrong(1.0)
