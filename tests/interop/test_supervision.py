"""Listening, whispering, barging in and taking over, with telephones that we did not write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    InterceptCall,
    JoinCall,
    SetMicrophoneMute,
    SingleStepConference,
)
from endpoint.callcontrol.events import (
    CallCleared,
    ConnectionCleared,
    Established,
    Joined,
    MicrophoneMute,
)
from endpoint.callcontrol.model import Participation
from endpoint.legs.base import DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, SUPERVISOR = DeviceId("6001"), DeviceId("10086"), DeviceId("7001")
AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ = 1400, 1010, 1800


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The customer is a tone station; agent and supervisor have telephones."""
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, SUPERVISOR],
        stations={CUSTOMER: CUSTOMER_HZ},
        settings={"supervision": [{"supervisor": SUPERVISOR, "devices": [AGENT]}]},
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def agent(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(AGENT, AGENT_HZ) as phone:
        yield phone


@pytest.fixture
async def supervisor(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(SUPERVISOR, SUPERVISOR_HZ) as phone:
        yield phone


async def test_a_supervisor_listens_whispers_barges_in_and_takes_over(
    desk: Desk, agent: Baresip, supervisor: Baresip
) -> None:
    customer = desk.ear(CUSTOMER)
    await agent.dial(CUSTOMER)
    await agent.established()
    call = (await desk.event(Established, device=CUSTOMER)).call

    await desk.do(JoinCall(SUPERVISOR, AGENT))
    await supervisor.ringing()
    await supervisor.accept()
    assert (await desk.event(Joined, device=SUPERVISOR)).participation is Participation.SILENT
    both = {AGENT_HZ, CUSTOMER_HZ}
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}, supervisor: both})

    await desk.do(JoinCall(SUPERVISOR, AGENT, Participation.WHISPER))
    await desk.event(Joined, device=SUPERVISOR)
    await hear({agent: {CUSTOMER_HZ, SUPERVISOR_HZ}, customer: {AGENT_HZ}, supervisor: both})

    await desk.do(JoinCall(SUPERVISOR, AGENT, Participation.ACTIVE))
    await desk.event(Joined, device=SUPERVISOR)
    await hear(
        {
            agent: {CUSTOMER_HZ, SUPERVISOR_HZ},
            customer: {AGENT_HZ, SUPERVISOR_HZ},
            supervisor: both,
        }
    )
    await desk.do(SetMicrophoneMute(SUPERVISOR, muted=True))
    await desk.event(MicrophoneMute, device=SUPERVISOR)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}, supervisor: both})
    await desk.do(SetMicrophoneMute(SUPERVISOR, muted=False))

    await desk.do(InterceptCall(SUPERVISOR, AGENT))
    await desk.event(ConnectionCleared, device=AGENT, call=call)
    await agent.closed()
    await hear({customer: {SUPERVISOR_HZ}, supervisor: {CUSTOMER_HZ}})
    await supervisor.hang_up()
    await desk.event(CallCleared, call=call)


async def test_somebody_is_called_in_and_dropped_again(
    desk: Desk, agent: Baresip, supervisor: Baresip
) -> None:
    customer = desk.ear(CUSTOMER)
    await agent.dial(CUSTOMER)
    await agent.established()
    call = (await desk.event(Established, device=CUSTOMER)).call

    await desk.do(SingleStepConference(AGENT, SUPERVISOR))
    await supervisor.ringing()
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await supervisor.accept()
    await desk.event(Joined, device=SUPERVISOR)
    await hear(
        {
            agent: {CUSTOMER_HZ, SUPERVISOR_HZ},
            customer: {AGENT_HZ, SUPERVISOR_HZ},
            supervisor: {AGENT_HZ, CUSTOMER_HZ},
        }
    )
    await desk.do(ClearConnection(CUSTOMER, call))
    await desk.event(ConnectionCleared, device=CUSTOMER, call=call)
    await hear({agent: {SUPERVISOR_HZ}, supervisor: {AGENT_HZ}})
    await agent.hang_up()
    await desk.event(CallCleared, call=call)
