"""Call records outlive a database that is locked, full or away: they wait in a file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import structlog

from endpoint.callcontrol.model import CallRecord
from endpoint.errors import StorageError
from endpoint.storage.calls import RecordExists, StoredCallRecords

log = structlog.get_logger(__name__)


class RecordJournal:
    """Writes records to the database, or where that fails to a file; `replay` brings them in."""

    def __init__(self, records: StoredCallRecords, path: Path) -> None:
        self._records = records
        self._path = path

    async def write(self, record: CallRecord) -> None:
        """Keep a record, one way or the other. A call must not break for its database."""
        try:
            await self._records.write(record)
        except RecordExists:
            log.error("call has a record already", call=record.call)
        except StorageError:
            log.exception("call record waits for the database", call=record.call)
            await asyncio.to_thread(self._append, record)

    async def replay(self) -> None:
        """Bring in what waits. What still can't be written goes on waiting."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        brought = 0
        for line in lines:
            try:
                record = msgspec.json.decode(line, type=CallRecord)
            except msgspec.DecodeError:  # cut by the crash that made it
                log.error("call record can't be read", length=len(line))
                continue
            try:
                await self._records.write(record)
            except RecordExists:
                continue  # a replay that did not come to its end
            except StorageError:
                log.exception("call records wait for the database", records=len(lines) - brought)
                return
            brought += 1
        self._path.unlink()
        log.info("call records brought in", records=brought)

    def _append(self, record: CallRecord) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, msgspec.json.encode(record) + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
