"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "absences",
        sa.Column("absence_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_ns", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("declared_ns", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("absence_id", name=op.f("pk_absences")),
        comment="The absence register, and whatever else quiets a subject for a while.",
    )
    op.create_index(
        op.f("ix_absences_subject_id_until_ns"),
        "absences",
        ["subject_id", "until_ns"],
        unique=False,
    )
    op.create_table(
        "alert_changes",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "seq", name=op.f("pk_alert_changes")),
        comment="Each change of each alert, as exported; never changed.",
    )
    op.create_index(op.f("ix_alert_changes_at_ns"), "alert_changes", ["at_ns"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("onset_ns", sa.BigInteger(), nullable=False),
        sa.Column("raised_ns", sa.BigInteger(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.Float(), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("budget", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alerts")),
        comment="Each alert as it stands.",
        info={
            "fixed": (
                "shard",
                "rule",
                "rule_version",
                "subject_id",
                "place",
                "onset_ns",
                "raised_ns",
                "budget",
            )
        },
    )
    op.create_index(op.f("ix_alerts_state_at_ns"), "alerts", ["state", "at_ns"], unique=False)
    op.create_index(op.f("ix_alerts_subject_id"), "alerts", ["subject_id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        comment="Who did or saw what; only ever appended to.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_log_what"), "audit_log", ["what"], unique=False)
    op.create_table(
        "budgets",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("false_alerts", sa.Float(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "at_ns", name=op.f("pk_budgets")),
        comment="What a rule may spend, false alerts per subject-year, since when.",
    )
    op.create_table(
        "feedback",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sa.UniqueConstraint("record_id", name=op.f("uq_feedback_record_id")),
        comment="Records on their way into the log: outcomes and declared events. No shard: all.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "feedback_log",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("arrival_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "id", name=op.f("pk_feedback_log")),
        comment="At which place of a shard's log a feedback record was fed.",
    )
    op.create_table(
        "held_back",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("grid", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Float(), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("budget", sa.Float(), nullable=True),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("p", sa.Float(), nullable=True),
        sa.Column("line", sa.Float(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_held_back")),
        comment="Alerts that did not become a visit, and why: waiting, released, checked or gone.",
    )
    op.create_index(op.f("ix_held_back_status_grid"), "held_back", ["status", "grid"], unique=False)
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="What still has to be told to the outside: alert changes and task events, by key.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outcomes",
        sa.Column("outcome_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=True),
        sa.Column("kw", sa.Float(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("outcome_id", name=op.f("pk_outcomes")),
        comment="What was found at the door.",
    )
    op.create_index(op.f("ix_outcomes_subject_id"), "outcomes", ["subject_id"], unique=False)
    op.create_index(op.f("ix_outcomes_task_id"), "outcomes", ["task_id"], unique=False)
    op.create_table(
        "people",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("consent_until_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("owner", "field", name=op.f("pk_people")),
        comment="The only place for names, addresses and phones; sealed with AES-GCM.",
    )
    op.create_table(
        "places",
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_places")),
    )
    op.create_table(
        "prices",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("fraction", sa.Float(), nullable=False),
        sa.Column("arrival_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "day", name=op.f("pk_prices")),
        comment="The reducer's price of a rule and event-day.",
    )
    op.create_table(
        "queues",
        sa.Column("grid", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("renewed_day", sa.Integer(), nullable=False),
        sa.Column("tests", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("grid", name=op.f("pk_queues")),
        comment="What each grid's queue has spent today, and its sequence of tests.",
    )
    op.create_table(
        "rule_versions",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_rule_versions")),
        comment="Rule files by content; what is in force says the newest activation in the log.",
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
        comment="Manifest of a replay or run: inputs and their hashes, options, versions.",
    )
    op.create_table(
        "shards",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), server_default="", nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("clock_ns", sa.BigInteger(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_shards")),
        comment="One row per shard: who may write, how far the log is committed, current snapshot.",
    )
    op.create_table(
        "snapshots",
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "file", name=op.f("pk_snapshots")),
        comment="Snapshots that were current once; an older one is the way back from a torn file.",
    )
    op.create_table(
        "task_alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_task_alerts")),
        comment="Which task an alert led to, its state, and how many tasks it had before that one.",
    )
    op.create_index(op.f("ix_task_alerts_task_id"), "task_alerts", ["task_id"], unique=False)
    op.create_table(
        "task_events",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state_from", sa.Text(), nullable=True),
        sa.Column("state_to", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "seq", name=op.f("pk_task_events")),
        comment="History of tasks; only ever appended to.",
    )
    op.create_table(
        "task_requests",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "key", name=op.f("pk_task_requests")),
        comment="Idempotency keys of requests, and the line of history each of them wrote.",
    )
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("grid", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("opened_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("ladder_step", sa.Integer(), nullable=False),
        sa.Column("escalate_ns", sa.BigInteger(), nullable=True),
        sa.Column("sign_by_ns", sa.BigInteger(), nullable=True),
        sa.Column("contact_by_ns", sa.BigInteger(), nullable=True),
        sa.Column("door_by_ns", sa.BigInteger(), nullable=True),
        sa.Column("report_by_ns", sa.BigInteger(), nullable=True),
        sa.Column("close_by_ns", sa.BigInteger(), nullable=True),
        sa.Column("signed_ns", sa.BigInteger(), nullable=True),
        sa.Column("contacted_ns", sa.BigInteger(), nullable=True),
        sa.Column("arrived_ns", sa.BigInteger(), nullable=True),
        sa.Column("reported_ns", sa.BigInteger(), nullable=True),
        sa.Column("closed_ns", sa.BigInteger(), nullable=True),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("alerts_resolved", sa.Integer(), nullable=False),
        sa.Column("alerts_cancelled", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason_zh", sa.Text(), nullable=False),
        sa.Column("reason_en", sa.Text(), nullable=False),
        sa.Column("contact_first", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_tasks")),
        comment="Each task as it stands.",
        info={
            "fixed": (
                "alert_id",
                "door",
                "subject_id",
                "place",
                "grid",
                "rule",
                "kind",
                "opened_ns",
            )
        },
    )
    op.create_index(op.f("ix_tasks_assignee_state"), "tasks", ["assignee", "state"], unique=False)
    op.create_index(op.f("ix_tasks_door_opened_ns"), "tasks", ["door", "opened_ns"], unique=False)
    op.create_index(
        op.f("ix_tasks_state_escalate_ns"), "tasks", ["state", "escalate_ns"], unique=False
    )
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("grids", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("shift", sa.Text(), nullable=False),
        sa.Column("stand_in", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_workers")),
    )
