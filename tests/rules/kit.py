"""Shared by the tests of rules: a rule file to vary, detectors that need no detectors."""

from __future__ import annotations

from typing import Any

import yaml

from rules.loader import DetectorFacts, load
from rules.model import Rule

KNOWN = {
    "quiet": DetectorFacts(("half_life_d", "water_l"), ("hours", "share", "own", "kind")),
    "load": DetectorFacts(("prior",), ("mean_kw", "nights")),
    "street": DetectorFacts((), ("kind",), "place"),
}


def text(zh: str = "静默", en: str = "silent") -> dict[str, str]:
    return {"zh": zh, "en": en}


def document(**changes: Any) -> dict[str, Any]:
    """Return a small valid rule as plain data, with some keys replaced (None: removed)."""
    base: dict[str, Any] = {
        "name": "a-rule",
        "title": text("标题", "title"),
        "subjects": {"kinds": ["elderly_alone"]},
        "signals": {"silence": {"detector": "quiet"}},
        "when": "silence.due",
        "level": "orange",
        "budget": {"false_alerts_per_subject_year": 12},
        "route": {"queue": "gridworker"},
        "texts": {"raised": text(), "resolved": text(), "cancelled": text()},
    }
    base.update(changes)
    return {key: value for key, value in base.items() if value is not None}


def dump(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=10_000)


def rule(**changes: Any) -> Rule:
    """Return a rule made from :func:`document`."""
    (made,) = load({"rule.yaml": dump(document(**changes))}, KNOWN)
    return made
