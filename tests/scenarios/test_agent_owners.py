"""Whose an agent's session is, how long its client may be silent, and what a restart leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from endpoint.agents.events import AgentLoggedOff, LogOffCause, OwnerReplaced
from endpoint.agents.logon import LogOn, LogOnRefused
from endpoint.agents.model import Agent, AgentId
from endpoint.agents.ownership import (
    DELEGATOR_BITS,
    Liveness,
    new_delegator_id,
    new_owner,
)
from endpoint.agents.roster import RosterSettings
from endpoint.agents.session import LogOff, SetNotReady, SetReady
from endpoint.callcontrol.events import CallCleared, ConnectionCleared
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.agentlogs import MemoryKeeping
from tests.scenarios.centre import AGENTS, ANNA, BERT, STAYS, Centre, open_centre

pytestmark = pytest.mark.scenario

SOCKET = Liveness(grace_s=60)
BY_BEATS = Liveness(silence_s=180, grace_s=0)
"""A gateway whose client says that it is there from time to time."""
PINGED = Liveness(silence_s=120, grace_s=0)


async def cause_of_end(centre: Centre) -> LogOffCause:
    event = (await centre.log())[-1].event
    assert isinstance(event, AgentLoggedOff)
    return event.cause


def test_ten_thousand_ids_are_all_different_and_long_enough() -> None:
    ids = {new_owner(SOCKET, 0.0)[1] for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(each) * 6 >= DELEGATOR_BITS for each in ids)
    assert max(sum(each[0] == letter for each in ids) for letter in "AZaz09") < 400


async def test_a_page_that_was_loaded_anew_has_its_session_back_by_its_id() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        first = centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        centre.roster.detach(first)
        await asyncio.sleep(4)
        centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        await asyncio.sleep(600)
        assert centre.state() == "ready"
        assert await centre.story() == ["AgentLoggedOn", "AgentReady"]


async def test_without_the_id_a_session_is_taken_over_or_not_at_all() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on()
        centre.roster.attach(ANNA, logged_on.delegator_id, STAYS)
        with pytest.raises(LogOnRefused) as wrong:
            centre.roster.attach(ANNA, "guessed", STAYS)
        assert wrong.value.reason == "not_owner"
        with pytest.raises(LogOnRefused) as stranger:
            await centre.log_on(take_over=True, password="wrong")
        assert stranger.value.reason == "wrong_password"
        centre.roster.check_owner(ANNA, logged_on.delegator_id)


async def test_who_is_replaced_has_its_last_event_and_nothing_to_say_any_more() -> None:
    async with open_centre() as centre:
        first = await centre.log_on()
        attachment = centre.roster.attach(ANNA, first.delegator_id, STAYS)
        second = await centre.log_on(take_over=True)
        last = (await centre.log())[-1]
        assert isinstance(last.event, OwnerReplaced)
        assert attachment.until == last.number == second.number
        with pytest.raises(LogOnRefused):
            centre.roster.check_owner(ANNA, first.delegator_id)
        centre.roster.check_owner(ANNA, second.delegator_id)
        assert centre.state() == "ready", "and the agent is what it was"


async def test_of_two_who_take_over_at_once_exactly_one_has_the_session() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        both = await asyncio.gather(centre.log_on(take_over=True), centre.log_on(take_over=True))
        owners = 0
        for each in both:
            try:
                centre.roster.check_owner(ANNA, each.delegator_id)
                owners += 1
            except LogOnRefused:
                pass
        assert owners == 1
        assert (await centre.story()).count("OwnerReplaced") == 2


async def test_a_take_over_in_a_call_leaves_the_call_alone() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.log_on(take_over=True)
        assert centre.desk.state("6001") == "connected"
        assert centre.state() == "busy"
        with pytest.raises(LogOnRefused) as moved:
            await centre.log_on(device="6002", take_over=True)
        assert moved.value.reason == "in_call"


async def test_a_take_over_at_another_telephone_ends_the_session_at_the_first() -> None:
    async with open_centre() as centre:
        first = await centre.log_on(device="6001")
        await centre.log_on(device="6002", take_over=True)
        assert centre.session().device == "6002"
        assert centre.roster.agent_at(centre.session().device) is not None
        gone = (await centre.log())[2].event
        assert isinstance(gone, AgentLoggedOff)
        assert (gone.device, gone.cause) == ("6001", LogOffCause.ELSEWHERE)
        with pytest.raises(LogOnRefused):
            centre.roster.check_owner(ANNA, first.delegator_id)


async def test_an_id_is_dead_after_the_log_off() -> None:
    async with open_centre() as centre:
        first = await centre.log_on()
        attachment = centre.roster.attach(ANNA, first.delegator_id, STAYS)
        await centre.do(LogOff())
        assert attachment.until == 3
        await centre.log_on()
        with pytest.raises(LogOnRefused):
            centre.roster.check_owner(ANNA, first.delegator_id)


async def guess_id(centre: Centre) -> None:
    centre.roster.check_owner(ANNA, "guess", "198.51.100.9")


async def guess_password(centre: Centre) -> None:
    await centre.log_on(password="guess", source="198.51.100.9")


@pytest.mark.parametrize("guess", [guess_id, guess_password])
async def test_who_guesses_waits_a_minute_and_nobody_else_does(
    guess: Callable[[Centre], Awaitable[None]],
) -> None:
    async with open_centre() as centre:
        first = await centre.log_on()
        for _ in range(10):
            with pytest.raises(LogOnRefused) as wrong:
                await guess(centre)
            assert wrong.value.reason in ("not_owner", "wrong_password")
        with pytest.raises(LogOnRefused) as blocked:
            centre.roster.check_owner(ANNA, first.delegator_id, "198.51.100.9")
        assert blocked.value.reason == "too_many_attempts"
        centre.roster.check_owner(ANNA, first.delegator_id, "192.0.2.1")
        await asyncio.sleep(61)
        centre.roster.check_owner(ANNA, first.delegator_id, "198.51.100.9")


async def test_old_ids_of_some_keep_nobody_else_out_who_sits_behind_the_same_address() -> None:
    office = "198.51.100.9"
    agents = [Agent(AgentId(f"2{number:03}")) for number in range(60)]
    async with open_centre(agents=(*AGENTS, *agents)) as centre:
        first = await centre.log_on(source=office)
        for agent in agents:  # all were away for too long, and come back at once
            with pytest.raises(LogOnRefused) as refused:
                centre.roster.check_owner(agent.id, "old", office)
            assert refused.value.reason == "not_owner"
        centre.roster.check_owner(ANNA, first.delegator_id, office)
        await centre.log_on(BERT, "6002", source=office)


async def test_a_session_is_not_taken_over_a_hundred_times_a_minute() -> None:
    async with open_centre() as centre:
        await centre.log_on()
        for _ in range(10):
            await centre.log_on(take_over=True)
        for _ in range(90):
            with pytest.raises(LogOnRefused) as refused:
                await centre.log_on(take_over=True)
            assert refused.value.reason == "too_many_attempts"


# -- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("away_s", [0.5, 4, 20, 59])
async def test_a_socket_that_comes_back_in_time_was_never_missed(away_s: float) -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        socket = centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        centre.roster.detach(socket)
        await asyncio.sleep(away_s)
        centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        await asyncio.sleep(200)
        assert centre.state() == "ready"
        assert len(await centre.log()) == 2


async def test_who_stays_away_is_logged_off_and_not_before() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        socket = centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        centre.roster.detach(socket)
        await asyncio.sleep(59)
        assert centre.state() == "ready"
        await asyncio.sleep(2)
        assert centre.state() == "null"
        assert await cause_of_end(centre) is LogOffCause.SILENCE


async def test_who_never_opens_a_socket_is_logged_off_unless_that_was_asked_for() -> None:
    async with open_centre() as centre:
        await centre.log_on(liveness=SOCKET)
        await asyncio.sleep(61)
        assert centre.state() == "null"
        await centre.log_on(liveness=STAYS)
        await asyncio.sleep(100_000)
        assert centre.state() == "ready"


async def test_who_is_to_stay_without_a_client_does_so_when_one_has_listened() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=STAYS)
        attachment = centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        centre.roster.detach(attachment)
        await asyncio.sleep(600)
        assert centre.state() == "ready"


async def test_no_log_off_at_170_s_and_one_at_180_s_where_clients_say_that_they_are_there() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=BY_BEATS)
        for _ in range(3):
            await asyncio.sleep(170)
            assert centre.state() == "ready"
            centre.roster.check_owner(ANNA, logged_on.delegator_id)
        await asyncio.sleep(179)
        assert centre.state() == "ready"
        await asyncio.sleep(2)
        assert await cause_of_end(centre) is LogOffCause.SILENCE


async def test_an_open_socket_on_which_nothing_comes_counts_as_lost_where_it_should() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=PINGED)
        socket = centre.roster.attach(ANNA, logged_on.delegator_id, PINGED)
        await asyncio.sleep(119)
        centre.roster.hear(socket)
        await asyncio.sleep(119)
        assert centre.state() == "ready"
        await asyncio.sleep(2)
        assert centre.state() == "null"


async def test_silence_cuts_no_call_and_means_nothing_if_it_ends_before_that() -> None:
    async with open_centre() as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        await centre.answered_call()
        await asyncio.sleep(3000)
        assert centre.desk.state("6001") == "connected"
        centre.roster.check_owner(ANNA, logged_on.delegator_id)
        await centre.desk.clear("6001")
        await asyncio.sleep(20)
        assert centre.state() == "ready"
        await centre.answered_call()
        await asyncio.sleep(3000)
        assert centre.desk.state("6001") == "connected"
        await centre.desk.clear("6001")
        await asyncio.sleep(1)
        assert await cause_of_end(centre) is LogOffCause.SILENCE


# -- a restart ------------------------------------------------------------------------------------


async def test_sessions_wishes_and_ids_are_there_after_a_kill() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        await centre.do(SetNotReady("meal"))
        before = await centre.log()
    async with open_centre(keeping=keeping, left=keeping.left()) as centre:
        assert (centre.state(), centre.session().rest.reason) == ("notReady", "meal")
        centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        await centre.do(SetReady())
        assert [each.number for each in await centre.log()] == [1, 2, 3, 4]
        assert [each.event for each in await centre.log()][:3] == [each.event for each in before]
        await asyncio.sleep(600)
        assert centre.state() == "ready"


async def test_who_does_not_come_back_after_a_kill_is_logged_off() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        logged_on = await centre.log_on(liveness=SOCKET)
        centre.roster.attach(ANNA, logged_on.delegator_id, SOCKET)
        await asyncio.sleep(600)
    async with open_centre(keeping=keeping, left=keeping.left()) as centre:
        await asyncio.sleep(59)
        assert centre.state() == "ready"
        await asyncio.sleep(2)
        assert await cause_of_end(centre) is LogOffCause.SILENCE
    async with open_centre(keeping=keeping, left=keeping.left()) as centre:
        assert centre.state() == "null"
        with pytest.raises(LogOnRefused):
            centre.roster.check_owner(ANNA, logged_on.delegator_id)


async def test_a_call_that_we_were_killed_in_ends_in_the_log_and_is_written_up_after() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping, check=False) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(SetNotReady("meal"))
        last = (await centre.log())[-1].number
        left = keeping.left()
    async with open_centre(keeping=keeping, left=left) as centre:
        log = await centre.log(after=last)
        assert [each.number for each in log][:3] == [last + 1, last + 2, last + 3]
        cleared, over = log[0].event, log[1].event
        assert isinstance(cleared, ConnectionCleared)
        assert (cleared.device, cleared.cause) == ("6001", Cause.LOST)
        assert isinstance(over, CallCleared)
        assert centre.state() == "workingAfterCall"
        await asyncio.sleep(11)
        assert (centre.state(), centre.session().rest.reason) == ("notReady", "meal")


async def test_the_rest_of_a_wrap_up_goes_on_after_a_kill() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.desk.clear("6001")
        await asyncio.sleep(4)
        left = keeping.left()
        ends_at = left[0].session and left[0].session.wrap_up_ends_at
        assert ends_at is not None
        now = centre.desk.controller.clock()
        assert (ends_at - now).total_seconds() == pytest.approx(6, abs=0.1)
    async with open_centre(keeping=keeping, left=left) as centre:
        wrap_up = centre.session().wrap_up
        assert wrap_up is not None
        assert wrap_up.ends_at is not None
        assert centre.state() == "workingAfterCall"
        await asyncio.sleep(10)
        assert centre.state() == "ready"


async def test_a_log_off_that_waited_for_the_end_of_a_call_is_done_after_a_kill() -> None:
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping, check=False, settings=RosterSettings()) as centre:
        await centre.log_on()
        await centre.answered_call()
        await centre.do(LogOff())
        left = keeping.left()
    async with open_centre(keeping=keeping, left=left) as centre:
        assert await cause_of_end(centre) is LogOffCause.ASKED


async def test_who_has_logged_on_in_a_call_hears_after_a_crash_that_it_is_over() -> None:
    """Nothing was told of that call since: its end is told all the same, and what follows."""
    keeping = MemoryKeeping()
    async with open_centre(keeping=keeping) as centre:
        await centre.answered_call()
        await centre.log_on()
        names = await centre.story()
        assert names == ["AgentLoggedOn", "AgentBusy"]
        left = keeping.left()
    async with open_centre(keeping=keeping, left=left) as centre:
        assert await centre.story(after=2) == ["ConnectionCleared", "CallCleared", "AgentReady"]
        assert centre.state() == "ready"


async def test_a_client_may_have_its_id_before_it_logs_on_and_keep_it() -> None:
    async with open_centre() as centre:
        wanted = LogOn(agent=ANNA, device=DeviceId("6001"), delegator_id=new_delegator_id())
        logged_on = await centre.roster.log_on(wanted)
        assert logged_on.delegator_id == wanted.delegator_id
        centre.roster.check_owner(ANNA, wanted.delegator_id)
        other = new_delegator_id()
        taken = await centre.roster.take_over(ANNA, STAYS, delegator_id=other)
        assert taken.delegator_id == other
        with pytest.raises(LogOnRefused):
            centre.roster.check_owner(ANNA, wanted.delegator_id)
        centre.roster.check_owner(ANNA, other)
        standing = centre.roster.standing(ANNA)
        assert standing is not None
        assert standing.liveness == STAYS
