"""A tenant has a domain in SIP, and its id is never another's, also after it was removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # PostgreSQL counts its ids on anyway; SQLite gives the highest again, unless it is told not to.
    with op.batch_alter_table(
        "tenant", recreate="auto", table_kwargs={"sqlite_autoincrement": True}
    ) as table:
        table.add_column(sa.Column("domain", sa.String(253)))
        table.create_unique_constraint("uq_tenant_domain", ["domain"])


def downgrade() -> None:
    """Take back: a tenant's process takes addresses of any domain again."""
    with op.batch_alter_table("tenant") as table:
        table.drop_constraint("uq_tenant_domain", type_="unique")
        table.drop_column("domain")
