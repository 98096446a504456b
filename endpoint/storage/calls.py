"""Call records: what stays of each call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from endpoint.callcontrol.model import CallRecord
from endpoint.errors import StorageError
from endpoint.storage.database import Database
from endpoint.storage.schema import CallRow

_KEPT = (datetime,)
"""Columns have a type for moments; everything else is JSON or text."""


class RecordExists(StorageError):
    """The call has its one record already."""


class StoredCallRecords:
    """The call records of one tenant; what call control writes to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, record: CallRecord) -> None:
        """Keep a record. Raises `StorageError`: `RecordExists` for a second one of the call."""
        plain = msgspec.to_builtins(record, builtin_types=_KEPT)
        try:
            async with self._database.session() as session:
                session.add(CallRow(tenant_id=self._database.tenant_id, **plain))
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise RecordExists(f"call {record.call} has a record already") from error
            raise

    async def latest(self, limit: int = 100) -> Sequence[CallRecord]:
        """The latest records, newest first."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(CallRow)
                .where(CallRow.tenant_id == self._database.tenant_id)
                .order_by(CallRow.started_at.desc(), CallRow.id.desc())
                .limit(limit)
            )
            return [_record(row) for row in rows]


def _record(row: CallRow) -> CallRecord:
    plain = {name: getattr(row, name) for name in CallRecord.__slots__}
    return msgspec.convert(plain, CallRecord, builtin_types=_KEPT)
