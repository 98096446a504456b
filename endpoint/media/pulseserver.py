"""A PulseAudio or PipeWire server's devices, of which PortAudio sees only the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from typing import Any

import msgspec

from endpoint.media.soundmessages import SoundDevice

PREFIX = "pulse:"
"""Of the names of its devices."""
PORTAUDIO_NAME = "pulse"
_WAIT_S = 5.0
_KINDS = {True: "sources", False: "sinks"}
"""What it calls inputs, and outputs."""


def devices() -> list[SoundDevice]:
    """All that it has; none where nobody can be asked."""
    found: list[SoundDevice] = []
    pactl = shutil.which("pactl")
    for is_input, kind in _KINDS.items() if pactl is not None else ():
        with contextlib.suppress(OSError, subprocess.SubprocessError, msgspec.MsgspecError):
            told = subprocess.run(
                [str(pactl), "--format=json", "list", kind],
                capture_output=True,
                check=True,
                timeout=_WAIT_S,
            )
            for each in msgspec.json.decode(told.stdout, type=list[dict[str, Any]]):
                channels = len(str(each.get("channel_map", "mono")).split(","))
                found.append(
                    SoundDevice(
                        f"{PREFIX}{each['name']}",
                        inputs=channels if is_input else 0,
                        outputs=0 if is_input else channels,
                        text=str(each.get("description", "")),
                    )
                )
    return found


def choose(name: str, *, is_input: bool) -> None:
    """Let the next stream of this process go by this device of the server."""
    # Its own library looks there where no device is named.
    os.environ["PULSE_SOURCE" if is_input else "PULSE_SINK"] = name.removeprefix(PREFIX)


async def until_gone(name: str, *, is_input: bool) -> None:
    """Return when the server no longer has a device: it gives the stream another one then."""
    pactl = shutil.which("pactl")
    if pactl is None:
        await asyncio.Event().wait()
        return
    watching = await _ask(pactl, "subscribe")
    try:
        assert watching.stdout is not None
        kind = _KINDS[is_input]
        while await _has(pactl, kind, name.removeprefix(PREFIX)):
            told = b" "
            while told and not (b"'remove'" in told and kind[:-1].encode() in told):
                told = await watching.stdout.readline()
            if not told:
                return
    finally:
        with contextlib.suppress(ProcessLookupError):
            watching.kill()
        await watching.wait()


async def _has(pactl: str, kind: str, name: str) -> bool:
    asked = await _ask(pactl, "list", "short", kind)
    told, _ = await asked.communicate()
    return any(line.split("\t")[1:2] == [name] for line in told.decode().splitlines())


async def _ask(pactl: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        pactl,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )
