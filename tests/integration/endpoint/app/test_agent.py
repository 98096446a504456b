"""The Python API: what a program asks is so when its call returns, and its audio goes both ways."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from endpoint.app import Agent, AgentError, Call, CallFailed
from endpoint.app.context import client_of
from endpoint.app.enrolment import add_extension
from endpoint.app.exitcodes import ExitCode
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.errors import EndpointError
from endpoint.storage.extensions import Extension
from tests.integration.endpoint.app.conftest import PASSWORD, configuration

pytestmark = pytest.mark.integration

AGENT, CUSTOMER, COLLEAGUE, CALLER = "6001", "6002", "6003", "6004"
SIGNATURES = {
    AGENT: [1400.0],
    CUSTOMER: [440.0],
    COLLEAGUE: [590.0],
    CALLER: [1010.0],
    "music": [523.0, 659.0],
}
PATIENCE_S = 20.0
RATE_HZ = 16_000
SECOND = (8000 * np.sin(2 * np.pi * 1400 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)


@dataclass
class House:
    """An endpoint: the agent's station is a program, the others are tones."""

    endpoint: Endpoint
    agent: Agent
    group: asyncio.TaskGroup

    def client(self) -> EndpointClient:
        """One more."""
        return client_of(self.endpoint.running, self.endpoint.token)

    async def heard_at(self, device: str) -> set[str]:
        """What a station without a phone hears."""
        legs = [
            connection.leg
            for call in self.endpoint.controller.calls()
            for connection in call.connections
            if connection.device == device and connection.is_live
        ]
        found = await self.endpoint.exchange.read_heard(legs[0], 400)
        return heard(np.frombuffer(found.samples, "<i2"), SIGNATURES)

    async def hears(self, call: Call | None, expected: dict[str, set[str]]) -> None:
        """Wait until all hear just that; `agent` is what comes in a call of his."""
        found: dict[str, set[str]] = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while found != expected:
                    found = {AGENT: await heard_in(call)} if call is not None else {}
                    for device in expected.keys() - {AGENT}:
                        found[device] = await self.heard_at(device)
        except TimeoutError:
            assert found == expected

    def speaks(self, call: Call) -> None:
        """Let the agent say his tone in a call, to its end."""

        async def speak() -> None:
            while await call.play(SECOND):
                pass

        self.group.create_task(speak())


async def heard_in(call: Call) -> set[str]:
    """The tones in the next 400 ms of a call."""
    frames = []
    async for frame in call.audio:
        frames.append(frame)
        if len(frames) == 20:
            break
    return heard(np.concatenate(frames), SIGNATURES, sample_rate_hz=RATE_HZ) if frames else set()


def settings(directory: Path, **more: Any) -> Config:
    return configuration(
        directory,
        station=[
            {"device": AGENT, "kind": "program"},
            {"device": CUSTOMER, "kind": "tone", "frequency_hz": 440},
            {"device": COLLEAGUE, "kind": "tone", "frequency_hz": 590},
            {"device": CALLER, "kind": "tone", "frequency_hz": 1010},
        ],
        **more,
    )


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        supervision = [{"supervisor": COLLEAGUE, "devices": [AGENT]}]
        configured = settings(tmp_path / "state", supervision=supervision)
        endpoint = await stack.enter_async_context(Endpoint(configured))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        agent = Agent(AGENT, client=client_of(endpoint.running, endpoint.token))
        await stack.enter_async_context(agent)
        yield House(endpoint, agent, group)


async def rings(house: House, caller: str = CALLER) -> Call:
    """Somebody calls the agent."""
    incoming = house.agent.incoming()
    await house.agent.client.make_call(caller, AGENT)
    async with asyncio.timeout(PATIENCE_S):
        return await anext(incoming)


async def test_who_only_listens_is_not_told_as_one_who_is_in_the_call(house: House) -> None:
    call = await rings(house)
    assert not call.is_answered
    rang_at = call.began_at
    await call.answer()
    assert call.is_answered
    assert call.began_at is not None
    assert rang_at is not None
    assert call.began_at > rang_at
    events = call.events()

    async def joins(part: Literal["silent", "whisper", "active"]) -> list[str]:
        await house.agent.client.join(COLLEAGUE, call.id, AGENT, part)
        async with asyncio.timeout(PATIENCE_S):
            while (await anext(events)).fields.get("participation") != part:
                pass
        return call.others

    assert await joins("silent") == [CALLER]
    assert await joins("whisper") == [CALLER]
    assert await joins("active") == [CALLER, COLLEAGUE]


async def test_what_a_program_asks_moves_the_audio(house: House) -> None:
    call = await house.agent.dial(CUSTOMER)
    house.speaks(call)
    assert (call.state, call.others, call.direction) == ("connected", [CUSTOMER], "outbound")
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: {AGENT}})

    await call.mute()
    assert call.is_muted
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: set()})
    await call.unmute()

    await call.hold()
    assert call.state == "hold"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(call.audio)
    await house.hears(None, {CUSTOMER: {"music"}})
    await call.retrieve()
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: {AGENT}})

    second = await call.consult(COLLEAGUE)
    house.speaks(second)
    await house.hears(second, {AGENT: {COLLEAGUE}, CUSTOMER: {"music"}, COLLEAGUE: {AGENT}})
    await second.swap()
    assert (call.state, second.state) == ("connected", "hold")
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: {AGENT}, COLLEAGUE: {"music"}})
    await call.swap()
    together = await second.confer()
    assert together is call
    await second.ended()
    await house.hears(
        together,
        {
            AGENT: {CUSTOMER, COLLEAGUE},
            CUSTOMER: {AGENT, COLLEAGUE},
            COLLEAGUE: {AGENT, CUSTOMER},
        },
    )
    await together.hang_up()
    assert (together.is_over, together.state, house.agent.calls) == (True, "null", [])
    await house.hears(None, {CUSTOMER: {COLLEAGUE}, COLLEAGUE: {CUSTOMER}})


async def test_a_consultation_is_left_and_calls_are_handed_over(house: House) -> None:
    call = await rings(house)
    await call.answer()
    house.speaks(call)
    second = await call.consult(COLLEAGUE)
    await second.reconnect()
    assert (second.is_over, call.state) == (True, "connected")
    await house.hears(call, {AGENT: {CALLER}, CALLER: {AGENT}})

    second = await call.consult(COLLEAGUE)
    await second.transfer()
    assert await call.ended() in ("normal", "transferred")
    await house.hears(None, {CALLER: {COLLEAGUE}, COLLEAGUE: {CALLER}})
    await house.agent.client.clear(CALLER, call.id)

    call = await rings(house)
    await call.answer()
    await call.transfer(CUSTOMER)
    await call.ended()
    await house.hears(None, {CALLER: {CUSTOMER}, CUSTOMER: {CALLER}})


async def test_what_comes_to_nothing_is_told_with_the_reason(house: House) -> None:
    """And the call goes on."""
    call = await house.agent.dial(CUSTOMER)
    with pytest.raises(RequestRefused) as refused:
        await call.retrieve()
    assert refused.value.reason == "invalid_state"
    with pytest.raises(RequestRefused, match="not for a program") as refused:
        await house.agent.client.attach_audio(CUSTOMER, call.id, 9)
    assert refused.value.reason == "no_program"
    with pytest.raises(CallFailed, match="in 0 other calls"):
        await call.swap()
    with pytest.raises(RequestRefused):
        await house.agent.dial(COLLEAGUE)
    with pytest.raises(CallFailed, match="9999 did not take the call") as failed:
        await call.consult("9999")
    assert (failed.value.cause, failed.value.sip_status) == ("unknown_device", 404)
    assert (call.state, house.agent.calls) == ("connected", [call])
    await call.hang_up()

    with pytest.raises(CallFailed, match="nothing has come of ringing in"):
        # The agent himself is a program: nobody answers for him.
        async with Agent(CALLER, client=house.client()) as caller:
            await caller.dial(AGENT, ring_s=0.5)
    async with asyncio.timeout(PATIENCE_S):
        while house.agent.calls:
            await house.agent.calls[0].ended()
    with pytest.raises(AgentError, match="7777 is no device of the endpoint"):
        async with Agent("7777", client=house.client()):
            pass


async def test_a_call_carries_data_and_tells_what_happens(house: House) -> None:
    call = await house.agent.dial(CUSTOMER, data={"customer": "Ann"})
    events = call.events()
    await call.give_data(order="4711")
    assert dict(call.data) == {"customer": "Ann", "order": "4711"}
    await call.hold()
    told = [(await anext(events)).event]
    while told[-1] != "Held":
        told.append((await anext(events)).event)
    assert "CallInformation" in told
    assert "RetrieveCall" in call.commands
    assert {party.device for party in (await call.quality()).parties} == {AGENT, CUSTOMER}
    await call.hang_up()
    await call.hang_up()
    assert (await call.ended(), call.cause) == ("normal", "normal")
    rest = [frame.event async for frame in events]
    assert rest[-1] == "ConnectionCleared"


async def test_what_is_cleared_is_not_heard(house: House) -> None:
    """A minute of tone is cut off at once; what follows is heard."""
    call = await house.agent.dial(CUSTOMER)
    speaking = house.group.create_task(call.play(np.tile(SECOND, 60)))
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: {AGENT}})
    call.clear()
    assert not await speaking
    await house.hears(call, {AGENT: {CUSTOMER}, CUSTOMER: set()})
    assert await call.play(SECOND[:3200])
    assert await call.said()


async def test_two_programs_talk_and_press_keys(house: House, tmp_path: Path) -> None:
    config = settings(tmp_path / "other").model_dump()
    config["station"][1]["kind"] = "program"
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(Endpoint(Config.model_validate(config)))
        one, two = (
            Agent(device, client=client_of(endpoint.running, endpoint.token))
            for device in (AGENT, CUSTOMER)
        )
        await stack.enter_async_context(one)
        await stack.enter_async_context(two)
        async with asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE_S):
            dialling = group.create_task(one.dial(CUSTOMER))
            theirs = await anext(two.incoming())
            await theirs.answer()
            ours = await dialling
            await ours.play(SECOND)
            while await heard_in(theirs) != {AGENT}:
                await ours.play(SECOND)
            await ours.press("12#")
            digits = theirs.digits
            assert [await anext(digits) for _ in range(3)] == ["1", "2", "#"]
            await theirs.hang_up()
            await ours.ended()


async def test_an_endpoint_of_his_own_is_started_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Agent(AGENT) as agent:
        assert [device.device for device in await agent.client.devices()] == [AGENT]
        with pytest.raises(CallFailed, match="unknown device"):
            await agent.dial(CUSTOMER)
    assert (tmp_path / "agent-endpoint" / "agents" / AGENT).is_dir()


async def test_an_agent_of_an_outside_server_without_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line each for what happens; a wrong password is told, and ends it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Endpoint(settings(tmp_path / "server")) as server:
        host, port = server.sip_address
        address = f"sip:{host}:{port}"
        realm = server.config.sip.realm
        await add_extension(server.extensions, realm, Extension("6009"), PASSWORD)
        with pytest.raises(AgentError, match=r"6009 is not registered: .*40[134]"):
            async with Agent("6009", server=address, password="wrong-Password-1"):
                pass

        program = [sys.executable, "-m", "endpoint", "agent"]
        options = ["--extension", "6009", "--sip-ws-server", address, "--input", "tone:1400"]
        process = await asyncio.create_subprocess_exec(
            *program,
            *options,
            "--auto-answer",
            "--json",
            stdin=DEVNULL,
            stdout=PIPE,
            env={**os.environ, "AGENT_PASSWORD": PASSWORD},
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(3 * PATIENCE_S):
                assert json.loads(await process.stdout.readline())["event"] == "ready"
                async with client_of(server.running, server.token) as client:
                    await client.make_call(CUSTOMER, "6009")
                told: list[str] = []
                while "Established" not in told:
                    told.append(json.loads(await process.stdout.readline())["event"])
                house = House(server, Agent("6009", client=client), asyncio.TaskGroup())
                await house.hears(None, {CUSTOMER: {AGENT}})
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == ExitCode.INTERRUPTED
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
    assert told[0] == "Delivered"


async def test_what_an_agent_can_not_be_is_told_in_words() -> None:
    with pytest.raises(ValidationError, match="expected tone: and 50 to 3900 Hz"):
        Agent(AGENT, input="tone:1")


async def test_an_agent_whose_endpoint_goes_is_told_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with Endpoint(settings(tmp_path / "state")) as endpoint:
            agent = await stack.enter_async_context(
                Agent(AGENT, client=client_of(endpoint.running, endpoint.token))
            )
            call = await agent.dial(CUSTOMER)
        assert await call.ended() in ("lost", "normal")
        assert [one async for one in agent.incoming()] == []
        with pytest.raises(EndpointError):
            await agent.dial(CUSTOMER)
