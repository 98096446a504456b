"""The script itself reads what the tests' soft phone reads, and makes the same of it.

Those of `READINGS` here; all that comes in a day, in test_walk.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from endpoint.gateways.basiccall.names import (
    UNTOLD,
    CommandName,
    ErrorCode,
    EventName,
    NotBuilt,
)
from tests.interop.peers.tab import Tab
from tests.unit.test_softphone import INS, READINGS, Reading, callbacks, text_of_frame

from .phone import ORIGIN, Crm, as_heard

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

ATTRS = {"agentId": "1001", "agentName": "Anna", "ins": INS, "serverUri": "ws://nobody/"}


async def test_each_reading_is_the_script_s(crm: Crm) -> None:
    async with Tab(crm.browser, f"{ORIGIN}/") as tab:
        wrong = {}
        for reading in READINGS:
            frames = [text_of_frame(each) for each in reading.frames]
            given = ", ".join(map(json.dumps, (ATTRS, frames, reading.confirms)))
            last = (await tab.run(f"judge({given})"))[-1]
            if (fault := _differs(reading, last)) is not None:
                wrong[reading.name] = fault
        assert wrong == {}


async def test_our_names_are_the_script_s(crm: Crm) -> None:
    """Each that it has, and of our own those for messages from agent to agent alone."""
    async with Tab(crm.browser, f"{ORIGIN}/") as tab:
        commands, events, errors, functions = await tab.run(
            "[ESPCommand, ESPEvent, ESPError, ESPFunc]"
        )
    assert {*commands.values()} == {*map(str, CommandName)}
    assert {*errors.values()} == {*map(str, ErrorCode)}
    own = {EventName.AGENT_MESSAGE, *(each for each in EventName if "SendAgentMsg" in each)}
    assert {*events.values()} == {*map(str, EventName), *UNTOLD} - {*map(str, own)}
    numbers = [functions[f"SPFunc_{each}"] for each in NotBuilt]
    assert numbers == [43, 44, 45, 46, 47, 66, 67]


def _differs(reading: Reading, last: dict[str, Any]) -> object:
    threw = last["threw"]
    if reading.breaks or reading.stricter:
        return None if bool(threw) is reading.breaks else f"threw {threw}"
    if threw is not None:
        return f"threw {threw}"
    state = last["state"]
    made = (
        callbacks(as_heard(last["heard"])),
        tuple(each["command"] for each in last["sent"]),
        None if state == "0" else int(state),
    )
    expected = (reading.calls, reading.sends, reading.state)
    return None if made == expected else made
