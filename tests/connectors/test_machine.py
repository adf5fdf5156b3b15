"""Instructions that numba has no name for: hints change no result, words are eight bytes."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from connectors.machine import load_word, prefetch, store_word, trailing_zeros


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

    @njit
    def no_bytes(values):  # type: ignore[no-untyped-def]
        return load_word(values, 0)

    with pytest.raises(TypingError, match="prefetch takes an array and an index"):
        wrong(1.0)
    with pytest.raises(TypingError, match="load_word takes an array of uint8"):
        no_bytes(np.zeros(8, np.int64))


def test_words_are_taken_and_written_wherever_they_begin() -> None:
    @njit
    def moved(source, target, at):  # type: ignore[no-untyped-def]
        word = load_word(source, at)
        store_word(target, at + 1, word)
        return word

    source = np.arange(1, 20, dtype=np.uint8)
    for at in range(10):
        target = np.zeros(20, np.uint8)
        word = moved(source, target, at)
        assert word == int.from_bytes(source[at : at + 8].tobytes(), "little")
        assert target.tolist() == [0] * (at + 1) + source[at : at + 8].tolist() + [0] * (11 - at)


def test_trailing_zeros_are_those_below_the_lowest_bit() -> None:
    @njit
    def zeros(word):  # type: ignore[no-untyped-def]
        return trailing_zeros(word)

    for bit in range(64):
        assert zeros(np.uint64(1 << bit)) == bit
        assert zeros(np.uint64(2**64 - (1 << bit))) == bit
