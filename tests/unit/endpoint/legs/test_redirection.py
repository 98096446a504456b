"""Calls that are sent elsewhere by 3xx: whom they reach, and whom they may not (S12)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from endpoint.callcontrol.dialplan import Action, PlanInUse, Rule
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegDiverted,
    LegEvent,
    LegId,
    LegReleased,
    LegRole,
    MediaConfirmed,
    PlaceLeg,
    Side,
    TrunkUp,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings
from endpoint.legs.numbering import NumberRule
from endpoint.legs.peer import PeerSettings
from endpoint.legs.station import FileStation
from endpoint.legs.trunk import TrunkSettings
from endpoint.media import messages as m
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Progress, Registered
from tests.unit.endpoint.legs.fakes import Desk, FakeSession, far_answer

pytestmark = pytest.mark.unit

LEG = LegId("b")
WSS = Flow(TransportKind.WSS, "203.0.113.1", 8443, "account-1", 4)
REFUSED = LegReleased(LEG, Cause.UNREACHABLE, Side.NETWORK, 302, None, "Moved Temporarily")


@pytest.fixture
def leg_settings() -> LegSettings:
    return LegSettings(domain="example.test", shutdown_timeout_s=0.0, ring_timeout_s=60.0)


@pytest.fixture
def trunks() -> list[TrunkSettings]:
    peers = tuple(PeerSettings(Uri.parse(f"sip:192.0.2.{i};transport=tcp")) for i in (1, 2))
    rules = (NumberRule("0*"),)
    return [TrunkSettings("carrier", peers, outgoing=rules, liveness=None, first_response_s=60.0)]


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


def refusals(logs: list[Any]) -> list[str]:
    """Why redirections were not followed."""
    return [entry["reason"] for entry in logs if entry["event"] == "redirection refused"]


def place(
    device: str = "6002", *, calling: str = "6001", role: LegRole = LegRole.LINE, **facts: Any
) -> PlaceLeg:
    return PlaceLeg(LEG, InteractionId("i"), DeviceId(device), role, DeviceId(calling), **facts)


async def called(desk: Desk, **facts: Any) -> FakeSession:
    """6001, or whoever is said, calls 6002, whose telephone rings."""
    desk.server.add_phone("6002")
    desk.exchange.place(place(**facts))
    return await desk.session()


async def told(desk: Desk) -> LegEvent:
    """What is told next of the leg."""
    beside = TrunkUp | DeviceRegistered | MediaConfirmed
    while isinstance(event := await desk.next(), beside | LegDiverted):
        pass
    assert isinstance(event, LegAlerting | LegAnswered | LegReleased)
    return event


def redirect(session: FakeSession, *contacts: str, status: int = 302) -> None:
    places = tuple(NameAddr.parse(contact) for contact in contacts)
    session.end(status=status, reason_text="Moved Temporarily", contacts=places)


def target(session: FakeSession) -> str:
    assert session.invitation is not None
    return str(session.invitation.target)


async def answer(desk: Desk, session: FakeSession) -> None:
    assert session.invitation is not None
    session.tell(Answered(far_answer(session.invitation.sdp)))
    assert await told(desk) == LegAnswered(LEG)
    desk.exchange.release(LEG, Cause.NORMAL)
    await told(desk)
    await desk.settle()


# -- a telephone of ours ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:6003@example.test>",
        "<sip:6003@203.0.113.66:5099;transport=tcp;maddr=203.0.113.67?Route=%3Csip:x%3E>",
        "<tel:60-03>",
        "<sip:6003;phone-context=example.test@elsewhere.example>",
    ],
)
async def test_a_phone_of_ours_deflects_to_a_number_and_never_to_a_place(
    desk: Desk, contact: str
) -> None:
    """Call forwarding: whatever host it names, the number is reached where it is registered."""
    desk.server.add_phone("6003", host="198.51.100.33")
    first = await called(desk)
    first.tell(Progress(180, "Ringing"))
    assert await told(desk) == LegAlerting(LEG)
    redirect(first, contact)
    assert await desk.next() == LegDiverted(LEG, DeviceId("6003"))
    second = await desk.session()
    assert target(second) == "sip:6003@198.51.100.33"
    assert second.invitation is not None
    assert str(second.invitation.from_) == "<sip:6001@example.test>"
    second.tell(Progress(180, "Ringing"))
    assert await told(desk) == LegAlerting(LEG)
    await answer(desk, second)


async def test_early_media_of_who_deflects_is_heard_no_more(desk: Desk) -> None:
    desk.server.add_phone("6003")
    first = await called(desk)
    assert first.invitation is not None
    first.tell(Progress(183, "Session Progress", far_answer(first.invitation.sdp)))
    assert await told(desk) == LegAlerting(LEG, early_media=True)
    redirect(first, "<sip:6003@x>")
    assert await told(desk) == LegAlerting(LEG)
    await answer(desk, await desk.session())


async def test_a_deflection_to_a_station_without_a_phone_is_answered_there(desk: Desk) -> None:
    desk.exchange.set_station(
        FileStation(DeviceId("7000"), cadence=(m.Segment(frequencies_hz=[440], duration_ms=100),))
    )
    redirect(await called(desk, role=LegRole.STATION, calling="+4930"), "<sip:7000@x>")
    assert await told(desk) == LegAlerting(LEG)
    desk.exchange.answer(LEG)
    assert await told(desk) == LegAnswered(LEG)
    desk.exchange.release(LEG, Cause.NORMAL)
    await told(desk)
    await desk.settle()


async def test_a_deflection_goes_where_the_caller_could_dial_itself(desk: Desk) -> None:
    """6001 may dial outside by the trunk: so may who forwards its call."""
    redirect(await called(desk), "<sip:0301234@x>")
    second = await desk.session()
    assert re.fullmatch(r"sip:0301234@192\.0\.2\.[12];transport=tcp", target(second))
    await answer(desk, second)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"calling": "+4930999"}, "+4930999 may call devices of ours alone"),
        (
            {"calling": "0900123", "auto_answer": True},
            "a device that dials is not called elsewhere",
        ),
    ],
    ids=["outside caller", "own telephone of who dials"],
)
async def test_s12_nobody_else_is_led_outside(
    desk: Desk, logs: list[Any], facts: dict[str, Any], reason: str
) -> None:
    """A phone that forwards to a premium number must not make us pay for it."""
    redirect(await called(desk, role=LegRole.STATION, **facts), "<sip:0900123@x>")
    assert await told(desk) == REFUSED
    await desk.settle()
    assert desk.server.sessions.empty()
    assert refusals(logs) == [reason]


@pytest.mark.parametrize(
    "contact", ["<sip:example.test>", "<mailto:6003@example.test>", "<sip:60%0d%0a03@x>"]
)
async def test_what_names_no_number_is_not_followed(desk: Desk, contact: str) -> None:
    redirect(await called(desk), contact)
    assert await told(desk) == REFUSED
    await desk.settle()


async def test_an_unknown_number_is_told_as_such(desk: Desk) -> None:
    redirect(await called(desk), "<sip:60999@x>", "<sip:7777@x>")
    event = await told(desk)
    assert isinstance(event, LegReleased)
    assert (event.cause, event.sip_status) == (Cause.NOT_REGISTERED, 480)
    await desk.settle()


async def test_s12_a_ring_of_deflections_is_broken(desk: Desk, logs: list[Any]) -> None:
    desk.server.add_phone("6003")
    redirect(await called(desk), "<sip:6003@x>")
    redirect(await desk.session(), "<sip:6002@x>")
    assert await told(desk) == REFUSED
    await desk.settle()
    assert refusals(logs) == ["the call has been there"]


async def test_s12_after_three_redirections_it_is_enough(desk: Desk, logs: list[Any]) -> None:
    for i in range(3, 8):
        desk.server.add_phone(f"600{i}")
    redirect(await called(desk), "<sip:6003@x>")
    for i in range(4, 7):
        redirect(await desk.session(), f"<sip:600{i}@x>")
    assert await told(desk) == REFUSED
    await desk.settle()
    assert desk.server.sessions.empty()
    assert refusals(logs) == ["calls.maximum_redirections is 3"]


async def test_other_phones_of_the_device_ring_on(desk: Desk) -> None:
    """One of two phones forwards: the person may still take the other one."""
    desk.server.add_phone("6002", host="198.51.100.2")
    first = await called(desk)
    second = await desk.session()
    desk.server.add_phone("6003")
    redirect(first, "<sip:6003@x>")
    second.end(status=486, reason_text="Busy")
    await answer(desk, await desk.session())


async def test_a_refusal_for_all_is_the_end(desk: Desk) -> None:
    desk.server.add_phone("6002", host="198.51.100.2")
    first = await called(desk)
    second = await desk.session()
    redirect(first, "<sip:6003@x>")
    second.end(status=603, reason_text="Decline")
    event = await told(desk)
    assert isinstance(event, LegReleased)
    assert event.cause is Cause.DECLINED
    await desk.settle()


async def test_who_gives_up_while_it_is_sent_elsewhere_rings_nobody(desk: Desk) -> None:
    first = await called(desk)
    desk.server.add_phone("6003")
    redirect(first, "<sip:6003@x>")
    desk.exchange.release(LEG, Cause.CANCELLED)
    event = await told(desk)
    assert isinstance(event, LegReleased)
    await desk.settle()
    assert desk.server.sessions.empty()


async def test_who_gives_up_after_it_was_sent_elsewhere_is_heard_there(desk: Desk) -> None:
    first = await called(desk)
    desk.server.add_phone("6003")
    redirect(first, "<sip:6003@x>")
    second = await desk.session()
    desk.exchange.release(LEG, Cause.CANCELLED)
    assert await second.until("hang_up") == ("hang_up", 487, 16)
    assert await told(desk) == LegReleased(LEG, Cause.CANCELLED, Side.ENDPOINT)
    await desk.settle()


# -- outside ------------------------------------------------------------------------------------


async def outside(desk: Desk) -> FakeSession:
    """6001 dials 10086 by its account at pbx.example."""
    desk.exchange.register(
        AccountSettings(
            DeviceId("6001"),
            uri="sip:6001@pbx.example",
            server="wss://pbx.example:8443/sip",
            username="6001",
            password="secret",
        )
    )
    registration = desk.server.user_agent.registrations[-1]
    registration.flow = WSS
    contact = Uri("sip", "6001", host="x.invalid")
    desk.server.user_agent.events.put(Registered(registration.account, contact, 300))
    while not isinstance(await desk.next(), DeviceRegistered):
        pass
    desk.exchange.place(place("10086"))
    return await desk.session()


async def test_a_server_outside_redirects_within_its_own_hosts(desk: Desk) -> None:
    """By the same connection, as who we are there; without the orders that a contact may hold."""
    first = await outside(desk)
    redirect(first, "<sip:10087@pbx.example;maddr=203.0.113.67?Route=%3Csip:x%3E>")
    second = await desk.session()
    assert target(second) == "sip:10087@pbx.example"
    assert second.invitation is not None
    assert second.invitation.flow == WSS
    assert second.invitation.credentials is not None
    assert str(second.invitation.to) == "<sip:10086@pbx.example>"
    second.end(status=486, reason_text="Busy")
    await told(desk)
    await desk.settle()


async def test_contacts_are_tried_one_after_the_other(desk: Desk) -> None:
    """300 Multiple Choices; the most wanted comes first (see `Ended.contacts`)."""
    first = await outside(desk)
    redirect(first, *(f"<sip:1{i}@pbx.example>" for i in range(5)), status=300)
    for i in range(3):
        session = await desk.session()
        assert target(session) == f"sip:1{i}@pbx.example"
        session.end(status=486, reason_text="Busy")
    event = await told(desk)
    assert isinstance(event, LegReleased)
    assert event.cause is Cause.BUSY
    await desk.settle()


@pytest.mark.parametrize(
    "contact",
    ["<sip:10087@evil.example>", "<sip:10086@pbx.example>", "<tel:+49900>", "<sip:x@203.0.113.1>"],
)
async def test_s12_a_server_outside_leads_to_no_other_host_and_not_round(
    desk: Desk, logs: list[Any], contact: str
) -> None:
    redirect(await outside(desk), contact)
    assert await told(desk) == REFUSED
    await desk.settle()
    assert len(refusals(logs)) == 1


async def trunk_call(desk: Desk) -> tuple[FakeSession, str]:
    """6001 dials by the trunk; its session, and the peer that was not asked."""
    desk.exchange.place(place("0301234"))
    session = await desk.session()
    return session, "192.0.2.2" if "192.0.2.1" in target(session) else "192.0.2.1"


async def test_a_trunk_redirects_to_its_other_host(desk: Desk) -> None:
    """By the transport that the trunk is reached by, whatever the contact says."""
    first, other = await trunk_call(desk)
    redirect(first, f"<sip:0309999@{other}:5071;transport=udp>")
    second = await desk.session()
    assert target(second) == f"sip:0309999@{other}:5071;transport=tcp"
    await answer(desk, second)


async def test_early_media_is_heard_where_the_trunk_led_and_no_more_where_it_came_from(
    desk: Desk,
) -> None:
    first, other = await trunk_call(desk)
    assert first.invitation is not None
    first.tell(Progress(183, "Session Progress", far_answer(first.invitation.sdp)))
    assert await told(desk) == LegAlerting(LEG, early_media=True)
    redirect(first, f"<sip:0309999@{other}>")
    assert await told(desk) == LegAlerting(LEG)
    second = await desk.session()
    assert second.invitation is not None
    second.tell(Progress(183, "Session Progress", far_answer(second.invitation.sdp)))
    assert await told(desk) == LegAlerting(LEG, early_media=True)
    await answer(desk, second)


@pytest.mark.parametrize("user", ["900123@", "+4930@", ""])
async def test_s12_a_trunk_leads_to_no_number_that_it_does_not_take(
    desk: Desk, logs: list[Any], user: str
) -> None:
    first, other = await trunk_call(desk)
    redirect(first, f"<sip:{user}{other}>")
    assert await told(desk) == REFUSED
    await desk.settle()
    assert refusals(logs) == ["the line takes no such number"]


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:0900123@example.test>",
        "<sip:0900-123@example.test>",
        "<sip:%30900.123;user=phone@elsewhere.example>",
        "<sip:%2B49900123@example.test>",
        "<sip:0049900123;isub=1@example.test?Route=%3Csip:x%3E>",
        "<tel:0900(123)>",
        "<tel:900123;phone-context=+49>",
        "<sip:900-123;phone-context=%2B49@example.test>",
    ],
)
async def test_s12_a_phone_sends_no_call_to_a_number_that_is_refused(
    desk: Desk, plan: PlanInUse, logs: list[Any], contact: str
) -> None:
    """And the call ends for that, which its record says."""
    plan.plan = replace(plan.plan, refused=("0900*", "+49900*"))
    session = await called(desk)
    redirect(session, contact)
    end = await told(desk)
    assert isinstance(end, LegReleased)
    assert (end.cause, end.released_by) == (Cause.NUMBER_REFUSED, Side.ENDPOINT)
    assert "plan.refused" in end.text
    (why,) = refusals(logs)
    assert "plan.refused" in why


async def test_s12_a_trunk_leads_to_no_number_that_is_refused(
    desk: Desk, plan: PlanInUse, logs: list[Any]
) -> None:
    plan.plan = replace(plan.plan, refused=("09*",))
    first, other = await trunk_call(desk)
    redirect(first, f"<sip:0900123@{other}>")
    assert await told(desk) == REFUSED
    await desk.settle()
    assert refusals(logs) == ["0900123 is 09* of plan.refused"]


async def test_a_phone_may_deflect_to_what_a_rule_means(desk: Desk, plan: PlanInUse) -> None:
    """Also of an outside caller, who is let to devices of ours alone."""
    operator = Rule("operator", "9", Action.DEVICE, device="6003")
    plan.plan = replace(plan.plan, rules=(operator,))
    desk.server.add_phone("6003", host="198.51.100.33")
    session = await called(desk, calling="+4989", role=LegRole.STATION)
    redirect(session, "<sip:9@example.test>")
    second = await desk.session()
    assert "198.51.100.33" in target(second)
    await answer(desk, second)
