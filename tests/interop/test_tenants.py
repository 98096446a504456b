"""Two tenants with the same numbers: docs/tenants.md, and baresip of each behind one Kamailio."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import MakeCall
from endpoint.callcontrol.events import ConnectionCleared, Established
from endpoint.legs.base import DeviceId, DeviceRegistered
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.tenants import Tenant, Tenants

from .desk import Desk
from .newcomer import REPOSITORY, newcomer, prints, steps
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import TenantProxy
from .peers.process import free_port

pytestmark = pytest.mark.interop

AGENT, CUSTOMER = DeviceId("6001"), DeviceId("10086")
HERTZ = {"acme": (1400, 1010), "globex": (1800, 590)}
"""Of the agent's station, and of the customer's telephone."""
_PORT = re.compile(r"\b1[58]\d{3}\b")
"""That a file of the page names."""


@pytest.mark.soak
async def test_the_page_leads_to_two_customers_on_one_machine(tmp_path: Path) -> None:
    page = REPOSITORY / "docs/tenants.md"
    ports = {port: str(free_port()) for port in sorted(set(_PORT.findall(page.read_text())))}
    async with newcomer(tmp_path) as typing:
        for name in [each for each in typing.environment if each.startswith("AGENT_ENDPOINT_")]:
            del typing.environment[name]  # each has those of its file
        for commands, expected in steps(page):
            output = await typing.types(_PORT.sub(lambda port: ports[port[0]], commands))
            for line in expected:
                assert prints(output, line), (line, output)
    assert len(ports) == 8


async def test_telephones_of_the_same_number_are_each_in_the_tenant_of_their_domain(
    tmp_path: Path,
) -> None:
    url = sqlite_url(tmp_path / "tenants.sqlite3")
    async with Database(url) as database:
        for name in HERTZ:
            await Tenants(database).add(Tenant(name, f"{name}.example.com"))
    async with AsyncExitStack() as stack:
        desks = {
            name: await stack.enter_async_context(
                Desk(
                    tmp_path / name,
                    extensions=[CUSTOMER],
                    stations={AGENT: agent_hz},
                    settings={"tenant": {"name": name}, "database": {"url": url}},
                )
            )
            for name, (agent_hz, _) in HERTZ.items()
        }
        proxy = TenantProxy(tmp_path / "kamailio", *(desk.sip for desk in desks.values()))
        await stack.enter_async_context(proxy)
        phones: dict[str, Baresip] = {}
        for name, (_, customer_hz) in HERTZ.items():
            phones[name] = await stack.enter_async_context(
                Baresip(
                    tmp_path / f"phone-{name}",
                    CUSTOMER,
                    proxy.address,
                    domain=f"{name}.example.com",
                    password=Desk.password,
                    tone_hz=customer_hz,
                    answer="auto",
                )
            )
            await desks[name].event(DeviceRegistered, device=CUSTOMER)
            (binding,) = desks[name].endpoint.server.bindings(CUSTOMER)
            assert binding.contact.uri.port == phones[name].sip_port

        # By telephone in one, by command in the other, at the same time.
        await phones["acme"].dial(AGENT)
        await desks["globex"].do(MakeCall(AGENT, CUSTOMER))
        await desks["acme"].event(Established, device=AGENT)
        await desks["globex"].event(Established, device=CUSTOMER)
        await hear(
            {
                desks["acme"].ear(AGENT): {HERTZ["acme"][1]},
                phones["acme"]: {HERTZ["acme"][0]},
                desks["globex"].ear(AGENT): {HERTZ["globex"][1]},
                phones["globex"]: {HERTZ["globex"][0]},
            }
        )
        for name, desk in desks.items():
            await phones[name].hang_up()
            await desk.event(ConnectionCleared, device=CUSTOMER)
            await desk.cleared()
        for desk in desks.values():
            assert await desk.endpoint.journal.settled(60)
            assert len(await desk.endpoint.records.latest(10)) == 1
