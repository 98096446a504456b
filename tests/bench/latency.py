"""What the relay adds to latency while the control plane is 40 % busy and calls are set up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tests.bench.legs import FarEnds, Ours, OursTwice, set_up, set_up_plain
from tests.bench.report import Of, Row
from tests.bench.rtpload import PCMU, Ground, Load

BUSY_S, PERIOD_S = 0.008, 0.02
SET_UP_EVERY_S = 0.5
P99_MS = 1.0
ACROSS = 2.5
"""Two passes in place of one, and the core goes from process to process in between."""


async def latency(ground: Ground) -> list[Row]:
    """Plain legs, WebRTC legs, WebRTC legs beside others that come and go."""
    ground.say(f"latency, {ground.legs} plain legs, busy control plane")
    async with Ours(ground) as ours, kept_busy():
        remotes = await set_up_plain(ours, ground.ports)
        plain = (await ground.forward(ours.pid, remotes)).load
    ground.say(f"latency, {ground.legs} WebRTC legs, busy control plane")
    async with FarEnds(ground, prompt=True) as far, Ours(ground) as ours:
        remotes = await set_up(ours, far, ground.ports)
        async with kept_busy():
            webrtc = (await ground.forward(ours.pid, remotes)).load
            ground.say(f"latency, {ground.legs} WebRTC legs, busy control plane, set-ups")
            async with calls_coming_and_going(ours, far):
                coming = (await ground.forward(ours.pid, remotes)).load
    legs = f"added to {ground.legs} WebRTC legs, control plane busy, p99"
    return [
        _row("latency-plain", f"added to {ground.legs} plain legs, control plane busy, p99", plain),
        _row("latency-webrtc", legs, webrtc),
        _row("latency-set-ups", f"{legs}, {1 / SET_UP_EVERY_S:.0f} set-ups a second", coming),
    ]


async def across(ground: Ground) -> list[Row]:
    """Plain legs whose neighbours are at another worker, beside the same at one."""
    ground.say(f"{ground.legs} plain legs at one worker")
    async with Ours(ground) as ours:
        one = await ground.forward(ours.pid, await set_up_plain(ours, ground.ports))
    ground.say(f"{ground.legs} plain legs, each call at two workers on one core")
    async with OursTwice(ground) as ours:
        remotes = await set_up_plain(ours, ground.ports)
        two = await ground.forward(ours.pid, remotes)
    return [
        Row(
            name="across",
            what=f"from worker to worker, {ground.legs} plain legs, p50",
            unit="ms",
            ours=two.load.latency_ms.p50,
            peer_name="one worker",
            peer=one.load.latency_ms.p50,
            limit=ACROSS,
            of=Of.RATIO,
            loads=[one.load, two.load],
            details={
                "p99 ms": two.load.latency_ms.p99,
                "p99 ms, one worker": one.load.latency_ms.p99,
                "ms/s/leg of each worker": two.cpu_ms,
                "ms/s/leg, one worker": one.cpu_ms,
            },
        )
    ]


@contextlib.asynccontextmanager
async def kept_busy() -> AsyncIterator[None]:
    """Compute in this process, the control plane's, for a part of every period."""

    async def compute() -> None:
        while True:
            started = time.monotonic()
            while time.monotonic() - started < BUSY_S:
                sum(range(200))
            await asyncio.sleep(PERIOD_S - BUSY_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(compute())
        yield
        task.cancel()


@contextlib.asynccontextmanager
async def calls_coming_and_going(ours: Ours, far: FarEnds) -> AsyncIterator[None]:
    """Connect a WebRTC leg more every half second, and end it."""

    async def one(number: int) -> None:
        leg = f"guest-{number}"
        answer = await far.answer(leg, await ours.offer(leg), PCMU)
        await ours.connect(leg, answer)
        await ours.close(leg)
        await far.close(leg)

    async def come_and_go() -> None:
        async with asyncio.TaskGroup() as calls:
            number = 0
            while True:
                calls.create_task(one(number))
                number += 1
                await asyncio.sleep(SET_UP_EVERY_S)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(come_and_go())
        yield
        task.cancel()


def _row(name: str, what: str, load: Load) -> Row:
    return Row(
        name=name,
        what=what,
        unit="ms",
        ours=load.latency_ms.p99,
        limit=P99_MS,
        loads=[load],
        details={
            "p50 ms": load.latency_ms.p50,
            "max ms": load.latency_ms.max,
            "generator late p99 ms": load.lateness_ms.p99,
        },
    )
