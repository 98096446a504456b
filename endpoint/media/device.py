"""A sound device, in a process of its own: the one file that knows PortAudio and its threads.

`python -m endpoint.media.device` prints the devices that are there now;
`python -m endpoint.media.device FD SETTINGS` is one direction of one device. FD is its end of a
socketpair. Its audio goes by a UDP socket that is connected to a port of the media plane, to which
a device is a far end that speaks L16. PortAudio learns of devices that come and go only when it
begins anew, its drivers hang, and abort the process: here that stops nobody else's audio. The
process ends when its keeper goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections import Counter
from importlib import import_module
from time import monotonic
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from endpoint.audio.frame import FRAME_MS, WIDEBAND_HZ, Samples
from endpoint.errors import MediaError
from endpoint.media import pulseserver
from endpoint.media import soundmessages as m
from endpoint.media.channel import Channel
from endpoint.media.messages import Done, Ping, Reply
from endpoint.media.soundstream import Microphone, Ringer, Speaker

NO_LIBRARY = "libportaudio is not installed (Debian: apt install libportaudio2)"
_RATES_HZ = (WIDEBAND_HZ, 48_000, 32_000, 44_100)
"""Tried in this order: what the mixer knows, and what converts from and to it."""
_LATENCY_S = 0.06
_STALLED_S = 2.0
"""A device that asks for nothing for so long is lost, whatever its driver says."""
_LOOK_S = 0.2
_RETRY_S = 1.0
_LARGEST = 2048
_HARDWARE = re.compile(r" \(hw:\d+,\d+\)$")
"""Numbers of cards change when they are plugged in elsewhere, or the machine starts again."""


Stream = Microphone | Speaker | Ringer


class Library:
    """PortAudio, begun anew by each `refresh`, to see what has come and gone."""

    def __init__(self) -> None:
        """Raises MediaError where it is not installed."""
        try:
            self.sounddevice: Any = import_module("sounddevice")
        except OSError as exc:
            raise MediaError(NO_LIBRARY) from exc
        except ImportError as exc:
            raise MediaError("sounddevice is not installed: pip install sounddevice") from exc

    def refresh(self) -> None:
        """See the devices that are there now. No stream may be open."""
        self.sounddevice._terminate()
        self.sounddevice._initialize()

    def devices(self) -> list[m.SoundDevice]:
        """All that can be chosen."""
        found = list(self.sounddevice.query_devices())
        default_input, default_output = self.sounddevice.default.device
        names = stable_names([str(each["name"]) for each in found])
        devices = [
            m.SoundDevice(
                name,
                int(each["max_input_channels"]),
                int(each["max_output_channels"]),
                is_default_input=number == default_input,
                is_default_output=number == default_output,
                text=str(each["name"]) if each["name"] != name else "",
            )
            for number, (name, each) in enumerate(zip(names, found, strict=True))
        ]
        return [*devices, *(pulseserver.devices() if pulseserver.PORTAUDIO_NAME in names else [])]

    def index(self, name: str, *, is_input: bool) -> int | None:
        """PortAudio's number of a device, None for its default. Raises MediaError."""
        kind = "input" if is_input else "output"
        if name == m.DEFAULT:
            if self.sounddevice.default.device[0 if is_input else 1] < 0:
                raise MediaError(f"this machine has no sound {kind}")
            return None
        found = list(self.sounddevice.query_devices())
        channels = "max_input_channels" if is_input else "max_output_channels"
        full = [str(each["name"]) for each in found]
        for number, names in enumerate(zip(stable_names(full), full, strict=True)):
            if name in names and found[number][channels] > 0:
                return number
        raise MediaError(f"there is no sound {kind} {name!r}: agent-endpoint sound list")


def stable_names(names: list[str]) -> list[str]:
    """Names without the numbers of cards, where that leaves them different."""
    short = [_HARDWARE.sub("", name) for name in names]
    count = Counter(short)
    return [one if count[one] == 1 else full for one, full in zip(short, names, strict=True)]


class OpenDevice:
    """A stream that runs, until it is closed. Raises MediaError."""

    def __init__(self, library: Library, settings: m.StreamSettings, stream: Stream) -> None:
        self._stream = stream
        self._asked_at = 0.0
        is_input, name = settings.use.is_input, settings.name
        if name.startswith(pulseserver.PREFIX):
            pulseserver.choose(name, is_input=is_input)
            name = pulseserver.PORTAUDIO_NAME
        index = library.index(name, is_input=is_input)
        self._channels = 1
        sounds = library.sounddevice
        kind = sounds.RawInputStream if is_input else sounds.RawOutputStream
        failure: Exception | None = None
        for self.sample_rate_hz in _RATES_HZ:
            for self._channels in (1, 2):
                stream.begin(self.sample_rate_hz)
                try:
                    self._open = kind(
                        samplerate=self.sample_rate_hz,
                        blocksize=self.sample_rate_hz * FRAME_MS // 1000,
                        device=index,
                        channels=self._channels,
                        dtype="int16",
                        latency=_LATENCY_S,
                        callback=self._captured if is_input else self._asked,
                    )
                except (sounds.PortAudioError, ValueError) as exc:
                    failure = failure or exc
                    continue
                try:
                    self._open.start()
                except sounds.PortAudioError as exc:
                    failure = failure or exc
                    self._open.close(ignore_errors=True)
                    continue
                self._asked_at = monotonic()
                return
        raise MediaError(f"sound device {settings.name!r} can't be opened: {failure}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.abort(ignore_errors=True)
        self._open.close(ignore_errors=True)

    @property
    def is_lost(self) -> bool:
        """Its driver has given it up, or does not ask any more."""
        return not self._open.active or monotonic() - self._asked_at > _STALLED_S

    # -- in PortAudio's thread ------------------------------------------------------------------

    def _captured(self, block: Any, _frames: int, _time: Any, _status: Any) -> None:
        self._asked_at = monotonic()
        samples: Samples = np.frombuffer(bytes(block), dtype=np.int16)
        if self._channels > 1:
            samples = samples.reshape(-1, self._channels).mean(axis=1).astype(np.int16)
        if isinstance(self._stream, Microphone):
            self._stream.capture(samples)

    def _asked(self, block: Any, _frames: int, _time: Any, _status: Any) -> None:
        self._asked_at = now = monotonic()
        if isinstance(self._stream, Speaker | Ringer):
            block[:] = np.repeat(self._stream.play(now), self._channels).tobytes()


class Keeper:
    """Keeps the device open from `OpenSound` on, and tells what becomes of it."""

    def __init__(
        self, control: socket.socket, audio: socket.socket | None, settings: m.StreamSettings
    ) -> None:
        self._settings = settings
        self._audio = audio
        self._gone, self._wanted = asyncio.Event(), asyncio.Event()
        self._channel = Channel(control, self._take, self._gone.set)
        self._library: Library | None = None
        self._is_lost = False
        self._warning = ""
        self._stream = self._made()

    async def run(self) -> None:
        """Until the channel closes."""
        loop = asyncio.get_running_loop()
        if isinstance(self._stream, Speaker) and self._audio is not None:
            loop.add_reader(self._audio, self._read, self._audio, self._stream)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep())
            await self._gone.wait()
            keeping.cancel()

    def _made(self) -> Stream:
        settings = self._settings
        match settings.use:
            case m.SoundUse.INPUT:
                suppression, gain_db = settings.noise_suppression, settings.gain_db
                try:
                    return Microphone(self._send, gain_db=gain_db, suppression=suppression)
                except MediaError as exc:
                    self._warning = str(exc)
                    return Microphone(self._send, gain_db=gain_db)
            case m.SoundUse.OUTPUT:
                return Speaker(gain_db=settings.gain_db)
            case m.SoundUse.RINGER:
                return Ringer(settings.cadence, gain_db=settings.gain_db)

    def _take(self, record: bytes) -> None:
        command: m.OpenSound | m.SetGain | Ping = m.decode_command(record)
        match command:
            case m.OpenSound():
                self._wanted.set()
            case m.SetGain(gain_db=gain_db):
                self._stream.gain_db = gain_db
            case Ping():
                pass
        self._tell(Reply(command.id, Done()))

    def _tell(self, word: Reply | m.Notice) -> None:
        self._channel.send(m.encode(word))

    def _send(self, packet: bytes) -> None:
        if self._audio is not None:
            with contextlib.suppress(OSError):  # nobody takes it any more, or not so fast
                self._audio.send(packet)

    def _read(self, audio: socket.socket, speaker: Speaker) -> None:
        with contextlib.suppress(OSError):
            while True:
                speaker.receive(audio.recv(_LARGEST), monotonic())

    async def _keep(self) -> None:
        while True:
            try:
                if self._library is None:
                    self._library = Library()
                await self._wanted.wait()
                with OpenDevice(self._library, self._settings, self._stream) as opened:
                    self._is_lost = False
                    self._tell(m.SoundOpened(opened.sample_rate_hz, self._warning))
                    await self._until_lost(opened)
                self._lose("it was unplugged, or its driver has stopped")
            except MediaError as exc:
                self._lose(str(exc))
            await asyncio.sleep(_RETRY_S)
            if self._library is not None:
                self._library.refresh()

    async def _until_lost(self, opened: OpenDevice) -> None:
        """Until its driver stops, or its server has it no longer."""
        settings = self._settings
        waits = [self._until_stopped(opened)]
        if settings.name.startswith(pulseserver.PREFIX):
            waits.append(pulseserver.until_gone(settings.name, is_input=settings.use.is_input))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait) for wait in waits]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _until_stopped(self, opened: OpenDevice) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if opened.is_lost:
                return

    def _lose(self, text: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._tell(m.SoundLost(text))


def _list() -> m.SoundDevices:
    try:
        return m.SoundDevices(Library().devices())
    except MediaError as exc:
        return m.SoundDevices(failure=str(exc))


def main(arguments: list[str]) -> None:
    """Run until the keeper goes; without arguments, print what is there."""
    if not arguments:
        sys.stdout.buffer.write(msgspec.json.encode(_list()))
        return
    settings = msgspec.json.decode(arguments[1], type=m.StreamSettings)
    # Audio is late after milliseconds, nothing else here is. Without the right, as anybody else.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))

    async def run() -> None:
        audio = socket.socket(fileno=settings.audio) if settings.audio >= 0 else None
        if audio is not None:
            audio.setblocking(False)
        await Keeper(socket.socket(fileno=int(arguments[0])), audio, settings).run()

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1:])
