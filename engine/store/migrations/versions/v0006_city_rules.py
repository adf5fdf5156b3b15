"""Activations of rules in a city: decided once, then written into every shard's log."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "activations",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prices", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_activations")),
        comment="Which rules a city's shards take up, from which event time on; prices at that time.",
    )
