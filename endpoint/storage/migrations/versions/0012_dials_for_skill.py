"""Whether what an agent dials outside is a call of its skill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply: of agents of before it is not."""
    op.add_column(
        "agent",
        sa.Column("dials_for_skill", sa.Boolean, nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("agent") as table:
        table.drop_column("dials_for_skill")
