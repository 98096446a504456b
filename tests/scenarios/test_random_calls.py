"""Random call control: several calls at once, any command, any telephone doing anything.

After each action, who hears whom is what the calls' states say; at the end nothing is left, and
there is one record a call. One interaction alone is walked in `tests/unit`, in every detail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint.callcontrol import commands
from endpoint.callcontrol import events as told
from endpoint.callcontrol.model import CallId, Connection, ConnectionState, Participation
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk
from tests.virtual_time import run_virtual

pytestmark = pytest.mark.scenario

AGENTS = ("6001", "6002", "6003")
OUTSIDE = ("10086", "10010", "6002")

Draw = Callable[[st.SearchStrategy[str]], str]


def agree(desk: Desk) -> None:
    """Every party of every call hears exactly what the two states say."""
    for call in desk.controller.calls():
        parties = [each for each in call.connections if each.parked_by is None]
        parked = any(each.is_live for each in call.connections if each not in parties)
        legs = {each.leg: desk.exchange.legs[each.leg] for each in parties}
        up = {
            each.leg
            for each in parties
            if each.is_live and legs[each.leg].is_up and not legs[each.leg].is_over
        }
        early = {leg for leg, party in legs.items() if party.hears_early and not party.is_over}
        for me in parties:
            if me.leg not in up and not (me.is_live and me.leg in early):
                continue
            heard = desk.exchange.heard_on(me.leg)
            if any(each.beside is not None or each.muted for each in call.connections):
                continue  # said party by party in `tests/unit`
            if talks_elsewhere(desk, call.id, me):
                assert me.state is ConnectionState.HOLD
                continue
            others = [each for each in parties if each is not me]
            if me.state is ConnectionState.HOLD:
                assert heard == set()
                continue
            if parked and len(others) == 1 and not others[0].is_live:
                assert heard == {"moh"}
                continue
            if parked or len(others) > 1:  # transferred, picked up, or about to be
                wait = {str(each.leg) for each in others if each.leg in up}
                joining = [each for each in others if legs[each.leg].early_media]
                sounds = {"ringback", "busy", "moh", *(str(each.leg) for each in joining)}
                assert heard <= wait or heard <= sounds
                assert heard or not any(
                    each.state is ConnectionState.CONNECTED for each in others if each.leg in up
                )
                continue
            match me.state, [each.state for each in others]:
                case ConnectionState.CONNECTED, [ConnectionState.CONNECTED]:
                    assert heard == ({others[0].leg} if others[0].leg in up else set())
                case ConnectionState.CONNECTED, [ConnectionState.HOLD]:
                    assert heard == {"moh"}
                case ConnectionState.CONNECTED, [ConnectionState.ALERTING]:
                    own_tone = legs[others[0].leg].early_media
                    assert heard == ({others[0].leg} if own_tone else {"ringback"})
                case ConnectionState.CONNECTED, [ConnectionState.FAIL]:
                    assert heard == {"busy"}
                case _:
                    assert heard == set()


def talks_elsewhere(desk: Desk, call: CallId, own: Connection) -> bool:
    """It is in another call by the same leg, and what it hears is of that one."""
    return any(
        each.leg == own.leg and each.is_live and each.state is ConnectionState.CONNECTED
        for other in desk.controller.calls()
        if other.id != call
        for each in other.connections
    )


async def command(desk: Desk, draw: Draw) -> None:
    """Somebody presses a button, in one of their calls or in none."""
    device = DeviceId(draw(st.sampled_from(AGENTS + OUTSIDE)))
    own = [each.id for each in desk.controller.calls() if each.connection_of(device) is not None]
    call = own[0] if own else None
    button = draw(st.sampled_from([str(each) for each in commands.CommandName]))
    match commands.CommandName(button):
        case commands.CommandName.MAKE_CALL:
            called = draw(st.sampled_from([*OUTSIDE, "10000-w12"]))
            await desk.controller.submit(commands.MakeCall(device, called))
        case commands.CommandName.ANSWER_CALL:
            await desk.controller.submit(commands.AnswerCall(device, call))
        case commands.CommandName.HOLD_CALL:
            await desk.controller.submit(commands.HoldCall(device, call))
        case commands.CommandName.RETRIEVE_CALL:
            await desk.controller.submit(commands.RetrieveCall(device, call))
        case commands.CommandName.GENERATE_DIGITS:
            await desk.controller.submit(commands.GenerateDigits(device, "7", call))
        case commands.CommandName.SINGLE_STEP_TRANSFER:
            to = draw(st.sampled_from([*OUTSIDE, *AGENTS]))
            await desk.controller.submit(commands.SingleStepTransfer(device, to, call))
        case commands.CommandName.TRANSFER_CALL:
            two = [*own, CallId("none"), CallId("none")]
            await desk.controller.submit(commands.TransferCall(device, two[1], two[0]))
        case commands.CommandName.CLEAR_CONNECTION:
            await desk.controller.submit(commands.ClearConnection(device, call))
        case commands.CommandName.CLEAR_CALL:
            await desk.controller.submit(commands.ClearCall(device, call))
        case commands.CommandName.CONSULTATION_CALL:
            to = draw(st.sampled_from([*OUTSIDE, *AGENTS]))
            await desk.controller.submit(commands.ConsultationCall(device, to, call))
        case commands.CommandName.SINGLE_STEP_CONFERENCE:
            to = draw(st.sampled_from([*OUTSIDE, *AGENTS]))
            await desk.controller.submit(commands.SingleStepConference(device, to, call))
        case commands.CommandName.JOIN_CALL:
            beside = DeviceId(draw(st.sampled_from(AGENTS)))
            how = Participation(draw(st.sampled_from([str(each) for each in Participation])))
            await desk.controller.submit(commands.JoinCall(device, beside, how))
        case commands.CommandName.INTERCEPT_CALL:
            beside = DeviceId(draw(st.sampled_from(AGENTS)))
            await desk.controller.submit(commands.InterceptCall(device, beside))
        case commands.CommandName.DIRECTED_PICKUP_CALL:
            beside = DeviceId(draw(st.sampled_from([*AGENTS, *OUTSIDE, "701"])))
            await desk.controller.submit(commands.DirectedPickupCall(device, beside))
        case commands.CommandName.PARK_CALL:
            at = DeviceId(draw(st.sampled_from([*AGENTS, "701"])))
            await desk.controller.submit(commands.ParkCall(device, at, call))
        case commands.CommandName.LEND_CALL:
            to = draw(st.sampled_from([*OUTSIDE, *AGENTS]))
            await desk.controller.submit(commands.LendCall(device, to, call))
        case commands.CommandName.DEFLECT_CALL:
            to = draw(st.sampled_from([*OUTSIDE, *AGENTS]))
            await desk.controller.submit(commands.DeflectCall(device, to, call))
        case commands.CommandName.ASSOCIATE_DATA:
            data = {draw(st.sampled_from(["order", "note"])): draw(st.sampled_from(["1", ""]))}
            await desk.controller.submit(commands.AssociateData(device, data, call))
        case commands.CommandName.SET_MICROPHONE_MUTE:
            muted = draw(st.sampled_from(["yes", ""]))
            await desk.controller.submit(commands.SetMicrophoneMute(device, bool(muted), call))
        case commands.CommandName.START_RECORDING:
            await desk.controller.submit(commands.StartRecording(device, call))
        case commands.CommandName.PAUSE_RECORDING:
            await desk.controller.submit(commands.PauseRecording(device, call))
        case commands.CommandName.RESUME_RECORDING:
            await desk.controller.submit(commands.ResumeRecording(device, call))
        case commands.CommandName.STOP_RECORDING:
            await desk.controller.submit(commands.StopRecording(device, call))
        case commands.CommandName.ALTERNATE_CALL:
            await desk.controller.submit(commands.AlternateCall(device))
        case commands.CommandName.RECONNECT_CALL:
            await desk.controller.submit(commands.ReconnectCall(device))
        case commands.CommandName.CONFERENCE_CALL:
            await desk.controller.submit(commands.ConferenceCall(device))


def telephone(leg: FakeLeg, draw: Draw) -> None:
    """A telephone does what it may do in its state."""
    if leg.is_up:
        acts = [
            leg.hang_up,
            leg.hold,
            leg.retrieve,
            leg.speak,
            leg.vanish,
            leg.lose_media,
            lambda: leg.ask_transfer(draw(st.sampled_from(AGENTS))),
        ]
    elif leg.offered:
        acts = [lambda: leg.refuse(Cause.CANCELLED)]
    else:
        acts = [
            leg.ring,
            leg.answer,
            leg.answer,
            lambda: leg.ring(early_media=True),
            lambda: leg.refuse(Cause.BUSY),
            leg.lose_media,
        ]
    acts[int(draw(st.sampled_from([str(each) for each in range(len(acts))])))]()


async def act(desk: Desk, draw: Draw) -> None:
    """One thing happens."""
    kinds = ["command", "offer", "minute", *["telephone"] * 3 * bool(desk.exchange.open_legs)]
    match draw(st.sampled_from(kinds)):
        case "command":
            with suppress(CommandRejected):
                await command(desk, draw)
        case "offer":
            role = LegRole(draw(st.sampled_from([str(each) for each in LegRole])))
            outside, agent = draw(st.sampled_from(OUTSIDE)), draw(st.sampled_from(AGENTS))
            if role is LegRole.LINE:
                desk.exchange.offer(outside, agent, role)
            else:
                desk.exchange.offer(agent, outside, role)
        case "minute":
            await asyncio.sleep(61)
        case _:
            legs = {str(each.id): each for each in desk.exchange.open_legs}
            telephone(legs[draw(st.sampled_from(list(legs)))], draw)
    await asyncio.sleep(0.1)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_anything_may_happen(data: st.DataObject) -> None:
    """Matrix = states after every action; at the end no leg, and one record a call."""

    async def walk() -> None:
        async with open_desk() as desk:
            feed = desk.controller.subscribe(0)
            for _ in range(data.draw(st.integers(0, 25))):
                await act(desk, data.draw)
                agree(desk)
            await asyncio.sleep(0.1)
        stories = [each.event async for each in feed]
        cleared = [each.call for each in stories if isinstance(each, told.CallCleared)]
        begun = {each.call for each in stories if isinstance(each, told.CallEvent)}
        assert sorted(cleared) == sorted(begun)
        assert sorted(each.call for each in desk.records.written) == sorted(cleared)

    run_virtual(walk())
