"""A bot that takes every call and says what it hears: `echo.py DEVICE SERVER PASSWORD [CA]`."""

from __future__ import annotations

import asyncio
import sys

from endpoint.app import Agent, Call


async def echo(call: Call) -> None:
    async for frame in call.audio:
        await call.play(frame)


async def serve(agent: Agent) -> None:
    async with asyncio.TaskGroup() as group:
        async for call in agent.incoming():
            await call.answer()
            group.create_task(echo(call))


async def main(device: str, server: str, password: str, ca: str | None = None) -> None:
    async with Agent(device, server=server, password=password, ca=ca) as agent:
        print("ready", flush=True)
        await serve(agent)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
