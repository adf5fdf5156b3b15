"""An alert's change of state: the record that leaves the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(StrEnum):
    """Exported states of an alert (pending is never exported)."""

    FIRING = "firing"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class Level(StrEnum):
    """Warning levels of GB/T 37230-2018, most urgent first."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    BLUE = "blue"


def stamp(ns: int) -> str:
    """Return ISO 8601 in UTC with second precision (microseconds only where there are any).

    >>> stamp(1_456_790_400_000_000_000)
    '2016-03-01T00:00:00Z'
    """
    moment = _EPOCH + timedelta(microseconds=ns // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def alert_id(rule: str, subject: str, onset_ns: int) -> str:
    """Return the deterministic id of an alert: 20 hex digits of SHA-256 of (rule, subject, onset).

    `subject` is the subject's id, or the place code for an alert about a place.

    >>> alert_id("elderly-silence", "home-1", 0)
    'dae2f2b3815709fa223d'
    """
    text = f"{rule}\x1f{subject}\x1f{onset_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the alerts file: one change of an alert's state or level (DESIGN.md, "Files").

    Field order is the order in the JSON. Times are ISO 8601 UTC strings.
    """

    alert_id: str
    seq: int
    at: str
    rule: str
    rule_version: str
    subject_id: str | None
    place: str
    level: Level
    state: State
    onset: str
    raised_at: str
    evidence: float | None
    p_value: float | None
    budget: float | None
    reason: Mapping[str, str]
    facts: Mapping[str, Any]
    signals: Sequence[Mapping[str, Any]]

    def line(self) -> bytes:
        """Return the canonical JSON line (sorted facts, no trailing newline)."""
        return _ENCODER.encode(self)


_ENCODER = msgspec.json.Encoder(order="deterministic")
