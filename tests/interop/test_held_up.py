"""F14: the control process stands still, or has no processor to itself. F11: its clock jumps.

The audio is the media process's: nobody in a call hears any of it.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from endpoint.gateways.native import messages as wire
from tests.fakes.telephones import Arrived, Telephone, Telephones, telephones, tones_for

from .peers.process import Process, require_file
from .serving import Serving

pytestmark = pytest.mark.interop

CALLER, CALLED = "7001", "7002"
STILL_S = 2.0
SPANS = 8
GAP_S = 0.06
"""More than this without a packet is heard."""
LATE_S = 1.0
"""F14's limit of signalling, of 99 in a hundred."""
BUSY = "import itertools\nfor _ in itertools.count(): pass"
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
NEAR = timedelta(seconds=30)
JUMPS = (timedelta(hours=2), timedelta(hours=-2), timedelta(days=30))


@dataclass(frozen=True, slots=True)
class Talk:
    """Two telephones in a call, and the endpoint between them."""

    serving: Serving
    line: Telephones
    caller: Telephone
    called: Telephone
    call: str

    async def goes_on(self, seconds: float) -> list[Arrived]:
        """Let it; what the called one has heard meanwhile."""
        start, until = len(self.called.received), self.caller.sent + round(50 * seconds)
        await self.line.until(lambda: self.caller.sent >= until)
        return self.called.received[start:]


@asynccontextmanager
async def talking(directory: Path, **environment: str) -> AsyncIterator[Talk]:
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(
            Serving(directory, extensions=[CALLER, CALLED], environment=environment)
        )
        line = await stack.enter_async_context(telephones(serving.sip, serving.password))
        caller, called = [
            await line.add(user, hz) for user, hz in tones_for([CALLER, CALLED]).items()
        ]
        call = (await serving.client.make_call(CALLER, CALLED)).call
        await serving.in_state(CALLED, "connected")
        await line.until(lambda: len(called.received) > 25)
        yield Talk(serving, line, caller, called, call)


async def clock_of(serving: Serving) -> datetime:
    """What the endpoint's process is told that the time is."""
    running = serving.state.running()
    assert running is not None
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.plain_url}/healthz") as answer,
    ):
        return parsedate_to_datetime(answer.headers["Date"])


def longest_gap_s(packets: Sequence[Arrived]) -> float:
    return max(later.at - earlier.at for earlier, later in itertools.pairwise(packets))


def is_fluent(packets: Sequence[Arrived]) -> bool:
    """Whether nothing is missing in what came in `STILL_S`, and none came late."""
    return len(packets) >= 0.95 * STILL_S * 50 and longest_gap_s(packets) <= GAP_S


async def test_f14_the_audio_goes_on_while_the_control_process_stands_still(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path / "endpoint") as talk:
        os.kill(talk.serving.process.pid, signal.SIGSTOP)
        try:
            # The machine's own gaps are no fault of ours, and are not in each of these spans.
            spans = [is_fluent(await talk.goes_on(STILL_S))]
            while not spans[-1] and len(spans) < SPANS:
                spans.append(is_fluent(await talk.goes_on(STILL_S)))
        finally:
            os.kill(talk.serving.process.pid, signal.SIGCONT)
        assert spans[-1]
        await talk.serving.client.hold(CALLER, talk.call)
        await talk.serving.in_state(CALLER, "hold")


@pytest.mark.soak
async def test_f14_commands_are_done_beside_programs_that_want_every_core(tmp_path: Path) -> None:
    async with talking(tmp_path / "endpoint") as talk, AsyncExitStack() as stack:
        client = talk.serving.client
        frames = await stack.enter_async_context(client.events())
        for number in range(2 * (os.cpu_count() or 1)):
            command = [sys.executable, "-c", BUSY]
            busy = Process(command, directory=tmp_path, name=f"busy-{number}")
            await stack.enter_async_context(busy)
        late: list[float] = []
        for command, event in 50 * [(client.hold, "Held"), (client.retrieve, "Retrieved")]:
            asked = time.monotonic()
            await command(CALLER, talk.call)
            async for frame in frames:
                if isinstance(frame, wire.EventFrame) and frame.event == event:
                    break
            late.append(time.monotonic() - asked)
        assert sorted(late)[98] < LATE_S


async def test_f11_a_clock_that_jumps_moves_nothing(tmp_path: Path) -> None:
    """By libfaketime: the wall clock alone, as when somebody sets it."""
    library, offset = require_file(FAKETIME, "libfaketime"), tmp_path / "offset"
    offset.write_text("+0s")
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    async with talking(tmp_path / "endpoint", **environment) as talk:
        client, began = talk.serving.client, time.monotonic()
        for jump in JUMPS:
            offset.write_text(f"{jump.total_seconds():+.0f}s")
            heard = await talk.goes_on(2.0)
            assert len(heard) >= 0.8 * 2 * 50
            assert abs(await clock_of(talk.serving) - datetime.now(UTC) - jump) < NEAR
            # Nobody's registration has run out, and the token is still one.
            assert {each.device for each in await client.registrations() if each.registered} == {
                CALLER,
                CALLED,
            }
            assert [each.call for each in await client.calls()] == [talk.call]
        await client.end(CALLER, talk.call)
        await talk.line.until(lambda: not talk.called.is_busy)
        lasted = time.monotonic() - began
        again = (await client.make_call(CALLED, CALLER)).call
        await talk.serving.in_state(CALLER, "connected")
        await client.end(CALLED, again)
        await talk.line.until(lambda: not talk.caller.is_busy)
        record = await talk.serving.record(talk.call)
    assert record.established_at is not None
    talked = (record.ended_at - record.established_at).total_seconds()
    assert abs(talked - lasted) < NEAR.total_seconds()
