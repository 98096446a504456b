"""Calls by REST, told by the event WebSocket, kept in the database."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from endpoint.app.directory import Directory
from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient, Frames
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.operations import OPERATIONS
from endpoint.storage.extensions import Extension

from .conftest import PASSWORD, Desk, configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0


async def until(frames: Frames, event: str) -> wire.EventFrame:
    """The next event of that name."""
    async with asyncio.timeout(PATIENCE_S):
        async for frame in frames:
            if isinstance(frame, wire.EventFrame) and frame.event == event:
                return frame
    raise AssertionError(f"{event} did not come")


async def snapshot(frames: Frames) -> wire.Snapshot:
    async with asyncio.timeout(PATIENCE_S):
        first = await anext(frames)
    assert isinstance(first, wire.Snapshot)
    return first


def commands(call: wire.Call | None, device: str) -> list[str]:
    assert call is not None
    return next(party.commands for party in call.parties if party.device == device)


async def test_a_call_from_dialling_to_its_record(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        accepted = await desk.client.make_call("6002", "6003", "Agent")
        call = accepted.call
        assert accepted.command == "MakeCall"
        established = await until(frames, "Established")
        assert established.fields["call"] == call
        assert commands(established.call, "6002") == [
            "AssociateData",
            "ClearCall",
            "ClearConnection",
            "ConsultationCall",
            "GenerateDigits",
            "HoldCall",
            "LendCall",
            "ParkCall",
            "SetMicrophoneMute",
            "SingleStepConference",
            "SingleStepTransfer",
            "StartRecording",
        ]

        await desk.client.hold("6002", call)
        held = await until(frames, "Held")
        assert commands(held.call, "6002") == [
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
        ]
        await desk.client.retrieve("6002", call)
        await until(frames, "Retrieved")

        await desk.client.press("6002", call, "1234#")
        generated = await until(frames, "DigitsGenerated")
        assert generated.fields["digits"] == "•••••"

        now = await desk.client.call(call)
        assert (now.calling, now.called, now.calling_name) == ("6002", "6003", "Agent")
        assert [(party.device, party.state) for party in now.parties] == [
            ("6002", "connected"),
            ("6003", "connected"),
        ]

        await desk.client.clear("6002", call)
        over = await until(frames, "CallCleared")
        assert (over.call, over.fields["cause"]) == (None, "normal")
    assert await desk.client.calls() == []
    assert await desk.endpoint.journal.settled(60)
    (record,) = await desk.endpoint.records.latest()
    assert (record.call, record.calling, record.called) == (call, "6002", "6003")


async def test_a_call_is_transferred(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        accepted = await desk.client.transfer("6002", call, "6004")
        assert accepted.command == "SingleStepTransfer"
        done = await until(frames, "TransferFailed")
        assert (done.fields["device"], done.fields["transferred_to"]) == ("6002", "6004")
        assert done.fields["cause"] == "unknown_device"
        with pytest.raises(RequestRefused) as refused:
            await desk.client.bring_together("6002", call, "no-such-call")
        assert (refused.value.status, refused.value.reason) == (404, "unknown_call")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.transfer("6002", call, "")
        assert (refused.value.status, refused.value.reason) == (400, "bad_field")


async def test_what_does_not_ring_is_not_picked_up(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.pick_up("6002", call, "6003")
        assert (refused.value.status, refused.value.reason) == (409, "invalid_state")


async def test_nobody_has_part_in_calls_of_others_unless_a_rule_says_so(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        for ask in (
            partial(desk.client.join, "6003", call, "6002"),
            partial(desk.client.intercept, "6003", call, "6002"),
        ):
            with pytest.raises(RequestRefused) as refused:
                await ask()
            assert (refused.value.status, refused.value.reason) == (403, "not_permitted")


async def test_a_party_is_dropped_by_its_name_and_nobody_commands_for_it(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        told = await until(frames, "Established")
        assert told.call is not None
        names = {party.device: party.connection for party in told.call.parties}
        assert told.fields["connection"] == names["6003"]
        with pytest.raises(RequestRefused) as refused:
            await desk.client.clear("10086", call)
        assert (refused.value.status, refused.value.reason) == (404, "unknown_device")
        assert "10086 is no device of ours: no extension, account or station" in str(refused.value)
        await desk.client.clear("6002", call, names["6003"])
        over = await until(frames, "ConnectionCleared")
        assert (over.fields["device"], over.fields["releasing_device"]) == ("6003", "6002")


async def test_a_device_that_was_added_since_is_commanded(desk: Desk) -> None:
    realm = desk.endpoint.config.sip.realm
    await add_extension(desk.endpoint.extensions, realm, Extension("6009"), PASSWORD)
    assert (await desk.client.make_call("6009", "6003")).command == "MakeCall"


async def test_a_call_is_parked_and_picked_up(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        assert (await desk.client.park("6002", call, "6002")).command == "ParkCall"
        queued = await until(frames, "Queued")
        assert (queued.fields["device"], queued.fields["parked_by"]) == ("6002", "6002")
        free = {one.device: one.calls for one in await desk.client.devices()}
        assert (free["6002"], free["6003"]) == ([], [call])
        assert len((await desk.client.quality(call)).parties) == 2
        await desk.client.pick_up("6002", call, "6002")
        picked_up = await until(frames, "Established")
        assert picked_up.fields["device"] == "6002"
        await desk.client.clear("6002", call)
        await until(frames, "CallCleared")


async def test_a_call_carries_data_into_its_record(desk: Desk) -> None:
    async with desk.client.events() as frames:
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        assert (await desk.client.give_data("6002", call, {"order": "1"})).call == call
        given = await until(frames, "CallInformation")
        assert given.fields["data"] == {"order": "1"}
        assert given.call is not None
        assert given.call.data == {"order": "1"}
        assert (await desk.client.call(call)).data == {"order": "1"}
        for wrong, reason in (({"no key": "1"}, "bad_data"), ({"note": "x" * 5000}, "bad_field")):
            with pytest.raises(RequestRefused) as refused:
                await desk.client.give_data("6002", call, wrong)
            assert (refused.value.status, refused.value.reason) == (400, reason)
        await desk.client.clear("6002", call)
        await until(frames, "CallCleared")
    assert await desk.endpoint.journal.settled(60)
    (record,) = await desk.endpoint.records.latest()
    assert record.data == {"order": "1"}


async def test_a_device_consults_is_offered_what_it_may_do_and_is_back(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        accepted = await desk.client.consult("6002", call, "6004")
        assert (accepted.command, accepted.call != call) == ("ConsultationCall", True)
        failed = await until(frames, "Failed")
        assert (failed.fields["call"], failed.fields["device"]) == (accepted.call, "6004")
        (other,) = failed.others
        assert (other.call, other.parties[1].hears) == (call, ["music"])
        assert "AlternateCall" in commands(other, "6002")
        held = await desk.client.call(call)
        assert {"AlternateCall", "ReconnectCall"} <= set(commands(held, "6002"))
        with pytest.raises(RequestRefused) as refused:
            await desk.client.conference("6002", call)
        assert (refused.value.status, refused.value.reason) == (409, "not_established")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.alternate("6002", call, "no-such-call")
        assert (refused.value.status, refused.value.reason) == (404, "unknown_call")
        await desk.client.reconnect("6002", call)
        back = await until(frames, "Retrieved")
        assert back.fields["call"] == call
        assert "AlternateCall" not in commands(back.call, "6002")
        await desk.client.end("6002", call)
        over = await until(frames, "CallCleared")
        assert over.fields["call"] == call


async def test_a_party_is_lent_and_comes_back(desk: Desk) -> None:
    """Nobody has 6004: 6003 is back at once; and by command, where somebody has."""
    async with desk.client.events() as frames:
        await snapshot(frames)
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        accepted = await desk.client.lend("6002", call, "6004")
        assert (accepted.command, accepted.call != call) == ("LendCall", True)
        failed = await until(frames, "Failed")
        assert (failed.fields["call"], failed.fields["device"]) == (accepted.call, "6004")
        back = await until(frames, "Retrieved")
        assert (back.fields["call"], back.fields["device"]) == (call, "6003")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.lend("6002", call, "")
        assert refused.value.status == 400


async def test_what_the_state_does_not_allow_is_409_with_a_stable_word(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.retrieve("6002", call)
        assert (refused.value.status, refused.value.reason) == (409, "invalid_state")
        with pytest.raises(RequestRefused) as refused:
            await desk.client.make_call("6002", "10086")
        assert (refused.value.status, refused.value.reason) == (409, "device_busy")


@pytest.mark.parametrize("destination", ["", "-1", "10086-W", "10086-1-2", "10086-1W2", "10 86"])
async def test_a_bad_dial_string_is_400(desk: Desk, destination: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        await desk.client.make_call("6002", destination)
    assert refused.value.status == 400


async def test_stations_without_a_network_have_no_quality(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        call = (await desk.client.make_call("6002", "6003")).call
        await until(frames, "Established")
        quality = await desk.client.quality(call)
    assert quality.call == call
    assert [(party.device, party.state) for party in quality.parties] == [
        ("6002", "connected"),
        ("6003", "connected"),
    ]
    assert all(party.received is None and party.sent is None for party in quality.parties)


async def test_a_call_that_is_not_there_is_404(desk: Desk) -> None:
    gone = (desk.client.call("x/../y"), desk.client.hold("6002", "gone"), desk.client.quality("no"))
    for ask in gone:
        with pytest.raises(RequestRefused) as refused:
            await ask
        assert (refused.value.status, refused.value.reason) == (404, "unknown_call")


async def test_a_call_to_nobody_fails_with_its_cause(desk: Desk) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        await desk.client.make_call("6002", "6999")
        failed = await until(frames, "Failed")
    assert (failed.fields["cause"], failed.fields["sip_status"]) == ("unknown_device", 404)


async def test_devices_are_extensions_accounts_and_stations(desk: Desk) -> None:
    realm = desk.endpoint.config.sip.realm
    await add_extension(desk.endpoint.extensions, realm, Extension("6001", "Ann"), PASSWORD)
    devices = {one.device: one for one in await desk.client.devices()}
    assert set(devices) == {"6001", "6002", "6003"}
    assert (devices["6001"].display_name, devices["6001"].reachable) == ("Ann", False)
    assert (devices["6002"].kinds, devices["6002"].commands) == (["station"], ["MakeCall"])
    assert await desk.client.registrations() == []


async def test_health_tells_what_runs(desk: Desk) -> None:
    health = await desk.client.health()
    assert (health.ok, health.calls, health.draining) == (True, 0, False)
    desk.endpoint.controller.refuse_new_calls()
    assert (await desk.client.health()).draining
    with pytest.raises(RequestRefused) as refused:
        await desk.client.make_call("6002", "6003")
    assert (refused.value.status, refused.value.reason) == (503, "shutting_down")


async def test_calls_go_on_without_the_database(desk: Desk) -> None:
    path = desk.endpoint.state.database
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("extension", "call_record"):
            database.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    told = await one_call(desk.client)
    assert [frame.event for frame in told][-1] == "CallCleared"
    assert desk.endpoint.state.unwritten_calls.stat().st_size > 0


# -- events -----------------------------------------------------------------------------------


async def one_call(client: EndpointClient) -> list[wire.EventFrame]:
    """A whole call; every event that told of it."""
    told: list[wire.EventFrame] = []
    async with client.events() as frames, asyncio.timeout(PATIENCE_S):
        await snapshot(frames)
        call = (await client.make_call("6002", "6003")).call
        async for frame in frames:
            if isinstance(frame, wire.Snapshot):
                continue
            told.append(frame)
            if frame.event == "Established":
                await client.clear("6002", call)
            if frame.event == "CallCleared":
                return told
    raise AssertionError("the call did not end")


async def test_a_client_that_comes_back_misses_nothing_and_gets_nothing_twice(desk: Desk) -> None:
    told = await one_call(desk.client)
    assert [frame.number for frame in told] == list(range(1, len(told) + 1))
    async with desk.client.events() as frames:
        run = (await snapshot(frames)).run
    async with desk.client.events(after=3, run=run) as frames:
        first = await snapshot(frames)
        assert (first.missed, first.number) == (False, len(told))
        again = [await anext(frames) for _ in told[3:]]
    assert [(f.number, f.event) for f in again if isinstance(f, wire.EventFrame)] == [
        (frame.number, frame.event) for frame in told[3:]
    ]


async def test_the_last_events_can_be_asked_for(desk: Desk) -> None:
    told = await one_call(desk.client)
    async with desk.client.events(after=-2) as frames:
        await snapshot(frames)
        last = [await anext(frames) for _ in range(2)]
    assert [f.number for f in last if isinstance(f, wire.EventFrame)] == [
        len(told) - 1,
        len(told),
    ]
    async with desk.client.events(after=-1000) as frames:
        assert not (await snapshot(frames)).missed


@pytest.mark.parametrize(("after", "run"), [(999, None), (1, "another")])
async def test_numbers_of_another_run_are_told_to_be_missed(
    desk: Desk, after: int, run: str | None
) -> None:
    await one_call(desk.client)
    async with desk.client.events(after=after, run=run) as frames:
        assert (await snapshot(frames)).missed


@pytest.mark.parametrize("start", ["x", "1.5", "１", "1" * 40, ""])
async def test_a_place_that_is_no_number_is_400(desk: Desk, start: str) -> None:
    headers = {**desk.bearer, "Connection": "Upgrade", "Upgrade": "websocket"}
    async with desk.http.get(
        f"{desk.url}/events", params={"from": start}, headers=headers
    ) as answer:
        assert answer.status == 400
        assert (await answer.json())["field"] == "from"


async def test_a_browser_proves_itself_by_subprotocol(desk: Desk) -> None:
    url = f"wss://localhost:{desk.endpoint.http.port}/api/v1/events"
    protocols = (wire.SUBPROTOCOL, wire.BEARER_SUBPROTOCOL + desk.endpoint.token)
    async with desk.http.ws_connect(url, protocols=protocols) as socket:
        # Never the token itself: it would come back in a header.
        assert socket.protocol == wire.SUBPROTOCOL
        frame: dict[str, Any] = await socket.receive_json()
        assert frame["type"] == "snapshot"


async def test_a_client_has_nothing_to_say_but_may_not_flood(desk: Desk) -> None:
    url = f"wss://localhost:{desk.endpoint.http.port}/api/v1/events"
    async with desk.http.ws_connect(url, headers=desk.bearer) as socket:
        await socket.receive()
        await socket.send_str("hello")
        await socket.send_str("x" * 100_000)
        async with asyncio.timeout(PATIENCE_S):
            while not socket.closed:
                await socket.receive()


async def test_an_extension_that_is_added_while_we_run_is_told_with_its_buttons(
    desk: Desk,
) -> None:
    async with desk.client.events() as frames:
        before = await snapshot(frames)
    assert "6009" not in {one.device for one in before.devices}
    realm = desk.endpoint.config.sip.realm
    await add_extension(desk.endpoint.extensions, realm, Extension("6009"), PASSWORD)
    async with desk.client.events() as frames:
        assert "6009" in {one.device for one in (await snapshot(frames)).devices}


async def test_an_alias_is_dialled_and_its_extension_called(desk: Desk) -> None:
    realm = desk.endpoint.config.sip.realm
    extension = Extension("6003", aliases=("4000",))
    await add_extension(desk.endpoint.extensions, realm, extension, PASSWORD)
    async with desk.client.events() as frames:
        await snapshot(frames)
        await desk.client.make_call("6002", "4000")
        established = await until(frames, "Established")
    assert established.call is not None
    assert (established.fields["device"], established.call.called) == ("6003", "6003")


async def test_a_call_does_not_wait_for_the_database(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(number: str) -> str | None:
        await asyncio.Event().wait()
        return number

    monkeypatch.setattr(desk.endpoint.extensions, "resolve", locked)
    monkeypatch.setattr("endpoint.app.wiring.LOOKUP_TIMEOUT_S", 0.01)
    async with desk.client.events() as frames:
        await snapshot(frames)
        await desk.client.make_call("6002", "6003")
        await until(frames, "Established")


async def test_nothing_is_missed_once_the_socket_is_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads its first frame late still has all that came since the socket was answered."""
    refresh = Directory.refresh

    async def slowly(directory: Directory) -> None:
        await asyncio.sleep(0.3)
        await refresh(directory)

    monkeypatch.setattr(Directory, "refresh", slowly)
    async with desk.client.events() as frames:
        accepted = await desk.client.make_call("6002", "6003")
        assert (await snapshot(frames)).calls == []
        originated = await until(frames, "Originated")
    assert originated.fields["call"] == accepted.call


async def test_events_end_when_the_endpoint_stops(state_directory: Any) -> None:
    async with Endpoint(configuration(state_directory)) as endpoint:
        client = EndpointClient(endpoint.running.plain_url, endpoint.token)
        await client.__aenter__()
        opened = client.events()
        frames = await opened.__aenter__()
        await snapshot(frames)
    async with asyncio.timeout(PATIENCE_S):
        assert [frame async for frame in frames] == []
    await opened.__aexit__(None, None, None)
    with pytest.raises(EndpointUnreachable):
        await client.health()
    await client.__aexit__(None, None, None)


async def test_what_is_declared_is_what_is_served(desk: Desk) -> None:
    """That nothing else is served the endpoint looks at itself, when it starts."""
    served = {
        (route.method, route.resource.canonical.removeprefix(wire.API))
        for route in desk.endpoint.http.application.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(wire.API)
    }
    assert {key for key in served if key[0] != "HEAD"} == set(OPERATIONS)
