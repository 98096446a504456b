"""Phones register with the server over real sockets: UDP, WS and WSS behave alike."""

from __future__ import annotations

import ssl

import pytest
import trustme

from signaling import registrar
from signaling.errors import CertificateRefused, LocalProtocolError, TransportError
from signaling.server import SipServer, SipServerConfig
from signaling.sip.flow import TransportKind
from signaling.sip.uri import Uri
from signaling.user_agent import (
    Account,
    Registered,
    RegistrationFailed,
    RegistrationState,
    Unregistered,
)
from tests.integration.signaling.stage import (
    KINDS,
    REALM,
    STREAMS,
    Phone,
    Stage,
    StaticCredentials,
    until,
    within,
)

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

SOCKETS = (TransportKind.WS, TransportKind.WSS)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_registers_and_can_be_reached(stage: Stage, kind: TransportKind):
    phone = await stage.phone("6001", kind)
    phone.register(expires_s=600)
    event = await phone.registration_event()
    assert isinstance(event, Registered)
    assert event.expires_s == 600
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Registered)
    assert (heard.binding.user, heard.binding.flow.transport) == ("6001", kind)
    ((target, flow),) = stage.targets("6001")
    assert target.user == "6001"
    if kind is TransportKind.UDP:
        assert (flow.host, flow.port) == (target.host, target.port)
        assert target.host == "127.0.0.1"
        return
    assert flow == heard.binding.flow
    if kind.is_stream:
        assert (flow.host, flow.port) == (target.host, target.port)
        assert target.parameter("transport") == kind.lower()
    else:
        assert target.host.endswith(".invalid")
        assert target.parameter("transport") == "ws"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", ["6001", "nobody"])
async def test_wrong_password_and_unknown_user_are_refused_alike_and_for_good(stage, kind, user):
    phone = await stage.phone(user, kind)
    phone.register(password="guess")
    event = await phone.registration_event()
    assert isinstance(event, RegistrationFailed)
    assert (event.status, event.fatal, event.error) == (401, True, None)
    assert stage.targets(user) == []


async def test_s15_calls_of_an_account_answer_its_registrar_s_realm_alone(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    registration = phone.register()
    assert registration.credentials is None, "not asked for yet"
    await phone.registration_event()
    assert registration.account.credentials.realm is None
    assert registration.credentials is not None
    assert registration.credentials.realm == REALM


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_takes_its_binding_back(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    assert phone.registration is not None
    phone.registration.unregister()
    assert isinstance(await phone.registration_event(), Unregistered)
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    assert heard.loss is registrar.Loss.REMOVED
    assert stage.targets("6001") == []


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_a_user_agent_takes_its_bindings_back(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    await phone.leave()
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    assert heard.loss is registrar.Loss.REMOVED


@pytest.mark.parametrize("kind", KINDS)
async def test_whoever_is_a_user_no_more_has_nothing_registered(stage, kind):
    await (await stage.phone("6001", kind)).registered()
    await (await stage.phone("6002", kind)).registered()
    stage.server.forget("6001")
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    assert (heard.binding.user, heard.loss) == ("6001", registrar.Loss.WITHDRAWN)
    assert stage.targets("6001") == []
    assert len(stage.targets("6002")) == 1


async def test_a_user_has_as_many_phones_as_register(stage):
    for kind in KINDS:
        await (await stage.phone("6001", kind)).registered()
    kinds = {binding.flow.transport for binding in stage.server.bindings("6001")}
    assert kinds == set(KINDS)


async def test_an_expiry_that_is_too_brief_is_raised_as_the_server_asks(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    phone.register(expires_s=5)
    event = await phone.registration_event()
    assert isinstance(event, Registered)
    assert event.expires_s == 60


@pytest.mark.parametrize("kind", SOCKETS)
async def test_a_lost_socket_unregisters_its_phone(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    client = phone.agent._clients["server"]
    assert client._connection is not None
    await client._connection.close()
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    assert heard.loss is registrar.Loss.CONNECTION_LOST


async def test_after_a_restart_of_the_server_a_phone_comes_back_by_itself(stage, unused_tcp_port):
    def another() -> SipServer:
        return SipServer(SipServerConfig(realm=REALM), StaticCredentials())

    async with another() as first:
        await first.listen_websocket("127.0.0.1", unused_tcp_port)
        stage.ws_port = unused_tcp_port
        phone = await stage.phone("6001", TransportKind.WS)
        registration = phone.register()
        assert isinstance(await phone.registration_event(), Registered)
    assert isinstance(await phone.registration_event(), RegistrationFailed)
    async with another() as second:
        await second.listen_websocket("127.0.0.1", unused_tcp_port)
        await until(phone.agent.registration_events(), Registered)
        assert registration.state is RegistrationState.REGISTERED
        assert len(second.targets("6001")) == 1


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_lost_connection_is_made_anew_and_the_old_contact_is_taken_back(stage, kind):
    phone = await (await stage.phone("6001", kind)).registered()
    ((_, before),) = stage.targets("6001")
    stage.cut(before)
    events = stage.server.registrations()
    heard = await within(events)
    assert isinstance(heard, registrar.Unregistered)
    assert heard.loss is registrar.Loss.CONNECTION_LOST
    await until(phone.agent.registration_events(), RegistrationFailed)
    await until(events, registrar.Registered)
    ((target, after),) = stage.targets("6001")
    assert after != before
    assert target.port == after.port
    await until(phone.agent.registration_events(), Registered)


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_refused_connection_is_tried_again_until_the_server_is_there(
    stage, kind, unused_tcp_port
):
    port = unused_tcp_port
    if kind is TransportKind.TCP:
        stage.tcp_port = port
    else:
        stage.tls_port = port
    phone = await stage.phone("6001", kind)
    phone.register()
    event = await phone.registration_event()
    assert isinstance(event, RegistrationFailed)
    assert "refused" in event.text
    async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as server:
        if kind is TransportKind.TCP:
            await server.listen_tcp("127.0.0.1", port)
        else:
            await server.listen_tls("127.0.0.1", port, stage.server_context)
        assert isinstance(await phone.registration_event(), Registered)


@pytest.mark.parametrize("kind", [TransportKind.WSS, TransportKind.TLS])
async def test_a_certificate_that_is_not_trusted_is_named_as_the_cause(stage, kind):
    phone = await stage.phone("6001", kind, ssl_context=ssl.create_default_context())
    phone.register()
    event = await phone.registration_event()
    assert isinstance(event, RegistrationFailed)
    assert isinstance(event.error, CertificateRefused)
    assert (event.status, event.fatal) == (None, False)


async def test_a_server_that_is_not_there_is_named_as_the_cause(stage, unused_tcp_port):
    stage.ws_port = unused_tcp_port
    phone = await stage.phone("6001", TransportKind.WS)
    phone.register()
    event = await phone.registration_event()
    assert isinstance(event, RegistrationFailed)
    assert isinstance(event.error, TransportError)
    assert not isinstance(event.error, CertificateRefused)
    assert (event.status, event.fatal) == (None, False)


async def test_a_registrar_that_does_not_resolve_is_named_as_the_cause(stage):
    phone = await stage.phone("6001", TransportKind.UDP)
    phone.agent.register(
        Account(
            name="6001",
            aor=Uri("sip", "6001", host="no-such-host.invalid"),
            credentials=phone.credentials(),
        )
    )
    event = await phone.registration_event()
    assert isinstance(event, RegistrationFailed)
    assert "no-such-host.invalid" in event.text
    assert (event.status, event.fatal) == (None, False)
    assert isinstance(event.error, TransportError)


async def test_an_account_needs_its_connection(stage):
    phone = await stage.phone("6001", TransportKind.WS)
    await phone.agent.disconnect("server")
    await phone.agent.disconnect("server")
    with pytest.raises(LocalProtocolError, match="server"):
        phone.register()


async def test_the_name_of_a_closed_connection_is_free_again(stage):
    phone = await (await stage.phone("6001", TransportKind.WS)).registered()
    await phone.agent.disconnect("server")
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Unregistered)
    phone.agent.connect("server", f"ws://127.0.0.1:{stage.ws_port}/sip")
    heard = await within(stage.server.registrations())
    assert isinstance(heard, registrar.Registered)
    with pytest.raises(LocalProtocolError):
        phone.agent.connect("server", f"ws://127.0.0.1:{stage.ws_port}/sip")


async def test_a_certificate_that_is_rotated_is_taken_and_one_of_a_stranger_is_not(
    stage: Stage, authority: trustme.CA, unused_tcp_port: int
) -> None:
    """The server comes back each time with another: of its CA, of a stranger, of its CA again."""
    stage.wss_port = unused_tcp_port
    phone: Phone | None = None
    for issuer in (authority, authority, trustme.CA(), authority):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert("127.0.0.1").configure_cert(context)
        async with SipServer(SipServerConfig(realm=REALM), StaticCredentials()) as server:
            await server.listen_websocket("127.0.0.1", unused_tcp_port, ssl_context=context)
            if phone is None:
                phone = await stage.phone("6001", TransportKind.WSS)
                phone.register()
            events = phone.agent.registration_events()
            if issuer is authority:
                await until(events, Registered)
                assert len(server.targets("6001")) == 1
            else:
                failed = await until(events, RegistrationFailed)
                while not isinstance(failed.error, CertificateRefused):  # first it was not there
                    failed = await until(events, RegistrationFailed)
                assert server.targets("6001") == []
