"""What the API answers about subjects: their series, events and facts."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.console.schemas import (
    Absence,
    AlertSummary,
    LedgerEntry,
    Level,
    Model,
    Outcome,
    PlaceRef,
    Text,
    Time,
)


class Stretch(Model):
    """A stretch of time."""

    from_: Time = Field(alias="from")
    to: Time


class Curve(Model):
    """A series with its usual band; null is no reading, which is not zero."""

    utility: str
    unit: str
    interval_s: int
    from_: Time = Field(alias="from")
    to: Time
    values: list[float | None] = Field(description="Amount per interval.")
    low: list[float | None] = Field(description="10 % of like slots lie below …")
    high: list[float | None] = Field(description="… and 10 % above.")
    threshold: float | None = Field(
        description="What an alert's use had to exceed or kept up, per interval; null: not known."
    )
    standby: float | None
    complete: float | None = Field(description="Share of slots with a reading.")
    days: int = Field(description="Days the band was learned from.")


class RasterDay(Model):
    """A day, one letter a slot: `1` sign of life, `0` none, `.` no reading, ` ` to come."""

    date: str
    cells: str


class EvidenceSeries(Model):
    """Evidence over time; null is not ready."""

    signal: str
    interval_s: int
    from_: Time = Field(alias="from")
    values: list[float | None]
    line: float | None


class Curves(Model):
    """All series of a subject in a window."""

    subject_id: str
    from_: Time = Field(alias="from")
    to: Time
    curves: list[Curve] = Field(description="First the one that the alert speaks of.")
    raster: list[RasterDay]
    evidence: list[EvidenceSeries]
    silent: Stretch | None
    marks: list[SubjectEvent]
    summary: Text = Field(description="The finding in one sentence, for `desc`.")


class SubjectEvent(Model):
    """An event, outcome, absence or alert on a subject's time line."""

    at: Time
    until: Time | None = None
    kind: str
    text: Text
    alert_id: str | None = None


class SubjectSummary(Model):
    """A subject in the explorer's list."""

    subject_id: str
    kind: str
    place: PlaceRef
    evidence: float | None = Field(description="Now; null: not ready.")
    open_alert: str | None
    level: Level | None
    absent_until: Time | None
    simulated: bool


class Meter(Model):
    """A meter of a subject."""

    utility: str
    kind: str
    unit: str
    interval_s: int
    last: Time | None
    complete: float | None


class SubjectDetail(SubjectSummary):
    """A subject with its facts."""

    path: list[PlaceRef]
    attrs: dict[str, Any]
    meters: list[Meter]
    signals: list[LedgerEntry]
    outcomes: list[Outcome]
    absences: list[Absence]
    alerts: list[AlertSummary]
    ready: bool | None
    history_days: int


Curves.model_rebuild()
