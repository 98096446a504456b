"""What an agent is to a call in which his device stands more than once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from endpoint.app.agentcall import Calls, party_of
from endpoint.app.following import decided
from endpoint.callcontrol.commands import CommandName
from endpoint.client.audio import ProgramAudio
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire

pytestmark = pytest.mark.unit
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


def party(device: str, state: str, connection: int, parked_by: str | None = None) -> wire.Party:
    return wire.Party(device, connection, False, "station", state, False, [], parked_by=parked_by)


@pytest.mark.parametrize("before", ["fail", "null"])
def test_who_came_again_is_what_he_is_now(before: str) -> None:
    now = party("6001", "connected", 3)
    parties = [party("6002", "connected", 1), party("6001", before, 2), now]
    assert party_of("6001", parties) is now
    assert party_of("6001", parties[:2]) is parties[1]
    assert party_of("6003", parties) is None


def test_he_comes_before_a_place_of_his_where_the_call_is_parked() -> None:
    place, rings = party("6001", "queued", 2, "6001"), party("6001", "alerting", 3)
    assert party_of("6001", [place, rings]) is rings
    assert party_of("6001", [place]) is place


def test_a_supervisor_is_told_only_of_those_that_are_in_the_call() -> None:
    parties = [party("6002", "connected", 1), party("6001", "fail", 2)]
    parties += [party("6001", "connected", 3), party("6900", "connected", 4)]
    at = datetime.now(UTC)
    call = wire.Call("c-1", "outbound", "6001", "", False, "6002", None, None, at, at, at, parties)
    fields = {"device": "6900", "from_outside": False, "participation": "silent", "beside": "6002"}
    told = decided(CommandName.JOIN_CALL, "6900", wire.EventFrame(1, at, "Joined", fields, call))
    assert told is not None
    assert told.text == "6900 listens to 6002, 6001; nobody hears it"


def known(call: str, state: str) -> wire.Call:
    """A call of 6002, as the endpoint knows it."""
    parties = [party("6002", state, 1), party("6003", "connected", 2)]
    return wire.Call(call, "inbound", "6003", "", False, "6002", None, None, AT, AT, AT, parties)


def snapshot(*calls: wire.Call) -> wire.Snapshot:
    return wire.Snapshot("run", 7, AT, True, [*calls], [], [], [])


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """Of 6002, whose endpoint answers nothing: nobody listens at that port."""
    audio = ProgramAudio()
    async with (
        audio,
        EndpointClient("http://127.0.0.1:9", "none") as client,
        asyncio.TaskGroup() as group,
    ):
        calls = Calls("6002", 1.0, audio)
        calls.client, calls.tasks = client, group
        yield calls


async def test_a_call_whose_end_was_missed_is_over_and_one_that_began_is_there(
    calls: Calls,
) -> None:
    calls.renew(snapshot(known("c-1", "connected"), known("c-2", "hold")))
    first, second = calls.call("c-1"), calls.call("c-2")
    calls.renew(snapshot(known("c-2", "connected"), known("c-3", "alerting")))
    async with asyncio.timeout(10):
        assert await first.ended() == "lost"
        rings = await calls.incoming.get()
    assert (second.state, second.is_over) == ("connected", False)
    assert rings is calls.call("c-3")
    calls.renew(snapshot(known("c-2", "null"), known("c-3", "alerting")))
    assert second.is_over
    assert calls.incoming.empty(), "it is told once"


async def test_nothing_stays_of_calls_that_are_over(calls: Calls) -> None:
    for number in range(5):
        calls.renew(snapshot(known(f"c-{number}", "connected")))
    calls.renew(snapshot())
    assert calls.all() == []
    assert calls.attaching == set()
