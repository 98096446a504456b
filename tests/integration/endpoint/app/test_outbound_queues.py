"""What an agent dials outside is a call of its skill: with real endpoints, and over a restart."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from endpoint.app import certificates
from endpoint.app.enrolment import add_extension
from endpoint.app.wiring import Endpoint
from endpoint.callcontrol.model import CallRecord
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages as wire
from endpoint.storage.extensions import Extension
from tests.interop.peers.process import free_port

from .conftest import configuration

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PATIENCE_S = 60.0
CENTRE = directory.DirectoryImport(
    skills=[directory.Skill("order"), directory.Skill("bills")],
    agents=[
        directory.Agent(
            "1001",
            skills=[directory.SkillLevel("bills", 3), directory.SkillLevel("order", 7)],
            wrap_up_s=600,
            dials_for_skill=True,
        )
    ],
)


def trunk(peer: int, **more: Any) -> dict[str, Any]:
    return {"name": "line", "peers": [f"sip:127.0.0.1:{peer}"], **more}


@asynccontextmanager
async def running(state: Path, own: int, peer: int) -> AsyncIterator[EndpointClient]:
    """The endpoint of the agent, whose trunk leads to the carrier."""
    config = configuration(
        state,
        sip={"port": own, "tcp": False, "tls": False},
        trunk=[trunk(peer, outgoing=[{"match": "1*"}])],
    )
    async with Endpoint(config) as endpoint:
        events = endpoint.controller.subscribe(0)
        async with asyncio.timeout(PATIENCE_S):
            while not all(each.up for each in endpoint.exchange.trunks()):
                await anext(events)
        for alias in ("6002", "6003"):
            extension = Extension(alias, aliases=(f"5{alias}",))
            await add_extension(
                endpoint.extensions, config.sip.realm, extension, "not-used-8Zx", replace=True
            )
        trust = certificates.client_context(endpoint.certificate.authority)
        url = f"https://localhost:{endpoint.http.port}"
        async with EndpointClient(url, endpoint.token, ssl_context=trust) as client:
            yield client


async def dials(client: EndpointClient, number: str) -> tuple[wire.EventFrame, CallRecord]:
    """6002 dials, talks where somebody answers, and hangs up: how it began, and its record."""
    begun: wire.EventFrame | None = None
    async with client.events() as frames:
        call = (await client.make_call("6002", number)).call
        async with asyncio.timeout(PATIENCE_S):
            async for frame in frames:
                if not isinstance(frame, wire.EventFrame) or frame.fields.get("call") != call:
                    continue
                if frame.event == "ServiceInitiated":
                    begun = frame
                if frame.event == "Established":
                    await client.clear("6002", call)
                if frame.event == "CallCleared":
                    break
    assert begun is not None
    return begun, (await client.record_of(call)).record


async def outbound(client: EndpointClient) -> dict[str, int]:
    """Of the skill, today; nothing of it is an outcome, or waits."""
    (queue,) = [each for each in await client.queues() if each.queue == "order"]
    assert (queue.today.outcomes, queue.waiting, queue.wait_s) == ({}, [], None)
    return queue.today.outbound


async def test_what_an_agent_dials_outside_is_told_recorded_counted_and_written_up(
    tmp_path: Path,
) -> None:
    ours, theirs = free_port(), free_port()
    carrier = configuration(
        tmp_path / "carrier",
        sip={"port": theirs, "tcp": False, "tls": False},
        media={"port_first": 30_000, "port_last": 34_999},
        station=[{"device": "10086", "kind": "tone"}],
        trunk=[trunk(ours, incoming=[{"match": "10086"}])],
    )
    async with Endpoint(carrier):
        async with running(tmp_path / "state", ours, theirs) as client:
            await client.bring_into_directory(CENTRE)
            logs_on = agents.LogOnAgent("6002", ready=True, keep_logged_on=True)
            assert (await client.log_on("1001", logs_on)).agent.dials_for == "order"

            begun, record = await dials(client, "6003")  # a colleague
            assert (begun.fields["queue"], record.data, record.ivr_path) == ("", {}, ())
            assert (await client.agent("1001")).state == "ready"
            assert (await dials(client, "56003"))[1].ivr_path == ()  # by an alias
            assert (await dials(client, "112"))[1].ivr_path == ()  # whoever is in need

            begun, record = await dials(client, "10086")
            assert begun.fields["queue"] == "order"
            assert begun.call is not None
            assert begun.call.data == {"OutboundOf": "order"}
            assert record.established_at is not None
            assert (record.direction, record.data) == ("outbound", {"OutboundOf": "order"})
            assert [(each.queue, each.outcome) for each in record.ivr_path] == [
                ("order", "outbound")
            ]
            assert (await client.agent("1001")).state == "workingAfterCall"
            assert await outbound(client) == {"answered": 1}
        async with running(tmp_path / "state", ours, theirs) as client:
            now = await client.agent("1001")
            assert (now.state, now.dials_for) == ("workingAfterCall", "order")
            begun, record = await dials(client, "10099")  # the carrier knows nobody of that name
            assert (begun.fields["queue"], record.established_at) == ("order", None)
            assert await outbound(client) == {"answered": 1, "unanswered": 1}
            file = client.exported_records([("format", "csv")])
            exported = b"".join([each async for each in file])
            rows = list(csv.DictReader(io.StringIO(exported.decode())))
            assert {row["called"]: row["queue"] for row in rows} == {
                "6003": "",
                "112": "",
                "10086": "order",
                "10099": "order",
            }
