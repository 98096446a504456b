"""PulseAudio with null sinks: sound devices on a machine without a sound card."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from endpoint.errors import MediaError
from endpoint.media.devicelink import list_devices

from .feed import PeerError
from .process import Process, require
from .sound import RATE_HZ, Samples, tone, tones_in

_SETTLE_MS = 200
"""What buffers may still hold from before; not judged."""
_START_S = 10.0
_KEPT_S = 10


@dataclass(frozen=True)
class Monitor:
    """What is played into a sink, for `hear`."""

    pulse: Pulse
    sink: str

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms`."""
        return tones_in(await self.pulse.record(self.sink, ms))


class Recorder:
    """The last seconds of a sink."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._came = 0
        self._news = asyncio.Event()

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Take what comes, until it ends."""
        while octets := await stream.read(1 << 16):
            self._octets += octets
            self._came += len(octets)
            del self._octets[: -_KEPT_S * 2 * RATE_HZ]
            self._news.set()

    async def has(self, ms: int) -> None:
        """Wait until so much has come, since the recording began."""
        while self._came < 2 * RATE_HZ * ms // 1000:
            self._news.clear()
            await self._news.wait()

    def last(self, ms: int) -> Samples:
        """Return the end of it."""
        size = 2 * RATE_HZ * ms // 1000
        return np.frombuffer(bytes(self._octets[-size:]), "<i2").astype(np.int16)


class Pulse:
    """`async with Pulse(directory) as pulse`: a sound server of its own.

    Whoever is to use it must have `environment`: `use` gives it to this process and its children.
    """

    def __init__(self, directory: Path) -> None:
        self._server = require("pulseaudio", "pulseaudio")
        self._control = require("pactl", "pulseaudio-utils")
        self._play, self._record = (
            require(each, "pulseaudio-utils") for each in ("pacat", "parec")
        )
        self._directory = directory
        self._stack = AsyncExitStack()
        self._modules: dict[str, str] = {}
        socket = directory / "socket"
        self.environment = {
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_COOKIE": str(directory / "cookie"),
            "PULSE_RUNTIME_PATH": str(directory / "runtime"),
        }

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, mode=0o700)
        arguments = [
            *("-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
            *("--disallow-exit", "--realtime=no", "--high-priority=no", "-L"),
            f"module-native-protocol-unix auth-anonymous=1 socket={self._directory}/socket",
            *("-L", "module-null-sink sink_name=other norewinds=1"),
        ]
        async with AsyncExitStack() as stack:
            process = Process(
                [self._server, *arguments],
                directory=self._directory,
                name="pulseaudio",
                environment=self.environment,
            )
            await stack.enter_async_context(process)
            async with asyncio.timeout(_START_S):
                while process.returncode is None:
                    with contextlib.suppress(PeerError):
                        await self.control("info")
                        break
                    await asyncio.sleep(0.02)  # it says nothing when it is ready
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def restart(self) -> None:
        """End it and begin it anew, with none of its devices."""
        await self._stack.aclose()
        self._modules.clear()
        shutil.rmtree(self._directory)
        await self.__aenter__()

    async def control(self, *arguments: str) -> str:
        """Ask `pactl`. Raises PeerError."""
        process = await asyncio.create_subprocess_exec(
            self._control,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )
        told, _ = await process.communicate()
        if process.returncode:
            raise PeerError(f"pactl {' '.join(arguments)}: {told.decode()}")
        return told.decode().strip()

    async def plug_in(self, sink: str) -> None:
        """Make a sink; `SINK.monitor` is a microphone that hears what is played there."""
        # Without norewinds, what listens to the monitor stalls after some blocks.
        wanted = (f"sink_name={sink}", "rate=48000", "channels=1", "norewinds=1")
        self._modules[sink] = await self.control("load-module", "module-null-sink", *wanted)

    async def unplug(self, sink: str) -> None:
        """Take a sink away, under all that use it."""
        await self.control("unload-module", self._modules.pop(sink))

    @asynccontextmanager
    async def playing(self, sink: str, tone_hz: int) -> AsyncIterator[None]:
        """Play a tone into a sink meanwhile."""
        process = await asyncio.create_subprocess_exec(
            self._play,
            *("--playback", f"--device={sink}", *_FORMAT, "--latency-msec=60"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        assert process.stdin is not None
        async with _ended(process), asyncio.TaskGroup() as group:
            saying = group.create_task(_say(process.stdin, tone_hz))
            yield
            saying.cancel()

    @asynccontextmanager
    async def recording(self, sink: str) -> AsyncIterator[Recorder]:
        """Keep meanwhile what is played into a sink."""
        process = await asyncio.create_subprocess_exec(
            self._record,
            *("--record", f"--device={sink}.monitor", *_FORMAT, "--latency-msec=20"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        assert process.stdout is not None
        recorder = Recorder()
        async with _ended(process), asyncio.TaskGroup() as group:
            reading = group.create_task(recorder.read(process.stdout))
            yield recorder
            reading.cancel()

    async def record(self, sink: str, ms: int) -> Samples:
        """Return what is played into a sink in the next `ms`."""
        try:
            async with asyncio.timeout(_START_S + ms / 1000), self.recording(sink) as recorder:
                await recorder.has(_SETTLE_MS + ms)
                return recorder.last(ms)
        except TimeoutError:
            raise PeerError(f"nothing can be recorded of {sink}") from None

    def monitor(self, sink: str) -> Monitor:
        """Return the listener at a sink."""
        return Monitor(self, sink)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process and its children have these devices."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


async def _say(stream: asyncio.StreamWriter, tone_hz: int) -> None:
    """Write a tone for ever, or until nobody reads."""
    second = tone(tone_hz, 1.0).astype("<i2").tobytes()
    with contextlib.suppress(ConnectionError):
        while True:
            stream.write(second)
            await stream.drain()


@asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """End a process on leaving."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


_FORMAT = ("--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1")


async def require_portaudio() -> None:
    """Where it is missing: a failure on CI, a skipped test elsewhere."""
    try:
        await list_devices()
    except MediaError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
