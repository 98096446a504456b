"""When a token was used last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply: of tokens of before nothing is known."""
    op.add_column("token", sa.Column("used_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("token") as table:
        table.drop_column("used_at")
