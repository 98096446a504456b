"""Headless agents: registered at Kamailio over WSS, with sound devices; baresip is the customer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app.context import running_client
from endpoint.callcontrol.commands import AnswerCall, MakeCall
from endpoint.callcontrol.events import CallCleared, Delivered, Established
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import audiomessages as wire
from endpoint.legs.base import (
    DeviceId,
    DeviceRegistered,
    SoundDeviceLost,
    SoundDeviceReturned,
    SoundUse,
)

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.pulse import Pulse

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("6009")
AGENT_HZ, OTHER_HZ, CUSTOMER_HZ = 1010, 590, 1800


@pytest.fixture
async def desk(pulse: Pulse, kamailio: Kamailio, tmp_path: Path) -> AsyncIterator[Desk]:
    """An agent whose microphone hears what is played into `mouth`, and who hears by `ears`."""
    for sink in ("mouth", "ears", "headset"):
        await pulse.plug_in(sink)
    account = {
        "device": AGENT,
        "server": kamailio.wss_url,
        "domain": kamailio.address,
        "password": kamailio.password,
        "ca": str(kamailio.ca_file),
        "expires_s": 60,
        "media": "rtp",
    }
    station = {
        "device": AGENT,
        "kind": "sound",
        "input": "pulse:mouth.monitor",
        "output": "pulse:ears",
    }
    async with (
        pulse.playing("mouth", AGENT_HZ),
        Desk(tmp_path / "state", settings={"account": [account], "station": [station]}) as started,
    ):
        await started.event(DeviceRegistered, device=AGENT)
        yield started


@pytest.fixture
async def customer(kamailio: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "customer",
        CUSTOMER,
        kamailio.address,
        password=kamailio.password,
        tone_hz=CUSTOMER_HZ,
    ) as started:
        yield started


async def test_a_device_that_is_unplugged_is_silence_and_comes_back(
    desk: Desk, pulse: Pulse, customer: Baresip
) -> None:
    """In the call, which goes on: each by itself, and each told by its name."""
    ears = pulse.monitor("ears")
    await customer.dial(AGENT)
    await desk.event(Delivered, device=AGENT)
    await desk.do(AnswerCall(AGENT))
    await customer.established()
    await hear({ears: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await pulse.unplug("ears")
    lost = await desk.event(SoundDeviceLost, device=AGENT)
    assert (lost.use, lost.name) == (SoundUse.OUTPUT, "pulse:ears")
    await hear({customer: {AGENT_HZ}})
    await pulse.plug_in("ears")
    await desk.event(SoundDeviceReturned, device=AGENT, use=SoundUse.OUTPUT)
    await hear({ears: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await pulse.unplug("mouth")
    lost = await desk.event(SoundDeviceLost, device=AGENT)
    assert (lost.use, lost.name) == (SoundUse.INPUT, "pulse:mouth.monitor")
    await hear({ears: {CUSTOMER_HZ}, customer: set()})
    await pulse.plug_in("mouth")
    await desk.event(SoundDeviceReturned, device=AGENT, use=SoundUse.INPUT)
    async with pulse.playing("mouth", OTHER_HZ):
        await hear({ears: {CUSTOMER_HZ}, customer: {OTHER_HZ}})
    await customer.hang_up()
    await desk.event(CallCleared)


async def test_two_devices_are_switched_in_the_call(
    desk: Desk, pulse: Pulse, customer: Baresip
) -> None:
    """While it goes on; then to what is no device. What can't be changes nothing."""
    ears, headset = pulse.monitor("ears"), pulse.monitor("headset")
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({ears: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    async with running_client(desk.config) as client, pulse.playing("other", OTHER_HZ):
        new = wire.ChooseSound(input="pulse:other.monitor", output="pulse:headset")
        told = await client.choose_sound(AGENT, new)
        assert [part.name for part in told.parts][:2] == [new.input, new.output]
        await hear({headset: {CUSTOMER_HZ}, ears: set(), customer: {OTHER_HZ}})
        (call,) = await client.calls()
        agent, _ = (await client.quality(call.call)).parties
        assert agent.received is not None
        assert agent.received.level_dbov == pytest.approx(-15.3, abs=3)
        assert (agent.codec, agent.protection, agent.remote) == ("L16", "", "")
        await client.choose_sound(AGENT, wire.ChooseSound(input="tone:2300", output="null"))
        await hear({headset: set(), ears: set(), customer: {2300}})
        with pytest.raises(RequestRefused, match="expected a sound device, default or null"):
            await client.choose_sound(AGENT, wire.ChooseSound(output="tone:440"))
        with pytest.raises(RequestRefused, match="a file is for the configuration to name"):
            await client.choose_sound(AGENT, wire.ChooseSound(input="file:/srv/recording.wav"))
        with pytest.raises(RequestRefused, match="6009 is no station of kind sound"):
            await client.sound(CUSTOMER)
        await hear({customer: {2300}})
    await customer.hang_up()
    await desk.event(CallCleared)
