"""Calls between phones and the server over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from signaling.errors import LocalProtocolError
from signaling.sip.flow import TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.invite import Role
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    InviteRequest,
    InviteSession,
    Progress,
    Reinvited,
)
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.stage import (
    ANSWER,
    KINDS,
    OFFER,
    Stage,
    ending,
    next_event,
)

pytestmark = pytest.mark.integration


async def talking(stage: Stage, kind: TransportKind) -> tuple[InviteSession, InviteSession]:
    """A phone has dialled, the server has answered: the phone's session and the server's."""
    phone = await (await stage.phone("6001", kind)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.accept(ANSWER)
    assert isinstance(await next_event(dialled), Answered)
    assert isinstance(await next_event(offered), Confirmed)
    return dialled, offered


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_dials_and_the_call_surfaces_with_its_user(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    dialled = phone.dial("10086")
    assert dialled.role is Role.UAC
    offered = await stage.invitation()
    assert offered.role is Role.UAS
    assert offered.authenticated_user == "6001"
    assert offered.request.uri.user == "10086"
    assert offered.sdp == OFFER
    offered.ring()
    assert await next_event(dialled) == Progress(180, "Ringing")
    offered.accept(ANSWER)
    assert await next_event(dialled) == Answered(ANSWER)
    assert await next_event(offered) == Confirmed()
    assert dialled.call_id == offered.call_id
    dialled.bye()
    assert (await ending(offered)).by_remote
    assert not (await ending(dialled)).by_remote


@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_calls_a_phone_and_hangs_up(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    placed = stage.call("6001")
    ringing = await phone.invitation()
    assert ringing.remote.uri.user == "10086"
    ringing.ring()
    assert isinstance(await next_event(placed), Progress)
    ringing.accept(ANSWER)
    assert await next_event(placed) == Answered(ANSWER)
    placed.bye(q850=16)
    ended = await ending(ringing)
    assert ended.by_remote
    assert ended.q850 == 16


@pytest.mark.parametrize("kind", KINDS)
async def test_the_phone_that_was_called_hangs_up(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    placed = stage.call("6001")
    ringing = await phone.invitation()
    ringing.accept(ANSWER)
    assert isinstance(await next_event(placed), Answered)
    assert isinstance(await next_event(ringing), Confirmed)
    ringing.bye()
    assert (await ending(placed)).by_remote


async def test_a_phone_declines(stage):
    phone = await (await stage.phone("6001", TransportKind.WS)).registered()
    placed = stage.call("6001")
    (await phone.invitation()).reject(603)
    assert (await ending(placed)).status == 603


async def test_a_caller_cancels(stage):
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.ring()
    assert isinstance(await next_event(dialled), Progress)
    dialled.cancel()
    assert (await ending(offered)).by_remote
    assert (await ending(dialled)).status == 487


@pytest.mark.parametrize("kind", KINDS)
async def test_hold_by_re_invite_both_ways(stage, kind):
    dialled, offered = await talking(stage, kind)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(offered.reinvite(OFFER + b"a=sendonly\r\n"))
        event = await next_event(dialled)
        assert event == Reinvited(OFFER + b"a=sendonly\r\n")
        dialled.answer_reinvite(ANSWER + b"a=recvonly\r\n")
        assert await asked == (200, ANSWER + b"a=recvonly\r\n")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(dialled.reinvite(OFFER))
        assert isinstance(await next_event(offered), Reinvited)
        offered.reject_reinvite(488)
        assert (await asked)[0] == 488
    dialled.bye()
    await ending(offered)


@pytest.mark.parametrize("kind", KINDS)
async def test_info_in_a_call(stage, kind):
    dialled, offered = await talking(stage, kind)
    async with asyncio.timeout(PATIENCE_S):
        assert await dialled.info("application/dtmf-relay", b"Signal=5\r\n") == 200
    assert await next_event(offered) == InfoReceived("application/dtmf-relay", b"Signal=5\r\n")
    offered.bye()
    await ending(dialled)


@pytest.mark.parametrize("kind", [TransportKind.WS, TransportKind.WSS])
async def test_a_call_ends_with_the_socket_of_its_phone(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.ring()
    assert isinstance(await next_event(dialled), Progress)
    client = phone.agent._clients["server"]
    assert client._connection is not None
    await client._connection.close()
    assert (await ending(offered)).by_remote
    ended = await ending(dialled)
    assert ended.error is not None


async def test_leaving_a_user_agent_hangs_its_calls_up(stage):
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.accept(ANSWER)
    assert isinstance(await next_event(dialled), Answered)
    await phone.leave()
    assert (await ending(offered)).by_remote
    assert dialled.ended is not None
    assert [session async for session in phone.agent.invitations()] == []


async def test_a_target_that_does_not_resolve_ends_the_session_with_the_error(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    target = Uri("sip", "10086", host="no-such-host.invalid")
    address = NameAddr("", target)
    session = phone.agent.invite(InviteRequest(target=target, from_=address, to=address))
    with pytest.raises(LocalProtocolError):
        session.ring()
    assert session.call_id == ""
    ended = await ending(session)
    assert ended.error is not None
    assert "no-such-host" in str(ended.error)
    session.hang_up()


async def test_a_session_whose_target_is_still_sought_can_be_taken_back(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    target = Uri("sip", "10086", host="localhost", port=stage.udp_port)
    address = NameAddr("", target)
    session = phone.agent.invite(InviteRequest(target=target, from_=address, to=address))
    session.hang_up()
    assert await next_event(session) == Ended(
        by_remote=False, status=487, reason_text="Request Terminated"
    )


async def test_a_phone_takes_calls_from_its_server_only(stage):
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    stranger = await stage.phone("6002", TransportKind.UDP)
    ((target, _),) = stage.targets("6001")
    address = NameAddr("", Uri("sip", "6002", host="127.0.0.1"))
    session = stranger.agent.invite(
        InviteRequest(target=target, from_=address, to=NameAddr("", target), sdp=OFFER)
    )
    assert (await ending(session)).status == 403
    stage.call("6001")
    assert (await phone.invitation()).remote.uri.user == "10086"
