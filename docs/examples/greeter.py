"""A bot that speaks first and can be interrupted: whoever talks into its greeting is listened to.

`greeter.py DEVICE SERVER PASSWORD [CA]`. Its greeting is a tone, its answer another one: put speech
in their place, and a recogniser in that of `is_loud`.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import numpy.typing as npt

from endpoint.app import Agent, Call

RATE_HZ = 16_000
GREETING_HZ, ANSWER_HZ = 1130, 1800
LOUD_FRAMES = 10
"""So many of 20 ms in a row are somebody who speaks."""

Samples = npt.NDArray[np.int16]


def tone(frequency_hz: float, duration_s: float) -> Samples:
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    return (8000 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.int16)


def is_loud(frame: Samples) -> bool:
    return float(np.sqrt(np.mean(frame.astype(np.float64) ** 2))) > 500


async def somebody_speaks(call: Call) -> bool:
    loud = 0
    async for frame in call.audio:
        loud = loud + 1 if is_loud(frame) else 0
        if loud == LOUD_FRAMES:
            return True
    return False


async def greet(call: Call) -> None:
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(call.play(tone(GREETING_HZ, 60)))
        if await somebody_speaks(call):
            call.clear()  # barge-in: no more of the greeting is heard, and `play` returns False
            print("interrupted" if not await speaking else "said", flush=True)
            await call.play(tone(ANSWER_HZ, 2))
            await call.said()
            await call.hang_up()


async def main(device: str, server: str, password: str, ca: str | None = None) -> None:
    async with Agent(device, server=server, password=password, auto_answer=True, ca=ca) as agent:
        print("ready", flush=True)
        async for call in agent.incoming():
            await greet(call)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
