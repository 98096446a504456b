"""Traces, as a collector of OpenTelemetry receives them: OTLP over HTTP."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient

from .conftest import configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 40.0
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.octets = b""
        self.services: set[str] = set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        octets = await request.read()
        sent = ExportTraceServiceRequest.FromString(octets)
        self.octets += octets
        for resource in sent.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(names["service.name"])
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    taken = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", taken.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taken.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", taken.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield taken
    await runner.cleanup()


async def test_a_call_is_in_the_trace_of_who_asked_for_it(
    collector: Collector, tmp_path: Path
) -> None:
    async with Endpoint(configuration(tmp_path / "state")) as endpoint:
        url = f"http://127.0.0.1:{endpoint.http.plain_port}"
        bearer = {"Authorization": f"Bearer {endpoint.token}"}
        async with (
            EndpointClient(url, endpoint.token) as client,
            ClientSession() as http,
            client.events() as frames,
            asyncio.timeout(PATIENCE_S),
        ):
            await anext(frames)
            asked = {"device": "6002", "destination": "6003"}
            traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            async with http.post(
                f"{url}/api/v1/calls", json=asked, headers=bearer | traced
            ) as answer:
                assert answer.status == 202
                made = await answer.json()
            async for frame in frames:
                event = getattr(frame, "event", "")
                if event == "Established":
                    await client.clear("6002", made["call"])
                if event == "CallCleared":
                    break
            async with http.post(
                f"{url}/api/v1/calls/none/hold", json={"device": "6002"}, headers=bearer
            ) as answer:
                assert answer.status == 404

    assert collector.services == {"agent-endpoint"}
    (command,) = collector.named("MakeCall")
    assert (command.trace_id.hex(), command.parent_span_id.hex()) == (TRACE, PARENT)
    (call,) = collector.named("call")
    assert (call.trace_id.hex(), call.parent_span_id) == (TRACE, command.span_id)
    said = {each.key: each.value.string_value for each in call.attributes}
    assert said["agent_endpoint.call"] == made["call"]
    assert said["agent_endpoint.cause"] == "normal"
    legs = collector.named("leg set-up")
    assert len(legs) == 2
    for leg in legs:
        assert leg.parent_span_id == call.span_id
        assert call.start_time_unix_nano <= leg.start_time_unix_nano
        assert leg.start_time_unix_nano <= leg.end_time_unix_nano <= call.end_time_unix_nano
    (refused,) = collector.named("HoldCall")
    assert refused.status.message == "unknown_call"
    assert refused.trace_id.hex() != TRACE
    # Not as a number; an id may have it among its digits.
    assert re.search(rb"(?<![0-9a-f])6003(?![0-9a-f])", collector.octets) is None


async def test_a_collector_that_is_away_hurts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with (
        Endpoint(configuration(tmp_path / "state")) as endpoint,
        EndpointClient(f"http://127.0.0.1:{endpoint.http.plain_port}", endpoint.token) as client,
        client.events() as frames,
        asyncio.timeout(PATIENCE_S),
    ):
        await anext(frames)
        made = await client.make_call("6002", "6003")
        async for frame in frames:
            event = getattr(frame, "event", "")
            if event == "Established":
                await client.clear("6002", made.call)
            if event == "CallCleared":
                break


def test_who_wants_no_traces_loads_nothing_of_them() -> None:
    code = (
        "import asyncio, sys\n"
        "from endpoint.app.spans import NoSpans, opened\n"
        "async def main():\n"
        "    async with opened({}) as spans:\n"
        "        assert isinstance(spans, NoSpans)\n"
        "asyncio.run(main())\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
