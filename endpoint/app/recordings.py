"""Recordings after their end: listed, fetched by ranges, deleted; closed where we were killed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from aiohttp import hdrs, web

from endpoint.agents.identity import Identity
from endpoint.app.access import identity_of, refusal
from endpoint.app.bodies import BadRequest, json_answer
from endpoint.app.journal import SETTLE_S, RecordJournal
from endpoint.app.openstate import OpenState
from endpoint.app.rights import Rights
from endpoint.audio.wav import HEADER_SIZE, header_of
from endpoint.errors import MediaError, StorageError
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import RecordingId
from endpoint.legs.recordings import FileState, RecordedFile, RecordingSettings, recovered
from endpoint.media.recordingmessages import Format
from endpoint.media.sealed import SealedReader
from endpoint.storage.calls import RecordFilter, StoredCallRecords
from endpoint.storage.recordings import StoredRecordings

log = structlog.get_logger(__name__)

TYPES = {Format.WAV: "audio/wav", Format.OPUS: "audio/ogg"}
ENDINGS = {Format.WAV: "wav", Format.OPUS: "ogg"}
_CHUNK = 1 << 18
_LOOK_S = 3600.0
_AT_ONCE = 100


class RecordingArchive:
    """The files, and what is known of them."""

    def __init__(
        self, store: StoredRecordings, settings: RecordingSettings, keep_days: float
    ) -> None:
        self.store = store
        self.settings = settings
        self._keep_days = keep_days
        self._expected: dict[RecordingId, RecordedFile] = {}
        """What the store may not know yet. A client that was told of a recording asks at once."""

    def expect(self, file: RecordedFile) -> None:
        """See `Catalogue`."""
        self._expected[file.recording] = file

    async def put(self, file: RecordedFile) -> None:
        """See `Catalogue`. Raises StorageError."""
        await self.store.put(file)
        if self._expected.get(file.recording) is file:
            del self._expected[file.recording]

    async def get(self, recording: str) -> RecordedFile | None:
        """One; None where there never was one of that name. Raises StorageError."""
        return self._expected.get(RecordingId(recording)) or await self.store.get(recording)

    async def find(
        self,
        *,
        call: str = "",
        state: FileState | None = None,
        agents: Iterable[str] | None = None,
        limit: int = 100,
    ) -> list[RecordedFile]:
        """The latest of a call or of its interaction, or in a state; newest first.

        `agents`: of calls that are over, which one of these had part in; None: of all. Raises
        StorageError.
        """
        expected = {**self._expected}  # before: while the store is read, it may be put there
        found = await self.store.find(call=call, state=state, agents=agents, limit=limit)
        if agents is not None:
            return list(found)
        files = [file for file in found if file.recording not in expected]
        files += [
            file
            for file in expected.values()
            if call in ("", file.call, file.interaction) and state in (None, file.state)
        ]
        return sorted(files, key=lambda file: file.started_at, reverse=True)[:limit]

    def path(self, file: RecordedFile) -> Path:
        """Where a file is."""
        return self.settings.directory / file.path

    async def close_lost(self, noted: OpenState[RecordedFile]) -> None:
        """Say of files that were being written when we were killed what they are. At the start.

        What was noted of them is newer than their rows, and some have none yet.
        """
        for recording, file in [*noted.left.items()]:
            await self.store.put(file)
            noted.drop(recording)
        while found := await self.store.find(state=FileState.RECORDING, limit=_AT_ONCE):
            for file in found:
                file = await asyncio.to_thread(recovered, self.settings.directory, file)
                text = file.text or "the endpoint was killed while it was recorded"
                await self.store.put(replace(file, text=text))
                log.warning("recording was lost in the middle", recording=file.recording)

    async def delete(self, file: RecordedFile) -> RecordedFile:
        """Take the file away; what is known of it stays. Raises StorageError."""
        try:
            await asyncio.to_thread(self.path(file).unlink, missing_ok=True)
        except OSError as error:
            raise StorageError(f"can't delete {self.path(file)}: {error.strerror}") from error
        deleted = replace(file, state=FileState.DELETED)
        await self.store.put(deleted)
        return deleted

    async def expire(self) -> None:
        """Delete what is older than it may be, now and again and again."""
        while self._keep_days > 0:
            try:
                await self.expire_once(datetime.now(UTC))
            except StorageError as error:
                log.warning("old recordings can't be deleted now", reason=str(error))
            await asyncio.sleep(_LOOK_S)

    async def expire_once(self, now: datetime) -> int:
        """Delete what is older than it may be. Returns how many there were."""
        count, last = 0, now - timedelta(days=self._keep_days)
        while found := await self.store.find(ended_before=last, limit=_AT_ONCE):
            for file in found:
                await self.delete(file)
            count += len(found)
        return count


@dataclass(frozen=True, slots=True)
class RecordingRoutes:
    """Handlers over the archive, below `/api/v1/recordings`."""

    archive: RecordingArchive
    records: StoredCallRecords
    journal: RecordJournal
    rights: Rights

    def routes(self) -> list[web.RouteDef]:
        """Method, path, handler."""
        one = f"{wire.API}/recordings/{{recording}}"
        return [
            web.get(f"{wire.API}/recordings", self.all),
            web.get(one, self.one),
            web.get(f"{one}/audio", self.audio),
            web.delete(one, self.delete),
        ]

    async def all(self, request: web.Request) -> web.Response:
        """`GET /recordings?call=…&state=…&limit=…`."""
        query = request.query
        state, limit = query.get("state", ""), query.get("limit", "100")
        if state and state not in set(FileState):
            raise _bad("state", ", ".join(FileState))
        if not (re.fullmatch("[0-9]{1,4}", limit) and 1 <= int(limit) <= 1000):
            raise _bad("limit", "1 to 1000")
        agents = self.rights.agents_of(identity_of(request))
        if agents is not None:
            await self.journal.settled(SETTLE_S)
        files = await self.archive.find(
            call=query.get("call", ""),
            state=FileState(state) if state else None,
            agents=agents,
            limit=int(limit),
        )
        return json_answer(wire.Recordings([encode_recording(file) for file in files]))

    async def one(self, request: web.Request) -> web.Response:
        """`GET /recordings/{recording}`."""
        return json_answer(encode_recording(await self._file(request)))

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """`GET /recordings/{recording}/audio`, whole or by ranges (RFC 9110 §14)."""
        file = await self._file(request)
        path = self.archive.path(file)
        if file.state is FileState.DELETED or not await asyncio.to_thread(path.is_file):
            word = wire.Refused(
                "deleted", "the recording's file is gone; what is known of it stays"
            )
            return refusal(410, word)
        headers: dict[str, str] = {
            "Content-Type": TYPES[file.format],
            "Content-Disposition": f'attachment; filename="{named(file)}"',
        }
        if not file.encrypted:
            return web.FileResponse(path, headers=headers)
        if not self.archive.settings.key:
            text = "it is encrypted, and recordings.key_file is not set"
            return refusal(409, wire.Refused("no_key", text))
        return await self._unsealed(request, file, path, headers)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /recordings/{recording}`."""
        file = await self._file(request)
        if file.state is FileState.RECORDING:
            text = "the call is being recorded; stop that first"
            return refusal(409, wire.Refused("recording", text))
        log.info("recording deleted", recording=file.recording)
        return json_answer(encode_recording(await self.archive.delete(file)))

    async def _file(self, request: web.Request) -> RecordedFile:
        file = await self.archive.get(request.match_info["recording"])
        if file is None or not await self._is_shown(identity_of(request), file):
            raise BadRequest(404, wire.Refused("unknown_recording", "no such recording"))
        return file

    async def _is_shown(self, identity: Identity, file: RecordedFile) -> bool:
        """Whether it may act about somebody who is in that call, or was."""
        agents = self.rights.agents_of(identity)
        if agents is None or self.rights.sees_call(identity, file.call):
            return True
        await self.journal.settled(SETTLE_S)
        wanted = RecordFilter(call=file.call, agents=agents)
        return bool((await self.records.search(wanted, limit=1)).records)

    async def _unsealed(
        self, request: web.Request, file: RecordedFile, path: Path, headers: dict[str, str]
    ) -> web.StreamResponse:
        try:
            reader = await asyncio.to_thread(SealedReader, path, self.archive.settings.key)
        except (MediaError, OSError) as error:
            log.warning("recording can't be read", recording=file.recording, reason=str(error))
            return refusal(409, wire.Refused("unreadable", str(error)))
        with closing(reader):
            try:
                start, stop = _range(request, reader.size)
            except ValueError:
                word = wire.Refused("range_not_satisfiable", f"it has {reader.size} octets")
                return refusal(416, word, {hdrs.CONTENT_RANGE: f"bytes */{reader.size}"})
            headers["Accept-Ranges"], headers["Content-Length"] = "bytes", str(stop - start)
            is_part = hdrs.RANGE in request.headers
            if is_part:
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{reader.size}"
            answer = web.StreamResponse(status=206 if is_part else 200, headers=headers)
            await answer.prepare(request)
            if request.method != hdrs.METH_HEAD:
                for at in range(start, stop, _CHUNK):
                    size = min(_CHUNK, stop - at)
                    await answer.write(await asyncio.to_thread(unsealed, reader, file, at, size))
            await answer.write_eof()
            return answer


def unsealed(reader: SealedReader, file: RecordedFile, start: int, size: int) -> bytes:
    """A part of the file as it would be without encryption. Raises MediaError, OSError."""
    octets = reader.read(start, size)
    if file.format is Format.WAV and start < HEADER_SIZE and reader.size >= HEADER_SIZE:
        # It was written before anybody could know how long it would be.
        header = header_of(reader.read(0, HEADER_SIZE), reader.size)
        octets = header[start : start + size] + octets[max(0, HEADER_SIZE - start) :]
    return octets


def named(file: RecordedFile) -> str:
    """What a file of it is called: when it was, and its name."""
    return f"{file.started_at:%Y%m%d-%H%M%S}-{file.recording}.{ENDINGS[file.format]}"


def encode_recording(file: RecordedFile) -> wire.Recording:
    """What is known of it, as a message."""
    return wire.Recording(
        recording=file.recording,
        call=file.call,
        interaction=file.interaction,
        state=str(file.state),
        format=str(file.format),
        sample_rate_hz=file.sample_rate_hz,
        encrypted=file.encrypted,
        started_at=file.started_at,
        ended_at=file.ended_at,
        duration_ms=file.duration_ms,
        left=[*file.left],
        right=[*file.right],
        pauses=[wire.RecordingPause(each.started_at, each.ended_at) for each in file.pauses],
        by=file.by,
        rule=file.rule,
        size=file.size,
        sha256=file.sha256,
        text=file.text,
        file_name=named(file),
    )


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """First octet, and the one behind the last. Raises ValueError where there is none."""
    start, stop, _ = request.http_range.indices(size) if size else (0, 0, 1)
    asked = request.http_range.start
    if hdrs.RANGE in request.headers and (start >= stop or (asked or 0) >= size):
        raise ValueError("no such range")
    return start, stop


def _bad(name: str, expected: str) -> BadRequest:
    text = f"{name}: expected {expected}"
    return BadRequest(400, wire.Refused("bad_query", text, field=name, expected=expected))
