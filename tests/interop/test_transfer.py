"""Transfers with telephones that we did not write: who hears whom is proved by tones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    ConsultationCall,
    MakeCall,
    SingleStepTransfer,
    TransferCall,
)
from endpoint.callcontrol.events import (
    Delivered,
    Established,
    Retrieved,
    TransferFailed,
    Transferred,
    Transferring,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import Listener, hear
from .peers.jssip import JsSip
from .peers.kamailio import Kamailio
from .peers.linphone import Linphone
from .peers.rtpengine import Rtpengine
from .peers.sipp import Sipp, register
from .peers.sound import MUSIC_HZ
from .test_kamailio import outside

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6002")
AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 1400, 1010, 1800
BOSS, NOBODY = DeviceId("6003"), DeviceId("6009")
TONES_HZ = {AGENT: AGENT_HZ, CUSTOMER: CUSTOMER_HZ, COLLEAGUE: COLLEAGUE_HZ, BOSS: 1800}

T = TypeVar("T", bound=Baresip | Linphone)


def telephone(kind: type[T], directory: Path, user: DeviceId, at: Desk | Kamailio) -> T:
    """One that registers there, and says its user's tone."""
    server = at.sip if isinstance(at, Desk) else at.address
    return kind(directory / user, user, server, password=at.password, tone_hz=TONES_HZ[user])


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
    async with telephone(Baresip, tmp_path, AGENT, desk) as phone:
        await desk.event(DeviceRegistered, device=AGENT)
        yield phone


@pytest.fixture
async def colleague(desk: Desk, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(Baresip, tmp_path, COLLEAGUE, desk) as phone:
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
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kamailio]:
    """Kamailio; with rtpengine where a test asks for it."""
    async with AsyncExitStack() as stack:
        relay = None
        if getattr(request, "param", False):
            relay = (await stack.enter_async_context(Rtpengine(tmp_path / "rtpengine"))).control
        yield await stack.enter_async_context(Kamailio(tmp_path / "kamailio", rtpengine=relay))


relayed = pytest.mark.parametrize(
    "server", [False, True], ids=["direct", "rtpengine"], indirect=True
)
"""Audio straight, and through rtpengine."""
through_rtpengine = pytest.mark.parametrize("server", [True], ids=["rtpengine"], indirect=True)
refusals = pytest.mark.parametrize(
    ("kind", "status", "cause"),
    [(Linphone, 603, Cause.DECLINED), (Baresip, 486, Cause.BUSY)],
    ids=["declined", "busy"],
)
"""How each telephone refuses a call that rings at it, by a button."""


@pytest.fixture
async def referring(server: Kamailio, tmp_path: Path) -> AsyncIterator[Desk]:
    """The agent is a tone station with an account at Kamailio, whose line wants REFER."""
    url = f"sip:{server.address}"
    async with outside(server, url, tmp_path / "outside", transfer="refer") as endpoint:
        await endpoint.event(DeviceRegistered, device=AGENT)
        yield endpoint


@pytest.fixture
async def customer(server: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(Baresip, tmp_path, CUSTOMER, server) as phone:
        yield phone


@pytest.fixture
async def third(server: Kamailio, tmp_path: Path) -> AsyncIterator[Baresip]:
    async with telephone(Baresip, tmp_path, COLLEAGUE, server) as phone:
        yield phone


async def talking_outside(desk: Desk, customer: Baresip) -> None:
    """The agent has called the customer through Kamailio."""
    await desk.do(MakeCall(AGENT, CUSTOMER))
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})


@relayed
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


@through_rtpengine
@refusals
async def test_whom_we_refer_a_baresip_phone_to_refuses_and_the_call_goes_on(
    referring: Desk,
    server: Kamailio,
    customer: Baresip,
    tmp_path: Path,
    kind: type[Baresip | Linphone],
    status: int,
    cause: Cause,
) -> None:
    await talking_outside(referring, customer)
    async with telephone(kind, tmp_path, COLLEAGUE, server) as target:
        await referring.do(SingleStepTransfer(AGENT, COLLEAGUE))
        await target.ringing()
        await target.hang_up()
        failed = await referring.event(TransferFailed, device=AGENT)
        assert (failed.sip_status, failed.cause) == (status, cause)
    await hear({referring.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await referring.do(ClearConnection(AGENT))
    await referring.cleared()


@through_rtpengine
@refusals
async def test_who_refuses_our_call_leaves_a_transfer_undone_blind_and_attended(
    server: Kamailio,
    customer: Baresip,
    tmp_path: Path,
    kind: type[Baresip | Linphone],
    status: int,
    cause: Cause,
) -> None:
    """We stay in the middle; both others are behind Kamailio."""
    async with (
        outside(server, f"sip:{server.address}", tmp_path / "outside") as desk,
        telephone(kind, tmp_path, COLLEAGUE, server) as target,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await talking_outside(desk, customer)
        await desk.do(SingleStepTransfer(AGENT, COLLEAGUE))
        await target.ringing()
        await target.hang_up()
        failed = await desk.event(TransferFailed, device=AGENT)
        assert (failed.sip_status, failed.cause) == (status, cause)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})

        await desk.do(ConsultationCall(AGENT, COLLEAGUE))
        await desk.event(Delivered, device=COLLEAGUE)
        await desk.do(TransferCall(AGENT))
        await target.ringing()
        await target.hang_up()
        failed = await desk.event(TransferFailed, device=AGENT)
        assert (failed.sip_status, failed.cause) == (status, cause)
        await desk.event(Retrieved, device=AGENT)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await desk.cleared()


@pytest.mark.parametrize(("status", "cause"), [(603, Cause.DECLINED), (486, Cause.BUSY)])
async def test_sipp_refuses_our_refer_and_the_call_goes_on(
    referring: Desk, server: Kamailio, tmp_path: Path, status: int, cause: Cause
) -> None:
    port = await register(tmp_path, server.address, user=CUSTOMER, password=server.password)
    async with Sipp(
        tmp_path,
        "uas_refuses_refer",
        server.address,
        user=CUSTOMER,
        sip_port=port,
        status=status,
    ) as sipp:
        await referring.do(MakeCall(AGENT, CUSTOMER))
        await referring.event(Established, device=CUSTOMER)
        await hear({referring.ear(AGENT): {AGENT_HZ}})  # it echoes
        await referring.do(SingleStepTransfer(AGENT, COLLEAGUE))
        failed = await referring.event(TransferFailed, device=AGENT)
        assert (failed.sip_status, failed.cause) == (status, cause)
        await hear({referring.ear(AGENT): {AGENT_HZ}})
        await referring.do(ClearConnection(AGENT))
        await sipp.finished()


# -- attended, with Replaces ----------------------------------------------------------------------


@pytest.fixture
async def stations(tmp_path: Path) -> AsyncIterator[Desk]:
    """Customer and colleague are tone stations; the agent has a telephone with two lines."""
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, NOBODY],
        stations={CUSTOMER: CUSTOMER_HZ, COLLEAGUE: COLLEAGUE_HZ},
        settings={"media": {"websocket_phones": "rtp"}},
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def linphone(stations: Desk, tmp_path: Path) -> AsyncIterator[Linphone]:
    async with telephone(Linphone, tmp_path, AGENT, stations) as phone:
        yield phone


def brought_together(desk: Desk) -> dict[Listener, set[int]]:
    """Customer and colleague hear each other, and nobody else."""
    return {desk.ear(CUSTOMER): {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {CUSTOMER_HZ}}


async def consulting(stations: Desk, linphone: Linphone) -> None:
    """The agent's telephone holds the customer, who hears music, and talks with the colleague."""
    await linphone.dial(CUSTOMER)
    await stations.event(Established, device=CUSTOMER)
    await hear({linphone: {CUSTOMER_HZ}, stations.ear(CUSTOMER): {AGENT_HZ}})
    await linphone.hold()
    await hear({stations.ear(CUSTOMER): MUSIC_HZ})
    await linphone.dial(COLLEAGUE, call=2)
    await stations.event(Established, device=COLLEAGUE)


async def test_linphone_consults_and_brings_its_two_calls_together(
    stations: Desk, linphone: Linphone
) -> None:
    await consulting(stations, linphone)
    await hear({stations.ear(COLLEAGUE): {AGENT_HZ}, stations.ear(CUSTOMER): MUSIC_HZ})
    linphone.transfer_to_call(1, 2)
    done = await stations.event(Transferred, device=AGENT)
    assert done.transferred_to == COLLEAGUE
    await linphone.ended(1)
    await hear(brought_together(stations))
    await stations.do(ClearConnection(CUSTOMER))
    await stations.cleared()


async def test_linphone_brings_its_two_calls_together_over_tls_and_srtp(
    stations: Desk, tmp_path: Path
) -> None:
    async with Linphone(
        tmp_path / "linphone",
        AGENT,
        stations.sip_tls.replace("127.0.0.1", "localhost"),
        password=stations.password,
        tone_hz=AGENT_HZ,
        ca_file=stations.ca_file,
    ) as linphone:
        await consulting(stations, linphone)
        linphone.transfer_to_call(1, 2)
        await stations.event(Transferred, device=AGENT)
        await linphone.ended(1)
        await hear(brought_together(stations))


async def test_linphone_transfers_blindly(stations: Desk, linphone: Linphone) -> None:
    await linphone.dial(CUSTOMER)
    await stations.event(Established, device=CUSTOMER)
    linphone.transfer(1, COLLEAGUE)
    await stations.event(Transferred, device=AGENT)
    await linphone.ended(1)
    await hear(brought_together(stations))


@pytest.fixture
async def browser(stations: Desk, tmp_path: Path) -> AsyncIterator[JsSip]:
    async with JsSip(
        tmp_path / "browser",
        AGENT,
        stations.endpoint.wss_url,
        domain="localhost",
        password=stations.password,
        ca_file=stations.ca_file,
        tone_hz=1130,
    ) as phone:
        await stations.event(DeviceRegistered, device=AGENT)
        yield phone


async def test_jssip_consults_and_brings_its_two_calls_together(
    stations: Desk, browser: JsSip
) -> None:
    await browser.dial(CUSTOMER)
    await browser.established()
    await stations.event(Established, device=CUSTOMER)
    assert await browser.hold()
    await hear({stations.ear(CUSTOMER): MUSIC_HZ})
    await browser.dial(COLLEAGUE)
    await browser.established()
    await stations.event(Established, device=COLLEAGUE)
    await browser.transfer(COLLEAGUE, attended=True)
    assert await browser.referred("accepted") == 200
    await browser.closed()
    await stations.event(Transferred, device=AGENT)
    await hear(brought_together(stations))


async def test_jssip_is_told_that_its_transfer_failed_and_talks_on(
    stations: Desk, browser: JsSip
) -> None:
    await browser.dial(CUSTOMER)
    await browser.established()
    await stations.event(Established, device=CUSTOMER)
    await browser.transfer(NOBODY)
    assert await browser.referred("failed") == 480
    failed = await stations.event(TransferFailed, device=AGENT)
    assert failed.cause is Cause.NOT_REGISTERED
    await hear({browser: {CUSTOMER_HZ}, stations.ear(CUSTOMER): {1130}})
    await browser.hang_up()
    await stations.cleared()


@relayed
async def test_a_linphone_comes_to_our_agent_for_the_place_of_another(
    server: Kamailio, tmp_path: Path
) -> None:
    """An INVITE with Replaces: the customer's boss sends the customer to our agent."""
    async with (
        outside(server, f"sip:{server.address}", tmp_path / "outside") as desk,
        telephone(Linphone, tmp_path, BOSS, server) as calling,
        telephone(Linphone, tmp_path, CUSTOMER, server) as customer,
    ):
        await desk.event(DeviceRegistered, device=AGENT)
        await calling.call(CUSTOMER)
        await customer.answer()
        await calling.connected(1)
        await calling.hold()
        await calling.dial(AGENT, call=2)
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {TONES_HZ[BOSS]}, calling: {AGENT_HZ}})
        calling.transfer_to_call(1, 2)
        done = await desk.event(Transferred, device=BOSS)
        assert done.transferred_to == CUSTOMER
        await calling.ended(2)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await desk.cleared()


@through_rtpengine
async def test_we_refer_with_replaces_where_the_line_wants_it(
    server: Kamailio, tmp_path: Path
) -> None:
    """The agent's telephone is ours, both its calls go by an account with `transfer = "refer"`."""
    account = {
        "device": AGENT,
        "server": f"sip:{server.address}",
        "domain": server.address,
        "password": server.password,
        "transfer": "refer",
    }
    async with (
        Desk(tmp_path / "state", extensions=[AGENT], settings={"account": [account]}) as desk,
        telephone(Linphone, tmp_path, AGENT, desk) as agent,
        telephone(Linphone, tmp_path, CUSTOMER, server) as customer,
        telephone(Linphone, tmp_path, COLLEAGUE, server) as colleague,
    ):
        await agent.call(CUSTOMER)
        await customer.answer()
        await agent.connected(1)
        await hear({agent: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await agent.hold()
        await agent.call(COLLEAGUE)
        await colleague.answer()
        await agent.connected(2)
        await desk.event(Established, device=COLLEAGUE)
        agent.transfer_to_call(1, 2)
        done = await desk.event(Transferred, device=AGENT)
        assert done.transferred_to == COLLEAGUE
        await agent.ended(1)
        await hear({customer: {COLLEAGUE_HZ}, colleague: {CUSTOMER_HZ}})


# -- asked for from outside ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "accept_refer"),
    [(False, False), (True, True)],
    ids=["refused", "allowed"],
    indirect=["server"],
)
async def test_s12_a_far_end_has_somebody_called_only_where_its_line_lets_it(
    server: Kamailio, customer: Baresip, third: Baresip, tmp_path: Path, accept_refer: bool
) -> None:
    """The customer, behind an outside server, sends our agent to somebody else."""
    url = f"sip:{server.address}"
    async with outside(server, url, tmp_path / "outside", accept_refer=accept_refer) as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        await talking_outside(desk, customer)
        await customer.transfer(COLLEAGUE)
        if not accept_refer:
            await customer.process.lines.next(
                lambda line: "transfer failed: 603" in line, "a refusal"
            )
            await desk.cleared(releasing_device=CUSTOMER)  # of itself, as above
        else:
            await third.ringing()
            await third.accept()
            done = await desk.event(Transferred, device=CUSTOMER)
            assert done.transferred_to == COLLEAGUE
            await hear({desk.ear(AGENT): {COLLEAGUE_HZ}, third: {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
            await desk.cleared()
