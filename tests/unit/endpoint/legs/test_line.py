"""Outside accounts, as lines and as registrations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from endpoint.callcontrol.dialplan import PlanInUse
from endpoint.legs.audio_end import Protection
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    DigitKind,
    InteractionId,
    LegId,
    LegReleased,
    LegRole,
    PlaceLeg,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings
from endpoint.media import messages as m
from signaling.errors import CertificateRefused, SipParseError
from signaling.registrar import Binding, Expired, Loss
from signaling.registrar import Registered as Bound
from signaling.registrar import Unregistered as Unbound
from signaling.sdp.description import SessionDescription
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Registered, RegistrationFailed, Unregistered
from tests.unit.endpoint.legs.fakes import (
    BROWSERS_FLOW,
    FLOW,
    Desk,
    FakeRegistration,
    FakeSession,
    far_offer,
)

pytestmark = pytest.mark.unit

DEVICE = DeviceId("6002")
WSS = Flow(TransportKind.WSS, "203.0.113.1", 8443, "account-1", 4)


def account(**changes: Any) -> AccountSettings:
    facts = {
        "device": DEVICE,
        "uri": "sip:6002@pbx.example",
        "server": "wss://pbx.example:8443/sip",
        "username": "6002",
        "password": "secret",
        **changes,
    }
    return AccountSettings(**facts)


async def registered(desk: Desk, flow: Flow = WSS, **changes: Any) -> FakeRegistration:
    desk.exchange.register(account(**changes))
    registration = desk.server.user_agent.registrations[-1]
    registration.flow = flow
    contact = Uri("sip", "6002", host="x.invalid")
    desk.server.user_agent.events.put(Registered(registration.account, contact, 300))
    event = await desk.next()
    assert event == DeviceRegistered(DEVICE, "sip:6002@x.invalid", 300, "pbx.example")
    return registration


def place(device: str, calling: str, role: LegRole = LegRole.LINE) -> PlaceLeg:
    return PlaceLeg(LegId("b"), InteractionId("i"), DeviceId(device), role, DeviceId(calling))


async def test_an_account_registers_over_its_own_websocket(desk: Desk) -> None:
    registration = await registered(desk)
    said = registration.account
    assert desk.server.user_agent.connections == {said.name: "wss://pbx.example:8443/sip"}
    assert said.connection == said.name
    assert said.registrar is None
    assert said.credentials.password == "secret"


async def test_an_account_over_udp_names_its_registrar(desk: Desk) -> None:
    registration = await registered(desk, FLOW, server="sip:192.0.2.7:5070")
    assert desk.server.user_agent.connections == {}
    assert registration.account.connection is None
    assert str(registration.account.registrar) == "sip:192.0.2.7:5070"


async def test_addresses_that_are_none_are_refused(desk: Desk) -> None:
    with pytest.raises(SipParseError):
        desk.exchange.register(account(uri="6002"))
    with pytest.raises(SipParseError):
        desk.exchange.register(account(server="pbx.example:5060"))
    assert not desk.server.user_agent.registrations


async def test_who_has_an_account_calls_through_it(desk: Desk) -> None:
    await registered(desk, display_name="Agent Two")
    desk.exchange.place(place("95588", DEVICE))
    session = await desk.session()
    said = session.invitation
    assert said is not None
    assert str(said.target) == "sip:95588@pbx.example"
    assert str(said.from_) == '"Agent Two" <sip:6002@pbx.example>'
    assert said.flow == WSS
    assert said.credentials is not None
    assert said.contact_user == "6002"
    session.end(status=486)
    await desk.next()


@pytest.mark.parametrize("realm", ["pbx", None])
async def test_s15_calls_of_an_account_prove_who_it_is_to_its_server_alone(
    desk: Desk, realm: str | None
) -> None:
    """To the realm that it was registered by; to nobody where it was not asked for anything."""
    (await registered(desk)).realm = realm
    desk.exchange.place(place("95588", DEVICE))
    session = await desk.session()
    assert session.invitation is not None
    said = session.invitation.credentials
    assert (said.realm if said is not None else None) == realm
    session.end(status=486)
    await desk.next()


@pytest.mark.parametrize(
    ("server", "media", "offered"),
    [
        ("wss://pbx.example:8443/sip", None, Protection.WEBRTC),
        ("ws://pbx.example/sip", None, Protection.WEBRTC),
        ("wss://pbx.example:8443/sip", Protection.RTP, Protection.RTP),
        ("wss://pbx.example:8443/sip", Protection.SRTP, Protection.SRTP),
    ],
)
async def test_audio_is_offered_as_the_account_says_or_as_its_server_is_reached(
    desk: Desk, server: str, media: Protection | None, offered: Protection
) -> None:
    await registered(desk, server=server, media=media)
    desk.exchange.place(place("95588", DEVICE))
    session = await desk.session()
    assert session.invitation is not None
    assert session.invitation.sdp is not None
    assert Protection.of(SessionDescription.parse(session.invitation.sdp)) is offered
    session.end(status=486)
    await desk.next()


class TestSecretPhones:
    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(telephone_media=Protection.SRTP, shutdown_timeout_s=0.0)

    async def test_phones_of_ours_are_offered_keys_where_it_is_asked_for(self, desk: Desk) -> None:
        desk.server.add_phone("10086")
        desk.server.add_phone("10086", flow=BROWSERS_FLOW)
        desk.exchange.place(place("10086", DEVICE))
        offered = []
        for session in [await desk.session(), await desk.session()]:
            assert session.invitation is not None
            assert session.invitation.sdp is not None
            offered.append(Protection.of(SessionDescription.parse(session.invitation.sdp)))
            session.end(status=486)
        assert offered == [Protection.SRTP, Protection.WEBRTC]
        await desk.next()


async def test_digits_go_as_the_account_says(desk: Desk) -> None:
    await registered(desk, FLOW, server="sip:192.0.2.7", digits=DigitKind.INFO)
    desk.exchange.place(place("95588", DEVICE))
    session = await desk.session()
    assert session.invitation is not None
    assert b"telephone-event" not in (session.invitation.sdp or b"")
    (opened,) = desk.media.all(m.OpenRtpPort)
    assert not opened.relays_digits
    session.end(status=486)
    await desk.next()


def test_a_server_that_is_reached_by_udp_is_offered_rtp() -> None:
    account = AccountSettings(DEVICE, "sip:6002@pbx.example", "sip:pbx.example", "6002")
    assert account.protection is Protection.RTP


async def test_a_phone_of_ours_comes_before_the_account(desk: Desk) -> None:
    await registered(desk)
    desk.server.add_phone("6001")
    desk.exchange.place(place("6001", DEVICE))
    session = await desk.session()
    assert session.invitation is not None
    assert str(session.invitation.target) == "sip:6001@198.51.100.9"


async def test_others_do_not_call_through_it(desk: Desk) -> None:
    await registered(desk)
    desk.exchange.place(place("95588", "6001"))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.UNKNOWN_DEVICE


async def test_a_station_is_not_looked_for_outside(desk: Desk) -> None:
    await registered(desk)
    desk.exchange.place(place(DEVICE, DEVICE, LegRole.STATION))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.NOT_REGISTERED


@pytest.mark.parametrize(
    ("status", "error", "cause"),
    [
        (403, None, Cause.UNAUTHORISED),
        (401, None, Cause.UNAUTHORISED),
        (404, None, Cause.UNKNOWN_DEVICE),
        (None, None, Cause.UNREACHABLE),
        (None, CertificateRefused("self-signed"), Cause.CERTIFICATE_REFUSED),
    ],
)
async def test_a_registration_that_fails_is_told_once_and_calls_fail_for_its_reason(
    desk: Desk, status: int | None, error: CertificateRefused | None, cause: Cause
) -> None:
    desk.exchange.register(account())
    (registration,) = desk.server.user_agent.registrations
    failed = RegistrationFailed(registration.account, status, "No", fatal=False, error=error)
    desk.server.user_agent.events.put(failed)
    desk.server.user_agent.events.put(failed)
    event = await desk.next()
    assert isinstance(event, DeviceUnregistered)
    assert (event.device, event.cause, event.sip_status) == (DEVICE, cause, status)
    assert event.server == "pbx.example"
    desk.exchange.place(place("95588", DEVICE))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert (released.cause, released.sip_status) == (cause, status)


async def test_an_account_that_is_not_connected_yet_is_unreachable(desk: Desk) -> None:
    desk.exchange.register(account())
    desk.exchange.place(place("95588", DEVICE))
    released = await desk.next()
    assert isinstance(released, LegReleased)
    assert released.cause is Cause.UNREACHABLE


async def test_a_call_to_the_account_is_a_call_of_its_device(desk: Desk) -> None:
    registration = await registered(desk, device=DEVICE, uri="sip:agent-two@pbx.example")
    session = FakeSession(caller="95588", called="agent-two", sdp=far_offer(), flow=WSS)
    event = await desk.offered(session)
    assert (event.calling, event.called, event.role) == ("95588", DEVICE, LegRole.LINE)
    assert registration.account.aor.user == "agent-two"


async def test_an_account_is_replaced_and_taken_back(desk: Desk) -> None:
    first = await registered(desk)
    second = await registered(desk, password="new")
    assert first.taken_back
    events = desk.server.user_agent.events
    events.put(Unregistered(first.account))  # the old one: the device is registered still
    desk.exchange.unregister(DEVICE)
    assert second.taken_back
    events.put(Unregistered(second.account))
    assert await desk.next() == DeviceUnregistered(DEVICE, Cause.NORMAL, None, "pbx.example")
    assert desk.server.user_agent.connections == {}


def binding(user: str) -> Binding:
    contact = NameAddr("", Uri("sip", user, host="198.51.100.9"))
    return Binding(user, contact, "c", 1, 0.0, FLOW, 1.0)


async def test_phones_of_ours_come_and_go(desk: Desk) -> None:
    events = desk.server.events
    events.put(Bound(binding("6001"), 60, refreshed=False))
    assert await desk.next() == DeviceRegistered(DeviceId("6001"), "sip:6001@198.51.100.9", 60)
    events.put(Bound(binding("6001"), 60, refreshed=True))
    events.put(Unbound(binding("6001"), Loss.CONNECTION_LOST))
    event = await desk.next()
    assert isinstance(event, DeviceUnregistered)
    assert event.cause is Cause.UNREACHABLE
    desk.server.add_phone("6003")
    events.put(Unbound(binding("6003"), Loss.REMOVED))  # one of two phones
    events.put(Expired(binding("6001")))
    event = await desk.next()
    assert isinstance(event, DeviceUnregistered)
    assert (event.device, event.cause) == ("6001", Cause.NOT_REGISTERED)


async def test_a_phone_that_is_registered_by_an_emergency_number_is_not_called(
    desk: Desk, plan: PlanInUse
) -> None:
    desk.server.add_phone("112")
    await registered(desk)
    plan.plan = replace(plan.plan, emergency=("112",))
    desk.exchange.place(place("112", "6002"))
    session = await desk.session()
    assert session.invitation is not None
    assert str(session.invitation.target) == "sip:112@pbx.example"
    session.end(status=486)
    await desk.next()


async def test_who_is_in_need_is_called_out_by_his_account_where_there_is_no_trunk(
    desk: Desk, plan: PlanInUse
) -> None:
    """Whatever number he asks to be shown."""
    await registered(desk)
    plan.plan = replace(plan.plan, emergency=("112",), refused=("*",))
    asked = replace(place("112", "6002"), calling_number="+4989", withheld=True)
    desk.exchange.place(asked)
    session = await desk.session()
    assert session.invitation is not None
    assert str(session.invitation.target) == "sip:112@pbx.example"
    assert str(session.invitation.from_) == "<sip:6002@pbx.example>"
    session.end(status=486)
    end = await desk.next()
    assert isinstance(end, LegReleased)
    assert end.cause is Cause.BUSY
