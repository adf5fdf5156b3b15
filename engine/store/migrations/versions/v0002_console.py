"""The console: accounts, sessions, photos, links, leases; what is watched."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the console's tables."""
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("wall", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Integer(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.Text(), nullable=True),
        sa.Column("signed_in_wall", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
        comment="Who can sign in, as what, where; passwords as argon2id hashes.",
    )
    op.create_table(
        "family_links",
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("used_ns", sa.BigInteger(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_family_links")),
        sa.UniqueConstraint("secret", name=op.f("uq_family_links_secret")),
        comment="Links of families, by the hash of their secret.",
    )
    op.create_index(
        op.f("ix_family_links_subject_id"), "family_links", ["subject_id"], unique=False
    )
    op.create_table(
        "feeds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feeds")),
        comment="Health of each source and meter class, as the pipeline last told it.",
    )
    op.create_table(
        "incidents",
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("merged_into", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_incidents")),
        comment="Events that gridworkers reported.",
    )
    op.create_index(op.f("ix_incidents_at_ns"), "incidents", ["at_ns"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
        comment="What regular work (retention …) last did.",
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("until_wall", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
        comment="Who does what only one may do; the token rises with every change of hands.",
    )
    op.create_table(
        "photos",
        sa.Column("photo_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("incident_id", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("nbytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("photo_id", name=op.f("pk_photos")),
        comment="Photos, re-encoded without metadata and sealed with AES-GCM.",
    )
    op.create_index(op.f("ix_photos_subject_id"), "photos", ["subject_id"], unique=False)
    op.create_index(op.f("ix_photos_task_id"), "photos", ["task_id"], unique=False)
    op.create_table(
        "reminders",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reminders")),
        comment="Reminders already put into the outbox, each once.",
    )
    op.create_table(
        "requests",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("at_wall", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("account", "key", name=op.f("pk_requests")),
        comment="Idempotency keys of the API, and the hash of what was asked with each.",
    )
    op.create_index(op.f("ix_requests_at_wall"), "requests", ["at_wall"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_wall", sa.Float(), nullable=False),
        sa.Column("expires_wall", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_sessions")),
        comment="Who is signed in, by the hash of the cookie.",
    )
    op.create_index(op.f("ix_sessions_account"), "sessions", ["account"], unique=False)
    op.create_table(
        "sign_in_failures",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at_wall", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
        comment="Wrong passwords of late, by account and by address; swept.",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_sign_in_failures_key_at_wall"),
        "sign_in_failures",
        ["key", "at_wall"],
        unique=False,
    )
    op.create_table(
        "silences",
        sa.Column("silence_id", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("from_ns", sa.BigInteger(), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("silence_id", name=op.f("pk_silences")),
        comment="Alerts for which nobody is sent for a while; they are recorded all the same.",
    )
    op.create_index(op.f("ix_silences_until_ns"), "silences", ["until_ns"], unique=False)
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("attrs", sa.Text(), nullable=False),
        sa.Column("meters", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_subjects")),
        comment="What is watched, as the tables of the last start said; pseudonymous.",
    )
    op.create_index(op.f("ix_subjects_place"), "subjects", ["place"], unique=False)
    op.create_table(
        "task_calls",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=False),
        sa.Column("called_ns", sa.BigInteger(), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("answered_ns", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "department", name=op.f("pk_task_calls")),
        comment="Departments called in to a task, each with its limit, and what they reported.",
    )
    op.create_table(
        "task_marks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "step", "mark", name=op.f("pk_task_marks")),
        comment="Yellow and red marks that tasks got, each once.",
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_wall", sa.Float(), nullable=False),
        sa.Column("expires_wall", sa.Float(), nullable=True),
        sa.Column("used_wall", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_tokens")),
        comment="API tokens, by the hash of their secret.",
    )
    op.create_index(op.f("ix_tokens_account"), "tokens", ["account"], unique=False)
