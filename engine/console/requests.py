"""What the API takes. Texts are bounded; times are ISO 8601 with an offset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr

from engine.console.schemas import Model, RoleName

Id = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Code = Annotated[str, Field(max_length=40, pattern=r"^[0-9]*$")]
Note = Annotated[str, Field(max_length=2_000)]
Why = Annotated[str, Field(min_length=1, max_length=500)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1_000)]
When = AwareDatetime


class SignIn(Model):
    """Name and password."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    password: Password


class Preferences(Model):
    """What an account remembers; null leaves it alone."""

    language: Literal["zh", "en"] | None = None
    theme: Literal["dark", "light", "auto"] | None = None


class PasswordChange(Model):
    """The old password and the new one."""

    old: Password
    new: Annotated[SecretStr, Field(min_length=12, max_length=200)]


class ContactAttempt(Model):
    """A call, and what came of it."""

    who: Annotated[str, Field(min_length=1, max_length=40)]
    result: Literal["reached", "no_answer", "busy", "wrong_number", "message_sent", "safe", "help"]
    at: When | None = Field(None, description="When it happened, if sent later (offline).")


class Happened(Model):
    """When it happened, if it is sent later (offline): never before the task, never after now."""

    at: When | None = None


class OutcomeReport(Model):
    """What was found at the door."""

    kind: Id
    until: When | None = None
    from_: When | None = Field(None, alias="from")
    kw: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    note: Note = ""
    photos: Annotated[tuple[Id, ...], Field(max_length=4)] = ()
    at: When | None = None


class Reason(Model):
    """Why."""

    why: Why


class Closing(Model):
    """Close a reported task; the resident's satisfaction, 1 to 5, where asked."""

    why: Note = ""
    satisfaction: Annotated[int, Field(ge=1, le=5)] | None = None


class Reassign(Model):
    """To whom, and why."""

    to: Id
    why: Note = ""


class Transfer(Model):
    """Into another queue (a role), with or without a worker."""

    queue: Literal["gridworker", "grid_leader", "street", "department"]
    to: Id | None = None
    why: Why


class Whistle(Model):
    """Call departments in; each gets a limit."""

    departments: Annotated[list[Id], Field(min_length=1, max_length=10)]
    limit_s: Annotated[int, Field(ge=60, le=30 * 86_400)] = 7_200
    why: Why


class Answer(Model):
    """What a department reports."""

    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class NewAbsence(Model):
    """An absence, or another kind that quiets."""

    subject_id: Id
    kind: Id = "away"
    from_: When | None = Field(None, alias="from")
    until: When
    source: Literal["console", "phone", "family"] = "console"


class NewSilence(Model):
    """Nobody is sent for a rule, place or subject until then."""

    rule: Id | None = None
    place: Code | None = None
    subject_id: Id | None = None
    until: When
    why: Why


class NewIncident(Model):
    """An event that a gridworker reports (随手报)."""

    place: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[0-9]+$")]
    topic: Id
    text: Note = ""
    photos: Annotated[tuple[Id, ...], Field(max_length=4)] = ()
    at: When | None = None
    merge_into: Id | None = None


class WorkerChange(Model):
    """Shift and stand-in of a worker."""

    shift: Annotated[str, Field(max_length=60)] | None = None
    stand_in: Annotated[str, Field(max_length=100)] | None = None
    grids: Annotated[list[Code], Field(max_length=200)] | None = None


class NewAccount(Model):
    """An account; without a password one is made and answered once."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,63}$")]
    display: Annotated[str, Field(max_length=100)] = ""
    roles: Annotated[list[RoleName], Field(min_length=1, max_length=6)]
    scope: Annotated[list[Code], Field(min_length=1, max_length=100)]
    worker_id: Id | None = None
    wall: bool = False
    oidc_subject: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="Who this is at the identity provider."
    )
    password: Annotated[SecretStr, Field(min_length=12, max_length=200)] | None = None


class AccountChange(Model):
    """What changes of an account; null leaves it alone."""

    display: Annotated[str, Field(max_length=100)] | None = None
    roles: Annotated[list[RoleName], Field(min_length=1, max_length=6)] | None = None
    scope: Annotated[list[Code], Field(min_length=1, max_length=100)] | None = None
    worker_id: Id | None = None
    wall: bool | None = None
    disabled: bool | None = None
    oidc_subject: Annotated[str, Field(max_length=200)] | None = None


class TokenRequest(Model):
    """An API token."""

    label: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Literal["read", "act", "messages"]], Field(min_length=1)]
    days: Annotated[int, Field(ge=1, le=730)] = 90


class ConsentChange(Model):
    """Purpose and expiry of what is kept of somebody."""

    purpose: Annotated[str, Field(min_length=1, max_length=200)]
    until: When | None


class Away(Model):
    """Away until then."""

    until: When


class Rating(Model):
    """What a family thinks of a visit: 1 (not content at all) to 5."""

    task_id: Id
    rating: Annotated[int, Field(ge=1, le=5)]


class PushKeys(Model):
    """Keys of a push subscription, base64url."""

    p256dh: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{86,88}={0,2}$")]
    auth: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{22,24}={0,2}$")]


class PushRequest(Model):
    """A browser's push subscription, as `PushSubscription.toJSON()` gives it."""

    endpoint: Annotated[str, Field(max_length=1_000, pattern=r"^https://[!-~]+$")]
    keys: PushKeys


class Reply(Model):
    """A family's reply to a message, as the message gateway hands it on."""

    link: Annotated[str, Field(min_length=10, max_length=200)]
    text: Annotated[str, Field(max_length=500)]


class Proposal(Model):
    """Rule files proposed to take the place of those in force of the same name, or to be added."""

    files: Annotated[
        dict[str, Annotated[str, Field(max_length=200_000)]], Field(min_length=1, max_length=200)
    ]
    whole: bool = Field(False, description="These are all files; others in force are dropped.")
    note: Note = ""
