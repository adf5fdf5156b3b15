"""The guide to rules names all that conditions, texts and tests may say; in Chinese it does the same."""

import re
from dataclasses import replace

import pytest

from detectors.base import names
from rules import casegrammar as grammar
from rules.expression import FUNCTIONS, MACROS, METHODS
from rules.loader import registered
from rules.model import CONTEXTS, COUNTERFACTUALS
from rules.scope import ALERT, LOOK, NOW, SUBJECT, signal_scope
from rules.texts import FORMATS
from tests.conftest import ROOT
from tests.docs.pages import Step, steps

PAGE = (ROOT / "docs" / "guides" / "new-rule.md").read_text("utf-8")
CHINESE = (ROOT / "docs" / "zh" / "new-rule.md").read_text("utf-8")
REFERENCES = {
    "en": PAGE[PAGE.index("## What conditions see") :],
    "zh": CHINESE[CHINESE.index("## 条件里能用什么") :],
}
guides = pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)

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


@guides
@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_in_the_guide(name: str, reference: str) -> None:
    assert re.search(r"[`.\s:{]" + re.escape(name) + r"(?!\w)", reference), name


@guides
@pytest.mark.parametrize("record", RECORDS)
def test_every_key_of_a_test_is_in_the_guide(record: str, reference: str) -> None:
    for key in getattr(grammar, record).entries:
        assert f"`{key}`" in reference, key


@guides
@pytest.mark.parametrize("name", names())
def test_every_fact_of_a_detector_is_in_the_guide(name: str, reference: str) -> None:
    told = registered(name)
    assert not isinstance(told, str)
    (row,) = [x for x in reference.splitlines() if re.match(rf"\|[^|]*`{name}`[^|]*\| `", x)]
    assert told.facts is not None
    assert set(re.findall(r"`(\w+)`", row.split("|")[2])) == set(told.facts)


def done(page: str) -> list[Step]:
    """Return what a page writes and runs, without comments and where it stands."""
    return [replace(s, text=re.sub(r"[ \t]*# [^\n]*", "", s.text), line=0) for s in steps(page)]


def test_both_guides_do_the_same() -> None:
    """So that the Chinese one need not be run: `test_pages` runs the English."""
    assert len(done(PAGE)) >= 15
    for english, chinese in zip(done(PAGE), done(CHINESE), strict=True):
        assert chinese == english
    other = CHINESE.replace("limit: 55, hours: 1", "limit: 55, hours: 2")
    assert done(other) != done(PAGE)
