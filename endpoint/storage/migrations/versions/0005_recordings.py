"""Recordings have a row each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "recording",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("recording", sa.String(36), nullable=False),
        sa.Column("interaction", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("sample_rate_hz", sa.Integer, nullable=False),
        sa.Column("encrypted", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("by", sa.Text),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("left", sa.JSON, nullable=False),
        sa.Column("right", sa.JSON, nullable=False),
        sa.Column("pauses", sa.JSON, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recording"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_recording_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", "recording", name="uq_recording_tenant_id_recording"),
    )
    for column in ("interaction", "call", "state", "started_at"):
        op.create_index(f"ix_recording_{column}", "recording", [column])


def downgrade() -> None:
    """Take back; the files stay."""
    op.drop_table("recording")
