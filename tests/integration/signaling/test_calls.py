"""Calls between phones and the server over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from signaling import registrar
from signaling.errors import LocalProtocolError, TransportError
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.invite import Role
from signaling.sip.outofdialog import OutOfDialogRequest
from signaling.sip.uri import Uri
from signaling.transport.tls import TlsPolicy
from signaling.user_agent import (
    Answered,
    Confirmed,
    Ended,
    InfoReceived,
    InviteRequest,
    InviteSession,
    Progress,
    Reinvited,
    TransportSettings,
    UserAgent,
    UserAgentConfig,
)
from tests.fakes.receiver import PATIENCE_S
from tests.integration.signaling.stage import (
    ANSWER,
    KINDS,
    OFFER,
    STREAMS,
    USERS,
    Stage,
    ending,
    next_event,
    until,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


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


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_call_outlives_its_connection_and_goes_on_over_the_next(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    placed = stage.call("6001")
    ringing = await phone.invitation()
    ringing.accept(ANSWER)
    assert isinstance(await next_event(placed), Answered)
    assert isinstance(await next_event(ringing), Confirmed)
    before = placed.flow
    stage.cut(before)
    await until(stage.server.registrations(), registrar.Registered)
    placed.bye()
    assert (await ending(ringing)).by_remote
    assert placed.flow != before


async def test_an_answer_whose_connection_is_lost_goes_to_the_sent_by(stage):
    """RFC 3261 §18.2.2."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            arrived.put_nowait(await reader.readuntil(b"\r\n\r\n"))

    lost: asyncio.Queue[Flow] = asyncio.Queue()
    config = UserAgentConfig(trusted_peers=("127.0.0.1",))
    async with (
        UserAgent(config, on_flow_closed=lost.put_nowait) as called,
        await asyncio.start_server(take, "127.0.0.1", 0) as to,
    ):
        _, port = await called.listen_tcp("127.0.0.1", 0)
        sent_by = to.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            (
                f"INVITE sip:6001@127.0.0.1:{port} SIP/2.0\r\n"
                f"Via: SIP/2.0/TCP 127.0.0.1:{sent_by};branch=z9hG4bKgone\r\n"
                "Max-Forwards: 70\r\nFrom: <sip:10086@127.0.0.1>;tag=1\r\n"
                "To: <sip:6001@127.0.0.1>\r\nCall-ID: gone\r\nCSeq: 1 INVITE\r\n"
                f"Contact: <sip:10086@127.0.0.1:{sent_by};transport=tcp>\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode()
        )
        async with asyncio.timeout(PATIENCE_S):
            ringing = await anext(called.invitations())
            writer.close()
            await lost.get()
            ringing.reject(486)
            assert (await arrived.get()).startswith(b"SIP/2.0 486 ")


async def test_a_call_to_where_nobody_listens_is_503(stage, unused_tcp_port):
    """RFC 3261 §8.1.3.1: a connection that fails is a 503."""
    async with UserAgent() as caller:
        target = Uri.parse(f"sip:6001@127.0.0.1:{unused_tcp_port};transport=tcp")
        me = NameAddr("", Uri("sip", "me", host="127.0.0.1"))
        session = caller.invite(InviteRequest(target, me, NameAddr("", target), sdp=OFFER))
        ended = await ending(session)
    assert (ended.status, ended.by_remote) == (503, True)
    assert "refused" in str(ended.error)


async def test_who_is_asked_for_by_sips_is_told_a_sips_contact(stage):
    """RFC 3261 §8.1.1.8, §12.1.1."""
    async with UserAgent(UserAgentConfig(trusted_peers=("127.0.0.1",))) as called:
        _, port = await called.listen_tls("127.0.0.1", 0, stage.server_context)
        trusting = TransportSettings(tls=TlsPolicy(stage.trusting_context))
        async with UserAgent(UserAgentConfig(transport=trusting)) as caller:
            target = Uri.parse(f"sips:6001@127.0.0.1:{port}")
            me = NameAddr("", Uri("sips", "me", host="127.0.0.1"))
            placed = caller.invite(InviteRequest(target, me, NameAddr("", target), sdp=OFFER))
            async with asyncio.timeout(PATIENCE_S):
                ringing = await anext(called.invitations())
            (contact,) = ringing.request.contacts
            assert (contact.uri.scheme, contact.uri.parameter("transport")) == ("sips", None)
            ringing.accept(ANSWER)
            assert isinstance(await next_event(placed), Answered)
            assert isinstance(await next_event(ringing), Confirmed)
            placed.bye()
            await ending(ringing)


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


async def test_a_re_invite_that_meets_a_bye_has_an_end(stage):
    dialled, offered = await talking(stage, TransportKind.UDP)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(offered.reinvite(OFFER))
        assert isinstance(await next_event(dialled), Reinvited)
        dialled.bye()
        status, sdp = await asked
    assert (status >= 400, sdp) == (True, None)
    assert (await ending(offered)).by_remote


async def test_a_call_over_a_lost_connection_ends_at_once(stage):
    phone = await (await stage.phone("6001", TransportKind.WS)).registered()
    ((target, flow),) = stage.targets("6001")
    await phone.leave()
    address = NameAddr("", target)
    session = stage.server.invite(
        InviteRequest(target=target, from_=address, to=address, sdp=OFFER, flow=flow)
    )
    ended = await ending(session)
    assert isinstance(ended.error, TransportError)
    assert ended.status == 503


async def test_a_call_that_the_system_refuses_to_send_ends_at_once(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    target = Uri("sip", "10086", host="255.255.255.255")
    address = NameAddr("", target)
    session = phone.agent.invite(InviteRequest(target=target, from_=address, to=address, sdp=OFFER))
    assert isinstance((await ending(session)).error, TransportError)


async def test_without_a_listener_of_its_family_a_target_can_not_be_reached(stage):
    phone = await stage.phone("6001", TransportKind.WS)
    target = Uri("sip", "10086", host="127.0.0.1")
    address = NameAddr("", target)
    session = phone.agent.invite(InviteRequest(target=target, from_=address, to=address))
    assert "no UDP listener" in str((await ending(session)).error)


def asking(target: Uri, address: NameAddr) -> OutOfDialogRequest:
    return OutOfDialogRequest(method="OPTIONS", target=target, from_=address, to=address)


async def test_requests_outside_a_call(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    server = Uri("sip", host="127.0.0.1", port=stage.udp_port)
    address = NameAddr("", Uri("sip", "6001", host="127.0.0.1"))
    async with asyncio.timeout(PATIENCE_S):
        ping = await phone.agent.request(asking(server, address))
        assert ping.status == 200
        assert ping.response is not None
        message = await phone.agent.request(
            OutOfDialogRequest(
                method="MESSAGE",
                target=server,
                from_=address,
                to=address,
                body=b"hello",
                content_type="text/plain",
                credentials=phone.credentials(),
            )
        )
        assert message.status == 404  # it is for nobody
        unknown = Uri("sip", host="no-such-host.invalid")
        with pytest.raises(TransportError):
            await phone.agent.request(asking(unknown, address))


async def test_who_left_can_place_nothing_any_more(stage):
    phone = await (await stage.phone("6001", TransportKind.UDP)).registered()
    await phone.leave()
    assert isinstance((await ending(phone.dial("10086"))).error, TransportError)
    address = NameAddr("", Uri("sip", "6001", host="127.0.0.1"))
    with pytest.raises(TransportError):
        await phone.agent.request(asking(address.uri, address))
    with pytest.raises(LocalProtocolError):
        phone.register()
    with pytest.raises(LocalProtocolError):
        phone.agent.connect("elsewhere", "wss://127.0.0.1/sip")


async def test_a_session_whose_target_is_sought_for_ever_ends_with_its_agent(stage, monkeypatch):
    phone = await stage.phone("6001", TransportKind.UDP)

    async def never(uri):
        await asyncio.Event().wait()

    monkeypatch.setattr(phone.agent._layer, "flow_to", never)
    target = Uri("sip", "10086", host="slow.example")
    address = NameAddr("", target)
    session = phone.agent.invite(InviteRequest(target=target, from_=address, to=address))
    await asyncio.sleep(0)
    await phone.leave()
    assert isinstance((await ending(session)).error, TransportError)


async def test_leaving_does_not_wait_for_the_dead(stage, unused_udp_port):
    """Nobody listens there: what is still on its way then gets an end all the same."""
    phone = await stage.phone("6001", TransportKind.UDP)
    nobody = Uri("sip", "nobody", host="127.0.0.1", port=unused_udp_port)
    address = NameAddr("", nobody)
    session = phone.agent.invite(
        InviteRequest(
            target=nobody, from_=address, to=address, flow=await phone.agent._layer.flow_to(nobody)
        )
    )
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        ping = tasks.create_task(phone.agent.request(asking(nobody, address)))
        await asyncio.sleep(0)
        await phone.leave()
        assert (await ping).status == 503
    assert session.ended is not None


async def test_a_call_over_ipv6(stage, ipv6_loopback):
    host = ipv6_loopback
    _, port = await stage.server.listen_udp(host, 0)
    async with UserAgent(UserAgentConfig(trusted_peers=("::1",))) as agent:
        await agent.listen_udp(host, 0)
        target = Uri("sip", "10086", host=host, port=port)
        address = NameAddr("", Uri("sip", "6001", host=host))
        session = agent.invite(
            InviteRequest(
                target=target,
                from_=address,
                to=NameAddr("", target),
                sdp=OFFER,
                credentials=DigestCredentials("6001", password=USERS["6001"]),
            )
        )
        offered = await stage.invitation()
        offered.accept(ANSWER)
        assert isinstance(await next_event(session), Answered)
        offered.bye()
        assert (await ending(session)).by_remote


async def test_an_error_in_the_body_leaves_the_user_agent_as_it_is():
    async def fail() -> None:
        async with UserAgent() as agent:
            await agent.listen_udp("127.0.0.1", 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_a_user_agent_that_is_cancelled_closes_its_sockets(unused_udp_port):
    up = asyncio.Event()

    async def live() -> None:
        async with UserAgent() as agent:
            await agent.listen_udp("127.0.0.1", unused_udp_port)
            up.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        living = tasks.create_task(live())
        await up.wait()
        living.cancel()
    assert living.cancelled()
    async with UserAgent() as another:
        await another.listen_udp("127.0.0.1", unused_udp_port)
