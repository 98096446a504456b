"""F16: whatever happens, an agent's history holds: eight invariants of `invariants`, by seeds.

Besides: F2 and F6 for a client that holds on to its session.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from endpoint.gateways.native import agentmessages as wire

from .history import AGENTS, CUSTOMER, PATIENCE_S, SPARE, History, set_up
from .invariants import breaks
from .serving import Serving

pytestmark = pytest.mark.interop

OPS = 60
"""Of each of the five clients."""
LONG_OPS = 2_000
COMMANDS = {
    *("log-on", "log-off", "ready", "not-ready", "work-mode", "finish-wrap-up"),
    *("dial", "answer", "hold", "retrieve", "transfer", "record", "clear"),
}
SHORT_SEEDS = range(1, 4)
SEEDS = range(1, 21)
# Who has a sound station answers by command; a tone station answers by itself.
STATIONS = [
    *(
        {"device": device, "kind": "sound", "input": f"tone:{500 + 100 * number}", "output": "null"}
        for number, device in enumerate((*AGENTS.values(), SPARE))
    ),
    {"device": CUSTOMER, "kind": "tone", "frequency_hz": 1400},
]
SETTINGS = {
    "STATION": json.dumps(STATIONS),
    "AGENTS__WRAP_UP": "all",
    "CALLS__DIALS_PER_MINUTE": 100_000,
    "CALLS__AT_ONCE": 100,
}


def serving(directory: Path) -> Serving:
    return Serving(directory / "endpoint", settings=SETTINGS)


@pytest.mark.parametrize(
    ("seed", "ops"),
    [
        *(
            pytest.param(seed, OPS, marks=pytest.mark.timeout(2 * PATIENCE_S))
            for seed in SHORT_SEEDS
        ),
        *(
            pytest.param(seed, LONG_OPS, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])
            for seed in SEEDS
        ),
    ],
)
async def test_f16_a_history_of_agents_holds(tmp_path: Path, seed: int, ops: int) -> None:
    async with serving(tmp_path) as endpoint:
        await set_up(endpoint.client)
        async with History(endpoint, random.Random(seed)).opened() as history:
            await history.play(ops)
            evidence = await history.evidence()
    (tmp_path / "history.json").write_bytes(msgspec.json.format(msgspec.json.encode(evidence)))
    if found := breaks(evidence):
        pytest.fail("\n".join(map(str, found)), pytrace=False)
    # It has happened: calls were recorded, requests made again, who was replaced has tried.
    assert all(len(each) > 1 for each in evidence.readings.values())
    assert any(len(each.answers) > 1 for each in evidence.asked)
    assert len(evidence.records) > 1
    assert len(evidence.asked) + len(evidence.guesses) >= ops * len(AGENTS)
    if ops == LONG_OPS:
        done = {each.what.partition(" ")[0] for each in evidence.asked if each.done}
        assert done == COMMANDS


async def test_f2_an_agents_session_outlives_a_kill_in_a_call(tmp_path: Path) -> None:
    """The wish of the call, the id, the log: all there; the call ends in it, as lost."""
    async with serving(tmp_path) as endpoint:
        await set_up(endpoint.client)
        logged_on = await endpoint.client.log_on("1001", wire.LogOnAgent("6001", ready=True))
        owner, seen = logged_on.delegator_id, []
        async with endpoint.client.agent_events("1001", owner, after=0) as frames:
            call = (await endpoint.client.make_call("6001", CUSTOMER)).call
            async with asyncio.timeout(PATIENCE_S):
                while not seen or seen[-1].event != "Established":
                    frame = await anext(frames)
                    seen += [frame] if isinstance(frame, wire.AgentEventFrame) else []
            wanted = await endpoint.client.set_not_ready("1001", "meal", owner)
            await endpoint.kill()
            with suppress(StopAsyncIteration):
                while isinstance(frame := await anext(frames), wire.AgentEventFrame):
                    seen.append(frame)
        await endpoint.start()
        client = endpoint.client
        async with client.agent_events("1001", owner, after=seen[-1].number) as frames:
            async with asyncio.timeout(PATIENCE_S):
                while seen[-1].event != "AgentNotReady":
                    frame = await anext(frames)
                    seen += [frame] if isinstance(frame, wire.AgentEventFrame) else []
        assert [each.number for each in seen] == list(range(1, seen[-1].number + 1))
        assert seen[-1].number > wanted
        ends = [each for each in seen if each.event in ("ConnectionCleared", "CallCleared")]
        assert [each.fields["cause"] for each in ends] == ["lost", "lost"]
        assert {each.fields["call"] for each in ends} == {call}
        names = [each.event for each in seen]
        assert names.index("CallCleared") < names.index("AgentWorkingAfterCall")
        assert (await client.agent("1001")).reason == "meal"
        assert await client.set_ready("1001", owner) > wanted


@pytest.mark.parametrize(
    "away_s",
    [0.5, pytest.param(4, marks=pytest.mark.soak), pytest.param(20, marks=pytest.mark.soak)],
)
async def test_f6_who_loses_its_socket_in_a_call_comes_back_and_has_missed_nothing(
    tmp_path: Path, away_s: float
) -> None:
    async with serving(tmp_path) as endpoint:
        client = endpoint.client
        await set_up(client)
        logged_on = await client.log_on("1001", wire.LogOnAgent("6001", ready=True))
        owner, seen = logged_on.delegator_id, [0]
        async with client.agent_events("1001", owner, after=0) as frames:
            call = (await client.make_call("6001", CUSTOMER)).call
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        seen.append(frame.number)
                        if frame.event == "Established":
                            break
            # No farewell: the far end finds the connection reset.
            frames._socket._response.connection.transport.abort()  # type: ignore[union-attr]  # ours
        await client.hold("6001", call)
        await asyncio.sleep(away_s)  # real time is what is asked here
        await client.retrieve("6001", call)
        async with client.agent_events("1001", owner, after=seen[-1]) as frames:
            async with asyncio.timeout(PATIENCE_S):
                names: list[str] = []
                while "Retrieved" not in names:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        seen.append(frame.number)
                        names.append(frame.event)
            now = await client.agent("1001")
        assert seen == list(range(len(seen)))
        assert names.count("Held") == 1
        assert (now.state, now.is_owned) == ("busy", True)
        assert [each.call for each in await client.calls()] == [call]
