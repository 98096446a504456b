"""Who may do what over HTTP: every operation, by every role, about its own and about others'."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from endpoint.agents.identity import OF_ROLE, Scope
from endpoint.agents.model import Agent, AgentId, Role
from endpoint.app import certificates
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native.operations import OPERATIONS, Operation, Whose

from .conftest import Desk, configuration
from .test_rest import snapshot, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "a-Night-in-Lisbon-7"
STAFF = {
    "agent": Agent(AgentId("1001"), department="sales"),
    "colleague": Agent(AgentId("1002"), department="sales"),
    "stranger": Agent(AgentId("2001"), department="support"),
    "monitor": Agent(AgentId("9001"), department="sales", role=Role.MONITOR, supervises=("sales",)),
    "administrator": Agent(AgentId("9999"), department="head", role=Role.ADMINISTRATOR),
}
SEATS = {"6001": "agent", "6002": "colleague", "6003": "stranger", "6004": "monitor"}
WHO = ("agent", "monitor", "administrator", "other tenant", "nobody")
TARGETS = {"own": None, "same department": "6002", "other department": "6003"}


@dataclass
class Centre:
    desk: Desk
    tokens: Mapping[str, str]
    calls: Mapping[str, str]
    """The call of each seat."""

    def client(self, who: str) -> EndpointClient:
        return EndpointClient(
            f"https://localhost:{self.desk.endpoint.http.port}",
            self.tokens[who],
            ssl_context=self.desk.trust,
        )

    async def ask(
        self, who: str, operation: Operation, device: str, call: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """One request of an operation about a device."""
        named = {"device": device, "call": call or self.calls[device]}
        if operation.whose is Whose.AGENT:
            named["agent"] = STAFF[SEATS[device]].id
        path = operation.path
        for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            path = path.replace(f"{{{name}}}", named.get(name, "none"))
        headers = {"Content-Type": operation.media[0]} if operation.media else {}
        if operation.body is not None:
            headers["Content-Type"] = "application/json"
        octets = None if operation.body is None else sample(operation, device)
        if token := self.tokens.get(who):
            headers["Authorization"] = f"Bearer {token}"
        async with self.desk.http.request(
            operation.method, self.desk.url + path, data=octets, headers=headers
        ) as answer:
            content = await answer.read()
            is_json = answer.content_type == "application/json" and content
            told = msgspec.json.decode(content) if is_json else {}
            return answer.status, told if isinstance(told, dict) else {}


def sample(operation: Operation, device: str) -> bytes:
    """A body that is whole, and has the device act."""
    assert operation.body is not None
    made = value(msgspec.json.schema(operation.body), msgspec.json.schema(operation.body))
    if operation.actor:
        made[operation.actor] = device
    return msgspec.json.encode(made)


def value(schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    """The least that a schema takes."""
    if "$ref" in schema:
        return value(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: value(fields[name], whole) for name in schema.get("required", ())}
        case "array":
            return [value(schema["items"], whole)] * schema.get("minItems", 0)
        case "string":
            return "1" * max(1, schema.get("minLength", 1))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return value(schema["anyOf"][0], whole)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def centre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Centre]:
    state = tmp_path_factory.mktemp("centre") / "state"
    stations = [
        {"device": device, "kind": "tone"} for device in (*SEATS, "6011", "6012", "6013", "6014")
    ]
    config = configuration(state, media={"webrtc_ready": False}, station=stations)
    endpoint = Endpoint(config)
    async with endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        async with (
            EndpointClient(
                f"https://localhost:{endpoint.http.port}", endpoint.token, ssl_context=trust
            ) as client,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http,
        ):
            for each in STAFF.values():
                await client.add_to_directory(
                    "agents",
                    directory.Agent(
                        each.id,
                        department=each.department,
                        role=each.role.value,
                        supervises=[*each.supervises],
                    ),
                )
            for device, who in SEATS.items():
                logs_on = agents.LogOnAgent(device, keep_logged_on=True)
                await client.log_on(STAFF[who].id, logs_on)
            tokens: dict[str, str] = {}
            for who in ("agent", "monitor", "administrator"):
                await client.set_agent_password(STAFF[who].id, PASSWORD)
                tokens[who] = (await client.log_in(STAFF[who].id, PASSWORD)).access_token
            tokens["other tenant"] = f"aea_{'of-another-installation':x<43}"
            calls: dict[str, str] = {}
            async with client.events() as frames:
                await snapshot(frames)
                for device, other in zip(SEATS, ("6011", "6012", "6013", "6014"), strict=True):
                    calls[device] = (await client.make_call(device, other)).call
                    await until(frames, "Established")
            yield Centre(Desk(endpoint, client, http, trust), tokens, calls)


def may(who: str, operation: Operation, target: str) -> bool:
    """The rules, in other words than the program has them."""
    if operation.whose is Whose.NOBODYS:
        return True
    if who in ("other tenant", "nobody") or operation.whose is Whose.HOUSE:
        return False
    role = Role(who)
    if role is Role.ADMINISTRATOR:
        return True
    if operation.whose is Whose.TENANT or operation.scope not in {None, *OF_ROLE[role]}:
        return False
    if operation.whose in (Whose.ANYBODYS, Whose.FOUND):
        return True
    return target == "own" or (role is Role.MONITOR and target == "same department")


UNKNOWN = {"error": "unknown_call", "text": "no such call, or it is over"}


@pytest.mark.parametrize("who", WHO)
async def test_s21_every_operation_by_every_role_about_own_and_others(
    centre: Centre, who: str
) -> None:
    asked: set[tuple[tuple[str, str], str]] = set()
    harmful = {("DELETE", "/tokens/{token}")}
    for operation, (target, device) in itertools.product(OPERATIONS.values(), TARGETS.items()):
        own = {"agent": "6001", "monitor": "6004"}.get(who, "6001")
        call = "" if operation.whose is Whose.CALL else "no-such-call"
        status, told = await centre.ask(who, operation, device or own, call)
        asked.add((operation.key, target))
        told_no = status in (401, 403) and str(told.get("text")).startswith(
            ("this is not for you", "the token is not for this", "send a bearer token")
        )
        if operation.whose is Whose.CALL and who in {*Role}:
            told_no = status == 404
        assert told_no != may(who, operation, target), (operation.key, target, status, told)
        assert status < 500 or status == 503, (operation.key, status, told)
        assert operation.key in harmful or status != 202, operation.key
    assert asked == set(itertools.product(OPERATIONS, TARGETS))


async def test_s21_a_call_of_another_is_not_reached_by_its_name(centre: Centre) -> None:
    """An own device and another's call: each command is refused, and the call goes on as it was."""
    before = await centre.desk.client.call(centre.calls["6003"])
    for operation in OPERATIONS.values():
        if operation.commands and "{call}" in operation.path:
            status, told = await centre.ask("agent", operation, "6001", centre.calls["6003"])
            if status == 400:  # of what the body says, before anybody looks for the call
                assert told["error"] != "unknown_call"
                continue
            no_such = await centre.ask("agent", operation, "6001", "no-such-call")
            assert (status, told) == no_such == (404, UNKNOWN), operation.key
    assert await centre.desk.client.call(centre.calls["6003"]) == before


async def test_s21_nobody_finds_what_is_others(centre: Centre) -> None:
    async with centre.client("agent") as ann, centre.client("monitor") as max_:
        assert [call.call for call in await ann.calls()] == [centre.calls["6001"]]
        assert {each.device for each in await ann.devices()} == {"6001"}
        assert {call.call for call in await max_.calls()} == {
            centre.calls[device] for device in ("6001", "6002", "6004")
        }
        assert {each.device for each in await max_.devices()} == {"6001", "6002", "6004"}
        own = await ann.tokens()
        assert {each.agent for each in own} == {"1001"}
        assert any(each.used_at is not None for each in own)  # by this very request
    assert len(await centre.desk.client.calls()) == len(SEATS)


async def test_s21_events_of_others_are_not_told(centre: Centre) -> None:
    """Both see the same stream; an agent what is about its own call alone."""
    async with centre.client("agent") as ann, ann.events() as frames:
        first = await snapshot(frames)
        assert [call.call for call in first.calls] == [centre.calls["6001"]]
        admin = centre.desk.client
        for device in ("6003", "6001"):
            await admin.mute(device, centre.calls[device])
        told = await until(frames, "MicrophoneMute")
        assert told.fields["device"] == "6001"
        assert {each.device for each in told.devices} == {"6001"}
        for device in ("6003", "6001"):
            await admin.mute(device, centre.calls[device], muted=False)


async def test_a_monitor_listens_to_its_departments_wherever_they_sit(centre: Centre) -> None:
    """No rule of devices names 6004: who is logged on there supervises who is logged on at 6002."""
    async with centre.client("monitor") as max_, max_.events() as frames:
        await snapshot(frames)
        await max_.clear("6004", centre.calls["6004"])
        await until(frames, "CallCleared")
        joined = await max_.join("6004", centre.calls["6002"], "6002")
        assert (await until(frames, "Joined")).fields["device"] == "6004"
        await max_.clear("6004", joined.call)
        join = OPERATIONS["POST", "/calls/{call}/join"]
        status, told = await centre.ask("monitor", join, "6004", centre.calls["6003"])
        assert (status, told) == (404, UNKNOWN)


async def test_a_program_may_what_its_token_is_for(centre: Centre) -> None:
    issued = await centre.desk.client.add_program("wallboard", ["calls:read"], 3600)
    centre = Centre(centre.desk, {**centre.tokens, "program": issued.access_token}, centre.calls)
    async with centre.client("program") as wallboard:
        assert len(await wallboard.calls()) >= len(SEATS) - 1
        assert (await wallboard.identity()).scopes == ["calls:read"]
    for operation in OPERATIONS.values():
        if operation.scope not in (None, Scope.CALLS_READ):
            status, told = await centre.ask("program", operation, "6001")
            assert (status, told.get("expected")) == (403, f"a token with scope {operation.scope}")
    await centre.desk.client.revoke_token(issued.token)


async def test_s26_a_socket_is_told_before_its_token_ends_and_closed_when_it_is_revoked(
    centre: Centre,
) -> None:
    issued = await centre.desk.client.add_program("soon-over", ["calls:read"], 30)
    opened = await socket(centre, issued.access_token)
    first = msgspec.json.decode(await opened.receive_str(timeout=20), type=wire.Frame)
    assert isinstance(first, wire.Snapshot)
    told = msgspec.json.decode(await opened.receive_str(timeout=20), type=wire.Frame)
    assert isinstance(told, wire.CredentialsExpiring)
    assert told.expires_at == issued.expires_at
    await centre.desk.client.revoke_token(issued.token)
    assert await closed(opened) == (0, 4401)
    async with centre.desk.http.get(
        f"{centre.desk.url}/calls", headers={"Authorization": f"Bearer {issued.access_token}"}
    ) as answer:
        assert answer.status == 401


async def test_s26_a_socket_is_closed_when_its_token_is_over(centre: Centre) -> None:
    issued = await centre.desk.client.add_program("over", ["calls:read"], 2)
    opened = await socket(centre, issued.access_token)
    assert await closed(opened) == (2, 4401)


async def test_an_agent_who_is_taken_out_is_out_at_once(centre: Centre) -> None:
    client = centre.desk.client
    await client.add_to_directory("agents", directory.Agent("1003"))
    await client.set_agent_password("1003", PASSWORD)
    issued = await client.log_in("1003", PASSWORD)
    opened = await socket(centre, issued.access_token)
    await opened.receive_str(timeout=20)
    await client.change_in_directory("agents", "1003", {"enabled": False})
    assert await closed(opened) == (0, 4401)
    await client.change_in_directory("agents", "1003", {"enabled": True})
    await client.set_agent_password("1003", f"{PASSWORD}-another")
    with pytest.raises(RequestRefused, match="not known"):
        await client.refresh_token(issued.refresh_token)
    await client.remove_from_directory("agents", "1003")


async def test_s21_past_calls_and_recordings_are_of_who_had_them(centre: Centre) -> None:
    """An agent's own, a monitor's departments'; of others none is there, however it is asked."""
    admin, recordings = centre.desk.client, dict[str, str]()
    async with admin.events() as frames:
        await snapshot(frames)
        for device in ("6001", "6002", "6003"):
            await admin.record(device, centre.calls[device])
            started = await until(frames, "RecordingStarted")
            recordings[device] = str(started.fields["recording"])
            async with centre.client("agent") as ann:
                live = ann.recording(recordings[device])
                assert await refusal(live) == (0 if device == "6001" else 404)
            await admin.end(device, centre.calls[device])
            await until(frames, "CallCleared")
    # Who sits down there afterwards had no part in it.
    for agent in ("1001", "2001"):
        await admin.log_off(agent)
    await admin.log_on("2001", agents.LogOnAgent("6001", keep_logged_on=True))
    calls = {centre.calls[device] for device in recordings}
    may_see = {
        "agent": {"6001"},
        "monitor": {"6001", "6002"},
        "administrator": {"6001", "6002", "6003"},
    }
    for who, own in may_see.items():
        own_calls = {centre.calls[device] for device in own}
        async with centre.client(who) as client:
            assert {each.call for each in (await client.records()).records} & calls == own_calls
            assert {each.call for each in await client.recordings()} & calls == own_calls
            pieces = [piece async for piece in client.exported_records([("format", "jsonl")])]
            file = b"".join(pieces).decode()
            assert {call for call in calls if f'"{call}"' in file} == own_calls
            for device, recording in recordings.items():
                call, expected = centre.calls[device], 0 if device in own else 404
                assert await refusal(client.record_of(call)) == expected
                assert await refusal(client.recording(recording)) == expected
                assert await refusal(client.recorded_audio(recording)) == expected
                of_call = await client.recordings(call=call)
                assert [each.recording for each in of_call] == [recording] * (device in own)
            of_stranger = (await client.records([("agent", "2001")])).records
            assert ({each.call for each in of_stranger} & calls) == (
                {centre.calls["6003"]} if "6003" in own else set()
            )
    async with centre.client("monitor") as max_:
        found = await max_.record_of(centre.calls["6001"])
        assert [each.agent for each in found.record.connections] == ["1001", ""]
        assert await refusal(max_.delete_recording(recordings["6001"])) == 403


async def refusal(asking: Awaitable[object]) -> int:
    """By which status it is refused; 0: it is not."""
    try:
        await asking
    except RequestRefused as refused:
        return refused.status
    return 0


async def socket(centre: Centre, token: str) -> aiohttp.ClientWebSocketResponse:
    return await centre.desk.http.ws_connect(
        f"{centre.desk.url}/events", headers={"Authorization": f"Bearer {token}"}
    )


async def closed(opened: aiohttp.ClientWebSocketResponse) -> tuple[int, int]:
    """How many frames came yet, and by which code it was closed."""
    frames = 0
    async with asyncio.timeout(20):
        while (message := await opened.receive()).type is aiohttp.WSMsgType.TEXT:
            frames += 1
    assert message.type is aiohttp.WSMsgType.CLOSE
    return frames, message.data
