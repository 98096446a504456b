"""Calls as they go wrong: the right cause for everybody, and nobody left with silence or music."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import events as told
from endpoint.callcontrol.controller import ControllerSettings
from endpoint.callcontrol.model import CallSettings
from endpoint.legs.base import CAUSES, Cause, DeviceRegistered, DeviceUnregistered, LegRole, Side
from tests.scenarios.desk import Desk, open_desk

pytestmark = pytest.mark.scenario

REFUSALS = (
    Cause.BUSY,
    Cause.DECLINED,
    Cause.UNKNOWN_DEVICE,
    Cause.NOT_REGISTERED,
    Cause.UNREACHABLE,
    Cause.INCOMPATIBLE_MEDIA,
    Cause.UNAUTHORISED,
    Cause.CERTIFICATE_REFUSED,
    Cause.OVERLOAD,
    Cause.NETWORK_FAILURE,
    Cause.PROTOCOL_ERROR,
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def assert_over(desk: Desk, cause: Cause) -> None:
    """The last event has the cause, nobody hears anything, and there is one record."""
    over = await desk.told(told.CallCleared)
    assert over.cause is cause
    assert not any(desk.exchange.heard().values())
    (record,) = desk.records.written
    assert record.ending.cause is cause
    assert all(each.ending is not None for each in record.connections)


# -- registration ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cause",
    [Cause.UNAUTHORISED, Cause.UNKNOWN_DEVICE, Cause.UNREACHABLE, Cause.CERTIFICATE_REFUSED],
)
async def test_a_registration_that_fails_is_told_and_kept(cause: Cause) -> None:
    """Wrong password, unknown user, server unreachable, certificate refused: event and snapshot."""
    async with open_desk() as desk:
        desk.exchange.unregistered("6001", cause, server="kamailio")
        event = await desk.told(DeviceUnregistered, "6001")
        assert (event.cause, event.sip_status) == (cause, CAUSES[cause].sip_status)
        assert desk.controller.registrations() == (event,)
        desk.exchange.registered("6001", server="kamailio")
        mended = await desk.told(DeviceRegistered, "6001")
        assert desk.controller.registrations() == (mended,)


# -- the called one can't be reached ---------------------------------------------------------------


@pytest.mark.parametrize("cause", REFUSALS)
async def test_a_refused_call_plays_busy_and_ends(cause: Cause) -> None:
    """Failed at once; the caller hears the busy tone for its time; then its phone is released."""
    async with open_desk() as desk:
        far = await desk.dialled()
        agent = await desk.exchange.placed("6001")
        far.refuse(cause, text="as the network says")
        failed = await desk.told(told.Failed, "10086")
        assert (failed.cause, failed.sip_status, failed.q850, failed.text) == (
            cause,
            CAUSES[cause].sip_status,
            CAUSES[cause].q850,
            "as the network says",
        )
        assert failed.state == "fail"
        assert desk.exchange.heard() == {"6001": {"busy"}}

        failed_at = now()
        cleared = await desk.told(told.ConnectionCleared, "6001")
        assert now() - failed_at == pytest.approx(3)
        assert (cleared.cause, cleared.released_by) == (cause, Side.ENDPOINT)
        assert agent.release_cause is cause
        await assert_over(desk, cause)


async def test_a_declined_call_was_ringing() -> None:
    """Ring-back turns into the busy tone."""
    async with open_desk() as desk:
        far = await desk.ringing()
        assert desk.exchange.heard() == {"6001": {"ringback"}}
        far.refuse(Cause.DECLINED)
        failed = await desk.told(told.Failed)
        assert (failed.released_by, failed.releasing_device) == (Side.DEVICE, "10086")
        assert desk.exchange.heard() == {"6001": {"busy"}}
        await assert_over(desk, Cause.DECLINED)


async def test_no_answer() -> None:
    """After the setting's time the far end gets CANCEL and the caller the busy tone."""
    settings = ControllerSettings(calls=CallSettings(no_answer_s=25))
    async with open_desk(settings) as desk:
        far = await desk.dialled()
        started = now()
        far.ring()
        failed = await desk.told(told.Failed)
        assert now() - started == pytest.approx(25)
        assert (failed.cause, failed.released_by, failed.q850, failed.releasing_device) == (
            Cause.NO_ANSWER,
            Side.ENDPOINT,
            19,
            None,
        )
        assert far.release_cause is Cause.NO_ANSWER
        await assert_over(desk, Cause.NO_ANSWER)


async def test_a_late_answer_is_not_a_call() -> None:
    """A 200 that crosses our CANCEL: the leg is let go, no connection comes of it."""
    async with open_desk() as desk:
        desk.exchange.release_delay_s = 0.5
        far = await desk.ringing()
        await desk.told(told.Failed)
        far.answer()
        await assert_over(desk, Cause.NO_ANSWER)
        assert "Established 10086 connected" not in desk.story()


async def test_the_caller_hangs_up_during_the_busy_tone() -> None:
    """The outcome stays what it was; the tone ends with the caller's leg."""
    async with open_desk() as desk:
        far = await desk.dialled()
        far.refuse(Cause.BUSY)
        await desk.told(told.Failed)
        (await desk.exchange.placed("6001")).hang_up()
        own = await desk.told(told.ConnectionCleared, "6001")
        assert (own.cause, own.released_by) == (Cause.NORMAL, Side.DEVICE)
        await assert_over(desk, Cause.BUSY)


async def test_a_command_ends_the_busy_tone() -> None:
    async with open_desk() as desk:
        far = await desk.dialled()
        far.refuse(Cause.BUSY)
        await desk.told(told.Failed)
        failed_at = now()
        await desk.clear("6001")
        await assert_over(desk, Cause.BUSY)
        assert now() == failed_at


# -- the caller gives up ---------------------------------------------------------------------------


async def test_the_caller_gives_up_by_command() -> None:
    """The far end is cancelled while it rings."""
    async with open_desk() as desk:
        far = await desk.ringing()
        await desk.clear("6001")
        own = await desk.told(told.ConnectionCleared, "6001")
        other = await desk.told(told.ConnectionCleared, "10086")
        assert {own.cause, other.cause, far.release_cause} == {Cause.CANCELLED}
        await assert_over(desk, Cause.CANCELLED)


async def test_the_caller_gives_up_at_the_phone() -> None:
    """The station's BYE before the answer is a call given up."""
    async with open_desk() as desk:
        far = await desk.ringing()
        (await desk.exchange.placed("6001")).hang_up()
        own = await desk.told(told.ConnectionCleared, "6001")
        assert (own.cause, own.released_by) == (Cause.CANCELLED, Side.DEVICE)
        assert far.release_cause is Cause.CANCELLED
        await assert_over(desk, Cause.CANCELLED)


async def test_the_caller_gives_up_before_its_own_phone_answers() -> None:
    """Nothing was dialled yet: one connection, one record."""
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add("6001")
        await desk.dial("6001", "10086")
        await desk.clear("6001")
        await assert_over(desk, Cause.CANCELLED)
        assert [leg.device for leg in desk.exchange.legs.values()] == ["6001"]


async def test_an_outside_caller_gives_up() -> None:
    """CANCEL from outside stops the station's ringing."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        outside.refuse(Cause.CANCELLED)
        gone = await desk.told(told.ConnectionCleared, "10086")
        assert (gone.cause, gone.released_by) == (Cause.CANCELLED, Side.DEVICE)
        assert station.release_cause is Cause.CANCELLED
        await assert_over(desk, Cause.CANCELLED)


async def test_a_phone_of_ours_gives_up() -> None:
    """CANCEL from our own phone, which dialled by itself."""
    async with open_desk() as desk:
        phone = desk.exchange.offer("6001", "10086", LegRole.STATION)
        far = await desk.exchange.placed("10086")
        far.ring()
        await desk.told(told.Delivered)
        phone.refuse(Cause.CANCELLED)
        await assert_over(desk, Cause.CANCELLED)
        assert far.release_cause is Cause.CANCELLED


# -- our own side can't ----------------------------------------------------------------------------


async def test_the_callers_own_phone_is_not_registered() -> None:
    """The command was accepted; Failed about the caller itself says why nothing was dialled."""
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add("6001")
        await desk.dial("6001", "10086")
        (await desk.exchange.placed("6001")).refuse(Cause.NOT_REGISTERED, by=Side.NETWORK)
        failed = await desk.told(told.Failed, "6001")
        assert (failed.cause, failed.releasing_device) == (Cause.NOT_REGISTERED, None)
        await assert_over(desk, Cause.NOT_REGISTERED)


async def test_the_callers_own_phone_is_not_picked_up() -> None:
    async with open_desk() as desk:
        desk.exchange.no_auto_answer.add("6001")
        await desk.dial("6001", "10086")
        (await desk.exchange.placed("6001")).ring()
        await assert_over(desk, Cause.NO_ANSWER)
        assert now() == pytest.approx(60)


@pytest.mark.parametrize("cause", REFUSALS)
async def test_the_station_refuses_a_call_from_outside(cause: Cause) -> None:
    """The outside caller is refused with the same cause, and hears its own network's tone."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        station.refuse(cause)
        failed = await desk.told(told.Failed, "6001")
        assert failed.cause is cause
        assert outside.release_cause is cause
        await assert_over(desk, cause)


async def test_a_call_from_outside_is_declined_by_command() -> None:
    """ClearConnection at a ringing station: 603 to the caller."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        await desk.clear("6001")
        failed = await desk.told(told.Failed, "6001")
        assert (failed.cause, failed.released_by, failed.releasing_device) == (
            Cause.DECLINED,
            Side.ENDPOINT,
            "6001",
        )
        assert {outside.release_cause, station.release_cause} == {Cause.DECLINED}
        await assert_over(desk, Cause.DECLINED)


async def test_nobody_answers_a_call_from_outside() -> None:
    async with open_desk() as desk:
        outside, _ = await desk.coming_in()
        await assert_over(desk, Cause.NO_ANSWER)
        assert outside.release_cause is Cause.NO_ANSWER


async def test_a_phone_of_ours_dials_somebody_busy() -> None:
    """It gets the refusal itself, so its own tone plays; ours is not needed."""
    async with open_desk() as desk:
        phone = desk.exchange.offer("6001", "10086", LegRole.STATION)
        far = await desk.exchange.placed("10086")
        far.refuse(Cause.BUSY)
        await desk.told(told.Failed, "10086")
        await assert_over(desk, Cause.BUSY)
        assert phone.release_cause is Cause.BUSY
        assert now() == 0


async def test_a_phone_of_ours_dials_nonsense() -> None:
    """Two dashes: the phone is refused, the reason is in the text, the digits are not."""
    async with open_desk() as desk:
        phone = desk.exchange.offer("6001", "10086-1-2", LegRole.STATION)
        failed = await desk.told(told.Failed, "6001")
        assert failed.called == "10086"
        assert "one dash" in failed.text
        await assert_over(desk, Cause.UNKNOWN_DEVICE)
        assert phone.release_cause is Cause.UNKNOWN_DEVICE


# -- in the call -----------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("who", ["6001", "10086"])
async def test_a_peer_vanishes(who: str, held: bool) -> None:
    """RTP time-out of either side ends the call for both, also on hold."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        if held:
            await desk.hold("6001")
            await desk.told(told.Held)
        lost, left = (agent, far) if who == "6001" else (far, agent)
        lost.vanish()
        gone = await desk.told(told.ConnectionCleared, who)
        assert (gone.cause, gone.released_by, gone.q850) == (
            Cause.MEDIA_TIMEOUT,
            Side.ENDPOINT,
            102,
        )
        other = await desk.told(told.ConnectionCleared, left.device)
        assert other.cause is Cause.MEDIA_TIMEOUT
        assert left.release_cause is Cause.MEDIA_TIMEOUT
        await assert_over(desk, Cause.MEDIA_TIMEOUT)


@pytest.mark.parametrize("ringing", [False, True])
async def test_the_media_worker_dies(ringing: bool) -> None:
    """Every leg of the call ends at once; the record says why."""
    async with open_desk() as desk:
        far = await desk.ringing()
        agent = await desk.exchange.placed("6001")
        if not ringing:
            far.answer()
            await desk.told(told.Established)
        agent.lose_media()
        far.lose_media()
        await assert_over(desk, Cause.MEDIA_LOST)


async def test_the_called_one_hangs_up_before_the_caller_confirms() -> None:
    """Answered, but the caller's ACK never came: nobody waits for it."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        desk.exchange.confirms_answers = False
        station.answer()
        await asyncio.sleep(1)
        assert desk.exchange.heard() == {"6001": frozenset()}
        station.hang_up()
        await assert_over(desk, Cause.NORMAL)
        assert outside.release_cause is Cause.NORMAL


async def test_a_call_that_its_caller_never_confirms_is_told_as_never_established() -> None:
    """Who was called has picked up, but nobody could talk."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        desk.exchange.confirms_answers = False
        station.answer()
        await asyncio.sleep(32)
        outside.refuse(Cause.UNREACHABLE, by=Side.NETWORK, text="no ACK")
        await assert_over(desk, Cause.UNREACHABLE)
        assert not any(isinstance(event, told.Established) for event in desk.events)
        (record,) = desk.records.written
        assert record.delivered_at is not None
        assert record.established_at is None
        assert (record.ending.released_by, record.ending.text) == (Side.NETWORK, "no ACK")
        assert station.release_cause is Cause.UNREACHABLE


async def test_both_hang_up_at_once() -> None:
    """Two BYEs that cross: each connection ends once."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        agent.hang_up()
        far.hang_up()
        await assert_over(desk, Cause.NORMAL)
        story = desk.story()
        assert [story.count(f"ConnectionCleared {each} null") for each in ("6001", "10086")] == [
            1,
            1,
        ]
