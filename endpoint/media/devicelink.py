"""The control plane's end of a sound device: the process that holds it while it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import msgspec

from endpoint.errors import MediaError
from endpoint.media import soundmessages as m
from endpoint.media.process import WorkerKind, WorkerLost, WorkerProcess
from signaling.supervision import Supervision

_SILENT_S = 10.0
"""A process that does not answer for so long hangs in a driver."""
_HEARTBEAT_S = 2.0
_RETRY_S = 1.0
_LIST_S = 15.0
_MODULE = "endpoint.media.device"


async def list_devices() -> list[m.SoundDevice]:
    """The sound devices of this machine. Raises MediaError: the text says what to install."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE),
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

    `told` hears `SoundOpened` and `SoundLost` by turns. A process that dies or hangs is begun anew.
    """

    def __init__(
        self,
        settings: m.StreamSettings,
        told: Callable[[m.Notice], None],
        supervision: Supervision | None = None,
    ) -> None:
        """Set up; nothing happens before `run`."""
        self._settings = settings
        self._told = told
        self._supervision = supervision or Supervision()
        self._worker: WorkerProcess[m.Notice] | None = None
        self._is_wanted = self._is_lost = False
        self._over, self._ended = asyncio.Event(), asyncio.Event()

    def __repr__(self) -> str:
        return f"<SoundStream {self._settings.use} {self._settings.name!r}>"

    def open(self) -> None:
        """Have the device opened. Before that its process waits, and is ready."""
        self._is_wanted = True
        self._say(m.OpenSound())

    def set_gain(self, gain_db: float) -> None:
        """Louder or softer."""
        self._settings = msgspec.structs.replace(self._settings, gain_db=gain_db)
        self._say(m.SetGain(gain_db=gain_db))

    def stop(self) -> None:
        """Close the device; `run` ends."""
        self._over.set()

    async def stopped(self) -> None:
        """Close the device, and wait until it is: another one may open it then."""
        self.stop()
        await self._ended.wait()

    async def run(self) -> None:
        """Keep its process until `stop`."""
        audio = self._settings.audio
        kind = WorkerKind(
            "sound process",
            _MODULE,
            msgspec.json.encode(self._settings).decode(),
            m.decode_answer,
            request_timeout_s=_SILENT_S,
            heartbeat_s=_HEARTBEAT_S,
            restart_delay_s=_RETRY_S,
            descriptors=(audio,) if audio >= 0 else (),
            is_chatty=True,
        )
        try:
            while not self._over.is_set():
                try:
                    async with WorkerProcess(kind, self._supervision) as self._worker:
                        await self._listen(self._worker)
                except MediaError as exc:  # it did not even start
                    self._hear(m.SoundLost(str(exc)))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RETRY_S):
                            await self._over.wait()
        finally:
            self._worker = None
            self._ended.set()

    async def _listen(self, worker: WorkerProcess[m.Notice]) -> None:
        """Until it is over. What was asked meanwhile is asked of each process."""

        async def hear() -> None:
            self._begin()
            async for notice in worker.notices():
                if isinstance(notice, WorkerLost):
                    self._hear(m.SoundLost(notice.reason))
                    self._begin()
                else:
                    self._hear(notice)

        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(hear())
            await self._over.wait()
            hearing.cancel()

    def _begin(self) -> None:
        self._say(m.SetGain(gain_db=self._settings.gain_db))
        if self._is_wanted:
            self._say(m.OpenSound())

    def _hear(self, notice: m.Notice) -> None:
        """Each is told once, until the other one comes."""
        is_lost = isinstance(notice, m.SoundLost)
        if not (is_lost and self._is_lost):
            self._is_lost = is_lost
            self._told(notice)

    def _say(self, command: m.OpenSound | m.SetGain) -> None:
        if self._worker is not None:
            self._worker.send(command)
