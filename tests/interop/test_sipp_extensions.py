"""SIPp: ringing that is acknowledged (PRACK), UPDATE, late offers, glare, early media both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, HoldCall, MakeCall
from endpoint.callcontrol.events import (
    Delivered,
    Established,
    FarEndAnswer,
    FarEndHold,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Answered,
    InviteRequest,
    InviteSession,
    Progress,
    UserAgent,
    UserAgentConfig,
)

from .desk import Desk
from .peers.hearing import hear
from .peers.kamailio import Kamailio
from .peers.sipp import Sipp, register

pytestmark = pytest.mark.interop

AGENT, PHONE, PEER = DeviceId("6001"), DeviceId("6002"), DeviceId("7002")
AGENT_HZ, PEER_HZ = 1400, 1010


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent 6001 is a tone station; 6002 and 7002 are extensions for SIPp."""
    async with Desk(
        tmp_path / "state", extensions=[PEER, PHONE], stations={AGENT: AGENT_HZ}
    ) as endpoint:
        yield endpoint


async def called(desk: Desk, directory: Path, scenario: str, user: DeviceId, talk_ms: int) -> Sipp:
    """SIPp, registered, that will answer by a scenario."""
    port = await register(directory, desk.sip, user=user, password=desk.password)
    await desk.event(DeviceRegistered, device=user)
    return Sipp(
        directory,
        scenario,
        desk.sip,
        user=user,
        sip_port=port,
        talk_ms=talk_ms,
        tone_hz=PEER_HZ,
        retransmits=False,
    )


def caller(desk: Desk, directory: Path, scenario: str, target: DeviceId, talk_ms: int) -> Sipp:
    return Sipp(
        directory,
        scenario,
        desk.sip,
        user=PEER,
        password=desk.password,
        target=target,
        talk_ms=talk_ms,
        retransmits=False,
    )


async def test_its_ringing_is_heard_and_acknowledged_though_a_prack_is_lost(
    desk: Desk, tmp_path: Path
) -> None:
    async with await called(desk, tmp_path, "uas_prack", PEER, talk_ms=2000) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        assert (await desk.event(Delivered, device=PEER)).early_media
        await hear({desk.ear(AGENT): {PEER_HZ}})
        await desk.event(Established, device=PEER)
        await hear({desk.ear(AGENT): {PEER_HZ}})
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_it_changes_the_call_by_update_while_it_rings_and_after(
    desk: Desk, tmp_path: Path
) -> None:
    async with await called(desk, tmp_path, "uas_update", PEER, talk_ms=1000) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Established, device=PEER)
        await hear({desk.ear(AGENT): {PEER_HZ}})
        await desk.event(Held, device=PEER)
        await desk.event(Retrieved, device=PEER)
        await hear({desk.ear(AGENT): {PEER_HZ}})
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    await desk.cleared()


async def test_offers_that_cross_ours_are_491_and_ours_is_made_again(
    desk: Desk, tmp_path: Path
) -> None:
    async with await called(desk, tmp_path, "uas_glare_invite", PEER, talk_ms=0) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Established, device=PEER)
        await desk.do(HoldCall(AGENT))
        assert (await desk.event(FarEndHold, held=True)).far_end is FarEndAnswer.ACCEPTED
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    await desk.cleared()


@pytest.mark.parametrize("scenario", ["uac_late", "uac_late_prack"])
async def test_it_calls_without_an_offer_and_answers_ours(
    desk: Desk, tmp_path: Path, scenario: str
) -> None:
    """In its ACK; or in its PRACK, since it wants to acknowledge ringing."""
    async with AsyncExitStack() as stack:
        target = AGENT
        if scenario == "uac_late_prack":  # a station has no ringing
            target = PHONE
            phone = await called(desk, tmp_path / "phone", "uas_early", PHONE, talk_ms=800)
            await stack.enter_async_context(phone)
        sipp = await stack.enter_async_context(
            caller(desk, tmp_path, scenario, target, talk_ms=3000)
        )
        await desk.event(Established, device=target)
        await hear({desk.ear(PEER): {AGENT_HZ if target == AGENT else PEER_HZ}})
        await sipp.finished()
        assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize("scenario", ["uac", "uac_prack"])
async def test_it_hears_who_rings_with_and_without_acknowledging_it(
    desk: Desk, tmp_path: Path, scenario: str
) -> None:
    """What SIPp hears it sends back, so the tone of the phone that rings is found there.

    One that acknowledges does so the second time, as if its first PRACK was lost.
    """
    async with (
        await called(desk, tmp_path / "phone", "uas_early", PHONE, talk_ms=3000) as phone,
        caller(desk, tmp_path, scenario, PHONE, talk_ms=1500) as sipp,
    ):
        assert (await desk.event(Delivered, device=PHONE)).early_media
        await hear({desk.ear(PEER): {PEER_HZ}})
        await desk.event(Established, device=PHONE)
        await hear({desk.ear(PEER): {PEER_HZ}})
        await sipp.finished()
        await phone.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_it_changes_the_call_that_it_made_by_update(desk: Desk, tmp_path: Path) -> None:
    async with (
        await called(desk, tmp_path / "phone", "uas_early", PHONE, talk_ms=500) as phone,
        caller(desk, tmp_path, "uac_update", PHONE, talk_ms=2500) as sipp,
    ):
        await desk.event(Established, device=PHONE)
        await desk.event(Held, device=PEER)
        await hear({desk.ear(PEER): set()})
        await desk.event(Retrieved, device=PEER)
        await hear({desk.ear(PEER): {PEER_HZ}})
        await sipp.finished()
        await phone.finished()
    await desk.cleared()


# -- our signalling alone: the endpoint itself always offers, and changes what is answered ---------

OURS = b"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 20000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
""".replace(b"\n", b"\r\n")


@pytest.fixture
async def agent() -> AsyncIterator[UserAgent]:
    async with UserAgent(UserAgentConfig()) as ua:
        await ua.listen_udp("127.0.0.1", 0)
        yield ua


def call(ua: UserAgent, sipp: Sipp, sdp: bytes | None) -> InviteSession:
    target = Uri.parse(f"sip:{PEER}@127.0.0.1:{sipp.sip_port}")
    return ua.invite(
        InviteRequest(target, NameAddr.parse("<sip:6001@127.0.0.1>"), NameAddr("", target), sdp=sdp)
    )


def answering(directory: Path, scenario: str) -> Sipp:
    return Sipp(directory, scenario, "127.0.0.1:9", user=PEER, retransmits=False)


@pytest.mark.parametrize("scenario", ["uas_late", "uas_late_prack"])
async def test_we_call_it_without_an_offer_and_answer_its_own(
    agent: UserAgent, tmp_path: Path, scenario: str
) -> None:
    async with answering(tmp_path, scenario) as sipp:
        session = call(agent, sipp, None)
        async with asyncio.timeout(10):
            async for event in session.events():
                match event:
                    case Progress(sdp=offer, fork=fork) if offer is not None:
                        assert scenario == "uas_late_prack"
                        session.accept(OURS, fork)
                    case Answered(sdp=offer):
                        assert offer is not None
                        if scenario == "uas_late":
                            session.accept(OURS)
                        session.bye()
        await sipp.finished()


async def test_updates_that_cross_while_it_rings(agent: UserAgent, tmp_path: Path) -> None:
    """Both are 491; ours is made again, after the pause of who made the call."""
    async with answering(tmp_path, "uas_glare_update") as sipp:
        session = call(agent, sipp, OURS)
        events = session.events()
        async with asyncio.timeout(15):
            assert isinstance(await anext(events), Progress)
            assert session.may_update()
            assert await session.update(OURS) == (200, session.sdp)
            assert isinstance(await anext(events), Answered)
            session.bye()
        await sipp.finished()


# -- with a proxy in between ----------------------------------------------------------------------


async def test_kamailio_keeps_its_place_for_prack_and_update(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    """It has recorded its route; so all that follows the INVITE goes through it, both ways."""
    account = {
        "device": AGENT,
        "server": f"sip:{kamailio.address}",
        "domain": kamailio.address,
        "password": kamailio.password,
        "media": "rtp",
    }
    async with Desk(
        tmp_path / "state", stations={AGENT: AGENT_HZ}, settings={"account": [account]}
    ) as desk:
        await desk.event(DeviceRegistered, device=AGENT)
        port = await register(tmp_path, kamailio.address, user=PHONE, password=kamailio.password)
        async with Sipp(
            tmp_path,
            "uas_update",
            kamailio.address,
            user=PHONE,
            sip_port=port,
            talk_ms=700,
            tone_hz=PEER_HZ,
            retransmits=False,
        ) as sipp:
            await desk.do(MakeCall(AGENT, PHONE))
            await desk.event(Established, device=PHONE)
            await desk.event(Held, device=PHONE)
            await desk.event(Retrieved, device=PHONE)
            await hear({desk.ear(AGENT): {PEER_HZ}})
            await desk.do(ClearConnection(AGENT))
            await sipp.finished()
        await desk.cleared()
    within = [each for each in sipp.received() if each.startswith(("PRACK", "ACK", "BYE"))]
    assert [each.split()[0] for each in within] == ["PRACK", "ACK", "BYE"]
    assert all(f"Via: SIP/2.0/UDP {kamailio.address};" in each for each in within)
