"""Webhooks, and what could not be told to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("key", sa.String(16), nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("agents", sa.JSON, nullable=False),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("places", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_webhook_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "name", name="uq_webhook_tenant_id_name"),
    )
    op.create_table(
        "undelivered",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("webhook", sa.String(64), nullable=False),
        sa.Column("message", sa.String(160), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("given_up_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("failure", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_undelivered"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_undelivered_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "tenant_id", "webhook", "message", name="uq_undelivered_tenant_id_webhook_message"
        ),
    )


def downgrade() -> None:
    """Take back: nobody is told any more."""
    op.drop_table("undelivered")
    op.drop_table("webhook")
