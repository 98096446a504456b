"""Fifty agents without a phone in one service, in twenty-five calls at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from endpoint.app.config import load
from endpoint.app.context import running_client
from endpoint.audio.analysis import heard
from endpoint.audio.tones import tone
from endpoint.audio.wav import WavWriter, read_wav
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.rig.matrix import differences, matrix

pytestmark = pytest.mark.integration

AGENTS = [f"70{number:02}" for number in range(50)]
PAIRS = list(zip(AGENTS[::2], AGENTS[1::2], strict=True))
SIGNATURES = {agent: [400.0 + 55 * number] for number, agent in enumerate(AGENTS)}
PATIENCE_S = 60.0
HEARD_S = 2.0
RATE_HZ = 8000
WINDOW = RATE_HZ * 2 // 5


@dataclass(frozen=True)
class Service:
    """`agent-endpoint serve`, in a process of its own."""

    process: asyncio.subprocess.Process
    client: EndpointClient
    folder: Path

    async def hear(self) -> None:
        """Until every agent has written down so much that it can be judged."""
        size = int(2 * 2 * RATE_HZ * HEARD_S)
        files = [self.folder / f"heard-{agent}.wav" for agent in AGENTS]
        async with asyncio.timeout(PATIENCE_S):
            for file in files:
                while True:  # a file says nothing when it grows
                    if file.exists() and file.stat().st_size > size:
                        break
                    await asyncio.sleep(0.1)


def configuration(folder: Path) -> Path:
    """An agent each with his voice in a file, who writes down what he hears."""
    tables = [f'[state]\ndirectory = "{folder}/state"', "[sip]\nport = 0"]
    tables += ["[http]\nport = 0\nplain = false", "[calls]\ndrain_timeout_s = 60"]
    for agent, (frequency_hz,) in SIGNATURES.items():
        with (folder / f"says-{agent}.wav").open("wb") as file:
            WavWriter(file, RATE_HZ, 1).write(tone(frequency_hz, 1000, -15.0).reshape(-1, 1))
        facts = {"input": f"file:says-{agent}.wav", "output": f"file:heard-{agent}.wav"}
        lines = [f'{key} = "{value}"' for key, value in {"device": agent, **facts}.items()]
        tables.append("\n".join(["[[agent]]", *lines, "auto_answer = true"]))
    path = folder / "agent-endpoint.toml"
    path.write_text("\n\n".join(tables))
    return path


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Service]:
    """The service, ready; it is gone afterwards, whatever happened."""
    config = configuration(folder)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    program = (sys.executable, "-c", "from endpoint.app.cli import main; main()")
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


def windows(folder: Path, agent: str) -> Mapping[int, set[str]]:
    """Whom an agent has heard, by windows of 400 ms."""
    samples = read_wav((folder / f"heard-{agent}.wav").read_bytes()).samples
    # The first one is how the call began, and the last is not whole.
    starts = range(WINDOW, min(len(samples), int(RATE_HZ * HEARD_S)) - WINDOW, WINDOW)
    return {at: heard(samples[at : at + WINDOW], SIGNATURES) for at in starts}


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
        await service.hear()

        service.process.send_signal(signal.SIGTERM)
        reason = ""
        while reason != "shutting_down":  # a process says nothing when it has taken a signal
            with pytest.raises(RequestRefused) as refused:
                await service.client.make_call(*PAIRS[0])
            reason = refused.value.reason
        assert (await service.client.health()).calls == len(PAIRS)
        service.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await service.process.wait() == 0

    wanted = matrix({one: [other] for pair in PAIRS for one, other in (pair, pair[::-1])})
    by_agent = {agent: windows(tmp_path, agent) for agent in AGENTS}
    starts = set.union(*(set(one) for one in by_agent.values()))
    assert len(starts) >= 3
    for at in starts:
        found = {agent: frozenset(one.get(at, set())) for agent, one in by_agent.items()}
        assert differences(wanted, found) == [], f"{1000 * at // RATE_HZ} ms"
    assert np.ptp([len(one) for one in by_agent.values()]) == 0
