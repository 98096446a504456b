"""Transfers with telephones that we did not write: who hears whom is proved by tones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall, SingleStepTransfer
from endpoint.callcontrol.events import (
    Delivered,
    Established,
    TransferFailed,
    Transferred,
    Transferring,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .test_kamailio import outside

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 1400, 1010, 1800
NOBODY = DeviceId("6009")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The customer is a tone station; agent and colleague have telephones."""
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, COLLEAGUE, NOBODY],
        stations={CUSTOMER: CUSTOMER_HZ},
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def agent(desk: Desk, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "agent", AGENT, desk.sip, password=desk.password, tone_hz=AGENT_HZ
    ) as phone:
        await desk.event(DeviceRegistered, device=AGENT)
        yield phone


@pytest.fixture
async def colleague(desk: Desk, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "colleague", COLLEAGUE, desk.sip, password=desk.password, tone_hz=COLLEAGUE_HZ
    ) as phone:
        await desk.event(DeviceRegistered, device=COLLEAGUE)
        yield phone


async def talking(desk: Desk, agent: Baresip) -> None:
    """The agent's telephone has called the customer."""
    await agent.dial(CUSTOMER)
    await agent.established()
    await desk.event(Established, device=CUSTOMER)
    await hear({agent: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})


async def test_a_baresip_phone_transfers_its_call_to_another(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    await talking(desk, agent)
    await agent.transfer(COLLEAGUE)
    await colleague.ringing()
    await desk.event(Delivered, device=COLLEAGUE)
    await colleague.accept()
    await desk.event(Transferred, device=AGENT, transferred_to=COLLEAGUE)
    await agent.closed()
    await hear({colleague: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {COLLEAGUE_HZ}, agent: set()})
    await colleague.hang_up()
    over = await desk.cleared()
    assert over.cause is Cause.NORMAL


async def test_a_baresip_phone_is_told_by_notify_that_its_transfer_failed(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    """It hangs up then, of itself: 1.0.0 has no other use for a call that it has transferred."""
    await talking(desk, agent)
    await agent.transfer(COLLEAGUE)
    await colleague.ringing()
    await colleague.hang_up()
    failed = await desk.event(TransferFailed, device=AGENT)
    assert (failed.cause, failed.sip_status) == (Cause.BUSY, 486)
    line = await agent.process.lines.next(lambda line: "transfer failed" in line, "its outcome")
    assert "486" in line
    over = await desk.cleared()
    assert over.releasing_device == AGENT


@pytest.mark.parametrize("answers", [True, False], ids=["declined", "away"])
async def test_who_can_not_be_had_leaves_the_call_as_it_was(
    desk: Desk, agent: Baresip, colleague: Baresip, answers: bool
) -> None:
    await talking(desk, agent)
    await desk.do(SingleStepTransfer(AGENT, COLLEAGUE if answers else NOBODY))
    if answers:
        await colleague.ringing()
        await colleague.hang_up()
    failed = await desk.event(TransferFailed, device=AGENT)
    assert failed.cause is (Cause.BUSY if answers else Cause.NOT_REGISTERED)
    await hear({agent: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {AGENT_HZ}})
    await desk.do(ClearConnection(AGENT))
    await desk.cleared()


async def test_a_command_transfers_between_baresip_phones(
    desk: Desk, agent: Baresip, colleague: Baresip
) -> None:
    await talking(desk, agent)
    await desk.do(SingleStepTransfer(AGENT, COLLEAGUE))
    await desk.event(Transferring, device=AGENT)
    await colleague.ringing()
    await colleague.accept()
    await desk.event(Transferred, device=AGENT)
    await agent.closed()
    await hear({colleague: {CUSTOMER_HZ}, desk.ear(CUSTOMER): {COLLEAGUE_HZ}})
    await desk.do(ClearConnection(COLLEAGUE))
    await desk.cleared()


# -- by REFER, through an outside server ----------------------------------------------------------


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Kamailio]:
    async with Kamailio(tmp_path / "kamailio") as outside_server:
        yield outside_server


@pytest.fixture
async def referring(server: Kamailio, tmp_path: Path) -> AsyncIterator[Desk]:
    """The agent is a tone station with an account at Kamailio, whose line wants REFER."""
    url = f"sip:{server.address}"
    async with outside(server, url, tmp_path / "outside", transfer="refer") as endpoint:
        await endpoint.event(DeviceRegistered, device=AGENT)
        yield endpoint


@pytest.fixture
async def customer(server: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "customer",
        CUSTOMER,
        server.address,
        password=server.password,
        tone_hz=CUSTOMER_HZ,
    ) as phone:
        yield phone


@pytest.fixture
async def third(server: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with Baresip(
        tmp_path / "third",
        COLLEAGUE,
        server.address,
        password=server.password,
        tone_hz=COLLEAGUE_HZ,
    ) as phone:
        yield phone


async def talking_outside(desk: Desk, customer: Baresip) -> None:
    """The agent has called the customer through Kamailio."""
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})


async def test_we_refer_a_baresip_phone_and_its_notify_ends_our_call(
    referring: Desk, customer: Baresip, third: Baresip
) -> None:
    await talking_outside(referring, customer)
    await referring.do(SingleStepTransfer(AGENT, COLLEAGUE))
    await third.ringing()
    await third.accept()
    done = await referring.event(Transferred, device=AGENT)
    assert done.transferred_to == COLLEAGUE
    await referring.cleared()
    await hear({third: {CUSTOMER_HZ}, customer: {COLLEAGUE_HZ}})


async def test_whom_we_refer_a_baresip_phone_to_declines_and_the_call_goes_on(
    referring: Desk, customer: Baresip, third: Baresip
) -> None:
    await talking_outside(referring, customer)
    await referring.do(SingleStepTransfer(AGENT, COLLEAGUE))
    await third.ringing()
    await third.hang_up()
    failed = await referring.event(TransferFailed, device=AGENT)
    assert (failed.cause, failed.sip_status) == (Cause.BUSY, 486)
    await hear({referring.ear(AGENT): {CUSTOMER_HZ}})
    await referring.do(ClearConnection(AGENT))
    await referring.cleared()
