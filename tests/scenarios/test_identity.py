"""Callers from outside who say the number of one of our devices: nothing of theirs is ever its.

The agent is 6001, his customer 10086. A stranger says that he is 6001 too, and calls 6002.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from endpoint.app.devicestates import DevicesToWatch
from endpoint.app.directory import Directory
from endpoint.app.native import NativeView
from endpoint.app.settings import Config
from endpoint.callcontrol import commands
from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.dials import DialLimits
from endpoint.callcontrol.events import CallEvent
from endpoint.callcontrol.model import CallId
from endpoint.errors import CommandRejected
from endpoint.legs.base import Cause, DeviceId, LegRole
from signaling.sip.event_documents import Presence
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

AGENT, CALLED, COLLEAGUE = DeviceId("6001"), DeviceId("6002"), DeviceId("6003")


@dataclass
class Stranger:
    """Somebody outside who says that he is 6001, in his call with 6002."""

    call: CallId
    leg: FakeLeg
    station: FakeLeg

    def assert_untouched(self, desk: Desk) -> None:
        """He talks with 6002 as before, and nobody has asked anything of his telephone."""
        assert self.leg.is_up
        assert self.station.is_up
        assert (self.leg.offers, self.leg.digits, self.leg.transfer) == ([], "", [])
        assert (self.station.offers, self.station.digits) == ([], "")
        assert desk.exchange.heard_on(self.leg.id) == {self.station.id}
        assert desk.exchange.heard_on(self.station.id) == {self.leg.id}
        (call,) = (each for each in desk.controller.calls() if each.id == self.call)
        assert [each.state for each in call.connections] == ["connected", "connected"]


async def stranger(desk: Desk) -> Stranger:
    leg, station = await desk.coming_in(AGENT, CALLED)
    station.answer()
    talks = await desk.told(told.Established, CALLED)
    return Stranger(talks.call, leg, station)


class NoExtensions:
    """Our devices are the stations of the configuration alone."""

    async def all(self) -> list[Any]:
        return []


@dataclass
class Views:
    """What watchers are told of our devices, and the native interface shows."""

    lamps: DevicesToWatch
    native: NativeView


async def views_of(desk: Desk, ours: Iterable[str] = (AGENT, CALLED, COLLEAGUE)) -> Views:
    stations = [{"device": device, "kind": "tone", "frequency_hz": 440} for device in ours]
    directory = Directory(Config.model_validate({"station": stations}), cast("Any", NoExtensions()))
    await directory.refresh()
    return Views(
        DevicesToWatch(
            desk.controller, directory, domain="example.test", reaches_telephone=lambda _: False
        ),
        NativeView(desk.controller, cast("Any", desk.exchange), directory),
    )


Named = Callable[[Desk, CallId | None], Awaitable[Any]]


def named(kind: Callable[..., Any], **more: Any) -> Named:
    async def ask(desk: Desk, call: CallId | None) -> Any:
        return await desk.controller.submit(kind(device=AGENT, call=call, **more))

    return ask


COMMANDS = {
    "hold": named(commands.HoldCall),
    "digits": named(commands.GenerateDigits, digits="5"),
    "clear": named(commands.ClearConnection),
    "transfer": named(commands.SingleStepTransfer, destination=COLLEAGUE),
}


# -- 6001 has a call of its own --------------------------------------------------------------------


@pytest.mark.parametrize("ask", COMMANDS.values(), ids=COMMANDS)
async def test_s12_a_command_that_names_no_call_is_for_the_devices_own(ask: Named) -> None:
    async with open_desk() as desk:
        agent, customer = await desk.talking()
        own = desk.call.id
        other = await stranger(desk)

        accepted = await ask(desk, None)

        assert accepted.call == own
        other.station.speak()
        await desk.told(told.MediaConfirmed, CALLED)
        other.assert_untouched(desk)
        assert agent.is_over is (ask is COMMANDS["clear"])
        assert customer.digits == ("5" if ask is COMMANDS["digits"] else "")


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("ask", COMMANDS.values(), ids=COMMANDS)
async def test_s12_a_command_that_names_the_strangers_call_is_refused(
    ask: Named, is_busy: bool
) -> None:
    async with open_desk() as desk:
        if is_busy:
            await desk.talking()
        other = await stranger(desk)
        with pytest.raises(CommandRejected) as refusal:
            await ask(desk, other.call)
        assert refusal.value.reason == "not_in_call"
        other.assert_untouched(desk)


async def test_s12_the_stranger_is_transferred_to_nobody_with_the_devices_own_call() -> None:
    async with open_desk() as desk:
        await desk.talking()
        own = desk.call.id
        other = await stranger(desk)
        for first, second in ((own, other.call), (other.call, own)):
            with pytest.raises(CommandRejected):
                await desk.bring_together(AGENT, first, second)
        other.assert_untouched(desk)
        interactions = {call.id.partition("-")[0] for call in desk.controller.calls()}
        assert len(interactions) == 2


@pytest.mark.parametrize("asks", ["agent", "stranger"])
async def test_s12_no_telephone_takes_the_others_call_by_its_number(asks: str) -> None:
    """REFER with Replaces, of either, that names the dialog of the other."""
    async with open_desk() as desk:
        agent = desk.exchange.offer(AGENT, "10086", LegRole.STATION)
        (await desk.exchange.placed("10086")).answer()
        await desk.told(told.Established, "10086")
        other = await stranger(desk)
        if asks == "agent":
            agent.ask_transfer("x", other.leg)
        else:
            other.leg.ask_transfer("x", agent, from_outside=True)
        other.station.speak()
        await desk.told(told.MediaConfirmed)
        assert (agent if asks == "agent" else other.leg).transfer == [481]
        other.leg.transfer.clear()
        other.assert_untouched(desk)
        assert agent.is_up


async def test_lamp_presence_and_native_interface_show_the_devices_own_call_alone() -> None:
    async with open_desk() as desk:
        views = await views_of(desk)
        _, customer = await desk.talking()
        own = desk.call.id
        other = await stranger(desk)

        assert [each.id for each in views.lamps.dialogs(AGENT)] == [own]
        shown = {each.device: each for each in views.native.devices()}
        assert (shown[AGENT].calls, shown[CALLED].calls) == ([own], [other.call])
        (agent, _) = views.native.call(own).parties
        assert not agent.from_outside
        assert {"ClearConnection", "GenerateDigits", "HoldCall"} < set(agent.commands)
        (he, _) = views.native.call(other.call).parties
        assert (he.device, he.from_outside, he.commands) == (AGENT, True, [])

        customer.hang_up()
        await desk.told(told.CallCleared, AGENT)
        assert views.lamps.dialogs(AGENT) == []


# -- 6001 is idle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", COMMANDS.values(), ids=COMMANDS)
async def test_s12_a_device_that_is_idle_has_no_call(ask: Named) -> None:
    async with open_desk() as desk:
        other = await stranger(desk)
        with pytest.raises(CommandRejected) as refusal:
            await ask(desk, None)
        assert refusal.value.reason == "unknown_call"
        other.assert_untouched(desk)


async def test_lamp_presence_and_native_interface_show_an_idle_device() -> None:
    async with open_desk() as desk:
        views = await views_of(desk)
        other = await stranger(desk)

        assert views.lamps.dialogs(AGENT) == []
        assert views.lamps.presence(AGENT) == Presence(is_reachable=True)
        (lamp,) = views.lamps.dialogs(CALLED)
        assert (lamp.id, lamp.remote.uri.user) == (other.call, AGENT)
        shown = {each.device: each for each in views.native.devices()}
        assert (shown[AGENT].calls, shown[AGENT].commands) == ([], ["MakeCall"])

        other.leg.hang_up()
        cleared = await desk.told(told.CallCleared)
        assert (cleared.device, cleared.from_outside) == (AGENT, True)
        about_calls = [each for each in desk.events if isinstance(each, CallEvent)]
        assert {each.from_outside for each in about_calls if each.device == AGENT} == {True}
        assert {each.from_outside for each in about_calls if each.device == CALLED} == {False}


# -- transfers find who transfers, and who dials, by what they are, not by a number ---------------


@pytest.mark.parametrize("leaves_before", [True, False])
async def test_who_transfers_is_the_device_and_not_the_caller_who_says_its_number(
    leaves_before: bool,
) -> None:
    """The stranger calls 6001 itself, who sends him on to 6003."""
    async with open_desk() as desk:
        caller, station = await desk.coming_in(AGENT, AGENT)
        station.answer()
        await desk.told(told.Established)
        await desk.transfer(AGENT, COLLEAGUE)
        colleague = await desk.exchange.placed(COLLEAGUE)
        colleague.ring()
        await desk.told(told.Delivered, COLLEAGUE)
        if leaves_before:
            station.hang_up()
            await desk.told(told.ConnectionCleared, AGENT)
        colleague.answer()
        done = await desk.told(told.Transferred)
        assert (done.device, done.from_outside) == (AGENT, False)
        assert done.state == ("null" if leaves_before else "connected")
        assert station.is_over
        assert desk.exchange.heard_on(caller.id) == {colleague.id}
        with pytest.raises(CommandRejected):
            await desk.hold(AGENT)
        colleague.hang_up()
        await desk.told(told.CallCleared)


async def test_a_transfer_that_fails_is_told_of_who_asked() -> None:
    async with open_desk() as desk:
        _, station = await desk.coming_in(AGENT, AGENT)
        station.answer()
        await desk.told(told.Established)
        await desk.transfer(AGENT, COLLEAGUE)
        colleague = await desk.exchange.placed(COLLEAGUE)
        station.hang_up()
        await desk.told(told.ConnectionCleared, AGENT)
        colleague.refuse(Cause.BUSY)
        failed = await desk.told(told.TransferFailed)
        assert (failed.device, failed.from_outside, failed.state) == (AGENT, False, "null")


async def test_s12_a_stranger_who_transfers_dials_for_whom_he_talks_with_and_never_for_6001() -> (
    None
):
    limits = ControllerSettings(dials=DialLimits(per_minute=1))
    async with open_desk(limits) as desk:
        other = await stranger(desk)
        await desk.transfer(CALLED, COLLEAGUE)
        colleague = await desk.exchange.placed(COLLEAGUE)
        colleague.answer()
        await desk.told(told.Transferred)
        other.leg.ask_transfer("6004", from_outside=True)
        last = await desk.exchange.placed("6004")
        assert last.request is not None
        assert (last.request.calling, last.request.referred_by) == (COLLEAGUE, None)
        await desk.dialled(AGENT)  # which has its one dial still


async def test_s12_strangers_among_themselves_have_nobody_called() -> None:
    async with open_desk() as desk:
        other = await stranger(desk)
        taker = desk.exchange.offer("10010", "x", LegRole.LINE, replaces=other.station)
        await desk.told(told.Transferred)
        other.leg.ask_transfer("6004", from_outside=True)
        taker.speak()
        await desk.told(told.MediaConfirmed)
        assert other.leg.transfer == [403]


async def test_s12_who_takes_a_place_from_outside_is_no_device_of_ours() -> None:
    """INVITE with Replaces, of a stranger who says 6001."""
    async with open_desk() as desk:
        _, customer = await desk.talking(CALLED)
        taker = desk.exchange.offer(AGENT, "x", LegRole.LINE, replaces=customer)
        await desk.told(told.Transferred)
        assert taker.is_up
        for ask in COMMANDS.values():
            with pytest.raises(CommandRejected):
                await ask(desk, None)
        assert taker.is_up
