"""The published schema and the loader agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import rules
from rules.casegrammar import TEST_FILE
from rules.schema import schema
from tests.rules.kit import document
from tests.rules.test_loader import problems

LIBRARY = Path(rules.__file__).parent / "library"
VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_library_validates(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text("utf-8")))


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("tests/*.yaml")), ids=lambda p: p.stem)
def test_the_librarys_tests_validate(path: Path) -> None:
    jsonschema.Draft202012Validator(TEST_FILE.schema()).validate(
        yaml.safe_load(path.read_text("utf-8"))
    )


def test_several_rules_in_a_file() -> None:
    VALIDATOR.validate({"rules": [document(), document(name="b")]})


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Not A Name"},
        {"name": None},
        {"level": "pink"},
        {"for": "5"},
        {"for": "soon"},
        {"budget": 0},
        {"budget": {"scope": "fleet"}},
        {"kindz": []},
        {"subjects": {"kindz": []}},
        {"title": {"zh": "标题"}},
        {"signals": {"silence": {"params": {}}}},
        {"shadow": "yes"},
        {"limits": {"levels": {"pink": {}}}},
        {"promote": [{"after": "1h"}]},
        {"unless": [{"context": "abesnt"}]},
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(changes: dict[str, Any]) -> None:
    data = document(**changes)
    assert not VALIDATOR.is_valid(data)
    problems(data)


def test_every_key_is_explained() -> None:
    def walk(part: dict[str, Any]) -> None:
        for name, entry in part.get("properties", {}).items():
            assert entry["description"].endswith((".", ")")) or entry["description"], name
        for value in part.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    walk(inner)

    walk(schema())
