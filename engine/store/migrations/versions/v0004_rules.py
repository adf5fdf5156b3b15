"""Rules: what a version was approved with; when held alerts are due."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what approval, silences and collecting need."""
    op.add_column("held_back", sa.Column("due_ns", sa.BigInteger(), nullable=True))
    op.add_column(
        "rule_versions", sa.Column("budgets", sa.Text(), nullable=False, server_default="{}")
    )
    op.add_column("rule_versions", sa.Column("tests", sa.Text(), nullable=True))
    op.add_column("rule_versions", sa.Column("dry_run", sa.Text(), nullable=True))
    op.add_column("rule_versions", sa.Column("approved_ns", sa.BigInteger(), nullable=True))
    op.add_column("rule_versions", sa.Column("from_ns", sa.BigInteger(), nullable=True))
