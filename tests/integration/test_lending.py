"""A party that is lent, heard: who waits hears music, the two talk, and all is as before."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from endpoint.app.wiring import Endpoint
from endpoint.callcontrol import commands as do
from endpoint.rig.fleet import MUSIC_ON_HOLD
from endpoint.rig.matrix import HearingMatrix, matrix
from endpoint.rig.walk import Step, take
from tests.interop.peers.process import free_port

from .test_matrix import SETTINGS, House, Kind, add, config, says_a_file

pytestmark = pytest.mark.integration

KINDS = {"A": Kind.FILE, "B": Kind.TELEPHONE, "C": Kind.BROWSER}


async def test_who_is_lent_is_heard_elsewhere_and_then_again_by_who_waits(tmp_path: Path) -> None:
    async with AsyncExitStack() as lives:
        waits = says_a_file(tmp_path, "A")
        endpoint = Endpoint(config(tmp_path / "state", free_port(), station=[waits]))
        house = House(await lives.enter_async_context(endpoint))
        async with asyncio.TaskGroup() as group:
            for role, kind in KINDS.items():
                group.create_task(add(house, endpoint, lives, role, kind))
        people = {role: house.devices[role, kind] for role, kind in KINDS.items()}
        a, b, c = (each.id for each in people.values())

        async def ears(last_ms: int) -> HearingMatrix:
            rows = await asyncio.gather(*(each.hear(last_ms) for each in people.values()))
            return dict(zip(people, rows, strict=True))

        async def step(name: str, command: do.Command, **rows: str | list[str]) -> None:
            async def act() -> None:
                await house.do(command)

            expected = matrix({"A": (), "B": (), "C": (), **rows})
            result = await take(Step(name, expected, act), ears, SETTINGS)
            assert result.ok, f"{name}: {'; '.join(result.faults)}"

        await step("dial", do.MakeCall(a, b), A="B", B="A")
        await step("lend", do.LendCall(a, c), A=[MUSIC_ON_HOLD], B="C", C="B")
        await step("hang up", do.ClearConnection(c), A="B", B="A")
        await people["C"].is_free()
        await step("lend again", do.LendCall(a, c), A=[MUSIC_ON_HOLD], B="C", C="B")
        await step("take back", do.ReconnectCall(a), A="B", B="A")
