"""Recordings of calls: their files, whose ports are on which, and what is known of each.

The process that writes is told who is on a recording by the names of voices; the media workers are
told which port is which voice. What is known is kept by a catalogue, which may be slow, or away for
a while: the call and its recording wait for neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import structlog

from endpoint.audio import ogg
from endpoint.audio.wav import HEADER_SIZE, mend
from endpoint.errors import EndpointError, MediaError, MediaUnavailable
from endpoint.legs.base import (
    DeviceId,
    InteractionId,
    LegId,
    RecordingBegan,
    RecordingEnded,
    RecordingEvent,
    RecordingId,
    RecordingRequest,
    RecordingSide,
    Track,
)
from endpoint.media import messages as m
from endpoint.media import recordingmessages as r
from endpoint.media.link import MediaLink
from endpoint.media.process import WorkerLost
from endpoint.media.recorder import RecorderProcess
from endpoint.media.recordingworker import measured

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_TRIES = 10
"""To begin a file, while the process that writes is away."""
_FAREWELL_S = 5.0


class FileState(StrEnum):
    """What became of a recording's file."""

    RECORDING = "recording"
    """It is being written."""
    COMPLETE = "complete"
    """It was ended as it should."""
    FAILED = "failed"
    """It could not begin, or ended by itself; what was written, if anything, can be played."""
    LOST = "lost"
    """We were killed while it was written; what was written can be played."""
    DELETED = "deleted"
    """It is gone; what is known of it stays."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence on a recording, as somebody has asked for it."""

    started_at: datetime
    ended_at: datetime | None = None
    """None while it lasts, or where the recording ended in it."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """What is known of one recording."""

    recording: RecordingId
    interaction: InteractionId
    call: str
    path: str
    """Below the directory of recordings."""
    format: r.Format
    sample_rate_hz: int
    encrypted: bool
    state: FileState
    started_at: datetime
    by: DeviceId | None = None
    """Who asked for it; none where a rule did."""
    rule: str = ""
    ended_at: datetime | None = None
    left: tuple[DeviceId, ...] = ()
    """All that were on this side, in the order in which they came."""
    right: tuple[DeviceId, ...] = ()
    pauses: tuple[Pause, ...] = ()
    duration_ms: int = 0
    size: int = 0
    """Octets on disk."""
    sha256: str = ""
    """Of the file as it is on disk; empty while that is written."""
    text: str = ""
    """Why it failed."""


class Catalogue(Protocol):
    """Keeps what is known of recordings."""

    def expect(self, file: RecordedFile) -> None:
        """It will be put; whoever asks is told this from now on."""

    async def put(self, file: RecordedFile) -> None:
        """Keep it, in place of what was known. Raises EndpointError: not now."""


class Notes(Protocol):
    """What the catalogue may not know yet, kept at once for the process after us.

    A recording waits for no catalogue. Should we be killed meanwhile, its file is there, and what
    is known of it must be too.
    """

    def put(self, key: str, value: RecordedFile, /) -> None:
        """It is so now. It outlives us when this returns."""

    def drop(self, key: str, /) -> None:
        """The catalogue knows all of it."""


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """How recordings are written."""

    directory: Path
    format: r.Format = r.Format.OPUS
    sample_rate_hz: int = 16000
    key: bytes = field(default=b"", repr=False)
    """What they are encrypted by; empty: they are not."""
    least_free: int = 0
    """Octets that must stay free on the disk."""


class VoicePorts(Protocol):
    """Where the voices of legs come from."""

    moved: Callable[[LegId], None]
    """Called when that may be another port than it was."""

    def source_of(self, leg: LegId) -> m.PortName:
        """The port; empty where there is none yet."""


@dataclass(slots=True)
class _Running:
    file: RecordedFile
    tracks: tuple[Track, ...] = ()
    paused: bool = False
    voices: dict[tuple[m.PortName, RecordingSide], int] = field(default_factory=dict)
    unsaid: list[r.SetVoices] = field(default_factory=list)
    """For the process, as soon as there is one."""
    is_open: bool = False
    is_ending: bool = False
    ends_at: float = 0.0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Recordings:
    """All that run. `run` must run beside; leave by `close`."""

    def __init__(
        self,
        settings: RecordingSettings,
        recorder: RecorderProcess,
        catalogue: Catalogue,
        notes: Notes,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._catalogue = catalogue
        self._notes = notes
        self._now = now
        self._running: dict[RecordingId, _Running] = {}
        self._numbers = itertools.count(1)
        self._unsaved: dict[RecordingId, RecordedFile] = {}
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._media: MediaLink
        self._ports: VoicePorts
        self._emit: Callable[[RecordingEvent], None]

    def attach(
        self, media: MediaLink, ports: VoicePorts, emit: Callable[[RecordingEvent], None]
    ) -> None:
        """Take part in an exchange. Once."""
        self._media, self._ports, self._emit = media, ports, emit
        ports.moved = self._moved

    # -- what is asked ----------------------------------------------------------------------------

    def begin(self, request: RecordingRequest) -> None:
        """See `Exchange.begin_recording`."""
        now, settings = self._now(), self._settings
        path = f"{now:%Y/%m/%d}/{request.recording}"
        file = RecordedFile(
            recording=request.recording,
            interaction=request.interaction,
            call=request.call,
            path=path,
            format=settings.format,
            sample_rate_hz=settings.sample_rate_hz,
            encrypted=bool(settings.key),
            state=FileState.RECORDING,
            started_at=now,
            by=request.by,
            rule=request.rule,
        )
        self._running[request.recording] = _Running(file)
        self._notes.put(file.recording, file)  # before there is a file of it
        self._do(self._open(request.recording, monotonic()))

    def set_tracks(self, recording: RecordingId, tracks: Sequence[Track], *, paused: bool) -> None:
        """See `Exchange.set_tracks`."""
        running = self._running.get(recording)
        if running is None:
            return
        running.tracks = tuple(tracks)
        if paused != running.paused:
            running.paused = paused
            pauses, now = running.file.pauses, self._now()
            if paused:
                pauses = (*pauses, Pause(now))
            else:
                pauses = (*pauses[:-1], replace(pauses[-1], ended_at=now))
            running.file = replace(running.file, pauses=pauses)
            self._save_if_open(running)
        self._say(running)

    def end(self, recording: RecordingId) -> None:
        """See `Exchange.end_recording`."""
        running = self._running.get(recording)
        if running is None or running.is_ending:
            return
        running.is_ending = True
        running.tracks = ()
        running.file = replace(running.file, ended_at=self._now())
        self._say(running)
        running.ends_at = monotonic()
        if running.is_open:
            self._recorder.send(r.CloseRecording(recording=recording, at=running.ends_at))

    # -- its files --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take what the process tells, and keep the catalogue as it should be."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(), name="recordings, what is known")
            async for notice in self._recorder.notices():
                if isinstance(notice, WorkerLost):
                    self._lose(notice.reason)
                else:
                    self._closed(notice)

    async def close(self) -> None:
        """End all, and wait until the files are finished and known; not for ever."""
        for recording in [*self._running]:
            self.end(recording)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                for running in [*self._running.values()]:
                    await running.closed.wait()
                while self._unsaved:
                    await asyncio.sleep(0.01)
                    continue
        for task in self._tasks:
            task.cancel()

    async def _open(self, recording: RecordingId, at: float) -> None:
        running, settings = self._running[recording], self._settings
        command = r.OpenRecording(
            recording=recording,
            path=str(settings.directory / running.file.path),
            format=settings.format,
            sample_rate_hz=settings.sample_rate_hz,
            at=at,
            key=settings.key,
            least_free=settings.least_free,
        )
        for tries in range(_TRIES):
            try:
                await self._recorder.open(command, running.unsaid)
                break
            except MediaError as exc:
                is_away = isinstance(exc, MediaUnavailable)
                if not is_away or running.is_ending or tries == _TRIES - 1:
                    log.warning("recording could not begin", reason=str(exc))
                    self._over(running, FileState.FAILED, str(exc))
                    self._emit(RecordingEnded(recording, str(exc)))
                    return
                await asyncio.sleep(_RETRY_S)
        running.is_open = True
        running.unsaid.clear()
        self._save(running.file)
        if running.is_ending:
            self._recorder.send(r.CloseRecording(recording=recording, at=running.ends_at))
            return
        self._emit(RecordingBegan(recording))

    def _closed(self, notice: r.RecordingClosed) -> None:
        running = self._running.get(RecordingId(notice.recording))
        if running is None:
            return
        running.file = replace(
            running.file,
            duration_ms=notice.duration_ms,
            size=notice.size,
            sha256=notice.sha256,
        )
        state = FileState.FAILED if notice.failure else FileState.COMPLETE
        was_asked = running.is_ending
        self._over(running, state, notice.failure)
        if notice.failure:
            log.warning("recording ended by itself", reason=notice.failure)
        if not was_asked:
            self._emit(RecordingEnded(running.file.recording, notice.failure))

    def _lose(self, reason: str) -> None:
        """The process that wrote them is gone. Another one is there already."""
        for running in [*self._running.values()]:
            if not running.is_open:
                continue  # it is refused, and says so itself
            was_asked = running.is_ending
            file = replace(running.file, ended_at=running.file.ended_at or self._now())
            self._over(running, FileState.LOST, reason)
            self._do(self._recover(replace(file, text=reason)))
            if not was_asked:
                self._emit(RecordingEnded(running.file.recording, reason, again=True))

    async def _recover(self, file: RecordedFile) -> None:
        loop = asyncio.get_running_loop()
        directory = self._settings.directory
        self._save(await loop.run_in_executor(None, recovered, directory, file))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="recording")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _over(self, running: _Running, state: FileState, text: str) -> None:
        running.tracks = ()
        running.is_open = False
        self._stop(running, running.voices)
        ended_at = running.file.ended_at or self._now()
        running.file = replace(running.file, state=state, text=text, ended_at=ended_at)
        self._running.pop(running.file.recording, None)
        self._save(running.file)
        running.closed.set()

    # -- who is on it -----------------------------------------------------------------------------

    def _moved(self, leg: LegId) -> None:
        for running in self._running.values():
            if any(track.leg == leg for track in running.tracks):
                self._say(running)

    def _say(self, running: _Running) -> None:
        """Bring both, the process and the media workers, in line with the tracks."""
        wanted = {
            (port, track.side): track
            for track in running.tracks
            if (port := self._ports.source_of(track.leg))
        }
        if wanted.keys() == running.voices.keys():
            self._note(running)
            return
        gone = {key: number for key, number in running.voices.items() if key not in wanted}
        new = {key: next(self._numbers) for key in wanted if key not in running.voices}
        kept = {key: number for key, number in running.voices.items() if key in wanted}
        running.voices = {**kept, **new}
        said = r.SetVoices(
            recording=running.file.recording,
            at=monotonic(),
            left=_of(running.voices, RecordingSide.LEFT),
            right=_of(running.voices, RecordingSide.RIGHT),
        )
        if running.is_open:
            self._recorder.send(said)
        else:
            running.unsaid.append(said)
        for (port, _), number in new.items():
            self._media.send(m.StartVoice(voice=number, port=port))
        self._stop(running, gone)
        self._note(running)

    def _stop(self, running: _Running, voices: dict[tuple[m.PortName, RecordingSide], int]) -> None:
        for key, number in [*voices.items()]:
            running.voices.pop(key, None)
            self._media.send(m.StopVoice(voice=number))

    def _note(self, running: _Running) -> None:
        """Who has been on which side."""
        file = running.file
        file = replace(
            file,
            left=_joined(file.left, running.tracks, RecordingSide.LEFT),
            right=_joined(file.right, running.tracks, RecordingSide.RIGHT),
        )
        if file != running.file:
            running.file = file
            self._save_if_open(running)

    # -- what is known ----------------------------------------------------------------------------

    def _save_if_open(self, running: _Running) -> None:
        """One whose file is not there yet is known when it is."""
        if running.is_open:
            self._save(running.file)

    def _save(self, file: RecordedFile) -> None:
        self._unsaved[file.recording] = file
        self._catalogue.expect(file)
        self._notes.put(file.recording, file)
        self._news.set()

    async def _keep(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for recording, file in [*self._unsaved.items()]:
                try:
                    await self._catalogue.put(file)
                except EndpointError as error:
                    log.warning("recording can't be noted now", reason=str(error))
                    await asyncio.sleep(_RETRY_S)
                    self._news.set()
                    break
                if self._unsaved.get(recording) is file:
                    del self._unsaved[recording]
                    self._notes.drop(recording)


def recovered(directory: Path, file: RecordedFile) -> RecordedFile:
    """A file whose writer is gone, as it is now: mended, measured. May take a while.

    It is lost in the middle, and plays; or it has failed, where nothing of it can be played.
    """
    path = directory / file.path
    failed = replace(file, state=FileState.FAILED, ended_at=file.ended_at or file.started_at)
    try:
        ended_at = file.ended_at or datetime.fromtimestamp(path.stat().st_mtime, UTC)
        duration_ms = round((ended_at - file.started_at).total_seconds() * 1000)
        try:
            if file.format is r.Format.WAV and not file.encrypted:
                mend(path)
                frames = (path.stat().st_size - HEADER_SIZE) // 4
                duration_ms = frames * 1000 // file.sample_rate_hz
            elif not file.encrypted:
                duration_ms = ogg.mend(path)
        except EndpointError as exc:
            size, sha256 = measured(path)
            return replace(failed, size=size, sha256=sha256, text=str(exc))
        size, sha256 = measured(path)
    except FileNotFoundError:
        return replace(failed, text="its writer was killed before there was a file of it")
    except OSError as exc:
        return replace(failed, text=exc.strerror or str(exc))
    return replace(
        file,
        state=FileState.LOST,
        ended_at=ended_at,
        duration_ms=max(0, duration_ms),
        size=size,
        sha256=sha256,
    )


def _of(voices: dict[tuple[m.PortName, RecordingSide], int], side: RecordingSide) -> list[int]:
    return [number for (_, on), number in voices.items() if on is side]


def _joined(
    before: Collection[DeviceId], tracks: Sequence[Track], side: RecordingSide
) -> tuple[DeviceId, ...]:
    new = (track.number for track in tracks if track.side is side)
    return tuple(dict.fromkeys((*before, *new)))
