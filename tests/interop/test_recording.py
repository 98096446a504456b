"""Calls of telephones and browsers that we did not write are recorded: who is on which side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.frame import Samples
from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import Participation
from endpoint.legs.base import DeviceId, DeviceRegistered
from endpoint.legs.recordings import FileState
from endpoint.media.pool import in_turn, together

from .desk import Desk
from .peers.baresip import Baresip
from .peers.chromium import Chromium
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ, write_tone

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, SUPERVISOR = DeviceId("6001"), DeviceId("10086"), DeviceId("7001")
AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, ANNOUNCED_HZ = 1400, 1010, 1800, 2300
TONES = {
    AGENT: (AGENT_HZ,),
    CUSTOMER: (CUSTOMER_HZ,),
    SUPERVISOR: (SUPERVISOR_HZ,),
    "music": tuple(MUSIC_HZ),
    "announcement": (ANNOUNCED_HZ,),
}
TALK_OCTETS = 8000
"""Of Opus: some two seconds."""


def sides(octets: bytes) -> tuple[Samples, Samples]:
    """What is on the left and on the right, at 16 kHz."""
    parts = []
    with av.open(BytesIO(octets)) as container:
        resampler = av.AudioResampler("s16", "stereo", 16000)
        for frame in container.decode(audio=0):
            parts += [each.to_ndarray().reshape(-1, 2) for each in resampler.resample(frame)]
    both = np.concatenate(parts)
    return both[:, 0], both[:, 1]


def hears(side: Samples) -> set[str]:
    """Who is anywhere on it but for its ends, by 400 ms at a time."""
    begins = range(4800, len(side) - 9600, 1600)
    ears = (heard(side[at : at + 6400], TONES, sample_rate_hz=16000) for at in begins)
    return {name for each in ears for name in each}


@asynccontextmanager
async def browser(desk: Desk, device: DeviceId, tone_hz: int) -> AsyncIterator[Chromium]:
    """Yield Chromium with JsSIP, registered as one of the extensions."""
    directory = desk.config.state.directory.parent / device
    url = desk.endpoint.wss_url
    async with Chromium(directory, device, url, password=desk.password, tone_hz=tone_hz) as page:
        await desk.event(DeviceRegistered, device=device)
        yield page


@pytest.mark.parametrize(
    ("of_agent", "of_customer", "encoding", "workers"),
    [
        pytest.param(Desk.telephone, Desk.telephone, "", 2, id="baresip, at two workers"),
        pytest.param(browser, Desk.telephone, "PCMU", 1, id="Chromium with baresip, PCMU"),
        pytest.param(browser, browser, "opus", 1, id="Chromium with Chromium, Opus"),
        pytest.param(
            *(Desk.telephone, Desk.telephone, "", 1),
            id="baresip, at one worker",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            *(browser, browser, "opus", 2),
            id="Chromium with Chromium, Opus, at two workers",
            marks=pytest.mark.soak,
        ),
    ],
)
async def test_a_call_is_recorded_and_the_whisper_is_not(
    tmp_path: Path,
    of_agent: Callable[[Desk, DeviceId, int], AbstractAsyncContextManager[Baresip | Chromium]],
    of_customer: Callable[[Desk, DeviceId, int], AbstractAsyncContextManager[Baresip | Chromium]],
    encoding: str,
    workers: int,
) -> None:
    """A supervisor whispers all the while; then the agent holds, which is silence without music."""
    async with (
        Desk(
            tmp_path / "state",
            extensions=[AGENT, CUSTOMER, SUPERVISOR],
            webrtc=True,
            settings={
                "http": {"port": 0, "plain_port": 0, "origins": [Chromium.origin]},
                "media": {"workers": workers},
                "recordings": {"min_free_mb": 0},
                "supervision": [{"supervisor": SUPERVISOR, "devices": [AGENT]}],
            },
            placement=together if workers == 1 else in_turn(),
        ) as desk,
        of_agent(desk, AGENT, AGENT_HZ) as agent,
        of_customer(desk, CUSTOMER, CUSTOMER_HZ) as customer,
        desk.telephone(SUPERVISOR, SUPERVISOR_HZ) as supervisor,
    ):
        await agent.dial(CUSTOMER)
        await customer.ringing()
        await customer.accept()
        call = (await desk.event(told.Established, device=CUSTOMER)).call
        await desk.do(do.JoinCall(SUPERVISOR, AGENT, Participation.WHISPER))
        await supervisor.ringing()
        await supervisor.accept()
        await desk.event(told.Joined, device=SUPERVISOR)
        await hear(
            {
                agent: {CUSTOMER_HZ, SUPERVISOR_HZ},
                customer: {AGENT_HZ},
                supervisor: {AGENT_HZ, CUSTOMER_HZ},
            }
        )
        if isinstance(agent, Chromium):
            flow = await agent.flow()
            assert (flow.sends, flow.receives) == (encoding, encoding)
        await desk.do(do.StartRecording(AGENT))
        recording = (await desk.event(told.RecordingStarted)).recording
        await until(lambda: _size(desk, recording), TALK_OCTETS)
        await desk.do(do.HoldCall(AGENT))
        await desk.event(told.Held)
        await hear({agent: set(), customer: set(MUSIC_HZ)})
        await desk.do(do.ClearCall(AGENT, call))
        await desk.cleared(call=call)
        async with asyncio.timeout(30):
            while True:
                file = await desk.endpoint.recordings.get(recording)
                assert file is not None
                if file.state is not FileState.RECORDING:
                    break
                await asyncio.sleep(0.05)
        octets = desk.endpoint.recordings.path(file).read_bytes()
    assert file.state is FileState.COMPLETE
    assert (file.left, file.right) == ((CUSTOMER,), (AGENT,))
    left, right = sides(octets)
    assert (hears(left), hears(right)) == ({CUSTOMER}, {AGENT})


async def test_who_will_be_recorded_hears_so_before(tmp_path: Path) -> None:
    """Nobody else meanwhile; then they talk, and nothing but that is on it."""
    rule = {
        "name": "all",
        "devices": ["60*"],
        "announce": write_tone(tmp_path / "recorded.wav", ANNOUNCED_HZ, 6.0),
    }
    async with (
        Desk(
            tmp_path / "state",
            extensions=[CUSTOMER],
            stations={AGENT: AGENT_HZ},
            settings={"recording": [rule], "recordings": {"min_free_mb": 0}},
        ) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
    ):
        await customer.dial(AGENT)
        call = (await desk.event(told.Established, device=AGENT)).call
        await hear({desk.ear(AGENT): {ANNOUNCED_HZ}, customer: {ANNOUNCED_HZ}})
        assert not any(isinstance(each, told.RecordingStarted) for each in desk.told)
        recording = (await desk.event(told.RecordingStarted)).recording
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await until(lambda: _size(desk, recording), TALK_OCTETS)
        await desk.do(do.ClearCall(AGENT, call))
        await desk.cleared(call=call)
        left, right = sides(await _finished(desk, recording))
    assert (hears(left), hears(right)) == ({AGENT}, {CUSTOMER})  # who was called is left


async def _finished(desk: Desk, recording: str) -> bytes:
    """Its file, once nobody writes it any more."""
    async with asyncio.timeout(30):
        while True:
            file = await desk.endpoint.recordings.get(recording)
            assert file is not None
            if file.state is not FileState.RECORDING:
                return desk.endpoint.recordings.path(file).read_bytes()
            await asyncio.sleep(0.05)


async def _size(desk: Desk, recording: str) -> int:
    file = await desk.endpoint.recordings.get(recording)
    assert file is not None
    return desk.endpoint.recordings.path(file).stat().st_size


async def until(measure: Callable[[], Awaitable[int]], octets: int) -> None:
    """Until so much is on the disk."""
    async with asyncio.timeout(30):
        while await measure() < octets:
            await asyncio.sleep(0.05)
            continue
