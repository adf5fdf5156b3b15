"""Ids to rows, against a dict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ids import MOST_BYTES, IdMap

TEXT = st.text("ab0中\x00", max_size=20)


@given(
    st.lists(st.lists(st.tuples(TEXT, st.integers(0, 1000)), max_size=30), max_size=5),
    st.lists(st.lists(st.one_of(st.none(), TEXT), max_size=30), max_size=5),
    st.sampled_from(["plain", "large", "view", "dictionary", "sliced"]),
)
def test_it_is_a_dict(
    puts: list[list[tuple[str, int]]], asked: list[list[str | None]], form: str
) -> None:
    ids, twin = IdMap(), dict[str, int]()
    for k in range(max(len(puts), len(asked))):
        if k < len(puts):
            new = len({i for i, _ in puts[k]} - set(twin))
            twin |= dict(puts[k])
            rows = np.array([r for _, r in puts[k]], np.int64)
            assert ids.put(pa.array([i for i, _ in puts[k]], pa.string()), rows) == new
        if k < len(asked):
            array = pa.array(asked[k], pa.string())
            want = [-1 if a is None else twin.get(a, -1) for a in asked[k]]
            if form == "large":
                array = array.cast(pa.large_string())
            elif form == "view":
                array = array.cast(pa.string_view())
            elif form == "dictionary":
                array = array.dictionary_encode()
            elif form == "sliced":
                array = pa.concat_arrays([pa.array(["a", "b"]), array]).slice(2)
            assert ids.lookup(array).tolist() == want
            assert ids.lookup(array).tolist() == want  # the memos are filled now
        assert len(ids) == len(twin)


def test_a_dictionary_that_was_seen_is_looked_up_again_when_the_map_grew() -> None:
    ids = IdMap()
    asked = pa.array(["a", "b", None]).dictionary_encode()
    assert ids.lookup(asked).tolist() == [-1, -1, -1]
    ids.put(pa.array(["b"]), np.array([7]))
    assert ids.lookup(asked).tolist() == [-1, 7, -1]


def test_dictionaries_of_many_batches_do_not_pile_up() -> None:
    ids = IdMap()
    ids.put(pa.array(["a"]), np.array([1]))
    for _ in range(100):
        assert ids.lookup(pa.array(["a"]).dictionary_encode()).tolist() == [1]
    assert len(ids._dictionaries) <= 8


def test_ids_of_every_length() -> None:
    names = [f"{n:05d}"[:n] + "x" * max(0, n - 5) for n in range(60)] + ["y" * MOST_BYTES]
    names = list(dict.fromkeys(names))
    ids = IdMap()
    for name in names:
        ids.put(pa.array([name]), np.array([len(name)]))
    for asked in (names, names[::-1]):
        assert ids.lookup(pa.array(asked)).tolist() == [len(name) for name in asked]
    changed = [name[:-1] + "z" for name in names if name] + ["y" * (MOST_BYTES + 1)]
    assert ids.lookup(pa.array(changed)).tolist() == [-1] * len(changed)
    with pytest.raises(OverflowError, match="65,536 bytes"):
        ids.put(pa.array(["y" * (MOST_BYTES + 1)]), np.array([1]))


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_ids_in_any_order_within_the_budget(shuffled: bool) -> None:
    n = 200_000
    names = pa.array([f"meter-{i:09d}" for i in range(n)])
    rows = np.random.default_rng(2).permutation(n)
    ids = IdMap()
    for start in range(0, n, 30_000):  # growing
        ids.put(names.slice(start, 30_000), rows[start : start + 30_000])
    order = np.random.default_rng(3).permutation(n) if shuffled else np.arange(n)
    for _ in range(2):
        assert (ids.lookup(names.take(pa.array(order))) == rows[order]).all()
    assert ids.nbytes / n - len("meter-000000000") <= 45
