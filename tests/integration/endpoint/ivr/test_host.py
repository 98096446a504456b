"""Flows whose files change while the endpoint runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.agents.skills import SkillQueues
from endpoint.ivr import host
from endpoint.ivr.host import IvrFacts, Ivrs, IvrSettings
from endpoint.ivr.library import SOUNDS
from endpoint.legs.base import DeviceId
from tests.scenarios.desk import open_desk

pytestmark = pytest.mark.integration

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


@pytest.fixture
async def ivrs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ivrs]:
    monkeypatch.setattr(host, "LOOK_S", 0.01)
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
