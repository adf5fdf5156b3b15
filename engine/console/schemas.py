"""What the API answers. What it takes is in :mod:`engine.console.requests`.

Times are ISO 8601 UTC strings of event time, unless a field says *wall clock*. A field that a
reader may not see is null, and ``hidden`` says so; it never falls out of the object.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["red", "orange", "yellow", "blue"]
AlertState = Literal["firing", "resolved", "cancelled"]
TaskStateName = Literal[
    "calling",
    "dispatched",
    "signed",
    "handling",
    "reported",
    "closed",
    "escalated",
    "reassigned",
    "cancelled",
]
Mark = Literal["", "yellow", "red"]
Step = Literal["sign", "contact", "door", "report", "close"]
RoleName = Literal["command", "dispatcher", "gridworker", "data", "admin", "auditor"]
Time = str
T = TypeVar("T")


class Model(BaseModel):
    """Base: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Text(Model):
    """One sentence in both languages."""

    zh: str
    en: str


class FieldError(Model):
    """What is wrong with one field of a request."""

    field: str
    problem: str


class Problem(Model):
    """An error (RFC 9457, ``application/problem+json``)."""

    status: int
    code: str = Field(description="Stable word for programs: `not_found`, `conflict`, …")
    title: Text
    detail: str = ""
    reference: str = Field("", description="Number under which the log has it.")
    retry_after_s: int | None = None
    errors: list[FieldError] = []
    task: TaskSummary | None = Field(None, description="With `conflict`: the task as it stands.")


class Page(Model, Generic[T]):
    """A page of a list; ask for the next with ``?cursor=``."""

    items: list[T]
    next: str | None = Field(None, description="Cursor of the next page; null: the end.")
    total: int | None = Field(None, description="Of all pages, where cheap to know.")


# -- who and when ---------------------------------------------------------------------------


class Clock(Model):
    """Event time now, so that a device can count on by itself."""

    now: Time
    speed: float = Field(description="Event seconds per second; 1 live.")
    last_data: Time | None = Field(description="Newest event time that a shard committed.")
    zone: str
    simulated: Text | None = Field(None, description="Banner: which data are simulated.")


class Account(Model):
    """Somebody who can sign in."""

    name: str
    display: str
    roles: list[RoleName]
    scope: list[str] = Field(description='Place codes with all that is within; [""]: everywhere.')
    worker_id: str | None = Field(None, description="Who this is in the roster.")
    wall: bool = Field(False, description="Wall display: no ids, no details, small counts hidden.")
    language: Literal["zh", "en"] = "zh"
    theme: Literal["dark", "light", "auto"] = "auto"
    disabled: bool = False
    signed_in_at: Time | None = Field(None, description="Wall clock.")


class Session(Model):
    """Who is signed in."""

    account: Account
    csrf: str = Field(description="Send it back as `X-CSRF-Token` with every change.")
    expires: Time = Field(description="Wall clock.")
    clock: Clock
    can: list[str] = Field(description="Operations this account may call (operationId).")
    version: str


class SignInOptions(Model):
    """What the sign-in page offers; needs no session."""

    oidc: str | None = Field(None, description="Name of the identity provider, if configured.")
    site: Text
    simulated: Text | None = None
    version: str


class Token(Model):
    """An API token, without its secret."""

    token_id: str
    label: str
    account: str
    scopes: list[str]
    created: Time
    expires: Time | None
    last_used: Time | None
    revoked: bool


class NewToken(Token):
    """The same with its secret, shown this once."""

    secret: str


# -- places -----------------------------------------------------------------------------------


class PlaceRef(Model):
    """A place by code, name and level of the tree."""

    place: str
    name: str
    level: str


class Place(PlaceRef):
    """A place of the tree, with what is watched there."""

    parent: str | None
    subjects: dict[str, int | None] = Field(
        description="Subjects by kind; null: fewer than 5, not shown on a wall."
    )


# -- tasks --------------------------------------------------------------------------------------


class Limit(Model):
    """A time limit of a task."""

    step: Step
    at: Time
    yellow_at: Time
    done_at: Time | None = None
    mark: Mark = ""


class TaskBrief(Model):
    """A task in one line of an alert."""

    task_id: str
    state: TaskStateName
    queue: str
    assignee: str | None
    assignee_label: Text | None = Field(description="`Worker 07`: never a name.")
    mark: Mark
    due: Limit | None = Field(description="The limit that runs now.")


class ContactStep(Model):
    """Whom to call before a visit."""

    who: str
    wait_s: int


class TaskSummary(TaskBrief):
    """A task as lists show it."""

    seq: int
    alert_id: str
    alert_state: AlertState
    alerts: int
    subject_id: str | None
    subject_kind: str | None
    place: PlaceRef
    path: list[PlaceRef]
    rule: str
    title: Text
    level: Level
    kind: Literal["visit", "check"]
    reason: Text
    quiet_if: Text | None
    opened_at: Time
    updated_at: Time
    outcome: str | None
    contact_first: list[ContactStep]
    limits: list[Limit]
    ladder_step: int
    mine: bool = Field(description="Whether the reader holds it.")


class TaskEvent(Model):
    """One line of a task's history."""

    seq: int
    at: Time
    action: str
    state_from: str | None
    state_to: str
    by: str
    why: str
    detail: dict[str, Any]


class Photo(Model):
    """A photo; fetch it from `/api/v1/photos/{photo_id}`."""

    photo_id: str
    at: Time
    by: str
    width: int
    height: int
    bytes: int


class DepartmentCall(Model):
    """A department called in ("the street whistles"), and what it reported."""

    department: str
    called_at: Time
    by: str
    why: str
    due: Time
    mark: Mark
    answered_at: Time | None
    answer: str | None


class PersonLock(Model):
    """Whether the reader may look at personal data now, and why not."""

    state: Literal["open", "sign_first", "holder_only", "no_consent", "none"]
    text: Text


class TaskDetail(TaskSummary):
    """A task with all that its page shows."""

    history: list[TaskEvent]
    photos: list[Photo]
    calls: list[DepartmentCall]
    person: PersonLock
    outcomes: list[OutcomeKind] = Field(description="What can be reported here, commonest first.")
    actions: list[str] = Field(description="What the reader may do to it now.")
    ladder: list[LadderStep]


class LadderStep(Model):
    """Who takes over when nobody signs."""

    to: str
    at: Time | None
    taken: bool


class Person(Model):
    """Personal data, only for the holder of the task; the look is logged before it is answered."""

    subject_id: str
    name: str | None
    address: str | None
    phone: str | None
    note: str | None
    contacts: list[Contact]
    logged_at: Time


class Contact(Model):
    """Somebody to call."""

    who: str
    relation: str | None
    name: str | None
    phone: str | None


class OutcomeKind(Model):
    """A kind of outcome, for the picker."""

    kind: str
    text: Text
    verdict: Literal["confirmed", "false", "unknown"]
    needs: list[str]
    quiets: bool
    longest_days: int | None


# -- alerts -------------------------------------------------------------------------------------


class AlertSummary(Model):
    """An alert as lists and the stream show it."""

    alert_id: str
    seq: int
    state: AlertState
    level: Level
    rule: str
    title: Text = Field(description="Kind of alert, for people.")
    subject_id: str | None
    subject_kind: str | None
    place: PlaceRef
    path: list[PlaceRef] = Field(description="From the top down to `place`.")
    onset: Time
    raised_at: Time
    at: Time
    evidence: float | None
    reason: Text = Field(description="What was seen, for how long, what is usual.")
    quiet_if: Text | None = Field(description="What would have kept it quiet.")
    task: TaskBrief | None
    simulated: bool


class LedgerEntry(Model):
    """One line of the evidence ledger."""

    signal: str
    text: Text
    weight: float | None = Field(description="log10 likelihood ratio; null: not counted.")
    running: float | None
    counted: bool


class Ledger(Model):
    """Evidence added up: the weights sum to `total` as printed."""

    entries: list[LedgerEntry]
    total: float | None
    line: float | None = Field(description="What it had to reach; null: the budget has no line.")
    p_value: float | None
    budget: float | None


class TimelineEntry(Model):
    """What happened, is now, or is still to come."""

    at: Time | None
    state: Literal["past", "now", "next"]
    what: str
    text: Text
    by: str | None = None
    mark: Mark = ""


class Provenance(Model):
    """Where an alert comes from."""

    rule: str
    rule_version: str
    shard: str
    offset: int
    inputs: list[InputHash]
    audit: str | None = Field(description="Command that proves it by replay.")
    body_hash: str


class InputHash(Model):
    """One input file and its hash."""

    file: str
    sha256: str


class AlertDetail(AlertSummary):
    """An alert with all that its page shows."""

    p_value: float | None
    budget: float | None
    rule_version: str
    facts: dict[str, Any]
    counterfactual: list[dict[str, Any]]
    changes: list[AlertSummaryChange]
    ledger: Ledger
    timeline: list[TimelineEntry]
    provenance: Provenance
    outcomes: list[Outcome]
    absences: list[Absence]
    person: PersonLock
    actions: list[str]


class AlertSummaryChange(Model):
    """One change of an alert."""

    seq: int
    at: Time
    state: AlertState
    level: Level
    reason: Text


class Outcome(Model):
    """What was found at a door."""

    outcome_id: str
    task_id: str
    alert_id: str
    subject_id: str | None
    rule: str
    kind: str
    text: Text
    verdict: Literal["confirmed", "false", "unknown"]
    at: Time
    until: Time | None
    kw: float | None
    by: str
    note: str


class Absence(Model):
    """What quiets a subject for a while."""

    absence_id: str
    subject_id: str
    kind: str
    text: Text
    from_: Time = Field(alias="from")
    until: Time
    source: str
    by: str
    declared_at: Time
    revoked_at: Time | None
    holds: bool


for _model in (Problem, TaskDetail, Person, Provenance, AlertDetail):
    _model.model_rebuild()
