"""Agents without a phone in one service, half of them calling the others: how late, at what cost.

Each speaks by a WAV file and hears into one, but for one, who is a program: the packets that it
gets say when the clock of the media process has ticked.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.frame import FRAME_MS
from endpoint.audio.tones import tone
from endpoint.audio.wav import WavWriter
from endpoint.callcontrol.commands import MakeCall
from endpoint.callcontrol.events import Established
from endpoint.legs.base import DeviceId, LegId
from endpoint.legs.program import ProgramLeg
from endpoint.media.rtp import parse_rtp
from tests.bench.report import Row
from tests.bench.rtpload import Ground, cpu_time_s

LATE_P99_MS = 5.0
STAMPED = 35
"""SO_TIMESTAMPNS, which `socket` does not name."""
_TIME = struct.Struct("qq")
_RATE_HZ = 8000
_TICKS = 16 * FRAME_MS


async def agents(ground: Ground) -> list[Row]:
    """A service of as many agents as a quarter of the legs of other benches."""
    names = [DeviceId(f"70{number:02}") for number in range(max(4, ground.legs // 4))]
    pairs = list(zip(names[::2], names[1::2], strict=True))
    ground.say(f"{len(names)} agents in {len(pairs)} calls")
    config = _config(ground, names)
    async with Endpoint(config) as endpoint:
        events = endpoint.controller.subscribe()
        for caller, called in pairs:
            await endpoint.controller.submit(MakeCall(caller, called))
        count = 0
        async for numbered in events:
            count += isinstance(numbered.event, Established)
            if count == len(pairs):
                break
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            probe.setsockopt(socket.SOL_SOCKET, STAMPED, 1)
            probe.settimeout(1.0)
            leg = endpoint.exchange.leg(_leg_of(endpoint, names[-1]))
            assert isinstance(leg, ProgramLeg)
            await leg.attach(probe.getsockname()[1])
            rounds = [await _round(endpoint, probe, ground.seconds) for _ in range(ground.rounds)]
        wrong = [one for one in pairs[:-1] if not await _hear_each_other(endpoint, one, names)]
    late_ms = min((one.late_ms for one in rounds), key=lambda late: float(np.percentile(late, 99)))
    media_ms, control_ms = (min(one.cpu_ms[part] for one in rounds) for part in (0, 1))
    what = f"{len(names)} agents with files, {len(pairs)} calls"
    return [
        Row(
            name="agents-late",
            what=f"{what}: how late the clock ticks, p99",
            unit="ms",
            ours=round(float(np.percentile(late_ms, 99)), 3),
            limit=LATE_P99_MS,
            details={
                "p50 ms": round(float(np.percentile(late_ms, 50)), 3),
                "longest ms": round(float(late_ms.max()), 3),
            },
        ),
        Row(
            name="agents-cpu",
            what=f"{what}: CPU of the media process a second, an agent",
            unit="ms",
            ours=round(media_ms / len(names), 3),
            details={"control process, all, ms/s": round(control_ms, 1)},
        ),
        Row(
            name="agents-wrong",
            what=f"{what}: calls in which somebody hears not the other one alone",
            unit="",
            ours=len(wrong),
            limit=0,
        ),
    ]


class _Round(NamedTuple):
    """What was seen in some seconds."""

    late_ms: npt.NDArray[np.float64]
    cpu_ms: tuple[float, float]
    """Of the media process and the control process, a second."""


async def _round(endpoint: Endpoint, probe: socket.socket, seconds: float) -> _Round:
    worker = endpoint.media_workers[0].pid
    assert worker is not None
    pids = (worker, os.getpid())
    before, since = [cpu_time_s(pid) for pid in pids], time.monotonic()
    late_ms = await asyncio.to_thread(_late_ms, probe, seconds)
    passed_s = time.monotonic() - since
    media, control = (
        1000 * (cpu_time_s(pid) - at) / passed_s for pid, at in zip(pids, before, strict=True)
    )
    return _Round(late_ms, (media, control))


def _tones(names: Sequence[str]) -> Mapping[str, Sequence[float]]:
    return {name: [400.0 + 55 * number] for number, name in enumerate(names)}


def _config(ground: Ground, names: Sequence[str]) -> Config:
    entries: list[dict[str, object]] = []
    for name, (frequency_hz,) in _tones(names).items():
        says = ground.folder / f"says-{name}.wav"
        with Path(says).open("wb") as file:
            writer = WavWriter(file, _RATE_HZ, 1)
            writer.write(tone(frequency_hz, 1000, -15.0).reshape(-1, 1))
        hears = ground.folder / f"heard-{name}.wav"
        audio = {"input": f"file:{says}", "output": f"file:{hears}"}
        if name == names[-1]:
            audio = {"input": "program", "output": "program"}
        entries.append({"device": name, "auto_answer": True, **audio})
    return Config.model_validate(
        {
            "http": {"port": 0, "plain": False},
            "sip": {"port": 0},
            "media": {"cpus": [ground.relay_core]},
            "state": {"directory": ground.folder / "state"},
            "agent": entries,
        }
    )


def _leg_of(endpoint: Endpoint, device: str) -> LegId:
    return next(
        connection.leg
        for call in endpoint.controller.calls()
        for connection in call.connections
        if connection.device == device and connection.is_live
    )


async def _hear_each_other(endpoint: Endpoint, pair: tuple[str, str], names: Sequence[str]) -> bool:
    signatures = _tones(names)
    for one, other in (pair, pair[::-1]):
        found = await endpoint.exchange.read_heard(_leg_of(endpoint, one))
        if heard(np.frombuffer(found.samples, "<i2"), signatures) != {other}:
            return False
    return True


def _late_ms(probe: socket.socket, seconds: float) -> npt.NDArray[np.float64]:
    """How much later than a clock of 20 ms each packet was sent, by the kernel's time stamps."""
    until = time.monotonic() + seconds
    late: list[float] = []
    first = 0
    while time.monotonic() < until:
        datagram, ancillary, _, _ = probe.recvmsg(2048, 128)
        packet = parse_rtp(memoryview(datagram))
        if packet is None or packet.payload_type != 97:
            continue
        stamp = next(_TIME.unpack(octets) for _, kind, octets in ancillary if kind == STAMPED)
        first = first or packet.timestamp
        ticks = ((packet.timestamp - first) & 0xFFFFFFFF) // _TICKS
        late.append(stamp[0] * 1000 + stamp[1] / 1e6 - ticks * FRAME_MS)
    return np.array(late) - min(late)
