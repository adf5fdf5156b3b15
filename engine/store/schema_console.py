"""The console's tables. Columns that end in ``_wall`` are wall-clock seconds, all else event time.

Secrets are kept as hashes only: a copy of the database signs nobody in.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, Table, Text

from engine.store.schema import Name, Serial, Time, metadata

Wall = Float

accounts = Table(
    "accounts",
    metadata,
    Column("name", Name, primary_key=True),
    Column("display", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("worker_id", Name),
    Column("wall", Integer, nullable=False),
    Column("language", Name, nullable=False),
    Column("theme", Name, nullable=False),
    Column("disabled", Integer, nullable=False),
    Column("password", Text),
    Column("oidc_subject", Name),
    Column("signed_in_wall", Wall),
    comment="Who can sign in, as what, where; passwords as argon2id hashes.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("session", Name, primary_key=True),
    Column("account", Name, nullable=False),
    Column("csrf", Name, nullable=False),
    Column("created_wall", Wall, nullable=False),
    Column("expires_wall", Wall, nullable=False),
    Index(None, "account"),
    comment="Who is signed in, by the hash of the cookie.",
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Name, primary_key=True),
    Column("secret", Name, nullable=False),
    Column("label", Text, nullable=False),
    Column("account", Name, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_wall", Wall, nullable=False),
    Column("expires_wall", Wall),
    Column("used_wall", Wall),
    Column("revoked", Integer, nullable=False),
    Index(None, "account"),
    comment="API tokens, by the hash of their secret.",
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("key", Name, nullable=False),
    Column("at_wall", Wall, nullable=False),
    Index(None, "key", "at_wall"),
    comment="Wrong passwords of late, by account and by address; swept.",
    sqlite_autoincrement=True,
)

requests = Table(
    "requests",
    metadata,
    Column("account", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("body_hash", Name, nullable=False),
    Column("at_wall", Wall, nullable=False),
    Index(None, "at_wall"),
    comment="Idempotency keys of the API, and the hash of what was asked with each.",
)

photos = Table(
    "photos",
    metadata,
    Column("photo_id", Name, primary_key=True),
    Column("task_id", Name),
    Column("incident_id", Name),
    Column("subject_id", Name),
    Column("place", Name, nullable=False),
    Column("by", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("key_id", Name, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("nbytes", Integer, nullable=False),
    Index(None, "task_id"),
    Index(None, "subject_id"),
    comment="Photos, re-encoded without metadata and sealed with AES-GCM.",
)

task_calls = Table(
    "task_calls",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("department", Name, primary_key=True),
    Column("called_ns", Time, nullable=False),
    Column("due_ns", Time, nullable=False),
    Column("by", Name, nullable=False),
    Column("why", Text, nullable=False),
    Column("answered_ns", Time),
    Column("answered_by", Name),
    Column("answer", Text),
    comment="Departments called in to a task, each with its limit, and what they reported.",
)

task_marks = Table(
    "task_marks",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("step", Name, primary_key=True),
    Column("mark", Name, primary_key=True),
    Column("at_ns", Time, nullable=False),
    comment="Yellow and red marks that tasks got, each once.",
)

leases = Table(
    "leases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("holder", Name, nullable=False),
    Column("token", Integer, nullable=False),
    Column("until_wall", Wall, nullable=False),
    comment="Who does what only one may do; the token rises with every change of hands.",
)

family_links = Table(
    "family_links",
    metadata,
    Column("link_id", Name, primary_key=True),
    Column("secret", Name, nullable=False, unique=True),
    Column("subject_id", Name, nullable=False),
    Column("created_ns", Time, nullable=False),
    Column("by", Name, nullable=False),
    Column("used_ns", Time),
    Column("uses", Integer, nullable=False),
    Column("revoked_ns", Time),
    Index(None, "subject_id"),
    comment="Links of families, by the hash of their secret.",
)

ratings = Table(
    "ratings",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("subject_id", Name, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("by", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    Index(None, "subject_id"),
    comment="How content a home was with a visit, 1 to 5, as its family's link said.",
)

push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("subscription_id", Name, primary_key=True),
    Column("account", Name, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("p256dh", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("seen_wall", Wall, nullable=False),
    Index(None, "account"),
    comment="Phones that want to be woken; of no use to anybody without the site's own key.",
)

reminders = Table(
    "reminders",
    metadata,
    Column("key", Name, primary_key=True),
    Column("subject_id", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    comment="Reminders already put into the outbox, each once.",
)

incidents = Table(
    "incidents",
    metadata,
    Column("report_id", Name, primary_key=True),
    Column("at_ns", Time, nullable=False),
    Column("place", Name, nullable=False),
    Column("topic", Name, nullable=False),
    Column("text", Text, nullable=False),
    Column("by", Name, nullable=False),
    Column("merged_into", Name),
    Index(None, "at_ns"),
    comment="Events that gridworkers reported.",
)

silences = Table(
    "silences",
    metadata,
    Column("silence_id", Name, primary_key=True),
    Column("rule", Name),
    Column("place", Name),
    Column("subject_id", Name),
    Column("from_ns", Time, nullable=False),
    Column("until_ns", Time, nullable=False),
    Column("by", Name, nullable=False),
    Column("why", Text, nullable=False),
    Column("revoked_ns", Time),
    Index(None, "until_ns"),
    comment="Alerts for which nobody is sent for a while; they are recorded all the same.",
)

feeds = Table(
    "feeds",
    metadata,
    Column("name", Name, primary_key=True),
    Column("kind", Name, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_ns", Time, nullable=False),
    comment="Health of each source and meter class, as the pipeline last told it.",
)

subjects = Table(
    "subjects",
    metadata,
    Column("subject_id", Name, primary_key=True),
    Column("kind", Name, nullable=False),
    Column("place", Name, nullable=False),
    Column("zone", Name, nullable=False),
    Column("attrs", Text, nullable=False),
    Column("meters", Text, nullable=False),
    Index(None, "place"),
    comment="What is watched, as the tables of the last start said; pseudonymous.",
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Name, primary_key=True),
    Column("at_ns", Time, nullable=False),
    Column("body", Text, nullable=False),
    comment="What regular work (retention …) last did.",
)
