"""Calls of a queue with audio: who waits hears music, who talks hears one other, and nobody else.

Telephones are accounts of one endpoint, a process of its own, that are registered at another one:
each call of a customer, and each to an agent, is SIP and RTP between the two.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from endpoint.app.config import load
from endpoint.app.context import running_client
from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.audio.analysis import heard
from endpoint.audio.tones import CALL_PROGRESS_HZ, MUSIC_ON_HOLD_HZ, tone
from endpoint.audio.wav import WavWriter, read_wav
from endpoint.callcontrol import events as told
from endpoint.client.client import EndpointClient
from endpoint.legs.base import DeviceRegistered
from endpoint.storage.extensions import Extension

pytestmark = pytest.mark.integration

QUEUE, PASSWORD = "901", "n0t-a-default-7Qx"
RATE_HZ, OCTETS, WINDOW = 8000, 4, 3200
HEARD_S, PATIENCE_S, GAPS = 1.6, 120.0, 3
FLOW = f"""
start = "queue"

[node.queue]
kind = "queue"
skill = "{QUEUE}"
nobody = "end"
timeout = "end"
max_wait_s = 3600

[node.end]
kind = "hangup"
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much goes on."""

    calls: int
    agents: int
    customers: int
    every_s: float
    talk_s: float

    @property
    def agent_numbers(self) -> list[str]:
        return [f"70{number:02}" for number in range(self.agents)]

    @property
    def customer_numbers(self) -> list[str]:
        return [f"80{number:02}" for number in range(self.customers)]

    @property
    def signatures(self) -> dict[str, list[float]]:
        devices = [*self.agent_numbers, *self.customer_numbers]
        tones = {one: [750.0 + 45 * number] for number, one in enumerate(devices)}
        return {**tones, "moh": list(MUSIC_ON_HOLD_HZ), "progress": [CALL_PROGRESS_HZ]}


def telephones(folder: Path, size: Size, server: str) -> Path:
    """One account each, with its voice in a file, that writes down what it hears.

    The first agent's is the one that nobody picks up.
    """
    tables = [f'[state]\ndirectory = "{folder}/telephones"', "[sip]\nport = 0"]
    tables += ["[http]\nport = 0\nplain = false", "[calls]\ndials_per_minute = 10000"]
    tables += ["[media]\nport_first = 30000\nport_last = 34999"]
    for device in (*size.agent_numbers, *size.customer_numbers):
        (frequency_hz,) = size.signatures[device]
        with (folder / f"says-{device}.wav").open("wb") as file:
            WavWriter(file, RATE_HZ, 1).write(tone(frequency_hz, 1000, -15.0).reshape(-1, 1))
        facts = {
            "device": device,
            "input": f"file:says-{device}.wav",
            "output": f"file:heard-{device}.wav",
            "server": server,
            "password": PASSWORD,
        }
        lines = [f'{key} = "{value}"' for key, value in facts.items()]
        if device != size.agent_numbers[0]:
            lines.append("auto_answer = true")
        tables.append("\n".join(["[[agent]]", *lines]))
    path = folder / "agent-endpoint.toml"
    path.write_text("\n\n".join(tables))
    return path


@asynccontextmanager
async def served(config: Path) -> AsyncIterator[EndpointClient]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "endpoint"),
        *("serve", "--json", "--config", str(config)),
        stdout=PIPE,
        env=inherited,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert b'"ok":true' in await process.stdout.readline()
        async with running_client(load(config).config) as client:
            yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@dataclass
class Centre:
    """What is true of each customer's call, by what is told of it."""

    size: Size
    folder: Path
    endpoint: Endpoint
    client: EndpointClient
    states: dict[str, str] = field(default_factory=dict)
    """Of a customer: `moh` where he waits, or who talks with him."""
    served_by: list[str] = field(default_factory=list)
    waits_judged: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _versions: dict[str, int] = field(default_factory=dict)
    _settled: dict[str, int] = field(default_factory=dict)
    """The state of a customer's call that was heard to be so; it has to stay so."""
    _gaps: dict[str, int] = field(default_factory=dict)
    """How often in a row something was silent since."""

    async def follow(self) -> None:
        async for numbered in self.endpoint.controller.subscribe():
            match numbered.event:
                case told.WaitsInQueue(calling=customer, offered_to=None):
                    await self._becomes(customer, "moh")
                case told.WaitsInQueue(calling=customer):
                    await self._becomes(customer, "rings")
                case told.Transferred(calling=customer, transferred_to=agent):
                    self.served_by.append(agent)
                    await self._becomes(customer, agent)
                case told.CallCleared(calling=customer):
                    await self._becomes(customer, "")
                case _:
                    pass

    async def _becomes(self, customer: str, state: str) -> None:
        async with self._changed:
            if self.states.get(customer, "") != state:
                self.states[customer] = state
                self._versions[customer] = self._versions.get(customer, 0) + 1
            self._changed.notify_all()

    async def until(self, customer: str, *states: str, no: bool = False) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(
                lambda: (self.states.get(customer, "") in states) is not no
            )

    async def hears(self, device: str) -> list[set[str]]:
        """From now on, by windows; the first ones may be of what was before."""
        file = self.folder / f"heard-{device}.wav"
        begun = file.stat().st_size
        async with asyncio.timeout(PATIENCE_S):
            while True:  # a file says nothing when it grows
                if file.stat().st_size >= begun + OCTETS * RATE_HZ * HEARD_S:
                    break
                await asyncio.sleep(0.05)
        samples = read_wav(file.read_bytes()).samples[begun // OCTETS :]
        starts = range(2 * WINDOW, int(RATE_HZ * HEARD_S) - WINDOW + 1, WINDOW)
        return [heard(samples[at : at + WINDOW], self.size.signatures) for at in starts]

    async def judged(self, customer: str) -> bool:
        """Whether what is heard could be judged: nothing has changed meanwhile."""
        state, version = self.states.get(customer, ""), self._versions.get(customer, 0)
        if state in ("", "rings"):
            return False
        if state == "moh":
            found = {customer: await self.hears(customer)}
            expected = {customer: {"moh"}}
        else:
            pair = await asyncio.gather(self.hears(customer), self.hears(state))
            found = dict(zip((customer, state), pair, strict=True))
            expected = {customer: {state}, state: {customer}}
        if self._versions[customer] != version:
            return False
        is_settled = self._settled.get(customer) == version
        before = set() if is_settled else {"moh", "progress"}
        is_right = True
        for device, windows in found.items():
            assert windows
            for each in windows:
                assert each <= expected[device] | before, (device, windows, expected)
                is_right = is_right and each == expected[device]
        if is_right:
            self._settled[customer], self._gaps[customer] = version, 0
            self.waits_judged += state == "moh"
        elif is_settled:
            # A machine that is busy leaves gaps; a line that is broken is silent again and again.
            self._gaps[customer] = self._gaps.get(customer, 0) + 1
            assert self._gaps[customer] < GAPS, (found, expected)
        return is_right

    async def call(self, customer: str, talk_s: float) -> None:
        """A customer calls, waits, talks, goes; what is heard is judged on the way."""
        accepted = await self.client.make_call(customer, QUEUE)
        await self.until(customer, "", no=True)
        while self.states[customer] in ("moh", "rings"):
            if not await self.judged(customer) and self.states[customer] == "rings":
                await self.until(customer, "rings", no=True)
        loop = asyncio.get_running_loop()
        until = loop.time() + talk_s
        async with asyncio.timeout(PATIENCE_S):
            while not await self.judged(customer):
                """It is not heard yet."""
        while loop.time() < until:
            await self.judged(customer)
            assert self.states[customer] not in ("", "moh", "rings")
        await self.client.clear(customer, accepted.call)
        await self.until(customer, "")


async def go_through(size: Size, tmp_path: Path) -> Centre:
    (tmp_path / "flow.toml").write_text(FLOW)
    config = Config.model_validate(
        {
            "http": {"port": 0, "plain": False},
            "sip": {"port": 0, "limits": {"exempt": ["127.0.0.0/8"]}},
            "state": {"directory": tmp_path / "centre"},
            "ivr": [{"code": QUEUE, "flow": str(tmp_path / "flow.toml")}],
            "skill": [
                {"code": QUEUE, "devices": size.agent_numbers, "ring_s": 2, "rest_s": 15},
            ],
        }
    )
    devices = [*size.agent_numbers, *size.customer_numbers]
    dice = random.Random(size.calls)
    async with Endpoint(config) as endpoint:
        for device in devices:
            await add_extension(endpoint.extensions, config.sip.realm, Extension(device), PASSWORD)
        registered = endpoint.controller.subscribe()
        host, port = endpoint.sip_address
        async with served(telephones(tmp_path, size, f"sip:{host}:{port}")) as client:
            left = set(devices)
            async with asyncio.timeout(PATIENCE_S):
                async for numbered in registered:
                    if isinstance(numbered.event, DeviceRegistered):
                        left.discard(numbered.event.device)
                    if not left:
                        break
            centre = Centre(size, tmp_path, endpoint, client)
            async with asyncio.TaskGroup() as group:
                following = group.create_task(centre.follow())
                idle: asyncio.Queue[str] = asyncio.Queue()
                for customer in size.customer_numbers:
                    idle.put_nowait(customer)

                async def one(customer: str) -> None:
                    await centre.call(customer, dice.uniform(0.5, 1.5) * size.talk_s)
                    idle.put_nowait(customer)

                async with asyncio.TaskGroup() as calls:
                    for _ in itertools.repeat(None, size.calls):
                        customer = await idle.get()
                        calls.create_task(one(customer))
                        await asyncio.sleep(dice.expovariate(1 / size.every_s))
                following.cancel()
            (facts,) = endpoint.queues.facts()
            assert facts.today.outcomes == {"answered": size.calls}
            assert facts.calls == ()
    return centre


async def test_who_waits_hears_music_and_who_talks_one_other(tmp_path: Path) -> None:
    """One telephone is never picked up: its call goes on to the next, and is judged like others."""
    size = Size(calls=5, agents=3, customers=5, every_s=0.4, talk_s=1.5)
    centre = await go_through(size, tmp_path)
    assert centre.waits_judged > 0
    assert set(centre.served_by) == set(size.agent_numbers[1:])


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_ten_agents_and_sixty_calls_in_three_minutes(tmp_path: Path) -> None:
    size = Size(calls=60, agents=10, customers=14, every_s=2.7, talk_s=22)
    centre = await go_through(size, tmp_path)
    assert set(centre.served_by) == set(size.agent_numbers[1:])
