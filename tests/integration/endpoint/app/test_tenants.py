"""Tenants that share a database, numbers and names do not meet: over HTTP, its sockets, SIP.

Every operation of the table is asked of one tenant about what is the other's. One that is added
must be filled here with something of the tenant's, or be said to show nothing of it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import event

from endpoint.agents.webhooks import Message, Undelivered
from endpoint.app import certificates
from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.errors import ConfigurationError
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import planmessages as plan
from endpoint.gateways.native import webhookmessages as webhooks
from endpoint.gateways.native.extensionmessages import PutExtension
from endpoint.gateways.native.operations import OPEN, OPERATIONS, Operation
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions
from endpoint.storage.schema import Base
from endpoint.storage.tenants import Tenant, Tenants
from endpoint.storage.webhooks import StoredWebhooks
from tests.integration.signaling.raw import RawClient
from tests.softphone import soft_phone

from .conftest import configuration
from .test_permissions import sample
from .test_rest import snapshot, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ACME, GLOBEX = "acmeworld", "globexworld"
"""Each is in all that its tenant has, and in nothing of the other's."""
HOOKS = "http://127.0.0.1:9/"
PASSWORD = "a-Night-in-Lisbon-7"
STATIONS = ("6002", "6003", "6004", "6005")
SHOWS_NOTHING = {
    # What is told of this process and its own files, or of whoever is asked about alone.
    *{("GET", f"/{word}") for word in ("health", "bans", "ivr", "trunks", "registrations")},
    *{("GET", f"/{word}.json") for word in ("openapi", "asyncapi")},
    ("GET", "/calls/{call}/quality"),
    ("GET", "/calls/{call}/trace"),
    ("GET", "/traces"),
    ("GET", "/devices/{device}/sound"),
    ("GET", "/agents/{agent}/times"),
    ("GET", "/recordings/{recording}/audio"),
    # By a WebSocket: `test_no_event_crosses`.
    ("GET", "/events"),
    ("GET", "/agents/{agent}/events"),
    # Of the house, where the default tenant is served: `test_who_may_say_which_tenants_there_are`.
    ("GET", "/tenants"),
}


@dataclass
class World:
    """A tenant's process, and what it has."""

    name: str
    endpoint: Endpoint
    client: EndpointClient
    http: aiohttp.ClientSession
    names: dict[str, str] = field(default_factory=dict)
    """What stands in a path: an id of its own for each word in braces."""
    tokens: list[str] = field(default_factory=list)

    @property
    def marks(self) -> set[str]:
        """What tells that it is of this tenant."""
        return {self.name, self.names["recording"], self.names["token"]}

    @property
    def url(self) -> str:
        return f"https://localhost:{self.endpoint.http.port}/api/v1"

    async def fill(self) -> None:
        """Give it one of everything, with its name in it; numbers are the same in each tenant."""
        client, name = self.client, self.name
        for kind, entry in {
            "skills": directory.Skill("sales", name),
            "modes": directory.WorkMode(7, name, "normal"),
            "reasons": directory.LeaveReason("dentist", name),
            "queues": directory.QueueSettings("sales", name, [directory.SkillWanted("sales")]),
            "agents": directory.Agent(
                "1001", name, name, skills=[directory.SkillLevel("sales", 5)]
            ),
        }.items():
            await client.add_to_directory(kind, entry)  # type: ignore[arg-type]  # of the mapping
        await client.set_agent_password("1001", PASSWORD)
        issued = await client.log_in("1001", PASSWORD)
        program = await client.add_program(name, ["calls:read"], 3600)
        self.tokens = [self.endpoint.token, issued.access_token, program.access_token]
        await client.log_on("1001", agents.LogOnAgent("6004", keep_logged_on=True))
        await client.add_plan_rule(plan.PlanRule("rule", "0800*", "refuse", text=name))
        await client.put_extension("6009", PutExtension(name))
        await client.add_webhook(webhooks.AddWebhook("hook", f"{HOOKS}{name}", enabled=False))
        kept = Undelivered(Message("1", "events", "Held", b"{}"), datetime.now(UTC), 1, name)
        await StoredWebhooks(self.endpoint.database).put_undelivered("hook", kept)
        async with client.events() as frames:
            await snapshot(frames)
            call = (await client.make_call("6002", "6003", data={"world": name})).call
            await until(frames, "Established")
            await client.record("6002", call)
            recording = str((await until(frames, "RecordingStarted")).fields["recording"])
            await client.clear("6002", call)
            await until(frames, "RecordingStopped")
            living = (await client.make_call("6002", "6003", data={"world": name})).call
            await until(frames, "Established")
        self.names = {
            **dict.fromkeys(("agent", "media"), "1001"),
            **dict.fromkeys(("skill", "queue"), "sales"),
            "mode": "7",
            "reason": "dentist",
            "rule": "rule",
            "extension": "6009",
            # Kept in the process's own state directory: no other has one of any name.
            "call_back": "1",
            "webhook": "hook",
            "source": "192.0.2.1",
            "call": living,
            "over": call,
            "recording": recording,
            "device": "6002",
            "token": program.token,
            "tenant": name,
        }

    async def ask(
        self, operation: Operation, about: World, token: str | None = None
    ) -> tuple[int, str]:
        """One request, with the ids of what is another's, as the installation unless said else."""
        path = operation.path
        for word in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            given = "over" if path.startswith("/records/") else word
            assert given in about.names, f"say in World.fill what {{{word}}} is of a tenant"
            path = path.replace(f"{{{word}}}", about.names[given])
        headers = {"Authorization": f"Bearer {token or self.endpoint.token}"}
        octets = None if operation.body is None else sample(operation, "6002")
        if octets is not None:
            headers["Content-Type"] = "application/json"
        elif operation.media:
            headers["Content-Type"] = operation.media[0]
        async with self.http.request(
            operation.method, self.url + path, data=octets, headers=headers
        ) as answer:
            return answer.status, (await answer.read()).decode("utf-8", "replace")

    async def content(self) -> dict[str, list[Any]]:
        """All that it has, as the database and the living have it."""
        database = self.endpoint.database
        rows: dict[str, list[Any]] = {}
        for journal in (self.endpoint.journal, self.endpoint.agent_journal):
            assert await journal.settled(60)
        async with database.connection() as connection:
            for table in Base.metadata.sorted_tables:
                if "tenant_id" in table.c:
                    of_it = table.select().where(table.c.tenant_id == database.tenant_id)
                    found = await connection.execute(of_it.order_by(table.c.id))
                    rows[table.name] = [tuple(row) for row in found]
        assert all(rows.values()), {name for name, found in rows.items() if not found}
        client = self.client
        for word, living in {
            "calls": await client.calls(),
            "devices": await client.devices(),
            "agents": await client.agents(),
        }.items():
            rows[word] = [msgspec.to_builtins(each) for each in living]
        return rows


@dataclass
class House:
    acme: World
    globex: World
    url: str
    """Of the database."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    here = tmp_path_factory.mktemp("house")
    url = sqlite_url(here / "all.sqlite3")
    async with Database(url) as database:
        for name in (ACME, GLOBEX):
            assert await Tenants(database).add(Tenant(name, f"{name}.example.com"))
    async with AsyncExitStack() as stack:
        worlds: list[World] = []
        for name in (ACME, GLOBEX):
            config = configuration(
                here / name,
                tenant={"name": name},
                database={"url": url},
                webhooks={"allowed": [HOOKS]},
                basiccall={"enabled": True, "port": 0},
                station=[{"device": device, "kind": "tone"} for device in STATIONS],
            )
            async with Database(url, name) as database:
                extension = Extension("6001", name, ("7001",))
                await add_extension(
                    Extensions(database), config.sip.realm, extension, f"{name}-6001-Zx81"
                )
            endpoint = await stack.enter_async_context(Endpoint(config))
            trust = certificates.client_context(endpoint.certificate.authority)
            where = f"https://localhost:{endpoint.http.port}"
            client = EndpointClient(where, endpoint.token, ssl_context=trust, timeout_s=60)
            await stack.enter_async_context(client)
            http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
            await stack.enter_async_context(http)
            worlds.append(World(name, endpoint, client, http))
            await worlds[-1].fill()
        yield House(*worlds, url)


async def test_everything_of_a_tenant_is_there_to_be_seen_by_itself(house: House) -> None:
    """Else the next test would find nothing crossing for there is nothing."""
    silent = set()
    for operation in OPERATIONS.values():
        if operation.method == "GET":
            status, told = await house.acme.ask(operation, house.acme)
            assert GLOBEX not in told, operation.key
            if not any(mark in told for mark in house.acme.marks):
                silent.add(operation.key)
            elif operation.key not in SHOWS_NOTHING:
                assert status == 200
    assert silent <= SHOWS_NOTHING


async def test_no_event_crosses(house: House) -> None:
    """Neither what has been, from the first on, nor what comes; of calls as of agents."""
    acme, globex = house.acme, house.globex
    async with AsyncExitStack() as stack:
        sockets = []
        for path in ("/events?from=0", "/agents/1001/events?from=0"):
            headers = {"Authorization": f"Bearer {globex.endpoint.token}"}
            opened = globex.http.ws_connect(globex.url + path, headers=headers)
            sockets.append(await stack.enter_async_context(opened))
        for world in (acme, globex):
            await world.client.make_call("6005", "6003", data={"last": world.name})
            await world.client.set_ready("1001")
        for socket, word in zip(sockets, (f'"last":"{GLOBEX}"', "AgentReady"), strict=True):
            texts = await frames_until(socket, word)
            assert any(GLOBEX in text for text in texts)
            assert not any(ACME in text for text in texts)
    numbers = [msgspec.json.decode(text)["number"] for text in texts[1:]]
    assert numbers == [*range(1, len(numbers) + 1)]


async def frames_until(socket: aiohttp.ClientWebSocketResponse, word: str) -> list[str]:
    """What comes, to the first with a word in it."""
    texts: list[str] = []
    async with asyncio.timeout(60):
        while not texts or word not in texts[-1]:
            texts.append(await socket.receive_str())
    return texts


async def test_a_page_of_basiccall_s_meets_its_own_tenant_alone(house: House) -> None:
    """The same agent, telephone and number in both: each page is told of its own, by name."""
    for own, other in ((house.acme, house.globex), (house.globex, house.acme)):
        url = f"ws://127.0.0.1:{own.endpoint.basiccall.port}/"
        async with soft_phone(url, "1001", "6004") as page:
            await page.until("onInited")
            await page.do("RefreshAgentList", agentListType="AGENTLISTTYPE_CONSULT")
            listed = await page.until("onRefreshAgentListSucc")
            assert "6005" in [each["extnum"] for each in listed["items"]]
            await page.do("CallInner", destSPType="EXT", destSPIns="6005")
            begun = await page.event("CallInnerBegin")
            assert begun["coInfos"]["tenantID"] == own.name
            await page.shows(26)
            await page.do("DropCall")
            await page.event("DevDisconnected")
            assert other.name not in str(page.heard) + str(page.events)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with soft_phone(f"{url}?token={other.tokens[1]}", "1001", "6004"):
                pass
        assert refused.value.status == 401


async def test_s21_no_operation_shows_or_changes_what_is_another_tenants(house: House) -> None:
    acme, globex = house.acme, house.globex
    before = await acme.content()
    statements: list[str] = []

    def note(_c: object, _k: object, statement: str, *_rest: object) -> None:
        statements.append(" ".join(statement.replace('"', "").split()))

    engine = globex.endpoint.database._engine.sync_engine
    async with acme.client.events() as frames:
        first = await snapshot(frames)
        event.listen(engine, "before_cursor_execute", note)
        # What takes away comes last: the rest finds its own there, and could confuse the two.
        for operation in sorted(OPERATIONS.values(), key=lambda each: each.method == "DELETE"):
            status, told = await globex.ask(operation, acme)
            shown = [mark for mark in acme.marks if mark in told]
            assert not shown, (operation.key, status, told)
            assert status < 500 or status == 503, (operation.key, status, told)
            if {"{call}", "{recording}", "{token}"} & set(operation.path.split("/")):
                assert status in (400, 404, 415, 426), (operation.key, status, told)
        event.remove(engine, "before_cursor_execute", note)
        after = await acme.content()
        assert {name for name, found in after.items() if found != before[name]} == set()
    async with acme.client.events() as frames:
        assert (await snapshot(frames)).number == first.number
    tables = {name for name, table in Base.metadata.tables.items() if "tenant_id" in table.c}
    asked = 0
    for statement in statements:
        verb, _, rest = statement.partition(" ")
        if verb in ("SELECT", "UPDATE", "DELETE", "INSERT") and tables & set(rest.split()):
            asked += 1
            # Of a SELECT what stands behind its columns: whom it joins, and on which condition.
            said = rest.partition(" FROM ")[2] if verb == "SELECT" else rest
            # A row's own id is what a statement with the tenant has found: no client ever says one.
            by_found_id = re.search(r" WHERE (\w+)\.id (=|IN) \S+", said)
            assert "tenant_id" in said or by_found_id, statement
    assert asked > 20


async def test_s26_no_token_of_one_tenant_opens_another(house: House) -> None:
    acme, globex = house.acme, house.globex
    # Whom nothing was shown of is no guess; but all come from one address.
    globex.endpoint.http.access._most_wrong = 10_000
    for token, operation in itertools.product(acme.tokens, OPERATIONS.values()):
        if operation.key not in {(method, path) for method, path in OPEN}:
            status, told = await globex.ask(operation, acme, token)
            assert (status, ACME in told) == (401, False), operation.key
    with pytest.raises(Exception, match="not known"):
        await globex.client.refresh_token("aer_of-acme")
    assert (await acme.client.identity()).tenant == ACME


async def test_s6_a_telephone_is_of_the_tenant_of_its_domain(house: House) -> None:
    """The same number, two passwords: none opens the other's, nor does another's name."""
    acme, globex = house.acme, house.globex
    for own, other in ((acme, globex), (globex, acme)):
        domain, foreign = (f"{each.name}.example.com" for each in (own, other))
        async with RawClient(own.endpoint.sip_address[1], domain=domain) as phone:
            registered = await phone.authorised(
                "REGISTER", "6001", f"{own.name}-6001-Zx81", uri=f"sip:{domain}"
            )
            assert registered.status == 200
            wrong = await phone.authorised(
                "REGISTER", "6001", f"{other.name}-6001-Zx81", uri=f"sip:{domain}"
            )
            assert wrong.status == 401
            phone.domain = foreign
            asked = await phone.ask(phone.request("REGISTER", uri=f"sip:{foreign}"))
            assert asked.status == 404
    for world in (acme, globex):
        (found,) = world.endpoint.server.bindings("6001")
        assert found.contact.uri.user == "6001"


async def test_a_process_serves_no_name_of_another_tenant(house: House, tmp_path: Path) -> None:
    """Its state directory, its domain, and tokens of one issuer that do not say the tenant."""
    taken = configuration(
        tmp_path / "state",
        database={"url": house.url},
        sip={"domains": [f"{ACME}.EXAMPLE.com"]},
        jwt={"issuer": "https://id.example", "audience": "ae", "jwks_file": tmp_path / "keys"},
    )
    with pytest.raises(ConfigurationError) as refused:
        async with Endpoint(taken):
            pass
    assert [each.partition(":")[0] for each in refused.value.mistakes] == [
        "sip.domains",
        "jwt.tenant_claim",
    ]
    strange = configuration(
        tmp_path / "state", database={"url": house.url}, tenant={"name": GLOBEX}
    )
    with pytest.raises(
        ConfigurationError, match=r"of tenant 'default'.*its own for tenant 'globex"
    ):
        async with Endpoint(strange):
            pass


async def test_who_may_say_which_tenants_there_are(house: House, tmp_path: Path) -> None:
    """The installation's token where the default one is served; no administrator, nobody else's."""
    for world in (house.acme, house.globex):
        for operation in OPERATIONS.values():
            if operation.path.startswith("/tenants"):
                status, told = await world.ask(operation, house.acme)
                assert status == 403, told
    config = configuration(tmp_path / "state", database={"url": house.url}, station=[])
    async with Endpoint(config) as endpoint:
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust, timeout_s=60) as client:
            await client.add_to_directory("agents", directory.Agent("1", role="administrator"))
            await client.set_agent_password("1", PASSWORD)
            token = (await client.log_in("1", PASSWORD)).access_token
            async with EndpointClient(url, token, ssl_context=trust, timeout_s=60) as chief:
                with pytest.raises(Exception, match="not for you"):
                    await chief.tenants()
            made = await client.add_tenant("initech", "initech.example.com")
            assert made in await client.tenants()
            with pytest.raises(Exception, match="already"):
                await client.add_tenant("initech")
            assert (await client.change_tenant("initech", "")).domain == ""
            with pytest.raises(Exception, match="no such tenant"):
                await client.change_tenant("nobody", "")
            with pytest.raises(Exception, match="not empty"):
                await client.remove_tenant(ACME)
            await client.remove_tenant("initech")
            assert {each.name for each in await client.tenants()} == {ACME, GLOBEX, "default"}
