"""Agents have a log each, and a session while they are logged on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "agent_session",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("device", sa.String(64)),
        sa.Column("session", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_agent_session"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_agent_session_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "agent", name="uq_agent_session_tenant_id_agent"),
    )
    op.create_table(
        "agent_event",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("agent", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent_event"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_agent_event_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "tenant_id", "agent", "number", name="uq_agent_event_tenant_id_agent_number"
        ),
    )
    op.create_index("ix_agent_event_at", "agent_event", ["at"])


def downgrade() -> None:
    """Take back; nobody is logged on then."""
    op.drop_table("agent_event")
    op.drop_table("agent_session")
