"""In which order rules are asked: one that others hold back comes after them."""

import numpy as np
import pytest

from detectors.budget import Price
from engine.heard import Heard
from engine.hearing import Hearing
from engine.watch import Watch
from rules.compile import CompiledRule
from rules.loader import load
from tests.rules.kit import KNOWN, document, dump


def watches(**held_back_by: tuple[str, ...]) -> list[Watch]:
    """Return rules by name, in the order of their names, each with the alerts that hold it back."""
    texts = {
        f"{name}.yaml": dump(
            document(name=name, unless=[{"alert": other} for other in others] or None)
        )
        for name, others in held_back_by.items()
    }
    rows = np.zeros(0, np.int32)
    return [
        Watch(
            CompiledRule(rule),
            rows,
            {"silence": Heard(rows, np.zeros(0, np.uint64), [], counted=False)},
            Price(0, 1, 0.0),
        )
        for rule in load(texts, KNOWN)
    ]


@pytest.mark.parametrize(
    ("rules", "order"),
    [
        ({"a": (), "b": (), "c": ()}, "abc"),
        ({"a": ("b",), "b": (), "c": ()}, "bca"),
        ({"a": ("b",), "b": ("c",), "c": ()}, "cba"),
        ({"a": ("b", "c"), "b": ("c",), "c": ()}, "cba"),
        ({"a": ("b",), "b": ("a",), "c": ("a",)}, "bac"),  # a circle: somebody has to be first
    ],
)
def test_who_is_held_back_is_asked_after_them(
    rules: dict[str, tuple[str, ...]], order: str
) -> None:
    made = watches(**rules)
    hearing = Hearing([], made)
    asked = hearing.ordered(range(len(made)))
    assert "".join(made[i].rule.name for i in asked) == order
    assert hearing.ordered([2, 0]) == [i for i in asked if i in (0, 2)]
