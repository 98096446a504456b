"""Agents, skills, queues, work modes, leave reasons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _table(name: str, key: sa.Column[str] | sa.Column[int], *columns: sa.Column[object]) -> None:
    """One of things that a tenant finds by `key`."""
    op.create_table(
        name,
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        key,
        *columns,
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=f"fk_{name}_tenant_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("tenant_id", key.name, name=f"uq_{name}_tenant_id_{key.name}"),
        *(
            [sa.UniqueConstraint("tenant_id", "id", name=f"uq_{name}_tenant_id_id")]
            if name in ("agent", "skill")
            else []
        ),
    )


def upgrade() -> None:
    """Apply."""
    _table(
        "agent",
        sa.Column("number", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("department", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("supervises", sa.JSON, nullable=False),
        sa.Column("wrap_up_s", sa.Double, nullable=False),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("password", sa.Text),
    )
    _table(
        "skill",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
    )
    op.create_table(
        "agent_skill",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.Integer, nullable=False),
        sa.Column("skill_id", sa.Integer, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agent_skill"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "agent_id"],
            ["agent.tenant_id", "agent.id"],
            name="fk_agent_skill_tenant_id_agent_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "skill_id"],
            ["skill.tenant_id", "skill.id"],
            name="fk_agent_skill_tenant_id_skill_id",
        ),
        sa.UniqueConstraint(
            "tenant_id", "agent_id", "skill_id", name="uq_agent_skill_tenant_id_agent_id_skill_id"
        ),
    )
    _table(
        "queue",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("skills", sa.JSON, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("ring_s", sa.Double, nullable=False),
        sa.Column("rest_s", sa.Double, nullable=False),
        sa.Column("no_answer", sa.String(16), nullable=False),
        sa.Column("no_answer_reason", sa.String(64), nullable=False),
        sa.Column("overflow", sa.JSON),
        sa.Column("announce_every_s", sa.Double, nullable=False),
        sa.Column("announce_wait", sa.Boolean, nullable=False),
        sa.Column("music", sa.Text, nullable=False),
        sa.Column("call_back", sa.Boolean, nullable=False),
        sa.Column("most_waiting", sa.Integer),
        sa.Column("enabled", sa.Boolean, nullable=False),
    )
    _table(
        "work_mode",
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("basic", sa.Integer, nullable=False),
        sa.Column("skill", sa.String(64), nullable=False),
        sa.Column("visible", sa.Boolean, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
    )
    _table(
        "leave_reason",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("visible", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Take back."""
    for name in ("agent_skill", "agent", "skill", "queue", "work_mode", "leave_reason"):
        op.drop_table(name)
