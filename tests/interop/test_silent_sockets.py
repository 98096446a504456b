"""F6: an agent's socket falls silent in a call, without a word: nothing is lost, nobody hears it.

Agent and customer are baresip, and each hears the other all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory

from .peers.baresip import Baresip
from .peers.sound import RATE_HZ, longest_gap_ms, write_tone
from .peers.tcp_proxy import TcpProxy
from .serving import Serving
from .test_kamailio_outage import GAP_MS

pytestmark = pytest.mark.interop

AGENT, DEVICE, CUSTOMER = "1001", "6001", "10086"
AGENT_HZ, CUSTOMER_HZ = 1400, 1010
PATIENCE_S = 60.0
BETWEEN_S = 1.0
"""So long it may take to come back and to see what was missed, each time, while all is heard."""


class Watcher:
    """A client that has the agent's session, and keeps all that it was told."""

    def __init__(self, client: EndpointClient, owner: str) -> None:
        self.seen: list[wire.AgentEventFrame] = []
        self._client, self._owner = client, owner
        self._frames: AgentFrames

    async def connect(self, sockets: AsyncExitStack) -> None:
        """Listen behind what was seen, by one more socket."""
        after = self.seen[-1].number if self.seen else 0
        events = self._client.agent_events(AGENT, self._owner, after=after)
        self._frames = await sockets.enter_async_context(events)

    async def see(self, *events: str) -> None:
        """Until all these were told, in this order, and maybe others between."""
        async with asyncio.timeout(PATIENCE_S):
            for event in events:
                while True:
                    frame = await anext(self._frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        self.seen.append(frame)
                        if frame.event == event:
                            break

    async def see_nothing(self, behind: int, for_s: float) -> None:
        """What was on its way comes, and nothing behind it; at last our end gives the socket up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + for_s
        try:
            async with asyncio.timeout_at(until):
                while True:
                    frame = await anext(self._frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        assert frame.number <= behind
                        self.seen.append(frame)
        except TimeoutError:
            pass
        except StopAsyncIteration:
            await asyncio.sleep(until - loop.time())  # the rest of the silence


@pytest.mark.parametrize(
    "silences_s",
    [
        (0.5, 4.0),
        pytest.param((20.0,), marks=pytest.mark.soak),
        pytest.param((170.0,), marks=pytest.mark.soak),
    ],
    ids=lambda silences_s: "-".join(f"{each:g}" for each in silences_s),
)
async def test_f6_a_socket_that_falls_silent_in_a_call_costs_no_event_and_no_audio(
    tmp_path: Path, silences_s: Sequence[float]
) -> None:
    lasts_s = sum(silences_s) + BETWEEN_S * len(silences_s)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(
            Serving(tmp_path / "endpoint", extensions=[DEVICE, CUSTOMER])
        )
        agent, customer = [
            await stack.enter_async_context(
                Baresip(
                    tmp_path / device,
                    device,
                    serving.sip,
                    password=serving.password,
                    says=write_tone(tmp_path / f"{device}.wav", tone_hz, lasts_s + 60),
                )
            )
            for device, tone_hz in ((DEVICE, AGENT_HZ), (CUSTOMER, CUSTOMER_HZ))
        ]
        proxy = await stack.enter_async_context(TcpProxy(serving.plain_port))
        token = serving.state.stored_token() or ""
        far = await stack.enter_async_context(
            EndpointClient(f"http://127.0.0.1:{proxy.port}", token)
        )
        near = serving.client
        await near.bring_into_directory(
            directory.DirectoryImport(agents=[directory.Agent(AGENT, wrap_up_s=0.2)])
        )
        logged_on = await near.log_on(AGENT, wire.LogOnAgent(DEVICE, ready=True))
        owner = logged_on.delegator_id
        watcher = Watcher(far, owner)
        sockets = await stack.enter_async_context(AsyncExitStack())
        await watcher.connect(sockets)
        call = (await near.make_call(DEVICE, CUSTOMER)).call
        for phone in (agent, customer):
            await phone.ringing()
            await phone.accept()
        await watcher.see("Established")

        async with asyncio.TaskGroup() as group:
            listening = [
                group.create_task(phone.listen(ms=int(1000 * lasts_s)))
                for phone in (agent, customer)
            ]
            for turn, silence_s in enumerate(silences_s):
                proxy.fall_silent()
                said = (await near.agent(AGENT)).number
                await near.give_data(DEVICE, call, {"turn": str(turn)})
                await near.set_not_ready(AGENT, "meal", owner)
                await watcher.see_nothing(said, silence_s)
                await near.set_ready(AGENT, owner)
                await watcher.connect(sockets)
                await watcher.see("CallInformation", "AgentPendingState", "AgentPendingState")
                now = await near.agent(AGENT)
                assert (now.state, now.is_owned) == ("busy", True)
        heard = [each.result() for each in listening]
        for samples, tone_hz in zip(heard, (CUSTOMER_HZ, AGENT_HZ), strict=True):
            assert samples.size >= sum(silences_s) * RATE_HZ
            assert longest_gap_ms(samples, tone_hz) <= GAP_MS

        await near.end(DEVICE, call)
        await watcher.see("CallCleared")
        connections = (await near.record_of(call)).record.connections
        for leg in connections:
            # A gap of 0: what was sent has all come, on both ways.
            assert leg.quality is not None
            assert leg.quality.received.loss_percent == 0
            assert not leg.quality.sent.loss_percent
        proxy.cut()  # else our farewells wait for answers
        numbers = [each.number for each in watcher.seen]
        assert numbers == list(range(1, len(numbers) + 1))
        told = [each.event for each in watcher.seen]
        assert told.count("CallInformation") == len(silences_s)
        assert told.count("AgentPendingState") == 2 * len(silences_s)
        assert "AgentLoggedOff" not in told
        again = Watcher(near, owner)
        await again.connect(stack)
        await again.see("CallCleared")
        assert [(each.number, each.event, each.fields) for each in again.seen] == [
            (each.number, each.event, each.fields) for each in watcher.seen
        ]
