"""What is known of recordings: one row a file, which stays when the file is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import or_, select

from endpoint.legs.recordings import FileState, Pause, RecordedFile
from endpoint.media.recordingmessages import Format
from endpoint.storage.calls import calls_of
from endpoint.storage.database import Database
from endpoint.storage.schema import RecordingRow

_KEPT = (datetime,)


class StoredRecordings:
    """The recordings of one tenant; what the legs write to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, file: RecordedFile) -> None:
        """Keep it, in place of what was known; what is deleted stays so. Raises `StorageError`."""
        plain = msgspec.to_builtins(file, builtin_types=_KEPT)
        plain["pauses"] = msgspec.to_builtins(file.pauses)  # moments in JSON are text
        async with self._database.session() as session:
            row = await session.scalar(
                select(RecordingRow)
                .where(
                    RecordingRow.tenant_id == self._database.tenant_id,
                    RecordingRow.recording == file.recording,
                )
                .with_for_update()
            )
            if row is None:
                session.add(RecordingRow(tenant_id=self._database.tenant_id, **plain))
            elif row.state != str(FileState.DELETED):
                for name, value in plain.items():
                    setattr(row, name, value)

    async def get(self, recording: str) -> RecordedFile | None:
        """One; None where there never was one of that name. Raises `StorageError`."""
        async with self._database.session() as session:
            row = await session.scalar(
                select(RecordingRow).where(
                    RecordingRow.tenant_id == self._database.tenant_id,
                    RecordingRow.recording == recording,
                )
            )
            return None if row is None else _file(row)

    async def find(
        self,
        *,
        call: str = "",
        state: FileState | None = None,
        ended_before: datetime | None = None,
        agents: Iterable[str] | None = None,
        limit: int = 100,
    ) -> Sequence[RecordedFile]:
        """The latest of a call or of its interaction, or in a state; newest first.

        `agents`: of calls that are over, which one of these had part in; None: of all.
        """
        query = select(RecordingRow).where(RecordingRow.tenant_id == self._database.tenant_id)
        if call:
            query = query.where(or_(RecordingRow.call == call, RecordingRow.interaction == call))
        if state is not None:
            query = query.where(RecordingRow.state == str(state))
        if ended_before is not None:
            query = query.where(RecordingRow.ended_at < ended_before)
            query = query.where(RecordingRow.state != str(FileState.DELETED))
        if agents is not None:
            query = query.where(RecordingRow.call.in_(calls_of(agents, self._database.tenant_id)))
        query = query.order_by(RecordingRow.started_at.desc(), RecordingRow.id.desc()).limit(limit)
        async with self._database.session() as session:
            return [_file(row) for row in await session.scalars(query)]


def _file(row: RecordingRow) -> RecordedFile:
    plain = {name: getattr(row, name) for name in RecordedFile.__slots__}
    plain["pauses"] = msgspec.convert(row.pauses, tuple[Pause, ...])
    return RecordedFile(
        **plain
        | {"state": FileState(row.state), "format": Format(row.format)}
        | {"left": tuple(row.left), "right": tuple(row.right)}
    )
