"""Monitors: figures as Prometheus reads them, whether we live, whether we take calls."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from endpoint.app.wiring import Endpoint
from endpoint.client.errors import RequestRefused
from endpoint.errors import StorageError

from .conftest import Desk, configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 40.0
ROOT = Path(__file__).parents[4]
NUMBER_DIALLED = "6003"


def at(desk: Desk, path: str) -> str:
    return f"https://localhost:{desk.endpoint.http.port}{path}"


async def figures(desk: Desk) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    async with desk.http.get(at(desk, "/metrics"), headers=desk.bearer) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await answer.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"agent_endpoint_{name}", frozenset(labels.items())


async def asked(desk: Desk, path: str) -> tuple[int, Any]:
    """Without a token."""
    async with desk.http.get(at(desk, path)) as answer:
        return answer.status, await answer.json()


async def called(desk: Desk) -> None:
    """A call from 6002 to 6003, that is hung up."""
    async with desk.client.events() as frames, asyncio.timeout(PATIENCE_S):
        await anext(frames)
        made = await desk.client.make_call("6002", NUMBER_DIALLED)
        async for frame in frames:
            event = getattr(frame, "event", "")
            if event == "Established":
                found = await figures(desk)
                assert found[key("calls_open")] == 1
                assert found[key("connections", state="connected")] == 2
                assert found[key("event_sockets")] == 1
                assert found[key("media_worker_ports", worker="media worker")] >= 2
                await desk.client.clear("6002", made.call)
            if event == "CallCleared":
                return


async def test_a_call_is_counted_from_its_command_to_its_record(desk: Desk) -> None:
    before = await figures(desk)
    assert before[key("calls_open")] == 0
    assert before[key("media_worker_up", worker="media worker")] == 1
    await called(desk)
    with pytest.raises(RequestRefused):
        await desk.client.hold("6002", "no such call")
    after = await figures(desk)
    over = {"direction": "outbound", "cause": "normal", "answered": "true"}
    assert after[key("calls_total", **over)] == 1
    assert after[key("call_setup_seconds_count")] == 1
    assert after[key("call_duration_seconds_count", direction="outbound")] == 1
    assert after[key("call_records_total", outcome="kept")] == 1
    assert after[key("commands_total", command="MakeCall", outcome="accepted")] == 1
    assert after[key("command_seconds_count", command="MakeCall")] == 1
    assert after[key("commands_total", command="HoldCall", outcome="unknown_call")] == 1
    assert after[key("calls_open")] == 0
    assert after[("process_resident_memory_bytes", frozenset())] > 0


async def test_what_is_shown_is_told_of_and_holds_nothing_of_others(desk: Desk) -> None:
    await called(desk)
    found = await figures(desk)
    told = (ROOT / "docs" / "operations.md").read_text()
    for name, labels in found:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        own = re.sub(r"_(bucket|sum|count|created)$", "", name).removeprefix("agent_endpoint_")
        if own == name or own == "info":
            continue
        assert f"`{own}" in told, own
        assert not re.search(r"_(ms|milliseconds|minutes|kb)\b", name)
        for word, value in labels:
            assert word != "device"
            assert NUMBER_DIALLED not in value
            assert len(value) < 40
    # These are there once there is a trunk, or something was begun anew.
    later = {f"agent_endpoint_{name}" for name in ("trunk_up", "trunk_calls", "restarts_total")}
    for file in ("prometheus-alerts.yml", "grafana.json"):
        text = (ROOT / "docker" / file).read_text()
        wanted = set(re.findall(r"\b(?:agent_endpoint|process)_[a-z_]+", text))
        assert wanted - later <= {name for name, _ in found}, file


@pytest.mark.parametrize(("setting", "status"), [("loopback", 200), ("off", 404)])
async def test_figures_may_be_for_this_machine_or_for_nobody(
    tmp_path: Path, setting: str, status: int
) -> None:
    config = configuration(tmp_path / "state", http={"metrics": setting})
    async with Endpoint(config) as endpoint, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{endpoint.http.plain_port}/metrics"
        async with http.get(url) as answer:
            assert answer.status == status


async def test_what_is_in_the_way_is_named_to_everybody_and_figures_are_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await asked(desk, "/metrics"))[0] == 401
    assert await asked(desk, "/healthz") == (200, {"alive": True})
    assert await asked(desk, "/readyz") == (200, {"ready": True, "not_ready": {}})

    (worker,) = desk.endpoint.media_workers
    run, looked = worker._run_worker, asyncio.Event()

    async def run_when_looked(theirs: socket.socket) -> tuple[str, bool]:
        await looked.wait()
        return await run(theirs)

    monkeypatch.setattr(worker, "_run_worker", run_when_looked)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        while worker.is_up:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
        status, said = await asked(desk, "/readyz")
        assert (status, said["not_ready"]) == (503, {"media worker": "it is being started"})
        looked.set()
        while not worker.is_up:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await figures(desk))[key("restarts_total", task="media worker")] == 1

    (udp,) = desk.endpoint.server.user_agent._layer._datagrams
    await udp.close()
    assert (await asked(desk, "/readyz"))[1]["not_ready"] == {"sip": "a listener is gone"}

    desk.endpoint.controller.refuse_new_calls()
    assert list((await asked(desk, "/readyz"))[1]["not_ready"]) == ["calls", "sip"]

    await desk.endpoint.database.dispose()
    desk.endpoint.state.database.unlink()
    desk.endpoint.state.database.mkdir()
    with pytest.raises(StorageError):
        await desk.endpoint.extensions.all()
    async with asyncio.timeout(PATIENCE_S):
        while "database" not in (await asked(desk, "/readyz"))[1]["not_ready"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # what it said last stands for a second
    assert (await figures(desk))[key("database_errors_total")] >= 2
    assert (await asked(desk, "/healthz"))[0] == 200
