"""Two calls of one telephone, and conferences, with telephones that we did not write.

Who hears whom is proved by tones: the agent's and the colleague's telephones are baresip and JsSIP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import (
    AlternateCall,
    ClearConnection,
    ConferenceCall,
    ConsultationCall,
    HoldCall,
    ReconnectCall,
    RetrieveCall,
    TransferCall,
)
from endpoint.callcontrol.events import (
    CallCleared,
    Conferenced,
    ConnectionCleared,
    Delivered,
    Established,
    Failed,
    Held,
    Retrieved,
    Transferred,
)
from endpoint.legs.base import Cause, DeviceId
from endpoint.media.pool import in_turn

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 1400, 1010, 1800


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The customer is a tone station; agent and colleague have telephones.

    Their legs are at two media workers by turns.
    """
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, COLLEAGUE],
        stations={CUSTOMER: CUSTOMER_HZ},
        settings={"media": {"workers": 2}},
        placement=in_turn(),
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def agent(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(AGENT, AGENT_HZ) as phone:
        yield phone


@pytest.fixture
async def colleague(desk: Desk) -> AsyncIterator[Baresip]:
    async with desk.telephone(COLLEAGUE, COLLEAGUE_HZ) as phone:
        yield phone


async def test_a_phone_consults_swaps_confers_and_hangs_up(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    customer = desk.ear(CUSTOMER)
    await agent.dial(CUSTOMER)
    await agent.established()
    first = (await desk.event(Established, device=CUSTOMER)).call
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await desk.do(ConsultationCall(AGENT, COLLEAGUE))
    await colleague.ringing()
    await desk.event(Delivered, device=COLLEAGUE)
    await hear({customer: MUSIC_HZ})
    await colleague.accept()
    second = (await desk.event(Established, device=COLLEAGUE)).call
    await hear({agent: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}, customer: MUSIC_HZ})

    await desk.do(AlternateCall(AGENT))
    await desk.event(Retrieved, device=AGENT, call=first)
    await hear({agent: {CUSTOMER_HZ}, colleague: MUSIC_HZ, customer: {AGENT_HZ}})
    await desk.do(AlternateCall(AGENT))
    await desk.event(Retrieved, device=AGENT, call=second)
    await hear({agent: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}, customer: MUSIC_HZ})

    await desk.do(ConferenceCall(AGENT))
    assert (await desk.event(Conferenced, device=COLLEAGUE)).call == first
    await hear(
        {
            agent: {CUSTOMER_HZ, COLLEAGUE_HZ},
            colleague: {CUSTOMER_HZ, AGENT_HZ},
            customer: {AGENT_HZ, COLLEAGUE_HZ},
        }
    )
    await desk.do(HoldCall(AGENT))
    await desk.event(Held, device=AGENT, call=first)
    await hear({agent: set(), colleague: {CUSTOMER_HZ}, customer: {COLLEAGUE_HZ}})
    await desk.do(RetrieveCall(AGENT))
    await desk.event(Retrieved, device=AGENT, call=first)

    await agent.hang_up()
    await desk.event(ConnectionCleared, device=AGENT, call=first)
    await hear({colleague: {CUSTOMER_HZ}, customer: {COLLEAGUE_HZ}})
    await desk.do(ClearConnection(COLLEAGUE))
    await desk.event(CallCleared, call=first)


async def test_who_declines_or_hangs_up_leaves_the_agent_with_the_customer(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    customer = desk.ear(CUSTOMER)
    await agent.dial(CUSTOMER)
    await agent.established()
    first = (await desk.event(Established, device=CUSTOMER)).call

    await desk.do(ConsultationCall(AGENT, COLLEAGUE))
    await colleague.ringing()
    await colleague.hang_up()
    assert (await desk.event(Failed, device=COLLEAGUE)).cause in (Cause.DECLINED, Cause.BUSY)
    await desk.event(Retrieved, device=AGENT, call=first)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await desk.do(ConsultationCall(AGENT, COLLEAGUE))
    await colleague.ringing()
    await colleague.accept()
    await desk.event(Established, device=COLLEAGUE)
    await hear({agent: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}, customer: MUSIC_HZ})
    await colleague.hang_up()
    await desk.event(Retrieved, device=AGENT, call=first)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await desk.do(ConsultationCall(AGENT, COLLEAGUE))
    await colleague.ringing()
    await desk.do(ReconnectCall(AGENT))
    await desk.event(Retrieved, device=AGENT, call=first)
    await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await agent.hang_up()
    await desk.event(CallCleared, call=first)


async def test_an_attended_transfer_by_command(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    customer = desk.ear(CUSTOMER)
    await agent.dial(CUSTOMER)
    await agent.established()
    first = (await desk.event(Established, device=CUSTOMER)).call
    await desk.do(ConsultationCall(AGENT, COLLEAGUE))
    await colleague.ringing()
    await colleague.accept()
    await desk.event(Established, device=COLLEAGUE)
    await desk.do(TransferCall(AGENT))
    assert (await desk.event(Transferred, device=AGENT)).transferred_to == COLLEAGUE
    await agent.closed()
    await hear({colleague: {CUSTOMER_HZ}, customer: {COLLEAGUE_HZ}})
    await colleague.hang_up()
    await desk.event(CallCleared, call=first)
