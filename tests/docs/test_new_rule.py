"""The guide to rules names everything that conditions, texts and tests may say."""

import re

import pytest

from detectors.base import names
from rules import casegrammar as grammar
from rules.expression import FUNCTIONS, MACROS, METHODS
from rules.loader import registered
from rules.model import CONTEXTS, COUNTERFACTUALS
from rules.scope import ALERT, LOOK, NOW, SUBJECT, signal_scope
from rules.texts import FORMATS
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "guides" / "new-rule.md").read_text("utf-8")
REFERENCE = PAGE[PAGE.index("## What conditions see") :]

NAMES = [
    *(f"s.{name}" for name in signal_scope(())),
    *(f"e.{name}" for name in LOOK),
    *(f"now.{name}" for name in NOW),
    *(f"subject.{name}" for name in SUBJECT),
    *(f"alert.{name}" for name in ALERT),
    *(f"context.{name}" for name in CONTEXTS),
    *COUNTERFACTUALS,
    *(name for name in FORMATS if name != "given"),
    *sorted(f"{name}()" for name in FUNCTIONS | METHODS | MACROS),
]
RECORDS = ("TEST", "_METER", "_SIGNAL", "_EVENT", "_LATE", "_EXPECTED", "_CHANGE")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_in_the_guide(name: str) -> None:
    assert re.search(r"[`.\s:{]" + re.escape(name) + r"(?!\w)", REFERENCE), name


@pytest.mark.parametrize("record", RECORDS)
def test_every_key_of_a_test_is_in_the_guide(record: str) -> None:
    for key in getattr(grammar, record).entries:
        assert f"`{key}`" in REFERENCE, key


@pytest.mark.parametrize("name", names())
def test_every_fact_of_a_detector_is_in_the_guide(name: str) -> None:
    told = registered(name)
    assert not isinstance(told, str)
    (row,) = [x for x in REFERENCE.splitlines() if re.match(rf"\|[^|]*`{name}`[^|]*\| `", x)]
    assert told.facts is not None
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == set(told.facts)
