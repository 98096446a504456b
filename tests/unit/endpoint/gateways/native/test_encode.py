from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from endpoint.callcontrol.events import DigitsGenerated
from endpoint.callcontrol.model import (
    Call,
    CallDirection,
    CallId,
    Connection,
    ConnectionState,
    Interaction,
    Leg,
    LegProgress,
    Participation,
)
from endpoint.gateways.native.encode import encode_call, encode_fields, encode_registration
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    InteractionId,
    LegId,
    LegRole,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
CALL = Call(
    id=CallId("i-1"),
    direction=CallDirection.OUTBOUND,
    calling=AGENT,
    called=CUSTOMER,
    started_at=NOON,
    established_at=NOON,
    connections=(
        Connection(AGENT, LegRole.STATION, LegId("i.1"), ConnectionState.HOLD),
        Connection(CUSTOMER, LegRole.LINE, LegId("i.2"), ConnectionState.CONNECTED),
    ),
)
INTERACTION = Interaction(
    InteractionId("i"),
    calls=(CALL,),
    legs=(
        Leg(LegId("i.1"), AGENT, LegRole.STATION, LegProgress.UP),
        Leg(LegId("i.2"), CUSTOMER, LegRole.LINE, LegProgress.UP),
    ),
)


def test_commands_are_offered_for_devices_of_ours_alone():
    parties = encode_call(INTERACTION, CALL, {AGENT}).parties

    assert [(party.device, party.state, party.commands) for party in parties] == [
        (
            "6001",
            "hold",
            [
                "AssociateData",
                "ClearCall",
                "ClearConnection",
                "ConsultationCall",
                "ParkCall",
                "RetrieveCall",
                "SetMicrophoneMute",
                "SingleStepConference",
                "SingleStepTransfer",
                "StartRecording",
            ],
        ),
        ("10086", "connected", []),
    ]


def test_commands_about_two_calls_are_offered_in_two_calls():
    (agent, _) = encode_call(INTERACTION, CALL, {AGENT}, {AGENT}).parties

    assert {"AlternateCall", "ReconnectCall", "ConferenceCall", "TransferCall"} < set(
        agent.commands
    )
    assert "ConsultationCall" not in agent.commands


def test_whom_each_party_hears_is_what_is_routed_to_it():
    agent, customer = CALL.connections
    talking = replace(
        CALL,
        connections=(
            replace(agent, state=ConnectionState.CONNECTED, muted=True),
            customer,
            Connection(
                DeviceId("7001"),
                LegRole.STATION,
                LegId("i.3"),
                ConnectionState.CONNECTED,
                participation=Participation.WHISPER,
                beside=agent.leg,
            ),
        ),
    )
    legs = (
        *INTERACTION.legs,
        Leg(LegId("i.3"), DeviceId("7001"), LegRole.STATION, LegProgress.UP),
    )
    held = encode_call(INTERACTION, CALL, {AGENT}).parties
    supervised = encode_call(replace(INTERACTION, legs=legs), talking, {AGENT}).parties

    assert [party.hears for party in held] == [[], ["music"]]
    assert [(one.hears, one.muted, one.participation, one.beside) for one in supervised] == [
        (["10086", "7001"], True, "active", None),
        ([], False, "active", None),
        (["10086"], False, "whisper", "6001"),
    ]


def test_pressed_digits_are_masked():
    event = DigitsGenerated(
        interaction=InteractionId("i"),
        call=CALL.id,
        device=AGENT,
        state=ConnectionState.CONNECTED,
        calling=AGENT,
        called=CUSTOMER,
        digits="1234",
    )

    assert "1234" not in str(encode_fields(event))


def test_a_registration_says_where_or_why_not():
    here = encode_registration(DeviceRegistered(AGENT, "sip:6001@192.0.2.1", 600))
    gone = encode_registration(DeviceUnregistered(AGENT, Cause.UNAUTHORISED, 401, text="no"))

    assert (here.registered, here.contact, here.expires_s) == (True, "sip:6001@192.0.2.1", 600)
    assert (gone.registered, gone.cause, gone.sip_status) == (False, "unauthorised", 401)
