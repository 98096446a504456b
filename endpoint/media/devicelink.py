"""The control plane's end of a sound device: the process that holds it while it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable

import msgspec
import structlog

from endpoint.errors import MediaError
from endpoint.media import soundmessages as m
from endpoint.media.channel import Channel, make_pair

_SILENT_S = 10.0
"""A process that says nothing for so long hangs in a driver."""
_RETRY_S = 1.0
_GOODBYE_S = 2.0
_LIST_S = 15.0
_MODULE = (sys.executable, "-m", "endpoint.media.device")

log = structlog.get_logger(__name__)


async def list_devices() -> list[m.SoundDevice]:
    """The sound devices of this machine. Raises MediaError: the text says what to install."""
    process = await asyncio.create_subprocess_exec(
        *_MODULE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # ALSA tells there what it does not find
    )
    try:
        async with asyncio.timeout(_LIST_S):
            told, _ = await process.communicate()
    except TimeoutError:
        raise MediaError("a sound driver hangs: the devices can't be listed") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        found = msgspec.json.decode(told, type=m.SoundDevices)
    except msgspec.DecodeError:
        text = f"listing the sound devices ended with {process.returncode}"
        raise MediaError(text) from None
    if found.failure:
        raise MediaError(found.failure)
    return found.devices


class SoundStream:
    """One direction of one sound device, for as long as `run` does.

    `told` hears `Opened` and `Lost` by turns. A process that dies or hangs is begun anew.
    """

    def __init__(
        self,
        settings: m.StreamSettings,
        audio: socket.socket | None,
        told: Callable[[m.Opened | m.Lost], None],
    ) -> None:
        """Set up; nothing happens before `run`.

        Args:
            settings: which device, and what it is to be.
            audio: the socket that is the device to the media plane; None for a ringer.
            told: what becomes of it.
        """
        self._settings = settings
        self._audio = audio
        self._told = told
        self._channel: Channel | None = None
        self._is_wanted = self._is_over = self._is_lost = False
        self._sign = asyncio.Event()
        """Something came from the process, or its channel has closed."""
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<SoundStream {self._settings.use} {self._settings.name!r}>"

    @property
    def settings(self) -> m.StreamSettings:
        """As they are now."""
        return self._settings

    def open(self) -> None:
        """Have the device opened. Before that its process waits, and is ready."""
        self._is_wanted = True
        self._say(m.Open())

    def set_gain(self, gain_db: float) -> None:
        """Louder or softer."""
        self._settings = msgspec.structs.replace(self._settings, gain_db=gain_db)
        self._say(m.SetGain(gain_db))

    def stop(self) -> None:
        """Close the device; `run` ends."""
        self._is_over = True
        self._sign.set()
        if self._channel is not None:
            self._channel.close()

    async def stopped(self) -> None:
        """Close the device, and wait until it is: another one may open it then."""
        self.stop()
        await self._ended.wait()

    async def run(self) -> None:
        """Keep its process until `stop`."""
        try:
            while not self._is_over:
                text = await self._run_process()
                if not self._is_over:
                    log.warning("sound process lost", device=self._settings.name, reason=text)
                    self._hear(m.Lost(text))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RETRY_S):
                            await self._sign.wait()
        finally:
            self._ended.set()

    async def _run_process(self) -> str:
        """One process. Returns why it ended."""
        ours, theirs = make_pair()
        self._sign.clear()
        channel = self._channel = Channel(ours, self._receive, self._sign.set)
        audio = -1 if self._audio is None else self._audio.fileno()
        descriptors = [theirs.fileno(), *([audio] if audio >= 0 else [])]
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *_MODULE,
                    str(theirs.fileno()),
                    str(audio),
                    msgspec.json.encode(self._settings).decode(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,  # ALSA and PortAudio are chatty there
                    pass_fds=descriptors,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                    start_new_session=True,
                )
        except OSError as exc:
            channel.close()
            return f"can't start a process for it: {exc}"
        if self._is_wanted:
            self._say(m.Open())
        try:
            return await self._watch(process, channel)
        finally:
            channel.close()
            await self._wait(process)

    async def _watch(self, process: asyncio.subprocess.Process, channel: Channel) -> str:
        while channel.is_open and not self._is_over:
            try:
                async with asyncio.timeout(_SILENT_S):
                    await self._sign.wait()
            except TimeoutError:
                process.kill()
                return "its driver hangs"
            if channel.is_open:
                self._sign.clear()
        await self._wait(process)
        return f"its process ended with {process.returncode}"

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        """Until it has ended, which it does when its channel closes."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _receive(self, record: bytes) -> None:
        self._sign.set()
        word: m.Word = m.decode_word(record)
        match word:
            case m.Alive():
                pass
            case m.Opened() | m.Lost():
                self._hear(word)

    def _hear(self, word: m.Opened | m.Lost) -> None:
        """Each is told once, until the other one comes."""
        if isinstance(word, m.Opened) or not self._is_lost:
            self._is_lost = isinstance(word, m.Lost)
            self._told(word)

    def _say(self, order: m.Order) -> None:
        if self._channel is not None:
            self._channel.send(m.encode(order))
