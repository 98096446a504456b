"""The ways to a phone over real sockets: outbound, GRUU, a proxy in between."""

from __future__ import annotations

import pytest

from signaling.sip.flow import TransportKind
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Request, parse_message
from signaling.sip.stun import binding_request, seen_address
from signaling.sip.uri import Uri
from signaling.user_agent import Account, Confirmed, InviteRequest, Registration
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import (
    ANSWER,
    KINDS,
    OFFER,
    USERS,
    WEBSOCKETS,
    Phone,
    Stage,
    ending,
    next_event,
    until,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

INSTANCE = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
ADDRESS = NameAddr("", Uri("sip", "10086", host="127.0.0.1"))


async def named(stage: Stage, kind: TransportKind) -> Phone:
    """6001's phone, which asks for outbound and for a GRUU."""
    phone = await stage.phone("6001", kind)
    registration = phone.agent.register(
        Account(
            name="6001",
            aor=Uri("sip", "6001", host="127.0.0.1"),
            credentials=phone.credentials(),
            registrar=stage.registrar(kind),
            connection="server" if kind in WEBSOCKETS else None,
            tls=phone.tls,
            instance=INSTANCE,
            gruu=True,
        )
    )
    await phone.registration_event()
    await until(stage.server.registrations(), object)
    phone.registration = registration
    return phone


def gruu_of(registration: Registration | None) -> Uri:
    assert registration is not None
    gruu = registration._usage.gruu
    assert gruu is not None
    return gruu


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_that_is_called_by_its_gruu_rings_alone(stage: Stage, kind: TransportKind):
    phone = await named(stage, kind)
    other = await (await stage.phone("6001", TransportKind.UDP)).registered()
    assert len(stage.targets("6001")) == 2
    user, instance = stage.server.resolve(gruu_of(phone.registration)) or ("", None)
    (place,) = stage.server.targets(user, instance)
    stage.server.invite(
        InviteRequest(target=place.uri, from_=ADDRESS, to=ADDRESS, sdp=OFFER, flow=place.flow)
    )
    assert (await phone.invitation()).remote.uri.user == "10086"
    stage.call("6001")  # the other one, which registered last: its first call
    assert (await other.invitation()).call_id != ""
    assert len(other.agent._invitations._letters) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_goes_on_with_who_names_itself_by_its_gruu(stage: Stage, kind: TransportKind):
    """Its host is ours, so what comes later in the call must find the phone otherwise."""
    phone = await named(stage, kind)
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    contacts = offered.request.contacts
    assert contacts is not STAR
    assert contacts[0].uri == gruu_of(phone.registration)
    offered.accept(ANSWER)
    assert isinstance(await next_event(offered), Confirmed)
    offered.bye()
    assert (await ending(dialled)).by_remote


async def test_a_call_goes_on_over_the_next_connection_of_who_names_itself_by_its_gruu(
    stage: Stage,
):
    phone = await named(stage, TransportKind.WS)
    dialled = phone.dial("10086")
    offered = await stage.invitation()
    offered.accept(ANSWER)
    assert isinstance(await next_event(offered), Confirmed)
    client = phone.agent._clients["server"]
    assert client._connection is not None
    await client._connection.close()
    await until(stage.server.registrations(), object)
    await until(stage.server.registrations(), object)
    offered.bye()
    assert (await ending(dialled)).by_remote


async def test_a_phone_behind_a_proxy_is_called_through_it(stage: Stage):
    """RFC 3327: the proxy put itself into Path, and is found in Route again."""
    async with RawClient(stage.udp_port) as proxy:
        host, port = proxy.transport.address
        path = f"<sip:edge@{host}:{port};lr;ob>"
        headers = (f"Path: {path}", "Supported: path")
        answer = await proxy.authorised("REGISTER", "6001", USERS["6001"], headers=headers)
        assert answer.headers.get_all("Path") == [path]
        (place,) = stage.server.targets("6001")
        invitation = InviteRequest(
            target=place.uri,
            from_=ADDRESS,
            to=ADDRESS,
            sdp=OFFER,
            flow=place.flow,
            routes=place.routes,
        )
        stage.server.invite(invitation)
        invite = parse_message((await proxy.recorder.message())[0])
        assert isinstance(invite, Request)
        assert [str(hop) for hop in invite.routes] == [path]
        assert invite.uri == place.uri


async def test_a_phone_that_keeps_its_flow_alive_by_stun_is_answered(stage: Stage):
    """RFC 5626 §8: on the port of SIP."""
    async with RawClient(stage.udp_port) as client:
        client.send(binding_request(b"abcdefghijkl"))
        octets, _ = await client.recorder.message()
        assert seen_address(octets) == (b"abcdefghijkl", client.transport.address)
