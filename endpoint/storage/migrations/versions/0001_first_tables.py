"""The first tables: tenant, extension with credentials and aliases, call record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "tenant",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant"),
        sa.UniqueConstraint("name", name="uq_tenant_name"),
    )
    op.create_table(
        "extension",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(128), nullable=False),
        sa.Column("weak", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_extension_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_extension"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_extension_tenant_id_id"),
        sa.UniqueConstraint("tenant_id", "number", name="uq_extension_tenant_id_number"),
    )
    op.create_table(
        "credential",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("extension_id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("realm", sa.String(64), nullable=False),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("ha1", sa.String(64), nullable=False),
        _extension_key("credential"),
        sa.PrimaryKeyConstraint("id", name="pk_credential"),
        sa.UniqueConstraint(
            "tenant_id",
            "username",
            "realm",
            "algorithm",
            name="uq_credential_tenant_id_username_realm_algorithm",
        ),
    )
    op.create_table(
        "alias",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("extension_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(64), nullable=False),
        _extension_key("alias"),
        sa.PrimaryKeyConstraint("id", name="pk_alias"),
        sa.UniqueConstraint("tenant_id", "number", name="uq_alias_tenant_id_number"),
    )
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "call_record",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("interaction", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("calling", sa.Text(), nullable=False),
        sa.Column("called", sa.Text(), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("delivered_at", moment, nullable=True),
        sa.Column("established_at", moment, nullable=True),
        sa.Column("ended_at", moment, nullable=False),
        sa.Column("ending", sa.JSON(), nullable=False),
        sa.Column("connections", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name="fk_call_record_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_call_record"),
        sa.UniqueConstraint("tenant_id", "call", name="uq_call_record_tenant_id_call"),
    )
    op.create_index("ix_call_record_interaction", "call_record", ["interaction"])
    op.create_index("ix_call_record_started_at", "call_record", ["started_at"])


def downgrade() -> None:
    """Take back."""
    for table in ("call_record", "alias", "credential", "extension", "tenant"):
        op.drop_table(table)


def _extension_key(table: str) -> sa.ForeignKeyConstraint:
    """Points to an extension of the same tenant."""
    return sa.ForeignKeyConstraint(
        ["tenant_id", "extension_id"],
        ["extension.tenant_id", "extension.id"],
        name=f"fk_{table}_tenant_id_extension_id",
        ondelete="CASCADE",
    )
