"""Flows whose files change while the endpoint runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.agents.skills import SkillQueues
from endpoint.callcontrol.events import CallCleared, IvrVisited
from endpoint.ivr import host
from endpoint.ivr.host import IvrFacts, Ivrs, IvrSettings
from endpoint.ivr.library import SOUNDS
from endpoint.legs.base import DeviceId, LegRole
from tests.scenarios.desk import open_desk
from tests.scenarios.ivrdesk import IvrExchange

pytestmark = pytest.mark.integration

IVR = DeviceId("999")

FLOW = """
title = "{title}"
start = "say"
[node.say]
kind = "play"
prompt = "{prompt}"
next = "end"
[node.end]
kind = "hangup"
"""


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LOOK_S", 0.01)


@pytest.fixture
async def ivrs(tmp_path: Path) -> AsyncIterator[Ivrs]:
    (tmp_path / "flow.toml").write_text(FLOW.format(title="first", prompt="welcome"))
    ivrs = Ivrs([IvrSettings(DeviceId("999"), str(tmp_path / "flow.toml"))])
    async with open_desk() as desk:
        queues = SkillQueues(desk.controller, [], lambda _: True)
        async with queues, ivrs.serve(desk.controller, queues):
            yield ivrs


async def becomes(ivrs: Ivrs, title: str, mistake: str) -> IvrFacts:
    """Wait until calls come to the flow of that title, and such a mistake is told of its file."""
    async with asyncio.timeout(20.0):
        while True:
            (found,) = ivrs.facts()
            if found.title == title and mistake in "".join(found.mistakes[:1] or "none"):
                return found
            await asyncio.sleep(0.01)


async def test_a_flow_counts_as_soon_as_the_sound_that_it_lacked_is_there(
    ivrs: Ivrs, tmp_path: Path
) -> None:
    (tmp_path / "flow.toml").write_text(FLOW.format(title="second", prompt="ours"))
    await becomes(ivrs, "first", "expected a WAV file that is there")
    shutil.copy(SOUNDS / "goodbye.wav", tmp_path / "being-copied")
    (tmp_path / "being-copied").rename(tmp_path / "ours.wav")
    await becomes(ivrs, "second", "none")


async def test_no_file_ends_the_endpoint_however_odd_it_is(ivrs: Ivrs, tmp_path: Path) -> None:
    for odd in ("x = " + "[" * 5000, "x = " + "9" * 5000, "\0"):
        (tmp_path / "flow.toml").write_text(odd)
        await becomes(ivrs, "first", "flow.toml:1")
        (tmp_path / "flow.toml").write_text(FLOW.format(title="first", prompt="x" * 300))
        await becomes(ivrs, "first", "expected a WAV file that is there")
    (tmp_path / "flow.toml").write_text(FLOW.format(title="third", prompt="welcome"))
    await becomes(ivrs, "third", "none")


async def test_a_flow_that_is_changed_is_used_by_new_calls_alone(tmp_path: Path) -> None:
    """Who is in it finishes in it as it was; with a mistake it is not used."""
    text = """
title = "{title}"
start = "{title}"
[node.{title}]
kind = "menu"
prompt = {{ ms = 60000 }}
choices = {{ 1 = "end" }}
no_input = "end"
invalid = "end"
[node.end]
kind = "hangup"
"""
    file = tmp_path / "flow.toml"
    file.write_text(text.format(title="first"))
    ivrs = Ivrs([IvrSettings(IVR, str(file))])
    exchange = IvrExchange(ivrs.stations())
    async with open_desk(exchange=exchange) as desk:
        queues = SkillQueues(desk.controller, [], lambda _: True)
        async with queues, ivrs.serve(desk.controller, queues):
            callers = []
            for title in ("first", "first", "second"):
                if title == "second":
                    file.write_text(text.format(title=title))
                    await becomes(ivrs, title, "none")
                callers.append(exchange.offer(f"1000{len(callers)}", IVR, LegRole.LINE))
                visited = await desk.told(IvrVisited)
                assert (visited.node, visited.result) == (title, "")
                if len(callers) == 1:
                    file.write_text("start = ")
                    await becomes(ivrs, "first", "expected TOML")
            for caller, title in zip(callers, ("first", "first", "second"), strict=True):
                caller.press("1")
                await desk.told(CallCleared)
                path = desk.records.written[-1].ivr_path
                assert [each.node for each in path] == [title, "end"]
            await exchange.flows_ended()
