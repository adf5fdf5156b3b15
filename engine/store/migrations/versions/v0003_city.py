"""The city: tallies of shards, the daily reducer, deliveries to the outside."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the city's tables."""
    op.create_table(
        "tallies",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", "shard", name=op.f("pk_tallies")),
        comment="What each shard counted on an event-day, by rule; kept until the day is reduced.",
    )
    op.create_table(
        "reducers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reducers")),
        comment="The daily reducer: last day closed and its state. Its row lock makes it one.",
    )
    op.create_table(
        "deliveries",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_wall", sa.Float(), server_default="0", nullable=False),
        sa.Column("dead", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        comment="One row of the outbox for one channel; gone once told, kept with its problem if dead.",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_deliveries_channel_dead_due_wall"),
        "deliveries",
        ["channel", "dead", "due_wall"],
        unique=False,
    )
