"""Phones that are woken by push; what families thought of a visit."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "ratings",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_ratings")),
        comment="How content a home was with a visit, 1 to 5, as its family's link said.",
    )
    op.create_index(op.f("ix_ratings_subject_id"), "ratings", ["subject_id"])
    op.create_table(
        "push_subscriptions",
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.Text(), nullable=False),
        sa.Column("auth", sa.Text(), nullable=False),
        sa.Column("seen_wall", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_push_subscriptions")),
        comment="Phones that want to be woken; of no use to anybody without the site's own key.",
    )
    op.create_index(op.f("ix_push_subscriptions_account"), "push_subscriptions", ["account"])
