"""A bot that hands callers over by key: `hand_over.py DEVICE FIRST SECOND [CONFIG]`.

Key 1: straight to FIRST. Key 2: it announces the caller to SECOND, and goes when that one has
heard; any other key: it comes back from there, as it does where SECOND does not answer.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

from endpoint.app import Agent, Call, CallFailed

BEEP = (8000 * np.sin(2 * np.pi * 1010 * np.arange(8_000) / 16_000)).astype(np.int16)


async def hand_over(agent: Agent, call: Call, first: str, second: str) -> None:
    await call.answer()
    await call.play(BEEP)
    async for key in call.digits:
        print("key", key, flush=True)
        if key == "1":
            await call.transfer(first)
            break
        try:
            consultation = await call.consult(second, ring_s=5)
        except CallFailed as error:
            print("nobody there:", error.cause, flush=True)
            continue
        await consultation.play(BEEP)
        await consultation.said()
        if key == "2":
            await consultation.transfer()
            break
        await consultation.reconnect()
    print("done:", await call.ended(), flush=True)


async def main(device: str, first: str, second: str, *config: str) -> None:
    async with Agent.running(device, *map(Path, config)) as agent:
        print("ready as", agent.device, flush=True)
        async for call in agent.incoming():
            await hand_over(agent, call, first, second)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
