"""Extensions by REST: made, they register and call; changed and removed, what they had is over."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from endpoint.app.exitcodes import ExitCode
from endpoint.app.secrecy import weakness
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import extensionmessages as wire
from endpoint.rig.fleet import Fleet
from endpoint.rig.orders import AnswerMode
from tests.integration.signaling.raw import RawClient

from .conftest import Desk
from .test_rest import snapshot, until
from .test_serve import COMMAND

pytest_plugins = ["endpoint.rig.plugin"]
pytestmark = pytest.mark.integration

PASSWORD = "a-Night-in-Lisbon-7"
OTHER = "two-Days-in-Porto-8"


@pytest.fixture
def client(desk: Desk) -> EndpointClient:
    return desk.client


async def ask(desk: Desk, method: str, number: str, body: Any = None) -> tuple[int, Any]:
    headers = desk.bearer | ({} if body is None else {"Content-Type": "application/json"})
    octets = None if body is None else msgspec.json.encode(body)
    async with desk.http.request(
        method, f"{desk.url}/extensions{number}", data=octets, headers=headers
    ) as answer:
        content = await answer.read()
        return answer.status, msgspec.json.decode(content) if content else None


async def registers(desk: Desk, number: str, password: str) -> int:
    """How a REGISTER with that password is answered."""
    _, port = desk.endpoint.sip_address
    async with RawClient(port) as phone:
        return (await phone.authorised("REGISTER", number, password)).status


async def test_one_is_made_read_changed_and_removed(desk: Desk, client: EndpointClient) -> None:
    realm = desk.endpoint.config.sip.realm
    front = {"number": "6001", "name": "Front desk", "aliases": ["4000", "4001"]}
    told = {**front, "realms": [realm], "weak": False}
    body = {"name": "Front desk", "aliases": ["4001", "4000", "4001"], "password": PASSWORD}
    assert await ask(desk, "PUT", "/6001", body) == (201, told)
    assert await ask(desk, "GET", "/6001") == (200, told)
    assert await ask(desk, "GET", "") == (200, {"extensions": [told]})
    assert "6001" in {each.device for each in await client.devices()}
    changed = {**told, "name": "Desk", "aliases": []}
    assert await ask(desk, "PUT", "/6001", {"name": "Desk"}) == (200, changed)
    assert await registers(desk, "6001", PASSWORD) == 200, "it keeps its password"
    assert await ask(desk, "DELETE", "/6001") == (204, None)
    for method in ("GET", "DELETE"):
        status, refused = await ask(desk, method, "/6001")
        assert (status, refused["error"]) == (404, "unknown_extension")
    assert await client.extensions() == []
    assert "6001" not in {each.device for each in await client.devices()}


async def test_a_password_that_is_made_is_told_once_and_kept_nowhere(
    desk: Desk, client: EndpointClient
) -> None:
    with capture_logs() as logs:
        made = (await client.put_extension("6001", wire.PutExtension())).password
        assert weakness(made, "6001") is None
        again = await client.put_extension("6001", wire.PutExtension("Desk"))
        assert again.password == ""
        assert await registers(desk, "6001", made) == 200
        anew = (await client.put_extension("6001", wire.PutExtension(generate=True))).password
        assert len({"", made, anew}) == 3
        assert await registers(desk, "6001", made) == 401
        assert await registers(desk, "6001", anew) == 200
        await client.put_extension("6001", wire.PutExtension(password=PASSWORD))
        assert await registers(desk, "6001", PASSWORD) == 200
        everything = [await ask(desk, "GET", path) for path in ("", "/6001")]
    assert "extension changed" in {each["event"] for each in logs}
    kept = b"".join(
        path.read_bytes()
        for path in desk.endpoint.config.state.directory.rglob("*")
        if path.is_file()
    )
    assert b"6001" in kept
    for secret in (made, anew, PASSWORD):
        assert secret not in str(everything)
        assert secret not in str(logs)
        assert secret.encode() not in kept


NUMBER = "1 to 64 letters, digits or any of _ . + * # -"


@pytest.mark.parametrize(
    ("path", "body", "field", "found", "expected"),
    [
        ("/60%2001", {}, "extension", "60 01", NUMBER),
        ("/" + "6" * 65, {}, "extension", "6" * 64, NUMBER),
        ("/%00", {}, "extension", "\0", NUMBER),
        ("/6001", {"aliases": ["4000", "no such"]}, "$.aliases[1]", "no such", NUMBER),
        ("/6001", {"aliases": ["6001"]}, "$.aliases[0]", "6001", "another number"),
        ("/6001", {"name": "a\nb"}, "$.name", "a\nb", "one line of up to 128 characters"),
        ("/6001", {"name": "a" * 129}, "$.name", "a" * 64, "one line of up to 128 characters"),
        (
            "/6001",
            {"password": PASSWORD, "generate": True},
            "$.generate",
            "true",
            "false, where a password is given",
        ),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    desk: Desk, path: str, body: dict[str, Any], field: str, found: str, expected: str
) -> None:
    status, refused = await ask(desk, "PUT", path, body)
    said = refused["text"].rpartition("found ")[2]
    assert (status, refused["error"]) == (400, "bad_field")
    assert (refused["field"], said, refused["expected"]) == (field, found, expected)
    assert await desk.client.extensions() == []
    for method in ("GET", "DELETE"):
        assert (await ask(desk, method, path))[0] == 404


async def test_all_that_is_wrong_is_told_at_once(desk: Desk) -> None:
    body = {"aliases": ["6001", "a b"], "name": "\t"}
    _, refused = await ask(desk, "PUT", "/6001", body)
    told = [each["field"] for each in refused["mistakes"]]
    assert told == ["$.name", "$.aliases[0]", "$.aliases[1]"]
    status, refused = await ask(desk, "PUT", "/6001", {"nam": "Desk"})
    assert (status, refused["error"]) == (400, "bad_field")
    assert refused["expected"] == "name?, aliases?, password?, generate?"


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaaaaaa", "Lisbon-6001-is-long"])
async def test_a_weak_password_is_refused_and_not_repeated(desk: Desk, password: str) -> None:
    status, refused = await ask(desk, "PUT", "/6001", {"password": password})
    assert (status, refused["error"], refused["field"]) == (400, "weak_password", "$.password")
    assert refused["text"].endswith(f"found {len(password)} characters")
    assert not password or password not in str(refused)
    assert await desk.client.extensions() == []


async def test_a_number_that_another_has_is_not_taken_from_it(client: EndpointClient) -> None:
    await client.put_extension("6001", wire.PutExtension(aliases=["4000"]))
    for number, aliases in (("4000", []), ("6005", ["6001"]), ("6005", ["4000"])):
        with pytest.raises(RequestRefused, match="extension 6001's") as refused:
            await client.put_extension(number, wire.PutExtension(aliases=aliases))
        assert (refused.value.status, refused.value.reason) == (409, "taken")
    assert [each.number for each in await client.extensions()] == ["6001"]
    await client.put_extension("6001", wire.PutExtension())
    await client.put_extension("6005", wire.PutExtension(aliases=["4000"]))


async def test_a_telephone_of_one_that_is_made_calls_until_it_is_removed(
    desk: Desk, client: EndpointClient, fleet: Fleet
) -> None:
    """The registration ends with the extension, the call that it is in does not."""
    host, port = desk.endpoint.sip_address
    async with client.events() as frames:
        await snapshot(frames)
        for number in ("6001", "6004"):
            made = await client.put_extension(number, wire.PutExtension(aliases=[f"7{number}"]))
            await fleet.add(
                number,
                server=f"udp:{host}:{port}",
                password=made.password,
                answer=AnswerMode.AUTOMATIC,
            )
            assert (await until(frames, "DeviceRegistered")).fields["device"] == number
        phone, other = fleet.parties["6001"], fleet.parties["6004"]
        await phone.dial("76004")
        await fleet.becomes({"6001": ["6004"], "6004": ["6001"]})

        await client.remove_extension("6001")

        gone = await until(frames, "DeviceUnregistered")
        assert (gone.fields["device"], gone.fields["cause"]) == ("6001", "unauthorised")
        assert gone.fields["text"] == "withdrawn"
        await fleet.becomes({"6001": ["6004"], "6004": ["6001"]})
        await phone.hang_up()
        assert (await until(frames, "CallCleared")).fields["released_by"] == "device"
    assert {each.device for each in await client.registrations() if each.registered} == {"6004"}
    assert desk.endpoint.server.bindings("6001") == []
    assert await registers(desk, "6001", PASSWORD) == 401
    for number in ("6001", "76001"):
        await other.dial(number)
        assert (await other.when(lambda status: status.sip_status >= 400)).sip_status == 404
    await phone.dial("6004")
    assert (await phone.when(lambda status: status.sip_status >= 400)).sip_status in (401, 403)


async def test_another_password_ends_what_the_old_one_registered_and_the_same_does_not(
    desk: Desk, client: EndpointClient
) -> None:
    server = desk.endpoint.server
    await client.put_extension("6001", wire.PutExtension(password=PASSWORD))
    assert await registers(desk, "6001", PASSWORD) == 200
    for harmless in (wire.PutExtension("Desk", ["4000"]), wire.PutExtension(password=PASSWORD)):
        await client.put_extension("6001", harmless)
        assert len(server.bindings("6001")) == 1
    await client.put_extension("6001", wire.PutExtension(password=OTHER))
    assert server.bindings("6001") == []
    assert await registers(desk, "6001", PASSWORD) == 401
    assert await registers(desk, "6001", OTHER) == 200


async def test_the_command_line_removes_one_from_the_endpoint_that_runs(
    desk: Desk, client: EndpointClient
) -> None:
    await client.put_extension("6001", wire.PutExtension(password=PASSWORD))
    assert await registers(desk, "6001", PASSWORD) == 200
    assert (await command(desk, "extension", "remove", "6001"))[0] == ExitCode.OK
    assert desk.endpoint.server.bindings("6001") == []
    assert await client.extensions() == []
    status, said = await command(desk, "extension", "remove", "6001")
    assert (status, "there is no extension 6001" in said) == (ExitCode.STORAGE, True)


async def command(desk: Desk, *arguments: str) -> tuple[int, str]:
    state = str(desk.endpoint.config.state.directory)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "AGENT_ENDPOINT_STATE__DIRECTORY": state},
    )
    said, _ = await process.communicate()
    return process.returncode or 0, " ".join(said.decode().split())
