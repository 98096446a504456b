"""Phones register and are called over IPv6, by every transport; addresses stand in brackets."""

from __future__ import annotations

import ssl

import pytest

from signaling.server import SipServer, SipServerConfig
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.transport.layer import TransportLayer, TransportSettings
from signaling.transport.tls import TlsPolicy
from signaling.user_agent import Account, Answered, InviteRequest, Registered, UserAgent
from tests.integration.signaling.stage import (
    ANSWER,
    OFFER,
    REALM,
    USERS,
    StaticCredentials,
    ending,
    next_event,
    within,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


@pytest.mark.parametrize("kind", TransportKind)
async def test_a_phone_registers_and_is_called(
    kind: TransportKind,
    ipv6_loopback: str,
    server_context: ssl.SSLContext,
    trusting_context: ssl.SSLContext,
) -> None:
    async with (
        SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as server,
        UserAgent() as phone,
    ):
        connection = None
        match kind:
            case TransportKind.UDP:
                _, port = await server.listen_udp(ipv6_loopback, 0)
                await phone.listen_udp(ipv6_loopback, 0)
                registrar = Uri.parse(f"sip:[::1]:{port}")
            case TransportKind.TCP:
                _, port = await server.listen_tcp(ipv6_loopback, 0)
                registrar = Uri.parse(f"sip:[::1]:{port};transport=tcp")
            case TransportKind.TLS:
                _, port = await server.listen_tls(ipv6_loopback, 0, server_context)
                registrar = Uri.parse(f"sips:[::1]:{port}")
            case TransportKind.WS | TransportKind.WSS:
                secure = server_context if kind.secure else None
                _, port = await server.listen_websocket(ipv6_loopback, 0, ssl_context=secure)
                connection, registrar = "server", Uri.parse("sip:[::1]")
                url = f"{kind.lower()}://[::1]:{port}/sip"
                phone.connect(connection, url, trusting_context if kind.secure else None)
        phone.register(
            Account(
                name="6001",
                aor=Uri.parse("sip:6001@[::1]"),
                credentials=DigestCredentials("6001", password=USERS["6001"]),
                registrar=registrar,
                connection=connection,
                tls=TlsPolicy(trusting_context),
            )
        )
        assert isinstance(await within(phone.registration_events()), Registered)
        (address,) = server.targets("6001")
        target, flow = address.uri, address.flow
        assert (flow.transport, flow.host) == (kind, "::1")
        if connection is None:
            assert f"@[::1]:{target.port}" in str(target)
        placed = server.invite(
            InviteRequest(
                target=target,
                from_=NameAddr("", Uri.parse("sip:10086@[::1]")),
                to=NameAddr("", Uri.parse("sip:6001@[::1]")),
                sdp=OFFER,
                flow=flow,
            )
        )
        ringing = await within(phone.invitations())
        ringing.accept(ANSWER)
        assert await next_event(placed) == Answered(ANSWER)
        ringing.bye()
        assert (await ending(placed)).by_remote


async def test_who_comes_by_another_family_is_told_an_address_of_its_own(
    ipv6_loopback: str,
) -> None:
    async with UserAgent() as agent:
        layer = TransportLayer(
            agent, TransportSettings(advertised_host="192.0.2.7"), agent.config.random
        )
        await layer.listen_udp("127.0.0.1", 0)
        _, port = await layer.listen_udp(ipv6_loopback, 0)
        ipv4 = await layer.flow_to(Uri.parse("sip:127.0.0.1"))
        ipv6 = await layer.flow_to(Uri.parse("sip:[::1]"))
        assert layer.local_uri(ipv4, "me").host == "192.0.2.7"
        assert str(layer.local_uri(ipv6, "me")) == f"sip:me@[::1]:{port}"
        await layer.close()
