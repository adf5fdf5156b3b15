"""What the API answers for the board, the workbench, reports, administration and families."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.console.schemas import (
    AlertSummary,
    Clock,
    Level,
    Limit,
    Model,
    PlaceRef,
    TaskSummary,
    Text,
    Time,
)

# -- the board --------------------------------------------------------------------------------


class Kpi(Model):
    """One figure of the strip, with its meaning."""

    name: Literal[
        "open", "to_sign", "overdue", "sign_time", "closed_in_time", "confirmed", "complete"
    ]
    label: Text
    value: float | None = Field(description="Null: no value yet; `note` says when.")
    unit: Text
    note: Text | None
    target: float | None = None
    count: int | None = Field(None, description="Numerator of a rate …")
    of: int | None = Field(None, description="… and its denominator.")
    p90: float | None = None
    window_s: int | None = None
    spark: list[float | None] = Field(description="24 hours, the last point is now.")


class Tile(Model):
    """A grid on the map."""

    place: str
    name: str
    community: str
    street: str
    state: Literal["unsigned", "attended", "no_data", "quiet"]
    level: Level | None = Field(description="Worst open alert.")
    open: int | None = Field(description="Null: fewer than may be shown here.")
    to_sign: int
    watched: dict[str, int | None]
    worker: Text | None
    worker_seen: Time | None = Field(None, description="Wall clock.")


class QueueRow(Model):
    """A grid's queue."""

    grid: PlaceRef
    worker: Text | None
    on_duty: bool
    to_sign: int
    open: int
    next: Limit | None


class Feed(Model):
    """Health of a source, a meter class or a concentrator; missing is not zero."""

    name: str
    label: Text
    kind: Literal["source", "class", "concentrator", "events"]
    state: Literal["ok", "late", "broken", "never"]
    lag_s: float | None
    expected: int | None
    missing: float | None = Field(description="Share of expected readings, last slot.")
    rows: int
    quarantined: int
    late: int = 0
    duplicate: int = 0
    delay_s: float | None = Field(None, description="Median, from stamp to arrival.")
    last: Time | None
    spark: list[float | None] = Field(
        description="24 hours: share of readings there; of sources and events, rows."
    )


class Happening(Model):
    """A line of the ticker: no person in it."""

    at: Time
    text: Text
    level: Level | None
    place: PlaceRef | None
    alert_id: str | None
    task_id: str | None


class HourCount(Model):
    """New alerts of an hour by level."""

    hour: Time
    red: int
    orange: int
    yellow: int
    blue: int


class Board(Model):
    """Everything the board shows but the list of alerts (`/alerts`) itself."""

    clock: Clock
    place: PlaceRef
    counts: dict[Level, int]
    streets: int
    communities: int
    grids: int
    open: int
    to_sign: int
    overdue: int
    on_duty: int
    workers: int
    per_worker: float | None
    kpis: list[Kpi]
    tiles: list[Tile]
    queues: list[QueueRow]
    feeds: list[Feed]
    happenings: list[Happening]
    hours: list[HourCount]
    budget_used: float | None = Field(description="Share of this month's false-alarm budget.")
    watched: int
    unseen: int = Field(description="Watched subjects without a reading in their last slot.")
    first_run: bool
    checked_at: Time
    cursor: int = Field(description="Open the stream from here: nothing falls between.")


# -- the workbench ------------------------------------------------------------------------------


class Quantiles(Model):
    """Of a delay, seconds."""

    count: int
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None


class BudgetRow(Model):
    """What a rule may spend, and what it spent."""

    rule: str
    title: Text
    version: str
    subjects: int
    budget: float | None
    scope: str | None
    alerts: int
    false: int = Field(description="Outcomes that say it was false.")
    confirmed: int
    unknown: int
    years: float = Field(description="Subject-years watched.")
    realised: float | None
    low: float | None = Field(description="95 % confidence (Garwood), false per subject-year.")
    high: float | None
    verdict: Literal["held", "over", "too_few"]
    delay: Quantiles = Field(description="Onset to alert.")


class Confusion(Model):
    """Found at the door against what raised it."""

    outcomes: list[str]
    outcome_texts: dict[str, Text]
    rules: list[str] = Field(description="Rules, or the detectors that speak in them.")
    rule_texts: dict[str, Text] = Field(default_factory=dict)
    counts: list[list[int]] = Field(description="[outcome][rule]")


class Quality(Model):
    """Quality of all rules in a window."""

    from_: Time | None = Field(alias="from")
    to: Time | None
    budgets: list[BudgetRow]
    confusion: Confusion
    by_model: Confusion = Field(description="The same by detector.")
    sign_delay: Quantiles
    door_delay: Quantiles
    close_delay: Quantiles
    recall: dict[str, Any]


class RuleInfo(Model):
    """A rule in force."""

    rule: str
    title: Text
    description: Text | None
    version: str
    level: Level
    kinds: list[str]
    grain: str
    budget: float | None
    scope: str | None
    shadow: bool
    yaml: str | None
    file: str = ""
    open: int


class RuleVersionInfo(Model):
    """A set of rule files: proposed, approved, active or retired."""

    version: str
    author: str
    approver: str | None
    status: str
    at: Time
    note: str
    files: list[str]
    mine: bool
    has_report: bool
    rehearsal: str = Field("", description="`running`, or what went wrong with the last dry run.")
    from_: Time | None = Field(None, alias="from", description="In force from then on.")
    tests_passed: int | None = None
    tests_failed: int | None = None


class RuleVersionDetail(RuleVersionInfo):
    """The same with its files, and how they differ from what is in force."""

    yaml: dict[str, str]
    diff: list[DiffLine]
    can_rehearse: bool = Field(False, description="There is history for a dry run.")
    leaves: list[str] = Field([], description="Rules in force that it lacks.")
    untested: list[str] = Field([], description="Its rules that no test was run for.")


class DiffLine(Model):
    """One line of a diff."""

    file: str
    op: Literal[" ", "+", "-", "@"]
    old: int | None
    new: int | None
    text: str


class DryRun(Model):
    """A dry run over history: alerts gained and lost, extra visits."""

    version: str
    against: str
    at: Time
    report: dict[str, Any]


# -- reports ------------------------------------------------------------------------------------


class EffectRow(Model):
    """Effectiveness of a grid or rule in a period."""

    key: str
    label: Text
    alerts: int
    tasks: int
    signed: int
    signed_in_time: float | None
    sign_p50_s: float | None
    sign_p90_s: float | None
    reported: int
    closed: int
    on_time: float | None
    resolved: float | None
    reopened: int
    confirmed: int
    false: int
    unknown: int
    confirmed_rate: float | None
    satisfaction: float | None
    causes: dict[str, int]


class Effectiveness(Model):
    """The effectiveness report; also as `.html` and `.csv`."""

    from_: Time = Field(alias="from")
    to: Time
    made_at: Time
    total: EffectRow
    by_rule: list[EffectRow]
    by_grid: list[EffectRow]
    simulated: Text | None


class Incident(Model):
    """An event that a gridworker reported (随手报)."""

    report_id: str
    at: Time
    place: PlaceRef
    topic: str
    text: str
    by: str
    photos: list[str]
    merged_into: str | None
    similar: int


class TopicInfo(Model):
    """A topic to report."""

    topic: str
    text: Text


class Silence(Model):
    """Nobody is sent for alerts of a rule within a place for a while; they are recorded."""

    silence_id: str
    rule: str | None
    place: PlaceRef | None
    subject_id: str | None
    from_: Time = Field(alias="from")
    until: Time
    by: str
    why: str
    revoked_at: Time | None
    holds: bool


class WorkerInfo(Model):
    """A worker of the roster, by number."""

    worker_id: str
    label: Text
    grids: list[PlaceRef]
    role: str
    shift: str
    stand_in: str | None
    on_duty: bool
    open: int
    to_sign: int


# -- people and rights ----------------------------------------------------------------------------


class AuditEntry(Model):
    """Who did or saw what."""

    id: int
    at: Time
    wall_at: Time | None
    who: str
    action: str
    what: str
    detail: dict[str, Any]


class Consent(Model):
    """What personal data are kept of somebody, for what, until when; never the data."""

    subject_id: str
    fields: list[str]
    purpose: str
    until: Time | None
    expired: bool


class FamilyLink(Model):
    """A family's link, without its secret."""

    link_id: str
    subject_id: str
    created: Time
    by: str
    last_used: Time | None
    uses: int
    revoked: bool


class NewFamilyLink(FamilyLink):
    """The same with its address, shown this once."""

    url: str


class VisitAsked(Model):
    """A visit that a family is asked about."""

    task_id: str
    day: str = Field(description="Local date of the visit.")


class FamilyState(Model):
    """What a family's page shows: nothing personal."""

    today: str = Field(description="Local date.")
    away_until: Time | None
    absence_id: str | None
    longest_days: int
    zone: str
    message: Text
    ask: VisitAsked | None = Field(description="Last visit nobody was asked about, or null.")


class PushInfo(Model):
    """Whether phones can be woken."""

    key: str | None = Field(description="VAPID public key (base64url); null: the site wakes none.")


class PushState(Model):
    """A phone that is woken."""

    subscription_id: str


class Health(Model):
    """Whether the console and its store work; needs no session."""

    status: Literal["ok", "degraded"]
    store: bool
    event_time: Time | None
    version: str


class Retention(Model):
    """How long what is kept, days; and what the last sweep removed."""

    photos_days: int
    looks_days: int
    curves_days: int
    sessions_days: int
    last_sweep: Time | None
    removed: dict[str, int]


class Done(Model):
    """It is done."""

    ok: Literal[True] = True


# -- the stream -----------------------------------------------------------------------------------


class AlertMessage(Model):
    """SSE event `alert`."""

    cursor: int
    alert: AlertSummary


class TaskMessage(Model):
    """SSE event `task`."""

    cursor: int
    task: TaskSummary


class Resync(Model):
    """SSE event `resync`: too far behind; read the lists again, then go on from `cursor`."""

    cursor: int
    why: str


RuleVersionDetail.model_rebuild()
