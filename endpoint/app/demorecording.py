"""The demo's proof of a recording: who is on each side of the file that can be fetched."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from endpoint.audio.analysis import heard
from endpoint.audio.frame import Samples
from endpoint.client.client import EndpointClient

RECORDED_HZ: Literal[8000] = 8000
RECORDED_S = 1.5


async def recorded(
    client: EndpointClient, device: str, call: str, signatures: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Let a recording that runs in a call get long enough, end it, and say who is where on it."""
    while not (found := await client.recordings(call=call)):
        await asyncio.sleep(0.1)
        continue
    recording = found[0].recording
    while True:
        octets = await client.recorded_audio(recording)
        if len(sides_of(octets)[0]) > RECORDED_S * RECORDED_HZ:
            break
        await asyncio.sleep(0.1)
    await client.stop_recording(device, call)
    while True:
        known = await client.recording(recording)
        if known.state != "recording":
            break
        await asyncio.sleep(0.05)
    left, right = sides_of(await client.recorded_audio(recording))
    return {
        "state": known.state,
        "seconds": round(known.duration_ms / 1000, 1),
        "left": sorted(on_side(left, signatures)),
        "right": sorted(on_side(right, signatures)),
    }


def sides_of(octets: bytes) -> tuple[Samples, Samples]:
    """Left and right of a recording in WAV."""
    with wave.open(io.BytesIO(octets)) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].astype(np.int16), both[:, 1].astype(np.int16)


def on_side(side: Samples, signatures: Mapping[str, Sequence[float]]) -> set[str]:
    """Who is anywhere on it but for its beginning, by 400 ms at a time."""
    window = RECORDED_HZ * 400 // 1000
    begins = range(window, len(side) - window, window // 2)
    return {name for at in begins for name in heard(side[at : at + window], signatures)}
