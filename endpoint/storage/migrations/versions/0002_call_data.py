"""Call records keep the data that clients gave to the call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply: calls that are over had none."""
    column = sa.Column("data", sa.JSON(), nullable=False, server_default="{}")
    op.add_column("call_record", column)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("call_record") as table:
        table.drop_column("data")
