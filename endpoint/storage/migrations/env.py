"""What alembic runs to migrate: always over the connection that `Database` hands in."""

from __future__ import annotations

from alembic import context

from endpoint.storage.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
