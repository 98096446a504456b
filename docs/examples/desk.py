"""A script that works a call: it dials, holds, consults, confers and transfers.

`desk.py DEVICE CUSTOMER COLLEAGUE [CONFIG]`: a device of the endpoint that runs with that
configuration, by default the one that is searched for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from endpoint.app import Agent, AgentError, CallFailed
from endpoint.client.errors import RequestRefused


async def work(agent: Agent, customer: str, colleague: str) -> None:
    events = agent.events()
    call = await agent.dial(customer, ring_s=30)
    await call.give_data(order="4711")
    print(f"{call.direction}: {call.calling} {call.calling_name} called {call.called}")

    print(f"{'answered' if call.is_answered else 'rings'} since {call.began_at:%H:%M:%S}")

    await call.press("1#")
    await call.mute()
    print("nobody hears us" if call.is_muted else "we are heard")
    await call.unmute()

    await call.record()
    await call.pause_recording()  # while a card number is told
    await call.resume_recording()
    await call.stop_recording()

    await call.hold()
    print(call.state, "allowed now:", *call.commands)
    await call.retrieve()

    second = await call.consult(colleague)
    await second.swap()  # the customer again, the colleague hears music
    await second.swap()
    together = await call.confer()
    print("together with", *together.others, dict(together.data))
    for party in (await together.quality()).parties:
        print(party.device, party.codec)

    await together.hang_up()  # the two of them talk on
    print(together.id, "is over for us:", together.is_over, together.cause)
    print("first event:", (await anext(events)).event)
    print("calls now:", len(agent.calls))


async def main(device: str, customer: str, colleague: str, *config: str) -> None:
    async with Agent.running(device, *map(Path, config)) as agent:
        try:
            await work(agent, customer, colleague)
        except CallFailed as error:
            sys.exit(f"{error} ({error.cause}, {error.sip_status})")
        except (AgentError, RequestRefused) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: desk.py DEVICE CUSTOMER COLLEAGUE [CONFIG]")
    asyncio.run(main(*sys.argv[1:]))
