"""Sound devices: PulseAudio's null sinks, by PortAudio, as an agent's microphone and speaker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from endpoint.app.settings import Config
from endpoint.app.soundcheck import findings
from endpoint.audio.tones import level_of
from endpoint.callcontrol.commands import (
    AnswerCall,
    ClearConnection,
    HoldCall,
    MakeCall,
    RetrieveCall,
    SetMicrophoneMute,
)
from endpoint.callcontrol.events import (
    CallCleared,
    Delivered,
    Established,
    Failed,
    Held,
    MicrophoneMute,
    Retrieved,
)
from endpoint.legs.base import (
    Cause,
    DeviceId,
    SoundDeviceLost,
    SoundDeviceReturned,
    SoundUse,
)

from .desk import Desk
from .peers.hearing import hear
from .peers.pulse import Pulse
from .peers.sound import MUSIC_HZ, PROGRESS_HZ

pytestmark = pytest.mark.interop


AGENT, COLLEAGUE, THIRD = DeviceId("6001"), DeviceId("6002"), DeviceId("6003")
AGENT_HZ, COLLEAGUE_HZ = 1010, 1800


def station(**more: object) -> dict[str, object]:
    devices = {"input": "pulse:mouth.monitor", "output": "pulse:ears", "ringer": "pulse:bell"}
    return {"device": AGENT, "kind": "sound", **devices, **more}


@pytest.fixture
async def desk(pulse: Pulse, tmp_path: Path) -> AsyncIterator[Desk]:
    """An agent with a microphone that hears `mouth`, with `ears` and a `bell`; a colleague."""
    for sink in ("mouth", "ears", "bell"):
        await pulse.plug_in(sink)
    colleague = {"device": COLLEAGUE, "kind": "tone", "frequency_hz": COLLEAGUE_HZ}
    third = {"device": THIRD, "kind": "tone"}
    stations = [station(), colleague, third]
    async with (
        pulse.playing("mouth", AGENT_HZ),
        Desk(tmp_path / "state", settings={"station": stations}) as started,
    ):
        yield started


async def agent_endpoint(*arguments: str, **environment: str) -> tuple[int | None, str]:
    """Run the command line; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("agent-endpoint")),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_the_devices_are_listed_by_names_that_last(pulse: Pulse) -> None:
    await pulse.plug_in("desk")
    code, told = await agent_endpoint("sound", "list", "--json")
    assert code == 0, told
    found = {
        each["name"]: (each["inputs"], each["outputs"]) for each in json.loads(told)["devices"]
    }
    assert found["pulse:desk"] == (0, 1)
    assert found["pulse:desk.monitor"] == (1, 0)
    assert "default" in found


async def test_what_is_played_into_the_microphone_is_heard_there_and_back(
    desk: Desk, pulse: Pulse
) -> None:
    """And held, muted and let go as any other station's."""
    ears, colleague = pulse.monitor("ears"), desk.ear(COLLEAGUE)
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    call = (await desk.event(Established, device=COLLEAGUE)).call
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    await desk.do(HoldCall(AGENT))
    await desk.event(Held, device=AGENT)
    await hear({ears: set(), colleague: MUSIC_HZ})
    await desk.do(RetrieveCall(AGENT))
    await desk.event(Retrieved, device=AGENT)
    await desk.do(SetMicrophoneMute(AGENT, True))
    await desk.event(MicrophoneMute, device=AGENT)
    await hear({ears: {COLLEAGUE_HZ}, colleague: set()})
    await desk.do(ClearConnection(AGENT, call))
    await desk.event(CallCleared, call=call)
    await hear({ears: set()})


async def test_it_rings_at_the_ringer_until_it_is_answered(desk: Desk, pulse: Pulse) -> None:
    """Nobody else hears it ring, and the microphone is not open."""
    bell, ears = pulse.monitor("bell"), pulse.monitor("ears")
    await desk.do(MakeCall(COLLEAGUE, AGENT))
    await desk.event(Delivered, device=AGENT)
    async with asyncio.timeout(15):
        while PROGRESS_HZ not in await bell.heard():  # a second of ringing in four
            pass
    await hear({ears: set(), desk.ear(COLLEAGUE): {PROGRESS_HZ}})
    await desk.do(AnswerCall(AGENT))
    await desk.event(Established, device=AGENT)
    await hear({ears: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {AGENT_HZ}})
    assert await bell.heard(ms=4200) == set()


async def test_an_agent_in_a_call_is_busy_for_another(desk: Desk) -> None:
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    await desk.do(MakeCall(THIRD, AGENT))
    assert (await desk.event(Failed, device=AGENT)).cause is Cause.BUSY


async def test_louder_and_softer(desk: Desk, pulse: Pulse) -> None:
    """What is heard at the speaker is softer by as many dB as were asked for."""
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    await hear({pulse.monitor("ears"): {COLLEAGUE_HZ}})

    async def loudness_dbov() -> float:
        """The median of 20 ms: a busy machine makes gaps."""
        samples = await pulse.record("ears", 400)
        return float(np.median([level_of(each) for each in samples.reshape(-1, 160)]))

    before = await loudness_dbov()
    state = str(desk.config.state.directory)
    code, told = await agent_endpoint(
        *("sound", "use", AGENT, "--output-gain-db", "-12", "--json"),
        AGENT_ENDPOINT_STATE__DIRECTORY=state,
    )
    assert code == 0, told
    assert [each["gain_db"] for each in json.loads(told)["sound"]["parts"]] == [0, -12, 0]
    async with asyncio.timeout(10):
        while await loudness_dbov() != pytest.approx(before - 12, abs=1):
            pass
    await hear({pulse.monitor("ears"): {COLLEAGUE_HZ}})


async def test_a_sound_process_that_dies_is_begun_anew(desk: Desk, pulse: Pulse) -> None:
    """Killed in the call: the other direction goes on, and it is back by itself."""
    ears, colleague = pulse.monitor("ears"), desk.ear(COLLEAGUE)
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    os.kill(process_of(SoundUse.OUTPUT), signal.SIGKILL)
    await desk.event(SoundDeviceLost, use=SoundUse.OUTPUT, name="pulse:ears")
    await desk.event(SoundDeviceReturned, use=SoundUse.OUTPUT)
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})


@pytest.mark.soak
async def test_a_sound_process_that_hangs_is_begun_anew(desk: Desk, pulse: Pulse) -> None:
    """Ten seconds later: a machine that halts for a moment is no driver that hangs."""
    ears, colleague = pulse.monitor("ears"), desk.ear(COLLEAGUE)
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    os.kill(process_of(SoundUse.INPUT), signal.SIGSTOP)
    await desk.event(SoundDeviceLost, timeout_s=30, use=SoundUse.INPUT)
    await desk.event(SoundDeviceReturned, use=SoundUse.INPUT)
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})


@pytest.mark.soak
async def test_a_sound_server_that_is_started_anew_is_found_again(pulse: Pulse, desk: Desk) -> None:
    """Both directions are silent meanwhile, and the call goes on."""
    ears, colleague = pulse.monitor("ears"), desk.ear(COLLEAGUE)
    await desk.do(MakeCall(AGENT, COLLEAGUE))
    await desk.event(Established, device=COLLEAGUE)
    await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    await pulse.restart()
    for _ in range(2):
        await desk.event(SoundDeviceLost)
    await hear({colleague: set()})
    for sink in ("mouth", "ears"):
        await pulse.plug_in(sink)
    for _ in range(2):
        await desk.event(SoundDeviceReturned)
    async with pulse.playing("mouth", AGENT_HZ):
        await hear({ears: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})


def process_of(use: SoundUse) -> int:
    """The id of our process for one direction."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            line = file.read_bytes().split(b"\0")
            parent = (file.parent / "stat").read_text().rpartition(")")[2].split()[1]
            is_ours = int(parent) == os.getpid() and b"endpoint.media.device" in line
            if is_ours and json.loads(line[4])["use"] == use:
                return int(file.parent.name)
    raise AssertionError(f"no process for the {use}")


async def test_the_doctor_says_what_is_not_there(pulse: Pulse) -> None:
    await pulse.plug_in("ears")
    config = Config.model_validate({"station": [station(ringer="null")]})
    _, found = await findings(config)
    assert [text for _, text, _ in found] == ["6001: its input 'pulse:mouth.monitor' is not there"]


async def test_without_its_library_the_doctor_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that only stations with sound devices need it."""
    # As sounddevice itself does on a machine that has none.
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    without = Config.model_validate({"station": [station(kind="tone")]})
    text, found = await findings(without)
    assert "apt install libportaudio2" in text
    assert found == []
    _, found = await findings(Config.model_validate({"station": [station()]}))
    assert [is_fatal for is_fatal, _, _ in found] == [True]
    assert "apt install libportaudio2" in found[0][1]


async def test_without_its_library_a_call_goes_on_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    stations = [station(input="tone:1010"), {"device": COLLEAGUE, "kind": "tone"}]
    async with Desk(tmp_path / "state", settings={"station": stations}) as desk:
        await desk.do(MakeCall(AGENT, COLLEAGUE))
        lost = await desk.event(SoundDeviceLost, use=SoundUse.OUTPUT)
        assert "apt install libportaudio2" in lost.text
        await hear({desk.ear(COLLEAGUE): {AGENT_HZ}})
