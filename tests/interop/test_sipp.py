"""SIPp at our own server: digest registration, calls in and out, RTP echo, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import (
    ClearConnection,
    GenerateDigits,
    HoldCall,
    MakeCall,
    RetrieveCall,
)
from endpoint.callcontrol.events import (
    Delivered,
    DigitDetected,
    DigitsGenerated,
    Established,
    FarEndAnswer,
    FarEndHold,
    Held,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, Side
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, InviteRequest, UserAgent

from .desk import Desk
from .peers.feed import PeerError
from .peers.hearing import hear
from .peers.sipp import Sipp, register

pytestmark = pytest.mark.interop

AGENT, PEER = DeviceId("6001"), DeviceId("7002")
AGENT_HZ = 1400
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent 6001 is a tone station; 7002 is an extension for SIPp."""
    async with Desk(
        tmp_path / "state",
        extensions=[PEER],
        stations={AGENT: AGENT_HZ},
        settings={"calls": {"answer_timeout_s": 2.0}, "media": {"rtp_timeout_s": 2.0}},
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def peer_port(desk: Desk, tmp_path: Path) -> int:
    """SIPp has registered 7002 with a digest; its calls come to this port."""
    port = await register(tmp_path, desk.sip, user=PEER, password=desk.password)
    await desk.event(DeviceRegistered, device=PEER)
    return port


def caller(
    desk: Desk,
    directory: Path,
    scenario: str,
    *,
    talk_ms: int = 30_000,
    headers: tuple[str, ...] = (),
) -> Sipp:
    return Sipp(
        directory,
        scenario,
        desk.sip,
        user=PEER,
        password=desk.password,
        target=AGENT,
        talk_ms=talk_ms,
        headers=headers,
    )


async def test_a_wrong_password_registers_nobody(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="401"):
        await register(tmp_path, desk.sip, user=PEER, password="wrong")


async def test_sipp_calls_in_and_hangs_up(desk: Desk, tmp_path: Path) -> None:
    async with caller(desk, tmp_path, "uac", talk_ms=4000) as sipp:
        await desk.event(Established, device=AGENT)
        # It says nothing of its own: what comes back is what the agent said.
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize("ends", ["SIPp", "agent"])
async def test_sipp_calls_in_over_tcp(desk: Desk, tmp_path: Path, ends: str) -> None:
    async with Sipp(
        tmp_path,
        "uac",
        desk.sip_tcp,
        user=PEER,
        password=desk.password,
        target=AGENT,
        talk_ms=4000 if ends == "SIPp" else 30_000,
        tcp=True,
    ) as sipp:
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        if ends == "agent":
            await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
async def test_sipp_calls_in_over_ipv6(tmp_path: Path, tcp: bool) -> None:
    async with Desk(
        tmp_path / "state",
        extensions=[PEER],
        stations={AGENT: AGENT_HZ},
        settings={"sip": {"port": 0, "host": "::1"}, "media": {"host": "::1"}},
    ) as desk:
        host, port = desk.endpoint.sip_address
        server = desk.sip_tcp if tcp else f"[{host}]:{port}"
        facts = {"user": PEER, "password": desk.password, "target": AGENT, "tcp": tcp}
        async with Sipp(tmp_path, "uac", server, **facts) as sipp:
            await desk.event(Established, device=AGENT)
            await hear({desk.ear(AGENT): {AGENT_HZ}})
            await desk.do(ClearConnection(AGENT))
            await sipp.finished()
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_sipp_is_called_over_tcp(tmp_path: Path) -> None:
    async with (
        Sipp(tmp_path, "uas", "127.0.0.1:9", user=PEER, tcp=True) as sipp,
        UserAgent() as agent,
    ):
        me = NameAddr("", Uri.parse("sip:6001@127.0.0.1"))
        target = Uri.parse(f"sip:7002@127.0.0.1:{sipp.sip_port};transport=tcp")
        placed = agent.invite(InviteRequest(target, me, NameAddr("", target), sdp=OFFER))
        async with asyncio.timeout(15):
            async for event in placed.events():
                if isinstance(event, Answered):
                    placed.bye()
        await sipp.finished()


@pytest.mark.parametrize(
    "wish",
    [
        "Call-Info: <sip:intercom>;answer-after=1",
        "Alert-Info: <http://www.notused.com>;info=alert-autoanswer;delay=1",
    ],
)
async def test_sipp_asks_that_the_agent_picks_up_after_a_second(
    desk: Desk, tmp_path: Path, wish: str
) -> None:
    """The station would pick up at once; it rings for as long as the caller asks."""
    async with caller(desk, tmp_path, "uac", talk_ms=300, headers=(wish,)) as sipp:
        await desk.event(Established, device=AGENT)
        (call,) = desk.endpoint.controller.calls()
        assert call.delivered_at is not None
        assert call.established_at is not None
        assert call.established_at - call.delivered_at >= timedelta(seconds=1)
        await sipp.finished()
    await desk.cleared()


async def test_sipp_calls_in_and_the_agent_hangs_up(desk: Desk, tmp_path: Path) -> None:
    async with caller(desk, tmp_path, "uac") as sipp:
        await desk.event(Established, device=AGENT)
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    assert (await desk.cleared()).released_by is Side.ENDPOINT


async def test_sipp_is_called_echoes_and_is_held(
    desk: Desk, peer_port: int, tmp_path: Path
) -> None:
    async with Sipp(tmp_path, "uas", desk.sip, user=PEER, sip_port=peer_port) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Established, device=PEER)
        await hear({desk.ear(AGENT): {AGENT_HZ}})

        await desk.do(HoldCall(AGENT))
        await desk.event(Held, device=AGENT)
        assert (await desk.event(FarEndHold, held=True)).far_end is FarEndAnswer.ACCEPTED
        await hear({desk.ear(AGENT): set()})

        await desk.do(RetrieveCall(AGENT))
        await desk.event(Retrieved, device=AGENT)
        assert (await desk.event(FarEndHold, held=False)).far_end is FarEndAnswer.ACCEPTED
        await hear({desk.ear(AGENT): {AGENT_HZ}})

        await desk.do(GenerateDigits(AGENT, "55"))
        await desk.event(DigitsGenerated)
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    await desk.cleared()


async def test_sipp_hangs_up_the_call_that_it_answered(
    desk: Desk, peer_port: int, tmp_path: Path
) -> None:
    async with Sipp(
        tmp_path, "uas_hangs_up", desk.sip, user=PEER, sip_port=peer_port, talk_ms=300
    ) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await sipp.finished()
    over = await desk.cleared()
    assert (over.cause, over.released_by) == (Cause.NORMAL, Side.DEVICE)


async def test_sipp_is_told_why_its_codec_is_refused(desk: Desk, tmp_path: Path) -> None:
    async with caller(desk, tmp_path, "uac_misfit") as sipp:
        await sipp.finished()


async def test_sipp_presses_keys_by_info(desk: Desk, tmp_path: Path) -> None:
    async with caller(desk, tmp_path, "uac_info") as sipp:
        digits = [(await desk.event(DigitDetected, device=PEER)).digits for _ in range(3)]
        await sipp.finished()
    assert digits == ["1", "9", "#"]
    await desk.cleared()


@pytest.mark.parametrize(
    ("status", "cause"),
    [(486, Cause.BUSY), (603, Cause.DECLINED), (488, Cause.INCOMPATIBLE_MEDIA)],
)
async def test_sipp_refuses(
    desk: Desk, peer_port: int, tmp_path: Path, status: int, cause: Cause
) -> None:
    async with Sipp(
        tmp_path, "uas_refuses", desk.sip, user=PEER, sip_port=peer_port, status=status
    ) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Delivered, device=PEER)
        await sipp.finished()
    over = await desk.cleared()
    assert (over.cause, over.sip_status) == (cause, status)


async def test_sipp_does_not_answer(desk: Desk, peer_port: int, tmp_path: Path) -> None:
    async with Sipp(tmp_path, "uas_no_answer", desk.sip, user=PEER, sip_port=peer_port) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NO_ANSWER


async def test_sipp_gives_up_while_the_agent_rings(tmp_path: Path) -> None:
    async with Desk(tmp_path / "state", extensions=[PEER, AGENT]) as desk:
        port = await register(tmp_path, desk.sip, user=AGENT, password=desk.password)
        async with (
            Sipp(tmp_path, "uas_no_answer", desk.sip, user=AGENT, sip_port=port) as callee,
            caller(desk, tmp_path, "uac_cancel") as sipp,
        ):
            await sipp.finished()
            await callee.finished()
        assert (await desk.cleared()).cause is Cause.CANCELLED


async def test_sipp_vanishes_in_the_call(desk: Desk, peer_port: int, tmp_path: Path) -> None:
    async with Sipp(tmp_path, "uas", desk.sip, user=PEER, sip_port=peer_port) as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Established, device=PEER)
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        sipp.process.kill()
    over = await desk.cleared(timeout_s=40)
    assert (over.cause, over.released_by) == (Cause.MEDIA_TIMEOUT, Side.ENDPOINT)
