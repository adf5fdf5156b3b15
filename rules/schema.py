"""The JSON Schema of rule files, for editors; made from the grammar that the loader reads with."""

from __future__ import annotations

from typing import Any

from rules.grammar import FILE, RULE

SCHEMA_ID = "https://gridwarden.example/schemas/rule.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a rule file: one rule, or several under ``rules``.

    What depends on several keys at once (names in expressions, facts in texts, budgets) is beyond
    a schema: ``rules check`` says it.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Gridwarden rule file",
        "if": {"required": ["rules"]},
        "then": FILE.schema(),
        "else": RULE.schema(),
    }
