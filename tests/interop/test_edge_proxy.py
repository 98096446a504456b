"""Kamailio as a proxy in front of our registrar: phones are found by Path, go by Service-Route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, MakeCall
from endpoint.callcontrol.events import Established
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.kamailio import EdgeProxy

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, BRANCH = DeviceId("6001"), DeviceId("10086"), DeviceId("7002")
AGENT_HZ, CUSTOMER_HZ, BRANCH_HZ = 1400, 1010, 1130


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Agent 6001 is a tone station; 10086 and 7002 are extensions."""
    async with Desk(
        tmp_path / "state", extensions=[CUSTOMER, BRANCH], stations={AGENT: AGENT_HZ}
    ) as endpoint:
        yield endpoint


@pytest.fixture
async def edge(desk: Desk, tmp_path: Path) -> AsyncIterator[EdgeProxy]:
    async with EdgeProxy(tmp_path / "edge", desk.sip) as proxy:
        yield proxy


async def test_baresip_behind_the_proxy_is_found_by_path(
    desk: Desk, edge: EdgeProxy, tmp_path: Path
) -> None:
    async with Baresip(
        tmp_path / "customer",
        CUSTOMER,
        edge.address,
        domain=desk.sip,
        password=desk.password,
        tone_hz=CUSTOMER_HZ,
    ) as customer:
        await desk.event(DeviceRegistered, device=CUSTOMER)
        (binding,) = desk.endpoint.server.bindings(CUSTOMER)
        assert [(hop.uri.host, hop.uri.port) for hop in binding.path] == [
            (edge.host, edge.sip_port)
        ]
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device=CUSTOMER)
        await hear({desk.ear(AGENT): {CUSTOMER_HZ}, customer: {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await customer.closed()
        assert (await desk.cleared()).cause is Cause.NORMAL


async def test_our_account_goes_by_the_service_route_and_without_outbound(
    desk: Desk, edge: EdgeProxy, tmp_path: Path
) -> None:
    """The proxy keeps no flows: our registrar says 439, and the branch registers without."""
    branch = Desk(
        tmp_path / "branch",
        stations={BRANCH: BRANCH_HZ},
        settings={
            "account": [
                {
                    "device": BRANCH,
                    "server": f"sip:{edge.address}",
                    "domain": desk.sip,
                    "password": desk.password,
                    "expires_s": 60,
                }
            ]
        },
    )
    async with branch:
        await branch.event(DeviceRegistered, device=BRANCH)
        (binding,) = desk.endpoint.server.bindings(BRANCH)
        assert binding.path
        assert (binding.instance is not None, binding.reg_id) == (True, None)
        await branch.do(MakeCall(BRANCH, AGENT))
        await branch.event(Established, device=AGENT)
        await desk.event(Established, device=AGENT)
        (session,) = desk.endpoint.server.user_agent.sessions()
        assert [via.port for via in session.request.vias][:1] == [edge.sip_port]
        await hear({desk.ear(AGENT): {BRANCH_HZ}, branch.ear(BRANCH): {AGENT_HZ}})
        await branch.do(ClearConnection(BRANCH))
        assert (await desk.cleared()).cause is Cause.NORMAL

        await desk.do(MakeCall(AGENT, BRANCH))
        await desk.event(Established, device=BRANCH)
        await branch.event(Established, device=BRANCH)
        await desk.do(ClearConnection(AGENT))
        assert (await desk.cleared()).cause is Cause.NORMAL
