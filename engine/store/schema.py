"""The tables. Times are int64 nanoseconds of event time, JSON is canonical text.

A change here needs a migration in ``engine/store/migrations/versions`` (a test compares both).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0006"
"""Newest migration this program knows."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Time = BigInteger
Name = Text  # ids come from other people's files: no length is long enough
# SQLite counts up only in a column that is INTEGER and the primary key by itself.
Serial = BigInteger().with_variant(Integer, "sqlite")

# What never changes of a row; leaving it alone saves rewriting its indexes.
_FIXED_OF_TASKS = ("alert_id", "door", "subject_id", "place", "grid", "rule", "kind", "opened_ns")
_FIXED_OF_ALERTS = (
    "shard", "rule", "rule_version", "subject_id", "place", "onset_ns", "raised_ns", "budget"
)  # fmt: skip

shards = Table(
    "shards",
    metadata,
    Column("shard", Name, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Name, nullable=False, server_default=""),
    Column("offset", BigInteger, nullable=False),
    Column("clock_ns", Time, nullable=False),
    Column("snapshot", Name),
    comment="One row per shard: who may write, how far the log is committed, current snapshot.",
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("shard", Name, primary_key=True),
    Column("file", Name, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("sha256", Name, nullable=False),
    Column("state_hash", Name, nullable=False, server_default=""),
    Column("nbytes", BigInteger, nullable=False),
    comment="Snapshots that were current once; an older one is the way back from a torn file.",
)

alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", Name, primary_key=True),
    Column("shard", Name, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("state", Name, nullable=False),
    Column("level", Name, nullable=False),
    Column("rule", Name, nullable=False),
    Column("rule_version", Name, nullable=False),
    Column("subject_id", Name),
    Column("place", Name, nullable=False),
    Column("onset_ns", Time, nullable=False),
    Column("raised_ns", Time, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("evidence", Float),
    Column("p_value", Float),
    Column("budget", Float),
    Index(None, "state", "at_ns"),
    Index(None, "subject_id"),
    comment="Each alert as it stands.",
    info={"fixed": _FIXED_OF_ALERTS},
)

alert_changes = Table(
    "alert_changes",
    metadata,
    Column("alert_id", Name, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("shard", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("body", Text, nullable=False),
    Column("body_hash", Name, nullable=False),
    Index(None, "at_ns"),
    comment="Each change of each alert, as exported; never changed.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("topic", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at_ns", Time, nullable=False),
    comment="What still has to be told to the outside: alert changes and task events, by key.",
    sqlite_autoincrement=True,
)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("alert_id", Name, nullable=False),
    Column("door", Name, nullable=False),
    Column("subject_id", Name),
    Column("place", Name, nullable=False),
    Column("grid", Name, nullable=False),
    Column("rule", Name, nullable=False),
    Column("level", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("state", Name, nullable=False),
    Column("queue", Name, nullable=False),
    Column("assignee", Name),
    Column("opened_ns", Time, nullable=False),
    Column("updated_ns", Time, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("ladder_step", Integer, nullable=False),
    Column("escalate_ns", Time),
    Column("sign_by_ns", Time),
    Column("contact_by_ns", Time),
    Column("door_by_ns", Time),
    Column("report_by_ns", Time),
    Column("close_by_ns", Time),
    Column("signed_ns", Time),
    Column("contacted_ns", Time),
    Column("arrived_ns", Time),
    Column("reported_ns", Time),
    Column("closed_ns", Time),
    Column("alerts", Integer, nullable=False),
    Column("alerts_resolved", Integer, nullable=False),
    Column("alerts_cancelled", Integer, nullable=False),
    Column("outcome", Name),
    Column("reason_zh", Text, nullable=False),
    Column("reason_en", Text, nullable=False),
    Column("contact_first", Text, nullable=False),
    Index(None, "door", "opened_ns"),
    Index(None, "assignee", "state"),
    Index(None, "state", "escalate_ns"),
    comment="Each task as it stands.",
    info={"fixed": _FIXED_OF_TASKS},
)

task_events = Table(
    "task_events",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at_ns", Time, nullable=False),
    Column("action", Name, nullable=False),
    Column("state_from", Name),
    Column("state_to", Name, nullable=False),
    Column("by", Name, nullable=False),
    Column("why", Text, nullable=False),
    Column("detail", Text, nullable=False),
    comment="History of tasks; only ever appended to.",
)

task_requests = Table(
    "task_requests",
    metadata,
    Column("task_id", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("seq", Integer, nullable=False),
    comment="Idempotency keys of requests, and the line of history each of them wrote.",
)

task_alerts = Table(
    "task_alerts",
    metadata,
    Column("alert_id", Name, primary_key=True),
    Column("task_id", Name, nullable=False),
    Column("count", Integer, nullable=False),
    Column("state", Name, nullable=False),
    Index(None, "task_id"),
    comment="Which task an alert led to, its state, and how many tasks it had before that one.",
)

held_back = Table(
    "held_back",
    metadata,
    Column("alert_id", Name, primary_key=True),
    Column("grid", Name, nullable=False),
    Column("place", Name, nullable=False),
    Column("subject_id", Name),
    Column("rule", Name, nullable=False),
    Column("level", Name, nullable=False),
    Column("evidence", Float),
    Column("p_value", Float),
    Column("budget", Float),
    Column("since_ns", Time, nullable=False),
    Column("reason", Name, nullable=False),
    Column("p", Float),
    Column("line", Float),
    Column("status", Name, nullable=False),
    Column("until_ns", Time),
    Column("due_ns", Time),
    Index(None, "status", "grid"),
    comment="Alerts that did not become a visit, and why: waiting, released, checked or gone.",
)

queues = Table(
    "queues",
    metadata,
    Column("grid", Name, primary_key=True),
    Column("day", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("renewed_day", Integer, nullable=False),
    Column("tests", Text),
    comment="What each grid's queue has spent today, and its sequence of tests.",
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("outcome_id", Name, primary_key=True),
    Column("task_id", Name, nullable=False),
    Column("alert_id", Name, nullable=False),
    Column("subject_id", Name),
    Column("rule", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("verdict", Name, nullable=False),
    Column("ts_ns", Time, nullable=False),
    Column("until_ns", Time),
    Column("kw", Float),
    Column("by", Name, nullable=False),
    Column("note", Text, nullable=False),
    Index(None, "task_id"),
    Index(None, "subject_id"),
    comment="What was found at the door.",
)

absences = Table(
    "absences",
    metadata,
    Column("absence_id", Name, primary_key=True),
    Column("subject_id", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("from_ns", Time, nullable=False),
    Column("until_ns", Time, nullable=False),
    Column("source", Name, nullable=False),
    Column("by", Name, nullable=False),
    Column("declared_ns", Time, nullable=False),
    Column("revoked_ns", Time),
    Column("revoked_by", Name),
    Index(None, "subject_id", "until_ns"),
    comment="The absence register, and whatever else quiets a subject for a while.",
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("record_id", Name, nullable=False),
    Column("shard", Name),
    Column("kind", Name, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_ns", Time, nullable=False),
    UniqueConstraint("record_id"),
    comment="Records on their way into the log: outcomes and declared events. No shard: all.",
    sqlite_autoincrement=True,
)

feedback_log = Table(
    "feedback_log",
    metadata,
    Column("shard", Name, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, nullable=False),
    Column("arrival_ns", Time, nullable=False),
    comment="At which place of a shard's log a feedback record was fed.",
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", Name, primary_key=True),
    Column("name", Text, nullable=False),
    Column("grids", Text, nullable=False),
    Column("role", Name, nullable=False),
    Column("shift", Name, nullable=False),
    Column("stand_in", Name),
)

places = Table(
    "places",
    metadata,
    Column("place", Name, primary_key=True),
    Column("parent", Name),
    Column("name", Text, nullable=False),
    Column("level", Name, nullable=False),
)

rule_versions = Table(
    "rule_versions",
    metadata,
    Column("version", Name, primary_key=True),
    Column("rules", Text, nullable=False),
    Column("author", Name, nullable=False),
    Column("approver", Name),
    Column("status", Name, nullable=False),
    Column("at_ns", Time, nullable=False),
    Column("note", Text, nullable=False),
    Column("budgets", Text, nullable=False, server_default="{}"),
    Column("tests", Text),
    Column("dry_run", Text),
    Column("approved_ns", Time),
    Column("from_ns", Time),
    comment="Rule files by content; what is in force says the newest activation in the log.",
)

budgets = Table(
    "budgets",
    metadata,
    Column("rule", Name, primary_key=True),
    Column("at_ns", Time, primary_key=True, autoincrement=False),
    Column("false_alerts", Float, nullable=False),
    Column("scope", Name, nullable=False),
    Column("by", Name, nullable=False),
    comment="What a rule may spend, false alerts per subject-year, since when.",
)

prices = Table(
    "prices",
    metadata,
    Column("rule", Name, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("index", Integer, nullable=False),
    Column("fraction", Float, nullable=False),
    Column("arrival_ns", Time, nullable=False),
    comment="The reducer's price of a rule and event-day.",
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("kind", Name, nullable=False),
    Column("manifest", Text, nullable=False),
    comment="Manifest of a replay or run: inputs and their hashes, options, versions.",
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at_ns", Time, nullable=False),
    Column("who", Name, nullable=False),
    Column("action", Name, nullable=False),
    Column("what", Name, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "what"),
    comment="Who did or saw what; only ever appended to.",
    sqlite_autoincrement=True,
)

people = Table(
    "people",
    metadata,
    Column("owner", Name, primary_key=True),
    Column("field", Name, primary_key=True),
    Column("key_id", Name, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_ns", Time, nullable=False),
    Column("purpose", Name, nullable=False),
    Column("consent_until_ns", Time),
    comment="The only place for names, addresses and phones; sealed with AES-GCM.",
)

# Their tables belong to the same metadata.
from engine.store import schema_city, schema_console  # noqa: E402, F401
