"""Calls as they should go: who is told what, and who hears whom."""

from __future__ import annotations

import asyncio

import pytest

from endpoint.callcontrol import events as told
from endpoint.legs.base import Cause, LegRole, Side
from tests.scenarios.desk import open_desk

pytestmark = pytest.mark.scenario

NOBODY: frozenset[str] = frozenset()


async def test_dial_talk_hang_up() -> None:
    """The issue's walk: dial, both hear each other, hang up, nobody hears anything."""
    async with open_desk() as desk:
        far = await desk.dialled()
        agent = await desk.exchange.placed("6001")
        await desk.told(told.Originated)
        assert agent.request is not None
        assert agent.request.auto_answer
        assert far.request is not None
        assert (far.request.role, far.request.calling) == (LegRole.LINE, "6001")

        far.ring()
        await desk.told(told.Delivered)
        assert {"6001": {"ringback"}} == desk.exchange.heard()

        far.answer()
        await desk.told(told.Established)
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()

        await desk.clear("6001")
        over = await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {}
        assert (
            over.cause,
            over.released_by,
            over.releasing_device,
        ) == (Cause.NORMAL, Side.ENDPOINT, "6001")
        assert desk.story() == [
            "ServiceInitiated 6001 initiated",
            "Originated 6001 connected",
            "Delivered 10086 alerting",
            "Established 10086 connected",
            "ConnectionCleared 6001 null",
            "ConnectionCleared 10086 null",
            "CallCleared 6001 null",
        ]
    (record,) = desk.records.written
    assert record.delivered_at is not None
    assert record.established_at is not None
    assert (record.calling, record.called, record.ending.cause) == ("6001", "10086", Cause.NORMAL)


async def test_far_end_hangs_up() -> None:
    """The agent is released at once and told whose doing it was."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        far.hang_up()
        gone = await desk.told(told.ConnectionCleared, "10086")
        assert (gone.cause, gone.released_by, gone.q850) == (Cause.NORMAL, Side.DEVICE, 16)
        own = await desk.told(told.ConnectionCleared, "6001")
        assert (
            own.cause,
            own.released_by,
            own.releasing_device,
        ) == (Cause.NORMAL, Side.ENDPOINT, "10086")
        assert agent.release_cause is Cause.NORMAL


async def test_the_far_ends_own_ring_back_is_heard() -> None:
    """Early media replaces our tone, and our agent is not heard before the answer."""
    async with open_desk() as desk:
        far = await desk.ringing()
        assert {"ringback"} == (await desk.exchange.placed("6001")).hears()
        far.ring(early_media=True)
        far.speak()
        await desk.told(told.MediaConfirmed, "10086")
        assert {"6001": {"10086"}} == desk.exchange.heard()


async def test_a_phone_of_ours_dials_itself() -> None:
    """Its leg came to us: it is told of the ringing, and answered when the far end answers."""
    async with open_desk() as desk:
        phone = desk.exchange.offer("6001", "10086", LegRole.STATION)
        far = await desk.exchange.placed("10086")
        assert not phone.is_alerted
        far.ring()
        await desk.told(told.Delivered, "10086")
        assert phone.is_alerted
        assert not phone.is_up
        far.answer()
        await desk.told(told.Established, "10086")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        phone.hang_up()
        await desk.told(told.CallCleared)


async def test_a_call_from_outside_is_answered_at_the_phone() -> None:
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        assert outside.is_alerted
        assert station.request is not None
        assert not station.request.auto_answer
        station.answer()
        established = await desk.told(told.Established)
        assert (
            established.device,
            established.calling,
            established.called,
        ) == ("6001", "10086", "6001")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        await desk.clear("6001")
        await desk.told(told.CallCleared)


async def test_a_call_from_outside_is_answered_by_command() -> None:
    """AnswerCall picks the station up; pressing twice is the same as once."""
    async with open_desk() as desk:
        outside, station = await desk.coming_in()
        await desk.answer("6001")
        await desk.told(told.Established, "6001")
        assert outside.is_up
        assert station.is_asked_to_answer


async def test_hold_and_retrieve() -> None:
    """The held party hears music, the holder nothing; routes switch before the re-INVITE."""
    async with open_desk() as desk:
        agent, _ = await desk.talking()
        desk.exchange.asked.clear()
        await desk.hold("6001")
        await desk.told(told.Held, "6001")
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()
        answer = await desk.told(told.FarEndHold, "10086")
        assert (answer.held, answer.far_end) == (True, "accepted")
        assert desk.state("6001") == "hold"
        assert desk.state("10086") == "connected"

        await desk.retrieve("6001")
        await desk.told(told.Retrieved, "6001")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        assert desk.exchange.asked == ["routes", "hold 10086", "routes", "resume 10086"]
        assert agent.offers == []


async def test_a_caller_that_is_not_answered_hears_the_far_ends_own_ring_back() -> None:
    """By early media of ours; it hears our ring-back where the far end's ends, and is not heard."""
    async with open_desk() as desk:
        phone = desk.exchange.offer("6001", "10086", LegRole.STATION)
        far = await desk.exchange.placed("10086")
        far.ring()
        await desk.told(told.Delivered, "10086")
        assert desk.exchange.heard() == {}
        far.ring(early_media=True)
        far.speak()
        await desk.told(told.MediaConfirmed, "10086")
        assert desk.exchange.heard_on(phone.id) == {far.id}
        assert far.hears() == set()
        far.ring()
        far.speak()
        await asyncio.sleep(1)
        assert desk.exchange.heard_on(phone.id) == {"ringback"}
        assert [act for act in desk.exchange.asked if act.startswith("alert")] == [
            "alert 6001",
            "alert 6001 early",
        ]
        far.answer()
        await desk.told(told.Established, "10086")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        phone.hang_up()
        await desk.told(told.CallCleared)


async def test_the_ring_back_of_ours_comes_back_when_early_media_ends() -> None:
    """The phone that played refuses, another one of the device rings on."""
    async with open_desk() as desk:
        far = await desk.dialled()
        far.ring(early_media=True)
        await desk.told(told.Delivered)
        assert desk.exchange.heard() == {"6001": {"10086"}}
        far.ring()
        await asyncio.sleep(1)
        assert desk.exchange.heard() == {"6001": {"ringback"}}


async def test_a_refused_hold_stands_here() -> None:
    """The far end answers 488: it hears music all the same, and the event says so."""
    async with open_desk() as desk:
        await desk.talking()
        desk.exchange.refuses_hold.add("10086")
        await desk.hold("6001")
        answer = await desk.told(told.FarEndHold, "10086")
        assert (answer.far_end, answer.sip_status) == ("refused", 488)
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()
        assert desk.state("6001") == "hold"


async def test_the_phones_own_hold_is_the_same_hold() -> None:
    """A re-INVITE from the agent's phone holds the call; that phone gets none in return."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        agent.hold()
        await desk.told(told.Held, "6001")
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()
        assert (far.offers, agent.offers) == (["hold"], [])
        agent.retrieve()
        await desk.told(told.Retrieved, "6001")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        assert (far.offers, agent.offers) == (["hold", "resume"], [])


async def test_a_command_ends_the_phones_own_hold() -> None:
    """RetrieveCall asks the phone back; if it insists on its hold, the state follows the phone."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        agent.hold()
        await desk.told(told.Held)
        await desk.retrieve("6001")
        await desk.told(told.Retrieved, "6001")
        assert (far.offers, agent.offers) == (["hold", "resume"], ["resume"])
        agent.hold()
        await desk.told(told.Held, "6001")
        assert {"6001": NOBODY, "10086": {"moh"}} == desk.exchange.heard()


async def test_both_sides_hold() -> None:
    """Who holds hears nothing, also when it is held too; who retrieves hears the other's music."""
    async with open_desk() as desk:
        agent, far = await desk.talking()
        await desk.hold("6001")
        far.hold()
        await desk.told(told.Held, "10086")
        assert desk.exchange.heard() == {"6001": NOBODY, "10086": NOBODY}
        assert (agent.offers, far.offers) == (["hold"], ["hold"])
        await desk.retrieve("6001")
        await desk.told(told.Retrieved, "6001")
        assert {"6001": {"moh"}, "10086": NOBODY} == desk.exchange.heard()
        far.retrieve()
        await desk.told(told.Retrieved, "10086")
        assert {"6001": {"10086"}, "10086": {"6001"}} == desk.exchange.heard()
        assert (agent.offers, far.offers) == (["hold", "resume"], ["hold", "resume"])


async def test_hang_up_while_held() -> None:
    """Nobody is left with music."""
    async with open_desk() as desk:
        _, far = await desk.talking()
        await desk.hold("6001")
        await desk.told(told.Held)
        far.hang_up()
        await desk.told(told.CallCleared)
        assert desk.exchange.heard() == {}


async def test_digits_go_to_the_far_end() -> None:
    async with open_desk() as desk:
        _, far = await desk.talking()
        await desk.digits("6001", "1234#")
        sent = await desk.told(told.DigitsGenerated, "10086")
        assert "1234#" == far.digits == sent.digits
        far.press("#")
        pressed = await desk.told(told.DigitDetected, "10086")
        assert (pressed.digits, pressed.duration_ms) == ("#", 100)
        assert "#" not in repr(pressed)
        assert "1234" not in repr(sent)
        assert told.masked(sent).digits == "•••••"


@pytest.mark.parametrize(
    ("extension", "pause_s"), [("8001", 0), ("WW8001", 2), ("Ww8001", 1.5), ("w8001", 0.5)]
)
async def test_the_extension_is_dialled_after_the_pause(extension: str, pause_s: float) -> None:
    """Counted from the answer, not from the dialling (seed 000 §1.8)."""
    async with open_desk() as desk:
        far = await desk.ringing(called=f"938834600-{extension}")
        await asyncio.sleep(7)
        answered_at = asyncio.get_running_loop().time()
        far.answer()
        await desk.told(told.DigitsGenerated, "938834600")
        assert pytest.approx(pause_s) == asyncio.get_running_loop().time() - answered_at
        assert far.digits == "8001"


@pytest.mark.parametrize("dialled", ["4000", "4000-42"])
async def test_an_alias_leads_to_its_extension(dialled: str) -> None:
    """The extension rings, answers and is recorded: nobody is called by an alias."""
    async with open_desk(aliases={"4000": "6002"}) as desk:
        call = await desk.dial("6001", dialled)
        far = await desk.exchange.placed("6002")
        far.ring()
        assert (await desk.told(told.Delivered, "6002")).called == "6002"
        await desk.answer("6002", call)
        await desk.told(told.Established, "6002")
        far.hang_up()
        await desk.told(told.CallCleared)
        assert desk.records.written[0].called == "6002"


@pytest.mark.parametrize("role", LegRole)
async def test_who_dials_an_alias_by_phone_reaches_its_extension(role: LegRole) -> None:
    async with open_desk(aliases={"4000": "6002"}) as desk:
        caller = desk.exchange.offer("10086", "4000", role)
        far = await desk.exchange.placed("6002")
        far.ring()
        assert (await desk.told(told.Delivered)).called == "6002"
        caller.hang_up()
        await desk.told(told.CallCleared)


async def test_no_digits_after_the_end() -> None:
    """Who hangs up within the pause sends nothing any more."""
    async with open_desk() as desk:
        far = await desk.ringing(called="938834600-WW8001")
        far.answer()
        await desk.told(told.Established)
        far.hang_up()
        await desk.told(told.CallCleared)
        await asyncio.sleep(10)
        assert far.digits == ""


async def test_media_is_confirmed_by_its_own_event() -> None:
    """Early audio is known at Established; later audio is told when it comes."""
    async with open_desk() as desk:
        far = await desk.ringing()
        far.ring(early_media=True)
        far.speak()
        far.answer()
        established = await desk.told(told.Established)
        assert established.media_confirmed
        agent = await desk.exchange.placed("6001")
        agent.speak()
        agent.speak()
        await desk.told(told.MediaConfirmed, "6001")
        far.hang_up()
        await desk.told(told.CallCleared)
        assert desk.story().count("MediaConfirmed 6001 connected") == 1
    (record,) = desk.records.written
    assert [each.media_confirmed for each in record.connections] == [True, True]


async def test_an_agent_answers_a_caller_who_says_the_agents_own_number() -> None:
    async with open_desk() as desk:
        caller, _ = await desk.coming_in("6001", "6001")
        await desk.answer("6001")
        await desk.told(told.Established)
        assert caller.is_up
