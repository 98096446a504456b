"""The directory of agents by REST: what is kept, what is refused, and that it counts at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from endpoint.agents.model import STANDARD_MODES, AgentId, Role
from endpoint.app import certificates
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import directorymessages as wire

from .conftest import Desk, configuration

pytestmark = pytest.mark.integration

PASSWORD = "a-Night-in-Lisbon-7"
SALES = wire.Skill("sales", "Sales")
ANNA = wire.Agent(
    "1001", "Anna", "Europe", "monitor", ["Europe"], [wire.SkillLevel("sales", 9)], 10, ["60*"]
)
QUEUE = wire.QueueSettings(
    "sales",
    "Sales",
    [wire.SkillWanted("sales", 3)],
    priority=5,
    overflow=wire.Overflow(30, device="6002"),
)


@pytest.fixture
def client(desk: Desk) -> EndpointClient:
    return desk.client


async def ask(
    desk: Desk, method: str, path: str, body: Any = None, *, kind: str = "application/json"
) -> tuple[int, Any]:
    octets = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = desk.bearer | ({} if body is None else {"Content-Type": kind})
    async with desk.http.request(
        method, f"{desk.url}/directory{path}", data=octets if body is not None else None,
        headers=headers,
    ) as answer:  # fmt: skip
        content = await answer.read()
        return answer.status, msgspec.json.decode(content) if content else None


async def test_what_is_added_counts_at_once_and_in_the_next_process(
    state_directory: Path,
) -> None:
    config = configuration(state_directory, media={"webrtc_ready": False})
    async with Endpoint(config) as endpoint, opened(endpoint) as client:
        versions: list[int] = []
        in_use = endpoint.directory_book.in_use
        in_use.watch(lambda: versions.append(in_use.version))
        assert await client.add_to_directory("skills", SALES) == SALES
        assert await client.add_to_directory("agents", ANNA) == ANNA
        assert await client.put_in_directory("queues", "sales", QUEUE) == QUEUE
        await client.set_agent_password("1001", PASSWORD)
        agent = in_use.agent(AgentId("1001"))
        assert agent is not None
        assert (agent.role, agent.supervises, agent.devices) == (
            Role.MONITOR,
            ("Europe",),
            ("60*",),
        )
        assert len(versions) == 3
        assert await in_use.is_password(AgentId("1001"), PASSWORD)
        before = in_use.contents
        assert PASSWORD.encode() not in (state_directory / "endpoint.sqlite3").read_bytes()
    async with Endpoint(config) as endpoint:
        assert endpoint.directory_book.in_use.contents == before
        assert await endpoint.directory_book.in_use.is_password(AgentId("1001"), PASSWORD)


def opened(endpoint: Endpoint) -> EndpointClient:
    trust = certificates.client_context(endpoint.certificate.authority)
    url = f"https://localhost:{endpoint.http.port}"
    return EndpointClient(url, endpoint.token, ssl_context=trust)


async def test_one_is_read_listed_changed_and_removed(desk: Desk, client: EndpointClient) -> None:
    await client.add_to_directory("skills", SALES)
    status, made = await ask(desk, "PUT", "/agents/1001", ANNA)
    assert status == 201
    assert await ask(desk, "GET", "/agents/1001") == (200, made)
    assert (await ask(desk, "PUT", "/agents/1001", made))[0] == 200, "as it was read, it is taken"
    assert await ask(desk, "GET", "/agents") == (200, {"agents": [made]})
    changes = {"name": "Anne", "skills": []}
    status, changed = await ask(
        desk, "PATCH", "/agents/1001", changes, kind="application/merge-patch+json"
    )
    assert (status, changed) == (200, {**made, **changes})
    assert await ask(desk, "DELETE", "/agents/1001") == (204, None)
    assert (await ask(desk, "GET", "/agents/1001"))[0] == 404
    assert (await client.directory()).agents == []


async def test_what_is_taken_away_by_null_is_gone(desk: Desk, client: EndpointClient) -> None:
    await client.add_to_directory("skills", SALES)
    await client.add_to_directory("queues", QUEUE)
    status, changed = await ask(desk, "PATCH", "/queues/sales", {"overflow": None})
    assert (status, changed["overflow"], changed["priority"]) == (200, None, 5)


async def test_the_standard_modes_are_there_and_stay_when_one_is_added(
    client: EndpointClient,
) -> None:
    """Nobody can be ready any more who names one mode more, and so had no other."""
    standard = [each.name for each in STANDARD_MODES]
    assert [each.name for each in (await client.directory()).modes] == standard
    training = wire.WorkMode(9, "training", "non_real_time", position=9)
    await client.add_to_directory("modes", training)
    await client.change_in_directory("modes", "3", {"name": "busy"})
    await client.remove_from_directory("reasons", "meal")
    found = await client.directory()
    assert [each.name for each in found.modes] == ["ready", "busy", "away", "training"]
    assert [each.code for each in found.reasons] == ["meeting", "other", "rest"]


REFUSED: list[tuple[str, str, Any, int, str, str]] = [
    ("POST", "/agents", {}, 400, "bad_field", "$"),
    ("POST", "/agents", {"id": "1", "role": "king"}, 400, "bad_field", "$.role"),
    ("POST", "/agents", {"id": "1", "age": 7}, 400, "bad_field", "$"),
    ("POST", "/agents", {"id": "a b"}, 400, "bad_field", "$.id"),
    ("POST", "/agents", {"id": "1", "wrap_up_s": -1}, 400, "bad_field", "$.wrap_up_s"),
    ("POST", "/agents", b'{"id": "1", "id": "2"}', 400, "bad_json", "$.id"),
    ("POST", "/agents", b'{"id": "1", "wrap_up_s": 1e999}', 400, "bad_field", "$.wrap_up_s"),
    ("POST", "/agents", {"id": "1001"}, 409, "taken", ""),
    ("POST", "/modes", {"code": "0"}, 400, "bad_field", "$.code"),
    ("POST", "/modes", {"code": 0, "name": "x"}, 409, "taken", ""),
    ("PUT", "/agents/1002", {"id": "1001"}, 400, "bad_field", "$.id"),
    ("PUT", "/queues/q", {"code": "q"}, 400, "bad_field", "$.skills"),
    ("PATCH", "/agents/1001", {"id": "1002"}, 400, "bad_field", "$.id"),
    ("PATCH", "/agents/1001", {"skills": [{"skill": "x"}]}, 400, "bad_field",
     "$.skills[0].skill"),
    ("PATCH", "/agents/1001", {"skills": 7}, 400, "bad_field", "$.skills"),
    ("PATCH", "/agents/1001", {}, 400, "bad_field", "$"),
    ("PATCH", "/agents/1009", {"name": "x"}, 404, "unknown", ""),
    ("DELETE", "/agents/1009", None, 404, "unknown", ""),
    ("DELETE", "/skills/sales", None, 409, "in_use", ""),
    ("PUT", "/agents/1001/password", {"password": "short"}, 400, "weak_password",
     "$.password"),
    ("PUT", "/agents/1001/password", {"password": "my-number-is-1001-ok"}, 400,
     "weak_password", "$.password"),
    ("PUT", "/agents/1009/password", {"password": PASSWORD}, 404, "unknown", ""),
    ("POST", "/import", {"passwords": {"1009": PASSWORD}}, 400, "bad_directory",
     "$.passwords.1009"),
]  # fmt: skip


async def test_what_is_refused_says_why_and_changes_nothing(
    desk: Desk, client: EndpointClient
) -> None:
    await client.add_to_directory("skills", SALES)
    await client.add_to_directory("agents", ANNA)
    before = await client.directory()
    for method, path, body, status, error, field in REFUSED:
        found, said = await ask(desk, method, path, body)
        assert (found, said["error"], said.get("field", "")) == (status, error, field), said
        assert said["text"]
        assert bool(said.get("expected")) == bool(field), said
    for path in ("/kings", "/agents/1001/pin"):
        assert (await ask(desk, "GET", path))[0] == 404
    assert await client.directory() == before


async def test_many_are_brought_in_at_once_or_none(client: EndpointClient) -> None:
    """All mistakes are told, of all kinds, each by its place."""
    brought = wire.DirectoryImport(
        agents=[ANNA, wire.Agent("1002"), wire.Agent("1002"), wire.Agent("1003", wrap_up_s=-1)],
        skills=[SALES],
        passwords={"1001": PASSWORD, "1002": "short"},
    )
    with pytest.raises(RequestRefused) as refused:
        await client.bring_into_directory(brought)
    assert [each.field for each in refused.value.refused.mistakes] == [
        "$.agents[1].id",
        "$.agents[3].wrap_up_s",
        "$.passwords.1002",
    ]
    assert "short" not in str(refused.value)
    assert (await client.directory()).agents == []
    counts = await client.bring_into_directory(
        wire.DirectoryImport([ANNA, wire.Agent("1002")], [SALES], passwords={"1001": PASSWORD})
    )
    assert counts == wire.DirectoryImported(added=3, changed=0, removed=0, unchanged=7)
    found = await client.directory()
    assert [(each.id, each.has_password) for each in found.agents] == [
        ("1001", True),
        ("1002", False),
    ]
    counts = await client.bring_into_directory(
        wire.DirectoryImport([wire.Agent("1002", "Ben"), wire.Agent("1003")], only=True)
    )
    assert counts == wire.DirectoryImported(added=1, changed=1, removed=1, unchanged=8)
    assert [each.id for each in (await client.directory()).agents] == ["1002", "1003"]


async def test_who_has_another_password_has_its_tokens_no_longer(
    desk: Desk, client: EndpointClient
) -> None:
    """However it came to it: alone, or by a file."""
    await client.add_to_directory("agents", wire.Agent("1001"))
    told: list[str] = []
    revoke = desk.endpoint.directory_book.new_password

    async def note(agent: AgentId) -> None:
        told.append(agent)
        await revoke(agent)

    desk.endpoint.directory_book.new_password = note
    await client.set_agent_password("1001", PASSWORD)
    await client.bring_into_directory(wire.DirectoryImport(passwords={"1001": PASSWORD + "x"}))
    await client.bring_into_directory(wire.DirectoryImport([wire.Agent("1001", "Anna")]))
    assert told == ["1001", "1001"]


async def test_no_password_is_logged(client: EndpointClient) -> None:
    with capture_logs() as logged:
        await client.add_to_directory("agents", wire.Agent("1001"))
        await client.set_agent_password("1001", PASSWORD)
        with pytest.raises(RequestRefused):
            await client.set_agent_password("1001", "canary-1001-canary-x")
        await client.bring_into_directory(wire.DirectoryImport(passwords={"1001": PASSWORD}))
    assert [each for each in logged if each.get("agent") == "1001"]
    assert "canary" not in str(logged)
    assert PASSWORD not in str(logged)
    assert "argon2" not in str(logged)
