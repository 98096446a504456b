"""Fifty agents without a phone in one service, in twenty-five calls at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from endpoint.app.config import load
from endpoint.app.context import running_client
from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.tones import tone
from endpoint.audio.wav import WavWriter, read_wav
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.legs.base import DeviceRegistered
from endpoint.rig.matrix import differences, matrix
from endpoint.storage.extensions import Extension

pytestmark = pytest.mark.integration

AGENTS = [f"70{number:02}" for number in range(50)]
PAIRS = list(zip(AGENTS[::2], AGENTS[1::2], strict=True))
OUTSIDE = [f"80{number:02}" for number in range(25)]
SIGNATURES = {one: [350.0 + 45 * number] for number, one in enumerate([*AGENTS, *OUTSIDE])}
PASSWORD = "n0t-a-default-7Qx"
PATIENCE_S = 60.0
HEARD_S = 2.0
RATE_HZ = 8000
WINDOW = RATE_HZ * 2 // 5
OCTETS = 4
"""Of a sample in what is written down: what is said, what is heard."""


@dataclass(frozen=True)
class Service:
    """`agent-endpoint serve`, in a process of its own."""

    process: asyncio.subprocess.Process
    client: EndpointClient
    folder: Path

    async def hear(self, agents: Sequence[str]) -> dict[str, int]:
        """Until each of these has written down so much more that it can be judged; from where."""
        files = {agent: self.folder / f"heard-{agent}.wav" for agent in agents}
        begun = {agent: file.stat().st_size for agent, file in files.items()}
        async with asyncio.timeout(PATIENCE_S):
            for agent, file in files.items():
                while True:  # a file says nothing when it grows
                    if file.stat().st_size > begun[agent] + OCTETS * RATE_HZ * HEARD_S:
                        break
                    await asyncio.sleep(0.1)
        return {agent: size // OCTETS for agent, size in begun.items()}


def configuration(folder: Path, server: str) -> Path:
    """An agent each with his voice in a file, who writes down what he hears."""
    tables = [f'[state]\ndirectory = "{folder}/state"', "[sip]\nport = 0"]
    tables += ["[http]\nport = 0\nplain = false", "[calls]\ndrain_timeout_s = 60"]
    account = {"server": server, "password": PASSWORD} if server else {}
    for agent in AGENTS:
        (frequency_hz,) = SIGNATURES[agent]
        with (folder / f"says-{agent}.wav").open("wb") as file:
            WavWriter(file, RATE_HZ, 1).write(tone(frequency_hz, 1000, -15.0).reshape(-1, 1))
        facts = {"input": f"file:says-{agent}.wav", "output": f"file:heard-{agent}.wav"}
        lines = [
            f'{key} = "{value}"' for key, value in {"device": agent, **facts, **account}.items()
        ]
        tables.append("\n".join(["[[agent]]", *lines, "auto_answer = true"]))
    path = folder / "agent-endpoint.toml"
    path.write_text("\n\n".join(tables))
    return path


@asynccontextmanager
async def served(folder: Path, server: str = "") -> AsyncIterator[Service]:
    """The service, ready; it is gone afterwards, whatever happened."""
    config = configuration(folder, server)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    program = (sys.executable, "-m", "endpoint")
    process = await asyncio.create_subprocess_exec(
        *program, "serve", "--json", "--config", str(config), stdout=PIPE, env=inherited
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert b'"ok":true' in await process.stdout.readline()
        async with running_client(load(config).config) as client:
            yield Service(process, client, folder)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def established(frames: Frames, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames:
            if isinstance(frame, wire.EventFrame):
                count -= frame.event == "Established"
                assert frame.event not in ("Failed", "CallCleared"), frame
            if not count:
                return


def windows(folder: Path, agent: str, start: int) -> list[set[str]]:
    """Whom an agent has heard from then on, by windows of 400 ms."""
    samples = read_wav((folder / f"heard-{agent}.wav").read_bytes()).samples[start + WINDOW :]
    starts = range(0, int(RATE_HZ * HEARD_S) - 2 * WINDOW, WINDOW)
    return [heard(samples[at : at + WINDOW], SIGNATURES) for at in starts]


async def test_fifty_agents_in_twenty_five_calls_hear_each_other_and_nobody_else(
    tmp_path: Path,
) -> None:
    """SIGTERM then takes no new calls and lets those that live go on; a second one ends them."""
    async with served(tmp_path) as service:
        async with service.client.events() as frames:
            for caller, called in PAIRS:
                await service.client.make_call(caller, called)
            await established(frames, len(PAIRS))
        assert (await service.client.health()).calls == len(PAIRS)
        since = await service.hear(AGENTS)

        service.process.send_signal(signal.SIGTERM)
        while not (await service.client.health()).draining:
            """A process says nothing when it has taken a signal."""
        with pytest.raises(RequestRefused) as refused:
            await service.client.make_call(*PAIRS[0])
        assert refused.value.reason == "shutting_down"
        assert (await service.client.health()).calls == len(PAIRS)
        service.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await service.process.wait() == 0

    wanted = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
    assert faults(tmp_path, wanted, since) == []


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_fifty_agents_of_an_outside_server_and_twenty_five_calls_over_it(
    tmp_path: Path,
) -> None:
    """Every voice goes by RTP from one endpoint to the other, and back."""
    outside = Config.model_validate(
        {
            "http": {"port": 0, "plain": False},
            "sip": {"port": 0, "limits": {"exempt": ["127.0.0.0/8"]}},
            "media": {"port_first": 30_000, "port_last": 34_999},
            "state": {"directory": tmp_path / "outside"},
            "station": [
                {"device": one, "kind": "tone", "frequency_hz": SIGNATURES[one][0]}
                for one in OUTSIDE
            ],
        }
    )
    async with Endpoint(outside) as server:
        for agent in AGENTS:
            extension, realm = Extension(agent), outside.sip.realm
            await add_extension(server.extensions, realm, extension, PASSWORD)
        registered = server.controller.subscribe()
        host, port = server.sip_address
        async with served(tmp_path, f"sip:{host}:{port}") as service:
            async with asyncio.timeout(PATIENCE_S):
                left = set(AGENTS)
                async for numbered in registered:
                    if isinstance(numbered.event, DeviceRegistered):
                        left.discard(numbered.event.device)
                    if not left:
                        break
            async with service.client.events() as frames:
                for agent, one in zip(AGENTS, OUTSIDE, strict=False):
                    await service.client.make_call(agent, one)
                await established(frames, len(OUTSIDE))
            talking = AGENTS[: len(OUTSIDE)]
            since = await service.hear(talking)
            there = {
                str(connection.device): await server.exchange.read_heard(connection.leg)
                for call in server.controller.calls()
                for connection in call.connections
                if connection.device in OUTSIDE
            }
            service.process.send_signal(signal.SIGTERM)
            while not (await service.client.health()).draining:
                """A process says nothing when it has taken a signal."""
            service.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                assert await service.process.wait() == 0
    assert faults(tmp_path, dict(zip(talking, OUTSIDE, strict=True)), since) == []
    assert {
        one: heard(np.frombuffer(found.samples, "<i2"), SIGNATURES) for one, found in there.items()
    } == {one: {agent} for agent, one in zip(talking, OUTSIDE, strict=True)}


def faults(folder: Path, wanted: Mapping[str, str], since: Mapping[str, int]) -> list[str]:
    """What is wrong in what agents have heard, window by window."""
    by_agent = {agent: windows(folder, agent, since[agent]) for agent in wanted}
    expected = matrix({one: [other] for one, other in wanted.items()})
    return [
        f"window {number}: {fault}"
        for number in range(3)
        for fault in differences(
            expected, {agent: frozenset(one[number]) for agent, one in by_agent.items()}
        )
    ]
