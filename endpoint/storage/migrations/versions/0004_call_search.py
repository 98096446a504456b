"""Call records are searched by number, cause, duration and data; they tell steps and IVR path."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BATCH = 500
_LONGEST = 200
_SEARCHED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Apply; the records that are there become as searchable as new ones."""
    with op.batch_alter_table("call_record") as table:
        table.add_column(sa.Column("cause", sa.String(32), nullable=False, server_default=""))
        table.add_column(sa.Column("talked_ms", sa.BigInteger(), nullable=True))
        for name in ("steps", "ivr_path"):
            table.add_column(sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
        table.drop_index("ix_call_record_started_at")
    op.create_table(
        "call_party",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("number", _SEARCHED, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        _of_record("call_party"),
        sa.PrimaryKeyConstraint("id", name="pk_call_party"),
        sa.UniqueConstraint(
            "record_id", "number", "kind", name="uq_call_party_record_id_number_kind"
        ),
    )
    op.create_table(
        "call_datum",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("record_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        _of_record("call_datum"),
        sa.PrimaryKeyConstraint("id", name="pk_call_datum"),
        sa.UniqueConstraint("record_id", "key", name="uq_call_datum_record_id_key"),
    )
    _fill(op.get_bind())
    op.create_index(
        "ix_call_record_search",
        "call_record",
        ["tenant_id", "started_at", "id", "direction", "cause", "talked_ms"],
    )
    op.create_index(
        "ix_call_party_number", "call_party", ["tenant_id", "number", "kind", "record_id"]
    )
    op.create_index("ix_call_datum_key", "call_datum", ["tenant_id", "key", "value", "record_id"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("call_datum")
    op.drop_table("call_party")
    with op.batch_alter_table("call_record") as table:
        table.drop_index("ix_call_record_search")
        for name in ("ivr_path", "steps", "talked_ms", "cause"):
            table.drop_column(name)
        table.create_index("ix_call_record_started_at", ["started_at"])


def _of_record(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["record_id"],
        ["call_record.id"],
        name=f"fk_{table}_record_id",
        ondelete="CASCADE",
    )


_RECORD = sa.table(
    "call_record",
    *(sa.column(name) for name in ("id", "tenant_id", "direction", "calling", "called", "cause")),
    sa.column("talked_ms"),
    *(sa.column(name, sa.DateTime(timezone=True)) for name in ("established_at", "ended_at")),
    *(sa.column(name, sa.JSON()) for name in ("ending", "connections", "data")),
)


def _fill(bind: sa.Connection) -> None:
    parties = sa.table("call_party", *map(sa.column, ("record_id", "number", "kind", "tenant_id")))
    data = sa.table("call_datum", *map(sa.column, ("record_id", "key", "value", "tenant_id")))
    last = 0
    while True:
        rows = bind.execute(
            sa.select(_RECORD).where(_RECORD.c.id > last).order_by(_RECORD.c.id).limit(_BATCH)
        ).all()
        if not rows:
            return
        last = rows[-1].id
        found = {
            (row.id, number[:_LONGEST], kind, row.tenant_id)
            for row in rows
            for number, kind in _numbers(row)
        }
        names = ("record_id", "number", "kind", "tenant_id")
        bind.execute(parties.insert(), [dict(zip(names, each, strict=True)) for each in found])
        texts = [
            {
                "record_id": row.id,
                "key": key,
                "value": text[:_LONGEST],
                "tenant_id": row.tenant_id,
            }
            for row in rows
            for key, text in _plain(row.data).items()
        ]
        if texts:
            bind.execute(data.insert(), texts)
        for row in rows:
            bind.execute(
                _RECORD.update()
                .where(_RECORD.c.id == row.id)
                .values(cause=_plain(row.ending)["cause"], talked_ms=_talked_ms(row))
            )


def _numbers(row: Any) -> list[tuple[str, str]]:
    """Who had part in it. Records of before do not say who came from outside: that one called."""
    outbound = row.direction == "outbound"
    own = [each["device"] for each in _plain(row.connections)]
    devices = own if outbound else [each for each in own if each != row.calling]
    if outbound:
        devices.append(row.calling)
    return [
        (row.calling, "calling"),
        (row.called, "called"),
        *((device, "device") for device in devices),
    ]


def _talked_ms(row: Any) -> int | None:
    began: datetime | None = row.established_at
    if began is None:
        return None
    ended: datetime = row.ended_at
    return round((ended - began).total_seconds() * 1000)


def _plain(value: Any) -> Any:
    """JSON that the driver has left as text."""
    return json.loads(value) if isinstance(value, str) else value
