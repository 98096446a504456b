"""The process that writes recordings: `python -m endpoint.media.recordingworker FD SETTINGS`.

FD is the control plane's socketpair; the settings name those of the media workers. Each tenth of a
second it makes what has come in all of them up to a moment ago into files: Opus is encoded here,
and a disk that hangs hangs nobody else. When the control plane goes it finishes what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import av
import msgspec
from msgspec import Struct

from endpoint import logpipe
from endpoint.errors import MediaError
from endpoint.media import messages
from endpoint.media import recordingmessages as m
from endpoint.media.channel import Channel
from endpoint.media.mixdown import Mixdown, VoiceBox
from endpoint.media.recordingfile import RecordingFile

_TURN_S = 0.1
_BEHIND_S = 0.35
"""So long media workers may take to hand over what they have: they do it each tenth of a second."""
_MOST_S = 0.5
"""Of audio, in a turn."""
_RECORD_LIMIT = 1 << 18
_RECORDS_A_TURN = 64


_Said = messages.Reply | messages.Failed | m.Notice


class RecorderSettings(Struct, frozen=True):
    """Facts for the process."""

    voices: list[int] = []
    """Descriptors of our ends of the media workers' socketpairs."""


class _Recording:
    def __init__(self, command: m.OpenRecording) -> None:
        self.name = command.recording
        self.path = Path(command.path)
        self.file = RecordingFile(
            self.path,
            command.format,
            command.sample_rate_hz,
            key=command.key,
            least_free=command.least_free,
        )
        self.mixdown = Mixdown(command.sample_rate_hz, command.at)


class Recorder:
    """All recordings of an endpoint; `tell` gets answers and notices."""

    def __init__(self, tell: Callable[[_Said], None]) -> None:
        self._say = tell
        self._box = VoiceBox()
        self._recordings: dict[str, _Recording] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, command: m.AnyCommand) -> None:
        """Do what is asked, and answer."""
        try:
            self._do(command)
        except MediaError as exc:
            self._say(messages.Failed(command.id, str(exc)))
        else:
            self._say(messages.Reply(command.id, messages.Done()))

    def take(self, record: bytes) -> None:
        """What a media worker has handed over."""
        with contextlib.suppress(msgspec.DecodeError):
            self._box.take(m.decode_entries(record))

    def advance(self, until: float) -> None:
        """Write all that was heard up to then."""
        for recording in [*self._recordings.values()]:
            try:
                for frame in recording.mixdown.frames(until, self._box.voices):
                    recording.file.write(frame)
                if recording.mixdown.is_over:
                    self._finish(recording)
            except (OSError, av.FFmpegError) as exc:
                recording.file.abandon()
                self._close(recording, exc.strerror or str(exc))
        wanted = {n for each in self._recordings.values() for n in each.mixdown.wants}
        self._box.forget(wanted, until)

    async def finish(self) -> None:
        """Nobody is there any more: write everything, to the last packet."""
        now = monotonic()
        for recording in self._recordings.values():
            recording.mixdown.ends_at = min(recording.mixdown.ends_at or now, now)
        self.advance(now)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _do(self, command: m.AnyCommand) -> None:
        match command:
            case m.OpenRecording(name):
                if name in self._recordings:
                    raise MediaError(f"recording {name!r} runs already")
                self._recordings[name] = _Recording(command)
            case m.SetVoices(name, at, left, right):
                if (recording := self._recordings.get(name)) is not None:  # else it has ended
                    recording.mixdown.change(at, left, right)
            case m.CloseRecording(name, at):
                if (recording := self._recordings.get(name)) is not None:
                    recording.mixdown.ends_at = at
            case messages.Ping():
                pass

    def _finish(self, recording: _Recording) -> None:
        recording.file.finish()
        self._close(recording, "")

    def _close(self, recording: _Recording, failure: str) -> None:
        del self._recordings[recording.name]
        task = asyncio.get_running_loop().create_task(self._tell_closed(recording, failure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_closed(self, recording: _Recording, failure: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            size, digest = await loop.run_in_executor(None, measured, recording.path)
        except OSError as exc:
            size, digest, failure = 0, "", failure or exc.strerror or str(exc)
        duration_ms = recording.file.duration_ms
        self._say(m.RecordingClosed(recording.name, duration_ms, size, digest, failure))


def measured(path: Path) -> tuple[int, str]:
    """How long a file is, and its SHA-256. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


async def serve(end: socket.socket, settings: RecorderSettings) -> None:
    """Do what is asked on the pair until its other end closes."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    recorder = Recorder(lambda message: channel.send(m.encode(message)))
    channel = Channel(end, lambda record: recorder.handle(m.decode_command(record)), gone.set)
    ends = [socket.socket(fileno=descriptor) for descriptor in settings.voices]
    for each in ends:
        each.setblocking(False)
        loop.add_reader(each, partial(_read, each, recorder))
    written = monotonic()
    try:
        while not gone.is_set():
            for each in ends:  # all that was said before it is written
                while _read(each, recorder):
                    pass
            # Where there is more to do than time, it still answers whether it lives.
            until = monotonic() - _BEHIND_S
            is_behind, written = until > written + _MOST_S, min(until, written + _MOST_S)
            recorder.advance(written)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if is_behind else _TURN_S):
                    await gone.wait()
    finally:
        for each in ends:
            loop.remove_reader(each)
            while _read(each, recorder):
                pass
        await recorder.finish()
        channel.close()


def _read(end: socket.socket, recorder: Recorder) -> bool:
    """Take what a media worker has handed over. Returns whether there may be more."""
    for _ in range(_RECORDS_A_TURN):
        try:
            record = end.recv(_RECORD_LIMIT)
        except OSError:
            return False
        if not record:
            return False
        recorder.take(record)
    return True


def main(arguments: list[str]) -> None:
    """Run until the control plane goes."""
    logpipe.install()
    end = socket.socket(fileno=int(arguments[0]))
    settings = msgspec.json.decode(arguments[1], type=RecorderSettings)
    # It has a second to be late in; who forwards has a millisecond.
    with contextlib.suppress(OSError):
        os.nice(5)
    gc.freeze()
    asyncio.run(serve(end, settings))


if __name__ == "__main__":
    main(sys.argv[1:])
